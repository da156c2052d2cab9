"""Which intervals follow from start, end and processing interval (OPC 10000-13 section 5.4.2.2)."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import NamedTuple

from node.historian.aggregates.errors import RequestRefused


class Interval(NamedTuple):
    """One interval, its edges in order of time. Forward the early edge belongs to it, in reverse the late one."""

    early: int
    late: int
    short: bool  # what remained of the range, less than the processing interval


@dataclass(frozen=True, slots=True)
class Intervals:
    """The intervals of a request; raises RequestRefused when there are none.

    They are counted from `start`: in reverse, with `end` before `start`, the shorter rest is the earliest.
    `interval` 0 is one interval.
    """

    start: int
    end: int
    interval: int

    def __post_init__(self) -> None:
        if self.start == self.end:
            raise RequestRefused("start and end are equal: there is no interval between them")
        if self.interval < 0:
            raise RequestRefused(f"the processing interval is negative: {self.interval} ticks")

    @property
    def reverse(self) -> bool:
        """Whether time flows backward."""
        return self.end < self.start

    @property
    def low(self) -> int:
        """Earliest edge."""
        return min(self.start, self.end)

    @property
    def high(self) -> int:
        """Latest edge."""
        return max(self.start, self.end)

    def __len__(self) -> int:
        span = self.high - self.low
        return -(-span // self.interval) if self.interval else 1

    def __iter__(self) -> Iterator[Interval]:
        """In order of time, also in reverse."""
        low, high, count = self.low, self.high, len(self)
        step = self.interval or high - low
        for number in range(count):
            if self.reverse:
                late = high - (count - 1 - number) * step
                early = max(low, late - step)
            else:
                early = low + number * step
                late = min(high, early + step)
            yield Interval(early, late, late - early < step)
