"""What `gridnode history` is asked for, out of its options."""

from __future__ import annotations

from collections.abc import AsyncIterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Final

from address_space.model import TICKS_PER_MS, ticks_from_datetime
from drivers.duration import duration_s
from node.cli.history_source import Source
from node.cli.times import moment, period
from node.client_reading import Reading
from node.historian.aggregates import Aggregate

# Aggregates whose results are in the unit of the point; the others count, or give ms, percent or states.
_OWN_UNIT: Final = ("Interp", "Average", "TimeAverage", "Min", "Max", "Range", "Start", "End", "Delta", "StandardDev")


@dataclass(frozen=True, slots=True)
class HistoryRequest:
    """What is read of each point: raw samples, an aggregate, or values at `times`. Times and `interval` are ticks."""

    start: int
    end: int
    aggregate: Aggregate | None = None
    interval: int = 0
    times: Sequence[int] = ()

    def readings(self, source: Source, path: str) -> AsyncIterator[Reading]:
        """History of a point."""
        if self.times:
            return source.at_time(path, self.times)
        if self.aggregate is not None:
            return source.processed(path, self.aggregate, self.start, self.end, self.interval)
        return self._raw(source, path)

    async def _raw(self, source: Source, path: str) -> AsyncIterator[Reading]:
        async for reading in source.raw(path, self.start, self.end):
            if reading.ticks is not None and reading.ticks <= self.end:
                yield reading

    @property
    def has_units(self) -> bool:
        """Whether values are in the unit of the point, or are its states."""
        return self.aggregate is None or self.aggregate.value.startswith(_OWN_UNIT)


def requested(
    last: str | None, start: str | None, end: str | None, name: str | None, interval: str | None, at: Sequence[str]
) -> HistoryRequest:
    """The request of these options. Raises ValueError, which says what does not fit."""
    if at:
        if any(each is not None for each in (last, start, end, name, interval)):
            raise ValueError("--at stands alone: it asks for values at times, not over a period")
        times = [ticks_from_datetime(moment(text)) for text in at]
        return HistoryRequest(min(times), max(times), times=times)
    if interval is not None and name is None:
        raise ValueError("--interval needs --aggregate")
    since, until = period(last, start, end, datetime.now(UTC))
    step = 0 if interval is None else round(duration_s(interval) * 1000) * TICKS_PER_MS
    if interval is not None and step <= 0:
        raise ValueError("--interval is 1ms or longer")
    first = ticks_from_datetime(since)
    if step and start is None:
        first -= first % step  # whole intervals of UTC: 10:00, 10:10; what was said by --from stays as it is
    return HistoryRequest(first, ticks_from_datetime(until), _aggregate(name), step)


def _aggregate(name: str | None) -> Aggregate | None:
    if name is None:
        return None
    known = {aggregate.value.lower(): aggregate for aggregate in Aggregate}
    found = known.get(name.lower())
    if found is None:
        raise ValueError(f"there is no aggregate {name!r}; there is {', '.join(one.value for one in Aggregate)}")
    return found
