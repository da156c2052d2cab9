"""The way of one sink through a real journal, with a sink in memory and a clock that only the test moves."""

import asyncio
import logging
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from random import Random

import pytest

from address_space.image import ProcessImage
from address_space.model import Batch, Device, Value
from address_space.system import node_model, sink_model
from node.historian.forwarding.feed import Portion
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.forwarding.forward import CLOCK_SET, Forwarder
from node.historian.journal import Journal
from node.sinks.base import Answer, Lines, Misconfigured, Poison, SinkConfig, Stored
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import MODEL

SINK = "central"


@dataclass
class MemorySink:
    """Keeps the newest line of every tag and time, and the order in which lines came."""

    kept: dict[str, str] = field(default_factory=dict)
    order: list[str] = field(default_factory=list)
    poison: str = ""
    answer: Answer | None = None

    def encode(self, portion: Portion) -> Lines:
        samples = portion.samples
        texts = [
            f"{tag}@{ticks}={value}"
            for tag, ticks, value in zip(portion.tags, samples.ticks, samples.values, strict=True)
        ]
        return Lines(texts, list(samples.ticks))

    async def open(self) -> None: ...

    async def send(self, lines: Sequence[str]) -> Answer:
        if self.answer is not None:
            return self.answer
        if self.poison in lines:
            return Poison("poison", "poison")
        self.order += lines
        self.kept.update(line.split("=") for line in lines)
        return Stored()

    async def ping(self) -> bool:
        return True

    async def close(self) -> None: ...


@dataclass
class Bench:
    path: Path
    image: ProcessImage
    journal: Journal
    feed: FeedReader
    sink: MemorySink
    clock: FakeClock
    forwarder: Forwarder
    task: "asyncio.Task[None] | None" = None
    ticks: int = START

    def record(self, value: Value, ticks: int | None = None) -> str:
        """One sample; the line that it becomes."""
        self.ticks += 10_000
        ticks = self.ticks if ticks is None else ticks
        self.image.publish(Batch([self.image.slot("xw1", "level")], [value], [0], ticks))
        return f"xw1.level@{ticks}={value}"

    async def record_many(self, count: int) -> list[str]:
        lines = [self.record(number + 1) for number in range(count)]
        assert await self.journal.flush()
        return lines

    def start(self) -> None:
        self.task = asyncio.create_task(self.forwarder.run())

    async def turn(self, seconds: float = 0.1) -> None:
        """Let some time pass, and what waits for the disk come through."""
        await self.journal.read_disk(lambda _connection: None)
        await self.journal.on_disk(lambda _connection: None)
        await asyncio.to_thread(int)
        await self.clock.advance(seconds)

    async def until(self, holds: Callable[[], bool], turns: int = 2000) -> None:
        for _ in range(turns):
            if holds():
                return
            await self.turn()
        raise AssertionError("it does not happen")

    def shown(self, point: str) -> Value | None:
        return self.image.values[self.image.slot(SINK, point)]

    async def stop(self) -> None:
        if self.task is not None:
            self.task.cancel()
            await asyncio.gather(self.task, return_exceptions=True)
            self.task = None


@asynccontextmanager
async def bench(path: Path, clock: FakeClock, rate: float | None = None) -> AsyncIterator[Bench]:
    image = ProcessImage([Device("xw1", MODEL), Device(SINK, sink_model()), Device("node", node_model())], clock)
    journal = Journal(path, image, clock)
    image.tap(journal.offer)
    feed, sink = FeedReader(journal, clock, journal.damage), MemorySink()
    config = SinkConfig(SINK, "memory", replay_rate=rate)
    forwarder = Forwarder(feed, sink, config, image, clock, Random(1))
    journal.committed.append(forwarder.wake)
    one = Bench(path, image, journal, feed, sink, clock, forwarder)
    try:
        yield one
    finally:
        await one.stop()
        await journal.stop()


def plant_lines(lines: Sequence[str]) -> list[str]:
    return [line for line in lines if line.startswith("xw1.")]


