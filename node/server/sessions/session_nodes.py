"""An object for each session below SessionsDiagnosticsSummary (OPC 10000-5 sections 6.3.4 and 7.10).

Its NodeId is the session's SessionId. Nothing is kept per session but the object itself: nodes and values are made
when somebody looks, and are gone with the session.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass
from typing import Any, Final
from weakref import ReferenceType, WeakKeyDictionary, ref

from asyncua import ua

from address_space.attributes import object_attributes, variable_attributes
from address_space.nodes import Node, NodeMap
from address_space.shape import (
    HAS_COMPONENT,
    HAS_TYPE_DEFINITION,
    NS_APPLICATION,
    Link,
    Owner,
    Shape,
    member_id,
    node_id,
    reference,
)
from address_space.values import text
from node.server.sessions.sessions import Session, SessionTable
from node.server.standard.diagnostics import Diagnostics

_IDS: Final = ua.ObjectIds
_SUMMARY: Final = node_id(_IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
_TYPE: Final = node_id(_IDS.SessionDiagnosticsObjectType)
_BUILT_IN: Final = 25  # data types up to this number are their own encoding (OPC 10000-6 section 5.1.2)
_DERIVED: Final = {
    _IDS.UtcTime: ua.VariantType.DateTime,
    _IDS.Duration: ua.VariantType.Double,
    _IDS.LocaleId: ua.VariantType.String,
    _IDS.MessageSecurityMode: ua.VariantType.Int32,
}


@dataclass(frozen=True, slots=True)
class _Part:
    """One variable of a session's object."""

    name: str
    type: int
    data_type: int
    rank: int
    read: Callable[[Diagnostics, Session], Any]


_PARTS: Final = (
    _Part(
        "SessionDiagnostics", _IDS.SessionDiagnosticsVariableType, _IDS.SessionDiagnosticsDataType, -1,
        Diagnostics.session,
    ),
    _Part(
        "SessionSecurityDiagnostics", _IDS.SessionSecurityDiagnosticsType, _IDS.SessionSecurityDiagnosticsDataType, -1,
        Diagnostics.security_of,
    ),
    _Part(
        "SubscriptionDiagnosticsArray", _IDS.SubscriptionDiagnosticsArrayType, _IDS.SubscriptionDiagnosticsDataType, 1,
        Diagnostics.subscriptions_of,
    ),
)  # fmt: skip


class _SessionOwner:
    """The object of one session, and what is below it."""

    namespace: Final = NS_APPLICATION
    first_slot: Final = None

    def __init__(self, session: Session, members: Mapping[str, Shape]) -> None:
        self.id = str(session.id.Identifier)
        self.session: ReferenceType[Session] = ref(session)
        self._members = members
        name = ua.QualifiedName(session.name or self.id, NS_APPLICATION)
        links = (
            Link(HAS_TYPE_DEFINITION, True, _TYPE),
            Link(HAS_COMPONENT, False, _SUMMARY),
            *(Link(HAS_COMPONENT, True, part.name) for part in _PARTS),
        )
        attributes = object_attributes(name, name.Name, "A session of a client.")
        self._shape = Shape(ua.NodeClass.Object, name, text(name.Name), _TYPE, attributes, links=links)
        self.described = reference(HAS_COMPONENT, True, session.id, self._shape)

    def shape(self, member: str) -> Shape | None:
        """Shape of a member; None when there is no such member."""
        return self._members.get(member) if member else self._shape


