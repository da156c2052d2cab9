"""Samples of one tag from several places, put together in the order of time. Pure.

Everything is columns: samples are looked at one by one only where places overlap in time.
"""

from __future__ import annotations

from array import array
from bisect import bisect_left, bisect_right
from collections.abc import Iterable
from itertools import pairwise
from typing import NamedTuple

from address_space.model import Value
from node.historian.history import Columns
from node.historian.store.frame import DELETED

_DELETED_TYPE = type(DELETED)


class Piece(NamedTuple):
    """Samples in the order of time, one per time. Of two pieces the one with the higher `seq` was written last."""

    seq: int
    columns: Columns


def in_order(columns: Columns) -> Columns:
    """Samples in the order of time; of those with one time the last stays."""
    ticks = columns.ticks
    if len(ticks) < 2 or all(map(int.__lt__, ticks, ticks[1:])):
        return columns
    return _from_rows(dict(_rows(columns)))


def _rows(columns: Columns) -> Iterable[tuple[int, tuple[Value | None, int]]]:
    return zip(columns.ticks, zip(columns.values, columns.statuses, strict=True), strict=True)


def _from_rows(rows: dict[int, tuple[Value | None, int]]) -> Columns:
    times = sorted(rows)
    return Columns(array("q", times), [rows[t][0] for t in times], array("I", [rows[t][1] for t in times]))


def cut(columns: Columns, first: int, last: int) -> Columns:
    """The samples from position `first` to before `last`."""
    if first <= 0 and last >= len(columns):
        return columns
    return Columns(columns.ticks[first:last], columns.values[first:last], columns.statuses[first:last])


def within(columns: Columns, low: int, high: int) -> Columns:
    """The samples with times from `low` to `high`, both included."""
    ticks = columns.ticks
    return cut(columns, bisect_left(ticks, low), bisect_right(ticks, high))


def extend(columns: Columns, more: Columns) -> None:
    """Append columns to columns."""
    columns.ticks.extend(more.ticks)
    columns.values.extend(more.values)
    columns.statuses.extend(more.statuses)


def merged(pieces: list[Piece]) -> Columns:
    """All samples of some pieces in the order of time; of those with one time the one that was written last."""
    if len(pieces) == 1:
        return pieces[0].columns
    pieces = sorted(pieces, key=lambda piece: piece.columns.ticks[0])
    if all(a.columns.ticks[-1] < b.columns.ticks[0] for a, b in pairwise(pieces)):
        whole = Columns()
        for piece in pieces:
            extend(whole, piece.columns)
        return whole
    rows: dict[int, tuple[Value | None, int]] = {}
    for piece in sorted(pieces, key=lambda piece: piece.seq):
        rows.update(_rows(piece.columns))
    return _from_rows(rows)


def without_deletions(columns: Columns) -> Columns:
    """The samples that were not deleted."""
    if _DELETED_TYPE not in set(map(type, columns.values)):
        return columns
    left = Columns()
    for ticks, value, status in zip(columns.ticks, columns.values, columns.statuses, strict=True):
        if value is not DELETED:
            left.append(ticks, value, status)
    return left


class Sweep:
    """Pieces that were taken up on the way through time, and are given away once nothing can come before them."""

    def __init__(self, *, reverse: bool) -> None:
        self._reverse = reverse
        self._held: list[Piece] = []

    def take_up(self, piece: Piece) -> None:
        """Hold a piece."""
        if len(piece.columns):
            self._held.append(piece)

    def give(self, bound: int | None) -> Columns:
        """What lies before `bound` on the way, ascending in time; all of it for None."""
        if not self._held:
            return Columns()
        given: list[Piece] = []
        kept: list[Piece] = []
        for seq, columns in self._held:
            part, rest = self._split(columns, bound)
            if len(part):
                given.append(Piece(seq, part))
            if len(rest):
                kept.append(Piece(seq, rest))
        self._held = kept
        return merged(given) if given else Columns()

    def _split(self, columns: Columns, bound: int | None) -> tuple[Columns, Columns]:
        ticks, count = columns.ticks, len(columns)
        if bound is None:
            return columns, Columns()
        if self._reverse:
            if ticks[0] > bound:
                return columns, Columns()
            at = bisect_right(ticks, bound)
            return cut(columns, at, count), cut(columns, 0, at)
        if ticks[-1] < bound:
            return columns, Columns()
        at = bisect_left(ticks, bound)
        return cut(columns, 0, at), cut(columns, at, count)
