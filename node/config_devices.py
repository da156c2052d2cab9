"""Devices of a site file: each on its bus, with its profile, parameters and overrides."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace

from address_space.model import Device, DeviceModel, Range, Value
from drivers.problems import ConfigError, Problem
from drivers.profile import PointOverride, load_profile, shipped_profiles
from drivers.spec import BusConfig, Profile
from node.config_draft import Draft, unknown
from node.config_schema import DeviceEntry
from node.config_schema import PointOverride as OverrideEntry

_ON_A_BUS = ("profile", "bus", "unit", "control", "parameters", "points")


@dataclass(slots=True)
class Devices:
    """The devices that can be used so far, and their profiles, by id."""

    devices: dict[str, Device]
    profiles: dict[str, Profile]


def devices(draft: Draft, buses: Mapping[str, BusConfig]) -> Devices:
    """All devices with a profile; problems go to the draft. Equal profiles are one object."""
    found = Devices({}, {})
    library = _Library(draft)
    for device_id, entry in draft.file.devices.items():
        if draft.is_broken("devices", device_id):
            continue
        _check_id(draft, device_id)
        if entry.computed or draft.is_broken("devices", device_id, "computed"):
            _check_computed(draft, device_id, entry)
            continue
        bus = _bus(draft, device_id, entry, buses)
        profile = _profile(draft, device_id, entry, library)
        if profile is not None and bus is not None and profile.protocol != bus.driver:
            text = f"bus {bus.id} speaks {bus.driver}, the profile {profile.id} {profile.protocol}"
            draft.add(("devices", device_id, "bus"), text)
        if entry.device_class is not None:
            draft.add(("devices", device_id, "class"), "only a device with `computed` points has a class of its own")
        unit = _unit(draft, device_id, entry, bus)
        if profile is None or bus is None:
            continue
        found.profiles[device_id] = profile
        found.devices[device_id] = Device(
            id=device_id,
            model=profile.model,
            label=entry.label,
            description=entry.description,
            bus=bus.id,
            unit=unit,
            control=entry.control,
            serial_number=entry.serial_number,
            hardware_revision=entry.hardware_revision,
            software_revision=entry.software_revision,
        )
    _one_device_per_unit(draft)
    _idle_buses(draft)
    return found


def _check_id(draft: Draft, device_id: str) -> None:
    if device_id == "node":
        draft.add(("devices", device_id), "the id `node` is the node's own")
    elif device_id in draft.file.buses:
        draft.add(("devices", device_id), "a bus has this id already; ids are NodeIds and stand once")


def _check_computed(draft: Draft, device_id: str, entry: DeviceEntry) -> None:
    for key in _ON_A_BUS:
        if key in entry.model_fields_set:
            draft.add(("devices", device_id, key), "has no meaning for a device with computed points")


def _bus(draft: Draft, device_id: str, entry: DeviceEntry, buses: Mapping[str, BusConfig]) -> BusConfig | None:
    path = ("devices", device_id, "bus")
    if draft.is_broken(*path):
        return None
    if entry.bus is None:
        draft.add(path[:2], "needs `profile` and `bus`, or points under `computed`")
        return None
    if entry.bus not in draft.file.buses and not draft.is_broken("buses", entry.bus):
        draft.add(path, unknown(entry.bus, draft.file.buses, f"there is no bus {entry.bus!r}"))
    return buses.get(entry.bus)


def _unit(draft: Draft, device_id: str, entry: DeviceEntry, bus: BusConfig | None) -> int:
    path = ("devices", device_id, "unit")
    if bus is None:
        return 0
    if bus.driver == "serial_line":
        if entry.unit is not None:
            draft.add(path, "a serial collector has no unit: it is alone on its port")
        return 0
    unit = 1 if entry.unit is None else entry.unit
    if bus.framing == "tcp":
        if not 1 <= unit <= 247 and unit not in (0, 255):
            draft.add(path, f"must be 1 to 247, or 0 or 255 for the TCP device itself; it is {unit}")
    elif not 1 <= unit <= 247:
        draft.add(path, f"must be 1 to 247; it is {unit}")
    return unit


def _one_device_per_unit(draft: Draft) -> None:
    seen: dict[tuple[str, int], str] = {}
    for device_id, entry in draft.file.devices.items():
        if entry.bus is None or draft.is_broken("devices", device_id, "unit") or entry.computed:
            continue
        bus = draft.file.buses.get(entry.bus)
        if bus is None:
            continue
        alone = bus.driver == "serial_line"
        unit = 0 if alone else 1 if entry.unit is None else entry.unit
        first = seen.setdefault((entry.bus, unit), device_id)
        if first == device_id:
            continue
        key = "bus" if alone or entry.unit is None else "unit"
        says = "a serial collector is alone on its port" if alone else f"two devices cannot answer as unit {unit}"
        draft.add(("devices", device_id, key), f"{first} is on bus {entry.bus} already; {says}")


def _idle_buses(draft: Draft) -> None:
    used = {entry.bus for entry in draft.file.devices.values()}
    for bus_id in draft.file.buses:
        if bus_id not in used and not any(len(path) == 2 and path[0] == "devices" for path in draft.broken):
            draft.warn(("buses", bus_id), "has no device and is not opened")


# --- profiles ----------------------------------------------------------------------------------------------


class _Library:
    """Profiles with the site's parameters and overrides; each combination is built once, or its errors found once."""

    def __init__(self, draft: Draft) -> None:
        self._folder = draft.folder
        self._known: dict[object, Profile | ConfigError] = {}
        self._models: dict[DeviceModel, DeviceModel] = {}

    def profile(self, entry: DeviceEntry, reference: str) -> Profile:
        """The profile of a device; raises ConfigError as `load_profile` does."""
        parameters: dict[str, Value] = dict(entry.parameters)
        # 1, 1.0 and True are equal keys and different values.
        key = (reference, repr(sorted(parameters.items())), tuple(entry.points.items()))
        found = self._known.get(key)
        if found is None:
            try:
                found = self._load(reference, parameters, entry.points)
            except ConfigError as error:
                found = error
            self._known[key] = found
        if isinstance(found, ConfigError):
            raise found
        return found

    def _load(self, reference: str, parameters: Mapping[str, Value], points: Mapping[str, OverrideEntry]) -> Profile:
        overrides = {point: _override(entry) for point, entry in points.items()}
        profile = _with_ages(load_profile(reference, parameters, overrides, base=self._folder), points)
        # Parameters of a conversion give profiles of their own, but mostly the same points.
        model = self._models.setdefault(profile.model, profile.model)
        return profile if model is profile.model else replace(profile, model=model)


