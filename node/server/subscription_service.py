"""The services of subscriptions and monitored items (OPC 10000-4 sections 5.12 and 5.13).

A session sees its own subscriptions only: ids of others are unknown to it.
"""

from __future__ import annotations

import itertools
import math
import secrets
from typing import Any

from asyncua import ua

from address_space.image import ProcessImage
from address_space.model import Clock
from node.server.limits import Limits
from node.server.monitored_item import FilterRefused, MonitoredItem, Settings, trigger_of
from node.server.publisher import Publisher
from node.server.reading import AttributeReader, Stamps, stamps
from node.server.request import Request, ServiceRefused
from node.server.sessions import Session
from node.server.subscription import Subscription, revise
from node.server.tasks import TaskSet, in_slices


class SubscriptionService:
    """Makes and changes subscriptions and their items."""

    def __init__(
        self, reader: AttributeReader, image: ProcessImage, clock: Clock, limits: Limits, tasks: TaskSet
    ) -> None:
        self._reader = reader
        self._image = image
        self._clock = clock
        self._limits = limits
        self._tasks = tasks
        # Ids do not begin at a known number after each start, so a client cannot mistake an old one for its own.
        self._ids = itertools.count(secrets.randbelow(2**30) + 1)
        self._item_ids = itertools.count(1)

    # --- subscriptions

    def create(self, parameters: ua.CreateSubscriptionParameters, session: Session) -> ua.CreateSubscriptionResponse:
        """A new subscription of the session. Raises ServiceRefused."""
        rhythm = revise(parameters, self._limits)
        subscription = Subscription(
            next(self._ids),
            rhythm,
            self._reader,
            self._image,
            self._clock,
            self._limits,
            enabled=bool(parameters.PublishingEnabled),
        )
        subscription.role = session.caller.role
        _publisher(session, self).add(subscription)
        response: Any = ua.CreateSubscriptionResponse()
        response.Parameters.SubscriptionId = subscription.id
        _show(rhythm, response.Parameters)
        return response  # type: ignore[no-any-return]

    def new_publisher(self) -> Publisher:
        """What publishes for one session."""
        return Publisher(self._clock, self._limits, self._tasks)

    def modify(self, parameters: ua.ModifySubscriptionParameters, session: Session) -> ua.ModifySubscriptionResponse:
        """Another rhythm for a subscription. Raises ServiceRefused."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        subscription.rhythm = revise(parameters, self._limits)
        response: Any = ua.ModifySubscriptionResponse()
        _show(subscription.rhythm, response.Parameters)
        return response  # type: ignore[no-any-return]

    def delete(self, parameters: ua.DeleteSubscriptionsParameters, session: Session) -> ua.DeleteSubscriptionsResponse:
        """End subscriptions."""
        publisher = _publisher(session, self)
        response: Any = ua.DeleteSubscriptionsResponse()
        response.Results = [
            _status(0 if publisher.remove(one) else ua.StatusCodes.BadSubscriptionIdInvalid)
            for one in parameters.SubscriptionIds
        ]
        return response  # type: ignore[no-any-return]

    def set_publishing(self, parameters: ua.SetPublishingModeParameters, session: Session) -> Any:
        """Switch reporting on or off."""
        publisher = _publisher(session, self)
        results = []
        for one in parameters.SubscriptionIds:
            subscription = publisher.subscriptions.get(one)
            if subscription is not None:
                subscription.enabled = bool(parameters.PublishingEnabled)
                subscription.lonely_cycles = 0
            results.append(_status(0 if subscription is not None else ua.StatusCodes.BadSubscriptionIdInvalid))
        response: Any = ua.SetPublishingModeResponse()
        response.Parameters.Results = results
        return response

    def publish(self, request: Request, parameters: ua.PublishParameters, session: Session) -> None:
        """Take a Publish; its answer comes when there is something to say. Raises ServiceRefused."""
        _publisher(session, self).publish(request, parameters.SubscriptionAcknowledgements)

    def republish(self, parameters: ua.RepublishParameters, session: Session) -> ua.RepublishResponse:
        """Send a message again. Raises ServiceRefused."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        message = subscription.again(parameters.RetransmitSequenceNumber)
        if message is None:
            raise ServiceRefused(ua.StatusCodes.BadMessageNotAvailable)
        return ua.RepublishResponse(NotificationMessage=message)

    # --- items

    async def create_items(self, parameters: ua.CreateMonitoredItemsParameters, session: Session) -> Any:
        """Watch attributes. Raises ServiceRefused for what concerns the whole request."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        wanted = stamps(parameters.TimestampsToReturn)
        response: Any = ua.CreateMonitoredItemsResponse()
        response.Results = await in_slices(
            parameters.ItemsToCreate, lambda item: self._create(subscription, item, wanted)
        )
        return response

    async def modify_items(self, parameters: ua.ModifyMonitoredItemsParameters, session: Session) -> Any:
        """Change how attributes are watched. Raises ServiceRefused for what concerns the whole request."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        wanted = stamps(parameters.TimestampsToReturn)
        response: Any = ua.ModifyMonitoredItemsResponse()
        response.Results = await in_slices(
            parameters.ItemsToModify, lambda item: self._modify(subscription, item, wanted)
        )
        return response

    def set_modes(self, parameters: ua.SetMonitoringModeParameters, session: Session) -> Any:
        """Disable, sample or report items. Raises ServiceRefused for an unknown subscription."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        results = []
        for one in parameters.MonitoredItemIds:
            item = subscription.items.get(one)
            if item is not None:
                subscription.set_mode(item, parameters.MonitoringMode)
            results.append(_status(0 if item is not None else ua.StatusCodes.BadMonitoredItemIdInvalid))
        response: Any = ua.SetMonitoringModeResponse()
        response.Parameters.Results = results
        return response

    def delete_items(self, parameters: ua.DeleteMonitoredItemsParameters, session: Session) -> Any:
        """Watch attributes no more. Raises ServiceRefused for an unknown subscription."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        response: Any = ua.DeleteMonitoredItemsResponse()
        response.Results = [
            _status(0 if subscription.remove(one) else ua.StatusCodes.BadMonitoredItemIdInvalid)
            for one in parameters.MonitoredItemIds
        ]
        return response

    def _create(
        self, subscription: Subscription, item: ua.MonitoredItemCreateRequest, wanted: Stamps
    ) -> ua.MonitoredItemCreateResult:
        result: Any = ua.MonitoredItemCreateResult()
        status = self._fault(subscription, item.ItemToMonitor)
        if status is None:
            try:
                settings = self._settings(subscription, item.RequestedParameters, item.ItemToMonitor, wanted)
            except FilterRefused as error:
                status = error.status
        if status is not None:
            result.StatusCode = _status(status)
            return result  # type: ignore[no-any-return]
        node = self._reader.node(item.ItemToMonitor.NodeId)
        made = MonitoredItem(next(self._item_ids), node, item.ItemToMonitor, item.MonitoringMode, settings)
        subscription.add(made)
        result.MonitoredItemId = made.id
        result.RevisedSamplingInterval = settings.every * subscription.rhythm.interval_ms
        result.RevisedQueueSize = settings.queue_size
        return result  # type: ignore[no-any-return]

    def _modify(
        self, subscription: Subscription, wanted: ua.MonitoredItemModifyRequest, times: Stamps
    ) -> ua.MonitoredItemModifyResult:
        result: Any = ua.MonitoredItemModifyResult()
        item = subscription.items.get(wanted.MonitoredItemId)
        if item is None:
            result.StatusCode = _status(ua.StatusCodes.BadMonitoredItemIdInvalid)
            return result  # type: ignore[no-any-return]
        try:
            settings = self._settings(subscription, wanted.RequestedParameters, item.what, times)
        except FilterRefused as error:
            result.StatusCode = _status(error.status)
            return result  # type: ignore[no-any-return]
        item.change(settings)
        result.RevisedSamplingInterval = settings.every * subscription.rhythm.interval_ms
        result.RevisedQueueSize = settings.queue_size
        return result  # type: ignore[no-any-return]

    def _fault(self, subscription: Subscription, what: ua.ReadValueId) -> int | None:
        """Why an attribute cannot be watched; None when it can."""
        if subscription.closed:  # while others had their turn
            return ua.StatusCodes.BadSubscriptionIdInvalid
        if len(subscription.items) >= self._limits.items_per_subscription:
            return ua.StatusCodes.BadTooManyMonitoredItems
        if what.AttributeId == ua.AttributeIds.EventNotifier:
            # Nothing here makes events yet; an item that never reports would look as if all were well.
            return ua.StatusCodes.BadNotSupported
        return self._reader.fault(what, subscription.role)

    def _settings(
        self, subscription: Subscription, wanted: ua.MonitoringParameters, what: ua.ReadValueId, times: Stamps
    ) -> Settings:
        trigger = trigger_of(wanted.Filter, what.AttributeId)
        interval = subscription.rhythm.interval_ms
        asked = float(wanted.SamplingInterval)
        longest = self._limits.publishing_max_ms
        # 0 asks for the fastest and a negative number for the publishing interval: both are one cycle, as is NaN.
        every = max(1, math.ceil(min(asked, longest) / interval)) if asked > interval else 1
        queue = min(max(wanted.QueueSize, 1), self._limits.queue_size)
        return Settings(wanted.ClientHandle, every, queue, bool(wanted.DiscardOldest), trigger, times)


def _publisher(session: Session, service: SubscriptionService) -> Publisher:
    if session.publisher is None:
        session.publisher = service.new_publisher()
    return session.publisher


def _show(rhythm: Any, result: Any) -> None:
    result.RevisedPublishingInterval = rhythm.interval_ms
    result.RevisedLifetimeCount = rhythm.lifetime
    result.RevisedMaxKeepAliveCount = rhythm.keep_alive


def _status(status: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(status))
