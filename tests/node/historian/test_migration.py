"""Files that older versions wrote. Each file here was written by the version it is of."""

import gzip
import sqlite3
from pathlib import Path

from address_space.model import TICKS_PER_S, Value
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import gap, record, recording, whole

FILES = Path(__file__).parent / "files"
RUN_TICKS = 100 * TICKS_PER_S
LAST = START + RUN_TICKS + 29 * TICKS_PER_S

Row = tuple[int, Value | None, int]


def unpacked(tmp_path: Path) -> Path:
    path = tmp_path / "history.db"
    path.write_bytes(gzip.decompress((FILES / "journal_v1.db.gz").read_bytes()))
    return path


def power_of(run: int) -> list[Row]:
    """What version 1 recorded: a value a second, number 5 of them corrected late; then the mark of a restart."""
    rows: list[Row] = [(START + run * RUN_TICKS + n * TICKS_PER_S, n / 10 + run, 0) for n in range(30)]
    rows[5] = (rows[5][0], -1.0, 0)
    return [*rows, gap(rows[-1][0])]


def text_of(run: int) -> list[Row]:
    rows: list[Row] = [(START + run * RUN_TICKS + n * TICKS_PER_S, f"text {n}", 0) for n in range(0, 30, 3)]
    return [*rows, gap(START + run * RUN_TICKS + 29 * TICKS_PER_S)]


async def test_a_file_of_version_1_is_read_and_compacted(tmp_path: Path, clock: FakeClock) -> None:
    path = unpacked(tmp_path)
    async with recording(path, clock) as (image, journal):
        for _compacted in range(2):
            assert await whole(journal, "xw1.power") == power_of(0) + power_of(1)
            assert await whole(journal, "xw1.text", reverse=True) == (text_of(0) + text_of(1))[::-1]
            await journal.compact()
        assert await journal.on_disk(lambda c: c.execute("SELECT count(*) FROM frame").fetchone()) == (0,)
        record(image, "power", LAST + TICKS_PER_S, 7.0)
        await journal.flush()
        assert (await whole(journal, "xw1.power"))[-1] == (LAST + TICKS_PER_S, 7.0, 0)
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA user_version").fetchone() == (2,)
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_what_version_1_never_recorded_gets_no_mark_at_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    path = unpacked(tmp_path)
    async with recording(path, clock) as (image, journal):
        record(image, "level", LAST + TICKS_PER_S, 3)
        await journal.flush()
        await journal.compact()
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
        assert await whole(journal, "xw2.power") == []
        lost = (LAST + TICKS_PER_S + 10_000, None, DATA_LOST)
        assert (await whole(journal, "xw1.power"))[-1] == lost
        assert (await whole(journal, "xw1.level"))[-1] == lost


async def test_a_migration_that_finds_a_damaged_frame_goes_on(tmp_path: Path, clock: FakeClock) -> None:
    path = unpacked(tmp_path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE frame SET data = zeroblob(length(data)) WHERE seq = 61")
    connection.close()
    async with recording(path, clock) as (_image, journal):
        await journal.flush()
        await journal.compact()
        assert (await whole(journal, "xw1.power"))[:30] == power_of(0)[:30]
        assert len(journal.damage) == 1
