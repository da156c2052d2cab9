"""Nodes that are computed when somebody looks, behind the mapping that asyncua keeps its nodes in.

Nothing is kept per point: a node is made from the string of its NodeId, a shape that all devices of a model share,
and the process image. It has what asyncua expects of a node (`nodeid`, `attributes`, `references`, `call`) and of an
attribute (`value`, `value_callback`, `value_setter`, `datachange_callbacks`).
"""

from __future__ import annotations

from collections.abc import ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from types import MappingProxyType
from typing import Any, Final, NoReturn

from asyncua import ua

from address_space.shape import (
    HAS_TYPE_DEFINITION,
    Directory,
    Link,
    Owner,
    Shape,
    member_id,
    node_id,
    reference,
    refusal,
)

_NODE_ID: Final = ua.AttributeIds.NodeId


class NodeMap(dict[ua.NodeId, Any]):
    """All nodes by NodeId: ordinary ones as in a dict, computed ones on demand.

    `get`, `in`, `[]`, iteration and length see both kinds; a computed node is a new object each time. Computed
    nodes can not be replaced or deleted.
    """

    def __init__(self, standard: Mapping[ua.NodeId, Any] | None = None) -> None:
        """Start with asyncua's own nodes, or with none."""
        super().__init__(standard or {})
        self._directories: dict[int, Directory] = {}
        self._described: dict[tuple[ua.NodeId, bool, ua.NodeId], ua.ReferenceDescription] = {}

    def mount(self, namespace: int, directory: Directory) -> None:
        """Let `directory` answer for the string NodeIds of a namespace."""
        self._directories[namespace] = directory

    # --- the mapping

    def find(self, nodeid: object) -> Node | None:
        """The computed node of a NodeId; None when it is not one."""
        if not isinstance(nodeid, ua.NodeId):
            return None
        if not isinstance(nodeid.Identifier, str):
            return None
        found = self.locate(nodeid.NamespaceIndex, nodeid.Identifier)
        return None if found is None else Node(nodeid, self, *found)

    def locate(self, namespace: int, identifier: str) -> tuple[Owner, str, Shape] | None:
        """Owner, member and shape of a computed node, without making it; None when it is not one."""
        directory = self._directories.get(namespace)
        return None if directory is None else directory.find(identifier)

    def get(self, nodeid: ua.NodeId, default: Any = None) -> Any:
        """The node, ordinary or computed, else `default`."""
        node = dict.get(self, nodeid)
        if node is None:
            node = self.find(nodeid)
        return default if node is None else node

    def __missing__(self, nodeid: ua.NodeId) -> Node:
        node = self.find(nodeid)
        if node is None:
            raise KeyError(nodeid)
        return node

    def __contains__(self, nodeid: object) -> bool:
        return dict.__contains__(self, nodeid) or self.find(nodeid) is not None

    def __iter__(self) -> Iterator[ua.NodeId]:
        yield from dict.__iter__(self)
        for namespace, directory in self._directories.items():
            for identifier in directory:
                yield node_id(identifier, namespace)

    def __len__(self) -> int:
        return dict.__len__(self) + sum(len(directory) for directory in self._directories.values())

    def keys(self) -> KeysView[ua.NodeId]:  # type: ignore[override]  # dict's view type would skip computed nodes
        """A view that sees computed nodes too."""
        return KeysView(self)

    def values(self) -> ValuesView[Any]:  # type: ignore[override]  # as above
        """A view that sees computed nodes too."""
        return ValuesView(self)

    def items(self) -> ItemsView[ua.NodeId, Any]:  # type: ignore[override]  # as above
        """A view that sees computed nodes too."""
        return ItemsView(self)

    def __setitem__(self, nodeid: ua.NodeId, node: Any) -> None:
        if self.find(nodeid) is not None:
            raise refusal(ua.StatusCodes.BadNodeIdExists)
        dict.__setitem__(self, nodeid, node)

    def __reduce__(self) -> NoReturn:
        raise TypeError("the node map is computed from the process image and has no file form")

    # --- references

    def describe(self, link_type: ua.NodeId, forward: bool, target: ua.NodeId) -> ua.ReferenceDescription:
        """A reference as Browse shows it; raises KeyError when there is no such target.

        References to ordinary nodes are described once and shared: do not edit them.
        """
        ordinary = dict.get(self, target)
        if ordinary is None or isinstance(ordinary, Node):
            return reference(link_type, forward, target, self[target].shape)
        key = (link_type, forward, target)
        known = self._described.get(key)
        if known is None:
            known = self._described[key] = _reference_to(link_type, forward, ordinary)
        return known


