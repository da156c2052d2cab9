"""Changes of history by people: an `Editor` over the journal's file.

A change is a frame like any other, so that readers see it at once and sinks get it in its turn; a deletion is a frame
of marks. What was there before, or what was inserted where nothing was, goes to the table of modified values in the
same transaction.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, TypeVar

from address_space.model import Clock, Value
from node.historian.editing import Annotation, Change, Edited, ModifiedColumns, ModifiedPage
from node.historian.history import EARLIEST, LATEST, Columns, HistoryUnavailable, Position, interval
from node.historian.store.block import BlockDamaged, decode, encode
from node.historian.store.connection import Hop
from node.historian.store.damage import Damage
from node.historian.store.database import Transaction
from node.historian.store.frame import DELETED
from node.historian.store.reader import Reader, Request
from node.historian.store.writer import DATA_LOST, put_frame, tag_id

T = TypeVar("T")

# Deletions of any size go in transactions of so many samples: commits wait for each, some ten ms.
_SLICE: Final = 2_000
_PAGE: Final = 256

_Sample = tuple[Value | None, int]
_Known = dict[int, _Sample]
_MARK: Final[_Sample] = (DELETED, 0)


class Edits:
    """The `Editor` of a journal."""

    def __init__(
        self, on_disk: Hop, read_disk: Hop, flush: Callable[[], Awaitable[bool]], clock: Clock, damage: Damage
    ) -> None:
        """`flush` commits what waits, so that a change comes after what was recorded before it."""
        self._on_disk = on_disk
        self._read_disk = read_disk
        self._flush = flush
        self._clock = clock
        self._damage = damage
        self._reader = Reader(damage)  # for the connection that writes

    async def _changed(self, work: Callable[[sqlite3.Connection], T]) -> T:
        if not await self._flush():
            raise HistoryUnavailable("what was recorded cannot be written now, so history cannot be changed")
        return await self._on_disk(work)

    # --- samples

    async def write(self, tag: str, samples: Columns, change: Change, user: str) -> list[Edited]:
        """See `Editor.write`. Raises ValueError for Change.DELETE."""
        if change is Change.DELETE:
            raise ValueError("a deletion is no way to write samples")
        return await self._changed(partial(self._write, tag=tag, samples=samples, change=change, user=user))

    async def delete(self, tag: str, start: int, end: int, user: str) -> int:
        """See `Editor.delete`. Every slice is atomic; one that fails leaves those before it done."""
        deleted, low = 0, start
        while low < end:
            times, more = await self._changed(partial(self._delete, tag=tag, low=low, high=end - 1, user=user))
            deleted += len(times)
            if not more:
                break
            low = times[-1] + 1
        return deleted

    async def delete_at(self, tag: str, ticks: Sequence[int], user: str) -> list[Edited]:
        """See `Editor.delete_at`."""
        count = len(ticks)
        marks = Columns(array("q", ticks), [DELETED] * count, array("I", [0]) * count)
        return await self._changed(partial(self._write, tag=tag, samples=marks, change=Change.DELETE, user=user))

    def _write(
        self, connection: sqlite3.Connection, tag: str, samples: Columns, change: Change, user: str
    ) -> list[Edited]:
        with Transaction(connection):
            before = self._existing(connection, tag, samples.ticks)
            now: _Known = dict(before)
            results = [
                _apply(now, ticks, (value, status), change)
                for ticks, value, status in zip(samples.ticks, samples.values, samples.statuses, strict=True)
            ]
            if change is Change.DELETE:
                new = {ticks: _MARK for ticks in before if ticks not in now}
            else:
                done = {t for t, result in zip(samples.ticks, results, strict=True) if result < Edited.EXISTS}
                new = {ticks: now[ticks] for ticks in done}
            self._put(connection, tag, new, before, change, user)
            return results

    def _delete(
        self, connection: sqlite3.Connection, tag: str, low: int, high: int, user: str
    ) -> tuple[array[int], bool]:
        with Transaction(connection):
            page = self._reader.page(connection, Request(tag, low, high, _SLICE, reverse=False), Columns())
            old = page.columns
            before = dict(zip(old.ticks, zip(old.values, old.statuses, strict=True), strict=True))
            self._put(connection, tag, dict.fromkeys(before, _MARK), before, Change.DELETE, user)
            return old.ticks, page.next is not None

    def _existing(self, connection: sqlite3.Connection, tag: str, ticks: Sequence[int]) -> _Known:
        """What there is at some times; a page is read from each of them that the last page did not reach."""
        found: _Known = {}
        wanted = sorted(set(ticks))
        reached = EARLIEST
        for time in wanted:
            if time < reached:
                continue
            page = self._reader.page(connection, Request(tag, time, wanted[-1], _PAGE, reverse=False), Columns())
            old = page.columns
            found.update(zip(old.ticks, zip(old.values, old.statuses, strict=True), strict=True))
            if page.next is None:
                break
            reached = page.next.ticks + 1
        return {time: found[time] for time in wanted if time in found}

    def _put(
        self, connection: sqlite3.Connection, tag: str, new: _Known, before: _Known, change: Change, user: str
    ) -> None:
        if not new:
            return
        tag_number = tag_id(connection, tag)
        values, statuses = [value for value, _ in new.values()], [status for _, status in new.values()]
        seq = put_frame(connection, [tag_number] * len(new), list(new), values, statuses)
        at = self._clock.now()
        connection.executemany(
            "INSERT INTO modified (tag, ticks, seq, change, at, user, data) VALUES (?, ?, ?, ?, ?, ?, ?)",
            [
                (tag_number, ticks, seq, change, at, user, _packed(ticks, *before[ticks]))
                if ticks in before
                # What was inserted is told as such, with the new value (OPC 10000-11 section 6.5.3.3).
                else (tag_number, ticks, seq, Change.INSERT, at, user, _packed(ticks, *sample))
                for ticks, sample in new.items()
            ],
        )

    # --- what was there before

    async def modified(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> ModifiedPage:
        """See `Editor.modified`."""
        low, high = interval(start, end, after, reverse=reverse)
        return await self._read_disk(partial(self._modified, tag=tag, low=low, high=high, limit=limit, reverse=reverse))

    def _modified(
        self, connection: sqlite3.Connection, tag: str, low: int, high: int, limit: int, *, reverse: bool
    ) -> ModifiedPage:
        # The direction is one of two words.
        query = (
            "SELECT ticks, change, at, user, data FROM modified WHERE tag = (SELECT id FROM tag WHERE path = ?)"  # noqa: S608
            f" AND ticks BETWEEN ? AND ? ORDER BY ticks {'DESC' if reverse else 'ASC'}, seq DESC"
        )
        page = ModifiedPage(ModifiedColumns(), None)
        columns = page.modified.columns
        for ticks, change, at, user, data in connection.execute(query, (tag, low, high)):
            if len(columns) >= limit and ticks != columns.ticks[-1]:
                return ModifiedPage(page.modified, Position(columns.ticks[-1]))
            columns.append(ticks, *self._unpacked(data, ticks))
            page.modified.at.append(at)
            page.modified.changes.append(Change(change))
            page.modified.users.append(user)
        return page

    def _unpacked(self, data: bytes, ticks: int) -> tuple[Value | None, int]:
        try:
            old = decode(data)
        except BlockDamaged as error:
            self._damage.note_block(0, ticks, error)
            return None, DATA_LOST
        return old.values[0], old.statuses[0]

    async def delete_modified(self, tag: str, start: int, end: int) -> int:
        """See `Editor.delete_modified`."""
        deleted = 0
        while count := await self._on_disk(partial(_delete_modified, tag=tag, start=start, end=end)):
            deleted += count
        return deleted

    # --- annotations

    async def annotate(self, tag: str, annotations: Sequence[Annotation], change: Change) -> list[Edited]:
        """See `Editor.annotate`."""
        return await self._on_disk(partial(_annotate, tag=tag, annotations=annotations, change=change))

    async def annotations(
        self, tag: str, start: int | None, end: int | None, *, limit: int, after: Annotation | None = None
    ) -> list[Annotation]:
        """See `Editor.annotations`. Of one time the order is that of making, then that of the users' names."""
        low, high = EARLIEST if start is None else start, LATEST if end is None else end - 1
        behind = (EARLIEST, EARLIEST, "") if after is None else (after.ticks, after.at, after.user)
        rows = await self._read_disk(
            lambda connection: connection.execute(
                "SELECT ticks, at, user, message FROM annotation WHERE tag = (SELECT id FROM tag WHERE path = ?)"
                " AND ticks BETWEEN ? AND ? AND (ticks, at, user) > (?, ?, ?) ORDER BY ticks, at, user LIMIT ?",
                (tag, low, high, *behind, limit),
            ).fetchall()
        )
        return [Annotation(*row) for row in rows]


