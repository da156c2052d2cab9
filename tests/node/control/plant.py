"""A small inverter behind a port, by hand: what it is told acts after a delay, and it can misbehave."""

import asyncio
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from address_space.model import (
    Argument,
    Command,
    DataType,
    Device,
    DeviceClass,
    DeviceModel,
    Enumeration,
    EnumMember,
    Point,
    PointKind,
    Range,
    Sample,
    Status,
    Value,
    device_model,
)
from address_space.system import SYSTEM_POINTS
from drivers.base import DriverError, Priority, Setting
from drivers.spec import (
    CommandSpec,
    Comparison,
    Condition,
    Confirm,
    KeepAlive,
    ModbusLimits,
    Operand,
    Profile,
    Run,
    SettingSpec,
    Write,
)
from tests.fake_clock import FakeClock

MODES = Enumeration("Mode", (EnumMember(2, "Standby"), EnumMember(3, "Operating")))


def _setting(point_id: str, **more: object) -> Point:
    return Point(point_id, point_id, "", DataType.UINT16, PointKind.DATA, writable=True, **more)  # type: ignore[arg-type]


POINTS = (
    Point("state", "State", "", DataType.INT32, PointKind.STATE, enumeration=MODES),
    Point("selling", "Selling", "", DataType.UINT16, PointKind.DATA),
    _setting("mode", enumeration=MODES),
    _setting("sell", range=Range(0, 1)),
    _setting("trigger", range=Range(0, 1), readable=False),
    Point("amps", "Amps", "", DataType.DOUBLE, PointKind.ANALOG, unit="A", range=Range(0, 60), writable=True),
    *SYSTEM_POINTS,
)
MODEL: DeviceModel = device_model(
    "test.inverter",
    DeviceClass.INVERTER,
    POINTS,
    (
        Command("Standby", "Standby", ""),
        Command("StartSell", "Start selling", ""),
        Command("StopSell", "Stop selling", ""),
        Command("Leave", "Stop selling, then standby", ""),
        Command("SetAmps", "Set amps", "", (Argument("amps", DataType.DOUBLE, unit="A", range=Range(0, 60)),)),
        Command("Hold", "Hold", ""),
        Command("Blind", "Blind", ""),
        Command("RunCommand", "Run", "", (Argument("code", DataType.INT32, range=Range(0, 1)),)),
    ),
)


def _is(point: str, value: Value, tolerance: float = 0.0) -> Condition:
    return Condition(point, Comparison.EQ, Operand(value), tolerance)


COMMANDS = {
    "Standby": CommandSpec(
        "Standby", steps=(Write("mode", Operand(2)),), confirm=Confirm((_is("state", 2),), 30), emergency=True
    ),
    "StartSell": CommandSpec(
        "StartSell",
        requires=(_is("state", 3),),
        steps=(Write("sell", Operand(1)),),
        confirm=Confirm((_is("selling", 1),), 20),
    ),
    "StopSell": CommandSpec("StopSell", steps=(Write("sell", Operand(0)),), confirm=Confirm((_is("selling", 0),), 20)),
    "Leave": CommandSpec("Leave", steps=(Run("StopSell"), Run("Standby"))),
    "SetAmps": CommandSpec(
        "SetAmps",
        steps=(Write("amps", Operand(argument="amps")),),
        confirm=Confirm((Condition("amps", Comparison.EQ, Operand(argument="amps"), 0.05),), 5),
    ),
    "Hold": CommandSpec(
        "Hold",
        steps=(Write("sell", Operand(1)),),
        confirm=Confirm((_is("selling", 1),), 5),
        keep_alive=KeepAlive(
            2.0, (Write("sell", Operand(1)),), (_is("state", 2),), ("StopSell",), (Write("sell", Operand(0)),)
        ),
    ),
    "Blind": CommandSpec("Blind", steps=(Write("sell", Operand(1)),)),
    "RunCommand": CommandSpec("RunCommand", dispatch={0: "StopSell", 1: "StartSell"}),
}
PROFILE = Profile(
    id="test.inverter",
    version="1",
    protocol="modbus",
    model=MODEL,
    models=(),
    provenance="simulated",
    documents=("this file",),
    modbus=ModbusLimits(),
    sources={},
    groups=(),
    commands=COMMANDS,
    settings={
        "trigger": SettingSpec("trigger", Range(0, 1), 0.0, 5, persistent=False, readable=False),
        "amps": SettingSpec("amps", Range(0, 60), 0.05, 5, persistent=True),
    },
    identify=(),
    simulation=None,
    parameters={},
)


def inverter(control: bool = True) -> Device:
    return Device("xw1", MODEL, control=control)


@dataclass
class Plant:
    """The port of one device. `acts` maps a written point to the points that follow it and the delay."""

    clock: FakeClock
    values: dict[str, Value] = field(
        default_factory=lambda: {"state": 3, "selling": 0, "mode": 3, "sell": 0, "amps": 5.0}
    )
    acts: dict[str, tuple[str, float]] = field(
        default_factory=lambda: {"mode": ("state", 1.0), "sell": ("selling", 1.0)}
    )
    writes: list[tuple[str, Value, Priority]] = field(default_factory=list)
    times: list[float] = field(default_factory=list)  # of the writes
    reads: int = 0
    slow_reads_s: float = 0.0
    ignores: set[str] = field(default_factory=set)  # acknowledged, without effect
    on_write: Callable[[Setting], DriverError | None] = lambda _setting: None
    on_read: Callable[[], DriverError | None] = lambda: None
    tasks: list[asyncio.Task[None]] = field(default_factory=list)

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        for setting in settings:
            self.writes.append((setting.point, setting.value, priority))
            self.times.append(self.clock.monotonic())
            error = self.on_write(setting)
            if error is not None:
                raise error
            if setting.point in self.ignores:
                continue
            if setting.point == "amps":
                self.values["amps"] = setting.value
            elif setting.point in self.acts:
                self.tasks.append(asyncio.ensure_future(self._act(*self.acts[setting.point], setting.value)))

    async def _act(self, point: str, after_s: float, value: Value) -> None:
        await self.clock.sleep(after_s)
        self.values[point] = value

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        self.reads += 1
        if self.slow_reads_s:
            await self.clock.sleep(self.slow_reads_s)
        error = self.on_read()
        if error is not None:
            raise error
        return {point: Sample(self.values[point], int(Status.GOOD), self.clock.now()) for point in points}
