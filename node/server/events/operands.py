"""Operands of event filters: a literal, a field of the event, or the result of another element.

OPC 10000-4 section 7.7.4.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from address_space.shape import node_id
from node.server.events.event import Event
from node.server.events.event_types import BASE_EVENT_TYPE, EventTypes, Path
from node.server.index_range import BadRange, apply_range, parse_range

_VALUE: Final = ua.AttributeIds.Value
_NODE_ID: Final = ua.AttributeIds.NodeId
_CONDITION_TYPE: Final = node_id(ua.ObjectIds.ConditionType)
_LAST_ATTRIBUTE: Final = 27  # OPC 10000-6 annex A.1
_DEEPEST: Final = 10  # names in a path
# The NodeId of a condition is not a field but asked for as an attribute of the event's type itself.
CONDITION_ID: Final[Path] = ((0, "<NodeId>"),)


class OperandRefused(Exception):
    """An operand that cannot be evaluated; `status` says why."""

    def __init__(self, status: int) -> None:
        super().__init__(ua.StatusCode(ua.UInt32(status)).name)
        self.status = status


@dataclass(frozen=True, slots=True)
class Field:
    """A field of an event, or a part of it."""

    type_definition: ua.NodeId
    path: Path
    index_range: str = ""

    def value(self, event: Event) -> ua.Variant | None:
        """The field; None when the event does not have it."""
        found = event.field(self.type_definition, self.path)
        if found is None or not self.index_range:
            return found
        try:
            return apply_range(found, parse_range(self.index_range))
        except BadRange:
            return None


@dataclass(frozen=True, slots=True)
class Operand:
    """One of three: exactly one of the members is not None."""

    literal: ua.Variant | None = None
    field: Field | None = None
    element: int | None = None

    def value(self, event: Event, elements: Sequence[ua.Variant | None]) -> ua.Variant | None:
        """Its value for an event, when later elements have theirs; None is NULL."""
        if self.element is not None:
            return elements[self.element]
        found = self.literal if self.field is None else self.field.value(event)
        return None if found is None or found.Value is None else found


def operand_of(given: Any, at: int, count: int, types: EventTypes) -> Operand:
    """An operand of the element `at` of `count`. Raises OperandRefused."""
    if isinstance(given, ua.LiteralOperand):
        value = given.Value
        return Operand(literal=value if isinstance(value, ua.Variant) else ua.Variant(value))
    if isinstance(given, ua.ElementOperand):
        # Only later elements, so that there is no circle.
        if not at < given.Index < count:
            raise OperandRefused(ua.StatusCodes.BadFilterOperandInvalid)
        return Operand(element=given.Index)
    if isinstance(given, ua.SimpleAttributeOperand):
        return Operand(field=field_of(given, types))
    # AttributeOperand: it is not for filters of events (OPC 10000-4 section 7.22.3).
    raise OperandRefused(ua.StatusCodes.BadFilterOperandInvalid)


def field_of(given: ua.SimpleAttributeOperand, types: EventTypes) -> Field:
    """The field that an operand names. Raises OperandRefused for one that no event here can have."""
    definition = BASE_EVENT_TYPE if given.TypeDefinitionId.is_null() else given.TypeDefinitionId
    if not types.line(definition):
        exists = types.exists(definition)
        raise OperandRefused(ua.StatusCodes.BadTypeDefinitionInvalid if exists else ua.StatusCodes.BadNodeIdUnknown)
    if not 1 <= given.AttributeId <= _LAST_ATTRIBUTE:
        raise OperandRefused(ua.StatusCodes.BadAttributeIdInvalid)
    index_range = given.IndexRange or ""
    if index_range:
        try:
            parse_range(index_range)
        except BadRange as error:
            raise OperandRefused(error.status) from error
    names = given.BrowsePath or ()
    if len(names) > _DEEPEST or not all(each.Name for each in names):
        raise OperandRefused(ua.StatusCodes.BadBrowseNameInvalid)
    path: Path = tuple((int(each.NamespaceIndex), str(each.Name)) for each in names)
    if given.AttributeId == _NODE_ID and not path:
        return Field(definition, CONDITION_ID, index_range)
    if given.AttributeId != _VALUE or not path:
        raise OperandRefused(ua.StatusCodes.BadAttributeIdInvalid)
    if definition != BASE_EVENT_TYPE and not types.declares(definition, path):
        raise OperandRefused(ua.StatusCodes.BadNoMatch)
    return Field(definition, path, index_range)
