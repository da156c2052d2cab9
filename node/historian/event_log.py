"""Events in the journal: alarms, command outcomes, audit rows. Their fields are bytes here; the server knows them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol


@dataclass(frozen=True, slots=True)
class EventRecord:
    """One event. `source` and `type` are NodeIds as text, `body` all fields as the server encodes them."""

    ticks: int  # the event's Time: 100 ns since 1601-01-01 UTC
    source: str
    type: str
    body: bytes


@dataclass(frozen=True, slots=True)
class EventMark:
    """Where a read of events stopped: time and number of the last event that was given."""

    ticks: int
    seq: int


@dataclass(frozen=True, slots=True)
class EventPage:
    """One part of an answer; `next` is None exactly when nothing more lies in the interval."""

    events: list[EventRecord]
    next: EventMark | None


class EventLog(Protocol):
    """Events by time. Reading raises HistoryUnavailable."""

    def offer_event(self, event: EventRecord) -> None:
        """Take an event; committed soon, ahead of the interval. Never waits; a full queue is counted as lost."""
        ...

    async def events(
        self, start: int | None, end: int | None, *, limit: int, reverse: bool = False, after: EventMark | None = None
    ) -> EventPage:
        """At most `limit` events in the direction of travel: `start` included, `end` excluded, as `History.raw`.

        Of events with one time the order is that of arrival (reversed with `reverse`). Those that wait for their
        commit are seen too.
        """
        ...
