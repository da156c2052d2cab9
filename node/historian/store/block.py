"""Blocks: samples of one tag in the order of time as few bytes. Pure: no file, no clock, standard library only.

Header (version, codec, count, crc32 of all but itself), then the body, compressed by zlib when that helps:
ticks, kinds, statuses, and one column for each kind of value that occurs. A column of integers is stored as the
distances from the lowest or from one to the next, whichever takes fewer bytes, and all columns are shuffled: first
the lowest bytes of all values, then the second lowest and so on, which is what zlib likes. Floats that are decimal
fractions, as scaled registers give them, are stored as integers.
"""

from __future__ import annotations

import struct
import sys
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Callable, Sequence
from itertools import accumulate
from operator import sub
from typing import Any, Final
from zlib import compress, crc32, decompress
from zlib import error as ZlibError  # noqa: N812 - zlib names its exception in lower case

from address_space.model import TICKS_PER_MS, Value
from node.historian.history import Columns
from node.historian.store.frame import DELETED, Kind, kind_of

BLOCK_SAMPLES: Final = 1024  # a quarter of that costs 6 % more bytes, four times as much saves 4 %

_VERSION: Final = 1
_PLAIN: Final = 0
_ZLIB: Final = 1
_LEVEL: Final = 6
_HEADER: Final = struct.Struct("<BBHI")
_HEAD: Final = struct.Struct("<BBH")  # the part of the header that the check sum covers

# Modes of a column of integers: the width in bytes of what is stored, plus one of these.
_LOWEST: Final = 0x00  # distances from the lowest
_STEPS: Final = 0x10  # distances from one to the next
_WHOLE: Final = 0x20  # the integers themselves, 8 bytes each
_UNSIGNED: Final = {1: "B", 2: "H", 4: "I", 8: "Q"}
_MIXED: Final = 0xFF

# Modes of floats.
_BITS: Final = 0xFF  # 8 bytes each; else the power of ten that the integers are to be divided by
_POWERS: Final = tuple(10**n for n in range(7))
_EXACT: Final = 2.0**53  # above this not every integer is a float
_PROBES: Final = 8  # so many values are looked at before all are turned into integers


class BlockDamaged(ValueError):
    """The bytes are no block or have changed since they were written."""


# --- shuffled columns


def _shuffle(raw: bytes, width: int) -> bytes:
    return raw if width == 1 else b"".join([raw[plane::width] for plane in range(width)])


def _unshuffle(planes: bytes, width: int) -> bytes:
    if width == 1:
        return planes
    raw, count = bytearray(len(planes)), len(planes) // width
    for plane in range(width):
        raw[plane::width] = planes[plane * count : (plane + 1) * count]
    return bytes(raw)


def _little(column: array[int] | array[float]) -> bytes:
    if sys.byteorder == "big":
        column = column[:]
        column.byteswap()
    return column.tobytes()


def _put(code: str, values: Sequence[int]) -> bytes:
    column = array(code, values)
    return _shuffle(_little(column), column.itemsize)


class _Body:
    """Reads a body from the front to the back; raises BlockDamaged where it is too short."""

    def __init__(self, raw: bytes) -> None:
        self._raw = raw
        self._at = 0

    def take(self, size: int) -> bytes:
        """The next bytes."""
        part = self._raw[self._at : self._at + size]
        if len(part) != size:
            raise BlockDamaged("ends in the middle of a column")
        self._at += size
        return part

    def number(self, size: int = 1, *, signed: bool = False) -> int:
        """The next integer."""
        return int.from_bytes(self.take(size), "little", signed=signed)

    def column(self, code: str, count: int) -> array[int]:
        """The next shuffled column."""
        column = array(code)
        column.frombytes(_unshuffle(self.take(count * column.itemsize), column.itemsize))
        if sys.byteorder == "big":
            column.byteswap()
        return column


# --- columns of integers


def _width(span: int) -> int:
    for width in (1, 2, 4):
        if span < 1 << 8 * width:
            return width
    return 8


