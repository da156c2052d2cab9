"""Aggregates of the first and last values of an interval: raw (Start, End, Delta) or bounds."""

from __future__ import annotations

from enum import Enum

from address_space.model import Value
from node.historian.aggregates.bound import NO_BOUND, Bound
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import NO_DATA, Fold, Outcome
from node.historian.aggregates.page import GOOD_QUALITY, Page, Point
from node.historian.aggregates.result import CALCULATED, GOOD, UNCERTAIN_DATA_SUB_NORMAL, code, is_bad, with_bits


class RawEdge(Fold):
    """Start or End: the oldest or newest raw sample, with its own time and status (5.4.3.25, 5.4.3.26)."""

    numeric = False

    def __init__(self, configuration: Configuration, *, newest: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._newest = newest

    def begin(self, bound: Bound) -> None:
        """Nothing was seen yet."""
        self._point: Point | None = None

    def add(self, page: Page, low: int, high: int) -> None:
        """The first of the first page, or the last of the last."""
        if self._newest:
            self._point = page.point(high - 1)
        elif self._point is None:
            self._point = page.point(low)

    def close(self, late: int, bound: Bound) -> Outcome:
        """A Bad sample has no value."""
        if self._point is None:
            return NO_DATA
        value = None if is_bad(self._point.status) else self._point.value
        return Outcome(value, self._point.status, self._point.ticks)


class Delta(Fold):
    """The newest Good value minus the oldest one (5.4.3.27); whatever is not Good makes it Uncertain."""

    def begin(self, bound: Bound) -> None:
        """Nothing was seen yet."""
        self._first: Value | None = None
        self._last: Value | None = None
        self._skipped = False

    def add(self, page: Page, low: int, high: int) -> None:
        """Look for Good values from both ends."""
        flaws = page.flaws_within(low, high)
        self._skipped = self._skipped or bool(flaws)
        if len(flaws) == high - low:
            return
        if self._first is None:
            self._first = page.values[next(i for i in range(low, high) if page.quality(i) == GOOD_QUALITY)]
        self._last = page.values[next(i for i in range(high - 1, low - 1, -1) if page.quality(i) == GOOD_QUALITY)]

    def close(self, late: int, bound: Bound) -> Outcome:
        """No Good sample is no data."""
        if self._first is None or self._last is None:
            return NO_DATA
        status = UNCERTAIN_DATA_SUB_NORMAL if self._skipped else GOOD
        return Outcome(self._last - self._first, with_bits(status, CALCULATED))  # type: ignore[operator]  # numbers


class BoundKind(Enum):
    """Which bound is asked for; start and end in the direction of travel."""

    START = "start"
    END = "end"
    DELTA = "delta"  # the late one minus the early one


class BoundEdge(Fold):
    """StartBound, EndBound and DeltaBounds over simple bounds (5.4.3.28 to 5.4.3.30)."""

    bounded = True

    def __init__(self, configuration: Configuration, kind: BoundKind, *, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._kind = kind
        self.numeric = kind is BoundKind.DELTA

    def begin(self, bound: Bound) -> None:
        """Keep the early bound."""
        self._early = self._usable(bound)

    def _usable(self, bound: Bound) -> Bound:
        return bound if bound.quality <= self.usable else NO_BOUND

    def add(self, page: Page, low: int, high: int) -> None:
        """Nothing between the bounds matters."""

    def close(self, late: int, bound: Bound) -> Outcome:
        """A bound that is not usable is no data."""
        early, last = self._early, self._usable(bound)
        if self._kind is BoundKind.DELTA:
            return self._delta(early, last)
        first, final = (last, early) if self.reverse else (early, last)
        asked = first if self._kind is BoundKind.START else final
        if asked is NO_BOUND:
            return NO_DATA
        if self._kind is BoundKind.START:
            return Outcome(asked.source_value, asked.status)
        return Outcome(asked.source_value, with_bits(code(asked.status), CALCULATED))

    def _delta(self, early: Bound, late: Bound) -> Outcome:
        if early is NO_BOUND or late is NO_BOUND:
            return NO_DATA
        status = GOOD if early.quality == late.quality == GOOD_QUALITY else UNCERTAIN_DATA_SUB_NORMAL
        value = late.value - early.value  # type: ignore[operator]  # numbers: text was refused
        whole = (early.whole or type(early.value) is int) and (late.whole or type(late.value) is int)
        return Outcome(round(value) if whole else value, with_bits(status, CALCULATED))
