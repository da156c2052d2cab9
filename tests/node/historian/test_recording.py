"""Which samples a rule records: deadbands, rates, heartbeats, and what is guaranteed of those that it leaves out."""

import asyncio
import math
import random
from bisect import bisect_right

import pytest

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_MS,
    TICKS_PER_S,
    Batch,
    DataType,
    Device,
    DeviceClass,
    Point,
    PointKind,
    Range,
    RecordingRule,
    Status,
    Value,
    device_model,
)
from address_space.system import node_model
from node.historian.recording import Recording, deadband_of, rule_of
from tests.fake_clock import START, FakeClock

Row = tuple[int, Value | None, int]
UNCERTAIN = int(Status.UNCERTAIN)


class Plant:
    """One point that is recorded by a rule into `rows`, and one beside it that has none."""

    def __init__(
        self, clock: FakeClock, rule: RecordingRule | None, *, limits: Range | None = None, ages: float | None = 3.0
    ) -> None:
        self.clock = clock
        kind, data_type = PointKind.ANALOG, DataType.DOUBLE
        points = (
            Point("power", "", "", data_type, kind, range=limits, historize=True, record=rule, stale_after_s=ages,
                  bad_after_s=None if ages is None else 30.0),
            Point("plain", "", "", data_type, kind, historize=True, stale_after_s=3.0, bad_after_s=30.0),
            Point("scratch", "", "", data_type, kind),
        )  # fmt: skip
        model = device_model("test.plant", DeviceClass.GENERIC, points)
        self.image = ProcessImage([Device("xw1", model), Device("node", node_model())], clock)
        self.has_room = True
        self.rows: list[Row] = []
        self.plain: list[Row] = []
        self.recording = Recording(self.image, clock, self._put)
        self.image.tap(self.recording.offer)

    def _put(self, slot: int, value: Value | None, status: int, ticks: int) -> bool:
        if self.has_room:
            {0: self.rows, 1: self.plain}[slot].append((ticks, value, status))
        return self.has_room

    def answer(self, value: Value | None, status: int = 0, slot: int = 0) -> None:
        self.image.publish(Batch([slot], [value], [status], self.clock.now()))

    async def answers(self, *values: Value | None) -> list[Row]:
        """One answer a second with the rules by the clock applied in between; what was recorded."""
        for value in values:
            self.answer(value)
            self.recording.tick()
            await self.clock.advance(1.0)
        return self.rows


def seconds(rows: list[Row]) -> list[tuple[float, Value | None]]:
    return [((ticks - START) / TICKS_PER_S, value) for ticks, value, _ in rows]


async def test_without_a_rule_every_change_is_recorded(clock: FakeClock) -> None:
    plant = Plant(clock, None)
    assert seconds(await plant.answers(1.0, 1.0, 1.1, 1.1, 1.0)) == [(0, 1.0), (2, 1.1), (4, 1.0)]


async def test_a_deadband_holds_back_and_the_last_sample_before_a_jump_is_recorded_too(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0))
    assert seconds(await plant.answers(10.0, 10.5, 11.0, 10.2, 20.0)) == [(0, 10.0), (3, 10.2), (4, 20.0)]


async def test_a_flat_line_is_flat_until_shortly_before_it_jumps(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0))
    assert seconds(await plant.answers(*[10.0] * 60, 20.0)) == [(0, 10.0), (59, 10.0), (60, 20.0)]


async def test_what_was_lost_is_no_measure_for_what_comes(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0))
    await plant.answers(0.0)
    plant.has_room = False
    await plant.answers(10.0)
    plant.has_room = True
    assert seconds(await plant.answers(10.5)) == [(0, 0.0), (2, 10.5)]


async def test_what_was_held_back_and_is_lost_leaves_no_strange_status(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0))
    await plant.answers(0.0, 0.9)
    plant.has_room = False
    await plant.answers(1.5, 1.6)
    plant.has_room = True
    rows = await plant.answers(1.7, 1.8, 9.0)
    assert {status for _, _, status in rows} == {0}
    assert seconds(rows) == [(0, 0.0), (4, 1.7), (5, 1.8), (6, 9.0)]


