"""The serial line driver against the simulated collector on a pty: right values or none, whatever the board does."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path
from random import Random

import pytest

from address_space.image import ProcessImage
from address_space.model import Batch, Sample, Status, is_good
from address_space.system import bus_model
from drivers.base import NoAnswer, Priority
from drivers.serial_line import SerialLineBus
from drivers.simulator import Simulator
from drivers.simulator.collector import Collector
from drivers.simulator.device import LineDevice
from drivers.simulator.pty_port import PtyPort
from drivers.spec import BusConfig, BusUnit, SerialLine
from node.clock import RealClock
from tests.drivers.simulator import plants

pytestmark = pytest.mark.e2e


class Plant:
    """A collector, its simulator and its driver over one pty."""

    def __init__(self, path: Path, **bus: float) -> None:
        self.clock = RealClock()
        self.bus = replace(BusConfig("col", "serial_line", SerialLine(str(path), 115200)), retry_min_s=0.2, **bus)  # type: ignore[arg-type]
        self.unit: BusUnit = plants.unit("col1", 0, plants.collector(period_s=0.2))
        model = replace(plants.device(self.unit), id="col", model=bus_model(), bus=None)
        self.image = ProcessImage([plants.device(self.unit), model], self.clock)
        self.driver = SerialLineBus(self.bus, [self.unit], self.image, self.clock)
        self.simulator = Simulator([(self.bus, [self.unit])], self.clock)
        self.published: list[float] = []  # every current that was ever shown
        self.image.tap(self._tap)

    def _tap(self, batch: Batch, _changed: object) -> None:
        slot = self.image.slot("col1", "current")
        for one, value in zip(batch.slots, batch.values, strict=True):
            if one == slot and isinstance(value, float):
                self.published.append(round(value, 2))

    @property
    def board(self) -> LineDevice:
        device = self.simulator.device("col1")
        assert isinstance(device, LineDevice)
        return device

    def sample(self, point: str, device: str = "col1") -> Sample:
        return self.image.sample(self.image.slot(device, point))

    def count(self, point: str) -> int:
        value = self.sample(point).value
        return value if isinstance(value, int) else 0

    async def until(self, holds: Callable[[], bool], within_s: float = 20.0) -> None:
        async with asyncio.timeout(within_s):
            while not holds():  # noqa: ASYNC110  # the image has no event for what a test waits for
                await asyncio.sleep(0.01)

    async def until_current(self, amps: float) -> None:
        await self.until(lambda: self.sample("current").value == pytest.approx(amps, abs=0.05))


@asynccontextmanager
async def plant(tmp_path: Path, **bus: float) -> AsyncIterator[Plant]:
    made = Plant(tmp_path / "tty-col", **bus)
    await made.simulator.start()
    task = asyncio.create_task(made.driver.run())
    try:
        yield made
    finally:
        task.cancel()
        await asyncio.wait([task])
        await made.simulator.stop()
    assert task.cancelled()


async def test_values_come_with_unit_and_status_after_the_reset_of_the_board(tmp_path: Path) -> None:
    async with plant(tmp_path) as it:
        it.board.raw = 600.0
        assert it.sample("current").status == Status.BAD_WAITING_FOR_INITIAL_DATA
        await it.until(lambda: is_good(it.sample("current").status))
        assert it.sample("raw").value == 600.0
        assert it.sample("voltage").value == pytest.approx(0.4296875)
        assert it.sample("current").value == pytest.approx(6.5104167)
        assert it.sample("power").value == pytest.approx(32.5520833)
        assert it.sample("current").ticks == it.sample("raw").ticks <= it.clock.now()
        await it.until(lambda: it.sample("connection").value == 1 == it.sample("connection", "col").value)
        it.board.set("current", 10.5)  # over the limit of 10 A
        await it.until(lambda: it.sample("current").status == Status.BAD_OUT_OF_RANGE)
        assert it.sample("current").value is it.sample("power").value is None
        it.board.set("current", -10.5)
        await it.until(lambda: it.sample("raw").value == pytest.approx(it.board.raw, abs=0.01))
        assert it.sample("current").status == Status.BAD_OUT_OF_RANGE
        it.board.set("current", -2.0)
        await it.until_current(-2.0)
        assert it.count("failures") == 0


async def test_a_reader_gets_a_fresh_answer(tmp_path: Path) -> None:
    async with plant(tmp_path) as it:
        await it.until_current(4.0)
        it.board.set("current", 1.5)
        asked = it.clock.now()
        samples = await it.driver.read("col1", ["current"], Priority.COMMAND, it.clock.monotonic() + 10)
        assert samples["current"].value == pytest.approx(1.5, abs=0.05)
        assert samples["current"].ticks >= asked
        assert set(samples) == {"current"}
        it.board.faults.silent = True
        with pytest.raises(NoAnswer):
            await it.driver.read("col1", ["current"], Priority.COMMAND, it.clock.monotonic() + 0.5)


@pytest.mark.slow
async def test_a_late_answer_never_passes_for_a_later_one(
    tmp_path: Path, seed: int, scaled: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    """The n-th question measures 400 + n; what is published belongs to the newest question."""
    asked = 0
    delays = Random(seed)
    received = Collector.received

    def count(self: Collector, data: bytes) -> None:
        nonlocal asked
        asked += data.count(b"rea")
        self.device.raw = 400.0 + asked
        self.device.faults.delay_s = delays.choice((0.0, 0.0, 0.1, 0.3, 0.6, 1.0))  # up to 5 time-outs
        received(self, data)

    monkeypatch.setattr(Collector, "received", count)
    async with plant(tmp_path, timeout_s=0.2, quiet_max_s=0.5) as it:
        shown: list[tuple[object, float]] = []
        slot = it.image.slot("col1", "raw")

        def see(batch: Batch, _changed: object) -> None:
            for one, value in zip(batch.slots, batch.values, strict=True):
                if one == slot and value is not None:
                    shown.append((value, 400.0 + asked))

        it.image.tap(see)
        await it.until(lambda: asked >= scaled(100) and len(shown) >= scaled(50), 280)
        assert [value for value, _ in shown] == [newest for _, newest in shown]
        assert it.count("late_replies") + it.count("timeouts") > 0


async def test_a_time_out_that_is_too_short_costs_the_first_answers_only(tmp_path: Path) -> None:
    async with plant(tmp_path, timeout_s=0.05) as it:  # the board needs 0.1 s for every answer
        await it.until(lambda: len(it.published) >= 5)
        assert 1 <= it.count("timeouts") <= 3
        assert it.count("late_replies") == it.count("timeouts")
        assert set(it.published) == {4.0}


@pytest.mark.slow
async def test_an_answer_that_comes_after_everything_is_thrown_away_with_a_reset(tmp_path: Path) -> None:
    async with plant(tmp_path, timeout_s=0.3, quiet_max_s=0.5) as it:
        await it.until_current(4.0)
        it.board.set("current", 7.0)
        it.board.faults.delay_s = 1.4  # longer than time-out and quiet window together
        await it.until(lambda: it.sample("connection", "col").value == 2)
        it.published.clear()
        it.board.faults.clear()
        it.board.set("current", 3.0)
        await it.until_current(3.0)
        assert set(it.published) == {3.0}


@pytest.mark.slow
async def test_garbage_is_never_a_value_and_renews_no_time(tmp_path: Path) -> None:
    broken = [b"nan\r\n", b"hello\r\n", b"\xff\xfe\x9a\r\n", b"99999.0\r\n", b"566.07\r\n566.07\r\n", b"inf\r\n"]
    async with plant(tmp_path) as it:
        await it.until_current(4.0)
        for garbage in broken:
            before = it.count("malformed")
            it.board.faults.garbage = garbage
            await it.until(lambda before=before: it.count("malformed") > before)  # type: ignore[misc]
            source = it.sample("current").ticks
            before = it.count("malformed")
            await it.until(lambda before=before: it.count("malformed") > before)  # type: ignore[misc]
            assert it.sample("current").ticks == source, garbage
            it.board.faults.clear()
            await it.until(lambda source=source: it.sample("current").ticks > source)  # type: ignore[misc]
        assert set(it.published) == {4.0}


@pytest.mark.parametrize("garbage", [b"566.07", b"x" * 200])
async def test_a_line_without_end_is_no_value_and_does_not_spoil_the_next(tmp_path: Path, garbage: bytes) -> None:
    async with plant(tmp_path, timeout_s=0.3, quiet_max_s=0.3) as it:
        await it.until_current(4.0)
        it.board.faults.garbage = garbage
        await it.until(lambda: it.count("malformed") >= 1)
        it.published.clear()
        it.board.faults.clear()
        it.board.set("current", 1.0)
        await it.until_current(1.0)
        assert set(it.published) == {1.0}


async def test_a_line_that_is_unplugged_comes_back_by_itself_and_says_both_once(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level("INFO", "drivers.serial_line")
    async with plant(tmp_path) as it:
        await it.until_current(4.0)
        caplog.clear()
        await it.simulator.stop()
        await it.until(lambda: it.sample("connection").value == 3 == it.sample("connection", "col").value)
        assert it.sample("current").value == pytest.approx(4.0, abs=0.05), "its age says the rest"
        assert "tty-col" in str(it.sample("last_error").value)
        await it.simulator.start()
        it.board.set("current", 6.0)
        await it.until_current(6.0)
        await it.until(lambda: it.sample("reconnects", "col").value == 1)
        assert [record.levelname for record in caplog.records] == ["WARNING", "INFO"]


async def test_a_line_that_was_never_there_says_so_and_is_found_later(tmp_path: Path) -> None:
    it = Plant(tmp_path / "tty-col")
    task = asyncio.create_task(it.driver.run())
    await it.until(lambda: it.sample("current").status == Status.BAD_NO_COMMUNICATION)
    await it.simulator.start()
    await it.until_current(4.0)
    task.cancel()
    await asyncio.wait([task])
    await it.simulator.stop()


@pytest.mark.slow
async def test_a_board_that_does_not_reset_and_answers_five_time_outs_late_is_not_believed(tmp_path: Path) -> None:
    """Its answer comes after the port was opened again; the n-th question measures 400 + n."""
    it = Plant(tmp_path / "tty-col", timeout_s=1.0, quiet_max_s=0.3)
    port = PtyPort(str(tmp_path / "tty-col"), it.clock)
    asked, shown, answers = 0, [], []
    late_s = 5.0

    async def answer(raw: float, after_s: float) -> None:
        await asyncio.sleep(after_s)
        port.write(f"{raw:.2f}\r\n".encode())

    def received(data: bytes) -> None:
        nonlocal asked
        asked += data.count(b"rea")
        answers.append(asyncio.create_task(answer(400.0 + asked, late_s if asked == 1 else 0.1)))

    raw = it.image.slot("col1", "raw")
    it.image.tap(
        lambda batch, _: shown.extend(v for s, v in zip(batch.slots, batch.values, strict=True) if s == raw and v)
    )
    await port.start(received)
    task = asyncio.create_task(it.driver.run())
    try:
        await it.until(lambda: len(shown) >= 2)
        assert 401.0 not in shown, "the answer to the first question was given up"
        assert shown[0] == 402.0
    finally:
        task.cancel()
        await asyncio.wait([task, *answers])
        await port.stop()
