"""Journal and sink agree in the end, whatever happened on the way: a model of random work, crashes and compaction."""

import random
from collections.abc import Callable
from pathlib import Path

from address_space.model import Value
from node.historian.forwarding.feed import NO_ENTRY, START, Mark
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.journal import Journal
from node.historian.store.compaction import Pass
from tests.fake_clock import START as NOW
from tests.fake_clock import FakeClock
from tests.node.historian.plant import record, recording, rows

POINTS = ("power", "level", "text")
TIMES = 60  # so few that most samples meet one of the same time
SINK = "central"


def value_of(point: str, number: int) -> Value:
    return {"power": number + 0.5, "level": number, "text": f"text {number}"}[point]


class Follower:
    """A sink that overwrites, with a cursor that is saved now and then, as the forwarder's is."""

    def __init__(self, feed: FeedReader) -> None:
        self._feed = feed
        self.mark: Mark = START
        self.has: dict[tuple[str, int], tuple[Value | None, int]] = {}

    async def read(self, limit: int) -> bool:
        portion = await self._feed.read(self.mark, limit=limit)
        if portion is None:
            return False
        samples = portion.samples
        keys = list(zip(portion.tags, samples.ticks, strict=True))
        assert len(set(keys)) == len(keys)
        self.has.update(zip(keys, zip(samples.values, samples.statuses, strict=True), strict=True))
        assert portion.mark > self.mark
        self.mark = portion.mark
        return True

    async def save(self) -> None:
        await self._feed.move(SINK, self.mark)

    async def crash(self) -> None:
        self.mark = await self._feed.cursor(SINK)

    def contents(self) -> dict[tuple[str, int], tuple[Value | None, int]]:
        return {key: sample for key, sample in self.has.items() if sample[1] != NO_ENTRY}


async def local(journal: Journal) -> dict[tuple[str, int], tuple[Value | None, int]]:
    found: dict[tuple[str, int], tuple[Value | None, int]] = {}
    for point in POINTS:
        tag = f"xw1.{point}"
        page = await journal.raw(tag, None, None, limit=100_000)
        found |= {(tag, ticks): (value, status) for ticks, value, status in rows(page.columns)}
    return found


async def test_a_sink_agrees_with_the_journal_in_the_end(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    for round_number in range(scaled(100)):
        rng = random.Random(seed + round_number)
        folder = tmp_path / str(round_number)
        folder.mkdir()
        async with recording(folder / "history.db", clock) as (image, journal):
            follower = Follower(FeedReader(journal, clock, journal.damage))
            work: Pass | None = None
            for number in range(1, 150):
                what = rng.random()
                point = rng.choice(POINTS)
                ticks = NOW + rng.randrange(TIMES) * 10_000
                if what < 0.6:
                    record(image, point, ticks, value_of(point, number))
                elif what < 0.65:
                    await journal.flush()
                    await journal.delete_at(f"xw1.{point}", [ticks], "engineer")
                elif what < 0.8:
                    await journal.flush()
                elif what < 0.81:
                    work = None  # a pass that breaks off
                    await journal.compact()
                elif what < 0.87:
                    work = work or Pass(journal.damage)
                    if not await journal.on_disk(work.step):
                        work = None
                elif what < 0.94:
                    await follower.read(rng.choice((1, 3, 1000)))
                elif what < 0.97:
                    await follower.save()
                else:
                    await follower.crash()
            await journal.flush()
            while await follower.read(7):
                if rng.random() < 0.05:
                    await journal.compact()
            assert follower.contents() == await local(journal)
