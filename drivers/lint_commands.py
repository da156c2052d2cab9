"""Rules of a profile's commands: what they refer to exists, and what proves or ends them can happen."""

from __future__ import annotations

import math
from collections.abc import Iterator, Sequence

from address_space.model import DataType, Point, Range, Value
from drivers import codec
from drivers.problems import KeyPath, one_of
from drivers.profile_draft import Draft
from drivers.profile_schema import CommandEntry
from drivers.spec import (
    CommandSpec,
    Comparison,
    Condition,
    Confirm,
    KeepAlive,
    RegisterSource,
    Run,
    Step,
    WordOrder,
    Write,
)

Interval = tuple[float, float]


def lint_commands(draft: Draft) -> None:
    """Note every rule that a command breaks."""
    for command_id, spec in draft.commands.items():
        entry, path = draft.file.commands[command_id], ("commands", command_id)
        if spec.dispatch:
            _check_dispatch(draft, spec, entry, path)
            continue
        if not entry.steps:
            draft.add(path, "does nothing: it needs `steps` or `dispatch`")
        _check_conditions(draft, spec.requires, (*path, "requires"), "can never hold")
        for index, write in _indexed(spec, entry):
            _check_write(draft, write, spec, (*path, "steps", index))
        _check_runs(draft, command_id, entry, path)
        if spec.confirm is not None:
            _check_confirm(draft, spec.confirm, (*path, "confirm"))
            _check_effect(draft, spec, spec.confirm, (*path, "confirm", "all"))
        elif any(isinstance(step, Write) for step in spec.steps):
            draft.add(path, "writes and needs `confirm`: the points that prove its effect")
        if spec.keep_alive is not None:
            _check_keep_alive(draft, spec, spec.keep_alive, (*path, "keep_alive"))


def _indexed(spec: CommandSpec, entry: CommandEntry) -> Iterator[tuple[int, Write]]:
    """Writes with their position in the file; steps that `when` left out or that are broken are skipped."""
    steps: list[Step] = list(spec.steps)
    for index, step in enumerate(entry.steps):
        if steps and isinstance(steps[0], Write) and steps[0].point == step.set and step.when:
            write = steps.pop(0)
            if isinstance(write, Write):
                yield index, write
        elif steps and isinstance(steps[0], Run) and steps[0].command == step.run and step.when:
            steps.pop(0)


# --- other commands ------------------------------------------------------------------------------------------


def _check_dispatch(draft: Draft, spec: CommandSpec, entry: CommandEntry, path: KeyPath) -> None:
    for key in ("requires", "steps", "confirm", "keep_alive"):
        if getattr(entry, key):
            draft.add((*path, key), "stands beside `dispatch`, which only picks another command")
    inputs = draft.inputs[spec.id]
    table = inputs[0].enumeration if len(inputs) == 1 else None
    if table is None:
        draft.add(path, "dispatch needs exactly one input, with an enumeration")
    else:
        for member in table.members:
            if member.code not in spec.dispatch:
                draft.add((*path, "dispatch"), f"says nothing for {member.code} ({member.name})")
        for code in spec.dispatch:
            if table.text(code) is None:
                draft.add((*path, "dispatch", code), f"{code} is not in the enumeration {table.name}")
    for code, target in spec.dispatch.items():
        _check_target(draft, target, (*path, "dispatch", code))


def _check_runs(draft: Draft, command_id: str, entry: CommandEntry, path: KeyPath) -> None:
    for index, step in enumerate(entry.steps):
        if step.run is None:
            continue
        at = (*path, "steps", index, "run")
        _check_target(draft, step.run, at)
        target = draft.file.commands.get(step.run)
        if target is not None and target.keep_alive is not None:
            draft.add(at, f"{step.run} has a keep_alive and can only be called by itself")
        if command_id in _reached(draft, step.run, frozenset()):
            draft.add(at, f"{command_id} would run itself")


def _reached(draft: Draft, command_id: str, seen: frozenset[str]) -> frozenset[str]:
    if command_id in seen or command_id not in draft.file.commands:
        return seen | {command_id}
    seen |= {command_id}
    for step in draft.file.commands[command_id].steps:
        if step.run is not None:
            seen |= _reached(draft, step.run, seen)
    return seen


