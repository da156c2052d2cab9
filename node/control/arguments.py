"""Are these the arguments that a command takes? Pure."""

from __future__ import annotations

from collections.abc import Sequence
from math import isfinite

from address_space.model import INTEGER_RANGES, Argument, DataType, Enumeration, Range, Status, Value


def fits_type(value: Value, data_type: DataType) -> bool:
    """True when a Python value can stand for that built-in type without loss of kind or range."""
    if data_type is DataType.BOOLEAN:
        return isinstance(value, bool)
    if isinstance(value, bool):
        return False
    if data_type is DataType.STRING:
        return isinstance(value, str)
    if data_type in INTEGER_RANGES:
        low, high = INTEGER_RANGES[data_type]
        return isinstance(value, int) and low <= value <= high
    return isinstance(value, int | float)


def fault_of_value(
    value: Value | None, data_type: DataType, limits: Range | None, table: Enumeration | None
) -> tuple[Status, str] | None:
    """Why a value cannot be taken, as status and sentence; None when it can."""
    if value is None or not fits_type(value, data_type):
        given = "it" if value is None else repr(value)
        return Status.BAD_TYPE_MISMATCH, f"{given} is no {data_type.name.capitalize()}"
    if isinstance(value, float) and not isfinite(value):
        return Status.BAD_OUT_OF_RANGE, f"{value} is not a finite number"
    if table is not None and not isinstance(value, str | float) and table.text(int(value)) is None:
        allowed = ", ".join(f"{member.code} {member.name}" for member in table.members)
        return Status.BAD_OUT_OF_RANGE, f"{value} is not one of {allowed}"
    if limits is not None and not isinstance(value, str) and not limits.holds(value):
        return Status.BAD_OUT_OF_RANGE, f"{value} is outside {limits.low:g} to {limits.high:g}"
    return None


def check_arguments(
    inputs: Sequence[Argument], values: Sequence[Value | None]
) -> tuple[Status, str, tuple[Status, ...]] | None:
    """Why a call cannot be made: status, sentence, and a status per input; None when it can.

    One that is wrong makes it BadInvalidArgument, and its own status says why: BadTypeMismatch or BadOutOfRange
    (OPC 10000-4 section 5.12.2.4). None stands for a value that no built-in type of a point could hold.
    """
    if len(values) < len(inputs):
        missing = ", ".join(argument.name for argument in inputs[len(values) :])
        return Status.BAD_ARGUMENTS_MISSING, f"missing: {missing}", ()
    if len(values) > len(inputs):
        return Status.BAD_TOO_MANY_ARGUMENTS, f"takes {len(inputs)} arguments, got {len(values)}", ()
    faults = [
        fault_of_value(value, argument.data_type, argument.range, argument.enumeration)
        for argument, value in zip(inputs, values, strict=True)
    ]
    results = tuple(Status.GOOD if fault is None else fault[0] for fault in faults)
    found = [(argument, fault) for argument, fault in zip(inputs, faults, strict=True) if fault is not None]
    if not found:
        return None
    reason = "; ".join(f"{argument.name}: {fault[1]}" for argument, fault in found)
    return Status.BAD_INVALID_ARGUMENT, reason, results