async def test_a_slow_drift_is_recorded_by_the_band(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0))
    rows = await plant.answers(*[number / 10 for number in range(101)])
    assert 8 <= len(rows) <= 24


async def test_changes_of_quality_are_recorded_at_once(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=100.0))
    await plant.answers(10.0, 11.0)
    plant.image.degrade([0], Status.UNCERTAIN_LAST_USABLE_VALUE, clock.now())
    await clock.advance(1.0)
    plant.image.degrade([0], Status.BAD_COMMUNICATION_ERROR, clock.now())
    await clock.advance(1.0)
    plant.answer(12.0)
    assert [(value, status) for _, value, status in plant.rows] == [
        (10.0, 0),
        (11.0, 0),
        (11.0, Status.UNCERTAIN_LAST_USABLE_VALUE),
        (None, Status.BAD_COMMUNICATION_ERROR),
        (12.0, 0),
    ]


async def test_what_is_no_number_passes_any_deadband(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=5.0))
    rows = await plant.answers(1.0, math.nan, 2.0, math.inf, -math.inf, 2.0, 2**1100, "text", 2.0)
    assert [repr(value) for _, value, _ in rows] == [
        repr(value) for value in (1.0, math.nan, 2.0, math.inf, -math.inf, 2.0, 2**1100, "text", 2.0)
    ]


async def test_a_rate_records_the_newest_answer_and_nothing_when_none_came(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(on_change=False, every_s=10.0))
    await plant.answers(*[float(number) for number in range(25)])
    assert seconds(plant.rows) == [(0, 0.0), (10, 10.0), (20, 20.0)]
    for _ in range(60):
        plant.recording.tick()
        await clock.advance(1.0)
    assert seconds(plant.rows) == [(0, 0.0), (10, 10.0), (20, 20.0), (24, 24.0)]


async def test_a_rate_beside_a_deadband_records_both(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0, every_s=10.0))
    rows = await plant.answers(*[0.0] * 5, 5.0, *[5.1] * 10)
    assert seconds(rows) == [(0, 0.0), (4, 0.0), (5, 5.0), (10, 5.1)]


@pytest.mark.parametrize("deadband", [0.0, 1.0])
async def test_a_heartbeat_says_that_a_flat_line_is_alive(clock: FakeClock, deadband: float) -> None:
    plant = Plant(clock, RecordingRule(deadband=deadband, heartbeat_s=60.0))
    rows = await plant.answers(*[1.0] * 150)
    assert seconds(rows) == [(0, 1.0), (60, 1.0), (120, 1.0)]


async def test_a_device_that_is_silent_has_no_heartbeat(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(heartbeat_s=60.0))
    await plant.answers(1.0)
    for _ in range(200):
        plant.image.age()
        plant.recording.tick()
        await clock.advance(1.0)
    assert [status for _, _, status in plant.rows] == [
        0,
        Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE,
        Status.BAD_COMMUNICATION_ERROR,
    ]


async def test_the_rounds_keep_their_pace_and_make_up_for_nothing(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(on_change=False, every_s=10.0))
    plant.answer(1.0)
    await clock.advance(35.0)
    plant.answer(2.0)
    plant.recording.tick()
    assert seconds(plant.rows) == [(0, 1.0), (35, 2.0)]
    await clock.advance(4.9)
    plant.answer(3.0)
    plant.recording.tick()
    assert len(plant.rows) == 2
    await clock.advance(0.1)
    plant.recording.tick()
    assert len(plant.rows) == 3


async def test_the_loop_wakes_for_what_is_due(clock: FakeClock) -> None:
    plant = Plant(clock, RecordingRule(on_change=False, every_s=0.5))
    task = asyncio.create_task(plant.recording.run())
    for number in range(20):
        plant.answer(float(number))
        await clock.advance(0.1)
    task.cancel()
    assert 4 <= len(plant.rows) <= 5


