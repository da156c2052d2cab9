"""Raw history by tag: a `History` over one function that answers a request."""

from __future__ import annotations

from collections.abc import Awaitable, Callable

from node.historian.history import Columns, Page, Position, Seeks, interval
from node.historian.store.reader import Request


class RawHistory(Seeks):
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
