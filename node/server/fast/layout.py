"""Fixed parts of messages as precompiled structs (OPC 10000-6 section 5.2)."""

from __future__ import annotations

from struct import Struct
from typing import Final

# A NodeId of four bytes in namespace 0, as all type ids of messages are.
FOUR_BYTE: Final = 0x0001
# Behind the authentication token: time stamp, handle, diagnostics mask, length of the audit entry's id.
REQUEST: Final = Struct("<qIIi")
# Time until the client gives up (ms), and an additional header that is null.
REQUEST_END: Final = Struct("<I3s")
NOTHING: Final = b"\0\0\0"
# Type id, time stamp, handle, result, diagnostics, string table, null additional header.
RESPONSE: Final = Struct("<HHqIIBi3s")
COUNT: Final = Struct("<i")
UINT32: Final = Struct("<I")
# A NodeId with a text: kind 3, namespace, length of the text.
TEXT_ID: Final = Struct("<BHi")
TEXT_KIND: Final = 3


def response(type_id: int, ticks: int, handle: int) -> bytes:
    """Type id and header of a good response."""
    return RESPONSE.pack(FOUR_BYTE, type_id, ticks, handle, 0, 0, 0, NOTHING)


def id_end(data: bytes, at: int) -> int:
    """Where the NodeId that starts at `at` ends. Raises ValueError for one that is not plain, IndexError at the end."""
    kind = data[at]
    if kind == 0:
        return at + 2
    if kind == 1:
        return at + 4
    if kind == 2:
        return at + 7
    if kind == 4:
        return at + 19
    if kind in (3, 5):
        length = int.from_bytes(data[at + 3 : at + 7], "little", signed=True)
        if length >= 0:
            return at + 7 + length
    raise ValueError(f"a NodeId of kind {kind}")
