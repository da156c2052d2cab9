"""The journal's file from outside, beside the node that writes it: reading, checking, counting, sending again."""

import sqlite3
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from node.historian.file.check import Check, Finding
from node.historian.file.journal_file import JournalFile
from node.historian.file.replay import Refused, mark_before, set_back, write_again
from node.historian.file.statistics import counted
from node.historian.forwarding.feed import START, Mark
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.history import HistoryError, HistoryUnavailable
from node.historian.journal import Journal
from node.historian.store.damage import Damage
from tests.fake_clock import START as NOW
from tests.fake_clock import FakeClock
from tests.node.historian.plant import record, recording, rows

MS = 10_000


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "history.db"


async def fill(journal: Journal, image: ProcessImage, commits: int, first: int = 0) -> None:
    """Commits of two samples each, 10 ms apart."""
    for number in range(first, first + commits):
        record(image, "power", NOW + number * 10 * MS, number / 4)
        record(image, "text", NOW + number * 10 * MS, f"text {number}")
        assert await journal.flush()


def checked(path: Path) -> Check:
    with JournalFile(path) as file:
        check = Check(file.reading)
        for _ in check.steps():
            pass
        return check


# --- reading


async def test_a_file_is_read_beside_the_node_that_writes_it(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 20)
        await journal.compact()
        await fill(journal, image, 10, first=20)
        with JournalFile(path) as file:
            assert file.tags() == ["xw1.power", "xw1.text"]
            whole = (await journal.raw("xw1.power", None, None, limit=100)).columns
            assert rows((await file.raw("xw1.power", None, None, limit=100)).columns) == rows(whole)
            assert len(whole) == 30
            page = await file.raw("xw1.text", None, None, limit=7)
            assert page.next is not None
            await fill(journal, image, 1, first=30)  # a reader does not hold the writer up, and sees what is new
            assert len((await file.raw("xw1.power", None, None, limit=100)).columns) == 31
        assert not rows((await journal.raw("xw1.nothing", None, None, limit=1)).columns)


async def test_a_stopped_node_can_go_on_with_a_file_that_was_read_meanwhile(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 3)
    with JournalFile(path) as file:
        assert len((await file.raw("xw1.power", None, None, limit=100)).columns) == 3
        async with recording(path, clock) as (image, journal):
            await fill(journal, image, 2, first=3)
            assert len((await file.raw("xw1.power", NOW, None, limit=100)).columns) == 6  # and the gap


def test_what_is_no_journal_is_said(tmp_path: Path) -> None:
    with pytest.raises(HistoryError, match="there is no journal"):
        JournalFile(tmp_path / "history.db")
    (tmp_path / "text").write_text("no database, but long enough to be looked at as one" * 10)
    with pytest.raises(HistoryError, match="cannot be read"):
        JournalFile(tmp_path / "text")
    with sqlite3.connect(tmp_path / "other.db") as other:
        other.execute("CREATE TABLE t (x)")
    other.close()
    with pytest.raises(HistoryError, match="no journal of gridnode"):
        JournalFile(tmp_path / "other.db")


@pytest.mark.parametrize(("version", "words"), [(1, "older gridnode"), (99, "newer gridnode")])
async def test_a_file_of_another_version_is_left_alone(path: Path, clock: FakeClock, version: int, words: str) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 1)
    with sqlite3.connect(path) as other:
        other.execute(f"PRAGMA user_version = {version}")
    other.close()
    with pytest.raises(HistoryError, match=words):
        JournalFile(path)


async def test_reading_can_change_nothing(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 1)
        with JournalFile(path) as file, pytest.raises(HistoryUnavailable, match="readonly"):
            file.read(lambda connection: connection.execute("DELETE FROM frame"))


# --- checking


async def test_a_whole_file_is_found_whole(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 200)
        await journal.compact()
        await fill(journal, image, 5, first=200)
        check = checked(path)
        assert check.findings == []
        assert (check.frames, check.blocks, check.samples) == (5, 2, 410)


async def test_damage_is_listed_with_its_place(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 50)
        await journal.compact()
        await fill(journal, image, 3, first=50)
    with sqlite3.connect(path) as other:
        (seq, data) = other.execute("SELECT seq, data FROM frame ORDER BY seq LIMIT 1 OFFSET 1").fetchone()
        other.execute("UPDATE frame SET data = ? WHERE seq = ?", (data[:-1] + bytes([data[-1] ^ 1]), seq))
        (block, data) = other.execute(
            "SELECT rowid, data FROM block WHERE tag = (SELECT id FROM tag WHERE path = 'xw1.text')"
        ).fetchone()
        other.execute("UPDATE block SET data = ? WHERE rowid = ?", (data[:20] + b"\xff" + data[21:], block))
        other.execute("UPDATE block SET n = n + 1 WHERE rowid <> ?", (block,))
    other.close()
    check = checked(path)
    frame, *blocks = sorted(check.findings, key=lambda one: one.place, reverse=True)
    assert frame == Finding(f"frame {seq}", "the check sum is wrong", NOW + 51 * 10 * MS, NOW + 51 * 10 * MS)
    assert {one.place.partition(" of ")[2]: one.reason for one in blocks} == {
        "xw1.text": "the check sum is wrong",
        "xw1.power": "holds 50 samples, its row says 51, or other times",
    }
    assert all((one.first, one.last) == (NOW, NOW + 490 * MS) for one in blocks)


