"""Do a profile's conditions hold on fresh samples? Pure."""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from typing import NamedTuple

from address_space.model import DeviceModel, Point, Sample, Value, is_good
from drivers.spec import Comparison, Condition, Operand

Arguments = Mapping[str, Value]

_SIGNS = {
    Comparison.EQ: "=",
    Comparison.NE: "is not",
    Comparison.IN: "in",
    Comparison.NOT_IN: "not in",
    Comparison.GE: ">=",
    Comparison.LE: "<=",
}


def operand_value(operand: Operand, arguments: Arguments) -> Value | tuple[Value, ...] | None:
    """The constant, or the argument of the call that the operand names."""
    return arguments[operand.argument] if operand.argument is not None else operand.constant


def holds(condition: Condition, sample: Sample | None, arguments: Arguments) -> bool:
    """True when a Good sample satisfies the condition; a missing, Uncertain or Bad one never does."""
    if sample is None:
        return False
    value, status, _ticks = sample
    if value is None or not is_good(status):
        return False
    operand = condition.operand
    wanted = operand.constant if operand.argument is None else arguments[operand.argument]
    if type(value) is type(wanted) is float and condition.comparison is Comparison.EQ:
        return abs(value - wanted) <= condition.tolerance  # what most commands are confirmed by
    match condition.comparison:
        case Comparison.EQ:
            return _equal(value, wanted, condition.tolerance)
        case Comparison.NE:
            return not _equal(value, wanted, condition.tolerance)
        case Comparison.IN:
            return any(_equal(value, one, condition.tolerance) for one in _each(wanted))
        case Comparison.NOT_IN:
            return not any(_equal(value, one, condition.tolerance) for one in _each(wanted))
        case Comparison.GE:
            return _number(value) >= _number(wanted)
        case Comparison.LE:
            return _number(value) <= _number(wanted)


def first_unmet(
    conditions: Iterable[Condition], samples: Mapping[str, Sample], arguments: Arguments
) -> Condition | None:
    """The first condition that does not hold; None when all do."""
    for condition in conditions:
        if not holds(condition, samples.get(condition.point), arguments):
            return condition
    return None


def points_of(conditions: Iterable[Condition]) -> tuple[str, ...]:
    """Points that the conditions look at, each once, in their order."""
    return tuple(dict.fromkeys([condition.point for condition in conditions]))


def describe(model: DeviceModel, samples: Mapping[str, Sample]) -> str:
    """Samples as an operator reads them: `inverter_status=Standby, charger_enabled=1`."""
    return ", ".join([describe_one(model, name, sample) for name, sample in samples.items()])


def describe_one(model: DeviceModel, name: str, sample: Sample) -> str:
    """A sample as an operator reads it: `inverter_status=Standby`."""
    value, status, _ticks = sample
    if value is None:
        return f"{name}=no value (0x{status:08X})"
    return f"{name}={value_text(model.points[model.index[name]], value)}"


def describe_condition(model: DeviceModel, condition: Condition, arguments: Arguments) -> str:
    """A condition as an operator reads it: `inverter_status in Standby`."""
    return phrase_of(model, condition).text(arguments)


class Phrase(NamedTuple):
    """A condition as an operator reads it, but for the arguments."""

    head: str
    point: Point
    operand: Operand

    def text(self, arguments: Arguments) -> str:
        """All of it."""
        head, point, operand = self
        wanted = operand.constant if operand.argument is None else arguments[operand.argument]
        if isinstance(wanted, tuple):
            return head + ", ".join([value_text(point, one) for one in wanted])
        return head if wanted is None else head + value_text(point, wanted)


def phrase_of(model: DeviceModel, condition: Condition) -> Phrase:
    """What is the same in all texts of a condition."""
    point = model.points[model.index[condition.point]]
    return Phrase(f"{condition.point} {_SIGNS[condition.comparison]} ", point, condition.operand)


def value_text(point: Point, value: Value | None) -> str:
    """A value with the text of its enumeration or its unit."""
    unit = point.unit
    if isinstance(value, float):
        return f"{value:g}" if unit is None or unit == "1" else f"{value:g} {unit}"
    if point.enumeration is not None and isinstance(value, int):
        return point.enumeration.text(int(value)) or str(value)
    return str(value) if unit is None or unit == "1" else f"{value} {unit}"


def _equal(value: Value, wanted: Value | tuple[Value, ...] | None, tolerance: float) -> bool:
    if isinstance(value, str) or isinstance(wanted, str):
        return value == wanted
    return abs(_number(value) - _number(wanted)) <= tolerance


def _number(value: Value | tuple[Value, ...] | None) -> float:
    if isinstance(value, bool | int | float):
        return float(value)
    raise TypeError(f"{value!r} is not a number; the linter should have refused this condition")


def _each(value: Value | tuple[Value, ...] | None) -> tuple[Value, ...]:
    if isinstance(value, tuple):
        return value
    return () if value is None else (value,)
