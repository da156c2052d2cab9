"""The services of subscriptions and monitored items (OPC 10000-4 sections 5.12 and 5.13).

A session sees its own subscriptions only: ids of others are unknown to it.
"""

from __future__ import annotations

import hmac
import itertools
import secrets
from typing import Any, Final

from asyncua import ua

# What the decoder makes; `ua.DataChangeFilter` is a subclass of it for clients.
from asyncua.ua.uaprotocol_auto import DataChangeFilter

from address_space.image import ProcessImage
from address_space.model import Clock, Point
from address_space.nodes import Node
from address_space.values import variant_type
from node.server.events.condition_refresh import refresh
from node.server.events.events import Events
from node.server.limits import Limits
from node.server.reading import AttributeReader, Stamps, stamps
from node.server.request import Request, ServiceRefused
from node.server.security.access import attribute
from node.server.security.identity import ANONYMOUS
from node.server.sessions.sessions import Session
from node.server.subscriptions.change_filter import FilterRefused, Measure, change_filter
from node.server.subscriptions.event_item import EventItem
from node.server.subscriptions.event_items import EventItems, refused
from node.server.subscriptions.item_requests import CreateItems, create_response
from node.server.subscriptions.monitored_item import MonitoredItem, Settings, Source
from node.server.subscriptions.notification_packer import Pack, is_fixed, pack_objects, pack_of, republish_response
from node.server.subscriptions.publisher import Publisher
from node.server.subscriptions.sampling import timer_interval_ms
from node.server.subscriptions.subscription import Owner, Subscription, World, revise
from node.server.transport.tasks import TaskSet, in_slices
from node.server.transport.wire import DECODE_ERRORS, TooManyFields

_VALUE: Final = ua.AttributeIds.Value
# Items that are created before others get a turn: 1 ms.
_CREATED_AT_ONCE: Final = 50
# Different ways to set up an item that are kept; a client has a handful.
_SETTINGS_KEPT: Final = 1_000


