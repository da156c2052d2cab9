"""The journal as sinks see it, out of its tables: a `Feed`.

Blobs are fetched on the reader's connection and decoded on a thread of their own, so that history is read meanwhile.
"""

from __future__ import annotations

import asyncio
import sqlite3
from array import array
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from heapq import merge
from itertools import repeat
from operator import index
from typing import Final, Protocol, TypeVar

from address_space.model import Clock
from node.historian.forwarding.feed import NO_ENTRY, START, Mark, Portion, Quarantined
from node.historian.history import Columns
from node.historian.store.block import BlockDamaged, decode
from node.historian.store.damage import Damage
from node.historian.store.database import Transaction, is_corrupt
from node.historian.store.frame import DELETED, Frame, FrameDamaged

T = TypeVar("T")

# Lines kept for people, of all sinks: the oldest go, they are counted by the sink.
QUARANTINE_LINES: Final = 10_000
LINE_CHARS: Final = 4_000  # a longer line is kept in part
# How many frames or blocks are looked at to tell how many samples a row has.
_LOOK: Final = 64
_LAST: Final = START.tag  # of a mark behind a whole frame
# A row of 16 thousand samples is the largest frame; so many rows are fetched in one go at most.
_ROWS: Final = 1_000


class Hops(Protocol):
    """Work on the journal's connections; both raise HistoryUnavailable. The journal is one."""

    def on_disk(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        """Result of work on the connection that writes."""
        ...

    def read_disk(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        """Result of work on the connection that reads."""
        ...


@dataclass(frozen=True, slots=True)
class _Row:
    """One frame or one block; `blob` is None when it cannot be read."""

    mark: Mark
    blob: bytes | None


class FeedReader:
    """Gives the journal to sinks in its durable order, and keeps how far each has got."""

    def __init__(self, hops: Hops, clock: Clock, damage: Damage) -> None:
        self._hops = hops
        self._clock = clock
        self._damage = damage
        self._paths: dict[int, str] = {}

    async def newest(self) -> Mark:
        """See `Feed.newest`."""
        return await self._hops.read_disk(_newest)

    async def read(self, after: Mark, *, limit: int) -> Portion | None:
        """See `Feed.read`."""
        rows, mark, paths = await self._hops.read_disk(
            partial(_fetch, after=after, limit=limit, known=self._paths, damage=self._damage)
        )
        self._paths = paths
        if mark <= after:
            return None
        return await asyncio.to_thread(_decode, rows, mark, paths, self._damage)

    async def waiting(self, after: Mark) -> tuple[int, int | None]:
        """See `Feed.waiting`."""
        return await self._hops.read_disk(partial(_waiting, after=after))

    async def cursor(self, sink: str) -> Mark:
        """See `Feed.cursor`."""
        return await self._hops.read_disk(partial(_cursor, sink=sink))

    async def move(self, sink: str, mark: Mark, known: Mark = START) -> None:
        """See `Feed.move`."""
        await self._hops.on_disk(partial(_move, sink=sink, mark=mark, known=known, now=self._clock.now()))

    async def quarantine(self, sink: str, lines: Sequence[tuple[str, str]], mark: Mark, known: Mark = START) -> None:
        """See `Feed.quarantine`."""
        work = partial(_quarantine, sink=sink, lines=lines, mark=mark, known=known, now=self._clock.now())
        await self._hops.on_disk(work)

    async def quarantined(self, sink: str | None = None, *, limit: int = 1000) -> list[Quarantined]:
        """See `Feed.quarantined`."""
        return await self._hops.read_disk(partial(_quarantined, sink=sink, limit=limit))

    async def release(self, sink: str, ids: Sequence[int]) -> int:
        """See `Feed.release`."""
        return await self._hops.on_disk(partial(_release, sink=sink, ids=ids))


# --- on the connections' threads


def _newest(connection: sqlite3.Connection) -> Mark:
    # What SQLite has given out last, also when the frames themselves are in blocks by now.
    row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'frame'").fetchone()
    return Mark(row[0]) if row is not None else START


def _fetch(
    connection: sqlite3.Connection, after: Mark, limit: int, known: dict[int, str], damage: Damage
) -> tuple[list[_Row], Mark, dict[int, str]]:
    """Rows behind a mark in order, until they have `limit` samples; the mark behind them; the paths of all tags."""
    connection.execute("BEGIN")  # one state of the file: a row may become part of another meanwhile
    try:
        rows, all_of_them = _rows(connection, after, limit, damage)
        # What is in blocks later is what was in these rows: the end is behind the newest frame that there ever was.
        mark = _newest(connection) if all_of_them else rows[-1].mark
        (tags,) = connection.execute("SELECT count(*) FROM tag").fetchone()
        paths = known if tags == len(known) else dict(connection.execute("SELECT id, path FROM tag").fetchall())
        return rows, mark, paths
    finally:
        connection.execute("ROLLBACK")


def _rows(connection: sqlite3.Connection, after: Mark, limit: int, damage: Damage) -> tuple[list[_Row], bool]:
    """The rows, and whether there are no more of them."""
    # A frame comes behind the blocks that end with its number.
    frames = connection.execute(
        "SELECT seq, n FROM frame WHERE seq > ? ORDER BY seq", (after.seq if after.tag == _LAST else after.seq - 1,)
    )
    blocks = connection.execute(
        "SELECT seq, tag, t_min, n FROM block WHERE (seq, tag, t_min) > (?, ?, ?) ORDER BY seq, tag, t_min",
        (after.seq, after.tag, after.ticks),
    )
    found: list[_Row] = []
    count, more = 0, False
    in_order = merge(((Mark(*row[:-1]), row[-1]) for row in frames), ((Mark(*row[:-1]), row[-1]) for row in blocks))
    for mark, samples in in_order:
        found.append(_Row(mark, _blob(connection, mark, damage)))
        count += samples
        if count >= limit or len(found) == _ROWS:
            more = True
            break
    frames.close()
    blocks.close()
    return found, not more


def _blob(connection: sqlite3.Connection, mark: Mark, damage: Damage) -> bytes | None:
    """What stands at a mark; None when the file is damaged there, which costs only this row."""
    try:
        if mark.tag == _LAST:
            row = connection.execute("SELECT data FROM frame WHERE seq = ?", (mark.seq,)).fetchone()
        else:
            place = (mark.tag, mark.ticks)
            row = connection.execute("SELECT data FROM block WHERE tag = ? AND t_min = ?", place).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        if mark.tag == _LAST:
            damage.note(mark.seq, error)
        else:
            damage.note_block(mark.tag, mark.ticks, error)
        return None
    return bytes(row[0])


def _waiting(connection: sqlite3.Connection, after: Mark) -> tuple[int, int | None]:
    """Samples behind a mark, from the number of rows: reading them all to count them would take seconds."""
    first_after = after.seq if after.tag == _LAST else after.seq - 1
    frames, oldest = 0, None
    row = connection.execute(
        "SELECT seq, t_min FROM frame WHERE seq > ? ORDER BY seq LIMIT 1", (first_after,)
    ).fetchone()
    if row is not None:
        first, oldest = row
        (last,) = connection.execute("SELECT max(seq) FROM frame").fetchone()
        looked = connection.execute(
            "SELECT n FROM frame WHERE seq >= ? ORDER BY seq LIMIT ?", (first, _LOOK)
        ).fetchall()
        looked += connection.execute(
            "SELECT n FROM frame WHERE seq >= ? ORDER BY seq DESC LIMIT ?", (first + len(looked), _LOOK)
        ).fetchall()
        frames = _estimate(last - first + 1, [n for (n,) in looked])
    behind = "FROM block WHERE (seq, tag, t_min) > (?, ?, ?)"
    place = (after.seq, after.tag, after.ticks)
    rows, t_min = connection.execute(f"SELECT count(*), min(t_min) {behind}", place).fetchone()
    looked = connection.execute(f"SELECT n {behind} LIMIT ?", (*place, _LOOK)).fetchall()
    blocks = _estimate(rows, [n for (n,) in looked])
    return frames + blocks, min((t for t in (oldest, t_min) if t is not None), default=None)


def _estimate(rows: int, looked: Sequence[int]) -> int:
    return round(rows * sum(looked) / len(looked)) if looked else 0


def _cursor(connection: sqlite3.Connection, sink: str) -> Mark:
    row = connection.execute("SELECT seq, tag, ticks FROM cursor WHERE sink = ?", (sink,)).fetchone()
    return Mark(*map(index, row)) if row is not None else START


def _move(connection: sqlite3.Connection, sink: str, mark: Mark, known: Mark, now: int) -> None:
    with Transaction(connection):
        _put_cursor(connection, sink, mark, known, now)


def _put_cursor(connection: sqlite3.Connection, sink: str, mark: Mark, known: Mark, now: int) -> None:
    # A mark that no frame has reached is that of another file, which this one was begun in place of; so is one of a
    # sink that this file does not know.
    if mark.seq > _newest(connection).seq:
        return
    if known > START and connection.execute("SELECT 1 FROM cursor WHERE sink = ?", (sink,)).fetchone() is None:
        return
    connection.execute(
        "INSERT INTO cursor (sink, seq, tag, ticks, updated) VALUES (?, ?, ?, ?, ?) ON CONFLICT (sink) DO UPDATE SET"
        " seq = excluded.seq, tag = excluded.tag, ticks = excluded.ticks, updated = excluded.updated"
        " WHERE (excluded.seq, excluded.tag, excluded.ticks) > (cursor.seq, cursor.tag, cursor.ticks)"
        " AND (cursor.seq, cursor.tag, cursor.ticks) >= (?, ?, ?)",
        (sink, mark.seq, mark.tag, mark.ticks, now, known.seq, known.tag, known.ticks),
    )


def _quarantine(
    connection: sqlite3.Connection, sink: str, lines: Sequence[tuple[str, str]], mark: Mark, known: Mark, now: int
) -> None:
    with Transaction(connection):
        connection.executemany(
            "INSERT INTO quarantine (sink, seq, line, reason, at) VALUES (?, ?, ?, ?, ?)",
            [(sink, mark.seq, _kept(line), _kept(reason), now) for line, reason in lines],
        )
        connection.execute(
            "DELETE FROM quarantine WHERE id <= (SELECT max(id) FROM quarantine) - ?", (QUARANTINE_LINES,)
        )
        _put_cursor(connection, sink, mark, known, now)


def _kept(text: str) -> str:
    return text[:LINE_CHARS].encode("utf-8", "replace").decode()


def _quarantined(connection: sqlite3.Connection, sink: str | None, limit: int) -> list[Quarantined]:
    rows = connection.execute(
        "SELECT id, sink, line, reason, at FROM quarantine WHERE ?1 IS NULL OR sink = ?1 ORDER BY id DESC LIMIT ?2",
        (sink, limit),
    )
    return [Quarantined(*row) for row in rows]


def _release(connection: sqlite3.Connection, sink: str, ids: Sequence[int]) -> int:
    with Transaction(connection):
        done = connection.executemany(
            "DELETE FROM quarantine WHERE sink = ? AND id = ?", zip(repeat(sink, len(ids)), ids, strict=True)
        )
        return done.rowcount


# --- on a thread of its own


def _decode(rows: Sequence[_Row], mark: Mark, paths: dict[int, str], damage: Damage) -> Portion:
    tags = array("i")
    samples = Columns()
    for row in rows:
        try:
            _decode_row(row, tags, samples)
        except FrameDamaged as error:
            damage.note(row.mark.seq, error)
        except BlockDamaged as error:
            damage.note_block(row.mark.tag, row.mark.ticks, error)
    tags, samples = _last_of_each(tags, samples)
    # A tag without a path was never a point: nothing of it would have been written.
    names = [paths.get(tag) or f"tag{tag}" for tag in tags]
    return Portion(mark, names, samples, _mark_deleted(samples))


def _decode_row(row: _Row, tags: array[int], samples: Columns) -> None:
    """Append the samples of a row; raises FrameDamaged or BlockDamaged and then has appended nothing."""
    if row.blob is None:
        return
    if row.mark.tag == _LAST:
        frame = Frame(row.blob)
        columns, of = frame.columns(), frame.tags
    else:
        columns = decode(row.blob)
        of = array("i", [row.mark.tag]) * len(columns)
    tags.extend(of)
    samples.ticks.extend(columns.ticks)
    samples.values.extend(columns.values)
    samples.statuses.extend(columns.statuses)


def _last_of_each(tags: array[int], samples: Columns) -> tuple[array[int], Columns]:
    """Of samples of one tag and time only the last: not every sink keeps the order within a request."""
    # Integers, for which the garbage collector has no work, in place of pairs.
    keys = [(tag << 64) + ticks for tag, ticks in zip(tags, samples.ticks, strict=True)]
    if len(set(keys)) == len(keys):
        return tags, samples
    kept = sorted({key: position for position, key in enumerate(keys)}.values())
    return array("i", [tags[p] for p in kept]), Columns(
        array("q", [samples.ticks[p] for p in kept]),
        [samples.values[p] for p in kept],
        array("I", [samples.statuses[p] for p in kept]),
    )


def _mark_deleted(samples: Columns) -> list[int]:
    """Give deleted samples no value and the status that says so; their positions."""
    values = samples.values
    if type(DELETED) not in set(map(type, values)):
        return []
    found = [position for position, value in enumerate(values) if value is DELETED]
    for position in found:
        values[position], samples.statuses[position] = None, NO_ENTRY
    return found
