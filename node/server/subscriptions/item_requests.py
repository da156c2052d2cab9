"""CreateMonitoredItems as bytes: items are decoded one by one, and results packed, so that nobody waits for many.

The usual form of an item, no range, no encoding and no filter, is unpacked at once; any other goes through asyncua.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import NotEnoughData
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from node.server.subscriptions.notification_packer import response_head
from node.server.transport.wire import Reader

_RESPONSE: Final = ua.ObjectIds.CreateMonitoredItemsResponse_Encoding_DefaultBinary
_HEAD: Final = Struct("<Iii")  # SubscriptionId, TimestampsToReturn, number of items
_STRING_ID: Final = Struct("<BHi")  # encoding, namespace, length
_STRING_KIND: Final = 3
# AttributeId, no IndexRange, no DataEncoding, mode, ClientHandle, SamplingInterval, no Filter, QueueSize, DiscardOldest
_USUAL: Final = Struct("<I6s4siId3sIB")
_NO_RANGE: Final = b"\xff\xff\xff\xff\0\0"
_NO_ENCODING: Final = b"\xff\xff\xff\xff"
_NO_FILTER: Final = b"\0\0\0"
_SMALLEST: Final = 2 + _USUAL.size  # of an item; a NodeId has two bytes at least
# An event filter with all the clauses that one may have takes some ten thousand.
_ITEM_FIELDS: Final = 20_000
_RESULT: Final = Struct("<IIdI3x")  # status, id, interval, queue size, no FilterResult
_COUNT: Final = Struct("<i")


class EncodedItems:
    """The items of a request; iterating decodes them and raises what asyncua's decoder raises."""

    __slots__ = ("_count", "_data", "_fields")

    def __init__(self, data: bytes, count: int, fields: list[int]) -> None:
        """`fields` may be read from all of them that are not of the usual form."""
        self._data = data
        self._count = count
        self._fields = fields

    def __len__(self) -> int:
        return self._count

    def __iter__(self) -> Iterator[ua.MonitoredItemCreateRequest]:
        at = 0
        for _ in range(self._count):
            item, at = _usual(self._data, at) or _any(self._data, at, self._fields)
            yield item


@dataclass(frozen=True, slots=True)
class CreateItems:
    """As `ua.CreateMonitoredItemsParameters`, its items not decoded yet."""

    SubscriptionId: int
    TimestampsToReturn: ua.TimestampsToReturn
    ItemsToCreate: EncodedItems

    @classmethod
    def decode(cls, reader: Reader) -> CreateItems:
        """The parameters at a reader's position; raises NotEnoughData, struct.error or ValueError."""
        subscription_id, stamps, count = _HEAD.unpack(reader.read(_HEAD.size))
        if count > 0 and len(reader) < count * _SMALLEST:
            raise NotEnoughData(f"{count} items in {len(reader)} bytes")
        items = EncodedItems(reader.read(len(reader)), max(count, 0), reader.fields)
        return cls(subscription_id, ua.TimestampsToReturn(stamps), items)


def _usual(data: bytes, at: int) -> tuple[ua.MonitoredItemCreateRequest, int] | None:
    try:
        kind, space, length = _STRING_ID.unpack_from(data, at)
        begin = at + _STRING_ID.size
        end = begin + length
        if kind != _STRING_KIND or length < 0:
            return None
        attribute, no_range, no_encoding, mode, handle, interval, no_filter, queue, oldest = _USUAL.unpack_from(
            data, end
        )
    except struct.error:
        return None
    if no_range != _NO_RANGE or no_encoding != _NO_ENCODING or no_filter != _NO_FILTER:
        return None
    try:
        name: Any = data[begin:end].decode()
    except UnicodeDecodeError:
        return None
    what = ua.ReadValueId(ua.NodeId(name, space), attribute)
    wanted = ua.MonitoringParameters(handle, interval, None, queue, bool(oldest))
    return ua.MonitoredItemCreateRequest(what, mode, wanted), end + _USUAL.size


def _any(data: bytes, at: int, fields: list[int]) -> tuple[ua.MonitoredItemCreateRequest, int]:
    most = min(fields[0], _ITEM_FIELDS)
    reader: Any = Reader(data, at, fields=most)
    item = struct_from_binary(ua.MonitoredItemCreateRequest, reader)
    fields[0] -= most - reader.fields[0]
    return item, reader.cur_pos


def create_response(timestamp: int, request_handle: int, results: Sequence[ua.MonitoredItemCreateResult]) -> bytes:
    """The answer to CreateMonitoredItems."""
    return b"".join(
        (
            response_head(_RESPONSE, timestamp, request_handle),
            _COUNT.pack(len(results)),
            *map(_packed, results),
            _COUNT.pack(0),  # DiagnosticInfos
        )
    )


def _packed(result: Any) -> bytes:
    if type(result.FilterResult) is not ua.ExtensionObject:
        return struct_to_binary(result)
    return _RESULT.pack(
        result.StatusCode.value, result.MonitoredItemId, result.RevisedSamplingInterval, result.RevisedQueueSize
    )
