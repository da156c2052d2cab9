"""Raw values with their bounds, page by page (OPC 10000-11 section 6.5.3.2)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from enum import Enum
from typing import ClassVar

from asyncua import ua

from address_space.model import TICKS_PER_S
from node.historian.history import Columns, History, Position
from node.server.history.data import history_data
from node.server.history.part import Part, Reading
from node.server.history.span import Span
from node.server.history.work import Work
from node.server.reading import Stamps


class Stage(Enum):
    """What comes next in an answer."""

    FIRST_BOUND = "first bound"
    VALUES = "values"
    LAST_BOUND = "last bound"


@dataclass(frozen=True, slots=True)
class RawRead:
    """One variable's raw values."""

    node_id: ua.NodeId
    tag: str
    data_type: int
    span: Span
    bounds: bool
    history: History
    stage: Stage
    position: Position | None = None  # of the last value given
    reached: int = 0  # time of the last sample given, a bound included
    kind: ClassVar[str] = "raw"

    def empty(self, stamps: Stamps) -> ua.ExtensionObject:
        """As Reading."""
        return history_data(Columns(), self.data_type, stamps)

    async def part(self, stamps: Stamps, work: Work) -> Part:
        """As Reading."""
        samples, rest = await work.wait(self._page())
        status = ua.StatusCodes.Good if samples else ua.StatusCodes.GoodNoData
        return Part(history_data(samples, self.data_type, stamps), rest, status)

    async def _page(self) -> tuple[Columns, Reading | None]:
        """The next samples, and the read that goes on behind them."""
        most = self.span.most
        page = Columns()
        read = self
        if read.stage is Stage.FIRST_BOUND:
            read = await read.first_bound(page)
        if read.stage is Stage.VALUES:
            if len(page) == most:  # only with bounds, so at least the other one is to come
                return page, read
            read = await read.values(page, most - len(page))
            if read.stage is Stage.VALUES:
                return page, read
        if not self.bounds:
            return page, None
        if len(page) == most:
            return page, read
        await read.last_bound(page)
        return page, None

    async def first_bound(self, page: Columns) -> RawRead:
        """Add the sample at the start or the nearest before it in the direction of travel."""
        span = self.span
        seek = self.history.at_or_after if span.reverse else self.history.at_or_before
        _add_bound(page, await seek(self.tag, span.first), span.first)
        # What lies at the start itself has been given now.
        return replace(self, stage=Stage.VALUES, position=Position(span.first), reached=page.ticks[-1])

    async def values(self, page: Columns, room: int) -> RawRead:
        """Add up to `room` values; the stage stays when there are more."""
        span = self.span
        found = await self.history.raw(
            self.tag, span.first, span.end, limit=room, reverse=span.reverse, after=self.position
        )
        samples = found.columns
        page.ticks.extend(samples.ticks)
        page.values.extend(samples.values)
        page.statuses.extend(samples.statuses)
        reached = samples.ticks[-1] if samples else self.reached
        stage = Stage.LAST_BOUND if found.next is None else Stage.VALUES
        return replace(self, stage=stage, position=found.next, reached=reached)

    async def last_bound(self, page: Columns) -> None:
        """Add the sample at the end or the nearest behind it in the direction of travel."""
        span = self.span
        if span.last is None:
            # Nothing lies behind, and no end was given whose time the missing bound could carry: a second further.
            edge = min(self.reached, span.first) if span.reverse else max(self.reached, span.first)
            _add_bound(page, Columns(), edge - TICKS_PER_S if span.reverse else edge + TICKS_PER_S)
        elif span.last == span.first:
            _add_bound(page, await self.history.after(self.tag, span.last), span.last)
        else:
            seek = self.history.at_or_before if span.reverse else self.history.at_or_after
            _add_bound(page, await seek(self.tag, span.last), span.last)


def raw_read(node_id: ua.NodeId, tag: str, data_type: int, span: Span, history: History, *, bounds: bool) -> RawRead:
    """A read at its beginning."""
    stage = Stage.FIRST_BOUND if bounds else Stage.VALUES
    return RawRead(node_id, tag, data_type, span, bounds, history, stage, reached=span.first)


def _add_bound(page: Columns, found: Columns, ticks: int) -> None:
    if found:
        page.append(found.ticks[0], found.values[0], found.statuses[0])
    else:
        page.append(ticks, None, ua.StatusCodes.BadBoundNotFound)
