"""One history request in work: how long it may take, and who may end it."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from typing import Any, Final, Protocol, TypeVar

from asyncua import ua

from address_space.model import Clock
from node.server.request import ServiceRefused

T = TypeVar("T")

# What all nodes of a request share. What is not begun by then is answered with a continuation point.
SHARE_S: Final = 2.0
# A single result that cannot be cut into parts, an average over years, may take this long.
LONGEST_S: Final = 60.0
_LOOK_S: Final = 0.1  # how soon the end of a session ends its work


class TookTooLong(Exception):
    """A single result was not there in time."""


class Holder(Protocol):
    """Whose request it is: a session."""

    closed: bool


class Work:
    """A request that runs; `spent` says when it should come to its end, `check` when it must."""

    def __init__(self, session: Holder, handle: int, clock: Clock, hint_s: float | None = None) -> None:
        """`handle` is the client's own, `hint_s` how long it waits for the answer, None for ever."""
        self.session = session
        self.handle = handle
        self._clock = clock
        self._cancelled = False
        begun = clock.monotonic()
        patience = LONGEST_S if hint_s is None else min(hint_s, LONGEST_S)
        self._share_ends = begun + min(SHARE_S, patience / 2)
        self._ends = begun + patience

    @property
    def spent(self) -> bool:
        """True when the time that all nodes share is over."""
        return self._clock.monotonic() >= self._share_ends

    @property
    def over(self) -> bool:
        """True when even a single result has to be given up."""
        return self._cancelled or self.session.closed or self._clock.monotonic() >= self._ends

    def cancel(self) -> None:
        """The client wants no answer any more."""
        self._cancelled = True

    def check(self) -> None:
        """Raise ServiceRefused when nobody waits for the answer any more."""
        if self._cancelled:
            raise ServiceRefused(ua.StatusCodes.BadRequestCancelledByClient)
        if self.session.closed:
            raise ServiceRefused(ua.StatusCodes.BadSessionClosed)

    async def wait(self, job: Coroutine[Any, Any, T]) -> T:
        """The result of a job, which ends when nobody waits for it any more.

        Raises what the job raises, ServiceRefused as `check`, TookTooLong.
        """
        task = asyncio.ensure_future(job)
        try:
            while True:
                done, _ = await asyncio.wait({task}, timeout=_LOOK_S)
                self.check()
                if done:
                    return task.result()
                if self._clock.monotonic() >= self._ends:
                    raise TookTooLong
        finally:
            if not task.done():
                task.cancel()
                await asyncio.wait({task})
