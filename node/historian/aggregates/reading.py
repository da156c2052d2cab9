"""Processed and at-time reads of one tag over its raw history: pages in, results out, memory constant."""

from __future__ import annotations

from collections.abc import AsyncIterator, Callable, Sequence

from node.historian.aggregates.aggregate import Aggregate
from node.historian.aggregates.configuration import Configuration
from node.historian.aggregates.result import Result
from node.historian.history import History


def _never() -> bool:
    return False


async def processed(
    history: History,
    tag: str,
    aggregate: Aggregate,
    *,
    start: int,
    end: int,
    interval: int,
    configuration: Configuration,
    annotations: Sequence[int] | None = None,
    cancelled: Callable[[], bool] = _never,
) -> AsyncIterator[Result]:
    """One result per interval, in the order of travel: ascending, or descending when `end` lies before `start`.

    Times and `interval` are ticks; interval 0 is one interval over everything, and the last may be shorter.
    `annotations` are the times of the tag's annotations, ascending, for AnnotationCount only; None counts every raw
    value as one, as the published examples do. `cancelled` is asked before every page.
    Raises RequestRefused, InvalidInputs, Cancelled, HistoryUnavailable.
    """
    raise NotImplementedError
    yield Result(0, None, 0)


async def at_time(
    history: History,
    tag: str,
    times: Sequence[int],
    *,
    configuration: Configuration,
    use_simple_bounds: bool = False,
    cancelled: Callable[[], bool] = _never,
) -> AsyncIterator[Result]:
    """One result per time (ticks), in the order of `times`: the raw sample there, or a bound (OPC 10000-11 6.5.5).

    Raises InvalidInputs, Cancelled, HistoryUnavailable.
    """
    raise NotImplementedError
    yield Result(0, None, 0)
