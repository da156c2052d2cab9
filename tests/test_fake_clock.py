"""The tests' own clock keeps its promises."""

import asyncio

import pytest

from address_space.model import Clock
from tests.fake_clock import START, FakeClock


def test_it_is_a_clock_of_the_model(clock: FakeClock) -> None:
    as_protocol: Clock = clock
    assert as_protocol.now() == START
    assert as_protocol.monotonic() == 0.0


async def test_sleepers_wake_in_the_order_of_their_times_and_see_their_own_time(clock: FakeClock) -> None:
    seen: list[tuple[str, float]] = []

    async def sleeper(name: str, seconds: float) -> None:
        await clock.sleep(seconds)
        seen.append((name, clock.monotonic()))

    async with asyncio.TaskGroup() as tasks:
        tasks.create_task(sleeper("late", 3.0))
        tasks.create_task(sleeper("early", 1.0))
        tasks.create_task(sleeper("early too", 1.0))
        await clock.advance(5.0)
    assert seen == [("early", 1.0), ("early too", 1.0), ("late", 3.0)]
    assert clock.monotonic() == 5.0


async def test_a_loop_of_sleeps_runs_once_per_period(clock: FakeClock) -> None:
    at: list[float] = []

    async def poll() -> None:
        while True:
            await clock.sleep(0.1)
            at.append(clock.monotonic())

    task = asyncio.create_task(poll())
    await clock.advance(1.0)
    assert len(at) == 10
    assert at[-1] == 1.0
    task.cancel()
    await clock.settle()
    assert clock.sleeping == 0


async def test_nobody_wakes_early(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(2.0))
    await clock.advance(1.999)
    assert not task.done()
    assert clock.sleeping == 1
    await clock.advance(0.001)
    assert task.done()


async def test_a_cancelled_sleeper_is_forgotten(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(1.0))
    await clock.settle()
    task.cancel()
    await clock.advance(2.0)
    assert task.cancelled()
    assert clock.sleeping == 0


async def test_wall_time_is_rounded_down_to_a_millisecond_and_tenths_add_up(clock: FakeClock) -> None:
    for _ in range(10):
        await clock.advance(0.1)
    assert clock.now() - START == 10_000_000
    await clock.advance(0.0019)
    assert clock.now() - START == 10_010_000


async def test_a_step_of_the_wall_clock_leaves_monotonic_time_alone(clock: FakeClock) -> None:
    task = asyncio.create_task(clock.sleep(10.0))
    await clock.advance(1.0)
    clock.step_wall(-3600.0)
    assert clock.now() == START - 3599 * 10_000_000
    assert clock.monotonic() == 1.0
    assert not task.done()
    await clock.advance(9.0)
    assert task.done()


async def test_it_does_not_go_back(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="does not go back"):
        await clock.advance(-1.0)


async def test_a_callback_comes_at_its_time_unless_it_is_cancelled(clock: FakeClock) -> None:
    heard: list[float] = []
    clock.call_at(2.0, lambda: heard.append(clock.monotonic()))
    clock.call_at(1.0, lambda: heard.append(-1.0)).cancel()
    await clock.advance(1.5)
    assert heard == []
    await clock.advance(5)
    assert heard == [2.0]
    clock.call_at(1.0, lambda: heard.append(clock.monotonic())).cancel()
    clock.call_at(1.0, lambda: heard.append(clock.monotonic()))
    await clock.settle()
    assert heard == [2.0, 6.5], "its time has passed"
