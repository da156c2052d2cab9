"""Events in the journal's file: what waits for its commit, bounded, and pages out of both.

Events have numbers in the order in which they came, given before they are on the disk, so that a read goes on at the
same place whatever was committed meanwhile. On the disk a body begins with a check sum of the whole event.
"""

from __future__ import annotations

import sqlite3
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Final, Protocol, TypeVar
from zlib import crc32

from node.historian.event_log import EventMark, EventPage, EventRecord
from node.historian.history import EARLIEST, LATEST, interval
from node.historian.store.damage import Damage
from node.historian.store.writer import Also

T = TypeVar("T")

# Waiting events: an alarm flood of a large site while the disk hangs.
QUEUE_EVENTS: Final = 10_000
QUEUE_BYTES: Final = 16_000_000
# One commit takes so many, a few milliseconds.
_COMMIT_EVENTS: Final = 2_000

_CHECK_BYTES: Final = 4  # crc32, little-endian, in front of the body


class Hops(Protocol):
    """Work on the journal's connections; both raise HistoryUnavailable. The journal is one."""

    def on_disk(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        """Result of work on the connection that writes."""
        ...

    def read_disk(self, work: Callable[[sqlite3.Connection], T]) -> Awaitable[T]:
        """Result of work on the connection that reads."""
        ...


@dataclass(frozen=True, slots=True)
class _Request:
    """Events with times from `low` to `high`, both included, at most `limit` and one more."""

    low: int
    high: int
    limit: int
    reverse: bool
    after: EventMark | None


class Events:
    """An `EventLog`, and a companion of the journal's commits."""

    def __init__(self, hops: Hops, ring: Callable[[], None], damage: Damage) -> None:
        """`ring` asks for an early commit."""
        self._damage = damage
        self._hops = hops
        self._ring = ring
        self._waiting: list[EventRecord] = []  # the first `_taken` of them are with a commit
        self._bytes = 0
        self._taken = 0
        self._written = 0  # events of this run that are on the disk
        self._before: int | None = None  # number of the last event of the runs before; set on the writer's thread
        self.lost = 0

    @property
    def recorded(self) -> int:
        """How many events are on the disk since the start."""
        return self._written

    # --- recording

    def offer_event(self, event: EventRecord) -> None:
        """See `EventLog.offer_event`."""
        size = len(event.body)
        if len(self._waiting) >= QUEUE_EVENTS or self._bytes + size > QUEUE_BYTES or not _is_storable(event):
            self.lost += 1
            return
        self._waiting.append(event)
        self._bytes += size
        self._ring()

    def take(self) -> Also | None:
        """See `Companion.take`."""
        if not self._taken:
            self._taken = min(len(self._waiting), _COMMIT_EVENTS)
        if not self._taken:
            return None
        return partial(self._write, events=self._waiting[: self._taken], first=self._written + 1)

    def written(self) -> None:
        """See `Companion.written`."""
        self._bytes -= sum(len(event.body) for event in self._waiting[: self._taken])
        del self._waiting[: self._taken]
        self._written += self._taken
        self._taken = 0
        if self._waiting:
            self._ring()

    def _write(self, connection: sqlite3.Connection, events: Sequence[EventRecord], first: int) -> None:
        first += self._number_before(connection)
        rows = ((seq, e.ticks, e.source, e.type, packed(e)) for seq, e in enumerate(events, first))
        # A commit that was said to have failed may have come through.
        connection.executemany("INSERT OR REPLACE INTO event (seq, ticks, source, type, body) VALUES (?,?,?,?,?)", rows)

    def _number_before(self, connection: sqlite3.Connection) -> int:
        if self._before is None:
            row = connection.execute("SELECT seq FROM sqlite_sequence WHERE name = 'event'").fetchone()
            self._before = row[0] if row is not None else 0
        return self._before

    # --- reading

    async def events(
        self, start: int | None, end: int | None, *, limit: int, reverse: bool = False, after: EventMark | None = None
    ) -> EventPage:
        """See `EventLog.events`."""
        low, high = interval(start, end, None, reverse=reverse)
        low, high = max(low, EARLIEST), min(high, LATEST)
        if low > high:
            return EventPage([], None)
        if self._before is None:
            await self._hops.on_disk(self._number_before)
        # Taken before the file is looked at: what is committed in between is in both, and is given once.
        first = (self._before or 0) + self._written + 1
        waiting = list(enumerate(self._waiting, first))
        request = _Request(low, high, limit, reverse, after)
        return await self._hops.read_disk(partial(_read, request=request, waiting=waiting, damage=self._damage))


def _is_storable(event: EventRecord) -> bool:
    """False for what SQLite would refuse, together with all that is in the same commit."""
    try:
        event.source.encode()
        event.type.encode()
    except UnicodeEncodeError:
        return False
    return EARLIEST <= event.ticks <= LATEST


class EventDamaged(ValueError):
    """The row of an event has changed since it was written."""


def packed(event: EventRecord) -> bytes:
    """What is on the disk as the body of an event."""
    return _check(event.ticks, event.source, event.type, event.body) + event.body


def unpacked(ticks: int, source: str, kind: str, body: bytes) -> EventRecord:
    """The event of a row; raises EventDamaged, and TypeError for a row that is none of ours."""
    rest = body[_CHECK_BYTES:]
    if body[:_CHECK_BYTES] != _check(ticks, source, kind, rest):
        raise EventDamaged("the check sum is wrong")
    return EventRecord(ticks, source, kind, rest)


def _check(ticks: int, source: str, kind: str, body: bytes) -> bytes:
    head = f"{ticks}\0{source}\0{kind}\0".encode()
    return crc32(body, crc32(head)).to_bytes(_CHECK_BYTES, "little")


def _read(
    connection: sqlite3.Connection, request: _Request, waiting: Sequence[tuple[int, EventRecord]], damage: Damage
) -> EventPage:
    """One page of what is in the file and of what waits with its numbers."""
    reverse, mark = request.reverse, request.after
    order, beyond = ("DESC", "<") if reverse else ("ASC", ">")
    place = (LATEST, LATEST) if reverse else (EARLIEST, EARLIEST)
    if mark is not None:
        place = (mark.ticks, mark.seq)
    rows = connection.execute(
        "SELECT ticks, seq, source, type, body FROM event INDEXED BY event_time"  # noqa: S608  # two fixed words
        f" WHERE ticks BETWEEN ? AND ? AND (ticks, seq) {beyond} (?, ?) ORDER BY ticks {order}, seq {order} LIMIT ?",
        (request.low, request.high, *place, request.limit + 1),
    )
    found: dict[tuple[int, int], EventRecord | None] = {}
    for ticks, seq, source, kind, body in rows.fetchall():
        try:
            found[ticks, seq] = unpacked(ticks, source, kind, body)
        except EventDamaged as error:
            damage.note_event(seq, error)
            found[ticks, seq] = None  # it has its place in the order
    for seq, event in waiting:
        key = (event.ticks, seq)
        if request.low <= event.ticks <= request.high and (key < place if reverse else key > place):
            found[key] = event
    keys = sorted(found, reverse=reverse)
    page = keys[: request.limit]
    going_on = EventMark(*page[-1]) if len(keys) > len(page) else None
    whole = [found[key] for key in page]
    return EventPage([event for event in whole if event is not None], going_on)
