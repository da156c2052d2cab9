"""What a variable says of its history: HA Configuration and Annotations, and what a notifier says of its events.

OPC 10000-11 sections 5.1.2, 5.2 and 5.3, OPC 10000-13 section 4.2.1. All of it is computed when somebody looks.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Final

from asyncua import ua

from address_space.attributes import object_attributes, variable_attributes
from address_space.event_types import COMMAND_EVENT_TYPE, COMMAND_FIELDS
from address_space.model import Point, PointKind, RecordingRule
from address_space.nodes import Node
from address_space.shape import HAS_COMPONENT, HAS_PROPERTY, HAS_TYPE_DEFINITION, NS_MODEL, Link, Shape, node_id
from address_space.values import NULL, constant, moment, shared, text

# Members of a point; what is below one has its name behind a dot.
CONFIGURATION: Final = "HAConfiguration"
ANNOTATIONS: Final = "Annotations"
EVENT_FILTER: Final = "HistoricalEventFilter"
_AGGREGATES: Final = f"{CONFIGURATION}.AggregateConfiguration"
HAS_HISTORICAL_CONFIGURATION: Final = node_id(ua.ObjectIds.HasHistoricalConfiguration)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)
_T: Final = ua.VariantType

HISTORY_READ: Final = 1 << ua.AccessLevel.HistoryRead
HISTORY_WRITE: Final = 1 << ua.AccessLevel.HistoryWrite

# Defaults of the standard (OPC 10000-13 section 4.2.1.2), which hold for every variable here.
AGGREGATE_DEFAULTS: Final[Mapping[str, tuple[object, ua.VariantType]]] = {
    "TreatUncertainAsBad": (True, _T.Boolean),
    "PercentDataBad": (100, _T.Byte),
    "PercentDataGood": (100, _T.Byte),
    "UseSlopedExtrapolation": (False, _T.Boolean),
}
_ARCHIVE: Final = ("StartOfArchive", "StartOfOnlineArchive")
_NAMES: Final = (
    CONFIGURATION,
    f"{CONFIGURATION}.Stepped",
    *(f"{CONFIGURATION}.{name}" for name in _ARCHIVE),
    f"{CONFIGURATION}.ServerTimestampSupported",
    _AGGREGATES,
    *(f"{_AGGREGATES}.{name}" for name in AGGREGATE_DEFAULTS),
)
_BASE_FIELDS: Final = (
    "EventId", "EventType", "SourceNode", "SourceName", "Time", "ReceiveTime", "Message", "Severity",
)  # fmt: skip


def own_rule(point: Point) -> RecordingRule | None:
    """The rule that is written at a point; None when there is none."""
    return point.record


def _unknown(_tag: str) -> int | None:
    return None


@dataclass(frozen=True, slots=True)
class HistoryOffer:
    """What the server offers of history."""

    changes: bool = False  # samples can be changed, and annotations are kept
    events: bool = False
    # The rule that a point is recorded by; None when every change is.
    rule: Callable[[Point], RecordingRule | None] = own_rule
    # Ticks of the oldest sample of a tag; None when there is none, or when nobody has looked yet.
    start: Callable[[str], int | None] = _unknown

    def access(self, point: Point) -> int:
        """Bits of a point's AccessLevel."""
        return (HISTORY_READ | (HISTORY_WRITE if self.changes else 0)) if point.historize else 0


def stepped(point: Point, rule: RecordingRule | None) -> bool:
    """Whether a value stays until the next one, in place of a line between two samples.

    A number that is recorded at every change stayed as it was until the next sample, however long that took. Where a
    rule leaves samples out, those are near the line (see RecordingRule).
    """
    if point.kind not in (PointKind.ANALOG, PointKind.COUNTER) or rule is None:
        return True
    return rule.every_s is None and not rule.deadband


def is_archive_start(member: str) -> bool:
    """Whether a member of a device tells when the history of a point begins."""
    return member.rpartition(".")[2] in _ARCHIVE


class HistoryMembers:
    """The members of points that are about their history; none without an offer."""

    def __init__(self, offer: HistoryOffer | None) -> None:
        self.offer = offer

    def access(self, point: Point) -> int:
        """Bits of a point's AccessLevel."""
        return 0 if self.offer is None else self.offer.access(point)

    def names(self, point: Point) -> tuple[str, ...]:
        """Members of a point, as they stand behind its id and a dot."""
        if self.offer is None or not point.historize:
            return ()
        return (*_NAMES, ANNOTATIONS) if self.offer.changes else _NAMES

    def links(self, point: Point) -> tuple[Link, ...]:
        """References of a point to its members."""
        names = self.names(point)
        if not names:
            return ()
        configuration = Link(HAS_HISTORICAL_CONFIGURATION, True, f"{point.id}.{CONFIGURATION}")
        if ANNOTATIONS not in names:
            return (configuration,)
        return configuration, Link(HAS_PROPERTY, True, f"{point.id}.{ANNOTATIONS}")

    def shape(self, point: Point, name: str) -> Shape | None:
        """Shape of a member; None when there is none of that name."""
        if name not in self.names(point):
            return None
        if name == CONFIGURATION:
            return _configuration(point)
        if name == _AGGREGATES:
            return _aggregates(point)
        if name == ANNOTATIONS:
            return _annotations(point)
        above, _, last = name.rpartition(".")
        return self._property(point, f"{point.id}.{above}", last)

    def _property(self, point: Point, parent: str, name: str) -> Shape:
        if name in _ARCHIVE:
            return _property(name, ua.ObjectIds.UtcTime, parent, live=self._start(point))
        if name == "Stepped":
            held = self.offer is not None and stepped(point, self.offer.rule(point))
            return _property(name, ua.ObjectIds.Boolean, parent, shared(held, _T.Boolean))
        if name == "ServerTimestampSupported":
            return _property(name, ua.ObjectIds.Boolean, parent, shared(True, _T.Boolean))
        value, kind = AGGREGATE_DEFAULTS[name]
        return _property(name, int(kind), parent, constant(value, kind))

    def _start(self, point: Point) -> Callable[[Node], ua.DataValue]:
        offer = self.offer

        def read(node: Node) -> ua.DataValue:
            ticks = None if offer is None else offer.start(f"{node.owner.id}.{point.id}")
            return NULL if ticks is None else constant(moment(ticks), _T.DateTime)

        return read


