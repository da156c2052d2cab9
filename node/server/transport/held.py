"""How long a piece of work holds the event loop, in which nobody else is served."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Generator
from typing import Any


class Held:
    """Awaits a coroutine; the result is the seconds of its steps that were each longer than `longest_s`.

    A step is what runs between two waits; time in which others run is not counted.
    """

    __slots__ = ("_held_s", "_longest_s", "_now", "_work")

    def __init__(self, work: Coroutine[Any, Any, object], now: Callable[[], float], longest_s: float) -> None:
        self._work = work
        self._now = now
        self._longest_s = longest_s
        self._held_s = 0.0

    # --- as Python awaits it

    def send(self, given: Any) -> Any:
        """Let the work go on with what it waited for."""
        return self._step(self._work.send, given)

    def throw(self, *error: Any) -> Any:
        """Let the work see an error where it waits: a cancellation, or that of what it waited for."""
        return self._step(self._work.throw, *error)

    def close(self) -> None:
        """Let the work tidy up; it does not go on."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, float]:
        return self  # an iterator with `send`, `throw` and `close`: what await uses

    def __iter__(self) -> Held:
        return self

    def __next__(self) -> Any:
        return self.send(None)

    def _step(self, go_on: Callable[..., Any], *given: Any) -> Any:
        began = self._now()
        try:
            wanted = go_on(*given)
        except StopIteration:
            raise StopIteration(self._held_s + self._long(began)) from None
        self._held_s += self._long(began)
        return wanted

    def _long(self, began: float) -> float:
        step_s = self._now() - began
        return step_s if step_s > self._longest_s else 0.0
