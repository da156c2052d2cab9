"""Processed and at-time reads over a journal, against the engine over the same samples in one piece."""

import asyncio
import random
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from address_space.model import TICKS_PER_S
from node.historian.aggregates import (
    Aggregate,
    Cancelled,
    Configuration,
    InvalidInputs,
    RequestRefused,
    Result,
    at_time,
    processed,
)
from node.historian.aggregates.lookaround import samples_before
from node.historian.history import Page
from node.historian.journal import Journal
from tests.fake_clock import START, FakeClock
from tests.node.historian.aggregates.engine import (
    BAD,
    GOOD,
    INTERPOLATED,
    LENIENT,
    NO_DATA,
    SUB_NORMAL,
    UNCERTAIN,
    Sample,
    results,
    shown,
    ticks,
)
from tests.node.historian.plant import record, recording

A = Aggregate
TAG = "xw1.power"


@asynccontextmanager
async def stored(path: Path, clock: FakeClock, samples: list[Sample], point: str = "power") -> AsyncIterator[Journal]:
    async with recording(path / "history.db", clock) as (image, journal):
        for seconds, value, status in samples:
            record(image, point, ticks(seconds), value, status)
        await journal.flush()
        yield journal


async def read(
    journal: Journal, aggregate: Aggregate, start: float, end: float, interval: float, configuration: Configuration
) -> list[Result]:
    answer = processed(
        journal,
        TAG,
        aggregate,
        start=ticks(start),
        end=ticks(end),
        interval=round(interval * TICKS_PER_S),
        configuration=configuration,
    )
    return [result async for result in answer]


async def values_at(
    journal: Journal, seconds: list[float], configuration: Configuration, **options: bool
) -> list[Sample]:
    times = [ticks(at) for at in seconds]
    return shown([result async for result in at_time(journal, TAG, times, configuration=configuration, **options)])


def random_samples(rng: random.Random, count: int) -> list[Sample]:
    """Distinct in a row, so that an image publishes every one; stretches of Bad longer than a first look around."""
    found: list[Sample] = []
    at, status = 0.0, GOOD
    for number in range(count):
        at += rng.choice([0.5, 1.0, 1.0, 7.25])
        status = status if rng.random() < 0.8 else rng.choice([GOOD, UNCERTAIN, BAD])
        found.append((at, number + rng.random(), status))
    return found


