"""Samples as the bodies of HistoryData and HistoryModifiedData, packed by hand.

OPC 10000-11 sections 6.6.2 and 6.6.3, OPC 10000-6 section 5.2. A DataValue object per sample would make a page of
10,000 values fifty times slower. A page whose samples all have values of one fixed size is made column by column: the
bytes of each column are dealt out over equal rows, which costs no Python per sample.
"""

from __future__ import annotations

import struct
import sys
from array import array
from collections.abc import Mapping
from typing import Any, Final

from asyncua import ua

from address_space.model import DataType, Point, PointKind, Value, is_bad
from address_space.values import WIRE_LETTERS
from node.historian.editing import ModifiedColumns
from node.historian.history import Columns
from node.server.reading import Stamps

# Built-in types beside those of points, OPC 10000-6 table 1.
_DATE_TIME: Final = 13
STATUS_CODE: Final = 19  # what the aggregates of quality are
_FORMATS: Final[Mapping[int, str]] = {int(kind): code for kind, code in WIRE_LETTERS.items()} | {
    _DATE_TIME: "q",
    STATUS_CODE: "I",
}
_BOOLEAN: Final = int(DataType.BOOLEAN)
# Bits of a DataValue's encoding mask, OPC 10000-6 section 5.2.2.17.
_VALUE, _STATUS, _SOURCE, _SERVER = 0x01, 0x02, 0x04, 0x08
_FEW: Final = 8  # samples for which columns are not worth it
_FIRST_BAD: Final = 0x8000_0000

ENCODING_ID: Final = ua.NodeId(ua.Int32(ua.ObjectIds.HistoryData_Encoding_DefaultBinary))
_MODIFIED_ID: Final = ua.NodeId(ua.Int32(ua.ObjectIds.HistoryModifiedData_Encoding_DefaultBinary))


def wire_type(point: Point) -> int:
    """Built-in type of a point's Value: a TIME point's ticks are a DateTime."""
    return _DATE_TIME if point.kind is PointKind.TIME else int(point.data_type)


def history_data(samples: Columns, data_type: int, stamps: Stamps) -> ua.ExtensionObject:
    """HistoryData of these samples, whose values are of the built-in type `data_type`.

    A value that was recorded while the point had another type is sent in its own. The server's time is the source
    time: the node itself took it when the answer of the device arrived.
    """
    return ua.ExtensionObject(ENCODING_ID, ua.ByteString(_data_values(samples, data_type, stamps)))


def modified_data(modified: ModifiedColumns, data_type: int, stamps: Stamps) -> ua.ExtensionObject:
    """HistoryModifiedData of what was there before changes."""
    parts = [_data_values(modified.columns, data_type, stamps), struct.pack("<i", len(modified.at))]
    for at, change, user in zip(modified.at, modified.changes, modified.users, strict=True):
        parts += (struct.pack("<qi", at, int(change)), _text(user))
    return ua.ExtensionObject(_MODIFIED_ID, ua.ByteString(b"".join(parts)))


def ready_values(rows: list[bytes]) -> ua.ExtensionObject:
    """HistoryData of DataValues that are packed already."""
    return ua.ExtensionObject(ENCODING_ID, ua.ByteString(struct.pack("<i", len(rows)) + b"".join(rows)))


def _data_values(samples: Columns, data_type: int, stamps: Stamps) -> bytes:
    """An array of DataValues."""
    count = struct.pack("<i", len(samples))
    return count + (_by_column(samples, data_type, stamps) or _by_row(samples, data_type, stamps))


# --- column by column


def _by_column(samples: Columns, data_type: int, stamps: Stamps) -> bytes | None:
    """The DataValues when all have a value of the type and none is Bad, else None."""
    count = len(samples)
    if count < _FEW or sys.byteorder != "little":
        return None
    statuses = samples.statuses.tobytes()
    good = statuses.count(0) == len(statuses)  # Good is what a DataValue without a status is
    if not good and max(samples.statuses) >= _FIRST_BAD:
        return None
    values = _packed_values(samples.values, data_type)
    if values is None:
        return None
    columns = [(values, len(values) // count)]
    if not good:
        columns.append((statuses, 4))
    columns += [(samples.ticks.tobytes(), 8)] * (stamps.source + stamps.server)
    stride = 2 + sum(width for _, width in columns)
    rows = bytearray(stride * count)
    rows[0::stride] = bytes((_mask(stamps, value=True, status=not good),)) * count
    rows[1::stride] = bytes((data_type,)) * count
    at = 2
    for column, width in columns:
        for offset in range(width):
            rows[at + offset :: stride] = column[offset::width]
        at += width
    return bytes(rows)


def _packed_values(values: list[Value | None], data_type: int) -> bytes | None:
    """All values one behind the other; None when they are not all of the type."""
    form = _FORMATS.get(data_type)
    if form is None:
        return None
    if data_type == _BOOLEAN:
        flags: Any = values
        return bytes(flags) if set(map(type, values)) == {bool} else None
    try:
        if form == "f":  # an array would make a number that is too large infinite
            return struct.pack(f"<{len(values)}f", *values)
        numbers: Any = values
        return array(form, numbers).tobytes()
    except (TypeError, OverflowError, struct.error):  # no number, a fraction for an integer, or one that does not fit
        return None


# --- row by row


def _by_row(samples: Columns, data_type: int, stamps: Stamps) -> bytes:
    bare_mask, full_mask = (_mask(stamps, value=value, status=True) for value in (False, True))
    times = stamps.source + stamps.server
    bare = struct.Struct("<BI" + "q" * times).pack
    form = _FORMATS.get(data_type)
    full = struct.Struct(f"<BB{form or '0s'}I" + "q" * times).pack
    rows: list[bytes] = []
    for ticks, value, status in zip(samples.ticks, samples.values, samples.statuses, strict=True):
        stamp = (ticks,) * times
        if value is None or is_bad(status):
            rows.append(bare(bare_mask, status, *stamp))
            continue
        if form is not None and (form == "?") == isinstance(value, bool):
            try:
                rows.append(full(full_mask, data_type, value, status, *stamp))
            except (struct.error, OverflowError):
                pass  # does not fit the type that the point has now
            else:
                continue
        rows.append(bytes((full_mask,)) + _variant(value) + bare(bare_mask, status, *stamp)[1:])
    return b"".join(rows)


def _mask(stamps: Stamps, *, value: bool, status: bool) -> int:
    return (
        (_VALUE if value else 0)
        | (_STATUS if status else 0)
        | (_SOURCE if stamps.source else 0)
        | (_SERVER if stamps.server else 0)
    )


def _variant(value: Value) -> bytes:
    """A value in the type that it has by itself."""
    if isinstance(value, str):
        return bytes((DataType.STRING,)) + _text(value)
    if isinstance(value, bool):
        return struct.pack("<B?", DataType.BOOLEAN, value)
    if isinstance(value, int) and -(2**63) <= value < 2**63:
        return struct.pack("<Bq", DataType.INT64, value)
    if isinstance(value, int) and 0 <= value < 2**64:
        return struct.pack("<BQ", DataType.UINT64, value)
    if isinstance(value, int):
        return _variant(str(value))
    return struct.pack("<Bd", DataType.DOUBLE, value)


def _text(words: str) -> bytes:
    raw = words.encode("utf-8", "replace")
    return struct.pack("<i", len(raw)) + raw
