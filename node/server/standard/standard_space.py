"""The standard address space as bytes, and as nodes that are unpacked when somebody looks.

Attributes are OPC UA binary (Part 6, 5.2), every different one once. References are type, direction and target: the
names, class and type that Browse shows beside them are the target's. There is no code in the bytes, and nothing here
knows where they are kept.

Layout, little endian: the number of nodes and of variants (u32 each); the identifier of every node (u32); where the
record of every node begins and the last one ends (u32); the same for the variants; records; variants. A record is the
number of attributes (u8), each as attribute (u8) and variant (u32), then references up to its end, each as type (u32),
direction (u8, 1 is forward) and target (u32). Types and targets are positions of nodes.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.address_space import AttributeValue
from asyncua.ua import ua_binary

from address_space.shape import HAS_TYPE_DEFINITION

FORMAT: Final = 1  # to be raised with every change of the layout
_COUNTS: Final = struct.Struct("<II")
_ATTRIBUTE: Final = struct.Struct("<BI")
_REFERENCE: Final = struct.Struct("<IBI")
_NAMED: Final = (ua.NodeClass.Object, ua.NodeClass.Variable)  # nodes that have a type definition
_BOUND: Final = 2**32


class Unpackable(ValueError):
    """A node has something that the bytes cannot hold; the text says which and what."""


class Damaged(ValueError):
    """These bytes are no address space."""


# --- to bytes


def pack(nodes: Mapping[ua.NodeId, Any]) -> bytes:
    """Bytes of nodes as asyncua has them when it has just made them; they may refer only to each other.

    Raises Unpackable, for instance for values with a time, callbacks, and NodeIds that are not numbers in namespace 0.
    """
    positions = {nodeid: position for position, nodeid in enumerate(nodes)}
    variants: dict[bytes, int] = {}
    records = [
        _packed_attributes(node, variants) + _packed_references(node, nodes, positions) for node in nodes.values()
    ]
    identifiers = [_identifier(nodeid) for nodeid in nodes]
    return b"".join(
        (
            _COUNTS.pack(len(records), len(variants)),
            struct.pack(f"<{len(identifiers)}I", *identifiers),
            _bounds(records),
            _bounds(list(variants)),
            *records,
            *variants,
        )
    )


def _bounds(parts: list[bytes]) -> bytes:
    ends = [0]
    for part in parts:
        ends.append(ends[-1] + len(part))
    return struct.pack(f"<{len(ends)}I", *ends)


def _identifier(nodeid: ua.NodeId) -> int:
    identifier = nodeid.Identifier
    if nodeid.NamespaceIndex or not isinstance(identifier, int) or not 0 <= identifier < _BOUND:
        raise Unpackable(f"{nodeid} is not a number in namespace 0")
    return identifier


def _packed_attributes(node: Any, variants: dict[bytes, int]) -> bytes:
    if node.call is not None:
        raise Unpackable(f"{node.nodeid} has a method behind it")
    parts = [bytes((len(node.attributes),))]
    for attribute, entry in node.attributes.items():
        value = entry.value
        plain = value is not None and value == ua.DataValue(value.Value)
        if not plain or entry.value_callback or entry.value_setter or entry.datachange_callbacks:
            raise Unpackable(f"{node.nodeid}: {attribute.name} has more than a value")
        if value.Value.Dimensions is not None:
            raise Unpackable(f"{node.nodeid}: {attribute.name} is a matrix")
        packed = ua_binary.variant_to_binary(value.Value)
        parts.append(_ATTRIBUTE.pack(attribute, variants.setdefault(packed, len(variants))))
    return b"".join(parts)


def _packed_references(node: Any, nodes: Mapping[ua.NodeId, Any], positions: Mapping[ua.NodeId, int]) -> bytes:
    parts = []
    for each in node.references:
        target = nodes.get(each.NodeId)
        if target is None or each.ReferenceTypeId not in positions:
            raise Unpackable(f"{node.nodeid} refers to {each.NodeId} by {each.ReferenceTypeId}: one is not there")
        if each != ua.ReferenceDescription(each.ReferenceTypeId, each.IsForward, each.NodeId, *_facts(target)):
            raise Unpackable(f"{node.nodeid} describes {each.NodeId} in other words than {each.NodeId} itself")
        parts.append(_REFERENCE.pack(positions[each.ReferenceTypeId], each.IsForward, positions[each.NodeId]))
    return b"".join(parts)


def _facts(node: Any) -> tuple[Any, Any, Any, ua.NodeId]:
    """What a reference says of its target: browse name, display name, class, type definition."""
    name, label, node_class = (
        node.attributes[attribute].value.Value.Value
        for attribute in (ua.AttributeIds.BrowseName, ua.AttributeIds.DisplayName, ua.AttributeIds.NodeClass)
    )
    if node_class in _NAMED:
        for each in node.references:
            if each.IsForward and each.ReferenceTypeId == HAS_TYPE_DEFINITION:
                return name, label, node_class, each.NodeId
    return name, label, node_class, ua.NodeId()


# --- from bytes


class StandardNode:
    """A node as asyncua's own, but attributes and references are made on first use; from then on they are kept."""

    __slots__ = ("_position", "_space", "attributes", "call", "nodeid", "references")

    nodeid: ua.NodeId
    attributes: dict[ua.AttributeIds, AttributeValue]
    references: list[ua.ReferenceDescription]
    call: Any

    def __init__(self, nodeid: ua.NodeId, space: PackedSpace, position: int) -> None:
        self.nodeid = nodeid
        self.call = None
        self._space = space
        self._position = position

    def __getattr__(self, name: str) -> Any:
        # Called only while the slot of that name is empty.
        if name == "attributes":
            self.attributes = self._space.attributes(self._position)
            return self.attributes
        if name == "references":
            self.references = self._space.references(self._position)
            return self.references
        raise AttributeError(name, name=name, obj=self)