async def test_a_journal_gives_what_the_engine_gives_over_one_list(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    samples = random_samples(rng, 300)
    last = samples[-1][0]
    async with stored(tmp_path, clock, samples) as journal:
        for _ in range(scaled(400)):
            aggregate = rng.choice(list(A))
            configuration = Configuration(
                stepped=rng.random() < 0.5,
                treat_uncertain_as_bad=rng.random() < 0.5,
                use_sloped_extrapolation=rng.random() < 0.5,
            )
            start, end = (round(rng.uniform(-20, last + 20), 1) for _ in range(2))
            if start == end:
                continue
            interval = rng.choice([0, 1, 5.5, 60])
            expected = results(aggregate, samples, start, end, interval, configuration=configuration)
            if end < start:
                expected.reverse()
            assert await read(journal, aggregate, start, end, interval, configuration) == expected, (
                aggregate,
                start,
                end,
            )


async def test_reverse_answers_descend(tmp_path: Path, clock: FakeClock) -> None:
    async with stored(tmp_path, clock, [(at, float(at), GOOD) for at in range(10)]) as journal:
        found = await read(journal, A.COUNT, 8, 0, 2, LENIENT)
        assert [(at, value) for at, value, _ in shown(found)] == [(8, 2), (6, 2), (4, 2), (2, 2)]


async def test_no_more_is_read_than_the_last_interval_needs(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    async with stored(tmp_path, clock, [(at, float(at), GOOD) for at in range(1000)]) as journal:
        seen = 0
        raw = journal.raw

        async def counted(*args: object, **options: object) -> Page:
            nonlocal seen
            page = await raw(*args, **options)  # type: ignore[arg-type]
            seen += len(page.columns)
            return page

        monkeypatch.setattr(journal, "raw", counted)
        for aggregate in A:
            seen = 0
            await read(journal, aggregate, 100, 110, 5, LENIENT)
            assert seen <= 10 + 4 + 4


async def test_a_request_stops_when_asked_to(tmp_path: Path, clock: FakeClock) -> None:
    async with stored(tmp_path, clock, [(0, 1.0, GOOD)]) as journal:
        for cancelled_from in range(3):
            asked = iter(range(100))
            answer = processed(
                journal,
                TAG,
                A.COUNT,
                start=ticks(-100),
                end=ticks(100),
                interval=TICKS_PER_S,
                configuration=LENIENT,
                cancelled=lambda asked=asked, limit=cancelled_from: next(asked) >= limit,
            )
            with pytest.raises(Cancelled):
                async for _ in answer:
                    pass


async def test_an_empty_range_of_many_intervals_leaves_the_loop_to_others(tmp_path: Path, clock: FakeClock) -> None:
    turns = 0

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    async with stored(tmp_path, clock, [(-1, 1.0, GOOD)]) as journal:
        beside = asyncio.create_task(other())
        assert len(await read(journal, A.COUNT, 0, 20_000, 1, LENIENT)) == 20_000
        beside.cancel()
    assert turns >= 20


async def test_requests_that_make_no_sense_are_refused(tmp_path: Path, clock: FakeClock) -> None:
    async with stored(tmp_path, clock, [(0, "a", GOOD), (1, "b", GOOD)], "text") as journal:
        with pytest.raises(RequestRefused):
            await read(journal, A.COUNT, 0, 0, 1, LENIENT)
        with pytest.raises(InvalidInputs):
            answer = processed(
                journal, "xw1.text", A.AVERAGE, start=START, end=ticks(9), interval=0, configuration=LENIENT
            )
            async for _ in answer:
                pass


async def test_at_time_gives_raw_values_and_bounds_in_the_order_asked(tmp_path: Path, clock: FakeClock) -> None:
    samples = [(0, 0.0, GOOD), (10, 10.0, GOOD), (20, 5.0, BAD), (30, 30.0, GOOD), (40, 41.0, UNCERTAIN)]
    async with stored(tmp_path, clock, samples) as journal:
        asked: list[float] = [35, 10, 20, 15, -1, 40, 50, 10, 5]
        assert await values_at(journal, asked, LENIENT) == [
            (35, 35.5, SUB_NORMAL | INTERPOLATED),
            (10, 10.0, GOOD),
            (20, None, BAD),
            (15, 15.0, SUB_NORMAL | INTERPOLATED),
            (-1, None, NO_DATA),
            (40, 41.0, UNCERTAIN),
            (50, 41.0, SUB_NORMAL | INTERPOLATED),
            (10, 10.0, GOOD),
            (5, 5.0, INTERPOLATED),
        ]
        assert await values_at(journal, [5, 15, 25, 35, 50], LENIENT, use_simple_bounds=True) == [
            (5, 5.0, INTERPOLATED),
            (15, 10.0, SUB_NORMAL | INTERPOLATED),
            (25, None, NO_DATA),
            (35, 35.5, SUB_NORMAL | INTERPOLATED),
            (50, None, NO_DATA),
        ]


async def test_bounds_are_found_behind_long_stretches_of_bad_data(tmp_path: Path, clock: FakeClock) -> None:
    bad: list[Sample] = [(at, float(at), BAD) for at in range(1, 100)]
    samples = [(0, 0.0, GOOD), *bad, (100, 100.0, GOOD), (200, 0.0, GOOD)]
    async with stored(tmp_path, clock, samples) as journal:
        assert await values_at(journal, [0.5, 99.5], LENIENT) == [
            (0.5, pytest.approx(0.5), SUB_NORMAL | INTERPOLATED),
            (99.5, pytest.approx(99.5), SUB_NORMAL | INTERPOLATED),
        ]
        found = await read(journal, A.TIME_AVERAGE, 50, 52, 1, LENIENT)
        assert [result.value for result in found] == pytest.approx([50.5, 51.5])


async def test_a_long_stretch_of_bad_data_is_crossed_once_for_all_times(
    tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch
) -> None:
    bad: list[Sample] = [(at, float(at), BAD) for at in range(1, 2000)]
    samples = [(0, 0.0, GOOD), *bad, (2000, 2000.0, GOOD), (2100, 0.0, GOOD)]
    asked = [0.5, 0.6, 7, 8.5, 900.5, 901.5, 1500.5, 1999.5, 2000, 2050, 2099]
    async with stored(tmp_path, clock, samples) as journal:
        calls = 0
        raw = journal.raw

        async def counted(*args: object, **options: object) -> Page:
            nonlocal calls
            calls += 1
            return await raw(*args, **options)  # type: ignore[arg-type]

        monkeypatch.setattr(journal, "raw", counted)
        for stepped in (False, True):
            configuration = replace(LENIENT, stepped=stepped)
            calls = 0
            found = await values_at(journal, asked, configuration)
            for at, value, status in found:
                if at == 7:
                    assert (value, status) == (None, BAD)
                else:
                    expected = shown(results(A.INTERPOLATIVE, samples, at, at + 0.001, configuration=configuration))
                    assert [(at, value, status)] == expected
            assert calls <= 2 * len(asked)


async def test_sloped_extrapolation_finds_two_usable_samples(tmp_path: Path, clock: FakeClock) -> None:
    sloped = replace(LENIENT, use_sloped_extrapolation=True)
    samples = [(0, 9.0, GOOD), (1, 0.0, GOOD), (5, 1.0, BAD), (9, 4.0, GOOD), (10, 2.0, BAD)]
    async with stored(tmp_path, clock, samples) as journal:
        assert await values_at(journal, [11], sloped) == [(11, pytest.approx(5.0), SUB_NORMAL | INTERPOLATED)]
        assert shown(await read(journal, A.INTERPOLATIVE, 11, 12, 1, sloped)) == [
            (11, pytest.approx(5.0), SUB_NORMAL | INTERPOLATED)
        ]


async def test_what_lies_before_is_reduced_to_what_matters(tmp_path: Path, clock: FakeClock) -> None:
    samples: list[Sample] = [
        (0, 0.0, GOOD),
        *((at, float(at), BAD) for at in range(1, 50)),
        (50, 50.0, GOOD),
        (51, None, BAD),
        (52, None, NO_DATA),
        (53, None, NO_DATA + 0x10000),
        (54, None, NO_DATA),
    ]
    async with stored(tmp_path, clock, samples) as journal:
        for usable, expected in ((0, [53, 54]), (1, [50, 53, 54]), (2, [0, 49, 50, 53, 54])):
            found = await samples_before(journal, TAG, ticks(99), usable, LENIENT, span=0, cancelled=lambda: False)
            assert [(at - START) // TICKS_PER_S for at in found.ticks] == expected


async def test_at_time_agrees_with_interpolative_for_any_set_of_times(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    samples = random_samples(rng, 200)
    raw = {at for at, _, _ in samples}
    last = samples[-1][0]
    async with stored(tmp_path, clock, samples) as journal:
        for _ in range(scaled(100)):
            configuration = Configuration(
                stepped=rng.random() < 0.5,
                treat_uncertain_as_bad=rng.random() < 0.5,
                use_sloped_extrapolation=rng.random() < 0.5,
            )
            asked = [round(rng.uniform(-20, last + 20), 3) for _ in range(rng.choice([1, 3, 100]))]
            asked = [at for at in asked if at not in raw]
            expected = [
                shown(results(A.INTERPOLATIVE, samples, at, at + 0.001, configuration=configuration))[0] for at in asked
            ]
            assert await values_at(journal, asked, configuration) == expected


async def test_an_unknown_tag_has_no_data(tmp_path: Path, clock: FakeClock) -> None:
    async with stored(tmp_path, clock, []) as journal:
        assert await values_at(journal, [1, 2], LENIENT) == [(1, None, NO_DATA), (2, None, NO_DATA)]
        assert shown(await read(journal, A.TIME_AVERAGE_2, 0, 10, 5, LENIENT)) == [
            (0, None, NO_DATA),
            (5, None, NO_DATA),
        ]
