"""Calls: what is refused at the door, and what an outcome looks like to the caller."""

import pytest
from asyncua import ua

from address_space.methods import answer, decode_inputs
from address_space.model import Argument, Command, CommandResult, DataType, Outcome, Status

SHAVE = Command("SetLoadShave", "", "", (Argument("Limit", DataType.DOUBLE), Argument("Mode", DataType.INT32)))
LIMIT = ua.Variant(5.0, ua.VariantType.Double)
MODE = ua.Variant(2, ua.VariantType.Int32)


def result(outcome: Outcome, status: Status, *inputs: Status) -> CommandResult:
    return CommandResult(outcome, status, "state=Sell", 0.25, "done", inputs)


def test_inputs_of_the_right_number_and_types_become_values() -> None:
    assert decode_inputs(SHAVE, [LIMIT, MODE]) == [5.0, 2]
    assert decode_inputs(Command("Stop", "", ""), None) == []


def test_as_many_values_come_out_as_went_in() -> None:
    assert decode_inputs(SHAVE, None) == []
    assert decode_inputs(SHAVE, [LIMIT]) == [5.0]
    assert decode_inputs(SHAVE, [LIMIT, MODE, MODE]) == [5.0, 2, None]


@pytest.mark.parametrize(
    "mode",
    [
        ua.Variant("2", ua.VariantType.String),
        ua.Variant(2, ua.VariantType.Int64),
        ua.Variant([2], ua.VariantType.Int32),
        ua.Variant(None, ua.VariantType.Null),
    ],
)
def test_an_input_of_the_wrong_type_has_no_value(mode: ua.Variant) -> None:
    assert decode_inputs(SHAVE, [LIMIT, mode]) == [5.0, None]


@pytest.mark.parametrize(
    ("outcome", "status"),
    [
        (Outcome.CONFIRMED, Status.GOOD),
        (Outcome.UNCONFIRMED, Status.UNCERTAIN),
        (Outcome.MISMATCH, Status.UNCERTAIN),
    ],
)
def test_an_outcome_that_is_not_bad_has_its_four_outputs(outcome: Outcome, status: Status) -> None:
    shown = answer(result(outcome, status), 2)
    assert shown.StatusCode.value == status
    assert [code.value for code in shown.InputArgumentResults] == [0, 0]
    assert [(entry.Value, entry.VariantType) for entry in shown.OutputArguments] == [
        (int(outcome), ua.VariantType.Int32),
        ("state=Sell", ua.VariantType.String),
        (250.0, ua.VariantType.Double),
        (ua.LocalizedText("done", "en"), ua.VariantType.LocalizedText),
    ]


@pytest.mark.parametrize(
    ("outcome", "status"), [(Outcome.REFUSED, Status.BAD_USER_ACCESS_DENIED), (Outcome.FAILED, Status.BAD_TIMEOUT)]
)
def test_a_bad_outcome_has_a_code_and_no_outputs(outcome: Outcome, status: Status) -> None:
    shown = answer(result(outcome, status), 2)
    assert shown.StatusCode.value == status
    assert shown.OutputArguments == []
    assert shown.InputArgumentResults == []


def test_a_refused_argument_says_which() -> None:
    refused = result(Outcome.REFUSED, Status.BAD_INVALID_ARGUMENT, Status.BAD_OUT_OF_RANGE, Status.GOOD)
    assert [code.value for code in answer(refused, 2).InputArgumentResults] == [Status.BAD_OUT_OF_RANGE, Status.GOOD]
