"""Interpolated bounding values at given times (OPC 10000-13 section 3.1.8): Interpolative, and reads at given times."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterator

from address_space.model import Value
from node.historian.aggregates.bound import is_sloped, is_whole, line, worst_usable
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import NO_DATA, Outcome
from node.historian.aggregates.intervals import Intervals
from node.historian.aggregates.page import GOOD_QUALITY, Page, Point
from node.historian.aggregates.result import GOOD, INTERPOLATED, UNCERTAIN_DATA_SUB_NORMAL, Result, with_bits
from node.historian.aggregates.walk import Walk


class Interpolation:
    """What is known before a time: the newest usable samples, and whether something was skipped since."""

    def __init__(self, configuration: Configuration) -> None:
        self._stepped = configuration.stepped
        self._extrapolates = configuration.use_sloped_extrapolation and not configuration.stepped
        self.usable_before = 2 if self._extrapolates else 1
        self._usable = worst_usable(configuration)
        self._point: Point | None = None
        self._previous: Point | None = None
        self._skipped: int | None = None  # when the first unusable sample after it came

    def is_usable(self, point: Point) -> bool:
        """Whether the sample has a value to interpolate with."""
        return point.quality <= self._usable

    def take(self, point: Point) -> None:
        """Take the next sample."""
        if self.is_usable(point):
            self._previous, self._point, self._skipped = self._point, point, None
        elif self._skipped is None:
            self._skipped = point.ticks

    def take_run(self, page: Page, low: int, high: int) -> None:
        """Take samples [low, high); only the last two usable ones matter, and what follows them."""
        start, found = high, 0
        while start > low and found < 2:
            start -= 1
            found += page.quality(start) <= self._usable
        for index in range(start, high):
            self.take(page.point(index))

    def at(self, ticks: int, point: Point, *, skipped_after: bool = False) -> Outcome:
        """The value at `ticks`, with the first usable sample at or after it.

        `skipped_after` says that others, not usable and not taken, lie between `ticks` and `point`.
        """
        if point.ticks == ticks:
            return Outcome(point.value, point.status)
        before = self._point
        if before is None:
            return NO_DATA
        if self._stepped or not is_sloped(before.value, point.value):
            skipped = self._skipped is not None and self._skipped <= ticks
            return _interpolated(before.value, certain=not skipped and before.quality == GOOD_QUALITY)
        certain = self._skipped is None and not skipped_after and before.quality == point.quality == GOOD_QUALITY
        return _interpolated(_rounded(line(ticks, before, point), before, point), certain=certain)

    def beyond(self, ticks: int) -> Outcome:
        """The value at `ticks` behind the last usable sample."""
        before, previous = self._point, self._previous
        if before is None:
            return NO_DATA
        value = before.value
        if self._extrapolates and previous is not None and is_sloped(previous.value, value):
            value = _rounded(line(ticks, previous, before), previous, before)
        return _interpolated(value, certain=False)


def _rounded(value: float, *sources: Point) -> Value:
    """In the type of the source."""
    return round(value) if is_whole(*sources) else value


def _interpolated(value: Value | None, *, certain: bool) -> Outcome:
    return Outcome(value, with_bits(GOOD if certain else UNCERTAIN_DATA_SUB_NORMAL, INTERPOLATED))


class InterpolationWalk(Walk):
    """Interpolative: the interpolated bound at the start of each interval (5.4.3.4)."""

    numeric = False

    def __init__(self, intervals: Intervals, configuration: Configuration) -> None:
        super().__init__(intervals, configuration)
        self._interpolation = Interpolation(configuration)
        self.usable_before = self._interpolation.usable_before

    @property
    def _target(self) -> int:
        return self.interval.late if self.intervals.reverse else self.interval.early

    def walk(self, page: Page, begin: int) -> Iterator[Result]:
        """Stop at every start of an interval, and go on when a usable sample lies there or behind it."""
        at, size = begin, len(page)
        while at < size and not self.complete:
            until = bisect_left(page.ticks, self._target, at, size)
            self._interpolation.take_run(page, at, until)
            at = until
            while at < size and not self._interpolation.is_usable(page.point(at)):
                self._interpolation.take(page.point(at))
                at += 1
            if at < size:
                point = page.point(at)
                while self._is_due(point):
                    yield self._result(self._interpolation.at(self._target, point))

    def _is_due(self, point: Point) -> bool:
        return not self.complete and self._target <= point.ticks

    def _result(self, outcome: Outcome) -> Result:
        result = self.result(outcome, partial=False)
        self.advance()
        return result

    def finish(self) -> Iterator[Result]:
        """Extrapolate."""
        while not self.complete:
            yield self._result(self._interpolation.beyond(self._target))
