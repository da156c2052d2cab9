"""A journal's file from outside of the node that writes it: history, and work of operators.

The file may belong to a running node. Reading takes one state of the file for one page, never longer, so that the
node's log of commits does not grow. What is to be changed is one short transaction on a second connection that writes;
the node waits for it as long as for a slow disk. Everything runs where it is called: this is for programs of their own,
which others have a turn in, and Ctrl-C, after every page.
"""

from __future__ import annotations

import asyncio
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path
from types import TracebackType
from typing import Final, TypeVar

from node.historian.history import Columns, HistoryError, HistoryUnavailable, Page
from node.historian.raw import RawHistory
from node.historian.store.damage import Damage
from node.historian.store.database import APPLICATION_ID, SCHEMA_VERSION
from node.historian.store.reader import Reader, Request

T = TypeVar("T")

_BUSY_S: Final = 10.0  # the node's own commits and compaction hold the file for milliseconds


class JournalFile:
    """One journal file: a `History`, and the `Hops` of a FeedReader."""

    def __init__(self, path: Path) -> None:
        """Open the file for reading. Raises HistoryError, which says what it is instead."""
        self.path = path
        self.damage = Damage()
        self.reading = _opened(path)
        self._writing: sqlite3.Connection | None = None
        self._reader = Reader(self.damage)
        history = RawHistory(self._read)
        self.raw, self.start_of_archive = history.raw, history.start_of_archive
        self.before, self.at_or_before = history.before, history.at_or_before
        self.after, self.at_or_after = history.after, history.at_or_after

    def __enter__(self) -> JournalFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        self.reading.close()
        if self._writing is not None:
            self._writing.close()

    def tags(self) -> list[str]:
        """Every path that was ever recorded, sorted. Raises HistoryUnavailable."""
        return self.read(lambda connection: [path for (path,) in connection.execute("SELECT path FROM tag")])

    def annotation_times(self, tag: str, low: int, high: int) -> array[int]:
        """Times of a tag's annotations from `low` to before `high`, ascending. Raises HistoryUnavailable."""
        query = (
            "SELECT ticks FROM annotation WHERE tag = (SELECT id FROM tag WHERE path = ?)"
            " AND ticks >= ? AND ticks < ? ORDER BY ticks"
        )
        return array("q", self.read(lambda connection: [row[0] for row in connection.execute(query, (tag, low, high))]))

    def read(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of work on the connection that reads. Raises HistoryUnavailable."""
        try:
            return work(self.reading)
        except sqlite3.Error as error:
            raise HistoryUnavailable(f"{self.path}: {error}") from error

    def write(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of work that makes a short transaction of its own. Raises HistoryUnavailable."""
        try:
            if self._writing is None:
                self._writing = _opened_to_write(self.path)
            return work(self._writing)
        except sqlite3.Error as error:
            raise HistoryUnavailable(f"{self.path}: {error}") from error

    async def read_disk(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See `Hops.read_disk`."""
        await asyncio.sleep(0)
        return self.read(work)

    async def on_disk(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """See `Hops.on_disk`."""
        await asyncio.sleep(0)
        return self.write(work)

    async def _read(self, request: Request) -> Page:
        return await self.read_disk(lambda connection: self._reader.read(connection, request, Columns()))


def _opened(path: Path) -> sqlite3.Connection:
    if not path.is_file():
        raise HistoryError(f"there is no journal {path}: the node has not run yet, or `history` is switched off")
    connection = None
    try:
        connection = _connected(path, "mode=ro")
        (owner,) = connection.execute("PRAGMA application_id").fetchone()
        (version,) = connection.execute("PRAGMA user_version").fetchone()
    except sqlite3.Error as error:
        if connection is not None:
            connection.close()
        raise HistoryError(f"{path} cannot be read: {error}") from error
    wrong = ""
    if owner != APPLICATION_ID:
        wrong = f"{path} is no journal of gridnode"
    elif version < SCHEMA_VERSION:
        wrong = f"{path} was written by an older gridnode; a start of the node brings it up to date"
    elif version > SCHEMA_VERSION:
        wrong = f"{path} was written by a newer gridnode; use the `gridnode` of that version"
    if wrong:
        connection.close()
        raise HistoryError(wrong)
    connection.execute("PRAGMA query_only = ON")
    return connection


def _connected(path: Path, options: str) -> sqlite3.Connection:
    address = f"{path.absolute().as_uri()}?{options}"
    connection = sqlite3.connect(address, uri=True, isolation_level=None, timeout=_BUSY_S)
    try:
        connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    except sqlite3.OperationalError:
        connection.close()
        # On a medium that nobody can write SQLite cannot make the files that it shares with a writer; nobody writes.
        if options != "mode=ro" or path.with_name(path.name + "-wal").exists():
            raise
        return _connected(path, "immutable=1")
    return connection


def _opened_to_write(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    connection.execute("PRAGMA synchronous = FULL")
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # that is the node's, and takes its time
    return connection