def _put_integers(values: Sequence[int]) -> bytes:
    """A column of signed 64-bit integers, at least one."""
    low = min(values)
    span = max(values) - low
    if not span:
        return struct.pack("<Bq", _LOWEST, low)
    steps = list(map(sub, values[1:], values))
    least = min(steps)
    reach = max(steps) - least
    if reach < span and -(2**63) <= least < 2**63:
        if not reach:
            return struct.pack("<Bqq", _STEPS, values[0], least)
        width = _width(reach)
        distances = [step - least for step in steps]
        return struct.pack("<Bqq", _STEPS | width, values[0], least) + _put(_UNSIGNED[width], distances)
    width = _width(span)
    if width == 8:
        return bytes([_WHOLE]) + _put("q", values)
    return struct.pack("<Bq", _LOWEST | width, low) + _put(_UNSIGNED[width], [value - low for value in values])


def _integers(body: _Body, count: int, unit: int = 1) -> list[int] | array[int]:
    """The next column of integers, each times `unit`."""
    mode = body.number()
    way, width = mode & 0xF0, mode & 0x0F
    if way == _WHOLE:
        column = body.column("q", count)
        return column if unit == 1 else [value * unit for value in column]
    if width and width not in _UNSIGNED:
        raise BlockDamaged(f"has a column of {width} bytes")
    if way == _LOWEST:
        low = body.number(8, signed=True)
        return [(low + v) * unit for v in body.column(_UNSIGNED[width], count)] if width else [low * unit] * count
    if way != _STEPS:
        raise BlockDamaged(f"has a column of the unknown mode {mode}")
    first, least = body.number(8, signed=True) * unit, body.number(8, signed=True) * unit
    if not width:
        return [first + least * step for step in range(count)]
    steps = body.column(_UNSIGNED[width], count - 1)
    if unit == 1:
        return list(accumulate([least + step for step in steps] if least else steps, initial=first))
    return list(accumulate([least + step * unit for step in steps], initial=first))


# --- times


