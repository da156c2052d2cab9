"""Processed and at-time reads of one tag over its raw history: pages in, results out, memory constant."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncGenerator, Callable, Sequence
from contextlib import aclosing
from typing import Final

from node.historian.aggregates.aggregate import Aggregate
from node.historian.aggregates.aggregation import Aggregation
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.errors import Cancelled
from node.historian.aggregates.lookaround import (
    PAGE,
    Unusable,
    before_stretch,
    first_usable,
    pages_around,
    samples_before,
)
from node.historian.aggregates.result import Result
from node.historian.aggregates.times import TimeReader
from node.historian.history import Columns, RawPages

_RESULTS_PER_SLICE: Final = 1_000  # an empty range of many intervals must not hold the event loop either
_TIMES_PAGE: Final = 16  # samples read for a time that stands alone


def _never() -> bool:
    return False


async def processed(
    history: RawPages,
    tag: str,
    aggregate: Aggregate,
    *,
    start: int,
    end: int,
    interval: int,
    configuration: Configuration,
    annotations: Sequence[int] | None = None,
    cancelled: Callable[[], bool] = _never,
) -> AsyncGenerator[Result, None]:
    """One result per interval, in the order of travel: ascending, or descending when `end` lies before `start`.

    Times and `interval` are ticks; interval 0 is one interval over everything, and the last may be shorter.
    `annotations` are the times of the tag's annotations, ascending, for AnnotationCount only; None counts every raw
    value as one, as the published examples do. `cancelled` is asked before every page. A request in reverse keeps its
    results until the last: bound the number of intervals.
    Raises RequestRefused, InvalidInputs, Cancelled, HistoryUnavailable.
    """
    aggregation = Aggregation(
        aggregate, configuration, start=start, end=end, interval=interval, annotations=annotations
    )
    results = _in_order_of_time(history, tag, aggregation, cancelled)
    async with aclosing(results):
        if not aggregation.intervals.reverse:
            async for result in results:
                yield result
            return
        kept = [result async for result in results]
    for result in reversed(kept):
        yield result


async def _in_order_of_time(
    history: RawPages, tag: str, aggregation: Aggregation, cancelled: Callable[[], bool]
) -> AsyncGenerator[Result, None]:
    given = 0
    pages = _pages(history, tag, aggregation, cancelled)
    async with aclosing(pages):
        async for columns in pages:
            for result in aggregation.feed(columns):
                yield result
                given += 1
                if not given % _RESULTS_PER_SLICE:
                    await asyncio.sleep(0)
            if aggregation.complete:
                return
            await asyncio.sleep(0)
    for result in aggregation.finish():
        yield result
        given += 1
        if not given % _RESULTS_PER_SLICE:
            await asyncio.sleep(0)


async def _pages(
    history: RawPages, tag: str, aggregation: Aggregation, cancelled: Callable[[], bool]
) -> AsyncGenerator[Columns, None]:
    """What matters before the range, the range, and what lies behind it for as long as it is taken."""
    intervals = aggregation.intervals
    span = intervals.interval or intervals.high - intervals.low
    low, high = intervals.low, intervals.high
    configuration, usable = aggregation.configuration, aggregation.usable_before
    yield await samples_before(history, tag, low - 1, usable, configuration, span=span, cancelled=cancelled)
    after = None
    while True:
        if cancelled():
            raise Cancelled("the caller asked to stop")
        page = await history.raw(tag, low, high, limit=PAGE, after=after)
        yield page.columns
        after = page.next
        if after is None:
            break
    behind = pages_around(history, tag, high, reverse=False, span=span, cancelled=cancelled)
    async with aclosing(behind):
        async for columns in behind:
            yield columns


async def at_time(
    history: RawPages,
    tag: str,
    times: Sequence[int],
    *,
    configuration: Configuration,
    use_simple_bounds: bool = False,
    cancelled: Callable[[], bool] = _never,
) -> AsyncGenerator[Result, None]:
    """One result per time (ticks), in the order of `times`: the raw sample there, or a bound (OPC 10000-11 6.5.5).

    Raises Cancelled, HistoryUnavailable.
    """
    search = _TimeSearch(history, tag, configuration, use_simple_bounds, cancelled)
    ascending = sorted(set(times))
    found: dict[int, Result] = {}
    while ascending:
        results = await search.next_results(ascending)
        found.update((result.ticks, result) for result in results)
        ascending = ascending[len(results) :]
    for ticks in times:
        yield found[ticks]


class _TimeSearch:
    """Reads a page at a time asked for, and answers the others that it covers.

    What surrounds a long stretch without a usable sample is looked for once.
    """

    def __init__(
        self,
        history: RawPages,
        tag: str,
        configuration: Configuration,
        use_simple_bounds: bool,
        cancelled: Callable[[], bool],
    ) -> None:
        self._history = history
        self._tag = tag
        self._configuration = configuration
        self._use_simple_bounds = use_simple_bounds
        self._cancelled = cancelled
        self._limit = _TIMES_PAGE
        self._before_stretch: Columns | None = None  # what matters before the newest long stretch
        self._behind_stretch = Unusable(Columns(), 0)

    async def next_results(self, times: Sequence[int]) -> list[Result]:
        """Results for the first of these ascending times, and for those after it that the same page covers."""
        reader = TimeReader(self._configuration, use_simple_bounds=self._use_simple_bounds)
        before = await self._before(times[0], reader.usable_before)
        reader.context(before)
        page = await self._history.raw(self._tag, times[0], None, limit=self._limit)
        if page.next is None:
            return reader.read(page.columns, times, beyond=Columns())
        asked = times[: reader.covered(page.columns, times)]
        # Times that lie close together share a page.
        self._limit = min(PAGE, self._limit * 4) if len(asked) > 1 else _TIMES_PAGE
        beyond = None
        if reader.lacks(page.columns, asked):
            beyond = await self._beyond(before, page.columns)
        return reader.read(page.columns, asked, beyond=beyond)

    async def _before(self, ticks: int, usable: int) -> Columns:
        if self._before_stretch is not None and self._behind_stretch.covers(ticks):
            return self._before_stretch
        self._before_stretch = None
        return await samples_before(
            self._history, self._tag, ticks - 1, usable, self._configuration, span=0, cancelled=self._cancelled
        )

    async def _beyond(self, before: Columns, columns: Columns) -> Columns:
        """The first usable sample behind `columns`, whose last one is not usable."""
        last = columns.ticks[-1]
        if self._before_stretch is None or not self._behind_stretch.covers(last + 1):
            self._behind_stretch = await first_usable(
                self._history, self._tag, last + 1, self._configuration, span=0, cancelled=self._cancelled
            )
            whole = Columns(
                before.ticks + columns.ticks, before.values + columns.values, before.statuses + columns.statuses
            )
            self._before_stretch = before_stretch(whole, self._configuration)
        return self._behind_stretch.usable
