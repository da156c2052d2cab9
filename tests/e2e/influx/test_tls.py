"""A database behind TLS: only a certificate that can be trusted gets data and token."""

import ssl
from collections.abc import AsyncIterator
from dataclasses import replace
from datetime import UTC, datetime, timedelta
from ipaddress import ip_address
from pathlib import Path

import pytest
from cryptography import x509
from cryptography.hazmat.primitives import hashes, serialization
from cryptography.hazmat.primitives.asymmetric import ec
from cryptography.x509.oid import NameOID

from node.sinks import deep_history
from node.sinks.influx_config import InfluxConfig
from tests.e2e.influx.conftest import Database
from tests.e2e.influx.facade import Facade
from tests.e2e.influx.scene import FIRST, forwarding

pytestmark = pytest.mark.e2e


def certificate(folder: Path) -> tuple[Path, Path]:
    """A certificate of 127.0.0.1 that signs itself, and its key."""
    key = ec.generate_private_key(ec.SECP256R1())
    name = x509.Name([x509.NameAttribute(NameOID.COMMON_NAME, "tests")])
    now = datetime.now(UTC)
    made = (
        x509.CertificateBuilder()
        .subject_name(name)
        .issuer_name(name)
        .public_key(key.public_key())
        .serial_number(x509.random_serial_number())
        .not_valid_before(now - timedelta(days=1))
        .not_valid_after(now + timedelta(days=1))
        .add_extension(x509.SubjectAlternativeName([x509.IPAddress(ip_address("127.0.0.1"))]), critical=False)
        .add_extension(x509.BasicConstraints(ca=True, path_length=0), critical=True)
        .sign(key, hashes.SHA256())
    )
    certificate_file, key_file = folder / "server.pem", folder / "server.key"
    certificate_file.write_bytes(made.public_bytes(serialization.Encoding.PEM))
    key_file.write_bytes(
        key.private_bytes(serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption())
    )
    return certificate_file, key_file


@pytest.fixture
async def behind_tls(database: Database, tmp_path: Path) -> AsyncIterator[Facade]:
    context = ssl.create_default_context(ssl.Purpose.CLIENT_AUTH)
    context.load_cert_chain(*certificate(tmp_path))
    front = Facade(database.url, target_token=database.token, target_org=database.org, tls=context)
    await front.start()
    try:
        yield front
    finally:
        await front.stop()


async def test_a_certificate_that_nobody_vouches_for_gets_nothing_until_its_ca_is_named(
    tmp_path: Path, behind_tls: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    config = replace(config, url=behind_tls.url)
    path = tmp_path / "history.db"
    async with forwarding(path, config, site) as scene:
        scene.record_many(50)
        await scene.journal.flush()
        while scene.shown("sink_state") != 4:
            await scene.clock.sleep(1)
        assert "certificate verify failed" in str(scene.shown("last_error"))
        assert behind_tls.writes == 0
        deep = deep_history(scene.journal, config, site)
        page = await deep.raw("xw1.power", FIRST - 10, FIRST - 5, limit=10)
        assert list(page.columns.statuses) == [0x8031_0000]
        await deep.close()
    config = replace(config, ca_file=tmp_path / "missing.pem")
    async with forwarding(path, config, site) as scene:
        await scene.journal.flush()
        while scene.shown("sink_state") != 4:
            await scene.clock.sleep(1)
        assert "missing.pem holds no certificates" in str(scene.shown("last_error"))
        (tmp_path / "missing.pem").write_bytes((tmp_path / "server.pem").read_bytes())
        await scene.caught_up()
        assert await database.contents(site) == await scene.local()
