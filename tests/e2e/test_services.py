"""Services to the letter: what a client is told about requests that are empty, too large, unknown or wrong in part."""

import asyncio
import struct
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving, site_node

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)
VALUE = ua.AttributeIds.Value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    limits = Limits(operations=50, browse_operations=20, write_operations=10, call_operations=5, references_per_node=40)
    async with serving(tmp_path_factory.mktemp("server"), keys, OPEN, limits) as stage:
        yield stage


class Session:
    """A raw client with a session."""

    def __init__(self, raw: RawClient, token: ua.NodeId) -> None:
        self.raw = raw
        self.token = token

    async def ask(self, request: Any) -> Any:
        return await self.raw.ask(request, self.token)

    async def fault(self, request: Any) -> str:
        return await self.raw.fault(request, self.token)

    def bytes_of(self, request: Any) -> bytes:
        request.RequestHeader.AuthenticationToken = self.token
        return struct_to_binary(request)


async def log_in(stage: Stage, **hello: int) -> Session:
    raw = await RawClient.connect(stage.server.port)
    await raw.hello(**hello)
    await raw.ask_channel(ua.SecurityTokenRequestType.Issue)
    token = (await raw.ask(ua.CreateSessionRequest())).Parameters.AuthenticationToken
    await raw.ask(ua.ActivateSessionRequest(), token)
    return Session(raw, token)


@pytest_asyncio.fixture(loop_scope="module")
async def session(stage: Stage) -> AsyncIterator[Session]:
    session = await log_in(stage)
    yield session
    await session.raw.close()


def read(*items: ua.ReadValueId, **changes: Any) -> ua.ReadRequest:
    request = ua.ReadRequest()
    request.Parameters = ua.ReadParameters(0.0, ua.TimestampsToReturn.Both, list(items))
    for name, value in changes.items():
        setattr(request.Parameters, name, value)
    return request


def browse(*nodes: ua.NodeId, most: int = 0, **changes: Any) -> ua.BrowseRequest:
    request = ua.BrowseRequest()
    items = [ua.BrowseDescription(node, ua.BrowseDirection.Both, ua.NodeId(), True, 0, 63) for node in nodes]
    for item in items:
        for name, value in changes.items():
            setattr(item, name, value)
    request.Parameters.NodesToBrowse = items
    request.Parameters.RequestedMaxReferencesPerNode = ua.UInt32(most)
    return request


LISTS: list[tuple[type, str, Any, int]] = [
    (ua.ReadRequest, "NodesToRead", ua.ReadValueId(ua.NodeId(2258), VALUE), 50),
    (ua.WriteRequest, "NodesToWrite", ua.WriteValue(site_node("xw1.charge_limit"), VALUE), 10),
    (ua.CallRequest, "MethodsToCall", ua.CallMethodRequest(site_node("xw1"), site_node("xw1.StartSell"), []), 5),
    (ua.BrowseRequest, "NodesToBrowse", ua.BrowseDescription(ua.NodeId(85), 0, ua.NodeId(), True, 0, 63), 20),
    (ua.BrowseNextRequest, "ContinuationPoints", b"x" * 16, 20),
    (ua.TranslateBrowsePathsToNodeIdsRequest, "BrowsePaths", ua.BrowsePath(ua.NodeId(85), ua.RelativePath()), 20),
    (ua.RegisterNodesRequest, "NodesToRegister", ua.NodeId(85), 50),
    (ua.UnregisterNodesRequest, "NodesToUnregister", ua.NodeId(85), 50),
]


@pytest.mark.parametrize(("kind", "name", "item", "most"), LISTS, ids=lambda each: getattr(each, "__name__", ""))
async def test_empty_requests_and_those_with_too_much_are_refused(
    session: Session, kind: type, name: str, item: Any, most: int
) -> None:
    for count, expected in ((0, "BadNothingToDo"), (most + 1, "BadTooManyOperations")):
        request = kind()
        setattr(request.Parameters, name, [item] * count)
        assert await session.fault(request) == expected
    request = kind()
    setattr(request.Parameters, name, [item] * most)
    assert not isinstance(await session.ask(request), ua.ServiceFault)


async def test_a_list_that_is_announced_too_long_is_not_taken_apart(session: Session) -> None:
    body = session.bytes_of(read())
    fault = await session.raw.ask_bytes(body[:-4] + struct.pack("<i", 2**31 - 1) + b"\0" * 60_000)
    assert fault.ResponseHeader.ServiceResult.name == "BadTooManyOperations"


