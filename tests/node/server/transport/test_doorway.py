"""One channel at a time, with pauses."""

import asyncio

import pytest

from node.server.transport.doorway import Doorway
from tests.fake_clock import FakeClock


async def test_many_at_the_door_leave_others_half_of_the_time(clock: FakeClock) -> None:
    doorway, opened = Doorway(clock), list[float]()

    def opening() -> None:
        opened.append(round(clock.monotonic() - began, 3))
        clock._elapsed_ns += round(0.01 * 1e9)  # time goes by while it works

    began = clock.monotonic()
    crowd = [asyncio.create_task(doorway.through(opening)) for _ in range(4)]
    await clock.settle()
    assert opened == [0.0]
    for _ in range(8):
        await clock.advance(0.01)
    await asyncio.gather(*crowd)
    assert opened == [0.0, 0.02, 0.04, 0.06]


async def test_who_is_refused_leaves_the_door_open(clock: FakeClock) -> None:
    doorway, opened = Doorway(clock), list[bool]()

    def refuse() -> None:
        raise PermissionError

    with pytest.raises(PermissionError):
        await doorway.through(refuse)
    await doorway.through(lambda: opened.append(True))
    assert opened == [True]
