"""History up to the newest answer: where it stands, and that it never stands twice."""

from collections.abc import Sequence

import pytest

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_S,
    Batch,
    DataType,
    Device,
    DeviceClass,
    FunctionalGroup,
    Point,
    PointKind,
    Status,
    device_model,
)
from node.historian.history import Columns, Page, Position
from node.historian.to_now import ToNow
from tests.fake_clock import START, FakeClock

S = TICKS_PER_S
TAG = "xw1.power"


def point(name: str, stale_after_s: float | None) -> Point:
    group = FunctionalGroup.OPERATIONAL
    return Point(name, name, "", DataType.DOUBLE, PointKind.ANALOG, group, historize=True, stale_after_s=stale_after_s)


MODEL = device_model("test.to_now", DeviceClass.GENERIC, (point("power", 5.0), point("fixed", None)))


class Recorded:
    """Samples of one tag in a list, in pages as a history gives them."""

    def __init__(self, times: Sequence[int]) -> None:
        self.times = list(times)

    async def raw(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> Page:
        def inside(ticks: int) -> bool:
            sign = -1 if reverse else 1
            return (
                (start is None or sign * ticks >= sign * start)
                and (end is None or sign * ticks < sign * end)
                and (after is None or sign * ticks > sign * after.ticks)
            )

        found = [ticks for ticks in sorted(self.times, reverse=reverse) if inside(ticks)]
        columns = Columns()
        for ticks in found[:limit]:
            columns.append(ticks, 1.0, 0)
        return Page(columns, Position(columns.ticks[-1]) if len(found) > limit else None)


class Plant:
    def __init__(self, recorded: Sequence[int], newest: int | None) -> None:
        self.clock = FakeClock()
        self.image = ProcessImage([Device("xw1", MODEL)], self.clock)
        self.history = ToNow(Recorded(recorded), self.image, self.clock)
        if newest is not None:
            self.image.publish(Batch([self.image.slot("xw1", "power")], [1.0], [0], newest))

    async def all(
        self, start: int | None, end: int | None, limit: int, *, reverse: bool = False, tag: str = TAG
    ) -> list[int]:
        found: list[int] = []
        after = None
        while True:
            page = await self.history.raw(tag, start, end, limit=limit, reverse=reverse, after=after)
            assert len(page.columns) <= limit
            found += page.columns.ticks
            after = page.next
            if after is None:
                return found


@pytest.mark.parametrize("limit", [1, 2, 3, 4, 5])
@pytest.mark.parametrize("recorded", [[], [0], [0, 1], [0, 1, 2]], ids=len)
async def test_the_newest_answer_is_last_forwards_and_first_backwards(recorded: list[int], limit: int) -> None:
    times = [START + each * S for each in recorded]
    plant = Plant(times, START + 9 * S)
    expected = [*times, START + 9 * S]
    assert await plant.all(START, None, limit) == expected
    assert await plant.all(None, None, limit, reverse=True) == expected[::-1]


@pytest.mark.parametrize("limit", [1, 2, 5])
async def test_an_answer_that_is_recorded_stands_once(limit: int) -> None:
    times = [START, START + S]
    plant = Plant(times, START + S)
    assert await plant.all(None, None, limit) == times
    assert await plant.all(None, None, limit, reverse=True) == times[::-1]


@pytest.mark.parametrize(("start", "end", "there"), [(0, 9, False), (0, 10, True), (9, 20, True), (10, 20, False)])
async def test_it_stands_only_inside_of_what_is_asked_for(start: int, end: int, there: bool) -> None:
    plant = Plant([START], START + 9 * S)
    assert (START + 9 * S in await plant.all(START + start * S, START + end * S, 2)) is there
    backwards = await plant.all(START + (end - 1) * S, START + (start - 1) * S, 2, reverse=True)
    assert (START + 9 * S in backwards) is there


async def test_nothing_older_than_what_is_recorded_is_added() -> None:
    times = [START, START + 5 * S]
    plant = Plant(times, START + 2 * S)
    assert await plant.all(None, None, 9) == times
    assert await plant.all(START, START + 4 * S, 9) == times[:1]


async def test_without_an_answer_and_for_strangers_there_is_what_is_recorded() -> None:
    plant = Plant([START], None)
    assert await plant.all(None, None, 9) == [START]
    assert await plant.all(None, None, 9, tag="gone.power") == [START]


async def test_an_answer_from_far_ahead_is_not_believed() -> None:
    plant = Plant([START], START + 2 * 3600 * S)
    assert await plant.all(None, None, 9) == [START]


async def test_what_never_ages_holds_now() -> None:
    plant = Plant([START], None)
    slot = plant.image.slot("xw1", "fixed")
    plant.image.publish(Batch([slot], [1.0], [int(Status.GOOD)], START))
    await plant.clock.advance(100.0)
    assert await plant.all(None, None, 9, tag="xw1.fixed") == [START, plant.clock.now()]
