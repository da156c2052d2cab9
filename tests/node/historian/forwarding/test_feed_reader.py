"""The journal in its durable order, over frames and blocks, and the cursors of sinks."""

import sqlite3
from pathlib import Path

import pytest

from address_space.model import Value
from node.historian.forwarding import feed_reader
from node.historian.forwarding.feed import NO_ENTRY, START, Mark, Portion
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.journal import Journal
from node.historian.store.frame import DELETED
from tests.fake_clock import START as NOW
from tests.fake_clock import FakeClock
from tests.node.historian.plant import record, recording

Sample = tuple[str, int, Value | None, int]


def rows(portion: Portion) -> list[Sample]:
    samples = portion.samples
    return list(zip(portion.tags, samples.ticks, samples.values, samples.statuses, strict=True))


async def everything(feed: FeedReader, after: Mark = START, limit: int = 7) -> tuple[list[Sample], Mark]:
    found: list[Sample] = []
    while (portion := await feed.read(after, limit=limit)) is not None:
        assert portion.mark > after
        found += rows(portion)
        after = portion.mark
    return found, after


def feed_of(journal: Journal, clock: FakeClock) -> FeedReader:
    return FeedReader(journal, clock, journal.damage)


async def test_an_empty_journal_has_nothing_to_read(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (_, journal):
        feed = feed_of(journal, clock)
        assert await feed.newest() == START
        assert await feed.read(START, limit=10) is None
        assert await feed.waiting(START) == (0, None)
        assert await feed.cursor("central") == START


@pytest.mark.parametrize("compacted", [(), (9,), (4,), (2, 5, 9)])
async def test_every_sample_comes_whatever_is_in_blocks_by_now(
    tmp_path: Path, clock: FakeClock, compacted: tuple[int, ...]
) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        feed = feed_of(journal, clock)
        expected: dict[tuple[str, int], tuple[Value | None, int]] = {}
        for commit in range(10):
            for number in range(commit + 1):
                ticks = NOW + (10 * commit + number) * 10_000
                value, text = commit + number / 16, f"{commit} {number}"
                record(image, "power", ticks, value)
                record(image, "text", ticks, text, 0x4095_0000)
                expected["xw1.power", ticks] = (value, 0)
                expected["xw1.text", ticks] = (text, 0x4095_0000)
            # A correction of what may be in a block already.
            record(image, "power", NOW, -0.5 - commit)
            expected["xw1.power", NOW] = (-0.5 - commit, 0)
            await journal.flush()
            if commit in compacted:
                await journal.compact()
        found, mark = await everything(feed)
        assert {(tag, ticks): (value, status) for tag, ticks, value, status in found} == expected
        assert mark == await feed.newest()
        assert await feed.read(mark, limit=10) is None


async def test_a_reader_in_the_middle_gets_what_is_compacted_meanwhile(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        feed = feed_of(journal, clock)
        expected = set()
        for commit in range(12):
            for number in range(5):
                ticks = NOW + (5 * commit + number) * 10_000
                record(image, "level", ticks, 5 * commit + number)
                expected.add(("xw1.level", ticks, 5 * commit + number, 0))
            await journal.flush()
        for frames_first in range(1, 12):
            found, after = [], START
            for _ in range(frames_first):
                portion = await feed.read(after, limit=1)
                if portion is None:
                    break
                found += rows(portion)
                after = portion.mark
            await journal.compact()
            found += (await everything(feed, after))[0]
            assert set(found) == expected


async def test_a_deletion_is_a_bad_sample(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", NOW, 1.0)
        record(image, "power", NOW + 1, DELETED)
        await journal.flush()
        for _layout in ("frame", "block"):
            portion = await feed_of(journal, clock).read(START, limit=10)
            assert portion is not None
            assert rows(portion) == [("xw1.power", NOW, 1.0, 0), ("xw1.power", NOW + 1, None, NO_ENTRY)]
            assert list(portion.deleted) == [1]
            await journal.compact()


async def test_a_damaged_frame_costs_only_itself(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        for number in range(3):
            record(image, "level", NOW + number, number)
            await journal.flush()
        with sqlite3.connect(path) as other:
            other.execute("UPDATE frame SET data = x'00' WHERE seq = 2")
        other.close()
        found, _ = await everything(feed_of(journal, clock), limit=1)
        assert [value for _, _, value, _ in found] == [0, 2]
        assert len(journal.damage) == 1


async def test_a_cursor_is_kept_and_never_goes_back_nor_behind_what_is_there(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        for number in range(5):
            record(image, "level", NOW + number, number)
            await journal.flush()
        feed = feed_of(journal, clock)
        await feed.move("central", Mark(3))
        await feed.move("central", Mark(2))
        await feed.move("central", Mark(3, 1, 5))
        await feed.move("central", Mark(99))
        assert await feed.cursor("central") == Mark(3)
        # A sink that has been elsewhere before: this is not the file that it has read.
        await feed.move("other", Mark(4), Mark(2))
        assert await feed.cursor("other") == START
    async with recording(path, clock) as (_, journal):
        assert await feed_of(journal, clock).cursor("central") == Mark(3)


async def test_quarantine_and_cursor_are_one_commit_and_the_oldest_lines_go(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(feed_reader, "QUARANTINE_LINES", 3)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "level", NOW, 1)
        await journal.flush()
        feed = feed_of(journal, clock)
        await feed.quarantine("central", [(f"line {n}", "refused") for n in range(4)], Mark(1))
        await feed.quarantine("other", [("line \ud800", "refused")], START)
        kept = await feed.quarantined()
        assert [(one.sink, one.line) for one in kept] == [
            ("other", "line ?"),
            ("central", "line 3"),
            ("central", "line 2"),
        ]
        assert await feed.cursor("central") == Mark(1)
        assert await feed.release("central", [one.id for one in kept]) == 2
        assert [one.sink for one in await feed.quarantined()] == ["other"]
        assert await feed.quarantined("central") == []


async def test_what_waits_is_told_with_the_time_of_the_oldest(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        feed = feed_of(journal, clock)
        for number in range(300):
            record(image, "level", NOW + number, number)
            record(image, "power", NOW + number, float(number))
            await journal.flush()
        assert await feed.waiting(START) == (600, NOW)
        assert await feed.waiting(Mark(100)) == (400, NOW + 100)
        assert await feed.waiting(await feed.newest()) == (0, None)
        await journal.compact()
        assert await feed.waiting(START) == (600, NOW)
        assert await feed.waiting(await feed.newest()) == (0, None)
