"""The twelve invariants of the historian, and where each of them is tested. Here is what holds of all layouts at once.

Layouts are the places where samples can lie: memory, frames, blocks, and mixtures of them with late and overwritten
samples and passes of compaction that broke off.

I1   what was acknowledged is there after kill -9: tests/e2e/test_kill.py (a recorder that compacts all the time, and a
     whole node); test_store.py copies the file at any moment of writing and compacting
I2   a cursor stands behind nothing that was not sent, and never goes back: test_a_cursor_is_never_ahead_of_its_sink
     (here), test_feed_reader.py; as seen from outside: tests/e2e/influx/test_kills.py
I3   journal and sink agree in the end, for every point and time: test_agreement.py and test_follower.py (feed, crashes,
     edits, compaction), tests/e2e/influx/test_kills.py and test_faults.py (InfluxDB)
I4   raw(a, b) + raw(b, c) = raw(a, c): test_intervals_directions_and_pages_agree (here); `agree` of test_raw.py
     compares every interval with a dictionary, over frames there, over all mixtures in test_store.py and test_edits.py
I5   reverse is forward reversed, bounds mirrored: as I4; bounds of the service: tests/node/server/history/test_raw.py
I6   paged = unpaged, whatever is written meanwhile: as I4; test_faults.py while compaction goes on
I7   compaction changes no read: as I4; test_store.py, test_layouts.py
I8   the disk never holds more than the budget and one segment: test_retention.py
I9   drivers never wait for the store: test_offering_returns_at_once_whatever_the_disk_does (here), test_journal.py
I10  one bad sample loses itself: test_what_no_frame_can_hold_is_lost_alone (here); one bad row or page: test_faults.py,
     test_mending.py; one bad line of a sink: test_delivery.py
I11  no value and no time raises or vanishes: test_every_value_and_time_comes_back_from_every_layout (here); in lines of
     InfluxDB: tests/node/sinks/test_line_protocol.py
I12  aggregates on blocks = on a list: test_aggregates_are_those_of_one_list_in_every_layout (here); Count and Total add
     up: aggregates/test_properties.py
"""

import asyncio
import inspect
import math
import random
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_S, Value
from node.historian.aggregates import Aggregate, Configuration, processed
from node.historian.forwarding.feed import START as BEGINNING
from node.historian.forwarding.feed import Mark
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.history import Position
from node.historian.journal import Journal
from node.historian.store.writer import DATA_LOST
from node.sinks.base import Answer, Retry
from tests.fake_clock import START, FakeClock
from tests.node.historian.aggregates.engine import results
from tests.node.historian.aggregates.test_properties import near
from tests.node.historian.forwarding.test_forward import SINK, Bench, MemorySink, bench
from tests.node.historian.plant import record, recording, rows, whole
from tests.node.historian.test_journal import hanging_disk
from tests.node.historian.test_store import break_off

TAG = "xw1.text"  # a point that takes values of every kind
LAYOUTS = ("waiting", "one frame", "frames", "blocks", "late blocks", "mixture")
Row = tuple[int, Value | None, int]


async def lay(
    image: ProcessImage, journal: Journal, samples: Sequence[Row], layout: str, rng: random.Random, tag: str = TAG
) -> None:
    """Record samples of different times so that they lie where the layout wants them."""
    await journal.flush()
    given = list(samples)
    if layout in ("late blocks", "mixture"):
        rng.shuffle(given)
    slot = image.slot(*tag.split("."))
    for ticks, value, status in given:
        if layout == "mixture" and rng.random() < 0.2:  # it is overwritten by what comes
            journal._intake.put(slot, "overwritten", 1, ticks)
            if rng.random() < 0.5:
                await journal.flush()
        assert journal._intake.put(slot, value, status, ticks)
        if layout != "waiting" and layout != "one frame" and rng.random() < 0.3:
            await journal.flush()
        if layout in ("late blocks", "mixture") and rng.random() < 0.1:
            await journal.flush()
            await journal.compact()
        if layout == "mixture" and rng.random() < 0.1:
            await break_off(journal, rng.randrange(1, 12))
    if layout not in ("waiting", "mixture"):
        await journal.flush()
    if layout in ("blocks", "late blocks"):
        await journal.compact()
        assert await journal.on_disk(lambda c: c.execute("SELECT count(*) FROM frame").fetchone()) == (0,)


@asynccontextmanager
async def laid(
    path: Path, clock: FakeClock, samples: Sequence[Row], layout: str, rng: random.Random, tag: str = TAG
) -> AsyncIterator[tuple[ProcessImage, Journal]]:
    async with recording(path, clock) as (image, journal):
        await lay(image, journal, samples, layout, rng, tag)
        yield image, journal


@pytest.fixture(params=LAYOUTS)
def layout(request: pytest.FixtureRequest) -> str:
    return str(request.param)


def some_samples(rng: random.Random, count: int) -> list[Row]:
    times = rng.sample(range(-3 * count, 3 * count), count)
    return [
        (
            START + time,
            rng.choice([None, rng.random(), "text", 7, 2**64 - 1, True]),
            rng.choice([0, 0x40000000, 1 << 31]),
        )
        for time in sorted(times)
    ]


