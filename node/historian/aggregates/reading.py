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
from node.historian.aggregates.lookaround import PAGE, first_usable, pages_around, samples_before
from node.historian.aggregates.result import Result
from node.historian.aggregates.times import TimeReader
from node.historian.history import Columns, History

_RESULTS_PER_SLICE: Final = 1_000  # an empty range of many intervals must not hold the event loop either
_TIMES_PAGE: Final = 16  # samples read for a time that stands alone


def _never() -> bool:
    return False


async def processed(
    history: History,
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
    history: History, tag: str, aggregation: Aggregation, cancelled: Callable[[], bool]
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
    history: History, tag: str, aggregation: Aggregation, cancelled: Callable[[], bool]
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
    history: History,
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
    ascending = sorted(set(times))
    found: dict[int, Result] = {}
    limit = _TIMES_PAGE
    while ascending:
        results = await _next_times(history, tag, ascending, limit, configuration, use_simple_bounds, cancelled)
        found.update((result.ticks, result) for result in results)
        ascending = ascending[len(results) :]
        # Times that lie close together share a page.
        limit = min(PAGE, limit * 4) if len(results) > 1 else _TIMES_PAGE
    for ticks in times:
        yield found[ticks]


async def _next_times(
    history: History,
    tag: str,
    times: Sequence[int],
    limit: int,
    configuration: Configuration,
    use_simple_bounds: bool,
    cancelled: Callable[[], bool],
) -> list[Result]:
    """Results for the first of these times, and for those after it that the same page covers."""
    reader = TimeReader(configuration, use_simple_bounds=use_simple_bounds)
    before = await samples_before(
        history, tag, times[0] - 1, reader.usable_before, configuration, span=0, cancelled=cancelled
    )
    reader.context(before)
    page = await history.raw(tag, times[0], None, limit=limit)
    if page.next is None:
        return reader.read(page.columns, times, beyond=Columns())
    asked = times[: reader.covered(page.columns, times)]
    beyond = None
    if reader.lacks(page.columns, asked):
        edge = page.columns.ticks[-1] + 1
        beyond = await first_usable(history, tag, edge, configuration, span=0, cancelled=cancelled)
    return reader.read(page.columns, asked, beyond=beyond)
