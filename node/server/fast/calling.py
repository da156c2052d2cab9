"""Call of commands, from request bytes to answer bytes (OPC 10000-4 section 5.11.2)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from functools import cache
from struct import Struct, pack
from typing import Any, Final, NamedTuple

from asyncua.ua.ua_binary import nodeid_from_binary

from address_space.model import CommandResult, Value, is_bad
from address_space.values import LOCALE, WIRE_LETTERS
from node.roles import Caller
from node.server.calls import MethodCaller
from node.server.fast.layout import COUNT, id_end
from node.server.limits import Limits
from node.server.transport.wire import Reader

_NOTHING: Final = COUNT.pack(0)
_ONE: Final = COUNT.pack(1)
_INT32, _STRING, _DOUBLE, _TEXT = 6, 12, 11, 21
_BOTH_PARTS: Final = 0x03
_LOCALE: Final = LOCALE.encode()
# Double, then a localized text with both parts: locale, and the length of the text.
_ELAPSED: Final = Struct(f"<BdBBi{len(_LOCALE)}si")
_NULL: Final = -1  # length of a list that is not there
_KEPT: Final = 2_000  # methods that are remembered
_FORMS: Final = 256  # lengths of requests that are remembered


class _Method(NamedTuple):
    """A command that can be called, and how the bytes of its inputs look."""

    device_id: str
    command_id: str
    inputs: int
    layout: Struct  # number of inputs, then type and value of each
    head: tuple[int, ...]  # that number and those types


class _Form(NamedTuple):
    """How the bytes of a request look that makes one call."""

    unpack: Callable[[bytes, int], tuple[Any, ...]]  # number of calls, NodeIds, then the inputs as in `_Method`
    head: tuple[int, ...]  # of the methods that are called in this form


_Call = tuple[_Method, tuple[Value, ...]]


class FastCall:
    """Reads calls whose arguments are scalars of the declared types; the desk does the rest."""

    def __init__(self, caller: MethodCaller, limits: Limits) -> None:
        self._caller = caller
        self._most = limits.call_operations
        self._known: dict[bytes, _Method] = {}  # by NodeIds of object and method
        self._forms: dict[int, _Form] = {}  # by the length of the request

    def begin(self, data: bytes, at: int, caller: Caller, answer_by: float) -> Coroutine[Any, Any, bytes] | None:
        """What gives the bytes behind the response's header; None when the ordinary way has to answer.

        Nothing has been called then. Raises struct.error, IndexError, ValueError for bytes that are no request.
        """
        form = self._forms.get(len(data) - at)
        if form is not None:
            parts = form.unpack(data, at)
            method = self._known.get(parts[1])
            if parts[0] == 1 and method is not None and method.head == form.head == parts[2:3] + parts[3::2]:
                return self._answer_one(method, parts[4::2], caller, answer_by)
        return self._begin_all(data, at, caller, answer_by)

    def _begin_all(self, data: bytes, at: int, caller: Caller, answer_by: float) -> Coroutine[Any, Any, bytes] | None:
        start = at
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
        if at != len(data):
            return None
        if count == 1:
            self._keep(calls[0][0], at - start)
        return self._answer(calls, caller, answer_by)

    def _keep(self, method: _Method, length: int) -> None:
        """Remember the form of a call that is `length` bytes long."""
        if len(self._forms) >= _FORMS:
            self._forms.clear()
        ids = length - COUNT.size - method.layout.size
        layout = Struct(f"<i{ids}s{method.layout.format.removeprefix('<')}")
        self._forms[length] = _Form(layout.unpack_from, method.head)

    async def _answer_one(self, method: _Method, values: tuple[Value, ...], caller: Caller, answer_by: float) -> bytes:
        result = await self._caller.carry_out(method.device_id, method.command_id, values, caller, answer_by)
        return _ONE + encode(result, method.inputs) + _NOTHING

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
        if not all(data_type in WIRE_LETTERS for data_type in types):
            return None
        layout = Struct("<i" + "".join(f"B{WIRE_LETTERS[data_type]}" for data_type in types))
        if len(self._known) >= _KEPT:
            self._known.clear()
        method = self._known[ids] = _Method(device_id, command.id, len(types), layout, (len(types), *map(int, types)))
        return method


def encode(result: CommandResult, inputs: int) -> bytes:
    """One CallMethodResult as `address_space.methods.answer` makes it."""
    outcome, status, seen, elapsed_s, why, refused = result
    if is_bad(status):
        if len(refused) != inputs:
            refused = ()
        return pack(f"<Ii{len(refused)}I", status, len(refused), *refused) + _NOTHING + _NOTHING
    observed, reason = seen.encode(), why.encode()
    head = _good(inputs).pack(status, inputs, 0, 4, _INT32, outcome, _STRING, len(observed))
    tail = _ELAPSED.pack(_DOUBLE, elapsed_s * 1000.0, _TEXT, _BOTH_PARTS, len(_LOCALE), _LOCALE, len(reason))
    return head + observed + tail + reason


@cache
def _good(inputs: int) -> Struct:
    """Status, a status for each input (zero is Good), no diagnostics, four outputs: Int32, then a text of a length."""
    return Struct(f"<Ii{4 * inputs}xiiBiBi")
