"""Settings that are asked for together, as columns: what is known of them before anybody gives values. Pure."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

from address_space.model import Device, Point
from drivers.spec import SettingSpec
from node.control.bounds import Bounds, bounds_of


@dataclass(frozen=True, slots=True)
class SettingColumns:
    """Some points of one device, and how those that are settings are written."""

    ids: tuple[str, ...]
    points: tuple[Point, ...]
    specs: tuple[SettingSpec | None, ...]  # None for a point that is no setting
    tolerances: tuple[float, ...]
    readable: bool  # all settings among them are
    bounds: Bounds  # of their values; none when one of them is no setting


def columns_of(device: Device, settings: Mapping[str, SettingSpec], ids: Sequence[str]) -> SettingColumns:
    """Columns for points of a device in that order. Raises KeyError for one that it does not have."""
    model = device.model
    points = tuple(model.points[model.index[point_id]] for point_id in ids)
    specs = tuple(settings.get(point.id) if point.writable else None for point in points)
    kinds = [
        (point.data_type, spec.range, point.enumeration)
        for point, spec in zip(points, specs, strict=True)
        if spec is not None
    ]
    return SettingColumns(
        tuple(ids),
        points,
        specs,
        tuple(0.0 if spec is None else spec.tolerance for spec in specs),
        all(spec.readable for spec in specs if spec is not None),
        bounds_of(kinds) if len(kinds) == len(points) else Bounds(),
    )
