"""What history looks like to whoever reads it: samples as columns, pages, and the errors of reading.

HistoryError           history cannot answer
└── HistoryUnavailable   the disk or the file does not answer now: ask again later
"""

from __future__ import annotations

from array import array
from dataclasses import dataclass, field
from typing import Final, Protocol

from address_space.model import Value

# The times that ticks of 64 bits can say.
EARLIEST: Final = -(2**63)
LATEST: Final = 2**63 - 1


class HistoryError(Exception):
    """History cannot answer; the text says which file and why."""


class HistoryUnavailable(HistoryError):
    """The disk or the file does not answer now; what is there stays there."""


def _times() -> array[int]:
    return array("q")


def _codes() -> array[int]:
    return array("I")


@dataclass(frozen=True, slots=True)
class Columns:
    """Samples of one tag as columns of equal length, in the order in which they are to be read.

    `ticks` are source times (100 ns since 1601-01-01 UTC), `values[i]` is None for a sample without a value,
    `statuses` are OPC UA status codes.
    """

    ticks: array[int] = field(default_factory=_times)
    values: list[Value | None] = field(default_factory=list)
    statuses: array[int] = field(default_factory=_codes)

    def __len__(self) -> int:
        return len(self.ticks)

    def append(self, ticks: int, value: Value | None, status: int) -> None:
        """Add one sample at the end."""
        self.ticks.append(ticks)
        self.values.append(value)
        self.statuses.append(status)


@dataclass(frozen=True, slots=True)
class Position:
    """Where a read stopped: the time of the last sample that was given. A tag has one sample per time."""

    ticks: int


@dataclass(frozen=True, slots=True)
class Page:
    """One part of an answer; `next` is None exactly when nothing more lies in the interval."""

    columns: Columns
    next: Position | None


def interval(start: int | None, end: int | None, after: Position | None, *, reverse: bool) -> tuple[int, int]:
    """Lowest and highest time, both included, of a request whose start is included and whose end is not."""
    if reverse:
        low, high = (EARLIEST if end is None else end + 1), (LATEST if start is None else start)
        return low, high if after is None else min(high, after.ticks - 1)
    low, high = (EARLIEST if start is None else start), (LATEST if end is None else end - 1)
    return low if after is None else max(low, after.ticks + 1), high


class RawPages(Protocol):
    """Raw samples by tag, page by page."""

    async def raw(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> Page:
        """At most `limit` (1 or more) samples in the direction of travel: `start` included, `end` excluded.

        Forward travels from the lower time to the higher, `reverse` the other way; None is an open side. `after`
        goes on behind a page of the same request.
        """
        ...


class History(RawPages, Protocol):
    """Raw history by tag, the path of a point: "xw1.ac_power".

    Times are ticks. Every sample that was acknowledged is seen, and those that wait for their commit too. An unknown
    tag has no samples. All methods raise HistoryUnavailable.
    """

    async def before(self, tag: str, ticks: int) -> Columns:
        """The newest sample older than `ticks`; empty when there is none."""
        ...

    async def at_or_before(self, tag: str, ticks: int) -> Columns:
        """The newest sample not newer than `ticks`; empty when there is none."""
        ...

    async def after(self, tag: str, ticks: int) -> Columns:
        """The oldest sample newer than `ticks`; empty when there is none."""
        ...

    async def at_or_after(self, tag: str, ticks: int) -> Columns:
        """The oldest sample not older than `ticks`; empty when there is none."""
        ...

    async def start_of_archive(self, tag: str) -> int | None:
        """Time of the oldest sample; None when there is none."""
        ...


class Seeks(RawPages, Protocol):
    """The rest of a `History`, out of its raw pages."""

    async def before(self, tag: str, ticks: int) -> Columns:
        """See `History.before`."""
        return await self.at_or_before(tag, ticks - 1)

    async def at_or_before(self, tag: str, ticks: int) -> Columns:
        """See `History.at_or_before`."""
        return (await self.raw(tag, ticks, None, limit=1, reverse=True)).columns

    async def after(self, tag: str, ticks: int) -> Columns:
        """See `History.after`."""
        return await self.at_or_after(tag, ticks + 1)

    async def at_or_after(self, tag: str, ticks: int) -> Columns:
        """See `History.at_or_after`."""
        return (await self.raw(tag, ticks, None, limit=1)).columns

    async def start_of_archive(self, tag: str) -> int | None:
        """See `History.start_of_archive`."""
        oldest = (await self.raw(tag, None, None, limit=1)).columns
        return oldest.ticks[0] if oldest else None
