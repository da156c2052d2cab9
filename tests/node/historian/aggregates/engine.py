"""Runs the engine over samples written as (seconds, value, status), and shows results the same way."""

from collections.abc import Sequence

from address_space.model import TICKS_PER_S, Value
from node.historian.aggregates import Aggregate, Aggregation, Configuration, Result
from node.historian.history import Columns
from tests.fake_clock import START

GOOD, UNCERTAIN, BAD = 0, 0x4000_0000, 0x8000_0000
SUB_NORMAL, NO_DATA = 0x40A4_0000, 0x809B_0000
CALCULATED, INTERPOLATED, PARTIAL, MULTI = 0x401, 0x402, 0x404, 0x410

Sample = tuple[float, Value | None, int]
LENIENT = Configuration(treat_uncertain_as_bad=False)


def ticks(seconds: float) -> int:
    return START + round(seconds * TICKS_PER_S)


def columns(samples: Sequence[Sample]) -> Columns:
    result = Columns()
    for seconds, value, status in samples:
        result.append(ticks(seconds), value, status)
    return result


def good(*samples: tuple[float, Value]) -> list[Sample]:
    return [(seconds, value, GOOD) for seconds, value in samples]


def results(
    aggregate: Aggregate,
    samples: Sequence[Sample],
    start: float,
    end: float,
    interval: float = 0,
    *,
    configuration: Configuration = LENIENT,
    page: int = 1000,
    annotations: Sequence[float] | None = None,
) -> list[Result]:
    """Results in order of time."""
    aggregation = Aggregation(
        aggregate,
        configuration,
        start=ticks(start),
        end=ticks(end),
        interval=round(interval * TICKS_PER_S),
        annotations=None if annotations is None else [ticks(at) for at in annotations],
    )
    found = []
    for at in range(0, len(samples), page):
        found += aggregation.feed(columns(samples[at : at + page]))
    return [*found, *aggregation.finish()]


def shown(found: Sequence[Result]) -> list[Sample]:
    """Results as (seconds, value, status)."""
    return [((result.ticks - START) / TICKS_PER_S, result.value, result.status) for result in found]


def single(aggregate: Aggregate, samples: Sequence[Sample], start: float, end: float, **options: object) -> Sample:
    """The one result of an undivided range."""
    (result,) = shown(results(aggregate, samples, start, end, **options))  # type: ignore[arg-type]
    return result
