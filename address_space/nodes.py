"""Nodes that are computed when somebody looks, behind the mapping that asyncua keeps its nodes in.

Nothing is kept per point: a node is made from the string of its NodeId, a shape that all devices of a model share,
and the process image. It has what asyncua expects of a node (`nodeid`, `attributes`, `references`, `call`) and of an
attribute (`value`, `value_callback`, `value_setter`, `datachange_callbacks`). Only what clients attach is kept.
"""

from __future__ import annotations

from collections.abc import Callable, ItemsView, Iterable, Iterator, KeysView, Mapping, ValuesView
from typing import Any, Final, NoReturn, Protocol

from asyncua import ua

from address_space.shape import (
    HAS_TYPE_DEFINITION,
    Directory,
    Owner,
    Shape,
    member_id,
    node_id,
    reference,
    refusal,
)

# asyncua's callback of a monitored item: `await callback(handle, data_value)`.
DataChange = Callable[..., Any]

_VALUE: Final = ua.AttributeIds.Value
_NODE_ID: Final = ua.AttributeIds.NodeId


class Subscribers(Protocol):
    """Serves the data-change callbacks of nodes whose Value follows a slot."""

    def attach(self, slot: int, node: Node, callbacks: Callbacks) -> None:
        """Call `callbacks` with the Value of `node` whenever `slot` was published, from now on."""
        ...

    def detach(self, slot: int, callbacks: Callbacks) -> None:
        """Undo `attach`."""
        ...


class NodeMap(dict[ua.NodeId, Any]):
    """All nodes by NodeId: ordinary ones as in a dict, computed ones on demand.

    `get`, `in`, `[]`, iteration and length see both kinds; a computed node is a new object each time. Computed
    nodes can not be replaced or deleted.
    """

    def __init__(self, standard: Mapping[ua.NodeId, Any] | None = None) -> None:
        """Start with asyncua's own nodes, or with none."""
        super().__init__(standard or {})
        self._directories: dict[int, Directory] = {}
        self._callbacks: dict[tuple[ua.NodeId, int], Callbacks] = {}
        self._overrides: dict[tuple[ua.NodeId, int], Callable[..., ua.DataValue]] = {}
        self._added: dict[ua.NodeId, list[ua.ReferenceDescription]] = {}
        self._described: dict[tuple[ua.NodeId, bool, ua.NodeId], ua.ReferenceDescription] = {}
        self.subscribers: Subscribers | None = None

    def mount(self, namespace: int, directory: Directory) -> None:
        """Let `directory` answer for the string NodeIds of a namespace."""
        self._directories[namespace] = directory

    # --- the mapping

    def find(self, nodeid: object) -> Node | None:
        """The computed node of a NodeId; None when it is not one."""
        if not isinstance(nodeid, ua.NodeId):
            return None
        directory = self._directories.get(nodeid.NamespaceIndex)
        if directory is None or not isinstance(nodeid.Identifier, str):
            return None
        found = directory.find(nodeid.Identifier)
        return None if found is None else Node(nodeid, self, *found)

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

    # --- what was attached

    @property
    def attached(self) -> int:
        """How many attributes of computed nodes have callbacks, overrides or added references."""
        return len(self._callbacks) + len(self._overrides) + len(self._added)

    def callbacks(self, node: Node, attribute: int) -> Callbacks:
        """Data-change callbacks of an attribute; kept only while there are any."""
        present = self._callbacks.get((node.nodeid, attribute))
        return Callbacks(node, attribute, self) if present is None else present

    def keep(self, callbacks: Callbacks) -> None:
        """Remember callbacks that are no longer empty; live Values are served from now on."""
        self._callbacks[callbacks.key] = callbacks
        slot = callbacks.slot
        if slot is not None and self.subscribers is not None:
            self.subscribers.attach(slot, callbacks.node, callbacks)

    def drop(self, callbacks: Callbacks) -> None:
        """Forget callbacks that have become empty."""
        self._callbacks.pop(callbacks.key, None)
        slot = callbacks.slot
        if slot is not None and self.subscribers is not None:
            self.subscribers.detach(slot, callbacks)

    def override(self, node: Node, attribute: int) -> Callable[..., ua.DataValue] | None:
        """The value callback that somebody set on an attribute of a computed node."""
        return self._overrides.get((node.nodeid, attribute)) if self._overrides else None

    def set_override(self, node: Node, attribute: int, callback: Callable[..., ua.DataValue] | None) -> None:
        """Set or, with None, take away a value callback."""
        if callback is None:
            self._overrides.pop((node.nodeid, attribute), None)
        else:
            self._overrides[(node.nodeid, attribute)] = callback

    def added(self, nodeid: ua.NodeId) -> list[ua.ReferenceDescription]:
        """References that were added to a computed node; a copy."""
        return list(self._added.get(nodeid, ())) if self._added else []

    def add_reference(self, nodeid: ua.NodeId, reference: ua.ReferenceDescription) -> None:
        """Add a reference to a computed node."""
        self._added.setdefault(nodeid, []).append(reference)

    def remove_reference(self, nodeid: ua.NodeId, reference: ua.ReferenceDescription) -> None:
        """Remove an added reference; raises BadNoDeleteRights for a computed one."""
        rest = self._added.get(nodeid, [])
        if reference not in rest:
            raise refusal(ua.StatusCodes.BadNoDeleteRights)
        rest.remove(reference)
        if not rest:
            del self._added[nodeid]

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
        """An attribute now, without overrides; None when the node does not have it."""
        shape = self.shape
        live = shape.live.get(attribute)  # type: ignore[call-overload]  # an AttributeIds is an int
        if live is not None:
            return live(self)  # type: ignore[no-any-return]
        if attribute == _NODE_ID:
            return ua.DataValue(ua.Variant(self.nodeid, ua.VariantType.NodeId))
        return shape.fixed.get(attribute)  # type: ignore[call-overload,no-any-return]  # as above

    @property
    def references(self) -> References:
        """All references, computed now; append and remove are recorded in the node map."""
        owner, nodes = self.owner, self.nodes
        found = References(self)
        for link in self.shape.links:
            if isinstance(link.target, str):
                shape = owner.shape(link.target)
                if shape is None:
                    raise KeyError(f"{member_id(owner.id, self.member)}: {owner.id} has no member {link.target!r}")
                target = node_id(member_id(owner.id, link.target), owner.namespace)
                found.put(reference(link.type, link.forward, target, shape))
            else:
                found.put(nodes.describe(link.type, link.forward, link.target))
        for added in nodes.added(self.nodeid):
            found.put(added)
        return found


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
    """One attribute at the moment it is looked at: `value` is computed once."""

    __slots__ = ("_attribute", "_node", "_value")

    def __init__(self, node: Node, attribute: int) -> None:
        self._node = node
        self._attribute = attribute
        self._value: ua.DataValue | None = None

    @property
    def value(self) -> ua.DataValue | None:
        """What the attribute is now; None while a value callback stands in."""
        if self.value_callback is not None:
            return None
        if self._value is None:
            self._value = self._node.read(self._attribute)
        return self._value

    @value.setter
    def value(self, value: ua.DataValue | None) -> None:
        # asyncua clears a value before it sets a value callback; anything else would bypass the bus.
        if value is not None:
            _refuse()

    @property
    def value_callback(self) -> Callable[..., ua.DataValue] | None:
        """What somebody set to be called instead of the computed value."""
        return self._node.nodes.override(self._node, self._attribute)

    @value_callback.setter
    def value_callback(self, callback: Callable[..., ua.DataValue] | None) -> None:
        self._node.nodes.set_override(self._node, self._attribute, callback)

    @property
    def value_setter(self) -> Callable[..., NoReturn]:
        """Refuses every write: settings go to the device through the server's own path."""
        return _refuse

    @property
    def datachange_callbacks(self) -> Callbacks:
        """Callbacks by handle."""
        return self._node.nodes.callbacks(self._node, self._attribute)


