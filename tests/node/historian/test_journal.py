import asyncio
import logging
import math
import random
import sqlite3
import threading
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path

import pytest

from address_space.image import Watch
from address_space.model import TICKS_PER_MS, Batch, Status
from node.historian.history import HistoryUnavailable
from node.historian.journal import Journal
from node.historian.report import JournalState
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import gap, make_image, record, recording, whole

TAG = "xw1.power"
DATA_LOST = 0x809D_0000


def shown(journal: Journal, point: str) -> object:
    image = journal._report._publisher
    return image.values[image.slot("node", point)]


# --- what is recorded


async def test_only_changes_of_historized_points_are_recorded_with_the_time_of_their_batch(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        slots = [image.slot("xw1", "power"), image.slot("xw1", "scratch"), image.slot("xw1", "text")]
        image.publish(Batch(slots, [1.0, 2.0, "a"], [0, 0, 0], START))
        image.publish(Batch(slots, [1.0, 3.0, "b"], [0, 0, 0], START + 1))
        image.publish(Batch(slots, [1.5, 3.0, "b"], [0, 0, 0], START + 2))
        assert await journal.flush()
        assert await whole(journal, TAG) == [(START, 1.0, 0), (START + 2, 1.5, 0)]
        assert await whole(journal, "xw1.text") == [(START, "a", 0), (START + 1, "b", 0)]
        assert await whole(journal, "xw1.scratch") == []


async def test_a_change_of_status_is_recorded_at_the_time_of_its_decision(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        image.degrade([image.slot("xw1", "power")], Status.UNCERTAIN_LAST_USABLE_VALUE, START + 5)
        image.degrade([image.slot("xw1", "power")], Status.BAD_COMMUNICATION_ERROR, START + 9)
        await journal.flush()
        assert await whole(journal, TAG) == [
            (START, 1.0, 0),
            (START + 5, 1.0, Status.UNCERTAIN_LAST_USABLE_VALUE),
            (START + 9, None, Status.BAD_COMMUNICATION_ERROR),
        ]


async def test_no_value_raises_and_none_vanishes(tmp_path: Path, clock: FakeClock) -> None:
    strange = [
        math.nan,
        math.inf,
        -math.inf,
        None,
        "",
        "\ud800",
        "x" * 10_000,
        -(2**63),
        2**64 - 1,
        2**70,
        True,
        1e-320,
    ]
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number, value in enumerate(strange):
            record(image, "text", START + number, value)
        assert await journal.flush()
        assert [repr(value) for _, value, _ in await whole(journal, "xw1.text")] == [repr(value) for value in strange]
        assert journal.lost == 0


async def test_what_is_no_value_is_counted_and_marked(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "text", START, b"bytes")  # type: ignore[arg-type]
        assert await journal.flush()
        record(image, "text", START + 1, "text")
        assert await journal.flush()
        assert await whole(journal, "xw1.text") == [(START, None, DATA_LOST), (START + 1, "text", 0)]
        assert journal.lost == 1


async def test_one_time_written_twice_keeps_the_last(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for value in (1.0, 2.0):
            record(image, "power", START, value)
        await journal.flush()
        record(image, "power", START + 1, 3.0)
        record(image, "power", START, 4.0)
        assert await whole(journal, TAG) == [(START, 4.0, 0), (START + 1, 3.0, 0)]
        await journal.flush()
        assert await whole(journal, TAG) == [(START, 4.0, 0), (START + 1, 3.0, 0)]


async def test_a_commit_comes_at_every_interval_and_at_the_end(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    image = make_image(clock)
    journal = Journal(path, image, clock, commit_interval_s=2.0)
    image.tap(journal.offer)
    running = asyncio.create_task(journal.run())
    await clock.settle()  # it holds the lock of its first commit now
    await journal.flush()
    await clock.settle()
    record(image, "power", START, 1.0)
    await clock.advance(1.9)
    assert journal.acknowledged == 0
    committed = asyncio.Event()
    image.watch(image.slot("node", "journal_samples"), Watch(committed.set))
    await clock.advance(0.1)
    async with asyncio.timeout(30):
        await committed.wait()
    assert journal.acknowledged == 1
    record(image, "power", START + 1, 2.0)
    running.cancel()
    await asyncio.wait({running})
    assert journal.acknowledged == 2
    with sqlite3.connect(path) as connection:
        assert connection.execute("SELECT sum(n) FROM frame").fetchone() == (2,)
    connection.close()


async def test_state_and_counts_are_points_of_the_node(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        await journal.flush()
        assert [shown(journal, f"journal_{what}") for what in ("state", "error", "samples", "lost")] == [1, "", 1, 0]


async def test_a_commit_is_one_frame_however_many_batches_it_has(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(500):
            record(image, "power", START + number, float(number))
        await journal.flush()
    with sqlite3.connect(tmp_path / "history.db") as connection:
        assert connection.execute("SELECT n FROM frame").fetchall() == [(500,)]
    connection.close()


async def test_only_the_owner_can_read_the_file(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        await journal.flush()
        assert {file.stat().st_mode & 0o777 for file in tmp_path.iterdir()} == {0o600}


async def test_a_commit_is_synced_to_the_disk_and_deleted_pages_are_not_overwritten(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with recording(tmp_path / "history.db", clock) as (_image, journal):
        await journal.flush()
        pragmas = {"journal_mode": "wal", "synchronous": 2, "secure_delete": 0, "auto_vacuum": 2}
        for pragma, wanted in pragmas.items():
            assert await journal.on_disk(lambda c, p=pragma: c.execute(f"PRAGMA {p}").fetchone()) == (wanted,)  # type: ignore[misc]


# --- what breaks


def noise(size: int) -> str:
    """A text that takes its place on a disk also when it is compressed."""
    return random.randbytes(size // 2).hex()


async def fill_disk(journal: Journal) -> None:
    """Leave no page free: what is written from now on finds the disk full."""
    assert journal._disk.writing is not None
    await journal._disk.writing.run(lambda c: c.execute("PRAGMA max_page_count = 1").fetchall())


async def free_disk(journal: Journal) -> None:
    assert journal._disk.writing is not None
    await journal._disk.writing.run(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())


async def test_a_full_disk_is_said_once_and_costs_nothing_while_memory_lasts(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await journal.flush()
        await fill_disk(journal)
        caplog.clear()
        for number in range(5):
            record(image, "text", START + number, noise(10_000))
            assert not await journal.flush()
        assert [r.levelno for r in caplog.records if r.name.startswith("node")] == [logging.WARNING] + [
            logging.DEBUG
        ] * 4
        assert shown(journal, "journal_state") == JournalState.FAILING
        assert "full" in str(shown(journal, "journal_error"))
        assert journal.acknowledged == 0
        assert len(await whole(journal, "xw1.text")) == 5  # live data and what is known can still be read
        caplog.clear()
        await free_disk(journal)
        assert await journal.flush()
        assert [r.levelno for r in caplog.records if r.name.startswith("node")] == [logging.INFO]
        assert shown(journal, "journal_state") == JournalState.RECORDING
        assert shown(journal, "journal_error") == ""
        assert (journal.acknowledged, journal.lost) == (5, 0)
        assert len(await whole(journal, "xw1.text")) == 5


async def test_when_memory_is_full_too_the_newest_are_lost_counted_and_marked(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock, queue_samples=10) as (image, journal):
        await journal.flush()
        await fill_disk(journal)
        for number in range(25):
            record(image, "text", START + number, noise(1_000))
        assert not await journal.flush()
        assert journal.lost == 15
        assert shown(journal, "journal_lost") == 15
        await free_disk(journal)
        assert await journal.flush()
        assert await journal.flush()
        # The image still has the newest sample, which is as true as any.
        assert [(ticks - START, status) for ticks, _, status in await whole(journal, "xw1.text")] == [
            *((number, 0) for number in range(10)),
            (10, DATA_LOST),
            (24, 0),
        ]


async def test_offering_never_raises_or_waits_without_a_file(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "missing" / "folder" / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        assert not await journal.flush()
        assert shown(journal, "journal_state") == JournalState.FAILING
        assert str(tmp_path) in str(shown(journal, "journal_error"))
        with pytest.raises(HistoryUnavailable):
            await whole(journal, TAG)
        (tmp_path / "missing" / "folder").mkdir(parents=True)
        assert await journal.flush()
        assert await whole(journal, TAG) == [(START, 1.0, 0)]


async def test_a_file_that_nobody_can_write_recovers_by_itself(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        record(image, "power", START, 1.0)
        await journal.flush()
        # Root may write to a read-only folder, so the connection itself is told not to.
        assert journal._disk.writing is not None
        await journal._disk.writing.run(lambda c: c.execute("PRAGMA query_only = ON").fetchall())
        record(image, "power", START + 1, 2.0)
        assert not await journal.flush()
        assert "readonly" in str(shown(journal, "journal_error"))
        assert await journal.flush()
        assert await whole(journal, TAG) == [(START, 1.0, 0), (START + 1, 2.0, 0)]


async def test_a_file_that_was_deleted_while_open_is_not_written_to_any_more(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        await journal.flush()
        for file in tmp_path.iterdir():
            file.unlink()
        record(image, "power", START, 1.0)
        assert not await journal.flush()
        assert await journal.flush()
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
        assert await whole(journal, TAG) == [(START, 1.0, 0), gap(START)]


@pytest.mark.parametrize("garbage", [b"this is no database at all, whatever its name says " * 100, None])
async def test_a_broken_file_is_moved_aside_at_the_start_and_a_new_one_begun(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture, garbage: bytes | None
) -> None:
    path = tmp_path / "history.db"
    if garbage is None:  # a database whose pages were overwritten behind the first
        async with recording(path, clock) as (image, journal):
            for number in range(1_000):
                record(image, "power", START + number, float(number))
            await journal.flush()
        whole_file = path.read_bytes()
        garbage = whole_file[:4096] + b"\xaa" * (len(whole_file) - 4096)
    path.write_bytes(garbage)
    async with recording(path, clock) as (image, journal):
        record(image, "power", START, 1.0)
        assert await journal.flush()
        assert await whole(journal, TAG) == [(START, 1.0, 0)]
    aside = [
        file for file in tmp_path.iterdir() if ".corrupt-" in file.name and not file.name.endswith(("-wal", "-shm"))
    ]
    assert [file.name for file in aside] == ["history.db.corrupt-20260630T000000Z"]
    assert aside[0].read_bytes() == garbage
    assert [r.levelno for r in caplog.records if r.name.startswith("node")] == [logging.ERROR]


async def test_a_damaged_frame_costs_only_itself_and_is_said_once(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        for number in range(9):
            record(image, "power", START + number, float(number))
            await journal.flush()
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE frame SET data = zeroblob(length(data)) WHERE seq = 4")
        connection.execute("UPDATE frame SET data = substr(data, 1, length(data) - 1) WHERE seq = 6")
    connection.close()
    async with recording(path, clock) as (image, journal):
        await journal.flush()
        for _ in range(2):
            assert [ticks - START for ticks, _, _ in await whole(journal, TAG)] == [
                0,
                1,
                2,
                4,
                6,
                7,
                8,
                8 + TICKS_PER_MS,
            ]
        assert len(journal.damage) == 2
        assert [r.levelno for r in caplog.records if r.name.startswith("node")] == [logging.ERROR, logging.DEBUG]


@pytest.mark.parametrize(
    ("change", "said"), [("PRAGMA user_version = 99", "version 99"), ("PRAGMA application_id = 1", "no journal")]
)
async def test_a_file_of_another_version_or_program_is_left_alone_with_advice(
    tmp_path: Path, clock: FakeClock, change: str, said: str
) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
    with sqlite3.connect(path) as connection:
        connection.execute(change)
    connection.close()
    before = path.read_bytes()
    async with recording(path, clock) as (image, journal):
        record(image, "power", START, 1.0)
        assert not await journal.flush()
        assert said in journal.error
        assert "move" in journal.error
        assert path.read_bytes() == before
        path.rename(tmp_path / "old.db")
        assert await journal.flush()  # done as it said, it goes on by itself
        assert journal.acknowledged == 1


@asynccontextmanager
async def hanging_disk(journal: Journal) -> AsyncIterator[None]:
    """While this lasts, the disk answers nothing that is written."""
    assert journal._disk.writing is not None
    gate = threading.Event()
    hanging = asyncio.ensure_future(journal._disk.writing.run(lambda _connection: gate.wait()))
    try:
        yield
    finally:
        gate.set()
        await hanging


async def test_a_disk_that_hangs_is_said_and_everything_else_goes_on(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.historian.journal.STUCK_S", 0.02)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await journal.flush()
        failing = asyncio.Event()
        image.watch(image.slot("node", "journal_state"), Watch(failing.set))
        async with hanging_disk(journal):
            record(image, "power", START, 1.0)
            commit = asyncio.create_task(journal.flush())
            async with asyncio.timeout(30):
                await failing.wait()
            assert "not answered" in str(shown(journal, "journal_error"))
            record(image, "power", START + 1, 2.0)
            assert await whole(journal, TAG) == [(START, 1.0, 0), (START + 1, 2.0, 0)]
        assert await commit
        assert shown(journal, "journal_state") == JournalState.RECORDING
        assert await journal.flush()
        assert (journal.acknowledged, journal.lost) == (2, 0)


async def test_a_cancelled_commit_is_counted_once(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await journal.flush()
        record(image, "power", START, 1.0)
        async with hanging_disk(journal):
            commit = asyncio.create_task(journal.flush())
            await clock.settle()
            commit.cancel()
            await asyncio.wait({commit})
        await journal.stop()
        assert journal.acknowledged == journal.accepted == 1
    with sqlite3.connect(tmp_path / "history.db") as connection:
        assert connection.execute("SELECT sum(n) FROM frame").fetchone() == (1,)
    connection.close()


async def test_the_end_does_not_wait_for_a_disk_that_hangs(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr("node.historian.journal.STOP_S", 0.02)
    monkeypatch.setattr("node.historian.store.disk.STOP_S", 0.02)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await journal.flush()
        connection = journal._disk.writing
        assert connection is not None
        async with hanging_disk(journal):
            record(image, "power", START, 1.0)
            async with asyncio.timeout(30):
                await journal.stop()
            assert "does not answer" in caplog.text
        await asyncio.to_thread(connection.join, 30.0)


async def test_a_file_that_breaks_while_open_is_moved_aside(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        for number in range(2_000):
            record(image, "text", START + number, f"{number}" * 50)
        await journal.flush()
        assert journal._disk.writing is not None
        await journal._disk.writing.run(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
        with path.open("r+b") as file:
            file.seek(4096)
            file.write(b"\xaa" * (path.stat().st_size - 4096))
        await journal._disk.writing.run(lambda c: c.execute("PRAGMA shrink_memory").fetchall())
        record(image, "power", START, 1.0)
        assert not await journal.flush()
        assert shown(journal, "journal_state") == JournalState.FAILING
        assert await journal.flush()
        assert await whole(journal, TAG) == [(START, 1.0, 0)]
        assert list(tmp_path.glob("history.db.corrupt-*"))
        assert [r.levelno for r in caplog.records if r.name.startswith("node")].count(logging.ERROR) == 1