# --- I4, I5, I6, I7


async def paged(image: ProcessImage, journal: Journal, start: int, end: int, rng: random.Random) -> list[Row]:
    """A read in pages of any size while others write around the interval and compact."""
    found: list[Row] = []
    after: Position | None = None
    reverse = end < start
    while True:
        page = await journal.raw(TAG, start, end, limit=rng.randrange(1, 9), reverse=reverse, after=after)
        found += rows(page.columns)
        if page.next is None:
            return found
        after = page.next
        record(image, "text", max(start, end) + 1 + rng.randrange(1000), rng.random())
        record(image, "text", min(start, end) - 1 - rng.randrange(1000), rng.random())
        what = rng.random()
        if what < 0.4:
            await journal.flush()
        elif what < 0.5:
            await journal.flush()
            await journal.compact()


@pytest.mark.usefixtures("small_blocks")
async def test_intervals_directions_and_pages_agree(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int], layout: str
) -> None:
    rng = random.Random(seed)
    for number in range(scaled(30)):
        samples = some_samples(rng, rng.randrange(1, 80))
        async with laid(tmp_path / f"{number}.db", clock, samples, layout, rng) as (image, journal):
            for _ in range(10):
                a, b, c = sorted(START + rng.randrange(-250, 250) for _ in range(3))
                forward = await whole(journal, TAG, a, c)
                assert forward == [row for row in samples if a <= row[0] < c]
                assert await whole(journal, TAG, a, b) + await whole(journal, TAG, b, c) == forward
                reverse = await whole(journal, TAG, c - 1, a - 1, reverse=True)
                assert reverse == forward[::-1]
                older, newer = [row for row in samples if row[0] < b], [row for row in samples if row[0] > b]
                assert rows(await journal.before(TAG, b)) == older[-1:]
                assert rows(await journal.after(TAG, b)) == newer[:1]
            if a == c:
                continue
            assert await paged(image, journal, a, c, rng) == forward
            assert await paged(image, journal, c - 1, a - 1, rng) == reverse


# --- I2


