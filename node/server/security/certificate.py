"""X.509 certificates of OPC UA applications: what one says, and making one. Pure: no files, no clock."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from datetime import datetime, timedelta
from typing import TypeVar

from cryptography import x509
from cryptography.exceptions import InvalidSignature, UnsupportedAlgorithm
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from node.server.security.host_names import address_of, normal_name

# A certificate of an application has 1 to 3 kB; a larger one is garbage or an attack.
MAX_CERTIFICATE_BYTES = 16_384
MAX_CHAIN = 8

# Clocks of field devices run behind: a certificate that begins now would be refused by them until they catch up.
_BACKDATED = timedelta(days=1)

# What reading a certificate raises when its bytes are no certificate or one of a kind that nobody here can use.
_UNREADABLE = (
    ValueError,
    TypeError,
    UnsupportedAlgorithm,
    x509.DuplicateExtension,
    x509.InvalidVersion,
    x509.UnsupportedGeneralNameType,
)

# Name in RFC 5280 -> flag of the library.
_KEY_USAGE = {
    "digitalSignature": "digital_signature",
    "nonRepudiation": "content_commitment",
    "keyEncipherment": "key_encipherment",
    "dataEncipherment": "data_encipherment",
    "keyAgreement": "key_agreement",
    "keyCertSign": "key_cert_sign",
    "cRLSign": "crl_sign",
}

_Extension = TypeVar("_Extension", bound=x509.ExtensionType)


class CertificateError(ValueError):
    """A certificate, key or request cannot be used; the text says which one, why and what to do."""


@dataclass(frozen=True, slots=True)
class Identity:
    """What the node calls itself in its certificate."""

    application_uri: str  # urn:<host>:gridnode:<site>
    names: tuple[str, ...]  # host names and IP addresses, the preferred one first; at least one
    common_name: str = "gridnode"
    organization: str = "gridnode"


@dataclass(frozen=True, slots=True)
class Certificate:
    """A certificate that has been read, and what it says."""

    der: bytes = field(repr=False)
    thumbprint: str  # SHA-1 of `der`, 40 upper-case hex digits, as OPC UA and its clients show it
    subject: str  # RFC 4514 text
    issuer: str
    common_name: str  # empty when it has none
    not_before: datetime
    not_after: datetime
    application_uri: str | None  # first URI of the subject alternative name (OPC 10000-6 section 6.2.2)
    names: tuple[str, ...]  # DNS names and IP addresses
    key_bits: int | None  # RSA key length; None for another kind of key
    signature_hash: str | None  # sha256, ...; None when the signature has no separate hash
    is_authority: bool  # a CA that may sign others; an application instance certificate never is one
    path_length: int | None  # CAs that may stand between it and a leaf; None is no bound
    self_issued: bool  # subject and issuer are the same
    key_usage: frozenset[str] | None  # names as RFC 5280 has them; None when the extension is missing
    extended_key_usage: frozenset[str] | None  # dotted object identifiers; None when missing
    x509: x509.Certificate = field(repr=False, compare=False)

    def days_left(self, now: datetime) -> int:
        """Whole days until it ends, negative afterwards; `now` is an aware datetime."""
        return (self.not_after - now).days

    def issued_by(self, issuer: Certificate) -> bool:
        """True when `issuer`'s name and key made this certificate's signature."""
        try:
            self.x509.verify_directly_issued_by(issuer.x509)
        except (*_UNREADABLE, InvalidSignature):
            return False
        return True


def read_certificate(der: bytes) -> Certificate:
    """Read one DER certificate; bytes after it are an error. Raises CertificateError."""
    if len(der) > MAX_CERTIFICATE_BYTES:
        raise CertificateError(f"{len(der)} bytes are too long for a certificate ({MAX_CERTIFICATE_BYTES})")
    try:
        return _describe(der, x509.load_der_x509_certificate(der))
    except _UNREADABLE as error:
        raise CertificateError(f"not a usable X.509 certificate: {error}") from error


def read_certificates(content: bytes) -> tuple[Certificate, ...]:
    """Read all certificates of a PEM text or of a DER chain, in their order. Raises CertificateError."""
    if b"-----BEGIN" not in content:
        return tuple(read_certificate(der) for der in split_chain(content))
    try:
        found = x509.load_pem_x509_certificates(content)
    except _UNREADABLE as error:
        raise CertificateError(f"no readable PEM certificate: {error}") from error
    return tuple(read_certificate(each.public_bytes(serialization.Encoding.DER)) for each in found)


def split_chain(chain: bytes) -> tuple[bytes, ...]:
    """Cut certificates that follow each other in DER, as OPC UA sends a chain (OPC 10000-6 section 6.2.6).

    Raises CertificateError when a length does not fit, there is none, or there are more than 8.
    """
    parts: list[bytes] = []
    rest = chain
    while rest:
        length = _der_length(rest)
        if length > len(rest) or len(parts) == MAX_CHAIN:
            raise CertificateError("not a DER certificate, nor a chain of at most 8")
        parts.append(rest[:length])
        rest = rest[length:]
    if not parts:
        raise CertificateError("empty: there is no certificate")
    return tuple(parts)


def new_key(bits: int) -> rsa.RSAPrivateKey:
    """Make an RSA key; takes up to seconds."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def self_signed(key: rsa.RSAPrivateKey, identity: Identity, now: datetime, valid_days: int) -> bytes:
    """Make a self-signed application instance certificate (OPC 10000-6 section 6.2.2), DER.

    It begins one day before `now` and ends `valid_days` after it. Raises CertificateError for an identity that
    does not fit into a certificate.
    """
    subject = _subject(identity)
    builder = (
        x509.CertificateBuilder()
        .subject_name(subject)
        .issuer_name(subject)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - _BACKDATED)
        .not_valid_after(now + timedelta(days=valid_days))
        .add_extension(x509.SubjectKeyIdentifier.from_public_key(key.public_key()), critical=False)
        .add_extension(x509.AuthorityKeyIdentifier.from_issuer_public_key(key.public_key()), critical=False)
    )
    # A self-signed certificate has to allow its own signature (OPC 10000-6 section 6.2.2, keyUsage).
    for extension, critical in _extensions(identity, signs_itself=True):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.DER)