@pytest.mark.parametrize(
    "kind",
    [
        ua.QueryFirstRequest,
        ua.QueryNextRequest,
        ua.AddNodesRequest,
        ua.AddReferencesRequest,
        ua.DeleteNodesRequest,
        ua.DeleteReferencesRequest,
        ua.RegisterServerRequest,
        ua.RegisterServer2Request,
        ua.FindServersOnNetworkRequest,
    ],
    ids=lambda each: each.__name__,
)
async def test_services_that_are_not_offered_say_so(session: Session, kind: type) -> None:
    assert await session.fault(kind()) == "BadServiceUnsupported"


async def test_whole_reads_are_refused(session: Session) -> None:
    item = ua.ReadValueId(site_node("xw1.ac_power"), VALUE)
    assert await session.fault(read(item, MaxAge=-1.0)) == "BadMaxAgeInvalid"
    body = session.bytes_of(read(item))
    stamps = len(body) - len(struct_to_binary(item)) - 8
    for wrong, expected in ((4, "BadTimestampsToReturnInvalid"), (99, "BadDecodingError")):
        changed = body[:stamps] + struct.pack("<i", wrong) + body[stamps + 4 :]
        fault = await session.raw.ask_bytes(changed)
        assert fault.ResponseHeader.ServiceResult.name == expected


async def test_items_of_a_read_fail_alone_and_the_others_are_answered(stage: Stage, session: Session) -> None:
    stage.publish("ac_power", 7.5)
    power = site_node("xw1.ac_power")
    items = {
        "Good": ua.ReadValueId(power, VALUE),
        "BadNodeIdUnknown": ua.ReadValueId(site_node("xw1.nothing"), VALUE),
        "BadAttributeIdInvalid": ua.ReadValueId(power, 28),
        "BadDataEncodingUnsupported": ua.ReadValueId(power, VALUE, None, ua.QualifiedName("Default XML", 0)),
        "BadDataEncodingInvalid": ua.ReadValueId(power, 4, None, ua.QualifiedName("Default Binary", 1)),
        "BadIndexRangeInvalid": ua.ReadValueId(power, VALUE, "2:1"),
        "BadIndexRangeNoData": ua.ReadValueId(power, VALUE, "0"),
    }
    items["BadDataEncodingInvalid"].DataEncoding = ua.QualifiedName("Default XML", 0)
    response = await session.ask(read(*items.values()))
    assert [each.StatusCode.name for each in response.Results] == list(items)
    assert response.Results[0].Value.Value == 7.5


async def test_a_view_is_unknown(session: Session) -> None:
    request = browse(ua.NodeId(85))
    request.Parameters.View.ViewId = ua.NodeId(87)
    assert await session.fault(request) == "BadViewIdUnknown"


async def test_items_of_a_browse_fail_alone(session: Session) -> None:
    items = [
        *browse(site_node("xw1"), site_node("nothing")).Parameters.NodesToBrowse,
        *browse(site_node("xw1"), BrowseDirection=ua.BrowseDirection.Invalid).Parameters.NodesToBrowse,
        *browse(site_node("xw1"), ReferenceTypeId=ua.NodeId(85)).Parameters.NodesToBrowse,
    ]
    request = browse()
    request.Parameters.NodesToBrowse = items
    assert [each.StatusCode.name for each in (await session.ask(request)).Results] == [
        "Good",
        "BadNodeIdUnknown",
        "BadBrowseDirectionInvalid",
        "BadReferenceTypeIdInvalid",
    ]


async def test_pages_hold_together_what_one_answer_holds(session: Session) -> None:
    node = site_node("xw1.Operational")
    (whole,) = (await session.ask(browse(node))).Results
    (page,) = (await session.ask(browse(node, most=1))).Results
    found = list(page.References)
    while page.ContinuationPoint:
        assert len(page.References) == 1
        following = ua.BrowseNextRequest()
        following.Parameters.ReleaseContinuationPoints = False
        following.Parameters.ContinuationPoints = [page.ContinuationPoint]
        (page,) = (await session.ask(following)).Parameters.Results
        found += page.References
    assert found == whole.References


async def test_no_answer_holds_more_references_than_the_server_allows(session: Session) -> None:
    (result,) = (await session.ask(browse(ua.NodeId(2253), ua.NodeId(2253), most=1_000))).Results[:1]
    assert len(result.References) <= 40


