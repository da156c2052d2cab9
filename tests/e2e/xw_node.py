"""A whole node over foreign slaves that are XWs behind a ComBox, a Gateway and a serial line, and clients of it.

| device | bus | what it is for |
|---|---|---|
| insight, combox, line | one each | read only; no control |
| <bus>_control | one each | commands and settings, profile as shipped |
| <bus>_options | insight, combox | the same, every option of the profile on |
| <bus>_hasty | insight, combox | the same profile with short deadlines |
| odd, gone, lost | insight | registers without a value, unknown codes, lost behind the gateway |
| mortal, away | mortal | short deadlines and time-outs, on a slave that dies; `away` is lost behind it |
"""

from __future__ import annotations

import asyncio
import re
import time
from collections.abc import AsyncIterator, Mapping
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256

import drivers
from address_space.model import Outcome, is_good
from node.app import App
from node.clock import RealClock
from node.roles import Role
from tests.e2e.running import free_port, running, sample, until, until_good
from tests.e2e.server_stage import Keys, site_node
from tests.e2e.slave import APPLY, Registers, Slave, WriteRequest, write_image
from tests.e2e.slave.pty_line import PtyLine
from tests.e2e.xw_facts import (
    BATTERY_BELOW_ZERO,
    COMMANDS,
    INVERTER_STATE_OUTSIDE_TABLE,
    LOST_ON_XANBUS,
    NAME,
    NAME_SWAPPED,
    SETTINGS,
    STOP_SELL_TO_STANDBY,
    TRIGGERS,
    Gateway,
    image,
)
from tests.e2e.xw_points import POINTS

READ, CONTROL, OPTIONS, HASTY, ODD, GONE, LOST = 10, 11, 12, 13, 14, 15, 16
HASTY_S: Final = 0.5  # until the hasty profile has to see an effect
PATIENT_S: Final = 1.5  # the same for the mortal device: time enough for a test to kill its slave meanwhile
TIMEOUT_S: Final = 0.3  # of the bus of the mortal slave
PASSWORDS: Final = {"olga": "operator-pass", "emil": "engineer-pass"}
ROLES: Final = {"olga": Role.OPERATOR, "emil": Role.ENGINEER}

SITE: Final = """
site: foreign
state: state
server: {{listen: "127.0.0.1:{listen}", answer_within: 3s}}
history: {{enabled: false}}
buses:
  insight_bus: {{driver: modbus, tcp: "127.0.0.1:{insight}", word_order: big}}
  combox_bus: {{driver: modbus, tcp: "127.0.0.1:{combox}", word_order: little}}
  line_bus: {{driver: modbus, serial: {{port: {line}, baud: 115200, framing: 8N1}}, word_order: little}}
  mortal_bus: {{driver: modbus, tcp: "127.0.0.1:{mortal}", timeout: 300ms, retry_min: 100ms, retry_max: 300ms}}
devices:
"""
QUICK: Final = "min_interval: 10ms"
ALL_OPTIONS: Final = (
    "force_bulk_charge: true, sell_stops_charging: true, standby_after_stop_sell: true, min_interval: 10ms"
)


@dataclass(frozen=True, slots=True)
class Spot:
    """Where a device of the site is."""

    bus: str
    unit: int
    parameters: str = QUICK
    control: bool = True
    profile: str = "schneider.xw"

    @property
    def gateway(self) -> Gateway:
        """The box in front of it; the serial line is a Modbus converter, which is like a ComBox (2.1)."""
        return Gateway.COMBOX if self.bus in ("combox", "line") else Gateway.INSIGHT


SPOTS: Final = {
    "insight": Spot("insight", READ, control=False),
    "combox": Spot("combox", READ, "min_interval: 10ms, text_byte_swap: true", control=False),
    "line": Spot("line", READ, control=False),
    "insight_control": Spot("insight", CONTROL),
    "combox_control": Spot("combox", CONTROL),
    "line_control": Spot("line", CONTROL),
    "insight_options": Spot("insight", OPTIONS, ALL_OPTIONS),
    "combox_options": Spot("combox", OPTIONS, ALL_OPTIONS),
    "insight_hasty": Spot("insight", HASTY, profile="./hasty.yaml"),
    "combox_hasty": Spot("combox", HASTY, profile="./hasty.yaml"),
    "odd": Spot("insight", ODD, control=False),
    "gone": Spot("insight", GONE, control=False),
    "lost": Spot("insight", LOST),
    "away": Spot("mortal", LOST, profile="./patient.yaml"),
    "mortal": Spot("mortal", READ, profile="./patient.yaml"),
}


ABSENT: Final = ("lost", "away")  # at first


@dataclass(frozen=True, slots=True)
class Answer:
    """What a client gets for a call."""

    status: int
    outcome: Outcome | None = None  # a Bad answer has no outputs
    observed: str = ""
    elapsed_ms: float = 0.0
    reason: str = ""


