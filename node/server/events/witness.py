"""Looks over the shoulder of services: who made a session, who logged in, what was written and called."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from dataclasses import replace
from typing import Any, Final

from asyncua import ua

from address_space.shape import NS_MODEL, NS_SITE, member_id, node_id
from node.server.dispatcher import Service
from node.server.events.audit import ASKED, Asked, Audit
from node.server.request import Request, ServiceRefused
from node.server.sessions.sessions import Session, SessionTable
from node.server.standard.diagnostics import ACTIVATE_SESSION, CREATE_SESSION, Diagnostics
from node.server.subscriptions.publisher import Publisher

_CLOSE_SESSION: Final = ua.ObjectIds.CloseSessionRequest_Encoding_DefaultBinary
_CANCEL: Final = ua.ObjectIds.CancelRequest_Encoding_DefaultBinary
_WRITE: Final = ua.ObjectIds.WriteRequest_Encoding_DefaultBinary
_CALL: Final = ua.ObjectIds.CallRequest_Encoding_DefaultBinary
_HISTORY_UPDATE: Final = ua.ObjectIds.HistoryUpdateRequest_Encoding_DefaultBinary

# Refused items of one request that have an event of their own; the rest share one, so that no journal is filled.
_MOST_TOLD: Final = 50


class Witness:
    """Wraps services so that what happens in them is known elsewhere; their answers stay as they are."""

    def __init__(
        self, sessions: SessionTable, diagnostics: Diagnostics, audit: Audit, is_ours: Callable[[str], bool]
    ) -> None:
        """`is_ours` says whether an EndpointUrl has one of this server's names."""
        self._is_ours = is_ours
        self._sessions = sessions
        self._audit = audit
        self._diagnostics = diagnostics

    def over(self, services: Mapping[int, Service]) -> dict[int, Service]:
        """The services with this one beside them."""
        watched = dict(services)
        for number, watch in (
            (CREATE_SESSION, self._creating),
            (ACTIVATE_SESSION, self._activating),
            (_CLOSE_SESSION, self._closing),
            (_CANCEL, self._cancelling),
            (_WRITE, self._writing),
            (_CALL, self._calling),
            (_HISTORY_UPDATE, self._updating_history),
        ):
            watched[number] = replace(services[number], handler=watch(services[number]), waits=True)
        for number, count in _SUBSCRIPTION_COUNTS.items():
            watched[number] = replace(services[number], handler=_counting(services[number], count), waits=True)
        return watched

    def _creating(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: ua.CreateSessionParameters) -> Any:
            try:
                response = await _answer(service, request, session, given)
            except ServiceRefused as error:
                self._audit.session_created(request, None, error.status)
                raise
            made = self._sessions.find(response.Parameters.AuthenticationToken)
            self._diagnostics.created(made, given)
            self._audit.session_created(request, made, 0)
            if given.EndpointUrl and not self._is_ours(given.EndpointUrl):
                self._audit.url_mismatch(request, made, given.EndpointUrl)
            return response

        return handle

    def _activating(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: ua.ActivateSessionParameters) -> Any:
            token = request.header.AuthenticationToken
            try:
                response = await _answer(service, request, session, given)
            except ServiceRefused as error:
                self._audit.session_activated(request, self._session(token), given.UserIdentityToken, error.status)
                raise
            found = self._sessions.find(token)
            self._diagnostics.activated(found, given)
            self._audit.session_activated(request, found, given.UserIdentityToken, 0)
            return response

        return handle

    def _closing(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: Any) -> Any:
            ending = self._session(request.header.AuthenticationToken)
            try:
                response = await _answer(service, request, session, given)
            except ServiceRefused as error:
                self._audit.session_closed(request, ending, error.status)
                raise
            self._audit.session_closed(request, ending, 0)
            return response

        return handle

    def _cancelling(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: ua.CancelParameters) -> Any:
            response = await _answer(service, request, session, given)
            self._audit.cancelled(request, session, int(given.RequestHandle))
            return response

        return handle

    def _writing(self, service: Service) -> Any:
        """What does not reach the desk has its event from here."""

        async def handle(request: Request, session: Session, given: ua.WriteParameters) -> Any:
            with _asked(request, session) as asked:
                response = await _answer(service, request, session, given)
                if self._audit.heard:
                    self._tell_writes(given, response, session.caller.user, asked)
            return response

        return handle

    def _tell_writes(self, given: ua.WriteParameters, response: Any, user: str, asked: Asked) -> None:
        pairs = zip(given.NodesToWrite, response.Results, strict=True)
        rest = [(item, status) for item, status in pairs if item.NodeId not in asked.settled]
        for item, status in rest[:_MOST_TOLD]:
            self._audit.written(item.NodeId, item.Value.Value, None, user, status.value)
        if len(rest) > _MOST_TOLD:
            self._audit.left_out(len(rest) - _MOST_TOLD, "Attribute/Write", user, rest[_MOST_TOLD][1].value)

    def _calling(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: ua.CallParameters) -> Any:
            with _asked(request, session) as asked:
                response = await _answer(service, request, session, given)
                for call, result in zip(given.MethodsToCall, response.Results, strict=True):
                    if _own_method(call) in asked.settled:
                        continue
                    inputs, outputs = call.InputArguments or (), result.OutputArguments or ()
                    status, user = result.StatusCode.value, session.caller.user
                    self._audit.called(call.ObjectId, call.MethodId, inputs, outputs, user, status)
            return response

        return handle

    def _updating_history(self, service: Service) -> Any:
        """The updater makes the events; here it learns whose request it is."""

        async def handle(request: Request, session: Session, given: ua.HistoryUpdateParameters) -> Any:
            with _asked(request, session):
                return await _answer(service, request, session, given)

        return handle

    def _session(self, token: ua.NodeId) -> Session | None:
        try:
            return self._sessions.find(token)
        except ServiceRefused:
            return None


