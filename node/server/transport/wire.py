"""Bytes of a connection: cutting frames, reading hostile bodies, error frames (OPC 10000-6 sections 6.7 and 7.1)."""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import NotEnoughData
from asyncua.ua.ua_binary import uatcp_to_binary

_HEADER = struct.Struct("<3scI")
_WHOLE_HEADER = struct.Struct("<4sI")  # the same, type and kind of chunk as one
_WHOLE = b"MSGF"
_HEADER_BYTES = 8
_CHANNEL_BYTES = 4
_SMALLEST_BYTES = _HEADER_BYTES + _CHANNEL_BYTES
_HELLO_MAX_BYTES = 8_192  # five numbers and a URL of at most 4096 bytes
_REASON_MAX_CHARS = 500  # OPC 10000-6 section 7.1.5 allows 4096 bytes
_CHANNEL_TYPES = (b"OPN", b"MSG", b"CLO")

# Fields that a body may have unless its reader is told otherwise: what makes channels and sessions has some dozens.
FIELDS = 2_000

# What asyncua's decoder raises for bytes that are no message; RecursionError is a RuntimeError, as is UaError.
DECODE_ERRORS = (ValueError, TypeError, LookupError, AttributeError, ArithmeticError, RuntimeError, struct.error)


class BadFrame(Exception):
    """Bytes that cannot begin a frame, or a frame that is too large; `status` goes into the ERR message."""

    def __init__(self, status: int, text: str) -> None:
        super().__init__(text)
        self.status = status


@dataclass(frozen=True, slots=True)
class Frame:
    """One chunk as it came."""

    type: bytes  # HEL, OPN, MSG, CLO
    chunk: bytes  # F final, C more follow, A abort
    channel_id: int  # 0 for HEL
    body: bytes

    @classmethod
    def of(cls, raw: bytes) -> Frame:
        """Take the bytes of one whole chunk apart."""
        kind, chunk, _size = _HEADER.unpack_from(raw)
        if kind not in _CHANNEL_TYPES:
            return cls(kind, chunk, 0, raw[_HEADER_BYTES:])
        begin = _HEADER_BYTES + _CHANNEL_BYTES
        return cls(kind, chunk, int.from_bytes(raw[_HEADER_BYTES:begin], "little"), raw[begin:])

    def header(self) -> ua.Header:
        """The header as asyncua has it."""
        kind: Any = self.type
        chunk: Any = self.chunk
        header = ua.Header(kind, chunk, self.channel_id)
        header.body_size = len(self.body)
        header.packet_size = len(self.body) + _HEADER_BYTES
        if self.type in _CHANNEL_TYPES:
            header.header_size = _HEADER_BYTES + _CHANNEL_BYTES
            header.packet_size += _CHANNEL_BYTES
        return header


class FrameCutter:
    """Cuts the byte stream of one connection into frames; sizes are checked before anything is kept."""

    __slots__ = ("_buffer", "_max_bytes")

    def __init__(self, max_bytes: int) -> None:
        self._buffer = bytearray()
        self._max_bytes = max_bytes

    def feed(self, data: bytes) -> list[Frame]:
        """Frames that are complete now. Raises BadFrame; the connection is of no use afterwards."""
        return [Frame.of(raw) for raw in self.cut(data)]

    def cut(self, data: bytes) -> list[bytes]:
        """The bytes of the frames that are complete now. Raises BadFrame; the connection is of no use afterwards."""
        if self._buffer:
            self._buffer += data
            if not self._is_complete():
                return []
            data = bytes(self._buffer)
            self._buffer.clear()
        frames: list[bytes] = []
        start, length = 0, len(data)
        while length - start >= _HEADER_BYTES:
            head, size = _WHOLE_HEADER.unpack_from(data, start)
            # Most are whole messages; what `_check` wants of one, without a call.
            if head != _WHOLE or not _SMALLEST_BYTES <= size <= self._max_bytes:
                self._check(head[:-1], head[-1:], size)
            if length - start < size:
                break
            frames.append(data[start : start + size])
            start += size
        self._buffer += data[start:]
        return frames

    def _is_complete(self) -> bool:
        """True when the kept bytes hold a whole frame, so that a slow sender costs no copies."""
        if len(self._buffer) < _HEADER_BYTES:
            return False
        kind, chunk, size = _HEADER.unpack_from(self._buffer)
        self._check(kind, chunk, size)
        return len(self._buffer) >= int(size)

    def _check(self, kind: bytes, chunk: bytes, size: int) -> None:
        if kind == b"HEL":
            smallest, largest, chunks = _HEADER_BYTES, _HELLO_MAX_BYTES, b"F"
        elif kind in _CHANNEL_TYPES:
            smallest, largest = _SMALLEST_BYTES, self._max_bytes
            chunks = b"FCA" if kind == b"MSG" else b"F"
        else:
            raise BadFrame(ua.StatusCodes.BadTcpMessageTypeInvalid, f"message type {kind!r}")
        if chunk not in chunks:
            raise BadFrame(ua.StatusCodes.BadTcpMessageTypeInvalid, f"chunk type {chunk!r} of {kind!r}")
        if not smallest <= size <= largest:
            raise BadFrame(ua.StatusCodes.BadTcpMessageTooLarge, f"a {kind!r} of {size} bytes; {largest} are allowed")


