"""Write of settings, from request bytes to answer bytes (OPC 10000-4 section 5.10.4)."""

from __future__ import annotations

from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass
from struct import Struct, pack
from typing import Any, Final

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.model import Value
from address_space.shape import NS_SITE, node_id
from address_space.values import WIRE_LETTERS
from node.roles import Caller
from node.server.fast.layout import COUNT, TEXT_ID, TEXT_KIND
from node.server.fast.scalars import scalar
from node.server.limits import Limits
from node.server.security.access import WRITE, WRITES, access_level
from node.server.writing import Plan, SettingWriter

# A write value behind its NodeId: attribute Value, a range that is null or empty.
_VALUE: Final = ua.AttributeIds.Value.to_bytes(4, "little")
_TAILS: Final = (_VALUE + b"\xff\xff\xff\xff", _VALUE + b"\0\0\0\0")
_TAIL_BYTES: Final = 8
# Data values of a value alone, or with the status Good.
_ALONE, _WITH_STATUS = 0x01, 0x03
_GOOD: Final = b"\0\0\0\0"
_NO_DIAGNOSTICS: Final = COUNT.pack(0)
_KEPT: Final = 5_000  # settings whose slots are remembered
# Requests whose forms are remembered because clients write the same settings again and again, and their bytes at most.
_FORMS: Final = 256
_FORMS_BYTES: Final = 2_000_000


@dataclass(frozen=True, slots=True)
class _Form:
    """What is the same in all requests that write these settings, whatever the values."""

    unpack: Callable[[bytes, int], tuple[Any, ...]]  # fixed bytes and values in turns
    fixed: tuple[bytes, ...]
    plan: Plan


class FastWrite:
    """Reads requests that write nothing but scalars to settings; the writer does the rest."""

    def __init__(self, space: BuiltSpace, writer: SettingWriter, limits: Limits) -> None:
        self._space = space
        self._writer = writer
        self._most = limits.write_operations
        self._known: dict[bytes, int] = {}
        self._forms: dict[tuple[int, int, bytes], _Form] = {}
        self._bytes = 0

    def begin(self, data: bytes, at: int, caller: Caller) -> Coroutine[Any, Any, bytes] | None:
        """What gives the bytes behind the response's header; None when the ordinary way has to answer.

        Nothing has been written then. Raises struct.error, IndexError for bytes that are no request.
        """
        (count,) = COUNT.unpack_from(data, at)
        if not 0 < count <= self._most or caller.role < WRITES:
            return None
        at += COUNT.size
        _kind, _space, length = TEXT_ID.unpack_from(data, at)
        key = (count, len(data) - at, data[at : at + TEXT_ID.size + max(length, 0)])
        form = self._forms.get(key)
        if form is not None:
            parts = form.unpack(data, at)
            if parts[0::2] == form.fixed:
                return self._answer(form.plan, parts[1::2], caller)
        form = self._form(data, at, count)
        if form is None:
            return None
        self._keep(key, form)
        return self._answer(form.plan, form.unpack(data, at)[1::2], caller)

    def _form(self, data: bytes, at: int, count: int) -> _Form | None:
        """The form of a request that writes nothing but scalars to settings."""
        slots: list[int] = []
        fixed: list[bytes] = []
        layout, done = "<", at  # up to where the layout describes it
        for _ in range(count):
            kind, _space, length = TEXT_ID.unpack_from(data, at)
            if kind != TEXT_KIND or length < 0:
                return None
            end = at + TEXT_ID.size + length + _TAIL_BYTES
            item = data[at:end]
            slot = self._known.get(item)
            if slot is None:
                slot = self._find(item)
            if slot is None or data[end] not in (_ALONE, _WITH_STATUS):
                return None
            _device, point = self._writer.owner(slot)
            found = scalar(data, end + 1, point.data_type)
            if found is None:
                return None
            _value, at = found
            begin = end + 2  # behind the mask of the data value and the type of the variant
            fixed.append(data[done:begin])
            layout, done = f"{layout}{begin - done}s{WIRE_LETTERS[point.data_type]}", at
            if data[end] == _WITH_STATUS:
                if data[at : at + len(_GOOD)] != _GOOD:
                    return None
                at += len(_GOOD)
            slots.append(slot)
        if at != len(data):
            return None
        fixed.append(data[done:])
        return _Form(Struct(f"{layout}{at - done}s").unpack_from, tuple(fixed), self._writer.plan(slots))

    def _keep(self, key: tuple[int, int, bytes], form: _Form) -> None:
        self._bytes += key[1]
        if len(self._forms) >= _FORMS or self._bytes > _FORMS_BYTES:
            self._forms.clear()
            self._bytes = key[1]
        self._forms[key] = form

    async def _answer(self, plan: Plan, values: Sequence[Value], caller: Caller) -> bytes:
        statuses = await self._writer.carry_out(plan, values, caller)
        return pack(f"<i{len(statuses)}I", len(statuses), *statuses) + _NO_DIAGNOSTICS

    def _find(self, item: bytes) -> int | None:
        """Slot of a setting that can be written; None for everything else."""
        _kind, namespace, length = TEXT_ID.unpack_from(item)
        if (
            namespace != NS_SITE
            or len(item) != TEXT_ID.size + length + _TAIL_BYTES
            or item[-_TAIL_BYTES:] not in _TAILS
        ):
            return None
        nodeid = node_id(item[TEXT_ID.size : -_TAIL_BYTES].decode(), NS_SITE)
        slot = self._space.point_of(nodeid)
        if slot is None or not access_level(self._space.nodes.get(nodeid)) & WRITE:
            return None
        if len(self._known) >= _KEPT:
            self._known.clear()
        self._known[item] = slot
        return slot
