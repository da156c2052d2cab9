"""One subscription: its items, its cycle, and the messages that the client has not acknowledged yet.

A cycle looks at what the process image has marked and at the few attributes that no slot stands for. That is the
sampling: an item's sampling interval is a multiple of the publishing interval, and the client is told so.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from address_space.image import ProcessImage, Watch
from address_space.model import Clock, ticks_to_datetime
from node.server.limits import Limits
from node.server.monitored_item import MonitoredItem
from node.server.reading import AttributeReader
from node.server.roles import Role
from node.server.tasks import in_slices

_SEQUENCE_END = 2**32 - 1


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


class Subscription:
    """Items of one client with one publishing interval."""

    def __init__(
        self,
        subscription_id: int,
        rhythm: Rhythm,
        reader: AttributeReader,
        image: ProcessImage,
        clock: Clock,
        limits: Limits,
        *,
        enabled: bool,
    ) -> None:
        self.id = subscription_id
        self.rhythm = rhythm
        self.enabled = enabled
        self.role = Role.OBSERVER
        self.items: dict[int, MonitoredItem] = {}
        self.silent_cycles = 0  # since the last message
        self.lonely_cycles = 0  # since the client's last sign of life
        self.closed = False
        self.greeted = False  # the first message went out
        self._reader = reader
        self._image = image
        self._clock = clock
        self._limits = limits
        self._watch = Watch()
        self._by_slot: dict[int, list[MonitoredItem]] = {}
        self._looked_at: dict[int, MonitoredItem] = {}  # items without a slot
        self._due: OrderedDict[int, MonitoredItem] = OrderedDict()  # to be read when their cycle comes
        self._reporting: OrderedDict[int, MonitoredItem] = OrderedDict()  # with something to report
        self._cycle = 0
        self._sequence = 0
        self._unacknowledged: OrderedDict[int, ua.NotificationMessage] = OrderedDict()

    # --- items

    def add(self, item: MonitoredItem) -> None:
        """Watch an item; its present value is reported in the next cycle."""
        self.items[item.id] = item
        if item.slot is None:
            self._looked_at[item.id] = item
        else:
            self._by_slot.setdefault(item.slot, []).append(item)
            self._image.watch(item.slot, self._watch)
        if item.is_enabled:
            self._read(item)

    def remove(self, item_id: int) -> bool:
        """Watch an item no more; False when there is none with that id."""
        item = self.items.pop(item_id, None)
        if item is None:
            return False
        for register in (self._looked_at, self._due, self._reporting):
            register.pop(item_id, None)
        if item.slot is not None:
            rest = self._by_slot[item.slot]
            rest.remove(item)
            if not rest:
                del self._by_slot[item.slot]
                self._image.unwatch(item.slot, self._watch)
        return True

    def set_mode(self, item: MonitoredItem, mode: ua.MonitoringMode) -> None:
        """Change how an item is monitored."""
        was_enabled = item.is_enabled
        item.set_mode(mode)
        if item.is_enabled and not was_enabled:
            self._read(item)
        elif item.waiting:
            self._reporting[item.id] = item

    def close(self) -> None:
        """Watch nothing any more."""
        self.closed = True
        for slot in self._by_slot:
            self._image.unwatch(slot, self._watch)
        self.items.clear()
        for register in (self._by_slot, self._looked_at, self._due, self._reporting):
            register.clear()

    # --- the cycle

    async def sample(self) -> None:
        """One publishing cycle: look at what may have changed, with turns for others in between."""
        self._cycle += 1
        for slot in self._watch.take():
            for item in self._by_slot.get(slot, ()):
                if item.is_enabled:
                    self._due[item.id] = item
        for item in self._looked_at.values():
            if item.is_enabled:
                self._due[item.id] = item
        due = [item for item in self._due.values() if self._cycle % item.settings.every == 0]
        for item in due:
            del self._due[item.id]
        await in_slices(due, self._read)

    @property
    def has_news(self) -> bool:
        """True when there is something to report."""
        return self.enabled and bool(self._reporting)

    @property
    def wants_to_send(self) -> bool:
        """True when a message is due: news, the first message, or a sign of life."""
        return self.has_news or not self.greeted or self.silent_cycles >= self.rhythm.keep_alive

    def message(self) -> tuple[ua.NotificationMessage, bool]:
        """The next message, and whether there is more to report after it."""
        notifications = self._take() if self.enabled else []
        self.silent_cycles = 0
        self.greeted = True
        number = self._sequence + 1 if self._sequence < _SEQUENCE_END else 1
        published: Any = ticks_to_datetime(self._clock.now())
        message: Any = ua.NotificationMessage(SequenceNumber=ua.UInt32(number), PublishTime=published)
        if notifications:
            self._sequence = number
            message.NotificationData = [ua.DataChangeNotification(MonitoredItems=notifications)]
            self._unacknowledged[number] = message
            while len(self._unacknowledged) > self._limits.unacknowledged:
                self._unacknowledged.popitem(last=False)
        return message, self.has_news

    def end_message(self, status: int) -> ua.NotificationMessage:
        """The message that says why the subscription has ended."""
        published: Any = ticks_to_datetime(self._clock.now())
        number: Any = ua.UInt32(self._sequence + 1)
        message: Any = ua.NotificationMessage(SequenceNumber=number, PublishTime=published)
        message.NotificationData = [ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(status)))]
        return message  # type: ignore[no-any-return]

    # --- what the client has got

    @property
    def available(self) -> list[int]:
        """Sequence numbers that Republish can send again."""
        return list(self._unacknowledged)

    def acknowledge(self, number: int) -> bool:
        """Forget a message that the client has; False when it is not kept."""
        return self._unacknowledged.pop(number, None) is not None

    def again(self, number: int) -> ua.NotificationMessage | None:
        """A message that the client did not get; None when it is not kept."""
        return self._unacknowledged.get(number)

    # --- inside

    def _read(self, item: MonitoredItem) -> None:
        if item.id not in self.items:  # taken away while others had their turn
            return
        item.offer(self._reader.value(item.node, item.what, self.role, item.settings.stamps))
        if item.waiting:
            self._reporting[item.id] = item

    def _take(self) -> list[ua.MonitoredItemNotification]:
        taken: list[ua.MonitoredItemNotification] = []
        while self._reporting and len(taken) < self.rhythm.max_notifications:
            item_id, item = self._reporting.popitem(last=False)
            if item.waiting:
                taken += item.take(self.rhythm.max_notifications - len(taken))
            if item.waiting:
                self._reporting[item_id] = item
                self._reporting.move_to_end(item_id, last=False)
        return taken
