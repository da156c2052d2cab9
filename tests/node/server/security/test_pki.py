"""The node's own certificate and key."""

import stat
from datetime import timedelta
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec, rsa
from cryptography.x509.oid import ExtendedKeyUsageOID, NameOID

from address_space.model import ticks_to_datetime
from node.server.security.certificate import CertificateError, Identity, matches_key, read_certificate, split_chain
from node.server.security.pki import Pki
from tests.fake_clock import START, FakeClock

URI = "urn:gateway:gridnode:plant"
IDENTITY = Identity(URI, ("gateway.plant.example", "192.0.2.7", "2001:db8::7"))
NOW = ticks_to_datetime(START)


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory) -> dict[str, bytes]:
    """The files of one certificate: making a key takes a good part of a second."""
    pki = Pki(tmp_path_factory.mktemp("made"), FakeClock())
    pki.ensure_own(IDENTITY)
    return {path.name: path.read_bytes() for path in (pki.certificate_path, pki.key_path)}


@pytest.fixture
def pki(tmp_path: Path, clock: FakeClock, made: dict[str, bytes]) -> Pki:
    """A folder that has a certificate for IDENTITY."""
    pki = Pki(tmp_path / "pki", clock)
    pki.own_folder.mkdir(parents=True, mode=0o700)
    for name, content in made.items():
        (pki.own_folder / name).write_bytes(content)
    pki.key_path.chmod(0o600)
    return pki


@pytest.fixture(scope="module")
def ca_key() -> rsa.RSAPrivateKey:
    return rsa.generate_private_key(public_exponent=65537, key_size=2048)


def signed_by_ca(request_pem: bytes, ca_key: rsa.RSAPrivateKey, *, keep_names: bool = True) -> tuple[bytes, bytes]:
    """What a CA makes of a request, and the CA's certificate; both PEM."""
    ca_name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "Plant CA")])
    builder = x509.CertificateBuilder().issuer_name(ca_name).not_valid_before(NOW - timedelta(days=2))
    builder = builder.not_valid_after(NOW + timedelta(days=400))
    ca = builder.subject_name(ca_name).public_key(ca_key.public_key()).serial_number(1)
    ca = ca.add_extension(x509.BasicConstraints(ca=True, path_length=None), critical=True)
    request = x509.load_pem_x509_csr(request_pem)
    leaf = builder.subject_name(request.subject).public_key(request.public_key()).serial_number(2)
    for extension in request.extensions if keep_names else ():
        leaf = leaf.add_extension(extension.value, extension.critical)
    pem = serialization.Encoding.PEM
    return leaf.sign(ca_key, hashes.SHA256()).public_bytes(pem), ca.sign(ca_key, hashes.SHA256()).public_bytes(pem)


def mode_of(path: Path) -> int:
    return stat.S_IMODE(path.stat().st_mode)


def warnings_in(caplog: pytest.LogCaptureFixture) -> str:
    return "\n".join(record.getMessage() for record in caplog.records if record.levelname == "WARNING")


def test_first_start_makes_a_certificate_and_a_private_key(tmp_path: Path, clock: FakeClock) -> None:
    pki = Pki(tmp_path / "state" / "pki", clock)
    own = pki.ensure_own(IDENTITY)
    assert own.application_uri == URI
    assert own.certificate.names == ("gateway.plant.example", "192.0.2.7", "2001:db8::7")
    assert own.certificate.key_bits == 2048
    assert own.days_left == 1826
    assert own.chain == ()
    assert mode_of(pki.own_folder) == 0o700
    assert mode_of(pki.key_path) == 0o600
    assert pki.trust.trusted_folder.is_dir()
    assert pki.trust.rejected_folder.is_dir()


