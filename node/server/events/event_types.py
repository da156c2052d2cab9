"""The types of events in the address space: what is a subtype of what, and which fields a type has."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import Any, Final

from asyncua import ua

from address_space.shape import HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE, node_id

BASE_EVENT_TYPE: Final = node_id(ua.ObjectIds.BaseEventType)
_FIELDS: Final = (HAS_PROPERTY, HAS_COMPONENT)

# Names of a field from the event type down: namespace index and name.
Path = tuple[tuple[int, str], ...]


class EventTypes:
    """Answers from the nodes; types do not change while the server runs."""

    def __init__(self, nodes: Mapping[ua.NodeId, Any]) -> None:
        self._nodes = nodes
        self._lines: dict[ua.NodeId, tuple[ua.NodeId, ...]] = {}

    def line(self, event_type: ua.NodeId) -> tuple[ua.NodeId, ...]:
        """The type and its supertypes, up to BaseEventType; empty when it is no type of events."""
        known = self._lines.get(event_type)
        if known is None:
            found = tuple(self._up(event_type))
            known = found if found and found[-1] == BASE_EVENT_TYPE else ()
            if known:  # what a client makes up is not kept
                self._lines[event_type] = known
        return known

    def exists(self, nodeid: ua.NodeId) -> bool:
        """Whether there is such a node at all."""
        return self._nodes.get(nodeid) is not None

    def declares(self, event_type: ua.NodeId, path: Path) -> bool:
        """Whether a type or one of its supertypes has a field."""
        return any(self._has(each, path) for each in self.line(event_type))

    def _up(self, event_type: ua.NodeId) -> Iterator[ua.NodeId]:
        current: ua.NodeId | None = event_type
        while current is not None:
            node = self._nodes.get(current)
            if node is None:
                return
            yield current
            if current == BASE_EVENT_TYPE:
                return
            above = (r.NodeId for r in node.references if not r.IsForward and r.ReferenceTypeId == HAS_SUBTYPE)
            current = next(above, None)

    def _has(self, parent: ua.NodeId, path: Path) -> bool:
        for namespace, name in path:
            node = self._nodes.get(parent)
            below = (
                each.NodeId
                for each in (node.references if node is not None else ())
                if each.IsForward
                and each.ReferenceTypeId in _FIELDS
                and each.BrowseName.Name == name
                and each.BrowseName.NamespaceIndex == namespace
            )
            found = next(below, None)
            if found is None:
                return False
            parent = found
        return True
