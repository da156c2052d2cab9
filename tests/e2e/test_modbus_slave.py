"""The bus against a slave that is not ours (libmodbus in C), over every link: what goes over the wire, and back."""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from address_space.model import DataType, Status
from drivers.base import Driver, NoAnswer, Priority, Rejected, Setting
from drivers.modbus import modbus_bus
from drivers.spec import BusConfig, BusUnit, ModbusLimits, RawType, SerialLine, Table, TcpPeer, WordOrder
from node.clock import RealClock
from tests.drivers.equipment import devices, point, profile, source
from tests.e2e.slave import Registers, Slave, WriteRequest, answer_exception, reject, write_image
from tests.e2e.slave.pty_line import PtyLine

pytestmark = pytest.mark.e2e

# Registers 0x40, 0x41 (a hole behind them), 0x50 in the input table, 0x1b6 and 0x1b7: one value in two words.
IMAGE = (
    Registers(10, 0x0040, (3, 1)),
    Registers(10, 0x0044, (8,)),
    Registers(10, 0x01B6, (0, 0)),
    Registers(10, 0x0050, (0x0000, 0xCFD0), "input"),
    Registers(11, 0x0040, (3, 1)),
)
SOURCES = {
    "mode": source(0x40),
    "present": source(0x41),
    "behind": source(0x44),
    "voltage": source(0x50, RawType.U32, 2, table=Table.INPUT, scale=0.001),
    "amps": source(0x1B6, RawType.U32, 2, scale=0.001),
}
POINTS = [point(p, DataType.DOUBLE, stale_after_s=2.0, bad_after_s=30.0) for p in SOURCES]


def units(*addresses: int, single: bool = True) -> list[BusUnit]:
    one = profile(POINTS, SOURCES, {"fast": (0.1, list(SOURCES))}, modbus=ModbusLimits(max_gap=10, write_single=single))
    return [BusUnit(f"d{address}", address, one, control=True) for address in addresses]


class Running:
    """A bus at work on the slave."""

    def __init__(self, slave: Slave, image: ProcessImage, bus: Driver) -> None:
        self.slave, self.image, self._bus = slave, image, bus

    def value(self, point_id: str, device: str = "d10") -> object:
        return self.image.sample(self.image.slot(device, point_id)).value

    def status(self, point_id: str, device: str = "d10") -> int:
        return self.image.sample(self.image.slot(device, point_id)).status

    async def until(self, holds: Callable[[], bool]) -> None:
        async with asyncio.timeout(10):
            while not holds():  # noqa: ASYNC110  # the image knows no events
                await asyncio.sleep(0.01)

    async def write(self, *settings: Setting, device: str = "d10") -> list[WriteRequest]:
        self.slave.forget()
        deadline = RealClock().monotonic() + 3
        await self._bus.write(device, settings, Priority.COMMAND, deadline)
        return await self.slave.until_writes(len(settings))


@contextlib.asynccontextmanager
async def link(kind: str, program: Path, image_file: Path) -> AsyncIterator[tuple[Slave, SerialLine | TcpPeer]]:
    async with contextlib.AsyncExitStack() as stack:
        if kind == "rtu":
            line = await stack.enter_async_context(PtyLine())
            slave = await stack.enter_async_context(Slave(program, image_file, tcp=False, tty=line.device_path))
            yield slave, SerialLine(line.node_path, 9600)
        elif kind == "rtu_over_tcp":
            slave = await stack.enter_async_context(Slave(program, image_file, tcp=False, rtu_tcp=True))
            yield slave, TcpPeer("127.0.0.1", slave.rtu_tcp_port)
        else:
            slave = await stack.enter_async_context(Slave(program, image_file))
            yield slave, TcpPeer("127.0.0.1", slave.port)


