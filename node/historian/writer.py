"""The writing side of the journal's file: frames, and the index of what tag is where. Runs on a connection's thread.

256 frames make a chapter. When one is full, a row per tag says from when to when the tag occurs in it, so that a
reader skips chapters without its tag; a row per tag and commit would cost as much as a row per sample.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Final

from address_space.model import TICKS_PER_MS, Value
from node.historian.damage import Damage
from node.historian.database import Transaction, open_writer, tag_ids
from node.historian.frame import Frame, FrameDamaged, Spans, encode, merge, spans

CHAPTER_FRAMES: Final = 256
# A chapter is what a reader may have to look through for one sample: about 6 MB.
CHAPTER_SAMPLES: Final = 262_144
# Bad_DataLost: data is missing because collection started, stopped or was lost (OPC 10000-11 section 5.4.3).
DATA_LOST: Final = 0x809D_0000
# The newest time of a run is looked for in so many frames; late samples make an order of commits no order of time.
_NEWEST: Final = 16
_GAP_FRAME: Final = 16_384


class FileMoved(OSError):
    """The path no longer leads to the file that is open: what is written would be lost."""


class Writer:
    """Appends frames to an open file; made and used on the thread of its connection."""

    def __init__(self, path: Path, tags: Iterable[str], damage: Damage) -> None:
        """Open the file and find out where the open chapter stands.

        Raises WrongDatabase, sqlite3.Error and OSError.
        """
        self._path = path
        self.connection = open_writer(path)
        try:
            self._file = _identity(path)
            self.tags = tag_ids(self.connection, tags)
            self._open_chapter(damage)
        except BaseException:
            self.connection.close()
            raise

    def _open_chapter(self, damage: Damage) -> None:
        (self._closed,) = self.connection.execute("SELECT value FROM meta WHERE key = 'closed'").fetchone()
        self._spans: Spans = {}
        self._frames = self._samples = 0
        for seq, count, blob in self.connection.execute(
            "SELECT seq, n, data FROM frame WHERE seq > ? ORDER BY seq", (self._closed,)
        ):
            self._frames += 1
            self._samples += count
            try:
                merge(self._spans, Frame(blob).spans())
            except FrameDamaged as error:
                damage.note(seq, error)

    def mark_gap(self) -> None:
        """Say of every tag of this site that an earlier run recorded that nothing is known from its last commit on.

        Without it a point that did not change would look as if it had been watched while nobody was there.
        Raises sqlite3.Error and OSError.
        """
        newest = self.connection.execute(
            "SELECT seq, t_max FROM frame ORDER BY seq DESC LIMIT ?", (_NEWEST,)
        ).fetchall()
        marked = self.connection.execute("SELECT value FROM meta WHERE key = 'gap'").fetchone()
        recorded = {tag for (tag,) in self.connection.execute("SELECT DISTINCT tag FROM span")}.union(self._spans)
        known = sorted(recorded.intersection(self.tags.values()))
        if not newest or not known or marked == newest[0][:1]:
            return
        ticks = max(t_max for _, t_max in newest) + TICKS_PER_MS
        seq = 0
        for start in range(0, len(known), _GAP_FRAME):
            tags = known[start : start + _GAP_FRAME]
            count = len(tags)
            seq = self.append(tags, [ticks] * count, [None] * count, [DATA_LOST] * count)
        self.connection.execute("INSERT OR REPLACE INTO meta VALUES ('gap', ?)", (seq,))

    def append(
        self, tags: Sequence[int], ticks: Sequence[int], values: Sequence[Value | None], statuses: Sequence[int]
    ) -> int:
        """Write one frame, durable when this returns; its sequence number.

        Raises sqlite3.Error and OSError; then nothing of it is in the file.
        """
        if _identity(self._path) != self._file:
            raise FileMoved(f"{self._path} was moved or deleted")
        new = spans(tags, ticks)
        blob = encode(tags, ticks, values, statuses)
        full = self._frames + 1 >= CHAPTER_FRAMES or self._samples + len(tags) >= CHAPTER_SAMPLES
        chapter = dict(self._spans) if full else self._spans
        with Transaction(self.connection):
            cursor = self.connection.execute(
                "INSERT INTO frame (n, t_min, t_max, data) VALUES (?, ?, ?, ?)",
                (len(tags), min(ticks), max(ticks), blob),
            )
            seq = cursor.lastrowid or 0
            if full:
                merge(chapter, new)
                self._close_chapter(chapter, seq)
        if full:
            self._closed, self._spans, self._frames, self._samples = seq, {}, 0, 0
        else:
            merge(self._spans, new)
            self._frames += 1
            self._samples += len(tags)
        return seq

    def _close_chapter(self, chapter: Spans, last: int) -> None:
        first = self._closed + 1
        self.connection.executemany(
            "INSERT INTO span (tag, first, last, t_min, t_max) VALUES (?, ?, ?, ?, ?)",
            [(tag, first, last, low, high) for tag, (low, high) in sorted(chapter.items())],
        )
        self.connection.execute("UPDATE meta SET value = ? WHERE key = 'closed'", (last,))


def _identity(path: Path) -> tuple[int, int] | None:
    try:
        status = path.stat()
    except FileNotFoundError:
        return None
    return status.st_dev, status.st_ino
