"""Certificate revocation lists: reading them, and what one says of a certificate. Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime
from enum import Enum, StrEnum

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives.asymmetric import padding, rsa

from node.server.security.certificate import Certificate, CertificateError

_HASHES = frozenset({"sha256", "sha384", "sha512"})  # as for certificates: SHA-1 signatures can be forged
_UNREADABLE = (ValueError, TypeError, UnsupportedAlgorithm, x509.DuplicateExtension, x509.InvalidVersion)


class RevocationRule(StrEnum):
    """How much the node wants to know before it believes a CA's certificate."""

    REQUIRED = "required"  # every CA has a list that is in force
    CURRENT = "current"  # a CA may have no list; one that is there has to be in force
    LENIENT = "lenient"  # an outdated list counts too: who is on it is refused, the others are not


class Standing(Enum):
    """What the lists say of one certificate."""

    NOT_REVOKED = "not revoked"
    REVOKED = "revoked"
    UNKNOWN = "unknown"  # nobody in force says anything, and the rule wants that


@dataclass(frozen=True, slots=True)
class RevocationList:
    """One list that has been read; whether its CA signed it is seen when it is used."""

    issuer: str  # RFC 4514 text, as of `Certificate.subject`
    made: datetime
    outdated: datetime | None  # when the next one should have come; None when it does not say
    x509: x509.CertificateRevocationList = field(repr=False, compare=False)

    def signed_by(self, authority: Certificate) -> bool:
        """True when the CA has signed this list, and may."""
        usage = authority.key_usage
        key = authority.x509.public_key()
        algorithm = self.x509.signature_hash_algorithm
        if (
            self.x509.issuer != authority.x509.subject
            or (usage is not None and "cRLSign" not in usage)
            or not isinstance(key, rsa.RSAPublicKey)
            or algorithm is None
            or algorithm.name not in _HASHES
        ):
            return False
        try:
            key.verify(self.x509.signature, self.x509.tbs_certlist_bytes, padding.PKCS1v15(), algorithm)
        except (*_UNREADABLE, InvalidSignature):
            return False
        return True

    def in_force(self, now: datetime) -> bool:
        """True when it has begun and the next one is not overdue."""
        return self.made <= now and (self.outdated is None or now <= self.outdated)

    def revokes(self, certificate: Certificate) -> bool:
        """True when the certificate is on it."""
        return self.x509.get_revoked_certificate_by_serial_number(certificate.x509.serial_number) is not None


def read_revocation_list(content: bytes) -> RevocationList:
    """Read one list, DER or PEM. Raises CertificateError, also for one that has only a part of what is revoked."""
    try:
        pem = b"-----BEGIN" in content
        found = x509.load_pem_x509_crl(content) if pem else x509.load_der_x509_crl(content)
        # Delta lists and those of one distribution point say nothing of all the others; both are critical.
        partial = [each.oid.dotted_string for each in found.extensions if each.critical]
        made, outdated = found.last_update_utc, found.next_update_utc
    except _UNREADABLE as error:
        raise CertificateError(f"not a usable revocation list: {error}") from error
    if partial:
        raise CertificateError(f"a revocation list with the critical extension {partial[0]} is not complete")
    return RevocationList(found.issuer.rfc4514_string(), made, outdated, found)


def standing(
    certificate: Certificate,
    authority: Certificate,
    lists: Sequence[RevocationList],
    now: datetime,
    rule: RevocationRule,
) -> Standing:
    """What the lists of `authority`, which has signed `certificate`, say of it."""
    own = [each for each in lists if each.issuer == authority.subject and each.signed_by(authority)]
    # What was revoked once stays so, whichever list says it.
    if any(each.revokes(certificate) for each in own if each.made <= now):
        return Standing.REVOKED
    if any(each.in_force(now) for each in own):
        return Standing.NOT_REVOKED
    unknown = rule is RevocationRule.REQUIRED or (rule is RevocationRule.CURRENT and bool(own))
    return Standing.UNKNOWN if unknown else Standing.NOT_REVOKED
