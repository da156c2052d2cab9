"""Profile YAML -> drivers.spec.Profile: reads, applies the site's parameters, checks everything, says all errors.

What leaves is frozen and shared: equal files, parameters and overrides give the same Profile object, so that a
thousand devices of one kind have one model.
"""

from __future__ import annotations

import copy
from collections.abc import Mapping
from dataclasses import dataclass, replace
from difflib import get_close_matches
from functools import lru_cache
from hashlib import blake2b
from pathlib import Path
from typing import Any, Final

from pydantic import ValidationError

from address_space.classes import CLASSES, SYSTEM_POINTS
from address_space.model import Point, PointKind, Range, Value, device_model
from drivers.lint import lint
from drivers.problems import ConfigError, KeyPath, Problem, one_of
from drivers.profile_commands import build_commands, build_identify, build_simulation
from drivers.profile_draft import Draft
from drivers.profile_parameters import apply, substitute
from drivers.profile_points import build_points
from drivers.profile_recording import misfits, records
from drivers.profile_schema import SCHEMA_ID, ProfileFile, RecordEntry, json_schema, sentence
from drivers.spec import ModbusLimits, PollGroup, Profile
from drivers.yaml_lines import Document, Lines, load

__all__ = ["PointOverride", "load_profile", "profile_schema", "shipped_profiles"]

_SHIPPED: Final = Path(__file__).parent / "profiles"
_ORIGIN: Final = ""  # `Problem.file` of what the caller gave, not the file
# Once, without what is wrong, and without what breaks with that: more is not needed.
_ROUNDS: Final = 5
# Stand in for a head entry that has problems, so that the rest of the file is still checked.
_STAND_INS: Final[Mapping[str, Any]] = {
    "schema": SCHEMA_ID,
    "id": "unknown.profile",
    "version": "0.0.0",
    "device": {"class": "generic", "model": "unknown"},
    "provenance": {"level": "guessed", "sources": ["unknown"]},
    "protocol": "modbus",
}


@dataclass(frozen=True, slots=True)
class PointOverride:
    """What a site may say otherwise about one point of a device; None = as the profile has it."""

    label: str | None = None
    description: str | None = None
    range: Range | None = None
    historize: bool | None = None
    record: RecordEntry | None = None


def shipped_profiles() -> Mapping[str, Path]:
    """Files of the profiles that come with gridnode, by profile id, in the order of their ids."""
    return {path.stem: path for path in sorted(_SHIPPED.glob("*.yaml"))}


def profile_schema() -> dict[str, Any]:
    """JSON Schema of a profile file, for editors."""
    return json_schema()


def load_profile(
    reference: str | Path,
    parameters: Mapping[str, Value] | None = None,
    overrides: Mapping[str, PointOverride] | None = None,
    *,
    base: Path | None = None,
) -> Profile:
    """Load a shipped profile by id, or a file by path (relative to `base`), with parameters and overrides of a site.

    Raises ConfigError with every problem. One that lies in `parameters`, `overrides` or `reference` itself has an empty
    `file` and the path `parameters.<name>`, `points.<id>` or `profile`: the caller knows on which line it stands.
    """
    path = _find(reference, base)
    try:
        # Not the time of the last change: a file system's clock is coarser than an editor is fast.
        digest = blake2b(path.read_bytes()).digest()
    except OSError as error:
        text = f"{path}: {error.strerror}"
        raise ConfigError([Problem(_ORIGIN, 0, "profile", text)]) from error
    given = tuple(sorted((parameters or {}).items()))
    # 1, 1.0 and True are equal keys and different values.
    types = tuple(type(value).__name__ for _, value in given)
    return _load(path, digest, given, types, tuple(sorted((overrides or {}).items(), key=lambda item: item[0])))


def _find(reference: str | Path, base: Path | None) -> Path:
    text = str(reference)
    if isinstance(reference, str) and "/" not in text and not text.endswith((".yaml", ".yml")):
        known = shipped_profiles()
        if text not in known:
            said = f"there is no profile {text!r}; shipped are {one_of(known)}; a file of your own is named by its path"
            raise ConfigError([Problem(_ORIGIN, 0, "profile", said)])
        return known[text]
    path = Path(reference)
    return path if path.is_absolute() or base is None else base / path


@lru_cache(maxsize=256)
def _document(path: Path, _digest: bytes) -> Document:
    """The file as it was read; nobody changes its data."""
    return load(path)


