"""A started OPC UA server over a small plant, and clients that it trusts or not."""

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from argon2 import PasswordHasher
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

from address_space.image import ProcessImage
from address_space.model import (
    Argument,
    Batch,
    Command,
    CommandResult,
    DataType,
    Device,
    DeviceClass,
    Enumeration,
    EnumMember,
    FunctionalGroup,
    Outcome,
    Point,
    PointKind,
    Range,
    Status,
    Value,
    device_model,
)
from address_space.system import SYSTEM_POINTS, node_model
from node.clock import RealClock
from node.control.arguments import check_arguments
from node.control.setting_results import SettingResults
from node.roles import Caller, Role
from node.server.limits import Limits
from node.server.security.certificate import Identity
from node.server.security.login import LoginGuard
from node.server.security.pki import OwnCertificate, Pki
from node.server.security.users import UserStore
from node.server.server import OpcUaServer
from node.site import HistoryConfig, Listen, LoggingConfig, ServerConfig, SimulateConfig, Site

PASSWORDS = {"ann": "observer-pass", "bob": "operator-pass", "eve": "engineer-pass", "ada": "admin-password"}
ROLES = {"ann": Role.OBSERVER, "bob": Role.OPERATOR, "eve": Role.ENGINEER, "ada": Role.ADMIN}
CLIENT_URI = "urn:test:client"
SITE_NAMESPACE = 4
STATES = Enumeration("XwState", (EnumMember(2, "Standby"), EnumMember(9, "Sell")))
MODEL = device_model(
    "test.inverter",
    DeviceClass.INVERTER,
    (
        Point("ac_power", "AC power", "", DataType.DOUBLE, PointKind.ANALOG, unit="W", range=Range(-7000, 7000)),
        Point("inverter_status", "Status", "", DataType.INT32, PointKind.STATE, enumeration=STATES),
        Point(
            "charge_limit",
            "Charge limit",
            "",
            DataType.DOUBLE,
            PointKind.ANALOG,
            FunctionalGroup.CONFIGURATION,
            "A",
            Range(0, 140),
            writable=True,
        ),
        *SYSTEM_POINTS,
    ),
    (
        Command("StartSell", "Start selling", ""),
        Command("SetLimit", "Set limit", "", (Argument("Limit", DataType.INT32, "", "A", Range(0, 60)),)),
    ),
)


class RecordingDesk:
    """Says what a control desk says, after as long as the test wants, and remembers who asked for what."""

    def __init__(self, inputs: dict[str, tuple[Argument, ...]]) -> None:
        self.inputs = inputs  # by command id
        self.calls: list[tuple[str, str, list[Value | None], Caller]] = []
        self.writes: list[tuple[str, str, Value, Caller]] = []
        self.answer_by: float | None = None
        self.may_answer = asyncio.Event()
        self.done = asyncio.Event()
        self.begin_anew()

    def begin_anew(self) -> None:
        """Forget who asked, and confirm everything at once."""
        self.calls.clear()
        self.writes.clear()
        self.may_answer.set()
        self.done.clear()
        self.result = CommandResult(Outcome.CONFIRMED, Status.GOOD, "inverter_status=Sell", 0.5, "")

    async def call(
        self,
        device_id: str,
        command_id: str,
        arguments: Sequence[Value | None],
        caller: Caller,
        answer_by: float | None,
    ) -> CommandResult:
        self.answer_by = answer_by
        if caller.role < Role.OPERATOR:
            return CommandResult(Outcome.REFUSED, Status.BAD_USER_ACCESS_DENIED, "", 0.0, "role")
        fault = check_arguments(self.inputs[command_id], arguments)
        if fault is not None:
            status, reason, inputs = fault
            return CommandResult(Outcome.REFUSED, status, "", 0.0, reason, inputs)
        self.calls.append((device_id, command_id, list(arguments), caller))
        await self.may_answer.wait()
        self.done.set()
        return self.result

    async def write_settings(self, device_id: str, values: Mapping[str, Value], caller: Caller) -> SettingResults:
        self.writes += [(device_id, point_id, value, caller) for point_id, value in values.items()]
        await self.may_answer.wait()
        return SettingResults(dict.fromkeys(values, self.result))

    def listen(self, listener: object) -> None:
        """Nobody hears of it: tests say themselves what has ended."""


@dataclass
class Keys:
    """Certificates that are made once for many servers: making a key takes a good part of a second."""

    folder: Path
    made: dict[str, OwnCertificate] = field(default_factory=dict)

    def of(self, name: str, uri: str = CLIENT_URI) -> OwnCertificate:
        if name not in self.made:
            pki = Pki(self.folder / name, RealClock())
            self.made[name] = pki.ensure_own(Identity(uri, ("localhost", "127.0.0.1"), common_name=name))
        return self.made[name]


