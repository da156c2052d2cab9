"""What counts as a change of a monitored item: trigger and deadband.

OPC 10000-4 section 7.22.2, and for deadbands in percent OPC 10000-8 section 7.2.
"""

from __future__ import annotations

from dataclasses import dataclass
from math import isnan
from typing import Any, Final

from asyncua import ua

# What the decoder makes; `ua.DataChangeFilter` is a subclass of it for clients.
from asyncua.ua.uaprotocol_auto import DataChangeFilter

from address_space.model import Range

_NUMBERS: Final = range(ua.VariantType.SByte, ua.VariantType.Double + 1)


class FilterRefused(Exception):
    """A filter that an item cannot have; `status` is the item's answer."""

    def __init__(self, status: int) -> None:
        super().__init__(ua.StatusCode(ua.UInt32(status)).name)
        self.status = status


@dataclass(frozen=True, slots=True)
class ChangeFilter:
    """A trigger, and how far a value has to move; 0 reports every change."""

    trigger: ua.DataChangeTrigger = ua.DataChangeTrigger.StatusValue
    deadband: float = 0.0  # in the unit of the value


@dataclass(frozen=True, slots=True)
class Measure:
    """What a deadband needs to know of a value: its built-in type, and its EURange if it has one."""

    variant_type: ua.VariantType
    range: Range | None = None


def change_filter(wanted: Any, attribute_id: int, measure: Measure) -> ChangeFilter:
    """The filter that a client asks for. Raises FilterRefused."""
    if wanted is None or (isinstance(wanted, ua.ExtensionObject) and wanted.TypeId.is_null()):
        return ChangeFilter()
    if attribute_id != ua.AttributeIds.Value or isinstance(wanted, ua.EventFilter):
        raise FilterRefused(ua.StatusCodes.BadFilterNotAllowed)
    if not isinstance(wanted, DataChangeFilter):
        raise FilterRefused(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
    try:
        trigger = ua.DataChangeTrigger(wanted.Trigger)
        kind = ua.DeadbandType(wanted.DeadbandType)
    except ValueError as error:
        raise FilterRefused(ua.StatusCodes.BadMonitoredItemFilterInvalid) from error
    if kind == ua.DeadbandType.None_:
        return ChangeFilter(trigger)
    if measure.variant_type not in _NUMBERS:
        raise FilterRefused(ua.StatusCodes.BadFilterNotAllowed)
    return ChangeFilter(trigger, _deadband(kind, float(wanted.DeadbandValue), measure.range))


def _deadband(kind: ua.DeadbandType, value: float, limits: Range | None) -> float:
    """A deadband in the unit of the value."""
    if kind == ua.DeadbandType.Absolute:
        if not 0 <= value < float("inf"):  # NaN too
            raise FilterRefused(ua.StatusCodes.BadDeadbandFilterInvalid)
        return value
    if limits is None:
        raise FilterRefused(ua.StatusCodes.BadFilterNotAllowed)
    if not 0 <= value <= 100:
        raise FilterRefused(ua.StatusCodes.BadDeadbandFilterInvalid)
    return value / 100 * (limits.high - limits.low)


def same(old: Any, new: Any) -> bool:
    """True when two values are the same for a client; NaN is NaN, and a Variant has a type."""
    if isinstance(new, ua.Variant):
        if not isinstance(old, ua.Variant) or old.VariantType != new.VariantType:
            return False
        old, new = old.Value, new.Value
    return bool(old == new) or (_is_nan(old) and _is_nan(new))


def is_beyond(old: Any, new: Any, deadband: float) -> bool:
    """True when a value has moved by more than the deadband; of an array, any of its elements."""
    if isinstance(new, ua.Variant):
        old = old.Value if isinstance(old, ua.Variant) else None
        new = new.Value
    if isinstance(new, list) and isinstance(old, list):
        return len(old) != len(new) or any(is_beyond(*pair, deadband) for pair in zip(old, new, strict=True))
    numbers = isinstance(old, int | float) and isinstance(new, int | float)
    # A difference with NaN is no number, and none is beyond anything.
    if numbers and not (_is_nan(old) or _is_nan(new)):
        return bool(abs(new - old) > deadband)
    return not same(old, new)


def _is_nan(value: Any) -> bool:
    return isinstance(value, float) and isnan(value)
