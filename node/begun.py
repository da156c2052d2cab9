"""Work that runs at once and becomes a task only when it has to wait."""

from __future__ import annotations

from asyncio import InvalidStateError
from collections.abc import Coroutine, Generator
from typing import Any, Final, TypeVar

_NOT_BEGUN: Final = object()

_Result = TypeVar("_Result")
_Result_co = TypeVar("_Result_co", covariant=True)


def begin(work: Coroutine[Any, Any, _Result]) -> tuple[Any, Begun[_Result] | None]:
    """Run `work` to its first wait: its result, or what has to be awaited for the rest of it.

    As `Begun`, and less work where nothing is waited for.
    """
    try:
        value = work.send(None)
    except StopIteration as ended:
        return ended.value, None
    return None, Begun(work, value)


class Begun(Coroutine[Any, Any, _Result_co]):
    """A coroutine that has run to its first wait, or to its end; await it, or make it a task, for the rest.

    What never waits costs no task and no turn of the event loop. Until that first wait it runs in the task, if any,
    of who made this, so it must not ask for its own (as `asyncio.timeout` does). Its errors are raised where it runs.
    """

    __slots__ = ("_told", "_value", "_work", "done")

    def __init__(self, work: Coroutine[Any, Any, _Result_co], first: Any = _NOT_BEGUN) -> None:
        """`first` is what `work` waits for already, if it has been begun."""
        self._work = work
        self._told = False  # whether who awaits this knows what it waits for
        self._value = first  # what it waits for first; its result when it has ended
        self.done = False
        if first is not _NOT_BEGUN:
            return
        try:
            self._value = work.send(None)
        except StopIteration as ended:
            self._value = ended.value
            self.done = True

    @property
    def result(self) -> _Result_co:
        """What it came to without waiting. Raises InvalidStateError when it had to wait."""
        if not self.done:
            raise InvalidStateError("it has to be awaited")
        result: _Result_co = self._value
        return result

    # --- as Python awaits it

    def send(self, given: Any) -> Any:
        """Say first what it waits for, then let it go on."""
        if self.done:
            raise StopIteration(self._value)
        if not self._told:
            self._told = True
            return self._value
        return self._work.send(given)

    def throw(self, *error: Any) -> Any:
        """Let it see an error where it waits."""
        self._told = True
        return self._work.throw(*error)

    def close(self) -> None:
        """Let it tidy up; it does not go on."""
        self._work.close()

    def __await__(self) -> Generator[Any, Any, _Result_co]:
        return self  # an iterator with `send` and `throw`, which is what await uses

    def __iter__(self) -> Begun[_Result_co]:
        return self

    def __next__(self) -> Any:
        return self.send(None)
