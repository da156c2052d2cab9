"""What a journal's file holds, in numbers. Reads a few rows at a time, beside the node that writes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from node.historian.store.frame import Frame, FrameDamaged

_FRAMES: Final = 64
_BLOCKS: Final = 10_000


@dataclass(slots=True)
class Amount:
    """Rows of one kind: how many, what they hold, from when to when (ticks)."""

    rows: int = 0
    samples: int = 0
    bytes: int = 0
    oldest: int | None = None
    newest: int | None = None

    def add(self, samples: int, size: int, first: int, last: int, rows: int = 1) -> None:
        """Count something more."""
        self.rows += rows
        self.samples += samples
        self.bytes += size
        self.oldest = first if self.oldest is None else min(self.oldest, first)
        self.newest = last if self.newest is None else max(self.newest, last)


@dataclass(slots=True)
class Statistics:
    """Everything that is counted; `points` by path. Bytes of a frame are shared out among its points by samples."""

    file_bytes: int = 0
    log_bytes: int = 0
    spare_bytes: int = 0  # in the file, for what comes
    frames: Amount = field(default_factory=Amount)
    blocks: Amount = field(default_factory=Amount)
    points: dict[str, Amount] = field(default_factory=dict)
    damaged: int = 0  # rows that cannot be read
    events: int = 0
    replaced: int = 0  # samples that clients changed or deleted, as they were before
    annotations: int = 0

    @property
    def samples(self) -> int:
        """How many samples are stored; one that was written twice and not compacted yet counts twice."""
        return self.frames.samples + self.blocks.samples

    @property
    def oldest(self) -> int | None:
        """Time of the oldest sample."""
        return min((t for t in (self.frames.oldest, self.blocks.oldest) if t is not None), default=None)

    @property
    def newest(self) -> int | None:
        """Time of the newest sample."""
        return max((t for t in (self.frames.newest, self.blocks.newest) if t is not None), default=None)


def counted(connection: sqlite3.Connection, path: Path) -> Statistics:
    """The statistics of a file. Raises sqlite3.Error and OSError."""
    found = Statistics(file_bytes=path.stat().st_size, log_bytes=_size(path.with_name(path.name + "-wal")))
    (page,) = connection.execute("PRAGMA page_size").fetchone()
    (spare,) = connection.execute("PRAGMA freelist_count").fetchone()
    found.spare_bytes = page * spare
    paths: dict[int, str] = dict(connection.execute("SELECT id, path FROM tag").fetchall())
    for rows in _rows(connection, "block", "tag, n, length(data), t_min, t_max", _BLOCKS):
        for _number, tag, n, size, first, last in rows:
            if not _are_numbers(tag, n, size, first, last):
                found.damaged += 1
                continue
            found.blocks.add(n, size, first, last)
            _point(found, paths, tag).add(n, size, first, last)
    for rows in _rows(connection, "frame", "n, data, t_min, t_max", _FRAMES):
        for row in rows:
            _add_frame(found, paths, row)
    found.events, found.replaced, found.annotations = connection.execute(
        "SELECT (SELECT count(*) FROM event), (SELECT count(*) FROM modified), (SELECT count(*) FROM annotation)"
    ).fetchone()
    return found


def _rows(connection: sqlite3.Connection, table: str, columns: str, most: int) -> Iterator[list[Any]]:
    after = 0
    query = f"SELECT rowid, {columns} FROM {table} WHERE rowid > ? ORDER BY rowid LIMIT ?"  # noqa: S608 - constants
    while rows := connection.execute(query, (after, most)).fetchall():
        yield rows
        after = rows[-1][0]


def _add_frame(found: Statistics, paths: dict[int, str], row: Any) -> None:
    _seq, n, data, first, last = row
    if not _are_numbers(n, first, last):
        found.damaged += 1
        return
    found.frames.add(n, len(data), first, last)
    try:
        frame = Frame(data)
        ticks = frame.columns().ticks
    except (FrameDamaged, TypeError):
        found.damaged += 1
        return
    low = 0
    for tag, count in Counter(frame.tags).items():  # in the order of `tags`
        times = ticks[low : low + count]
        low += count
        _point(found, paths, tag).add(count, len(data) * count // n, min(times), max(times), rows=0)


def _are_numbers(*cells: object) -> bool:
    """False for a row that changed on the disk so that a text stands where a number belongs."""
    return all(isinstance(cell, int) for cell in cells)


def _point(found: Statistics, paths: dict[int, str], tag: int) -> Amount:
    return found.points.setdefault(paths.get(tag, f"point {tag}"), Amount())


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0
