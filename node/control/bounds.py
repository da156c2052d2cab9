"""Types and ranges of several numbers as columns: are they all right, at one go? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from operator import le
from sys import float_info
from typing import Any

from address_space.model import INTEGER_RANGES, DataType, Enumeration, Range

_Number = int | float
_FINITE = (-float_info.max, float_info.max)
Kind = tuple[DataType, Range | None, Enumeration | None]  # what `fault_of_value` goes by


@dataclass(frozen=True, slots=True)
class Bounds:
    """Columns of plain numbers; `types` is None when one of the values is none, or has codes: nothing holds then."""

    types: tuple[type, ...] | None = None
    lows: tuple[_Number, ...] = ()
    highs: tuple[_Number, ...] = ()

    def hold(self, values: Sequence[Any]) -> bool:
        """True when each value has its type and lies in its range.

        False is no fault yet: `fault_of_value` has the say then.
        """
        return (
            self.types == tuple(map(type, values))
            and all(map(le, self.lows, values))
            and all(map(le, values, self.highs))
        )


def bounds_of(kinds: Sequence[Kind]) -> Bounds:
    """Bounds of values of these kinds, in their order."""
    found = [_bounds(*kind) for kind in kinds]
    rows = [row for row in found if row is not None]
    if len(rows) < len(kinds):
        return Bounds()
    if not rows:
        return Bounds(())
    types, lows, highs = zip(*rows, strict=True)
    return Bounds(types, lows, highs)


def _bounds(
    data_type: DataType, limits: Range | None, table: Enumeration | None
) -> tuple[type, _Number, _Number] | None:
    low: _Number
    high: _Number
    if table is not None:
        return None
    if data_type in (DataType.FLOAT, DataType.DOUBLE):
        kind, (low, high) = float, _FINITE
    elif data_type in INTEGER_RANGES:
        kind, (low, high) = int, INTEGER_RANGES[data_type]  # type: ignore[assignment]
    else:
        return None
    return (kind, low, high) if limits is None else (kind, max(low, limits.low), min(high, limits.high))
