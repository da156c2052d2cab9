"""A connection to SQLite on a thread of its own, where one hop does a whole piece of work."""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable
from typing import Final, Protocol, TypeVar

import aiosqlite

T = TypeVar("T")

_LAST_WORD_S: Final = 1.0  # it takes microseconds unless the disk hangs


class Connection(aiosqlite.Connection):
    """aiosqlite's connection and thread; `run` is one hop however many statements the work has.

    A hop per statement costs half of the samples per second.
    """

    def __init__(self, connector: Callable[[], sqlite3.Connection]) -> None:
        super().__init__(connector, iter_chunk_size=64)
        # A disk that hangs must not keep the process from ending.
        self._thread.daemon = True

    @classmethod
    async def opened(cls, connector: Callable[[], sqlite3.Connection]) -> Connection:
        """A connection whose `connector` has run on its thread; raises what that raises."""
        connection = cls(connector)
        try:
            await connection
        except BaseException:
            # aiosqlite has told the thread to end; it still needs the event loop for its last word.
            await asyncio.to_thread(connection.join, _LAST_WORD_S)
            raise
        return connection

    def join(self, within_s: float) -> None:
        """Wait for the end of the thread, on another one."""
        self._thread.join(within_s)

    async def end(self, within_s: float) -> bool:
        """Close the file once all that was asked for is done; False when that takes longer, it happens later then."""
        # `close` of aiosqlite cannot be given up while the disk hangs: cancelled, it waits on.
        ended = self.stop()
        if ended is None:
            return True
        done, _ = await asyncio.wait({ended}, timeout=within_s)
        return bool(done) and ended.exception() is None

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of `work` on the connection's thread, or what it raises."""
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return result


class Hop(Protocol):
    """Runs work on one of the connections of the journal; raises HistoryUnavailable."""

    async def __call__(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of the work."""
        ...
