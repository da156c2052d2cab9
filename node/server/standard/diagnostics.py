"""What the server counts about itself and its clients: ServerDiagnostics (OPC 10000-5 sections 6.3.3 to 6.3.5).

Nothing here is kept up to date for its own sake: what can be looked at is looked at when a client reads it.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from typing import Any, Final
from weakref import WeakKeyDictionary

from asyncua import ua

from address_space.model import Clock, ticks_to_datetime
from node.server.sessions.sessions import Session, SessionTable
from node.server.standard.standard_values import StandardValues
from node.server.subscriptions.monitored_item import DISABLED
from node.server.subscriptions.subscription import Subscription

_IDS: Final = ua.ObjectIds
_TYPES: Final = ua.VariantType
_TRANSPORT: Final = "opc.tcp"
_USERS_KEPT: Final = 10  # of one session's history of users
_SUFFIX: Final = "Request_Encoding_DefaultBinary"

CREATE_SESSION: Final = _IDS.CreateSessionRequest_Encoding_DefaultBinary
ACTIVATE_SESSION: Final = _IDS.ActivateSessionRequest_Encoding_DefaultBinary
_CREATE_SUBSCRIPTION: Final = _IDS.CreateSubscriptionRequest_Encoding_DefaultBinary
_ESTABLISHING: Final = (CREATE_SESSION, ACTIVATE_SESSION)
# Refusals that have to do with who asks.
_SECURITY: Final = frozenset(
    (
        ua.StatusCodes.BadSecurityChecksFailed,
        ua.StatusCodes.BadSecurityPolicyRejected,
        ua.StatusCodes.BadUserAccessDenied,
        ua.StatusCodes.BadIdentityTokenInvalid,
        ua.StatusCodes.BadIdentityTokenRejected,
        ua.StatusCodes.BadUserSignatureInvalid,
        ua.StatusCodes.BadApplicationSignatureInvalid,
        ua.StatusCodes.BadNonceInvalid,
        ua.StatusCodes.BadSessionIdInvalid,
        ua.StatusCodes.BadSessionNotActivated,
        *(
            value
            for name, value in vars(ua.StatusCodes).items()
            if name.startswith("BadCertificate") and isinstance(value, int)
        ),
    )
)


def _counted_services() -> dict[int, str]:
    """Fields of SessionDiagnosticsDataType by the service that they count."""
    fields = ua.SessionDiagnosticsDataType.__dataclass_fields__
    names = {
        getattr(_IDS, f"{name.removesuffix('Count')}{_SUFFIX}", None): name for name in fields if name.endswith("Count")
    }
    return {number: name for number, name in names.items() if number is not None}


_COUNTED: Final = _counted_services()


@dataclass(slots=True)
class _Record:
    """What is known of one session beyond what serving it needs."""

    connected_ticks: int
    client: Any = field(default_factory=ua.ApplicationDescription)
    server_uri: str = ""
    endpoint_url: str = ""
    locales: list[str] = field(default_factory=list)
    max_response_bytes: int = 0
    mechanism: str = ""
    users: list[str] = field(default_factory=list)
    failed: Counter[int] = field(default_factory=Counter)
    unauthorized: int = 0


class Diagnostics:
    """Counts requests, and describes sessions and subscriptions as they are."""

    def __init__(self, sessions: SessionTable, clock: Clock) -> None:
        self._sessions = sessions
        self._clock = clock
        self._records: WeakKeyDictionary[Session, _Record] = WeakKeyDictionary()
        self._sessions_created = 0
        self._subscriptions_created = 0
        self._rejected = 0
        self._security_rejected = 0
        self._rejected_sessions = 0
        self._security_rejected_sessions = 0

    # --- counting

    def served(self, number: int, session: Session | None, status: int) -> None:
        """A request for the service of that number was answered with a status; 0 is Good."""
        if session is not None:
            session.served[number] += 1
            if status:
                record = self._record(session)
                record.failed[number] += 1
                record.unauthorized += status in _SECURITY
        if not status:
            self._sessions_created += number == CREATE_SESSION
            self._subscriptions_created += number == _CREATE_SUBSCRIPTION
            return
        self._rejected += 1
        self._security_rejected += status in _SECURITY
        if number in _ESTABLISHING:
            self._rejected_sessions += 1
            self._security_rejected_sessions += status in _SECURITY

    def created(self, session: Session, parameters: ua.CreateSessionParameters) -> None:
        """A client made a session; what it said of itself is kept."""
        record = self._record(session)
        record.client = parameters.ClientDescription
        record.server_uri = parameters.ServerUri or ""
        record.endpoint_url = parameters.EndpointUrl or ""
        record.max_response_bytes = parameters.MaxResponseMessageSize

    def activated(self, session: Session, parameters: ua.ActivateSessionParameters) -> None:
        """A user logged into a session."""
        record = self._record(session)
        record.locales = list(parameters.LocaleIds or ())
        record.mechanism = type(parameters.UserIdentityToken).__name__.removesuffix("IdentityToken")
        if not record.users or record.users[-1] != session.caller.user:
            record.users = [*record.users, session.caller.user][-_USERS_KEPT:]

    # --- showing

    def publish(self, values: StandardValues) -> None:
        """Let the nodes of ServerDiagnostics show it."""
        prefix = "Server_ServerDiagnostics"
        values.set(_IDS.Server_ServerDiagnostics_EnabledFlag, True, _TYPES.Boolean)
        for name in ua.ServerDiagnosticsSummaryDataType.__dataclass_fields__:
            node = getattr(_IDS, f"{prefix}_ServerDiagnosticsSummary_{name}")
            values.live(node, _field(self.summary, name), _TYPES.UInt32)
        for name, read in (
            ("ServerDiagnosticsSummary", self.summary),
            ("SamplingIntervalDiagnosticsArray", self.sampling_intervals),
            ("SubscriptionDiagnosticsArray", self.subscriptions),
            ("SessionsDiagnosticsSummary_SessionDiagnosticsArray", self.sessions),
            ("SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray", self.session_security),
        ):
            values.live(getattr(_IDS, f"{prefix}_{name}"), read, _TYPES.ExtensionObject)

    def summary(self) -> ua.ServerDiagnosticsSummaryDataType:
        """The server as a whole."""
        table = self._sessions
        running = [subscription for _, subscription in self._subscriptions()]
        found: Any = ua.ServerDiagnosticsSummaryDataType()
        found.CurrentSessionCount = len(table)
        found.CumulatedSessionCount = self._sessions_created
        found.SecurityRejectedSessionCount = self._security_rejected_sessions
        found.RejectedSessionCount = self._rejected_sessions
        found.SessionTimeoutCount = table.timed_out
        found.SessionAbortCount = table.aborted
        found.PublishingIntervalCount = len({each.rhythm.interval_ms for each in running})
        found.CurrentSubscriptionCount = len(running)
        found.CumulatedSubscriptionCount = self._subscriptions_created
        found.SecurityRejectedRequestsCount = self._security_rejected
        found.RejectedRequestsCount = self._rejected
        return found  # type: ignore[no-any-return]

    def sessions(self) -> list[Any]:
        """One SessionDiagnosticsDataType per session."""
        return [self.session(session) for session in self._sessions.all()]

    def session_security(self) -> list[Any]:
        """One SessionSecurityDiagnosticsDataType per session; for administrators only."""
        return [self.security_of(session) for session in self._sessions.all()]

    def subscriptions(self) -> list[Any]:
        """One SubscriptionDiagnosticsDataType per subscription."""
        return [_describe_subscription(session, each) for session, each in self._subscriptions()]

    def sampling_intervals(self) -> list[Any]:
        """One SamplingIntervalDiagnosticsDataType per sampling interval in use."""
        items: Counter[float] = Counter()
        disabled: Counter[float] = Counter()
        for _, subscription in self._subscriptions():
            for item in subscription.items.values():
                interval = item.settings.interval_ms
                items[interval] += 1
                disabled[interval] += item.mode == DISABLED
        described = []
        for interval, count in sorted(items.items()):
            one: Any = ua.SamplingIntervalDiagnosticsDataType(SamplingInterval=interval)
            one.MonitoredItemCount = one.MaxMonitoredItemCount = count
            one.DisabledMonitoredItemCount = disabled[interval]
            described.append(one)
        return described

    def session(self, session: Session) -> Any:
        """SessionDiagnosticsDataType of a session."""
        record = self._record(session)
        publisher = session.publisher
        subscriptions = () if publisher is None else tuple(publisher.subscriptions.values())
        silent_s = self._clock.monotonic() - session.touched_s
        one: Any = ua.SessionDiagnosticsDataType()
        one.SessionId = session.id
        one.SessionName = session.name
        one.ClientDescription = record.client
        one.ServerUri = record.server_uri
        one.EndpointUrl = record.endpoint_url
        one.LocaleIds = record.locales
        one.ActualSessionTimeout = session.timeout_s * 1000
        one.MaxResponseMessageSize = record.max_response_bytes
        one.ClientConnectionTime = ticks_to_datetime(record.connected_ticks)
        one.ClientLastContactTime = ticks_to_datetime(self._clock.now() - int(silent_s * 1e7))
        one.CurrentSubscriptionsCount = len(subscriptions)
        one.CurrentMonitoredItemsCount = sum(len(each.items) for each in subscriptions)
        one.CurrentPublishRequestsInQueue = 0 if publisher is None else publisher.waiting
        one.TotalRequestCount = _counter(session.served.total(), record.failed.total())
        one.UnauthorizedRequestCount = record.unauthorized
        for number, name in _COUNTED.items():
            setattr(one, name, _counter(session.served[number], record.failed[number]))
        return one

    def security_of(self, session: Session) -> Any:
        """SessionSecurityDiagnosticsDataType of a session; for administrators only."""
        record = self._record(session)
        one: Any = ua.SessionSecurityDiagnosticsDataType()
        one.SessionId = session.id
        one.ClientUserIdOfSession = session.caller.user
        one.ClientUserIdHistory = list(record.users)
        one.AuthenticationMechanism = record.mechanism
        one.Encoding = "UA Binary"
        one.TransportProtocol = _TRANSPORT
        one.ClientCertificate = session.client_certificate
        line = session.line
        if line is None:  # its client is away; the channel may be another when it comes back
            one.SecurityMode = ua.MessageSecurityMode.Invalid
            one.SecurityPolicyUri = ""
        else:
            one.SecurityMode = line.channel.mode
            one.SecurityPolicyUri = line.channel.policy_uri
        return one

    def subscriptions_of(self, session: Session) -> list[Any]:
        """One SubscriptionDiagnosticsDataType per subscription of a session."""
        publisher = session.publisher
        found = () if publisher is None else publisher.subscriptions.values()
        return [_describe_subscription(session, each) for each in found]

    def now(self) -> Any:
        """The time, as the library wants it."""
        return ticks_to_datetime(self._clock.now())

    # --- inside

    def _record(self, session: Session) -> _Record:
        found = self._records.get(session)
        if found is None:
            found = self._records[session] = _Record(self._clock.now())
        return found

    def _subscriptions(self) -> Iterator[tuple[Session | None, Subscription]]:
        """All that run, with their sessions; None where that has ended and another may take over."""
        for session in self._sessions.all():
            if session.publisher is not None:
                for subscription in session.publisher.subscriptions.values():
                    yield session, subscription
        for publisher in self._sessions.left_behind():
            for subscription in publisher.subscriptions.values():
                yield None, subscription


def _field(read: Callable[[], Any], name: str) -> Callable[[], Any]:
    return lambda: getattr(read(), name)


def _counter(total: int, failed: int) -> Any:
    counter: Any = ua.ServiceCounterDataType()
    counter.TotalCount = total
    counter.ErrorCount = failed
    return counter


def _describe_subscription(session: Session | None, subscription: Subscription) -> Any:
    rhythm, counts = subscription.rhythm, subscription.counts
    items = subscription.items.values()
    one: Any = ua.SubscriptionDiagnosticsDataType()
    one.SessionId = ua.NodeId() if session is None else session.id
    one.SubscriptionId = subscription.id
    one.Priority = rhythm.priority
    one.PublishingInterval = rhythm.interval_ms
    one.MaxKeepAliveCount = rhythm.keep_alive
    one.MaxLifetimeCount = rhythm.lifetime
    one.MaxNotificationsPerPublish = rhythm.max_notifications
    one.PublishingEnabled = subscription.enabled
    one.ModifyCount = counts.modified
    one.EnableCount = counts.enabled
    one.DisableCount = counts.disabled
    one.RepublishRequestCount = counts.republish_requests
    one.RepublishMessageRequestCount = counts.republish_requests
    one.RepublishMessageCount = counts.republished
    one.TransferRequestCount = counts.transfer_requests
    one.TransferredToAltClientCount = counts.transferred_to_other
    one.TransferredToSameClientCount = counts.transferred_to_same
    one.PublishRequestCount = counts.publish_requests
    one.DataChangeNotificationsCount = counts.data_changes
    one.EventNotificationsCount = counts.events
    one.NotificationsCount = counts.data_changes + counts.events
    one.LatePublishRequestCount = counts.late
    one.CurrentKeepAliveCount = subscription.silent_cycles
    one.CurrentLifetimeCount = subscription.lonely_cycles
    one.UnacknowledgedMessageCount = len(subscription.available)
    one.DiscardedMessageCount = counts.discarded
    one.MonitoredItemCount = len(items)
    one.DisabledMonitoredItemCount = sum(each.mode == DISABLED for each in items)
    one.MonitoringQueueOverflowCount = counts.overflows
    one.NextSequenceNumber = subscription.next_sequence
    one.EventQueueOverflowCount = counts.event_overflows
    return one