async def test_a_page_of_garbage_costs_what_lies_on_it(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        for number in range(60):
            record(image, "text", NOW + number * MS, str(number) * 3000)
            await journal.flush()
    size = path.stat().st_size
    with path.open("r+b") as file:
        file.seek(size // 2 // 4096 * 4096)
        file.write(b"\xa5" * 4096)
    check = checked(path)
    assert check.findings
    assert 30 < check.samples < 60 + 10


# --- counting


async def test_what_a_file_holds_is_counted(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 30)
        await journal.compact()
        await fill(journal, image, 4, first=30)
        with JournalFile(path) as file:
            counts = file.read(lambda connection: counted(connection, path))
        assert (counts.samples, counts.blocks.rows, counts.frames.rows) == (68, 2, 4)
        assert (counts.oldest, counts.newest) == (NOW, NOW + 330 * MS)
        assert {point: amount.samples for point, amount in counts.points.items()} == {"xw1.power": 34, "xw1.text": 34}
        assert counts.file_bytes + counts.log_bytes > counts.blocks.bytes + counts.frames.bytes > 0


async def test_a_row_that_holds_no_numbers_costs_only_itself(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 30)
        await journal.compact()
        await fill(journal, image, 3, first=30)
    with sqlite3.connect(path) as other:
        other.execute("UPDATE block SET n = 'text' WHERE rowid = 1")
        other.execute("UPDATE frame SET data = 'text' WHERE seq = (SELECT min(seq) FROM frame)")
        other.execute("UPDATE frame SET t_max = 'text' WHERE seq = (SELECT max(seq) FROM frame)")
    other.close()
    with JournalFile(path) as file:
        counts = file.read(lambda connection: counted(connection, path))
    assert (counts.damaged, counts.blocks.samples) == (3, 30)
    assert len(checked(path).findings) >= 3


# --- sending again


async def everything_behind(feed: FeedReader, mark: Mark) -> set[tuple[str, int]]:
    found: set[tuple[str, int]] = set()
    while (portion := await feed.read(mark, limit=50)) is not None:
        found |= set(zip(portion.tags, portion.samples.ticks, strict=True))
        mark = portion.mark
    return found


@pytest.mark.parametrize("since", [0, 1, 150, 299, 300, 455, 590])
async def test_behind_the_mark_of_a_time_is_everything_from_then_on(path: Path, clock: FakeClock, since: int) -> None:
    async with recording(path, clock) as (image, journal):
        feed = FeedReader(journal, clock, Damage())
        await fill(journal, image, 30)
        await journal.compact()
        await fill(journal, image, 15, first=30)
        record(image, "power", NOW + 5 * MS, 99.0)  # late: it lies in another block than its neighbours in time
        await journal.flush()
        await journal.compact()
        await fill(journal, image, 15, first=45)
        mark = await journal.read_disk(lambda connection: mark_before(connection, NOW + since * MS))
        assert mark is not None
        times = {(tag, NOW + n * 10 * MS) for n in range(60) for tag in ("xw1.power", "xw1.text")}
        times.add(("xw1.power", NOW + 5 * MS))
        wanted = {place for place in times if place[1] >= NOW + since * MS}
        assert wanted <= await everything_behind(feed, mark)
        nothing = await journal.read_disk(lambda connection: mark_before(connection, NOW + 591 * MS))
        assert nothing is None


async def test_a_place_that_was_set_back_is_not_moved_by_whoever_believes_it_elsewhere(
    path: Path, clock: FakeClock
) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 5)
        feed = FeedReader(journal, clock, Damage())
        await feed.move("central", Mark(3))
        with JournalFile(path) as file:
            assert file.write(lambda connection: set_back(connection, "central", Mark(1), NOW))
            assert not file.write(lambda connection: set_back(connection, "central", Mark(2), NOW))
            assert not file.write(lambda connection: set_back(connection, "other", START, NOW))
        await feed.move("central", Mark(4), Mark(3))
        assert await feed.cursor("central") == Mark(1)
        await feed.quarantine("central", [("line", "reason")], Mark(4), Mark(3))
        assert await feed.cursor("central") == Mark(1)
        await feed.move("central", Mark(2), Mark(1))
        assert await feed.cursor("central") == Mark(2)


async def test_a_refused_sample_is_written_once_more_as_history_has_it_now(path: Path, clock: FakeClock) -> None:
    async with recording(path, clock) as (image, journal):
        await fill(journal, image, 30)
        await journal.compact()
        feed = FeedReader(journal, clock, Damage())
        await feed.quarantine("central", [("line 3", "no"), ("line 4", "no"), ("gone", "no")], await feed.newest())
        kept = {one.line: one.id for one in await feed.quarantined()}
        record(image, "power", NOW + 30 * MS, 77.5)  # since it was refused
        await journal.flush()
        end = await feed.newest()
        lines = [
            Refused(kept["line 3"], "xw1.power", NOW + 30 * MS),
            Refused(kept["line 4"], "xw1.text", NOW + 40 * MS),
            Refused(kept["gone"], "xw1.text", NOW + 41 * MS),
        ]
        before = (await journal.raw("xw1.power", None, None, limit=100)).columns
        with JournalFile(path) as file:
            done = file.write(lambda connection: write_again(connection, lines))
        assert done == [kept["line 3"], kept["line 4"]]
        portion = await feed.read(end, limit=100)
        assert portion is not None
        assert list(zip(portion.tags, portion.samples.values, strict=True)) == [
            ("xw1.power", 77.5),
            ("xw1.text", "text 4"),
        ]
        assert [one.line for one in await feed.quarantined()] == ["gone"]
        assert rows((await journal.raw("xw1.power", None, None, limit=100)).columns) == rows(before)
        await journal.compact()
        assert rows((await journal.raw("xw1.power", None, None, limit=100)).columns) == rows(before)
