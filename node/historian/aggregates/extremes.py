"""Minimum, Maximum and Range of the Good raw samples, and their kin that look at the simple bounds too."""

from __future__ import annotations

from collections.abc import Callable
from enum import Enum
from typing import Any

from address_space.model import Value
from node.historian.aggregates.bound import Bound
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.fold import NO_DATA, Fold, Outcome
from node.historian.aggregates.page import GOOD_QUALITY, Page
from node.historian.aggregates.regions import Regions
from node.historian.aggregates.result import (
    CALCULATED,
    GOOD,
    INTERPOLATED,
    MULTI_VALUE,
    RESOLUTION,
    UNCERTAIN_DATA_SUB_NORMAL,
    is_bad,
    with_bits,
)


class Kind(Enum):
    """What is asked of the values."""

    MINIMUM = "minimum"
    MAXIMUM = "maximum"
    RANGE = "range"


class Extreme:
    """The smallest or greatest value so far, when it came first, and whether it came again."""

    def __init__(self, pick: Callable[..., Any]) -> None:
        self._pick = pick
        self.value: Value | None = None
        self.ticks = 0
        self.interpolated = False
        self.again = False

    def offer(self, value: Value | None, ticks: int, *, interpolated: bool = False) -> None:
        """Look at one value, not older than those before it."""
        if value is None:
            return
        if self.value is not None and value == self.value:
            self.again = True
        elif self.value is None or self._pick(value, self.value) == value:
            self.value, self.ticks, self.interpolated, self.again = value, ticks, interpolated, False

    def offer_run(self, page: Page, low: int, high: int) -> None:
        """Look at the samples [low, high), at least one, all of them with a value."""
        values = page.values[low:high]
        best = self._pick(values)
        self.offer(best, page.ticks[low + values.index(best)])
        if best == self.value and values.count(best) > 1:
            self.again = True


class Extremes:
    """Minimum and maximum at once."""

    def __init__(self) -> None:
        self.low = Extreme(min)
        self.high = Extreme(max)

    def offer(self, value: Value | None, ticks: int, *, interpolated: bool = False) -> None:
        """Look at one value."""
        self.low.offer(value, ticks, interpolated=interpolated)
        self.high.offer(value, ticks, interpolated=interpolated)

    def offer_run(self, page: Page, low: int, high: int) -> None:
        """Look at samples that all have a value."""
        self.low.offer_run(page, low, high)
        self.high.offer_run(page, low, high)

    @property
    def span(self) -> Value | None:
        """The greatest minus the smallest."""
        return self.high.value - self.low.value  # type: ignore[operator]  # numbers: text was refused


class RawExtreme(Fold):
    """Minimum, Maximum, Range, and the first two with the time of the sample (5.4.3.10 to 5.4.3.14)."""

    def __init__(self, configuration: Configuration, kind: Kind, *, actual_time: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._kind = kind
        self._actual_time = actual_time

    def begin(self, bound: Bound) -> None:
        """Nothing was seen yet."""
        self._extremes = Extremes()
        self._skipped = False

    def add(self, page: Page, low: int, high: int) -> None:
        """Good samples only; one that counts as Bad makes the outcome Uncertain."""
        while low < high:
            until = page.good_until(low, high)
            if until > low:
                self._extremes.offer_run(page, low, until)
                low = until
            else:
                self._skipped = self._skipped or page.quality(low) > self.usable
                low += 1

    def close(self, late: int, bound: Bound) -> Outcome:
        """No Good sample is no data."""
        extremes = self._extremes
        if extremes.low.value is None:
            return NO_DATA
        status = UNCERTAIN_DATA_SUB_NORMAL if self._skipped else GOOD
        if self._kind is Kind.RANGE:
            return Outcome(extremes.span, with_bits(status, CALCULATED))
        extreme = extremes.low if self._kind is Kind.MINIMUM else extremes.high
        bits = MULTI_VALUE if extreme.again else 0
        if self._actual_time:
            return Outcome(extreme.value, with_bits(status, bits), extreme.ticks)
        bits |= CALCULATED if extreme.ticks != self.start else 0
        return Outcome(extreme.value, with_bits(status, bits))


class BoundedExtreme(Regions):
    """Minimum2, Maximum2, Range2, and the first two with the actual time (5.4.3.15 to 5.4.3.19)."""

    def __init__(self, configuration: Configuration, kind: Kind, *, actual_time: bool, reverse: bool) -> None:
        super().__init__(configuration, reverse=reverse)
        self._kind = kind
        self._actual_time = actual_time

    def begin(self, bound: Bound) -> None:
        """The bound is the first candidate."""
        super().begin(bound)
        self._extremes = Extremes()
        self._offer_bound(bound, self.interval.early)

    def _offer_bound(self, bound: Bound, ticks: int) -> None:
        if bound.quality <= self.usable:
            self._extremes.offer(bound.source_value, ticks, interpolated=not bound.exact)

    def add(self, page: Page, low: int, high: int) -> None:
        """Every usable sample is a candidate."""
        super().add(page, low, high)
        while low < high:
            until = page.good_until(low, high)
            if until > low:
                self._extremes.offer_run(page, low, until)
                low = until
            else:
                if GOOD_QUALITY < page.quality(low) <= self.usable:
                    self._extremes.offer(page.values[low], page.ticks[low])
                low += 1

    def close(self, late: int, bound: Bound) -> Outcome:
        """A held value does not reach the edge behind which the next sample lies."""
        self.end_region(late, bound.value, bound.quality)
        if not self.stepped or (self.reverse and bound.exact):
            self._offer_bound(bound, late)
        extremes = self._extremes
        if extremes.low.value is None:
            return NO_DATA
        status = self.share_status()
        if is_bad(status):
            return Outcome(None, status)
        if self._kind is Kind.RANGE:
            return Outcome(extremes.span, with_bits(status, CALCULATED))
        return self._extreme(extremes.low if self._kind is Kind.MINIMUM else extremes.high, status)

    def _extreme(self, extreme: Extreme, status: int) -> Outcome:
        bits = MULTI_VALUE if extreme.again else 0
        if self._actual_time:
            ticks, at_open_edge = self._effective(extreme.ticks)
            bits |= INTERPOLATED if extreme.interpolated or at_open_edge else 0
            return Outcome(extreme.value, with_bits(status, bits), ticks)
        if extreme.interpolated:
            bits |= INTERPOLATED
        elif extreme.ticks != self.start:
            bits |= CALCULATED
        return Outcome(extreme.value, with_bits(status, bits))

    def _effective(self, ticks: int) -> tuple[int, bool]:
        """The time, moved into the interval when it is the edge that does not belong to it (3.1.3)."""
        if self.reverse and ticks == self.interval.early:
            return ticks + RESOLUTION, True
        if not self.reverse and ticks == self.interval.late:
            return ticks - RESOLUTION, True
        return ticks, False
