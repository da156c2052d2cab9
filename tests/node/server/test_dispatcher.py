"""Requests that are a lot of work to take apart."""

import asyncio
import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from node.server.transport.channel import Incoming
from node.server.transport.connection import BadMessage
from node.server.transport.wire import Reader
from tests.node.server.fast_stage import World

POINT = ua.NodeId("xw1.ac_power", ua.Int16(4))  # type: ignore[arg-type]


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def write(value: ua.Variant) -> ua.WriteRequest:
    request: Any = ua.WriteRequest()
    request.Parameters.NodesToWrite = [ua.WriteValue(POINT, ua.AttributeIds.Value, None, ua.DataValue(value))]
    return request  # type: ignore[no-any-return]


async def status_of(world: World, request: Any) -> str:
    answer = await world.ordinary(world.bytes_of(request))
    fault: Any = struct_from_binary(ua.ServiceFault, Reader(answer))  # type: ignore[arg-type]
    return str(fault.ResponseHeader.ServiceResult.name)


async def test_a_value_of_too_many_fields_is_refused(world: World) -> None:
    nothings = ua.Variant([ua.Variant()] * 200_000, ua.VariantType.Variant)
    assert await status_of(world, write(nothings)) == "BadEncodingLimitsExceeded"


async def test_a_call_with_too_many_inputs_is_refused(world: World) -> None:
    request: Any = ua.CallRequest()
    request.Parameters.MethodsToCall = [ua.CallMethodRequest(POINT, POINT, [ua.Variant()] * 200_000)]
    assert await status_of(world, request) == "BadEncodingLimitsExceeded"


async def test_a_large_value_of_few_fields_is_taken(world: World) -> None:
    numbers = ua.Variant([1.0] * 100_000, ua.VariantType.Double)
    assert await status_of(world, write(numbers)) == "Good"  # of the whole; its item is refused


async def test_others_have_their_turns_while_a_large_request_is_taken_apart(world: World) -> None:
    turns = 0

    async def others() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    other = asyncio.create_task(others())
    request = write(ua.Variant([ua.Variant(True)] * 50_000, ua.VariantType.Variant))
    body = world.bytes_of(request)
    await asyncio.sleep(0)
    turns = 0
    await world.ordinary(body)
    other.cancel()
    # A write of so much in one go would leave a few: those in which the answer is waited for.
    assert turns > 20


async def test_others_have_their_turns_while_a_long_answer_is_packed(world: World) -> None:
    request: Any = ua.BrowseRequest()
    everything = ua.BrowseDescription(ua.NodeId(58), ua.BrowseDirection.Both, ua.NodeId(), True, 0, 0x3F)
    request.Parameters.NodesToBrowse = [everything] * 200
    body = world.bytes_of(request)
    steps = []
    work = asyncio.create_task(world.ordinary(body))
    while not work.done():
        await asyncio.sleep(0)
        steps.append(bool(world.line.sent))
    assert len(await work) > 200 * 50 * 40
    assert len(steps) > 20


async def test_a_session_that_ends_while_its_request_is_taken_apart_is_not_served(world: World) -> None:
    session = world.log_in(world.line)
    work = asyncio.create_task(
        world.ordinary(world.bytes_of(write(ua.Variant([True] * 20_000, ua.VariantType.Boolean)), session))
    )
    await asyncio.sleep(0)
    world.sessions.close(session)
    fault: Any = struct_from_binary(ua.ServiceFault, Reader(await work))  # type: ignore[arg-type]
    assert fault.ResponseHeader.ServiceResult.name == "BadSessionIdInvalid"
    assert world.session.closed is False


async def test_the_header_of_a_request_has_few_fields(world: World) -> None:
    """It is decoded before anybody knows who asks."""
    body = struct_to_binary(ua.CallMethodRequest(POINT, POINT, [ua.Variant()] * 5_000))
    known = ua.ObjectIds.CallMethodRequest_Encoding_DefaultBinary
    extension = struct.pack("<BBH", 1, 0, known) + b"\x01" + struct.pack("<i", len(body)) + body
    plain = struct_to_binary(ua.GetEndpointsRequest())
    header = plain[: 4 + 2 + 8 + 4 + 4 + 4 + 4]
    with pytest.raises(BadMessage) as caught:
        await world.dispatcher.handle(world.line, Incoming(1, header + extension))  # type: ignore[arg-type]
    assert caught.value.status == ua.StatusCodes.BadEncodingLimitsExceeded
