"""Makes and changes items that watch notifiers, for the services of monitored items."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any, Final

from asyncua import ua

from node.server.events.event_filter import EventFilterRefused, event_filter
from node.server.events.events import Events
from node.server.reading import AttributeReader
from node.server.security.access import plain
from node.server.subscriptions.change_filter import FilterRefused
from node.server.subscriptions.event_item import EventItem, event_settings
from node.server.subscriptions.subscription import Subscription

_SUBSCRIBE: Final = 1 << ua.EventNotifier.SubscribeToEvents


class EventItems:
    """Builds event items; whoever has checked the subscription adds them to it."""

    def __init__(self, reader: AttributeReader, events: Events) -> None:
        self._reader = reader
        self._events = events

    def create(
        self, subscription: Subscription, wanted: ua.MonitoredItemCreateRequest, ids: Iterator[int]
    ) -> ua.MonitoredItemCreateResult:
        """Watch a notifier. Raises FilterRefused, ValueError for a mode that there is not."""
        what, parameters = wanted.ItemToMonitor, wanted.RequestedParameters
        node = self._reader.node(what.NodeId)
        if not int(plain(node, ua.AttributeIds.EventNotifier) or 0) & _SUBSCRIBE:
            raise FilterRefused(ua.StatusCodes.BadNotSupported)
        mode = ua.MonitoringMode(wanted.MonitoringMode)
        found, told = event_filter(parameters.Filter, self._events.types)
        settings = event_settings(parameters, subscription.longest_queue())
        handle = int(parameters.ClientHandle)
        item = EventItem(next(ids), handle, what.NodeId, mode, settings, found, self._events)
        subscription.add(item)
        result: Any = ua.MonitoredItemCreateResult(RevisedQueueSize=ua.UInt32(settings.queue_size))
        result.MonitoredItemId = item.id
        if told is not None:
            result.FilterResult = told
        return result  # type: ignore[no-any-return]

    def modify(
        self, subscription: Subscription, item: EventItem, parameters: ua.MonitoringParameters
    ) -> ua.MonitoredItemModifyResult:
        """Watch a notifier with another filter or queue. Raises FilterRefused."""
        found, told = event_filter(parameters.Filter, self._events.types)
        settings = event_settings(parameters, subscription.longest_queue(item))
        item.select(found)
        subscription.change(item, int(parameters.ClientHandle), settings, found.pack)
        result: Any = ua.MonitoredItemModifyResult(RevisedQueueSize=ua.UInt32(settings.queue_size))
        if told is not None:
            result.FilterResult = told
        return result  # type: ignore[no-any-return]


def refused(result: Any, error: FilterRefused) -> None:
    """Put a refusal into the result of an item."""
    result.StatusCode = ua.StatusCode(ua.UInt32(error.status))
    if isinstance(error, EventFilterRefused) and error.result is not None:
        result.FilterResult = error.result
