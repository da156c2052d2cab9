"""Arguments of method nodes, and what a command came to as OPC UA's answer.

Knows neither roles nor devices: it turns variants into plain values and a CommandResult into outputs.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from asyncua import ua

from address_space.model import (
    Argument,
    Command,
    CommandResult,
    DataType,
    Enumeration,
    Outcome,
    Range,
    Status,
    Value,
    is_bad,
)
from address_space.shape import NS_MODEL, node_id
from address_space.units import UNITS
from address_space.values import exact, status_code, text

OUTCOME_TYPE: Final = node_id("Outcome", NS_MODEL)
_DURATION: Final = node_id(ua.ObjectIds.Duration)
_SCALAR: Final = -1


def output_arguments() -> list[ua.Argument]:
    """The four outputs that every command has."""
    codes = ", ".join(f"{outcome.value} {outcome.name}" for outcome in Outcome)
    return [
        _argument("Outcome", OUTCOME_TYPE, f"How the command ended: {codes}."),
        _argument("Observed", node_id(DataType.STRING), "The confirming points as seen last."),
        _argument("Elapsed", _DURATION, "Time from the call to this answer. Unit: ms."),
        _argument("Reason", node_id(ua.ObjectIds.LocalizedText), "Why it ended so; 'pending' while it goes on."),
    ]


def input_arguments(command: Command) -> list[ua.Argument]:
    """The inputs of a command, with unit, range and codes in their descriptions."""
    return [_argument(entry.name, node_id(entry.data_type), argument_description(entry)) for entry in command.inputs]


def argument_description(argument: Argument) -> str:
    """What an input means: description, unit, range, codes."""
    return with_limits(argument.description, argument.unit, argument.range, argument.enumeration)


def with_limits(words: str, unit: str | None, limits: Range | None, enumeration: Enumeration | None = None) -> str:
    """A description with unit and range in words: `AC power. Unit: W. Range: 0 to 6800.`"""
    parts = [words.strip()] if words.strip() else []
    if parts and parts[0][-1] not in ".!?":
        parts[0] += "."
    shown = UNITS[unit].display_name if unit is not None else ""
    if shown:
        parts.append(f"Unit: {shown}.")
    if limits is not None:
        parts.append(f"Range: {limits.low:.15g} to {limits.high:.15g}.")
    if enumeration is not None:
        parts.append(f"Codes: {', '.join(f'{member.code} {member.name}' for member in enumeration.members)}.")
    return " ".join(parts)


def decode_inputs(command: Command, inputs: Sequence[ua.Variant] | None) -> list[Value | None]:
    """Plain values of a call's inputs, as many as were given; None for one that is not of its argument's type.

    Whether they are enough, and whether they are allowed, is for who carries out the command.
    """
    given = list(inputs or ())
    types = [argument.data_type for argument in command.inputs]
    extra: list[Value | None] = [None] * max(0, len(given) - len(types))
    return [_plain(variant, data_type) for variant, data_type in zip(given, types, strict=False)] + extra


def answer(result: CommandResult, inputs: int) -> ua.CallMethodResult:
    """What a caller gets: outputs with Good and Uncertain, none with Bad (OPC 10000-4 section 5.12.2).

    `inputs` is the number of inputs of the call: each gets its status when one was refused.
    """
    if is_bad(result.status):
        refused = list(result.input_results) if len(result.input_results) == inputs else []
        return _refused(result.status, refused)
    return ua.CallMethodResult(
        StatusCode=status_code(result.status),
        InputArgumentResults=[status_code(Status.GOOD)] * inputs,
        OutputArguments=[
            ua.Variant(int(result.outcome), ua.VariantType.Int32),
            ua.Variant(result.observed, ua.VariantType.String),
            ua.Variant(result.elapsed_s * 1000.0, ua.VariantType.Double),
            ua.Variant(text(result.reason), ua.VariantType.LocalizedText),
        ],
    )


def _argument(name: str, data_type: ua.NodeId, description: str) -> ua.Argument:
    return ua.Argument(
        Name=ua.String(name), DataType=data_type, ValueRank=ua.Int32(_SCALAR), Description=text(description)
    )


def _refused(status: int, inputs: Sequence[int] = ()) -> ua.CallMethodResult:
    return ua.CallMethodResult(
        StatusCode=status_code(status), InputArgumentResults=[status_code(entry) for entry in inputs]
    )


def _plain(variant: ua.Variant, data_type: DataType) -> Value | None:
    """The scalar in a variant of exactly this type; None for anything else."""
    if variant.is_array or variant.Value is None or variant.VariantType != ua.VariantType(int(data_type)):
        return None
    return exact(variant.Value, data_type)
