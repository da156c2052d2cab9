"""What an aggregate does with the samples of one interval, piece by piece."""

from __future__ import annotations

from typing import NamedTuple

from address_space.model import Value
from node.historian.aggregates.bound import Bound, worst_usable
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.intervals import Interval
from node.historian.aggregates.page import Page
from node.historian.aggregates.result import BAD, BAD_NO_DATA, GOOD, UNCERTAIN_DATA_SUB_NORMAL


class Outcome(NamedTuple):
    """Value and status of an interval; `ticks` is None for a result that carries the time of the interval's start."""

    value: Value | None
    status: int
    ticks: int | None = None


NO_DATA = Outcome(None, BAD_NO_DATA)


class Fold:
    """Folds samples into one outcome per interval; memory does not grow with the samples.

    A bounded fold gets the bounds at both edges and the samples strictly between them; another one gets the samples of
    the interval and bounds that say nothing.
    """

    bounded = False
    marks_partial = True
    numeric = True  # text is refused
    usable_before = 0  # how many usable samples before the first interval it wants to see

    def __init__(self, configuration: Configuration, *, reverse: bool) -> None:
        self.configuration = configuration
        self.reverse = reverse
        self.usable = worst_usable(configuration)
        self.interval = Interval(0, 0, short=False)

    def context(self, page: Page, low: int, high: int) -> None:
        """See samples [low, high) that lie before the first interval."""

    def open(self, interval: Interval, bound: Bound) -> None:
        """Start an interval; `bound` is the one at its early edge."""
        self.interval = interval
        self.begin(bound)

    def begin(self, bound: Bound) -> None:
        """Forget the interval before; what `open` leaves to each fold."""
        raise NotImplementedError

    def add(self, page: Page, low: int, high: int) -> None:
        """Take samples [low, high) of the page."""
        raise NotImplementedError

    def close(self, late: int, bound: Bound) -> Outcome:
        """The outcome. `late` is where the data of the interval end, `bound` the one at its late edge."""
        raise NotImplementedError

    @property
    def start(self) -> int:
        """The time at which the interval starts in the direction of travel."""
        return self.interval.late if self.reverse else self.interval.early


def share_status(good: int, bad: int, total: int, configuration: Configuration) -> int:
    """Status from the shares of Good and Bad data (OPC 10000-13 section 5.4.3.2.1); nothing at all is Good."""
    if good * 100 >= configuration.percent_data_good * total:
        return GOOD
    if bad * 100 >= configuration.percent_data_bad * total:
        return BAD
    return UNCERTAIN_DATA_SUB_NORMAL
