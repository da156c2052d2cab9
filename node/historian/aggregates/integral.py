"""TimeAverage and Total: the integral over interpolated bounding values (OPC 10000-13 sections 5.4.3.6, 5.4.3.8).

What is not usable is skipped: the value lies on the line between usable samples, or is held, and is Uncertain there.
"""

from __future__ import annotations

from collections.abc import Iterator

from address_space.model import TICKS_PER_S
from node.historian.aggregates.bound import is_sloped, worst_usable
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import NO_DATA, Outcome
from node.historian.aggregates.intervals import Intervals
from node.historian.aggregates.page import GOOD_QUALITY, Page, Point
from node.historian.aggregates.regions import twice_area
from node.historian.aggregates.result import CALCULATED, GOOD, UNCERTAIN_DATA_SUB_NORMAL, Result, with_bits
from node.historian.aggregates.walk import Walk


class IntegralWalk(Walk):
    """Walks from usable sample to usable sample; an interval is over when a usable one lies at its end or behind it.

    TimeAverage draws lines even where the variable is Stepped; Total holds there.
    """

    def __init__(self, intervals: Intervals, configuration: Configuration, *, total: bool) -> None:
        super().__init__(intervals, configuration)
        self._total = total
        self._stepped = configuration.stepped and total
        self._extrapolates = configuration.use_sloped_extrapolation and not configuration.stepped
        self.usable_before = 2 if self._extrapolates else 1
        self._usable = worst_usable(configuration)
        self._point: Point | None = None  # the newest usable sample
        self._previous: Point | None = None  # the usable one before it
        self._skipped: int | None = None  # when the first unusable sample after it came
        self._clear()

    def _clear(self) -> None:
        self._area: float = 0  # value times ticks, twice
        self._valued = 0
        self._uncertain = False

    def walk(self, page: Page, begin: int) -> Iterator[Result]:
        """Sample by sample around edges and flaws; runs of Good samples within an interval at once."""
        at, size = begin, len(page)
        while at < size and not self.complete:
            point = page.point(at)
            at += 1
            if point.quality > self._usable:
                self._skipped = point.ticks if self._skipped is None else self._skipped
                continue
            yield from self._reach(point)
            until = page.good_until(at, self.cut(page, self.interval.late, at, size))
            if until > at and self._is_run_from(point):
                self._run(page, at - 1, until)
                at = until

    def _is_run_from(self, point: Point) -> bool:
        return not self.complete and point.ticks >= self.interval.early and point.quality == GOOD_QUALITY

    def _run(self, page: Page, low: int, high: int) -> None:
        self._area += twice_area(page, low, high, stepped=self._stepped)
        self._valued += page.ticks[high - 1] - page.ticks[low]
        self._previous, self._point = page.point(high - 2), page.point(high - 1)

    def _reach(self, point: Point) -> Iterator[Result]:
        """Use the segment that ends at a usable sample, and close the intervals that end in it."""
        while not self.complete and point.ticks >= self.interval.late:
            self._segment(point, self.interval.late)
            yield self._close(ended=False)
        if not self.complete:
            self._segment(point, point.ticks)
        self._previous, self._point, self._skipped = self._point, point, None

    def _segment(self, point: Point, until: int) -> None:
        """Use the part within the interval, up to `until`, of the segment from the newest sample to `point`."""
        before = self._point
        since = self.interval.early if before is None else max(self.interval.early, before.ticks)
        if until <= since:
            return
        if before is None:  # no value yet
            self._uncertain = True
            return
        held = self._stepped or not is_sloped(_number(before), _number(point))
        skipped_at = self._skipped if self._skipped is not None else point.ticks
        if held:
            self._uncertain = self._uncertain or before.quality != GOOD_QUALITY or skipped_at < until
            slope = 0.0
        else:
            worst = max(before.quality, point.quality)
            self._uncertain = self._uncertain or worst != GOOD_QUALITY or self._skipped is not None
            slope = _slope(before, point)
        self._trapezium(before, slope, since, until)

    def _trapezium(self, before: Point, slope: float, since: int, until: int) -> None:
        first = _number(before) + slope * (since - before.ticks)
        final = _number(before) + slope * (until - before.ticks)
        self._area += (first + final) * (until - since)
        self._valued += until - since

    def finish(self) -> Iterator[Result]:
        """Behind the last usable sample the value is extrapolated to the end of the interval with the last sample."""
        while not self.complete:
            before = self._point
            if before is not None:
                slope = 0.0
                if self._extrapolates and self._previous is not None:
                    slope = _slope(self._previous, before)
                self._trapezium(before, slope, max(self.interval.early, before.ticks), self.interval.late)
            self._uncertain = True
            yield self._close(ended=True)

    def _close(self, *, ended: bool) -> Result:
        if self.is_within(ended=ended):
            result = self.result(self._outcome(), partial=self.is_partial(ended=ended))
        else:
            result = self.no_data()
        self._clear()
        self.advance()
        return result

    def _outcome(self) -> Outcome:
        if not self._valued:
            return NO_DATA
        status = UNCERTAIN_DATA_SUB_NORMAL if self._uncertain else GOOD
        value = self._area / 2 / (TICKS_PER_S if self._total else self._valued)
        return Outcome(value, with_bits(status, CALCULATED))


def _number(point: Point) -> float:
    value = point.value
    assert isinstance(value, int | float)  # noqa: S101 - text was refused, and the sample is usable
    return value


def _slope(before: Point, after: Point) -> float:
    """Change per tick."""
    return (_number(after) - _number(before)) / (after.ticks - before.ticks)
