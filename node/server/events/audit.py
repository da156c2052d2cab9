"""Audit events: who made a session, logged in, wrote, called, opened a channel, and what came of it.

OPC 10000-5 sections 6.4.3 to 6.4.29. Only administrators see them. Secrets are in none of them.
"""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from contextvars import ContextVar
from dataclasses import dataclass, field
from typing import Any, Final

from asyncua import ua

from address_space.event_types import COMMAND_EVENT_TYPE
from address_space.model import CommandResult, Outcome
from address_space.shape import NS_MODEL, node_id
from address_space.values import text
from node.roles import Role
from node.server.events.audit_value import is_small, kept
from node.server.events.event_types import Path
from node.server.events.events import LOW, MIDDLE, SERVER, Events
from node.server.events.events import field as path
from node.server.request import Line, Request
from node.server.security.policies import ChannelRefused
from node.server.security.verdict import CertificateStatus, Verdict
from node.server.sessions.sessions import Session

_IDS: Final = ua.ObjectIds
_T: Final = ua.VariantType
_BAD: Final = 0x8000_0000
# Characters and bytes of one field that comes from a client; certificates have two thousand.
_FIELD_MOST: Final = 8_192
_CHANGES_MOST: Final = 65_536  # the same of a change of history, which is an engineer's
_MESSAGE_MOST: Final = 500
# Types of events for certificates that were refused, by the name of the status (OPC 10000-5 section 6.4.14 on).
_CERTIFICATE_EVENTS: Final = {
    "BadCertificateTimeInvalid": _IDS.AuditCertificateExpiredEventType,
    "BadCertificateIssuerTimeInvalid": _IDS.AuditCertificateExpiredEventType,
    "BadCertificateUntrusted": _IDS.AuditCertificateUntrustedEventType,
    "BadCertificateRevoked": _IDS.AuditCertificateRevokedEventType,
    "BadCertificateIssuerRevoked": _IDS.AuditCertificateRevokedEventType,
    "BadCertificateUriInvalid": _IDS.AuditCertificateDataMismatchEventType,
    "BadCertificateUseNotAllowed": _IDS.AuditCertificateMismatchEventType,
}


@dataclass(slots=True)
class Asked:
    """The request that is in work, for what happens deep inside it."""

    session_id: ua.NodeId
    entry_id: str  # the client's own, for its audit log
    settled: set[ua.NodeId] = field(default_factory=set)  # nodes whose event is made already


# Of the request that this task works on; None for what came a faster way, whose client gave no entry.
ASKED: ContextVar[Asked | None] = ContextVar("asked", default=None)


