"""Looks at every frame and block of a journal's file: whether it can be read, and holds what its row says.

A row is judged as it is when it is looked at; the node may compact frames meanwhile, whose samples are then met as
blocks.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

from node.historian.history import Columns
from node.historian.store.block import BlockDamaged, decode
from node.historian.store.database import is_corrupt
from node.historian.store.frame import Frame, FrameDamaged

_ROWS: Final = 64  # so many are looked at in one state of the file
_STRUCTURE: Final = 100  # faults of the structure that SQLite lists at most


@dataclass(frozen=True, slots=True)
class Finding:
    """Something damaged: where it is, from when to when it reaches (ticks, None where unknown), and what is wrong."""

    place: str
    reason: str
    first: int | None = None
    last: int | None = None


class Check:
    """One look at a file; `steps` is to be gone through, then the rest says what was found."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection
        self._paths: dict[int, str] = {}
        self.findings: list[Finding] = []
        self.frames = 0
        self.blocks = 0
        self.edits = 0
        self.samples = 0

    @property
    def rows(self) -> int:
        """How many rows were looked at."""
        return self.frames + self.blocks + self.edits

    def expected(self) -> int:
        """About how many rows there are to look at. Raises sqlite3.Error."""
        (rows,) = self._connection.execute(
            "SELECT (SELECT coalesce(max(rowid) - min(rowid) + 1, 0) FROM frame) + (SELECT count(*) FROM block)"
            " + (SELECT count(*) FROM modified)"
        ).fetchone()
        return int(rows)

    def steps(self) -> Iterator[None]:
        """Look at everything, a little at a time. Raises sqlite3.Error for what is no damage: a busy file."""
        self._structure()
        yield
        self._paths = dict(self._all("SELECT id, path FROM tag", "the list of points"))
        yield from self._table("frame", "n, t_min, t_max, data", self._frame)
        yield from self._table("block", "n, t_min, t_max, data, tag", self._block)
        self._modified()

    def _structure(self) -> None:
        try:
            rows = self._connection.execute(f"PRAGMA quick_check({_STRUCTURE})").fetchall()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            rows = [(str(error),)]
        self.findings += [Finding("file", str(text)) for (text,) in rows if text != "ok"]

    def _all(self, query: str, what: str) -> list[Any]:
        try:
            return self._connection.execute(query).fetchall()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self.findings.append(Finding(what, str(error)))
            return []

    # --- rows

    def _table(self, table: str, columns: str, look: Callable[[Any], None]) -> Iterator[None]:
        query = f"SELECT rowid, {columns} FROM {table} WHERE rowid"  # noqa: S608 - constants of this file
        after, last = 0, self._last(table)
        while after < last:
            try:
                rows = self._connection.execute(f"{query} > ? ORDER BY rowid LIMIT ?", (after, _ROWS)).fetchall()
                if not rows:
                    return
                after = rows[-1][0]
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                numbers = range(after + 1, min(after + _ROWS, last) + 1)
                rows = [row for number in numbers for row in self._row(table, query, number)]
                after = numbers[-1]
            for row in rows:
                look(row)
            yield

    def _last(self, table: str) -> int:
        rows = self._all(f"SELECT coalesce(max(rowid), 0) FROM {table}", f"table {table}")  # noqa: S608
        return rows[0][0] if rows else 0

    def _row(self, table: str, query: str, number: int) -> list[Any]:
        try:
            return self._connection.execute(f"{query} = ?", (number,)).fetchall()
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self.findings.append(Finding(f"{table} {number}", str(error)))
            return []

    def _frame(self, row: Any) -> None:
        seq, n, first, last, data = row
        self.frames += 1
        try:
            frame = Frame(data)
            columns = frame.columns()
            times = sorted(columns.ticks)
            if (len(columns), times[0], times[-1]) != (n, first, last):
                raise FrameDamaged(f"holds {len(columns)} samples, its row says {n}, or other times")
            unknown = set(frame.tags) - self._paths.keys() - self._new_paths(frame.tags)
            if unknown:
                raise FrameDamaged(f"holds points that the file has no name for: {sorted(unknown)[:5]}")
        except (FrameDamaged, TypeError, LookupError) as error:
            self.findings.append(Finding(f"frame {seq}", _reason(error), first, last))
        else:
            self.samples += n

    def _new_paths(self, tags: Any) -> set[int]:
        """Points that were recorded for the first time since the list was read."""
        if not set(tags) - self._paths.keys():
            return set()
        self._paths = dict(self._all("SELECT id, path FROM tag", "the list of points"))
        return set(self._paths)

    def _block(self, row: Any) -> None:
        number, n, first, last, data, tag = row
        self.blocks += 1
        try:
            columns = decode(data)
            if not _is_as_said(columns, n, first, last):
                raise BlockDamaged(f"holds {len(columns)} samples, its row says {n}, or other times")
        except (BlockDamaged, TypeError) as error:
            place = f"block {number} of {self._paths.get(tag, f'point {tag}, which has no name')}"
            self.findings.append(Finding(place, _reason(error), first, last))
        else:
            self.samples += n

    def _modified(self) -> None:
        for tag, ticks, data in self._all("SELECT tag, ticks, data FROM modified", "table modified"):
            self.edits += 1
            try:
                decode(data)
            except (BlockDamaged, TypeError) as error:
                place = f"replaced sample of {self._paths.get(tag, f'point {tag}')}"
                self.findings.append(Finding(place, _reason(error), ticks, ticks))


def _is_as_said(columns: Columns, n: int, first: int, last: int) -> bool:
    ticks = columns.ticks
    return (len(ticks), ticks[0], ticks[-1]) == (n, first, last) and all(a < b for a, b in pairwise(ticks))


def _reason(error: Exception) -> str:
    return "holds no bytes" if isinstance(error, TypeError) else str(error)
