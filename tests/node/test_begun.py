"""Work that begins at once, and what becomes of it when it has to wait."""

import asyncio

import pytest

from node.begun import Begun


async def double(number: int, wait: asyncio.Future[int] | None = None) -> int:
    return 2 * (number if wait is None else await wait)


async def test_what_never_waits_is_done_at_once() -> None:
    begun = Begun(double(3))
    assert begun.done
    assert begun.result == 6
    assert await begun == 6


async def test_what_waits_goes_on_where_it_is_awaited() -> None:
    wait: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    begun = Begun(double(0, wait))
    assert not begun.done
    with pytest.raises(asyncio.InvalidStateError):
        _ = begun.result
    asyncio.get_running_loop().call_soon(wait.set_result, 4)
    assert await begun == 8


async def test_it_can_be_a_task() -> None:
    wait: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    task = asyncio.get_running_loop().create_task(Begun(double(0, wait)))
    await asyncio.sleep(0)
    wait.set_result(5)
    assert await task == 10


async def test_what_it_waited_for_may_have_come_before_anybody_awaits_it() -> None:
    wait: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    begun = Begun(double(0, wait))
    wait.set_result(1)
    assert await begun == 2


async def test_it_waits_as_often_as_it_likes() -> None:
    async def turns() -> str:
        for _ in range(3):
            await asyncio.sleep(0)
        return "done"

    assert await Begun(turns()) == "done"


async def test_an_error_that_it_waits_for_is_its_own_to_handle() -> None:
    async def careful(wait: asyncio.Future[int]) -> str:
        try:
            await wait
        except OSError as error:
            return f"handled {error}"
        return "nothing"

    wait: asyncio.Future[int] = asyncio.get_running_loop().create_future()
    begun = Begun(careful(wait))
    asyncio.get_running_loop().call_soon(wait.set_exception, OSError("lost"))
    assert await begun == "handled lost"


async def test_an_error_before_the_first_wait_is_raised_at_once() -> None:
    async def broken() -> None:
        raise OSError("at once")

    with pytest.raises(OSError, match="at once"):
        Begun(broken())


async def test_a_task_of_it_that_is_cancelled_lets_it_tidy_up() -> None:
    seen: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            seen.append("cancelled")
            raise
        finally:
            seen.append("tidy")

    task = asyncio.get_running_loop().create_task(Begun(tidy()))
    await asyncio.sleep(0)
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert seen == ["cancelled", "tidy"]


async def test_one_that_nobody_awaits_can_be_closed() -> None:
    seen: list[str] = []

    async def tidy() -> None:
        try:
            await asyncio.sleep(0)
        finally:
            seen.append("tidy")

    Begun(tidy()).close()
    assert seen == ["tidy"]