class Audit:
    """Makes audit events; does nothing as long as nobody listens."""

    def __init__(self, events: Events, server_id: str) -> None:
        """`server_id` is the ApplicationUri of this server."""
        self._events = events
        self._server_id = server_id

    @property
    def heard(self) -> bool:
        """False when nobody watches any events, so that nothing need be made for them."""
        return self._events.heard

    # --- channels and certificates

    def channel_opened(self, line: Line, refused: ChannelRefused | None) -> None:
        """A client opened or renewed a channel, or tried to."""
        channel = line.channel
        fields = {
            path("SecureChannelId"): _string(str(channel.id)),
            path("SecurityPolicyUri"): _string(channel.policy_uri),
            path("SecurityMode"): ua.Variant(int(channel.mode), _T.Int32),
            path("RequestType"): ua.Variant(int(channel.request_type), _T.Int32),
            path("RequestedLifetime"): ua.Variant(channel.requested_ms, _T.Double),
            **_certificate(channel.peer_certificate),
        }
        self._tell(
            _IDS.AuditOpenSecureChannelEventType,
            "SecureChannel/OpenSecureChannel",
            f"{line.peer} {'was refused' if refused else 'opened'} a secure channel",
            0 if refused is None else refused.status,
            fields,
        )

    def certificate_refused(self, verdict: Verdict, peer: str) -> None:
        """The certificate of a client or user did not pass; the event has the full reason, the client has not."""
        status = verdict.status.value
        fields = {path("Certificate"): ua.Variant(verdict.der, _T.ByteString)}
        if verdict.status is CertificateStatus.URI_INVALID:
            fields |= {path("InvalidHostname"): _string(""), path("InvalidUri"): _string(verdict.claimed_uri)}
        self._tell(
            _CERTIFICATE_EVENTS.get(status, _IDS.AuditCertificateInvalidEventType),
            "Security/Certificate",
            f"the certificate of {peer} ({verdict.subject} {verdict.thumbprint}) was refused, {verdict.reason}",
            int(getattr(ua.StatusCodes, status, ua.StatusCodes.BadCertificateInvalid)),
            fields,
        )

    # --- sessions

    def session_created(self, request: Request, session: Session | None, status: int) -> None:
        """A client made a session, or tried to."""
        what = f"CreateSession of {request.line.peer}"
        fields = _creation(request, session)
        self._tell(_IDS.AuditCreateSessionEventType, "Session/CreateSession", what, status, fields, request)

    def url_mismatch(self, request: Request, session: Session, endpoint_url: str) -> None:
        """A client made a session with an EndpointUrl whose host is none of this server's."""
        what = f"CreateSession of {request.line.peer} for {endpoint_url}, which is not this server"
        fields = {**_creation(request, session), path("EndpointUrl"): _string(endpoint_url)}
        self._tell(_IDS.AuditUrlMismatchEventType, "Session/CreateSession", what, 0, fields, request)

    def session_activated(self, request: Request, session: Session | None, token: Any, status: int) -> None:
        """A user logged into a session, or tried to."""
        shown = _without_secrets(token, named=not status)
        fields = {
            path("SessionId"): _node(ua.NodeId() if session is None else session.id),
            path("SecureChannelId"): _string(str(request.line.channel.id)),
            path("ClientSoftwareCertificates"): ua.Variant([], _T.ExtensionObject, is_array=True),
            path("UserIdentityToken"): ua.Variant(shown, _T.ExtensionObject),
        }
        # Who fails to log in may have typed a password into the wrong field.
        user = session.caller.user if session is not None and not status else ""
        what = f"ActivateSession of {user or 'a client'} from {request.line.peer}"
        self._tell(_IDS.AuditActivateSessionEventType, "Session/ActivateSession", what, status, fields, request, user)

    def session_closed(self, request: Request, session: Session | None, status: int) -> None:
        """A client ended its session, or tried to."""
        user = "" if session is None else session.caller.user
        fields = {path("SessionId"): _node(ua.NodeId() if session is None else session.id)}
        what = f"CloseSession of {user or 'a client'}"
        self._tell(_IDS.AuditSessionEventType, "Session/CloseSession", what, status, fields, request, user)

    def session_timed_out(self, session: Session) -> None:
        """A session has ended because its client was silent."""
        self._session_ended(session, "Session/Timeout", "has timed out")

    def session_terminated(self, session: Session) -> None:
        """A session was ended here: its user or client is not let in any more."""
        self._session_ended(session, "Session/Terminated", "was ended")

    def _session_ended(self, session: Session, source_name: str, how: str) -> None:
        user = session.caller.user
        fields = {path("SessionId"): _node(session.id)}
        what = f"the session of {user or 'a client'} {how}"
        self._tell(_IDS.AuditSessionEventType, source_name, what, 0, fields, user=user)

    def cancelled(self, request: Request, session: Session, handle: int) -> None:
        """A client took back requests."""
        fields = {path("SessionId"): _node(session.id), path("RequestHandle"): ua.Variant(handle, _T.UInt32)}
        user = session.caller.user
        self._tell(_IDS.AuditCancelEventType, "Session/Cancel", f"Cancel of {user}", 0, fields, request, user)

    # --- writes and calls

    def written(self, node: ua.NodeId, new: ua.Variant | None, old: ua.Variant | None, user: str, status: int) -> None:
        """A client wrote a node, or tried to."""
        fields = {
            path("AttributeId"): ua.Variant(int(ua.AttributeIds.Value), _T.UInt32),
            path("IndexRange"): _string(""),
            path("NewValue"): new or ua.Variant(),
            path("OldValue"): old or ua.Variant(),
        }
        what = f"{user} wrote {node.to_string()}"
        self._tell(_IDS.AuditWriteUpdateEventType, "Attribute/Write", what, status, fields, user=user, source=node)

    def called(
        self,
        target: ua.NodeId,
        method: ua.NodeId,
        inputs: Sequence[Any],
        outputs: Sequence[Any],
        user: str,
        status: int,
    ) -> None:
        """A client called a method, or tried to."""
        fields = {
            path("MethodId"): _node(method),
            path("StatusCodeId"): ua.Variant(ua.StatusCode(ua.UInt32(status)), _T.StatusCode),
            path("InputArguments"): _variants(inputs),
            path("OutputArguments"): _variants(outputs),
        }
        what = f"{user} called {method.to_string()}"
        self._tell(_IDS.AuditUpdateMethodEventType, "Attribute/Call", what, status, fields, user=user, source=target)

    def history_updated(
        self, node: ua.NodeId, event_type: int, fields: Mapping[Path, ua.Variant], what: str, user: str, status: int
    ) -> None:
        """A client changed the history of a node, or tried to; `event_type` is a subtype of AuditHistoryUpdate."""
        name, most = "Attribute/HistoryUpdate", _CHANGES_MOST
        self._tell(event_type, name, what, status, fields, user=user, source=node, most=most)

    def left_out(self, count: int, source_name: str, user: str, status: int) -> None:
        """So many more items of a request were refused, the first of them with this status."""
        what = f"{count} more of the same request of {user} were refused"
        self._tell(_IDS.AuditUpdateEventType, source_name, what, status, {}, user=user)

    def command_ended(self, device: ua.NodeId, name: str, command: str, result: CommandResult, user: str) -> None:
        """A command or a write of a setting has ended; operators see this one."""
        if not self._events.heard:
            return
        good = result.outcome is Outcome.CONFIRMED
        values = {
            "Command": _string(command),
            "Outcome": ua.Variant(int(result.outcome), _T.Int32),
            "Observed": _string(result.observed),
            "Elapsed": ua.Variant(result.elapsed_s * 1000, _T.Double),
            "Reason": ua.Variant(text(result.reason), _T.LocalizedText),
            "User": _string(user),
        }
        event = self._events.make(
            COMMAND_EVENT_TYPE,
            f"{command} on {name}: {result.outcome.name}",
            source=device,
            source_name=name,
            severity=LOW if good else MIDDLE,
            fields={path(key, NS_MODEL): value for key, value in values.items()},
            audience=Role.OPERATOR,
        )
        self._events.tell(event)

    # --- inside

    def _tell(
        self,
        event_type: int,
        source_name: str,
        what: str,
        status: int,
        fields: Mapping[Path, ua.Variant],
        request: Request | None = None,
        user: str = "",
        source: ua.NodeId | None = None,
        most: int = _FIELD_MOST,
    ) -> None:
        if not self._events.heard:
            return
        asked = ASKED.get()
        entry_id = "" if asked is None else asked.entry_id
        if request is not None:
            entry_id = request.header.AuditEntryId or ""
        name = ua.StatusCode(ua.UInt32(status)).name
        common = {
            path("StatusCodeId"): ua.Variant(ua.StatusCode(ua.UInt32(status)), _T.StatusCode),
            path("ActionTimeStamp"): ua.Variant(self._events.now(), _T.DateTime),
            path("Status"): ua.Variant(status < _BAD, _T.Boolean),
            path("ServerId"): _string(self._server_id),
            path("ClientAuditEntryId"): _string(entry_id),
            path("ClientUserId"): _string(user),
        }
        what = what[:_MESSAGE_MOST]
        event = self._events.make(
            node_id(event_type),
            f"{what}: {name}" if status else what,
            source_name=source_name,
            severity=LOW if status < _BAD else MIDDLE,
            fields=kept({**common, **fields}, most),
            audience=Role.ADMIN,
            source=source if source is not None and is_small(source, _FIELD_MOST) else SERVER,
        )
        self._events.tell(event)