def signing_request(key: rsa.RSAPrivateKey, identity: Identity) -> bytes:
    """Make a PKCS #10 request for a CA, PEM. Raises CertificateError for an identity that does not fit."""
    builder = x509.CertificateSigningRequestBuilder().subject_name(_subject(identity))
    for extension, critical in _extensions(identity, signs_itself=False):
        builder = builder.add_extension(extension, critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def missing_names(certificate: Certificate, identity: Identity) -> tuple[str, ...]:
    """Names of the identity that the certificate does not have."""
    has = {name.lower() for name in certificate.names}
    return tuple(name for name in identity.names if _checked_name(name) not in has)


def matches_key(certificate: Certificate, key: rsa.RSAPrivateKey) -> bool:
    """True when the certificate is for this key."""
    public = certificate.x509.public_key()
    return isinstance(public, rsa.RSAPublicKey) and public.public_numbers() == key.public_key().public_numbers()


def _describe(der: bytes, certificate: x509.Certificate) -> Certificate:
    extensions = certificate.extensions
    key = certificate.public_key()
    hash_algorithm = certificate.signature_hash_algorithm
    names = certificate.subject.get_attributes_for_oid(NameOID.COMMON_NAME)
    uris, hosts = _alternative_names(extensions)
    usage = _key_usage(extensions)
    constraints = _find(extensions, x509.BasicConstraints)
    may_sign = usage is None or "keyCertSign" in usage
    return Certificate(
        der=der,
        thumbprint=certificate.fingerprint(hashes.SHA1()).hex().upper(),  # noqa: S303 - OPC UA's thumbprint is SHA-1
        subject=certificate.subject.rfc4514_string(),
        issuer=certificate.issuer.rfc4514_string(),
        common_name=str(names[0].value) if names else "",
        not_before=certificate.not_valid_before_utc,
        not_after=certificate.not_valid_after_utc,
        application_uri=uris[0] if uris else None,
        names=hosts,
        key_bits=key.key_size if isinstance(key, rsa.RSAPublicKey) else None,
        signature_hash=hash_algorithm.name if hash_algorithm else None,
        # Some clients mark their own certificate as a CA. Whoever accepts such a client must not by that accept all
        # that it may sign, so an authority is only what has no ApplicationUri.
        is_authority=constraints is not None and constraints.ca and may_sign and not uris,
        path_length=None if constraints is None else constraints.path_length,
        self_issued=certificate.subject == certificate.issuer,
        key_usage=usage,
        extended_key_usage=_extended_key_usage(extensions),
        x509=certificate,
    )


def _find(extensions: x509.Extensions, kind: type[_Extension]) -> _Extension | None:
    try:
        return extensions.get_extension_for_class(kind).value
    except x509.ExtensionNotFound:
        return None


def _alternative_names(extensions: x509.Extensions) -> tuple[tuple[str, ...], tuple[str, ...]]:
    found = _find(extensions, x509.SubjectAlternativeName)
    if found is None:
        return (), ()
    hosts = [*found.get_values_for_type(x509.DNSName), *map(str, found.get_values_for_type(x509.IPAddress))]
    return tuple(found.get_values_for_type(x509.UniformResourceIdentifier)), tuple(hosts)


def _key_usage(extensions: x509.Extensions) -> frozenset[str] | None:
    found = _find(extensions, x509.KeyUsage)
    if found is None:
        return None
    return frozenset(name for name, flag in _KEY_USAGE.items() if getattr(found, flag))


def _extended_key_usage(extensions: x509.Extensions) -> frozenset[str] | None:
    found = _find(extensions, x509.ExtendedKeyUsage)
    return None if found is None else frozenset(each.dotted_string for each in found)


def _subject(identity: Identity) -> x509.Name:
    try:
        # 64 characters are the most that a common name or an organization may have (RFC 5280 appendix A.1).
        return x509.Name(
            [
                x509.NameAttribute(NameOID.COMMON_NAME, identity.common_name[:64]),
                x509.NameAttribute(NameOID.ORGANIZATION_NAME, identity.organization[:64]),
            ]
        )
    except ValueError as error:
        raise CertificateError(f"no certificate can carry the name {identity.common_name!r}: {error}") from error


def _checked_name(name: str) -> str:
    try:
        return normal_name(name)
    except ValueError as error:
        raise CertificateError(f"{error}; see `names` in the site file") from error


def _general_names(identity: Identity) -> list[x509.GeneralName]:
    if not identity.names:
        raise CertificateError("a server's certificate needs at least one host name or address")
    if not identity.application_uri.isascii() or not identity.application_uri.isprintable():
        raise CertificateError(f"the ApplicationUri {identity.application_uri!r} has characters that no URI may have")
    names: list[x509.GeneralName] = [x509.UniformResourceIdentifier(identity.application_uri)]
    for name in map(_checked_name, identity.names):
        address = address_of(name)
        names.append(x509.DNSName(name) if address is None else x509.IPAddress(address))
    return names


def _extensions(identity: Identity, *, signs_itself: bool) -> Sequence[tuple[x509.ExtensionType, bool]]:
    usage = x509.KeyUsage(
        digital_signature=True,
        content_commitment=True,  # the newer name of nonRepudiation
        key_encipherment=True,
        data_encipherment=True,
        key_agreement=False,
        key_cert_sign=signs_itself,
        crl_sign=False,
        encipher_only=False,
        decipher_only=False,
    )
    return (
        (x509.SubjectAlternativeName(_general_names(identity)), False),
        (x509.BasicConstraints(ca=False, path_length=None), True),
        (usage, True),
        (x509.ExtendedKeyUsage([ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH]), False),
    )


def _der_length(content: bytes) -> int:
    """Length in bytes of the DER SEQUENCE that `content` begins with, header included."""
    if len(content) < 2 or content[0] != 0x30:
        raise CertificateError("neither PEM nor DER: this is no certificate")
    if content[1] < 0x80:
        return 2 + content[1]
    octets = content[1] & 0x7F
    # Three length octets say 16 MB, far more than any certificate; 0x80 alone is BER's open length.
    if not 1 <= octets <= 3 or len(content) < 2 + octets:
        raise CertificateError("neither PEM nor DER: this is no certificate")
    return 2 + octets + int.from_bytes(content[2 : 2 + octets], "big")
