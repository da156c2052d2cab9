"""Who a client says it is, and whether that is true (OPC 10000-4 sections 5.6.3 and 7.40)."""

from __future__ import annotations

import hmac
import struct
from dataclasses import dataclass
from typing import Any, Final, NamedTuple

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss
from asyncua.crypto.uacrypto import decrypt_rsa_oaep, decrypt_rsa_oaep_sha256
from cryptography.exceptions import InvalidSignature
from cryptography.hazmat.primitives import hashes
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from node.roles import Caller, Role
from node.server.request import ServiceRefused
from node.server.security.certificate import Certificate
from node.server.security.login import LoginGuard, LoginRefused
from node.server.security.policies import (
    NO_SECURITY,
    SECURE_OFFERS,
    ChannelRefused,
    Offer,
    ServerKeys,
    leaf_certificate,
)
from node.server.security.trust import TrustList
from node.server.sessions.endpoints import ANONYMOUS_POLICY_ID, certificate_policy_id, user_name_policy_id
from node.server.transport.channel import Channel

ANONYMOUS: Final = Caller("anonymous", Role.OBSERVER)
_LENGTH: Final = struct.Struct("<I")
# A password of 256 characters has up to 1024 bytes; with the nonce that is 6 blocks of a 2048-bit key at most.
_MAX_SECRET_BYTES: Final = 4_096


@dataclass(frozen=True, slots=True)
class Proof:
    """What shows that a token is its sender's own, and of this very session."""

    nonce: bytes  # the one that the session was given last
    signature: ua.SignatureData  # by the key of a user's certificate


class Identified(NamedTuple):
    """A user, and the certificate that has shown it."""

    caller: Caller
    certificate: bytes  # DER, with the CAs that were shown; empty for those who have not used one


class Identifier:
    """Turns the identity token of an ActivateSession into a caller."""

    def __init__(self, users: LoginGuard, trust: TrustList, *, allow_anonymous: bool) -> None:
        """`trust` has the certificates of users."""
        self._users = users
        self._trust = trust
        self._allow_anonymous = allow_anonymous

    async def identify(self, token: Any, proof: Proof, channel: Channel, peer: str) -> Identified:
        """The caller behind a token.

        Raises ServiceRefused with BadIdentityTokenInvalid for a token that nobody could accept, ...Rejected for a
        kind that is not offered here or a certificate that is not trusted, BadUserSignatureInvalid, and
        BadUserAccessDenied for a wrong name or password, or a certificate that no user has.
        """
        offer = _offer(channel)
        if isinstance(token, ua.UserNameIdentityToken):
            return Identified(await self._by_name(token, offer, channel.keys, proof.nonce, peer), b"")
        if isinstance(token, ua.X509IdentityToken):
            return self._by_certificate(token, offer, channel.keys, proof, peer)
        # A null or empty token stands for an anonymous user (OPC 10000-4 section 5.6.3).
        empty = token is None or (isinstance(token, ua.ExtensionObject) and token.TypeId.is_null())
        if empty or isinstance(token, ua.AnonymousIdentityToken):
            if not self._allow_anonymous:
                raise ServiceRefused(ua.StatusCodes.BadIdentityTokenRejected, "anonymous sessions are not allowed")
            if not empty and token.PolicyId not in (None, "", ANONYMOUS_POLICY_ID):
                raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, f"unknown policy id {token.PolicyId!r}")
            return Identified(ANONYMOUS, b"")
        raise ServiceRefused(
            ua.StatusCodes.BadIdentityTokenRejected, "neither a name with a password nor a certificate"
        )

    async def _by_name(
        self, token: ua.UserNameIdentityToken, offer: Offer, keys: ServerKeys, nonce: bytes, peer: str
    ) -> Caller:
        _check_policy(token.PolicyId, offer, user_name_policy_id(offer))
        name = token.UserName
        if not isinstance(name, str) or not name:
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, "no user name")
        password = _password(token, offer, keys, nonce)
        try:
            role = await self._users.verify(name, password, peer)
        except LoginRefused as error:
            raise ServiceRefused(int(error.status), str(error)) from error
        if role is None:
            raise ServiceRefused(ua.StatusCodes.BadUserAccessDenied, "wrong name or password")
        return Caller(name, role)

    def _by_certificate(
        self, token: ua.X509IdentityToken, offer: Offer, keys: ServerKeys, proof: Proof, peer: str
    ) -> Identified:
        _check_policy(token.PolicyId, offer, certificate_policy_id(offer))
        shown = token.CertificateData or b""
        try:
            certificate = leaf_certificate(shown)
        except ChannelRefused as error:
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, str(error)) from error
        # Before the trust list is asked: whoever has not the key learns nothing of it and puts nothing into it.
        if not _signed(certificate, offer, keys, proof):
            text = "the key of the user's certificate has not signed this session"
            raise ServiceRefused(ua.StatusCodes.BadUserSignatureInvalid, text)
        verdict = self._trust.validate(shown)
        if not verdict.ok:
            self._trust.report(verdict, peer)
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenRejected, verdict.reason, reported=True)
        user = self._users.owner(certificate.thumbprint)
        if user is None:
            text = f"no user has the certificate {certificate.thumbprint}; see `gridnode user cert`"
            raise ServiceRefused(ua.StatusCodes.BadUserAccessDenied, text)
        return Identified(Caller(user.name, user.role), shown)


