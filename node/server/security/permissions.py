"""Rights of the well-known roles on each node (OPC 10000-3 sections 4.9, 5.2.9 to 5.2.11). Pure."""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from address_space.shape import node_id
from node.roles import Role
from node.server.security.access import (
    HISTORY_READ,
    HISTORY_WRITE,
    READ,
    WRITE,
    plain,
    user_access_level,
    user_executable,
)
from node.server.security.access import for_role as by_access
from node.server.security.roles import own_role_ids

_IDS: Final = ua.AttributeIds
_MAY: Final = ua.PermissionType
# Every node has these; no role may change any of them.
ON_EVERY_NODE: Final = frozenset({_IDS.RolePermissions, _IDS.UserRolePermissions, _IDS.AccessRestrictions})
_EVENT_HISTORY: Final = 1 << ua.EventNotifier.HistoryRead
_BY_LEVEL: Final = (
    (READ, _MAY.Read),
    (WRITE, _MAY.Write),
    (HISTORY_READ, _MAY.ReadHistory),
    (HISTORY_WRITE, _MAY.InsertHistory | _MAY.ModifyHistory | _MAY.DeleteHistory),
)
# Nothing is answered outside a session. Which channels take sessions is the endpoints' to say.
_RESTRICTIONS: Final = int(ua.AccessRestrictionType.SessionRequired)


def for_role(node: Any, attribute_id: int, role: Role) -> ua.Variant | None:
    """An attribute that depends on who asks, or that all nodes have; None for the others."""
    if attribute_id == _IDS.RolePermissions:
        return _listed(node, Role.ADMIN)
    if attribute_id == _IDS.UserRolePermissions:
        return _listed(node, role)
    if attribute_id == _IDS.AccessRestrictions:
        return ua.Variant(_RESTRICTIONS, ua.VariantType.UInt16)
    return by_access(node, attribute_id, role)


def permissions(node: Any, role: Role) -> ua.PermissionType:
    """What a role may do with a node."""
    may = _MAY.Browse | _MAY.ReadRolePermissions
    if _IDS.AccessLevel in node.attributes:
        level = user_access_level(node, role)
        for bit, permission in _BY_LEVEL:
            if level & bit:
                may |= permission
    elif user_executable(node, role):
        may |= _MAY.Call
    elif _IDS.EventNotifier in node.attributes:
        may |= _MAY.ReceiveEvents
        if int(plain(node, _IDS.EventNotifier) or 0) & _EVENT_HISTORY:
            may |= _MAY.ReadHistory
    return may


def _listed(node: Any, highest: Role) -> ua.Variant:
    """The roles up to one of them; a session has all of those."""
    listed = [
        ua.RolePermissionType(node_id(number), permissions(node, role))
        for role in Role
        if role <= highest
        for number in own_role_ids(role)
    ]
    return ua.Variant(listed, ua.VariantType.ExtensionObject, is_array=True)