def _override(entry: OverrideEntry) -> PointOverride:
    limits = None if entry.range is None else Range(*entry.range)
    return PointOverride(entry.label, entry.description, limits, entry.historize, entry.record)


def _with_ages(profile: Profile, entries: Mapping[str, OverrideEntry]) -> Profile:
    """The profile with the site's ages; raises ConfigError for ages that cannot be."""
    points = list(profile.model.points)
    problems: list[Problem] = []
    changed = False
    for point_id, entry in entries.items():
        if entry.stale_after is None and entry.bad_after is None:
            continue
        position = profile.model.index[point_id]
        point = points[position]
        stale_s = point.stale_after_s if entry.stale_after is None else entry.stale_after
        bad_s = point.bad_after_s if entry.bad_after is None else entry.bad_after
        if point.stale_after_s is None:
            problems.append(Problem("", 0, f"points.{point_id}", "is read once and never ages"))
        elif stale_s is not None and bad_s is not None and not stale_s <= bad_s:
            text = f"stale_after ({stale_s:g}s) must not be longer than bad_after ({bad_s:g}s)"
            problems.append(Problem("", 0, f"points.{point_id}", text))
        points[position] = replace(point, stale_after_s=stale_s, bad_after_s=bad_s)
        changed = True
    if problems:
        raise ConfigError(problems)
    return replace(profile, model=replace(profile.model, points=tuple(points))) if changed else profile


def _profile(draft: Draft, device_id: str, entry: DeviceEntry, library: _Library) -> Profile | None:
    path = ("devices", device_id)
    if draft.is_broken(*path, "profile"):
        return None
    if entry.profile is None:
        if entry.bus is not None:
            draft.add(path, f"needs a profile: {', '.join(shipped_profiles())}, or the path of a file")
        return None
    reference = entry.profile
    if "/" not in reference and not reference.endswith((".yaml", ".yml")) and reference not in shipped_profiles():
        text = f"there is no profile {reference!r}, and a file of your own is named by its path, ./{reference}.yaml"
        draft.add((*path, "profile"), unknown(reference, shipped_profiles(), text))
        return None
    try:
        return library.profile(entry, reference)
    except ConfigError as error:
        for problem in error.problems:
            if problem.file:
                draft.problems.append(problem)
            else:
                draft.add((*path, *problem.path.split(".")), problem.text)
        return None
