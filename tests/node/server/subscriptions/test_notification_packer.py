"""What is packed from slots is, byte for byte, what objects and the library's encoder make of the same sample."""

from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_MS,
    Batch,
    DataType,
    Device,
    DeviceClass,
    Point,
    PointKind,
    Value,
    device_model,
    ticks_to_datetime,
)
from address_space.values import Samples, moment
from node.server.reading import Stamps
from node.server.subscriptions.notification_packer import (
    FIXED_BYTES,
    data_change,
    is_fixed,
    pack_objects,
    pack_of,
    publish_response,
    republish_response,
    status_change,
)
from tests.fake_clock import START, FakeClock

POINTS = (
    *(Point(f"p{int(data_type)}", "P", "", data_type, PointKind.ANALOG) for data_type in DataType),
    Point("when", "T", "", DataType.INT64, PointKind.TIME),
)
STATUSES = st.sampled_from([0, 0x0480, 0x408F0000, 0x40940000, 0x80000000, 0x80050000, 0xFFFFFFFF]) | st.integers(
    0, 2**32 - 1
)
VALUES: st.SearchStrategy[Value | None] = st.one_of(
    st.none(),
    st.booleans(),
    st.integers(-(2**65), 2**65),
    st.sampled_from([2**bits + shift for bits in (7, 8, 15, 16, 31, 32, 63, 64) for shift in (-1, 0)]),
    st.floats(),
    st.sampled_from([3.4028234663852886e38, 3.4028235e38, 3.5e38, -3.4028235e38, 0.1]),
    st.text(st.characters(exclude_categories=["Cs"])),
)
TIMES = st.integers(0, 2**61 // TICKS_PER_MS).map(lambda milliseconds: milliseconds * TICKS_PER_MS)
STAMPS = st.builds(Stamps, st.booleans(), st.booleans())
HANDLES = st.integers(0, 2**32 - 1)


def by_objects(point: Point, value: Value | None, status: int, source: int, stamps: Stamps, handle: int) -> bytes:
    """The ordinary path: the node's Value as a DataValue, the stamps that are wanted, the library's encoder."""
    clock = FakeClock()
    image = ProcessImage((Device("d", device_model("m", DeviceClass.GENERIC, (point,))),), clock)
    image.publish(Batch((0,), (value,), (status,), source))
    found = Samples(image, clock).value(0, point)
    notification = ua.MonitoredItemNotification(
        ClientHandle=ua.UInt32(handle),
        Value=ua.DataValue(
            found.Value,
            found.StatusCode,
            SourceTimestamp=found.SourceTimestamp if stamps.source else None,
            ServerTimestamp=found.ServerTimestamp if stamps.server else None,
        ),
    )
    return struct_to_binary(notification)


@pytest.mark.parametrize("point", POINTS, ids=lambda point: f"{point.data_type.name}-{point.kind}")
@given(value=VALUES, status=STATUSES, source=TIMES, stamps=STAMPS, handle=HANDLES)
def test_notification_of_a_slot(
    point: Point, value: Value | None, status: int, source: int, stamps: Stamps, handle: int
) -> None:
    packed = pack_of(point, stamps)(handle, value, status, source, START)
    assert packed == by_objects(point, value, status, source, stamps, handle)
    if is_fixed(point):
        assert len(packed) <= FIXED_BYTES


@given(status=STATUSES, source=TIMES, stamps=STAMPS, handle=HANDLES, value=st.lists(st.floats(), max_size=3))
def test_notification_of_an_object(status: int, source: int, stamps: Stamps, handle: int, value: list[float]) -> None:
    variant = ua.Variant(value, ua.VariantType.Double, is_array=True)
    expected = ua.MonitoredItemNotification(
        ClientHandle=ua.UInt32(handle),
        Value=ua.DataValue(
            variant,
            ua.StatusCode(ua.UInt32(status)),
            SourceTimestamp=moment(source) if stamps.source else None,
            ServerTimestamp=moment(START) if stamps.server else None,
        ),
    )
    packed = pack_objects(stamps)(handle, variant, status, moment(source), START)
    assert packed == struct_to_binary(expected)


def notification(handle: int, value: float) -> Any:
    return ua.MonitoredItemNotification(
        ClientHandle=ua.UInt32(handle), Value=ua.DataValue(ua.Variant(value, ua.VariantType.Double))
    )


@given(
    numbers=st.lists(st.integers(1, 2**32 - 1), max_size=4),
    results=st.lists(STATUSES, max_size=4),
    values=st.lists(st.floats(allow_nan=False), max_size=4),
    ids=st.tuples(HANDLES, HANDLES, HANDLES),
    more=st.booleans(),
    ended=st.none() | STATUSES,
)
def test_messages(
    numbers: list[int],
    results: list[int],
    values: list[float],
    ids: tuple[int, int, int],
    more: bool,
    ended: int | None,
) -> None:
    sequence, handle, subscription = ids
    published: Any = ticks_to_datetime(START)
    message: Any = ua.NotificationMessage(SequenceNumber=ua.UInt32(sequence), PublishTime=published)
    if ended is not None:
        message.NotificationData = [ua.StatusChangeNotification(Status=ua.StatusCode(ua.UInt32(ended)))]
        body = status_change(sequence, START, ended)
    else:
        items = [notification(position, value) for position, value in enumerate(values)]
        message.NotificationData = [ua.DataChangeNotification(MonitoredItems=items)] if items else []
        body = data_change(sequence, START, [struct_to_binary(item) for item in items])
    response: Any = ua.PublishResponse()
    response.ResponseHeader.Timestamp = published
    response.ResponseHeader.RequestHandle = ua.UInt32(handle)
    response.Parameters.SubscriptionId = ua.UInt32(subscription)
    response.Parameters.AvailableSequenceNumbers = numbers
    response.Parameters.MoreNotifications = more
    response.Parameters.NotificationMessage = message
    response.Parameters.Results = [ua.StatusCode(ua.UInt32(result)) for result in results]
    packed = publish_response(START, handle, subscription, numbers, body, results, more=more)
    assert packed == struct_to_binary(response)
    again: Any = ua.RepublishResponse(NotificationMessage=message)
    again.ResponseHeader = response.ResponseHeader
    assert republish_response(START, handle, body) == struct_to_binary(again)