def _refuse(*_: object) -> NoReturn:
    raise refusal(ua.StatusCodes.BadNotWritable)


class Callbacks(dict[int, DataChange]):
    """Data-change callbacks of one attribute by handle; the node map keeps it only while it has entries."""

    __slots__ = ("_nodes", "attribute", "node")

    def __init__(self, node: Node, attribute: int, nodes: NodeMap) -> None:
        super().__init__()
        self.node = node
        self.attribute = attribute
        self._nodes = nodes

    @property
    def key(self) -> tuple[ua.NodeId, int]:
        """NodeId and attribute."""
        return self.node.nodeid, self.attribute

    @property
    def slot(self) -> int | None:
        """Slot whose samples are to be reported; None for every attribute but a live Value."""
        return self.node.slot if self.attribute == _VALUE else None

    def __setitem__(self, handle: int, callback: DataChange) -> None:
        first = not self
        super().__setitem__(handle, callback)
        if first:
            self._nodes.keep(self)

    def pop(self, handle: int, *default: Any) -> Any:
        """Take a callback away; raises KeyError without `default` when there is none."""
        callback = super().pop(handle, *default)
        if not self:
            self._nodes.drop(self)
        return callback


class References(list[ua.ReferenceDescription]):
    """The references of a computed node; a list whose append and remove outlive it."""

    __slots__ = ("_node",)

    def __init__(self, node: Node) -> None:
        super().__init__()
        self._node = node

    def put(self, reference: ua.ReferenceDescription) -> None:
        """Add to this list only."""
        super().append(reference)

    def append(self, reference: ua.ReferenceDescription) -> None:
        """Add a reference to the node."""
        self._node.nodes.add_reference(self._node.nodeid, reference)
        super().append(reference)

    def remove(self, reference: ua.ReferenceDescription) -> None:
        """Take an added reference away; raises BadNoDeleteRights for a computed one."""
        self._node.nodes.remove_reference(self._node.nodeid, reference)
        super().remove(reference)


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
