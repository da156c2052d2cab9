"""One processed value, and the bits of its status (OPC 10000-4 section 7.39.1, OPC 10000-13 section 5.3.3)."""

from __future__ import annotations

from typing import Final, NamedTuple

from address_space.model import TICKS_PER_MS, Value

GOOD: Final = 0x0000_0000
UNCERTAIN_DATA_SUB_NORMAL: Final = 0x40A4_0000
BAD: Final = 0x8000_0000
BAD_NO_DATA: Final = 0x809B_0000

# Information bits; a status without one of them says Raw and stays as it is.
CALCULATED: Final = 0x01
INTERPOLATED: Final = 0x02
PARTIAL: Final = 0x04
EXTRA_DATA: Final = 0x08
MULTI_VALUE: Final = 0x10
_INFO_IS_OF_DATA_VALUE: Final = 0x0400
_INFO: Final = 0x07FF  # info type, overflow, limit and historian bits

# Resolution of source times: data end this long after the last sample, an open end lies this far inside.
RESOLUTION: Final = TICKS_PER_MS


class Result(NamedTuple):
    """One processed or interpolated value; None when the status is Bad. `status` carries information bits."""

    ticks: int
    value: Value | None
    status: int


def with_bits(status: int, bits: int) -> int:
    """`status` with these information bits added to those it has."""
    return status | _INFO_IS_OF_DATA_VALUE | bits if bits else status


def code(status: int) -> int:
    """Severity and code of a status, without information bits."""
    return status & ~_INFO & 0xFFFF_FFFF


def is_bad(status: int) -> bool:
    """Whether the severity is Bad."""
    return status >= BAD
