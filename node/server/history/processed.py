"""Aggregates over intervals and values at given times, page by page (OPC 10000-11 sections 6.5.4 and 6.5.5)."""

from __future__ import annotations

import asyncio
from array import array
from collections.abc import AsyncGenerator, Mapping
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from asyncua import ua

from address_space.model import TICKS_PER_MS, DataType
from node.historian.aggregates import (
    Aggregate,
    AggregateError,
    Cancelled,
    Configuration,
    ConfigurationRejected,
    InvalidInputs,
    Result,
    ResultType,
    at_time,
    processed,
)
from node.historian.history import Columns
from node.server.history.annotations import annotation_times
from node.server.history.archive import Archive
from node.server.history.data import STATUS_CODE, history_data
from node.server.history.nodes import Target
from node.server.history.part import NodeRefused, Part
from node.server.history.span import ticks_of
from node.server.history.work import TookTooLong, Work
from node.server.reading import Stamps

MOST_INTERVALS: Final = 100_000  # of one node
MOST_TIMES: Final = 20_000  # of one request; a continuation point keeps them
_AT_ONCE: Final = 256  # results between which others get a turn
_TIMES_AT_ONCE: Final = 500  # that are worked out in one go: some milliseconds

AGGREGATES: Final[Mapping[int, Aggregate]] = {
    int(getattr(ua.ObjectIds, f"AggregateFunction_{aggregate.value}")): aggregate for aggregate in Aggregate
}
_TYPES: Final[Mapping[ResultType, int]] = {
    ResultType.DOUBLE: int(DataType.DOUBLE),
    ResultType.DURATION: int(DataType.DOUBLE),
    ResultType.INT32: int(DataType.INT32),
    ResultType.STATUS_CODE: STATUS_CODE,
}
_STATUSES: Final[Mapping[type[AggregateError], int]] = {
    ConfigurationRejected: ua.StatusCodes.BadAggregateConfigurationRejected,
    InvalidInputs: ua.StatusCodes.BadAggregateInvalidInputs,
}


