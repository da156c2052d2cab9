"""One monitored item: what was reported last, and what waits to be reported (OPC 10000-4 section 5.12)."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import Enum
from typing import Any, Final

from asyncua import ua

from node.server.reading import Stamps
from node.server.subscriptions.change_filter import ChangeFilter, is_beyond, same
from node.server.subscriptions.notification_packer import Pack
from node.server.subscriptions.subscription_counts import SubscriptionCounts

REPORTING: Final = ua.MonitoringMode.Reporting
SAMPLING: Final = ua.MonitoringMode.Sampling
DISABLED: Final = ua.MonitoringMode.Disabled
_ONLY_STATUS: Final = ua.DataChangeTrigger.Status
_TIME_TOO: Final = ua.DataChangeTrigger.StatusValueTimestamp
# InfoType DataValue with the overflow bit (OPC 10000-4 section 7.38.1).
_OVERFLOW: Final = 0x0480
# No status code: nothing was reported yet, so anything is news.
_NOTHING: Final = -1


class Lane(Enum):
    """The way by which an item's samples come."""

    OFF = "off"  # nobody samples it
    PLAIN = "plain"  # as MARKED, and any other value or status is news
    MARKED = "marked"  # its slot is looked at when it was published, once a publishing cycle
    PUSHED = "pushed"  # every publish of its slot is a sample
    TIMED = "timed"  # a timer of its own samples it
    LOOKED = "looked"  # looked at in every publishing cycle
    TOLD = "told"  # events come to it by themselves


@dataclass(frozen=True, slots=True)
class Settings:
    """How items are sampled and reported; many share one."""

    interval_ms: float  # 0: whenever the point is published
    queue_size: int
    discard_oldest: bool
    change: ChangeFilter
    stamps: Stamps
    fixed: bool = False  # a notification is never longer than FIXED_BYTES
    plain: bool = field(init=False, compare=False)  # any other value or status is news, and `fixed`

    def __post_init__(self) -> None:
        object.__setattr__(self, "plain", self.fixed and self.change == _PLAIN)


_PLAIN: Final = ChangeFilter()


@dataclass(frozen=True, slots=True)
class Source:
    """An attribute that is read as an object, because no slot has it as it is shown."""

    node: Any
    what: ua.ReadValueId


class MonitoredItem:
    """Watches one attribute; the subscription says when to look.

    A value is the plain one of a slot, or a Variant when the item has a `source`. `links` are ids of items that this
    one triggers. The last value is the last reported one: what deadbands are measured from.
    """

    __slots__ = (
        "counts",
        "handle",
        "id",
        "interval_ms",
        "lane",
        "last_status",
        "last_ticks",
        "last_value",
        "links",
        "mode",
        "pack",
        "pending",
        "queue",
        "settings",
        "sibling",
        "slot",
        "source",
        "triggered",
    )

    def __init__(
        self,
        item_id: int,
        handle: int,
        slot: int | None,
        source: Source | None,
        mode: ua.MonitoringMode,
        settings: Settings,
        pack: Pack,
    ) -> None:
        self.id = item_id
        self.handle = handle
        # The slot whose publishing says that there may be something new; None for what has to be looked at.
        self.slot = slot
        self.source = source
        self.mode = mode
        self.settings = settings
        self.pack = pack
        self.lane = Lane.OFF
        self.interval_ms = 0.0  # of the timer that samples it
        self.sibling: MonitoredItem | None = None  # the next item on the same slot
        self.pending = False  # it stands in the subscription's line
        self.triggered = False  # it reports once although it only samples
        self.links: tuple[int, ...] = ()
        self.last_status = _NOTHING
        self.last_value: Any = None
        self.last_ticks: Any = None
        self.queue: list[tuple[Any, int, Any]] = _EMPTY
        self.counts = _NOBODYS  # of the subscription that it belongs to

    @property
    def waiting(self) -> int:
        """How many values are to be reported now."""
        return len(self.queue) if self.mode == REPORTING or self.triggered else 0

    def is_news(self, value: Any, status: int, ticks: Any) -> bool:
        """True when a sample is to be reported after the last one: a status always, then what the filter says."""
        if status != self.last_status:
            return True
        change = self.settings.change
        if change.trigger == _ONLY_STATUS:
            return False
        if change.trigger == _TIME_TOO and ticks != self.last_ticks:
            return True
        if change.deadband:
            return is_beyond(self.last_value, value, change.deadband)
        return not same(self.last_value, value)

    def offer(self, value: Any, status: int, ticks: Any) -> bool:
        """Queue a sample if it is news; True when it was."""
        settings = self.settings
        if settings.plain:
            last = self.last_value
            # NaN is unlike itself.
            if status == self.last_status and (value == last or (value != value and last != last)):  # noqa: PLR0124
                return False
        elif not self.is_news(value, status, ticks):
            return False
        self.last_value, self.last_status, self.last_ticks = value, status, ticks
        queue = self.queue
        if not queue:
            self.queue = [(value, status, ticks)]
        elif len(queue) < settings.queue_size:
            queue.append((value, status, ticks))
        elif settings.queue_size == 1:
            queue[0] = (value, status, ticks)
        elif settings.discard_oldest:
            self.counts.overflows += 1
            del queue[0]
            queue[0] = _overflown(*queue[0])
            queue.append((value, status, ticks))
        else:
            self.counts.overflows += 1
            queue[-1] = _overflown(value, status, ticks)
        return True

    def take(self, most: int, server: int) -> list[bytes]:
        """Up to `most` of the waiting notifications, oldest first."""
        queue, pack, handle = self.queue, self.pack, self.handle
        if len(queue) <= most:
            self.queue = _EMPTY
            self.triggered = False
        else:
            queue, self.queue = queue[:most], queue[most:]
        return [pack(handle, value, status, ticks, server) for value, status, ticks in queue]

    def change(self, handle: int, settings: Settings, pack: Pack) -> None:
        """Take new settings; values that no longer fit into the queue go."""
        self.handle, self.settings, self.pack = handle, settings, pack
        size = settings.queue_size
        if len(self.queue) > size:
            self.queue = self.queue[-size:] if settings.discard_oldest else self.queue[:size]

    def forget(self) -> None:
        """Let the next sample be news, whatever it is."""
        self.last_status, self.last_value, self.last_ticks = _NOTHING, None, None

    def clear(self) -> None:
        """Drop what waits."""
        self.queue = _EMPTY
        self.triggered = False


_NOBODYS: Final = SubscriptionCounts()
_EMPTY: Final[list[tuple[Any, int, Any]]] = []  # shared by all items without a queue, never changed


def _overflown(value: Any, status: int, ticks: Any) -> tuple[Any, int, Any]:
    return value, status | _OVERFLOW, ticks
