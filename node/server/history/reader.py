"""The HistoryRead service (OPC 10000-4 section 5.11.3, OPC 10000-11 section 6.5).

One result per node. All nodes of a request share one time: what is not begun when it is over is answered with a
continuation point and nothing else, as OPC 10000-11 section 6.3 has it. A request ends when its session does.
"""

from __future__ import annotations

import logging
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from address_space.model import Clock
from node.historian.history import HistoryUnavailable
from node.roles import Caller
from node.server.events.event_filter import EventFilter, event_filter
from node.server.events.events import Events
from node.server.history.annotations import AnnotationRead
from node.server.history.archive import Archive
from node.server.history.events import PAGE_EVENTS, EventRead
from node.server.history.modified import ModifiedRead
from node.server.history.nodes import HistoryNodes
from node.server.history.part import NodeRefused, Part, Reading
from node.server.history.points import ContinuationPoints
from node.server.history.processed import (
    MOST_TIMES,
    AtTimeRead,
    Intervals,
    ProcessedRead,
    aggregate_of,
    configuration_of,
    intervals_of,
)
from node.server.history.raw import raw_read
from node.server.history.span import span_of, ticks_of
from node.server.history.work import Holder, TookTooLong, Work
from node.server.reading import Stamps, stamps
from node.server.request import ServiceRefused
from node.server.subscriptions.change_filter import FilterRefused

_LOG = logging.getLogger(__name__)

PAGE_VALUES: Final = 10_000  # of one node; about 220 kB
ANSWER_VALUES: Final = 100_000  # of all nodes of a request; what a page of a node shrinks for

# Begins the read of one node; `at` is its place in the request. Raises NodeRefused.
_Begin = Callable[[ua.HistoryReadValueId, int], Reading]


@dataclass(frozen=True, slots=True)
class _Request:
    """What all nodes of a request have in common; `kinds` are those whose continuation points it may have."""

    kinds: frozenset[str]
    begin: _Begin
    caller: Caller
    stamps: Stamps
    work: Work


