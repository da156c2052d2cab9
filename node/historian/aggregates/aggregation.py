"""The engine: one aggregate over the samples of one tag."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from typing import Final

from node.historian.aggregates.aggregate import Aggregate
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.counting import (
    AnnotationCount,
    Average,
    Count,
    Deviation,
    NumberOfTransitions,
    WorstQuality,
)
from node.historian.aggregates.edges import BoundEdge, BoundKind, Delta, RawEdge
from node.historian.aggregates.extremes import BoundedExtreme, Kind, RawExtreme
from node.historian.aggregates.fold import Fold
from node.historian.aggregates.integral import IntegralWalk
from node.historian.aggregates.interpolation import InterpolationWalk
from node.historian.aggregates.intervals import Intervals
from node.historian.aggregates.page import BAD_QUALITY, GOOD_QUALITY
from node.historian.aggregates.regions import DurationInState, DurationOfQuality, WeightedMean
from node.historian.aggregates.result import Result
from node.historian.aggregates.walk import FoldWalk, Walk
from node.historian.history import Columns

A = Aggregate
Build = Callable[[Configuration, bool], Fold]

_FOLDS: Final[Mapping[Aggregate, Build]] = {
    A.AVERAGE: lambda c, r: Average(c, reverse=r),
    A.TIME_AVERAGE_2: lambda c, r: WeightedMean(c, total=False, reverse=r),
    A.TOTAL_2: lambda c, r: WeightedMean(c, total=True, reverse=r),
    A.MINIMUM: lambda c, r: RawExtreme(c, Kind.MINIMUM, actual_time=False, reverse=r),
    A.MAXIMUM: lambda c, r: RawExtreme(c, Kind.MAXIMUM, actual_time=False, reverse=r),
    A.MINIMUM_ACTUAL_TIME: lambda c, r: RawExtreme(c, Kind.MINIMUM, actual_time=True, reverse=r),
    A.MAXIMUM_ACTUAL_TIME: lambda c, r: RawExtreme(c, Kind.MAXIMUM, actual_time=True, reverse=r),
    A.RANGE: lambda c, r: RawExtreme(c, Kind.RANGE, actual_time=False, reverse=r),
    A.MINIMUM_2: lambda c, r: BoundedExtreme(c, Kind.MINIMUM, actual_time=False, reverse=r),
    A.MAXIMUM_2: lambda c, r: BoundedExtreme(c, Kind.MAXIMUM, actual_time=False, reverse=r),
    A.MINIMUM_ACTUAL_TIME_2: lambda c, r: BoundedExtreme(c, Kind.MINIMUM, actual_time=True, reverse=r),
    A.MAXIMUM_ACTUAL_TIME_2: lambda c, r: BoundedExtreme(c, Kind.MAXIMUM, actual_time=True, reverse=r),
    A.RANGE_2: lambda c, r: BoundedExtreme(c, Kind.RANGE, actual_time=False, reverse=r),
    A.COUNT: lambda c, r: Count(c, reverse=r),
    A.DURATION_IN_STATE_ZERO: lambda c, r: DurationInState(c, zero=True, reverse=r),
    A.DURATION_IN_STATE_NON_ZERO: lambda c, r: DurationInState(c, zero=False, reverse=r),
    A.NUMBER_OF_TRANSITIONS: lambda c, r: NumberOfTransitions(c, reverse=r),
    A.START: lambda c, r: RawEdge(c, newest=False, reverse=r),
    A.END: lambda c, r: RawEdge(c, newest=True, reverse=r),
    A.DELTA: lambda c, r: Delta(c, reverse=r),
    A.START_BOUND: lambda c, r: BoundEdge(c, BoundKind.START, reverse=r),
    A.END_BOUND: lambda c, r: BoundEdge(c, BoundKind.END, reverse=r),
    A.DELTA_BOUNDS: lambda c, r: BoundEdge(c, BoundKind.DELTA, reverse=r),
    A.DURATION_GOOD: lambda c, r: DurationOfQuality(c, GOOD_QUALITY, percent=False, reverse=r),
    A.DURATION_BAD: lambda c, r: DurationOfQuality(c, BAD_QUALITY, percent=False, reverse=r),
    A.PERCENT_GOOD: lambda c, r: DurationOfQuality(c, GOOD_QUALITY, percent=True, reverse=r),
    A.PERCENT_BAD: lambda c, r: DurationOfQuality(c, BAD_QUALITY, percent=True, reverse=r),
    A.WORST_QUALITY: lambda c, r: WorstQuality(c, bounds=False, reverse=r),
    A.WORST_QUALITY_2: lambda c, r: WorstQuality(c, bounds=True, reverse=r),
    A.STANDARD_DEVIATION_SAMPLE: lambda c, r: Deviation(c, sample=True, root=True, reverse=r),
    A.STANDARD_DEVIATION_POPULATION: lambda c, r: Deviation(c, sample=False, root=True, reverse=r),
    A.VARIANCE_SAMPLE: lambda c, r: Deviation(c, sample=True, root=False, reverse=r),
    A.VARIANCE_POPULATION: lambda c, r: Deviation(c, sample=False, root=False, reverse=r),
}


class Aggregation:
    """One aggregate from `start` to `end` by `interval` (ticks; 0 is one interval); `end` may lie before `start`.

    Feed the samples in ascending order, one per time, in pages of any size: first what lies before the range (what
    `samples_before` of lookaround.py gives for `usable_before`), then the samples of the range, then later ones until
    `complete` or until there are none; then `finish`. Results come in order of time, also in reverse.
    Memory is constant, whatever the number of samples.
    Raises RequestRefused; `feed` raises InvalidInputs.
    """

    def __init__(
        self,
        aggregate: Aggregate,
        configuration: Configuration,
        *,
        start: int,
        end: int,
        interval: int,
        annotations: Sequence[int] | None = None,
    ) -> None:
        self.configuration = configuration
        self.intervals = Intervals(start, end, interval)
        self._walk = _walk(aggregate, configuration, self.intervals, annotations)

    @property
    def usable_before(self) -> int:
        """How many usable samples from before the range can matter, 0 to 2."""
        return self._walk.usable_before

    @property
    def complete(self) -> bool:
        """Whether every result was given: later samples change nothing."""
        return self._walk.complete

    def feed(self, columns: Columns) -> Iterator[Result]:
        """Take samples and give what they complete; exhaust the iterator before the next call."""
        return self._walk.feed(columns)

    def finish(self) -> Iterator[Result]:
        """Give what is still open: no later samples exist."""
        return self._walk.finish()


def _walk(
    aggregate: Aggregate, configuration: Configuration, intervals: Intervals, annotations: Sequence[int] | None
) -> Walk:
    if aggregate is A.INTERPOLATIVE:
        return InterpolationWalk(intervals, configuration)
    if aggregate in {A.TIME_AVERAGE, A.TOTAL}:
        return IntegralWalk(intervals, configuration, total=aggregate is A.TOTAL)
    if aggregate is A.ANNOTATION_COUNT:
        fold: Fold = AnnotationCount(configuration, annotations, reverse=intervals.reverse)
    else:
        fold = _FOLDS[aggregate](configuration, intervals.reverse)
    return FoldWalk(intervals, configuration, fold)
