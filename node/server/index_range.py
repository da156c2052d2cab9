"""Parts of arrays and texts by NumericRange (OPC 10000-4 section 7.27)."""

from __future__ import annotations

import re
from typing import Any

from asyncua import ua

_ONE = re.compile(r"(\d{1,10})(?::(\d{1,10}))?")


class BadRange(Exception):
    """A range that is none, or that the value does not have; `status` is the item's answer."""

    def __init__(self, status: int) -> None:
        super().__init__(ua.StatusCode(ua.UInt32(status)).name)
        self.status = status


def parse_range(text: str) -> tuple[slice, ...]:
    """One slice per dimension of `1`, `0:3` or `0:1,2`. Raises BadRange."""
    parts: list[slice] = []
    for piece in text.split(","):
        match = _ONE.fullmatch(piece)
        if match is None:
            raise BadRange(ua.StatusCodes.BadIndexRangeInvalid)
        low = int(match[1])
        high = low if match[2] is None else int(match[2])
        if match[2] is not None and high <= low:
            raise BadRange(ua.StatusCodes.BadIndexRangeInvalid)
        parts.append(slice(low, high + 1))
    return tuple(parts)


def apply_range(variant: ua.Variant, parts: tuple[slice, ...]) -> ua.Variant:
    """The part of a value, of the same type. Raises BadRange when the value has no such part."""
    if variant.Dimensions is not None or len(parts) > 2:
        raise BadRange(ua.StatusCodes.BadIndexRangeNoData)
    value: Any = variant.Value
    first = parts[0]
    if isinstance(value, list | tuple):
        taken = list(value[first])
        if len(parts) == 2:
            taken = [_cut(element, parts[1]) for element in taken]
        if not taken:
            raise BadRange(ua.StatusCodes.BadIndexRangeNoData)
        return ua.Variant(taken, variant.VariantType, is_array=True)
    if len(parts) != 1:
        raise BadRange(ua.StatusCodes.BadIndexRangeNoData)
    return ua.Variant(_cut(value, first), variant.VariantType)


def _cut(value: Any, part: slice) -> Any:
    if not isinstance(value, str | bytes) or not value[part]:
        raise BadRange(ua.StatusCodes.BadIndexRangeNoData)
    return value[part]
