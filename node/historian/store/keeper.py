"""Keeps the journal within its age and its bytes, and says what that costs."""

from __future__ import annotations

import logging
import sqlite3
from collections.abc import Awaitable, Callable, Collection
from dataclasses import dataclass
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from address_space.model import TICKS_PER_S, Clock, ticks_to_datetime
from node.historian.clock_watch import ClockWatch
from node.historian.history import HistoryUnavailable
from node.historian.intake import Intake
from node.historian.store.retention import (
    SEGMENT_BYTES,
    Aging,
    Freed,
    Room,
    Usage,
    allowed,
    excess,
    oldest,
    settle,
    shrink,
    usage,
)
from node.historian.store.retention_rule import Budget, RetentionRule, WhenFull, budget

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

# A site of 10,000 changes a second writes a megabyte meanwhile.
_LOOK_S: Final = 1.0
# Age is counted in days; a look at everything costs some hundred milliseconds in all.
_AGING_S: Final = 3_600.0
# Steps in a row, a few milliseconds each; commits come in between.
_STEPS: Final = 100
# A loss that goes on is said again after this.
_SAY_S: Final = 3_600.0
_PAGE: Final = 4_096


class OnDisk(Protocol):
    """Runs work on the connection that writes; raises HistoryUnavailable."""

    def __call__(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        """Result of the work."""
        ...


@dataclass(slots=True)
class Totals:
    """What was deleted since the start."""

    samples: int = 0
    unsent: int = 0  # samples that not every sink had
    events: int = 0

    def add(self, freed: Freed) -> None:
        """Count what a piece of work deleted."""
        self.samples += freed.samples
        self.unsent += freed.unsent
        self.events += freed.events


class Keeper:
    """Looks at the disk every second and deletes what has to go, in steps between the commits."""

    def __init__(
        self,
        on_disk: OnDisk,
        path: Path,
        rule: RetentionRule,
        clock: Clock,
        watch: ClockWatch,
        intake: Intake,
        sinks: Collection[str] = (),
    ) -> None:
        """`sinks` are those of the site; what one of them has not taken yet is deleted last."""
        self._on_disk = on_disk
        self._path = path
        self._rule = rule
        self._clock = clock
        self._watch = watch
        self._intake = intake
        self._sinks = sinks
        self._aging: Aging | None = None
        self._aged_at = -float("inf")
        self._must_free = False
        self._said_at = -float("inf")
        self._unsaid = 0
        self.deleted = Totals()
        self.budget: Budget | None = None  # known once the disk was looked at
        self.used: Usage | None = None
        self.oldest: int | None = None  # ticks, about
        self.full = ""  # why nothing is recorded any more; empty when it is

    def disk_full(self) -> None:
        """A commit found the disk full: the next look makes room, whatever the budget says."""
        self._must_free = True

    async def run(self) -> None:
        """Look every second until cancelled."""
        while True:
            try:
                await self.look()
            except HistoryUnavailable as error:
                _LOG.debug("the disk is looked at again later: %s", error)
            await self._clock.sleep(_LOOK_S)

    async def look(self) -> None:
        """Bring the journal into its limits as far as some steps do. Raises HistoryUnavailable."""
        if self._must_free:
            await self._settle()
        used, limits = await self._measured()
        await self._make_room(excess(limits, used))
        await self._age()
        used, limits = await self._measured()
        await self._shrink(used, limits)
        self.oldest = await self._on_disk(oldest)

    async def _settle(self) -> None:
        """Bring the log into the file, if the file finds room; what is in it can be written anew then."""
        try:
            # The log keeps its place on the disk: to delete needs some.
            await self._on_disk(partial(settle, give_back=False))
        except HistoryUnavailable as error:
            _LOG.debug("the log cannot be brought into the file, so room is made without that: %s", error)

    async def _measured(self) -> tuple[Usage, Budget]:
        used = self.used = await self._on_disk(partial(usage, path=self._path))
        if self.budget is None:
            self.budget = budget(self._rule, own=used.on_disk, free=used.free, total=used.total)
        return used, self.budget

    async def _make_room(self, need: int) -> None:
        # Space that was found by hysteresis only: a journal at its limit must not open and close every second.
        closed = bool(self.full)
        if self._must_free:
            need = max(need, SEGMENT_BYTES)
        elif closed:
            need += SEGMENT_BYTES // 2
        if need <= 0:
            self._open()
            return
        room = Room(need, self._rule.when_full, self._sinks)
        try:
            await self._all(room.step)
        finally:
            self._count(room.freed)
        self._must_free = False
        if room.is_full and self._rule.when_full is WhenFull.KEEP_OLD:
            self._close()

    def _close(self) -> None:
        size = "" if self.budget is None else f"max_size is {self.budget.bytes / 1e6:.0f} MB, "
        self.full = f"{self._path} has no room left, nothing is recorded: {size}when_full is keep_old"
        self._intake.is_closed = True

    def _open(self) -> None:
        self.full = ""
        self._intake.is_closed = False

    async def _age(self) -> None:
        if self._rule.max_age_s is None:
            return
        now = self._clock.monotonic()
        if self._aging is None and now - self._aged_at >= _AGING_S and self._watch.is_trusted:
            self._aged_at = now
            cutoff = self._clock.now() - int(self._rule.max_age_s * TICKS_PER_S)
            self._aging = Aging(cutoff, self._sinks)
        if self._aging is None:
            return
        before = self._aging.freed
        aging, self._aging = self._aging, None
        try:
            if await self._all(aging.step):
                self._aging = aging  # to be gone on with at the next look
        finally:
            self.deleted.samples += aging.freed.samples - before.samples
            self.deleted.events += aging.freed.events - before.events

    async def _shrink(self, used: Usage, limits: Budget) -> None:
        """Give spare pages back when the file is too large, or when a good part of it is spare."""
        over = used.on_disk - allowed(limits, used)
        idle = used.spare - max(2 * SEGMENT_BYTES, used.pages // 8)
        pages = max(over, idle) // _PAGE
        if pages > 0 and used.spare:
            for _ in range(_STEPS):
                await self._on_disk(partial(shrink, pages=pages))
                pages -= 256
                if pages <= 0:
                    break
        if over > 0:
            await self._on_disk(partial(settle, give_back=True))

    async def _all(self, step: Callable[[sqlite3.Connection], bool]) -> bool:
        """Do steps until there is nothing left to do; True when there may be."""
        for _ in range(_STEPS):
            if not await self._on_disk(step):
                return False
        return True

    def _count(self, freed: Freed) -> None:
        self.deleted.add(freed)
        if not freed.unsent:
            return
        self._unsaid += freed.unsent
        now = self._clock.monotonic()
        if now - self._said_at < _SAY_S:
            return
        self._said_at = now
        _LOG.error(
            "%d samples that not every sink has were deleted to make room, the last of them from %s to %s",
            self._unsaid,
            _text(freed.first),
            _text(freed.last),
        )
        self._unsaid = 0


def _text(ticks: int) -> str:
    try:
        return f"{ticks_to_datetime(ticks):%Y-%m-%d %H:%M:%S}"
    except (OverflowError, ValueError, OSError):
        return str(ticks)  # a time that no calendar has
