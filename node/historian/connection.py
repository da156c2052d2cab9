"""A connection to SQLite on a thread of its own, where one hop does a whole piece of work."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from typing import TypeVar

import aiosqlite

T = TypeVar("T")


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
        await connection
        return connection

    async def run(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of `work` on the connection's thread, or what it raises."""
        result: T = await self._execute(work, self._conn)  # type: ignore[no-untyped-call]
        return result
