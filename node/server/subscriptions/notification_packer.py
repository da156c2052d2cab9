"""Notifications as bytes, straight from the slots of the process image.

OPC 10000-4 section 7.25 says what they are made of, OPC 10000-6 section 5.2 how that is encoded.

What is made here is, byte for byte, what the ordinary path through objects and asyncua's encoder makes.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Sequence
from functools import cache
from struct import Struct
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from address_space.model import DataType, Point, PointKind, Status, Value, is_bad
from address_space.values import FLOAT_MAX, WIRE_LETTERS, exact, moment, status_code
from node.server.reading import Stamps

# Client handle, value, status, source time and server time (ticks) to one MonitoredItemNotification. The value is the
# plain one of a slot, or a Variant for what no slot stands for; the source time is ticks or None.
Pack = Callable[[int, Any, int, Any, int], bytes]

# Largest notification of a fixed size: handle, mask, type, eight bytes of value, status, two times.
FIXED_BYTES: Final = 34

_HAS_VALUE_AND_STATUS: Final = 0x03
_HAS_SOURCE: Final = 0x04
_HAS_SERVER: Final = 0x08
_BAD: Final = 0x8000_0000
_ANY: Final = float("inf")
_DATE_TIME: Final = int(ua.VariantType.DateTime)
_NO_VALUE: Final = int(ua.VariantType.Null)


def pack_of(point: Point, stamps: Stamps) -> Pack:
    """How a point's samples are packed for a client that wants these times."""
    kind = PointKind.TIME if point.kind is PointKind.TIME else PointKind.ANALOG
    return _pack_of(point.data_type, kind, stamps)


def is_fixed(point: Point) -> bool:
    """True when no notification of the point is longer than FIXED_BYTES."""
    return point.data_type is not DataType.STRING


