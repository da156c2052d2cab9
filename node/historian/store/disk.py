"""The journal's open file: one connection that writes and one that reads, each on a thread of its own.

Opening is tried again at every call; a file that is broken is moved aside and a new one begun. Knows nothing of what
is written or read.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from collections.abc import Collection
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final

from address_space.model import Clock
from node.historian.store.connection import Connection
from node.historian.store.damage import Damage
from node.historian.store.database import LOG_PAGES, WrongDatabase, is_corrupt, move_aside, open_reader, open_writer
from node.historian.store.mending import is_garbled, mend
from node.historian.store.salvage import Salvage, planned
from node.historian.store.writer import Writer

_LOG = logging.getLogger(__name__)

# At the end the last commit gets this long; the kernel kills a service after 90 s by default.
STOP_S: Final = 10.0
# With these the connections stay usable: the disk is full, or another program holds the file.
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Disk:
    """The connections to one file; None while it is not open."""

    def __init__(
        self, path: Path, tags: Collection[str], clock: Clock, damage: Damage, log_pages: int = LOG_PAGES
    ) -> None:
        """Touches no file yet. `tags` are those that this site records."""
        self.path = path
        self._log_pages = log_pages
        self._tags = tags
        self._clock = clock
        self._damage = damage
        self._began = False  # the file was opened once: what was lost later is known by itself
        self._lock = asyncio.Lock()
        self.writing: Connection | None = None
        self.reading: Connection | None = None
        self._writer: Writer | None = None
        self.mended = 0  # how many times rows were taken out
        self._salvages: list[Salvage] = []  # files that were moved aside, of which some may still be brought over

    async def opened(self) -> tuple[Writer, Connection]:
        """The open file; one that is broken is moved aside first. Raises WrongDatabase, sqlite3.Error, OSError."""
        async with self._lock:
            if self._writer is not None and self.writing is not None and self.reading is not None:
                return self._writer, self.writing
            await self._close()
            made: list[Writer] = []
            self.writing = await Connection.opened(partial(self._open, made))
            self._writer = made[0]
            self.reading = await Connection.opened(partial(open_reader, self.path))
            return self._writer, self.writing

    def _open(self, made: list[Writer]) -> sqlite3.Connection:
        try:
            writer = self._whole_writer()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._begin_anew(error)
            writer = self._whole_writer()
        self._began = True
        made.append(writer)
        return writer.connection

    def _plan(self, connection: sqlite3.Connection) -> None:
        """Know of what is to be brought over, from here or from the file, and note it there."""
        known = {salvage.path for salvage in self._salvages}
        self._salvages += [salvage for salvage in planned(connection, self.path) if salvage.path not in known]
        for salvage in self._salvages:
            salvage.plan(connection)

    @property
    def salvage(self) -> Salvage | None:
        """What is to be brought over next from a file that was moved aside."""
        return self._salvages[0] if self._salvages else None

    def salvaged(self, salvage: Salvage) -> None:
        """All of it is brought over."""
        self._salvages.remove(salvage)

    def _whole_writer(self) -> Writer:
        """The file with the mark that nobody recorded before; rows that hinder it are taken out."""
        try:
            return self._marked_writer()
        except (sqlite3.OperationalError, TypeError, OverflowError) as error:
            if not is_garbled(error):
                raise
        connection = open_writer(self.path, self._log_pages)
        try:
            self._mend(connection)
        finally:
            connection.close()
        return self._marked_writer()

    def _marked_writer(self) -> Writer:
        writer = Writer(self.path, self._log_pages)
        try:
            if not self._began:
                writer.mark_gap(self._tags, self._clock.now())
            self._plan(writer.connection)
        except BaseException:
            writer.connection.close()
            raise
        return writer

    def _mend(self, connection: sqlite3.Connection) -> int:
        count = mend(connection)
        self._damage.note_rows(count)
        return count

    async def mend(self) -> bool:
        """Take out rows that hold what none of ours can, after something failed as if it had met one.

        False when there was none. What the disk says meanwhile is dealt with as `after` does.
        """
        connection = self.writing
        if connection is None:
            return False
        try:
            mended = await connection.run(self._mend) > 0
        except (sqlite3.Error, ValueError) as error:
            await self.after(error, connection)
            return is_corrupt(error)
        if mended:
            self.mended += 1
            # A query that failed amid its rows may hold on to the state of the file before.
            async with self._lock:
                await self._close()
            with suppress(sqlite3.Error, OSError, WrongDatabase):  # the next commit says what is wrong
                await self.opened()
        return mended

    async def after(self, error: Exception, on: Connection | None = None) -> None:
        """Let go of a file that failed, so that the next call opens it anew; keep it where that helps nothing.

        `on` is the connection that said so: one that was closed meanwhile says nothing of the file that is open now.
        """
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
            return
        async with self._lock:
            if on is not None and on not in (self.reading, self.writing):
                return
            await self._close()
            if is_corrupt(error):
                try:
                    self._begin_anew(error)
                except OSError as second:
                    _LOG.debug("%s is broken and cannot be moved aside: %s", self.path, second)

    def _begin_anew(self, error: Exception) -> None:
        aside = move_aside(self.path, self._clock.now())
        _LOG.error("%s is broken (%s): moved to %s, a new journal begins", self.path, error, aside)
        self._salvages.append(Salvage(aside))

    async def close(self) -> None:
        """Close the file; takes a bounded time."""
        async with self._lock:
            await self._close()

    async def _close(self) -> None:
        connections = [c for c in (self.reading, self.writing) if c is not None]
        self.reading = self.writing = self._writer = None
        for connection in connections:
            if not await connection.end(STOP_S):
                _LOG.warning("%s was not closed: the disk does not answer", self.path)
