"""A publisher on a clock that only the test moves, over a small image, with a client that keeps its answers."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.address_space import AttributeValue, NodeData
from asyncua.ua.ua_binary import struct_from_binary

from address_space.image import ProcessImage
from address_space.model import Batch, DataType, Device, DeviceClass, Point, PointKind, Range, Value, device_model
from address_space.nodes import NodeMap
from node.roles import Caller, Role
from node.server.limits import Limits
from node.server.reading import AttributeReader, Stamps
from node.server.request import Request
from node.server.subscriptions.change_filter import ChangeFilter
from node.server.subscriptions.monitored_item import MonitoredItem, Settings, Source
from node.server.subscriptions.notification_packer import pack_objects, pack_of
from node.server.subscriptions.publisher import Publisher
from node.server.subscriptions.subscription import Owner, Rhythm, Subscription, World
from node.server.transport.tasks import TaskSet
from tests.fake_clock import FakeClock

VALUE = ua.AttributeIds.Value
TRIGGER = ua.DataChangeTrigger
POINTS = tuple(
    Point(f"power{number}", "P", "", DataType.DOUBLE, PointKind.ANALOG, unit="W", range=Range(0.0, 200.0))
    for number in range(4)
)
MODEL = device_model("m", DeviceClass.GENERIC, POINTS)
PLAIN = ua.NodeId(1, 1)
OWNER = Owner(Caller("operator", Role.OPERATOR))


class Line:
    """A connection that keeps its answers."""

    peer = "127.0.0.1"
    hello_url = ""
    channel: Any = None

    def __init__(self) -> None:
        self.sent: list[tuple[int, Any]] = []
        self.room = 100_000

    def send(self, response: Any, request_id: int) -> None:
        self.sent.append((request_id, response))

    def send_packed(self, body: bytes, request_id: int) -> None:
        number = ua.ua_binary.nodeid_from_binary(Buffer(body))
        buffer = Buffer(body)
        self.sent.append((request_id, struct_from_binary(ua.extension_objects_by_typeid[number], buffer)))
        assert len(buffer) == 0


class Bench:
    """One publisher over an image with some points and one node that no slot stands for."""

    def __init__(self, clock: FakeClock, limits: Limits | None = None) -> None:
        self.clock = clock
        self.limits = limits or Limits()
        self.tasks = TaskSet()
        self.image = ProcessImage((Device("d", MODEL),), clock)
        self.nodes = NodeMap()
        self.plain = AttributeValue(ua.DataValue(ua.Variant(1, ua.VariantType.Int32)))
        node = NodeData(PLAIN)
        node.attributes[VALUE] = self.plain
        self.nodes[PLAIN] = node
        reader = AttributeReader(self.nodes, clock)
        self.world = World(reader, self.image, clock, self.limits, self.tasks)
        self.orphans: list[Publisher] = []
        self.publisher = Publisher(clock, self.limits, self.tasks, self.orphans.append)
        self.line = Line()
        self._requests = 0
        self._items = 0

    async def close(self) -> None:
        self.publisher.close()
        await self.tasks.close()

    def power(self, value: Value | None, status: int = 0, slot: int = 0) -> None:
        self.image.publish(Batch((slot,), (value,), (status,), self.clock.now()))

    def show(self, number: int) -> None:
        """Another value of the node that no slot stands for."""
        self.plain.value = ua.DataValue(ua.Variant(number, ua.VariantType.Int32))

    def subscribe(self, rhythm: Rhythm | None = None, *, enabled: bool = True, number: int = 1) -> Subscription:
        rhythm = rhythm or Rhythm(1000.0, 10, 30, 1000, 0)
        subscription = Subscription(number, rhythm, self.world, OWNER, enabled=enabled)
        self.publisher.add(subscription)
        return subscription

    def watch(
        self,
        subscription: Subscription,
        slot: int | None = 0,
        *,
        queue: int = 1,
        interval_ms: float = 0.0,
        oldest: bool = True,
        trigger: ua.DataChangeTrigger = TRIGGER.StatusValue,
        deadband: float = 0.0,
        mode: ua.MonitoringMode = ua.MonitoringMode.Reporting,
    ) -> MonitoredItem:
        """Watch a slot, or for None the node without one."""
        self._items += 1
        stamps = Stamps(source=True, server=False)
        source = None
        if slot is None:
            source = Source(self.nodes.get(PLAIN), ua.ReadValueId(PLAIN, VALUE))
        pack = pack_objects(stamps) if slot is None else pack_of(POINTS[slot], stamps)
        settings = Settings(interval_ms, queue, oldest, ChangeFilter(trigger, deadband), stamps, slot is not None)
        item = MonitoredItem(self._items, self._items, slot, source, mode, settings, pack)
        subscription.add(item)
        return item

    def change(self, subscription: Subscription, item: MonitoredItem, **changes: Any) -> None:
        """Modify settings of an item."""
        subscription.change(item, item.handle, replace(item.settings, **changes), item.pack)

    def publish(self, *acknowledged: tuple[int, int], hint_ms: int = 0) -> None:
        self._requests += 1
        header = ua.RequestHeader(RequestHandle=self._requests, TimeoutHint=hint_ms)
        request = Request(self.line, self._requests, header, self.clock.monotonic())
        self.publisher.publish(request, [ua.SubscriptionAcknowledgement(*each) for each in acknowledged])

    def publish_many(self, count: int) -> None:
        for _ in range(count):
            self.publish()

    def messages(self) -> list[Any]:
        """The answers that came since the last look."""
        sent, self.line.sent = self.line.sent, []
        return [response for _, response in sent]

    def heard(self) -> list[Any]:
        """What came since the last look: reported values per message, or the name of a fault."""
        return [_heard(response) for response in self.messages()]

    def values(self) -> list[Any]:
        """All values that were reported since the last look."""
        return [value for heard in self.heard() if isinstance(heard, list) for value in heard]


def notifications(responses: Sequence[Any]) -> list[Any]:
    """The notifications of some answers."""
    return [
        item
        for response in responses
        for data in response.Parameters.NotificationMessage.NotificationData or ()
        for item in data.MonitoredItems
    ]


def _heard(response: Any) -> Any:
    if isinstance(response, ua.ServiceFault):
        return response.ResponseHeader.ServiceResult.name
    data = response.Parameters.NotificationMessage.NotificationData or ()
    for each in data:
        if isinstance(each, ua.StatusChangeNotification):
            return each.Status.name
    return [item.Value.Value.Value for item in notifications([response])]
