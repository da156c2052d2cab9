"""History of a node over OPC UA, page by page: raw, processed and at given times."""

from __future__ import annotations

from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from typing import Any, Final

from asyncua import Client, ua

from address_space.model import TICKS_PER_MS, ticks_to_datetime
from node.client_reading import ClientError, Reading, code_of, reading_of
from node.historian.aggregates import Aggregate

PAGE: Final = 10_000
# Intervals and times of one request; a server has its own limits above these.
_INTERVALS: Final = 10_000
_TIMES: Final = 10_000
_NONE: Final = "BadHistoryOperationUnsupported"  # no history is kept of the point
_NO_BOUND: Final = ua.StatusCodes.BadBoundNotFound


class HistoryReads:
    """HistoryRead of a session, one point at a time. Times are ticks; all raise ClientError and ua.UaError."""

    def __init__(
        self,
        client: Client,
        node_id: Callable[[str], ua.NodeId],
        could_be_recorded: Callable[[str], Awaitable[bool]],
    ) -> None:
        self._client = client
        self._node_id = node_id
        self._could_be_recorded = could_be_recorded

    async def raw(self, path: str, start: int, end: int) -> AsyncIterator[Reading]:
        """Recorded samples from `start` to `end` in time order.

        The sample that held at `start` comes first, with its own time, which is before; one behind `end` may come last.
        """
        details = ua.ReadRawModifiedDetails()
        details.IsReadModified = False
        details.StartTime, details.EndTime = ticks_to_datetime(start), ticks_to_datetime(end)
        details.NumValuesPerNode = ua.UInt32(PAGE)
        details.ReturnBounds = True
        async for value in self._pages(path, details):
            if code_of(value) != _NO_BOUND:
                yield reading_of(value)

    async def processed(
        self, path: str, aggregate: Aggregate, start: int, end: int, interval: int
    ) -> AsyncIterator[Reading]:
        """An aggregate over each interval from `start` to before `end`, by the point's own aggregate configuration."""
        part = interval * _INTERVALS if interval else end - start
        for first in range(start, end, part):
            details = ua.ReadProcessedDetails()
            details.StartTime = ticks_to_datetime(first)
            details.EndTime = ticks_to_datetime(min(first + part, end))
            details.ProcessingInterval = ua.Double(interval / TICKS_PER_MS)
            details.AggregateType = [ua.NodeId(ua.Int32(getattr(ua.ObjectIds, f"AggregateFunction_{aggregate.value}")))]
            async for value in self._pages(path, details):
                yield reading_of(value)

    async def at_time(self, path: str, times: Sequence[int]) -> AsyncIterator[Reading]:
        """The value at each time, in their order: the sample there, or one interpolated as the point's history says."""
        for first in range(0, len(times), _TIMES):
            details = ua.ReadAtTimeDetails()
            details.ReqTimes = [ticks_to_datetime(ticks) for ticks in times[first : first + _TIMES]]
            details.UseSimpleBounds = False
            async for value in self._pages(path, details):
                yield reading_of(value)

    async def _pages(self, path: str, details: Any) -> AsyncIterator[ua.DataValue]:
        node = self._client.get_node(self._node_id(path))
        more: bytes | None = None
        while True:
            result = await node.history_read(details, more)
            if not result.StatusCode.is_good():
                status = result.StatusCode.name
                raise ClientError(await self._not_recorded(path) if status == _NONE else _no_history(path, status))
            data: Any = result.HistoryData
            for value in data.DataValues or ():
                yield value
            more = result.ContinuationPoint
            if not more:
                return

    async def _not_recorded(self, path: str) -> str:
        advice = "; `historize: true` at that point of a device changes that"
        return f"{path} is not recorded{advice if await self._could_be_recorded(path) else ''}"


def _no_history(path: str, status: str) -> str:
    if status == "BadNodeIdUnknown":
        return f"there is no point {path!r}; `gridnode watch` shows what there is"
    if status == "BadAggregateInvalidInputs":
        return f"{path} has values that this aggregate is not made for"
    return f"{path} has no such history here: {status}"
