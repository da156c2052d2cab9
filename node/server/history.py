"""The HistoryRead service: raw values (OPC 10000-11 section 6.5.3, OPC 10000-4 section 5.11.3)."""

from __future__ import annotations

import logging
from collections.abc import Mapping
from dataclasses import dataclass, replace
from datetime import UTC, datetime
from enum import Enum
from typing import Any, Final

from asyncua import ua

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_S, ticks_from_datetime
from address_space.nodes import Node
from node.historian.history import Columns, History, HistoryUnavailable, Position
from node.roles import Caller
from node.server.access import HISTORY_READ, access_level, user_access_level
from node.server.history_data import history_data, wire_type
from node.server.history_points import ContinuationPoints
from node.server.reading import Stamps, stamps
from node.server.request import ServiceRefused

_LOG = logging.getLogger(__name__)

PAGE_VALUES: Final = 10_000  # of one node; about 220 kB
ANSWER_VALUES: Final = 100_000  # of all nodes of a request; what a page of a node shrinks for
_ENCODINGS: Final = (None, "", "Default Binary")
# DateTime 0 and, by OPC 10000-6 section 5.2.2.5, everything earlier stands for a time that is not given.
_NOT_GIVEN: Final = datetime(1601, 1, 1, tzinfo=UTC)
_UNSUPPORTED: Final = (ua.ReadEventDetails, ua.ReadProcessedDetails, ua.ReadAtTimeDetails)


class _Stage(Enum):
    """What comes next in an answer."""

    FIRST_BOUND = "first bound"
    VALUES = "values"
    LAST_BOUND = "last bound"


@dataclass(frozen=True, slots=True)
class _Range:
    """What a request wants of each node, in the direction of travel: from `first`, included, to `last`, excluded."""

    first: int
    last: int | None  # None: as far as there is something
    reverse: bool
    bounds: bool
    most: int  # values per answer


@dataclass(frozen=True, slots=True)
class _Read:
    """One node's read and where it stands."""

    node_id: ua.NodeId
    tag: str
    data_type: int
    range: _Range
    stage: _Stage
    position: Position | None = None  # of the last value given
    reached: int = 0  # time of the last sample given, a bound included


