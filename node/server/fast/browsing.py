"""Browse from request bytes to answer bytes (OPC 10000-4 section 5.8.2).

All devices of a model have the same references but for the device's id in their NodeIds. So the bytes of a node's
references are made once per shape and filter, with gaps where the id belongs; an answer fills the gaps.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary, nodeid_to_binary

from address_space.nodes import NodeMap
from address_space.shape import Owner, Shape, member_id, reference
from node.server.browsing import Browser
from node.server.fast.layout import COUNT, TEXT_ID, TEXT_KIND, id_end
from node.server.limits import Limits
from node.server.transport.wire import Reader

_PARAMETERS: Final = Struct("<2sqIIi")  # null view with time and version, references per node, number of nodes
_NO_VIEW: Final = b"\0\0"
_DIRECTION: Final = Struct("<i")
_FILTER_END: Final = Struct("<?II")  # with subtypes, mask of node classes, mask of fields
_RESULT: Final = Struct("<Iii")  # status, no continuation point, number of references
_NAME: Final = Struct("<Hi")
_NO_DIAGNOSTICS: Final = COUNT.pack(0)
_NULL_ID: Final = b"\0\0"
_NULL_NAME: Final = _NAME.pack(0, -1)
# Work of one request that is done in one go; larger ones go the ordinary way, which gives others turns.
_NODES: Final = 1_000
_REFERENCES: Final = 20_000
_FRESH: Final = 500  # references of ordinary nodes that nobody has asked for yet
# What is kept at a time: about 0.2 KiB each, plans of large devices more.
_FILTERS: Final = 256
_PLANS: Final = 1_024
_OWNERS: Final = 4_096
_ENCODED: Final = 20_000


@dataclass(frozen=True, slots=True)
class _Filter:
    """What a client wants to see of a node's references."""

    forward: bool
    inverse: bool
    types: frozenset[ua.NodeId] | None  # None is all
    classes: int  # 0 is all
    fields: int

    def takes(self, link_type: ua.NodeId, forward: bool, node_class: int) -> bool:
        """Whether a reference is among them."""
        return (
            (self.forward if forward else self.inverse)
            and (self.types is None or link_type in self.types)
            and (not self.classes or bool(self.classes & node_class))
        )


@dataclass(frozen=True, slots=True)
class _Plan:
    """References of all nodes of a shape: pieces that owner's ids are put between, and heads of references to it."""

    kept: object  # whose identity the plan is found by: it must not go as long as the plan is there
    parts: tuple[tuple[bytes, ...] | bytes, ...]
    count: int