@lru_cache(maxsize=4096)
def _load(
    path: Path,
    digest: bytes,
    parameters: tuple[tuple[str, Value], ...],
    _types: tuple[str, ...],
    overrides: tuple[tuple[str, PointOverride], ...],
) -> Profile:
    document = _document(path, digest)
    if not isinstance(document.data, dict):
        raise ConfigError(
            [document.lines.problem((), "is no profile: it must be a mapping that begins with `schema:`")]
        )
    problems: list[Problem] = list(document.problems)
    values, shown = apply(document, dict(parameters), problems)
    data, unresolved = substitute(document, shown, problems)
    draft = _draft(data, document.lines, unresolved, problems)
    profile = _assemble(draft, values)
    problems.extend(draft.problems)
    if profile is not None:
        profile = _override(profile, dict(overrides), problems)
    if problems or profile is None:
        raise ConfigError(problems)
    return profile


# --- validation entry by entry -------------------------------------------------------------------------------


def _draft(data: dict[str, Any], lines: Lines, unresolved: frozenset[KeyPath], problems: list[Problem]) -> Draft:
    """Validate the data; entries with problems are noted, left out, and the rest is validated again.

    Nothing is said about values that still are a `$name`: that name has its problem already.
    """
    data = _with_defaults(data)
    broken: set[KeyPath] = set()
    for _ in range(_ROUNDS):
        try:
            return Draft(ProfileFile.model_validate(data), lines, frozenset(broken))
        except ValidationError as error:
            data = copy.deepcopy(data)
            for one in error.errors(include_url=False):
                location: KeyPath = tuple(key for key in one["loc"] if key != "[key]")
                text = sentence(one["type"], one["msg"], one["input"])
                if one["loc"][-1:] == ("[key]",):
                    text = f"{text} (this is about the name itself)"
                if not any(_touch(location, path) for path in unresolved):
                    problems.append(lines.problem(location, text))
                if one["type"] == "extra_forbidden":  # the entry is whole without it
                    _take_out(data, one["loc"])
                else:
                    broken.add(_entry(one["loc"]))
            data = _without(data, broken)
    raise ConfigError(problems)


def _take_out(data: Any, location: tuple[int | str, ...]) -> None:
    """Remove one unknown key."""
    for step in location[:-1]:
        if isinstance(data, list):
            data = data[int(step)]
        else:
            data = next(value for key, value in data.items() if str(key) == str(step))
    data.pop(location[-1], None)


def _touch(one: KeyPath, other: KeyPath) -> bool:
    """True when one path leads to the other."""
    return all(str(a) == str(b) for a, b in zip(one, other, strict=False))


def _entry(location: tuple[int | str, ...]) -> KeyPath:
    """The part of the file that is left out for an error: one point, command, table or group, else a whole section."""
    if location[0] in ("points", "commands", "enumerations", "groups", "parameters") and len(location) > 1:
        return (location[0], str(location[1]))
    return location[:1]


def _without(data: dict[str, Any], broken: set[KeyPath]) -> dict[str, Any]:
    kept: dict[str, Any] = {}
    for key, value in data.items():
        if (key,) in broken:
            continue
        if isinstance(value, dict):
            value = {name: entry for name, entry in value.items() if (key, str(name)) not in broken}  # noqa: PLW2901
        kept[key] = value
    for key, stand_in in _STAND_INS.items():
        kept.setdefault(key, stand_in)
    if ("device",) in broken:
        given = data.get("device")
        said = given.get("class") if isinstance(given, dict) else None
        if isinstance(said, str) and said in {device_class.value for device_class in CLASSES}:
            kept["device"] = {**_STAND_INS["device"], "class": said}
        else:
            _leave_out_classes(kept, broken)
    return kept


def _leave_out_classes(data: dict[str, Any], broken: set[KeyPath]) -> None:
    """Leave out what may be declared by the class, which is not known; the rest is the profile's own in any class."""
    names = {
        "points": {entry.point.id for spec in CLASSES.values() for entry in spec.points},
        "commands": {entry.command.id for spec in CLASSES.values() for entry in spec.commands},
    }
    for section, declared in names.items():
        entries = data.get(section)
        if isinstance(entries, dict):
            broken |= {(section, name) for name in entries if name in declared}
            data[section] = {name: entry for name, entry in entries.items() if name not in declared}


def _with_defaults(data: dict[str, Any]) -> dict[str, Any]:
    """Give every point what `defaults` says and it does not say itself."""
    defaults, points = data.get("defaults"), data.get("points")
    if not isinstance(defaults, dict) or not isinstance(points, dict):
        return data
    simple = {key: defaults[key] for key in ("type", "group", "table", "word_order", "historize") if key in defaults}
    if data.get("protocol") == "serial_line":
        simple.pop("type", None)
    filled: dict[Any, Any] = {}
    for point_id, entry in points.items():
        if not isinstance(entry, dict):
            filled[point_id] = entry
            continue
        whole = {**simple, **entry}
        if "sentinels" in defaults and whole.get("type") == defaults.get("type"):
            whole.setdefault("sentinels", defaults["sentinels"])
        if "record" in entry and "historize" not in entry:
            whole.pop("historize", None)
        own = entry.get("write", {})
        if entry.get("access") in ("rw", "w") and isinstance(defaults.get("write"), dict) and isinstance(own, dict):
            whole["write"] = {**defaults["write"], **own}
        filled[point_id] = whole
    return {**data, "points": filled}


