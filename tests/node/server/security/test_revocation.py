"""Chains of authorities and their revocation lists: who is let in by them, and who no longer."""

from collections.abc import Callable
from datetime import datetime, timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.x509.oid import NameOID

from address_space.model import ticks_to_datetime
from node.server.security.certificate import CertificateError, read_certificate
from node.server.security.revocation import RevocationRule, read_revocation_list
from node.server.security.trust import TrustList
from node.server.security.verdict import CertificateStatus, Purpose
from tests.fake_clock import START, FakeClock

URI = "urn:scada:client"
NOW = ticks_to_datetime(START)
DAY = timedelta(days=1)
GOOD = CertificateStatus.GOOD


@cache
def key(name: str) -> rsa.RSAPrivateKey:
    """The key of each, made once."""
    return rsa.generate_private_key(public_exponent=65537, key_size=1024 if name == "Weak CA" else 2048)


def named(text: str) -> x509.Name:
    return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])


def issued(
    name: str, issuer: str, *, path_length: int | None = None, days: int = 365, signer: str = "", usage: bool = True
) -> bytes:
    """A certificate signed by `issuer`; a CA when its name says so."""
    builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer))
    builder = builder.public_key(key(name).public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + days * DAY)
    if name.endswith("CA"):
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=path_length), critical=True)
        if not usage:
            only_certificates = x509.KeyUsage(False, False, False, False, False, True, False, False, False)
            builder = builder.add_extension(only_certificates, critical=True)
    else:
        builder = builder.add_extension(
            x509.SubjectAlternativeName([x509.UniformResourceIdentifier(URI)]), critical=False
        )
    return builder.sign(key(signer or issuer), hashes.SHA256()).public_bytes(serialization.Encoding.DER)


ROOT = issued("Root CA", "Root CA")
MIDDLE = issued("Middle CA", "Root CA")
LEAF = issued("client", "Middle CA")
DIRECT = issued("direct", "Root CA")


def listed(
    issuer: str,
    *revoked: bytes,
    signer: str = "",
    made: datetime = NOW - DAY,
    days: int = 7,
    digest: hashes.HashAlgorithm | None = None,
    extension: x509.ExtensionType | None = None,
) -> bytes:
    """A revocation list of a CA."""
    builder = x509.CertificateRevocationListBuilder().issuer_name(named(issuer))
    builder = builder.last_update(made).next_update(made + days * DAY)
    for der in revoked:
        entry = x509.RevokedCertificateBuilder().serial_number(read_certificate(der).x509.serial_number)
        builder = builder.add_revoked_certificate(entry.revocation_date(made).build())
    if extension is not None:
        builder = builder.add_extension(extension, critical=True)
    return builder.sign(key(signer or issuer), digest or hashes.SHA256()).public_bytes(serialization.Encoding.DER)


@pytest.fixture
def trust(tmp_path: Path, clock: FakeClock) -> TrustList:
    found = TrustList(tmp_path / "pki", clock)
    found.prepare()
    return found


def know(trust: TrustList, *ders: bytes) -> None:
    """Put CAs among those that are known, and trusted by nobody."""
    for number, der in enumerate(ders):
        (trust.issuers_folder / f"{number}.der").write_bytes(der)


def publish(trust: TrustList, *lists: bytes) -> None:
    for number, content in enumerate(lists):
        (trust.list_folders[number % 2] / f"{number}.crl").write_bytes(content)


# --- chains


def test_chain_is_completed_from_the_issuers_or_by_the_client(trust: TrustList) -> None:
    trust.add(ROOT)
    assert trust.validate(LEAF).status is CertificateStatus.UNTRUSTED
    assert trust.validate(LEAF + MIDDLE, URI).ok
    assert trust.validate(LEAF + MIDDLE + ROOT, URI).ok
    know(trust, MIDDLE)
    assert trust.validate(LEAF, URI).ok


