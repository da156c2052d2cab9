"""The InfluxDB of the tests: Debian's, or the one that GRIDNODE_INFLUX_URL names."""

import os
import uuid
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from pathlib import Path

import pytest

from node.sinks.influx_config import Api, InfluxConfig, Secret
from tests.e2e.influx.facade import ORG, TOKEN, Facade
from tests.e2e.influx.scene import SINK, Contents, remote
from tests.e2e.influx.server import Influxd, influxql


@dataclass
class Database:
    """One database (bucket) of a server that is there."""

    url: str
    bucket: str
    token: str = ""
    org: str = ""
    influxd: Influxd | None = None  # None for a server that is not ours

    @property
    def headers(self) -> dict[str, str]:
        return {"Authorization": f"Token {self.token}"} if self.token else {}

    async def contents(self, site: str) -> Contents:
        return await remote(self.url, self.bucket, site, self.headers)


@pytest.fixture
async def influxd(tmp_path: Path) -> AsyncIterator[Influxd]:
    """An InfluxDB 1.6.7 with the database `gridnode`."""
    server = Influxd(tmp_path / "influx")
    await server.start()
    try:
        await influxql(server.url, "", "CREATE DATABASE gridnode")
        yield server
    finally:
        await server.kill()


@pytest.fixture
def database(request: pytest.FixtureRequest) -> Database:
    url = os.environ.get("GRIDNODE_INFLUX_URL", "")
    if url:
        token = os.environ.get("GRIDNODE_INFLUX_TOKEN", "")
        bucket = os.environ.get("GRIDNODE_INFLUX_BUCKET", "gridnode")
        return Database(url, bucket, token, os.environ.get("GRIDNODE_INFLUX_ORG", ""))
    server: Influxd = request.getfixturevalue("influxd")
    return Database(server.url, "gridnode", influxd=server)


@pytest.fixture
async def facade(database: Database) -> AsyncIterator[Facade]:
    """The façade in front of the database."""
    front = Facade(database.url, target_token=database.token, target_org=database.org)
    await front.start()
    try:
        yield front
    finally:
        await front.stop()


@pytest.fixture
def site() -> str:
    """A site of its own for each test, so that a server that is not ours keeps them apart."""
    return f"t{uuid.uuid4().hex[:12]}"


@pytest.fixture
def config(facade: Facade, database: Database, tmp_path: Path) -> InfluxConfig:
    """A sink that writes through the façade."""
    secret = tmp_path / "token"
    secret.write_text(TOKEN + "\n")
    return InfluxConfig(
        id=SINK,
        url=facade.url,
        bucket=database.bucket,
        org=ORG,
        token=Secret(file=secret),
        timeout_s=2.0,
        replay_rate=None,
        batch_lines=100,
    )


@pytest.fixture
def plain(influxd: Influxd) -> InfluxConfig:
    """A sink that writes to 1.6.7 itself."""
    return replace(
        InfluxConfig(id=SINK, url=influxd.url, bucket="gridnode", api=Api.AUTO), timeout_s=5.0, replay_rate=None
    )
