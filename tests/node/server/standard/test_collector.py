"""The garbage collector's policy."""

import asyncio
import gc
from collections.abc import Iterator

import pytest

from node.server.standard.collector import LATEST_S, LOOK_S, THRESHOLDS, IdleCollector, paused, release, settle
from tests.fake_clock import FakeClock


@pytest.fixture(autouse=True)
def as_before() -> Iterator[None]:
    thresholds = gc.get_threshold()
    yield
    gc.unfreeze()
    gc.enable()
    gc.set_threshold(*thresholds)


def test_nothing_is_collected_while_building() -> None:
    gc.enable()
    with paused():
        assert not gc.isenabled()
    assert gc.isenabled()


def test_collector_stays_off_if_it_was() -> None:
    gc.disable()
    with paused():
        pass
    assert not gc.isenabled()


def test_what_was_built_is_frozen_until_the_end() -> None:
    settle()
    assert gc.get_threshold() == THRESHOLDS
    assert gc.get_freeze_count() > 0
    release()
    assert gc.get_freeze_count() == 0
    assert gc.get_threshold() != THRESHOLDS


async def test_idle_loop_is_used_for_a_full_pass(clock: FakeClock) -> None:
    collector = IdleCollector(clock)
    task = asyncio.create_task(collector.run())
    await clock.advance(LOOK_S + 1)
    assert collector.passes == 1
    task.cancel()


class BusyClock(FakeClock):
    """A clock of a loop that always wakes 50 ms late."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds + 0.05)


async def test_busy_loop_is_left_alone_but_not_for_ever() -> None:
    clock = BusyClock()
    collector = IdleCollector(clock)
    task = asyncio.create_task(collector.run())
    await clock.advance(LATEST_S - LOOK_S)
    assert collector.passes == 0
    await clock.advance(3 * LOOK_S)
    assert collector.passes == 1
    task.cancel()
