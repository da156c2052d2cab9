"""What the Server object says, seen by a client: every value true, every limit the one that holds."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, Node, ua

from node.server.limits import Limits
from node.server.standard.server_object import software_version
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, Stage, serving

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

IDS = ua.ObjectIds
SUMMARY = "Server_ServerDiagnostics_ServerDiagnosticsSummary"
SESSIONS = "Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionDiagnosticsArray"
SECURITY = "Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray"
SUBSCRIPTIONS = "Server_ServerDiagnostics_SubscriptionDiagnosticsArray"


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    async with serving(tmp_path_factory.mktemp("server"), keys) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def admin(stage: Stage) -> AsyncIterator[Client]:
    async with stage.client("ada") as client:
        yield client


async def value(client: Client, name: str) -> Any:
    return await client.get_node(ua.NodeId(getattr(IDS, name))).read_value()


async def below(node: Node) -> list[Node]:
    """Everything that a node is made of."""
    found: dict[ua.NodeId, Node] = {}
    waiting = [node]
    while waiting:
        children = await waiting.pop().get_children(refs=IDS.Aggregates)
        waiting += [each for each in children if each.nodeid not in found]
        found |= {each.nodeid: each for each in children}
    return list(found.values())


async def test_no_variable_of_the_server_object_is_null(admin: Client) -> None:
    nodes = await below(admin.nodes.server)
    kinds = await admin.read_attributes(nodes, ua.AttributeIds.NodeClass)
    variables = [node for node, kind in zip(nodes, kinds, strict=True) if kind.Value.Value == ua.NodeClass.Variable]
    assert len(variables) > 100
    null = [
        node.nodeid.to_string()
        for node, read in zip(variables, await admin.read_attributes(variables), strict=True)
        if read.StatusCode.value or read.Value is None or read.Value.Value is None
    ]
    assert null == []


async def test_no_reference_leads_to_what_was_taken_out(admin: Client) -> None:
    for name in ("Server", "Server_ServerCapabilities", "Server_ServerCapabilities_RoleSet", "BaseObjectType"):
        references = await admin.get_node(ua.NodeId(getattr(IDS, name))).get_references()
        targets = [admin.get_node(each.NodeId) for each in references]
        read = await admin.read_attributes(targets, ua.AttributeIds.NodeClass)
        assert all(each.StatusCode.is_good() for each in read), name
    gone = await admin.read_attributes([admin.get_node(ua.NodeId(IDS.PublishSubscribe))], ua.AttributeIds.NodeClass)
    assert gone[0].StatusCode.name == "BadNodeIdUnknown"


async def test_status_and_build_are_those_of_this_program(admin: Client) -> None:
    status = await value(admin, "Server_ServerStatus")
    assert status.State == ua.ServerState.Running
    assert status.SecondsTillShutdown == 0
    assert status.BuildInfo.SoftwareVersion == software_version()
    assert status.BuildInfo == await value(admin, "Server_ServerStatus_BuildInfo")
    assert status.BuildInfo.BuildDate.year >= 2024
    assert await value(admin, "Server_Auditing") is True
    assert await value(admin, "Server_ServerRedundancy_RedundancySupport") == ua.RedundancySupport.None_
    assert await value(admin, "Server_ServerCapabilities_LocaleIdArray") == ["en"]
    assert -24 * 60 < (await value(admin, "Server_LocalTime")).Offset < 24 * 60


async def test_service_level_follows_the_devices(stage: Stage, admin: Client) -> None:
    online, offline = 1, 3
    levels = []
    for first, second in ((offline, offline), (online, offline), (online, online)):
        stage.publish("connection", first, device="xw1")
        stage.publish("connection", second, device="xw2")
        levels.append(await value(admin, "Server_ServiceLevel"))
    assert levels == [1, 100, 255]


async def test_diagnostics_count_sessions_and_requests(stage: Stage, admin: Client) -> None:
    before = await value(admin, SUMMARY)
    async with stage.client("ann") as other:
        await other.create_subscription(500, object())
        during = await value(admin, SUMMARY)
        assert during.CurrentSessionCount == before.CurrentSessionCount + 1
        assert during.CurrentSubscriptionCount == before.CurrentSubscriptionCount + 1
    with pytest.raises(ua.UaStatusCodeError):
        async with stage.client("ann", password="wrong"):
            pass
    after = await value(admin, SUMMARY)
    assert after.CumulatedSessionCount == before.CumulatedSessionCount + 2
    assert after.CumulatedSubscriptionCount == before.CumulatedSubscriptionCount + 1
    assert after.CurrentSubscriptionCount == before.CurrentSubscriptionCount
    assert after.RejectedSessionCount == before.RejectedSessionCount + 1
    assert after.SecurityRejectedSessionCount == before.SecurityRejectedSessionCount + 1
    assert after.RejectedRequestsCount > before.RejectedRequestsCount
    assert await value(admin, f"{SUMMARY}_CumulatedSessionCount") == after.CumulatedSessionCount
    assert await value(admin, "Server_ServerDiagnostics_EnabledFlag") is True


async def test_sessions_and_subscriptions_are_described(stage: Stage, admin: Client) -> None:
    async with stage.client("eve") as other:
        subscription = await other.create_subscription(500, object())
        await subscription.set_publishing_mode(False)
        for _ in range(3):
            await other.nodes.server.read_browse_name()
        sessions = {each.SessionId: each for each in await value(admin, SESSIONS)}
        rows = [
            each for each in await value(admin, SUBSCRIPTIONS) if each.SubscriptionId == subscription.subscription_id
        ]
        assert len(rows) == 1
        session = sessions[rows[0].SessionId]
        assert rows[0].PublishingInterval == 500
        assert rows[0].PublishingEnabled is False
        assert rows[0].DisableCount == 1
        assert session.ClientDescription.ApplicationUri == "urn:test:client"
        assert session.EndpointUrl == stage.url
        assert session.CurrentSubscriptionsCount == 1
        assert session.ReadCount.TotalCount >= 3
        assert session.SetPublishingModeCount.TotalCount == 1
        assert session.TotalRequestCount.TotalCount > session.ReadCount.TotalCount
        secure = {each.SessionId: each for each in await value(admin, SECURITY)}[session.SessionId]
        assert secure.ClientUserIdOfSession == "eve"
        assert secure.AuthenticationMechanism == "UserName"
        assert secure.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt
        assert secure.ClientCertificate


async def test_certificates_of_sessions_are_for_administrators(stage: Stage) -> None:
    async with stage.client("eve") as client:
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await value(client, SECURITY)
        assert caught.value.code == ua.StatusCodes.BadUserAccessDenied


async def test_each_session_has_an_object_as_long_as_it_lives(stage: Stage, admin: Client) -> None:
    summary = admin.get_node(IDS.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
    async with stage.client("eve") as other:
        subscription = await other.create_subscription(500, object())
        rows = {each.SessionId: each for each in await value(admin, SUBSCRIPTIONS)}
        session_id = next(k for k, each in rows.items() if each.SubscriptionId == subscription.subscription_id)
        children = await summary.get_children()
        node = admin.get_node(session_id)
        assert node in children
        assert await node.read_type_definition() == ua.NodeId(IDS.SessionDiagnosticsObjectType)
        names = {each.Name: child for child in await node.get_children() for each in [await child.read_browse_name()]}
        assert set(names) == {"SessionDiagnostics", "SessionSecurityDiagnostics", "SubscriptionDiagnosticsArray"}
        whole = await names["SessionDiagnostics"].read_value()
        assert whole.SessionId == session_id
        (own,) = await names["SubscriptionDiagnosticsArray"].read_value()
        assert own.SubscriptionId == subscription.subscription_id
        parts = await below(names["SessionDiagnostics"])
        assert len(parts) == len(whole.__dataclass_fields__)
        for part in parts:
            name = (await part.read_browse_name()).Name
            data = await part.read_data_value()
            assert data.StatusCode.is_good(), name
            if name not in ("ClientLastContactTime", "TotalRequestCount", "ReadCount", "BrowseCount"):
                assert data.Value.Value == getattr(whole, name) or not getattr(whole, name), name
        users = await (await names["SessionSecurityDiagnostics"].get_child("0:ClientUserIdHistory")).read_value()
        assert users == ["eve"]
        mine = other.get_node(names["SessionSecurityDiagnostics"].nodeid)
        for hidden in (mine, *await mine.get_children()):
            with pytest.raises(ua.UaStatusCodeError) as caught:
                await hidden.read_value()
            assert caught.value.code == ua.StatusCodes.BadUserAccessDenied
        assert await other.get_node(names["SessionDiagnostics"].nodeid).read_value()
    assert node not in await summary.get_children()
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await names["SessionDiagnostics"].read_value()
    assert caught.value.code == ua.StatusCodes.BadNodeIdUnknown


async def refusal(client: Client, request: Any) -> str:
    with pytest.raises(ua.UaStatusCodeError) as caught:
        await client.uaclient.protocol.send_request(request)
    return ua.StatusCode(ua.UInt32(caught.value.code)).name


async def test_limits_that_are_shown_are_those_that_hold(tmp_path: Path, keys: Keys) -> None:
    limits = Limits(
        operations=7,
        browse_operations=5,
        call_operations=3,
        write_operations=2,
        sessions=2,
        subscriptions_per_session=2,
        items_per_subscription=2,
    )
    config = ServerConfig(listen=Listen("127.0.0.1", 0))
    async with serving(tmp_path, keys, config, limits) as stage, stage.client("ada") as client:
        requests = {
            "MaxNodesPerRead": (ua.ReadRequest, "NodesToRead", ua.ReadValueId()),
            "MaxNodesPerWrite": (ua.WriteRequest, "NodesToWrite", ua.WriteValue()),
            "MaxNodesPerMethodCall": (ua.CallRequest, "MethodsToCall", ua.CallMethodRequest()),
            "MaxNodesPerBrowse": (ua.BrowseRequest, "NodesToBrowse", ua.BrowseDescription()),
            "MaxNodesPerTranslateBrowsePathsToNodeIds": (
                ua.TranslateBrowsePathsToNodeIdsRequest,
                "BrowsePaths",
                ua.BrowsePath(),
            ),
            "MaxNodesPerRegisterNodes": (ua.RegisterNodesRequest, "NodesToRegister", ua.NodeId()),
        }
        for name, (kind, field, item) in requests.items():
            shown = await value(client, f"Server_ServerCapabilities_OperationLimits_{name}")
            request = kind()
            setattr(request.Parameters, field, [item] * (shown + 1))
            assert await refusal(client, request) == "BadTooManyOperations", name
            setattr(request.Parameters, field, [item] * shown)
            await client.uaclient.protocol.send_request(request)
        for _ in range(await value(client, "Server_ServerCapabilities_MaxSubscriptionsPerSession")):
            await client.create_subscription(500, object())
        request = ua.CreateSubscriptionRequest()
        assert await refusal(client, request) == "BadTooManySubscriptions"
        async with stage.client("ann"):
            with pytest.raises(ua.UaStatusCodeError) as caught:
                async with stage.client("bob"):
                    pass
            assert caught.value.code == ua.StatusCodes.BadTooManySessions
        assert await value(client, "Server_ServerCapabilities_MaxSessions") == 2


class States:
    """Keeps what is reported."""

    def __init__(self) -> None:
        self.seen: dict[int, list[Any]] = {}

    def datachange_notification(self, node: Node, value: Any, _data: Any) -> None:
        self.seen.setdefault(int(node.nodeid.Identifier), []).append(value)


async def test_end_is_announced_to_those_who_watch(tmp_path: Path, keys: Keys) -> None:
    states = States()
    async with serving(tmp_path, keys) as stage:
        client = await stage.client("ann").secured()
        await client.connect()
        subscription = await client.create_subscription(100, states)
        await subscription.subscribe_data_change(
            [
                client.get_node(IDS.Server_ServerStatus_State),
                client.get_node(IDS.Server_ServerStatus_SecondsTillShutdown),
                client.get_node(IDS.Server_ServiceLevel),
            ]
        )
        await asyncio.sleep(0.2)
        await stage.server.stop()
        assert states.seen[IDS.Server_ServerStatus_State] == [ua.ServerState.Running, ua.ServerState.Shutdown]
        assert states.seen[IDS.Server_ServerStatus_SecondsTillShutdown] == [0, 1]
        assert states.seen[IDS.Server_ServiceLevel][-1] == 0
        client.disconnect_socket()
