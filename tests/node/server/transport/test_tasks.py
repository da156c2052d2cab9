"""Tasks of the server: one that fails takes no other along; long work gives others their turn."""

import asyncio
import logging

import pytest

from node.server.transport.faults import FaultLog
from node.server.transport.tasks import TaskSet, in_slices


async def test_failed_task_is_logged_and_told_and_others_go_on(caplog: pytest.LogCaptureFixture) -> None:
    tasks = TaskSet()
    told: list[BaseException] = []
    go_on = asyncio.Event()

    async def fail() -> None:
        raise ZeroDivisionError("a bug")

    async def wait() -> None:
        await go_on.wait()

    tasks.start(fail(), "failing", told.append)
    waiting = tasks.start(wait(), "waiting")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert [str(error) for error in told] == ["a bug"]
    assert "failing failed" in caplog.text
    assert not waiting.done()
    assert len(tasks) == 1
    await tasks.close()
    assert waiting.cancelled()
    assert len(tasks) == 0


async def ending(error: BaseException) -> None:
    raise error


def test_work_without_a_task_that_fails_is_logged_and_told(caplog: pytest.LogCaptureFixture) -> None:
    error = ZeroDivisionError("a bug")
    assert TaskSet().attempt(ending(error), "working") == (None, None, error)
    assert "working failed" in caplog.text


def test_what_ends_the_program_is_no_bug_of_the_work() -> None:
    with pytest.raises(KeyboardInterrupt):
        TaskSet().attempt(ending(KeyboardInterrupt()), "working")


async def test_work_that_needs_no_wait_has_its_result_at_once_and_other_work_is_left_to_await() -> None:
    waiting: asyncio.Future[str] = asyncio.get_running_loop().create_future()

    async def work(answer: str | asyncio.Future[str]) -> str:
        return answer if isinstance(answer, str) else await answer

    assert TaskSet().attempt(work("at once"), "working") == ("at once", None, None)
    result, begun, error = TaskSet().attempt(work(waiting), "working")
    assert (result, error) == (None, None)
    assert begun is not None
    waiting.set_result("later")
    assert await begun == "later"


async def test_long_work_gives_others_their_turn() -> None:
    turns = 0
    done = False

    async def other() -> None:
        nonlocal turns
        while not done:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    assert await in_slices(range(1000), lambda number: number * 2) == list(range(0, 2000, 2))
    done = True
    await task
    assert turns >= 5


def test_fault_of_a_peer_is_a_warning_once(caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG)
    faults = FaultLog()
    for peer, kind in (("10.0.0.1", "noise"), ("10.0.0.1", "noise"), ("10.0.0.1", "other"), ("10.0.0.2", "noise")):
        faults.report(peer, kind, "what it sent")
    assert [record.levelname for record in caplog.records] == ["WARNING", "DEBUG", "WARNING", "WARNING"]


async def test_few_items_that_take_long_leave_others_their_turns(monkeypatch: pytest.MonkeyPatch) -> None:
    loop, at = asyncio.get_running_loop(), 0.0
    monkeypatch.setattr(loop, "time", lambda: at)
    turns = 0

    def work(_item: int) -> None:
        nonlocal at
        at += 0.004

    async def other() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    task = asyncio.create_task(other())
    await in_slices(range(10), work)
    task.cancel()
    assert turns == 5