class SubscriptionService:
    """Makes and changes subscriptions and their items."""

    def __init__(
        self,
        reader: AttributeReader,
        image: ProcessImage,
        clock: Clock,
        limits: Limits,
        tasks: TaskSet,
        events: Events,
    ) -> None:
        self._events = events
        self._event_items = EventItems(reader, events)
        self._world = World(reader, image, clock, limits, tasks)
        self._reader = reader
        self._image = image
        self._clock = clock
        self._limits = limits
        self._tasks = tasks
        self._publishers: dict[int, Publisher] = {}  # by subscription
        self._orphans: dict[int, Publisher] = {}  # subscriptions whose session has ended
        self._settings_known: dict[Settings, Settings] = {}
        # Ids do not begin at a known number after each start, so a client cannot mistake an old one for its own.
        self._ids = itertools.count(secrets.randbelow(2**30) + 1)
        self._item_ids = itertools.count(1)

    # --- subscriptions

    def create(self, parameters: ua.CreateSubscriptionParameters, session: Session) -> ua.CreateSubscriptionResponse:
        """A new subscription of the session. Raises ServiceRefused."""
        rhythm = revise(parameters, self._limits)
        self._make_room()
        owner = Owner(session.caller, session.client_certificate)
        enabled = bool(parameters.PublishingEnabled)
        subscription = Subscription(next(self._ids), rhythm, self._world, owner, enabled=enabled)
        publisher = _publisher(session, self)
        publisher.add(subscription)
        self._publishers[subscription.id] = publisher
        response: Any = ua.CreateSubscriptionResponse()
        response.Parameters.SubscriptionId = subscription.id
        _show(rhythm, response.Parameters)
        return response  # type: ignore[no-any-return]

    def _make_room(self) -> None:
        """Those whose client is gone make room for new ones. Raises ServiceRefused."""
        self._forget_closed()
        if len(self._publishers) < self._limits.subscriptions:
            return
        orphan = next((one for one, owner in self._orphans.items() if one in owner.subscriptions), None)
        if orphan is None:
            raise ServiceRefused(ua.StatusCodes.BadTooManySubscriptions)
        self._orphans.pop(orphan).remove(orphan)

    def new_publisher(self) -> Publisher:
        """What publishes for one session."""
        return Publisher(self._clock, self._limits, self._tasks, self._orphan)

    def _orphan(self, publisher: Publisher) -> None:
        """Keep subscriptions without a session, as many as there may be; the oldest end."""
        self._orphans = {one: owner for one, owner in self._orphans.items() if owner.subscriptions.get(one) is not None}
        self._orphans |= dict.fromkeys(publisher.subscriptions, publisher)
        while len(self._orphans) > self._limits.orphaned_subscriptions:
            oldest = next(iter(self._orphans))
            self._orphans.pop(oldest).remove(oldest)

    async def modify(self, parameters: ua.ModifySubscriptionParameters, session: Session) -> Any:
        """Another rhythm for a subscription. Raises ServiceRefused."""
        publisher = _publisher(session, self)
        subscription = publisher.find(parameters.SubscriptionId)
        rhythm = revise(parameters, self._limits)
        await publisher.change_rhythm(subscription, rhythm)
        response: Any = ua.ModifySubscriptionResponse()
        _show(rhythm, response.Parameters)
        return response

    async def delete(
        self, parameters: ua.DeleteSubscriptionsParameters, session: Session
    ) -> ua.DeleteSubscriptionsResponse:
        """End subscriptions."""
        publisher = _publisher(session, self)
        response: Any = ua.DeleteSubscriptionsResponse()
        response.Results = await in_slices(
            parameters.SubscriptionIds,
            lambda one: _status(0 if publisher.remove(one) else ua.StatusCodes.BadSubscriptionIdInvalid),
        )
        return response  # type: ignore[no-any-return]

    async def set_publishing(self, parameters: ua.SetPublishingModeParameters, session: Session) -> Any:
        """Switch reporting on or off."""
        publisher = _publisher(session, self)

        def switch(one: int) -> ua.StatusCode:
            subscription = publisher.subscriptions.get(one)
            if subscription is None:
                return _status(ua.StatusCodes.BadSubscriptionIdInvalid)
            subscription.enabled = bool(parameters.PublishingEnabled)
            subscription.lonely_cycles = 0
            return _status(0)

        response: Any = ua.SetPublishingModeResponse()
        response.Parameters.Results = await in_slices(parameters.SubscriptionIds, switch)
        return response

    def publish(self, request: Request, parameters: ua.PublishParameters, session: Session) -> None:
        """Take a Publish; its answer comes when there is something to say. Raises ServiceRefused."""
        _publisher(session, self).publish(request, parameters.SubscriptionAcknowledgements)

    def republish(self, request: Request, parameters: ua.RepublishParameters, session: Session) -> None:
        """Send a message again. Raises ServiceRefused."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        message = subscription.again(parameters.RetransmitSequenceNumber)
        if message is None:
            raise ServiceRefused(ua.StatusCodes.BadMessageNotAvailable)
        request.answer_packed(republish_response(self._clock.now(), request.header.RequestHandle, message))

    async def transfer(self, request: Request, parameters: ua.TransferSubscriptionsParameters, session: Session) -> Any:
        """Take over subscriptions of another session of the same user and application."""
        response: Any = ua.TransferSubscriptionsResponse()
        response.Parameters.Results = [
            await self._transfer(one, request, session, initial=bool(parameters.SendInitialValues))
            for one in parameters.SubscriptionIds
        ]
        return response

    async def _transfer(
        self, subscription_id: int, request: Request, session: Session, *, initial: bool
    ) -> ua.TransferResult:
        self._forget_closed()
        publisher, own = self._publishers.get(subscription_id), _publisher(session, self)
        subscription = None if publisher is None else publisher.subscriptions.get(subscription_id)
        if publisher is None or subscription is None:
            return ua.TransferResult(_status(ua.StatusCodes.BadSubscriptionIdInvalid))
        subscription.counts.transfer_requests += 1
        if publisher is not own and not _may_take(subscription.owner, session, secure=request.line.channel.is_secure):
            return ua.TransferResult(_status(ua.StatusCodes.BadUserAccessDenied))
        if publisher is not own:
            if len(own.subscriptions) >= self._limits.subscriptions_per_session:
                return ua.TransferResult(_status(ua.StatusCodes.BadTooManySubscriptions))
            if len(subscription.items) + _items_of(own) > self._limits.items_per_session:
                return ua.TransferResult(_status(ua.StatusCodes.BadTooManyMonitoredItems))
            publisher.give_away(subscription_id)
            # `_may_take` lets no other client have it.
            subscription.counts.transferred_to_same += 1
            subscription.owner = Owner(session.caller, session.client_certificate)
            own.add(subscription)
            self._publishers[subscription_id] = own
        subscription.lonely_cycles = 0
        result = ua.TransferResult(_status(0), [ua.UInt32(number) for number in subscription.available])
        if initial:
            await subscription.repeat_values()
        return result

    def _forget_closed(self) -> None:
        self._publishers = {
            one: publisher for one, publisher in self._publishers.items() if one in publisher.subscriptions
        }

    # --- methods of the Server object (OPC 10000-5 section 9.1 and 9.2)

    def handles(self, subscription_id: int, session: Session) -> tuple[list[int], list[int]]:
        """Server's and client's handles of all items of a subscription. Raises ServiceRefused."""
        items = self._own(subscription_id, session).items.values()
        return [item.id for item in items], [item.handle for item in items]

    async def resend(self, subscription_id: int, session: Session) -> None:
        """Report all present values again. Raises ServiceRefused."""
        await self._own(subscription_id, session).repeat_values()

    def refresh(self, numbers: list[int], session: Session) -> None:
        """Refresh the conditions of a subscription, or of one item in it. Raises ServiceRefused."""
        refresh(self._own(numbers[0], session), self._events, numbers[1] if len(numbers) > 1 else None)

    def _own(self, subscription_id: int, session: Session) -> Subscription:
        self._forget_closed()
        own = _publisher(session, self)
        if subscription_id in self._publishers and subscription_id not in own.subscriptions:
            raise ServiceRefused(ua.StatusCodes.BadUserAccessDenied)
        return own.find(subscription_id)

    # --- items

    async def create_items(self, request: Request, parameters: CreateItems, session: Session) -> None:
        """Watch attributes. Raises ServiceRefused for what concerns the whole request."""
        own = _publisher(session, self)
        subscription = own.find(parameters.SubscriptionId)
        wanted = stamps(parameters.TimestampsToReturn)
        try:
            items = await in_slices(parameters.ItemsToCreate, lambda item: item)
        except TooManyFields as error:
            raise ServiceRefused(ua.StatusCodes.BadEncodingLimitsExceeded, str(error)) from error
        except DECODE_ERRORS as error:
            raise ServiceRefused(ua.StatusCodes.BadDecodingError, str(error)) from error
        # Only this request makes items of the session now: its requests are worked on one after another.
        free = self._limits.items_per_session - _items_of(own)
        already = len(subscription.items)

        def create(item: ua.MonitoredItemCreateRequest) -> ua.MonitoredItemCreateResult:
            if len(subscription.items) - already < free:
                return self._create(subscription, item, wanted)
            return ua.MonitoredItemCreateResult(_status(ua.StatusCodes.BadTooManyMonitoredItems))

        results = await in_slices(items, create, _CREATED_AT_ONCE)
        request.answer_packed(create_response(self._clock.now(), request.header.RequestHandle, results))

    async def modify_items(self, parameters: ua.ModifyMonitoredItemsParameters, session: Session) -> Any:
        """Change how attributes are watched. Raises ServiceRefused for what concerns the whole request."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        wanted = stamps(parameters.TimestampsToReturn)
        response: Any = ua.ModifyMonitoredItemsResponse()
        response.Results = await in_slices(
            parameters.ItemsToModify, lambda item: self._modify(subscription, item, wanted)
        )
        return response

    async def set_modes(self, parameters: ua.SetMonitoringModeParameters, session: Session) -> Any:
        """Disable, sample or report items. Raises ServiceRefused for an unknown subscription."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)

        def switch(one: int) -> ua.StatusCode:
            item = subscription.items.get(one)
            if item is None:
                return _status(ua.StatusCodes.BadMonitoredItemIdInvalid)
            subscription.set_mode(item, parameters.MonitoringMode)
            return _status(0)

        response: Any = ua.SetMonitoringModeResponse()
        response.Parameters.Results = await in_slices(parameters.MonitoredItemIds, switch)
        return response

    async def delete_items(self, parameters: ua.DeleteMonitoredItemsParameters, session: Session) -> Any:
        """Watch attributes no more. Raises ServiceRefused for an unknown subscription."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        response: Any = ua.DeleteMonitoredItemsResponse()
        response.Results = await in_slices(
            parameters.MonitoredItemIds,
            lambda one: _status(0 if subscription.remove(one) else ua.StatusCodes.BadMonitoredItemIdInvalid),
        )
        return response

    async def set_triggering(self, parameters: ua.SetTriggeringParameters, session: Session) -> Any:
        """Link items to one that triggers them. Raises ServiceRefused for what concerns the whole request."""
        subscription = _publisher(session, self).find(parameters.SubscriptionId)
        added, removed = parameters.LinksToAdd or (), parameters.LinksToRemove or ()
        if not added and not removed:
            raise ServiceRefused(ua.StatusCodes.BadNothingToDo)
        if len(added) + len(removed) > self._limits.operations:
            raise ServiceRefused(ua.StatusCodes.BadTooManyOperations)
        item = subscription.items.get(parameters.TriggeringItemId)
        if item is None:
            raise ServiceRefused(ua.StatusCodes.BadMonitoredItemIdInvalid)
        links = dict.fromkeys(item.links)
        response: Any = ua.SetTriggeringResponse()
        # First the links that go, then those that come (OPC 10000-4 section 5.12.5.1).
        response.Parameters.RemoveResults = await in_slices(
            removed, lambda one: _status(0 if links.pop(one, 0) is None else ua.StatusCodes.BadMonitoredItemIdInvalid)
        )
        response.Parameters.AddResults = await in_slices(
            added, lambda one: _status(0 if one in subscription.items else ua.StatusCodes.BadMonitoredItemIdInvalid)
        )
        links |= dict.fromkeys(one for one in added if one in subscription.items)
        subscription.link(item, tuple(one for one in links if one in subscription.items))
        return response

    def _create(
        self, subscription: Subscription, item: ua.MonitoredItemCreateRequest, wanted: Stamps
    ) -> ua.MonitoredItemCreateResult:
        result: Any = ua.MonitoredItemCreateResult()
        what = item.ItemToMonitor
        status = self._fault(subscription, what)
        try:
            if status is None and what.AttributeId == ua.AttributeIds.EventNotifier:
                return self._event_items.create(subscription, item, self._item_ids)
            if status is None:
                mode = ua.MonitoringMode(item.MonitoringMode)
                node = self._reader.node(what.NodeId)
                point = self._point(node, what)
                slot = node.slot if isinstance(node, Node) and what.AttributeId == _VALUE else None
                source = None if point is not None else Source(node, what)
                given, longest = item.RequestedParameters, subscription.longest_queue()
                settings, pack = self._settings(subscription, given, slot, source, point, wanted, longest)
        except FilterRefused as error:
            refused(result, error)
            return result  # type: ignore[no-any-return]
        except ValueError:
            status = ua.StatusCodes.BadMonitoringModeInvalid
        if status is not None:
            result.StatusCode = _status(status)
            return result  # type: ignore[no-any-return]
        handle = int(item.RequestedParameters.ClientHandle)
        made = MonitoredItem(next(self._item_ids), handle, slot, source, mode, settings, pack)
        subscription.add(made)
        result.MonitoredItemId = made.id
        result.RevisedSamplingInterval = settings.interval_ms
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
        point = None
        if item.source is None and item.slot is not None:
            _device, point = self._image.owner(item.slot)
        parameters = wanted.RequestedParameters
        try:
            if isinstance(item, EventItem):
                return self._event_items.modify(subscription, item, parameters)
            longest = subscription.longest_queue(item)
            settings, pack = self._settings(subscription, parameters, item.slot, item.source, point, times, longest)
        except FilterRefused as error:
            refused(result, error)
            return result  # type: ignore[no-any-return]
        subscription.change(item, int(parameters.ClientHandle), settings, pack)
        result.RevisedSamplingInterval = settings.interval_ms
        result.RevisedQueueSize = settings.queue_size
        return result  # type: ignore[no-any-return]

    def _fault(self, subscription: Subscription, what: ua.ReadValueId) -> int | None:
        """Why an attribute cannot be watched; None when it can."""
        if subscription.closed:  # while others had their turn
            return ua.StatusCodes.BadSubscriptionIdInvalid
        limits = self._limits
        if len(subscription.items) >= limits.items_per_subscription or self._world.stock.items >= limits.items:
            return ua.StatusCodes.BadTooManyMonitoredItems
        return self._reader.fault(what, subscription.owner.caller.role)

    def _point(self, node: Any, what: ua.ReadValueId) -> Point | None:
        """The point whose samples are the attribute as they stand in their slot; None for everything else."""
        if what.AttributeId != _VALUE or what.IndexRange or not isinstance(node, Node) or node.slot is None:
            return None
        _device, point = self._image.owner(node.slot)
        # Texts and health follow a slot too, but show something else than what stands there.
        return point if node.member == point.id else None

    def _settings(
        self,
        subscription: Subscription,
        wanted: ua.MonitoringParameters,
        slot: int | None,
        source: Source | None,
        point: Point | None,
        times: Stamps,
        longest: int,
    ) -> tuple[Settings, Pack]:
        """How an item is to be sampled and packed. Raises FilterRefused."""
        cycle = subscription.rhythm.interval_ms
        queue = min(max(wanted.QueueSize, 1), longest)
        asked = float(wanted.SamplingInterval)
        # A negative number asks for the publishing interval, as does NaN; 0 for the fastest: each publish of the
        # point, or each cycle where nothing says that there is something new.
        interval = cycle if not asked >= 0 or (asked == 0 and slot is None) else asked
        if interval:
            interval = min(max(interval, self._limits.sampling_min_ms), self._limits.sampling_max_ms)
        if interval > cycle or (queue > 1 and 0 < interval < cycle):
            interval = timer_interval_ms(interval)
        if point is not None:
            measure, pack, fixed = Measure(variant_type(point), point.range), pack_of(point, times), is_fixed(point)
        else:
            measure, pack, fixed = self._measure(wanted.Filter, source), pack_objects(times), False
        attribute_id = _VALUE if source is None else source.what.AttributeId
        change = change_filter(wanted.Filter, attribute_id, measure)
        settings = Settings(interval, queue, bool(wanted.DiscardOldest), change, times, fixed)
        if len(self._settings_known) >= _SETTINGS_KEPT:
            self._settings_known.clear()
        return self._settings_known.setdefault(settings, settings), pack

    def _measure(self, wanted: Any, source: Source | None) -> Measure:
        """What a deadband needs to know of an attribute that no slot stands for."""
        found = None
        if isinstance(wanted, DataChangeFilter) and source is not None:
            found = attribute(source.node, source.what.AttributeId)
        known = None if found is None or found.Value is None else found.Value.VariantType
        return Measure(known if isinstance(known, ua.VariantType) else ua.VariantType.Null)


def _may_take(owner: Owner, session: Session, *, secure: bool) -> bool:
    """True for the same user and application; who is anonymous is known by its certificate only.

    OPC 10000-4 section 5.13.7.
    """
    if owner.caller.user != session.caller.user:
        return False
    if not hmac.compare_digest(owner.certificate, session.client_certificate):
        return False
    return secure or session.caller.user != ANONYMOUS.user


def _publisher(session: Session, service: SubscriptionService) -> Publisher:
    if session.publisher is None:
        session.publisher = service.new_publisher()
    return session.publisher


def _items_of(publisher: Publisher) -> int:
    return sum(len(each.items) for each in publisher.subscriptions.values())


def _show(rhythm: Any, result: Any) -> None:
    result.RevisedPublishingInterval = rhythm.interval_ms
    result.RevisedLifetimeCount = rhythm.lifetime
    result.RevisedMaxKeepAliveCount = rhythm.keep_alive


def _status(status: int) -> ua.StatusCode:
    return ua.StatusCode(ua.UInt32(status))
