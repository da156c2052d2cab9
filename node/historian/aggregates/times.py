"""Values at given times, from a page of samples and what lay before it (OPC 10000-11 section 6.5.5)."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence

from node.historian.aggregates.bound import simple_bound, worst_usable
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.interpolation import Interpolation
from node.historian.aggregates.page import Page, Point, page_of
from node.historian.aggregates.result import Result, is_bad
from node.historian.history import Columns


class TimeReader:
    """Gives the raw sample at a time, whatever its quality, else the interpolated or the simple bound there."""

    def __init__(self, configuration: Configuration, *, use_simple_bounds: bool) -> None:
        self._configuration = configuration
        self._simple = use_simple_bounds
        self._interpolation = Interpolation(configuration)
        self._before: Point | None = None

    @property
    def usable_before(self) -> int:
        """How many usable samples before a time can matter."""
        return 0 if self._simple else self._interpolation.usable_before

    def context(self, columns: Columns) -> None:
        """Take samples that lie before every time that will be asked for."""
        page = page_of(columns, numeric=False)
        self._take(page, 0, len(page))

    def _take(self, page: Page, low: int, high: int) -> None:
        if high > low:
            self._before = page.point(high - 1)
            self._interpolation.take_run(page, low, high)

    def read(self, columns: Columns, times: Sequence[int], *, beyond: Columns | None) -> list[Result]:
        """Results for ascending `times`, all of them covered by `columns`: no stored sample between was left out.

        `beyond` is the first usable sample behind the columns (behind any gap); empty means that none exists, and
        None that it is not needed: see `lacks`.
        """
        page = page_of(columns, numeric=False)
        after = page_of(beyond, numeric=False).point(0) if beyond else None
        usable = page.usable(worst_usable(self._configuration))
        results = []
        at = 0
        for ticks in times:
            until = bisect_left(page.ticks, ticks, at)
            self._take(page, at, until)
            at = until
            following = bisect_left(usable, at)
            results.append(self._at(ticks, page, at, usable[following] if following < len(usable) else None, after))
        return results

    def lacks(self, columns: Columns, times: Sequence[int]) -> bool:
        """Whether the first usable sample behind the columns is needed for the last of these times."""
        if self._simple or not times:
            return False
        page = page_of(columns, numeric=False)
        usable = page.usable(worst_usable(self._configuration))
        return not usable or page.ticks[usable[-1]] < times[-1]

    def covered(self, columns: Columns, times: Sequence[int]) -> int:
        """How many of these ascending times have a sample of the columns at or after them."""
        return bisect_right(times, columns.ticks[-1]) if columns else 0

    def _at(self, ticks: int, page: Page, at: int, usable: int | None, after: Point | None) -> Result:
        point = page.point(at) if at < len(page) else None
        if point is not None and point.ticks == ticks:
            return Result(ticks, None if is_bad(point.status) else point.value, point.status)
        if self._simple:
            bound = simple_bound(ticks, self._before, point, self._configuration)
            return Result(ticks, bound.source_value, bound.status)
        following = after if usable is None else page.point(usable)
        if following is None:
            outcome = self._interpolation.beyond(ticks)
        else:
            skipped = (len(page) if usable is None else usable) > at
            outcome = self._interpolation.at(ticks, following, skipped_after=skipped)
        return Result(ticks, outcome.value, outcome.status)