@dataclass
class FlakySink(MemorySink):
    """Fails as it likes, before or after it has stored."""

    rng: random.Random = random.Random()  # noqa: RUF009 - replaced by that of the test

    async def send(self, lines: Sequence[str]) -> Answer:
        luck = self.rng.random()
        if luck < 0.2:
            return Retry("not now")
        if luck < 0.3:
            await super().send(lines[: len(lines) // 2])
            return Retry("cut")
        if luck < 0.4:
            await super().send(lines)
            return Retry("the answer was lost")
        return await super().send(lines)


def guarded(one: Bench, kept: dict[str, str], moved: list[Mark]) -> Callable[..., Awaitable[None]]:
    """Moves of a cursor, each looked at before."""
    move = one.feed.move

    async def checked(name: str, mark: Mark, known: Mark = BEGINNING) -> None:
        for key in await before(FeedReader(one.journal, one.clock, one.journal.damage), mark):
            assert key in kept, "the cursor would stand behind something that the sink has not"
        await move(name, mark, known)
        moved.append(await one.feed.cursor(name))

    return checked


async def test_a_cursor_is_never_ahead_of_its_sink(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    rng = random.Random(seed)
    monkeypatch.setattr("node.historian.forwarding.forward.SAVE_S", 0.0)
    monkeypatch.setattr("node.historian.store.compaction.BLOCK_SAMPLES", 8)
    for number in range(scaled(20)):
        path = tmp_path / f"{number}.db"
        kept: dict[str, str] = {}
        moved: list[Mark] = []
        for start in range(3):  # each but the last is ended amid its work
            async with bench(path, clock) as one:
                sink = FlakySink(kept, rng=rng)
                one.forwarder._sink = one.forwarder._delivery._sink = sink
                one.ticks = START + (start + 1) * 10**9
                monkeypatch.setattr(one.feed, "move", guarded(one, kept, moved))
                one.start()
                for _ in range(20):
                    for _ in range(rng.randrange(5)):
                        one.record(rng.randrange(10**9), START + rng.randrange(10**6) if rng.random() < 0.3 else None)
                    if rng.random() < 0.8:
                        assert await one.journal.flush()
                    if rng.random() < 0.2:
                        await one.journal.compact()
                    await one.turn(rng.choice([0.1, 3.0]))
                    assert one.task is not None
                    if one.task.done():
                        one.task.result()
                if start == 2:
                    await one.journal.flush()
                    sink.rng = random.Random(0)
                    for _ in range(2000):
                        if await one.feed.cursor(SINK) == await one.feed.newest():
                            break
                        await one.turn(5.0)
                    assert await one.feed.cursor(SINK) == await one.feed.newest()
                    for ticks, value, status in await whole(one.journal, "xw1.level"):
                        if status != DATA_LOST:
                            assert kept[f"xw1.level@{ticks}"] == str(value)
        assert moved == sorted(moved)
        assert len(set(moved)) > 2


async def before(feed: FeedReader, end: Mark) -> list[str]:
    """Names of all samples of the plant up to a mark."""
    found: list[str] = []
    mark = BEGINNING
    while (portion := await feed.read(mark, limit=1)) is not None and portion.mark <= end:
        mark = portion.mark
        found += [
            f"{tag}@{ticks}"
            for tag, ticks in zip(portion.tags, portion.samples.ticks, strict=True)
            if tag.startswith("xw1.")
        ]
    return found


# --- I9


async def test_offering_returns_at_once_whatever_the_disk_does(tmp_path: Path, clock: FakeClock) -> None:
    assert not inspect.iscoroutinefunction(Journal.offer)
    async with recording(tmp_path / "history.db", clock, queue_samples=100) as (image, journal):
        await journal.flush()
        async with hanging_disk(journal):
            record(image, "level", START, 1)
            commit = asyncio.create_task(journal.flush())
            await clock.settle()
            for number in range(1000):  # no await: whatever would wait for the disk would wait for ever
                record(image, "level", START + number, number + 2)
            assert image.values[image.slot("xw1", "level")] == 1001
        assert await commit
        assert journal.lost >= 900


# --- I10


async def test_what_no_frame_can_hold_is_lost_alone(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    for number in range(scaled(100)):
        async with recording(tmp_path / f"{number}.db", clock) as (image, journal):
            model: list[Row] = []
            lost = 0
            for step in range(40):
                if rng.random() < 0.2:
                    record(image, "text", START + step, rng.choice([b"%d" % step, [step], step * 1j, object()]))  # type: ignore[arg-type]
                    model.append((START + step, None, DATA_LOST))
                    lost += 1
                else:
                    record(image, "text", START + step, f"good {step}")
                    model.append((START + step, f"good {step}", 0))
                if rng.random() < 0.2:
                    assert await journal.flush()
                if rng.random() < 0.05:
                    await journal.compact()
            assert await whole(journal, TAG) == model
            assert journal.lost == lost


# --- I11

VALUES: tuple[Value | None, ...] = (
    math.nan, math.inf, -math.inf, -0.0, 5e-324, 1.7e308, None, "", "\0", "\ud800", "ünï\ncode", "x" * 70_000,
    -(2**63), 2**63 - 1, 2**63, 2**64 - 1, 2**64, -(2**200), 0, 1, True, False,
)  # fmt: skip
TIMES = (-(2**63) + 1, -1, 0, 1, 208_590_912_000_000_000, START, 2_650_467_743_999_999_999, 2**63 - 2)


async def test_every_value_and_time_comes_back_from_every_layout(
    tmp_path: Path, clock: FakeClock, seed: int, layout: str
) -> None:
    rng = random.Random(seed)
    times = [*TIMES, *(rng.randrange(-(2**63), 2**63) for _ in range(4 * len(VALUES)))]
    samples = [(ticks, rng.choice(VALUES), rng.randrange(2**32)) for ticks in sorted(set(times))]
    samples[: len(VALUES)] = [(t, v, s) for (t, _, s), v in zip(samples, VALUES, strict=False)]
    async with laid(tmp_path / "history.db", clock, samples, layout, rng) as (_image, journal):
        found = await whole(journal, TAG)
        # By their text, for a NaN is not equal to itself.
        assert [repr(row) for row in found] == [repr(row) for row in samples]
        assert [repr(row) for row in await whole(journal, TAG, reverse=True, limit=3)] == [
            repr(row) for row in samples[::-1]
        ]
        assert (journal.lost, len(journal.damage)) == (0, 0)


# --- I12


@pytest.mark.usefixtures("small_blocks")
async def test_aggregates_are_those_of_one_list_in_every_layout(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int], layout: str
) -> None:
    rng = random.Random(seed)
    times = sorted(rng.sample(range(2000), 150))
    samples = [(at / 10, rng.random() * 100, rng.choice([0, 0, 0, 0x40000000, 1 << 31])) for at in times]
    placed = [(START + round(at * TICKS_PER_S), value, status) for at, value, status in samples]
    async with laid(tmp_path / "history.db", clock, placed, layout, rng, "xw1.power") as (_image, journal):
        for aggregate in Aggregate:
            for _ in range(scaled(20)):
                configuration = Configuration(stepped=rng.random() < 0.5, treat_uncertain_as_bad=rng.random() < 0.5)
                start, end = rng.sample(range(-10, 220), 2)
                interval = rng.choice([0, 7, 25.5])
                expected = results(aggregate, samples, start, end, interval, configuration=configuration)
                answer = processed(
                    journal,
                    "xw1.power",
                    aggregate,
                    start=START + start * TICKS_PER_S,
                    end=START + end * TICKS_PER_S,
                    interval=round(interval * TICKS_PER_S),
                    configuration=configuration,
                )
                found = [result async for result in answer]
                # Sums are taken in other parts, so that a last bit may differ.
                assert near(found, expected[::-1] if end < start else expected), (aggregate, start, end, interval)
