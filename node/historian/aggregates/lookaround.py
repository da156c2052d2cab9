"""Samples before and behind a range: as far as bounds need them, and no further than makes sense."""

from __future__ import annotations

from collections.abc import AsyncGenerator, Callable
from typing import Final, NamedTuple

from node.historian.aggregates.bound import worst_usable
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.errors import Cancelled
from node.historian.aggregates.page import page_of
from node.historian.aggregates.result import BAD_NO_DATA, code
from node.historian.history import Columns, RawPages

PAGE: Final = 5_000  # samples per slice of work: some milliseconds, so that the event loop stays free
_GROWTH: Final = 16  # a neighbour is mostly the next sample: begin with a page of 4, and grow when it is not
_FAR: Final = 100_000  # samples looked at in vain before a usable one is taken not to exist (3.1.8: server dependent)


class Unusable(NamedTuple):
    """A stretch without a usable sample: the one that ends it, empty when none was found, and how far that is sure.

    `until` is None when no usable sample follows at all.
    """

    usable: Columns
    until: int | None

    def covers(self, ticks: int) -> bool:
        """Whether no usable sample lies between the stretch and `ticks`."""
        return self.until is None or ticks <= self.until


async def pages_around(
    history: RawPages, tag: str, start: int, *, reverse: bool, span: int, cancelled: Callable[[], bool]
) -> AsyncGenerator[Columns, None]:
    """Growing pages from `start` on in the direction of travel, until far and `span` ticks away, or the end."""
    limit, seen, after = 4, 0, None
    while True:
        if cancelled():
            raise Cancelled("the caller asked to stop")
        page = await history.raw(tag, start, None, limit=limit, reverse=reverse, after=after)
        if page.columns:
            yield page.columns
            seen += len(page.columns)
            if seen >= _FAR and abs(page.columns.ticks[-1] - start) >= span:
                return
        after = page.next
        if after is None:
            return
        limit = min(PAGE, limit * _GROWTH)


async def samples_before(
    history: RawPages,
    tag: str,
    start: int,
    usable: int,
    configuration: Configuration,
    *,
    span: int,
    cancelled: Callable[[], bool],
) -> Columns:
    """What matters of the samples at `start` and before it, ascending.

    The newest `usable` usable ones (0 asks for one of any quality), and one sample for every gap between and after
    them. Placeholders with Bad_NoData are kept and do not count.
    """
    newest_first = Columns()
    found, wanted = 0, max(1, usable)
    kept = 0  # of the gap that is being crossed: 1 a placeholder, 2 a sample too
    worst = worst_usable(configuration)
    async for columns in pages_around(history, tag, start, reverse=True, span=span, cancelled=cancelled):
        page = page_of(columns, numeric=False)
        for index in range(len(page)):
            is_usable = page.quality(index) <= worst
            is_sample = is_usable or code(page.statuses[index]) != BAD_NO_DATA
            if is_usable or kept < (2 if is_sample else 1):
                newest_first.append(page.ticks[index], page.values[index], page.statuses[index])
            kept = 0 if is_usable else max(kept, 2 if is_sample else 1)
            found += is_usable or (is_sample and not usable)
            if found >= wanted:
                return _reversed(newest_first)
    return _reversed(newest_first)


async def first_usable(
    history: RawPages,
    tag: str,
    start: int,
    configuration: Configuration,
    *,
    span: int,
    cancelled: Callable[[], bool],
) -> Unusable:
    """The first usable sample at or after `start`."""
    worst = worst_usable(configuration)
    seen, last = 0, start
    async for columns in pages_around(history, tag, start, reverse=False, span=span, cancelled=cancelled):
        page = page_of(columns, numeric=False)
        for index in range(len(page)):
            if page.quality(index) <= worst:
                found = slice(index, index + 1)
                return Unusable(Columns(page.ticks[found], page.values[found], page.statuses[found]), page.ticks[index])
        seen, last = seen + len(page), page.ticks[-1]
    return Unusable(Columns(), last if seen >= _FAR else None)


def before_stretch(columns: Columns, configuration: Configuration) -> Columns:
    """The newest two usable samples of some columns, and their last sample, without a value: a stretch began."""
    usable = page_of(columns, numeric=False).usable(worst_usable(configuration))
    found = Columns()
    for index in usable[-2:]:
        found.append(columns.ticks[index], columns.values[index], columns.statuses[index])
    found.append(columns.ticks[-1], None, columns.statuses[-1])
    return found


def _reversed(columns: Columns) -> Columns:
    return Columns(columns.ticks[::-1], columns.values[::-1], columns.statuses[::-1])