def _check_policy(given: str | None, offer: Offer, expected: str) -> None:
    if not offer.secure:
        # Whoever sees the channel could take over the session, however well the token is protected.
        raise ServiceRefused(ua.StatusCodes.BadIdentityTokenRejected, "a user on a channel without security")
    if given not in (None, "", expected):
        raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, f"unknown policy id {given!r}")


def _signed(certificate: Certificate, offer: Offer, keys: ServerKeys, proof: Proof) -> bool:
    """True when the user's key has signed our certificate and nonce, with the algorithm of the policy."""
    key = certificate.x509.public_key()
    if not isinstance(key, rsa.RSAPublicKey):
        return False
    scheme: padding.AsymmetricPadding = padding.PKCS1v15()
    if offer.policy is SecurityPolicyAes256Sha256RsaPss:
        scheme = padding.PSS(padding.MGF1(hashes.SHA256()), padding.PSS.AUTO)
    for own in keys.signed_forms:
        try:
            key.verify(proof.signature.Signature or b"", own + proof.nonce, scheme, hashes.SHA256())
        except (InvalidSignature, ValueError):
            continue
        return True
    return False


def _password(token: ua.UserNameIdentityToken, offer: Offer, keys: ServerKeys, nonce: bytes) -> str:
    """Decrypt the password: length, password and our nonce (OPC 10000-4 section 7.40.2.2)."""
    # The policy says how it is encrypted, not the client; only that it is encrypted has to be said.
    if not token.EncryptionAlgorithm:
        raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, "a password in clear")
    # One status and one text for all that can be wrong: differences would help to decrypt other secrets.
    refused = ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, "the password cannot be decrypted")
    secret = token.Password
    if not isinstance(secret, bytes) or not 0 < len(secret) <= _MAX_SECRET_BYTES:
        raise refused
    try:
        plain = _decrypt(secret, offer, keys)
    except ValueError:
        raise refused from None
    if len(plain) < _LENGTH.size + len(nonce):
        raise refused
    (length,) = _LENGTH.unpack_from(plain)
    content = plain[_LENGTH.size : _LENGTH.size + length]
    password, given = content[: length - len(nonce)], content[length - len(nonce) :]
    if len(content) != length or not hmac.compare_digest(given, nonce):
        raise refused
    try:
        return password.decode("utf-8")
    except UnicodeDecodeError:
        raise refused from None


def _decrypt(secret: bytes, offer: Offer, keys: ServerKeys) -> bytes:
    sha256 = offer.policy is SecurityPolicyAes256Sha256RsaPss
    decrypt: Any = decrypt_rsa_oaep_sha256 if sha256 else decrypt_rsa_oaep
    block = keys.key.key_size // 8
    return b"".join(decrypt(keys.key, secret[at : at + block]) for at in range(0, len(secret), block))


def _offer(channel: Channel) -> Offer:
    for offer in SECURE_OFFERS:
        if offer.uri == channel.policy_uri and offer.mode == channel.mode:
            return offer
    return NO_SECURITY
