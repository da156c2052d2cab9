"""Aggregates that count raw samples: Average, Count, NumberOfTransitions, AnnotationCount, WorstQuality, deviations."""

from __future__ import annotations

from bisect import bisect_left, bisect_right
from collections.abc import Sequence
from itertools import islice, repeat
from math import sqrt
from operator import ne, sub

from address_space.model import Value
from node.historian.aggregates.bound import Bound
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import NO_DATA, Fold, Outcome, share_status
from node.historian.aggregates.page import BAD_QUALITY, Page
from node.historian.aggregates.result import (
    CALCULATED,
    GOOD,
    MULTI_VALUE,
    UNCERTAIN_DATA_SUB_NORMAL,
    code,
    is_bad,
    with_bits,
)


class Tally(Fold):
    """Counts samples by quality; the status follows from the counts."""

    def begin(self, bound: Bound) -> None:
        """Count from zero."""
        self.good = self.uncertain = self.bad = 0

    def add(self, page: Page, low: int, high: int) -> None:
        """Count, and hand on the Good values."""
        flaws = page.flaws_within(low, high)
        bad = sum(page.qualities[index] == BAD_QUALITY for index in flaws)
        self.bad += bad
        self.uncertain += len(flaws) - bad
        self.good += high - low - len(flaws)
        if not flaws:
            self.take(page.values[low:high])
        elif len(flaws) < high - low:
            self.take([page.values[index] for index in range(low, high) if index not in page.qualities])

    def take(self, values: list[Value | None]) -> None:
        """Use Good values, at least one."""

    def share_status(self) -> int:
        """Status by the counts; what is Uncertain is never Good here, and Bad if it is to be treated so."""
        bad = self.bad + (self.uncertain if self.configuration.treat_uncertain_as_bad else 0)
        return share_status(self.good, bad, self.good + self.uncertain + self.bad, self.configuration)

    def counted(self, count: int) -> Outcome:
        """An outcome whose status is Calculated unless it is Bad."""
        status = self.share_status()
        return Outcome(None, status) if is_bad(status) else Outcome(count, with_bits(status, CALCULATED))


class Average(Tally):
    """Mean of the Good samples, each of the same weight (5.4.3.5)."""

    marks_partial = False

    def begin(self, bound: Bound) -> None:
        """Sum from zero."""
        super().begin(bound)
        self.total: float = 0

    def take(self, values: list[Value | None]) -> None:
        """Add them up."""
        self.total += sum(values)  # type: ignore[arg-type]  # numbers: text was refused, None is not Good

    def close(self, late: int, bound: Bound) -> Outcome:
        """No Good sample is no data."""
        if not self.good:
            return NO_DATA
        status = self.share_status()
        return Outcome(None if is_bad(status) else self.total / self.good, with_bits(status, CALCULATED))


class Count(Tally):
    """How many samples are Good (5.4.3.21)."""

    numeric = False

    def close(self, late: int, bound: Bound) -> Outcome:
        """None at all is a count too."""
        return self.counted(self.good)


class NumberOfTransitions(Tally):
    """How often the value changed, the very first value included (5.4.3.24)."""

    numeric = False
    usable_before = 1

    def __init__(self, configuration: Configuration, *, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._last: Value | None = None
        self._count = 0

    def context(self, page: Page, low: int, high: int) -> None:
        """The newest usable value before the first interval is what the first sample is compared with."""
        self._follow(page, low, high)

    def begin(self, bound: Bound) -> None:
        """Count from zero, going on from the value before."""
        super().begin(bound)
        self._count = 0

    def add(self, page: Page, low: int, high: int) -> None:
        """Compare each usable value with the usable one before it."""
        super().add(page, low, high)
        self._follow(page, low, high)

    def _follow(self, page: Page, low: int, high: int) -> None:
        values = page.values[low:high]
        if page.flaws_within(low, high):
            values = [page.values[index] for index in range(low, high) if page.quality(index) <= self.usable]
        if values:
            self._count += (values[0] != self._last) + sum(map(ne, values, islice(values, 1, None)))
            self._last = values[-1]

    def close(self, late: int, bound: Bound) -> Outcome:
        """Status by the counts of samples."""
        return self.counted(self._count)


class AnnotationCount(Fold):
    """How many annotations lie in the interval (5.4.3.20); without a list of them, how many raw samples."""

    numeric = False

    def __init__(self, configuration: Configuration, times: Sequence[int] | None, *, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._times = times

    def begin(self, bound: Bound) -> None:
        """Count from zero."""
        self._count = 0
        if self._times is not None:
            cut = bisect_right if self.reverse else bisect_left
            self._count = cut(self._times, self.interval.late) - cut(self._times, self.interval.early)

    def add(self, page: Page, low: int, high: int) -> None:
        """A raw sample stands for its annotation where none are listed."""
        if self._times is None:
            self._count += high - low

    def close(self, late: int, bound: Bound) -> Outcome:
        """Always Good."""
        return Outcome(self._count, with_bits(GOOD, CALCULATED))


class WorstQuality(Fold):
    """The worst status of the raw samples (5.4.3.35), or of them and the simple bounds (5.4.3.36)."""

    numeric = False

    def __init__(self, configuration: Configuration, *, bounds: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self.bounded = bounds

    def begin(self, bound: Bound) -> None:
        """Nothing was seen yet but the bound."""
        self._worst = GOOD
        self._number = 0  # samples of the worst severity
        self._seen = False
        if self.bounded:
            self._see(bound.status)

    def _see(self, status: int) -> None:
        self._seen = True
        severity, worst = status >> 30, self._worst >> 30
        if severity > worst:
            self._worst, self._number = code(status), 1
        elif severity == worst:
            self._number += 1

    def add(self, page: Page, low: int, high: int) -> None:
        """Look at what is not Good."""
        self._seen = True
        for index in page.flaws_within(low, high):
            self._see(page.statuses[index])

    def close(self, late: int, bound: Bound) -> Outcome:
        """The first of the worst; several of them set MultiValue."""
        if self.bounded:
            self._see(bound.status)
        if not self._seen:
            return NO_DATA
        several = MULTI_VALUE if self._worst and self._number > 1 else 0
        return Outcome(self._worst, with_bits(GOOD, CALCULATED | several))


class Deviation(Tally):
    """Standard deviation or variance of the Good samples: of a sample (n - 1), or a population (5.4.3.37 to 40)."""

    def __init__(self, configuration: Configuration, *, sample: bool, root: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._freedom = 1 if sample else 0
        self._root = root

    def begin(self, bound: Bound) -> None:
        """From zero."""
        super().begin(bound)
        self._number = 0
        self._mean = self._squares = 0.0

    def take(self, values: list[Value | None]) -> None:
        """Join the moments of these values to those so far, without the cancellation of sums of squares."""
        number = len(values)
        mean: float = sum(values) / number  # type: ignore[arg-type]  # numbers: text was refused, None is not Good
        apart = map(sub, values, repeat(mean))
        squares = sum([each * each for each in apart])
        both = self._number + number
        shift = mean - self._mean
        self._squares += squares + shift * shift * self._number * number / both
        self._mean += shift * number / both
        self._number = both

    def close(self, late: int, bound: Bound) -> Outcome:
        """One Good sample deviates by 0; whatever is not Good makes it Uncertain."""
        if not self.good:
            return NO_DATA
        variance = self._squares / max(1, self.good - self._freedom)
        status = UNCERTAIN_DATA_SUB_NORMAL if self.uncertain or self.bad else GOOD
        return Outcome(sqrt(variance) if self._root else variance, with_bits(status, CALCULATED))
