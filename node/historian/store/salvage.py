"""Brings what is whole in a broken file into the one that was begun instead. Runs on the writer's thread, in steps.

The broken file is only read. Its rows are looked up in the order of their numbers, those of a page that does not hold
together one by one; samples whose check sum is right are written like late ones. Each step notes in the new file how
far it has come, so that a salvage that breaks off goes on there. Sinks get all of it again, because their places were
in the broken file.
"""

from __future__ import annotations

import logging
import sqlite3
from array import array
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any, Final

from address_space.model import TICKS_PER_MS
from node.historian.history import Columns
from node.historian.store.block import BlockDamaged, decode
from node.historian.store.database import Transaction
from node.historian.store.frame import Frame, FrameDamaged
from node.historian.store.writer import DATA_LOST, put_frame, tag_id

_LOG = logging.getLogger(__name__)

# Rows of one step: commits wait for it. A frame is 5 kB on most sites and can be 400 kB, a block some kB.
_STEP_ROWS: Final = 16
# Behind the last row that is found, so many numbers are tried one by one: where not even the number of the last one can
# be read, and where it can, which says little in a broken file.
_PROBES: Final = 1_024
_MOST_PROBES: Final = 65_536
_LATEST: Final = 2**63 - 1
# In the table meta: "salvage/<name of the broken file>/<table>" is the number of the last row that was brought over.
_KEY: Final = "salvage/"
_PLANNED: Final = ""  # the row that says that there is something to do

# Tables whose rows are copied as they are, with their columns.
_PLAIN: Final = {
    "event": "ticks, source, type, body",
    "quarantine": "sink, seq, line, reason, at",
}
# Those that belong to a tag.
_OF_TAGS: Final = {
    "modified": "ticks, seq, change, at, user, data",
    "annotation": "ticks, at, user, message",
}

_Row = tuple[Any, ...]


def planned(connection: sqlite3.Connection, path: Path) -> list[Salvage]:
    """What the journal in `path` was still to get when it was closed, the oldest first. Raises sqlite3.Error."""
    found: dict[str, dict[str, int]] = {}
    for key, value in connection.execute("SELECT key, value FROM meta WHERE key LIKE ? ORDER BY key", (_KEY + "%",)):
        _, name, table = key.split("/", 2)
        found.setdefault(name, {})[table] = value
    return [Salvage(path.with_name(name), done) for name, done in found.items()]