async def test_paths_say_what_is_wrong_each_for_itself(session: Session) -> None:
    def path(start: ua.NodeId, *names: ua.QualifiedName) -> ua.BrowsePath:
        elements = [ua.RelativePathElement(ua.NodeId(33), False, True, name) for name in names]
        return ua.BrowsePath(start, ua.RelativePath(elements))

    server = ua.QualifiedName("Server", 0)
    request = ua.TranslateBrowsePathsToNodeIdsRequest()
    request.Parameters.BrowsePaths = [
        path(ua.NodeId(85), server),
        path(ua.NodeId(85)),
        path(ua.NodeId(85), ua.QualifiedName("Nothing", 0)),
        path(ua.NodeId(85), server, ua.QualifiedName(None, 0)),
        path(ua.NodeId(99_999), server),
        path(ua.NodeId(85), *[server] * 101),
    ]
    results = (await session.ask(request)).Results
    assert [each.StatusCode.name for each in results] == [
        "Good",
        "BadNothingToDo",
        "BadNoMatch",
        "BadBrowseNameInvalid",
        "BadNodeIdUnknown",
        "BadQueryTooComplex",
    ]
    assert results[0].Targets[0].RemainingPathIndex == 0xFFFF_FFFF


async def test_registered_nodes_are_their_own_handles(session: Session) -> None:
    nodes = [site_node("xw1.ac_power"), ua.NodeId(2258), site_node("nothing")]
    request = ua.RegisterNodesRequest()
    request.Parameters.NodesToRegister = nodes
    assert (await session.ask(request)).Parameters.RegisteredNodeIds == nodes
    forget = ua.UnregisterNodesRequest()
    forget.Parameters.NodesToUnregister = nodes
    assert isinstance(await session.ask(forget), ua.UnregisterNodesResponse)


async def test_waiting_publish_requests_can_be_cancelled(session: Session) -> None:
    create = ua.CreateSubscriptionRequest()
    create.Parameters = ua.CreateSubscriptionParameters(60_000.0, 1_000, 300, 0, True, 0)
    made = await session.ask(create)
    assert isinstance(made, ua.CreateSubscriptionResponse)
    # The first cycle of a subscription answers one request at once, with a keep-alive.
    publish = ua.PublishRequest()
    publish.RequestHeader.RequestHandle = ua.UInt32(1)
    assert isinstance(await session.ask(publish), ua.PublishResponse)
    for handle in (5, 6, 5):
        publish.RequestHeader.RequestHandle = ua.UInt32(handle)
        await session.raw.send(session.raw.frame(b"MSG", session.bytes_of(publish)))
    cancel = ua.CancelRequest()
    cancel.Parameters.RequestHandle = ua.UInt32(5)
    faults = [await session.ask(cancel), await session.raw.response()]
    response = await session.raw.response()
    assert [fault.ResponseHeader.ServiceResult.name for fault in faults] == ["BadRequestCancelledByClient"] * 2
    assert response.Parameters.CancelCount == 2
    assert (await session.ask(cancel)).Parameters.CancelCount == 0


async def test_an_answer_that_the_client_cannot_take_becomes_a_fault(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.hello(MaxMessageSize=1_800)
    await raw.ask_channel(ua.SecurityTokenRequestType.Issue)
    assert await raw.fault(ua.CreateSessionRequest()) == "BadResponseTooLarge"
    await raw.close()
    session = await log_in(stage, MaxMessageSize=30_000)
    node = site_node("xw1.ParameterSet")
    assert isinstance(await session.ask(browse(node)), ua.BrowseResponse)
    assert await session.fault(browse(*[node] * 20)) == "BadResponseTooLarge"
    await session.raw.close()


async def test_requests_are_answered_in_their_order(stage: Stage, session: Session) -> None:
    quick = session.bytes_of(read(ua.ReadValueId(site_node("xw1.ac_power"), VALUE)))
    slow = session.bytes_of(read(ua.ReadValueId(ua.NodeId(2258), VALUE)))
    frames = [session.raw.frame(b"MSG", quick if number % 3 else slow) for number in range(400)]
    first = session.raw.request - 399
    await session.raw.send(b"".join(frames))
    ids = [struct.unpack_from("<I", (await session.raw.receive()).body, 12)[0] for _ in frames]
    assert ids == list(range(first, first + 400))


async def test_a_flood_of_one_client_leaves_others_their_turn(stage: Stage, session: Session) -> None:
    body = session.bytes_of(read(*[ua.ReadValueId(site_node("xw1.ac_power"), VALUE)] * 50))
    flood = b"".join(session.raw.frame(b"MSG", body) for _ in range(500))
    other = await log_in(stage)
    answered = 0

    async def drain() -> None:
        nonlocal answered
        for _ in range(500):
            await session.raw.receive()
            answered += 1

    await session.raw.send(flood)
    draining = asyncio.ensure_future(drain())
    await other.ask(read(ua.ReadValueId(site_node("xw1.ac_power"), VALUE)))
    assert answered < 500
    await draining
    await other.raw.close()
