"""Where channels are opened: one after another, so that strangers at the door leave those inside their turns."""

from __future__ import annotations

import asyncio
from collections.abc import Callable

from address_space.model import Clock


class Doorway:
    """Lets one through at a time; what that took is followed by a pause as long.

    Opening a channel is work with the private key, some milliseconds, for whoever asks.
    """

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._one = asyncio.Lock()  # who came first is first
        self._free_s = 0.0

    async def through(self, opening: Callable[[], None]) -> None:
        """Do `opening`, when it is its turn; raises what it raises."""
        async with self._one:
            pause_s = self._free_s - self._clock.monotonic()
            if pause_s > 0:
                await self._clock.sleep(pause_s)
            began = self._clock.monotonic()
            try:
                opening()
            finally:
                ended = self._clock.monotonic()
                self._free_s = ended + (ended - began)
