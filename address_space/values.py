"""Samples as OPC UA data values: exact built-in types, no value when Bad, enumeration texts that follow."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from asyncua import ua

from address_space.image import ProcessImage
from address_space.model import INTEGER_RANGES, Clock, DataType, Enumeration, Point, PointKind, Status, Value, is_bad

if TYPE_CHECKING:
    from address_space.nodes import Node

LOCALE: Final = "en"
# Largest finite 32-bit float; a larger one cannot be packed.
FLOAT_MAX: Final = 3.4028234663852886e38
# How `struct` packs the fixed built-in types as OPC UA's binary encoding wants them, little-endian (OPC 10000-6 5.2.2).
WIRE_LETTERS: Final[Mapping[DataType, str]] = {
    DataType.BOOLEAN: "?",
    DataType.SBYTE: "b",
    DataType.BYTE: "B",
    DataType.INT16: "h",
    DataType.UINT16: "H",
    DataType.INT32: "i",
    DataType.UINT32: "I",
    DataType.INT64: "q",
    DataType.UINT64: "Q",
    DataType.FLOAT: "f",
    DataType.DOUBLE: "d",
}


def text(words: str) -> ua.LocalizedText:
    """Words in the language of everything here."""
    return ua.LocalizedText(words, LOCALE)


def constant(value: Any, variant_type: ua.VariantType, *, is_array: bool = False) -> ua.DataValue:
    """An attribute that never changes."""
    return ua.DataValue(ua.Variant(value, variant_type, is_array=is_array))


@lru_cache(maxsize=512)
def shared(value: Hashable, variant_type: ua.VariantType) -> ua.DataValue:
    """An attribute that never changes and that many nodes have."""
    return constant(value, variant_type)


NULL: Final = ua.DataValue(ua.Variant())


def exact(value: Value, data_type: DataType) -> Value | None:
    """`value` as the Python type that packs as `data_type`; None when it does not fit."""
    if data_type is DataType.BOOLEAN:
        return bool(value)
    if data_type is DataType.STRING:
        return str(value)
    if isinstance(value, str):
        return None
    if data_type is DataType.DOUBLE:
        return float(value)
    if data_type is DataType.FLOAT:
        number = float(value)
        return None if FLOAT_MAX < abs(number) < float("inf") else number
    if value != value or value in (float("inf"), float("-inf")):  # noqa: PLR0124  # NaN is the only one unlike itself
        return None
    low, high = INTEGER_RANGES[data_type]
    return int(value) if low <= value <= high else None


def variant_type(point: Point) -> ua.VariantType:
    """Built-in type of a point's Value."""
    return ua.VariantType.DateTime if point.kind is PointKind.TIME else ua.VariantType(int(point.data_type))


def variant(value: Value, point: Point) -> ua.Variant | None:
    """A point's value as Variant of its exact type; None when the value does not fit the type."""
    fitting = exact(value, point.data_type)
    if fitting is None:
        return None
    if point.kind is PointKind.TIME:
        return ua.Variant(ua.win_epoch_to_datetime(int(fitting)), ua.VariantType.DateTime)
    return ua.Variant(fitting, variant_type(point))


def value_text(value: Value, enumeration: Enumeration | None) -> str:
    """What ValueAsText shows: the table's text, or the number itself when the table does not have it."""
    known = None if enumeration is None or isinstance(value, str) else enumeration.text(int(value))
    return str(int(value) if isinstance(value, bool) else value) if known is None else known


class Samples:
    """Reads the slots of an image as data values; nothing is kept."""

    def __init__(self, image: ProcessImage, clock: Clock) -> None:
        self._image = image
        self._clock = clock

    def value(self, slot: int, point: Point) -> ua.DataValue:
        """The newest sample of a slot."""
        return self._data_value(slot, lambda value: variant(value, point))

    def value_as_text(self, slot: int, enumeration: Enumeration | None) -> ua.DataValue:
        """The newest sample of a slot as the text of its enumeration; status and time are the sample's."""
        return self._data_value(
            slot, lambda value: ua.Variant(text(value_text(value, enumeration)), ua.VariantType.LocalizedText)
        )

    def health(self, slot: int) -> ua.DataValue:
        """The newest sample of a slot as a DI DeviceHealthEnumeration (an Int32)."""
        return self._data_value(slot, lambda value: ua.Variant(int(value), ua.VariantType.Int32))

    def plain(self, slot: int) -> Value | None:
        """The newest value of a slot alone; None when there is none."""
        return self._image.values[slot]

    def _data_value(self, slot: int, convert: Callable[[Value], ua.Variant | None]) -> ua.DataValue:
        value, status = self._image.values[slot], self._image.statuses[slot]
        shown = None if value is None or is_bad(status) else convert(value)
        if shown is None:
            shown = ua.Variant()
            if not is_bad(status):
                # The sample claims to be usable and is not: never a Good nothing, never a value cut to its type.
                status = Status.BAD_OUT_OF_RANGE if value is not None else Status.BAD_INTERNAL_ERROR
        return ua.DataValue(
            shown,
            StatusCode=status_code(status),
            SourceTimestamp=moment(self._image.sources[slot]),
            ServerTimestamp=moment(self._clock.now()),
        )


@lru_cache(maxsize=64)
def status_code(status: int) -> ua.StatusCode:
    """The shared status-code object of a number."""
    return ua.StatusCode(ua.UInt32(status))


def moment(ticks: int) -> ua.DateTime:
    """OPC UA ticks as asyncua's datetime, cut to the years that OPC UA knows."""
    return ua.win_epoch_to_datetime(ticks)  # type: ignore[return-value]  # it takes any aware datetime


def live(read: Callable[[Node, int], ua.DataValue]) -> Callable[[Node], ua.DataValue]:
    """A live attribute of the node's slot; Null on a type, which has none."""

    def attribute(node: Node) -> ua.DataValue:
        slot = node.slot
        return NULL if slot is None else read(node, slot)

    return attribute
