"""What the OPC UA server refuses to strangers, and how it refuses to start; real sockets."""

import asyncio
import logging
import math
import socket
import struct
from collections.abc import AsyncIterator
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import ua

from node.server.limits import Limits
from node.server.server import PortTaken, ServerError
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    """A server with the default, closed configuration."""
    async with serving(tmp_path_factory.mktemp("closed"), keys) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def raw(stage: Stage) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(stage.server.port)
    yield client
    await client.close()


async def still_serves(stage: Stage) -> bool:
    async with stage.client() as client:
        return await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0


# --- strangers


async def test_channel_without_security_serves_discovery_only(raw: RawClient) -> None:
    await raw.open()
    endpoints = (await raw.ask(ua.GetEndpointsRequest())).Endpoints
    assert len(endpoints) == 6
    assert (await raw.ask(ua.FindServersRequest())).Servers[0].ApplicationUri == "urn:test:server"
    for request in (
        ua.CreateSessionRequest(),
        ua.ActivateSessionRequest(),
        ua.CloseSessionRequest(),
        ua.ReadRequest(),
        ua.CreateSubscriptionRequest(),
        ua.CallRequest(),
    ):
        assert await raw.fault(request) == "BadSecurityPolicyRejected"


async def test_nobody_registers_a_server(raw: RawClient) -> None:
    await raw.open()
    request = ua.RegisterServerRequest()
    request.Server.ServerUri = "urn:spoof"
    assert await raw.fault(request) == "BadServiceUnsupported"
    assert await raw.fault(ua.RegisterServer2Request()) == "BadServiceUnsupported"
    assert len((await raw.ask(ua.FindServersRequest())).Servers) == 1


async def test_message_before_hello_is_refused(raw: RawClient) -> None:
    await raw.send(raw.frame(b"MSG", b"\0" * 40))
    assert await raw.refused() == ua.StatusCodes.BadTcpMessageTypeInvalid


async def test_message_before_open_secure_channel_is_refused(raw: RawClient) -> None:
    await raw.hello()
    await raw.send(raw.frame(b"MSG", b"\0" * 40))
    assert await raw.refused() == ua.StatusCodes.BadTcpSecureChannelUnknown


async def test_message_of_another_channel_or_token_is_refused(stage: Stage) -> None:
    for change, status in (
        ({"channel": 4711}, ua.StatusCodes.BadTcpSecureChannelUnknown),
        ({"token": 4711}, ua.StatusCodes.BadSecureChannelTokenUnknown),
        ({"sequence": 4711}, ua.StatusCodes.BadSecurityChecksFailed),
    ):
        raw = await RawClient.connect(stage.server.port)
        await raw.open()
        vars(raw).update(change)
        await raw.send(raw.frame(b"MSG", b"\0" * 40))
        assert await raw.refused() == status
        await raw.close()


