"""Reads one tag in the order of time: out of blocks, frames, and what waits for its commit. Runs on a thread.

The blocks of a tag do not overlap; frames overlap with each other and with blocks where samples came late. They are
taken up in the order of their first time, and samples are given when nothing that is still to be taken up can lie
before them; so memory holds what overlaps and not the range.
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from heapq import merge
from typing import Final, NamedTuple

from node.historian.history import Columns, Page, Position
from node.historian.store.block import BlockDamaged, decode
from node.historian.store.damage import Damage
from node.historian.store.database import is_corrupt
from node.historian.store.heads import Heads
from node.historian.store.pieces import Piece, Sweep, cut, extend, in_order, within, without_deletions
from node.historian.store.writer import DATA_LOST

# Samples that wait for their commit are newer than any frame.
_WAITING: Final = 2**63 - 1
# Keys of blocks are fetched in growing portions: a bound needs one, a page of 10,000 about twenty.
_FIRST_KEYS, _MOST_KEYS = 2, 64


@dataclass(frozen=True, slots=True)
class Request:
    """Up to `limit` samples of a tag with times from `low` to `high`, both included."""

    tag: str
    low: int
    high: int
    limit: int
    reverse: bool


class _Key(NamedTuple):
    """Where samples lie: a frame when `tag` is 0, else a block."""

    t_min: int
    t_max: int
    seq: int
    tag: int


class Reader:
    """Reads for one connection at a time, and remembers between reads what frames it has."""

    def __init__(self, damage: Damage) -> None:
        self._damage = damage
        self._heads: Heads | None = None

    def read(self, connection: sqlite3.Connection, request: Request, waiting: Columns) -> Page:
        """The page of a request from one state of the file, and from what `waiting` has of this tag and interval.

        Raises sqlite3.Error.
        """
        connection.execute("BEGIN")
        try:
            return self.page(connection, request, waiting)
        finally:
            connection.execute("ROLLBACK")

    def page(self, connection: sqlite3.Connection, request: Request, waiting: Columns) -> Page:
        """As `read`, inside of a transaction of the caller."""
        heads = self._heads
        if heads is None or heads.connection is not connection:
            heads = self._heads = Heads(connection, self._damage)
        try:
            heads.refresh()
        except BaseException:
            self._heads = None  # what it has learnt may be half of a row
            raise
        found = connection.execute("SELECT id FROM tag WHERE path = ?", (request.tag,)).fetchone()
        return _Reading(heads, request, found[0] if found else 0, self._damage).run(waiting)


class _Reading:
    """One pass over an interval."""

    def __init__(self, heads: Heads, request: Request, tag: int, damage: Damage) -> None:
        self._heads = heads
        self._request = request
        self._tag = tag
        self._damage = damage
        self._sweep = Sweep(reverse=request.reverse)
        self._page = Columns()

    def run(self, waiting: Columns) -> Page:
        """Take up sources until the page is full, and know whether more lies behind it."""
        request, limit, sweep = self._request, self._request.limit, self._sweep
        sweep.take_up(Piece(_WAITING, within(in_order(waiting), request.low, request.high)))
        for key in self._sources():
            self._give(key.t_max if request.reverse else key.t_min)
            if len(self._page) > limit:
                break
            sweep.take_up(self._piece(key))
        else:
            self._give(None)
        page = self._page
        if len(page) <= limit:
            return Page(page, None)
        page = cut(page, 0, limit)
        return Page(page, Position(page.ticks[-1]))

    def _give(self, bound: int | None) -> None:
        part = without_deletions(self._sweep.give(bound))
        if self._request.reverse:
            part = Columns(part.ticks[::-1], part.values[::-1], part.statuses[::-1])
        if len(self._page):
            extend(self._page, part)
        elif len(part):
            self._page = Columns(part.ticks[:], part.values[:], part.statuses[:])

    # --- where samples are

    def _sources(self) -> Iterator[_Key]:
        """Frames and blocks in the order in which they begin on the way."""
        if not self._tag:
            return
        low, high, reverse = self._request.low, self._request.high, self._request.reverse
        frames = (_Key(*row, 0) for row in self._heads.between(low, high, reverse=reverse))
        if reverse:
            yield from merge(frames, self._backward(), key=lambda key: -key.t_max)
        else:
            yield from merge(frames, self._forward(), key=lambda key: key.t_min)

    def _forward(self) -> Iterator[_Key]:
        low, high, count = self._request.low, self._request.high, _FIRST_KEYS
        rows = self._keys("t_min <= ? ORDER BY t_min DESC", low, 1)
        if rows and rows[0].t_max >= low:
            yield rows[0]
        while rows := self._keys("t_min > ? ORDER BY t_min", low, count):
            for row in rows:
                if row.t_min > high:
                    return
                yield row
            low, count = rows[-1].t_min, min(_MOST_KEYS, 4 * count)

    def _backward(self) -> Iterator[_Key]:
        low, high, count = self._request.low, self._request.high, _FIRST_KEYS
        where = "t_min <= ? ORDER BY t_min DESC"
        while rows := self._keys(where, high, count):
            for row in rows:
                if row.t_max < low:
                    return
                yield row
            where = "t_min < ? ORDER BY t_min DESC"
            high, count = rows[-1].t_min, min(_MOST_KEYS, 4 * count)

    def _keys(self, where: str, bound: int, count: int) -> list[_Key]:
        # The condition is one of the constants above.
        query = f"SELECT t_min, t_max, seq, tag FROM block WHERE tag = ? AND {where} LIMIT ?"  # noqa: S608
        rows = self._heads.connection.execute(query, (self._tag, bound, count))
        return [_Key(*row) for row in rows]

    # --- what is there

    def _piece(self, key: _Key) -> Piece:
        low, high = self._request.low, self._request.high
        if key.tag:
            connection, unpack = self._heads.connection, self._heads.unpacked.decode
            columns = read_block(connection, key.tag, key.t_min, self._damage, low, high, unpack)
        else:
            frame = self._heads.frame(key.seq)
            columns = Columns() if frame is None else within(in_order(frame.of(self._tag)), low, high)
        return Piece(key.seq, columns)


def read_block(
    connection: sqlite3.Connection,
    tag: int,
    t_min: int,
    damage: Damage,
    low: int = -(2**63),
    high: int = 2**63 - 1,
    unpack: Callable[[bytes, int, int], Columns] = decode,
) -> Columns:
    """The samples of a block in an interval; those of a damaged one are one sample that says Bad_DataLost.

    Raises sqlite3.Error.
    """
    try:
        row = connection.execute("SELECT data FROM block WHERE tag = ? AND t_min = ?", (tag, t_min)).fetchone()
        return unpack(row[0], low, high) if row is not None else Columns()
    except BlockDamaged as error:
        damage.note_block(tag, t_min, error)
    except sqlite3.DatabaseError as error:
        if not is_corrupt(error):
            raise
        damage.note_block(tag, t_min, error)
    if not low <= t_min <= high:
        return Columns()
    return Columns(array("q", [t_min]), [None], array("I", [DATA_LOST]))
