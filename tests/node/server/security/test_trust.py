"""Which clients are let in, and what happens to the others."""

import random
import warnings
from collections.abc import Callable
from datetime import timedelta
from functools import cache
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from address_space.model import ticks_to_datetime
from node.server.security.certificate import CertificateError, Identity, read_certificate, self_signed
from node.server.security.trust import TrustError, TrustList
from node.server.security.verdict import CertificateStatus
from tests.fake_clock import START, FakeClock

URI = "urn:scada:client"
NOW = ticks_to_datetime(START)
DAY_S = 86_400.0


@cache
def key(bits: int = 2048, number: int = 0) -> rsa.RSAPrivateKey:
    """A key of that length; made once, since it takes a good part of a second."""
    return rsa.generate_private_key(public_exponent=65537, key_size=bits)


def client(name: str = "client", *, bits: int = 2048, days: int = 365) -> bytes:
    return self_signed(key(bits), Identity(URI, ("scada.example",), common_name=name), NOW, days)


def issued(
    name: str,
    *,
    issuer: str | None = None,
    signer: rsa.RSAPrivateKey | None = None,
    ca: bool = False,
    uri: str | None = URI,
    days: int = 365,
    usage: set[str] | None = None,
    extended: list[x509.ObjectIdentifier] | None = None,
    algorithm: hashes.SHA256 | hashes.SHA384 | None = None,
) -> bytes:
    """A certificate built piece by piece; by default self-signed, with no extension but the URI."""

    def named(text: str) -> x509.Name:
        return x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, text)])

    builder = x509.CertificateBuilder().subject_name(named(name)).issuer_name(named(issuer or name))
    builder = builder.public_key(key(2048, 1 if ca else 0).public_key()).serial_number(x509.random_serial_number())
    builder = builder.not_valid_before(NOW - timedelta(days=1)).not_valid_after(NOW + timedelta(days=days))
    if uri is not None:
        names = x509.SubjectAlternativeName([x509.UniformResourceIdentifier(uri)])
        builder = builder.add_extension(names, critical=False)
    if ca:
        builder = builder.add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
    if usage is not None:
        every = ("digital_signature", "content_commitment", "key_encipherment", "data_encipherment", "key_agreement")
        every = (*every, "key_cert_sign", "crl_sign", "encipher_only", "decipher_only")
        builder = builder.add_extension(x509.KeyUsage(**{flag: flag in usage for flag in every}), critical=True)
    if extended is not None:
        builder = builder.add_extension(x509.ExtendedKeyUsage(extended), critical=False)
    signed = builder.sign(signer or key(2048, 1 if ca else 0), algorithm or hashes.SHA256())
    return signed.public_bytes(serialization.Encoding.DER)


@pytest.fixture
def trust(tmp_path: Path, clock: FakeClock) -> TrustList:
    return TrustList(tmp_path / "pki", clock)


def thumbprint(der: bytes) -> str:
    return read_certificate(der).thumbprint


def warned(caplog: pytest.LogCaptureFixture) -> list[str]:
    return [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]


# --- letting in ---


def test_unknown_client_is_refused_and_kept_for_the_operator(trust: TrustList) -> None:
    der = client()
    verdict = trust.validate(der, URI)
    assert verdict.status is CertificateStatus.UNTRUSTED
    assert verdict.wire_status == "BadSecurityChecksFailed"
    assert (verdict.stored, verdict.thumbprint) == (True, thumbprint(der))
    assert [entry.certificate.der for entry in trust.rejected()] == [der]
    trust.validate(der, URI)
    assert len(trust.rejected()) == 1


def test_accepted_client_is_let_in_and_revoked_one_no_longer(trust: TrustList) -> None:
    der = client()
    trust.validate(der, URI)
    moved = trust.accept(thumbprint(der)[:8].lower())
    assert moved.path.parent == trust.trusted_folder
    assert trust.rejected() == ()
    assert trust.validate(der, URI).ok
    trust.revoke(thumbprint(der))
    assert trust.trusted() == ()
    assert trust.validate(der, URI).status is CertificateStatus.UNTRUSTED


def test_folders_changed_by_another_process_count_at_once(trust: TrustList, clock: FakeClock, tmp_path: Path) -> None:
    der = client()
    trust.validate(der, URI)
    TrustList(tmp_path / "pki", clock).accept(thumbprint(der))
    assert trust.validate(der, URI).ok


def test_thumbprint_may_be_written_as_tools_show_it(trust: TrustList) -> None:
    der = client()
    trust.validate(der)
    text = thumbprint(der)
    assert trust.accept(":".join(text[at : at + 2] for at in range(0, 40, 2))).certificate.der == der


