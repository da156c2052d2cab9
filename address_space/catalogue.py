"""Nodes that are there whatever the site: collected first, so that every reference gets its inverse, then installed."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from asyncua import ua

from address_space.nodes import Node, NodeMap
from address_space.shape import HAS_MODELLING_RULE, HAS_TYPE_DEFINITION, Link, Shape


@dataclass(slots=True)
class _Entry:
    attributes: Mapping[ua.AttributeIds, ua.DataValue]
    type_definition: ua.NodeId | None
    links: list[Link] = field(default_factory=list)


class _NoMembers:
    """Owner of nodes that refer to each other by NodeId only."""

    id = ""
    namespace = 0
    first_slot = None

    def shape(self, _member: str) -> None:
        """Never has one."""
        return


_NOBODY = _NoMembers()


class Catalogue:
    """Collects nodes and references."""

    def __init__(self) -> None:
        self._entries: dict[ua.NodeId, _Entry] = {}
        self._outside: list[tuple[ua.NodeId, Link]] = []

    def add(
        self,
        nodeid: ua.NodeId,
        attributes: Mapping[ua.AttributeIds, ua.DataValue],
        parent: tuple[ua.NodeId, ua.NodeId],
        type_definition: ua.NodeId | None = None,
        rule: ua.NodeId | None = None,
    ) -> ua.NodeId:
        """Add a node below a parent (reference type, NodeId), which is there or comes from asyncua; gives `nodeid`."""
        entry = self._entries[nodeid] = _Entry(attributes, type_definition)
        if type_definition is not None:
            entry.links.append(Link(HAS_TYPE_DEFINITION, True, type_definition))
        if rule is not None:
            entry.links.append(Link(HAS_MODELLING_RULE, True, rule))
        reference_type, above = parent
        entry.links.append(Link(reference_type, False, above))
        self.refer(above, reference_type, nodeid)
        return nodeid

    def refer(self, source: ua.NodeId, reference_type: ua.NodeId, target: ua.NodeId) -> None:
        """Add one forward reference; its inverse is the target's business."""
        link = Link(reference_type, True, target)
        entry = self._entries.get(source)
        if entry is None:
            self._outside.append((source, link))
        else:
            entry.links.append(link)

    def refer_back(self, target: ua.NodeId, reference_type: ua.NodeId, source: ua.NodeId) -> None:
        """Add the inverse of a reference to a node of this catalogue, from a second parent."""
        self._entries[target].links.append(Link(reference_type, False, source))

    def install(self, nodes: NodeMap) -> None:
        """Put all into a node map that has asyncua's own nodes; raises KeyError when one is missing there."""
        for nodeid, entry in self._entries.items():
            nodes[nodeid] = Node(nodeid, nodes, _NOBODY, "", _shape(entry))
        for source, link in self._outside:
            assert isinstance(link.target, ua.NodeId)  # noqa: S101  # made so in `refer`
            nodes[source].references.append(nodes.describe(link.type, True, link.target))


def _shape(entry: _Entry) -> Shape:
    def read(attribute: ua.AttributeIds) -> object:
        value = entry.attributes[attribute].Value
        return None if value is None else value.Value

    node_class, name, label = (
        read(ua.AttributeIds.NodeClass),
        read(ua.AttributeIds.BrowseName),
        read(ua.AttributeIds.DisplayName),
    )
    return Shape(
        node_class,  # type: ignore[arg-type]  # what `base_attributes` put there
        name,  # type: ignore[arg-type]
        label,  # type: ignore[arg-type]
        entry.type_definition,
        entry.attributes,
        links=tuple(entry.links),
    )
