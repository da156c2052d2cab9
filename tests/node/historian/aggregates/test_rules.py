"""Single rules of OPC 10000-13, by hand."""

import math
from dataclasses import replace

import pytest

from node.historian.aggregates import (
    Aggregate,
    Aggregation,
    Configuration,
    ConfigurationRejected,
    InvalidInputs,
    RequestRefused,
    ResultType,
)
from tests.node.historian.aggregates.engine import (
    BAD,
    CALCULATED,
    GOOD,
    INTERPOLATED,
    LENIENT,
    MULTI,
    NO_DATA,
    PARTIAL,
    SUB_NORMAL,
    UNCERTAIN,
    columns,
    good,
    results,
    shown,
    single,
    ticks,
)

A = Aggregate
STRICT = Configuration()
RAMP = good((0, 0.0), (10, 10.0), (20, 20.0), (30, 30.0))
BROKEN = [*good((0, 0.0), (10, 10.0)), (20, None, BAD), *good((30, 30.0), (40, 40.0))]


# --- configuration and intervals ---------------------------------------------------------------------


@pytest.mark.parametrize(("good_share", "bad_share"), [(49, 50), (0, 99), (101, 50), (50, -1)])
def test_a_configuration_that_contradicts_itself_is_rejected(good_share: int, bad_share: int) -> None:
    with pytest.raises(ConfigurationRejected):
        Configuration(percent_data_good=good_share, percent_data_bad=bad_share)


def test_the_defaults_are_those_of_the_standard() -> None:
    assert Configuration() == Configuration(
        stepped=False,
        treat_uncertain_as_bad=True,
        percent_data_bad=100,
        percent_data_good=100,
        use_sloped_extrapolation=False,
    )


@pytest.mark.parametrize(("start", "end", "interval"), [(5, 5, 1), (0, 5, -1)])
def test_a_request_without_intervals_is_refused(start: int, end: int, interval: int) -> None:
    with pytest.raises(RequestRefused):
        Aggregation(A.COUNT, STRICT, start=start, end=end, interval=interval)


def test_interval_0_is_one_interval() -> None:
    assert shown(results(A.COUNT, RAMP, 0, 30)) == [(0, 3, CALCULATED)]


def test_an_interval_longer_than_the_range_is_the_range_and_partial() -> None:
    assert shown(results(A.COUNT, RAMP, 0, 30, 100)) == [(0, 3, CALCULATED | PARTIAL)]


def test_the_last_interval_is_what_remains_and_partial() -> None:
    assert shown(results(A.COUNT, RAMP, 0, 25, 10)) == [
        (0, 1, CALCULATED),
        (10, 1, CALCULATED),
        (20, 1, CALCULATED | PARTIAL),
    ]


def test_in_reverse_intervals_are_counted_from_the_start_and_own_their_late_edge() -> None:
    assert shown(results(A.END, [(-5, 1.0, GOOD), *RAMP, (40, 40.0, GOOD)], 30, 5, 10)) == [
        (10, 10.0, GOOD | PARTIAL),
        (20, 20.0, GOOD),
        (30, 30.0, GOOD),
    ]


def test_results_in_reverse_carry_the_late_edge() -> None:
    assert [at for at, _, _ in shown(results(A.COUNT, RAMP, 30, 5, 10))] == [10, 20, 30]


# --- where data start and end ------------------------------------------------------------------------


@pytest.mark.parametrize("aggregate", [a for a in A if a not in {A.INTERPOLATIVE}], ids=lambda a: a.value)
def test_outside_the_data_there_are_none(aggregate: A) -> None:
    found = shown(results(aggregate, good((50, 1.0), (51, 2.0)), 0, 100, 10))
    outside = [result for result in found if not 50 <= result[0] < 60]
    assert outside == [(at, None, NO_DATA) for at in (0, 10, 20, 30, 40, 60, 70, 80, 90)]


def test_without_a_sample_everything_is_no_data() -> None:
    for aggregate in A:
        assert shown(results(aggregate, [], 0, 20, 10)) == [(0, None, NO_DATA), (10, None, NO_DATA)]


def test_placeholders_before_the_first_sample_are_not_data() -> None:
    placeholder = [(0, None, NO_DATA), (1, None, NO_DATA)]
    samples = good((12, 1.0), (15, 2.0), (25, 3.0))
    for aggregate in A:
        assert results(aggregate, placeholder + samples, 0, 20, 10) == results(aggregate, samples, 0, 20, 10)


