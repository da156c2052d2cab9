"""Intervals of history reads: start, end and number as a direction of travel (OPC 10000-11 section 6.5.3.2)."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from address_space.model import ticks_from_datetime

# DateTime 0 and, by OPC 10000-6 section 5.2.2.5, everything earlier stands for a time that is not given.
_NOT_GIVEN: Final = datetime(1601, 1, 1, tzinfo=UTC)


@dataclass(frozen=True, slots=True)
class Span:
    """What a request wants of each node, in the direction of travel: from `first`, included, to `last`, excluded."""

    first: int
    last: int | None  # None: as far as there is something
    reverse: bool
    most: int  # values per answer

    @property
    def end(self) -> int | None:
        """`last` for a store: start and end at one time ask for what lies exactly there."""
        return self.first + 1 if self.last == self.first else self.last


def span_of(start: datetime | None, end: datetime | None, count: int, most: int) -> Span | None:
    """What a request asks for, at most `most` values at a time; None unless two of start, end and number are given."""
    first, last = ticks_of(start), ticks_of(end)
    most = min(count, most) if count else most
    if first is not None and last is not None:
        return Span(first, last, last < first, most)
    if count and first is not None:
        return Span(first, None, False, most)
    if count and last is not None:
        return Span(last, None, True, most)
    return None


def ticks_of(moment: datetime | None) -> int | None:
    """Ticks of a time of a request; None when it is not given."""
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None if aware <= _NOT_GIVEN else ticks_from_datetime(aware)
