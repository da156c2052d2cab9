"""Time-weighted aggregates over simple bounds: TimeAverage2, Total2, the durations and the percentages.

A region is the stretch from one sample (or edge) to the next. Its quality is that of what it starts with; on a line it
is at best Uncertain when its end is not Good, and the value is held when its end is no value (5.4.3.2.2).
"""

from __future__ import annotations

from itertools import islice
from operator import add, mul, sub

from address_space.model import TICKS_PER_MS, TICKS_PER_S, Value
from node.historian.aggregates.bound import Bound
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import NO_DATA, Fold, Outcome, share_status
from node.historian.aggregates.page import BAD_QUALITY, GOOD_QUALITY, UNCERTAIN_QUALITY, Page
from node.historian.aggregates.result import CALCULATED, GOOD, is_bad, with_bits


class Regions(Fold):
    """Adds up how long the data were Good, Uncertain and Bad."""

    bounded = True

    def __init__(self, configuration: Configuration, *, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self.stepped = configuration.stepped

    def begin(self, bound: Bound) -> None:
        """The first region starts at the bound."""
        self.durations = [0, 0, 0]  # ticks by quality
        self._ticks = self.interval.early
        self._value = bound.value
        self._quality = bound.quality
        self._holds = bound.holds

    def add(self, page: Page, low: int, high: int) -> None:
        """Close a region at each sample; runs of Good samples at once."""
        while low < high:
            until = page.good_until(low, high)
            self._step(page.ticks[low], page.values[low], page.quality(low))
            if until - low > 1:
                self.durations[GOOD_QUALITY] += page.ticks[until - 1] - page.ticks[low]
                self.run(page, low, until)
                self._ticks, self._value = page.ticks[until - 1], page.values[until - 1]
                low = until
            else:
                low += 1

    def _step(self, ticks: int, value: Value | None, quality: int) -> None:
        self.end_region(ticks, value, quality)
        self._ticks, self._value, self._quality = ticks, value, quality
        self._holds = quality <= self.usable

    def end_region(self, ticks: int, value: Value | None, quality: int) -> None:
        """End the region that is open at a sample or bound."""
        duration = ticks - self._ticks
        if not self._holds:
            self.durations[self.without_value(self._quality)] += duration
            return
        final = self._value
        region = self._quality
        if not self.stepped:
            region = max(region, quality if quality <= self.usable else UNCERTAIN_QUALITY)
            final = value if quality <= self.usable else final
        self.durations[region] += duration
        self.region(duration, self._value, final, region)

    def without_value(self, quality: int) -> int:
        """Quality of a region that has no usable value, by that of its start."""
        return BAD_QUALITY

    def region(self, duration: int, first: Value | None, final: Value | None, quality: int) -> None:
        """Use a region with a value from `first` to `final` (equal when it is held)."""

    def run(self, page: Page, low: int, high: int) -> None:
        """Use the regions between the Good samples [low, high), at least two."""

    def share_status(self) -> int:
        """Status by the durations; Uncertain counts as the configuration says."""
        good, uncertain, bad = self.durations
        if self.configuration.treat_uncertain_as_bad:
            bad += uncertain
        else:
            good += uncertain
        return share_status(good, bad, sum(self.durations), self.configuration)


class WeightedMean(Regions):
    """TimeAverage2 (5.4.3.7), or with `total` the integral over seconds, Total2 (5.4.3.9)."""

    def __init__(self, configuration: Configuration, *, total: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._total = total

    def begin(self, bound: Bound) -> None:
        """From zero."""
        super().begin(bound)
        self._area: float = 0  # value times ticks, twice
        self._valued = 0

    def region(self, duration: int, first: Value | None, final: Value | None, quality: int) -> None:
        """A trapezium."""
        self._area += (first + final) * duration  # type: ignore[operator]  # numbers: text was refused
        self._valued += duration

    def run(self, page: Page, low: int, high: int) -> None:
        """Many trapezia."""
        self._area += twice_area(page, low, high, stepped=self.stepped)
        self._valued += page.ticks[high - 1] - page.ticks[low]

    def close(self, late: int, bound: Bound) -> Outcome:
        """No stretch with a value is no data."""
        self.end_region(late, bound.value, bound.quality)
        if not self._valued:
            return NO_DATA
        status = self.share_status()
        value = self._area / 2 / (TICKS_PER_S if self._total else self._valued)
        return Outcome(None if is_bad(status) else value, with_bits(status, CALCULATED))


def twice_area(page: Page, low: int, high: int, *, stepped: bool) -> float:
    """Twice the integral over ticks from sample `low` to sample `high` - 1, all of them numbers."""
    times = page.ticks[low:high]
    durations = map(sub, islice(times, 1, None), times)
    values = page.values[low:high]
    if stepped:
        held: float = sum(map(mul, values, durations))
        return 2 * held
    area: float = sum(map(mul, map(add, values, islice(values, 1, None)), durations))
    return area


class States(Regions):
    """Regions whose value is held whatever Stepped says: a state lasts until the next sample."""

    def __init__(self, configuration: Configuration, *, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self.stepped = True

    def begin(self, bound: Bound) -> None:
        """Remember whether a sample lies at the edge."""
        super().begin(bound)
        self._exact = bound.exact

    def without_value(self, quality: int) -> int:
        """An interpolated Uncertain bound stays Uncertain: no sample there is to be treated as Bad."""
        at_edge = self._ticks == self.interval.early and not self._exact
        return quality if at_edge else BAD_QUALITY


class DurationInState(States):
    """How long, in ms, the value was zero, or was not, and Good (5.4.3.22, 5.4.3.23)."""

    def __init__(self, configuration: Configuration, *, zero: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._zero = zero

    def begin(self, bound: Bound) -> None:
        """From zero."""
        super().begin(bound)
        self._duration = 0

    def region(self, duration: int, first: Value | None, final: Value | None, quality: int) -> None:
        """Only Good stretches count."""
        if quality == GOOD_QUALITY and (first == 0) is self._zero:
            self._duration += duration

    def run(self, page: Page, low: int, high: int) -> None:
        """The last sample's own stretch is not over yet."""
        ticks, values = page.ticks, page.values
        zero = sum([ticks[i + 1] - ticks[i] for i in range(low, high - 1) if values[i] == 0])
        self._duration += zero if self._zero else ticks[high - 1] - ticks[low] - zero

    def close(self, late: int, bound: Bound) -> Outcome:
        """Status by the durations."""
        self.end_region(late, bound.value, bound.quality)
        status = self.share_status()
        value = None if is_bad(status) else self._duration / TICKS_PER_MS
        return Outcome(value, with_bits(status, CALCULATED))


class DurationOfQuality(States):
    """DurationGood, DurationBad (ms), PercentGood and PercentBad (5.4.3.31 to 5.4.3.34); always Good."""

    numeric = False

    def __init__(self, configuration: Configuration, quality: int, *, percent: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._asked = quality
        self._percent = percent

    def close(self, late: int, bound: Bound) -> Outcome:
        """A percentage is of the stretch in which there were data."""
        self.end_region(late, bound.value, bound.quality)
        duration = self.durations[self._asked]
        value = 100 * duration / (sum(self.durations) or 1) if self._percent else duration / TICKS_PER_MS
        return Outcome(value, with_bits(GOOD, CALCULATED))
