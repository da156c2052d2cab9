"""Scalar variants of requests, from bytes to plain values of exactly one type (OPC 10000-6 section 5.2.2.16)."""

from __future__ import annotations

from struct import Struct
from typing import Final

from address_space.model import DataType, Value
from address_space.values import WIRE_LETTERS

# A variant's type byte with its value.
_VARIANTS: Final = {data_type: Struct(f"<B{letter}") for data_type, letter in WIRE_LETTERS.items()}


def scalar(data: bytes, at: int, data_type: DataType) -> tuple[Value, int] | None:
    """The scalar of that type at `at`, and where it ends; None when there is something else.

    Raises struct.error for bytes that end too early.
    """
    variant = _VARIANTS.get(data_type)
    if variant is None:
        return None
    kind, value = variant.unpack_from(data, at)
    return (value, at + variant.size) if kind == data_type else None
