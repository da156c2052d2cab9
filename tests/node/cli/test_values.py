import pytest

from address_space.model import Status, Value
from node.cli.values import printable, status_name, style, value_text


@pytest.mark.parametrize(
    ("value", "unit", "text"),
    [
        (230.123456789, "V", "230.1235 V"),
        (0.0, "W", "0 W"),
        (7, "", "7"),
        (0.95, "1", "0.95"),
        ("text", "", "text"),
        (None, "V", "-"),
    ],
)
def test_a_value_has_its_unit(value: Value | None, unit: str, text: str) -> None:
    assert value_text(value, unit) == text


def test_a_state_is_shown_by_name_and_an_unknown_code_as_such() -> None:
    texts = {0: "Off", 1: "On"}
    assert value_text(1, "", texts) == "On (1)"
    assert value_text(True, "", texts) == "On"
    assert value_text(9, "", texts) == "? (9)"


def test_a_status_has_the_name_of_the_standard() -> None:
    assert status_name(0) == "Good"
    assert status_name(int(Status.BAD_NO_COMMUNICATION) | 0x400) == "BadNoCommunication"
    assert status_name(0x8099_0000) == "0x80990000"


def test_colours_follow_the_severity() -> None:
    assert [style(int(status)) for status in (Status.GOOD, Status.UNCERTAIN, Status.BAD)] == ["", "yellow", "red"]


def test_text_from_elsewhere_does_not_steer_the_terminal() -> None:
    assert printable("a\x1b[2J\nb") == "a?[2J?b"