async def test_what_is_committed_is_forwarded_in_order(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        lines = await one.record_many(50)
        one.start()
        await one.until(lambda: len(plant_lines(one.sink.order)) == 50)
        lines += await one.record_many(5)
        await one.until(lambda: len(plant_lines(one.sink.order)) == 55)
        assert plant_lines(one.sink.order) == lines
        assert one.shown("sink_state") == 1


async def test_the_cursor_stands_where_the_forwarder_ended(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        lines = await one.record_many(20)
        one.start()
        await one.until(lambda: int(one.shown("sent") or 0) >= 20)
        await one.stop()
    async with bench(tmp_path / "history.db", clock) as one:
        one.ticks = START + 10**9
        one.start()
        new = await one.record_many(3)
        await one.until(lambda: len(plant_lines(one.sink.order)) >= 3)
        assert not set(plant_lines(one.sink.order)) & set(lines)
        assert set(new) <= set(one.sink.order)


async def test_nothing_is_sent_while_the_clock_is_not_set(tmp_path: Path) -> None:
    clock = FakeClock(CLOCK_SET - 24 * 365 * 86_400 * 10_000_000)
    async with bench(tmp_path / "history.db", clock) as one:
        one.ticks = clock.now()
        lines = await one.record_many(20)
        one.start()
        for _ in range(100):
            await one.turn(1.0)
        assert one.sink.order == []
        assert one.shown("sink_state") == 6
        clock.step_wall(26 * 365 * 86_400)
        await one.until(lambda: len(plant_lines(one.sink.order)) == 20)
        assert plant_lines(one.sink.order) == lines


async def test_a_replay_keeps_to_its_rate(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock, rate=1000) as one:
        for _ in range(10):
            await one.record_many(500)
        began = clock.monotonic()
        one.start()
        await one.until(lambda: len(set(plant_lines(one.sink.order))) == 5000)
        assert 4.0 <= clock.monotonic() - began <= 8.0
        assert one.shown("sink_state") in (1, 2)


async def test_today_is_not_starved_by_the_replay_of_yesterday(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock, rate=1000) as one:
        for _ in range(40):
            await one.record_many(500)
        one.start()
        await one.until(lambda: one.shown("sink_state") == 2)
        await one.until(lambda: len(plant_lines(one.sink.order)) > 1500)
        line = one.record(-1)
        await one.journal.flush()
        await one.until(lambda: line in one.sink.order)
        assert len(set(plant_lines(one.sink.order))) < 10_000
        # Of a correction that was sent early and what it corrects, the later stands in the end.
        first = START + 10_000 * 19_000
        corrected = one.record(-2, ticks=first)
        await one.journal.flush()
        await one.until(lambda: corrected in one.sink.order)
        await one.until(lambda: len(one.sink.kept) >= 20_001)
        await one.until(lambda: one.shown("sink_state") == 1)
        assert one.sink.kept[f"xw1.level@{first}"] == "-2"


async def test_a_journal_that_is_begun_anew_is_forwarded_from_its_start(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        one.start()
        for _ in range(30):
            await one.record_many(2)
        await one.until(lambda: len(plant_lines(one.sink.order)) == 60)
        await one.until(lambda: one.shown("queue_samples") == 0)
        one.path.unlink()
        lines = [one.record(-1), one.record(-2)]
        assert not await one.journal.flush()
        assert await one.journal.flush()
        await one.until(lambda: set(lines) <= set(one.sink.order))
        assert (await one.feed.newest()).seq < 30


async def test_a_poison_line_goes_to_quarantine_and_the_cursor_on(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        lines = await one.record_many(30)
        one.sink.poison = lines[17]
        one.start()
        await one.until(lambda: one.shown("quarantined") == 1)
        (kept,) = await one.feed.quarantined(SINK)
        assert (kept.line, kept.reason) == (lines[17], "poison")
        assert set(plant_lines(one.sink.order)) == set(lines) - {lines[17]}
        await one.stop()
        assert await one.feed.cursor(SINK) > await one.feed.cursor("another")


async def test_the_queue_is_shown_at_once_when_the_sink_takes_nothing_from_the_start(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        await one.record_many(20)
        one.sink.answer = Misconfigured("wrong")
        one.start()
        began = clock.monotonic()
        await one.until(lambda: one.shown("queue_samples") is not None)
        assert clock.monotonic() - began < 2.0
        assert int(one.shown("queue_samples") or 0) >= 20
        assert one.shown("queue_age") is not None


async def test_the_queue_is_shown_while_the_clock_is_not_set(tmp_path: Path) -> None:
    clock = FakeClock(CLOCK_SET - 24 * 365 * 86_400 * 10_000_000)
    async with bench(tmp_path / "history.db", clock) as one:
        one.ticks = clock.now()
        await one.record_many(20)
        one.start()
        await one.until(lambda: int(one.shown("queue_samples") or 0) >= 20)


async def test_a_sink_that_answers_with_a_refusal_is_online(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        await one.record_many(3)
        one.sink.answer = Misconfigured("HTTP 401", answered=True)
        one.start()
        await one.until(lambda: one.shown("sink_state") == 4)
        assert one.shown("connection") == 1
        assert one.shown("last_answer") is not None


async def test_a_sink_that_cannot_be_asked_is_not_online(tmp_path: Path, clock: FakeClock) -> None:
    async with bench(tmp_path / "history.db", clock) as one:
        await one.record_many(3)
        one.sink.answer = Misconfigured("speaks no TLS")
        one.start()
        await one.until(lambda: one.shown("sink_state") == 4)
        assert one.shown("connection") == 2


async def test_target_and_rate_are_shown_and_logged(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with bench(tmp_path / "history.db", clock) as one:
        assert one.shown("target") == "memory"
        assert one.shown("replay_rate") == 0
        await one.record_many(3)
        one.start()
        await one.until(lambda: one.shown("sink_state") == 1)
        assert "sink central is forwarding to memory" in caplog.messages