def test_a_bad_no_data_among_samples_is_bad() -> None:
    assert single(A.DURATION_BAD, [*good((0, 1.0)), (5, None, NO_DATA), *good((8, 1.0), (10, 1.0))], 0, 10)[1] == 3000


def test_data_end_one_millisecond_after_the_last_sample() -> None:
    assert single(A.TOTAL_2, good((0, 10.0)), 0, 10, configuration=replace(LENIENT, stepped=True)) == (
        0,
        pytest.approx(0.01),
        CALCULATED | PARTIAL,
    )
    assert single(A.DURATION_GOOD, good((0, 1.0), (4, 1.0)), 0, 10) == (0, 4001, CALCULATED | PARTIAL)


def test_a_sample_at_the_end_completes_the_interval() -> None:
    assert single(A.TIME_AVERAGE_2, good((0, 0.0), (10, 10.0)), 0, 10) == (0, 5.0, CALCULATED)


def test_an_average_is_never_partial() -> None:
    assert single(A.AVERAGE, good((5, 2.0), (6, 4.0)), 0, 10) == (0, 3.0, CALCULATED)


def test_in_reverse_data_that_start_or_end_at_an_edge_belong_to_one_side() -> None:
    assert shown(results(A.COUNT, good((10, 1.0), (12, 1.0)), 20, 0, 10)) == [
        (10, 1, CALCULATED | PARTIAL),
        (20, 1, CALCULATED | PARTIAL),
    ]
    assert shown(results(A.COUNT, good((5, 1.0), (10, 1.0)), 20, 0, 10)) == [
        (10, 2, CALCULATED | PARTIAL),
        (20, None, NO_DATA),
    ]


def test_an_interval_without_samples_amid_data_has_a_count_and_no_average() -> None:
    assert single(A.COUNT, RAMP, 1, 9) == (1, 0, CALCULATED)
    assert single(A.AVERAGE, RAMP, 1, 9) == (1, None, NO_DATA)
    assert single(A.COUNT, BROKEN, 19, 21) == (19, None, BAD)


# --- interpolated bounds -----------------------------------------------------------------------------


def test_interpolative_gives_raw_values_lines_and_extrapolations() -> None:
    assert shown(results(A.INTERPOLATIVE, BROKEN, -5, 55, 5)) == [
        (-5, None, NO_DATA),
        (0, 0.0, GOOD),
        (5, 5.0, INTERPOLATED),
        (10, 10.0, GOOD),
        (15, 15.0, SUB_NORMAL | INTERPOLATED),
        (20, 20.0, SUB_NORMAL | INTERPOLATED),
        (25, 25.0, SUB_NORMAL | INTERPOLATED),
        (30, 30.0, GOOD),
        (35, 35.0, INTERPOLATED),
        (40, 40.0, GOOD),
        (45, 40.0, SUB_NORMAL | INTERPOLATED),
        (50, 40.0, SUB_NORMAL | INTERPOLATED),
    ]


def test_sloped_extrapolation_goes_on_along_the_last_two_usable_values() -> None:
    sloped = replace(LENIENT, use_sloped_extrapolation=True)
    assert shown(results(A.INTERPOLATIVE, good((0, 0.0), (10, 5.0)), 10, 30, 10, configuration=sloped)) == [
        (10, 5.0, GOOD),
        (20, 10.0, SUB_NORMAL | INTERPOLATED),
    ]
    assert shown(results(A.INTERPOLATIVE, good((0, 7.0)), 10, 20, configuration=sloped)) == [
        (10, 7.0, SUB_NORMAL | INTERPOLATED)
    ]
    assert single(A.TOTAL, good((0, 0.0), (10, 10.0)), 10, 12, configuration=sloped)[1] == pytest.approx(22.0)


def test_sloped_extrapolation_skips_what_is_not_usable_and_looks_no_further_back_than_it_must() -> None:
    sloped = replace(LENIENT, use_sloped_extrapolation=True)
    samples = [*good((0, 0.0), (1, 0.0)), (2, None, BAD), *good((3, 1.0))]
    for page in (1, 2, 100):
        assert single(A.INTERPOLATIVE, samples, 7, 8, configuration=sloped, page=page)[1] == pytest.approx(3.0)
    # 0 to 1 nothing, then a line to 1.0 at 3 and on along it to 3.0 at 7
    assert single(A.TOTAL, samples, 0, 7, configuration=sloped) == (
        0,
        pytest.approx(9.0),
        SUB_NORMAL | CALCULATED | PARTIAL,
    )
    run = good((0, 0.0), (1, 0.0), (2, 0.0), (3, 1.0))
    assert single(A.TOTAL, run, 0, 5, configuration=sloped)[1] == pytest.approx(0.5 + 4.0)