def test_known_issuers_are_trusted_by_nobody(trust: TrustList) -> None:
    know(trust, ROOT, MIDDLE)
    assert trust.validate(LEAF + MIDDLE + ROOT).status is CertificateStatus.UNTRUSTED
    assert trust.validate(DIRECT).status is CertificateStatus.UNTRUSTED


def test_trusted_middle_needs_no_root(trust: TrustList) -> None:
    trust.add(MIDDLE)
    assert trust.validate(LEAF, URI).ok
    assert trust.validate(DIRECT).status is CertificateStatus.UNTRUSTED


@pytest.mark.parametrize(
    ("middle", "status"),
    [
        (lambda: issued("Middle CA", "Root CA", signer="Other CA"), CertificateStatus.UNTRUSTED),
        (lambda: issued("Middle CA", "Root CA", days=0), CertificateStatus.ISSUER_TIME_INVALID),
        (lambda: issued("Middle CA", "Middle CA"), CertificateStatus.UNTRUSTED),
        (lambda: MIDDLE[:-1] + bytes((MIDDLE[-1] ^ 1,)), CertificateStatus.UNTRUSTED),
    ],
    ids=["signed by another", "has ended", "signed by itself", "changed"],
)
def test_middle_that_is_not_in_order_lets_nobody_in(
    trust: TrustList, clock: FakeClock, middle: Callable[[], bytes], status: CertificateStatus
) -> None:
    trust.add(ROOT)
    clock.step_wall(60.0)
    assert trust.validate(LEAF + middle()).status is status


def test_weak_middle_lets_nobody_in(trust: TrustList) -> None:
    trust.add(ROOT)
    know(trust, issued("Weak CA", "Root CA"))
    assert trust.validate(issued("client", "Weak CA")).status is CertificateStatus.POLICY_CHECK_FAILED


def test_bound_of_a_chain_is_kept(trust: TrustList) -> None:
    trust.add(issued("Root CA", "Root CA", path_length=0))
    assert trust.validate(DIRECT, URI).ok
    assert trust.validate(LEAF + MIDDLE).status is CertificateStatus.UNTRUSTED


def test_authorities_that_sign_each_other_end(trust: TrustList) -> None:
    know(trust, issued("Root CA", "Middle CA"), MIDDLE, issued("Middle CA", "Middle CA"), ROOT)
    assert trust.validate(LEAF).status is CertificateStatus.UNTRUSTED


# --- revocation


def test_revoked_client_is_refused(trust: TrustList) -> None:
    trust.add(ROOT)
    assert trust.validate(DIRECT, URI).ok
    before = trust.stamp()
    publish(trust, listed("Root CA", DIRECT))
    assert trust.stamp() != before
    verdict = trust.validate(DIRECT, URI)
    assert (verdict.status, verdict.wire_status) == (CertificateStatus.REVOKED, "BadSecurityChecksFailed")
    assert trust.check(DIRECT).status is CertificateStatus.REVOKED
    assert trust.rejected() == ()


def test_revoked_client_is_refused_even_when_it_is_named(trust: TrustList) -> None:
    trust.add(DIRECT)
    know(trust, ROOT)
    assert trust.validate(DIRECT).ok
    publish(trust, listed("Root CA", DIRECT))
    assert trust.validate(DIRECT).status is CertificateStatus.REVOKED


def test_client_of_a_revoked_middle_is_refused(trust: TrustList) -> None:
    trust.add(ROOT)
    publish(trust, listed("Root CA", MIDDLE), listed("Middle CA"))
    assert trust.validate(LEAF + MIDDLE).status is CertificateStatus.ISSUER_REVOKED


def test_list_of_another_ca_does_not_count(trust: TrustList) -> None:
    """Serial numbers are each CA's own: one that another CA has revoked is another certificate."""
    trust.add(ROOT)
    publish(
        trust,
        listed("Other CA", DIRECT),
        listed("Root CA", DIRECT, signer="Other CA"),  # says Root CA, and is not signed by it
        listed("Other CA", DIRECT, signer="Root CA"),
    )
    assert trust.validate(DIRECT, URI).ok