@pytest.mark.parametrize(
    ("given", "reason"), [("ABC", "4 to 40"), ("XYZW", "4 to 40"), ("", "4 to 40"), ("0000000000", "trust list")]
)
def test_accept_of_nothing_known_says_what_is_wrong(trust: TrustList, given: str, reason: str) -> None:
    trust.validate(client())
    with pytest.raises(TrustError, match=reason):
        trust.accept(given)
    assert trust.trusted() == ()


def test_thumbprint_that_fits_two_certificates_is_refused_with_both(trust: TrustList) -> None:
    seen: dict[str, bytes] = {}
    while True:  # about 300 certificates until two begin alike
        der = client()
        twin = seen.setdefault(thumbprint(der)[:4], der)
        if twin != der:
            break
    for each in (der, twin):
        trust.validate(each)
    with pytest.raises(TrustError, match="give more digits") as error:
        trust.accept(thumbprint(der)[:4])
    assert thumbprint(der) in str(error.value)
    assert thumbprint(twin) in str(error.value)
    assert trust.trusted() == ()


def test_added_file_is_trusted_in_either_form(trust: TrustList) -> None:
    first, second = client("a"), client("b")
    pem = x509.load_der_x509_certificate(second).public_bytes(serialization.Encoding.PEM)
    trust.add(first)
    trust.add(pem)
    assert trust.validate(first).ok
    assert trust.validate(second).ok
    trust.add(first)
    assert len(trust.trusted()) == 2
    with pytest.raises(CertificateError):
        trust.add(b"no certificate")


def test_file_dropped_by_hand_is_trusted_under_any_name(trust: TrustList) -> None:
    trust.prepare()
    der = client()
    (trust.trusted_folder / "my laptop.crt").write_bytes(der)
    assert trust.validate(der).ok


# --- authorities ---


def test_client_signed_by_a_trusted_ca_is_let_in(trust: TrustList) -> None:
    trust.add(issued("Plant CA", ca=True, uri=None))
    leaf = issued("line 4", issuer="Plant CA", signer=key(2048, 1))
    assert trust.validate(leaf, URI).ok
    assert trust.validate(leaf + trust.trusted()[0].certificate.der, URI).ok


def test_signature_that_only_claims_the_ca_is_untrusted(trust: TrustList) -> None:
    trust.add(issued("Plant CA", ca=True, uri=None))
    forged = issued("line 4", issuer="Plant CA", signer=key(2048, 0))
    assert trust.validate(forged).status is CertificateStatus.UNTRUSTED


async def test_client_of_an_expired_ca_is_refused(trust: TrustList, clock: FakeClock) -> None:
    trust.add(issued("Plant CA", ca=True, uri=None, days=10))
    leaf = issued("line 4", issuer="Plant CA", signer=key(2048, 1))
    clock.step_wall(11 * DAY_S)
    assert trust.validate(leaf).status is CertificateStatus.ISSUER_TIME_INVALID


def test_trusted_client_cannot_sign_others_in(trust: TrustList) -> None:
    signer = issued("client", ca=True)  # marks itself as a CA, but has an ApplicationUri
    trust.add(signer)
    assert trust.validate(signer).ok
    assert trust.validate(issued("friend", issuer="client", signer=key(2048, 1))).status is CertificateStatus.UNTRUSTED


def test_ca_certificate_shown_by_a_client_is_not_offered_for_acceptance(trust: TrustList) -> None:
    verdict = trust.validate(issued("Evil CA", ca=True, uri=None))
    assert verdict.status is CertificateStatus.USE_NOT_ALLOWED
    assert trust.rejected() == ()


# --- the other checks, on a certificate that is trusted ---


def trusted(trust: TrustList, der: bytes) -> bytes:
    trust.add(der)
    return der


