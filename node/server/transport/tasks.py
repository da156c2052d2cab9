"""Tasks of the server that may end badly without taking others along: one connection, one running request."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Iterable
from typing import Any, Final, TypeVar

from node.begun import Begun

_LOG = logging.getLogger(__name__)

# Entries of a request that are worked on before other clients get a turn: 2 to 5 ms, and no more than so long.
_SLICE: Final = 200
_SLICE_S: Final = 0.005

_Item = TypeVar("_Item")
_Result = TypeVar("_Result")

# Called with the error of a task that failed.
Failed = Callable[[BaseException], None]


class TaskSet:
    """Running tasks; whoever owns the set ends them all with `close`."""

    def __init__(self) -> None:
        self._tasks: set[asyncio.Task[None]] = set()

    def __len__(self) -> int:
        return len(self._tasks)

    def start(self, work: Coroutine[None, None, None], name: str, failed: Failed | None = None) -> asyncio.Task[None]:
        """Run `work`; its error, which is a bug here or in the library, is logged and given to `failed`."""
        task = asyncio.get_running_loop().create_task(work, name=name)
        self._tasks.add(task)

        def done(ended: asyncio.Task[None]) -> None:
            self._tasks.discard(ended)
            if ended.cancelled():
                return
            error = ended.exception()
            if error is not None:
                _report(error, ended.get_name(), failed)

        task.add_done_callback(done)
        return task

    def attempt(
        self, work: Coroutine[Any, Any, _Result], name: str
    ) -> tuple[_Result | None, Begun[_Result] | None, Exception | None]:
        """Do work that may end without waiting: its result, or what has to be awaited for the rest of it, or its error.

        An error means for others what it means with `start`: it is logged here and goes no further.
        """
        try:
            waits_for = work.send(None)
        except StopIteration as ended:
            return ended.value, None, None
        except Exception as error:  # noqa: BLE001 - the one boundary that keeps a request's fault from all others
            _report(error, name, None)
            return None, None, error
        return None, Begun(work, waits_for), None

    async def close(self) -> None:
        """Cancel all and wait until they have ended."""
        current = asyncio.current_task()
        ending = [task for task in self._tasks if task is not current]
        for task in ending:
            task.cancel()
        if ending:
            await asyncio.wait(ending)


def _report(error: BaseException, name: str, failed: Failed | None) -> None:
    _LOG.error("%s failed: %r", name, error, exc_info=error)
    if failed is not None:
        failed(error)


async def in_slices(items: Iterable[_Item], work: Callable[[_Item], _Result], at_once: int = _SLICE) -> list[_Result]:
    """Results of `work` for all items; an error of `work` ends it.

    Others have a turn after each `at_once`, and after the item with which a turn has taken 5 ms.
    """
    results: list[_Result] = []
    now = asyncio.get_running_loop().time
    ends = now() + _SLICE_S
    for number, item in enumerate(items, 1):
        results.append(work(item))
        if number % at_once == 0 or now() >= ends:
            await asyncio.sleep(0)
            ends = now() + _SLICE_S
    return results
