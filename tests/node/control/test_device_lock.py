"""The lock of a device: no wait when it is free, one at a time, and in order."""

import asyncio

import pytest

from node.control.device_lock import DeviceLock


async def test_a_free_lock_is_taken_at_once_and_by_one_only() -> None:
    lock = DeviceLock()
    assert lock.take()
    assert not lock.take()
    lock.release()
    assert lock.take()


async def test_those_who_wait_have_it_in_their_order_and_nobody_gets_between() -> None:
    lock, order = DeviceLock(), list[int]()

    async def work(number: int) -> None:
        await lock.wait()
        order.append(number)
        lock.release()

    assert lock.take()
    tasks = [asyncio.ensure_future(work(number)) for number in range(3)]
    await asyncio.sleep(0)
    assert order == []
    lock.release()
    assert not lock.take()
    await asyncio.gather(*tasks)
    assert order == [0, 1, 2]
    assert lock.take()


@pytest.mark.parametrize("released_before_it_knows", [False, True])
async def test_who_is_cancelled_while_waiting_leaves_it_to_the_next(*, released_before_it_knows: bool) -> None:
    lock = DeviceLock()
    assert lock.take()
    first, second = asyncio.ensure_future(lock.wait()), asyncio.ensure_future(lock.wait())
    await asyncio.sleep(0)
    if released_before_it_knows:
        lock.release()
        first.cancel()
    else:
        first.cancel()
        lock.release()
    await second
    assert first.cancelled()
    assert not lock.take()
    lock.release()
    assert lock.take()
