"""What the server says that it can do and how much: ServerCapabilities and HistoryServerCapabilities.

OPC 10000-5 section 6.3.2 and OPC 10000-11 section 5.4.2. Every number is the one that is enforced.
"""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from node.roles import Role
from node.server.event_filter import MOST_SELECT_CLAUSES, MOST_WHERE_ELEMENTS
from node.server.history import PAGE_VALUES
from node.server.history_points import POINTS_PER_SESSION
from node.server.limits import Limits
from node.server.roles import ANONYMOUS_ID, AUTHENTICATED_USER_ID, well_known_role_ids
from node.server.standard_values import StandardValues

_TYPES: Final = ua.VariantType
_UINT32_MAX: Final = 2**32 - 1
# OPC 10000-7; what is in them is tested here, and nothing is claimed that goes beyond.
PROFILES: Final = (
    "http://opcfoundation.org/UA-Profile/Server/MicroEmbeddedDevice2017",
    "http://opcfoundation.org/UA-Profile/Server/Methods",
)


def publish_capabilities(values: StandardValues, limits: Limits, *, history: bool) -> None:
    """Set everything below Server/ServerCapabilities; `history` is whether the node records."""
    subscriptions = limits.sessions * limits.subscriptions_per_session
    items_per_session = min(limits.items_per_session, limits.subscriptions_per_session * limits.items_per_subscription)
    for name, value, kind in (
        ("ServerProfileArray", list(PROFILES), _TYPES.String),
        ("LocaleIdArray", ["en"], _TYPES.String),
        ("SoftwareCertificates", [], _TYPES.ExtensionObject),
        ("MinSupportedSampleRate", limits.sampling_min_ms, _TYPES.Double),
        ("MaxBrowseContinuationPoints", limits.continuation_points, _TYPES.UInt16),
        ("MaxQueryContinuationPoints", 0, _TYPES.UInt16),
        ("MaxHistoryContinuationPoints", POINTS_PER_SESSION if history else 0, _TYPES.UInt16),
        ("MaxArrayLength", limits.message_bytes, _TYPES.UInt32),
        ("MaxStringLength", limits.message_bytes, _TYPES.UInt32),
        ("MaxByteStringLength", limits.message_bytes, _TYPES.UInt32),
        ("MaxSessions", limits.sessions, _TYPES.UInt32),
        ("MaxSubscriptions", subscriptions, _TYPES.UInt32),
        ("MaxMonitoredItems", min(limits.sessions * items_per_session, _UINT32_MAX), _TYPES.UInt32),
        ("MaxSubscriptionsPerSession", limits.subscriptions_per_session, _TYPES.UInt32),
        ("MaxMonitoredItemsPerSubscription", limits.items_per_subscription, _TYPES.UInt32),
        ("MaxSelectClauseParameters", MOST_SELECT_CLAUSES, _TYPES.UInt32),
        ("MaxWhereClauseParameters", MOST_WHERE_ELEMENTS, _TYPES.UInt32),
        ("MaxMonitoredItemsQueueSize", limits.queue_size, _TYPES.UInt32),
    ):
        _set(values, f"Server_ServerCapabilities_{name}", value, kind)
    _publish_operation_limits(values, limits)
    _publish_history(values, history=history)
    _publish_roles(values)


def _publish_operation_limits(values: StandardValues, limits: Limits) -> None:
    """The bounds of one request; 0 for services that are not there at all."""
    for name, most in (
        ("MaxNodesPerRead", limits.operations),
        ("MaxNodesPerHistoryReadData", limits.call_operations),
        ("MaxNodesPerHistoryReadEvents", limits.call_operations),
        ("MaxNodesPerWrite", limits.write_operations),
        ("MaxNodesPerHistoryUpdateData", 0),
        ("MaxNodesPerHistoryUpdateEvents", 0),
        ("MaxNodesPerMethodCall", limits.call_operations),
        ("MaxNodesPerBrowse", limits.browse_operations),
        ("MaxNodesPerRegisterNodes", limits.operations),
        ("MaxNodesPerTranslateBrowsePathsToNodeIds", limits.browse_operations),
        ("MaxNodesPerNodeManagement", 0),
        ("MaxMonitoredItemsPerCall", limits.operations),
    ):
        _set(values, f"Server_ServerCapabilities_OperationLimits_{name}", most, _TYPES.UInt32)


def _publish_history(values: StandardValues, *, history: bool) -> None:
    """History is read and never changed by a client."""
    for name, able in (
        ("AccessHistoryDataCapability", history),
        ("AccessHistoryEventsCapability", False),
        ("InsertDataCapability", False),
        ("ReplaceDataCapability", False),
        ("UpdateDataCapability", False),
        ("DeleteRawCapability", False),
        ("DeleteAtTimeCapability", False),
        ("InsertEventCapability", False),
        ("ReplaceEventCapability", False),
        ("UpdateEventCapability", False),
        ("DeleteEventCapability", False),
        ("InsertAnnotationCapability", False),
        # The node itself takes the source time, so it is the server's too.
        ("ServerTimestampSupported", history),
    ):
        _set(values, f"HistoryServerCapabilities_{name}", able, _TYPES.Boolean)
    most = PAGE_VALUES if history else 0
    _set(values, "HistoryServerCapabilities_MaxReturnDataValues", most, _TYPES.UInt32)
    _set(values, "HistoryServerCapabilities_MaxReturnEventValues", 0, _TYPES.UInt32)


def _publish_roles(values: StandardValues) -> None:
    """Who gets a role: everybody, who logs in, and the groups of the user list that are called as our roles."""
    criteria = ua.IdentityCriteriaType
    rules: dict[int, list[Any]] = {
        ANONYMOUS_ID: [_rule(criteria.Anonymous)],
        AUTHENTICATED_USER_ID: [_rule(criteria.AuthenticatedUser)],
    }
    for role in Role:
        for number in well_known_role_ids(role):
            # The lowest role that has it comes first; whoever has more may do all of it too.
            rules.setdefault(number, [_rule(criteria.GroupId, each.label) for each in Role if each >= role])
    names = {number: name for name, number in vars(ua.ObjectIds).items() if name.startswith("WellKnownRole_")}
    for number, found in rules.items():
        _set(values, f"{names[number]}_Identities", found, _TYPES.ExtensionObject)


def _rule(kind: ua.IdentityCriteriaType, group: str | None = None) -> Any:
    rule: Any = ua.IdentityMappingRuleType(CriteriaType=kind)
    rule.Criteria = group
    return rule


def _set(values: StandardValues, name: str, value: Any, kind: ua.VariantType) -> None:
    values.set(getattr(ua.ObjectIds, name), value, kind)
