"""The load client counts what is on the wire: its byte parser against asyncua's encoder."""

import math
from datetime import UTC, datetime

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from benchmarks.frames import (
    PUBLISH_RESPONSE,
    SERVICE_FAULT,
    SYMMETRIC,
    FrameCutter,
    Unexpected,
    columns,
    read_head,
    read_publish,
)

NOW = datetime(2026, 5, 4, 3, 2, 1, tzinfo=UTC)


def good(value: float) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=NOW, ServerTimestamp=NOW)


def answer(*items: tuple[int, ua.DataValue], sequence: int = 7, available: tuple[int, ...] = (6, 7)) -> bytes:
    response = ua.PublishResponse()
    response.Parameters.SubscriptionId = 3
    response.Parameters.MoreNotifications = False
    response.Parameters.AvailableSequenceNumbers = list(available)
    response.Parameters.NotificationMessage.SequenceNumber = sequence
    response.Parameters.NotificationMessage.PublishTime = NOW
    if items:
        change = ua.DataChangeNotification()
        change.MonitoredItems = [ua.MonitoredItemNotification(ClientHandle=h, Value=v) for h, v in items]
        response.Parameters.NotificationMessage.NotificationData = [change]
    return struct_to_binary(response)


def taken(message: bytes) -> tuple[list[int], list[float], int]:
    publish = read_publish(message, read_head(message).body)
    found = columns(message, publish.first, publish.end, publish.items)
    return list(found.handles), list(found.values), found.bad


def chunk(kind: bytes, body: bytes, request: int, sequence: int = 1) -> bytes:
    return SYMMETRIC.pack(b"MSG", kind, SYMMETRIC.size + len(body), 5, 6, sequence, request) + body


def test_head_tells_type_and_result() -> None:
    fault = ua.ServiceFault()
    fault.ResponseHeader.ServiceResult = ua.StatusCode(ua.StatusCodes.BadSessionClosed)
    message = struct_to_binary(fault)
    assert read_head(message) == (SERVICE_FAULT, ua.StatusCodes.BadSessionClosed, len(message))
    assert read_head(answer()).type_id == PUBLISH_RESPONSE


def test_publish_with_items_is_counted() -> None:
    message = answer((11, good(1.5)), (12, good(2.5)))
    publish = read_publish(message, read_head(message).body)
    assert publish[:4] == (3, 7, False, 2)
    assert taken(message) == ([11, 12], [1.5, 2.5], 0)


@pytest.mark.parametrize("available", [(), (1,), (1, 2, 3)])
def test_acknowledged_and_waiting_messages_do_not_move_the_items(available: tuple[int, ...]) -> None:
    assert taken(answer((1, good(4.0)), available=available)) == ([1], [4.0], 0)


def test_keep_alive_has_no_items() -> None:
    message = answer(sequence=9)
    publish = read_publish(message, read_head(message).body)
    assert (publish.sequence, publish.items, publish.first == publish.end) == (9, 0, True)


def test_items_of_different_shapes_are_walked() -> None:
    uncertain = ua.DataValue(
        ua.Variant(3.0, ua.VariantType.Double),
        StatusCode=ua.StatusCode(ua.StatusCodes.UncertainSubNormal),
        SourceTimestamp=NOW,
    )
    bad = ua.DataValue(StatusCode=ua.StatusCode(ua.StatusCodes.BadNoCommunication), ServerTimestamp=NOW)
    text = ua.DataValue(ua.Variant("on", ua.VariantType.String))
    small = ua.DataValue(ua.Variant(4, ua.VariantType.Int16))
    handles, values, without = taken(answer((1, good(1.0)), (2, uncertain), (3, bad), (4, text), (5, small)))
    assert handles == [1, 2, 3, 4, 5]
    assert values[:2] == [1.0, 3.0]
    assert all(math.isnan(value) for value in values[2:])
    assert without == 1


def test_item_count_that_does_not_fit_the_bytes_is_refused() -> None:
    message = answer((1, good(1.0)), (2, good(2.0)))
    publish = read_publish(message, read_head(message).body)
    for count in (1, 3):
        with pytest.raises(Unexpected):
            columns(message, publish.first, publish.end, count)


def test_cut_answer_is_refused() -> None:
    message = answer((1, good(1.0)))
    body = read_head(message).body
    # The last 8 bytes are the results of acknowledgements and diagnostics, which are not read.
    for length in range(body, len(message) - 8):
        with pytest.raises(Unexpected):
            read_publish(message[:length], body)


def test_chunks_of_two_requests_are_joined_each_to_its_own() -> None:
    cutter = FrameCutter()
    stream = (
        chunk(b"C", b"one ", 1) + chunk(b"C", b"two ", 2, 2) + chunk(b"F", b"end", 1, 3) + chunk(b"F", b"fin", 2, 4)
    )
    found = [message for at in range(0, len(stream), 5) for message in cutter.feed(stream[at : at + 5])]
    assert found == [(b"MSG", 1, b"one end"), (b"MSG", 2, b"two fin")]


def test_server_that_closes_with_an_error_is_said() -> None:
    with pytest.raises(Unexpected, match="0x80130000"):
        FrameCutter().feed(b"ERRF" + (16).to_bytes(4, "little") + bytes.fromhex("00001380ffffffff"))