def _check_target(draft: Draft, target: str, path: KeyPath) -> None:
    entry = draft.file.commands.get(target)
    if entry is None:
        if not draft.is_broken("commands", target):
            known = one_of(draft.file.commands)
            draft.add(path, f"there is no command {target!r}: {known}")
    elif entry.dispatch:
        draft.add(path, f"{target} itself only picks another command")
    elif draft.inputs.get(target):
        draft.add(path, f"{target} has inputs, and there is nobody to give them")


# --- writes --------------------------------------------------------------------------------------------------


def _check_write(draft: Draft, write: Write, spec: CommandSpec, path: KeyPath) -> None:
    item = draft.points.get(write.point)
    if item is None or item.point is None or not isinstance(item.source, RegisterSource):
        return
    setting = draft.settings.get(write.point)
    limits = item.point.range if setting is None else setting.range
    at = (*path, "to")
    if write.value.argument is not None:
        argument = next(a for a in draft.inputs[spec.id] if a.name == write.value.argument)
        if limits is not None and argument.range is not None and not _inside(argument.range, limits):
            asked, takes = argument.range, limits
            draft.add(
                at,
                f"${argument.name} may be {asked.low:g} to {asked.high:g}, and {write.point} takes "
                f"{takes.low:g} to {takes.high:g}",
            )
        return
    constant = write.value.constant
    if constant is None or isinstance(constant, tuple):
        return
    number = isinstance(constant, int | float) and not isinstance(constant, bool)
    if number and limits is not None and item.point.enumeration is None and not limits.holds(float(constant)):
        draft.add(at, f"{constant} is not within {limits.low:g} to {limits.high:g} of {write.point}")
        return
    try:
        codec.encode(item.point, item.source, constant, WordOrder.BIG)
    except ValueError as error:
        draft.add(at, str(error).removeprefix(f"{write.point}: "))


def _inside(inner: Range, outer: Range) -> bool:
    return outer.low <= inner.low and inner.high <= outer.high


# --- conditions ----------------------------------------------------------------------------------------------


def _check_confirm(draft: Draft, confirm: Confirm, path: KeyPath) -> None:
    if confirm.every_s <= 0:
        draft.add((*path, "every"), "must be longer than 0 s")
    if confirm.within_s <= confirm.every_s:
        draft.add((*path, "within"), f"must be longer than `every` ({confirm.every_s:g} s), or nothing is read in time")
    _check_conditions(draft, confirm.conditions, (*path, "all"), "can never be reached")


def _check_effect(draft: Draft, spec: CommandSpec, confirm: Confirm, path: KeyPath) -> None:
    """What a command leaves in a point must be what confirms it there."""
    left = _left(draft, spec, frozenset())
    for condition in confirm.conditions:
        value = left.get(condition.point)
        if value is not None and condition.operand.argument is None and not _meets(condition, value):
            wanted = f"{condition.comparison.value} {_shown(condition.operand.constant)}"
            draft.add(path, f"can never be reached: {condition.point} {wanted}, and the command itself writes {value}")


def _left(draft: Draft, spec: CommandSpec, seen: frozenset[str]) -> dict[str, Value]:
    """The constants that a command writes last, by point; what depends on an input is not among them."""
    left: dict[str, Value] = {}
    writes = spec.keep_alive.writes if spec.keep_alive is not None else ()
    for step in (*spec.steps, *writes):
        if isinstance(step, Write):
            constant = step.value.constant
            left.pop(step.point, None)
            if constant is not None and not isinstance(constant, tuple):
                left[step.point] = constant
        elif step.command in draft.commands and step.command not in seen:
            left |= _left(draft, draft.commands[step.command], seen | {spec.id})
    return left


def _meets(condition: Condition, value: Value) -> bool:
    if isinstance(value, str):
        constant = condition.operand.constant
        return (value in (constant if isinstance(constant, tuple) else (constant,))) is not _excludes(condition)
    if condition.comparison in (Comparison.GE, Comparison.LE):
        return any(low <= float(value) <= high for low, high in _spans(condition))
    return _holds(condition, float(value))


def _check_conditions(draft: Draft, conditions: Sequence[Condition], path: KeyPath, verdict: str) -> None:
    by_point: dict[str, list[Condition]] = {}
    for condition in conditions:
        by_point.setdefault(condition.point, []).append(condition)
    for point_id, together in by_point.items():
        item = draft.points[point_id]
        if item.entry.access == "w":
            draft.add(path, f"{verdict}: {point_id} cannot be read")
        elif item.point is not None and _is_empty(item.point, together):
            said = " and ".join(f"{c.comparison.value} {_shown(c.operand.constant)}" for c in together)
            draft.add(path, f"{verdict}: {point_id} {said}{_bounds(item.point)}")


