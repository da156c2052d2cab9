"""Beginnings of a connection that are not in order, and bounds: an ERR and the end, never silence; raw sockets."""

import asyncio
import struct
from collections.abc import AsyncIterator
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary, uatcp_to_binary

from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import CLOSED, NONE_URI, RawClient
from tests.e2e.server_stage import Keys, Stage, serving

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

CODES = ua.StatusCodes
OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)
BASIC = "http://opcfoundation.org/UA/SecurityPolicy#Basic256Sha256"
RSA_15 = "http://opcfoundation.org/UA/SecurityPolicy#Basic128Rsa15"


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    async with serving(tmp_path_factory.mktemp("wire"), keys) as stage:
        yield stage


def hello(**changes: Any) -> bytes:
    values = {"ReceiveBufferSize": 65535, "SendBufferSize": 65535, "MaxMessageSize": 0, "MaxChunkCount": 0}
    return uatcp_to_binary(ua.MessageType.Hello, ua.Hello(**(values | changes)))


def frame(kind: bytes, content: bytes, chunk: bytes = b"F", size: int | None = None) -> bytes:
    return kind + chunk + struct.pack("<I", 8 + len(content) if size is None else size) + content


def text(value: bytes | None) -> bytes:
    return struct.pack("<i", -1 if value is None else len(value)) + (value or b"")


def opening(
    uri: str = NONE_URI,
    certificate: bytes | None = None,
    thumbprint: bytes | None = None,
    mode: int = 1,
    kind: int = 0,
    body: bytes | None = None,
) -> bytes:
    """An OpenSecureChannel that nobody has encrypted."""
    request = ua.OpenSecureChannelRequest()
    request.Parameters.SecurityMode = ua.MessageSecurityMode(mode)
    request.Parameters.RequestType = ua.SecurityTokenRequestType(kind)
    security = text(uri.encode()) + text(certificate) + text(thumbprint)
    content = struct_to_binary(request) if body is None else body
    return frame(b"OPN", struct.pack("<I", 0) + security + struct.pack("<II", 1, 1) + content)


