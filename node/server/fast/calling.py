"""Call of commands, from request bytes to answer bytes (OPC 10000-4 section 5.11.2)."""

from __future__ import annotations

from collections.abc import Coroutine, Sequence
from struct import Struct, pack
from typing import Any, Final, NamedTuple

from asyncua.ua.ua_binary import nodeid_from_binary

from address_space.model import CommandResult, Value, is_bad
from address_space.values import LOCALE
from node.roles import Caller
from node.server.calls import MethodCaller
from node.server.fast.layout import COUNT, id_end
from node.server.fast.scalars import LETTERS
from node.server.limits import Limits
from node.server.wire import Reader

_NOTHING: Final = COUNT.pack(0)
_INT32, _STRING, _DOUBLE, _TEXT = 6, 12, 11, 21
_OUTCOME: Final = Struct("<iBiBi")  # four outputs; Int32, then a text of that length
_ELAPSED: Final = Struct("<BdBBi")  # Double, then a localized text with both parts; its locale's length
_BOTH_PARTS: Final = 0x03
_LOCALE: Final = LOCALE.encode()
_NULL: Final = -1  # length of a list that is not there
_KEPT: Final = 2_000  # methods that are remembered


class _Method(NamedTuple):
    """A command that can be called, and how the bytes of its inputs look."""

    device_id: str
    command_id: str
    inputs: int
    layout: Struct  # number of inputs, then type and value of each
    head: tuple[int, ...]  # that number and those types


_Call = tuple[_Method, tuple[Value, ...]]


class FastCall:
    """Reads calls whose arguments are scalars of the declared types; the desk does the rest."""

    def __init__(self, caller: MethodCaller, limits: Limits) -> None:
        self._caller = caller
        self._most = limits.call_operations
        self._known: dict[bytes, _Method] = {}

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
            method = self._known.get(data[at:end]) or self._find(data[at:end])
            if method is None:
                return None
            parts = method.layout.unpack_from(data, end)
            # An empty list may be null.
            if parts[:1] + parts[1::2] != method.head and (method.inputs or parts[0] != _NULL):
                return None
            calls.append((method, parts[2::2]))
            at = end + method.layout.size
        return None if at != len(data) else self._answer(calls, caller, answer_by)

    async def _answer(self, calls: Sequence[_Call], caller: Caller, answer_by: float) -> bytes:
        parts = [COUNT.pack(len(calls))]
        for method, values in calls:
            result = await self._caller.carry_out(method.device_id, method.command_id, values, caller, answer_by)
            parts.append(encode(result, method.inputs))
        parts.append(_NOTHING)
        return b"".join(parts)

    def _find(self, ids: bytes) -> _Method | None:
        reader: Any = Reader(ids)
        found = self._caller.find(nodeid_from_binary(reader), nodeid_from_binary(reader))
        if isinstance(found, int):
            return None
        device_id, command = found
        types = [argument.data_type for argument in command.inputs]
        if not all(data_type in LETTERS for data_type in types):
            return None
        layout = Struct("<i" + "".join(f"B{LETTERS[data_type]}" for data_type in types))
        if len(self._known) >= _KEPT:
            self._known.clear()
        method = self._known[ids] = _Method(device_id, command.id, len(types), layout, (len(types), *map(int, types)))
        return method


def encode(result: CommandResult, inputs: int) -> bytes:
    """One CallMethodResult as `address_space.methods.answer` makes it."""
    if is_bad(result.status):
        refused = result.input_results if len(result.input_results) == inputs else ()
        return pack(f"<Ii{len(refused)}I", result.status, len(refused), *refused) + _NOTHING + _NOTHING
    observed, reason = result.observed.encode(), result.reason.encode()
    # Zero is Good, for each input.
    head = f"<Ii{4 * inputs}xi"
    return b"".join(
        (
            pack(head, result.status, inputs, 0),
            _OUTCOME.pack(4, _INT32, result.outcome, _STRING, len(observed)),
            observed,
            _ELAPSED.pack(_DOUBLE, result.elapsed_s * 1000.0, _TEXT, _BOTH_PARTS, len(LOCALE)),
            _LOCALE,
            COUNT.pack(len(reason)),
            reason,
        )
    )
