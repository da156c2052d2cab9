"""The node as a whole: it starts, serves, survives faults in its parts, and ends in good order."""

import asyncio
import socket
from pathlib import Path

import pytest
from asyncua import Client

import node.app
from address_space.model import Status
from drivers.base import DriverError
from drivers.spec import TcpPeer
from node.app import App
from node.clock import RealClock
from node.config import load_site
from node.server.server import PortTaken
from tests.e2e.running import free_port, running, sample, until, until_good

pytestmark = pytest.mark.e2e

SITE = """
site: test
state: state
server:
  listen: 127.0.0.1:{port}
  security: {{none: true, anonymous: true}}
history: {{commit_interval: 100ms}}
simulate: {{enabled: true}}
buses:
  gw: {{driver: modbus, tcp: "127.0.0.1:{gateway}"}}
  line: {{driver: modbus, serial: {{port: tty, baud: 115200, framing: 8N1}}}}
devices:
  xw1: {{profile: schneider.xw, bus: gw, unit: 10, control: true}}
  meter1: {{profile: eastron.sdm630, bus: line, unit: 1}}
  plant: {{class: generic, computed: {{power: {{total: [xw1.ac_power]}}}}}}
"""


@pytest.fixture
def site_file(tmp_path: Path) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(port=free_port(), gateway=free_port()))
    return path


async def test_values_of_all_buses_reach_a_client(site_file: Path) -> None:
    async with running(site_file) as app:
        listen = app.site.server.listen
        async with Client(f"opc.tcp://127.0.0.1:{listen.port}") as client:
            for path in ("xw1.ac_power", "meter1.frequency", "plant.power", "node.certificate_days_left"):
                await until_good(app, path)
                value = await client.get_node(f"ns=4;s={path}").read_data_value()
                assert value.StatusCode is not None
                assert value.StatusCode.value == Status.GOOD, path
                assert value.Value is not None
                assert value.Value.Value == pytest.approx(sample(app, path).value, abs=50)


async def test_what_was_recorded_is_there_after_a_restart(site_file: Path) -> None:
    async with running(site_file) as app:
        await until(app, "xw1.connection", 1)
        assert app.journal is not None
        assert await app.journal.flush()
        before = (await app.journal.raw("xw1.connection", None, None, limit=1000, reverse=False, after=None)).columns
    async with running(site_file) as app:
        assert app.journal is not None
        after = (await app.journal.raw("xw1.connection", None, None, limit=1000, reverse=False, after=None)).columns
        assert list(after.ticks[: len(before.ticks)]) == list(before.ticks)


async def test_a_taken_port_is_said_and_leaves_nothing_open(site_file: Path) -> None:
    site = load_site(site_file)
    port = site.server.listen.port
    with socket.create_server(("127.0.0.1", port)), pytest.raises(PortTaken, match=str(port)):
        await App(site, RealClock()).run(asyncio.Event())
    async with running(site_file) as app:
        await until(app, "xw1.connection", 1)


async def test_a_taken_port_of_a_simulated_gateway_is_said(site_file: Path) -> None:
    site = load_site(site_file)
    link = site.buses[0].link
    assert isinstance(link, TcpPeer)
    taken = socket.create_server((link.host, link.port))
    with taken, pytest.raises(DriverError, match="address already in use"):
        await App(site, RealClock()).run(asyncio.Event())


async def test_a_fault_in_one_bus_costs_only_that_bus(
    site_file: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    build = node.app.DRIVERS["modbus"]
    built: list[str] = []

    class Broken:
        """A bus with a fault of ours in it."""

        async def run(self) -> None:
            raise ZeroDivisionError("a fault of ours")

    def faulty(config, units, publisher, clock):  # type: ignore[no-untyped-def]
        built.append(config.id)
        if config.id == "gw" and built.count("gw") == 1:
            return Broken()
        return build(config, units, publisher, clock)

    monkeypatch.setattr(node.app, "DRIVERS", {"modbus": faulty})
    monkeypatch.setattr(node.app, "_RESTART_S", 0.5)
    async with running(site_file) as app:
        await until(app, "meter1.connection", 1)
        await until(app, "xw1.connection", 1)
    assert built.count("gw") == 2
    assert "bus gw failed; it starts again" in caplog.text


async def test_a_site_without_history_says_so(site_file: Path) -> None:
    site_file.write_text(
        site_file.read_text().replace("history: {commit_interval: 100ms}", "history: {enabled: false}")
    )
    async with running(site_file) as app:
        assert sample(app, "node.journal_state").value == 0
        assert not (app.site.state / "history.db").exists()
