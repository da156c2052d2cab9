"""Takes out of the standard address space what nothing stands behind: a client finds what works, and nothing else.

All of it is optional (OPC 10000-5 section 6.3.1, OPC 10000-18 section 4.4). The types stay, so a client that knows
them is not confused.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, MutableMapping
from typing import Any, Final

from asyncua import ua

from address_space.shape import HAS_COMPONENT, HAS_PROPERTY, ORGANIZES, node_id
from node.roles import Role
from node.server.security.roles import ANONYMOUS_ID, well_known_role_ids

_IDS: Final = ua.ObjectIds
_OWNS: Final = (HAS_COMPONENT, HAS_PROPERTY, ORGANIZES)
_ROLE_SET: Final = node_id(_IDS.Server_ServerCapabilities_RoleSet)

_NOT_OFFERED: Final = (
    _IDS.Server_UrisVersion,
    _IDS.Server_SetSubscriptionDurable,
    _IDS.Server_RequestServerStateChange,
    _IDS.Dictionaries,
    _IDS.Quantities,
    _IDS.HAConfiguration,
    _IDS.DefaultHEConfiguration,
    _IDS.ServerConfiguration,
    _IDS.PublishSubscribe,
    _IDS.Resources,
    _IDS.ServerLog,
    _IDS.Server_ServerCapabilities_ConformanceUnits,
    _IDS.Server_ServerRedundancy_RedundantServerArray,
    _IDS.OPCUANamespaceMetadata_DefaultRolePermissions,
    _IDS.OPCUANamespaceMetadata_DefaultUserRolePermissions,
    _IDS.OPCUANamespaceMetadata_DefaultAccessRestrictions,
)
# What the default of all variables does not say.
_NOT_BY_DEFAULT: Final = tuple(
    getattr(_IDS, f"DefaultHAConfiguration_{name}")
    for name in (
        "AggregateFunctions",
        "Definition",
        "MaxTimeInterval",
        "MinTimeInterval",
        "ExceptionDeviation",
        "ExceptionDeviationFormat",
        "StartOfArchive",
        "StartOfOnlineArchive",
        "MaxTimeStoredValues",
        "MaxCountStoredValues",
    )
)
# Roles that a session can have here; OPC 10000-18 section 4.2 lets a server have fewer than there are.
_ROLES: Final = frozenset((ANONYMOUS_ID, *well_known_role_ids(Role.ADMIN)))


def withdraw_what_is_not_offered(nodes: MutableMapping[ua.NodeId, Any], *, history: bool = False) -> None:
    """Take away the standard objects of features that this server does not have, and the means to change its roles.

    `history` is whether it records.
    """
    withdraw(nodes, (node_id(each) for each in _NOT_OFFERED))
    withdraw(nodes, (node_id(each) for each in (_NOT_BY_DEFAULT if history else (_IDS.DefaultHAConfiguration,))))
    roles = nodes.get(_ROLE_SET)
    if roles is None:
        return
    offered: list[ua.NodeId] = []
    rest: list[ua.NodeId] = []
    for each in _owned(roles):
        (offered if each.Identifier in _ROLES else rest).append(each)
    withdraw(nodes, rest)
    for role in offered:
        withdraw(nodes, _owned(nodes[role], lambda name: name != "Identities"))


def withdraw(nodes: MutableMapping[ua.NodeId, Any], roots: Iterable[ua.NodeId]) -> None:
    """Take away nodes with all that they own, and every reference to them."""
    gone: dict[ua.NodeId, Any] = {}
    waiting = list(roots)
    while waiting:
        current = waiting.pop()
        node = nodes.get(current)
        if node is None or current in gone:
            continue
        gone[current] = node
        waiting += _owned(node)
    neighbours = {each.NodeId for node in gone.values() for each in node.references} - gone.keys()
    for nodeid in gone:
        del nodes[nodeid]
    for nodeid in neighbours:
        neighbour = nodes.get(nodeid)
        if neighbour is not None:
            neighbour.references[:] = [each for each in neighbour.references if each.NodeId not in gone]


def _owned(node: Any, fits: Callable[[str], bool] = bool) -> list[ua.NodeId]:
    """What a node has below it, of those names that fit."""
    return [
        each.NodeId
        for each in node.references
        if each.IsForward and each.ReferenceTypeId in _OWNS and fits(each.BrowseName.Name)
    ]