class HistoryReader:
    """Answers HistoryRead from the historian with the rights of whoever asks."""

    def __init__(
        self,
        archive: Archive,
        nodes: HistoryNodes,
        clock: Clock,
        events: Events | None = None,
    ) -> None:
        """`events` knows the types and ways of events; without it there is no history of them."""
        self._archive = archive
        self._nodes = nodes
        self._clock = clock
        self._events = events
        self._points: ContinuationPoints[Reading] = ContinuationPoints()
        self._running: set[Work] = set()
        self._failing = False

    async def read(
        self,
        parameters: ua.HistoryReadParameters,
        session: Holder,
        caller: Caller,
        *,
        handle: int = 0,
        hint_s: float | None = None,
    ) -> list[ua.HistoryReadResult]:
        """One result per node, in order; continuation points belong to `session` and go with it.

        `handle` is the request's, for `cancel`; `hint_s` is how long the client waits. Raises ServiceRefused for what
        concerns the whole request.
        """
        items = parameters.NodesToRead
        if parameters.ReleaseContinuationPoints:
            return [self._release(item, session) for item in items]
        wanted = stamps(parameters.TimestampsToReturn)
        details: Any = parameters.HistoryReadDetails
        if not (wanted.source or wanted.server) and not isinstance(details, ua.ReadEventDetails):
            raise ServiceRefused(ua.StatusCodes.BadTimestampsToReturnInvalid)
        kinds, begin = self._beginning(details, len(items), caller)
        work = Work(session, handle, self._clock, hint_s)
        request = _Request(kinds, begin, caller, wanted, work)
        self._running.add(work)
        try:
            return [await self._one(item, at, request) for at, item in enumerate(items)]
        finally:
            self._running.discard(work)

    def cancel(self, session: Holder, handle: int) -> int:
        """End the reads of a session that have this handle; how many there were."""
        found = [work for work in self._running if work.session is session and work.handle == handle]
        for work in found:
            work.cancel()
        return len(found)

    # --- one node

    def _release(self, item: ua.HistoryReadValueId, session: Holder) -> ua.HistoryReadResult:
        if item.ContinuationPoint and self._points.take(session, item.ContinuationPoint) is None:
            return _result(ua.StatusCodes.BadContinuationPointInvalid)
        return _result(ua.StatusCodes.Good)

    async def _one(self, item: ua.HistoryReadValueId, at: int, request: _Request) -> ua.HistoryReadResult:
        wanted, work = request.stamps, request.work
        work.check()
        token = item.ContinuationPoint
        try:
            read = self._taken(item, request) if token else request.begin(item, at)
        except NodeRefused as refused:
            return _result(refused.status)
        try:
            part = Part(read.empty(wanted), read) if work.spent and at else await read.part(wanted, work)
        except NodeRefused as refused:
            return _result(refused.status)
        except TookTooLong:
            return _result(ua.StatusCodes.BadTimeout)
        except HistoryUnavailable as error:
            self._failed(error)
            if token:
                self._points.restore(work.session, token, read)  # the same page can be asked for again
            return _result(ua.StatusCodes.BadResourceUnavailable)
        self._failing = False
        answer = _result(part.status)
        if part.body is not None:
            answer.HistoryData = part.body
        if part.rest is not None:
            answer.ContinuationPoint = ua.ByteString(self._points.add(work.session, part.rest))
        return answer

    def _taken(self, item: ua.HistoryReadValueId, request: _Request) -> Reading:
        """The read behind a continuation point, if the user of now may have it. Raises NodeRefused."""
        token, session = item.ContinuationPoint, request.work.session
        found = self._points.take(session, token)
        if found is None:
            raise NodeRefused(ua.StatusCodes.BadContinuationPointInvalid)
        if found.node_id != item.NodeId or found.kind not in request.kinds:
            self._points.restore(session, token, found)
            raise NodeRefused(ua.StatusCodes.BadContinuationPointInvalid)
        if not isinstance(found, EventRead):
            self._nodes.read(item, request.caller)
        elif found.role > request.caller.role:  # another user has logged in since
            raise NodeRefused(ua.StatusCodes.BadUserAccessDenied)
        return found

    def _failed(self, error: HistoryUnavailable) -> None:
        level = logging.DEBUG if self._failing else logging.WARNING
        self._failing = True
        _LOG.log(level, "history cannot be read: %s", error)

    # --- kinds of reads

    def _beginning(self, details: Any, count: int, caller: Caller) -> tuple[frozenset[str], _Begin]:
        """The kinds of reads that details stand for, and how one begins. Raises ServiceRefused."""
        most = max(1, min(PAGE_VALUES, ANSWER_VALUES // max(1, count)))
        if isinstance(details, ua.ReadRawModifiedDetails):
            return self._raw_or_modified(details, most, caller)
        if isinstance(details, ua.ReadProcessedDetails):
            return self._processed(details, most, count, caller)
        if isinstance(details, ua.ReadAtTimeDetails):
            return self._at_time(details, most, caller)
        if isinstance(details, ua.ReadEventDetails):
            return self._event(details, max(1, min(PAGE_EVENTS, ANSWER_VALUES // 10 // max(1, count))), caller)
        if isinstance(details, ua.ReadAnnotationDataDetails):
            return frozenset(), self._unsupported(caller)
        raise ServiceRefused(ua.StatusCodes.BadHistoryOperationInvalid, f"unknown details {details!r:.80}")

    def _raw_or_modified(
        self, details: ua.ReadRawModifiedDetails, most: int, caller: Caller
    ) -> tuple[frozenset[str], _Begin]:
        span = span_of(details.StartTime, details.EndTime, int(details.NumValuesPerNode), most)
        modified, bounds = bool(details.IsReadModified), bool(details.ReturnBounds)
        archive = self._archive

        def begin(item: ua.HistoryReadValueId, _at: int) -> Reading:
            target = self._nodes.read(item, caller)
            if span is None:
                raise NodeRefused(ua.StatusCodes.BadHistoryOperationInvalid)
            node_id, tag = target.node_id, target.tag
            if target.annotations:
                if modified:
                    raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported)
                return AnnotationRead(node_id, tag, span, archive.editor)
            if modified:
                return ModifiedRead(node_id, tag, target.data_type, span, archive.editor)
            return raw_read(node_id, tag, target.data_type, span, archive.history, bounds=bounds)

        return frozenset({ModifiedRead.kind} if modified else {"raw", AnnotationRead.kind}), begin

    def _processed(
        self, details: ua.ReadProcessedDetails, most: int, count: int, caller: Caller
    ) -> tuple[frozenset[str], _Begin]:
        aggregates = details.AggregateType or ()
        if len(aggregates) != count:
            raise ServiceRefused(ua.StatusCodes.BadAggregateListMismatch, f"{len(aggregates)} for {count} nodes")
        intervals: Intervals | NodeRefused
        try:
            intervals = intervals_of(details)
        except NodeRefused as refused:
            intervals = refused

        def begin(item: ua.HistoryReadValueId, at: int) -> Reading:
            target = self._nodes.read(item, caller)
            if target.annotations:
                raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported)
            aggregate = aggregate_of(aggregates[at])
            if isinstance(intervals, NodeRefused):
                raise NodeRefused(intervals.status)
            configuration = configuration_of(details.AggregateConfiguration, stepped=target.stepped)
            return ProcessedRead(target, aggregate, configuration, intervals, self._archive, most)

        return frozenset({ProcessedRead.kind}), begin

    def _at_time(self, details: ua.ReadAtTimeDetails, most: int, caller: Caller) -> tuple[frozenset[str], _Begin]:
        wanted = details.ReqTimes or ()
        if not wanted:
            raise ServiceRefused(ua.StatusCodes.BadNothingToDo)
        if len(wanted) > MOST_TIMES:
            raise ServiceRefused(ua.StatusCodes.BadTooManyOperations, f"{len(wanted)} times, {MOST_TIMES} are allowed")
        times = array("q", [ticks_of(each) or 0 for each in wanted])

        def begin(item: ua.HistoryReadValueId, _at: int) -> Reading:
            target = self._nodes.read(item, caller)
            if target.annotations:
                raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported)
            configuration = configuration_of(ua.AggregateConfiguration(), stepped=target.stepped)
            simple = bool(details.UseSimpleBounds)
            return AtTimeRead(target, times, 0, configuration, simple, self._archive, most)

        return frozenset({AtTimeRead.kind}), begin

    def _event(self, details: ua.ReadEventDetails, most: int, caller: Caller) -> tuple[frozenset[str], _Begin]:
        log, events = self._archive.events, self._events
        if log is None or events is None:
            return frozenset(), self._unsupported(caller)
        span = span_of(details.StartTime, details.EndTime, int(details.NumValuesPerNode), most)
        wanted = _filter(details.Filter, events)

        def begin(item: ua.HistoryReadValueId, _at: int) -> Reading:
            node_id = self._nodes.notifier(item)
            if span is None:
                raise NodeRefused(ua.StatusCodes.BadHistoryOperationInvalid)
            return EventRead(node_id, span, wanted, caller.role, log, events.types, events.above)

        return frozenset({EventRead.kind}), begin

    def _unsupported(self, caller: Caller) -> _Begin:
        def begin(item: ua.HistoryReadValueId, _at: int) -> Reading:
            self._nodes.read(item, caller)
            raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported)

        return begin


def _filter(wanted: Any, events: Events) -> EventFilter:
    """The filter of a read. Raises ServiceRefused for one that makes no sense."""
    try:
        found, _result_of_clauses = event_filter(wanted, events.types)
    except FilterRefused as error:
        raise ServiceRefused(error.status) from error
    return found


def _result(status: int) -> ua.HistoryReadResult:
    return ua.HistoryReadResult(StatusCode=ua.StatusCode(ua.UInt32(status)))
