"""Links that lose answers, connections and ports, and what a running bus makes of it."""

import asyncio
import contextlib
import os
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from address_space.model import DataType, Status
from drivers.base import NoAnswer, Unreachable
from drivers.channel import Read
from drivers.modbus import ModbusChannel, modbus_bus
from drivers.spec import BusConfig, BusUnit, RawType, SerialLine, Table, TcpPeer
from node.clock import RealClock
from tests.drivers.equipment import devices, point, profile, source
from tests.e2e.chaos.faults import Dice, Fault
from tests.e2e.chaos.slave import ChaosSlave, PtyLine, TcpLine

pytestmark = pytest.mark.e2e

UNIT = BusUnit(
    "d1",
    1,
    profile(
        [point("p", DataType.UINT32, stale_after_s=2.0, bad_after_s=30.0)],
        {"p": source(0, RawType.U32, 2)},
        {"fast": (0.02, ["p"])},
    ),
    control=False,
)
QUICK = {"timeout_s": 0.2, "retry_min_s": 0.02, "retry_max_s": 0.1}


class Scripted(ChaosSlave):
    """Answers the first requests as scripted, the others well."""

    script: list[Fault]

    def request(self, number: int, unit: int, pdu: bytes, send: Callable[[bytes], None]) -> None:
        self.dice.throw = lambda: self.script.pop(0) if self.script else Fault.NONE  # type: ignore[method-assign]
        super().request(number, unit, pdu, send)


def slave(*script: Fault, rtu: bool = True) -> Scripted:
    one = Scripted(Dice(1, 0.0), QUICK["timeout_s"], rtu)
    one.script = list(script)
    return one


@contextlib.asynccontextmanager
async def running(config: BusConfig) -> AsyncIterator[ProcessImage]:
    clock = RealClock()
    image = ProcessImage(devices(config, [UNIT]), clock)
    task = asyncio.create_task(modbus_bus(config, [UNIT], image, clock).run())
    try:
        yield image
        assert not task.done(), "the bus ended by itself"
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


async def eventually(holds: Callable[[], bool]) -> None:
    async with asyncio.timeout(10):
        while not holds():  # noqa: ASYNC110  # what is awaited is in the image, which knows no events
            await asyncio.sleep(0.005)


def is_fresh(image: ProcessImage, since: int) -> bool:
    sample = image.sample(image.slot("d1", "p"))
    return sample.status == Status.GOOD and sample.ticks > since


def connection(image: ProcessImage, device: str) -> object:
    return image.sample(image.slot(device, "connection")).value


async def test_a_late_rtu_answer_is_not_the_answer_to_the_next_request() -> None:
    line = slave(Fault.LATE)
    line.dice.lateness = lambda timeout_s: timeout_s * 1.25  # type: ignore[method-assign]
    pty = PtyLine(line)
    clock = RealClock()
    channel = ModbusChannel(BusConfig("b", "modbus", SerialLine(pty.path), "rtu"), clock)
    try:
        await channel.open()
        with pytest.raises(NoAnswer):
            await channel.transact(Read(1, Table.HOLDING, 100, 2), clock.monotonic() + 0.2)
        # Asked before the late answer is there, so that it comes first; it has another length and is thrown away.
        line.script = [Fault.LATE]
        line.dice.lateness = lambda timeout_s: timeout_s  # type: ignore[method-assign]
        data = await channel.transact(Read(1, Table.HOLDING, 200, 3), clock.monotonic() + 2)
        assert data[:2] == (1024 + 100).to_bytes(2, "big")
        assert [(s.unit, s.function, s.size) for s in channel.strays()] == [(1, 3, 4)]
    finally:
        await channel.close()
        pty.close()


async def test_a_late_tcp_answer_is_told_by_its_number_even_where_it_has_the_same_length() -> None:
    line = slave(Fault.LATE, rtu=False)
    line.dice.lateness = lambda timeout_s: timeout_s * 1.25  # type: ignore[method-assign]
    tcp = TcpLine(line)
    await tcp.start()
    clock = RealClock()
    channel = ModbusChannel(BusConfig("b", "modbus", TcpPeer("127.0.0.1", tcp.port)), clock)
    try:
        await channel.open()
        with pytest.raises(NoAnswer):
            await channel.transact(Read(1, Table.HOLDING, 100, 2), clock.monotonic() + 0.2)
        line.script = [Fault.LATE]
        line.dice.lateness = lambda timeout_s: timeout_s  # type: ignore[method-assign]
        data = await channel.transact(Read(1, Table.HOLDING, 200, 2), clock.monotonic() + 2)
        assert data[:2] == (1024 + 100).to_bytes(2, "big")
        (stray,) = channel.strays()
        assert stray.late_s is not None
    finally:
        await channel.close()
        await tcp.close()


async def test_a_gateway_that_drops_its_connections_is_connected_to_again() -> None:
    tcp = TcpLine(slave(rtu=False))
    await tcp.start()
    try:
        async with running(BusConfig("line", "modbus", TcpPeer("127.0.0.1", tcp.port), **QUICK)) as image:
            await eventually(lambda: is_fresh(image, 0))
            for _ in range(3):
                seen, before = RealClock().now(), tcp.connections
                tcp.drop()
                await eventually(lambda: is_fresh(image, seen) and tcp.connections > before)  # noqa: B023
            assert connection(image, "d1") == 1
    finally:
        await tcp.close()


async def test_a_gateway_that_is_away_for_a_while_is_found_again_without_a_restart() -> None:
    tcp = TcpLine(slave(rtu=False))
    await tcp.start()
    config = BusConfig("line", "modbus", TcpPeer("127.0.0.1", tcp.port), **QUICK)
    try:
        async with running(config) as image:
            await eventually(lambda: is_fresh(image, 0))
            await tcp.close()
            await eventually(lambda: connection(image, "line") == 3 and connection(image, "d1") == 3)
            last = image.sample(image.slot("d1", "p"))
            seen = RealClock().now()
            await asyncio.sleep(0.2)
            assert image.sample(image.slot("d1", "p")) == last
            await tcp.start()
            await eventually(lambda: is_fresh(image, seen) and connection(image, "d1") == 1)
    finally:
        await tcp.close()


async def test_a_serial_adapter_that_is_unplugged_and_plugged_in_again_goes_on(tmp_path: Path) -> None:
    port = tmp_path / "tty"
    line = slave()
    pty = PtyLine(line)
    port.symlink_to(pty.path)
    try:
        async with running(BusConfig("line", "modbus", SerialLine(str(port), 115200), "rtu", **QUICK)) as image:
            await eventually(lambda: is_fresh(image, 0))
            pty.close()
            port.unlink()
            await eventually(lambda: connection(image, "line") == 3)
            seen = RealClock().now()
            pty = PtyLine(line)
            port.symlink_to(pty.path)
            await eventually(lambda: is_fresh(image, seen))
    finally:
        pty.close()


async def test_a_port_where_nobody_listens_and_a_device_that_is_missing_are_unreachable(tmp_path: Path) -> None:
    tcp = TcpLine(slave())
    await tcp.start()
    await tcp.close()
    for link, framing in (
        (TcpPeer("127.0.0.1", tcp.port), "tcp"),
        (SerialLine(str(tmp_path / "none")), "rtu"),
        (SerialLine(os.devnull), "rtu"),
    ):
        with pytest.raises(Unreachable):
            await ModbusChannel(BusConfig("b", "modbus", link, framing), RealClock()).open()
