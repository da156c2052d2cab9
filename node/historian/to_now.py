"""History up to the newest answer: a point that does not change is not recorded, but it is known to be what it is.

Only for what is about time, averages over time and values at a time: raw history and counts have what was recorded.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_S, Clock, Status
from node.historian.history import Columns, Page, Position, RawPages

# A time further ahead of the clock is no time to end with; the journal doubts it, too (clock_watch.py).
_AHEAD: Final = 3600 * TICKS_PER_S
_WAITING: Final = int(Status.BAD_WAITING_FOR_INITIAL_DATA)


@dataclass(frozen=True, slots=True)
class ToNow:
    """`RawPages` of a history, behind whose last sample stands the newest answer of the process image."""

    history: RawPages
    image: ProcessImage
    clock: Clock

    async def raw(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> Page:
        """As History.raw."""
        page = await self.history.raw(tag, start, end, limit=limit, reverse=reverse, after=after)
        if (reverse and after is not None) or (page.next is not None and not reverse):
            return page  # the newest is the first of all pages backwards, and the last forwards
        newest = await self._newest(tag, page.columns, reverse)
        if newest is None:
            return page
        ticks = newest.ticks[0]
        if reverse:
            inside = (start is None or ticks <= start) and (end is None or ticks > end)
        else:
            inside = (start is None or ticks >= start) and (end is None or ticks < end)
        if not inside or (after is not None and ticks <= after.ticks):
            return page
        return _before(newest, page, limit) if reverse else _behind(newest, page, limit)

    async def _newest(self, tag: str, page: Columns, reverse: bool) -> Columns | None:
        """The newest answer, when history has nothing of its time or later."""
        device, _, point = tag.partition(".")
        try:
            slot = self.image.slot(device, point)
        except KeyError:
            return None  # recorded by an earlier site
        known = self.image.owner(slot)[1]
        sample, now = self.image.sample(slot), self.clock.now()
        # What never ages is as true now as when it was said.
        ticks = now if known.stale_after_s is None else sample.ticks
        if sample.status == _WAITING or ticks > now + _AHEAD:
            return None
        last = page.ticks[0 if reverse else -1] if page else None
        if (last is not None and last >= ticks) or (await self.history.raw(tag, ticks, None, limit=1)).columns:
            return None
        found = Columns()
        found.append(ticks, sample.value, sample.status)
        return found


def _behind(newest: Columns, page: Page, limit: int) -> Page:
    if len(page.columns) >= limit:
        return Page(page.columns, Position(page.columns.ticks[-1]))
    page.columns.append(newest.ticks[0], newest.values[0], newest.statuses[0])
    return page


def _before(newest: Columns, page: Page, limit: int) -> Page:
    old = page.columns
    rest = limit - 1
    newest.ticks.extend(old.ticks[:rest])
    newest.values.extend(old.values[:rest])
    newest.statuses.extend(old.statuses[:rest])
    following = page.next if len(old) <= rest else Position(newest.ticks[-1])
    return Page(newest, following)