@pytest.fixture(params=["tcp", "rtu", "rtu_over_tcp"])
def start(request: pytest.FixtureRequest, slave_program: Path, tmp_path: Path):
    """`start(units, order)` runs a bus on a fresh slave; each test runs over each link."""
    image_file = write_image(tmp_path / "image.txt", IMAGE)

    @contextlib.asynccontextmanager
    async def started(on: list[BusUnit], order: WordOrder | None = None) -> AsyncIterator[Running]:
        async with link(request.param, slave_program, image_file) as (slave, peer):
            config = BusConfig("line", "modbus", peer, request.param, word_order=order, timeout_s=0.5, retry_min_s=0.1)
            clock = RealClock()
            image = ProcessImage(devices(config, on), clock)
            bus = modbus_bus(config, on, image, clock)
            task = asyncio.create_task(bus.run())
            try:
                yield Running(slave, image, bus)
                assert not task.done()
            finally:
                task.cancel()
                await asyncio.gather(task, return_exceptions=True)

    return started


async def test_values_of_both_tables_arrive_and_a_hole_between_them_is_read_around(start) -> None:
    async with start(units(10)) as node:
        await node.until(lambda: node.value("behind") == 8.0 and node.value("voltage") is not None)
        assert node.value("voltage") == 53.2
        assert (node.value("mode"), node.value("present"), node.value("amps")) == (3.0, 1.0, 0.0)


@pytest.mark.parametrize(("order", "words"), [(WordOrder.BIG, (0, 12345)), (WordOrder.LITTLE, (12345, 0))])
async def test_one_register_is_written_by_function_6_and_more_by_16(start, order: WordOrder, words) -> None:
    async with start(units(10), order) as node:
        await node.until(lambda: node.value("mode") == 3.0)
        assert node.slave.writes() == []
        sent = await node.write(Setting("mode", 2), Setting("amps", 12.345))
        assert [(w.unit, w.function, w.address, w.words) for w in sent] == [
            (10, 6, 0x40, (2,)),
            (10, 16, 0x1B6, words),
        ]
        await node.until(lambda: (node.value("mode"), node.value("amps")) == (2.0, 12.345))


async def test_a_device_without_single_writes_gets_function_16(start) -> None:
    async with start(units(10, single=False)) as node:
        (sent,) = await node.write(Setting("mode", 2))
        assert (sent.function, sent.address, sent.words) == (16, 0x40, (2,))


async def test_a_write_that_the_slave_refuses_says_why(start) -> None:
    async with start(units(10)) as node:
        await node.slave.behaviour(10, 0x40, reject(3))
        with pytest.raises(Rejected, match="illegal data value") as refusal:
            await node.write(Setting("mode", 2))
        assert (refusal.value.code, refusal.value.status) == (3, Status.BAD_DEVICE_FAILURE)


async def test_a_slave_that_acts_and_does_not_answer_is_no_success(start) -> None:
    async with start(units(10)) as node:
        await node.until(lambda: node.value("mode") == 3.0)
        await node.slave.answer(10, "mute")
        with pytest.raises(NoAnswer):
            await node.write(Setting("mode", 2))
        await node.slave.answer(10, "normal")
        await node.until(lambda: node.value("mode") == 2.0)


async def test_a_unit_that_its_gateway_misses_is_offline_and_the_other_goes_on(start) -> None:
    async with start(units(10, 11)) as node:
        await node.until(lambda: node.value("mode") == 3.0 and node.value("mode", "d11") == 3.0)
        await node.slave.answer(11, answer_exception(11))
        await node.until(lambda: node.value("connection", "d11") == 3)
        assert node.value("mode", "d11") == 3.0  # kept until it is too old
        assert node.value("connection", "d10") == 1
        await node.slave.answer(11, "normal")
        await node.until(lambda: node.value("connection", "d11") == 1)


async def test_a_refusing_device_has_bad_values_at_once(start) -> None:
    async with start(units(10)) as node:
        await node.until(lambda: node.value("mode") == 3.0)
        await node.slave.answer(10, answer_exception(4))
        await node.until(lambda: node.status("mode") == Status.BAD_DEVICE_FAILURE)
        await node.slave.answer(10, "normal")
        await node.until(lambda: node.value("mode") == 3.0)