def line(rows: list[Row], ticks: int) -> float:
    """The straight line through recorded samples at a time."""
    after = bisect_right([row[0] for row in rows], ticks)
    t0, v0, _ = rows[after - 1]
    if after == len(rows):
        return float(v0)  # type: ignore[arg-type]
    t1, v1, _ = rows[after]
    return v0 + (v1 - v0) * (ticks - t0) / (t1 - t0)  # type: ignore[operator]


@pytest.mark.parametrize("number", range(40))
async def test_steps_and_lines_are_within_the_deadband_of_every_change(clock: FakeClock, number: int) -> None:
    rng = random.Random(number)
    band = rng.choice([0.5, 1.0, 3.0])
    plant = Plant(clock, RecordingRule(deadband=band))
    value, offered = 0.0, []
    for _ in range(400):
        kind = rng.random()
        if kind < 0.4:
            value += rng.uniform(-1, 1) * rng.choice([0.1, 1.0, band])
        elif kind < 0.45:
            value += rng.uniform(-10, 10)
        plant.answer(value)
        offered.append((clock.now(), value))
        plant.recording.tick()
        await clock.advance(rng.choice([0.2, 1.0, 7.0]))
    plant.image.degrade([0], Status.BAD_COMMUNICATION_ERROR, clock.now())  # brings out what is held back
    rows = [row for row in plant.rows if row[2] == 0]
    times = [row[0] for row in rows]
    assert times == sorted(set(times))
    assert {(ticks, value) for ticks, value, _ in rows} <= set(offered)
    for ticks, actual in offered:
        stepped = rows[bisect_right(times, ticks) - 1][1]
        assert isinstance(stepped, float)
        assert abs(stepped - actual) <= band
        # All answers, not only changes: they were known to the round that came right behind them.
        assert abs(line(rows, ticks) - actual) <= band * (1 + 1e-9)


@pytest.mark.parametrize("rule", [RecordingRule(deadband=1.0), RecordingRule(on_change=False, every_s=60.0)])
async def test_the_end_brings_out_what_is_held_back(clock: FakeClock, rule: RecordingRule) -> None:
    plant = Plant(clock, rule)
    await plant.answers(0.0, 0.5, 0.7, 0.7, 0.7)
    plant.recording.finish()
    plant.recording.finish()
    assert seconds(plant.rows) == [(0, 0.0), (4, 0.7)]


async def test_noise_within_the_band_costs_next_to_nothing(clock: FakeClock) -> None:
    rng = random.Random(1)
    plant = Plant(clock, RecordingRule(deadband=1.0))
    rows = await plant.answers(*[rng.uniform(-0.45, 0.45) for _ in range(1000)])
    assert len(rows) < 10


# --- rules


def point(kind: PointKind = PointKind.ANALOG, limits: Range | None = None, rule: RecordingRule | None = None) -> Point:
    return Point("p", "", "", DataType.DOUBLE, kind, range=limits, historize=True, record=rule)


def test_a_percentage_is_one_of_the_range() -> None:
    assert deadband_of(point(limits=Range(-100, 300)), RecordingRule(deadband=0.5, percent=True)) == 2.0
    assert deadband_of(point(), RecordingRule(deadband=0.5)) == 0.5
    assert deadband_of(point(), RecordingRule(on_change=False, every_s=1.0)) == math.inf


def test_the_rule_of_the_site_is_for_numbers_that_have_none() -> None:
    default = RecordingRule(deadband=1.0, percent=True, heartbeat_s=60.0)
    own = RecordingRule(every_s=5.0)
    assert rule_of(point(limits=Range(0, 1)), default) is default
    assert rule_of(point(), default) == RecordingRule(heartbeat_s=60.0)
    assert rule_of(point(rule=own), default) is own
    assert rule_of(point(PointKind.STATE), default) == RecordingRule(heartbeat_s=60.0)
    assert rule_of(point(PointKind.DATA), RecordingRule(deadband=1.0, percent=True)) is None
    assert rule_of(point(), None) is None