@pytest.mark.parametrize(
    ("make", "status", "told"),
    [
        (lambda: client(bits=1024), "BadCertificatePolicyCheckFailed", "BadSecurityChecksFailed"),
        (
            lambda: issued("c", usage={"digital_signature"}),
            "BadCertificateUseNotAllowed",
            "BadCertificateUseNotAllowed",
        ),
        (lambda: issued("c", usage={"key_encipherment"}), "BadCertificateUseNotAllowed", "BadCertificateUseNotAllowed"),
        (
            lambda: issued("c", extended=[ExtendedKeyUsageOID.SERVER_AUTH]),
            "BadCertificateUseNotAllowed",
            "BadCertificateUseNotAllowed",
        ),
        (lambda: issued("c", uri=None), "BadCertificateUriInvalid", "BadCertificateUriInvalid"),
        (lambda: issued("c", uri="urn:other"), "BadCertificateUriInvalid", "BadCertificateUriInvalid"),
        (lambda: issued("c", usage={"digital_signature", "key_encipherment"}), "Good", "Good"),
        (lambda: issued("c", extended=[ExtendedKeyUsageOID.CLIENT_AUTH]), "Good", "Good"),
        (lambda: issued("c", algorithm=hashes.SHA384()), "Good", "Good"),
        (lambda: client(bits=4096), "Good", "Good"),
    ],
)
def test_trusted_certificate_must_be_fit_for_use(
    trust: TrustList, make: Callable[[], bytes], status: str, told: str
) -> None:
    verdict = trust.validate(trusted(trust, make()), URI)
    assert (verdict.status, verdict.wire_status) == (status, told)
    assert verdict.ok == (status == "Good")
    assert bool(verdict.reason) != verdict.ok
    assert trust.rejected() == ()


def test_elliptic_key_is_refused(trust: TrustList) -> None:
    secret = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "ec")])
    builder = x509.CertificateBuilder().subject_name(name).issuer_name(name).public_key(secret.public_key())
    builder = builder.serial_number(1).not_valid_before(NOW).not_valid_after(NOW + timedelta(days=1))
    der = builder.sign(secret, hashes.SHA256()).public_bytes(serialization.Encoding.DER)
    assert trust.validate(trusted(trust, der)).status is CertificateStatus.POLICY_CHECK_FAILED


@pytest.mark.parametrize("days", [-2, 366])
def test_certificate_out_of_its_time_is_refused(trust: TrustList, clock: FakeClock, days: int) -> None:
    der = trusted(trust, client(days=365))
    assert trust.validate(der).ok
    clock.step_wall(days * DAY_S)
    assert trust.validate(der).wire_status == "BadCertificateTimeInvalid"


def test_uri_is_not_compared_before_the_session(trust: TrustList) -> None:
    der = trusted(trust, client())
    assert trust.validate(der, None).ok
    assert trust.validate(der, "urn:someone:else").status is CertificateStatus.URI_INVALID


def test_changed_certificate_is_invalid(trust: TrustList) -> None:
    der = bytearray(client())
    der[-1] ^= 1
    verdict = trust.validate(bytes(der))
    assert verdict.status is CertificateStatus.INVALID
    assert trust.rejected() == ()


@pytest.mark.parametrize("der", [b"", b"\x00", b"\x30", b"garbage", b"\x30\x82\xff\xff" + bytes(65535), b"\x30\x00"])
def test_garbage_is_invalid(trust: TrustList, der: bytes) -> None:
    verdict = trust.validate(der)
    assert (verdict.status, verdict.thumbprint) == (CertificateStatus.INVALID, "")


def test_damaged_certificates_never_raise_nor_pass(trust: TrustList, seed: int, scaled: Callable[[int], int]) -> None:
    chance = random.Random(seed)
    der = trusted(trust, client())
    for _ in range(scaled(5000)):
        damaged = bytearray(der)
        for _ in range(chance.randint(1, 3)):
            damaged[chance.randrange(len(damaged))] = chance.randrange(256)
        with warnings.catch_warnings():
            warnings.simplefilter("ignore")  # the library deprecates some of the damage
            assert trust.validate(bytes(damaged)).ok == (bytes(damaged) == der)


# --- folders ---


def test_garbage_in_a_folder_is_skipped_and_named_once(trust: TrustList, caplog: pytest.LogCaptureFixture) -> None:
    der = trusted(trust, client())
    (trust.trusted_folder / "broken.der").write_bytes(b"\x30\x03abc")
    (trust.trusted_folder / "notes.txt").write_text("not a certificate")
    (trust.trusted_folder / "huge.pem").write_bytes(bytes(200_000))
    (trust.trusted_folder / "folder.der").mkdir()
    (trust.trusted_folder / ".cert.der.tmp").write_bytes(b"half")
    assert trust.validate(der).ok
    assert trust.validate(der).ok
    skipped = warned(caplog)
    assert len(skipped) == 4
    for name in ("broken.der", "notes.txt", "huge.pem", "folder.der"):
        assert sum(str(trust.trusted_folder / name) in line for line in skipped) == 1