class FastBrowse:
    """Answers browses that fit into one answer."""

    def __init__(self, nodes: NodeMap, browser: Browser, limits: Limits) -> None:
        self._nodes = nodes
        self._browser = browser
        self._limits = limits
        self._filters: dict[bytes, _Filter] = {}
        self._plans: dict[tuple[int, bytes, int], _Plan] = {}
        self._owners: dict[tuple[int, int], tuple[Owner, bytes]] = {}
        self._encoded: dict[tuple[int, bytes], tuple[ua.ReferenceDescription, bytes]] = {}
        self._fresh = 0

    def answer(self, data: bytes, at: int) -> bytes | None:
        """What follows the header of the response; None when the ordinary way has to answer.

        `data` ends with the request, whose parameters begin at `at`. Raises struct.error, IndexError, ValueError for
        bytes that are no request.
        """
        view, _time, _version, asked, count = _PARAMETERS.unpack_from(data, at)
        if view != _NO_VIEW or not 0 < count <= min(_NODES, self._limits.browse_operations):
            return None
        most = self._limits.references_per_node
        per_answer = min(asked, most) if asked else most
        at += _PARAMETERS.size
        self._fresh = total = 0
        parts = [COUNT.pack(count)]
        for _ in range(count):
            end = id_end(data, at)
            after = id_end(data, end + _DIRECTION.size) + _FILTER_END.size
            tail = data[end:after]
            wanted = self._filters.get(tail) or self._filter(tail)
            if wanted is None:
                return None
            found = self._references(data[at:end], tail, wanted)
            if found is None:
                parts.append(_RESULT.pack(ua.StatusCodes.BadNodeIdUnknown, -1, 0))
            else:
                content, references = found
                total += references
                if references > per_answer or total > _REFERENCES or self._fresh > _FRESH:
                    return None
                parts.append(_RESULT.pack(0, -1, references) + content)
            at = after
        if at != len(data):
            return None
        parts.append(_NO_DIAGNOSTICS)
        return b"".join(parts)

    # --- filters

    def _filter(self, tail: bytes) -> _Filter | None:
        (direction,) = _DIRECTION.unpack_from(tail)
        with_subtypes, classes, fields = _FILTER_END.unpack_from(tail, len(tail) - _FILTER_END.size)
        reader: Any = Reader(tail, _DIRECTION.size, len(tail) - _FILTER_END.size)
        wanted_type = nodeid_from_binary(reader)
        if direction not in (ua.BrowseDirection.Forward, ua.BrowseDirection.Inverse, ua.BrowseDirection.Both):
            return None
        if not wanted_type.is_null() and not self._browser.is_reference_type(wanted_type):
            return None
        types = self._browser.reference_types(wanted_type, with_subtypes=with_subtypes)
        inverse, forward = direction != ua.BrowseDirection.Forward, direction != ua.BrowseDirection.Inverse
        if len(self._filters) >= _FILTERS:
            self._filters.clear()
        made = self._filters[tail] = _Filter(forward, inverse, types, classes, fields)
        return made

    # --- one node

    def _references(self, nodeid: bytes, tail: bytes, wanted: _Filter) -> tuple[bytes, int] | None:
        """Bytes and number of a node's references; None when there is no such node."""
        if nodeid[0] == TEXT_KIND:
            _kind, namespace, _length = TEXT_ID.unpack_from(nodeid)
            located = self._nodes.locate(namespace, nodeid[TEXT_ID.size :].decode())
            if located is not None:
                return self._computed(*located, tail, wanted)
        reader: Any = Reader(nodeid)
        node = self._nodes.get(nodeid_from_binary(reader))
        if node is None:
            return None
        encoded = [
            self._ordinary(each, tail, wanted.fields)
            for each in node.references
            if wanted.takes(each.ReferenceTypeId, each.IsForward, each.NodeClass)
        ]
        return b"".join(encoded), len(encoded)

    def _ordinary(self, described: ua.ReferenceDescription, tail: bytes, fields: int) -> bytes:
        """A reference of an ordinary node, which has it as long as the node lives."""
        key = id(described), tail[-4:]
        known = self._encoded.get(key)
        if known is not None and known[0] is described:
            return known[1]
        self._fresh += 1
        if len(self._encoded) >= _ENCODED:
            self._encoded.clear()
        encoded = _head(described.ReferenceTypeId, described.IsForward, fields)
        encoded += nodeid_to_binary(described.NodeId) + _rest(described, fields)
        self._encoded[key] = described, encoded
        return encoded

    # --- nodes of devices and types

    def _computed(self, owner: Owner, member: str, shape: Shape, tail: bytes, wanted: _Filter) -> tuple[bytes, int]:
        name = owner.id.encode()
        # The shape of an owner is its own and made anew each time; those of members are shared.
        kept: object = shape if member else owner
        key = id(kept), tail, len(name)
        plan = self._plans.get(key)
        if plan is None:
            if len(self._plans) >= _PLANS:
                self._plans.clear()
            plan = self._plans[key] = self._make(kept, owner, shape, wanted)
        return b"".join(
            part + TEXT_ID.pack(TEXT_KIND, owner.namespace, len(name)) + name + self._owner(owner, wanted.fields)
            if isinstance(part, bytes)
            else name.join(part)
            for part in plan.parts
        ), plan.count

    def _owner(self, owner: Owner, fields: int) -> bytes:
        """What follows the NodeId of a reference to an owner."""
        key = id(owner), fields
        known = self._owners.get(key)
        if known is None:
            if len(self._owners) >= _OWNERS:
                self._owners.clear()
            shape = owner.shape("")
            if shape is None:
                raise KeyError(owner.id)
            known = self._owners[key] = owner, _rest(_described(shape), fields)
        return known[1]

    def _make(self, kept: object, owner: Owner, shape: Shape, wanted: _Filter) -> _Plan:
        parts: list[tuple[bytes, ...] | bytes] = []
        pieces, count = [b""], 0
        for head, member, rest in self._links(owner, shape, wanted):
            count += 1
            if member == "":
                parts += (tuple(pieces), head)
                pieces = [b""]
            elif member is None:
                pieces[-1] += head + rest
            else:
                ending = f".{member}".encode()
                length = len(owner.id.encode()) + len(ending)
                pieces[-1] += head + TEXT_ID.pack(TEXT_KIND, owner.namespace, length)
                pieces.append(ending + rest)
        parts.append(tuple(pieces))
        return _Plan(kept, tuple(parts), count)

    def _links(self, owner: Owner, shape: Shape, wanted: _Filter) -> Iterator[tuple[bytes, str | None, bytes]]:
        """Head, member (None for a node elsewhere, whose id is in the rest) and rest of each reference."""
        for link in shape.links:
            if isinstance(link.target, str):
                target = owner.shape(link.target)
                if target is None:
                    raise KeyError(member_id(owner.id, link.target))
                described, member = _described(target), link.target
                nodeid = b""
            else:
                described, member = self._nodes.describe(link.type, link.forward, link.target), None
                nodeid = nodeid_to_binary(described.NodeId)
            if wanted.takes(link.type, link.forward, described.NodeClass):
                yield _head(link.type, link.forward, wanted.fields), member, nodeid + _rest(described, wanted.fields)


def _described(shape: Shape) -> ua.ReferenceDescription:
    return reference(ua.NodeId(), True, ua.NodeId(), shape)


def _head(link_type: ua.NodeId, forward: bool, fields: int) -> bytes:
    """What precedes the NodeId of a reference."""
    kind = nodeid_to_binary(link_type) if fields & 0x01 else _NULL_ID
    return kind + (b"\1" if forward and fields & 0x02 else b"\0")


def _rest(described: ua.ReferenceDescription, fields: int) -> bytes:
    """What follows the NodeId of a reference."""
    name, shown = described.BrowseName, described.DisplayName
    return b"".join(
        (
            _NAME.pack(name.NamespaceIndex, -1)[:2] + _text(name.Name) if fields & 0x08 else _NULL_NAME,
            _localized(shown) if fields & 0x10 else b"\0",
            COUNT.pack(int(described.NodeClass) if fields & 0x04 else 0),
            nodeid_to_binary(described.TypeDefinition) if fields & 0x20 else _NULL_ID,
        )
    )


def _text(words: str | None) -> bytes:
    if words is None:
        return COUNT.pack(-1)
    encoded = words.encode("utf-8", "surrogateescape")
    return COUNT.pack(len(encoded)) + encoded


def _localized(shown: ua.LocalizedText) -> bytes:
    present = [words for words in (shown.Locale, shown.Text) if words is not None]
    mask = (shown.Locale is not None) | (shown.Text is not None) << 1
    return bytes((mask,)) + b"".join(_text(words) for words in present)