def _shown(constant: Value | tuple[Value, ...] | None) -> str:
    return f"[{', '.join(str(one) for one in constant)}]" if isinstance(constant, tuple) else str(constant)


def _bounds(point: Point) -> str:
    return "" if point.range is None else f" (its range is {point.range.low:g} to {point.range.high:g})"


def _is_empty(point: Point, conditions: Sequence[Condition]) -> bool:
    """True when no value of the point satisfies all conditions whose operands are constants."""
    fixed = [condition for condition in conditions if condition.operand.argument is None]
    if point.data_type is DataType.STRING:
        wanted = [condition.operand.constant for condition in fixed if condition.comparison is Comparison.EQ]
        return len(set(wanted)) > 1
    if point.enumeration is not None:
        codes = [member.code for member in point.enumeration.members]
        return not any(all(_holds(condition, code) for condition in fixed) for code in codes)
    spans: list[Interval] = [(-math.inf, math.inf) if point.range is None else (point.range.low, point.range.high)]
    for condition in fixed:
        spans = _crossed(spans, _spans(condition))
    return not any(all(_holds(c, low) for c in fixed if _excludes(c)) or low < high for low, high in spans)


def _excludes(condition: Condition) -> bool:
    return condition.comparison in (Comparison.NE, Comparison.NOT_IN)


def _each(condition: Condition) -> list[float]:
    constant = condition.operand.constant
    values = constant if isinstance(constant, tuple) else (constant,)
    return [float(value) for value in values if isinstance(value, bool | int | float)]


def _holds(condition: Condition, value: float) -> bool:
    """For EQ, NE, IN and NOT_IN; the linter has refused an order of codes before."""
    near = any(abs(value - one) <= condition.tolerance for one in _each(condition))
    return near is not _excludes(condition)


def _spans(condition: Condition) -> list[Interval]:
    """Where the condition may hold; what NE and NOT_IN take away is single points and is looked at apart."""
    values = _each(condition)
    if condition.comparison in (Comparison.EQ, Comparison.IN):
        return [(value - condition.tolerance, value + condition.tolerance) for value in values]
    if condition.comparison is Comparison.GE:
        return [(values[0], math.inf)]
    if condition.comparison is Comparison.LE:
        return [(-math.inf, values[0])]
    return [(-math.inf, math.inf)]


def _crossed(one: Sequence[Interval], other: Sequence[Interval]) -> list[Interval]:
    both = [(max(a[0], b[0]), min(a[1], b[1])) for a in one for b in other]
    return [(low, high) for low, high in both if low <= high]


# --- standing commands ---------------------------------------------------------------------------------------


def _check_keep_alive(draft: Draft, spec: CommandSpec, kept: KeepAlive, path: KeyPath) -> None:
    if kept.every_s <= 0:
        draft.add((*path, "every"), "must be longer than 0 s")
    entry = draft.file.commands[spec.id].keep_alive
    if entry is not None and not entry.until and not entry.ended_by:
        draft.add(path, "nothing ends it: it needs `until` or `ended_by`")
    for index, command in enumerate(kept.ended_by):
        at = (*path, "ended_by", index)
        if command == spec.id:
            draft.add(at, "a command does not end itself")
        elif command not in draft.file.commands:
            if not draft.is_broken("commands", command):
                draft.add(at, f"there is no command {command!r}: {one_of(draft.file.commands)}")
        elif draft.file.commands[command].dispatch:
            draft.add(at, f"{command} only picks another command; name that one")
    for index, condition in enumerate(kept.until):
        item = draft.points[condition.point]
        period = draft.file.groups.get(item.entry.group or "")
        if item.entry.access == "w" or period is None:
            draft.add((*path, "until"), f"{condition.point} is not polled, so nobody would see it")
        _check_conditions(draft, [condition], (*path, "until", index), "can never hold")
    for key, writes in (("writes", kept.writes), ("farewell", kept.farewell)):
        for index, write in enumerate(writes):
            _check_write(draft, write, spec, (*path, key, index))
            setting = draft.settings.get(write.point)
            if key == "writes" and setting is not None and setting.persistent:
                draft.add(
                    (*path, key, index, "set"), f"{write.point} is persistent: writing it again and again wears it out"
                )
