"""The walk over samples in order of time: which belong to which interval, and when an interval is over."""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_left, bisect_right
from collections.abc import Iterator

from node.historian.aggregates.bound import NO_BOUND, simple_bound
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import Fold, Outcome
from node.historian.aggregates.intervals import Intervals
from node.historian.aggregates.page import Page, Point, page_of
from node.historian.aggregates.result import BAD_NO_DATA, PARTIAL, RESOLUTION, Result, code, with_bits
from node.historian.history import Columns


class Walk(ABC):
    """Samples in, results out, in order of time.

    Samples are fed in ascending order, one per time, from far enough before the first interval until `complete`.
    Placeholders with Bad_NoData before the first sample are not data.
    """

    numeric = True
    usable_before = 0

    def __init__(self, intervals: Intervals, configuration: Configuration) -> None:
        self.intervals = intervals
        self.configuration = configuration
        self.first: int | None = None
        self.last = 0
        self._remaining = iter(intervals)
        self.interval = next(self._remaining)
        self.complete = False

    def feed(self, columns: Columns) -> Iterator[Result]:
        """Take samples and give what they complete; the iterator must be exhausted before the next call."""
        begin = 0
        if self.first is None:
            begin = _leading_placeholders(columns)
        if begin == len(columns) or self.complete:
            return
        page = page_of(columns, numeric=self.numeric)
        if self.first is None:
            self.first = page.ticks[begin]
        self.last = page.ticks[-1]
        yield from self.walk(page, begin)

    @abstractmethod
    def walk(self, page: Page, begin: int) -> Iterator[Result]:
        """Take the samples of the page from `begin` on, at least one."""

    @abstractmethod
    def finish(self) -> Iterator[Result]:
        """Give what is still open: there are no more samples."""

    def advance(self) -> None:
        """Go to the next interval."""
        following = next(self._remaining, None)
        if following is None:
            self.complete = True
        else:
            self.interval = following

    def result(self, outcome: Outcome, *, partial: bool) -> Result:
        """The result of the interval."""
        status = with_bits(outcome.status, PARTIAL) if partial else outcome.status
        ticks = outcome.ticks
        if ticks is None:
            ticks = self.interval.late if self.intervals.reverse else self.interval.early
        return Result(ticks, outcome.value, status)

    def no_data(self) -> Result:
        """The result of an interval that lies before the start or after the end of the data."""
        return self.result(Outcome(None, BAD_NO_DATA), partial=False)

    def is_within(self, *, ended: bool) -> bool:
        """Whether the interval touches the data; `ended` says that no later samples exist."""
        early, late, _ = self.interval
        if self.first is None:
            return False
        if self.intervals.reverse:
            return self.first <= late and not (ended and self.last <= early)
        return self.first < late and not (ended and self.last < early)

    def is_partial(self, *, ended: bool) -> bool:
        """Whether the interval is shorter than asked, or the data start or end in it (5.3.3.2)."""
        early, late, short = self.interval
        starts = self.first is not None and self.first > early
        return short or starts or (ended and self.last < late)

    def cut(self, page: Page, edge: int, low: int, high: int) -> int:
        """Index of the first sample that lies beyond the edge."""
        cut = bisect_right if self.intervals.reverse else bisect_left
        return cut(page.ticks, edge, low, high)


def _leading_placeholders(columns: Columns) -> int:
    for index, status in enumerate(columns.statuses):
        if code(status) != BAD_NO_DATA:
            return index
    return len(columns)


class FoldWalk(Walk):
    """Walks with a fold: raw samples and simple bounds."""

    def __init__(self, intervals: Intervals, configuration: Configuration, fold: Fold) -> None:
        super().__init__(intervals, configuration)
        self._fold = fold
        self.numeric = fold.numeric
        self.usable_before = fold.usable_before
        self._before: Point | None = None  # the newest sample that was taken
        self._is_open = False

    def walk(self, page: Page, begin: int) -> Iterator[Result]:
        """Cut the page at the edges."""
        at, size = begin, len(page)
        if not self._is_open:
            at = self.cut(page, self.intervals.low, begin, size)
            if at > begin:
                self._fold.context(page, begin, at)
                self._before = page.point(at - 1)
        while at < size and not self.complete:
            following = page.point(at)
            if not self._is_open:
                self._open(following)
            until = self.cut(page, self.interval.late, at, size)
            if until > at:
                self._add(page, at, until)
                self._before = page.point(until - 1)
                at = until
            if at < size:
                yield self._close(page.point(at))

    def _add(self, page: Page, low: int, high: int) -> None:
        if self._fold.bounded:  # what lies at an edge comes as its bound
            low += page.ticks[low] == self.interval.early
            high -= high > low and page.ticks[high - 1] == self.interval.late
        if high > low:
            self._fold.add(page, low, high)

    def _open(self, following: Point | None) -> None:
        bound = NO_BOUND
        if self._fold.bounded:
            bound = simple_bound(self.interval.early, self._before, following, self.configuration)
        self._fold.open(self.interval, bound)
        self._is_open = True

    def _close(self, following: Point | None) -> Result:
        ended = following is None
        if self.is_within(ended=ended):
            late, bound = self.interval.late, NO_BOUND
            if self._fold.bounded:
                bound = simple_bound(late, self._before, following, self.configuration)
                late = min(late, self.last + RESOLUTION) if ended else late
            partial = self._fold.marks_partial and self.is_partial(ended=ended)
            result = self.result(self._fold.close(late, bound), partial=partial)
        else:
            result = self.no_data()
        self.advance()
        if not self.complete:
            self._open(following)
        return result

    def finish(self) -> Iterator[Result]:
        """The data end 1 ms after the last sample."""
        if not self.complete and not self._is_open:
            self._open(None)
        while not self.complete:
            yield self._close(None)
