"""OPC UA over TCP as bytes: cutting frames, and reading publish answers without an object per notification.

Facts are those of OPC 10000-6 sections 5.2 (binary encoding) and 7.1 (connection protocol).
"""

from __future__ import annotations

import sys
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct, error
from typing import Final, NamedTuple

FRAME: Final = Struct("<3scI")  # message type, chunk type, size of the whole frame
SYMMETRIC: Final = Struct("<3scIIIII")  # ... channel, token, sequence number, request id
SERVICE_FAULT: Final = 397
PUBLISH_RESPONSE: Final = 829
READ_RESPONSE: Final = 634
WRITE_RESPONSE: Final = 676
CALL_RESPONSE: Final = 715
BROWSE_RESPONSE: Final = 530
DATA_CHANGE: Final = 811

_NODE_ID: Final = Struct("<BBH")  # four-byte form, namespace 0
# Time stamp, request handle, result, diagnostics mask, string table length.
_RESPONSE: Final = Struct("<qIIBi")
_NO_HEADER: Final = b"\0\0\0"  # additional header: null NodeId, no body
_SEQUENCE: Final = Struct("<Iqi")  # sequence number, publish time, number of notification data
_DATA: Final = Struct("<BBHBii")  # type, encoding 1, length of the body, number of items
_U32: Final = Struct("<I")
_I32: Final = Struct("<i")

# Sizes of the optional parts of a DataValue behind its value, by the bit of the mask (OPC 10000-6 table 18).
_TAIL: Final = ((0x02, 4), (0x04, 8), (0x08, 8), (0x10, 2), (0x20, 2))
# Sizes of the scalars that a point can have, by built-in type.
_SCALARS: Final = {0: 0, 1: 1, 2: 1, 3: 1, 4: 2, 5: 2, 6: 4, 7: 4, 8: 8, 9: 8, 10: 4, 11: 8, 13: 8}
_STRING: Final = 12
_DOUBLE: Final = 11


class Unexpected(Exception):
    """An answer that a benchmark cannot count: wrong bytes, or a service that failed; the text says which."""


class Head(NamedTuple):
    """What stands before the body of every answer; `body` is its offset."""

    type_id: int
    result: int
    body: int


def read_head(message: bytes) -> Head:
    """Type, result and start of the body of an answer. Raises Unexpected for what does not look like one."""
    try:
        kind, namespace, type_id = _NODE_ID.unpack_from(message)
        _time, _handle, result, diagnostics, strings = _RESPONSE.unpack_from(message, _NODE_ID.size)
    except error as short:
        raise Unexpected(f"answer of {len(message)} bytes is too short for a header") from short
    at = _NODE_ID.size + _RESPONSE.size
    plain = kind == 1 and namespace == 0 and diagnostics == 0 and strings <= 0
    if not plain or message[at : at + 3] != _NO_HEADER:
        raise Unexpected(f"answer with a header that is not plain: {message[: at + 3].hex()}")
    return Head(type_id, result, at + 3)


class Publish(NamedTuple):
    """One Publish answer. `first`:`end` are the bytes of its `items` items; a keep-alive has none."""

    subscription: int
    sequence: int
    more: bool
    items: int
    first: int
    end: int


def read_publish(message: bytes, at: int) -> Publish:
    """Cut a Publish answer whose body starts at `at`. Raises Unexpected when lengths do not add up."""
    try:
        subscription, available = _U32.unpack_from(message, at)[0], _I32.unpack_from(message, at + 4)[0]
        at += 8 + 4 * max(available, 0)
        more = message[at] != 0
        sequence, _published, parts = _SEQUENCE.unpack_from(message, at + 1)
        at += 1 + _SEQUENCE.size
        if parts <= 0:
            return Publish(subscription, sequence, more, 0, at, at)
        kind, namespace, type_id, encoding, length, count = _DATA.unpack_from(message, at)
        end = at + _DATA.size - 4 + length
        if (kind, namespace, encoding, parts) != (1, 0, 1, 1) or type_id != DATA_CHANGE:
            raise Unexpected(f"{parts} notification data, the first of type {type_id}: only data changes are counted")
        if end > len(message) or _I32.unpack_from(message, end - 4)[0] > 0:
            raise Unexpected("data change whose length is wrong or that carries diagnostics")
    except (error, IndexError) as short:
        raise Unexpected(f"Publish answer of {len(message)} bytes ends too early") from short
    return Publish(subscription, sequence, more, count, at + _DATA.size, end - 4)


@dataclass(frozen=True, slots=True)
class Columns:
    """Client handles and values of one data change; `values[i]` is NaN where an item has no Double."""

    handles: array[int]
    values: array[float]
    bad: int  # items without a value


