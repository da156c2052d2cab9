"""The Call service: methods of devices become commands at the control desk (OPC 10000-4 section 5.11)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, Final, Protocol

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.methods import answer, decode_inputs
from address_space.model import Command, CommandResult, Value
from address_space.shape import NS_MODEL, NS_SITE, member_id, node_id
from node.control.setting_results import SettingResults
from node.roles import Caller
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

    async def write_settings(self, device_id: str, values: Mapping[str, Value], caller: Caller) -> SettingResults:
        """Write settings of one device (by point id) together and read them back; a result for each, in their order."""
        ...


class ToldDesk(Desk, Protocol):
    """A desk that also tells of the end of each request, which may come long after its answer."""

    def listen(self, listener: Callable[[str, str, str, CommandResult], None]) -> None:
        """Let somebody hear the end of every request: device, command or what was written, user, result."""
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
        answer_by = self.answer_by(request.received_s, request.header.TimeoutHint)
        response: Any = ua.CallResponse()
        response.Results = [
            (await own(call) if own else None) or await self._call(call, caller, answer_by)
            for call in parameters.MethodsToCall
        ]
        return response  # type: ignore[no-any-return]

    def answer_by(self, received_s: float, hint_ms: int) -> float:
        """When a request has to be answered, on Clock.monotonic(); `hint_ms` 0 is a client that waits for ever."""
        answer_by = received_s + self._answer_within_s
        if not hint_ms:
            return answer_by
        hint_s = hint_ms / 1000
        return min(answer_by, received_s + max(hint_s - _MARGIN_S, hint_s / 2))

    def find(self, object_id: ua.NodeId, method_id: ua.NodeId) -> tuple[str, Command] | int:
        """Device and command of a call, or the status that says why there is none."""
        if object_id not in self._space.nodes:
            return ua.StatusCodes.BadNodeIdUnknown
        found = self._command(object_id, method_id)
        return found if isinstance(found, int) else (found[0], self._space.command(*found))

    def carry_out(
        self, device_id: str, command_id: str, values: Sequence[Value | None], caller: Caller, answer_by: float
    ) -> Coroutine[Any, Any, CommandResult]:
        """Hand one call to the desk."""
        return self._desk.call(device_id, command_id, values, caller, answer_by)

    async def _call(self, call: ua.CallMethodRequest, caller: Caller, answer_by: float) -> ua.CallMethodResult:
        found = self.find(call.ObjectId, call.MethodId)
        if isinstance(found, int):
            return _failed(found)
        device_id, command = found
        values = decode_inputs(command, call.InputArguments)
        return answer(await self.carry_out(device_id, command.id, values, caller, answer_by), len(command.inputs))

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
