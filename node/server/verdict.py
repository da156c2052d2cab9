"""The check of a peer's application instance certificate (OPC 10000-4 section 6.1.3). Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import StrEnum

from node.server.certificate import Certificate

MIN_KEY_BITS = 2048  # the three policies that the node offers take 2048 to 4096 (OPC 10000-7)
MAX_KEY_BITS = 4096
SECURITY_CHECKS_FAILED = "BadSecurityChecksFailed"
_HASHES = frozenset({"sha256", "sha384", "sha512"})  # SHA-1 signatures can be forged
_CLIENT_USES = frozenset({"1.3.6.1.5.5.7.3.2", "2.5.29.37.0"})  # clientAuth, anyExtendedKeyUsage


class CertificateStatus(StrEnum):
    """What the check of a certificate came to, as OPC UA names it (OPC 10000-4 section 6.1.3)."""

    GOOD = "Good"
    INVALID = "BadCertificateInvalid"  # not readable, or its signature does not verify
    POLICY_CHECK_FAILED = "BadCertificatePolicyCheckFailed"  # key length or signature algorithm
    UNTRUSTED = "BadCertificateUntrusted"
    TIME_INVALID = "BadCertificateTimeInvalid"
    ISSUER_TIME_INVALID = "BadCertificateIssuerTimeInvalid"
    URI_INVALID = "BadCertificateUriInvalid"
    USE_NOT_ALLOWED = "BadCertificateUseNotAllowed"


# What a peer may be told; for the rest it learns nothing about the trust list (OPC 10000-4 section 6.1.3, table of
# validation steps).
_TOLD = frozenset(
    {
        CertificateStatus.GOOD,
        CertificateStatus.TIME_INVALID,
        CertificateStatus.ISSUER_TIME_INVALID,
        CertificateStatus.URI_INVALID,
        CertificateStatus.USE_NOT_ALLOWED,
    }
)


@dataclass(frozen=True, slots=True)
class Verdict:
    """What the check of one certificate came to."""

    status: CertificateStatus
    reason: str  # one sentence for the log; empty when Good
    thumbprint: str = ""  # empty when it is not readable
    subject: str = ""
    stored: bool = False  # it lies in the rejected folder, `gridnode trust accept` finds it

    @property
    def ok(self) -> bool:
        """True when the peer may go on."""
        return self.status is CertificateStatus.GOOD

    @property
    def wire_status(self) -> str:
        """Name of the status code that the peer may see."""
        return self.status.value if self.status in _TOLD else SECURITY_CHECKS_FAILED


def judge(
    certificate: Certificate, trusted: Sequence[Certificate], now: datetime, application_uri: str | None = None
) -> tuple[CertificateStatus, str]:
    """Status and reason for a peer's certificate; the first check that fails decides.

    It is trusted when it is among `trusted` or directly signed by a CA there. `now` is an aware datetime; with
    `application_uri` None the URI is not compared.
    """
    return (
        _own_fault(certificate)
        or _trust_fault(certificate, trusted, now)
        or _time_fault(certificate, now)
        or _uri_fault(certificate, application_uri)
        or _use_fault(certificate)
        or (CertificateStatus.GOOD, "")
    )


_Fault = tuple[CertificateStatus, str] | None


def _own_fault(certificate: Certificate) -> _Fault:
    """What is wrong with a certificate whoever trusts it."""
    if certificate.self_issued and not certificate.issued_by(certificate):
        return CertificateStatus.INVALID, "the signature of its certificate is wrong"
    bits = certificate.key_bits
    if bits is None or not MIN_KEY_BITS <= bits <= MAX_KEY_BITS:
        has = "no RSA key" if bits is None else f"an RSA key of {bits} bits"
        text = f"its certificate has {has}, and needs one of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits"
        return CertificateStatus.POLICY_CHECK_FAILED, text
    if certificate.signature_hash not in _HASHES:
        text = f"its certificate is signed with {certificate.signature_hash}, and needs SHA-256 or longer"
        return CertificateStatus.POLICY_CHECK_FAILED, text
    if certificate.is_authority:
        # Else accepting what looks like one refused client would let in all that it cares to sign.
        return CertificateStatus.USE_NOT_ALLOWED, "it shows the certificate of a CA instead of its own"
    return None


def _trust_fault(certificate: Certificate, trusted: Sequence[Certificate], now: datetime) -> _Fault:
    # Whole certificates are compared, not thumbprints: SHA-1 collisions can be made.
    if any(each.der == certificate.der for each in trusted):
        return None
    issuers = [each for each in trusted if each.is_authority and certificate.issued_by(each)]
    if not issuers:
        return CertificateStatus.UNTRUSTED, "its certificate is not in the trust list, nor signed by a CA there"
    if not any(issuer.not_before <= now <= issuer.not_after for issuer in issuers):
        text = "the CA that signed its certificate is not yet or no longer valid"
        return CertificateStatus.ISSUER_TIME_INVALID, text
    return None


def _time_fault(certificate: Certificate, now: datetime) -> _Fault:
    if now < certificate.not_before:
        text = f"its certificate begins {certificate.not_before.isoformat()}; compare the clocks of both machines"
        return CertificateStatus.TIME_INVALID, text
    if now > certificate.not_after:
        text = f"its certificate ended {certificate.not_after.isoformat()}; it needs a new one"
        return CertificateStatus.TIME_INVALID, text
    return None


def _uri_fault(certificate: Certificate, application_uri: str | None) -> _Fault:
    own = certificate.application_uri
    if application_uri is None or application_uri == own:
        return None
    return CertificateStatus.URI_INVALID, f"it calls itself {application_uri!r} but its certificate says {own!r}"


def _use_fault(certificate: Certificate) -> _Fault:
    usage, extended = certificate.key_usage, certificate.extended_key_usage
    if usage is not None and not ("digitalSignature" in usage and usage & {"keyEncipherment", "dataEncipherment"}):
        text = "the keyUsage of its certificate lacks signature or encipherment"
        return CertificateStatus.USE_NOT_ALLOWED, text
    if extended is not None and not extended & _CLIENT_USES:
        return CertificateStatus.USE_NOT_ALLOWED, "the extendedKeyUsage of its certificate lacks clientAuth"
    return None
