"""The writing side of the journal's file: frames, one per commit. Runs on a connection's thread."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path
from typing import Final

from address_space.model import TICKS_PER_MS, Value
from node.historian.clock_watch import AHEAD, SET_SINCE
from node.historian.store.database import LOG_PAGES, Transaction, open_writer
from node.historian.store.frame import encode

# Bad_DataLost: data is missing because collection started, stopped or was lost (OPC 10000-11 section 5.4.3).
DATA_LOST: Final = 0x809D_0000
# The newest time of a run is looked for in so many frames; late samples make an order of commits no order of time.
NEWEST: Final = 16
_GAP_FRAME: Final = 16_384

# What else a commit writes, in its transaction.
Also = Callable[[sqlite3.Connection], None]


class FileMoved(OSError):
    """The path no longer leads to the file that is open: what is written would be lost."""


class Writer:
    """Appends frames to an open file; made and used on the thread of its connection."""

    def __init__(self, path: Path, log_pages: int = LOG_PAGES) -> None:
        """Open the file. Raises WrongDatabase, sqlite3.Error and OSError."""
        self._path = path
        self.connection = open_writer(path, log_pages)
        try:
            self._file = _identity(path)
            self._ids: dict[str, int] = dict(self.connection.execute("SELECT path, id FROM tag").fetchall())
        except BaseException:
            self.connection.close()
            raise

    def mark_gap(self, tags: Iterable[str], now: int) -> None:
        """Say of every one of these tags that was ever recorded that nothing is known from the last commit on.

        Without it a point that did not change would look as if it had been watched while nobody was there.
        Raises sqlite3.Error and OSError.
        """
        known = [tag for tag in tags if tag in self._ids]
        newest = self.connection.execute("SELECT seq, t_max FROM frame ORDER BY seq DESC LIMIT ?", (NEWEST,)).fetchall()
        meta: dict[str, int] = dict(self.connection.execute("SELECT key, value FROM meta").fetchall())
        times = [t_max for _, t_max in newest] + [meta[key] for key in ("newest",) if key in meta]
        last = newest[0][0] if newest else meta.get("compacted", 0)
        if not times or not known or meta.get("gap") == last:
            return
        ticks = min(_newest_reached(times, now) + TICKS_PER_MS, 2**63 - 1)
        seq = 0
        for start in range(0, len(known), _GAP_FRAME):
            part = known[start : start + _GAP_FRAME]
            count = len(part)
            seq = self.append(part, [ticks] * count, [None] * count, [DATA_LOST] * count)
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('gap', ?)", (seq,))

    def append(
        self,
        tags: Sequence[str],
        ticks: Sequence[int],
        values: Sequence[Value | None],
        statuses: Sequence[int],
        also: Iterable[Also] = (),
    ) -> int:
        """Write one frame and what belongs to it, durable when this returns; its number, 0 when there are no samples.

        Raises sqlite3.Error and OSError; then nothing of it is in the file.
        """
        if _identity(self._path) != self._file:
            raise FileMoved(f"{self._path} was moved or deleted")
        ids = self._ids
        new = dict.fromkeys(tag for tag in tags if tag not in ids)
        try:
            with Transaction(self.connection):
                for tag in new:
                    ids[tag] = tag_id(self.connection, tag)
                seq = put_frame(self.connection, [ids[tag] for tag in tags], ticks, values, statuses) if tags else 0
                for work in also:
                    work(self.connection)
        except BaseException:
            for tag in new:
                ids.pop(tag, None)
            raise
        return seq


def _newest_reached(times: Sequence[int], now: int) -> int:
    """The newest of these times; one that lies ahead is from a clock that was wrong, unless this one was never set."""
    if now < SET_SINCE:
        return max(times)
    return max((time for time in times if time <= now + AHEAD), default=now)


def tag_id(connection: sqlite3.Connection, tag: str) -> int:
    """Id of a tag, made when it is new. For use inside of a transaction."""
    connection.execute("INSERT OR IGNORE INTO tag (path) VALUES (?)", (tag,))
    (found,) = connection.execute("SELECT id FROM tag WHERE path = ?", (tag,)).fetchone()
    return int(found)


def put_frame(
    connection: sqlite3.Connection,
    tags: Sequence[int],
    ticks: Sequence[int],
    values: Sequence[Value | None],
    statuses: Sequence[int],
) -> int:
    """Append one frame; its number. For use inside of a transaction."""
    cursor = connection.execute(
        "INSERT INTO frame (n, t_min, t_max, data) VALUES (?, ?, ?, ?)",
        (len(tags), min(ticks), max(ticks), encode(tags, ticks, values, statuses)),
    )
    return cursor.lastrowid or 0


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