class HistoryReader:
    """Answers HistoryRead from the historian with the rights of whoever asks."""

    def __init__(self, history: History, nodes: Mapping[ua.NodeId, Any], image: ProcessImage) -> None:
        self._history = history
        self._nodes = nodes
        self._image = image
        self._points: ContinuationPoints[_Read] = ContinuationPoints()
        self._failing = False

    async def read(
        self, parameters: ua.HistoryReadParameters, session: object, caller: Caller
    ) -> list[ua.HistoryReadResult]:
        """One result per node, in order; continuation points belong to `session` and go with it.

        Raises ServiceRefused for what concerns the whole request.
        """
        items = parameters.NodesToRead
        if parameters.ReleaseContinuationPoints:
            return [self._release(item, session) for item in items]
        wanted = stamps(parameters.TimestampsToReturn)
        if not (wanted.source or wanted.server):
            raise ServiceRefused(ua.StatusCodes.BadTimestampsToReturnInvalid)
        details: Any = parameters.HistoryReadDetails
        if isinstance(details, _UNSUPPORTED) or (
            isinstance(details, ua.ReadRawModifiedDetails) and details.IsReadModified
        ):
            return [self._refused(item, caller, ua.StatusCodes.BadHistoryOperationUnsupported) for item in items]
        if not isinstance(details, ua.ReadRawModifiedDetails):
            raise ServiceRefused(ua.StatusCodes.BadHistoryOperationInvalid, f"unknown details {details!r:.80}")
        most = max(1, min(PAGE_VALUES, ANSWER_VALUES // max(1, len(items))))
        span = _range(details, most)
        return [await self._one(item, session, caller, span, wanted) for item in items]

    # --- one node

    def _release(self, item: ua.HistoryReadValueId, session: object) -> ua.HistoryReadResult:
        if item.ContinuationPoint and self._points.take(session, item.ContinuationPoint) is None:
            return _result(ua.StatusCodes.BadContinuationPointInvalid)
        return _result(ua.StatusCodes.Good)

    def _refused(self, item: ua.HistoryReadValueId, caller: Caller, status: int) -> ua.HistoryReadResult:
        fault = self._fault(item, caller)
        return _result(status if fault is None else fault)

    def _fault(self, item: ua.HistoryReadValueId, caller: Caller) -> int | None:
        """Why this user gets no history of a node; None when there is no reason."""
        node = self._nodes.get(item.NodeId)
        if node is None:
            return ua.StatusCodes.BadNodeIdUnknown
        if not isinstance(node, Node) or node.slot is None or not access_level(node) & HISTORY_READ:
            return ua.StatusCodes.BadHistoryOperationUnsupported
        if not user_access_level(node, caller.role) & HISTORY_READ:
            return ua.StatusCodes.BadUserAccessDenied
        if item.DataEncoding is not None and item.DataEncoding.Name not in _ENCODINGS:
            return ua.StatusCodes.BadDataEncodingUnsupported
        # Every historized value is a scalar.
        return ua.StatusCodes.BadIndexRangeInvalid if item.IndexRange else None

    async def _one(
        self, item: ua.HistoryReadValueId, session: object, caller: Caller, span: _Range | None, wanted: Stamps
    ) -> ua.HistoryReadResult:
        fault = self._fault(item, caller)
        if fault is not None:
            return _result(fault)
        token = item.ContinuationPoint
        if token:
            found = self._points.take(session, token)
            if found is None or found.node_id != item.NodeId:
                if found is not None:
                    self._points.restore(session, token, found)
                return _result(ua.StatusCodes.BadContinuationPointInvalid)
            read = found
        elif span is None:
            return _result(ua.StatusCodes.BadHistoryOperationInvalid)
        else:
            read = self._begin(item.NodeId, span)
        try:
            samples, rest = await self._page(read)
        except HistoryUnavailable as error:
            self._failed(error)
            if token:
                self._points.restore(session, token, read)  # the same page can be asked for again
            return _result(ua.StatusCodes.BadResourceUnavailable)
        self._failing = False
        status = ua.StatusCodes.Good if samples else ua.StatusCodes.GoodNoData
        answer = _result(status)
        answer.HistoryData = history_data(samples, read.data_type, wanted)
        if rest is not None:
            answer.ContinuationPoint = ua.ByteString(self._points.add(session, rest))
        return answer

    def _begin(self, node_id: ua.NodeId, span: _Range) -> _Read:
        node: Node = self._nodes[node_id]
        device, point = self._image.owner(node.slot or 0)
        stage = _Stage.FIRST_BOUND if span.bounds else _Stage.VALUES
        return _Read(node_id, f"{device.id}.{point.id}", wire_type(point), span, stage, reached=span.first)

    def _failed(self, error: HistoryUnavailable) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        _LOG.log(level, "history cannot be read: %s", error)

    # --- one page

    async def _page(self, read: _Read) -> tuple[Columns, _Read | None]:
        """The next samples, and the read that goes on behind them; None when this was all."""
        most = read.range.most
        page = Columns()
        if read.stage is _Stage.FIRST_BOUND:
            read = await self._first_bound(read, page)
        if read.stage is _Stage.VALUES:
            if len(page) == most:  # only with bounds, so at least the other one is to come
                return page, read
            read = await self._values(read, page, most - len(page))
            if read.stage is _Stage.VALUES:
                return page, read
        if not read.range.bounds:
            return page, None
        if len(page) == most:
            return page, read
        await self._last_bound(read, page)
        return page, None

    async def _first_bound(self, read: _Read, page: Columns) -> _Read:
        """The sample at the start or the nearest before it in the direction of travel."""
        span = read.range
        seek = self._history.at_or_after if span.reverse else self._history.at_or_before
        _add_bound(page, await seek(read.tag, span.first), span.first)
        # What lies at the start itself has been given now.
        return replace(read, stage=_Stage.VALUES, position=Position(span.first), reached=page.ticks[-1])

    async def _values(self, read: _Read, page: Columns, room: int) -> _Read:
        """Up to `room` values; the stage stays when there are more."""
        span = read.range
        end = span.last
        if span.last == span.first:  # OPC 10000-11 section 6.5.3.2: the value exactly there
            end = span.first + 1
        found = await self._history.raw(
            read.tag, span.first, end, limit=room, reverse=span.reverse, after=read.position
        )
        samples = found.columns
        page.ticks.extend(samples.ticks)
        page.values.extend(samples.values)
        page.statuses.extend(samples.statuses)
        reached = samples.ticks[-1] if samples else read.reached
        stage = _Stage.LAST_BOUND if found.next is None else _Stage.VALUES
        return replace(read, stage=stage, position=found.next, reached=reached)

    async def _last_bound(self, read: _Read, page: Columns) -> None:
        """The sample at the end or the nearest behind it in the direction of travel."""
        span = read.range
        if span.last is None:
            # Nothing lies behind, and no end was given whose time the missing bound could carry: a second further.
            edge = min(read.reached, span.first) if span.reverse else max(read.reached, span.first)
            _add_bound(page, Columns(), edge - TICKS_PER_S if span.reverse else edge + TICKS_PER_S)
        elif span.last == span.first:
            _add_bound(page, await self._history.after(read.tag, span.last), span.last)
        else:
            seek = self._history.at_or_before if span.reverse else self._history.at_or_after
            _add_bound(page, await seek(read.tag, span.last), span.last)


def _add_bound(page: Columns, found: Columns, ticks: int) -> None:
    if found:
        page.append(found.ticks[0], found.values[0], found.statuses[0])
    else:
        page.append(ticks, None, ua.StatusCodes.BadBoundNotFound)


def _range(details: ua.ReadRawModifiedDetails, most: int) -> _Range | None:
    """What the details ask for; None unless two of start, end and number are given."""
    start, end, count = _ticks(details.StartTime), _ticks(details.EndTime), int(details.NumValuesPerNode)
    most = min(count, most) if count else most
    bounds = bool(details.ReturnBounds)
    if start is not None and end is not None:
        return _Range(start, end, end < start, bounds, most)
    if count and start is not None:
        return _Range(start, None, False, bounds, most)
    if count and end is not None:
        return _Range(end, None, True, bounds, most)
    return None


def _ticks(moment: datetime | None) -> int | None:
    if moment is None:
        return None
    aware = moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
    return None if aware <= _NOT_GIVEN else ticks_from_datetime(aware)


def _result(status: int) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.UInt32(status)))
