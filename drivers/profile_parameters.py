"""Parameters of a profile: what the site set, checked against what the profile declares, and put in for `$name`."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from address_space.classes import CLASSES
from address_space.model import Value
from address_space.units import UNITS
from drivers.duration import duration_s
from drivers.problems import KeyPath, Problem, one_of
from drivers.profile_schema import PARAMETER_REFERENCE, ParameterEntry, parameter
from drivers.yaml_lines import Document

_WRITTEN: Final = "value"  # `$value` in simulate is the written value


def apply(
    document: Document, given: Mapping[str, Value], problems: list[Problem]
) -> tuple[dict[str, Value], dict[str, Value]]:
    """(values as drivers read them, durations in s; values as they are put in for `$name`); problems are appended.

    A problem of a given value has an empty `file`. Declarations that are wrong themselves are left to the schema.
    """
    declared = document.data.get("parameters", {})
    entries: dict[str, ParameterEntry] = {}
    if isinstance(declared, dict):
        for name, raw in declared.items():
            entry = parameter(raw)
            if entry is not None:
                entries[str(name)] = entry
            if name == _WRITTEN:
                problems.append(document.lines.problem(("parameters", name), "is what `$value` means in simulate"))
    for name in given:
        if not isinstance(declared, dict) or name not in declared:
            known = f"it has {one_of(entries)}" if entries else "it has none"
            problems.append(Problem("", 0, f"parameters.{name}", f"the profile has no such parameter; {known}"))
    values: dict[str, Value] = {}
    shown: dict[str, Value] = {}
    for name, entry in entries.items():
        path: KeyPath = ("parameters", name)
        if entry.unit is not None and entry.unit not in UNITS:
            problems.append(document.lines.problem((*path, "unit"), f"the unit {entry.unit!r} is not known"))
        value, wrong = _value(entry, entry.default)
        if wrong:
            problems.append(document.lines.problem((*path, "default"), wrong))
        shown[name] = entry.default
        if name in given:
            value, wrong = _value(entry, given[name])
            if wrong:
                problems.append(Problem("", 0, f"parameters.{name}", wrong))
            else:
                shown[name] = given[name]
        values[name] = entry.default if value is None else value
    return values, shown


def _value(entry: ParameterEntry, given: Value) -> tuple[Value | None, str]:
    """(value, "") or (None, what is wrong and what is allowed)."""
    is_number = isinstance(given, int | float) and not isinstance(given, bool)
    value: Value = given
    match entry.type:
        case "flag":
            wrong = "" if isinstance(given, bool) else f"must be true or false, not {given!r}"
        case "text":
            wrong = "" if isinstance(given, str) else f"must be a text, not {given!r}"
        case "integer":
            wrong = "" if is_number and isinstance(given, int) else f"must be a whole number, not {given!r}"
        case "number":
            wrong = "" if is_number else f"must be a number, not {given!r}"
        case "duration":
            try:
                value, wrong = duration_s(given), ""
            except ValueError as error:
                wrong = str(error)
    if wrong:
        return None, wrong
    if entry.range is not None and isinstance(value, int | float) and not entry.range[0] <= value <= entry.range[1]:
        unit = " s" if entry.type == "duration" else f" {entry.unit}" if entry.unit else ""
        return None, f"{given} is not within {entry.range[0]:g} to {entry.range[1]:g}{unit}"
    return value, ""


def substitute(
    document: Document, shown: Mapping[str, Value], problems: list[Problem]
) -> tuple[dict[str, Any], frozenset[KeyPath]]:
    """The document's data with `$name` replaced everywhere but in `parameters`, and where that could not be done.

    Unknown names are problems. Inside a command its inputs keep their `$`, and so does `$value` in simulate.
    """
    declared = document.data.get("parameters")
    walker = _Walker(document, shown, frozenset(declared) if isinstance(declared, dict) else frozenset(), problems)
    result: dict[str, Any] = {}
    for key, value in document.data.items():
        if key == "parameters":
            result[key] = value
        elif key == "commands" and isinstance(value, dict):
            result[key] = {
                name: walker.walk(entry, (key, name), _inputs_of(name, entry)) for name, entry in value.items()
            }  # fmt: skip
        else:
            result[key] = walker.walk(value, (key,), frozenset([_WRITTEN]) if key == "simulate" else frozenset())
    return result, frozenset(walker.unresolved)


def _inputs_of(command_id: object, entry: Any) -> frozenset[str]:
    """Names of a command's inputs, its own and those that a class declares for it."""
    own = entry.get("inputs") if isinstance(entry, dict) else None
    declared = (spec.command(str(command_id)) for spec in CLASSES.values())
    of_class = {argument.name for command in declared if command is not None for argument in command.inputs}
    return frozenset(own if isinstance(own, dict) else ()) | of_class


class _Walker:
    def __init__(
        self, document: Document, shown: Mapping[str, Value], declared: frozenset[str], problems: list[Problem]
    ) -> None:
        self._document = document
        self._shown = shown
        self._declared = declared
        self._problems = problems
        self.unresolved: set[KeyPath] = set()

    def walk(self, node: Any, path: KeyPath, kept: frozenset[str]) -> Any:
        if isinstance(node, dict):
            return {key: self.walk(value, (*path, key), kept) for key, value in node.items()}
        if isinstance(node, list):
            return [self.walk(value, (*path, index), kept) for index, value in enumerate(node)]
        if not (isinstance(node, str) and PARAMETER_REFERENCE.fullmatch(node)):
            return node
        name = node[1:]
        if name in kept:
            return node
        if name in self._shown:
            return self._shown[name]
        if name not in self._declared:
            known = f"there is {one_of(self._shown)}" if self._shown else "the profile has none"
            self._problems.append(self._document.lines.problem(path, f"{node} is no parameter; {known}"))
        self.unresolved.add(path)
        return node