class Salvage:
    """One broken file. `step` is called until it returns False; after an error it goes on where it was."""

    def __init__(self, path: Path, done: dict[str, int] | None = None) -> None:
        """`done` is the number of the last row of each table that was brought over before."""
        self.path = path
        self._done = {_PLANNED: 0} | (done or {})
        self._steps: Iterator[None] | None = None
        self._new: sqlite3.Connection | None = None
        self._tags: dict[int, str] = {}
        self._newest: dict[str, int] = {}
        self._samples = 0
        self._damaged = 0

    def plan(self, connection: sqlite3.Connection) -> None:
        """Note in the file that is written what is to be brought over, so that a crash does not forget it."""
        with Transaction(connection):
            for table, number in self._done.items():
                self._note(connection, table, number)

    def step(self, connection: sqlite3.Connection) -> bool:
        """Bring over a few rows; False when nothing is left. Raises sqlite3.Error of the file that is written."""
        if self._steps is None or self._new is not connection:
            self._steps, self._new = self._all_steps(connection), connection
        try:
            return next(self._steps, self) is None
        except BaseException:
            self._steps = None
            raise

    def _all_steps(self, new: sqlite3.Connection) -> Iterator[None]:
        self._newest, self._samples, self._damaged = {}, 0, 0
        try:
            uri = f"{self.path.absolute().as_uri()}?mode=ro"
            old = sqlite3.connect(uri, uri=True, isolation_level=None, check_same_thread=False)
        except sqlite3.Error as error:
            _LOG.error("%s cannot be opened, nothing more of it is brought over: %s", self.path, error)
            self._forget(new)
            return
        try:
            self._tags = {
                row[1]: row[2]
                for rows, _ in self._rows(old, "tag", "id, path")
                for row in rows
                if isinstance(row[2], str)
            }
            yield from self._copy(old, new, "block", "tag, seq, data", self._put_blocks)
            yield from self._copy(old, new, "frame", "data", self._put_frames)
            for table, columns in _PLAIN.items():
                yield from self._copy(old, new, table, columns, _putting(table, columns))
            for table, columns in _OF_TAGS.items():
                self._copy_of_tags(old, new, table, columns)
                yield
            self._mark(new)
        finally:
            old.close()
        _LOG.warning(
            "%d samples were brought over from %s, %d rows of it are damaged", self._samples, self.path, self._damaged
        )

    # --- how far it has come

    def _note(self, new: sqlite3.Connection, table: str, number: int) -> None:
        new.execute("INSERT OR REPLACE INTO meta VALUES (?, ?)", (f"{_KEY}{self.path.name}/{table}", number))

    def _forget(self, new: sqlite3.Connection) -> None:
        new.execute("DELETE FROM meta WHERE key LIKE ?", (f"{_KEY}{self.path.name}/%",))

    # --- reading what can be read

    def _copy(
        self,
        old: sqlite3.Connection,
        new: sqlite3.Connection,
        table: str,
        columns: str,
        put: Callable[[sqlite3.Connection, list[_Row], int], None],
    ) -> Iterator[None]:
        for rows, reached in self._rows(old, table, columns):
            done = self._done.get(table, 0)
            with Transaction(new):
                put(new, rows, done)
                if reached > done:
                    self._note(new, table, reached)
            self._done[table] = max(done, reached)
            yield

    def _rows(self, old: sqlite3.Connection, table: str, columns: str) -> Iterator[tuple[list[_Row], int]]:
        """Rows with their numbers in front, a few at a time, and the number up to which that is all."""
        last, after, barren = self._last(old, table), 0, 0
        query = f"SELECT rowid, {columns} FROM {table} WHERE rowid"  # noqa: S608 - constants of this file
        most = _PROBES if last == _LATEST else _MOST_PROBES
        while after < last and barren < most:
            try:
                rows = old.execute(f"{query} > ? ORDER BY rowid LIMIT ?", (after, _STEP_ROWS)).fetchall()
                if not rows:
                    return
                after = rows[-1][0]
            except sqlite3.Error:
                rows = [
                    row for number in range(after + 1, after + _STEP_ROWS + 1) for row in self._row(old, query, number)
                ]
                after += _STEP_ROWS
            barren = 0 if rows else barren + _STEP_ROWS
            yield rows, after

    def _row(self, old: sqlite3.Connection, query: str, number: int) -> list[_Row]:
        try:
            return old.execute(f"{query} = ?", (number,)).fetchall()
        except sqlite3.Error:
            self._damaged += 1
            return []

    def _last(self, old: sqlite3.Connection, table: str) -> int:
        try:
            (last,) = old.execute(f"SELECT coalesce(max(rowid), 0) FROM {table}").fetchone()  # noqa: S608
        except sqlite3.Error:
            return _LATEST
        return int(last)

    # --- writing what is whole; rows up to the number `done` are in the new file already and are only counted

    def _put_blocks(self, new: sqlite3.Connection, rows: list[_Row], done: int) -> None:
        seq = _next_number(new) if any(row[0] > done for row in rows) else 0
        for number, tag, _seq, data in rows:
            path = self._tags.get(tag)
            try:
                columns = decode(data)
            except (BlockDamaged, TypeError):
                path = None
            if path is None:
                self._damaged += 1
                continue
            self._count(path, columns)
            if number > done:
                new.execute(
                    "INSERT OR IGNORE INTO block (tag, t_min, t_max, n, seq, data) VALUES (?, ?, ?, ?, ?, ?)",
                    (tag_id(new, path), columns.ticks[0], columns.ticks[-1], len(columns), seq, data),
                )

    def _put_frames(self, new: sqlite3.Connection, rows: list[_Row], done: int) -> None:
        for number, data in rows:
            try:
                frame = Frame(data)
                columns = frame.columns()
            except (FrameDamaged, TypeError):
                self._damaged += 1
                continue
            self._put_frame(new if number > done else None, frame.tags, columns)

    def _put_frame(self, new: sqlite3.Connection | None, tags: array[int], columns: Columns) -> None:
        known = {tag: self._tags[tag] for tag in set(tags) if tag in self._tags}
        kept = [position for position, tag in enumerate(tags) if tag in known]
        if not kept:
            return
        ticks = [columns.ticks[p] for p in kept]
        if new is not None:
            ids = {tag: tag_id(new, path) for tag, path in known.items()}
            values, statuses = [columns.values[p] for p in kept], [columns.statuses[p] for p in kept]
            put_frame(new, [ids[tags[p]] for p in kept], ticks, values, statuses)
        self._samples += len(kept)
        for position, time in zip(kept, ticks, strict=True):
            path = known[tags[position]]
            self._newest[path] = max(self._newest.get(path, time), time)

    def _count(self, path: str, columns: Columns) -> None:
        self._samples += len(columns)
        self._newest[path] = max(self._newest.get(path, columns.ticks[-1]), columns.ticks[-1])

    def _copy_of_tags(self, old: sqlite3.Connection, new: sqlite3.Connection, table: str, columns: str) -> None:
        rows: list[_Row] = []
        try:
            rows.extend(old.execute(f"SELECT tag, {columns} FROM {table}"))  # noqa: S608 - constants of this file
        except sqlite3.Error as error:
            _LOG.debug("%s: the rest of %s cannot be read: %s", self.path, table, error)
        put = _putting(table, f"tag, {columns}")
        with Transaction(new):
            # A row that is there already stays: these tables have keys of their own.
            put(new, [(1, tag_id(new, self._tags[row[0]]), *row[1:]) for row in rows if row[0] in self._tags], 0)

    def _mark(self, new: sqlite3.Connection) -> None:
        """Say that behind the newest sample of every tag something may be missing; that is the end of the salvage."""
        with Transaction(new):
            tags = [tag_id(new, path) for path in self._newest]
            count = len(tags)
            if count:
                ticks = [min(time + TICKS_PER_MS, _LATEST) for time in self._newest.values()]
                put_frame(new, tags, ticks, [None] * count, [DATA_LOST] * count)
            self._forget(new)


def _next_number(new: sqlite3.Connection) -> int:
    """A number for blocks, behind the places of all sinks and before the frames to come."""
    new.execute(
        "INSERT INTO sqlite_sequence SELECT 'frame', 0 WHERE NOT EXISTS"
        " (SELECT 1 FROM sqlite_sequence WHERE name = 'frame')"
    )
    new.execute("UPDATE sqlite_sequence SET seq = seq + 1 WHERE name = 'frame'")
    (seq,) = new.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frame'").fetchone()
    return int(seq)


def _putting(table: str, columns: str) -> Callable[[sqlite3.Connection, list[_Row], int], None]:
    marks = ", ".join("?" * (columns.count(",") + 1))
    statement = f"INSERT OR IGNORE INTO {table} ({columns}) VALUES ({marks})"  # noqa: S608 - constants of this file

    def put(new: sqlite3.Connection, rows: list[_Row], done: int) -> None:
        new.executemany(statement, [row[1:] for row in rows if row[0] > done])

    return put