class PackedSpace:
    """An address space in the bytes that `pack` made. Raises Damaged when their lengths do not fit together."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        try:
            count, variants = _COUNTS.unpack_from(data)
            at = _COUNTS.size
            identifiers = struct.unpack_from(f"<{count}I", data, at)
            at += 4 * count
            records = struct.unpack_from(f"<{count + 1}I", data, at)
            at += 4 * len(records)
            values = struct.unpack_from(f"<{variants + 1}I", data, at)
            at += 4 * len(values)
        except struct.error as error:
            raise Damaged(f"it ends too early: {error}") from None
        if len(data) != at + records[-1] + values[-1]:
            raise Damaged(f"it has {len(data)} bytes in place of {at + records[-1] + values[-1]}")
        self._records = tuple(at + begin for begin in records)
        self._values = tuple(at + records[-1] + begin for begin in values)
        # Those that can be shared between nodes, because nobody can change them in place.
        self._variants: dict[int, ua.Variant] = {}
        self._classes: dict[int, ua.Variant] = {}
        self._facts: dict[int, tuple[Any, Any, Any, ua.NodeId]] = {}
        self._ids = [ua.NumericNodeId(ua.Int32(identifier)) for identifier in identifiers]

    def nodes(self) -> Iterator[tuple[ua.NodeId, StandardNode]]:
        """NodeIds with new nodes."""
        for position, nodeid in enumerate(self._ids):
            yield nodeid, StandardNode(nodeid, self, position)

    def attributes(self, position: int) -> dict[ua.AttributeIds, AttributeValue]:
        """New attributes of a node."""
        return {
            ua.AttributeIds(attribute): AttributeValue(ua.DataValue(self._variant(attribute, number)))
            for attribute, number in self._attributes(position)
        }

    def references(self, position: int) -> list[ua.ReferenceDescription]:
        """New references of a node."""
        ids = self._ids
        return [
            ua.ReferenceDescription(ids[kind], bool(forward), ids[target], *self._described(target))
            for kind, forward, target in self._links(position)
        ]

    def _attributes(self, position: int) -> list[tuple[int, int]]:
        begin = self._records[position]
        end = begin + 1 + self._data[begin] * _ATTRIBUTE.size
        return list(_ATTRIBUTE.iter_unpack(self._data[begin + 1 : end]))

    def _links(self, position: int) -> list[tuple[int, int, int]]:
        begin, end = self._records[position], self._records[position + 1]
        begin += 1 + self._data[begin] * _ATTRIBUTE.size
        return list(_REFERENCE.iter_unpack(self._data[begin:end]))

    def _variant(self, attribute: int, number: int) -> ua.Variant:
        # On the wire a class is an Int32 like others; in the process it is the enumeration.
        is_class = attribute == ua.AttributeIds.NodeClass
        shared = self._classes if is_class else self._variants
        known = shared.get(number)
        if known is not None:
            return known
        begin, end = self._values[number], self._values[number + 1]
        variant = ua_binary.variant_from_binary(Buffer(self._data[begin:end]))
        if is_class:
            variant = ua.Variant(ua.NodeClass(variant.Value), ua.VariantType.Int32)
        if not isinstance(variant.Value, list) and variant.VariantType is not ua.VariantType.ExtensionObject:
            shared[number] = variant
        return variant

    def _described(self, position: int) -> tuple[Any, Any, Any, ua.NodeId]:
        known = self._facts.get(position)
        if known is None:
            numbers = dict(self._attributes(position))
            name, label, node_class = (
                self._variant(attribute, numbers[attribute]).Value
                for attribute in (ua.AttributeIds.BrowseName, ua.AttributeIds.DisplayName, ua.AttributeIds.NodeClass)
            )
            kind = ua.NodeId()
            if node_class in _NAMED:
                for link, forward, target in self._links(position):
                    if forward and self._ids[link] == HAS_TYPE_DEFINITION:
                        kind = self._ids[target]
                        break
            known = self._facts[position] = name, label, node_class, kind
        return known