def _string(value: str) -> ua.Variant:
    return ua.Variant(value, _T.String)


def _node(value: ua.NodeId) -> ua.Variant:
    return ua.Variant(value, _T.NodeId)


def _variants(values: Sequence[Any]) -> ua.Variant:
    return ua.Variant(list(values), _T.Variant, is_array=True)


def _creation(request: Request, session: Session | None) -> dict[Path, ua.Variant]:
    channel = request.line.channel
    return {
        path("SessionId"): _node(ua.NodeId() if session is None else session.id),
        path("SecureChannelId"): _string(str(channel.id)),
        path("RevisedSessionTimeout"): ua.Variant(session.timeout_s * 1000 if session else 0.0, _T.Double),
        **_certificate(channel.peer_certificate),
    }


def _certificate(der: bytes) -> dict[Path, ua.Variant]:
    thumbprint = hashlib.sha1(der, usedforsecurity=False).hexdigest().upper() if der else ""
    return {
        path("ClientCertificate"): ua.Variant(der, _T.ByteString),
        path("ClientCertificateThumbprint"): _string(thumbprint),
    }


def _without_secrets(token: Any, *, named: bool) -> Any:
    """What a user showed, without its password or whatever else could be used again."""
    if isinstance(token, ua.UserNameIdentityToken):
        return ua.UserNameIdentityToken(PolicyId=token.PolicyId, UserName=token.UserName if named else None)
    if isinstance(token, ua.X509IdentityToken):
        return ua.X509IdentityToken(PolicyId=token.PolicyId, CertificateData=token.CertificateData)
    return ua.AnonymousIdentityToken()
