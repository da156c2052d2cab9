"""Methods of the Server object that this server has: GetMonitoredItems and ResendData (OPC 10000-5 section 9)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from asyncua import ua

from address_space.shape import node_id
from node.server.events.condition_refresh import CONDITION_TYPE, REFRESH_ARGUMENTS
from node.server.request import ServiceRefused
from node.server.security.access import GET_MONITORED_ITEMS, RESEND_DATA
from node.server.sessions.sessions import Session
from node.server.subscriptions.subscription_service import SubscriptionService

_SERVER: Final = node_id(ua.ObjectIds.Server)
# What clients may also name: the declarations in the type.
_OF_TYPE: Final[Mapping[ua.NodeId, ua.NodeId]] = {
    node_id(ua.ObjectIds.ServerType_GetMonitoredItems): GET_MONITORED_ITEMS,
    node_id(ua.ObjectIds.ServerType_ResendData): RESEND_DATA,
}

# Gets the number of a subscription and the session of the call; gives the output arguments.
_Method = Callable[[int, Session], Awaitable[list[ua.Variant]]]


class ServerMethods:
    """Carries out calls of the Server object's own methods."""

    def __init__(self, subscriptions: SubscriptionService) -> None:
        self._subscriptions = subscriptions
        self._methods: Mapping[ua.NodeId, _Method] = {
            GET_MONITORED_ITEMS: self._get_monitored_items,
            RESEND_DATA: self._resend_data,
        }

    async def call(self, call: ua.CallMethodRequest, session: Session) -> ua.CallMethodResult | None:
        """The result of a call; None when it is for something else."""
        if call.MethodId in REFRESH_ARGUMENTS:
            return self._refresh(call, session)
        method = self._methods.get(_OF_TYPE.get(call.MethodId, call.MethodId))
        if call.ObjectId != _SERVER or method is None:
            return None
        arguments = call.InputArguments or []
        if len(arguments) != 1:
            few = len(arguments) < 1
            return _failed(ua.StatusCodes.BadArgumentsMissing if few else ua.StatusCodes.BadTooManyArguments)
        if arguments[0].VariantType != ua.VariantType.UInt32 or not isinstance(arguments[0].Value, int):
            result = _failed(ua.StatusCodes.BadInvalidArgument)
            result.InputArgumentResults = [ua.StatusCode(ua.UInt32(ua.StatusCodes.BadTypeMismatch))]
            return result
        try:
            outputs = await method(arguments[0].Value, session)
        except ServiceRefused as error:
            return _failed(error.status)
        return ua.CallMethodResult(InputArgumentResults=[ua.StatusCode()], OutputArguments=outputs)

    def _refresh(self, call: ua.CallMethodRequest, session: Session) -> ua.CallMethodResult:
        arguments = call.InputArguments or []
        wanted = REFRESH_ARGUMENTS[call.MethodId]
        if call.ObjectId != CONDITION_TYPE:
            return _failed(ua.StatusCodes.BadMethodInvalid)
        if len(arguments) != wanted:
            few = len(arguments) < wanted
            return _failed(ua.StatusCodes.BadArgumentsMissing if few else ua.StatusCodes.BadTooManyArguments)
        if any(each.VariantType != ua.VariantType.UInt32 or not isinstance(each.Value, int) for each in arguments):
            return _failed(ua.StatusCodes.BadInvalidArgument)
        try:
            self._subscriptions.refresh([each.Value for each in arguments], session)
        except ServiceRefused as error:
            return _failed(error.status)
        return ua.CallMethodResult(InputArgumentResults=[ua.StatusCode() for _ in arguments])

    async def _get_monitored_items(self, subscription_id: int, session: Session) -> list[ua.Variant]:
        return [
            ua.Variant(handles, ua.VariantType.UInt32, is_array=True)
            for handles in self._subscriptions.handles(subscription_id, session)
        ]

    async def _resend_data(self, subscription_id: int, session: Session) -> list[ua.Variant]:
        await self._subscriptions.resend(subscription_id, session)
        return []


def _failed(status: int) -> ua.CallMethodResult:
    return ua.CallMethodResult(StatusCode=ua.StatusCode(ua.UInt32(status)))