BEFORE_HELLO = {
    "nothing that is known": (frame(b"XYZ", b""), CODES.BadTcpMessageTypeInvalid),
    "an acknowledge": (frame(b"ACK", b"\0" * 20), CODES.BadTcpMessageTypeInvalid),
    "an error": (frame(b"ERR", b"\0" * 8), CODES.BadTcpMessageTypeInvalid),
    "a reverse hello": (frame(b"RHE", b"\0" * 8), CODES.BadTcpMessageTypeInvalid),
    "a web browser": (b"GET / HTTP/1.1\r\n\r\n", CODES.BadTcpMessageTypeInvalid),
    "TLS": (b"\x16\x03\x01\x02\0\x01\0\x01\xfc\x03\x03", CODES.BadTcpMessageTypeInvalid),
    "zeros": (b"\0" * 32, CODES.BadTcpMessageTypeInvalid),
    "a channel": (opening(), CODES.BadTcpMessageTypeInvalid),
    "a message": (frame(b"MSG", b"\0" * 40), CODES.BadTcpMessageTypeInvalid),
    "an end": (frame(b"CLO", b"\0" * 40), CODES.BadTcpMessageTypeInvalid),
    "a long address of bytes that are no text": (
        hello(EndpointUrl="opc.tcp://" + "\udcff" * 4_096),
        CODES.BadTcpEndpointUrlInvalid,
    ),
    "a long address": (hello(EndpointUrl="opc.tcp://" + "x" * 4_096), CODES.BadTcpEndpointUrlInvalid),
    "half of hello": (hello()[:4] + struct.pack("<I", 20) + hello()[8:20], CODES.BadDecodingError),
    "an empty hello": (frame(b"HEL", b""), CODES.BadDecodingError),
    "hello in parts": (frame(b"HEL", b"\0" * 24, b"C"), CODES.BadTcpMessageTypeInvalid),
    "hello of no size": (frame(b"HEL", b"", size=0), CODES.BadTcpMessageTooLarge),
    "hello of four gigabytes": (frame(b"HEL", b"", size=0xFFFF_FFFF), CODES.BadTcpMessageTooLarge),
    "a long URL": (hello(EndpointUrl="x" * 9000), CODES.BadTcpMessageTooLarge),
    "small buffers": (hello(ReceiveBufferSize=100), CODES.BadTcpNotEnoughResources),
    "no buffers": (hello(SendBufferSize=0), CODES.BadTcpNotEnoughResources),
}
BEFORE_CHANNEL = {
    "hello again": (hello(), CODES.BadTcpMessageTypeInvalid),
    "a message": (frame(b"MSG", b"\0" * 40), CODES.BadTcpSecureChannelUnknown),
    "an empty message": (frame(b"MSG", b"\0" * 4), CODES.BadTcpSecureChannelUnknown),
    "an end": (frame(b"CLO", b"\0" * 40), CODES.BadTcpSecureChannelUnknown),
    "an empty channel": (frame(b"OPN", b"\0" * 4), CODES.BadSecurityChecksFailed),
    "a channel without a body": (opening(body=b""), CODES.BadDecodingError),
    "another request": (opening(body=struct_to_binary(ua.ReadRequest())), None),
    "a channel in parts": (opening()[:3] + b"C" + opening()[4:], CODES.BadTcpMessageTypeInvalid),
    "an unknown policy": (opening("urn:none"), CODES.BadSecurityPolicyRejected),
    "a policy that is not offered": (opening(RSA_15, b"\x30\x03abc"), CODES.BadSecurityPolicyRejected),
    "no security, yet signed": (opening(mode=2), CODES.BadSecurityModeRejected),
    "no security, yet encrypted": (opening(mode=3), CODES.BadSecurityModeRejected),
    "no mode": (opening(mode=0), CODES.BadSecurityModeRejected),
    "a renewal": (opening(kind=1), CODES.BadRequestTypeInvalid),
    "no certificate": (opening(BASIC), CODES.BadCertificateInvalid),
    "garbage for a certificate": (opening(BASIC, b"\x30\x82\xff\xff"), CODES.BadCertificateInvalid),
    "more than a request for a channel": (opening(body=b"\0" * 5_000), CODES.BadTcpMessageTooLarge),
    "hundreds of blocks to decrypt": (opening(BASIC, b"\x30\x00", body=b"\0" * 60_000), CODES.BadTcpMessageTooLarge),
    "an endless chain": (opening(BASIC, b"\x30\x00" * 100), CODES.BadCertificateInvalid),
}


async def refusal(raw: RawClient) -> int:
    """Status of the ERR that ends a connection; anything else, or silence, fails the test."""
    answer = await raw.receive()
    assert answer.kind == b"ERR"
    assert (await raw.receive()).kind == CLOSED
    return answer.error


@pytest.mark.parametrize(("data", "status"), BEFORE_HELLO.values(), ids=BEFORE_HELLO.keys())
async def test_first_bytes_that_are_no_hello(stage: Stage, data: bytes, status: int) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.send(data)
    assert ua.StatusCode(await refusal(raw)).name == ua.StatusCode(status).name
    await raw.close()


@pytest.mark.parametrize(("data", "status"), BEFORE_CHANNEL.values(), ids=BEFORE_CHANNEL.keys())
async def test_what_opens_no_channel(stage: Stage, data: bytes, status: int | None) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.hello()
    await raw.send(data)
    found = ua.StatusCode(await refusal(raw)).name
    assert status is None or found == ua.StatusCode(status).name
    await raw.close()


async def test_certificate_without_its_key_opens_no_channel(stage: Stage, keys: Keys) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.hello()
    own = bytes.fromhex(stage.pki.show().certificate.thumbprint)
    await raw.send(opening(BASIC, keys.of("client").certificate.der, own, mode=3))
    assert await refusal(raw) == CODES.BadSecurityChecksFailed
    await raw.close()


# --- bounds of the site file


