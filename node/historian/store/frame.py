"""Frames: the samples of one commit as bytes. Pure: no file, no clock.

Header (magic, count, bytes of text, crc32 of all that follows), then the body, compressed when that helps: a third of
the bytes is a page less in the write-ahead log with each commit. The body is little-endian columns: tag i32, ticks i64,
kind u8, value 8 bytes, status u32, and the text that string cells point into. Samples are grouped by tag, so that
one tag is found by bisection; within a tag they keep the order in which they came.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from enum import IntEnum
from typing import Any, Final
from zlib import compress, crc32, decompress
from zlib import error as ZlibError  # noqa: N812 - zlib names its exception in lower case

from address_space.model import Value
from node.historian.history import Columns

_MAGIC: Final = b"GNF1"
_PACKED: Final = b"GNZ1"  # the body is compressed by zlib
_LEVEL: Final = 1  # higher ones take twice the time for 5 % less
_HEADER: Final = struct.Struct("<4sIII")
_TEXT_CELL: Final = struct.Struct("<II")  # offset and length in the text
# Bytes per sample: tag, ticks, kind, value, status.
_TICKS_AT, _KIND_AT, _VALUE_AT, _STATUS_AT, _SAMPLE = 4, 12, 13, 21, 25

_pack_float = struct.Struct("<d").pack
_pack_int = struct.Struct("<q").pack
_pack_uint = struct.Struct("<Q").pack
_EMPTY_CELL: Final = bytes(8)


class Kind(IntEnum):
    """How a value cell is to be read; the codes are on disk."""

    NONE = 0
    BOOL = 1
    INT = 2
    UINT = 3  # an integer above the signed range
    FLOAT = 4
    TEXT = 5
    BIG = 6  # an integer beyond 64 bits, as hexadecimal text
    DELETED = 7  # no sample: hides what an older frame or block has at this time


class _Deleted(str):
    """A text, so that it fits into a column of values."""

    __slots__ = ()


# The value that stands for a deletion. It is known by identity and never leaves the historian.
DELETED: Final = _Deleted("deleted")


def kind_of(value: Value | None) -> Kind:
    """The kind of a value; raises TypeError for what is no Value."""
    if value is None:
        return Kind.NONE
    if isinstance(value, float):
        return Kind.FLOAT
    if isinstance(value, bool):
        return Kind.BOOL
    if isinstance(value, int):
        if -(2**63) <= value < 2**63:
            return Kind.INT
        return Kind.UINT if 0 <= value < 2**64 else Kind.BIG
    if isinstance(value, str):
        return Kind.DELETED if value is DELETED else Kind.TEXT
    raise TypeError(f"a sample cannot hold a {type(value).__name__}")


class FrameDamaged(ValueError):
    """The bytes are no frame or have changed since they were written."""


def _column(typecode: str, raw: bytes) -> array[int]:
    column = array(typecode, raw)
    if sys.byteorder == "big":
        column.byteswap()
    return column


def _bytes(column: array[int]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


class _Cells:
    """Builds the kind and value columns and the text."""

    def __init__(self) -> None:
        self.kinds = bytearray()
        self.cells: list[bytes] = []
        self.text = bytearray()

    def add(self, value: Any) -> None:
        """Append one value; raises TypeError for what is no Value."""
        kind = kind_of(value)
        self.kinds.append(kind)
        if kind == Kind.FLOAT:
            cell = _pack_float(value)
        elif kind in (Kind.INT, Kind.BOOL):
            cell = _pack_int(value)
        elif kind == Kind.UINT:
            cell = _pack_uint(value)
        elif kind == Kind.TEXT:
            cell = self._put(value)
        elif kind == Kind.BIG:
            cell = self._put(hex(value))
        else:
            cell = _EMPTY_CELL
        self.cells.append(cell)

    def _put(self, text: str) -> bytes:
        # A device may send half of a surrogate pair; it is kept as it came.
        raw = text.encode("utf-8", "surrogatepass")
        cell = _TEXT_CELL.pack(len(self.text), len(raw))
        self.text += raw
        return cell


def is_recordable(value: object) -> bool:
    """True for what a frame can hold."""
    return value is None or isinstance(value, bool | int | float | str)


def encode(tags: Sequence[int], ticks: Sequence[int], values: Sequence[Value | None], statuses: Sequence[int]) -> bytes:
    """The frame of these samples; columns of equal length. Raises TypeError for a value that is no Value."""
    order = sorted(range(len(tags)), key=tags.__getitem__)
    cells = _Cells()
    for position in order:
        cells.add(values[position])
    body = b"".join(
        (
            _bytes(array("i", [tags[p] for p in order])),
            _bytes(array("q", [ticks[p] for p in order])),
            cells.kinds,
            b"".join(cells.cells),
            _bytes(array("I", [statuses[p] for p in order])),
            cells.text,
        )
    )
    packed = compress(body, _LEVEL)
    magic, payload = (_PACKED, packed) if len(packed) < len(body) else (_MAGIC, body)
    return _HEADER.pack(magic, len(tags), len(cells.text), crc32(payload)) + payload


def _unpacked(payload: bytes) -> bytes:
    try:
        return decompress(payload)
    except ZlibError as error:
        raise FrameDamaged(f"cannot be decompressed: {error}") from error


class Frame:
    """A frame that was read and checked; raises FrameDamaged when it does not hold together."""

    __slots__ = ("_blob", "_count", "_tags")

    def __init__(self, blob: bytes) -> None:
        if len(blob) < _HEADER.size:
            raise FrameDamaged(f"{len(blob)} bytes are no frame")
        magic, count, text, crc = _HEADER.unpack_from(blob)
        if magic not in (_MAGIC, _PACKED):
            raise FrameDamaged(f"starts with {magic!r} instead of {_MAGIC!r}")
        if crc32(memoryview(blob)[_HEADER.size :]) != crc:
            raise FrameDamaged("the check sum is wrong")
        if magic == _PACKED:
            blob = blob[: _HEADER.size] + _unpacked(blob[_HEADER.size :])
        if len(blob) != _HEADER.size + count * _SAMPLE + text:
            raise FrameDamaged(f"has {len(blob)} bytes, its header says {_HEADER.size + count * _SAMPLE + text}")
        self._blob = blob
        self._count: int = count
        self._tags = _column("i", blob[_HEADER.size : _HEADER.size + 4 * count])

    def __len__(self) -> int:
        return self._count

    @property
    def tags(self) -> array[int]:
        """The tag of every sample, in ascending order."""
        return self._tags

    def _cells(self, column_at: int, width: int, low: int, high: int) -> bytes:
        start = _HEADER.size + column_at * self._count
        return self._blob[start + width * low : start + width * high]

    def of(self, tag: int) -> Columns:
        """The samples of one tag in the order in which they came."""
        low, high = bisect_left(self._tags, tag), bisect_right(self._tags, tag)
        if low == high:
            return Columns()
        return Columns(
            _column("q", self._cells(_TICKS_AT, 8, low, high)),
            self._values(self._cells(_KIND_AT, 1, low, high), self._cells(_VALUE_AT, 8, low, high)),
            _column("I", self._cells(_STATUS_AT, 4, low, high)),
        )

    def columns(self) -> Columns:
        """All samples, in the order of `tags`."""
        count = self._count
        return Columns(
            _column("q", self._cells(_TICKS_AT, 8, 0, count)),
            self._values(self.kinds, self._cells(_VALUE_AT, 8, 0, count)),
            _column("I", self._cells(_STATUS_AT, 4, 0, count)),
        )

    @property
    def kinds(self) -> bytes:
        """The kind of every sample, in the order of `tags`."""
        return self._cells(_KIND_AT, 1, 0, self._count)

    def _values(self, kinds: bytes, cells: bytes) -> list[Value | None]:
        doubles = struct.unpack(f"<{len(kinds)}d", cells)  # at once: most cells are doubles
        return [
            doubles[i] if kind == Kind.FLOAT else self._value(kind, cells[8 * i : 8 * i + 8])
            for i, kind in enumerate(kinds)
        ]

    def _value(self, kind: int, cell: bytes) -> Value | None:
        value: Value | None = None
        if kind == Kind.FLOAT:
            (value,) = struct.unpack("<d", cell)
        elif kind == Kind.BOOL:
            value = cell != _EMPTY_CELL
        elif kind == Kind.INT:
            value = int.from_bytes(cell, "little", signed=True)
        elif kind == Kind.UINT:
            value = int.from_bytes(cell, "little")
        elif kind == Kind.TEXT:
            value = self._text(cell)
        elif kind == Kind.BIG:
            value = int(self._text(cell), 16)
        elif kind == Kind.DELETED:
            value = DELETED
        elif kind != Kind.NONE:
            raise FrameDamaged(f"has a value of the unknown kind {kind}")
        return value

    def _text(self, cell: bytes) -> str:
        offset, length = _TEXT_CELL.unpack(cell)
        start = _HEADER.size + _SAMPLE * self._count + offset
        return self._blob[start : start + length].decode("utf-8", "surrogatepass")
