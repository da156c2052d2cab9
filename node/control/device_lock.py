"""One at a time on a device; who finds it free does not wait, and costs no task and no turn of the event loop."""

from __future__ import annotations

import asyncio
from collections import deque


class DeviceLock:
    """A lock that is handed on in the order of those who wait.

    `if not lock.take(): await lock.wait()`, then `release` in a `finally`.
    """

    __slots__ = ("_held", "_waiting")

    def __init__(self) -> None:
        self._held = False
        self._waiting: deque[asyncio.Future[None]] = deque()

    def take(self) -> bool:
        """Have it if it is free; False when somebody has it."""
        if self._held:
            return False
        self._held = True
        return True

    async def wait(self) -> None:
        """Wait for one's turn, and have it then. Who is cancelled does not have it."""
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        try:
            await turn
        except asyncio.CancelledError:
            if not turn.cancelled():
                # It was handed over in the very moment of the end.
                self.release()
            raise

    def release(self) -> None:
        """Hand it on to who waits longest, or leave it free."""
        while self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(None)
                return
        self._held = False