def test_certificate_has_the_extensions_that_opc_ua_asks_for(pki: Pki) -> None:
    certificate = x509.load_der_x509_certificate(pki.certificate_path.read_bytes())
    usage = certificate.extensions.get_extension_for_class(x509.KeyUsage).value
    assert usage.digital_signature and usage.content_commitment
    assert usage.key_encipherment and usage.data_encipherment
    assert usage.key_cert_sign and not usage.crl_sign
    extended = certificate.extensions.get_extension_for_class(x509.ExtendedKeyUsage).value
    assert set(extended) == {ExtendedKeyUsageOID.SERVER_AUTH, ExtendedKeyUsageOID.CLIENT_AUTH}
    assert certificate.extensions.get_extension_for_class(x509.BasicConstraints).value.ca is False
    names = certificate.extensions.get_extension_for_class(x509.SubjectAlternativeName).value
    assert names.get_values_for_type(x509.UniformResourceIdentifier) == [URI]
    assert isinstance(certificate.signature_hash_algorithm, hashes.SHA256)
    assert certificate.version is x509.Version.v3


def test_thumbprint_is_the_sha1_of_the_der_in_upper_case_hex(pki: Pki) -> None:
    certificate = x509.load_der_x509_certificate(pki.certificate_path.read_bytes())
    assert pki.show().certificate.thumbprint == certificate.fingerprint(hashes.SHA1()).hex().upper()


def test_second_start_keeps_the_certificate(pki: Pki, made: dict[str, bytes], caplog: pytest.LogCaptureFixture) -> None:
    pki.ensure_own(IDENTITY)
    assert pki.certificate_path.read_bytes() == made["cert.der"]
    assert pki.key_path.read_bytes() == made["key.pem"]
    assert warnings_in(caplog) == ""


