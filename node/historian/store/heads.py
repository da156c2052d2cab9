"""The frames that are not in blocks yet, as one connection sees them: from when to when each reaches, and their bytes.

What is known is kept between reads: a look at the first and the last number tells what has come and gone.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left
from collections import OrderedDict
from collections.abc import Iterator
from heapq import heapify, heappop, heappush
from typing import Final

from node.historian.store.damage import Damage
from node.historian.store.database import is_corrupt
from node.historian.store.frame import Frame, FrameDamaged
from node.historian.store.unpacked import Unpacked

# All frames that usually wait for their compaction, as bytes; a backlog is read from the file.
CACHE_SAMPLES: Final = 320_000
# Frames are looked at by the 64, so that a read of a few samples costs little beside a long backlog.
_CHUNK_BITS: Final = 6


class Heads:
    """Frames of one connection; used on its thread, inside of a transaction."""

    def __init__(self, connection: sqlite3.Connection, damage: Damage) -> None:
        self.connection = connection
        self._damage = damage
        self._seqs = array("q")
        self._t_min = array("q")
        self._t_max = array("q")
        self._chunks: dict[int, tuple[int, int]] = {}  # upper bits of the numbers -> first and last time in there
        self._frames: OrderedDict[int, Frame | None] = OrderedDict()  # None: damaged
        self._cached = 0
        self.unpacked = Unpacked()  # blocks of this connection's file

    def refresh(self) -> None:
        """Learn what frames there are in the state of the file that the transaction sees. Raises sqlite3.Error."""
        first, last = self.connection.execute(
            "SELECT (SELECT min(seq) FROM frame), (SELECT max(seq) FROM frame)"
        ).fetchone()
        seqs = self._seqs
        if first is None or (seqs and last < seqs[-1]):
            self._forget(len(seqs))
        elif seqs and seqs[0] < first:
            self._forget(bisect_left(seqs, first))
        if first is None or (seqs and seqs[-1] == last):
            return
        known = seqs[-1] if seqs else first - 1
        for seq, t_min, t_max in self.connection.execute(
            "SELECT seq, t_min, t_max FROM frame WHERE seq > ? ORDER BY seq", (known,)
        ):
            seqs.append(seq)
            self._t_min.append(t_min)
            self._t_max.append(t_max)
            first_time, last_time = self._chunks.get(seq >> _CHUNK_BITS, (t_min, t_max))
            self._chunks[seq >> _CHUNK_BITS] = min(first_time, t_min), max(last_time, t_max)

    def _forget(self, count: int) -> None:
        for seq in self._seqs[:count]:
            frame = self._frames.pop(seq, None)
            self._cached -= len(frame) if frame is not None else 0
        del self._seqs[:count], self._t_min[:count], self._t_max[:count]
        # A chunk that has lost a part reaches as far as before at most.
        first = self._seqs[0] >> _CHUNK_BITS if self._seqs else None
        for chunk in [chunk for chunk in self._chunks if first is None or chunk < first]:
            del self._chunks[chunk]

    def between(self, low: int, high: int, *, reverse: bool) -> Iterator[tuple[int, int, int]]:
        """(first time, last time, number) of the frames that reach into an interval, both ends included.

        They come in the order in which they begin on the way: ascending by first time, in reverse descending by last.
        """
        chunks = [
            (-last if reverse else first, chunk)
            for chunk, (first, last) in self._chunks.items()
            if first <= high and last >= low
        ]
        heapify(chunks)
        rows: list[tuple[int, int, int, int]] = []
        while chunks or rows:
            while chunks and (not rows or chunks[0][0] <= rows[0][0]):
                for first, last, seq in self._of_chunk(heappop(chunks)[1]):
                    if first <= high and last >= low:
                        heappush(rows, (-last if reverse else first, first, last, seq))
            if rows:
                _, first, last, seq = heappop(rows)
                yield first, last, seq

    def _of_chunk(self, chunk: int) -> Iterator[tuple[int, int, int]]:
        first, end = (bisect_left(self._seqs, number << _CHUNK_BITS) for number in (chunk, chunk + 1))
        return zip(self._t_min[first:end], self._t_max[first:end], self._seqs[first:end], strict=True)

    def frame(self, seq: int) -> Frame | None:
        """A frame; None when it is gone or damaged, which is counted. Raises sqlite3.Error."""
        if seq in self._frames:
            return self._frames[seq]
        frame: Frame | None = None
        try:
            row = self.connection.execute("SELECT data FROM frame WHERE seq = ?", (seq,)).fetchone()
            if row is None:
                return None
            frame = Frame(row[0])
        except FrameDamaged as error:
            self._damage.note(seq, error)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._damage.note(seq, error)
        self._keep(seq, frame)
        return frame

    def _keep(self, seq: int, frame: Frame | None) -> None:
        self._frames[seq] = frame
        self._cached += len(frame) if frame is not None else 0
        while self._cached > CACHE_SAMPLES and len(self._frames) > 1:
            _seq, oldest = self._frames.popitem(last=False)
            self._cached -= len(oldest) if oldest is not None else 0