def test_extrapolation_is_uncertain() -> None:
    assert single(A.TIME_AVERAGE, good((0, 0.0), (5, 1.0)), 0, 10) == (
        0,
        pytest.approx(0.75),
        SUB_NORMAL | CALCULATED | PARTIAL,
    )


def test_stepped_interpolation_is_uncertain_from_the_skipped_value_on() -> None:
    assert shown(results(A.INTERPOLATIVE, BROKEN, 0, 30, 5, configuration=replace(LENIENT, stepped=True))) == [
        (0, 0.0, GOOD),
        (5, 0.0, INTERPOLATED),
        (10, 10.0, GOOD),
        (15, 10.0, INTERPOLATED),
        (20, 10.0, SUB_NORMAL | INTERPOLATED),
        (25, 10.0, SUB_NORMAL | INTERPOLATED),
    ]


def test_in_reverse_interpolative_looks_at_the_late_edge() -> None:
    assert shown(results(A.INTERPOLATIVE, RAMP, 25, 5, 10)) == [(15, 15.0, INTERPOLATED), (25, 25.0, INTERPOLATED)]


def test_an_uncertain_value_is_used_or_skipped_as_configured() -> None:
    samples = [(0, 0.0, GOOD), (10, 100.0, UNCERTAIN), (20, 20.0, GOOD)]
    assert single(A.INTERPOLATIVE, samples, 10, 11) == (10, 100.0, UNCERTAIN)
    assert single(A.INTERPOLATIVE, samples, 10, 11, configuration=STRICT) == (10, 10.0, SUB_NORMAL | INTERPOLATED)
    assert single(A.TIME_AVERAGE, samples, 0, 20) == (0, 55.0, SUB_NORMAL | CALCULATED)
    assert single(A.TIME_AVERAGE, samples, 0, 20, configuration=STRICT) == (0, 10.0, SUB_NORMAL | CALCULATED)


def test_time_average_draws_lines_even_when_stepped_and_total_does_not() -> None:
    stepped = replace(LENIENT, stepped=True)
    assert single(A.TIME_AVERAGE, RAMP, 0, 20, configuration=stepped) == (0, 10.0, CALCULATED)
    assert single(A.TOTAL, RAMP, 0, 20, configuration=stepped) == (0, 100.0, CALCULATED)
    assert single(A.TIME_AVERAGE_2, RAMP, 0, 20, configuration=stepped) == (0, 5.0, CALCULATED)


def test_a_skipped_value_makes_only_its_surroundings_uncertain() -> None:
    statuses = [status for _, _, status in shown(results(A.TIME_AVERAGE, BROKEN, 0, 40, 10))]
    assert statuses == [CALCULATED, SUB_NORMAL | CALCULATED, SUB_NORMAL | CALCULATED, CALCULATED]


def test_a_held_value_is_good_until_the_skipped_one() -> None:
    found = shown(results(A.TOTAL, BROKEN, 0, 40, 10, configuration=replace(LENIENT, stepped=True)))
    assert found == [
        (0, 0.0, CALCULATED),
        (10, 100.0, CALCULATED),
        (20, 100.0, SUB_NORMAL | CALCULATED),
        (30, 300.0, CALCULATED),
    ]


def test_a_long_gap_over_many_intervals_is_bridged() -> None:
    samples = [(0, 0.0, GOOD), *((at, None, BAD) for at in range(10, 100, 10)), (100, 100.0, GOOD)]
    assert [value for _, value, _ in shown(results(A.TIME_AVERAGE, samples, 0, 100, 5))] == pytest.approx(
        [2.5 + 5 * number for number in range(20)]
    )


# --- simple bounds -----------------------------------------------------------------------------------


def test_a_simple_bound_needs_its_direct_neighbours() -> None:
    assert shown(results(A.START_BOUND, BROKEN, 5, 45, 10)) == [
        (5, 5.0, INTERPOLATED),
        (15, 10.0, SUB_NORMAL | INTERPOLATED),  # the next value is Bad: held
        (25, None, NO_DATA),  # the value before is Bad
        (35, 35.0, INTERPOLATED | PARTIAL),
    ]