class SessionNodes:
    """Finds the nodes of the sessions that there are now."""

    def __init__(self, nodes: NodeMap, sessions: SessionTable, diagnostics: Diagnostics) -> None:
        self._nodes = nodes
        self._sessions = sessions
        self._diagnostics = diagnostics
        self._owners: WeakKeyDictionary[Session, _SessionOwner] = WeakKeyDictionary()
        self._members = dict(self._make_members())

    def install(self) -> None:
        """Let clients find them."""
        self._nodes.mount(NS_APPLICATION, self)
        summary = self._nodes[_SUMMARY]
        dict.__setitem__(self._nodes, _SUMMARY, _Summary(summary, self))

    def find(self, identifier: str) -> tuple[Owner, str, Shape] | None:
        """Owner, member and shape behind a string identifier; None when there is no such node."""
        name, _, member = identifier.partition(".")
        for session in self._sessions.all():
            if session.id.Identifier == name:
                owner = self.owner(session)
                shape = owner.shape(member)
                return None if shape is None else (owner, member, shape)
        return None

    def __iter__(self) -> Iterator[str]:
        for session in self._sessions.all():
            for member in ("", *self._members):
                yield member_id(str(session.id.Identifier), member)

    def __len__(self) -> int:
        return len(self._sessions) * (1 + len(self._members))

    def owner(self, session: Session) -> _SessionOwner:
        """The object of a session, the same as long as that lives."""
        found = self._owners.get(session)
        if found is None:
            found = self._owners[session] = _SessionOwner(session, self._members)
        return found

    @property
    def references(self) -> list[ua.ReferenceDescription]:
        """References to the objects of all sessions."""
        return [self.owner(session).described for session in self._sessions.all()]

    # --- shapes

    def _make_members(self) -> Iterator[tuple[str, Shape]]:
        for part in _PARTS:
            fields = list(self._fields(part)) if part.rank < 0 else []
            kind = ua.VariantType.ExtensionObject
            down = tuple(Link(HAS_COMPONENT, True, f"{part.name}.{name}") for name, *_ in fields)
            value = self._value(part, None, kind)
            yield part.name, _variable(part.name, part.type, node_id(part.data_type), part.rank, value, "", down)
            for name, data_type, rank in fields:
                value = self._value(part, name, _encoding(data_type))
                up = part.name
                yield f"{part.name}.{name}", _variable(name, _IDS.BaseDataVariableType, data_type, rank, value, up, ())

    def _fields(self, part: _Part) -> Iterator[tuple[str, ua.NodeId, int]]:
        """Name, data type and rank of the variables that the standard's type has below it."""
        for each in self._nodes[node_id(part.type)].references:
            if not each.IsForward or each.ReferenceTypeId != HAS_COMPONENT:
                continue
            declared = self._nodes[each.NodeId].attributes
            rank = int(declared[ua.AttributeIds.ValueRank].value.Value.Value)
            yield each.BrowseName.Name, declared[ua.AttributeIds.DataType].value.Value.Value, rank

    def _value(self, part: _Part, field: str | None, kind: ua.VariantType) -> Callable[[Node], ua.DataValue]:
        diagnostics = self._diagnostics

        def value(node: Node) -> ua.DataValue:
            owner: Any = node.owner
            session = owner.session()
            if session is None:
                return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadSessionClosed)))
            found = part.read(diagnostics, session)
            shown = found if field is None else getattr(found, field)
            variant = ua.Variant(shown, kind, is_array=isinstance(shown, list))
            return ua.DataValue(variant, SourceTimestamp=diagnostics.now())

        return value


class _Summary:
    """SessionsDiagnosticsSummary: the standard's node with the sessions of now below it."""

    def __init__(self, node: Any, sessions: SessionNodes) -> None:
        self._node = node
        self._sessions = sessions
        self.nodeid = node.nodeid
        self.attributes = node.attributes
        self.call = node.call

    @property
    def references(self) -> list[ua.ReferenceDescription]:
        """Its own references and those to the sessions."""
        return [*self._node.references, *self._sessions.references]


def _variable(
    name: str,
    type_definition: int,
    data_type: ua.NodeId,
    rank: int,
    value: Callable[[Node], ua.DataValue],
    above: str,
    links: tuple[Link, ...],
) -> Shape:
    kind, browse_name = node_id(type_definition), ua.QualifiedName(name, 0)  # the standard's names
    return Shape(
        ua.NodeClass.Variable,
        browse_name,
        text(name),
        kind,
        variable_attributes(browse_name, name, "", data_type, rank=rank),
        {ua.AttributeIds.Value: value},
        (Link(HAS_TYPE_DEFINITION, True, kind), Link(HAS_COMPONENT, False, above), *links),
    )


def _encoding(data_type: ua.NodeId) -> ua.VariantType:
    number = int(data_type.Identifier)
    if number <= _BUILT_IN:
        return ua.VariantType(number)
    return _DERIVED.get(number, ua.VariantType.ExtensionObject)
