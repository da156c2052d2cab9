"""Security policies that the server offers, strongest first, and how a channel gets one."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from asyncua import ua
from asyncua.crypto.security_policies import (
    SecurityPolicy,
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
    SecurityPolicyFactory,
    SecurityPolicyNone,
)
from cryptography.hazmat.primitives.asymmetric import rsa

from node.server.compat import HardCryptography
from node.server.security.certificate import Certificate, CertificateError, read_certificate, split_chain
from node.server.security.verdict import MAX_KEY_BITS, MIN_KEY_BITS

NONE_URI: Final = SecurityPolicyNone.URI
_SIGN: Final = ua.MessageSecurityMode.Sign
_ENCRYPT: Final = ua.MessageSecurityMode.SignAndEncrypt


@dataclass(frozen=True, slots=True)
class Offer:
    """One combination of policy and mode, with the level by which clients choose."""

    policy: type[SecurityPolicy]
    mode: ua.MessageSecurityMode
    level: int

    @property
    def uri(self) -> str:
        """URI of the policy."""
        return str(self.policy.URI)

    @property
    def secure(self) -> bool:
        """False for None only."""
        return self.uri != NONE_URI


SECURE_OFFERS: Final = (
    Offer(SecurityPolicyAes256Sha256RsaPss, _ENCRYPT, 90),
    Offer(SecurityPolicyBasic256Sha256, _ENCRYPT, 80),
    Offer(SecurityPolicyAes128Sha256RsaOaep, _ENCRYPT, 70),
    Offer(SecurityPolicyAes256Sha256RsaPss, _SIGN, 60),
    Offer(SecurityPolicyBasic256Sha256, _SIGN, 50),
    Offer(SecurityPolicyAes128Sha256RsaOaep, _SIGN, 40),
)
NO_SECURITY: Final = Offer(SecurityPolicyNone, ua.MessageSecurityMode.None_, 0)


class ChannelRefused(Exception):
    """A secure channel is not opened; `status` goes into the ERR message, the text into the log.

    `reported` when the log has it already.
    """

    def __init__(self, status: int, text: str, *, reported: bool = False) -> None:
        super().__init__(text)
        self.status = status
        self.reported = reported


@dataclass(frozen=True, slots=True)
class ServerKeys:
    """The node's certificate with what belongs to it, as the cryptography of a channel takes it."""

    certificate: Certificate
    chain: tuple[Certificate, ...]
    key: rsa.RSAPrivateKey

    @property
    def chain_der(self) -> bytes:
        """The certificate with the CAs above it, as a client gets it."""
        return b"".join(each.der for each in (self.certificate, *self.chain))

    @property
    def signed_forms(self) -> tuple[bytes, ...]:
        """What a client may take for our certificate in what it signs: alone, or with the CAs above it."""
        return tuple(dict.fromkeys((self.certificate.der, self.chain_der)))


def create_policy(
    keys: ServerKeys, uri: str, sender: bytes | None, mode: ua.MessageSecurityMode | None
) -> SecurityPolicy:
    """The cryptography for a channel; `mode` is None as long as the request is still encrypted.

    Raises ChannelRefused for a policy or mode that is not offered, or a certificate that no channel can use.
    Whether the certificate is trusted is another question.
    """
    if uri == NONE_URI:
        if mode not in (None, ua.MessageSecurityMode.None_):
            raise ChannelRefused(ua.StatusCodes.BadSecurityModeRejected, f"policy None with mode {mode!r}")
        return SecurityPolicyNone()  # type: ignore[no-untyped-call]
    for offer in SECURE_OFFERS:
        if offer.uri == uri and mode in (None, offer.mode):
            return _create(keys, offer, leaf_certificate(sender))
    known = any(offer.uri == uri for offer in SECURE_OFFERS)
    status = ua.StatusCodes.BadSecurityModeRejected if known else ua.StatusCodes.BadSecurityPolicyRejected
    raise ChannelRefused(status, f"policy {uri!r} with mode {mode!r} is not offered")


def leaf_certificate(sender: bytes | None) -> Certificate:
    """The peer's own certificate out of what it sends, which may be a chain. Raises ChannelRefused."""
    try:
        certificate = read_certificate(split_chain(sender or b"")[0])
    except CertificateError as error:
        raise ChannelRefused(ua.StatusCodes.BadCertificateInvalid, str(error)) from error
    bits = certificate.key_bits
    # A key of another kind cannot be used, and checking signatures of a huge one is work that a stranger must not give.
    if bits is None or not MIN_KEY_BITS <= bits <= MAX_KEY_BITS:
        text = f"its certificate has {'no RSA key' if bits is None else f'an RSA key of {bits} bits'}"
        raise ChannelRefused(ua.StatusCodes.BadSecurityChecksFailed, text)
    return certificate


def _create(keys: ServerKeys, offer: Offer, peer: Certificate) -> SecurityPolicy:
    factory = SecurityPolicyFactory(  # type: ignore[no-untyped-call]
        offer.policy,
        offer.mode,
        keys.certificate.x509,
        keys.key,
        certificate_chain=[each.x509 for each in keys.chain],
    )
    policy: SecurityPolicy = factory.create(peer.der)  # type: ignore[no-untyped-call]
    policy.symmetric_cryptography = HardCryptography(offer.mode)  # type: ignore[no-untyped-call]
    return policy
