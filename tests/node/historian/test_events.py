"""Events in the journal: committed with samples, read by pages with those that still wait."""

import asyncio
import sqlite3
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from node.historian import events as module
from node.historian.event_log import EventMark, EventRecord
from node.historian.journal import Journal
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import make_image, record
from tests.node.historian.test_journal import fill_disk, free_disk


def event(number: int, ticks: int | None = None) -> EventRecord:
    return EventRecord(START + number if ticks is None else ticks, f"ns=4;s=xw{number}", "i=2041", b"body %d" % number)


@asynccontextmanager
async def recording(path: Path, clock: FakeClock) -> AsyncIterator[Journal]:
    image = make_image(clock)
    journal = Journal(path, image, clock)
    image.tap(journal.offer)
    try:
        yield journal
    finally:
        await journal.stop()


async def whole(
    journal: Journal, start: int | None = None, end: int | None = None, *, reverse: bool = False, limit: int = 1000
) -> list[EventRecord]:
    found: list[EventRecord] = []
    after: EventMark | None = None
    while True:
        page = await journal.events(start, end, limit=limit, reverse=reverse, after=after)
        assert len(page.events) <= limit
        found += page.events
        if page.next is None:
            return found
        assert page.events
        after = page.next


@pytest.mark.parametrize("limit", [1, 2, 3, 1000])
@pytest.mark.parametrize("committed", [0, 3, 7])
async def test_pages_of_both_directions_have_everything_once(
    tmp_path: Path, clock: FakeClock, limit: int, committed: int
) -> None:
    times = [5, 1, 3, 3, 3, 9, 2]
    expected = sorted((event(n, START + t) for n, t in enumerate(times)), key=lambda one: one.ticks)
    async with recording(tmp_path / "history.db", clock) as journal:
        for number, time in enumerate(times):
            if number == committed:
                assert await journal.flush()
            journal.offer_event(event(number, START + time))
        if committed == len(times):
            assert await journal.flush()
        assert await whole(journal, limit=limit) == expected
        assert await whole(journal, reverse=True, limit=limit) == expected[::-1]
        # Start included, end excluded, in the direction of travel.
        assert [one.ticks - START for one in await whole(journal, START + 2, START + 5, limit=limit)] == [2, 3, 3, 3]
        back = await whole(journal, START + 5, START + 2, reverse=True, limit=limit)
        assert [one.ticks - START for one in back] == [5, 3, 3, 3]
        assert await whole(journal, START + 2, START + 2) == []


async def test_a_read_goes_on_at_its_place_while_events_are_committed(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as journal:
        found: list[EventRecord] = []
        after: EventMark | None = None
        for number in range(6):
            journal.offer_event(event(number, START))
        while True:
            page = await journal.events(None, None, limit=2, after=after)
            found += page.events
            if page.next is None:
                break
            after = page.next
            assert await journal.flush()
        assert found == [event(number, START) for number in range(6)]


async def test_numbers_go_on_after_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    for number in range(3):
        async with recording(path, clock) as journal:
            journal.offer_event(event(number, START))
            assert [one.source for one in await whole(journal, limit=1)] == [f"ns=4;s=xw{n}" for n in range(number + 1)]


async def test_events_are_committed_with_the_samples_and_taken_back_with_them(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as journal:
        assert await journal.flush()
        await fill_disk(journal)
        journal.offer_event(EventRecord(START, "s", "t", bytes(100_000)))
        record(journal._recording._image, "power", START, 1.0)
        assert not await journal.flush()
        assert await journal.read_disk(lambda c: c.execute("SELECT count(*) FROM event").fetchone()) == (0,)
        assert await journal.read_disk(lambda c: c.execute("SELECT count(*) FROM frame").fetchone()) == (0,)
        assert len(await whole(journal)) == 1
        await free_disk(journal)
        assert await journal.flush()
        assert len(await whole(journal)) == 1
        assert (journal.acknowledged, journal.event_log.recorded, journal.event_log.lost) == (1, 1, 0)


async def test_an_event_does_not_wait_for_the_interval(tmp_path: Path, clock: FakeClock) -> None:
    image = make_image(clock)
    journal = Journal(tmp_path / "history.db", image, clock, commit_interval_s=60.0)
    first, second = asyncio.Event(), asyncio.Event()
    journal.committed.append(lambda: second.set() if first.is_set() else first.set())
    record(image, "power", START, 1.0)
    journal.offer_event(event(1))
    running = asyncio.create_task(journal.run())
    async with asyncio.timeout(30):
        await first.wait()
    await clock.settle()
    journal.offer_event(event(2))
    await clock.advance(0.1)
    async with asyncio.timeout(30):
        await second.wait()
    assert journal.event_log.recorded == 2
    running.cancel()
    await asyncio.wait({running})


async def test_a_full_queue_loses_the_newest_and_counts_them(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(module, "QUEUE_EVENTS", 3)
    async with recording(tmp_path / "history.db", clock) as journal:
        for number in range(5):
            journal.offer_event(event(number))
        assert journal.event_log.lost == 2
        await journal.flush()
        journal.offer_event(event(9))
        assert [one.body for one in await whole(journal)] == [b"body 0", b"body 1", b"body 2", b"body 9"]
        monkeypatch.setattr(module, "QUEUE_BYTES", 10)
        journal.offer_event(EventRecord(START, "s", "t", bytes(11)))
        assert journal.event_log.lost == 3


@pytest.mark.parametrize("bad", [EventRecord(2**63, "s", "t", b""), EventRecord(0, "\ud800", "t", b"")])
async def test_an_event_that_cannot_be_stored_costs_only_itself(
    tmp_path: Path, clock: FakeClock, bad: EventRecord
) -> None:
    async with recording(tmp_path / "history.db", clock) as journal:
        journal.offer_event(bad)
        journal.offer_event(event(1))
        assert await journal.flush()
        assert await whole(journal) == [event(1)]
        assert journal.event_log.lost == 1


async def test_events_are_written_at_the_end(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as journal:
        for number in range(2 * module._COMMIT_EVENTS + 1):
            journal.offer_event(event(number))
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT count(*), max(seq) FROM event").fetchone() == (4001, 4001)
    connection.close()


@pytest.mark.parametrize(
    "change", ["body = CAST(x'00000000' || body AS BLOB)", "ticks = ticks + 1", "source = 'else'", "body = x''"]
)
async def test_a_damaged_event_costs_only_itself(tmp_path: Path, clock: FakeClock, change: str) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as journal:
        for number in range(5):
            journal.offer_event(event(10 * number))
        await journal.flush()
        await journal.on_disk(lambda c: c.execute(f"UPDATE event SET {change} WHERE seq = 3"))
        for _twice in range(2):
            assert [one.ticks - START for one in (await journal.events(None, None, limit=9)).events] == [0, 10, 30, 40]
        assert len(journal.damage) == 1
        page = await journal.events(None, None, limit=3)
        assert len(page.events) == 2
        assert page.next is not None
        page = await journal.events(None, None, limit=3, after=page.next)
        assert [one.ticks - START for one in page.events] == [30, 40]
