"""Reading, against a dictionary: whatever was written in whatever order, one sample per time in the order of time."""

import random
from collections.abc import Callable
from pathlib import Path

from address_space.model import TICKS_PER_MS, TICKS_PER_S, Value
from node.historian.journal import Journal
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import gap, make_image, record, recording, rows, whole

Model = dict[int, tuple[Value | None, int]]
TAG = "xw1.power"


def expected(model: Model, start: int | None, end: int | None, *, reverse: bool) -> list[tuple[int, Value | None, int]]:
    def inside(ticks: int) -> bool:
        sign = -1 if reverse else 1
        return (start is None or sign * ticks >= sign * start) and (end is None or sign * ticks < sign * end)

    return [(t, *model[t]) for t in sorted(model, reverse=reverse) if inside(t)]


async def agree(journal: Journal, model: Model, rng: random.Random, rounds: int) -> None:
    """Random reads give what the model has, in one page or many."""
    times = [*model, *(t + 1 for t in model), *(t - 1 for t in model), START - 10**9, START + 10**12]
    for _ in range(rounds):
        start, end = rng.choice([None, *times]), rng.choice([None, *times])
        limit, reverse = rng.choice([1, 2, 3, 7, 1000]), rng.random() < 0.5
        assert await whole(journal, TAG, start, end, reverse=reverse, limit=limit) == expected(
            model, start, end, reverse=reverse
        )
        at = rng.choice(times)
        for method, reverse, inclusive in (
            (journal.before, True, 0),
            (journal.at_or_before, True, 1),
            (journal.after, False, 0),
            (journal.at_or_after, False, 1),
        ):
            edge = at if inclusive else (at - 1 if reverse else at + 1)
            assert rows(await method(TAG, at)) == expected(model, edge, None, reverse=reverse)[:1]


async def test_any_order_of_writing_is_read_in_the_order_of_time(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    for number in range(scaled(50)):
        model: Model = {}
        path = tmp_path / f"{number}.db"
        for _start in range(2):  # the second one finds the file of the first
            async with recording(path, clock) as (image, journal):
                await journal.flush()
                model.update({t: (None, status) for t, _, status in await whole(journal, TAG) if status == DATA_LOST})
                for _ in range(60):
                    spread = rng.choice([5, 100, 100_000])
                    ticks = START + rng.randrange(-spread, spread)
                    value = rng.choice([None, rng.random(), 3.0, "late", 7])
                    status = rng.choice([0, 0x40000000, 0x80000000])
                    slot = image.slot("xw1", "power")
                    changed = (image.values[slot], image.statuses[slot]) != (value, status)
                    record(image, "power", ticks, value, status)
                    if changed:
                        model[ticks] = (value, status)
                    if rng.random() < 0.5:
                        await journal.flush()
                    if rng.random() < 0.05:
                        await agree(journal, model, rng, 2)
                await agree(journal, model, rng, 10)
                assert await journal.start_of_archive(TAG) == min(model)


async def test_pages_lose_and_repeat_nothing_while_writing_goes_on(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(100):
            record(image, "power", START + number, float(number))
            if number % 7 == 0:
                await journal.flush()
        page = await journal.raw(TAG, START, START + 100, limit=9)
        seen = list(page.columns.ticks)
        while page.next is not None:
            record(image, "power", START + 1000 + len(seen), float(len(seen)) + 0.5)
            await journal.flush()
            page = await journal.raw(TAG, START, START + 100, limit=9, after=page.next)
            seen += page.columns.ticks
        assert seen == list(range(START, START + 100))


async def test_what_waits_for_its_commit_is_read_too(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await journal.flush()
        record(image, "power", START, 1.0)
        assert journal.acknowledged == 0
        assert await whole(journal, TAG) == [(START, 1.0, 0)]


async def test_two_intervals_that_meet_are_the_whole(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(10):
            record(image, "power", START + number, float(number))
        await journal.flush()
        both = await whole(journal, TAG, None, START + 4) + await whole(journal, TAG, START + 4, None)
        assert [ticks for ticks, _, _ in both] == list(range(START, START + 10))


async def test_the_years_1601_and_2262_and_beyond_are_ordinary_times(tmp_path: Path, clock: FakeClock) -> None:
    edges = [-(2**63) + 1, -1, 0, 1, 208_590_912_000_000_000, 2_650_467_743_999_999_999, 2**63 - 1]
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number, ticks in enumerate(edges):
            record(image, "power", ticks, float(number))
        await journal.flush()
        assert [ticks for ticks, _, _ in await whole(journal, TAG)] == edges
        assert [ticks for ticks, _, _ in await whole(journal, TAG, reverse=True, limit=2)] == edges[::-1]


async def test_an_unknown_tag_has_no_samples(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (_image, journal):
        await journal.flush()
        assert await whole(journal, "nobody.nothing") == []
        assert await journal.start_of_archive("nobody.nothing") is None


async def test_a_point_that_the_site_no_longer_has_can_still_be_read(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        await journal.flush()
    image = make_image(clock)
    image.devices.pop("xw2")
    journal = Journal(tmp_path / "history.db", image, clock)
    await journal.flush()
    assert await whole(journal, TAG) == [(START, 1.0, 0), gap(START)]
    await journal.stop()


async def test_the_time_between_two_runs_is_no_time_without_change(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        record(image, "power", START, 1.0)
        record(image, "level", START + 5 * TICKS_PER_MS, 3)
        await journal.flush()
    for _restart in range(2):  # a run that recorded nothing says nothing more
        async with recording(path, clock) as (image, journal):
            await journal.flush()
    async with recording(path, clock) as (image, journal):
        record(image, "power", START + 60 * TICKS_PER_S, 1.0)
        await journal.flush()
        back = (START + 60 * TICKS_PER_S, 1.0, 0)
        assert await whole(journal, TAG) == [(START, 1.0, 0), gap(START + 5 * TICKS_PER_MS), back]
        assert await whole(journal, "xw2.power") == [], "what was never recorded has no gap"


async def test_who_asks_before_the_first_commit_gets_what_the_file_has(tmp_path: Path, clock: FakeClock) -> None:
    path = tmp_path / "history.db"
    async with recording(path, clock) as (image, journal):
        record(image, "power", START, 1.0)
        await journal.flush()
    async with recording(path, clock) as (_image, journal):
        assert await whole(journal, TAG) == [(START, 1.0, 0), gap(START)]