@pytest.mark.parametrize(
    ("limits", "status"),
    [
        ({"connections_per_peer": 2}, CODES.BadTcpNotEnoughResources),
        ({"connections": 2}, CODES.BadTcpNotEnoughResources),
    ],
)
async def test_connections_have_a_bound(keys: Keys, tmp_path: Path, limits: dict[str, Any], status: int) -> None:
    config = replace(OPEN, limits=Limits(**limits))
    async with serving(tmp_path, keys, config) as stage:
        raws = [await RawClient.connect(stage.server.port) for _ in range(3)]
        answers = await asyncio.gather(*(raw.hello() for raw in raws), return_exceptions=True)
        kinds = [each.kind if not isinstance(each, BaseException) else CLOSED for each in answers]
        assert kinds.count(b"ACK") == 2
        errors = [each.error for each in answers if not isinstance(each, BaseException) and each.kind == b"ERR"]
        assert errors in ([status], [])
        for raw in raws:
            await raw.close()


async def session(raw: RawClient, timeout_ms: float = 60_000) -> tuple[ua.NodeId, float]:
    await raw.open()
    create = ua.CreateSessionRequest()
    create.Parameters.RequestedSessionTimeout = timeout_ms
    made = (await raw.ask(create)).Parameters
    await raw.ask(ua.ActivateSessionRequest(), made.AuthenticationToken)
    return made.AuthenticationToken, made.RevisedSessionTimeout


async def test_limits_of_the_site_hold_for_every_client(keys: Keys, tmp_path: Path) -> None:
    limits = Limits(
        message_bytes=100_000,
        sessions=3,
        session_min_s=20.0,
        session_max_s=40.0,
        token_min_s=15.0,
        token_max_s=30.0,
        operations=5,
        browse_operations=2,
        write_operations=3,
        call_operations=1,
        subscriptions_per_session=1,
        items_per_subscription=2,
        publishing_min_ms=250.0,
        publishing_max_ms=1000.0,
        queue_size=4,
    )
    async with serving(tmp_path, keys, replace(OPEN, limits=limits)) as stage:
        raw = await RawClient.connect(stage.server.port)
        token, timeout_ms = await session(raw)
        assert timeout_ms == 40_000
        other = await RawClient.connect(stage.server.port)
        assert (await session(other, 1.0))[1] == 20_000

        def reads(count: int) -> ua.ReadRequest:
            request = ua.ReadRequest()
            request.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId(2259), ua.AttributeIds.Value)] * count
            return request

        assert isinstance(await raw.ask(reads(5), token), ua.ReadResponse)
        assert await raw.fault(reads(6), token) == "BadTooManyOperations"
        browse = ua.BrowseRequest()
        browse.Parameters.NodesToBrowse = [ua.BrowseDescription(ua.NodeId(85))] * 3
        assert await raw.fault(browse, token) == "BadTooManyOperations"
        call = ua.CallRequest()
        call.Parameters.MethodsToCall = [ua.CallMethodRequest()] * 2
        assert await raw.fault(call, token) == "BadTooManyOperations"
        write = ua.WriteRequest()
        write.Parameters.NodesToWrite = [ua.WriteValue()] * 4
        assert await raw.fault(write, token) == "BadTooManyOperations"
        create = ua.CreateSubscriptionRequest()
        create.Parameters = ua.CreateSubscriptionParameters(1.0, 100, 10, 0, True, 0)
        made = (await raw.ask(create, token)).Parameters
        assert made.RevisedPublishingInterval == 250.0
        assert await raw.fault(create, token) == "BadTooManySubscriptions"
        item = ua.MonitoredItemCreateRequest(ua.ReadValueId(ua.NodeId(2258), ua.AttributeIds.Value))
        item.RequestedParameters.QueueSize = 100
        items = ua.CreateMonitoredItemsRequest()
        items.Parameters = ua.CreateMonitoredItemsParameters(
            made.SubscriptionId, ua.TimestampsToReturn.Both, [item] * 3
        )
        results = (await raw.ask(items, token)).Results
        assert [each.StatusCode.name for each in results] == ["Good", "Good", "BadTooManyMonitoredItems"]
        assert results[0].RevisedQueueSize == 4
        # A request that is longer than allowed ends the connection.
        for _ in range(3):
            await raw.send(raw.frame(b"MSG", b"\0" * 60_000, chunk=b"C"))
        while (answer := await raw.receive()).kind == b"MSG":
            pass
        assert answer.error in (CODES.BadRequestTooLarge, CODES.BadTcpMessageTooLarge)
        await raw.close()
        await other.close()
