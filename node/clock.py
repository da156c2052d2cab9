"""The real clock; tests hand in their own."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from address_space.model import TICKS_PER_MS, ticks_from_unix_ns

_NS_PER_MS: Final = 1_000_000
_EPOCH: Final = ticks_from_unix_ns(0)


class RealClock:
    """Wall time, monotonic time and waiting of this machine."""

    def now(self) -> int:
        """Wall time in OPC UA ticks (100 ns since 1601-01-01 UTC), rounded down to 1 ms."""
        return time.time_ns() // _NS_PER_MS * TICKS_PER_MS + _EPOCH

    # Seconds on a clock that never steps; asked for so often that a call of ours around it would count.
    monotonic = staticmethod(time.monotonic)

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds."""
        await asyncio.sleep(seconds)

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.TimerHandle:
        """Call something at a time of `monotonic`."""
        return asyncio.get_running_loop().call_later(when - time.monotonic(), callback)
