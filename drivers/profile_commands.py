"""Commands, identification and simulation of a profile file -> Command, CommandSpec, IdentifyCheck, Simulation."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from address_space.model import Argument, Command, DataType, Enumeration, Point, PointKind, Range, Status, Value
from address_space.units import UNITS
from drivers.problems import KeyPath, one_of
from drivers.profile_draft import Draft
from drivers.profile_schema import CommandEntry, ConditionEntry, InputEntry, SetEntry, StepEntry
from drivers.spec import (
    CommandSpec,
    Comparison,
    Condition,
    Confirm,
    IdentifyCheck,
    KeepAlive,
    Link,
    Operand,
    Run,
    Simulation,
    Step,
    Write,
)

_TYPES: Final[Mapping[str, DataType]] = {
    "number": DataType.DOUBLE,
    "integer": DataType.INT32,
    "flag": DataType.BOOLEAN,
    "text": DataType.STRING,
}
_NUMBERS: Final = (DataType.DOUBLE, DataType.INT32)
_STATUSES: Final[Mapping[str, Status]] = {status.symbol: status for status in Status}


@dataclass(slots=True)
class _Scope:
    """What a command's own words may refer to."""

    draft: Draft
    inputs: Mapping[str, Argument]
    used: set[str]


def build_commands(draft: Draft) -> tuple[Command, ...]:
    """Fill `draft.commands`; returns the commands as clients see them, those of the class first in its order."""
    built: dict[str, Command] = {}
    for command_id, entry in draft.file.commands.items():
        path: KeyPath = ("commands", command_id)
        command = _command(draft, command_id, entry, path)
        built[command_id] = command
        draft.inputs[command_id] = command.inputs
        scope = _Scope(draft, {argument.name: argument for argument in command.inputs}, set())
        draft.commands[command_id] = _spec(scope, command_id, entry, path)
        for name in scope.inputs:
            if name not in scope.used and not entry.dispatch:
                draft.add((*path, "inputs", name), "is used nowhere in the command")
            if name in draft.file.parameters:
                draft.add((*path, "inputs", name), "is the name of a parameter too")
    order = [entry.command.id for entry in draft.device_class.commands]
    return tuple(sorted(built.values(), key=lambda c: order.index(c.id) if c.id in order else len(order)))


# --- what a client sees --------------------------------------------------------------------------------


def _command(draft: Draft, command_id: str, entry: CommandEntry, path: KeyPath) -> Command:
    declared = draft.device_class.command(command_id)
    if declared is None:
        if entry.description is None:
            draft.add(path, "a command of the profile's own needs `description`")
        inputs = [_input(draft, name, given, (*path, "inputs", name)) for name, given in entry.inputs.items()]
        return Command(command_id, entry.label or command_id, entry.description or "", tuple(inputs))
    for name in entry.inputs:
        if all(argument.name != name for argument in declared.inputs):
            known = one_of(argument.name for argument in declared.inputs)
            draft.add((*path, "inputs", name), f"{command_id} of the class has as inputs: {known}")
    arguments = [
        _class_input(draft, argument, entry.inputs.get(argument.name), (*path, "inputs", argument.name))
        for argument in declared.inputs
    ]
    return replace(
        declared,
        label=entry.label or declared.label,
        description=entry.description or declared.description,
        inputs=tuple(arguments),
    )


def _input(draft: Draft, name: str, entry: InputEntry, path: KeyPath) -> Argument:
    if entry.type is None and entry.enum is None:
        draft.add(path, f"has no `type`: {one_of(_TYPES)}")
    data_type = _TYPES[entry.type or "number"]
    table = None
    if entry.enum is not None:
        table = draft.table(entry.enum, "".join(p.capitalize() for p in name.split("_")), (*path, "enum"))
        data_type = DataType.INT32
    argument = Argument(name, data_type, entry.description or "", entry.unit, _range(entry), table)
    _check_input(draft, argument, path)
    return argument


def _class_input(draft: Draft, declared: Argument, entry: InputEntry | None, path: KeyPath) -> Argument:
    if entry is None:
        _check_input(draft, declared, path)
        return declared
    if entry.type is not None and _TYPES[entry.type] is not declared.data_type:
        draft.add((*path, "type"), f"the class says {declared.data_type.name.lower()}")
    if entry.unit not in (None, declared.unit):
        draft.add((*path, "unit"), f"the class says {declared.unit or 'no unit'}")
    if entry.enum is not None:
        draft.add((*path, "enum"), "the class decides what the input may be")
    argument = replace(
        declared, range=_range(entry) or declared.range, description=entry.description or declared.description
    )
    _check_input(draft, argument, path)
    return argument