def _own_method(call: ua.CallMethodRequest) -> ua.NodeId:
    """The method of the device itself, also when its declaration in the type was named."""
    owner, method = call.ObjectId.Identifier, call.MethodId.Identifier
    own: ua.NodeId = call.MethodId
    if own.NamespaceIndex != NS_MODEL or not isinstance(owner, str) or not isinstance(method, str):
        return own
    return node_id(member_id(owner.partition(".")[0], method.partition(".")[2]), NS_SITE)


@contextmanager
def _asked(request: Request, session: Session) -> Iterator[Asked]:
    """Let what happens inside know the request."""
    asked = Asked(session.id, request.header.AuditEntryId or "")
    token = ASKED.set(asked)
    try:
        yield asked
    finally:
        ASKED.reset(token)


# Called with the publisher of the session and the parameters before the service does its work; what it gives back is
# called when that has succeeded.
_Count = Callable[[Publisher, Any], Callable[[], None] | None]


def _counting(service: Service, count: _Count) -> Any:
    async def handle(request: Request, session: Session, given: Any) -> Any:
        succeeded = None if session.publisher is None else count(session.publisher, given)
        response = await _answer(service, request, session, given)
        if succeeded is not None:
            succeeded()
        return response

    return handle


def _modify(publisher: Publisher, given: ua.ModifySubscriptionParameters) -> None:
    found = publisher.subscriptions.get(given.SubscriptionId)
    if found is not None:
        found.counts.modified += 1


def _switch(publisher: Publisher, given: ua.SetPublishingModeParameters) -> None:
    for each in given.SubscriptionIds:
        found = publisher.subscriptions.get(each)
        if found is not None and found.enabled != bool(given.PublishingEnabled):
            found.counts.enabled += not found.enabled
            found.counts.disabled += found.enabled


def _publish(publisher: Publisher, _given: ua.PublishParameters) -> None:
    for each in publisher.subscriptions.values():
        each.counts.publish_requests += 1


def _republish(publisher: Publisher, given: ua.RepublishParameters) -> Callable[[], None] | None:
    found = publisher.subscriptions.get(given.SubscriptionId)
    if found is None:
        return None
    found.counts.republish_requests += 1

    def succeeded() -> None:
        found.counts.republished += 1

    return succeeded


_SUBSCRIPTION_COUNTS: Final[dict[int, _Count]] = {
    ua.ObjectIds.ModifySubscriptionRequest_Encoding_DefaultBinary: _modify,
    ua.ObjectIds.SetPublishingModeRequest_Encoding_DefaultBinary: _switch,
    ua.ObjectIds.PublishRequest_Encoding_DefaultBinary: _publish,
    ua.ObjectIds.RepublishRequest_Encoding_DefaultBinary: _republish,
}


async def _answer(service: Service, request: Request, session: Session, given: Any) -> Any:
    result: Any = service.handler(request, session, given)
    return await result if service.waits or service.aside else result
