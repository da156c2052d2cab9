"""Bounds say yes to many values at once, and never to one that a closer look refuses."""

from hypothesis import given
from hypothesis import strategies as st

from address_space.model import DataType, Enumeration, EnumMember, Range, Value
from node.control.arguments import fault_of_value
from node.control.bounds import Kind, bounds_of

MODES = Enumeration("Mode", (EnumMember(0, "Off"), EnumMember(1, "On")))
kinds = st.tuples(
    st.sampled_from(DataType),
    st.sampled_from([None, Range(0, 10), Range(-0.5, 1e9), Range(-(2**63), 2**64)]),
    st.sampled_from([None, None, MODES]),
)
given_values = st.one_of(
    st.floats(),
    st.integers(-(2**65), 2**65),
    st.booleans(),
    st.text(max_size=3),
    st.none(),
    st.sampled_from([0.0, 1.0, 10.0, -0.5, 255, 256, 65535, 2**63 - 1, 2**63, 2**64 - 1]),
)


@given(st.lists(st.tuples(kinds, given_values), max_size=4))
def test_what_bounds_hold_has_no_fault(rows: list[tuple[Kind, Value | None]]) -> None:
    if bounds_of([kind for kind, _ in rows]).hold([value for _, value in rows]):
        assert [fault_of_value(value, *kind) for kind, value in rows] == [None] * len(rows)


@given(st.lists(st.floats(0, 10), max_size=5), st.lists(st.integers(0, 10), max_size=5))
def test_plain_numbers_in_range_need_no_closer_look(doubles: list[float], bytes_: list[int]) -> None:
    limits = Range(0, 10)
    bounds = bounds_of(
        [*[(DataType.DOUBLE, limits, None)] * len(doubles), *[(DataType.BYTE, limits, None)] * len(bytes_)]
    )
    assert bounds.hold([*doubles, *bytes_])


def test_a_number_of_values_that_is_not_right_is_never_held() -> None:
    assert not bounds_of([(DataType.DOUBLE, None, None)]).hold([1.0, 2.0])
    assert not bounds_of([(DataType.DOUBLE, None, None)]).hold([])
    assert not bounds_of([]).hold([1.0])


def test_values_with_codes_are_held_by_none_not_even_where_none_is_given() -> None:
    bounds = bounds_of([(DataType.INT32, None, MODES)])
    assert not bounds.hold([])
    assert not bounds.hold([1])
    assert bounds_of([]).hold([])