async def test_second_hello_and_second_open_are_refused(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.open()
    assert (await raw.hello()).error == ua.StatusCodes.BadTcpMessageTypeInvalid
    await raw.close()


async def test_huge_announced_size_is_refused_before_its_bytes_come(raw: RawClient) -> None:
    await raw.send(b"HELF" + struct.pack("<I", 1_500_000_000))
    assert await raw.refused() == ua.StatusCodes.BadTcpMessageTooLarge


async def test_endless_chunks_are_refused(raw: RawClient) -> None:
    await raw.open()
    for _ in range(8):
        await raw.send(raw.frame(b"MSG", b"\0" * 60_000, chunk=b"C"))
    assert await raw.refused() == ua.StatusCodes.BadRequestTooLarge


async def test_unknown_frames_are_refused(stage: Stage) -> None:
    for junk in (
        b"GET / HTTP/1.1\r\n\r\n",
        b"MSGX\x20\0\0\0" + b"\0" * 24,
        b"HELF\x04\0\0\0",
        b"\x16\x03\x01\x02\0\x01\0\x01",
    ):
        raw = await RawClient.connect(stage.server.port)
        await raw.send(junk)
        frame = await raw.receive()
        assert frame.kind == b"ERR"
        await raw.close()
    assert await still_serves(stage)


async def test_bodies_that_are_no_requests_do_not_stop_the_server(stage: Stage) -> None:
    header = struct.pack("<BBH", 1, 0, ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary)
    good = header + b"\0\0" + b"\0" * 8 + struct.pack("<II", 1, 0) + b"\xff\xff\xff\xff" + struct.pack("<I", 0)
    bodies = {
        "empty": b"",
        "one byte": b"\x01",
        "half a header": good[:12],
        "no parameters": good + b"\0\0\0",
        "a string of minus two bytes": good + b"\0\0\0" + struct.pack("<i", -2) * 50,
        "an array that does not end": good + b"\0\0\0" + struct.pack("<iii", -1, 2**31 - 1, -4) * 20,
        "an unknown node id encoding": b"\x3f" + good,
    }
    for name, body in bodies.items():
        raw = await RawClient.connect(stage.server.port)
        await raw.open()
        answer = await raw.ask_bytes(body)
        assert isinstance(answer, ua.ServiceFault) or answer.kind == b"ERR", name
        await raw.close()
    assert await still_serves(stage)


async def test_values_that_claim_more_than_their_bytes_are_refused(stage: Stage) -> None:
    # An additional header of the known type KeyValuePair holds a Variant.
    pair = ua.typeid_by_extension_objects[ua.KeyValuePair].Identifier
    header = struct.pack("<BBH", 1, 0, ua.ObjectIds.GetEndpointsRequest_Encoding_DefaultBinary)
    fixed = b"\0\0" + b"\0" * 8 + struct.pack("<II", 1, 0) + b"\xff\xff\xff\xff" + struct.pack("<I", 0)
    key = struct.pack("<Hi", 0, -1)
    for variant in (
        b"\x80" + struct.pack("<i", 2**31 - 1),  # an array of two thousand million Nulls
        b"\xc6" + struct.pack("<iiiiii", 1, 7, 3, 1000, 1000, 1000),  # a matrix of a thousand million numbers
        b"\x18" * 3000,  # variants in variants
    ):
        raw = await RawClient.connect(stage.server.port)
        await raw.open()
        body = key + variant
        extension = struct.pack("<BBH", 1, 0, pair) + b"\x01" + struct.pack("<i", len(body)) + body
        frame = await raw.ask_bytes(header + fixed + extension)
        assert frame.kind == b"ERR"
        assert frame.error == ua.StatusCodes.BadDecodingError
        await raw.close()


async def test_fault_of_a_peer_is_logged_once(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.WARNING)
    for _ in range(5):
        raw = await RawClient.connect(stage.server.port)
        await raw.send(b"XYZF" + struct.pack("<I", 20))
        await raw.refused()
        await raw.close()
    told = [record for record in caplog.records if "XYZ" in record.getMessage()]
    assert len(told) <= 1
    assert not any(record.exc_info for record in caplog.records)


async def test_flood_of_sessions_that_nobody_activates_is_bounded(keys: Keys, tmp_path: Path) -> None:
    async with serving(tmp_path, keys, OPEN, Limits(unactivated_per_connection=5)) as stage:
        raw = await RawClient.connect(stage.server.port)
        await raw.open()
        answers = [await raw.ask(ua.CreateSessionRequest()) for _ in range(8)]
        assert [type(each) for each in answers[:5]] == [ua.CreateSessionResponse] * 5
        assert {each.ResponseHeader.ServiceResult.name for each in answers[5:]} == {"BadTooManySessions"}
        await raw.close()
        # They are gone with their connection.
        again = await RawClient.connect(stage.server.port)
        await again.open()
        assert isinstance(await again.ask(ua.CreateSessionRequest()), ua.CreateSessionResponse)
        await again.close()


async def test_connections_of_one_peer_are_bounded(keys: Keys, tmp_path: Path) -> None:
    async with serving(tmp_path, keys, limits=Limits(connections_per_peer=3)) as stage:
        clients = [await RawClient.connect(stage.server.port) for _ in range(4)]
        assert await clients[3].refused() == ua.StatusCodes.BadTcpNotEnoughResources
        assert (await clients[0].hello()).kind == b"ACK"
        for client in clients:
            await client.close()


# --- start


async def test_taken_port_is_an_error_that_says_so(stage: Stage, keys: Keys, tmp_path: Path) -> None:
    with pytest.raises(PortTaken, match=rf"127\.0\.0\.1:{stage.server.port} is taken"):
        async with serving(tmp_path, keys, ServerConfig(listen=Listen("127.0.0.1", stage.server.port))):
            pass


@pytest.mark.parametrize("door", [{"allow_none": True}, {"allow_anonymous": True}])
async def test_open_doors_need_loopback(keys: Keys, tmp_path: Path, door: dict[str, bool]) -> None:
    with pytest.raises(ServerError, match="allow_insecure"):
        async with serving(tmp_path, keys, ServerConfig(listen=Listen("0.0.0.0", 0), **door)):
            pass


async def test_ipv6_listener_serves(keys: Keys, tmp_path: Path) -> None:
    if not socket.has_ipv6:
        pytest.skip("this machine has no IPv6")
    async with serving(tmp_path, keys, ServerConfig(listen=Listen("::1", 0))) as stage:
        reader, writer = await asyncio.open_connection("::1", stage.server.port)
        raw = RawClient(reader, writer)
        await raw.open()
        request = ua.GetEndpointsRequest()
        request.Parameters.EndpointUrl = f"opc.tcp://[::1]:{stage.server.port}"
        assert (await raw.ask(request)).Endpoints[0].EndpointUrl == f"opc.tcp://[::1]:{stage.server.port}"
        await raw.close()


async def test_number_that_is_none_is_a_bound(stage: Stage) -> None:
    async with stage.client() as client:
        for asked in (0.0, -1.0, 0.001, math.nan):
            result = await client.uaclient.create_subscription(
                ua.CreateSubscriptionParameters(asked, 1, 100, 0, True, 0), lambda _: None
            )
            assert result.RevisedPublishingInterval == 50.0
            assert result.RevisedLifetimeCount >= 3 * result.RevisedMaxKeepAliveCount