def _put_times(ticks: Sequence[int]) -> bytes:
    # Source times are whole milliseconds but for those of clients and tests.
    whole = not any(time % TICKS_PER_MS for time in ticks)
    unit = TICKS_PER_MS if whole else 1
    return bytes([whole]) + _put_integers([time // unit for time in ticks] if whole else ticks)


def _times(body: _Body, count: int) -> array[int]:
    whole = body.number()
    return array("q", _integers(body, count, TICKS_PER_MS if whole else 1))


# --- columns of values, one function each way and kind


def _put_floats(values: Sequence[float]) -> bytes:
    for power, scale in enumerate(_POWERS):
        if all(_is_decimal(value, scale) for value in values[:: max(1, len(values) // _PROBES)]):
            found = _decimals(values, scale)
            if found is not None:
                return bytes([power]) + _put_integers(found)
    return bytes([_BITS]) + _shuffle(_little(array("d", values)), 8)


def _is_decimal(value: float, scale: int) -> bool:
    scaled = value * scale
    return -_EXACT < scaled < _EXACT and round(scaled) / scale == value


def _decimals(values: Sequence[float], scale: int) -> list[int] | None:
    """The integers that, divided by `scale`, are these floats bit by bit; None when there are none."""
    try:
        found = list(map(round, values)) if scale == 1 else [round(value * scale) for value in values]
        back = array("d", [number / scale for number in found])
    except (OverflowError, ValueError):  # infinite, no number, or too large
        return None
    if max(found) >= _EXACT or min(found) <= -_EXACT or back.tobytes() != array("d", values).tobytes():
        return None
    return found


def _floats(body: _Body, count: int) -> list[float]:
    power = body.number()
    if power == _BITS:
        column = array("d", _unshuffle(body.take(8 * count), 8))
        if sys.byteorder == "big":
            column.byteswap()
        return column.tolist()
    if power >= len(_POWERS):
        raise BlockDamaged(f"has floats of the unknown mode {power}")
    scale = _POWERS[power]
    return [number / scale for number in _integers(body, count)]


def _put_texts(values: Sequence[str]) -> bytes:
    # A device may send half of a surrogate pair; it is kept as it came.
    parts = [value.encode("utf-8", "surrogatepass") for value in values]
    return _put("I", list(map(len, parts))) + b"".join(parts)


def _texts(body: _Body, count: int) -> list[str]:
    return [body.take(length).decode("utf-8", "surrogatepass") for length in body.column("I", count)]


_PUT: Final[dict[Kind, Callable[[list[Any]], bytes]]] = {
    Kind.NONE: lambda _values: b"",
    Kind.BOOL: bytes,
    Kind.INT: _put_integers,
    Kind.UINT: lambda values: _put("Q", values),
    Kind.FLOAT: _put_floats,
    Kind.TEXT: _put_texts,
    Kind.BIG: lambda values: _put_texts(list(map(hex, values))),
    Kind.DELETED: lambda _values: b"",
}
_GET: Final[dict[Kind, Callable[[_Body, int], Sequence[Value | None]]]] = {
    Kind.NONE: lambda _body, count: [None] * count,
    Kind.BOOL: lambda body, count: list(map(bool, body.take(count))),
    Kind.INT: _integers,
    Kind.UINT: lambda body, count: body.column("Q", count),
    Kind.FLOAT: _floats,
    Kind.TEXT: _texts,
    Kind.BIG: lambda body, count: [int(text, 16) for text in _texts(body, count)],
    Kind.DELETED: lambda _body, count: [DELETED] * count,
}


# --- blocks


def encode(samples: Columns) -> bytes:
    """The block of 1 to 65,535 samples, whose times ascend. Raises TypeError for a value that is no Value."""
    body = _put_times(samples.ticks) + _put_statuses(samples.statuses) + _put_values(samples.values)
    packed = compress(body, _LEVEL)
    codec, payload = (_ZLIB, packed) if len(packed) < len(body) else (_PLAIN, body)
    head = _HEAD.pack(_VERSION, codec, len(samples))
    return head + struct.pack("<I", crc32(payload, crc32(head))) + payload


def _put_statuses(statuses: array[int]) -> bytes:
    if statuses.count(statuses[0]) == len(statuses):
        return struct.pack("<BI", 0, statuses[0])
    return b"\x01" + _put("I", statuses)


def _put_values(values: list[Value | None]) -> bytes:
    types = set(map(type, values))
    if types == {float}:
        return bytes([Kind.FLOAT]) + _put_floats(values)  # type: ignore[arg-type]
    kinds = bytes(map(kind_of, values))
    if kinds.count(kinds[0]) == len(kinds):
        return kinds[:1] + _PUT[Kind(kinds[0])](values)
    parts = [bytes([_MIXED]), kinds]
    for kind in sorted(set(kinds)):
        column = [value for value, one in zip(values, kinds, strict=True) if one == kind]
        parts.append(_PUT[Kind(kind)](column))
    return b"".join(parts)


def decode(blob: bytes, low: int = -(2**63), high: int = 2**63 - 1) -> Columns:
    """The samples with times from `low` to `high`, both included; deletions have the value DELETED.

    Raises BlockDamaged when the bytes do not hold together.
    """
    if len(blob) < _HEADER.size:
        raise BlockDamaged(f"{len(blob)} bytes are no block")
    version, codec, count, crc = _HEADER.unpack_from(blob)
    payload = blob[_HEADER.size :]
    if version != _VERSION or codec not in (_PLAIN, _ZLIB):
        raise BlockDamaged(f"has version {version} and codec {codec}")
    if crc32(payload, crc32(blob[: _HEAD.size])) != crc:
        raise BlockDamaged("the check sum is wrong")
    try:
        return _columns(_Body(decompress(payload) if codec == _ZLIB else payload), count, low, high)
    except (ZlibError, ArithmeticError, LookupError, ValueError) as error:
        raise BlockDamaged(f"cannot be decoded: {error}") from error


def _columns(body: _Body, count: int, low: int, high: int) -> Columns:
    ticks = _times(body, count)
    first = bisect_left(ticks, low) if ticks[0] < low else 0
    last = bisect_right(ticks, high) if ticks[-1] > high else count
    if first >= last:
        return Columns()
    mixed = body.number()
    statuses = body.column("I", count) if mixed else array("I", [body.number(4)]) * count
    values = _values(body, count)
    if last - first == count:
        return Columns(ticks, values, statuses)
    return Columns(ticks[first:last], values[first:last], statuses[first:last])


def _values(body: _Body, count: int) -> list[Value | None]:
    kind = body.number()
    if kind != _MIXED:
        return list(_GET[Kind(kind)](body, count))
    kinds = body.take(count)
    columns = {one: iter(_GET[Kind(one)](body, kinds.count(one))) for one in sorted(set(kinds))}
    return [next(columns[one]) for one in kinds]
