"""One subscription: its items, its cycle, and the messages that the client has not acknowledged yet.

Items on points hold no values of their own: their slots are read when a message is packed. Only items with a queue, a
timer or an attribute that no slot stands for keep what they have sampled.
"""

from __future__ import annotations

import asyncio
from collections import OrderedDict, deque
from dataclasses import dataclass, field, replace
from typing import Any, Final

from asyncua import ua

from address_space.image import ProcessImage
from address_space.model import Clock
from node.roles import Caller
from node.server.events.event import Event
from node.server.limits import Limits
from node.server.reading import AttributeReader, Stamps
from node.server.subscriptions.event_item import EventItem
from node.server.subscriptions.monitored_item import DISABLED, REPORTING, SAMPLING, Lane, MonitoredItem, Settings
from node.server.subscriptions.notification_packer import FIXED_BYTES, Pack, data_change, status_change
from node.server.subscriptions.sampling import MarkedItems, PublishWatch, Sampler, timer_interval_ms
from node.server.subscriptions.stock import Stock
from node.server.subscriptions.subscription_counts import SubscriptionCounts
from node.server.transport.tasks import TaskSet, in_slices

_SEQUENCE_END: Final = 2**32 - 1
# Items that are looked at before others get a turn: 1 to 2 ms.
_AT_ONCE: Final = 2_000


@dataclass(frozen=True, slots=True)
class Rhythm:
    """What a client asked for, within our bounds."""

    interval_ms: float
    keep_alive: int  # cycles without news after which an empty message says that we live
    lifetime: int  # cycles without a Publish of the client after which the subscription ends
    max_notifications: int  # per message
    priority: int


def revise(parameters: Any, limits: Limits) -> Rhythm:
    """The rhythm for a CreateSubscription or ModifySubscription; NaN and what is out of bounds become a bound."""
    wanted = float(parameters.RequestedPublishingInterval)
    # `not >` is true for NaN.
    interval = limits.publishing_min_ms if not wanted > limits.publishing_min_ms else wanted
    interval = min(interval, limits.publishing_max_ms)
    longest = max(3, int(limits.lifetime_max_s * 1000 / interval))
    most_lifetime = min(limits.lifetime_max, longest)
    keep_alive = min(
        parameters.RequestedMaxKeepAliveCount or limits.keep_alive_max, limits.keep_alive_max, most_lifetime // 3
    )
    # At least three times the keep-alive (OPC 10000-4 section 5.13.2.2).
    lifetime = min(max(parameters.RequestedLifetimeCount or most_lifetime, 3 * keep_alive), most_lifetime)
    most = limits.notifications_per_publish
    notifications = min(parameters.MaxNotificationsPerPublish or most, most)
    return Rhythm(interval, max(1, keep_alive), max(3, lifetime), notifications, parameters.Priority)


@dataclass(frozen=True, slots=True)
class Owner:
    """For whom a subscription works; another session gets it for the same user and application only."""

    caller: Caller
    certificate: bytes = b""  # DER of the client's application; empty without security


@dataclass(frozen=True, slots=True)
class Message:
    """A NotificationMessage as it goes over the wire."""

    body: bytes
    more: bool  # there is more to report after it


@dataclass(frozen=True, slots=True)
class World:
    """What all subscriptions of a server look at."""

    reader: AttributeReader
    image: ProcessImage
    clock: Clock
    limits: Limits
    tasks: TaskSet
    stock: Stock = field(default_factory=Stock)  # of all of them


