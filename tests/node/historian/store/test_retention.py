"""What goes when the journal is too old or too large, what is said about it, and that the disk is never overrun."""

import asyncio
import errno
import logging
import os
import random
import subprocess
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_S
from node.historian.event_log import EventRecord
from node.historian.journal import Journal
from node.historian.report import JournalState
from node.historian.store import retention
from node.historian.store.block import BLOCK_SAMPLES
from node.historian.store.keeper import Keeper
from node.historian.store.retention import SEGMENT_BYTES, Usage, excess
from node.historian.store.retention_rule import MIN_BYTES, Budget, RetentionRule, WhenFull, budget
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import make_image, record, rows
from tests.node.historian.test_journal import fill_disk, free_disk, noise, shown

GB = 1_000_000_000
DAY_S = 86_400


@asynccontextmanager
async def keeping(path: Path, clock: FakeClock, **options: Any) -> AsyncIterator[tuple[ProcessImage, Journal, Keeper]]:
    image = make_image(clock)
    journal = Journal(path, image, clock, **options)
    image.tap(journal.offer)
    try:
        yield image, journal, journal.keeper
    finally:
        await journal.stop()


async def fill(image: ProcessImage, journal: Journal, clock: FakeClock, blocks: int, *, size: int = 150) -> None:
    """Record incompressible texts, a block of them at a time, an hour each."""
    rng = random.Random(image.sources[0])
    for _ in range(blocks):
        start = clock.now()
        for number in range(BLOCK_SAMPLES):
            record(image, "text", start + number * 3 * TICKS_PER_S, rng.randbytes(size // 2).hex())
        await clock.advance(3600.0)
        journal._recording.watch.look()
        assert await journal.flush()
        await journal.compact()


async def sent(journal: Journal, sink: str, blocks: int) -> None:
    """The sink has the oldest blocks."""
    await journal.on_disk(
        lambda c: c.execute(
            "INSERT OR REPLACE INTO cursor SELECT ?, seq, tag, t_min, 0 FROM"
            " (SELECT seq, tag, t_min FROM block ORDER BY seq, tag, t_min LIMIT 1 OFFSET ?)",
            (sink, blocks - 1),
        )
    )


async def times(journal: Journal, tag: str = "xw1.text") -> list[int]:
    return list((await journal.raw(tag, None, None, limit=1_000_000)).columns.ticks)


async def count(journal: Journal, table: str = "block") -> int:
    (found,) = await journal.on_disk(lambda c: c.execute(f"SELECT count(*) FROM {table}").fetchone())
    return int(found)


async def need(journal: Journal, keeper: Keeper, size: int) -> None:
    """Look at a budget that the journal exceeds by `size` bytes."""
    await journal.on_disk(lambda c: c.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall())
    used = await journal.on_disk(lambda c: retention.usage(c, journal._path))
    keeper.budget = Budget(0, 0)
    most = used.on_disk
    while excess(Budget(most, 0), used) < size:
        most -= 10_000
    keeper.budget = Budget(most, 0)
    await keeper.look()


# --- how much


@pytest.mark.parametrize(
    ("rule", "own", "free", "total", "expected"),
    [
        (RetentionRule(), 0, 100 * GB, 200 * GB, Budget(4 * GB, 512_000_000)),
        (RetentionRule(), 0, 10 * GB, 200 * GB, Budget(2 * GB, 512_000_000)),
        (RetentionRule(), 2 * GB, 8 * GB, 200 * GB, Budget(2 * GB, 512_000_000)),  # a restart changes nothing
        (RetentionRule(), 0, 1 * GB, 2 * GB, Budget(200_000_000, 200_000_000)),
        (RetentionRule(), 0, 0, 1 * GB, Budget(MIN_BYTES, 100_000_000)),
        (RetentionRule(max_bytes=9 * GB, min_free_bytes=5), 0, 1 * GB, 2 * GB, Budget(9 * GB, 5)),
    ],
)
def test_the_budget_follows_the_disk_unless_the_site_says_otherwise(
    rule: RetentionRule, own: int, free: int, total: int, expected: Budget
) -> None:
    assert budget(rule, own=own, free=free, total=total) == expected


def test_spare_pages_count_as_room_and_others_can_take_the_rest() -> None:
    limits = Budget(100_000_000, 50_000_000)
    assert excess(limits, Usage(1, 4_000_000, 90_000_000, 0, GB, GB)) == -2_000_000
    assert excess(limits, Usage(1, 4_000_000, 90_000_000, 10_000_000, GB, GB)) == -12_000_000
    assert excess(limits, Usage(1, 4_000_000, 96_000_000, 0, GB, GB)) == 4_000_000
    assert excess(limits, Usage(1, 16_000_000, 96_000_000, 0, GB, GB)) == 16_000_000  # the log of an SD card
    # 20 MB are missing to the floor.
    assert excess(limits, Usage(90_000_000, 0, 90_000_000, 0, 30_000_000, GB)) == 28_000_000
    # However little is free, some history stays.
    assert excess(Budget(100_000_000, GB), Usage(5_000_000, 0, 5_000_000, 0, 0, GB)) < 0


# --- what goes first


async def test_the_oldest_blocks_go_and_the_archive_begins_later(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        record(image, "power", clock.now(), 1.0)
        await fill(image, journal, clock, 8)
        before = await times(journal)
        await need(journal, keeper, 300_000)
        after = await times(journal)
        assert 0 < len(after) < len(before)
        assert after == before[-len(after) :]
        assert await journal.start_of_archive("xw1.text") == after[0] > before[0]
        # The only block of a point that seldom changes says what it is now.
        assert await times(journal, "xw1.power") == [START]
        assert keeper.deleted.samples == len(before) - len(after)
        assert (keeper.deleted.unsent, journal.lost) == (0, 0)
        assert keeper.oldest == START


async def test_the_newest_blocks_go_too_when_nothing_else_can(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        record(image, "power", clock.now(), 1.0)
        await fill(image, journal, clock, 4)
        await need(journal, keeper, 10_000_000)
        assert await count(journal) == 0


async def test_what_every_sink_has_goes_without_a_loss(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with keeping(tmp_path / "h.db", clock, sinks=["a", "b"]) as (image, journal, keeper):
        await fill(image, journal, clock, 8)
        blocks = await count(journal)
        await sent(journal, "a", blocks)
        await sent(journal, "b", blocks // 2)
        await need(journal, keeper, 200_000)
        assert keeper.deleted.samples > 0 == keeper.deleted.unsent
        await need(journal, keeper, 900_000)
        assert 0 < keeper.deleted.unsent < keeper.deleted.samples
        assert journal.lost == keeper.deleted.unsent
        await need(journal, keeper, 200_000)
        errors = [r for r in caplog.records if r.levelno == logging.ERROR]
        assert len(errors) == 1
        assert "not every sink has" in errors[0].getMessage()
        assert "2026-06-30" in errors[0].getMessage()
        await journal.flush()
        assert shown(journal, "journal_lost") == keeper.deleted.unsent
        assert shown(journal, "journal_deleted") == keeper.deleted.samples


async def test_a_sink_that_was_never_reached_owns_everything(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock, sinks=["a"]) as (image, journal, keeper):
        await fill(image, journal, clock, 4)
        await need(journal, keeper, 100_000)
        assert keeper.deleted.unsent == keeper.deleted.samples > 0


async def test_history_says_where_something_inside_of_the_kept_time_is_lost(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 4)
        middle = await times(journal)
        for number in range(600):  # late samples, older than everything and written last
            record(image, "text", START - 10 * TICKS_PER_S + number, f"{number}")
        await journal.flush()
        await journal.compact()
        await need(journal, keeper, 100_000)
        page = rows((await journal.raw("xw1.text", None, None, limit=1_000_000)).columns)
        late = [row for row in page if row[0] < START]
        assert len(late) == 600
        assert page[600] == (middle[0], None, DATA_LOST)
        kept = [row for row in page if row[0] >= START and row[2] == 0]
        assert kept
        assert [row[0] for row in kept] == middle[-len(kept) :]


# --- policies


async def test_keep_old_stops_recording_says_so_and_goes_on_when_there_is_room(
    tmp_path: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    rule = RetentionRule(when_full=WhenFull.KEEP_OLD)
    async with keeping(tmp_path / "h.db", clock, retention=rule) as (image, journal, keeper):
        await fill(image, journal, clock, 4)
        before = await times(journal)
        caplog.clear()
        await need(journal, keeper, 100_000)
        await need(journal, keeper, 100_000)
        assert await times(journal) == before
        assert await journal.flush()
        assert await journal.flush()
        assert shown(journal, "journal_state") == JournalState.FAILING
        assert "keep_old" in str(shown(journal, "journal_error"))
        assert [r.levelno for r in caplog.records if r.name.startswith("node") and r.levelno > logging.DEBUG] == [
            logging.WARNING
        ]
        gap = clock.now()
        record(image, "text", clock.now(), "refused")
        record(image, "text", clock.now() + 1, "newest")  # live data goes on
        assert image.values[image.slot("xw1", "text")] == "newest"
        assert await journal.flush()
        assert journal.lost == 2
        keeper.budget = Budget(GB, 0)
        await keeper.look()
        assert await journal.flush()
        assert await journal.flush()
        assert shown(journal, "journal_state") == JournalState.RECORDING
        page = rows((await journal.raw("xw1.text", gap, None, limit=10)).columns)
        assert page == [(gap, None, DATA_LOST), (gap + 1, "newest", 0)]
        assert journal.lost == 2


async def test_keep_old_lets_go_what_every_sink_has(tmp_path: Path, clock: FakeClock) -> None:
    rule = RetentionRule(when_full=WhenFull.KEEP_OLD)
    async with keeping(tmp_path / "h.db", clock, retention=rule, sinks=["a"]) as (image, journal, keeper):
        await fill(image, journal, clock, 6)
        blocks = await count(journal)
        await sent(journal, "a", blocks // 2)
        await need(journal, keeper, 150_000)
        assert keeper.deleted.samples > 0
        assert keeper.full == ""
        await need(journal, keeper, 5_000_000)
        assert "keep_old" in keeper.full
        assert await count(journal) == blocks - blocks // 2


# --- the disk


async def test_the_disk_is_never_overrun_by_more_than_a_segment_and_the_file_shrinks(
    tmp_path: Path, clock: FakeClock
) -> None:
    path = tmp_path / "h.db"
    most = 24_000_000

    def on_disk() -> int:
        return sum(file.stat().st_size for file in tmp_path.iterdir() if not file.name.endswith("-shm"))

    async with keeping(path, clock) as (image, journal, keeper):
        keeper.budget = Budget(most, 0)
        for _ in range(25):
            await fill(image, journal, clock, 1, size=2000)
            assert on_disk() <= most + SEGMENT_BYTES
            await keeper.look()
            assert on_disk() <= most
        assert keeper.deleted.samples > 5_000
        assert on_disk() > most // 2
        kept = await times(journal)
        assert kept[-1] == image.sources[image.slot("xw1", "text")]
        keeper.budget = Budget(16_000_000, 0)
        for _ in range(3):
            await keeper.look()
        assert on_disk() <= 16_000_000
        await journal.flush()
        assert shown(journal, "journal_bytes") == pytest.approx(on_disk(), rel=0.2)
        assert shown(journal, "journal_budget") == 16_000_000
        assert shown(journal, "journal_oldest") == (await times(journal))[0]


async def test_others_who_fill_the_disk_make_the_journal_smaller(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(retention, "_LEAST_BYTES", 400_000)
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 8)
        keeper.budget = Budget(GB, 20_000_000)
        await keeper.look()
        assert keeper.deleted.samples == 0
        real = os.statvfs(tmp_path)
        nearly_full = os.statvfs_result((*real[:3], 9_500_000 // real.f_frsize, 9_500_000 // real.f_frsize, *real[5:]))
        monkeypatch.setattr(retention, "statvfs", lambda _path: nearly_full)
        await keeper.look()
        assert keeper.deleted.samples > 0
        assert await count(journal) > 0


async def test_a_full_disk_is_freed_without_a_human(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 8)
        await fill_disk(journal)
        record(image, "text", clock.now(), noise(400_000))
        assert not await journal.flush()
        assert shown(journal, "journal_state") == JournalState.FAILING
        await keeper.look()
        assert await journal.flush()
        assert shown(journal, "journal_state") == JournalState.RECORDING
        assert journal.lost == 0
        assert keeper.deleted.samples > 0
        await free_disk(journal)


@pytest.mark.parametrize(("sd_card", "pages"), [(False, 1000), (True, 4000)])
async def test_an_sd_card_gets_its_log_into_the_file_less_often(
    tmp_path: Path, clock: FakeClock, sd_card: bool, pages: int
) -> None:
    async with keeping(tmp_path / "h.db", clock, sd_card=sd_card) as (_image, journal, _keeper):
        await journal.flush()
        assert await journal.on_disk(lambda c: c.execute("PRAGMA wal_autocheckpoint").fetchone()) == (pages,)
        assert await journal.on_disk(lambda c: c.execute("PRAGMA journal_size_limit").fetchone()) == (pages * 4096,)


async def test_a_disk_that_cannot_be_written_stops_neither_live_data_nor_the_keeper(
    tmp_path: Path, clock: FakeClock
) -> None:
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 4)
        keeper.budget = Budget(200_000, 0)
        await journal.on_disk(lambda c: c.execute("PRAGMA query_only = ON").fetchall())
        before = await count(journal)
        running = asyncio.create_task(keeper.run())
        for number in range(3):
            record(image, "text", clock.now(), f"live {number}")
            await clock.advance(1.0)
            await journal.on_disk(lambda c: c.execute("SELECT 1").fetchone())  # behind what the keeper asked for
        assert image.values[image.slot("xw1", "text")] == "live 2"
        assert await count(journal) == before
        assert keeper.deleted.samples == 0
        await journal.on_disk(lambda c: c.execute("PRAGMA query_only = OFF").fetchall())
        await clock.advance(1.0)
        async with asyncio.timeout(30):
            while keeper.deleted.samples == 0:
                await journal.on_disk(lambda c: c.execute("SELECT 1").fetchone())
        running.cancel()
        await asyncio.wait({running})


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """A real partition of 24 MB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=24m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no partition can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def test_a_partition_that_others_filled_to_the_last_byte(small_disk: Path, clock: FakeClock) -> None:
    async with keeping(small_disk / "h.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 20)
        others = os.open(small_disk / "others", os.O_WRONLY | os.O_CREAT)
        with pytest.raises(OSError, match="No space") as caught:
            while True:
                os.write(others, bytes(4096))
        os.close(others)
        assert caught.value.errno == errno.ENOSPC
        before = journal.acknowledged
        for _ in range(40):
            record(image, "text", clock.now(), noise(40_000))
            clock.step_wall(1)
            await journal.flush()
            await keeper.look()
        assert await journal.flush()
        assert journal.acknowledged == before + 40
        assert journal.lost == 0
        assert shown(journal, "journal_state") == JournalState.RECORDING


# --- age


def event(ticks: int) -> EventRecord:
    return EventRecord(ticks, "s", "t", b"body")


async def test_what_is_too_old_goes_but_for_the_newest_block_of_a_point(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock, retention=RetentionRule(max_age_s=DAY_S)) as (image, journal, keeper):
        record(image, "power", clock.now(), 1.0)
        for number in range(48):
            journal.offer_event(event(START + number * 3600 * TICKS_PER_S))
        await fill(image, journal, clock, 48)
        before, now = await times(journal), clock.now()
        await keeper.look()
        after = await times(journal)
        assert after == before[-len(after) :]
        assert now - after[0] >= DAY_S * TICKS_PER_S
        assert now - after[0] < (DAY_S + 2 * 3600) * TICKS_PER_S
        assert await times(journal, "xw1.power") == [START]
        assert keeper.deleted.samples == len(before) - len(after)
        assert await count(journal, "event") == 48 - keeper.deleted.events
        assert 20 <= keeper.deleted.events <= 28
        # It is looked at once an hour, not all the time.
        kept = await count(journal, "event")
        journal.offer_event(event(START))
        assert await journal.flush()
        await keeper.look()
        assert await count(journal, "event") == kept + 1
        await clock.advance(3600.0)
        journal._recording.watch.look()
        await keeper.look()
        assert await count(journal, "event") < kept + 1


async def test_what_a_sink_has_not_taken_is_not_deleted_for_its_age(tmp_path: Path, clock: FakeClock) -> None:
    rule = RetentionRule(max_age_s=3600)
    async with keeping(tmp_path / "h.db", clock, retention=rule, sinks=["a"]) as (image, journal, keeper):
        await fill(image, journal, clock, 8)
        blocks = await count(journal)
        await sent(journal, "a", blocks // 2)
        await keeper.look()
        assert await count(journal) == blocks - blocks // 2
        assert keeper.deleted.unsent == 0


@pytest.mark.parametrize("step_s", [2 * 3600.0, 10 * 365 * DAY_S])
async def test_nothing_is_deleted_for_its_age_after_a_jump_of_the_clock(
    tmp_path: Path, clock: FakeClock, step_s: float
) -> None:
    async with keeping(tmp_path / "h.db", clock, retention=RetentionRule(max_age_s=3600)) as (image, journal, keeper):
        await fill(image, journal, clock, 4)
        blocks = await count(journal)
        clock.step_wall(step_s)
        await keeper.look()
        journal._recording.tick()
        await keeper.look()
        assert await count(journal) == blocks
        clock.step_wall(-step_s)
        journal._recording.tick()
        await clock.advance(DAY_S + 1)
        journal._recording.tick()
        await keeper.look()
        assert await count(journal) < blocks


async def test_a_clock_that_was_never_set_deletes_nothing(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "h.db"
    async with keeping(path, clock) as (image, journal, _keeper):
        await fill(image, journal, clock, 4)
        blocks = await count(journal)
    in_2000 = FakeClock(START - 26 * 365 * DAY_S * TICKS_PER_S)
    async with keeping(path, in_2000, retention=RetentionRule(max_age_s=1.0)) as (image, journal, keeper):
        await journal.flush()
        await keeper.look()
        assert await count(journal) == blocks
        in_2000.step_wall(27 * 365 * DAY_S)
        journal._recording.tick()
        await keeper.look()  # set by the network: this one is believed at once
        assert await count(journal) < blocks


async def test_changes_and_remarks_go_with_their_time(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock, retention=RetentionRule(max_age_s=3600)) as (_image, journal, keeper):
        await journal.flush()
        old, new = START - 2 * 3600 * TICKS_PER_S, START
        for ticks in (old, new):
            await journal.on_disk(
                lambda c, t=ticks: c.execute("INSERT INTO annotation VALUES (1, ?, 0, 'eva', 'hm')", (t,))  # type: ignore[misc]
            )
            await journal.on_disk(
                lambda c, t=ticks: c.execute("INSERT INTO modified VALUES (1, ?, 1, 4, 0, 'eva', x'')", (t,))  # type: ignore[misc]
            )
        await keeper.look()
        for table in ("annotation", "modified"):
            assert await journal.on_disk(lambda c, t=table: c.execute(f"SELECT ticks FROM {t}").fetchall()) == [  # type: ignore[misc]
                (new,)
            ]


async def test_events_have_a_part_of_the_budget(tmp_path: Path, clock: FakeClock) -> None:
    async with keeping(tmp_path / "h.db", clock) as (image, journal, keeper):
        await fill(image, journal, clock, 2)
        blocks = await count(journal)
        for number in range(6_000):
            journal.offer_event(EventRecord(START + number, "source", "type", bytes(300)))
            if number % 1_000 == 999:
                await journal.flush()
        await need(journal, keeper, 500_000)
        assert 0 < keeper.deleted.events < 6_000
        assert await count(journal) == blocks
        page = await journal.events(None, None, limit=10_000)
        assert page.events[-1].ticks == START + 5_999
        assert len(page.events) == 6_000 - keeper.deleted.events