class TooManyFields(NotEnoughData):
    """A body that is more work to decode than its sender may give."""


class Reader:
    """A buffer for asyncua's decoder that never goes backwards and counts what is read from it.

    Lengths in a message are signed; a negative one must end the decoding, not turn it back for ever. A field takes
    some microseconds to decode and may have a single byte, or none: their number says how long all of it takes.
    """

    __slots__ = ("_data", "_end", "_fields", "_nulls_left", "_position")

    def __init__(
        self, data: bytes, start: int = 0, end: int | None = None, *, fields: int | list[int] = FIELDS
    ) -> None:
        """`fields` may be read, parts and copies included; readers that are given one list share it."""
        self._data = data
        self._position = start
        self._end = len(data) if end is None else end
        self._nulls_left = self._end - start
        self._fields = [fields] if isinstance(fields, int) else fields

    def __len__(self) -> int:
        return self._end - self._position

    def __bool__(self) -> bool:
        return self._end > self._position

    @property
    def cur_pos(self) -> int:
        """Position from the start of the data."""
        return self._position

    @property
    def fields(self) -> list[int]:
        """How many more fields may be read, as readers share it."""
        return self._fields

    def allow(self, fields: int) -> None:
        """From here on so many fields may be read."""
        self._fields[0] = fields

    def read(self, size: int) -> bytes:
        """Take `size` bytes; raises NotEnoughData, TooManyFields."""
        fields = self._fields
        fields[0] -= 1
        if fields[0] < 0:
            raise TooManyFields("more fields than are allowed")
        start = self._position
        self.skip(size)
        return self._data[start : self._position]

    def skip(self, size: int) -> None:
        """Leave `size` bytes out; raises NotEnoughData."""
        if not 0 <= size <= self._end - self._position:
            raise NotEnoughData(f"{size} bytes wanted, {self._end - self._position} there")
        self._position += size

    def copy(self, size: int = -1) -> Reader:
        """A reader over the next `size` bytes, or over all for -1; this one stays where it is."""
        left = self._end - self._position
        if size < -1:
            raise NotEnoughData(f"a length of {size}")
        end = self._position + (left if size == -1 else min(size, left))
        return Reader(self._data, self._position, end, fields=self._fields)

    def null(self) -> None:
        """Take one Null, which has no bytes; raises NotEnoughData when there are more of them than bytes."""
        self._nulls_left -= 1
        if self._nulls_left < 0:
            raise NotEnoughData("more Null values than bytes")
        self.read(0)

    def rewind(self, cur_pos: int = 0) -> None:
        """Go back to where the caller has been."""
        self._position = cur_pos


def error_frame(status: int, reason: str) -> bytes:
    """An ERR message; the server closes the connection after it."""
    kind: Any = ua.MessageType.Error
    text: Any = reason[:_REASON_MAX_CHARS]
    return uatcp_to_binary(kind, ua.ErrorMessage(ua.StatusCode(ua.UInt32(status)), text))
