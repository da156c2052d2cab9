"""Reads one tag out of the frames in the order of time. Pure but for the connection; runs on its thread.

Frames overlap in time where samples came late. They are taken up in the order of their first time, and a
sample is given when no later one to be taken up can lie before it; so memory holds what overlaps and not the range.
"""

from __future__ import annotations

import sqlite3
from dataclasses import dataclass
from heapq import heappop, heappush
from typing import Final

from address_space.model import Value
from node.historian.damage import Damage
from node.historian.database import is_corrupt
from node.historian.frame import Frame, FrameDamaged
from node.historian.history import Columns, Page, Position

# Samples that wait for their commit are newer than any frame.
_WAITING: Final = 2**63 - 1


@dataclass(frozen=True, slots=True)
class Request:
    """Up to `limit` samples of a tag with times from `low` to `high`, both included."""

    tag: str
    low: int
    high: int
    limit: int
    reverse: bool


def read(connection: sqlite3.Connection, request: Request, waiting: Columns, damage: Damage) -> Page:
    """The page of a request from the file and from what `waiting` has of this tag and interval.

    Raises sqlite3.Error.
    """
    connection.execute("BEGIN")  # one state of the file for all statements
    try:
        sweep = _Sweep(connection, request, damage)
        sweep.buffer(waiting, _WAITING)
        found = connection.execute("SELECT id FROM tag WHERE path = ?", (request.tag,)).fetchone()
        if found is not None:
            sweep.plan(found[0])
        return sweep.run()
    finally:
        connection.execute("ROLLBACK")


class _Sweep:
    """One pass over the interval. Keys are times, negated when it runs backwards, so the lowest key is next."""

    def __init__(self, connection: sqlite3.Connection, request: Request, damage: Damage) -> None:
        self._connection = connection
        self._request = request
        self._damage = damage
        self._sign = -1 if request.reverse else 1
        self._tag = 0
        self._sources: list[tuple[int, int]] = []  # first key, frame
        self._keys: list[int] = []
        self._samples: dict[int, tuple[int, Value | None, int]] = {}  # by key: frame, value, status

    def plan(self, tag: int) -> None:
        """Queue the frames of the interval."""
        self._tag = tag
        frames = self._connection.execute(
            "SELECT seq, t_min, t_max FROM frame WHERE t_max >= ? AND t_min <= ?",
            (self._request.low, self._request.high),
        )
        for seq, t_min, t_max in frames:
            heappush(self._sources, (self._first_key(t_min, t_max), seq))

    def _first_key(self, t_min: int, t_max: int) -> int:
        return -t_max if self._request.reverse else t_min

    def run(self) -> Page:
        """Take up sources until the page is full, and know whether more lies behind it."""
        limit = self._request.limit
        page = Columns()
        while self._sources and len(page) <= limit:
            self._give(page, self._sources[0][0])
            if len(page) <= limit:
                self._take_up(*heappop(self._sources))
        self._give(page, None)
        if len(page) <= limit:
            return Page(page, None)
        page.ticks.pop()
        page.values.pop()
        page.statuses.pop()
        return Page(page, Position(page.ticks[-1]))

    def _give(self, page: Columns, bound: int | None) -> None:
        """Move samples with keys below `bound` to the page, one more than its limit at most."""
        keys, limit = self._keys, self._request.limit
        while keys and (bound is None or keys[0] < bound) and len(page) <= limit:
            key = heappop(keys)
            _seq, value, status = self._samples.pop(key)
            page.append(self._sign * key, value, status)

    def _take_up(self, _key: int, first: int) -> None:
        try:
            row = self._connection.execute("SELECT data FROM frame WHERE seq = ?", (first,)).fetchone()
            if row is not None:
                self.buffer(Frame(row[0]).of(self._tag), first)
        except FrameDamaged as error:
            self._damage.note(first, error)
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._damage.note(first, error)

    def buffer(self, samples: Columns, seq: int) -> None:
        """Hold samples of the interval; of two with one time the one that was written last stays."""
        low, high, sign = self._request.low, self._request.high, self._sign
        for ticks, value, status in zip(samples.ticks, samples.values, samples.statuses, strict=True):
            if not low <= ticks <= high:
                continue
            known = self._samples.get(sign * ticks)
            if known is None:
                heappush(self._keys, sign * ticks)
            elif known[0] > seq:
                continue
            self._samples[sign * ticks] = (seq, value, status)
