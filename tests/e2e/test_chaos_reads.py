"""Thousands of reads against slaves that answer late, broken, doubled, refusing or not at all.

Each register tells its own address and the number of the request that it answers, so a value that was put in the
wrong place, or that came with an earlier answer, shows.
"""

import asyncio
import contextlib
from collections.abc import AsyncIterator, Callable, Sequence

import pytest

from address_space.image import ProcessImage
from address_space.model import Batch, DataType, is_good
from drivers.modbus import modbus_bus
from drivers.spec import BusConfig, BusUnit, ModbusLimits, RawType, SerialLine, Table, TcpPeer
from node.clock import RealClock
from tests.drivers.equipment import devices, point, profile, source
from tests.e2e.chaos.faults import Dice, Fault
from tests.e2e.chaos.slave import ChaosSlave, PtyLine, TcpLine

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

LINKS = ["rtu", "rtu_over_tcp", "tcp"]
TIMEOUT_S = 0.01
STALE_S = 0.6
UNITS = (1, 2)
FAULTY_PART = 0.2
REQUESTS_A_LIFE = 12
# Pairs of registers, most of them alone: with many blocks of one length a late answer finds the next one easily.
PAIRS = {Table.HOLDING: (0, 20, 40, 60, 80, 100, 120, 140, 200, 202, 204, 206), Table.INPUT: (0, 60)}


def plant() -> list[BusUnit]:
    sources = {
        f"{table.value}_{address}": source(address, RawType.U32, 2, table=table)
        for table, pairs in PAIRS.items()
        for address in pairs
    }
    points = [point(p, DataType.UINT32, stale_after_s=STALE_S, bad_after_s=3 * STALE_S) for p in sources]
    ids = list(sources)
    one = profile(
        points, sources, {"fast": (0.02, ids[::2]), "slow": (0.05, ids[1::2])}, modbus=ModbusLimits(max_gap=4)
    )
    return [BusUnit(f"d{unit}", unit, one, control=False) for unit in UNITS]


@contextlib.asynccontextmanager
async def link(kind: str, slave: ChaosSlave) -> AsyncIterator[BusConfig]:
    quick = {"timeout_s": TIMEOUT_S, "quiet_max_s": 0.1, "retry_min_s": 0.02, "retry_max_s": 0.1}
    if kind == "rtu":
        pty = PtyLine(slave)
        try:
            yield BusConfig("line", "modbus", SerialLine(pty.path, 115200), kind, **quick)
        finally:
            pty.close()
    else:
        tcp = TcpLine(slave, transparent=kind == "rtu_over_tcp")
        await tcp.start()
        try:
            yield BusConfig("line", "modbus", TcpPeer("127.0.0.1", tcp.port), kind, **quick)
        finally:
            await tcp.close()


class Judge:
    """Sees every batch as the image stores it, and writes down what is wrong with it."""

    def __init__(self, image: ProcessImage, slave: ChaosSlave, clock: RealClock) -> None:
        self.wrong: list[str] = []
        self.good = 0
        self._image, self._slave, self._clock = image, slave, clock
        self._asked: dict[int, int] = {}  # slot -> number of the request that its value came with
        self._fresh: dict[int, float] = {}  # slot -> when that was
        self._limits: dict[int, float] = {}
        self._identity: dict[int, int] = {}
        for device, one, slot in image:
            if one.stale_after_s is not None:
                self._limits[slot] = one.stale_after_s
                self._identity[slot] = device.unit * 1024 + int(one.id.rpartition("_")[2]) // 2
        image.tap(self.see)

    def see(self, batch: Batch, changed: Sequence[int]) -> None:
        for slot, value, status in zip(batch.slots, batch.values, batch.statuses, strict=True):
            if slot not in self._identity or not is_good(status):
                continue
            self.good += 1
            identity, number = divmod(int(value), 0x1_0000)
            name = f"slot {slot}: {value:#x}"
            if identity != self._identity[slot]:
                self.wrong.append(f"{name} is not of {self._identity[slot]:#x}")
            # One request at a time: what is published now must answer the newest that the slave has seen.
            if number != self._slave.requests & 0xFFFF:
                self.wrong.append(f"{name} is an answer to {number}, the last request was {self._slave.requests}")
            if self._asked.get(slot) == number:
                self.wrong.append(f"{name}: request {number} renewed it twice")
            self._asked[slot] = number
            self._fresh[slot] = self._clock.monotonic()

    async def watch_ages(self) -> None:
        while True:
            self._image.age()
            now = self._clock.monotonic()
            for slot, limit_s in self._limits.items():
                if is_good(self._image.statuses[slot]) and now - self._fresh[slot] > limit_s:
                    self.wrong.append(f"slot {slot} is Good after {now - self._fresh[slot]:.3f} s")
            await asyncio.sleep(0.02)


@pytest.mark.parametrize("kind", LINKS)
async def test_no_answer_of_a_bad_line_becomes_a_wrong_value(
    kind: str, seed: int, scaled: Callable[[int], int]
) -> None:
    reads = scaled(10_000)
    slave = ChaosSlave(Dice(seed, FAULTY_PART), TIMEOUT_S, rtu=kind != "tcp", slow=True)
    clock, units = RealClock(), plant()
    async with link(kind, slave) as config:
        image = ProcessImage(devices(config, units), clock)
        judge = Judge(image, slave, clock)
        bus = modbus_bus(config, units, image, clock)
        tasks = [asyncio.create_task(bus.run()), asyncio.create_task(judge.watch_ages())]
        try:
            while slave.requests < reads:
                for task in tasks:
                    if task.done():
                        task.result()
                # One device says nothing for a while, long enough to become stale.
                slave.dead = {2} if reads // 4 < slave.requests < reads // 2 else set()
                await asyncio.sleep(0.01)
        finally:
            for task in tasks:
                task.cancel()
            await asyncio.gather(*tasks, return_exceptions=True)
        counts = {fault.value: n for fault, n in slave.dice.thrown.items()}
        print(f"{slave.requests} requests, {slave.answered} answered, {judge.good} good values, {counts}")
        print({p.id: image.sample(s).value for d, p, s in image if d.id == "line"})
        assert judge.wrong == []
        assert slave.violations == []
        assert all(slave.dice.thrown[fault] for fault in Fault)
        assert judge.good > reads // 2  # and it was no empty run


class Owing(Dice):
    """Gives the last two answers of a life late: when it ends they are still to come."""

    left = 0

    def throw(self) -> Fault:
        self.left -= 1
        return super().throw() if self.left > 2 else Fault.LATE


@pytest.mark.parametrize("kind", LINKS)
async def test_what_is_owed_to_a_bus_that_was_stopped_is_no_value_of_its_successor(
    kind: str, seed: int, scaled: Callable[[int], int]
) -> None:
    dice = Owing(seed, FAULTY_PART)
    slave = ChaosSlave(dice, TIMEOUT_S, rtu=kind != "tcp", slow=True)
    clock, units = RealClock(), plant()
    async with link(kind, slave) as config:
        image = ProcessImage(devices(config, units), clock)
        judge = Judge(image, slave, clock)
        for _ in range(scaled(300)):
            dice.left = REQUESTS_A_LIFE
            task = asyncio.create_task(modbus_bus(config, units, image, clock).run())
            while dice.left > 0:
                await asyncio.sleep(0.001)
                if task.done():
                    task.result()
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        print(f"{slave.requests} requests, {slave.answered} answered, {judge.good} good values")
        assert judge.wrong == []
        assert judge.good > 2 * scaled(300)