class Node:
    """A computed node; cheap to make, not kept."""

    __slots__ = ("member", "nodeid", "nodes", "owner", "shape")

    call: Final = None  # methods are dispatched by NodeId, not by a callback per node

    def __init__(self, nodeid: ua.NodeId, nodes: NodeMap, owner: Owner, member: str, shape: Shape) -> None:
        self.nodeid = nodeid
        self.nodes = nodes
        self.owner = owner
        self.member = member
        self.shape = shape

    @property
    def slot(self) -> int | None:
        """Slot that the Value follows; None when it follows none."""
        position, first = self.shape.position, self.owner.first_slot
        return None if position is None or first is None else first + position

    @property
    def attributes(self) -> Attributes:
        """View of the attributes by id."""
        return Attributes(self)

    def read(self, attribute: int) -> ua.DataValue | None:
        """An attribute now; None when the node does not have it."""
        shape = self.shape
        live = shape.live.get(attribute)  # type: ignore[call-overload]  # an AttributeIds is an int
        if live is not None:
            return live(self)  # type: ignore[no-any-return]
        if attribute == _NODE_ID:
            return ua.DataValue(ua.Variant(self.nodeid, ua.VariantType.NodeId))
        return shape.fixed.get(attribute)  # type: ignore[call-overload,no-any-return]  # as above

    @property
    def references(self) -> tuple[ua.ReferenceDescription, ...]:
        """All references, computed now; a tuple, because adding to them would be lost."""
        return tuple(self._described(link) for link in self.shape.links)

    def _described(self, link: Link) -> ua.ReferenceDescription:
        if not isinstance(link.target, str):
            return self.nodes.describe(link.type, link.forward, link.target)
        owner = self.owner
        shape = owner.shape(link.target)
        target = member_id(owner.id, link.target)
        if shape is None:
            raise KeyError(f"{member_id(owner.id, self.member)} refers to {target}, which is not there")
        return reference(link.type, link.forward, node_id(target, owner.namespace), shape)


class Attributes:
    """The attributes of a computed node, as asyncua's dictionary of them."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        self._node = node

    def __contains__(self, attribute: object) -> bool:
        shape = self._node.shape
        return attribute in shape.fixed or attribute in shape.live or attribute == _NODE_ID

    def __getitem__(self, attribute: int) -> Attribute:
        if attribute not in self:
            raise KeyError(attribute)
        return Attribute(self._node, attribute)

    def get(self, attribute: int, default: Any = None) -> Any:
        """The attribute, else `default`."""
        return Attribute(self._node, attribute) if attribute in self else default

    def __iter__(self) -> Iterator[ua.AttributeIds]:
        shape = self._node.shape
        yield _NODE_ID
        yield from shape.fixed
        yield from (attribute for attribute in shape.live if attribute not in shape.fixed)

    def __len__(self) -> int:
        return sum(1 for _ in self)

    def keys(self) -> Iterable[ua.AttributeIds]:
        """Ids of the attributes that the node has."""
        return iter(self)

    def items(self) -> Iterator[tuple[ua.AttributeIds, Attribute]]:
        """Ids with attributes."""
        return ((attribute, Attribute(self._node, attribute)) for attribute in self)

    def values(self) -> Iterator[Attribute]:
        """The attributes."""
        return (Attribute(self._node, attribute) for attribute in self)


class Attribute:
    """One attribute at the moment it is looked at: `value` is computed once and cannot be set.

    Settings go to the device through the server's own path, and who wants to hear of changes watches the slot.
    """

    __slots__ = ("_attribute", "_node", "_value")

    value_callback: Final = None
    datachange_callbacks: Final[Mapping[int, Any]] = MappingProxyType({})

    def __init__(self, node: Node, attribute: int) -> None:
        self._node = node
        self._attribute = attribute
        self._value: ua.DataValue | None = None

    @property
    def value(self) -> ua.DataValue | None:
        """What the attribute is now."""
        if self._value is None:
            self._value = self._node.read(self._attribute)
        return self._value

    @value.setter
    def value(self, value: object) -> NoReturn:
        raise refusal(ua.StatusCodes.BadNotWritable)

    def value_setter(self, *_: object) -> NoReturn:
        """Refuses every write that comes by asyncua's own way."""
        raise refusal(ua.StatusCodes.BadNotWritable)


def _reference_to(link_type: ua.NodeId, forward: bool, node: Any) -> ua.ReferenceDescription:
    """A reference to an ordinary node of asyncua's."""

    def read(attribute: ua.AttributeIds) -> Any:
        return node.attributes[attribute].value.Value.Value

    node_class = read(ua.AttributeIds.NodeClass)
    types = [ref.NodeId for ref in node.references if ref.IsForward and ref.ReferenceTypeId == HAS_TYPE_DEFINITION]
    return ua.ReferenceDescription(
        ReferenceTypeId=link_type,
        IsForward=forward,
        NodeId=node.nodeid,
        BrowseName=read(ua.AttributeIds.BrowseName),
        DisplayName=read(ua.AttributeIds.DisplayName),
        NodeClass=node_class,
        TypeDefinition=types[0] if types else ua.NodeId(),
    )