class Subscription:
    """Items of one client with one publishing interval."""

    def __init__(self, subscription_id: int, rhythm: Rhythm, world: World, owner: Owner, *, enabled: bool) -> None:
        self.id = subscription_id
        self.rhythm = rhythm
        self.enabled = enabled
        self.owner = owner
        self.items: dict[int, MonitoredItem] = {}
        self.silent_cycles = 0  # since the last message
        self.lonely_cycles = 0  # since the client's last sign of life
        self.closed = False
        self.greeted = False  # the first message went out
        self.counts = SubscriptionCounts()
        self._stock = Stock()
        self._world = world
        self._marked = MarkedItems(world.image)
        self._looked: dict[int, MonitoredItem] = {}
        self._told: dict[int, EventItem] = {}
        self._pushed = MarkedItems(world.image, PublishWatch(self._published))
        self._sampler = Sampler(world.image, world.clock, world.tasks, self._look)
        # In the order in which they are reported: items that may have something to say.
        self._line: deque[MonitoredItem] = deque()
        self._sequence = 0
        self._unacknowledged: OrderedDict[int, bytes] = OrderedDict()
        self._kept_bytes = 0

    # --- items

    def add(self, item: MonitoredItem) -> None:
        """Watch an item; its present value is reported in the next cycle."""
        self.items[item.id] = item
        self._take(1, item.settings.queue_size - 1)
        item.counts = self.counts
        self._enter(item)

    def remove(self, item_id: int) -> bool:
        """Watch an item no more; False when there is none with that id."""
        item = self.items.pop(item_id, None)
        if item is None:
            return False
        self._take(-1, 1 - item.settings.queue_size)
        self._leave(item)
        item.clear()
        return True

    def set_mode(self, item: MonitoredItem, mode: ua.MonitoringMode) -> None:
        """Change how an item is monitored; a disabled one forgets what it saw, and reports at once when enabled."""
        if mode == item.mode:
            return
        item.mode = mode
        if mode == DISABLED:
            item.forget()
            item.clear()
        self._move(item)
        if item.waiting:
            self._stand_in_line(item)

    def change(self, item: MonitoredItem, handle: int, settings: Settings, pack: Pack) -> None:
        """Watch an item with other settings."""
        self._take(0, settings.queue_size - item.settings.queue_size)
        item.change(handle, settings, pack)
        self._move(item)

    def longest_queue(self, item: MonitoredItem | None = None) -> int:
        """How many values may wait in another item, or in this one when it is changed; 1 at least."""
        limits, held = self._world.limits, 0 if item is None else item.settings.queue_size - 1
        free = min(limits.queued_values - self._world.stock.places, limits.queued_per_subscription - self._stock.places)
        return min(max(free + held, 0) + 1, limits.queue_size)

    def _take(self, items: int, places: int) -> None:
        self._stock.take(items, places)
        self._world.stock.take(items, places)

    def link(self, item: MonitoredItem, ids: tuple[int, ...]) -> None:
        """Let an item trigger others: whenever it has news, those that only sample report what they have."""
        item.links = ids
        self._move(item)

    def belong_to(self, caller: Caller) -> None:
        """Work for another user; nothing is reported any more that this one may not see."""
        if caller == self.owner.caller:
            return
        self.owner = replace(self.owner, caller=caller)
        for item in self.items.values():
            if isinstance(item, EventItem):
                item.keep_for(caller.role)
            elif item.source is not None and self._world.reader.fault(item.source.what, caller.role) is not None:
                item.clear()
                item.forget()
                self._look(item)

    async def change_rhythm(self, rhythm: Rhythm) -> None:
        """Publish in another rhythm, with turns for others while the items are looked through."""
        self.rhythm = rhythm
        await in_slices(list(self.items.values()), self._move)

    async def repeat_values(self) -> None:
        """Report the present value of every reporting item, as if it were new."""
        await in_slices(list(self.items.values()), self._repeat)

    def close(self) -> None:
        """Watch nothing any more."""
        self.closed = True
        self._take(-self._stock.items, -self._stock.places)
        self._sampler.close()
        self._marked.close()
        self._pushed.close()
        for item in self._told.values():
            item.unlisten()
        for register in (self._told, self.items, self._looked, self._line, self._unacknowledged):
            register.clear()

    # --- the cycle

    async def sample(self) -> None:
        """What belongs to a publishing cycle: look at what may have changed, with turns for others in between."""
        plain: list[MonitoredItem] = []
        slow = list(self._looked.values())
        for item in self._marked.take():
            (plain if item.source is None else slow).append(item)
        for first in range(0, len(plain), _AT_ONCE):
            if first:
                await asyncio.sleep(0)
            line = self._line
            for item in plain[first : first + _AT_ONCE]:
                if not item.pending:
                    item.pending = True
                    line.append(item)
        if slow:
            await in_slices(slow, self._look)

    @property
    def may_have_news(self) -> bool:
        """True when there may be something to report; `message` knows."""
        return self.enabled and bool(self._line)

    @property
    def must_send(self) -> bool:
        """True when a message is due even without news: the first one, or a sign of life."""
        return not self.greeted or self.silent_cycles >= self.rhythm.keep_alive

    def message(self, room: int) -> Message | None:
        """The next message, of about `room` bytes at most; None when there is nothing to send.

        Looks at a bounded number of items; `may_have_news` is True afterwards when there are more.
        """
        notifications: list[bytes] = []
        events: list[bytes] = []
        if self.enabled:
            self._collect(room, notifications, events)
        if not (notifications or events) and (self.may_have_news or not self.must_send):
            return None
        self.silent_cycles = 0
        self.greeted = True
        number = self._next_number
        body = data_change(number, self._world.clock.now(), notifications, events)
        if notifications or events:
            self._sequence = number
            self.counts.data_changes += len(notifications)
            self.counts.events += len(events)
            self._keep(number, body)
        return Message(body, self.may_have_news)

    def end_message(self, status: int) -> bytes:
        """The message that says why the subscription has ended."""
        return status_change(self._next_number, self._world.clock.now(), status)

    # --- what the client has got

    @property
    def next_sequence(self) -> int:
        """Number that the next message will have."""
        return self._next_number

    @property
    def available(self) -> list[int]:
        """Sequence numbers that Republish can send again."""
        return list(self._unacknowledged)

    def acknowledge(self, number: int) -> bool:
        """Forget a message that the client has; False when it is not kept."""
        body = self._unacknowledged.pop(number, None)
        self._kept_bytes -= len(body or b"")
        return body is not None

    def again(self, number: int) -> bytes | None:
        """A message that the client did not get; None when it is not kept."""
        return self._unacknowledged.get(number)

    # --- lanes

    def _lane(self, item: MonitoredItem) -> tuple[Lane, float]:
        """How an item is to be sampled, and by which timer."""
        settings, cycle = item.settings, self.rhythm.interval_ms
        interval = settings.interval_ms
        if item.mode == DISABLED:
            return Lane.OFF, 0.0
        if isinstance(item, EventItem):
            return Lane.TOLD, 0.0
        if interval > cycle or (settings.queue_size > 1 and 0 < interval < cycle):
            return Lane.TIMED, timer_interval_ms(interval)
        if item.slot is None:
            return Lane.LOOKED, 0.0
        if settings.queue_size > 1:
            return (Lane.TIMED, timer_interval_ms(interval)) if interval else (Lane.PUSHED, 0.0)
        # What others may have to wait for, or what waits for others, is kept as it is sampled.
        if item.source is not None:
            return Lane.MARKED, 0.0
        if item.mode != REPORTING or item.links:
            return Lane.PUSHED, 0.0
        return (Lane.PLAIN if settings.plain else Lane.MARKED), 0.0

    def _enter(self, item: MonitoredItem) -> None:
        item.lane, interval = self._lane(item)
        slot = item.slot
        if item.lane is Lane.OFF:
            return
        if isinstance(item, EventItem):
            self._told[item.id] = item
            item.listen(self.hear)
            return
        if item.lane is Lane.TIMED:
            self._sampler.add(item, interval)
        elif item.lane is Lane.LOOKED or slot is None:
            self._looked[item.id] = item
        elif item.lane in _BY_MARKS:
            self._marked.add(slot, item)
            if item.source is None and item.queue:
                # It has no queue in this lane: the newest value stands for what was not reported.
                item.clear()
                item.forget()
        else:
            self._pushed.add(slot, item)
        self._first_look(item)

    def _leave(self, item: MonitoredItem) -> None:
        slot, lane = item.slot, item.lane
        item.lane = Lane.OFF
        if isinstance(item, EventItem):
            self._told.pop(item.id, None)
            item.unlisten()
        elif lane is Lane.TIMED:
            self._sampler.remove(item)
        elif lane is Lane.LOOKED or slot is None:
            self._looked.pop(item.id, None)
        elif lane in _BY_MARKS:
            self._marked.remove(slot, item)
        elif lane is Lane.PUSHED:
            self._pushed.remove(slot, item)

    def _move(self, item: MonitoredItem) -> None:
        """Put an item into the lane that it belongs to now."""
        if item.id not in self.items:  # taken away while others had their turn
            return
        lane, interval = self._lane(item)
        if lane is not item.lane or (lane is Lane.TIMED and interval != item.interval_ms):
            self._leave(item)
            self._enter(item)

    def _first_look(self, item: MonitoredItem) -> None:
        if item.lane in _BY_MARKS and item.source is None:
            self._stand_in_line(item)
        else:
            self._look(item)

    def _repeat(self, item: MonitoredItem) -> None:
        if item.mode == REPORTING and item.lane not in (Lane.OFF, Lane.TOLD) and not item.queue:
            item.forget()
            self._first_look(item)

    # --- samples

    def _look(self, item: MonitoredItem) -> None:
        """Sample an item now."""
        if item.lane is Lane.OFF:  # taken away while others had their turn
            return
        if item.source is None and item.slot is not None:
            image, slot = self._world.image, item.slot
            self._offer(item, image.values[slot], image.statuses[slot], image.sources[slot])
        elif item.source is not None:
            source = item.source
            # With the rights of now: the user may be another, and the node gone.
            found = self._world.reader.read(source.what, self.owner.caller.role, _SOURCE_TIME)
            status = 0 if found.StatusCode is None else found.StatusCode.value
            self._offer(item, found.Value, status, found.SourceTimestamp)

    def _published(self, heads: list[MonitoredItem]) -> None:
        """The image has samples for items that must not miss one: the first item of each slot."""
        image = self._world.image
        values, statuses, sources = image.values, image.statuses, image.sources
        for head in heads:
            slot: Any = head.slot
            value, status, ticks = values[slot], statuses[slot], sources[slot]
            item: MonitoredItem | None = head
            while item is not None:
                if item.source is not None:
                    self._look(item)
                elif item.offer(value, status, ticks):
                    self._offered(item)
                item = item.sibling

    def hear(self, item: EventItem, event: Event) -> None:
        """Something has happened at or below the notifier of an item."""
        if self.owner.caller.role >= event.audience:
            self._offer(item, event, 0, None)

    def _offer(self, item: MonitoredItem, value: Any, status: int, ticks: Any) -> None:
        if item.offer(value, status, ticks):
            self._offered(item)

    def _offered(self, item: MonitoredItem) -> None:
        """An item has something new in its queue."""
        if item.mode == REPORTING and not item.pending:
            item.pending = True
            self._line.append(item)
        for linked_id in item.links:
            linked = self.items.get(linked_id)
            if linked is not None and linked.mode == SAMPLING and linked.queue:
                linked.triggered = True
                self._stand_in_line(linked)

    def _stand_in_line(self, item: MonitoredItem) -> None:
        if not item.pending:
            item.pending = True
            self._line.append(item)

    # --- messages

    def _collect(self, room: int, taken: list[bytes], events: list[bytes]) -> None:
        """Add notifications and events of the items in line, as many as fit into a message."""
        image, line, server = self._world.image, self._line, self._world.clock.now()
        values, statuses, sources = image.values, image.statuses, image.sources
        most = max(1, min(self.rhythm.max_notifications, room // FIXED_BYTES))
        add, next_in_line, plain = taken.append, line.popleft, Lane.PLAIN
        left = _AT_ONCE
        while line and left and len(taken) < most:
            left -= 1
            item = next_in_line()
            item.pending = False
            if item.lane is plain:
                slot = item.slot
                value, status = values[slot], statuses[slot]  # type: ignore[index]  # who has no slot is in no such lane
                last = item.last_value
                # NaN is unlike itself.
                if status == item.last_status and (value == last or (value != value and last != last)):  # noqa: PLR0124
                    continue
                item.last_value = value
                item.last_status = status
                add(item.pack(item.handle, value, status, sources[slot], server))  # type: ignore[index]  # as above
                continue
            if item.lane is Lane.MARKED and item.source is None:
                slot = item.slot
                value, status, ticks = values[slot], statuses[slot], sources[slot]  # type: ignore[index]  # as above
                if not item.is_news(value, status, ticks):
                    continue
                item.last_value, item.last_status, item.last_ticks = value, status, ticks
                add(item.pack(item.handle, value, status, ticks, server))
            elif item.waiting:
                if item.lane is Lane.TOLD:
                    events += item.take(1, server)
                    most -= 1 + len(events[-1]) // FIXED_BYTES
                else:
                    taken += item.take(most - len(taken), server)
                if item.waiting:
                    item.pending = True
                    line.appendleft(item)
            else:
                continue
            if not item.settings.fixed and item.lane is not Lane.TOLD:
                most -= len(taken[-1]) // FIXED_BYTES

    @property
    def _next_number(self) -> int:
        return self._sequence + 1 if self._sequence < _SEQUENCE_END else 1

    def _keep(self, number: int, body: bytes) -> None:
        kept, limits = self._unacknowledged, self._world.limits
        kept[number] = body
        self._kept_bytes += len(body)
        while len(kept) > limits.unacknowledged or (self._kept_bytes > limits.unacknowledged_bytes and len(kept) > 1):
            _, dropped = kept.popitem(last=False)
            self.counts.discarded += 1
            self._kept_bytes -= len(dropped)


_BY_MARKS: Final = (Lane.PLAIN, Lane.MARKED)
# Samples are compared with their source times; which times are reported is the packer's business.
_SOURCE_TIME: Final = Stamps(source=True, server=False)
