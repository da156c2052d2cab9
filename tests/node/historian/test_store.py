"""Frames, blocks, what waits, edits and crashes against a dictionary: no mixture of them may read differently."""

import random
import shutil
from collections.abc import Callable
from pathlib import Path

import pytest

from address_space.model import TICKS_PER_MS, Value
from node.historian.journal import Journal
from node.historian.store.compaction import Pass
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, whole
from tests.node.historian.test_raw import Model, agree

TAG = "xw1.power"


async def break_off(journal: Journal, steps: int) -> None:
    """Begin a pass and do not end it, as a crash between two of its steps does."""
    work = Pass(journal.damage)
    for _ in range(steps):
        if not await journal.on_disk(work.step):
            break


def some_time(rng: random.Random) -> int:
    spread = rng.choice([5, 100, 100_000])
    return START + rng.randrange(-spread, spread)


@pytest.mark.usefixtures("small_blocks")
async def test_no_order_of_writing_compacting_and_crashing_is_seen(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    for number in range(scaled(100)):
        model: Model = {}
        path = tmp_path / str(number) / "history.db"
        path.parent.mkdir()
        for start in range(3):
            async with recording(path, clock) as (image, journal):
                await journal.flush()
                # The mark that a run begins with: nothing is known from the last commit on.
                marks = [row for row in await whole(journal, TAG) if row[2] == 0x809D0000 and row[0] not in model]
                assert len(marks) <= 1
                model.update({ticks: (value, status) for ticks, value, status in marks})
                for _ in range(rng.randrange(1, 80)):
                    ticks, value = some_time(rng), rng.choice([None, rng.random(), rng.randrange(50) / 10, "late", 7])
                    status = rng.choice([0, 0, 0x40000000, 0x80000000])
                    slot = image.slot("xw1", "power")
                    if (image.values[slot], image.statuses[slot]) != (value, status):
                        model[ticks] = (value, status)
                    record(image, "power", ticks, value, status)
                    record(image, "level", ticks, rng.randrange(5))
                    what = rng.random()
                    if what < 0.4:
                        await journal.flush()
                    elif what < 0.45:
                        await break_off(journal, rng.randrange(1, 12))
                    elif what < 0.5:
                        await journal.compact()
                    elif what < 0.55:
                        await agree(journal, model, rng, 3)
                await agree(journal, model, rng, 10)
                await journal.flush()
                assert await journal.start_of_archive(TAG) == min(model)
                # What a crash leaves is what is on the disk now.
                crashed = tmp_path / str(number) / f"crash{start}" / "history.db"
                crashed.parent.mkdir()
                for suffix in ("", "-wal"):
                    shutil.copy(f"{path}{suffix}", f"{crashed}{suffix}")
            path = crashed


@pytest.mark.usefixtures("small_blocks")
async def test_compaction_changes_no_read_and_leaves_no_frame(tmp_path: Path, clock: FakeClock, seed: int) -> None:
    rng = random.Random(seed)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for round_ in range(5):
            for number in range(40):
                record(image, "power", some_time(rng), number / 10 + round_ * 100)
                record(image, "text", some_time(rng), rng.choice(["", "a", "\ud800", None]), rng.randrange(3))
                if rng.random() < 0.3:
                    await journal.flush()
            await journal.flush()
            tags = (TAG, "xw1.text")
            before = [await whole(journal, tag, reverse=reverse) for tag in tags for reverse in (False, True)]
            await journal.compact()
            assert before == [await whole(journal, tag, reverse=reverse) for tag in tags for reverse in (False, True)]
            assert await journal.on_disk(lambda c: c.execute("SELECT count(*) FROM frame").fetchone()) == (0,)
            overlaps = await journal.on_disk(
                lambda c: c.execute(
                    "SELECT count(*) FROM block a JOIN block b ON a.tag = b.tag"
                    " AND a.t_min < b.t_min AND a.t_max >= b.t_min"
                ).fetchone()
            )
            assert overlaps == (0,)


async def test_a_slow_tag_does_not_end_in_tiny_blocks(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(300):
            record(image, "power", START + number * TICKS_PER_MS, float(number))
            if number % 5 == 4:
                await journal.flush()
                await journal.compact()
        assert await journal.on_disk(lambda c: c.execute("SELECT n FROM block").fetchall()) == [(300,)]


async def test_much_at_once_becomes_blocks_of_even_size(tmp_path: Path, clock: FakeClock) -> None:
    values: list[Value] = [number / 7 for number in range(10_000)]
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number, value in enumerate(values):
            record(image, "power", START + number * TICKS_PER_MS, value)
        await journal.flush()
        await journal.compact()
        sizes = await journal.on_disk(lambda c: [n for (n,) in c.execute("SELECT n FROM block")])
        assert sum(sizes) == len(values)
        assert all(512 <= size <= 1024 for size in sizes)
        assert [value for _, value, _ in await whole(journal, TAG, limit=777)] == values