def _apply(now: _Known, ticks: int, sample: _Sample, change: Change) -> Edited:
    """Change what is known of one time, as far as the change allows."""
    there = ticks in now
    if change is Change.DELETE:
        if not there:
            return Edited.MISSING
        del now[ticks]
        return Edited.DELETED
    if there and change is Change.INSERT:
        return Edited.EXISTS
    if not there and change is Change.REPLACE:
        return Edited.MISSING
    now[ticks] = sample
    return Edited.REPLACED if there else Edited.INSERTED


def _packed(ticks: int, value: Value | None, status: int) -> bytes:
    return encode(Columns(array("q", [ticks]), [value], array("I", [status])))


def _delete_modified(connection: sqlite3.Connection, tag: str, start: int, end: int) -> int:
    with Transaction(connection):
        rows = connection.execute(
            "SELECT tag, ticks, seq FROM modified WHERE tag = (SELECT id FROM tag WHERE path = ?)"
            " AND ticks >= ? AND ticks < ? LIMIT ?",
            (tag, start, end, _SLICE),
        ).fetchall()
        connection.executemany("DELETE FROM modified WHERE tag = ? AND ticks = ? AND seq = ?", rows)
        return len(rows)


def _annotate(
    connection: sqlite3.Connection, tag: str, annotations: Sequence[Annotation], change: Change
) -> list[Edited]:
    with Transaction(connection):
        number = tag_id(connection, tag)
        return [_annotate_one(connection, number, annotation, change) for annotation in annotations]


def _annotate_one(connection: sqlite3.Connection, tag: int, annotation: Annotation, change: Change) -> Edited:
    key = (tag, annotation.ticks, annotation.at, annotation.user)
    where = "WHERE tag = ? AND ticks = ? AND at = ? AND user = ?"
    there = connection.execute(f"SELECT 1 FROM annotation {where}", key).fetchone() is not None  # noqa: S608
    if change is Change.DELETE:
        connection.execute(f"DELETE FROM annotation {where}", key)  # noqa: S608
        return Edited.DELETED if there else Edited.MISSING
    if there and change is Change.INSERT:
        return Edited.EXISTS
    if not there and change is Change.REPLACE:
        return Edited.MISSING
    connection.execute(
        "INSERT OR REPLACE INTO annotation (tag, ticks, at, user, message) VALUES (?, ?, ?, ?, ?)",
        (*key, annotation.message),
    )
    return Edited.REPLACED if there else Edited.INSERTED
