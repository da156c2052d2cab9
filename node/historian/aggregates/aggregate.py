"""The 37 standard aggregates by name, and the type of what each gives (OPC 10000-13 section 5.4.3)."""

from __future__ import annotations

from enum import Enum


class ResultType(Enum):
    """Type of a result's value on the wire."""

    SOURCE = "source"  # the type of the historized variable
    DOUBLE = "Double"
    DURATION = "Duration"  # Double, in ms
    INT32 = "Int32"
    STATUS_CODE = "StatusCode"  # the value is a status code as an int


class Aggregate(Enum):
    """A standard aggregate; the value is its BrowseName and the end of `AggregateFunction_...`."""

    INTERPOLATIVE = "Interpolative"
    AVERAGE = "Average"
    TIME_AVERAGE = "TimeAverage"
    TIME_AVERAGE_2 = "TimeAverage2"
    TOTAL = "Total"
    TOTAL_2 = "Total2"
    MINIMUM = "Minimum"
    MAXIMUM = "Maximum"
    MINIMUM_ACTUAL_TIME = "MinimumActualTime"
    MAXIMUM_ACTUAL_TIME = "MaximumActualTime"
    RANGE = "Range"
    MINIMUM_2 = "Minimum2"
    MAXIMUM_2 = "Maximum2"
    MINIMUM_ACTUAL_TIME_2 = "MinimumActualTime2"
    MAXIMUM_ACTUAL_TIME_2 = "MaximumActualTime2"
    RANGE_2 = "Range2"
    ANNOTATION_COUNT = "AnnotationCount"
    COUNT = "Count"
    DURATION_IN_STATE_ZERO = "DurationInStateZero"
    DURATION_IN_STATE_NON_ZERO = "DurationInStateNonZero"
    NUMBER_OF_TRANSITIONS = "NumberOfTransitions"
    START = "Start"
    END = "End"
    DELTA = "Delta"
    START_BOUND = "StartBound"
    END_BOUND = "EndBound"
    DELTA_BOUNDS = "DeltaBounds"
    DURATION_GOOD = "DurationGood"
    DURATION_BAD = "DurationBad"
    PERCENT_GOOD = "PercentGood"
    PERCENT_BAD = "PercentBad"
    WORST_QUALITY = "WorstQuality"
    WORST_QUALITY_2 = "WorstQuality2"
    STANDARD_DEVIATION_SAMPLE = "StandardDeviationSample"
    STANDARD_DEVIATION_POPULATION = "StandardDeviationPopulation"
    VARIANCE_SAMPLE = "VarianceSample"
    VARIANCE_POPULATION = "VariancePopulation"

    @property
    def result_type(self) -> ResultType:
        """Type of the results' values; a Bad result has none."""
        return _RESULT_TYPES.get(self, ResultType.DOUBLE)

    @property
    def is_over_time(self) -> bool:
        """Whether it asks how long a value held, so that a sample which says the same once more changes nothing."""
        return self in _OVER_TIME


_OVER_TIME = frozenset(
    {
        Aggregate.INTERPOLATIVE,
        Aggregate.TIME_AVERAGE,
        Aggregate.TIME_AVERAGE_2,
        Aggregate.TOTAL,
        Aggregate.TOTAL_2,
        Aggregate.MINIMUM_2,
        Aggregate.MAXIMUM_2,
        Aggregate.RANGE_2,
        Aggregate.DURATION_IN_STATE_ZERO,
        Aggregate.DURATION_IN_STATE_NON_ZERO,
        Aggregate.START_BOUND,
        Aggregate.END_BOUND,
        Aggregate.DELTA_BOUNDS,
        Aggregate.DURATION_GOOD,
        Aggregate.DURATION_BAD,
        Aggregate.PERCENT_GOOD,
        Aggregate.PERCENT_BAD,
        Aggregate.WORST_QUALITY_2,
    }
)

_RESULT_TYPES = {
    Aggregate.INTERPOLATIVE: ResultType.SOURCE,
    Aggregate.MINIMUM: ResultType.SOURCE,
    Aggregate.MAXIMUM: ResultType.SOURCE,
    Aggregate.MINIMUM_ACTUAL_TIME: ResultType.SOURCE,
    Aggregate.MAXIMUM_ACTUAL_TIME: ResultType.SOURCE,
    Aggregate.RANGE: ResultType.SOURCE,
    Aggregate.MINIMUM_2: ResultType.SOURCE,
    Aggregate.MAXIMUM_2: ResultType.SOURCE,
    Aggregate.MINIMUM_ACTUAL_TIME_2: ResultType.SOURCE,
    Aggregate.MAXIMUM_ACTUAL_TIME_2: ResultType.SOURCE,
    Aggregate.RANGE_2: ResultType.SOURCE,
    Aggregate.ANNOTATION_COUNT: ResultType.INT32,
    Aggregate.COUNT: ResultType.INT32,
    Aggregate.NUMBER_OF_TRANSITIONS: ResultType.INT32,
    Aggregate.DURATION_IN_STATE_ZERO: ResultType.DURATION,
    Aggregate.DURATION_IN_STATE_NON_ZERO: ResultType.DURATION,
    Aggregate.START: ResultType.SOURCE,
    Aggregate.END: ResultType.SOURCE,
    Aggregate.DELTA: ResultType.SOURCE,
    Aggregate.START_BOUND: ResultType.SOURCE,
    Aggregate.END_BOUND: ResultType.SOURCE,
    Aggregate.DELTA_BOUNDS: ResultType.SOURCE,
    Aggregate.DURATION_GOOD: ResultType.DURATION,
    Aggregate.DURATION_BAD: ResultType.DURATION,
    Aggregate.WORST_QUALITY: ResultType.STATUS_CODE,
    Aggregate.WORST_QUALITY_2: ResultType.STATUS_CODE,
}