@cache
def _pack_of(data_type: DataType, kind: PointKind, stamps: Stamps) -> Pack:
    slow = _slow(data_type, kind, stamps)
    if kind is PointKind.TIME or data_type in (DataType.STRING, DataType.BOOLEAN):
        return slow
    head = _mask(stamps) | data_type << 8
    fast = Struct(f"<IH{WIRE_LETTERS[data_type]}I{_times(stamps)}").pack
    # All that is of the type and not Bad is packed here, the rest with `slow`. A float is rounded when it is packed, so
    # one that is a little too large has to be found first. One function for each choice of times: a call less.
    low, high = (-FLOAT_MAX, FLOAT_MAX) if data_type is DataType.FLOAT else (-_ANY, _ANY)

    def both(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        try:
            if status < _BAD and low <= value <= high:
                return fast(handle, head, value, status, source, server)
        except (struct.error, OverflowError, TypeError):
            pass
        return slow(handle, value, status, source, server)

    def only_source(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        try:
            if status < _BAD and low <= value <= high:
                return fast(handle, head, value, status, source)
        except (struct.error, OverflowError, TypeError):
            pass
        return slow(handle, value, status, source, server)

    def only_server(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        try:
            if status < _BAD and low <= value <= high:
                return fast(handle, head, value, status, server)
        except (struct.error, OverflowError, TypeError):
            pass
        return slow(handle, value, status, source, server)

    def neither(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        try:
            if status < _BAD and low <= value <= high:
                return fast(handle, head, value, status)
        except (struct.error, OverflowError, TypeError):
            pass
        return slow(handle, value, status, source, server)

    if stamps.source:
        return both if stamps.server else only_source
    return only_server if stamps.server else neither


def _slow(data_type: DataType, kind: PointKind, stamps: Stamps) -> Pack:
    """Any value: made exact first; one that does not fit the type goes as a Bad status."""
    empty = _empty(stamps)
    is_time = kind is PointKind.TIME
    filled = (
        None
        if data_type is DataType.STRING
        else _filled("q" if is_time else WIRE_LETTERS[data_type], _DATE_TIME if is_time else int(data_type), stamps)
    )
    text = _text(stamps)

    def pack(handle: int, value: Value | None, status: int, source: Any, server: int) -> bytes:
        if is_bad(status):
            return empty(handle, None, status, source, server)
        if value is None:
            return empty(handle, None, Status.BAD_INTERNAL_ERROR, source, server)
        fitting = exact(value, data_type)
        if fitting is None:
            return empty(handle, None, Status.BAD_OUT_OF_RANGE, source, server)
        if filled is None:
            return text(handle, fitting, status, source, server)
        if is_time:
            fitting = ua.datetime_to_win_epoch(ua.win_epoch_to_datetime(int(fitting)))
        return filled(handle, fitting, status, source, server)

    return pack


def _filled(layout: str, kind: int, stamps: Stamps) -> Pack:
    """One precompiled struct for a type and a choice of times."""
    head = _mask(stamps) | kind << 8
    pack = Struct(f"<IH{layout}I{_times(stamps)}").pack

    def both(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        return pack(handle, head, value, status, source, server)

    def only_source(handle: int, value: Any, status: int, source: Any, _server: int) -> bytes:
        return pack(handle, head, value, status, source)

    def only_server(handle: int, value: Any, status: int, _source: Any, server: int) -> bytes:
        return pack(handle, head, value, status, server)

    def neither(handle: int, value: Any, status: int, _source: Any, _server: int) -> bytes:
        return pack(handle, head, value, status)

    if stamps.source:
        return both if stamps.server else only_source
    return only_server if stamps.server else neither


def _empty(stamps: Stamps) -> Pack:
    """A Null in place of a value."""
    head = _mask(stamps) | _NO_VALUE << 8
    pack = Struct(f"<IHI{_times(stamps)}").pack
    has_source, has_server = stamps.source, stamps.server

    def packed(handle: int, _value: Any, status: int, source: Any, server: int) -> bytes:
        return pack(handle, head, status, *((source,) * has_source), *((server,) * has_server))

    return packed


def _mask(stamps: Stamps) -> int:
    return _HAS_VALUE_AND_STATUS | _HAS_SOURCE * stamps.source | _HAS_SERVER * stamps.server


def _times(stamps: Stamps) -> str:
    return "q" * (stamps.source + stamps.server)


def _text(stamps: Stamps) -> Pack:
    mask = _mask(stamps)
    head = Struct("<IBBi").pack
    tail = Struct(f"<I{_times(stamps)}").pack
    kind = int(DataType.STRING)
    has_source, has_server = stamps.source, stamps.server

    def packed(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        words = str(value).encode()
        times = (*((source,) * has_source), *((server,) * has_server))
        return head(handle, mask, kind, len(words)) + words + tail(status, *times)

    return packed


@cache
def pack_objects(stamps: Stamps) -> Pack:
    """The ordinary path, for what no slot stands for: a Variant, its status and its source time as a datetime."""

    def pack(handle: int, value: Any, status: int, source: Any, server: int) -> bytes:
        notification = ua.MonitoredItemNotification(
            ClientHandle=ua.UInt32(handle),
            Value=ua.DataValue(
                value,
                status_code(status),
                SourceTimestamp=source if stamps.source else None,
                ServerTimestamp=moment(server) if stamps.server else None,
            ),
        )
        return struct_to_binary(notification)

    return pack


# --- messages ----------------------------------------------------------------------------------------

# Type of the response, Timestamp, RequestHandle, ServiceResult, no diagnostics, no texts, no additional header.
_RESPONSE: Final = Struct("<2sHqII8x")
_FOUR_BYTES: Final = b"\x01\x00"  # NodeId of namespace 0 with a number of two bytes
_PUBLISH: Final = ua.ObjectIds.PublishResponse_Encoding_DefaultBinary
_REPUBLISH: Final = ua.ObjectIds.RepublishResponse_Encoding_DefaultBinary
_COUNT: Final = Struct("<i")
_PAIR: Final = Struct("<Ii")
_MESSAGE: Final = Struct("<Iqi")  # SequenceNumber, PublishTime, number of NotificationData
_EXTENSION: Final = Struct("<2sHBi")  # type, "binary body", length
_DATA_CHANGE: Final = ua.ObjectIds.DataChangeNotification_Encoding_DefaultBinary
_EVENTS: Final = ua.ObjectIds.EventNotificationList_Encoding_DefaultBinary
_STATUS_CHANGE: Final = ua.ObjectIds.StatusChangeNotification_Encoding_DefaultBinary


def data_change(sequence: int, published: int, notifications: Sequence[bytes], events: Sequence[bytes] = ()) -> bytes:
    """A NotificationMessage with data changes and events; without any it is the sign of life.

    Each event is an EventFieldList.
    """
    parts = [_MESSAGE.pack(sequence, published, bool(notifications) + bool(events))]
    if notifications:
        items = b"".join(notifications)
        length = _COUNT.size + len(items) + _COUNT.size
        parts += (
            _EXTENSION.pack(_FOUR_BYTES, _DATA_CHANGE, 1, length),
            _COUNT.pack(len(notifications)),
            items,
            _COUNT.pack(0),  # DiagnosticInfos
        )
    if events:
        lists = b"".join(events)
        parts += (
            _EXTENSION.pack(_FOUR_BYTES, _EVENTS, 1, _COUNT.size + len(lists)),
            _COUNT.pack(len(events)),
            lists,
        )
    return b"".join(parts)


def status_change(sequence: int, published: int, status: int) -> bytes:
    """A NotificationMessage that says why a subscription has ended."""
    body = Struct("<IB").pack(status, 0)
    return _MESSAGE.pack(sequence, published, 1) + _EXTENSION.pack(_FOUR_BYTES, _STATUS_CHANGE, 1, len(body)) + body


def response_head(type_number: int, timestamp: int, request_handle: int) -> bytes:
    """Type and header of a response that succeeded."""
    return _RESPONSE.pack(_FOUR_BYTES, type_number, timestamp, request_handle, 0)


def publish_response(
    timestamp: int,
    request_handle: int,
    subscription_id: int,
    available: Sequence[int],
    message: bytes,
    results: Sequence[int],
    *,
    more: bool,
) -> bytes:
    """The answer to a Publish; `message` is a NotificationMessage, `results` are statuses of acknowledgements."""
    return b"".join(
        (
            response_head(_PUBLISH, timestamp, request_handle),
            _PAIR.pack(subscription_id, len(available)),
            Struct(f"<{len(available)}I").pack(*available),
            b"\x01" if more else b"\x00",
            message,
            _COUNT.pack(len(results)),
            Struct(f"<{len(results)}I").pack(*results),
            _COUNT.pack(0),  # DiagnosticInfos
        )
    )


def republish_response(timestamp: int, request_handle: int, message: bytes) -> bytes:
    """The answer to a Republish."""
    return response_head(_REPUBLISH, timestamp, request_handle) + message
