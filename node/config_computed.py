"""Computed devices of a site file: points that are averages, totals or extremes of other devices' points."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace

from address_space.classes import CLASSES, SYSTEM_POINTS
from address_space.model import DataType, Device, DeviceModel, Point, PointKind, Range, device_model
from drivers.problems import KeyPath
from drivers.profile_recording import misfits
from drivers.spec import ComputedPoint, Function
from node.config_draft import Draft, unknown
from node.config_schema import ComputedEntry, DeviceEntry

_WORDS = {
    Function.AVERAGE: "Average",
    Function.TOTAL: "Total",
    Function.MINIMUM: "Smallest",
    Function.MAXIMUM: "Largest",
}
_NUMBERS = (PointKind.ANALOG, PointKind.COUNTER)
_Input = tuple[str, str]


def computed_devices(
    draft: Draft, models: Mapping[str, DeviceModel]
) -> tuple[dict[str, Device], dict[str, tuple[ComputedPoint, ...]]]:
    """Computed devices and their rules, by id; `models` are those of all devices with a profile, by device id."""
    devices: dict[str, Device] = {}
    rules: dict[str, tuple[ComputedPoint, ...]] = {}
    for device_id, entry in draft.file.devices.items():
        if not entry.computed or draft.is_broken("devices", device_id):
            continue
        found = [_point(draft, device_id, entry, point_id, models) for point_id in entry.computed]
        _check_class(draft, device_id, entry)
        good = [one for one in found if one is not None]
        model = device_model(
            f"computed.{device_id}",
            entry.as_class,
            (*(point for point, _ in good), *SYSTEM_POINTS),
            manufacturer="gridnode",
            model="Computed",
            description=entry.description or "Points computed from those of other devices.",
        )
        devices[device_id] = Device(device_id, model, entry.label, entry.description)
        rules[device_id] = tuple(rule for _, rule in good)
    return devices, rules


def _point(
    draft: Draft, device_id: str, device: DeviceEntry, point_id: str, models: Mapping[str, DeviceModel]
) -> tuple[Point, ComputedPoint] | None:
    path: KeyPath = ("devices", device_id, "computed", point_id)
    entry = device.computed[point_id]
    if draft.is_broken("devices", device_id, "computed", point_id):
        return None
    if any(point.id == point_id for point in SYSTEM_POINTS):
        draft.add(path, "every device has a point of this id already")
        return None
    if len(entry.functions) != 1:
        has = f"it has {' and '.join(entry.functions)}" if entry.functions else "it has none"
        draft.add(path, f"needs exactly one of {', '.join(Function)}; {has}")
        return None
    ((function, words),) = entry.functions.items()
    path = (*path, function.value)
    if not words:
        draft.add(path, "needs at least one point, for example xw1.ac_power")
        return None
    inputs = [_input(draft, (*path, index), word, models) for index, word in enumerate(words)]
    good = [one for one in inputs if one is not None]
    if len(good) != len(words):
        return None
    if len(set(words)) != len(words):
        draft.add(path, "a point stands twice, so it would count twice")
        return None
    points = [models[device].points[models[device].index[point]] for device, point in good]
    units = sorted({point.unit or "no unit" for point in points})
    if len(units) > 1:
        draft.add(path, f"all points must have the same unit; they have {' and '.join(units)}")
        return None
    point = _in_class(draft, path, device, _merged(point_id, function, entry, points, words), entry)
    for key, text in misfits(point):
        draft.add((*path[:-1], "record", *([key] if key else [])), text)
    return point, ComputedPoint(point_id, function, tuple(good))


def _input(draft: Draft, path: KeyPath, word: str, models: Mapping[str, DeviceModel]) -> _Input | None:
    device_id, dot, point_id = word.partition(".")
    if not dot:
        draft.add(path, f"{word!r} must be device.point, for example xw1.ac_power")
        return None
    model = models.get(device_id)
    if model is None:
        # One with problems of its own is known, and says so itself.
        entry = draft.file.devices.get(device_id)
        if entry is not None and entry.computed:
            draft.add(path, f"{device_id} is computed itself; name the points of the devices behind it")
        elif entry is None and not draft.is_broken("devices", device_id):
            draft.add(path, unknown(device_id, draft.file.devices, f"there is no device {device_id!r}"))
        return None
    position = model.index.get(point_id)
    if position is None:
        numbers = [point.id for point in model.points if point.kind in _NUMBERS]
        draft.add(path, unknown(point_id, numbers, f"{device_id} has no point {point_id!r}"))
        return None
    kind = model.points[position].kind
    if kind not in _NUMBERS:
        draft.add(path, f"{word} is a {kind.value}; only measured numbers and counters can be computed with")
        return None
    return device_id, point_id


def _merged(
    point_id: str, function: Function, entry: ComputedEntry, points: Sequence[Point], words: Sequence[str]
) -> Point:
    label = entry.label or point_id.replace("_", " ").capitalize()
    several = f"{', '.join(words[:-1])} and {words[-1]}" if len(words) > 1 else words[0]
    counters = all(point.kind is PointKind.COUNTER for point in points)
    return Point(
        id=point_id,
        label=label,
        description=entry.description or f"{_WORDS[function]} of {several}.",
        data_type=DataType.DOUBLE,
        # A mean or an extreme of counters may go back when one of them is away.
        kind=PointKind.COUNTER if counters and function is Function.TOTAL else PointKind.ANALOG,
        unit=points[0].unit,
        range=Range(*entry.range) if entry.range is not None else _range(function, points),
        historize=entry.historize,
        record=None if entry.record is None else entry.record.rule,
    )


def _range(function: Function, points: Sequence[Point]) -> Range | None:
    """Where the result must lie; None when an input has no range."""
    ranges = [point.range for point in points if point.range is not None]
    if len(ranges) != len(points):
        return None
    if function is Function.TOTAL:
        return Range(sum(one.low for one in ranges), sum(one.high for one in ranges))
    return Range(min(one.low for one in ranges), max(one.high for one in ranges))


def _in_class(draft: Draft, path: KeyPath, device: DeviceEntry, point: Point, entry: ComputedEntry) -> Point:
    """The point as the device's class declares it, when it does: same id, same unit for every brand."""
    declared = CLASSES[device.as_class].point(point.id)
    if declared is None:
        return point
    if declared.kind not in _NUMBERS or declared.unit != point.unit:
        what = f"in {declared.unit}" if declared.kind in _NUMBERS and declared.unit else f"a {declared.kind.value}"
        draft.add(path, f"{point.id} of the class {device.as_class.value} is {what}; these points are in {point.unit}")
        return point
    return replace(
        point,
        label=entry.label or declared.label,
        description=f"{declared.description} {point.description}" if entry.description is None else point.description,
        kind=declared.kind,
        group=declared.group,
        range=point.range or declared.range,
        from_class=True,
    )


def _check_class(draft: Draft, device_id: str, entry: DeviceEntry) -> None:
    spec = CLASSES[entry.as_class]
    missing = [one.point.id for one in spec.points if one.mandatory and one.point.id not in entry.computed]
    if missing:
        text = (
            f"a device of the class {spec.device_class.value} has {', '.join(missing)} too; generic has no such points"
        )
        draft.add(("devices", device_id, "class"), text)
