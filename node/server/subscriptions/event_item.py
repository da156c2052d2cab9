"""Monitored items that watch a notifier: their samples are events (OPC 10000-4 section 5.12.1.5)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from asyncua import ua

from address_space.shape import node_id
from node.roles import Role
from node.server.events.event import Event
from node.server.events.event_filter import EventFilter
from node.server.events.events import MIDDLE, SERVER, Events
from node.server.reading import Stamps
from node.server.subscriptions.change_filter import ChangeFilter
from node.server.subscriptions.monitored_item import MonitoredItem, Settings

_OVERFLOW: Final = node_id(ua.ObjectIds.EventQueueOverflowEventType)
_NO_STAMPS: Final = Stamps(source=False, server=False)
# What a client gets that leaves the choice to the server, and the least that it gets: an alarm comes seldom alone.
_USUAL_QUEUE: Final = 100
_SMALLEST_QUEUE: Final = 10


def event_settings(wanted: ua.MonitoringParameters, longest: int) -> Settings:
    """How events are queued; nothing about them is sampled. OPC 10000-4 section 7.21 gives 0 and 1 a meaning."""
    queue = max(min(wanted.QueueSize or _USUAL_QUEUE, longest), _SMALLEST_QUEUE)
    return Settings(0.0, queue, bool(wanted.DiscardOldest), ChangeFilter(), _NO_STAMPS)


class EventItem(MonitoredItem):
    """Queues the events of a notifier that fit its filter; a full queue leaves an overflow event in their place."""

    __slots__ = ("_events", "_filter", "_listener", "notifier")

    def __init__(
        self,
        item_id: int,
        handle: int,
        notifier: ua.NodeId,
        mode: ua.MonitoringMode,
        settings: Settings,
        wanted: EventFilter,
        events: Events,
    ) -> None:
        super().__init__(item_id, handle, None, None, mode, settings, wanted.pack)
        self.notifier = notifier
        self._filter = wanted
        self._events = events
        self._listener: Callable[[Event], None] | None = None

    def listen(self, told: Callable[[EventItem, Event], None]) -> None:
        """Have every event of the notifier told."""

        def listener(event: Event) -> None:
            told(self, event)

        self._listener = listener
        self._events.listen(self.notifier, listener)

    def unlisten(self) -> None:
        """Undo `listen`."""
        if self._listener is not None:
            self._events.unlisten(self.notifier, self._listener)
            self._listener = None

    def select(self, wanted: EventFilter) -> None:
        """Take another filter; what waits is reported with its fields."""
        self._filter = wanted

    def keep_for(self, role: Role) -> None:
        """Forget the events that wait and are not for a role."""
        self.queue = [entry for entry in self.queue if role >= entry[0].audience]

    def offer(self, value: Any, _status: int, _ticks: Any) -> bool:
        """Queue an event that fits; True when there is something new to report."""
        event: Event = value
        if not event.unfiltered and not self._filter.where.fits(event):
            return False
        if not self.queue:
            self.queue = []
        queue, settings = self.queue, self.settings
        if len(queue) < settings.queue_size:
            queue.append((event, 0, None))
            return True
        self.counts.event_overflows += 1
        # The overflow event comes on top of what the queue holds (OPC 10000-4 section 7.22.3).
        overflown = any(entry[0].line[0] == _OVERFLOW for entry in queue)
        if settings.discard_oldest:
            del queue[overflown]
            if not overflown:
                queue.insert(0, self._overflow())
            queue.append((event, 0, None))
        elif not overflown:
            queue.append(self._overflow())
        return not overflown or settings.discard_oldest

    def _overflow(self) -> tuple[Event, int, None]:
        event = self._events.make(
            _OVERFLOW, "More events came than the queue of the item holds.", source=SERVER, severity=MIDDLE
        )
        return event, 0, None
