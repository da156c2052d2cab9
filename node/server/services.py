"""The list of services that the server has; everything else answers BadServiceUnsupported."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Protocol

from asyncua import ua

from node.roles import Caller
from node.server.browsing import Browser
from node.server.calls import MethodCaller
from node.server.dispatcher import Entry, Service
from node.server.limits import Limits
from node.server.reading import AttributeReader
from node.server.request import Request
from node.server.sessions.endpoints import Endpoints
from node.server.sessions.session_service import SessionService
from node.server.sessions.sessions import Session
from node.server.standard.server_methods import ServerMethods
from node.server.subscriptions.item_requests import CreateItems
from node.server.subscriptions.subscription_service import SubscriptionService
from node.server.transport.wire import Reader
from node.server.writing import SettingWriter


class History(Protocol):
    """What the server needs of the historian's adapter."""

    async def read(
        self,
        parameters: ua.HistoryReadParameters,
        session: Session,
        caller: Caller,
        *,
        handle: int = 0,
        hint_s: float | None = None,
    ) -> list[ua.HistoryReadResult]:
        """One result per node; raises ServiceRefused for what concerns the whole request.

        `handle` is the request's, for `cancel`; `hint_s` is how long the client waits, None for ever.
        """
        ...

    async def update(
        self, parameters: ua.HistoryUpdateParameters, session: Session, caller: Caller
    ) -> list[ua.HistoryUpdateResult]:
        """One result per node; raises ServiceRefused for what concerns the whole request."""
        ...

    def cancel(self, session: Session, handle: int) -> int:
        """End the reads of a session that have this handle; how many there were."""
        ...


