"""What the server says that it can do and how much: ServerCapabilities and HistoryServerCapabilities.

OPC 10000-5 section 6.3.2 and OPC 10000-11 section 5.4.2. Every number is the one that is enforced.
"""

from __future__ import annotations

from typing import Any, Final

from asyncua import ua

from address_space.attributes import READ_EVENT_HISTORY, SUBSCRIBE_TO_EVENTS
from address_space.history_configuration import AGGREGATE_DEFAULTS, HistoryOffer
from node.roles import Role
from node.server.events.event_filter import MOST_SELECT_CLAUSES, MOST_WHERE_ELEMENTS
from node.server.history import PAGE_EVENTS, PAGE_VALUES, POINTS_PER_SESSION
from node.server.limits import Limits
from node.server.security.roles import ANONYMOUS_ID, AUTHENTICATED_USER_ID, well_known_role_ids
from node.server.standard.standard_values import StandardValues

_TYPES: Final = ua.VariantType
# OPC 10000-7; what is in them is tested here, and nothing is claimed that goes beyond.
PROFILES: Final = (
    "http://opcfoundation.org/UA-Profile/Server/MicroEmbeddedDevice2017",
    "http://opcfoundation.org/UA-Profile/Server/Methods",
)


def publish_capabilities(values: StandardValues, limits: Limits, history: HistoryOffer | None) -> None:
    """Set everything below Server/ServerCapabilities; `history` is None when the node does not record."""
    subscriptions = min(limits.subscriptions, limits.sessions * limits.subscriptions_per_session)
    items_per_session = min(limits.items_per_session, limits.subscriptions_per_session * limits.items_per_subscription)
    for name, value, kind in (
        ("ServerProfileArray", list(PROFILES), _TYPES.String),
        ("LocaleIdArray", ["en"], _TYPES.String),
        ("SoftwareCertificates", [], _TYPES.ExtensionObject),
        ("MinSupportedSampleRate", limits.sampling_min_ms, _TYPES.Double),
        ("MaxBrowseContinuationPoints", limits.continuation_points, _TYPES.UInt16),
        ("MaxQueryContinuationPoints", 0, _TYPES.UInt16),
        ("MaxHistoryContinuationPoints", 0 if history is None else POINTS_PER_SESSION, _TYPES.UInt16),
        ("MaxArrayLength", limits.message_bytes, _TYPES.UInt32),
        ("MaxStringLength", limits.message_bytes, _TYPES.UInt32),
        ("MaxByteStringLength", limits.message_bytes, _TYPES.UInt32),
        ("MaxSessions", limits.sessions, _TYPES.UInt32),
        ("MaxSubscriptions", subscriptions, _TYPES.UInt32),
        ("MaxMonitoredItems", min(limits.sessions * items_per_session, limits.items), _TYPES.UInt32),
        ("MaxSubscriptionsPerSession", limits.subscriptions_per_session, _TYPES.UInt32),
        ("MaxMonitoredItemsPerSubscription", limits.items_per_subscription, _TYPES.UInt32),
        ("MaxSelectClauseParameters", MOST_SELECT_CLAUSES, _TYPES.UInt32),
        ("MaxWhereClauseParameters", MOST_WHERE_ELEMENTS, _TYPES.UInt32),
        ("MaxMonitoredItemsQueueSize", limits.queue_size, _TYPES.UInt32),
    ):
        _set(values, f"Server_ServerCapabilities_{name}", value, kind)
    _publish_operation_limits(values, limits, history)
    _publish_history(values, history)
    if history is not None:
        _publish_defaults(values)
    _publish_roles(values)


def _publish_operation_limits(values: StandardValues, limits: Limits, history: HistoryOffer | None) -> None:
    """The bounds of one request; 0 for services that are not there at all."""
    changes = history is not None and history.changes
    for name, most in (
        ("MaxNodesPerRead", limits.operations),
        ("MaxNodesPerHistoryReadData", limits.call_operations),
        ("MaxNodesPerHistoryReadEvents", limits.call_operations),
        ("MaxNodesPerWrite", limits.write_operations),
        ("MaxNodesPerHistoryUpdateData", limits.call_operations if changes else 0),
        ("MaxNodesPerHistoryUpdateEvents", 0),
        ("MaxNodesPerMethodCall", limits.call_operations),
        ("MaxNodesPerBrowse", limits.browse_operations),
        ("MaxNodesPerRegisterNodes", limits.operations),
        ("MaxNodesPerTranslateBrowsePathsToNodeIds", limits.browse_operations),
        ("MaxNodesPerNodeManagement", 0),
        ("MaxMonitoredItemsPerCall", limits.operations),
    ):
        _set(values, f"Server_ServerCapabilities_OperationLimits_{name}", most, _TYPES.UInt32)


def _publish_history(values: StandardValues, history: HistoryOffer | None) -> None:
    """What can be read and changed of history; who may change it is with each node."""
    data, changes, events = (
        history is not None,
        history is not None and history.changes,
        history is not None and history.events,
    )
    for name, able in (
        ("AccessHistoryDataCapability", data),
        ("AccessHistoryEventsCapability", events),
        ("InsertDataCapability", changes),
        ("ReplaceDataCapability", changes),
        ("UpdateDataCapability", changes),
        ("DeleteRawCapability", changes),
        ("DeleteAtTimeCapability", changes),
        ("InsertEventCapability", False),
        ("ReplaceEventCapability", False),
        ("UpdateEventCapability", False),
        ("DeleteEventCapability", False),
        ("InsertAnnotationCapability", changes),
        # The node itself takes the source time, so it is the server's too.
        ("ServerTimestampSupported", data),
    ):
        _set(values, f"HistoryServerCapabilities_{name}", able, _TYPES.Boolean)
    for name, most in (
        ("MaxReturnDataValues", PAGE_VALUES if data else 0),
        ("MaxReturnEventValues", PAGE_EVENTS if events else 0),
    ):
        _set(values, f"HistoryServerCapabilities_{name}", most, _TYPES.UInt32)
    if events:
        bits = SUBSCRIBE_TO_EVENTS | READ_EVENT_HISTORY
        values.set_attribute(ua.ObjectIds.Server, ua.AttributeIds.EventNotifier, bits, _TYPES.Byte)


def _publish_defaults(values: StandardValues) -> None:
    """How aggregates treat data that are not Good, when a request leaves it to the server."""
    for name, (value, kind) in AGGREGATE_DEFAULTS.items():
        _set(values, f"DefaultHAConfiguration_AggregateConfiguration_{name}", value, kind)
    _set(values, "DefaultHAConfiguration_Stepped", False, _TYPES.Boolean)
    _set(values, "DefaultHAConfiguration_ServerTimestampSupported", True, _TYPES.Boolean)


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
