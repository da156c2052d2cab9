"""What goes when the journal is too old or too large, on its file. Runs on the writer's thread, in small steps.

Blocks go in the order in which the journal was written, which is that of the sinks, too: those that every sink has come
first. Frames are the newest and go last. The newest block of a tag stays as long as anything else can go, because it
says what a point that seldom changes is now.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Collection
from dataclasses import dataclass, replace
from operator import index
from os import statvfs
from pathlib import Path
from typing import Final

from node.historian.forwarding.feed import START, Mark
from node.historian.store.database import Transaction, is_corrupt
from node.historian.store.retention_rule import Budget, WhenFull
from node.historian.store.writer import DATA_LOST, NEWEST, put_frame

# What may come between two looks at the disk: the log of commits, and what a pass of compaction writes.
SEGMENT_BYTES: Final = 8_000_000
# Other users of the disk can make the journal this small, not smaller.
_LEAST_BYTES: Final = 16_000_000
# One step takes some milliseconds: commits wait for it.
_STEP_BLOCKS: Final = 32
_STEP_FRAMES: Final = 16
_STEP_EVENTS: Final = 500
_STEP_PAGES: Final = 256
_LOOK_BLOCKS: Final = 2_048
# Events may have this part of the budget.
_EVENT_SHARE: Final = 8
_EVENT_OVERHEAD: Final = 60  # bytes of a row and its place in the index, beside its texts


@dataclass(frozen=True, slots=True)
class Usage:
    """What the journal has on its disk, in bytes."""

    file: int
    log: int  # commits that are not in the file yet
    pages: int  # what the file has once they are
    spare: int  # those of them that hold nothing
    free: int  # of the partition, for anybody
    total: int  # of the partition

    @property
    def on_disk(self) -> int:
        """Everything that the journal takes."""
        return self.file + self.log


@dataclass(frozen=True, slots=True)
class Freed:
    """What was deleted so far: samples, those of them that a sink has not taken, their times (0 = none), events."""

    samples: int = 0
    unsent: int = 0
    first: int = 0
    last: int = 0
    events: int = 0


@dataclass(frozen=True, slots=True)
class _Block:
    tag: int
    t_min: int
    t_max: int
    n: int
    size: int


def usage(connection: sqlite3.Connection, path: Path) -> Usage:
    """Sizes of the file, and of its partition. Raises sqlite3.Error and OSError."""
    (size,) = connection.execute("PRAGMA page_size").fetchone()
    (pages,) = connection.execute("PRAGMA page_count").fetchone()
    (spare,) = connection.execute("PRAGMA freelist_count").fetchone()
    disk = statvfs(path.parent)
    block = disk.f_frsize
    file, log = path.stat().st_size, _size(path.with_name(path.name + "-wal"))
    return Usage(file, log, pages * size, spare * size, disk.f_bavail * block, disk.f_blocks * block)


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except FileNotFoundError:
        return 0


def allowed(budget: Budget, used: Usage) -> int:
    """Bytes that the journal may have on the disk now."""
    return min(budget.bytes, max(used.on_disk + used.free - budget.floor, _LEAST_BYTES))


def excess(budget: Budget, used: Usage) -> int:
    """Bytes of samples and events that must go; negative when there is room."""
    most = allowed(budget, used)
    # The log comes and goes: it has its place beside the samples, and so has what comes until the next look.
    reserve = min(max(SEGMENT_BYTES, used.log + SEGMENT_BYTES // 2), most // 2)
    return used.pages - used.spare + reserve - most


def oldest(connection: sqlite3.Connection) -> int | None:
    """Time of about the oldest sample; None when there is none."""
    (block,) = connection.execute(
        "SELECT min(t_min) FROM (SELECT t_min FROM block INDEXED BY block_seq ORDER BY seq, tag, t_min LIMIT 1000)"
    ).fetchone()
    if block is not None:
        return index(block)
    (frame,) = connection.execute("SELECT min(t_min) FROM (SELECT t_min FROM frame ORDER BY seq LIMIT 100)").fetchone()
    return None if frame is None else index(frame)


def taken(connection: sqlite3.Connection, sinks: Collection[str]) -> Mark | None:
    """Up to where every one of these sinks has the journal; None when there are none."""
    if not sinks:
        return None
    marks = {sink: Mark(*place) for sink, *place in connection.execute("SELECT sink, seq, tag, ticks FROM cursor")}
    return min(marks.get(sink, START) for sink in sinks)


class Room:
    """Makes room: deletes the oldest until `need` bytes are free, as far as the policy lets it."""

    def __init__(self, need: int, when_full: WhenFull, sinks: Collection[str]) -> None:
        self._need = need
        self._policy = when_full
        self._sinks = sinks
        self._after = Mark(0, 0, -(2**63))
        self._sparing = True  # the newest blocks of the tags are left for a second round
        self.freed = Freed()
        self.is_full = False  # the policy lets nothing more go

    def step(self, connection: sqlite3.Connection) -> bool:
        """Delete a little; False when enough is free or nothing more may go. Raises sqlite3.Error."""
        if self._need <= 0 or self.is_full:
            return False
        before = (self._need, self._after, self._sparing, self.freed)
        try:
            with Transaction(connection):
                sent = taken(connection, self._sinks)
                if not (self._events(connection) or self._blocks(connection, sent) or self._frames(connection, sent)):
                    self.is_full = not self._last_events(connection)
        except sqlite3.Error:
            self._need, self._after, self._sparing, self.freed = before  # nothing of it was done
            raise
        return self._need > 0 and not self.is_full

    def _may_go(self, mark: Mark, sent: Mark | None) -> bool:
        return self._policy is WhenFull.KEEP_NEW or (sent is not None and mark <= sent)

    def _blocks(self, connection: sqlite3.Connection, sent: Mark | None) -> bool:
        """Delete some blocks; False when there are none that may go."""
        while True:
            marks = _keys_after(connection, self._after, _STEP_BLOCKS)
            if not marks:
                if not self._sparing or self._policy is WhenFull.KEEP_OLD:
                    return False
                self._sparing, self._after = False, Mark(0, 0, -(2**63))
                continue
            before = self._need
            for mark in marks:
                if not self._may_go(mark, sent):
                    return self._need < before
                self._after = mark
                block = _block(connection, mark)
                if block is None or (self._sparing and _is_newest(connection, block)):
                    continue
                if _delete_block(connection, block):
                    self._count(block.n, block.t_min, block.t_max, block.size, sent is not None and mark > sent)
                if self._need <= 0:
                    break
            return True

    def _frames(self, connection: sqlite3.Connection, sent: Mark | None) -> bool:
        """Delete some frames that no pass has made blocks of; the newest stay."""
        rows = connection.execute(
            "SELECT seq, n, t_min, t_max, length(data) FROM frame WHERE seq <="
            " (SELECT seq FROM frame ORDER BY seq DESC LIMIT 1 OFFSET ?) ORDER BY seq LIMIT ?",
            (NEWEST, _STEP_FRAMES),
        ).fetchall()
        done = False
        for seq, n, t_min, t_max, size in rows:
            if not self._may_go(Mark(seq), sent):
                break
            connection.execute("DELETE FROM frame WHERE seq = ?", (seq,))
            self._count(n, t_min, t_max, size, sent is not None and Mark(seq) > sent)
            done = True
        return done

    def _events(self, connection: sqlite3.Connection) -> bool:
        """Delete the oldest events when they have more than their part."""
        if self._policy is WhenFull.KEEP_OLD:
            return False
        (pages,) = connection.execute("PRAGMA page_count").fetchone()
        (size,) = connection.execute("PRAGMA page_size").fetchone()
        return events_size(connection) > pages * size // _EVENT_SHARE and self._last_events(connection)

    def _last_events(self, connection: sqlite3.Connection) -> bool:
        if self._policy is WhenFull.KEEP_OLD:
            return False
        before = events_size(connection)
        done = connection.execute(
            "DELETE FROM event WHERE seq IN (SELECT seq FROM event ORDER BY seq LIMIT ?)", (_STEP_EVENTS,)
        ).rowcount
        self._need -= before - events_size(connection)
        self.freed = replace(self.freed, events=self.freed.events + done)
        return done > 0

    def _count(self, n: int, t_min: int, t_max: int, size: int, unsent: bool) -> None:
        self._need -= size
        freed = self.freed
        self.freed = replace(freed, samples=freed.samples + n)
        if unsent:
            first = min(freed.first, t_min) if freed.unsent else t_min
            self.freed = replace(self.freed, unsent=freed.unsent + n, first=first, last=max(freed.last, t_max))


class Aging:
    """One look at everything for what is older than `cutoff` (ticks); what a sink has not taken yet stays."""

    def __init__(self, cutoff: int, sinks: Collection[str]) -> None:
        self._cutoff = cutoff
        self._sinks = sinks
        self._after = Mark(0, 0, -(2**63))
        self._tables = ["event", "modified", "annotation"]
        self.freed = Freed()

    def step(self, connection: sqlite3.Connection) -> bool:
        """Look at some, delete what is too old; False at the end. Raises sqlite3.Error."""
        before = self.freed
        try:
            with Transaction(connection):
                if not self._tables:
                    return self._blocks(connection)
                if not self._rows(connection, self._tables[-1]):
                    self._tables.pop()
                return True
        except sqlite3.Error:
            self.freed = before
            raise

    def _rows(self, connection: sqlite3.Connection, table: str) -> bool:
        key = {"event": "seq", "modified": "tag, ticks, seq", "annotation": "tag, ticks, at, user"}[table]
        done = connection.execute(
            f"DELETE FROM {table} WHERE ({key}) IN (SELECT {key} FROM {table} WHERE ticks < ? LIMIT ?)",  # noqa: S608
            (self._cutoff, _STEP_EVENTS),
        ).rowcount
        if table == "event":
            self.freed = replace(self.freed, events=self.freed.events + done)
        return done == _STEP_EVENTS

    def _blocks(self, connection: sqlite3.Connection) -> bool:
        sent = taken(connection, self._sinks)
        keys = _keys_after(connection, self._after, _LOOK_BLOCKS)
        deleted = 0
        for mark in keys:
            if sent is not None and mark > sent:
                return False
            self._after = mark
            if mark.ticks >= self._cutoff:
                continue
            block = _block(connection, mark)
            if block is None or block.t_max >= self._cutoff or _is_newest(connection, block):
                continue
            if not _delete_block(connection, block):
                continue
            self.freed = replace(self.freed, samples=self.freed.samples + block.n)
            deleted += 1
            if deleted >= _STEP_BLOCKS:
                return True
        return len(keys) == _LOOK_BLOCKS


def shrink(connection: sqlite3.Connection, pages: int) -> None:
    """Give up to this many spare pages of the file back to the disk. Raises sqlite3.Error."""
    # `execute` would do one page: it takes this for a statement that gives nothing.
    connection.executescript(f"PRAGMA incremental_vacuum({min(pages, _STEP_PAGES)})")


def settle(connection: sqlite3.Connection, *, give_back: bool) -> None:
    """Bring the log into the file, as far as nobody reads it; with `give_back` its space is free for others then.

    Raises sqlite3.Error.
    """
    if not give_back:
        connection.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()
        return
    (busy_ms,) = connection.execute("PRAGMA busy_timeout").fetchone()
    connection.execute("PRAGMA busy_timeout = 0")  # who reads now is not waited for
    try:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchall()
    finally:
        connection.execute(f"PRAGMA busy_timeout = {busy_ms}")


def events_size(connection: sqlite3.Connection) -> int:
    """About how many bytes the events have, by their numbers and the newest of them."""
    # Asked for in one go, SQLite would look at every row.
    (first,) = connection.execute("SELECT min(seq) FROM event").fetchone()
    (last,) = connection.execute("SELECT max(seq) FROM event").fetchone()
    if first is None:
        return 0
    (mean,) = connection.execute(
        "SELECT avg(length(source) + length(type) + length(body)) FROM"
        " (SELECT source, type, body FROM event ORDER BY seq DESC LIMIT 100)"
    ).fetchone()
    return int((last - first + 1) * (mean + _EVENT_OVERHEAD))


# --- blocks ------------------------------------------------------------------------------------------------


def _keys_after(connection: sqlite3.Connection, after: Mark, limit: int) -> list[Mark]:
    rows = connection.execute(
        "SELECT seq, tag, t_min FROM block INDEXED BY block_seq WHERE (seq, tag, t_min) > (?, ?, ?)"
        " ORDER BY seq, tag, t_min LIMIT ?",
        (after.seq, after.tag, after.ticks, limit),
    )
    return [Mark(*row) for row in rows]


def _block(connection: sqlite3.Connection, mark: Mark) -> _Block | None:
    """What is known of a block; None when it is gone or cannot be read."""
    try:
        row = connection.execute(
            "SELECT t_max, n, length(data) FROM block WHERE tag = ? AND t_min = ?", (mark.tag, mark.ticks)
        ).fetchone()
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        return None
    return None if row is None else _Block(mark.tag, mark.ticks, *row)


def _is_newest(connection: sqlite3.Connection, block: _Block) -> bool:
    newer = connection.execute("SELECT 1 FROM block WHERE tag = ? AND t_min > ? LIMIT 1", (block.tag, block.t_min))
    return newer.fetchone() is None


def _delete_block(connection: sqlite3.Connection, block: _Block) -> bool:
    """Delete a block; where older samples of the tag stay, history says from when on some are lost.

    False when its pages are broken: it stays, and does not keep others from going.
    """
    try:
        connection.execute("DELETE FROM block WHERE tag = ? AND t_min = ?", (block.tag, block.t_min))
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        return False
    older = connection.execute("SELECT 1 FROM block WHERE tag = ? AND t_min < ? LIMIT 1", (block.tag, block.t_min))
    if older.fetchone() is not None:
        put_frame(connection, [block.tag], [block.t_min], [None], [DATA_LOST])
    return True