class XwNode:
    """The running node, its slaves, and one client each for an Operator and an Engineer."""

    def __init__(self, app: App, slaves: Mapping[str, Slave], clients: Mapping[str, Client], began_s: float) -> None:
        self.app = app
        self.slaves = slaves
        self.operator = clients["olga"]
        self.engineer = clients["emil"]
        self.began_s = began_s  # time.monotonic() before the node started
        self.written_at_start: list[WriteRequest] = []

    def slave(self, device: str) -> Slave:
        return self.slaves[SPOTS[device].bus]

    def writes(self, device: str, since: int = 0) -> list[tuple[int, int, tuple[int, ...]]]:
        """Frames (function, address, words) that the device was sent, without the first `since`."""
        writes = self.slave(device).writes(SPOTS[device].unit)
        return [(write.function, write.address, write.words) for write in writes[since:]]

    async def polled(self) -> None:
        """Wait until everything that answers was read once."""
        for device in SPOTS:
            for point in POINTS.values() if device not in ABSENT else ():
                if (device, point) != ("odd", "inverter_status"):  # Uncertain for good
                    await until_good(self.app, f"{device}.{point}", 30.0)

    async def fresh(self, device: str) -> int:
        """The device as in the facts, obeying at once; returns how many writes it has had so far."""
        spot, slave = SPOTS[device], self.slave(device)
        await slave.answer(spot.unit, "normal")
        for block in image(spot.unit, spot.gateway):
            await slave.set(spot.unit, block.address, *block.words)
        for address in [row.address for row in SETTINGS] + [address for address, _ in TRIGGERS]:
            await slave.behaviour(spot.unit, address, APPLY)
        for fact in (*COMMANDS, STOP_SELL_TO_STANDBY):
            for effect in fact.effects:
                await slave.unlink(spot.unit, effect.address)
        return len(slave.writes(spot.unit))

    # --- what clients do

    async def read(self, *paths: str) -> list[ua.DataValue]:
        """Values of `device.point` in one request."""
        nodes = [
            ua.ReadValueId(NodeId=site_node(path), AttributeId=ua.IntegerId(ua.AttributeIds.Value)) for path in paths
        ]
        parameters = ua.ReadParameters(NodesToRead=nodes, TimestampsToReturn=ua.TimestampsToReturn.Both)
        return await self.operator.uaclient.read(parameters)

    async def properties(self, name: str, *paths: str) -> list[Any]:
        """Value of a property of each point; None where it has no such property."""
        step = ua.RelativePathElement(
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HasProperty),
            IsInverse=False,
            IncludeSubtypes=True,
            TargetName=ua.QualifiedName(name, 0),
        )
        paths_to = [ua.BrowsePath(site_node(path), ua.RelativePath([step])) for path in paths]
        found = await self.operator.uaclient.translate_browsepaths_to_nodeids(paths_to)
        nodes = [result.Targets[0].TargetId if result.StatusCode.is_good() else None for result in found]
        values = await self.operator.read_values([self.operator.get_node(node) for node in nodes if node is not None])
        rest = iter(values)
        return [None if node is None else next(rest) for node in nodes]

    async def call(self, device: str, command: str, *inputs: bool | float) -> Answer:
        """Call a command as the Operator."""
        variants = [
            ua.Variant(one, ua.VariantType.Int32 if command == "RunCommand" else _type_of(one)) for one in inputs
        ]
        request = ua.CallMethodRequest(site_node(device), site_node(f"{device}.{command}"), variants)
        (result,) = await self.operator.uaclient.call([request])
        if not result.OutputArguments:
            return Answer(result.StatusCode.value)
        outcome, observed, elapsed, reason = (output.Value for output in result.OutputArguments)
        return Answer(result.StatusCode.value, Outcome(outcome), observed, elapsed, reason.Text)

    async def write(self, client: Client, device: str, point: str, value: float) -> int:
        """Write a setting; returns the status."""
        (now,) = await self.read(f"{device}.{point}")
        assert now.Value is not None
        given = ua.DataValue(ua.Variant(value, now.Value.VariantType))
        item = ua.WriteValue(site_node(f"{device}.{point}"), ua.IntegerId(ua.AttributeIds.Value), Value=given)
        (status,) = await client.uaclient.write(ua.WriteParameters([item]))
        return int(status.value)

    async def last_command(self, device: str) -> dict[str, Any]:
        """The `LastCommand` variables, read over OPC UA."""
        names = ("name", "outcome", "wanted", "observed", "elapsed", "reason", "user")
        values = await self.read(*(f"{device}.last_command_{name}" for name in names))
        return {name: value.Value.Value for name, value in zip(names, values, strict=True) if value.Value is not None}

    async def until_outcome(self, device: str, outcome: Outcome) -> None:
        await until(self.app, f"{device}.last_command_outcome", int(outcome))

    async def until_polled(self, device: str, within_s: float = 15.0) -> None:
        """Wait until the device is online and was read after this was called, thus identified too."""
        called = RealClock().now()
        await until(self.app, f"{device}.connection", 1, within_s)
        async with asyncio.timeout(within_s):
            while True:
                volts = sample(self.app, f"{device}.dc_voltage")
                if is_good(volts.status) and volts.ticks > called:
                    return
                await asyncio.sleep(0.02)

    def ticks(self, path: str) -> int:
        """Source time in the image."""
        return sample(self.app, path).ticks


