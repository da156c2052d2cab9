"""Call of commands, from request bytes to answer bytes (OPC 10000-4 section 5.11.2)."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from asyncua.ua.ua_binary import nodeid_from_binary

from address_space.model import Command, CommandResult, Status, Value, is_bad
from address_space.values import LOCALE
from node.roles import Caller
from node.server.calls import MethodCaller
from node.server.fast.layout import COUNT, id_end
from node.server.fast.scalars import scalar
from node.server.limits import Limits
from node.server.wire import Reader

_NOTHING: Final = COUNT.pack(0)
_INT32, _STRING, _DOUBLE, _TEXT = 6, 12, 11, 21
_OUTCOME: Final = Struct("<iBiBi")  # four outputs; Int32, then a text of that length
_ELAPSED: Final = Struct("<BdBBi")  # Double, then a localized text with both parts; its locale's length
_BOTH_PARTS: Final = 0x03
_KEPT: Final = 2_000  # methods that are remembered


@dataclass(frozen=True, slots=True)
class _Call:
    device_id: str
    command: Command
    values: tuple[Value, ...]


class FastCall:
    """Reads calls whose arguments are scalars of the declared types; the desk does the rest."""

    def __init__(self, caller: MethodCaller, limits: Limits) -> None:
        self._caller = caller
        self._most = limits.call_operations
        self._known: dict[bytes, tuple[str, Command]] = {}

    def begin(self, data: bytes, at: int, caller: Caller, answer_by: float) -> Coroutine[Any, Any, bytes] | None:
        """What gives the bytes behind the response's header; None when the ordinary way has to answer.

        Nothing has been called then. Raises struct.error, IndexError, ValueError for bytes that are no request.
        """
        (count,) = COUNT.unpack_from(data, at)
        if not 0 < count <= self._most:
            return None
        at += COUNT.size
        calls: list[_Call] = []
        for _ in range(count):
            end = id_end(data, id_end(data, at))
            found = self._known.get(data[at:end]) or self._find(data[at:end])
            if found is None:
                return None
            (given,) = COUNT.unpack_from(data, end)
            at = end + COUNT.size
            # An empty list may be null.
            if max(given, 0) != len(found[1].inputs):
                return None
            values: list[Value] = []
            for argument in found[1].inputs:
                read = scalar(data, at, argument.data_type)
                if read is None:
                    return None
                values.append(read[0])
                at = read[1]
            calls.append(_Call(found[0], found[1], tuple(values)))
        return None if at != len(data) else self._answer(calls, caller, answer_by)

    async def _answer(self, calls: Sequence[_Call], caller: Caller, answer_by: float) -> bytes:
        parts = [COUNT.pack(len(calls))]
        for call in calls:
            result = await self._caller.carry_out(call.device_id, call.command.id, call.values, caller, answer_by)
            parts.append(encode(result, len(call.command.inputs)))
        parts.append(_NOTHING)
        return b"".join(parts)

    def _find(self, ids: bytes) -> tuple[str, Command] | None:
        reader: Any = Reader(ids)
        found = self._caller.find(nodeid_from_binary(reader), nodeid_from_binary(reader))
        if isinstance(found, int):
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[ids] = found
        return found


def encode(result: CommandResult, inputs: int) -> bytes:
    """One CallMethodResult as `address_space.methods.answer` makes it."""
    if is_bad(result.status):
        refused = result.input_results if len(result.input_results) == inputs else ()
        return _statuses(result.status, refused) + _NOTHING
    observed, reason = result.observed.encode(), result.reason.encode()
    outputs = (
        _OUTCOME.pack(4, _INT32, result.outcome, _STRING, len(observed)) + observed,
        _ELAPSED.pack(_DOUBLE, result.elapsed_s * 1000.0, _TEXT, _BOTH_PARTS, len(LOCALE)) + LOCALE.encode(),
        COUNT.pack(len(reason)) + reason,
    )
    return _statuses(result.status, (Status.GOOD,) * inputs) + b"".join(outputs)


def _statuses(status: int, inputs: Sequence[int]) -> bytes:
    """Status, statuses of the inputs, no diagnostics of them."""
    return Struct(f"<Ii{len(inputs)}I").pack(status, len(inputs), *inputs) + _NOTHING
