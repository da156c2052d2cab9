"""What holds for every sequence of samples: paging, direction, sums over parts, and a slow calculation beside ours."""

from collections.abc import Sequence

import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import TICKS_PER_MS, Value
from node.historian.aggregates import Aggregate, Configuration, Result
from tests.node.historian.aggregates.engine import BAD, GOOD, UNCERTAIN, Sample, results

A = Aggregate

STATUSES = st.sampled_from([GOOD, GOOD, GOOD, UNCERTAIN, BAD])
CONFIGURATIONS = st.builds(
    Configuration,
    stepped=st.booleans(),
    treat_uncertain_as_bad=st.booleans(),
    percent_data_bad=st.sampled_from([50, 100]),
    percent_data_good=st.sampled_from([50, 100]),
    use_sloped_extrapolation=st.booleans(),
)
NEVER_BAD = st.builds(Configuration, stepped=st.booleans(), treat_uncertain_as_bad=st.just(False))
# Directed aggregates say something about one end; actual times and Calculated bits are about edges.
UNDIRECTED = [
    a
    for a in A
    if a not in {A.INTERPOLATIVE, A.START_BOUND, A.END_BOUND, A.MINIMUM_ACTUAL_TIME_2, A.MAXIMUM_ACTUAL_TIME_2}
    and a is not A.NUMBER_OF_TRANSITIONS
]


@st.composite
def samples(draw: st.DrawFn, statuses: st.SearchStrategy[int] = STATUSES) -> list[Sample]:
    """Samples at odd tenths of a second, so that they lie on no edge of an interval of whole seconds."""
    times = draw(st.lists(st.integers(-30, 100), min_size=1, max_size=30, unique=True))
    return [(at * 0.4 + 0.1, draw(st.integers(-3, 3)) * 1.5, draw(statuses)) for at in sorted(times)]


def near(found: Sequence[Result], expected: Sequence[Result]) -> bool:
    return len(found) == len(expected) and all(
        (one.ticks, one.status) == (other.ticks, other.status) and equal(one.value, other.value)
        for one, other in zip(found, expected, strict=True)
    )


def equal(one: Value | None, other: Value | None) -> bool:
    return one is other if one is None or other is None else one == pytest.approx(other, rel=1e-9, abs=1e-6)


@given(samples(), CONFIGURATIONS, st.integers(1, 12), st.booleans(), st.sampled_from(A))
def test_pages_of_any_size_give_what_one_page_gives(
    data: list[Sample], configuration: Configuration, page: int, reverse: bool, aggregate: A
) -> None:
    start, end = (22, -3) if reverse else (-3, 22)
    whole = results(aggregate, data, start, end, 4, configuration=configuration)
    assert near(results(aggregate, data, start, end, 4, configuration=configuration, page=page), whole)


@given(samples(), CONFIGURATIONS, st.sampled_from(UNDIRECTED))
def test_both_directions_agree_where_no_sample_lies_on_an_edge(
    data: list[Sample], configuration: Configuration, aggregate: A
) -> None:
    forward = results(aggregate, data, 0, 20, 5, configuration=configuration)
    reverse = results(aggregate, data, 20, 0, 5, configuration=configuration)
    assert [equal(one.value, other.value) for one, other in zip(forward, reverse, strict=True)] == [True] * 4
    # A Calculated bit may tell a bound at the near edge from one at the far edge.
    assert [one.status & ~3 for one in forward] == [one.status & ~3 for one in reverse]


@given(samples(), NEVER_BAD, st.sampled_from([A.COUNT, A.ANNOTATION_COUNT, A.NUMBER_OF_TRANSITIONS]))
def test_counts_of_parts_add_up(data: list[Sample], configuration: Configuration, aggregate: A) -> None:
    parts = results(aggregate, data, 0, 20, 2.5, configuration=configuration)
    (whole,) = results(aggregate, data, 0, 20, configuration=configuration)
    assert sum(result.value or 0 for result in parts) == (whole.value or 0)


@given(
    samples(),
    NEVER_BAD,
    st.sampled_from([A.TOTAL, A.TOTAL_2, A.DURATION_GOOD, A.DURATION_BAD, A.DURATION_IN_STATE_ZERO]),
)
def test_integrals_of_parts_add_up(data: list[Sample], configuration: Configuration, aggregate: A) -> None:
    data = [(-50.0, 1.0, GOOD), *data, (60.0, 2.0, GOOD)]  # data before and behind the range, so that it has no ends
    parts = results(aggregate, data, 0, 20, 2.5, configuration=configuration)
    (whole,) = results(aggregate, data, 0, 20, configuration=configuration)
    if configuration.stepped or aggregate in {A.TOTAL, A.TOTAL_2}:
        # On a line, a part that begins behind an edge before a Bad sample is Uncertain where the whole was Good.
        assert sum(result.value or 0 for result in parts) == pytest.approx(whole.value or 0, abs=1e-6)


@given(samples(), st.booleans())
def test_shares_of_quality_are_a_whole(data: list[Sample], stepped: bool) -> None:
    configuration = Configuration(stepped=stepped, treat_uncertain_as_bad=False)
    for good, bad in zip(
        results(A.PERCENT_GOOD, data, 0, 20, 5, configuration=configuration),
        results(A.PERCENT_BAD, data, 0, 20, 5, configuration=configuration),
        strict=True,
    ):
        if good.value is not None:
            assert 0 <= good.value + bad.value <= 100 + 1e-9


@given(samples(st.just(GOOD)), st.booleans())
def test_time_averages_agree_with_a_sum_over_milliseconds(data: list[Sample], stepped: bool) -> None:
    data = [(-50.0, 1.0, GOOD), *data, (60.0, 2.0, GOOD)]
    configuration = Configuration(stepped=stepped)
    (result,) = results(A.TIME_AVERAGE_2, data, 0, 20, configuration=configuration)
    step = 0.05
    total = sum(value_at(data, number * step + step / 2, stepped) for number in range(400))
    assert result.value == pytest.approx(total / 400, abs=1e-6)


def value_at(data: Sequence[Sample], at: float, stepped: bool) -> float:
    index = max(i for i, (seconds, _, _) in enumerate(data) if seconds <= at)
    (since, low, _), (until, high, _) = data[index], data[index + 1]
    return low if stepped else low + (high - low) * (at - since) / (until - since)


@given(samples(), CONFIGURATIONS, st.sampled_from(A))
def test_a_value_and_a_bad_status_exclude_each_other(
    data: list[Sample], configuration: Configuration, aggregate: A
) -> None:
    for result in results(aggregate, data, 0, 20, 3, configuration=configuration):
        assert (result.value is None) == (result.status >= BAD)
        assert result.ticks % TICKS_PER_MS == 0
