"""Compaction: the samples of many frames become blocks of one tag each. Runs on the writer's thread, in small steps.

A pass takes the oldest frames up to one of them, its end. Step by step it gathers their samples by tag, writes blocks
in the order (tag, time), each with the number of the end, and deletes the frames last. A pass that breaks off at any
step leaves samples in blocks and in frames, which reads the same: the higher number wins, and at the end of the pass
both hold the same. The next pass begins anew and ends later, so that blocks of one number never come to be behind a
sink that has read some of them.
"""

from __future__ import annotations

import sqlite3
from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterator
from itertools import pairwise
from typing import Final, NamedTuple

from node.historian.history import Columns
from node.historian.store.block import BLOCK_SAMPLES, encode
from node.historian.store.damage import Damage
from node.historian.store.database import Transaction, is_corrupt
from node.historian.store.frame import Frame, FrameDamaged
from node.historian.store.pieces import Piece, cut, in_order, merged
from node.historian.store.reader import read_block
from node.historian.store.writer import NEWEST

# A pass holds so many samples in memory, about 20 MB, and takes so many frames at most.
PASS_SAMPLES: Final = 262_144
_PASS_FRAMES: Final = 8_192
# One step is a few milliseconds: commits wait for it, and it shares the interpreter with the event loop.
_STEP_SAMPLES: Final = 4_096
_STEP_FRAMES: Final = 64
# A block with fewer samples takes up what follows it even when that makes two of it.
_SMALL: Final = BLOCK_SAMPLES // 2


class _Frame(NamedTuple):
    seq: int
    n: int
    t_max: int


class _Job(NamedTuple):
    """Samples of a tag, and the block that they go into; `t_min` is None where there is none."""

    tag: int
    t_min: int | None
    new: Columns


