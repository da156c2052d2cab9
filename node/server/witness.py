"""Looks over the shoulder of services: who made a session, who logged in, what was written and called."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import replace
from typing import Any, Final

from asyncua import ua

from node.server.diagnostics import ACTIVATE_SESSION, CREATE_SESSION, Diagnostics
from node.server.dispatcher import Service
from node.server.publisher import Publisher
from node.server.request import Request
from node.server.sessions import Session, SessionTable


class Witness:
    """Wraps services so that what happens in them is known elsewhere; their answers stay as they are."""

    def __init__(self, sessions: SessionTable, diagnostics: Diagnostics) -> None:
        self._sessions = sessions
        self._diagnostics = diagnostics

    def over(self, services: Mapping[int, Service]) -> dict[int, Service]:
        """The services with this one beside them."""
        watched = dict(services)
        for number, watch in ((CREATE_SESSION, self._creating), (ACTIVATE_SESSION, self._activating)):
            watched[number] = replace(services[number], handler=watch(services[number]), waits=True)
        for number, count in _SUBSCRIPTION_COUNTS.items():
            watched[number] = replace(services[number], handler=_counting(services[number], count), waits=True)
        return watched

    def _creating(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: ua.CreateSessionParameters) -> Any:
            response = await _answer(service, request, session, given)
            made = self._sessions.find(response.Parameters.AuthenticationToken)
            self._diagnostics.created(made, given)
            return response

        return handle

    def _activating(self, service: Service) -> Any:
        async def handle(request: Request, session: Session, given: ua.ActivateSessionParameters) -> Any:
            response = await _answer(service, request, session, given)
            self._diagnostics.activated(self._sessions.find(request.header.AuthenticationToken), given)
            return response

        return handle


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
