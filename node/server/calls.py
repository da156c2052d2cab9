"""The Call service: methods of devices become commands at the control desk (OPC 10000-4 section 5.11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final, Protocol

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.methods import answer, decode_inputs
from address_space.model import CommandResult, Value
from address_space.shape import NS_MODEL, NS_SITE, member_id, node_id
from node.control.desk import Caller
from node.server.request import Request

# The answer has to travel: it leaves this long before the client gives up.
_MARGIN_S: Final = 0.1


# The result of a call of the server's own methods, None for others.
OwnMethod = Callable[[ua.CallMethodRequest], Awaitable[ua.CallMethodResult | None]]


class Desk(Protocol):
    """What the server needs of the control desk."""

    async def call(
        self,
        device_id: str,
        command_id: str,
        arguments: Sequence[Value | None],
        caller: Caller,
        answer_by: float | None,
    ) -> CommandResult:
        """Carry out a command; answers at `answer_by` (Clock.monotonic()) at the latest.

        An argument of a wrong type is None.
        """
        ...

    async def write_setting(self, device_id: str, point_id: str, value: Value, caller: Caller) -> CommandResult:
        """Write one setting and read it back."""
        ...


class MethodCaller:
    """Finds the command behind a method and asks the desk to carry it out."""

    def __init__(self, space: BuiltSpace, desk: Desk, answer_within_s: float) -> None:
        self._space = space
        self._desk = desk
        self._answer_within_s = answer_within_s

    async def call_all(
        self, request: Request, parameters: ua.CallParameters, caller: Caller, own: OwnMethod | None = None
    ) -> ua.CallResponse:
        """Call methods in their order; all of them are answered within the time of one.

        `own` gets each call first, for the methods that are no device's.
        """
        answer_by = request.received_s + self._answer_within_s
        if request.deadline_s is not None:
            hint_s = request.deadline_s - request.received_s
            answer_by = min(answer_by, request.received_s + max(hint_s - _MARGIN_S, hint_s / 2))
        response: Any = ua.CallResponse()
        response.Results = [
            (await own(call) if own else None) or await self._call(call, caller, answer_by)
            for call in parameters.MethodsToCall
        ]
        return response  # type: ignore[no-any-return]

    async def _call(self, call: ua.CallMethodRequest, caller: Caller, answer_by: float) -> ua.CallMethodResult:
        space = self._space
        if call.ObjectId not in space.nodes:
            return _failed(ua.StatusCodes.BadNodeIdUnknown)
        found = self._command(call.ObjectId, call.MethodId)
        if isinstance(found, int):
            return _failed(found)
        device_id, command_id = found
        command = space.command(device_id, command_id)
        values = decode_inputs(command, call.InputArguments)
        result = await self._desk.call(device_id, command_id, values, caller, answer_by)
        return answer(result, len(command.inputs))

    def _command(self, object_id: ua.NodeId, method_id: ua.NodeId) -> tuple[str, str] | int:
        """Device and command of a call, or the status that says why there is none.

        The method may be named by its own NodeId or by that of its declaration in the type.
        """
        node = self._space.nodes.get(method_id)
        if node is None:
            return ua.StatusCodes.BadMethodInvalid
        own_id = method_id
        if method_id.NamespaceIndex == NS_MODEL:
            device_id = self._space.device_of(object_id)
            if device_id is None:
                return ua.StatusCodes.BadMethodInvalid
            own_id = node_id(member_id(device_id, node.member), NS_SITE)
        if self._space.has_method(object_id, own_id):
            found = self._space.command_of(own_id)
            if found is not None:
                return found
        elif method_id.NamespaceIndex == 0 and _is_component(node, object_id):
            # Methods of the standard address space that nothing stands behind.
            return ua.StatusCodes.BadNotImplemented
        return ua.StatusCodes.BadMethodInvalid


def _is_component(node: Any, object_id: ua.NodeId) -> bool:
    return any(reference.NodeId == object_id and not reference.IsForward for reference in node.references)


def _failed(status: int) -> ua.CallMethodResult:
    return ua.CallMethodResult(StatusCode=ua.StatusCode(ua.UInt32(status)))
