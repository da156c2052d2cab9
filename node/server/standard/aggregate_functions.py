"""The folders that say which aggregates the server has (OPC 10000-13 section 4.2.1, OPC 10000-5 section 6.3.2)."""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from address_space.nodes import NodeMap
from address_space.shape import ORGANIZES, node_id
from node.server.history import AGGREGATES

_FOLDERS: Final = (
    node_id(ua.ObjectIds.Server_ServerCapabilities_AggregateFunctions),
    node_id(ua.ObjectIds.HistoryServerCapabilities_AggregateFunctions),
)


def publish_aggregates(nodes: NodeMap) -> None:
    """Organize the standard nodes of all aggregates in the folders; what the library does not have is left out."""
    for number in AGGREGATES:
        aggregate = node_id(number)
        node: Any = nodes.get(aggregate)
        for folder in _FOLDERS:
            above: Any = nodes.get(folder)
            if node is not None and above is not None:
                above.references.append(nodes.describe(ORGANIZES, True, aggregate))
                node.references.append(nodes.describe(ORGANIZES, False, folder))
