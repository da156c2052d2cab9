"""Settings that are asked for together, as columns: what is known of them before anybody gives values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from operator import le
from sys import float_info

from address_space.model import INTEGER_RANGES, DataType, Device, Point, Value
from drivers.spec import SettingSpec

_Number = int | float
_Bounds = tuple[type, _Number, _Number]  # type of a value, its lowest and its highest one
_FINITE = (-float_info.max, float_info.max)


@dataclass(frozen=True, slots=True)
class SettingColumns:
    """Some points of one device, and how those that are settings are written."""

    ids: tuple[str, ...]
    points: tuple[Point, ...]
    specs: tuple[SettingSpec | None, ...]  # None for a point that is no setting
    members: frozenset[str]
    types: tuple[type, ...]  # these columns are empty when a value may need a closer look
    lows: tuple[_Number, ...]
    highs: tuple[_Number, ...]

    def takes(self, values: Sequence[Value]) -> bool:
        """True when all are settings and each value has the type and range of its own.

        False is no fault yet: `fault_of_value` has the say then.
        """
        return (
            self.types == tuple(map(type, values))
            and all(map(le, self.lows, values))
            and all(map(le, values, self.highs))
        )


def columns_of(device: Device, settings: Mapping[str, SettingSpec], ids: Sequence[str]) -> SettingColumns:
    """Columns for points of a device in that order. Raises KeyError for one that it does not have."""
    model = device.model
    points = tuple(model.points[model.index[point_id]] for point_id in ids)
    specs = tuple(settings.get(point.id) if point.writable else None for point in points)
    found = [_bounds(point, spec) for point, spec in zip(points, specs, strict=True)]
    bounds = [each for each in found if each is not None]
    columns: list[tuple[object, ...]] = list(zip(*bounds, strict=True)) if len(bounds) == len(points) else []
    types, lows, highs = columns or ((), (), ())
    return SettingColumns(tuple(ids), points, specs, frozenset(ids), types, lows, highs)  # type: ignore[arg-type]


def _bounds(point: Point, spec: SettingSpec | None) -> _Bounds | None:
    """Type and range of a plain number; None for what is none or has codes."""
    if spec is None or point.enumeration is not None:
        return None
    if point.data_type in (DataType.FLOAT, DataType.DOUBLE):
        bounds: _Bounds = (float, *_FINITE)
    elif point.data_type in INTEGER_RANGES:
        bounds = (int, *INTEGER_RANGES[point.data_type])
    else:
        return None
    if spec.range is None:
        return bounds
    kind, low, high = bounds
    return kind, max(low, spec.range.low), min(high, spec.range.high)