def test_missing_folders_trust_nobody_and_are_not_made_by_looking(trust: TrustList) -> None:
    assert trust.trusted() == trust.rejected() == ()
    assert not trust.trusted_folder.parent.exists()


def test_folder_that_cannot_be_used_trusts_nobody_and_is_named(
    trust: TrustList, caplog: pytest.LogCaptureFixture
) -> None:
    for folder in (trust.trusted_folder, trust.rejected_folder):
        folder.parent.mkdir(parents=True, exist_ok=True)
        folder.write_text("a file where a folder should be")
    for _ in range(2):
        verdict = trust.validate(client())
        assert (verdict.status, verdict.stored) == (CertificateStatus.UNTRUSTED, False)
    assert sum(line.startswith(f"skipped {trust.trusted_folder}:") for line in warned(caplog)) == 1
    assert any(line.startswith("cannot keep a refused certificate") for line in warned(caplog))


async def test_rejected_folder_keeps_the_newest(tmp_path: Path, clock: FakeClock) -> None:
    trust = TrustList(tmp_path, clock, max_rejected=3)
    for number in range(5):
        trust.validate(client(f"c{number}"))
        await clock.advance(1.0)
    assert {entry.certificate.common_name for entry in trust.rejected()} == {"c2", "c3", "c4"}


async def test_flood_of_new_certificates_is_stored_and_reported_only_in_part(
    trust: TrustList, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    def attempt(name: str) -> None:
        trust.report(trust.validate(client(name)), "192.0.2.66")

    for number in range(25):
        attempt(f"flood{number}")
    assert len(trust.rejected()) == 20
    assert len(warned(caplog)) == 21  # 20 refusals and one line about the flood
    await clock.advance(61.0)
    attempt("honest")
    assert "gridnode trust accept" in warned(caplog)[-1]
    assert "CN=honest" in warned(caplog)[-1]


def test_revoke_of_one_in_a_bundle_says_to_edit_the_file(trust: TrustList) -> None:
    trust.prepare()
    ders = [client("a"), client("b")]
    pems = (x509.load_der_x509_certificate(der).public_bytes(serialization.Encoding.PEM) for der in ders)
    (trust.trusted_folder / "bundle.pem").write_bytes(b"".join(pems))
    assert all(trust.validate(der).ok for der in ders)
    with pytest.raises(TrustError, match=r"bundle\.pem holds several"):
        trust.revoke(thumbprint(ders[0]))


def test_file_name_is_safe_whatever_the_certificate_calls_itself(trust: TrustList) -> None:
    der = client("../../../etc/pass wd\u202e")
    trust.validate(der)
    path = trust.rejected()[0].path
    assert path.parent == trust.rejected_folder
    assert path.name == f"etc_pass_wd_{thumbprint(der)}.der"


# --- the log ---


def test_refused_client_is_reported_once_with_the_way_out(trust: TrustList, caplog: pytest.LogCaptureFixture) -> None:
    der = client()
    for _ in range(3):
        trust.report(trust.validate(der), "192.0.2.66")
    lines = warned(caplog)
    assert len(lines) == 1
    assert lines[0].endswith(f"gridnode trust accept {thumbprint(der)}")
    assert "192.0.2.66" in lines[0]


def test_the_way_out_names_whose_trust_list_it_is(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    der = client()
    trust = TrustList(tmp_path, clock, accept_options="--site '/a plant/site.yaml'")
    trust.report(trust.validate(der), "192.0.2.66")
    assert warned(caplog)[0].endswith(f": gridnode trust accept {thumbprint(der)} --site '/a plant/site.yaml'")


def test_client_revoked_again_is_reported_again(trust: TrustList, caplog: pytest.LogCaptureFixture) -> None:
    der = client()
    trust.report(trust.validate(der), "192.0.2.66")
    trust.accept(thumbprint(der))
    trust.report(trust.validate(der), "192.0.2.66")
    trust.revoke(thumbprint(der))
    trust.report(trust.validate(der), "192.0.2.66")
    assert len(warned(caplog)) == 2


def test_other_refusals_say_their_reason_once_and_no_accept_line(
    trust: TrustList, caplog: pytest.LogCaptureFixture
) -> None:
    der = trusted(trust, client())
    for _ in range(2):
        trust.report(trust.validate(der, "urn:someone:else"), "192.0.2.66")
        trust.report(trust.validate(b"garbage"), "192.0.2.67")
        trust.report(trust.validate(b"garbage"), "192.0.2.68")
    lines = warned(caplog)
    assert len(lines) == 3
    assert "urn:someone:else" in lines[0]
    assert not any("trust accept" in line for line in lines)
