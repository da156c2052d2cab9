"""Blocks and frames that broke, and disks that do not take a compaction: what is whole stays readable, nobody helps."""

import random
import sqlite3
from collections.abc import Callable
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from node.historian.editing import Annotation, Change
from node.historian.history import HistoryUnavailable, Position
from node.historian.journal import Journal
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, rows, whole
from tests.node.historian.store.test_retention import fill, keeping

TAG = "xw1.power"


async def in_blocks(image: ProcessImage, journal: Journal, count: int = 30) -> None:
    """Samples of one tag in blocks of ten."""
    for number in range(count):
        record(image, "power", START + number, number / 7)
        if number % 10 == 9:
            await journal.flush()
            await journal.compact()


@pytest.fixture
def ten_a_block(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.historian.store.compaction.BLOCK_SAMPLES", 10)
    monkeypatch.setattr("node.historian.store.compaction._SMALL", 5)


def change_file(path: Path, statement: str) -> None:
    with sqlite3.connect(path) as connection:
        connection.execute(statement)
    connection.close()


@pytest.mark.usefixtures("ten_a_block")
@pytest.mark.parametrize(
    "broken", ["zeroblob(length(data))", "substr(data, 1, length(data) - 1)", "x''", "CAST(data || x'00' AS BLOB)"]
)
async def test_a_damaged_block_costs_only_itself_and_is_marked(tmp_path: Path, clock: FakeClock, broken: str) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        await in_blocks(image, journal)
    change_file(path, f"UPDATE block SET data = {broken} WHERE t_min = {START + 10}")
    async with recording(path, clock) as (image, journal):
        await journal.flush()
        good = [(START + number, number / 7, 0) for number in range(30)]
        seen = [*good[:10], (START + 10, None, DATA_LOST), *good[20:]]
        for limit in (1, 4, 1000):
            assert (await whole(journal, TAG, limit=limit))[:21] == seen
            assert await whole(journal, TAG, START + 25, None, reverse=True, limit=limit) == seen[:17][::-1]
        assert rows(await journal.at_or_before(TAG, START + 15)) == [(START + 10, None, DATA_LOST)]
        assert len(journal.damage) == 1
        # Late samples go into it as if it were whole.
        record(image, "power", START + 13, 13.0)
        await journal.flush()
        await journal.compact()
        assert (await whole(journal, TAG))[9:14] == [
            good[9],
            (START + 10, None, DATA_LOST),
            (START + 13, 13.0, 0),
            *good[20:22],
        ]


async def test_a_damaged_frame_costs_only_itself_in_compaction_too(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(5):
            record(image, "power", START + number, float(number))
            await journal.flush()
        await journal.on_disk(lambda c: c.execute("UPDATE frame SET data = zeroblob(length(data)) WHERE seq = 3"))
        await journal.compact()
        assert [value for _, value, _ in await whole(journal, TAG)] == [0.0, 1.0, 3.0, 4.0]
        assert len(journal.damage) == 1
        assert await journal.on_disk(lambda c: c.execute("SELECT count(*) FROM frame").fetchone()) == (0,)


@pytest.mark.parametrize("pragma", ["max_page_count = 1", "query_only = ON"])
async def test_a_disk_that_takes_no_compaction_costs_nothing(
    tmp_path: Path, clock: FakeClock, pragma: str, seed: int
) -> None:
    rng = random.Random(seed)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(500):
            record(image, "text", START + number, rng.randbytes(100).hex())
        await journal.flush()
        before = await whole(journal, "xw1.text")
        await journal.on_disk(lambda c: c.execute(f"PRAGMA {pragma}").fetchall())
        with pytest.raises(HistoryUnavailable):
            await journal.compact()
        assert await whole(journal, "xw1.text") == before
        for undone in ("max_page_count = 1000000", "query_only = OFF"):
            await journal.on_disk(lambda c, undone=undone: c.execute(f"PRAGMA {undone}").fetchall())  # type: ignore[misc]
        record(image, "text", START + 500, "more")
        await journal.flush()
        await journal.compact()
        assert await whole(journal, "xw1.text") == [*before, (START + 500, "more", 0)]


@pytest.mark.usefixtures("ten_a_block")
async def test_pages_lose_and_repeat_nothing_while_writing_and_compaction_go_on(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await in_blocks(image, journal, 105)
        await journal.flush()
        for reverse in (False, True):
            seen: list[int] = []
            after: Position | None = None
            edges = (START + 104, START - 1) if reverse else (START, START + 105)
            while True:
                page = await journal.raw(TAG, *edges, limit=9, reverse=reverse, after=after)
                seen += page.columns.ticks
                if page.next is None:
                    break
                after = page.next
                record(image, "power", START + 1000 + len(seen), len(seen) + 0.25 + reverse)
                await journal.flush()
                if len(seen) % 4 == 1:
                    await journal.compact()
            assert sorted(seen, reverse=reverse) == seen == [*range(START, START + 105)][:: -1 if reverse else 1]


async def recovers(path: Path, clock: FakeClock, at: int) -> None:
    """Whatever the file is, a journal begins to record again by itself and answers what it recorded."""
    async with recording(path, clock) as (image, journal):
        for _try in range(4):
            try:
                await whole(journal, TAG)
                await journal.compact()
            except HistoryUnavailable:
                pass
            record(image, "power", at, at / 7)
            if await journal.flush():
                break
        else:
            pytest.fail(f"does not recover: {journal.error}")
        assert rows(await journal.at_or_before(TAG, at)) == [(at, at / 7, 0)]


async def test_garbage_anywhere_in_the_file_needs_no_help(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    original = tmp_path / "whole.db"
    async with recording(original, clock) as (image, journal):
        for number in range(3000):
            record(image, "text", START + number, f"{number * 7919} " * 20)
            record(image, "power", START + number, number / 7)
            if number % 100 == 99:
                await journal.flush()
            if number == 2000:
                await journal.compact()
    content = original.read_bytes()
    for number in range(scaled(100)):
        path = tmp_path / str(number) / "history.db"
        path.parent.mkdir()
        broken = bytearray(content)
        if rng.random() < 0.3:
            del broken[rng.randrange(len(broken)) :]
        else:
            at, size = rng.randrange(len(broken)), rng.choice([1, 100, 4096, 20_000])
            broken[at : at + size] = rng.randbytes(len(broken[at : at + size]))
        path.write_bytes(broken)
        await recovers(path, clock, START + 10_000)


async def with_broken_page(path: Path, clock: FakeClock, rng: random.Random, table: str) -> dict[int, float]:
    """A file of frames and blocks with a page of a table overwritten; what it held."""
    model: dict[int, float] = {}
    async with recording(path, clock) as (image, journal):
        for number in range(4_000):
            model[START + number] = rng.random()
            record(image, "power", START + number, model[START + number])
            if number % 50 == 49:
                await journal.flush()
                if number in (999, 1999):
                    await journal.compact()
        await journal.annotate(TAG, [Annotation(START, START, "eve", "kept")], Change.INSERT)
    with sqlite3.connect(path) as connection:
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = ?", (table,)).fetchone()
    connection.close()
    content = bytearray(path.read_bytes())
    # A leaf of the table (type 13 of SQLite's file format, section 1.6), or its root when it has no other.
    interior = content[(root - 1) * 4096]
    children = [
        int.from_bytes(content[at : at + 4], "big")
        for cell in range(int.from_bytes(content[(root - 1) * 4096 + 3 : (root - 1) * 4096 + 5], "big"))
        for at in [(root - 1) * 4096 + int.from_bytes(content[(root - 1) * 4096 + 12 + 2 * cell :][:2], "big")]
    ]
    page = rng.choice(children) if interior == 5 else root
    content[(page - 1) * 4096 : page * 4096] = rng.randbytes(4096)
    path.write_bytes(content)
    return model


@pytest.mark.parametrize("table", ["frame", "block"])
async def test_a_broken_page_costs_what_was_on_it(tmp_path: Path, clock: FakeClock, seed: int, table: str) -> None:
    rng = random.Random(seed)
    path = tmp_path / "history.db"
    model = await with_broken_page(path, clock, rng, table)
    async with recording(path, clock) as (image, journal):
        for _try in range(4):
            try:
                await whole(journal, TAG)
                await journal.compact()
                break
            except HistoryUnavailable:
                await journal.flush()
        record(image, "power", START + 100_000, 1.0)
        assert await journal.flush()
        found = {ticks: value for ticks, value, status in await whole(journal, TAG) if status != DATA_LOST}
        assert found.pop(START + 100_000) == 1.0
        assert found.items() <= model.items()
        assert len(found) >= len(model) - 1_000
        assert [note.message for note in await journal.annotations(TAG, None, None, limit=9)] == ["kept"]
    with sqlite3.connect(path) as connection:
        assert connection.execute("PRAGMA integrity_check").fetchone() == ("ok",)
    connection.close()


async def test_room_is_made_on_a_full_disk_though_the_log_cannot_be_brought_into_the_file(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(_connection: sqlite3.Connection, *, give_back: bool) -> None:
        raise sqlite3.OperationalError(f"database or disk is full, give_back is {give_back}")

    async with keeping(tmp_path / "history.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 4)
        monkeypatch.setattr("node.historian.store.keeper.settle", full)
        keeper.disk_full()
        await keeper.look()
        assert keeper.deleted.samples > 0
        record(image, "text", clock.now(), "more")
        assert await journal.flush()