# --- the clock


@pytest.mark.parametrize("rule", [None, RecordingRule(deadband=0.5)])
async def test_a_sample_far_ahead_of_the_clock_is_uncertain_and_counted(
    clock: FakeClock, rule: RecordingRule | None
) -> None:
    plant = Plant(clock, rule)
    hour = 3600 * TICKS_PER_S
    plant.image.publish(Batch([0, 2], [1.0, 1.0], [0, 0], clock.now() + hour))
    plant.image.publish(Batch([0, 2], [2.0, 2.0], [0, 0], clock.now() + hour + TICKS_PER_MS))
    plant.image.publish(Batch([0], [3.0], [0], clock.now()))
    assert [(value, status) for _, value, status in plant.rows] == [(1.0, 0), (2.0, UNCERTAIN), (3.0, 0)]
    assert plant.recording.watch.doubtful == 1


@pytest.mark.parametrize("step_s", [3600.0, -3600.0, 10.0, -10.0])
async def test_a_step_of_the_clock_is_counted_said_and_every_point_is_recorded_again(
    clock: FakeClock, step_s: float, caplog: pytest.LogCaptureFixture
) -> None:
    plant = Plant(clock, RecordingRule(deadband=1.0))
    for _ in range(3):
        plant.answer(5.0)
        plant.answer(6.0, slot=1)
        plant.recording.tick()
        await clock.advance(1.0)
    clock.step_wall(step_s)
    plant.recording.tick()
    before = len(plant.rows), len(plant.plain)
    await clock.advance(1.0)
    plant.answer(5.0)
    plant.answer(6.0, slot=1)
    plant.recording.tick()
    assert (plant.recording.watch.steps, plant.recording.watch.last_step_s) == (1, step_s)
    assert [record.levelname for record in caplog.records if record.name.startswith("node")] == ["WARNING"]
    assert plant.rows[before[0] :] == [(clock.now(), 5.0, 0)]
    assert plant.plain[before[1] :] == [(clock.now(), 6.0, 0)]
    await plant.answers(5.0, 5.0)
    assert len(plant.rows) == before[0] + 1


async def test_a_clock_that_is_slewed_makes_no_step(clock: FakeClock) -> None:
    plant = Plant(clock, None)
    for _ in range(600):
        clock.step_wall(0.0005)
        plant.recording.tick()
        await clock.advance(1.0)
    assert plant.recording.watch.steps == 0


async def test_points_that_do_not_age_are_recorded_at_once_after_a_step(clock: FakeClock) -> None:
    plant = Plant(clock, None, ages=None)
    plant.answer(1.0)
    clock.step_wall(-3600)
    plant.recording.tick()
    assert seconds(plant.rows) == [(0, 1.0), (-3600, 1.0)]


@pytest.mark.parametrize("rule", [None, RecordingRule(deadband=0.5), RecordingRule(on_change=False, every_s=2.0)])
async def test_a_clock_of_the_year_2000_is_recorded_as_uncertain_until_it_is_set(rule: RecordingRule | None) -> None:
    in_2000 = START - 26 * 365 * 86_400 * TICKS_PER_S
    clock = FakeClock(in_2000)
    plant = Plant(clock, rule)
    await plant.answers(*[float(number) for number in range(6)])
    assert {status for _, _, status in plant.rows} == {UNCERTAIN}
    assert plant.recording.watch.doubtful >= len(plant.rows) > 0
    before = len(plant.rows)
    clock.step_wall(26 * 365 * 86_400)
    await plant.answers(7.0, 7.0, 7.0)
    assert plant.recording.watch.steps == 1
    new = plant.rows[before:]
    assert {status for ticks, _, status in new if ticks >= START} == {0}
    assert any(value == 7.0 and ticks >= START for ticks, value, _ in new)
    assert [value for ticks, value, _ in new if ticks < START] in ([], [5.0])  # what was held back is not lost
