"""Sending again: a sink's place in the journal is set back to a time, and refused samples are written once more.

Both are one short transaction, also while the node runs. The forwarder looks at its place before every portion and goes
on from where it stands; it never moves one that was set back meanwhile (`Feed.move`).
"""

from __future__ import annotations

import sqlite3
from array import array
from collections.abc import Iterable, Sequence
from typing import Final, NamedTuple

from node.historian.forwarding.feed import START, Mark
from node.historian.history import Columns
from node.historian.store.damage import Damage
from node.historian.store.database import Transaction
from node.historian.store.reader import Reader, Request
from node.historian.store.writer import put_frame

# Samples that are looked up and written in one transaction, some tens of milliseconds: the node's commits wait for it.
AT_ONCE: Final = 200


def mark_before(connection: sqlite3.Connection, ticks: int) -> Mark | None:
    """The last mark behind which everything from `ticks` on lies, frames and blocks; None when there is nothing.

    Raises sqlite3.Error.
    """
    (frame,) = connection.execute("SELECT min(seq) FROM frame WHERE t_max >= ?", (ticks,)).fetchone()
    block = connection.execute(
        "SELECT seq, tag, t_min FROM block WHERE t_max >= ? ORDER BY seq, tag, t_min LIMIT 1", (ticks,)
    ).fetchone()
    marks = [] if frame is None else [Mark(frame - 1)]
    if block is not None:
        seq, tag, first = block
        marks.append(Mark(seq, tag, first - 1))
    return min(marks, default=None)


def set_back(connection: sqlite3.Connection, sink: str, mark: Mark, now: int) -> bool:
    """Let a sink go on from `mark`; False, and nothing is done, when it has not come as far. Raises sqlite3.Error."""
    with Transaction(connection):
        row = connection.execute("SELECT seq, tag, ticks FROM cursor WHERE sink = ?", (sink,)).fetchone()
        if (START if row is None else Mark(*row)) <= mark:
            return False
        connection.execute(
            "UPDATE cursor SET seq = ?, tag = ?, ticks = ?, updated = ? WHERE sink = ?",
            (mark.seq, mark.tag, mark.ticks, now, sink),
        )
        return True


class Refused(NamedTuple):
    """A line in quarantine, and the sample that it was made of."""

    id: int
    tag: str
    ticks: int


def write_again(connection: sqlite3.Connection, lines: Sequence[Refused]) -> list[int]:
    """Append the samples of refused lines to the journal as they are now, and forget the lines; the ids of those.

    Every sink gets them in their turn, and what was corrected in history since goes out corrected. A line whose sample
    the journal no longer has stays. At most AT_ONCE lines. Raises sqlite3.Error.
    """
    if len(lines) > AT_ONCE:
        raise ValueError(f"{len(lines)} lines at once; {AT_ONCE} at most")
    with Transaction(connection):
        damage = Damage()
        reader = Reader(damage)
        kept = {line: _sample(connection, reader, damage, line) for line in dict.fromkeys(lines)}
        samples = {(line.tag, line.ticks): one for line, one in kept.items() if len(one)}
        if not samples:
            return []
        ids = dict(connection.execute("SELECT path, id FROM tag").fetchall())
        put_frame(
            connection,
            [ids[tag] for tag, _ in samples],
            [ticks for _, ticks in samples],
            [one.values[0] for one in samples.values()],
            array("I", [one.statuses[0] for one in samples.values()]),
        )
        done = [line.id for line, one in kept.items() if len(one)]
        _forget(connection, done)
        return done


def _sample(connection: sqlite3.Connection, reader: Reader, damage: Damage, line: Refused) -> Columns:
    known = len(damage)
    found = reader.page(connection, Request(line.tag, line.ticks, line.ticks, 1, False), Columns()).columns
    return found if len(damage) == known else Columns()


def _forget(connection: sqlite3.Connection, ids: Iterable[int]) -> None:
    connection.executemany("DELETE FROM quarantine WHERE id = ?", [(one,) for one in ids])
