"""The journal while the node's clock is wrong, is set, and after a restart: nothing is lost, hidden or repeated."""

import asyncio
from contextlib import suppress
from pathlib import Path

import pytest

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_MS, TICKS_PER_S, Status
from node.historian.journal import Journal
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import gap, make_image, record, recording, whole
from tests.node.historian.test_journal import shown

HOUR_S = 3600
YEARS_S = 26 * 365 * 86_400
UNCERTAIN = int(Status.UNCERTAIN)
Row = tuple[int, object, int]


async def poll(image: ProcessImage, journal: Journal, clock: FakeClock, values: range) -> list[Row]:
    """One answer a second, with commits; what must be in history of it, as Good."""
    answers: list[Row] = []
    for value in values:
        journal._recording.tick()
        record(image, "power", clock.now(), float(value))
        answers.append((clock.now(), float(value), 0))
        if value % 3 == 0:
            assert await journal.flush()
        await clock.advance(1.0)
    return answers


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S, 30 * 86_400, -30 * 86_400])
@pytest.mark.parametrize("compacted", [False, True])
async def test_a_clock_that_is_set_costs_no_sample(
    tmp_path: Path, clock: FakeClock, step_s: float, compacted: bool
) -> None:
    async with recording(tmp_path / "h.db", clock) as (image, journal):
        answers = await poll(image, journal, clock, range(20))
        clock.step_wall(step_s + 0.5)  # half a second: no time is there twice
        answers += await poll(image, journal, clock, range(20, 40))
        assert await journal.flush()
        if compacted:
            await journal.compact()
        assert await whole(journal, "xw1.power") == sorted(answers)
        assert await whole(journal, "xw1.power", reverse=True, limit=7) == sorted(answers, reverse=True)
        assert (shown(journal, "clock_steps"), shown(journal, "clock_doubtful")) == (1, 0)
        assert shown(journal, "clock_last_step") == pytest.approx(step_s + 0.5)
        assert [value for _, value, _ in await whole(journal, "node.clock_last_step")] == [pytest.approx(step_s + 0.5)]


async def test_a_clock_of_the_year_2000_until_the_network_sets_it(tmp_path: Path) -> None:
    clock = FakeClock(START - YEARS_S * TICKS_PER_S)
    async with recording(tmp_path / "h.db", clock) as (image, journal):
        early = await poll(image, journal, clock, range(20))
        clock.step_wall(YEARS_S)
        late = await poll(image, journal, clock, range(20, 40))
        assert await journal.flush()
        expected = [(ticks, value, UNCERTAIN) for ticks, value, _ in early] + late
        assert await whole(journal, "xw1.power") == expected
        assert (shown(journal, "clock_steps"), shown(journal, "clock_doubtful")) == (1, 20)


async def test_a_node_without_a_battery_restarts_in_the_year_2000(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "h.db"
    async with recording(path, clock) as (image, journal):
        first = await poll(image, journal, clock, range(5))
    again = FakeClock(START - YEARS_S * TICKS_PER_S)
    async with recording(path, again) as (image, journal):
        early = await poll(image, journal, again, range(5))
        again.step_wall(YEARS_S + 100)
        late = await poll(image, journal, again, range(5, 10))
        assert await journal.flush()
        uncertain = [(ticks, value, UNCERTAIN) for ticks, value, _ in early]
        # What nobody knows begins where the run before ended, whatever this clock said.
        assert await whole(journal, "xw1.power") == [*uncertain, *first, gap(first[-1][0]), *late]


async def test_what_a_clock_ahead_left_behind_is_not_taken_for_the_newest(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "h.db"
    async with recording(path, clock) as (image, journal):
        first = await poll(image, journal, clock, range(3))
        await journal.flush()
        record(image, "power", clock.now() + 2 * HOUR_S * TICKS_PER_S, 99.0)
        ahead = (clock.now() + 2 * HOUR_S * TICKS_PER_S, 99.0, UNCERTAIN)
        await journal.flush()
        assert shown(journal, "clock_doubtful") == 1
    await clock.advance(60.0)
    async with recording(path, clock) as (image, journal):
        last = await poll(image, journal, clock, range(3, 6))
        await journal.flush()
        assert await whole(journal, "xw1.power") == [*first, gap(first[-1][0]), *last, ahead]
        assert (await journal.at_or_before("xw1.power", clock.now())).values == [5.0]


async def test_a_run_that_was_ahead_altogether_ends_at_the_beginning_of_the_next(tmp_path: Path) -> None:
    path = tmp_path / "h.db"
    fast = FakeClock(START + 10 * HOUR_S * TICKS_PER_S)
    async with recording(path, fast) as (image, journal):
        first = await poll(image, journal, fast, range(3))
    clock = FakeClock(START)
    async with recording(path, clock) as (image, journal):
        await journal.flush()
        await clock.advance(1.0)
        last = await poll(image, journal, clock, range(3, 6))
        await journal.flush()
        assert await whole(journal, "xw1.power") == [gap(START), *last, *first]


async def test_rules_by_the_clock_and_steps_are_looked_at_while_the_journal_runs(
    tmp_path: Path, clock: FakeClock
) -> None:
    image = make_image(clock)
    journal = Journal(tmp_path / "h.db", image, clock)
    image.tap(journal.offer)
    running = asyncio.create_task(journal.run())
    await clock.settle()
    record(image, "power", clock.now(), 1.0)
    clock.step_wall(-HOUR_S)
    await clock.advance(2.0)
    assert journal._recording.watch.steps == 1
    running.cancel()
    with suppress(asyncio.CancelledError):
        await running
    async with recording(tmp_path / "h.db", clock) as (_image, journal):
        await journal.flush()
        times = [ticks for ticks, _, status in await whole(journal, "xw1.power") if status == 0]
        # The point does not age, so it is known on the new time at once.
        assert times[-1] == START
        assert START - HOUR_S * TICKS_PER_S <= times[0] <= START - (HOUR_S - 2) * TICKS_PER_S + TICKS_PER_MS
