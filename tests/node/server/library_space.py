"""Namespace 0 as asyncua builds it, and nodes as something that can be compared."""

import asyncio
import functools
from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace, NodeManagementService
from asyncua.server.standard_address_space import standard_address_space

from node.server.standard.collector import paused

Nodes = Mapping[ua.NodeId, Any]


@functools.cache
def library_nodes() -> dict[ua.NodeId, Any]:
    """What asyncua builds, made once; not to be changed."""
    return build_library_nodes()


def build_library_nodes() -> dict[ua.NodeId, Any]:
    """What asyncua builds, made now."""
    space = AddressSpace()
    with paused():
        standard_address_space.fill_address_space(NodeManagementService(space))
    return space._nodes


async def build_into(nodes: dict[ua.NodeId, Any]) -> None:
    """What a server's own way to build does."""
    nodes.update(await asyncio.to_thread(build_library_nodes))


def dump(node: Any, *, times: bool = True) -> tuple[Any, ...]:
    """All of a node but callbacks; without `times` also without when its values were set."""
    attributes = {
        attribute: (entry.value.Value.VariantType, plain(entry.value.Value.Value))
        for attribute, entry in node.attributes.items()
    }
    rest = [
        (entry.value.StatusCode, entry.value.SourceTimestamp, entry.value.ServerTimestamp)
        for entry in node.attributes.values()
        if times
    ]
    classes = [type(reference.NodeClass) for reference in node.references]
    return node.nodeid, node.call, list(attributes), attributes, rest, node.references, classes


def plain(value: Any) -> Any:
    """A value with the types in it; asyncua reads structures into the bases of the classes that it builds them of."""
    if value is None or type(value) in (int, float, str):
        return value  # an attribute of type Double may have been built of an int
    if isinstance(value, list):
        return [plain(each) for each in value]
    if is_dataclass(value) and not isinstance(value, ua.NodeId):
        parts = {each.name: plain(getattr(value, each.name)) for each in fields(value) if each.name != "Encoding"}
        return type(value).__name__, parts
    return value if isinstance(value, ua.NodeId) else (type(value).__name__, value)


def differing(some: Nodes, others: Nodes, *, times: bool = True) -> list[ua.NodeId]:
    """NodeIds of what is not the same in both, or not in both."""
    return [
        nodeid
        for nodeid in {**some, **others}
        if not (nodeid in some and nodeid in others)
        or dump(some[nodeid], times=times) != dump(others[nodeid], times=times)
    ]
