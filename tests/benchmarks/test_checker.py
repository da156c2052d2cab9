"""What the load client says about the values that came."""

from array import array

import pytest

from benchmarks import pattern
from benchmarks.frames import Unexpected
from benchmarks.subscriber import Checker


def check(checker: Checker, *items: tuple[int, int]) -> None:
    """Give it one message of (index, pass)."""
    values = [pattern.value(index, number) for index, number in items]
    checker.check(array("I", [index for index, _number in items]), array("d", values))


def test_pass_that_was_skipped_is_missed() -> None:
    checker = Checker(0, 2)
    check(checker, (0, 1), (1, 1))
    check(checker, (0, 2), (1, 4))
    assert (checker.missed, checker.newest) == (2, 4)


def test_two_values_of_an_item_in_one_message_are_both_seen() -> None:
    checker = Checker(10, 2, queued=True)
    check(checker, (10, 1), (11, 1))
    check(checker, (10, 2), (10, 3), (11, 2), (11, 3))
    check(checker, (11, 4), (10, 5))
    assert (checker.missed, checker.newest) == (1, 5)


@pytest.mark.parametrize("queued", [False, True])
def test_value_that_goes_back_in_time_is_refused(queued: bool) -> None:
    checker = Checker(0, 1, queued=queued)
    check(checker, (0, 5))
    with pytest.raises(Unexpected, match="after pass 5"):
        check(checker, (0, 4))


def test_value_of_another_item_is_refused() -> None:
    checker = Checker(0, 2)
    with pytest.raises(Unexpected, match="item 1 has the value"):
        checker.check(array("I", [0, 1]), array("d", [pattern.value(0, 1), pattern.value(0, 1)]))
