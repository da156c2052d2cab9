"""Samples as the engine reads them: columns with a quality per sample, and where the Good runs lie."""

from __future__ import annotations

from array import array
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, NamedTuple

from address_space.model import Value
from node.historian.aggregates.errors import InvalidInputs
from node.historian.aggregates.result import BAD
from node.historian.history import Columns

GOOD_QUALITY: Final = 0
UNCERTAIN_QUALITY: Final = 1
BAD_QUALITY: Final = 2

_UNCERTAIN: Final = 0x4000_0000


class Point(NamedTuple):
    """One raw sample and its quality."""

    ticks: int
    value: Value | None
    status: int
    quality: int


@dataclass(frozen=True, slots=True)
class Page:
    """Columns and the indexes of what is not Good, ascending, with their qualities.

    A sample without a value, or with a NaN, is Bad whatever its status says: nothing can be calculated from it.
    """

    ticks: array[int]
    values: list[Value | None]
    statuses: array[int]
    flaws: Sequence[int]
    qualities: dict[int, int]

    def __len__(self) -> int:
        return len(self.ticks)

    def quality(self, index: int) -> int:
        """Quality of one sample."""
        return self.qualities.get(index, GOOD_QUALITY)

    def point(self, index: int) -> Point:
        """One sample."""
        return Point(self.ticks[index], self.values[index], self.statuses[index], self.quality(index))

    def good_until(self, low: int, high: int) -> int:
        """End of the run of Good samples that starts at `low`; `low` itself when that one is not Good."""
        if not self.flaws:
            return high
        at = bisect_left(self.flaws, low)
        return min(self.flaws[at], high) if at < len(self.flaws) else high

    def usable(self, worst: int) -> Sequence[int]:
        """Indexes of the samples whose quality is `worst` or better."""
        if not self.flaws:
            return range(len(self.ticks))
        return [index for index in range(len(self.ticks)) if self.quality(index) <= worst]

    def flaws_within(self, low: int, high: int) -> Sequence[int]:
        """Indexes of the samples in [low, high) that are not Good."""
        if not self.flaws:
            return ()
        return self.flaws[bisect_left(self.flaws, low) : bisect_left(self.flaws, high)]


def page_of(columns: Columns, *, numeric: bool) -> Page:
    """The page of some columns; raises InvalidInputs when `numeric` and a usable value is text."""
    if _is_good_throughout(columns):
        return Page(columns.ticks, columns.values, columns.statuses, (), {})
    qualities: dict[int, int] = {}
    for index, (value, status) in enumerate(zip(columns.values, columns.statuses, strict=True)):
        if status >= BAD or value is None or value != value:  # noqa: PLR0124 - a NaN is what differs from itself
            qualities[index] = BAD_QUALITY
        else:
            if status >= _UNCERTAIN:
                qualities[index] = UNCERTAIN_QUALITY
            if numeric and isinstance(value, str):
                raise InvalidInputs(f"the aggregate calculates with numbers, and {value[:40]!r} is text")
    return Page(columns.ticks, columns.values, columns.statuses, list(qualities), qualities)


def _is_good_throughout(columns: Columns) -> bool:
    """Whether every sample is Good and a number; may say no where a closer look says yes."""
    if columns.statuses and max(columns.statuses) >= _UNCERTAIN:
        return False
    try:
        total = sum(columns.values)  # type: ignore[arg-type]  # None and text raise TypeError, which is the question
    except (TypeError, OverflowError):
        return False
    return total == total  # noqa: PLR0124 - one NaN makes the sum a NaN
