"""A whole node with a sink in its site file."""

import asyncio
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import Client, Node, ua

from address_space.model import ticks_from_datetime
from tests.e2e.influx.conftest import Database
from tests.e2e.influx.server import Influxd
from tests.e2e.running import free_port, running, until

pytestmark = pytest.mark.e2e

SITE = """
site: {site}
state: state
server:
  listen: 127.0.0.1:{port}
  security: {{none: true, anonymous: true}}
history: {{commit_interval: 100ms}}
simulate: {{enabled: true}}
sinks:
  central: {{type: influx, label: Plant, url: "{url}", bucket: gridnode, read_back: true}}
buses:
  gw: {{driver: modbus, tcp: "127.0.0.1:{gateway}"}}
devices:
  xw1: {{profile: schneider.xw, bus: gw, unit: 10}}
"""


async def test_a_node_forwards_what_it_records_and_shows_how_it_does(
    tmp_path: Path, influxd: Influxd, site: str
) -> None:
    port = free_port()
    site_file = tmp_path / "site.yaml"
    site_file.write_text(SITE.format(site=site, port=port, url=influxd.url, gateway=free_port()))
    async with running(site_file) as app:
        await until(app, "central.sink_state", 1)
        async with Client(f"opc.tcp://127.0.0.1:{port}") as client:
            assert await client.get_node("ns=4;s=central.connection").read_value() == 1
            assert await client.get_node("ns=4;s=central.replay_rate").read_value() == 50_000.0
            parents = await client.get_node("ns=4;s=central").get_referenced_nodes(
                ua.ObjectIds.Organizes, ua.BrowseDirection.Inverse
            )
            assert [node.nodeid.Identifier for node in parents] == ["_site.Sinks"]
            node = client.get_node("ns=4;s=xw1.ac_power")
            async with asyncio.timeout(60):
                while not await both(node, Database(influxd.url, "gridnode"), site):  # noqa: ASYNC110 - as a reader does
                    await asyncio.sleep(0.1)
            assert await client.get_node("ns=4;s=central.sent").read_value() > 0


async def both(node: Node, database: Database, site: str) -> set[tuple[str, int]]:
    """Good samples of the inverter's power that history and the database have."""
    values = await node.read_raw_history(datetime.now(UTC) - timedelta(hours=1), datetime.now(UTC), 0)
    recorded = {
        ("xw1.ac_power", (ticks_from_datetime(v.SourceTimestamp.replace(tzinfo=UTC)) - 116_444_736_000_000_000) * 100)
        for v in values
        if v.SourceTimestamp is not None and v.StatusCode is not None and v.StatusCode.is_good()
    }
    return recorded & (await database.contents(site)).keys()
