"""ConditionRefresh and ConditionRefresh2: all alarms that stand, between two events (OPC 10000-9 section 5.5.7).

There are no conditions in this address space, so nothing stands between start and end.
"""

from __future__ import annotations

from typing import Final

from asyncua import ua

from address_space.shape import node_id
from node.server.events.events import Events
from node.server.request import ServiceRefused
from node.server.subscriptions.event_item import EventItem
from node.server.subscriptions.subscription import Subscription

CONDITION_TYPE: Final = node_id(ua.ObjectIds.ConditionType)
REFRESH: Final = node_id(ua.ObjectIds.ConditionType_ConditionRefresh)
REFRESH_ITEM: Final = node_id(ua.ObjectIds.ConditionType_ConditionRefresh2)
# Number of arguments of each: subscription, and item.
REFRESH_ARGUMENTS: Final = {REFRESH: 1, REFRESH_ITEM: 2}
_START: Final = node_id(ua.ObjectIds.RefreshStartEventType)
_END: Final = node_id(ua.ObjectIds.RefreshEndEventType)


def refresh(subscription: Subscription, events: Events, item_id: int | None) -> None:
    """Tell the event items of a subscription, or one of them. Raises ServiceRefused for an item that is none."""
    items = [each for each in subscription.items.values() if isinstance(each, EventItem)]
    if item_id is not None:
        items = [each for each in items if each.id == item_id]
        if not items:
            raise ServiceRefused(ua.StatusCodes.BadMonitoredItemIdInvalid)
    start = events.make(_START, "The refresh of conditions begins.", unfiltered=True)
    end = events.make(_END, "The refresh of conditions is complete.", unfiltered=True)
    for item in items:
        subscription.hear(item, start)
        subscription.hear(item, end)