# --- assembling ------------------------------------------------------------------------------------------------


def _assemble(draft: Draft, values: Mapping[str, Value]) -> Profile | None:
    """Build the profile and run the rules that span entries; None when something is wrong."""
    file = draft.file
    if draft.is_broken("protocol"):
        return None  # what a point must be hangs on it
    for name, members in file.enumerations.items():
        draft.enumerations[name] = draft.enumeration(name, dict(members), ("enumerations", name))
    build_points(draft)
    commands = build_commands(draft)
    identify = build_identify(draft)
    simulation = build_simulation(draft)
    lint(draft, simulation)
    if draft.problems or draft.broken:
        return None
    points = tuple(item.point for item in draft.points.values() if item.point is not None)
    device, modbus = file.device, file.modbus
    return Profile(
        id=file.id,
        version=file.version,
        protocol=file.protocol,
        model=device_model(
            file.id,
            device.as_class,
            (*_in_class_order(draft, points), *SYSTEM_POINTS),
            commands,
            manufacturer=device.manufacturer,
            model=device.model,
            description=device.description,
        ),
        models=device.models or (device.model,),
        provenance=file.provenance.level,
        documents=file.provenance.sources,
        modbus=ModbusLimits(
            word_order=modbus.word_order,
            max_read=modbus.max_read,
            max_write=modbus.max_write,
            max_gap=modbus.max_gap,
            barriers=modbus.barriers,
            align=modbus.align,
            min_interval_s=modbus.min_interval,
            write_single=modbus.write_single,
        ),
        sources={item.id: item.source for item in draft.points.values() if item.source is not None},
        groups=_groups(draft),
        commands=dict(draft.commands),
        settings=dict(draft.settings),
        identify=identify,
        simulation=simulation,
        parameters=dict(values),
        presence=file.presence,
    )


def _in_class_order(draft: Draft, points: tuple[Point, ...]) -> tuple[Point, ...]:
    """Points of the class first, in its order, so that every brand looks alike; then the profile's own."""
    order = {entry.point.id: position for position, entry in enumerate(draft.device_class.points)}
    return tuple(sorted(points, key=lambda point: order.get(point.id, len(order))))


def _groups(draft: Draft) -> tuple[PollGroup, ...]:
    members: dict[str, list[str]] = {name: [] for name in draft.file.groups}
    for item in draft.points.values():
        if item.entry.access != "w" and item.entry.group is not None:
            members[item.entry.group].append(item.id)
    return tuple(PollGroup(name, draft.file.groups[name], tuple(points)) for name, points in members.items() if points)


def _override(profile: Profile, overrides: Mapping[str, PointOverride], problems: list[Problem]) -> Profile:
    """Apply what the site says about single points."""
    if not overrides:
        return profile
    points = list(profile.model.points)
    settings = dict(profile.settings)
    for point_id, override in overrides.items():
        path = f"points.{point_id}"
        position = profile.model.index.get(point_id)
        if position is None:
            near = get_close_matches(point_id, profile.model.index, 1)
            guess = f"; did you mean {near[0]}?" if near else ""
            problems.append(Problem(_ORIGIN, 0, path, f"{profile.id} has no such point{guess}"))
            continue
        point = points[position]
        if override.range is not None and point.kind not in (PointKind.ANALOG, PointKind.COUNTER, PointKind.DATA):
            problems.append(Problem(_ORIGIN, 0, f"{path}.range", f"a {point.kind.value} has no range"))
            continue
        setting = settings.get(point_id)
        if override.range is not None and setting is not None and setting.range is not None:
            own = setting.range
            if not (own.low <= override.range.low and override.range.high <= own.high):
                said = f"a setting may only be narrowed; the profile has {own.low:g} to {own.high:g}"
                problems.append(Problem(_ORIGIN, 0, f"{path}.range", said))
                continue
            settings[point_id] = replace(setting, range=override.range)
        point = replace(
            point,
            label=point.label if override.label is None else override.label,
            description=point.description if override.description is None else override.description,
            range=point.range if override.range is None else override.range,
        )
        points[position] = records(point, override.record, override.historize)
        if override.record is not None:
            for key, text in misfits(points[position]):
                problems.append(Problem(_ORIGIN, 0, f"{path}.record.{key}".rstrip("."), text))
    return replace(profile, model=replace(profile.model, points=tuple(points)), settings=settings)
