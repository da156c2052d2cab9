"""A server over a journal that tests fill with samples of their own times: the published examples and more."""

from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from argon2 import PasswordHasher

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_S,
    DataType,
    Device,
    DeviceClass,
    Point,
    PointKind,
    RecordingRule,
    Value,
    device_model,
)
from address_space.system import node_model
from node.clock import RealClock
from node.historian.editing import Annotation, Change, Edited
from node.historian.history import Columns
from node.historian.journal import Journal
from node.roles import Role
from node.server.security.login import LoginGuard
from node.server.security.pki import Pki
from node.server.security.users import UserStore
from node.server.server import OpcUaServer
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, RecordingDesk, make_site
from tests.node.server.history.tables import midnight

DAY = 86_400 * TICKS_PER_S
PASSWORDS = {"eve": "engineer-pass", "bob": "operator-pass", "ada": "admin-password"}
ROLES = {"eve": Role.ENGINEER, "bob": Role.OPERATOR, "ada": Role.ADMIN}


def _point(name: str, data_type: DataType, kind: PointKind) -> Point:
    # Between samples at a fixed rate numbers lie on a line; else they stay.
    unit, rule = ("W", RecordingRule(every_s=1.0)) if kind is PointKind.ANALOG else (None, None)
    return Point(name, name, "", data_type, kind, unit=unit, historize=True, record=rule)


SLOPED, SPARE = "xw1.sloped", "xw1.spare"
EXAMPLES = 8  # that can be stored beside each other
# Examples differ in how values lie between samples, which is with the variable, and in the type of their values.
MODEL = device_model(
    "test.archive",
    DeviceClass.GENERIC,
    (
        _point("sloped", DataType.DOUBLE, PointKind.ANALOG),
        _point("spare", DataType.DOUBLE, PointKind.ANALOG),
        *(_point(f"line{number}", DataType.DOUBLE, PointKind.ANALOG) for number in range(EXAMPLES)),
        *(_point(f"steps{number}", DataType.DOUBLE, PointKind.DATA) for number in range(EXAMPLES)),
        *(_point(f"states{number}", DataType.BOOLEAN, PointKind.FLAG) for number in range(EXAMPLES)),
    ),
)


@dataclass
class HistoryStage:
    server: OpcUaServer
    journal: Journal
    pki: Pki
    keys: Keys
    today: int  # ticks of a midnight that lies behind

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.server.port}"

    def ms(self, second: float) -> float:
        """A second of the day as a client writes it: ms since 1970."""
        return (self.today + second * TICKS_PER_S - 11_644_473_600 * TICKS_PER_S) / 10_000

    def second(self, ms: float) -> float:
        """The second of the day of a client's time."""
        return (ms - self.ms(0)) / 1000

    async def fill(self, tag: str, rows: Iterable[tuple[float, Value | None, int]]) -> None:
        """Store samples (second of the day, value, status); what the tag had is gone."""
        await self.journal.delete(tag, self.today, self.today + DAY, "test")
        samples = Columns()
        for second, value, status in rows:
            samples.append(self.today + round(second * TICKS_PER_S), value, status)
        edited = await self.journal.write(tag, samples, Change.INSERT, "test")
        assert set(edited) <= {Edited.INSERTED}

    async def annotate(self, tag: str, seconds: Iterable[float]) -> None:
        notes = [Annotation(self.today + round(each * TICKS_PER_S), self.today, "test", "seen") for each in seconds]
        await self.journal.annotate(tag, notes, Change.UPDATE)


@asynccontextmanager
async def history_stage(folder: Path) -> AsyncIterator[HistoryStage]:
    """The server listens on loopback without security; anonymous clients are observers."""
    clock = RealClock()
    devices = (Device("xw1", MODEL, "Archive"), Device("node", node_model()))
    image = ProcessImage(devices, clock)
    journal = Journal(folder / "history.db", image, clock)
    image.tap(journal.offer)
    config = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)
    store = UserStore(folder / "users.json", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    for name, password in PASSWORDS.items():
        store.add(name, password, ROLES[name])
    guard = LoginGuard(store, clock)
    pki, keys = Pki(folder / "pki", clock), Keys(folder / "keys")
    pki.trust.add(keys.of("client").certificate.der)
    server = OpcUaServer(
        make_site(folder, config), image, RecordingDesk({}), journal, pki, guard, clock,
        editor=journal, event_log=journal,
    )  # fmt: skip
    try:
        await journal.flush()
        await server.start()
        yield HistoryStage(server, journal, pki, keys, midnight(clock.now()) - DAY)
    finally:
        await server.stop()
        await guard.close()
        await journal.stop()