@dataclass(frozen=True, slots=True)
class Intervals:
    """From `first` to `last` in the direction of travel, in steps of `interval` ticks (0: one step)."""

    first: int
    last: int
    interval: int

    @property
    def count(self) -> int:
        """How many intervals there are; the last may be shorter."""
        return -(-abs(self.last - self.first) // self.interval) if self.interval else 1

    def behind(self, given: int) -> Intervals | None:
        """What is left when some have been given; None when that was all."""
        if given >= self.count:
            return None
        step = self.interval if self.last > self.first else -self.interval
        return replace(self, first=self.first + given * step)

    def page(self, most: int) -> Intervals:
        """The first of them."""
        rest = self.behind(most)
        return self if rest is None else replace(self, last=rest.first)


@dataclass(frozen=True, slots=True)
class ProcessedRead:
    """One aggregate of one variable."""

    target: Target
    aggregate: Aggregate
    configuration: Configuration
    intervals: Intervals
    archive: Archive
    most: int
    kind: ClassVar[str] = "processed"

    @property
    def node_id(self) -> ua.NodeId:
        """As Reading."""
        return self.target.node_id

    def empty(self, stamps: Stamps) -> ua.ExtensionObject:
        """As Reading."""
        return history_data(Columns(), self._data_type, stamps)

    @property
    def _data_type(self) -> int:
        return _TYPES.get(self.aggregate.result_type, self.target.data_type)

    async def part(self, stamps: Stamps, work: Work) -> Part:
        """As Reading."""
        intervals = self.intervals.page(self.most)
        annotations = None
        if self.aggregate is Aggregate.ANNOTATION_COUNT and self.archive.editor is not None:
            low, high = sorted((intervals.first, intervals.last))
            annotations = await work.wait(annotation_times(self.archive.editor, self.target.tag, low, high + 1))
        results = processed(
            self.archive.over_time if self.aggregate.is_over_time else self.archive.history,
            self.target.tag,
            self.aggregate,
            start=intervals.first,
            end=intervals.last,
            interval=intervals.interval,
            configuration=self.configuration,
            annotations=annotations,
            cancelled=lambda: work.over,
        )
        page = Columns()
        await _fill(page, results, self.most, work)
        left = self.intervals.behind(len(page))
        rest = None if left is None else replace(self, intervals=left)
        return Part(history_data(page, self._data_type, stamps), rest)


@dataclass(frozen=True, slots=True)
class AtTimeRead:
    """Values of one variable at given times."""

    target: Target
    times: array[int]  # shared by all nodes of the request
    given: int
    configuration: Configuration
    simple_bounds: bool
    archive: Archive
    most: int
    kind: ClassVar[str] = "at time"

    @property
    def node_id(self) -> ua.NodeId:
        """As Reading."""
        return self.target.node_id

    def empty(self, stamps: Stamps) -> ua.ExtensionObject:
        """As Reading."""
        return history_data(Columns(), self.target.data_type, stamps)

    async def part(self, stamps: Stamps, work: Work) -> Part:
        """As Reading."""
        page, given = Columns(), self.given
        most = min(self.given + self.most, len(self.times))
        while given < most and not (page and work.spent):
            results = at_time(
                self.archive.over_time,
                self.target.tag,
                self.times[given : min(given + _TIMES_AT_ONCE, most)],
                configuration=self.configuration,
                use_simple_bounds=self.simple_bounds,
                cancelled=lambda: work.over,
            )
            await _fill(page, results, self.most, work)
            given = self.given + len(page)
            await asyncio.sleep(0)
        rest = replace(self, given=given) if given < len(self.times) else None
        return Part(history_data(page, self.target.data_type, stamps), rest)


async def _fill(page: Columns, results: AsyncGenerator[Result, None], most: int, work: Work) -> None:
    """Add results until there are enough, or the request's time is over. Raises NodeRefused and as Work.wait."""
    try:
        async with aclosing(results):
            async for result in results:
                page.append(*result)
                if len(page) >= most:
                    break
                if len(page) % _AT_ONCE == 0:
                    await asyncio.sleep(0)
                if work.spent:
                    break
    except Cancelled:
        work.check()
        raise TookTooLong from None
    except AggregateError as error:
        raise NodeRefused(_STATUSES.get(type(error), ua.StatusCodes.BadInvalidArgument)) from error


# --- requests


def intervals_of(details: ua.ReadProcessedDetails) -> Intervals:
    """The intervals that a request asks for. Raises NodeRefused when they make no sense."""
    first, last = ticks_of(details.StartTime), ticks_of(details.EndTime)
    ms = float(details.ProcessingInterval)
    if first is None or last is None or first == last or not 0 <= ms < float("inf"):
        raise NodeRefused(ua.StatusCodes.BadInvalidArgument)
    # Longer than everything there is stands for one interval; a fraction of a tick for a tick.
    interval = round(min(ms * TICKS_PER_MS, abs(last - first)))
    intervals = Intervals(first, last, max(interval, 1) if ms else 0)
    if intervals.count > MOST_INTERVALS:
        raise NodeRefused(ua.StatusCodes.BadTooManyOperations)
    return intervals


def configuration_of(wanted: ua.AggregateConfiguration, *, stepped: bool) -> Configuration:
    """The configuration that a request asks for. Raises NodeRefused for one that contradicts itself."""
    if wanted.UseServerCapabilitiesDefaults:
        return Configuration(stepped=stepped)
    try:
        return Configuration(
            stepped,
            bool(wanted.TreatUncertainAsBad),
            int(wanted.PercentDataBad),
            int(wanted.PercentDataGood),
            bool(wanted.UseSlopedExtrapolation),
        )
    except ConfigurationRejected as error:
        raise NodeRefused(ua.StatusCodes.BadAggregateConfigurationRejected) from error


def aggregate_of(nodeid: ua.NodeId) -> Aggregate:
    """The aggregate of a NodeId. Raises NodeRefused for one that is none."""
    number: Any = nodeid.Identifier
    known = None if nodeid.NamespaceIndex else AGGREGATES.get(number)
    if known is None:
        raise NodeRefused(ua.StatusCodes.BadAggregateNotSupported)
    return known