def _range(entry: InputEntry) -> Range | None:
    return None if entry.range is None else Range(*entry.range)


def _check_input(draft: Draft, argument: Argument, path: KeyPath) -> None:
    if argument.unit is not None and argument.unit not in UNITS:
        draft.add((*path, "unit"), f"the unit {argument.unit!r} is not known; known are {' '.join(UNITS)}")
    if argument.data_type in _NUMBERS and argument.range is None and argument.enumeration is None:
        draft.add(path, "a number needs `range` (or `enum`): what a caller may ask for")


# --- how it is carried out -------------------------------------------------------------------------------


def _spec(scope: _Scope, command_id: str, entry: CommandEntry, path: KeyPath) -> CommandSpec:
    confirm = None
    if entry.confirm is not None:
        conditions = build_conditions(scope.draft, entry.confirm.all, (*path, "confirm", "all"), scope)
        confirm = Confirm(conditions, entry.confirm.within, entry.confirm.every)
    keep_alive = None
    if entry.keep_alive is not None:
        kept, at = entry.keep_alive, (*path, "keep_alive")
        keep_alive = KeepAlive(
            kept.every,
            _writes(scope, kept.writes, (*at, "writes")),
            build_conditions(scope.draft, kept.until, (*at, "until"), scope),
            kept.ended_by,
            _writes(scope, kept.farewell, (*at, "farewell")),
        )
    return CommandSpec(
        command_id,
        build_conditions(scope.draft, entry.requires, (*path, "requires"), scope),
        _steps(scope, entry.steps, (*path, "steps")),
        confirm,
        keep_alive,
        dict(entry.dispatch),
        entry.emergency,
    )


def _steps(scope: _Scope, entries: Sequence[StepEntry], path: KeyPath) -> tuple[Step, ...]:
    steps: list[Step] = []
    for index, entry in enumerate(entries):
        at = (*path, index)
        if (entry.set is None) is (entry.run is None) or (entry.set is None) is not (entry.to is None):
            scope.draft.add(at, "a step is `{set: point, to: value}` or `{run: command}`")
        elif entry.run is not None:
            if entry.when:
                steps.append(Run(entry.run))
        elif entry.set is not None:
            write = _write(scope, entry.set, entry.to, at)
            if write is not None and entry.when:
                steps.append(write)
    return tuple(steps)


def _writes(scope: _Scope, entries: Sequence[SetEntry], path: KeyPath) -> tuple[Write, ...]:
    writes = [_write(scope, entry.set, entry.to, (*path, index)) for index, entry in enumerate(entries)]
    return tuple(write for write in writes if write is not None)


def _use(scope: _Scope, given: Any) -> None:
    """Note that an input is used, also where what it is used for is wrong."""
    for one in given if isinstance(given, tuple) else (given,):
        if isinstance(one, str) and one.startswith("$"):
            scope.used.add(one[1:])


def _write(scope: _Scope, point_id: str, given: Any, path: KeyPath) -> Write | None:
    _use(scope, given)
    item = scope.draft.find(point_id, (*path, "set"))
    if item is None or item.point is None:
        return None
    if item.entry.access == "r":
        scope.draft.add((*path, "set"), f"{point_id} is not written; its access would be rw, w or command")
        return None
    operand = _operand(scope, item.point, given, (*path, "to"))
    return None if operand is None else Write(point_id, operand)


def _operand(scope: _Scope, point: Point, given: Any, path: KeyPath) -> Operand | None:
    if isinstance(given, str) and given.startswith("$"):
        argument = scope.inputs.get(given[1:])
        if argument is None:
            scope.draft.add(path, f"{given} is neither an input of this command nor a parameter")
            return None
        if not _takes(point, argument):
            scope.draft.add(path, f"{given} is a {argument.data_type.name.lower()}, which {point.id} does not take")
        return Operand(argument=argument.name)
    value = scope.draft.value(point, given, path)
    return None if value is None else Operand(value)


def _takes(point: Point, argument: Argument) -> bool:
    if point.kind is PointKind.FLAG or argument.data_type is DataType.BOOLEAN:
        return point.kind is PointKind.FLAG and argument.data_type is DataType.BOOLEAN
    if point.kind is PointKind.STATE:
        return argument.enumeration is not None and _codes(argument.enumeration) <= _codes(point.enumeration)
    return (point.data_type is DataType.STRING) is (argument.data_type is DataType.STRING)


def _codes(table: Enumeration | None) -> set[int]:
    return set() if table is None else {member.code for member in table.members}


# --- conditions ------------------------------------------------------------------------------------------