def _type_of(value: bool | float) -> ua.VariantType:
    return ua.VariantType.Boolean if isinstance(value, bool) else ua.VariantType.Double


def quick_profile(name: str, within_s: float) -> str:
    """The shipped profile under another name, with deadlines so short that a test can wait for them."""
    text = (Path(drivers.__file__).parent / "profiles" / "schneider.xw.yaml").read_text()
    text = text.replace("id: schneider.xw\n", f"id: schneider.xw_{name}\n")
    text, changed = re.subn(r"^( +)within: \S+$", rf"\1within: {within_s:g}s\n\1every: 100ms", text, flags=re.M)
    assert changed == 8  # one for each command that the facts know
    text, changed = re.subn(r"storage: persistent, within: \w+", "storage: persistent, within: 500ms", text)
    assert changed == 1
    return re.sub(r"^  sell_engage_time:\n(    .*\n|     .*\n)+", "", text, flags=re.M)


def site_text(**ports: object) -> str:
    lines = [
        f"  {device}: {{profile: {spot.profile}, bus: {spot.bus}_bus, unit: {spot.unit}, "
        f"control: {str(spot.control).lower()}, parameters: {{{spot.parameters}}}}}"
        for device, spot in SPOTS.items()
    ]
    return SITE.format(**ports) + "\n".join(lines) + "\n"


def images(bus: str) -> list[Registers]:
    """What the slave of a bus holds when the node starts."""
    blocks: list[Registers] = []
    for device, spot in SPOTS.items():
        if spot.bus == bus:
            odd = (BATTERY_BELOW_ZERO, INVERTER_STATE_OUTSIDE_TABLE) if device == "odd" else ()
            changes = {LOST_ON_XANBUS[0]: LOST_ON_XANBUS[1]} if device in ABSENT else {}
            blocks += image(spot.unit, spot.gateway, changes, rows=odd)
            if "text_byte_swap" in spot.parameters:
                blocks.append(Registers(spot.unit, NAME.address, NAME_SWAPPED))
    return blocks


@asynccontextmanager
async def xw_node(folder: Path, program: Path) -> AsyncIterator[XwNode]:
    """Slaves, node and clients; everything that answers has been polled once."""
    keys = Keys(folder / "keys")
    async with AsyncExitStack() as stack:
        line = await stack.enter_async_context(PtyLine())
        slaves: dict[str, Slave] = {}
        for bus in ("insight", "combox", "line", "mortal"):
            path = write_image(folder / f"{bus}.txt", images(bus))
            tty = line.device_path if bus == "line" else None
            slaves[bus] = await stack.enter_async_context(Slave(program, path, tcp=tty is None, tty=tty))
            await slaves[bus].log_reads()
        for name, within_s in (("hasty", HASTY_S), ("patient", PATIENT_S)):
            (folder / f"{name}.yaml").write_text(quick_profile(name, within_s))
        ports = {bus: slaves[bus].port for bus in ("insight", "combox", "mortal")}
        port = free_port()
        (folder / "site.yaml").write_text(site_text(listen=port, line=line.node_path, **ports))
        began_s = time.monotonic()
        app = await stack.enter_async_context(running(folder / "site.yaml"))
        own = keys.of("client")
        app.pki.trust.add(own.certificate.der)
        clients: dict[str, Client] = {}
        for user, password in PASSWORDS.items():
            app.users.add(user, password, ROLES[user])
            client = Client(f"opc.tcp://127.0.0.1:{port}", timeout=20)
            client.application_uri = own.application_uri
            client.set_user(user)
            client.set_password(password)
            await client.set_security(
                SecurityPolicyBasic256Sha256,
                str(own.certificate_path),
                str(own.key_path),
                server_certificate=str(app.pki.certificate_path),
                mode=ua.MessageSecurityMode.SignAndEncrypt,
            )
            await client.connect()
            stack.push_async_callback(client.disconnect)
            clients[user] = client
        node = XwNode(app, slaves, clients, began_s)
        await node.polled()
        node.written_at_start = [write for slave in slaves.values() for write in slave.writes()]
        yield node