@dataclass
class Stage:
    """The server with what the test needs of its inside."""

    server: OpcUaServer
    image: ProcessImage
    desk: RecordingDesk
    pki: Pki
    keys: Keys
    users: UserStore

    @property
    def url(self) -> str:
        return f"opc.tcp://127.0.0.1:{self.server.port}"

    def client(
        self,
        user: str | None = "ann",
        *,
        password: str | None = None,
        key: str = "client",
        policy: Any = SecurityPolicyBasic256Sha256,
        mode: ua.MessageSecurityMode = ua.MessageSecurityMode.SignAndEncrypt,
    ) -> "TestClient":
        return TestClient(self, user, password or PASSWORDS.get(user or "", ""), self.keys.of(key), policy, mode)

    def publish(self, point: str, value: Value | None, status: int = 0, device: str = "xw1") -> None:
        slot = self.image.slot(device, point)
        self.image.publish(Batch((slot,), (value,), (status,), RealClock().now()))


class TestClient:
    """asyncua's client with a certificate, as a context: connected inside."""

    __test__ = False

    def __init__(
        self, stage: Stage, user: str | None, password: str, own: OwnCertificate, policy: Any, mode: Any
    ) -> None:
        self._stage = stage
        self._own = own
        self._policy = policy
        self._mode = mode
        self.client = Client(stage.url, timeout=5)
        self.client.application_uri = own.application_uri
        if user is not None:
            self.client.set_user(user)
            self.client.set_password(password)

    async def secured(self) -> Client:
        """The client with keys, not connected."""
        if self._policy is not None:
            await self.client.set_security(
                self._policy,
                str(self._own.certificate_path),
                str(self._own.key_path),
                server_certificate=str(self._stage.pki.certificate_path),
                mode=self._mode,
            )
        return self.client

    async def __aenter__(self) -> Client:
        client = await self.secured()
        await client.connect()
        return client

    async def __aexit__(self, *_: object) -> None:
        await self.client.disconnect()


def plant() -> tuple[Device, ...]:
    return (
        Device("xw1", MODEL, "Inverter 1", control=True),
        Device("xw2", MODEL, "Inverter 2", control=False),
        Device("node", node_model()),
    )


def make_site(folder: Path, server: ServerConfig) -> Site:
    return Site(
        "plant",
        "Test plant",
        folder / "site.yaml",
        folder / "state",
        folder / "pki",
        server,
        LoggingConfig(),
        HistoryConfig(),
        SimulateConfig(),
        (),
        (),
        {},
        {},
    )


@asynccontextmanager
async def serving(
    folder: Path,
    keys: Keys,
    config: ServerConfig | None = None,
    limits: Limits | None = None,
    devices: tuple[Device, ...] | None = None,
) -> AsyncIterator[Stage]:
    """A server that listens on a port of loopback that the system chose, and is gone afterwards."""
    clock = RealClock()
    config = config or ServerConfig(listen=Listen("127.0.0.1", 0))
    devices = devices or plant()
    image = ProcessImage(devices, clock)
    desk = RecordingDesk({c.id: c.inputs for device in devices for c in device.model.commands})
    pki = Pki(folder / "pki", clock)
    own = keys.of("server", "urn:test:server")
    pki.own_folder.mkdir(parents=True, exist_ok=True)
    for path in (own.certificate_path, own.key_path):
        (pki.own_folder / path.name).write_bytes(path.read_bytes())
    pki.key_path.chmod(0o600)
    pki.trust.add(keys.of("client").certificate.der)
    store = UserStore(folder / "users.json", PasswordHasher(time_cost=1, memory_cost=8, parallelism=1))
    for name, password in PASSWORDS.items():
        store.add(name, password, ROLES[name])
    guard = LoginGuard(store, clock)
    server = OpcUaServer(make_site(folder, config), image, desk, None, pki, guard, clock, limits=limits)
    try:
        await server.start()
        yield Stage(server, image, desk, pki, keys, store)
    finally:
        await server.stop()
        await guard.close()


def site_node(path: str) -> ua.NodeId:
    return ua.NodeId(path, SITE_NAMESPACE)


async def read(client: Client, *items: ua.ReadValueId, **changes: Any) -> list[ua.DataValue]:
    parameters = ua.ReadParameters(0, ua.TimestampsToReturn.Both, list(items))
    for name, value in changes.items():
        setattr(parameters, name, value)
    return list(await client.uaclient.read(parameters))


def status_of(value: ua.DataValue) -> str:
    assert value.StatusCode is not None
    return value.StatusCode.name


async def until(holds: Callable[[], bool]) -> None:
    """Wait until something holds, 5 s at most."""
    for _ in range(500):
        if holds():
            return
        await asyncio.sleep(0.01)
    raise TimeoutError("it does not come")