def build_conditions(
    draft: Draft, entries: Sequence[ConditionEntry], path: KeyPath, scope: _Scope | None = None
) -> tuple[Condition, ...]:
    """Conditions with codes for names; those with a problem are left out."""
    scope = scope or _Scope(draft, {}, set())
    built = [_condition(scope, entry, (*path, index)) for index, entry in enumerate(entries)]
    return tuple(condition for condition in built if condition is not None)


def _condition(scope: _Scope, entry: ConditionEntry, path: KeyPath) -> Condition | None:
    item = scope.draft.find(entry.point, (*path, "point"))
    given = {
        comparison: value
        for comparison, value in (
            (Comparison.EQ, entry.eq),
            (Comparison.NE, entry.ne),
            (Comparison.IN, entry.is_in),
            (Comparison.NOT_IN, entry.not_in),
            (Comparison.GE, entry.ge),
            (Comparison.LE, entry.le),
        )
        if value is not None
    }
    for value in given.values():
        _use(scope, value)
    if len(given) != 1:
        scope.draft.add(path, f"needs exactly one of {', '.join(Comparison)}; it has {len(given)}")
        return None
    otherwise = Status.BAD_INVALID_STATE
    if entry.otherwise is not None:
        found = _STATUSES.get(entry.otherwise)
        if found is None or not entry.otherwise.startswith("Bad"):
            known = one_of(symbol for symbol in _STATUSES if symbol.startswith("Bad"))
            scope.draft.add((*path, "else"), f"{entry.otherwise!r} is no status code of a refusal: {known}")
        else:
            otherwise = found
    if item is None or item.point is None:
        return None
    comparison, value = next(iter(given.items()))
    is_order = comparison in (Comparison.GE, Comparison.LE)
    if is_order and (item.point.enumeration is not None or item.point.data_type is DataType.STRING):
        scope.draft.add((*path, comparison), f"{item.point.id} has no order; use eq or in")
        return None
    operand = _operands(scope, item.point, value, (*path, comparison.value))
    return None if operand is None else Condition(entry.point, comparison, operand, entry.tolerance, otherwise)


def _operands(scope: _Scope, point: Point, given: Any, path: KeyPath) -> Operand | None:
    if not isinstance(given, tuple):
        return _operand(scope, point, given, path)
    constants: list[Value] = []
    for index, one in enumerate(given):
        value = scope.draft.value(point, one, (*path, index))
        if value is None:
            return None
        constants.append(value)
    return Operand(tuple(constants))


# --- identification and simulation ---------------------------------------------------------------------


def build_identify(draft: Draft) -> tuple[IdentifyCheck, ...]:
    """The checks that tell whether the device is the one the profile describes."""
    checks: list[IdentifyCheck] = []
    for index, entry in enumerate(draft.file.identify):
        path: KeyPath = ("identify", index)
        item = draft.find(entry.point, (*path, "point"))
        if item is None or item.point is None:
            continue
        point = item.point
        values = [draft.value(point, one, (*path, "one_of", at)) for at, one in enumerate(entry.one_of)]
        if entry.between is not None and (point.enumeration is not None or point.data_type is DataType.STRING):
            draft.add((*path, "between"), f"{point.id} is no number")
        between = None if entry.between is None else Range(*entry.between)
        checks.append(IdentifyCheck(entry.point, tuple(v for v in values if v is not None), between))
    return tuple(checks)


def build_simulation(draft: Draft) -> Simulation | None:
    """How the simulator plays the device; None when the profile does not say."""
    entry = draft.file.simulate
    if entry is None:
        return None
    path: KeyPath = ("simulate",)
    links: list[Link] = []
    for index, link in enumerate(entry.links):
        at = (*path, "links", index)
        item = draft.find(link.on_write, (*at, "on_write"))
        if item is None or item.point is None:
            continue
        if item.entry.access == "r":
            draft.add((*at, "on_write"), f"{link.on_write} is never written; its access would be rw, w or command")
        equals = None if link.eq is None else draft.value(item.point, link.eq, (*at, "eq"))
        links.append(Link(link.on_write, equals, link.after, _values(draft, link.set, (*at, "set"), written=True)))
    return Simulation(
        _values(draft, entry.initial, (*path, "initial"), written=False), tuple(links), entry.physics, entry.options
    )


def _values(draft: Draft, given: Mapping[str, Any], path: KeyPath, *, written: bool) -> dict[str, Value]:
    values: dict[str, Value] = {}
    for point_id, one in given.items():
        item = draft.find(point_id, (*path, point_id))
        if item is None or item.point is None:
            continue
        value = one if written and one == "$value" else draft.value(item.point, one, (*path, point_id))
        if value is not None:
            values[point_id] = value
    return values
