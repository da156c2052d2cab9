"""Who may do what with a node. Pure: the node says what it is, the role says who asks."""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from address_space.nodes import Node
from address_space.shape import NS_APPLICATION, node_id
from node.roles import Role

READ: Final = 1 << ua.AccessLevel.CurrentRead
WRITE: Final = 1 << ua.AccessLevel.CurrentWrite
HISTORY_READ: Final = 1 << ua.AccessLevel.HistoryRead
HISTORY_WRITE: Final = 1 << ua.AccessLevel.HistoryWrite
_GIVEN: Final = READ | WRITE | HISTORY_READ | HISTORY_WRITE
# What only those may use who write settings.
_CHANGES: Final = WRITE | HISTORY_WRITE

# Who is connected with which certificate is for administrators (OPC 10000-5 section 6.3.4).
_FOR_ADMINS: Final = frozenset(
    (node_id(ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray),)
)

# Methods of the Server object that concern a client's own subscriptions: every role may call them.
GET_MONITORED_ITEMS: Final = node_id(ua.ObjectIds.Server_GetMonitoredItems)
RESEND_DATA: Final = node_id(ua.ObjectIds.Server_ResendData)
SERVER_METHODS: Final = frozenset((GET_MONITORED_ITEMS, RESEND_DATA))

CALLS: Final = Role.OPERATOR  # commands
WRITES: Final = Role.ENGINEER  # settings and history


def attribute(node: Any, attribute_id: int) -> ua.DataValue | None:
    """An attribute as the address space has it; None when the node does not have it."""
    entry = node.attributes.get(attribute_id)
    if entry is None:
        return None
    if entry.value_callback is not None:
        value: ua.DataValue = entry.value_callback(node.nodeid, attribute_id)
        return value
    value_now: ua.DataValue | None = entry.value
    return value_now


def plain(node: Any, attribute_id: int) -> Any:
    """The plain value of an attribute; None when the node does not have it."""
    found = attribute(node, attribute_id)
    return None if found is None or found.Value is None else found.Value.Value


def access_level(node: Any) -> int:
    """What can be done with a Value at all, whoever asks. Only settings of devices are ever written."""
    level = int(plain(node, ua.AttributeIds.AccessLevel) or 0) & _GIVEN
    return level if isinstance(node, Node) else level & ~_CHANGES


def user_access_level(node: Any, role: Role) -> int:
    """What a role can do with a Value."""
    level = access_level(node)
    if role < Role.ADMIN and _is_for_admins(node.nodeid):
        return 0
    return level if role >= WRITES else level & ~_CHANGES


def _is_for_admins(nodeid: ua.NodeId) -> bool:
    if nodeid.NamespaceIndex == NS_APPLICATION:  # the objects of sessions
        return ".SessionSecurityDiagnostics" in str(nodeid.Identifier)
    return nodeid in _FOR_ADMINS


def executable(node: Any) -> bool:
    """Whether a method can be called at all."""
    if node.nodeid in SERVER_METHODS:
        return True
    return isinstance(node, Node) and bool(plain(node, ua.AttributeIds.Executable))


def user_executable(node: Any, role: Role) -> bool:
    """Whether a role can call a method."""
    return executable(node) and (role >= CALLS or node.nodeid in SERVER_METHODS)


def for_role(node: Any, attribute_id: int, role: Role) -> ua.Variant | None:
    """An attribute that depends on who asks; None for the others."""
    if attribute_id == ua.AttributeIds.UserAccessLevel:
        return ua.Variant(user_access_level(node, role), ua.VariantType.Byte)
    if attribute_id == ua.AttributeIds.AccessLevel:
        return ua.Variant(access_level(node), ua.VariantType.Byte)
    if attribute_id == ua.AttributeIds.UserExecutable:
        return ua.Variant(user_executable(node, role), ua.VariantType.Boolean)
    if attribute_id == ua.AttributeIds.Executable:
        return ua.Variant(executable(node), ua.VariantType.Boolean)
    if attribute_id in (ua.AttributeIds.WriteMask, ua.AttributeIds.UserWriteMask):
        # Nobody writes anything but Values.
        return ua.Variant(0, ua.VariantType.UInt32)
    return None