def test_bounds_follow_the_direction_of_travel() -> None:
    assert single(A.START_BOUND, RAMP, 5, 15) == (5, 5.0, INTERPOLATED)
    assert single(A.END_BOUND, RAMP, 5, 15) == (5, 15.0, CALCULATED)
    assert single(A.START_BOUND, RAMP, 15, 5) == (15, 15.0, INTERPOLATED)
    assert single(A.END_BOUND, RAMP, 15, 5) == (15, 5.0, CALCULATED)
    assert single(A.DELTA_BOUNDS, RAMP, 5, 15) == (5, 10.0, CALCULATED)


def test_a_stretch_before_a_bad_value_is_held_and_uncertain() -> None:
    assert single(A.TIME_AVERAGE_2, BROKEN, 10, 20, configuration=STRICT) == (10, None, BAD | CALCULATED)
    assert single(A.TIME_AVERAGE_2, BROKEN, 10, 20) == (10, 10.0, CALCULATED)
    assert single(A.TIME_AVERAGE_2, BROKEN, 20, 30) == (20, None, NO_DATA)
    assert single(A.TIME_AVERAGE_2, BROKEN, 10, 20, configuration=replace(STRICT, stepped=True))[2] == CALCULATED


def test_the_shares_of_time_decide_the_status() -> None:
    samples = [(0, 1.0, GOOD), (4, None, BAD), (10, 1.0, GOOD)]  # 40 % Good, 60 % Bad
    stepped = replace(STRICT, stepped=True)
    for good_share, bad_share, status in ((40, 60, GOOD), (41, 60, BAD), (41, 61, SUB_NORMAL), (100, 100, SUB_NORMAL)):
        configuration = replace(stepped, percent_data_good=good_share, percent_data_bad=bad_share)
        assert single(A.TOTAL_2, samples, 0, 10, configuration=configuration)[2] == status | CALCULATED


def test_durations_are_milliseconds_of_what_regions_start_with() -> None:
    samples = [(0, 0.0, GOOD), (2, 5.0, GOOD), (5, 0.0, UNCERTAIN), (6, None, BAD), (8, 1.0, GOOD), (10, 1.0, GOOD)]
    for aggregate, value in (
        (A.DURATION_IN_STATE_ZERO, 2000),
        (A.DURATION_IN_STATE_NON_ZERO, 5000),
        (A.DURATION_GOOD, 7000),
        (A.DURATION_BAD, 2000),
        (A.PERCENT_GOOD, 70),
        (A.PERCENT_BAD, 20),
    ):
        assert single(aggregate, samples, 0, 10)[1] == value
    assert single(A.DURATION_BAD, samples, 0, 10, configuration=STRICT)[1] == 3000


def test_an_uncertain_bound_is_not_a_bad_sample() -> None:
    samples = [(0, 1.0, GOOD), (2, 5.0, UNCERTAIN), (10, 2.0, GOOD), (20, 2.0, GOOD)]
    stepped = replace(STRICT, stepped=True)
    assert single(A.DURATION_BAD, samples, 2, 8, configuration=stepped)[1] == 6000
    assert single(A.DURATION_BAD, samples, 4, 8, configuration=stepped)[1] == 0
    assert single(A.DURATION_GOOD, samples, 4, 8, configuration=stepped)[1] == 0
    assert single(A.WORST_QUALITY_2, samples, 4, 12, configuration=stepped)[1] == SUB_NORMAL
    # and yet its value is not used
    assert single(A.TIME_AVERAGE_2, samples, 4, 14, configuration=stepped) == (4, 2.0, SUB_NORMAL | CALCULATED)
    assert single(A.START_BOUND, samples, 4, 14, configuration=stepped) == (4, None, NO_DATA)


# --- extremes ----------------------------------------------------------------------------------------


def test_the_oldest_of_equal_extremes_is_taken_and_marked() -> None:
    samples = good((0, 5.0), (1, 2.0), (2, 2.0), (3, 4.0), (10, 9.0))
    assert single(A.MINIMUM, samples, 0, 10) == (0, 2.0, CALCULATED | MULTI)
    assert single(A.MINIMUM_ACTUAL_TIME, samples, 0, 10) == (1, 2.0, MULTI)
    assert single(A.MAXIMUM, samples, 0, 10) == (0, 5.0, GOOD)
    assert single(A.RANGE, samples, 0, 10) == (0, 3.0, CALCULATED)


