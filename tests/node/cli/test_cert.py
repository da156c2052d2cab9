from datetime import timedelta
from pathlib import Path

from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from address_space.model import ticks_to_datetime
from node.clock import RealClock
from node.config import load_site
from node.identity import site_identity, site_pki
from node.server.security.pki import OwnCertificate, Pki
from tests.node.cli.conftest import Gridnode


def pki(gridnode: Gridnode) -> Pki:
    return site_pki(load_site(gridnode.site), RealClock())


def made(gridnode: Gridnode) -> OwnCertificate:
    return pki(gridnode).ensure_own(site_identity(load_site(gridnode.site)))


def signed(request: bytes) -> bytes:
    """A certificate for a request, by an authority of the test."""
    wanted = x509.load_pem_x509_csr(request)
    key = rsa.generate_private_key(public_exponent=65537, key_size=2048)
    now = ticks_to_datetime(RealClock().now())
    name = x509.Name([x509.NameAttribute(x509.NameOID.COMMON_NAME, "Test CA")])
    builder = (
        x509.CertificateBuilder()
        .subject_name(wanted.subject)
        .issuer_name(name)
        .public_key(wanted.public_key())
        .serial_number(7)
        .not_valid_before(now - timedelta(hours=1))
        .not_valid_after(now + timedelta(days=30))
    )
    for extension in wanted.extensions:
        builder = builder.add_extension(extension.value, extension.critical)
    return builder.sign(key, hashes.SHA256()).public_bytes(serialization.Encoding.PEM)


def test_without_a_certificate_it_is_said_what_makes_one(gridnode: Gridnode) -> None:
    assert "a start makes it" in gridnode.on_site("cert", "show", code=1).stderr


def test_the_certificate_is_shown_with_the_days_left(gridnode: Gridnode) -> None:
    own = made(gridnode)
    shown = gridnode.on_site("cert", "show").stdout
    assert own.certificate.thumbprint in shown
    assert "days left" in shown
    assert ":gridnode:demo" in shown


def test_renewing_makes_another_certificate_and_keeps_the_old_one(gridnode: Gridnode) -> None:
    before = made(gridnode)
    result = gridnode.on_site("cert", "renew", "--new-key")
    assert before.certificate.thumbprint not in result.stdout
    assert "from its next start" in result.stdout
    assert before.certificate_path.with_name("cert.der.bak").read_bytes() == before.certificate.der


def test_a_request_can_be_signed_and_imported(gridnode: Gridnode, tmp_path: Path) -> None:
    made(gridnode)
    request, answer = tmp_path / "request.pem", tmp_path / "answer.pem"
    gridnode.on_site("cert", "request", "--out", str(request))
    answer.write_bytes(signed(request.read_bytes()))
    shown = gridnode.on_site("cert", "import", str(answer)).stdout
    assert "CN=Test CA" in shown
    assert pki(gridnode).show().certificate.issuer == "CN=Test CA"
    refused = gridnode.on_site("cert", "renew", code=1)
    assert "gridnode cert request" in refused.stderr


def test_a_request_without_a_file_is_printed(gridnode: Gridnode) -> None:
    assert gridnode.on_site("cert", "request").stdout.startswith("-----BEGIN CERTIFICATE REQUEST-----")


def test_a_certificate_for_another_key_changes_nothing(gridnode: Gridnode, tmp_path: Path) -> None:
    own = made(gridnode)
    other = Pki(tmp_path / "other", RealClock())
    answer = tmp_path / "answer.pem"
    answer.write_bytes(signed(other.request(site_identity(load_site(gridnode.site)))))
    assert "was it requested here?" in gridnode.on_site("cert", "import", str(answer), code=1).stderr
    assert pki(gridnode).show().certificate.der == own.certificate.der


def test_a_file_that_is_not_there_is_said(gridnode: Gridnode, tmp_path: Path) -> None:
    missing = tmp_path / "none.pem"
    assert f"{missing}: No such file" in gridnode.on_site("cert", "import", str(missing), code=1).stderr
