"""Decides when frames become blocks, and keeps the passes apart from what must not wait."""

from __future__ import annotations

import asyncio
import logging
from typing import Final, TypeVar

from address_space.model import Clock
from node.historian.history import HistoryUnavailable
from node.historian.store.compaction import PASS_SAMPLES, Pass, waiting
from node.historian.store.connection import Hop
from node.historian.store.damage import Damage
from node.historian.store.disk import Disk

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

# Frames do not wait longer than this, however few they are: a block takes a third of the bytes.
AGE_S: Final = 3_600.0
# After a failure; the disk is tried again with every commit anyway.
_RETRY_S: Final = 60.0


class Compactor:
    """Makes blocks of frames when there are enough of them, or after an hour."""

    def __init__(self, on_disk: Hop, disk: Disk, clock: Clock, damage: Damage) -> None:
        self._on_disk = on_disk
        self._disk = disk
        self._clock = clock
        self._damage = damage
        self._wake = asyncio.Event()
        self._lock = asyncio.Lock()
        self._since = PASS_SAMPLES  # samples committed since the last look; at the start nobody has looked
        self.passes = 0

    def committed(self, samples: int) -> None:
        """Samples were committed; called after every commit."""
        self._since += samples
        if self._since >= PASS_SAMPLES or self._disk.salvage is not None:
            self._wake.set()

    async def run(self) -> None:
        """Compact whenever it is due until cancelled."""
        while True:
            aged = await self._due()
            try:
                await self.compact(least=0 if aged else PASS_SAMPLES)
            except HistoryUnavailable as error:
                _LOG.debug("compaction is tried again later: %s", error)
                await self._clock.sleep(_RETRY_S)
                self._wake.set()

    async def _due(self) -> bool:
        """Wait until there is enough to do, or an hour; True for the latter."""
        waits = [asyncio.ensure_future(self._wake.wait()), asyncio.ensure_future(self._clock.sleep(AGE_S))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
            return not self._wake.is_set()
        finally:
            for wait in waits:
                wait.cancel()
            self._wake.clear()

    async def compact(self, *, least: int = 0) -> None:
        """Make blocks until fewer than `least` samples wait, or none. Raises HistoryUnavailable."""
        async with self._lock:
            await self._bring_over()
            while (count := await self._on_disk(waiting)) >= max(least, 1):
                self._since = 0
                work = Pass(self._damage)
                while await self._on_disk(work.step):
                    pass
                if not work.samples:
                    return
                self.passes += 1
            self._since = count  # what is left counts for the next time

    async def _bring_over(self) -> None:
        """Finish what is left of a broken file; blocks of it must not meet blocks that were made since."""
        while (salvage := self._disk.salvage) is not None:
            while await self._on_disk(salvage.step):
                pass
            self._disk.salvaged(salvage)