def event_filter_shape(parent: str) -> Shape:
    """The property of a notifier that says which fields its stored events have."""
    return _property(EVENT_FILTER, ua.ObjectIds.EventFilter, parent, EVENT_FILTER_VALUE)


def event_filter_attributes() -> dict[ua.AttributeIds, ua.DataValue]:
    """The same for the catalogue."""
    name = ua.QualifiedName(EVENT_FILTER, 0)
    attributes = variable_attributes(name, EVENT_FILTER, "", node_id(ua.ObjectIds.EventFilter))
    attributes[ua.AttributeIds.Value] = EVENT_FILTER_VALUE
    return attributes


def _configuration(point: Point) -> Shape:
    name = ua.QualifiedName("HA Configuration", 0)
    prefix = f"{point.id}.{CONFIGURATION}"
    below = [each for each in _NAMES[1:] if each.count(".") == 1 and each != _AGGREGATES]
    return _object(
        name,
        ua.ObjectIds.HistoricalDataConfigurationType,
        Link(HAS_HISTORICAL_CONFIGURATION, False, point.id),
        *(Link(HAS_PROPERTY, True, f"{point.id}.{each}") for each in below),
        Link(HAS_COMPONENT, True, f"{prefix}.AggregateConfiguration"),
    )


def _aggregates(point: Point) -> Shape:
    prefix = f"{point.id}.{_AGGREGATES}"
    return _object(
        ua.QualifiedName("AggregateConfiguration", 0),
        ua.ObjectIds.AggregateConfigurationType,
        Link(HAS_COMPONENT, False, f"{point.id}.{CONFIGURATION}"),
        *(Link(HAS_PROPERTY, True, f"{prefix}.{name}") for name in AGGREGATE_DEFAULTS),
    )


def _annotations(point: Point) -> Shape:
    """Only its history has something in it (OPC 10000-11 section 5.1.2)."""
    name = ua.QualifiedName(ANNOTATIONS, 0)
    access = HISTORY_READ | HISTORY_WRITE
    fixed = variable_attributes(name, ANNOTATIONS, "", node_id(ua.ObjectIds.Annotation), access=access)
    fixed[ua.AttributeIds.Value] = NULL
    return Shape(ua.NodeClass.Variable, name, text(ANNOTATIONS), _PROPERTY_TYPE, fixed, links=_below(point.id))


def _object(name: ua.QualifiedName, type_definition: int, *links: Link) -> Shape:
    kind = node_id(type_definition)
    return Shape(
        ua.NodeClass.Object,
        name,
        text(name.Name),
        kind,
        object_attributes(name, name.Name, ""),
        links=(Link(HAS_TYPE_DEFINITION, True, kind), *links),
    )


def _property(
    name: str,
    data_type: int,
    parent: str,
    value: ua.DataValue | None = None,
    *,
    live: Callable[[Node], ua.DataValue] | None = None,
) -> Shape:
    browse = ua.QualifiedName(name, 0)
    fixed = variable_attributes(browse, name, "", node_id(data_type))
    if value is not None:
        fixed[ua.AttributeIds.Value] = value
    attributes = {} if live is None else {ua.AttributeIds.Value: live}
    return Shape(ua.NodeClass.Variable, browse, text(name), _PROPERTY_TYPE, fixed, attributes, _below(parent))


def _below(parent: str) -> tuple[Link, ...]:
    return (Link(HAS_TYPE_DEFINITION, True, _PROPERTY_TYPE), Link(HAS_PROPERTY, False, parent))


def _select(definition: ua.NodeId, name: str, namespace: int) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(
        TypeDefinitionId=definition,
        BrowsePath=[ua.QualifiedName(name, namespace)],
        AttributeId=ua.UInt32(ua.AttributeIds.Value),
    )


def _event_filter() -> ua.DataValue:
    base = node_id(ua.ObjectIds.BaseEventType)
    clauses = [_select(base, name, 0) for name in _BASE_FIELDS]
    clauses += [_select(COMMAND_EVENT_TYPE, name, NS_MODEL) for name, _, _ in COMMAND_FIELDS]
    return constant(ua.EventFilter(SelectClauses=clauses), _T.ExtensionObject)


EVENT_FILTER_VALUE: Final = _event_filter()
