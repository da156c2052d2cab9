"""A sink that follows the feed while frames become blocks under it: what it has in the end is what history has."""

import random
from collections.abc import Callable
from pathlib import Path

import pytest

from address_space.model import Value
from node.historian.editing import Change
from node.historian.forwarding.feed import START as BEGINNING
from node.historian.forwarding.feed import Mark
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.history import Columns
from node.historian.journal import Journal
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, whole
from tests.node.historian.test_store import break_off

POINTS = ("power", "level", "text")


class Follower:
    """Reads on from its mark, and keeps the last of every tag and time as a database would."""

    def __init__(self, feed: FeedReader, name: str) -> None:
        self._feed = feed
        self._name = name
        self.mark: Mark = BEGINNING
        self.kept: dict[tuple[str, int], tuple[Value | None, int]] = {}
        self.taken = 0

    async def follow(self, limit: int) -> bool:
        """Take one portion; False at the end."""
        portion = await self._feed.read(self.mark, limit=limit)
        if portion is None:
            return False
        assert portion.mark > self.mark
        gone = set(portion.deleted)
        columns = portion.samples
        rows = zip(portion.tags, columns.ticks, columns.values, columns.statuses, strict=True)
        for position, (tag, ticks, value, status) in enumerate(rows):
            self.taken += 1
            if position in gone:
                self.kept.pop((tag, ticks), None)
            else:
                self.kept[tag, ticks] = (value, status)
        self.mark = portion.mark
        await self._feed.move(self._name, portion.mark)
        return True


async def history(journal: Journal) -> dict[tuple[str, int], tuple[Value | None, int]]:
    tags = [f"xw1.{point}" for point in POINTS]
    return {(tag, ticks): (value, status) for tag in tags for ticks, value, status in await whole(journal, tag)}


async def one_step(rng: random.Random, journal: Journal, followers: list[Follower]) -> None:
    what = rng.random()
    if what < 0.4:
        await journal.flush()
    elif what < 0.5:
        await break_off(journal, rng.randrange(1, 12))
    elif what < 0.55:
        await journal.compact()
    elif what < 0.6:
        await journal.delete_at("xw1.power", [START + rng.randrange(300) for _ in range(3)], "eve")
    elif what < 0.65:
        new = Columns()
        new.append(START + rng.randrange(300), rng.random(), 0)
        await journal.write("xw1.power", new, Change.UPDATE, "eve")
    else:
        await rng.choice(followers).follow(rng.randrange(1, 30))


@pytest.mark.usefixtures("small_blocks")
async def test_a_sink_has_what_history_has_whatever_compaction_does(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    for number in range(scaled(50)):
        async with recording(tmp_path / f"{number}.db", clock) as (image, journal):
            await journal.flush()
            feed = FeedReader(journal, clock, journal.damage)
            followers = [Follower(feed, name) for name in ("near", "far")]
            for step in range(120):
                ticks = START + rng.choice([step, rng.randrange(300)])
                record(image, rng.choice(POINTS), ticks, rng.choice([step, step / 7, f"{step}"]))
                await one_step(rng, journal, followers)
            await journal.flush()
            for follower in followers:
                while await follower.follow(rng.randrange(1, 50)):
                    pass
                assert follower.kept == await history(journal)


async def test_a_sink_that_keeps_up_gets_nothing_twice(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.historian.store.compaction.BLOCK_SAMPLES", 16)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        follower = Follower(FeedReader(journal, clock, journal.damage), "near")
        for number in range(400):
            record(image, POINTS[number % 3], START + number, number)
            await journal.flush()
            if number % 7:  # else it is a commit behind, where a pass ends then
                while await follower.follow(1000):
                    pass
            if number % 25 == 0 and number:
                await break_off(journal, 10**6)  # one whole pass
        while await follower.follow(1000):
            pass
        assert follower.kept == await history(journal)
        assert follower.taken == 400
        assert await journal.on_disk(lambda c: c.execute("SELECT sum(n) FROM block").fetchone()) > (350,)
