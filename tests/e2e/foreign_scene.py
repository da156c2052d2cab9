"""A running node with a simulated plant, and the foreign client connected to it as each kind of user."""

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from address_space.model import ticks_to_datetime
from node.app import App
from node.roles import Role
from node.server.security.users import UserStore
from tests.e2e.foreign_client import ForeignClient, ForeignError, foreign_client
from tests.e2e.running import free_port, running, until

SITE = """
site: test
state: state
server:
  listen: 127.0.0.1:{port}
  names: [plant.example]
  security: {{none: true, anonymous: {anonymous}}}
  answer_within: 10s
history: {{commit_interval: 200ms}}
simulate: {{enabled: true}}
buses:
  gw: {{driver: modbus, tcp: "127.0.0.1:{gateway}"}}
  fuel: {{driver: modbus, tcp: "127.0.0.1:{fuel}"}}
  meters: {{driver: modbus, tcp: "127.0.0.1:{meters}"}}
  line: {{driver: serial_line, serial: {{port: tty-pumps, baud: 115200}}}}
devices:
  xw1: {{profile: schneider.xw, bus: gw, unit: 10, control: true}}
  xw2: {{profile: schneider.xw, bus: gw, unit: 11, control: false}}
  fc1: {{profile: cummins.fuel_cell, bus: fuel, unit: 1, control: true}}
  meter1: {{profile: eastron.sdm630, bus: meters, unit: 1, parameters: {{frequency_period: 100ms}}}}
  pumps: {{profile: generic.serial_current_sensor, bus: line}}
  plant: {{class: generic, computed: {{power: {{total: [xw1.ac_power, xw2.ac_power]}}}}}}
"""
PASSWORDS = {
    "observer": "sees-everything",
    "operator": "calls-commands",
    "engineer": "writes-settings",
    "keeper": "lets-others-in",
}
ROLES = {
    "observer": Role.OBSERVER,
    "operator": Role.OPERATOR,
    "engineer": Role.ENGINEER,
    "keeper": Role.ADMIN,
}
METERED = "meter1.frequency"  # ten samples a second


def site_node(path: str) -> str:
    return f"ns=4;s={path}"


@dataclass
class Scene:
    """A running node, and the foreign program with a connection for each of `PASSWORDS`."""

    app: App
    foreign: ForeignClient
    url: str
    folder: Path

    @property
    def site_file(self) -> Path:
        return self.folder / "site.yaml"

    def way(self, user: str | None = None, keys: str = "keys", **how: Any) -> dict[str, Any]:
        """How to connect: address, keys of the application, user."""
        known = {} if user is None else {"user": user, "password": PASSWORDS[user]}
        return {"url": self.url, "keys": str(self.folder / keys), **known, **how}

    async def call(self, method: str, *inputs: tuple[str, Any], user: str = "operator", within_ms: int = 0) -> Any:
        """Call `device.Command` with inputs (type, value)."""
        object_id, method_id = site_node(method.partition(".")[0]), site_node(method)
        return await self.foreign.do(
            "call", name=user, object=object_id, method=method_id, inputs=inputs, within_ms=within_ms
        )

    async def write(self, path: str, value: Any, kind: str = "Double", user: str = "engineer") -> str:
        """Write a Value; the name of the status."""
        status: str = await self.foreign.do("write", name=user, node=site_node(path), type=kind, value=value)
        return status

    async def read(self, *paths: str, attribute: str = "Value", user: str = "observer") -> list[dict[str, Any]]:
        """An attribute of some nodes."""
        nodes = [site_node(path) for path in paths]
        found: list[dict[str, Any]] = await self.foreign.do("read", name=user, nodes=nodes, attribute=attribute)
        return found

    async def ask(self, service: str, user: str = "observer", **members: Any) -> dict[str, Any]:
        """The response to any service, named without `Request`, in the session of a user."""
        response: dict[str, Any] = await self.foreign.do("ask", name=user, service=service, **members)
        return response

    async def fault(self, service: str, user: str = "observer", **members: Any) -> str:
        """Name of the status with which a whole request is refused; fails when it is not."""
        try:
            given = await self.ask(service, user, **members)
        except ForeignError as error:
            return error.status
        raise AssertionError(f"{service} was not refused: {given}")

    async def recorded(self, at_least: int) -> list[tuple[int, Any]]:
        """Samples of `METERED` as the journal has them, as soon as they are enough; times in ms since 1970."""
        journal = self.app.journal
        assert journal is not None
        async with asyncio.timeout(40):
            while True:
                await journal.flush()
                page = await journal.raw(METERED, None, None, limit=100_000, reverse=False, after=None)
                if len(page.columns) >= at_least:
                    break
                await asyncio.sleep(0.2)
        times = [round(ticks_to_datetime(ticks).timestamp() * 1000) for ticks in page.columns.ticks]
        return list(zip(times, page.columns.values, strict=True))

    async def last_command(self, device: str) -> dict[str, Any]:
        """Values of the device's LastCommand variables."""
        names = ("name", "outcome", "wanted", "observed", "elapsed", "reason", "user", "time")
        values = await self.read(*(f"{device}.last_command_{name}" for name in names))
        return {name: value["value"] for name, value in zip(names, values, strict=True)}


@asynccontextmanager
async def foreign_scene(folder: Path, *, anonymous: bool = False) -> AsyncIterator[Scene]:
    """Start the node in `folder`, let it trust the client, and connect one session for each user.

    With `anonymous` the site lets clients in that do not say who they are.
    """
    port = free_port()
    others = {name: free_port() for name in ("gateway", "fuel", "meters")}
    text = SITE.format(port=port, anonymous=str(anonymous).lower(), **others)
    (folder / "site.yaml").write_text(text)
    (folder / "state").mkdir()
    users = UserStore(folder / "state" / "users.json")
    users.ensure_admin()
    for name, password in PASSWORDS.items():
        users.add(name, password, ROLES[name])
    async with foreign_client(folder / "words.log") as foreign, running(folder / "site.yaml") as app:
        scene = Scene(app, foreign, f"opc.tcp://127.0.0.1:{port}", folder)
        await foreign.do("trust_server", **scene.way())
        app.pki.trust.add((folder / "keys/own/certs/client_certificate.pem").read_bytes())
        sessions = {name: name for name in PASSWORDS} | {"quiet": "observer"}  # that one asks for nothing but new keys
        await asyncio.gather(*(foreign.do("connect", name=one, **scene.way(user)) for one, user in sessions.items()))
        for device in ("xw1", "xw2", "fc1", "meter1", "pumps"):
            await until(app, f"{device}.connection", 1)
        yield scene


@asynccontextmanager
async def wire(port: int) -> AsyncIterator[tuple[int, Callable[[], None]]]:
    """Another port that leads to `port` as through a router, and a way to cut what is connected."""
    links: list[asyncio.StreamWriter] = []

    async def pump(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65536):
                writer.write(data)
        writer.close()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        far_reader, far_writer = await asyncio.open_connection("127.0.0.1", port)
        links.extend((writer, far_writer))
        await asyncio.gather(pump(reader, far_writer), pump(far_reader, writer))

    def cut() -> None:
        while links:
            links.pop().transport.abort()

    server = await asyncio.start_server(accept, "127.0.0.1", 0)
    async with server:
        yield server.sockets[0].getsockname()[1], cut
        cut()
