"""Filters of event items: which events, and which of their fields (OPC 10000-4 section 7.22.3)."""

from __future__ import annotations

import struct
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from address_space.values import status_code
from node.server.events.event import Event
from node.server.events.event_types import EventTypes
from node.server.events.operands import Field, OperandRefused, field_of
from node.server.events.where_clause import Where, WhereRefused
from node.server.subscriptions.change_filter import FilterRefused

MOST_SELECT_CLAUSES: Final = 250
MOST_WHERE_ELEMENTS: Final = 100
_MOST_OPERANDS: Final = 1_000  # of all elements
_NULL: Final = variant_to_binary(ua.Variant())
_HEAD: Final = struct.Struct("<Ii")


class EventFilterRefused(FilterRefused):
    """A filter that an item cannot have; `result` says which clause is wrong."""

    def __init__(self, status: int, result: ua.EventFilterResult | None = None) -> None:
        super().__init__(status)
        self.result = result


@dataclass(frozen=True, slots=True)
class EventFilter:
    """A checked filter. A select clause that no event here can satisfy is None: its field is always Null."""

    select: tuple[Field | None, ...]
    where: Where

    def pack(self, handle: int, event: Any, _status: int, _source: Any, _server: int) -> bytes:
        """An EventFieldList of the selected fields."""
        fields = [_packed(event, each) for each in self.select]
        return _HEAD.pack(handle, len(fields)) + b"".join(fields)


def event_filter(wanted: Any, types: EventTypes) -> tuple[EventFilter, ua.EventFilterResult | None]:
    """The filter that a client asks for, and what to tell about it if not all of it is good.

    Raises EventFilterRefused for a filter by which nothing useful would come.
    """
    if wanted is None or (isinstance(wanted, ua.ExtensionObject) and wanted.TypeId.is_null()):
        raise EventFilterRefused(ua.StatusCodes.BadMonitoredItemFilterInvalid)
    if not isinstance(wanted, ua.EventFilter):
        raise EventFilterRefused(ua.StatusCodes.BadFilterNotAllowed)
    elements = wanted.WhereClause.Elements or ()
    clauses = wanted.SelectClauses or ()
    if len(clauses) > MOST_SELECT_CLAUSES or len(elements) > MOST_WHERE_ELEMENTS:
        raise EventFilterRefused(ua.StatusCodes.BadTooManyOperations)
    if sum(len(each.FilterOperands or ()) for each in elements) > _MOST_OPERANDS:
        raise EventFilterRefused(ua.StatusCodes.BadTooManyOperations)
    select, statuses = _select(clauses, types)
    if all(statuses):  # also when there are none
        raise EventFilterRefused(ua.StatusCodes.BadEventFilterInvalid, _result(statuses))
    try:
        where = Where(wanted.WhereClause, types)
    except WhereRefused as error:
        raise EventFilterRefused(ua.StatusCodes.BadEventFilterInvalid, _result(statuses, error.result)) from error
    return EventFilter(select, where), _result(statuses) if any(statuses) else None


def _select(
    clauses: Sequence[ua.SimpleAttributeOperand], types: EventTypes
) -> tuple[tuple[Field | None, ...], list[int]]:
    fields: list[Field | None] = []
    statuses: list[int] = []
    for each in clauses:
        try:
            fields.append(field_of(each, types))
            statuses.append(0)
        except OperandRefused as error:
            fields.append(None)
            statuses.append(error.status)
    return tuple(fields), statuses


def _result(statuses: list[int], where: ua.ContentFilterResult | None = None) -> ua.EventFilterResult:
    result: Any = ua.EventFilterResult()
    result.SelectClauseResults = [status_code(each) for each in statuses]
    if where is not None:
        result.WhereClauseResult = where
    return result  # type: ignore[no-any-return]


def _packed(event: Event, field: Field | None) -> bytes:
    found = None if field is None else field.value(event)
    return _NULL if found is None else variant_to_binary(found)
