"""Write of settings, from request bytes to answer bytes (OPC 10000-4 section 5.10.4)."""

from __future__ import annotations

from collections.abc import Awaitable
from struct import Struct
from typing import Final

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.shape import NS_SITE, node_id
from node.roles import Caller
from node.server.access import WRITE, WRITES, access_level
from node.server.fast.layout import COUNT, TEXT_ID, TEXT_KIND
from node.server.fast.scalars import scalar
from node.server.limits import Limits
from node.server.writing import SettingWriter, Wanted

# A write value behind its NodeId: attribute Value, a range that is null or empty.
_VALUE: Final = ua.AttributeIds.Value.to_bytes(4, "little")
_TAILS: Final = (_VALUE + b"\xff\xff\xff\xff", _VALUE + b"\0\0\0\0")
_TAIL_BYTES: Final = 8
# Data values of a value alone, or with the status Good.
_ALONE, _WITH_STATUS = 0x01, 0x03
_GOOD: Final = b"\0\0\0\0"
_NO_DIAGNOSTICS: Final = COUNT.pack(0)
_KEPT: Final = 5_000  # settings whose slots are remembered


class FastWrite:
    """Reads requests that write nothing but scalars to settings; the writer does the rest."""

    def __init__(self, space: BuiltSpace, writer: SettingWriter, limits: Limits) -> None:
        self._space = space
        self._writer = writer
        self._most = limits.write_operations
        self._known: dict[bytes, int] = {}

    def begin(self, data: bytes, at: int, caller: Caller) -> Awaitable[bytes] | None:
        """What gives the bytes behind the response's header; None when the ordinary way has to answer.

        Nothing has been written then. Raises struct.error, IndexError for bytes that are no request.
        """
        (count,) = COUNT.unpack_from(data, at)
        if not 0 < count <= self._most or caller.role < WRITES:
            return None
        at += COUNT.size
        wanted: list[Wanted] = []
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
            device, point = self._writer.owner(slot)
            found = scalar(data, end + 1, point.data_type)
            if found is None:
                return None
            value, after = found
            if data[end] == _WITH_STATUS:
                if data[after : after + len(_GOOD)] != _GOOD:
                    return None
                after += len(_GOOD)
            wanted.append(Wanted(device, point, value))
            at = after
        return None if at != len(data) else self._answer(wanted, caller)

    async def _answer(self, wanted: list[Wanted], caller: Caller) -> bytes:
        statuses = await self._writer.write_settings(wanted, caller)
        return Struct(f"<i{len(statuses)}I").pack(len(statuses), *statuses) + _NO_DIAGNOSTICS

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
