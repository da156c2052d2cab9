"""What other parts of the historian do with the journal's file: between commits, and together with them."""

import asyncio
import sqlite3
from pathlib import Path

import pytest

from node.historian.history import HistoryUnavailable
from node.historian.journal import Journal
from node.historian.store.writer import Also
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import make_image, record, recording, whole
from tests.node.historian.test_journal import noise

TAG = "xw1.power"


class Notes:
    """A companion that keeps texts as events."""

    def __init__(self) -> None:
        self.texts: list[str] = []
        self.kept = 0

    def take(self) -> Also | None:
        texts = list(self.texts)
        return (lambda connection: self.put(connection, texts)) if texts else None

    def put(self, connection: sqlite3.Connection, texts: list[str]) -> None:
        connection.executemany(
            "INSERT INTO event (ticks, source, type, body) VALUES (0, '', ?, x'')", [(text,) for text in texts]
        )

    def written(self) -> None:
        self.kept += len(self.texts)
        self.texts.clear()


async def kept(journal: Journal) -> list[str]:
    return await journal.read_disk(lambda c: [text for (text,) in c.execute("SELECT type FROM event ORDER BY seq")])


async def test_what_goes_with_a_commit_is_in_its_transaction(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        notes = Notes()
        journal.companions.append(notes)
        notes.texts.append("alone")
        assert await journal.flush()
        assert await kept(journal) == ["alone"]
        record(image, "power", START, 1.0)
        notes.texts.append("together")
        await journal.on_disk(lambda c: c.execute("PRAGMA max_page_count = 1").fetchall())
        record(image, "text", START, noise(100_000))
        assert not await journal.flush()
        assert (await kept(journal), notes.kept, journal.acknowledged) == (["alone"], 1, 0)
        await journal.on_disk(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())
        assert await journal.flush()
        assert (await kept(journal), notes.kept, journal.acknowledged) == (["alone", "together"], 2, 2)


async def test_what_waits_at_the_end_is_written_without_samples_too(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (_image, journal):
        notes = Notes()
        journal.companions.append(notes)
        notes.texts.append("last words")
    async with recording(tmp_path / "history.db", clock) as (_image, journal):
        assert await kept(journal) == ["last words"]


async def test_the_bell_brings_the_next_commit_nearer(tmp_path: Path, clock: FakeClock) -> None:
    image = make_image(clock)
    journal = Journal(tmp_path / "history.db", image, clock, commit_interval_s=60.0)
    image.tap(journal.offer)
    committed = asyncio.Event()
    journal.committed.append(committed.set)
    running = asyncio.create_task(journal.run())
    async with asyncio.timeout(30):
        await clock.settle()
        await journal.flush()
        await clock.settle()
        record(image, "power", START, 1.0)
        await clock.advance(1.0)
        assert not committed.is_set()
        journal.ring()
        await clock.settle()
        await clock.advance(0.05)
        await committed.wait()
        assert journal.acknowledged == 1
    running.cancel()
    await asyncio.wait({running})


async def test_work_on_the_file_sees_commits_and_says_what_is_wrong(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        assert await journal.on_disk(lambda c: c.execute("SELECT count(*) FROM frame").fetchone()) == (1,)
        with pytest.raises(HistoryUnavailable, match="readonly"):
            await journal.read_disk(lambda c: c.execute("DELETE FROM frame").fetchall())
        with pytest.raises(HistoryUnavailable, match=r"history\.db: no such table"):
            await journal.on_disk(lambda c: c.execute("DELETE FROM elsewhere").fetchall())
        assert await whole(journal, TAG) == [(START, 1.0, 0)]


async def test_a_journal_that_runs_compacts_when_enough_waits_and_after_an_hour(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.historian.store.compactor.PASS_SAMPLES", 100)
    image = make_image(clock)
    journal = Journal(tmp_path / "history.db", image, clock)
    image.tap(journal.offer)

    async def left(goal: int) -> None:
        """Wait until no frame is left and so many samples are in blocks."""
        query = "SELECT (SELECT count(*) FROM frame), (SELECT coalesce(sum(n), 0) FROM block)"
        while await journal.read_disk(lambda c: c.execute(query).fetchone()) != (0, goal):
            assert not running.done()
            await clock.advance(60.0)  # the task may have begun to wait only now

    running = asyncio.create_task(journal.run())
    async with asyncio.timeout(60):
        await clock.settle()
        for number in range(150):
            record(image, "power", START + number, float(number))
        await journal.flush()
        await left(150)
        record(image, "power", START + 1000, 0.5)
        await journal.flush()
        await left(151)
    running.cancel()
    await asyncio.wait({running})
