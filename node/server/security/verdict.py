"""The check of the certificate of an application or a user (OPC 10000-4 section 6.1.3). Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from datetime import datetime
from enum import Enum, StrEnum
from itertools import pairwise

from node.server.security.certificate import MAX_CHAIN, Certificate
from node.server.security.revocation import RevocationList, RevocationRule, Standing, standing

MIN_KEY_BITS = 2048  # the three policies that the node offers take 2048 to 4096 (OPC 10000-7)
MAX_KEY_BITS = 4096
SECURITY_CHECKS_FAILED = "BadSecurityChecksFailed"
_HASHES = frozenset({"sha256", "sha384", "sha512"})  # SHA-1 signatures can be forged
_MAX_PATHS = 64  # ways that are looked at at a time: CAs that sign each other would make very many
_CLIENT_USES = frozenset({"1.3.6.1.5.5.7.3.2", "2.5.29.37.0"})  # clientAuth, anyExtendedKeyUsage


class CertificateStatus(StrEnum):
    """What the check of a certificate came to, as OPC UA names it (OPC 10000-4 section 6.1.3)."""

    GOOD = "Good"
    INVALID = "BadCertificateInvalid"  # not readable, or its signature does not verify
    POLICY_CHECK_FAILED = "BadCertificatePolicyCheckFailed"  # key length or signature algorithm
    UNTRUSTED = "BadCertificateUntrusted"
    TIME_INVALID = "BadCertificateTimeInvalid"
    ISSUER_TIME_INVALID = "BadCertificateIssuerTimeInvalid"
    REVOKED = "BadCertificateRevoked"
    ISSUER_REVOKED = "BadCertificateIssuerRevoked"
    REVOCATION_UNKNOWN = "BadCertificateRevocationUnknown"
    ISSUER_REVOCATION_UNKNOWN = "BadCertificateIssuerRevocationUnknown"
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
    der: bytes = b""  # what was shown as a certificate
    claimed_uri: str = ""  # what its owner calls itself, where that is compared
    stored: bool = False  # it lies in the rejected folder, `gridnode trust accept` finds it

    @property
    def ok(self) -> bool:
        """True when the peer may go on."""
        return self.status is CertificateStatus.GOOD

    @property
    def wire_status(self) -> str:
        """Name of the status code that the peer may see."""
        return self.status.value if self.status in _TOLD else SECURITY_CHECKS_FAILED


class Purpose(Enum):
    """Whose certificate it is."""

    APPLICATION = "application"
    USER = "user"


@dataclass(frozen=True, slots=True)
class Knowledge:
    """What the operator has laid down about certificates."""

    trusted: tuple[Certificate, ...] = ()  # applications or users, and CAs
    issuers: tuple[Certificate, ...] = ()  # CAs that fill the gap between a leaf and a trusted CA, trusted by nobody
    lists: tuple[RevocationList, ...] = ()
    rule: RevocationRule = RevocationRule.CURRENT
    purpose: Purpose = Purpose.APPLICATION


def judge(
    certificate: Certificate,
    known: Knowledge,
    now: datetime,
    application_uri: str | None = None,
    shown: Sequence[Certificate] = (),
) -> tuple[CertificateStatus, str]:
    """Status and reason for a peer's certificate; the first check that fails decides.

    It is trusted when it is among `known.trusted`, or signed by a CA there, directly or by CAs that are known or
    `shown` by the peer itself. `now` is an aware datetime; with `application_uri` None the URI is not compared.
    """
    return (
        _own_fault(certificate)
        or _trust_fault(certificate, known, now, shown)
        or _time_fault(certificate, now)
        or _uri_fault(certificate, application_uri)
        or _use_fault(certificate, known.purpose)
        or (CertificateStatus.GOOD, "")
    )


_Fault = tuple[CertificateStatus, str] | None


def _own_fault(certificate: Certificate) -> _Fault:
    """What is wrong with a certificate whoever trusts it."""
    weakness = _weakness(certificate)
    if weakness:
        return CertificateStatus.POLICY_CHECK_FAILED, f"its certificate {weakness}"
    if certificate.self_issued and not certificate.issued_by(certificate):
        return CertificateStatus.INVALID, "the signature of its certificate is wrong"
    if certificate.is_authority:
        # Else accepting what looks like one refused client would let in all that it cares to sign.
        return CertificateStatus.USE_NOT_ALLOWED, "it shows the certificate of a CA instead of its own"
    return None


def _weakness(certificate: Certificate) -> str:
    """Why its key or signature is not safe; empty when both are."""
    bits = certificate.key_bits
    if bits is None or not MIN_KEY_BITS <= bits <= MAX_KEY_BITS:
        has = "no RSA key" if bits is None else f"an RSA key of {bits} bits"
        return f"has {has}, and needs one of {MIN_KEY_BITS} to {MAX_KEY_BITS} bits"
    if certificate.signature_hash not in _HASHES:
        return f"is signed with {certificate.signature_hash}, and needs SHA-256 or longer"
    return ""


def _trust_fault(certificate: Certificate, known: Knowledge, now: datetime, shown: Sequence[Certificate]) -> _Fault:
    # Whole certificates are compared, not thumbprints: SHA-1 collisions can be made.
    if any(each.der == certificate.der for each in known.trusted):
        # The operator has named this very certificate: what its CA thinks of it counts only if that revokes it.
        above = [each for each in (*known.trusted, *known.issuers) if each.is_authority]
        issuers = [each for each in above if _may_issue(each, (certificate,))]
        revoked = any(standing(certificate, each, known.lists, now, known.rule) is Standing.REVOKED for each in issuers)
        return (CertificateStatus.REVOKED, "its certificate is revoked") if revoked else None
    faults = [_path_fault(path, known, now) for path in _paths(certificate, known, shown)]
    if not faults:
        return CertificateStatus.UNTRUSTED, "its certificate is not in the trust list, nor signed by a CA there"
    return None if None in faults else faults[0]


def _paths(certificate: Certificate, known: Knowledge, shown: Sequence[Certificate]) -> list[tuple[Certificate, ...]]:
    """Every way from a certificate up to a trusted CA, itself first, the shortest first."""
    anchors = {each.der for each in known.trusted if each.is_authority}
    # Checking a signature with the key that a stranger shows costs as much as that key is long.
    usable = [each for each in shown if not _weakness(each)]
    authorities = {each.der: each for each in (*known.trusted, *known.issuers, *usable) if each.is_authority}
    found: list[tuple[Certificate, ...]] = []
    open_paths: list[tuple[Certificate, ...]] = [(certificate,)]
    # Breadth first; what a peer shows is 8 certificates at most, and a path that long ends.
    while open_paths and len(found) < MAX_CHAIN:
        path = open_paths.pop(0)
        for above in authorities.values():
            if any(above.der == each.der for each in path) or not _may_issue(above, path):
                continue
            longer = (*path, above)
            if above.der in anchors:
                found.append(longer)
            elif len(longer) < MAX_CHAIN and len(open_paths) < _MAX_PATHS:
                open_paths.append(longer)
    return found


def _may_issue(authority: Certificate, path: tuple[Certificate, ...]) -> bool:
    below = sum(not each.self_issued for each in path[1:])
    fits = authority.path_length is None or below <= authority.path_length
    return fits and path[-1].x509.issuer == authority.x509.subject and path[-1].issued_by(authority)


def _path_fault(path: tuple[Certificate, ...], known: Knowledge, now: datetime) -> _Fault:
    for authority in path[1:]:
        weakness = _weakness(authority)
        if weakness:
            return (
                CertificateStatus.POLICY_CHECK_FAILED,
                f"the CA {authority.subject!r} above its certificate {weakness}",
            )
        if not authority.not_before <= now <= authority.not_after:
            text = f"the CA {authority.subject!r} above its certificate is not yet or no longer valid"
            return CertificateStatus.ISSUER_TIME_INVALID, text
    for number, (below, above) in enumerate(pairwise(path)):
        found = standing(below, above, known.lists, now, known.rule)
        if found is Standing.REVOKED:
            if number:
                return CertificateStatus.ISSUER_REVOKED, f"the CA {below.subject!r} above its certificate is revoked"
            return CertificateStatus.REVOKED, "its certificate is revoked"
        if found is Standing.UNKNOWN:
            status = CertificateStatus.ISSUER_REVOCATION_UNKNOWN if number else CertificateStatus.REVOCATION_UNKNOWN
            return status, f"there is no revocation list in force of the CA {above.subject!r}"
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


def _use_fault(certificate: Certificate, purpose: Purpose) -> _Fault:
    usage, extended = certificate.key_usage, certificate.extended_key_usage
    if usage is not None and "digitalSignature" not in usage:
        return CertificateStatus.USE_NOT_ALLOWED, "the keyUsage of its certificate lacks digitalSignature"
    if purpose is Purpose.USER:
        # A user only signs; which extended uses a user's certificate has is the CA's own business.
        return None
    if usage is not None and not usage & {"keyEncipherment", "dataEncipherment"}:
        return CertificateStatus.USE_NOT_ALLOWED, "the keyUsage of its certificate lacks encipherment"
    if extended is not None and not extended & _CLIENT_USES:
        return CertificateStatus.USE_NOT_ALLOWED, "the extendedKeyUsage of its certificate lacks clientAuth"
    return None
