"""What is whole in a broken file comes over once and all of it, whatever breaks the work off."""

import random
import shutil
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from address_space.model import Value
from node.historian.event_log import EventRecord
from node.historian.history import HistoryUnavailable
from node.historian.journal import Journal
from node.historian.store.salvage import Salvage
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, whole
from tests.node.historian.test_journal import fill_disk, free_disk

TAG = "xw1.power"
SAMPLES, EVENTS = 1_000, 40
Contents = tuple[list[tuple[int, Value | None, int]], list[int]]


@pytest.fixture
def broken(tmp_path: Path) -> Path:
    """The folder of a journal that is to be broken."""
    folder = tmp_path / "broken"
    folder.mkdir()
    return folder


async def fill(path: Path, clock: FakeClock, first: int = 0) -> None:
    async with recording(path, clock) as (image, journal):
        for number in range(first, first + SAMPLES):
            record(image, "power", START + number, number / 7)
            if number % 25 == 24:
                journal.offer_event(EventRecord(START + number, "xw1", "type", b"%d" % number))
                await journal.flush()
            if number == first + SAMPLES // 2:
                await journal.flush()
                await journal.compact()


async def break_file(path: Path, journal: Journal) -> None:
    """Make a page that SQLite finds to be none when somebody asks for annotations."""
    (root,) = await journal.on_disk(
        lambda c: c.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'annotation'").fetchone()
    )
    await journal.on_disk(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    await journal.stop()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xaa" * 4096)


async def begun_anew(journal: Journal) -> None:
    """Let the journal meet the broken page; it moves the file aside and begins a new one."""
    with pytest.raises(HistoryUnavailable):
        await journal.annotations(TAG, None, None, limit=1)
    assert await journal.flush(), journal.error


async def contents(journal: Journal) -> Contents:
    samples = [row for row in await whole(journal, TAG) if row[2] != DATA_LOST]
    return samples, [event.ticks for event in (await journal.events(None, None, limit=1_000)).events]


def right(runs: int = 1) -> Contents:
    numbers = range(SAMPLES * runs)
    return (
        [(START + number, number / 7, 0) for number in numbers],
        [START + number for number in numbers if number % 25 == 24],
    )


async def some_steps(journal: Journal, count: int) -> None:
    for _ in range(count):
        salvage = journal._disk.salvage
        if salvage is None or not await journal.on_disk(salvage.step):
            break


def copied(folder: Path, target: Path) -> Path:
    """What a crash leaves: the files as they are now."""
    target.mkdir()
    for file in folder.iterdir():
        if not file.name.endswith("-shm"):
            shutil.copy(file, target / file.name)
    return target / "history.db"


async def test_a_salvage_that_a_crash_breaks_off_goes_on_where_it_was(
    broken: Path, tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    path = broken / "history.db"
    await fill(path, clock)
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
        await break_file(path, journal)
    for number in range(scaled(50)):
        shutil.copytree(broken, tmp_path / str(number))
        where = tmp_path / str(number) / "history.db"
        for crash in range(3):
            async with recording(where, clock) as (_image, journal):
                assert await journal.flush()
                if crash == 0:
                    await begun_anew(journal)
                await some_steps(journal, rng.randrange(8))
                where = copied(where.parent, tmp_path / f"{number}-{crash}")
        async with recording(where, clock) as (_image, journal):
            assert await journal.flush()
            await journal.compact()
            assert await contents(journal) == right()
            assert journal._disk.salvage is None
        async with recording(where, clock) as (_image, journal):
            assert await journal.flush()
            assert journal._disk.salvage is None, "it is not done again"


async def test_a_salvage_goes_on_when_the_disk_takes_it_again(broken: Path, clock: FakeClock) -> None:
    path = broken / "history.db"
    await fill(path, clock)
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
        await break_file(path, journal)
        assert await journal.flush()
        await begun_anew(journal)
        await some_steps(journal, 1)
        await fill_disk(journal)
        with pytest.raises(HistoryUnavailable, match="full"):
            await journal.compact()
        await free_disk(journal)
        await journal.compact()
        assert await contents(journal) == right()


async def test_a_file_that_breaks_before_the_last_one_was_brought_over_loses_neither(
    broken: Path, clock: FakeClock
) -> None:
    path = broken / "history.db"
    await fill(path, clock)
    async with recording(path, clock) as (image, journal):
        await journal.flush()
        await break_file(path, journal)
        assert await journal.flush()
        await begun_anew(journal)
        await some_steps(journal, 3)
        for number in range(SAMPLES, 2 * SAMPLES):
            record(image, "power", START + number, number / 7)
            if number % 25 == 24:
                journal.offer_event(EventRecord(START + number, "xw1", "type", b"%d" % number))
                assert await journal.flush()
        await break_file(path, journal)
        assert await journal.flush()
        await begun_anew(journal)
        await journal.compact()
        assert await contents(journal) == right(2)
        assert journal._disk.salvage is None


async def test_a_broken_file_that_somebody_took_away_is_not_asked_for_again(
    broken: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = broken / "history.db"
    await fill(path, clock)
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
        await break_file(path, journal)
        assert await journal.flush()
        await begun_anew(journal)
    for file in broken.glob("*.corrupt-*"):
        file.unlink()
    async with recording(path, clock) as (image, journal):
        record(image, "power", START, 1.0)
        assert await journal.flush()
        await journal.compact()
        assert "nothing more of it is brought over" in caplog.text
        assert await journal.on_disk(
            lambda c: c.execute("SELECT count(*) FROM meta WHERE key LIKE 'salvage%'").fetchone()
        ) == (0,)


async def test_a_last_number_that_is_wrong_is_not_counted_up_to(broken: Path, clock: FakeClock) -> None:
    path = broken / "history.db"
    with sqlite3.connect(path) as connection:
        connection.execute("CREATE TABLE tag (id INTEGER PRIMARY KEY, path TEXT)")
        connection.execute("INSERT INTO tag VALUES (1, 'first')")
        connection.execute("INSERT INTO tag VALUES (?, CAST(x'ff' AS TEXT))", (2**62,))
    connection.close()
    async with recording(broken / "new.db", clock) as (_image, journal):
        assert await journal.flush()
        salvage = Salvage(path)
        while await journal.on_disk(salvage.step):
            pass
