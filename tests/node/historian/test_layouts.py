"""The same five samples in every place where samples can lie: each answers every interval alike."""

from collections.abc import Awaitable, Callable
from itertools import product
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_S
from node.historian.editing import Change
from node.historian.history import Columns, Position
from node.historian.journal import Journal
from node.historian.store.compaction import Pass
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, rows, whole

TAG = "xw1.power"
MINUTE = 60 * TICKS_PER_S
# 5:00, 5:02, 5:03, 5:05 and 5:06 of the example of OPC 10000-11 section 6.5.3, from the hour on.
STORED = (0, 2, 3, 5, 6)
ASKED = (None, -12, -1, 0, 1, 2, 4, 5, 6, 7)

Lay = Callable[[ProcessImage, Journal], Awaitable[None]]


def put(image: ProcessImage, *minutes: int, value: float | None = None) -> None:
    for minute in minutes:
        record(image, "power", START + minute * MINUTE, float(minute) if value is None else value)


async def waiting(image: ProcessImage, _journal: Journal) -> None:
    put(image, *STORED)


async def frames(image: ProcessImage, journal: Journal) -> None:
    for minute in STORED:
        put(image, minute)
        await journal.flush()


async def late_frames(image: ProcessImage, journal: Journal) -> None:
    for minute in reversed(STORED):
        put(image, minute)
        await journal.flush()


async def block(image: ProcessImage, journal: Journal) -> None:
    await frames(image, journal)
    await journal.compact()


async def block_and_frames(image: ProcessImage, journal: Journal) -> None:
    put(image, 0, 3)
    await journal.flush()
    await journal.compact()
    put(image, 6, 2)
    await journal.flush()
    put(image, 5)


async def blocks_with_late_data(image: ProcessImage, journal: Journal) -> None:
    for minute in (6, 0, 3, 2, 5):
        put(image, minute)
        await journal.flush()
        await journal.compact()


async def a_pass_that_broke_off(image: ProcessImage, journal: Journal) -> None:
    await frames(image, journal)
    work = Pass(journal.damage)
    while not await journal.on_disk(lambda c: c.execute("SELECT count(*) FROM block").fetchone()[0]):
        assert await journal.on_disk(work.step)


async def overwritten_and_deleted(image: ProcessImage, journal: Journal) -> None:
    put(image, 0, 1, 3, value=-1.0)
    put(image, 4, 5, value=-2.0)
    await journal.flush()
    await journal.compact()
    put(image, 6, 5, 2, 3)
    await journal.delete_at(TAG, [START + MINUTE], "eve")
    await journal.delete(TAG, START + 4 * MINUTE, START + 5 * MINUTE, "eve")
    right = Columns()
    right.append(START, 0.0, 0)
    await journal.write(TAG, right, Change.REPLACE, "eve")


def right(start: int | None, end: int | None, *, reverse: bool) -> list[int]:
    sign = -1 if reverse else 1
    inside = [
        minute
        for minute in STORED
        if (start is None or sign * minute >= sign * start) and (end is None or sign * minute < sign * end)
    ]
    return inside[::sign]


def ticks(minute: int | None) -> int | None:
    return None if minute is None else START + minute * MINUTE


@pytest.mark.parametrize(
    "lay",
    [
        waiting,
        frames,
        late_frames,
        block,
        block_and_frames,
        blocks_with_late_data,
        a_pass_that_broke_off,
        overwritten_and_deleted,
    ],
)
async def test_every_place_answers_every_interval_alike(tmp_path: Path, clock: FakeClock, lay: Lay) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await journal.flush()
        await lay(image, journal)
        for start, end, reverse, limit in product(ASKED, ASKED, (False, True), (1, 3, 6)):
            wanted = right(start, end, reverse=reverse)
            page = await journal.raw(TAG, ticks(start), ticks(end), limit=limit, reverse=reverse)
            assert [(t - START) // MINUTE for t in page.columns.ticks] == wanted[:limit]
            assert page.columns.values == [float(minute) for minute in wanted[:limit]]
            more = Position(START + wanted[limit - 1] * MINUTE) if len(wanted) > limit else None
            assert page.next == more
        for minute in range(-1, 8):
            at = START + minute * MINUTE
            older, newer = [m for m in STORED if m < minute], [m for m in STORED if m > minute]
            assert rows(await journal.before(TAG, at)) == [(START + m * MINUTE, float(m), 0) for m in older[-1:]]
            assert rows(await journal.after(TAG, at)) == [(START + m * MINUTE, float(m), 0) for m in newer[:1]]
            both = await whole(journal, TAG, None, at) + await whole(journal, TAG, at, None)
            assert both == await whole(journal, TAG)
