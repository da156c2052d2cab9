"""One monitored item: what was reported last, and what waits to be reported (OPC 10000-4 section 5.12)."""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass, replace
from typing import Any, Final

from asyncua import ua

from address_space.nodes import Node
from node.server.reading import Stamps

_REPORTING: Final = ua.MonitoringMode.Reporting
_DISABLED: Final = ua.MonitoringMode.Disabled
# InfoType DataValue with the overflow bit (OPC 10000-4 section 7.38.1).
_OVERFLOW: Final = 0x0480


class FilterRefused(Exception):
    """A filter that an item cannot have; `status` is the item's answer."""

    def __init__(self, status: int) -> None:
        super().__init__(ua.StatusCode(ua.UInt32(status)).name)
        self.status = status


def trigger_of(wanted: Any, attribute_id: int) -> ua.DataChangeTrigger:
    """What counts as a change by a filter. Raises FilterRefused for filters that are not done.

    Deadbands are refused: a value that is silently left out is worse than one too many.
    """
    nothing = wanted is None or (isinstance(wanted, ua.ExtensionObject) and wanted.TypeId.is_null())
    if nothing:
        return ua.DataChangeTrigger.StatusValue
    if attribute_id != ua.AttributeIds.Value or isinstance(wanted, ua.EventFilter):
        raise FilterRefused(ua.StatusCodes.BadFilterNotAllowed)
    if not isinstance(wanted, ua.DataChangeFilter) or wanted.DeadbandType != ua.DeadbandType.None_:
        raise FilterRefused(ua.StatusCodes.BadMonitoredItemFilterUnsupported)
    trigger: ua.DataChangeTrigger = wanted.Trigger
    return trigger


@dataclass(frozen=True, slots=True)
class Settings:
    """How an item is sampled and reported."""

    client_handle: int
    every: int  # it is looked at in every so-manyth publishing cycle
    queue_size: int
    discard_oldest: bool
    trigger: ua.DataChangeTrigger
    stamps: Stamps


class MonitoredItem:
    """Watches one attribute; the subscription says when to look."""

    __slots__ = ("_last", "_queue", "id", "mode", "node", "settings", "slot", "what")

    def __init__(
        self, item_id: int, node: Any, what: ua.ReadValueId, mode: ua.MonitoringMode, settings: Settings
    ) -> None:
        self.id = item_id
        self.node = node
        self.what = what
        self.mode = mode
        self.settings = settings
        # The slot whose publishing says that there may be something new; None for what has to be looked at.
        follows = isinstance(node, Node) and what.AttributeId == ua.AttributeIds.Value
        self.slot: int | None = node.slot if follows else None
        self._last: ua.DataValue | None = None
        self._queue: deque[ua.DataValue] = deque()

    @property
    def is_enabled(self) -> bool:
        """False when it is not sampled at all."""
        return self.mode != _DISABLED

    @property
    def waiting(self) -> int:
        """How many values are to be reported now."""
        return len(self._queue) if self.mode == _REPORTING else 0

    def offer(self, value: ua.DataValue) -> None:
        """Queue a value that was just read, if it differs from the one before by the item's trigger."""
        if self._last is not None and not self._differs(self._last, value):
            return
        self._last = value
        queue, settings = self._queue, self.settings
        if len(queue) < settings.queue_size:
            queue.append(value)
        elif settings.queue_size == 1:
            queue[0] = value
        elif settings.discard_oldest:
            queue.popleft()
            queue[0] = _overflown(queue[0])
            queue.append(value)
        else:
            queue[-1] = _overflown(value)

    def take(self, most: int) -> list[ua.MonitoredItemNotification]:
        """Up to `most` of the waiting values, oldest first."""
        queue = self._queue
        taken: list[ua.MonitoredItemNotification] = []
        while queue and len(taken) < most:
            taken.append(
                ua.MonitoredItemNotification(ClientHandle=ua.UInt32(self.settings.client_handle), Value=queue.popleft())
            )
        return taken

    def change(self, settings: Settings) -> None:
        """Take new settings; values that no longer fit into the queue go."""
        self.settings = settings
        while len(self._queue) > settings.queue_size:
            if settings.discard_oldest:
                self._queue.popleft()
            else:
                self._queue.pop()

    def set_mode(self, mode: ua.MonitoringMode) -> None:
        """Change the mode; a disabled item forgets what it saw, so that it reports at once when it is enabled."""
        if mode == _DISABLED:
            self._last = None
            self._queue.clear()
        self.mode = mode

    def _differs(self, old: ua.DataValue, new: ua.DataValue) -> bool:
        if old.StatusCode != new.StatusCode:
            return True
        trigger = self.settings.trigger
        if trigger == ua.DataChangeTrigger.Status:
            return False
        if not same_value(old.Value, new.Value):
            return True
        return trigger == ua.DataChangeTrigger.StatusValueTimestamp and old.SourceTimestamp != new.SourceTimestamp


def same_value(old: ua.Variant | None, new: ua.Variant | None) -> bool:
    """True when two values are the same for a client; NaN is NaN."""
    if old == new:
        return True
    if old is None or new is None or old.VariantType != new.VariantType:
        return False
    first, second = old.Value, new.Value
    return isinstance(first, float) and isinstance(second, float) and first != first and second != second  # noqa: PLR0124


def _overflown(value: ua.DataValue) -> ua.DataValue:
    status = value.StatusCode.value if value.StatusCode is not None else 0
    return replace(value, StatusCode=ua.StatusCode(ua.UInt32(status | _OVERFLOW)))