def test_list_of_a_ca_that_may_sign_none_does_not_count(trust: TrustList) -> None:
    trust.add(issued("Root CA", "Root CA", usage=False))
    publish(trust, listed("Root CA", DIRECT))
    assert trust.validate(DIRECT, URI).ok


@pytest.mark.parametrize(
    ("rule", "without", "outdated"),
    [
        (RevocationRule.REQUIRED, CertificateStatus.REVOCATION_UNKNOWN, CertificateStatus.REVOCATION_UNKNOWN),
        (RevocationRule.CURRENT, GOOD, CertificateStatus.REVOCATION_UNKNOWN),
        (RevocationRule.LENIENT, GOOD, GOOD),
    ],
)
def test_rule_says_how_much_has_to_be_known(
    trust: TrustList,
    clock: FakeClock,
    rule: RevocationRule,
    without: CertificateStatus,
    outdated: CertificateStatus,
) -> None:
    trust.rule = rule
    trust.add(ROOT)
    assert trust.validate(DIRECT).status is without
    publish(trust, listed("Root CA", LEAF, days=7))
    assert trust.validate(DIRECT).ok
    clock.step_wall(8 * 86_400.0)
    assert trust.validate(DIRECT).status is outdated
    publish(trust, listed("Root CA", DIRECT, days=7))
    assert trust.validate(DIRECT).status is CertificateStatus.REVOKED


def test_list_that_has_not_begun_is_not_in_force(trust: TrustList) -> None:
    trust.add(ROOT)
    publish(trust, listed("Root CA", made=NOW + DAY))
    assert trust.validate(DIRECT).status is CertificateStatus.REVOCATION_UNKNOWN


def test_unusable_lists_are_named_and_do_not_count(trust: TrustList, caplog: pytest.LogCaptureFixture) -> None:
    trust.add(ROOT)
    folder = trust.list_folders[0]
    (folder / "broken.crl").write_bytes(b"\x30\x03abc")
    (folder / "delta.crl").write_bytes(listed("Root CA", DIRECT, extension=x509.DeltaCRLIndicator(1)))
    (folder / "readme.txt").write_text("put lists here")
    for _ in range(2):
        assert trust.validate(DIRECT, URI).ok
    skipped = [record.getMessage() for record in caplog.records]
    assert len(skipped) == 3
    assert any("delta.crl" in line and "not complete" in line for line in skipped)


def test_list_is_read_in_either_form() -> None:
    der = listed("Root CA", DIRECT)
    pem = x509.load_der_x509_crl(der).public_bytes(serialization.Encoding.PEM)
    for content in (der, pem):
        found = read_revocation_list(content)
        assert found.signed_by(read_certificate(ROOT))
        assert found.revokes(read_certificate(DIRECT))
        assert not found.revokes(read_certificate(LEAF))
    with pytest.raises(CertificateError):
        read_revocation_list(b"no list")


# --- users


def test_certificate_of_a_user_needs_no_use_of_a_client(tmp_path: Path, clock: FakeClock) -> None:
    usage = x509.KeyUsage(True, False, False, False, False, False, False, False, False)
    builder = x509.CertificateBuilder().subject_name(named("ann")).issuer_name(named("ann"))
    builder = builder.public_key(key("ann").public_key()).serial_number(1).add_extension(usage, critical=True)
    builder = builder.not_valid_before(NOW - DAY).not_valid_after(NOW + DAY)
    der = builder.sign(key("ann"), hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    for purpose, status in ((Purpose.USER, GOOD), (Purpose.APPLICATION, CertificateStatus.USE_NOT_ALLOWED)):
        trust = TrustList(tmp_path / purpose.value, clock, purpose=purpose)
        trust.add(der)
        assert trust.validate(der).status is status