class Pass:
    """One pass over the oldest frames. `step` is called until it returns False, each time on the same thread."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._frames: list[_Frame] = []
        self._end = 0
        self._gathered = 0
        self._positions: dict[int, array[int]] = {}
        self._columns = Columns()
        self._steps: Iterator[None] | None = None
        self.samples = 0

    def step(self, connection: sqlite3.Connection) -> bool:
        """Do a little; False when nothing is left to do. Raises sqlite3.Error; the pass is then to be given up."""
        if self._steps is None:
            self._steps = self._all_steps(connection)
        return next(self._steps, self) is None

    def _all_steps(self, connection: sqlite3.Connection) -> Iterator[None]:
        self._frames = _chosen(connection)
        if not self._frames:
            return
        self._end = self._frames[-1].seq
        self.samples = sum(frame.n for frame in self._frames)
        yield from self._gather(connection)
        yield from self._write(connection)
        yield from self._delete(connection)

    # --- gathering

    def _gather(self, connection: sqlite3.Connection) -> Iterator[None]:
        frames = samples = 0
        for seq, n, _ in self._frames:
            self._add(connection, seq)
            frames, samples = frames + 1, samples + n
            if frames >= _STEP_FRAMES or samples >= 2 * _STEP_SAMPLES:
                frames = samples = 0
                yield

    def _add(self, connection: sqlite3.Connection, seq: int) -> None:
        try:
            row = connection.execute("SELECT data FROM frame WHERE seq = ?", (seq,)).fetchone()
            if row is None:  # deleted meanwhile to make room
                return
            frame = Frame(row[0])
            columns = frame.columns()
        except FrameDamaged as error:
            self._damage.note(seq, error)
            return
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._damage.note(seq, error)
            return
        positions, base = self._positions, len(self._columns)
        for position, tag in enumerate(frame.tags, base):
            known = positions.get(tag)
            if known is None:
                known = positions[tag] = array("L")
            known.append(position)
        self._columns.ticks.extend(columns.ticks)
        self._columns.values.extend(columns.values)
        self._columns.statuses.extend(columns.statuses)

    def _of(self, tag: int) -> Columns:
        places, everything = self._positions.pop(tag), self._columns
        return in_order(
            Columns(
                array("q", [everything.ticks[p] for p in places]),
                [everything.values[p] for p in places],
                array("I", [everything.statuses[p] for p in places]),
            )
        )

    # --- writing

    def _write(self, connection: sqlite3.Connection) -> Iterator[None]:
        batch: list[_Job] = []
        samples = 0
        for tag in sorted(self._positions):
            for job in _jobs(connection, tag, self._of(tag)):
                batch.append(job)
                samples += len(job.new) + (_SMALL if job.t_min is not None else 0)
                if samples >= _STEP_SAMPLES:
                    self._do(connection, batch)
                    batch, samples = [], 0
                    yield
        self._do(connection, batch)
        yield

    def _do(self, connection: sqlite3.Connection, batch: list[_Job]) -> None:
        with Transaction(connection):
            for job in batch:
                self._put(connection, job)

    def _put(self, connection: sqlite3.Connection, job: _Job) -> None:
        whole = job.new
        if job.t_min is not None:
            old = read_block(connection, job.tag, job.t_min, self._damage)
            if self._remove(connection, job.tag, job.t_min) and len(old):
                whole = merged([Piece(0, old), Piece(1, job.new)])
        connection.executemany(
            "INSERT OR REPLACE INTO block (tag, t_min, t_max, n, seq, data) VALUES (?, ?, ?, ?, ?, ?)",
            [(job.tag, part.ticks[0], part.ticks[-1], len(part), self._end, encode(part)) for part in _parts(whole)],
        )

    def _remove(self, connection: sqlite3.Connection, tag: int, t_min: int) -> bool:
        """Delete a block; False when not even that is possible, it then stays beside what is new."""
        try:
            connection.execute("DELETE FROM block WHERE tag = ? AND t_min = ?", (tag, t_min))
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._damage.note_block(tag, t_min, error)
            return False
        return True

    # --- deleting

    def _delete(self, connection: sqlite3.Connection) -> Iterator[None]:
        newest = max(frame.t_max for frame in self._frames[-NEWEST:])
        with Transaction(connection):
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('newest', ?)", (newest,))
            connection.execute("INSERT OR REPLACE INTO meta VALUES ('compacted', ?)", (self._end,))
        yield
        for start in range(0, len(self._frames), _STEP_FRAMES):
            part = [(frame.seq,) for frame in self._frames[start : start + _STEP_FRAMES]]
            try:
                with Transaction(connection):
                    connection.executemany("DELETE FROM frame WHERE seq = ?", part)
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._delete_each(connection, part)
            yield

    def _delete_each(self, connection: sqlite3.Connection, frames: list[tuple[int]]) -> None:
        for (seq,) in frames:
            try:
                connection.execute("DELETE FROM frame WHERE seq = ?", (seq,))
            except sqlite3.DatabaseError as error:
                if not is_corrupt(error):
                    raise
                self._damage.note(seq, error)


def waiting(connection: sqlite3.Connection) -> int:
    """How many samples wait for compaction, as far as one pass can see. Raises sqlite3.Error."""
    (found,) = connection.execute(
        "SELECT coalesce(sum(n), 0) FROM (SELECT n FROM frame ORDER BY seq LIMIT ?)", (_PASS_FRAMES,)
    ).fetchone()
    return int(found)


def _chosen(connection: sqlite3.Connection) -> list[_Frame]:
    """The frames of a pass, the oldest first; empty when there is nothing to do."""
    (newest_block,) = connection.execute("SELECT coalesce(max(seq), 0) FROM block").fetchone()
    frames: list[_Frame] = []
    samples = 0
    for row in connection.execute("SELECT seq, n, t_max FROM frame ORDER BY seq"):
        frames.append(_Frame(*row))
        samples += frames[-1].n
        if frames[-1].seq > newest_block and (samples >= PASS_SAMPLES or len(frames) >= _PASS_FRAMES):
            break
    if not frames or frames[-1].seq <= newest_block:
        return []
    end = _end(connection, frames, samples, newest_block)
    return [frame for frame in frames if frame.seq <= end]


def _end(connection: sqlite3.Connection, frames: list[_Frame], samples: int, newest_block: int) -> int:
    """Number of the last frame: that of a sink that has read most of them, so that it gets none twice."""
    end, behind = frames[-1].seq, 0
    marks = {seq if tag == 2**63 - 1 else seq - 1 for seq, tag in connection.execute("SELECT seq, tag FROM cursor")}
    for frame in reversed(frames):
        if 2 * behind > samples or frame.seq <= newest_block:
            break
        if frame.seq in marks:
            end = frame.seq
        behind += frame.n
    return end


def _jobs(connection: sqlite3.Connection, tag: int, new: Columns) -> Iterator[_Job]:
    """What is to be written of a tag, in the order of time: a sample goes with the last block that begins before it."""
    blocks = connection.execute(
        "SELECT t_min, t_max, n FROM block WHERE tag = ? AND t_min <= ? AND t_min >= coalesce("
        "(SELECT max(t_min) FROM block WHERE tag = ? AND t_min <= ?), ?) ORDER BY t_min",
        (tag, new.ticks[-1], tag, new.ticks[0], new.ticks[0]),
    ).fetchall()
    if not blocks:  # all of it is older than the oldest block, or there is none
        blocks = connection.execute(
            "SELECT t_min, t_max, n FROM block WHERE tag = ? ORDER BY t_min LIMIT 1", (tag,)
        ).fetchall()
    older = bisect_left(new.ticks, blocks[0][0]) if blocks else len(new)
    if not blocks or older >= _SMALL:
        yield from _cut(tag, None, cut(new, 0, older), 0)
        new = cut(new, older, len(new))
    last = connection.execute("SELECT max(t_min) FROM block WHERE tag = ?", (tag,)).fetchone()[0]
    bounds = [0, *(bisect_left(new.ticks, t_min) for t_min, _, _ in blocks[1:]), len(new)]
    for (t_min, t_max, n), (low, high) in zip(blocks, pairwise(bounds), strict=False):
        part = cut(new, low, high)
        if not len(part):
            continue
        within = bisect_right(part.ticks, t_max)
        if t_min == last and not within and n >= _SMALL and n + len(part) > BLOCK_SAMPLES:
            yield from _cut(tag, None, part, 0)
        else:
            yield from _cut(tag, t_min, part, within)


def _cut(tag: int, t_min: int | None, new: Columns, together: int) -> Iterator[_Job]:
    """Jobs of bounded size; the first `together` samples lie within the block and cannot be parted from it."""
    first = together + _STEP_SAMPLES
    yield _Job(tag, t_min, cut(new, 0, first))
    for start in range(first, len(new), _STEP_SAMPLES):
        yield _Job(tag, None, cut(new, start, start + _STEP_SAMPLES))


def _parts(samples: Columns) -> Iterator[Columns]:
    """Parts of even size for a block each."""
    count = -(-len(samples) // BLOCK_SAMPLES)
    for part in range(count):
        yield cut(samples, part * len(samples) // count, (part + 1) * len(samples) // count)
