"""Rows that hold what none of ours can, on pages that SQLite takes for whole: they cost themselves and nothing else."""

import sqlite3
from pathlib import Path

import pytest

from node.historian.editing import Annotation, Change
from node.historian.event_log import EventRecord
from node.historian.forwarding.feed import START as BEGINNING
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.history import HistoryUnavailable
from node.historian.journal import Journal
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, whole

TAG = "xw1.power"
BROKEN_TEXT = "CAST(x'ff00ff' AS TEXT)"


async def filled(path: Path, clock: FakeClock) -> None:
    """A block, frames behind it, and a row in every other table."""
    async with recording(path, clock) as (image, journal):
        for number in range(20):
            record(image, "power", START + number, float(number))
            journal.offer_event(EventRecord(START + number, "xw1", "type", b"body"))
            await journal.flush()
            if number == 9:
                await journal.compact()
        await journal.delete_at(TAG, [START + 3], "eve")
        await journal.annotate(TAG, [Annotation(START, START, "eve", "text")], Change.INSERT)
        feed = FeedReader(journal, clock, journal.damage)
        await feed.quarantine("central", [("line", "reason")], await feed.newest())


async def everything(journal: Journal, clock: FakeClock) -> list[float]:
    """Read in every way that there is; the values of the tag."""
    found = [value for _, value, status in await whole(journal, TAG) if status != DATA_LOST]
    await whole(journal, TAG, reverse=True, limit=3)
    await journal.events(None, None, limit=100)
    await journal.modified(TAG, None, None, limit=100)
    await journal.annotations(TAG, None, None, limit=100)
    feed = FeedReader(journal, clock, journal.damage)
    mark = await feed.cursor("central")
    await feed.waiting(min(mark, BEGINNING))
    await feed.quarantined()
    mark = BEGINNING
    while (portion := await feed.read(mark, limit=3)) is not None:
        mark = portion.mark
    await journal.keeper.look()
    await journal.compact()
    return found  # type: ignore[return-value]


@pytest.mark.parametrize(
    ("table", "column", "value", "row"),
    [
        ("frame", "t_max", "'text'", "seq = 15"),
        ("frame", "t_max", BROKEN_TEXT, "seq = 15"),
        ("frame", "t_min", "x'ff'", "seq = 15"),
        ("frame", "t_min", "1e300", "seq = 15"),
        ("frame", "n", "'text'", "seq = 15"),
        ("frame", "data", "'text'", "seq = 15"),
        ("frame", "data", "7", "seq = 15"),
        ("frame", "t_max", BROKEN_TEXT, "seq = 20"),
        ("block", "t_max", "'text'", "1"),
        ("block", "t_min", BROKEN_TEXT, "1"),
        ("block", "n", "'text'", "1"),
        ("block", "seq", "'text'", "1"),
        ("block", "tag", BROKEN_TEXT, "1"),
        ("block", "data", "7", "1"),
        ("tag", "path", BROKEN_TEXT, "path NOT LIKE 'xw1.power'"),
        ("event", "ticks", "'text'", "seq = 5"),
        ("event", "source", BROKEN_TEXT, "seq = 5"),
        ("event", "body", "'text'", "seq = 5"),
        ("modified", "at", "'text'", "1"),
        ("modified", "user", BROKEN_TEXT, "1"),
        ("annotation", "message", BROKEN_TEXT, "1"),
        ("cursor", "seq", "'text'", "1"),
        ("quarantine", "line", BROKEN_TEXT, "1"),
        ("meta", "value", "'text'", "1"),
    ],
)
async def test_a_row_of_another_type_costs_only_itself(
    tmp_path: Path, clock: FakeClock, table: str, column: str, value: str, row: str
) -> None:
    path = tmp_path / "history.db"
    await filled(path, clock)
    with sqlite3.connect(path) as connection:
        connection.execute(f"UPDATE {table} SET {column} = {value} WHERE {row}")
    connection.close()
    async with recording(path, clock) as (image, journal):
        found: list[float] = []
        for _try in range(4):  # one time for every way in which the row is met
            try:
                found = await everything(journal, clock)
                break
            except HistoryUnavailable:
                assert await journal.flush(), journal.error
        record(image, "power", START + 10**6, 100.0)
        assert await journal.flush(), journal.error
        assert (await whole(journal, TAG))[-1] == (START + 10**6, 100.0, 0)
        right = {float(number) for number in range(20)}
        lost = {"frame": 2, "block": 10}.get(table, 1)
        assert set(found) <= right
        assert len(found) >= len(right) - lost - 1
        assert not list(tmp_path.glob("*.corrupt-*"))


async def test_an_error_of_our_own_is_not_taken_for_one_of_the_file(tmp_path: Path, clock: FakeClock) -> None:
    def wrong(_connection: sqlite3.Connection) -> int:
        return sum([1, "two"])  # type: ignore[list-item]

    async with recording(tmp_path / "history.db", clock) as (_image, journal):
        await journal.flush()
        for run in (journal.on_disk, journal.read_disk):
            with pytest.raises(TypeError):
                await run(wrong)
        assert len(journal.damage) == 0