def test_new_name_or_uri_warns_and_says_what_to_do(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    own = pki.ensure_own(Identity("urn:gateway:gridnode:other", (*IDENTITY.names, "scada.example")))
    assert own.application_uri == URI
    text = warnings_in(caplog)
    assert "urn:gateway:gridnode:other" in text
    assert "lacks the names scada.example:" in text
    assert text.count("gridnode cert renew") == 2


def test_names_are_compared_by_meaning_not_spelling(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    pki.ensure_own(Identity(URI, ("Gateway.Plant.Example.", "2001:DB8:0::7")))
    assert warnings_in(caplog) == ""


async def test_days_left_count_down_and_the_end_is_announced(
    pki: Pki, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    clock.step_wall(86_400.0 * 1_800)
    assert pki.ensure_own(IDENTITY).days_left == 26
    assert "ends in 26 days" in warnings_in(caplog)
    clock.step_wall(86_400.0 * 27)
    assert pki.ensure_own(IDENTITY).days_left == -1
    assert "ended" in warnings_in(caplog)


def test_renewal_keeps_the_key_and_the_old_certificate(pki: Pki, made: dict[str, bytes]) -> None:
    own = pki.renew(Identity(URI, ("scada.example",)))
    assert own.certificate.names == ("scada.example",)
    assert pki.key_path.read_bytes() == made["key.pem"]
    assert (pki.own_folder / "cert.der.bak").read_bytes() == made["cert.der"]


def test_renewal_with_a_new_key_keeps_the_old_pair(pki: Pki, made: dict[str, bytes]) -> None:
    pki.renew(IDENTITY, with_new_key=True)
    assert pki.key_path.read_bytes() != made["key.pem"]
    assert (pki.own_folder / "key.pem.bak").read_bytes() == made["key.pem"]
    assert mode_of(pki.key_path) == mode_of(pki.own_folder / "key.pem.bak") == 0o600


def test_renewal_interrupted_between_key_and_certificate_is_finished(pki: Pki) -> None:
    old = pki.certificate_path.read_bytes()
    pki.renew(IDENTITY, with_new_key=True)
    new = pki.certificate_path.read_bytes()
    # The state of the folder at the moment between the two renames.
    (pki.own_folder / "cert.der.new").write_bytes(new)
    pki.certificate_path.write_bytes(old)
    assert pki.show().certificate.der == new
    assert not (pki.own_folder / "cert.der.new").exists()


def test_renewal_interrupted_before_the_key_is_dropped(pki: Pki, made: dict[str, bytes], tmp_path: Path) -> None:
    other = Pki(tmp_path / "other", FakeClock())
    other.ensure_own(IDENTITY)
    (pki.own_folder / "cert.der.new").write_bytes(other.certificate_path.read_bytes())
    assert pki.show().certificate.der == made["cert.der"]
    assert not (pki.own_folder / "cert.der.new").exists()


def test_request_asks_for_the_same_names_with_the_own_key(pki: Pki) -> None:
    request = x509.load_pem_x509_csr(pki.request(IDENTITY))
    assert request.is_signature_valid
    own = x509.load_der_x509_certificate(pki.certificate_path.read_bytes())
    alternative = x509.SubjectAlternativeName
    wanted = own.extensions.get_extension_for_class(alternative).value
    assert request.extensions.get_extension_for_class(alternative).value == wanted
    assert request.public_key() == own.public_key()


def test_request_before_the_first_start_makes_the_key_that_stays(tmp_path: Path, clock: FakeClock) -> None:
    pki = Pki(tmp_path / "pki", clock)
    pki.request(IDENTITY)
    key = pki.key_path.read_bytes()
    assert mode_of(pki.key_path) == 0o600
    pki.ensure_own(IDENTITY)
    assert pki.key_path.read_bytes() == key


@pytest.mark.parametrize("encoding", ["pem", "der", "leaf only"])
def test_import_takes_what_a_ca_signed(pki: Pki, ca_key: rsa.RSAPrivateKey, encoding: str) -> None:
    leaf, ca = signed_by_ca(pki.request(IDENTITY), ca_key)
    content = leaf if encoding == "leaf only" else ca + leaf
    if encoding == "der":
        both = x509.load_pem_x509_certificates(content)
        content = b"".join(each.public_bytes(serialization.Encoding.DER) for each in both)
    own = pki.import_(content, URI)
    assert own.certificate.issuer == "CN=Plant CA"
    assert [each.common_name for each in own.chain] == ([] if encoding == "leaf only" else ["Plant CA"])
    assert (pki.own_folder / "cert.der.bak").exists()


def test_import_refuses_what_does_not_fit_and_changes_nothing(
    pki: Pki, ca_key: rsa.RSAPrivateKey, clock: FakeClock, tmp_path: Path
) -> None:
    before = pki.certificate_path.read_bytes()
    leaf, _ = signed_by_ca(pki.request(IDENTITY), ca_key)
    nameless, _ = signed_by_ca(pki.request(IDENTITY), ca_key, keep_names=False)
    foreign = Pki(tmp_path / "foreign", clock).ensure_own(IDENTITY).certificate.der
    for content, reason in (
        (foreign, "belongs to"),
        (nameless, "ApplicationUri"),
        (leaf + signed_by_ca(pki.request(IDENTITY), rsa.generate_private_key(65537, 2048))[1], "not in the chain"),
        (b"", "no certificate"),
        (b"garbage", "neither PEM nor DER"),
        (b"-----BEGIN CERTIFICATE-----\ngarbage\n-----END CERTIFICATE-----\n", "PEM"),
    ):
        with pytest.raises(CertificateError, match=reason):
            pki.import_(content, URI)
    clock.step_wall(86_400.0 * 401)
    with pytest.raises(CertificateError, match="BadCertificateTimeInvalid"):
        pki.import_(leaf, URI)
    assert pki.certificate_path.read_bytes() == before
    assert not (pki.own_folder / "cert.der.bak").exists()


def test_renewal_of_a_ca_signed_certificate_has_to_be_meant(pki: Pki, ca_key: rsa.RSAPrivateKey) -> None:
    leaf, ca = signed_by_ca(pki.request(IDENTITY), ca_key)
    pki.import_(leaf + ca, URI)
    with pytest.raises(CertificateError, match="gridnode cert import"):
        pki.renew(IDENTITY)
    own = pki.renew(IDENTITY, replace_issued=True)
    assert own.certificate.self_issued
    assert own.chain == ()


def test_key_that_others_can_read_is_reported(pki: Pki, caplog: pytest.LogCaptureFixture) -> None:
    pki.key_path.chmod(0o640)
    pki.show()
    assert f"chmod 600 {pki.key_path}" in warnings_in(caplog)


def test_broken_files_say_which_one_and_are_left_alone(pki: Pki, made: dict[str, bytes]) -> None:
    pki.key_path.write_bytes(b"-----BEGIN PRIVATE KEY-----\nc2VjcmV0\n-----END PRIVATE KEY-----\n")
    with pytest.raises(CertificateError, match=r"key\.pem is no unencrypted PEM private key") as error:
        pki.ensure_own(IDENTITY)
    assert error.value.__cause__ is None
    pki.key_path.write_bytes(ec_key())
    with pytest.raises(CertificateError, match="no RSA key"):
        pki.show()
    pki.key_path.unlink()
    with pytest.raises(CertificateError, match="no key beside it"):
        pki.ensure_own(IDENTITY)
    pki.key_path.write_bytes(made["key.pem"])
    pki.certificate_path.write_bytes(b"\x30\x03abc")
    with pytest.raises(CertificateError, match=r"cert\.der: not a usable"):
        pki.ensure_own(IDENTITY)
    assert pki.certificate_path.read_bytes() == b"\x30\x03abc"


def ec_key() -> bytes:
    key = ec.generate_private_key(ec.SECP256R1())
    pkcs8, plain = serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    return key.private_bytes(serialization.Encoding.PEM, pkcs8, plain)


def test_certificate_of_another_key_is_refused(pki: Pki, tmp_path: Path) -> None:
    other = Pki(tmp_path / "other", FakeClock())
    other.ensure_own(IDENTITY)
    pki.certificate_path.write_bytes(other.certificate_path.read_bytes())
    with pytest.raises(CertificateError, match="does not belong to"):
        pki.show()


def test_show_without_a_certificate_says_so(tmp_path: Path, clock: FakeClock) -> None:
    with pytest.raises(CertificateError, match="there is no certificate"):
        Pki(tmp_path, clock).show()
    assert list(tmp_path.iterdir()) == []


@pytest.mark.parametrize(
    ("identity", "reason"),
    [
        (Identity(URI, ("bad name",)), "neither a host name nor an IP address"),
        (Identity(URI, ()), "at least one"),
        (Identity("urn:gäteway", ("a",)), "ApplicationUri"),
        (Identity(URI, ("a",), common_name=""), "no certificate can carry the name"),
    ],
)
def test_identity_that_fits_no_certificate_is_refused(pki: Pki, identity: Identity, reason: str) -> None:
    before = pki.certificate_path.read_bytes()
    with pytest.raises(CertificateError, match=reason):
        pki.renew(identity)
    assert pki.certificate_path.read_bytes() == before


def test_long_site_name_is_cut_to_what_a_common_name_may_have(pki: Pki) -> None:
    own = pki.renew(Identity(URI, ("a",), common_name="x" * 100))
    assert own.certificate.common_name == "x" * 64


def test_key_of_3072_bits_on_request(tmp_path: Path, clock: FakeClock) -> None:
    assert Pki(tmp_path, clock, key_bits=3072).ensure_own(IDENTITY).certificate.key_bits == 3072
    with pytest.raises(CertificateError, match="2048 to 4096"):
        Pki(tmp_path, clock, key_bits=1024)


def test_command_line_certificate_is_trusted_when_made_and_stays_revoked(pki: Pki) -> None:
    identity = Identity("urn:gateway:gridnode:cli", ("gateway",))
    client = pki.ensure_client("cli", identity)
    assert client.certificate_path == pki.root / "cli" / "own" / "cert.der"
    assert pki.trust.validate(client.certificate.der, identity.application_uri).ok
    pki.trust.revoke(client.certificate.thumbprint)
    assert pki.ensure_client("cli", identity).certificate.der == client.certificate.der
    assert not pki.trust.validate(client.certificate.der).ok


def test_chain_is_cut_into_its_certificates(made: dict[str, bytes]) -> None:
    der = made["cert.der"]
    assert split_chain(der + der) == (der, der)
    for broken in (der + b"\x00", der[:-1], b"\x30\x80\x00\x00", b"\x30\x85\x00", b"\x30", der * 9):
        with pytest.raises(CertificateError):
            split_chain(broken)


def test_certificate_with_bytes_behind_it_is_refused(made: dict[str, bytes]) -> None:
    with pytest.raises(CertificateError):
        read_certificate(made["cert.der"] + b"\x00")


def test_own_key_matches_only_its_certificate(pki: Pki, ca_key: rsa.RSAPrivateKey) -> None:
    key = serialization.load_pem_private_key(pki.key_path.read_bytes(), None)
    assert isinstance(key, rsa.RSAPrivateKey)
    certificate = pki.show().certificate
    assert matches_key(certificate, key)
    assert not matches_key(certificate, ca_key)
