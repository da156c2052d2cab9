"""Events of a notifier out of the journal, with the filter of a live subscription (OPC 10000-11 section 6.5.2)."""

from __future__ import annotations

import asyncio
import logging
import struct
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from node.historian.event_log import EventLog, EventMark, EventRecord
from node.roles import Role
from node.server.events.event import Event
from node.server.events.event_filter import EventFilter
from node.server.events.event_types import BASE_EVENT_TYPE, EventTypes
from node.server.events.operands import Field
from node.server.history.event_record import RecordDamaged, StoredFields, event_of, source_of
from node.server.history.part import Part
from node.server.history.span import Span
from node.server.history.work import Work
from node.server.reading import Stamps

_LOG = logging.getLogger(__name__)

PAGE_EVENTS: Final = 1_000  # of one node
_CHUNK: Final = 100  # events that are looked at between two turns of others: about 5 ms
_NULL: Final = variant_to_binary(ua.Variant())
_COUNT: Final = struct.Struct("<i")
_ENCODING_ID: Final = ua.NodeId(ua.Int32(ua.ObjectIds.HistoryEvent_Encoding_DefaultBinary))


@dataclass(frozen=True, slots=True)
class EventRead:
    """One notifier's events; `notifiers` gives those that an event of a source reaches."""

    node_id: ua.NodeId
    span: Span
    filter: EventFilter
    role: Role
    log: EventLog
    types: EventTypes
    notifiers: Callable[[ua.NodeId], list[ua.NodeId]]
    after: EventMark | None = None
    ended: bool = False  # the log has nothing behind `ready`
    ready: tuple[bytes, ...] = ()  # packed, and did not fit into the part before
    kind: ClassVar[str] = "events"

    def empty(self, _stamps: Stamps) -> ua.ExtensionObject:
        """As Reading."""
        return _body([])

    async def part(self, _stamps: Stamps, work: Work) -> Part:
        """As Reading."""
        most, span = self.span.most, self.span
        rows, after, ended = list(self.ready), self.after, self.ended
        reaches = _Reach(self.node_id, self.notifiers)
        # One more than fits tells whether there is more.
        while not ended and len(rows) <= most:
            page = await work.wait(
                self.log.events(span.first, span.end, limit=_CHUNK, reverse=span.reverse, after=after)
            )
            rows += [row for row in (self._row(each, reaches) for each in page.events) if row is not None]
            after, ended = page.next, page.next is None
            await asyncio.sleep(0)
            if work.spent:
                break
        rest: EventRead | None = None
        if not ended or len(rows) > most:
            rest = replace(self, after=after, ended=ended, ready=tuple(rows[most:]))
        status = ua.StatusCodes.Good if rows or rest else ua.StatusCodes.GoodNoData
        return Part(_body(rows[:most]), rest, status)

    def _row(self, record: EventRecord, reaches: _Reach) -> bytes | None:
        """The selected fields of an event, None for one that is not wanted or not for this user."""
        try:
            if not reaches.from_source(source_of(record)):
                return None
            event = event_of(record, self.types)
            if event.audience > self.role or not self.filter.where.fits(event):
                return None
            fields = [_packed(event, each) for each in self.filter.select]
        except RecordDamaged as error:
            _LOG.warning("an event of the journal cannot be read: %s", error)
            return None
        return _COUNT.pack(len(fields)) + b"".join(fields)


class _Reach:
    """Whether events of a source reach a notifier; asked once for each source."""

    def __init__(self, notifier: ua.NodeId, notifiers: Callable[[ua.NodeId], list[ua.NodeId]]) -> None:
        self._notifier = notifier
        self._notifiers = notifiers
        self._known: dict[ua.NodeId, bool] = {}

    def from_source(self, source: ua.NodeId) -> bool:
        known = self._known.get(source)
        if known is None:
            known = self._known[source] = self._notifier in self._notifiers(source)
        return known


def _packed(event: Event, field: Field | None) -> bytes:
    if field is None:
        return _NULL
    fields = event.fields
    fits = field.type_definition == BASE_EVENT_TYPE or field.type_definition in event.line
    if not field.index_range and isinstance(fields, StoredFields):
        return (fields.packed(field.path) if fits else None) or _NULL
    found: Any = field.value(event)
    return _NULL if found is None else variant_to_binary(found)


def _body(rows: list[bytes]) -> ua.ExtensionObject:
    """A HistoryEvent."""
    return ua.ExtensionObject(_ENCODING_ID, ua.ByteString(_COUNT.pack(len(rows)) + b"".join(rows)))