def test_bounds_take_part_in_the_second_family() -> None:
    assert single(A.MINIMUM_2, RAMP, 5, 25) == (5, 5.0, INTERPOLATED)
    assert single(A.MAXIMUM_2, RAMP, 5, 25) == (5, 25.0, INTERPOLATED)
    assert single(A.RANGE_2, RAMP, 5, 25) == (5, 20.0, CALCULATED)
    assert single(A.MAXIMUM_ACTUAL_TIME_2, RAMP, 5, 25) == (24.999, 25.0, INTERPOLATED)
    assert single(A.MINIMUM_ACTUAL_TIME_2, RAMP, 25, 5) == (5.001, 5.0, INTERPOLATED)
    stepped = replace(LENIENT, stepped=True)
    assert single(A.MAXIMUM_2, RAMP, 5, 20, configuration=stepped) == (5, 10.0, CALCULATED)


def test_a_sample_at_an_edge_is_its_bound_and_counts_once() -> None:
    assert single(A.MINIMUM_2, RAMP, 10, 25) == (10, 10.0, GOOD)
    assert single(A.MAXIMUM_2, RAMP, 20, 5) == (20, 20.0, GOOD)
    assert single(A.MAXIMUM_2, RAMP, 20, 5, configuration=replace(LENIENT, stepped=True)) == (20, 20.0, GOOD)
    uncertain = [(0, 1.0, GOOD), (10, 1.0, UNCERTAIN), (20, 1.0, GOOD), (30, 1.0, GOOD)]
    assert single(A.WORST_QUALITY_2, uncertain, 10, 30) == (10, UNCERTAIN, CALCULATED)
    assert single(A.WORST_QUALITY_2, uncertain, 10, 0) == (10, UNCERTAIN, CALCULATED)


def test_a_better_value_takes_the_mark_of_several_away() -> None:
    samples = good((0, 3.0), (1, 3.0), (2, 2.0), (3, 9.0), (10, 0.0))
    for page in (1, 100):
        assert single(A.MINIMUM_ACTUAL_TIME, samples, 0, 10, page=page) == (2, 2.0, GOOD)
        assert single(A.MINIMUM_ACTUAL_TIME, samples, 0, 2, page=page) == (0, 3.0, MULTI)


def test_an_uncertain_extreme_is_not_taken_for_a_good_one() -> None:
    samples = [(0, 5.0, GOOD), (1, 1.0, UNCERTAIN), (10, 5.0, GOOD)]
    assert single(A.MINIMUM, samples, 0, 10) == (0, 5.0, GOOD)
    assert single(A.MINIMUM, samples, 0, 10, configuration=STRICT) == (0, 5.0, SUB_NORMAL)
    assert single(A.MINIMUM_2, samples, 0, 10) == (0, 1.0, CALCULATED)


# --- counts and values -------------------------------------------------------------------------------


def test_transitions_count_the_very_first_value_and_the_change_since_before() -> None:
    samples = [(0, True, GOOD), (1, False, GOOD), (2, False, GOOD), (3, None, BAD), (4, True, GOOD), (9, True, GOOD)]
    assert single(A.NUMBER_OF_TRANSITIONS, samples, 0, 5)[1] == 3
    assert single(A.NUMBER_OF_TRANSITIONS, samples, 1, 3) == (1, 1, CALCULATED)
    assert single(A.NUMBER_OF_TRANSITIONS, samples, 2, 5)[1] == 1
    assert single(A.NUMBER_OF_TRANSITIONS, samples, 4, 9) == (4, 1, CALCULATED)


def test_annotations_are_counted_where_they_are_listed() -> None:
    assert [
        value for _, value, _ in shown(results(A.ANNOTATION_COUNT, RAMP, 0, 30, 10, annotations=[1, 2, 2, 20]))
    ] == [
        3,
        0,
        1,
    ]
    assert [value for _, value, _ in shown(results(A.ANNOTATION_COUNT, RAMP, 30, 0, 10, annotations=[10, 20]))] == [
        1,
        1,
        0,
    ]


def test_worst_quality_is_the_first_of_the_worst() -> None:
    samples = [(0, 1.0, GOOD), (1, 1.0, UNCERTAIN), (2, None, 0x80050000), (3, None, BAD), (10, 1.0, GOOD)]
    assert single(A.WORST_QUALITY, samples, 0, 10) == (0, 0x80050000, CALCULATED | MULTI)
    assert single(A.WORST_QUALITY, samples, 0, 2) == (0, UNCERTAIN, CALCULATED)
    assert single(A.WORST_QUALITY_2, samples, 0, 1) == (0, UNCERTAIN, CALCULATED)
    assert A.WORST_QUALITY.result_type is ResultType.STATUS_CODE


