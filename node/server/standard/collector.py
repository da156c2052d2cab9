"""Python's garbage collector in a long-lived server: off while it is built, then never in anybody's way.

A full pass over a built address space takes hundreds of milliseconds. What was built is frozen once; a full pass
over the rest comes when the event loop is idle, at the latest after ten minutes, because sessions leave cycles.
"""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Final

from address_space.model import Clock

# Youngest generation: publishing makes few objects that survive, so passes are rare and short. Oldest: never by itself.
THRESHOLDS: Final = (10_000, 50, 1_000_000)
_PYTHONS_THRESHOLDS: Final = (700, 10, 10)
LOOK_S: Final = 20.0
LATEST_S: Final = 600.0
# A loop that wakes this late after a short sleep has work to do.
IDLE_LAG_S: Final = 0.001
_PROBE_S: Final = 0.005


@contextmanager
def paused() -> Iterator[None]:
    """No collection inside, for building many objects that stay; they are out of every later pass."""
    was_on = gc.isenabled()
    # Garbage goes now, while there is little to walk: a pass over a built address space takes 0.2 s of the start.
    gc.collect()
    gc.disable()
    try:
        yield
        # Before the collector is on again, else its next pass walks all that was built.
        gc.freeze()
    finally:
        if was_on:
            gc.enable()


def settle() -> None:
    """Keep what is there out of later passes, and set the thresholds. Call it before clients come."""
    gc.freeze()
    gc.set_threshold(*THRESHOLDS)


def release() -> None:
    """Undo `settle`: what was frozen may go, and the thresholds are Python's own."""
    gc.unfreeze()
    gc.set_threshold(*_PYTHONS_THRESHOLDS)


class IdleCollector:
    """Full passes in quiet moments."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self.passes = 0
        self.longest_s = 0.0

    async def run(self) -> None:
        """Look for a quiet moment every 20 s; ends when cancelled."""
        last = self._clock.monotonic()
        while True:
            await self._clock.sleep(LOOK_S)
            begin = self._clock.monotonic()
            await self._clock.sleep(_PROBE_S)
            now = self._clock.monotonic()
            if now - begin - _PROBE_S <= IDLE_LAG_S or now - last >= LATEST_S:
                gc.collect()
                last = self._clock.monotonic()
                self.passes += 1
                self.longest_s = max(self.longest_s, last - now)