@dataclass(frozen=True, slots=True)
class Services:
    """The parts that do the work."""

    endpoints: Endpoints
    sessions: SessionService
    reader: AttributeReader
    browser: Browser
    writer: SettingWriter
    caller: MethodCaller
    subscriptions: SubscriptionService
    history: History | None
    limits: Limits

    def table(self) -> Mapping[int, Service]:
        """Services by the numeric NodeId of their request's binary encoding."""
        ids = ua.ObjectIds
        limits = self.limits
        subscriptions = self.subscriptions
        methods = ServerMethods(subscriptions)
        return {
            # Discovery. A server is no registry: RegisterServer is not among them.
            ids.FindServersRequest_Encoding_DefaultBinary: Service(
                ua.FindServersParameters, self._find_servers, Entry.ANYBODY
            ),
            ids.GetEndpointsRequest_Encoding_DefaultBinary: Service(
                ua.GetEndpointsParameters, self._get_endpoints, Entry.ANYBODY
            ),
            # Sessions
            ids.CreateSessionRequest_Encoding_DefaultBinary: Service(
                ua.CreateSessionParameters,
                lambda request, _, given: self.sessions.create(request, given),
                Entry.CHANNEL,
            ),
            ids.ActivateSessionRequest_Encoding_DefaultBinary: Service(
                ua.ActivateSessionParameters,
                lambda request, _, given: self.sessions.activate(request, given),
                Entry.CHANNEL,
                waits=True,
            ),
            ids.CloseSessionRequest_Encoding_DefaultBinary: Service(
                bool,
                lambda request, _session, delete: self.sessions.close(request, keep_subscriptions=not delete),
                Entry.CHANNEL,
                decode=_delete_subscriptions,
            ),
            ids.CancelRequest_Encoding_DefaultBinary: Service(
                ua.CancelParameters, lambda _request, session, given: self._cancel(session, given)
            ),
            # Attributes
            ids.ReadRequest_Encoding_DefaultBinary: Service(
                ua.ReadParameters,
                lambda _, session, given: self.reader.read_all(given, session.caller.role),
                waits=True,
                items="NodesToRead",
                most=limits.operations,
            ),
            ids.WriteRequest_Encoding_DefaultBinary: Service(
                ua.WriteParameters,
                lambda _, session, given: self.writer.write_all(given, session.caller),
                aside=True,
                items="NodesToWrite",
                most=limits.write_operations,
            ),
            ids.HistoryReadRequest_Encoding_DefaultBinary: Service(
                ua.HistoryReadParameters,
                self._history_read,
                aside=True,
                items="NodesToRead",
                most=limits.call_operations,
            ),
            ids.HistoryUpdateRequest_Encoding_DefaultBinary: Service(
                ua.HistoryUpdateParameters,
                self._history_update,
                aside=True,
                items="HistoryUpdateDetails",
                most=limits.call_operations,
            ),
            ids.CallRequest_Encoding_DefaultBinary: Service(
                ua.CallParameters,
                lambda request, session, given: self.caller.call_all(
                    request, given, session.caller, lambda call: methods.call(call, session)
                ),
                aside=True,
                items="MethodsToCall",
                most=limits.call_operations,
            ),
            # View
            ids.BrowseRequest_Encoding_DefaultBinary: Service(
                ua.BrowseParameters,
                lambda _, session, given: self.browser.browse(given, session),
                waits=True,
                items="NodesToBrowse",
                most=limits.browse_operations,
            ),
            ids.BrowseNextRequest_Encoding_DefaultBinary: Service(
                ua.BrowseNextParameters,
                lambda _, session, given: self.browser.browse_next(given, session),
                items="ContinuationPoints",
                most=limits.browse_operations,
            ),
            ids.TranslateBrowsePathsToNodeIdsRequest_Encoding_DefaultBinary: Service(
                ua.TranslateBrowsePathsToNodeIdsParameters,
                lambda _request, _session, given: self.browser.translate(given),
                waits=True,
                items="BrowsePaths",
                most=limits.browse_operations,
            ),
            ids.RegisterNodesRequest_Encoding_DefaultBinary: Service(
                ua.RegisterNodesParameters, _register, items="NodesToRegister", most=limits.operations
            ),
            ids.UnregisterNodesRequest_Encoding_DefaultBinary: Service(
                ua.UnregisterNodesParameters, _unregister, items="NodesToUnregister", most=limits.operations
            ),
            # Subscriptions
            ids.CreateSubscriptionRequest_Encoding_DefaultBinary: Service(
                ua.CreateSubscriptionParameters, lambda _, session, given: subscriptions.create(given, session)
            ),
            ids.ModifySubscriptionRequest_Encoding_DefaultBinary: Service(
                ua.ModifySubscriptionParameters,
                lambda _, session, given: subscriptions.modify(given, session),
                waits=True,
            ),
            ids.DeleteSubscriptionsRequest_Encoding_DefaultBinary: Service(
                ua.DeleteSubscriptionsParameters,
                lambda _, session, given: subscriptions.delete(given, session),
                waits=True,
                items="SubscriptionIds",
                most=limits.operations,
            ),
            ids.SetPublishingModeRequest_Encoding_DefaultBinary: Service(
                ua.SetPublishingModeParameters,
                lambda _, session, given: subscriptions.set_publishing(given, session),
                waits=True,
                items="SubscriptionIds",
                most=limits.operations,
            ),
            ids.PublishRequest_Encoding_DefaultBinary: Service(
                ua.PublishParameters, lambda request, session, given: subscriptions.publish(request, given, session)
            ),
            ids.RepublishRequest_Encoding_DefaultBinary: Service(
                ua.RepublishParameters,
                lambda request, session, given: subscriptions.republish(request, given, session),
            ),
            ids.TransferSubscriptionsRequest_Encoding_DefaultBinary: Service(
                ua.TransferSubscriptionsParameters,
                lambda request, session, given: subscriptions.transfer(request, given, session),
                waits=True,
                items="SubscriptionIds",
                most=limits.operations,
            ),
            ids.SetTriggeringRequest_Encoding_DefaultBinary: Service(
                ua.SetTriggeringParameters,
                lambda _, session, given: subscriptions.set_triggering(given, session),
                waits=True,
            ),
            ids.CreateMonitoredItemsRequest_Encoding_DefaultBinary: Service(
                ua.CreateMonitoredItemsParameters,
                lambda request, session, given: subscriptions.create_items(request, given, session),
                decode=CreateItems.decode,
                waits=True,
                items="ItemsToCreate",
                most=limits.operations,
            ),
            ids.ModifyMonitoredItemsRequest_Encoding_DefaultBinary: Service(
                ua.ModifyMonitoredItemsParameters,
                lambda _, session, given: subscriptions.modify_items(given, session),
                waits=True,
                items="ItemsToModify",
                most=limits.operations,
            ),
            ids.SetMonitoringModeRequest_Encoding_DefaultBinary: Service(
                ua.SetMonitoringModeParameters,
                lambda _, session, given: subscriptions.set_modes(given, session),
                waits=True,
                items="MonitoredItemIds",
                most=limits.operations,
            ),
            ids.DeleteMonitoredItemsRequest_Encoding_DefaultBinary: Service(
                ua.DeleteMonitoredItemsParameters,
                lambda _, session, given: subscriptions.delete_items(given, session),
                waits=True,
                items="MonitoredItemIds",
                most=limits.operations,
            ),
        }

    def _find_servers(self, request: Request, _session: Session, given: ua.FindServersParameters) -> Any:
        response: Any = ua.FindServersResponse()
        application = self.endpoints.application(given.EndpointUrl or request.line.hello_url)
        if not given.ServerUris or application.ApplicationUri in given.ServerUris:
            response.Servers = [application]
        return response

    def _get_endpoints(self, request: Request, _session: Session, given: ua.GetEndpointsParameters) -> Any:
        response: Any = ua.GetEndpointsResponse()
        asked = given.EndpointUrl or request.line.hello_url
        response.Endpoints = self.endpoints.describe(asked, given.ProfileUris or ())
        return response

    async def _history_read(self, request: Request, session: Session, given: ua.HistoryReadParameters) -> Any:
        response: Any = ua.HistoryReadResponse()
        if self.history is None:
            status = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadHistoryOperationUnsupported))
            response.Results = [ua.HistoryReadResult(StatusCode=status) for _ in given.NodesToRead]
        else:
            hint_ms, handle = request.header.TimeoutHint, int(request.header.RequestHandle)
            response.Results = await self.history.read(
                given, session, session.caller, handle=handle, hint_s=hint_ms / 1000 if hint_ms else None
            )
        return response

    async def _history_update(self, _request: Request, session: Session, given: ua.HistoryUpdateParameters) -> Any:
        response: Any = ua.HistoryUpdateResponse()
        if self.history is None:
            status = ua.StatusCode(ua.UInt32(ua.StatusCodes.BadHistoryOperationUnsupported))
            response.Results = [ua.HistoryUpdateResult(StatusCode=status) for _ in given.HistoryUpdateDetails]
        else:
            response.Results = await self.history.update(given, session, session.caller)
        return response

    def _cancel(self, session: Session, given: ua.CancelParameters) -> Any:
        """End waiting Publish requests and history reads of a handle.

        Commands go on: what a device was told cannot be called back.
        """
        response: Any = ua.CancelResponse()
        publisher, handle = session.publisher, int(given.RequestHandle)
        count = 0 if publisher is None else publisher.cancel(handle)
        count += 0 if self.history is None else self.history.cancel(session, handle)
        response.Parameters.CancelCount = count
        return response


def _register(_request: Request, _session: Session, given: ua.RegisterNodesParameters) -> Any:
    """Registering gives no faster way here, so a node's own id is its handle."""
    response: Any = ua.RegisterNodesResponse()
    response.Parameters.RegisteredNodeIds = given.NodesToRegister
    return response


def _unregister(_request: Request, _session: Session, _given: ua.UnregisterNodesParameters) -> Any:
    return ua.UnregisterNodesResponse()


def _delete_subscriptions(reader: Reader) -> bool:
    """The one parameter of CloseSession."""
    return reader.read(1) != b"\0"