def test_start_and_end_give_a_bad_sample_with_its_own_status_and_no_value() -> None:
    samples = [(1, 1.0, GOOD), (2, 3.0, 0x80050000), (10, 1.0, GOOD)]
    assert single(A.START, samples, 1, 10) == (1, 1.0, GOOD)
    assert single(A.END, samples, 1, 10) == (2, None, 0x80050000)


def test_deviations_divide_by_n_or_n_minus_1() -> None:
    samples = good((0, 2.0), (1, 4.0), (2, 6.0), (10, 0.0))
    assert single(A.VARIANCE_POPULATION, samples, 0, 10, page=2)[1] == pytest.approx(8 / 3)
    assert single(A.VARIANCE_SAMPLE, samples, 0, 10, page=2)[1] == pytest.approx(4.0)
    assert single(A.STANDARD_DEVIATION_SAMPLE, samples, 0, 10)[1] == pytest.approx(2.0)
    assert single(A.VARIANCE_SAMPLE, samples, 0, 1) == (0, 0.0, CALCULATED)


def test_variance_survives_a_large_mean() -> None:
    samples = good(*((at, 1e9 + at % 2) for at in range(1001)))
    assert single(A.VARIANCE_POPULATION, samples, 0, 1000, page=7)[1] == pytest.approx(0.25)


# --- types of values ---------------------------------------------------------------------------------


def test_integers_stay_integers_where_the_result_has_the_type_of_the_source() -> None:
    samples = good((0, 0), (10, 5), (20, 20))
    for aggregate in A:
        for _, value, _ in shown(results(aggregate, samples, 1, 19, 6)):
            if aggregate.result_type is ResultType.SOURCE and value is not None:
                assert type(value) is int, aggregate
            if aggregate.result_type in {ResultType.DOUBLE, ResultType.DURATION} and value is not None:
                assert type(value) is float, aggregate


def test_states_are_held_not_drawn_as_lines() -> None:
    samples = good((0, False), (10, True), (20, False))
    assert single(A.INTERPOLATIVE, samples, 5, 6) == (5, False, INTERPOLATED)
    assert single(A.START_BOUND, samples, 15, 16) == (15, True, INTERPOLATED)


def test_text_is_counted_but_not_calculated_with() -> None:
    samples = good((0, "idle"), (10, "run"), (20, "idle"))
    assert single(A.COUNT, samples, 0, 20)[1] == 2
    assert single(A.NUMBER_OF_TRANSITIONS, samples, 0, 20)[1] == 2
    assert single(A.START, samples, 0, 20)[1] == "idle"
    assert single(A.INTERPOLATIVE, samples, 5, 6)[1] == "idle"
    assert single(A.DURATION_GOOD, samples, 0, 20)[1] == 20_000
    for aggregate in (A.AVERAGE, A.TIME_AVERAGE, A.TOTAL_2, A.MINIMUM, A.RANGE_2, A.DELTA, A.DURATION_IN_STATE_ZERO):
        with pytest.raises(InvalidInputs, match="idle"):
            results(aggregate, samples, 0, 20)


@pytest.mark.parametrize("value", [math.nan, None])
def test_a_good_sample_without_a_number_counts_as_bad(value: float | None) -> None:
    samples = [(0, 1.0, GOOD), (5, value, GOOD), (10, 3.0, GOOD), (20, 3.0, GOOD)]
    assert single(A.AVERAGE, samples, 0, 20) == (0, 2.0, SUB_NORMAL | CALCULATED)
    assert single(A.DURATION_BAD, samples, 0, 20)[1] == 5000


@pytest.mark.parametrize("aggregate", A, ids=lambda a: a.value)
def test_extreme_numbers_never_raise(aggregate: A) -> None:
    values = [math.inf, -math.inf, 2**64 - 1, -(2**63), 1e308, -1e308, 5e-324, True, math.nan]
    samples = [(at, value, GOOD) for at, value in enumerate([*values, *reversed(values)])]
    for page in (1, 100):
        assert len(results(aggregate, samples, 0, 18, 4, page=page)) == 5


def test_later_samples_are_not_needed_once_complete() -> None:
    aggregation = Aggregation(A.COUNT, STRICT, start=ticks(0), end=ticks(5), interval=0)
    assert not aggregation.complete
    assert len(list(aggregation.feed(columns(RAMP)))) == 1
    assert aggregation.complete
    assert list(aggregation.finish()) == []
