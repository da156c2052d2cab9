"""Raw history by tag: a `History` over one function that answers a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable
from typing import Final

from node.historian.history import Columns, Page, Position
from node.historian.store.reader import Request

EARLIEST: Final = -(2**63)
LATEST: Final = 2**63 - 1


def interval(start: int | None, end: int | None, after: Position | None, *, reverse: bool) -> tuple[int, int]:
    """Lowest and highest time, both included, of a request whose start is included and whose end is not."""
    if reverse:
        low, high = (EARLIEST if end is None else end + 1), (LATEST if start is None else start)
        return low, high if after is None else min(high, after.ticks - 1)
    low, high = (EARLIEST if start is None else start), (LATEST if end is None else end - 1)
    return low if after is None else max(low, after.ticks + 1), high


class RawHistory:
    """The `History` of a journal."""

    def __init__(self, answer: Callable[[Request], Awaitable[Page]]) -> None:
        self._answer = answer

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
        """See `History.raw`."""
        low, high = interval(start, end, after, reverse=reverse)
        if low > high:
            return Page(Columns(), None)
        return await self._answer(Request(tag, low, high, limit, reverse))

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