def columns(message: bytes, first: int, end: int, count: int) -> Columns:
    """All items of a data change. Every byte is accounted for: Unexpected when items and length disagree.

    Items of one shape (the case that counts) are taken apart by slices, others one after the other.
    """
    if count <= 0:
        if first != end:
            raise Unexpected(f"{end - first} bytes behind an empty list of items")
        return Columns(array("I"), array("d"), 0)
    size, rest = divmod(end - first, count)
    if rest == 0 and size > 6 and _one_shape(message, first, end, size, count):
        handles = array("I", _column(message, first, end, size, 4, count))
        return Columns(handles, array("d", _column(message, first + 6, end, size, 8, count)), 0)
    return _walk(message, first, end, count)


def _one_shape(message: bytes, first: int, end: int, size: int, count: int) -> bool:
    mask, kind = message[first + 4], message[first + 5]
    expected = 6 + 8 + sum(length for bit, length in _TAIL if mask & bit)
    if not mask & 1 or kind != _DOUBLE or size != expected:
        return False
    return message[first + 4 : end : size].count(mask) == count and message[first + 5 : end : size].count(kind) == count


def _column(message: bytes, first: int, end: int, size: int, width: int, count: int) -> bytes:
    out = bytearray(width * count)
    for byte in range(width):
        # Little-endian on the wire; the arrays are the machine's.
        place = byte if sys.byteorder == "little" else width - 1 - byte
        out[place::width] = message[first + byte : end : size]
    return bytes(out)


def _walk(message: bytes, first: int, end: int, count: int) -> Columns:
    handles, values, bad, at = array("I"), array("d"), 0, first
    double = Struct("<d")
    try:
        for _ in range(count):
            handles.append(_U32.unpack_from(message, at)[0])
            mask, at = message[at + 4], at + 5
            value = float("nan")
            if mask & 1:
                if message[at] == _DOUBLE:
                    value = double.unpack_from(message, at + 1)[0]
                # A null Variant is no value either.
                bad += message[at] == 0
                at = _behind_scalar(message, at)
            else:
                bad += 1
            values.append(value)
            at += sum(length for bit, length in _TAIL if mask & bit)
    except (error, IndexError) as short:
        raise Unexpected(f"{count} items do not fit into {end - first} bytes") from short
    if at != end:
        raise Unexpected(f"{count} items take {at - first} of {end - first} bytes")
    return Columns(handles, values, bad)


def _behind_scalar(message: bytes, at: int) -> int:
    kind = message[at]
    if kind == _STRING:
        length: int = _I32.unpack_from(message, at + 1)[0]
        return at + 5 + max(length, 0)
    size = _SCALARS.get(kind)
    if size is None:
        raise Unexpected(f"a value of built-in type {kind}: only scalars are counted")
    return at + 1 + size


class FrameCutter:
    """Turns received bytes into whole messages; chunks of one message are joined.

    `opened` gives request id and body of an encrypted chunk; None while there is no encryption.
    """

    __slots__ = ("_buffer", "_parts", "opened")

    def __init__(self) -> None:
        self.opened: Callable[[bytes], tuple[int, bytes]] | None = None
        self._buffer = bytearray()
        self._parts: dict[int, list[bytes]] = {}

    def feed(self, data: bytes | memoryview) -> list[tuple[bytes, int, bytes]]:
        """(message type, request id, body) of every message complete by now; sequence header cut off.

        Raises Unexpected for an ERR message or an abort chunk. OPN and ACK bodies are given from behind the
        frame header on, with request id 0.
        """
        self._buffer += data
        done: list[tuple[bytes, int, bytes]] = []
        at, buffer = 0, self._buffer
        while len(buffer) - at >= FRAME.size:
            kind, chunk, size = FRAME.unpack_from(buffer, at)
            if len(buffer) - at < size:
                break
            if kind == b"MSG":
                if self.opened is None:
                    request = SYMMETRIC.unpack_from(buffer, at)[-1]
                    body = bytes(buffer[at + SYMMETRIC.size : at + size])
                else:
                    request, body = self.opened(bytes(buffer[at : at + size]))
                self._chunk(request, chunk, body, done)
            elif kind == b"ERR":
                raise Unexpected(f"the server closed with status 0x{_U32.unpack_from(buffer, at + 8)[0]:08X}")
            else:
                done.append((kind, 0, bytes(buffer[at + FRAME.size : at + size])))
            at += size
        del buffer[:at]
        return done

    def _chunk(self, request: int, chunk: bytes, body: bytes, done: list[tuple[bytes, int, bytes]]) -> None:
        if chunk == b"A":
            raise Unexpected(f"the server aborted the answer to request {request}")
        parts = self._parts.pop(request, None)
        if chunk == b"C":
            self._parts[request] = [*(parts or ()), body]
        else:
            done.append((b"MSG", request, b"".join((*parts, body)) if parts else body))
