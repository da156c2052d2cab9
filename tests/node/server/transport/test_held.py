"""Time for which a piece of work holds the loop."""

import asyncio

import pytest

from node.server.transport.held import Held


async def test_only_steps_that_are_too_long_count() -> None:
    now = [0.0]

    async def work() -> None:
        now[0] += 0.01
        await asyncio.sleep(0)
        now[0] += 0.3
        await asyncio.sleep(0)
        now[0] += 0.2

    async def other() -> None:
        while True:
            now[0] += 7.0
            await asyncio.sleep(0)

    beside = asyncio.create_task(other())
    assert await Held(work(), lambda: now[0], 0.02) == pytest.approx(0.5)
    beside.cancel()


async def test_errors_and_cancellations_pass() -> None:
    seen: list[str] = []

    async def fails() -> None:
        await asyncio.sleep(0)
        raise ValueError("bad")

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise

    async def measure() -> float:
        return await Held(waits(), lambda: 0.0, 0.02)

    with pytest.raises(ValueError, match="bad"):
        await Held(fails(), lambda: 0.0, 0.02)
    task = asyncio.create_task(measure())
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled"]


async def test_an_error_that_the_work_waits_for_is_its_own_to_handle() -> None:
    handled: list[str] = []

    async def careful(wait: asyncio.Future[None]) -> None:
        try:
            await wait
        except OSError as error:
            handled.append(str(error))

    wait: asyncio.Future[None] = asyncio.get_running_loop().create_future()
    asyncio.get_running_loop().call_soon(wait.set_exception, OSError("lost"))
    assert await Held(careful(wait), lambda: 0.0, 1.0) == 0.0
    assert handled == ["lost"]
