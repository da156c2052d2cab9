"""How long a piece of work holds the event loop, in which nobody else is served."""

from __future__ import annotations

from asyncio import CancelledError
from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Held:
    """Awaits a coroutine; the result is the seconds of its steps that were each longer than `longest_s`.

    A step is what runs between two waits; time in which others run is not counted.
    """

    __slots__ = ("_longest_s", "_now", "_work")

    def __init__(self, work: Coroutine[Any, Any, object], now: Callable[[], float], longest_s: float) -> None:
        self._work = work
        self._now = now
        self._longest_s = longest_s

    def __await__(self) -> Generator[Any, Any, float]:
        held_s = 0.0
        given: Any = None
        error: CancelledError | None = None
        try:
            while True:
                began = self._now()
                try:
                    wanted = self._work.send(given) if error is None else self._work.throw(error)
                except StopIteration:
                    return held_s + self._long(began)
                held_s += self._long(began)
                given, error = None, None
                try:
                    given = yield wanted
                except CancelledError as thrown:  # the work's to see
                    error = thrown
        finally:
            self._work.close()

    def _long(self, began: float) -> float:
        step_s = self._now() - began
        return step_s if step_s > self._longest_s else 0.0
