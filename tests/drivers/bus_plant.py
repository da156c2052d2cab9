"""A bus over a scripted channel on a clock moved by hand, for the tests of drivers/bus.py."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from dataclasses import dataclass

from address_space.image import ProcessImage
from address_space.model import Batch, DataType, Sample
from drivers.base import Priority, Rejected, Setting
from drivers.bus import Bus
from drivers.health import ConnectionState
from drivers.quiet import stranger_s
from drivers.spec import BusConfig, BusUnit, IdentifyCheck, ModbusLimits, Profile, SerialLine, TcpPeer
from tests.drivers.equipment import devices, point, profile, source
from tests.drivers.scripted import ScriptedChannel
from tests.fake_clock import FakeClock

SERIAL = BusConfig("line", "modbus", SerialLine("/dev/none", 9600), "rtu")
TCP = BusConfig("line", "modbus", TcpPeer("none", 502), "tcp")
ONLINE, SUSPECT, OFFLINE, OUT = (ConnectionState(code) for code in (1, 2, 3, 4))


def simple(*addresses: int, period_s: float | None = 1.0, stale_s: float = 3.0, **more: object) -> Profile:
    """One u16 point p<address> at each address, all in one group."""
    sources = {f"p{a}": source(a) for a in addresses or (0,)}
    points = [point(p, DataType.UINT16, stale_after_s=stale_s, bad_after_s=10 * stale_s) for p in sources]
    return profile(points, sources, {"group": (period_s, list(sources))}, **more)


@dataclass
class Plant:
    clock: FakeClock
    channel: ScriptedChannel
    image: ProcessImage
    bus: Bus
    batches: list[Batch]

    def sample(self, device: str, point_id: str) -> Sample:
        return self.image.sample(self.image.slot(device, point_id))

    def state(self, device: str = "d1") -> int:
        value = self.sample(device, "connection").value
        assert isinstance(value, int)
        return value

    def published(self, device: str, point_id: str) -> list[object]:
        slot = self.image.slot(device, point_id)
        return [v for b in self.batches for s, v in zip(b.slots, b.values, strict=True) if s == slot]

    async def write(self, device: str = "d1", point_id: str = "p0", value: int = 7, within_s: float = 5.0) -> None:
        deadline = self.clock.monotonic() + within_s
        await self.bus.write(device, [Setting(point_id, value)], Priority.COMMAND, deadline)


@contextlib.asynccontextmanager
async def plant(
    clock: FakeClock, *profiles: Profile, config: BusConfig = SERIAL, control: bool = True, **channel: object
) -> AsyncIterator[Plant]:
    """Units 1, 2, ... as devices d1, d2, ... with registers 0 to 99 holding their own address."""
    opening_s = 0.0
    if config.framing != "tcp":
        opening_s = stranger_s(config) + config.timeout_s  # silence, and a read that nobody needs
        clock.start_at(clock.monotonic() - opening_s)  # so that the plant is polled from 0.0 on
    units = [BusUnit(f"d{n}", n, one, control) for n, one in enumerate(profiles, 1)]
    registers = {n: {a: a for a in range(100)} for n in range(1, len(units) + 1)}
    wire = ScriptedChannel(clock, **({"registers": registers, "numbered": config.framing == "tcp"} | channel))
    image = ProcessImage(devices(config, units), clock)
    batches: list[Batch] = []
    image.tap(lambda batch, changed: batches.append(batch))
    bus = Bus(config, units, image, clock, wire)
    task = asyncio.create_task(bus.run())
    if opening_s:
        # Up to the last moment of the opening, so that a test sees the bus as if it began there.
        await clock.advance(opening_s - 0.001)
        wire.sent.clear()
        wire.silent_s = 0.0
        await clock.advance(0.001)
    try:
        yield Plant(clock, wire, image, bus, batches)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


def refusing(code: int, unit: int = 1):
    return lambda r: Rejected(f"exception {code}", code) if r.unit == unit else None


def start(clock: FakeClock, one: Profile, config: BusConfig = SERIAL, **channel: object) -> tuple[Plant, asyncio.Task]:
    """A plant of one unit from the very first moment on."""
    units = [BusUnit("d1", 1, one, control=True)]
    wire = ScriptedChannel(clock, {1: {a: a for a in range(100)}}, **channel)
    image = ProcessImage(devices(config, units), clock)
    bus = Bus(config, units, image, clock, wire)
    return Plant(clock, wire, image, bus, []), asyncio.create_task(bus.run())


async def stop(task: asyncio.Task) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


def identified() -> Profile:
    return simple(0, 50, identify=[IdentifyCheck("p50", one_of=(50,))], modbus=ModbusLimits(max_gap=0))
