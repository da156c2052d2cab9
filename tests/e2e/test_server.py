"""What the OPC UA server does for a client with a session: endpoints, read, browse, write, call, subscribe."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)

from address_space.model import CommandResult, Outcome, Status
from address_space.nodes import NodeMap
from node.roles import Role
from node.server.compat import HardCryptography, SecureChannel
from node.server.limits import Limits
from node.server.wire import Reader
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving, site_node, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SIGN = ua.MessageSecurityMode.Sign
ENCRYPT = ua.MessageSecurityMode.SignAndEncrypt
VALUE = ua.AttributeIds.Value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    config = ServerConfig(listen=Listen("127.0.0.1", 0), names=("gateway.example",))
    async with serving(tmp_path_factory.mktemp("server"), keys, config) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def client(stage: Stage) -> AsyncIterator[Client]:
    """An Engineer."""
    async with stage.client("eve") as client:
        yield client


@pytest.fixture(autouse=True)
def fresh_desk(stage: Stage) -> None:
    desk = stage.desk
    desk.calls.clear()
    desk.writes.clear()
    desk.may_answer.set()
    desk.done.clear()
    desk.result = CommandResult(Outcome.CONFIRMED, Status.GOOD, "inverter_status=Sell", 0.5, "")


async def read(client: Client, *items: ua.ReadValueId, **changes: Any) -> list[ua.DataValue]:
    parameters = ua.ReadParameters(0, ua.TimestampsToReturn.Both, list(items))
    for name, value in changes.items():
        setattr(parameters, name, value)
    return list(await client.uaclient.read(parameters))


def status_of(value: ua.DataValue) -> str:
    assert value.StatusCode is not None
    return value.StatusCode.name


# --- endpoints and policies


async def test_endpoints_are_the_same_list_strongest_first(stage: Stage) -> None:
    client = await stage.client().secured()
    await client.connect_sessionless()
    try:
        listed = await client.get_endpoints()
        created = (await client.create_session()).ServerEndpoints
    finally:
        await client.disconnect_sessionless()
    assert listed == created
    assert [(each.SecurityPolicyUri.rpartition("#")[2], each.SecurityMode.name) for each in listed] == [
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt"),
        ("Basic256Sha256", "SignAndEncrypt"),
        ("Aes128_Sha256_RsaOaep", "SignAndEncrypt"),
        ("Aes256_Sha256_RsaPss", "Sign"),
        ("Basic256Sha256", "Sign"),
        ("Aes128_Sha256_RsaOaep", "Sign"),
    ]
    levels = [each.SecurityLevel for each in listed]
    assert levels == sorted(levels, reverse=True)
    # A password is encrypted with the certificate whatever the mode.
    assert all(
        token.SecurityPolicyUri == each.SecurityPolicyUri for each in listed for token in each.UserIdentityTokens
    )


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("opc.tcp://127.0.0.1:{port}", "opc.tcp://127.0.0.1:{port}"),
        ("opc.tcp://LocalHost:{port}/path", "opc.tcp://localhost:{port}"),
        ("opc.tcp://gateway.example:14840", "opc.tcp://gateway.example:14840"),  # a forwarded port
        ("opc.tcp://evil.example:4840", "opc.tcp://gateway.example:{port}"),
        ("opc.tcp://0.0.0.0:{port}", "opc.tcp://gateway.example:{port}"),
        ("", "opc.tcp://gateway.example:{port}"),
        ("opc.tcp://[::", "opc.tcp://gateway.example:{port}"),
    ],
)
async def test_endpoints_have_the_host_that_the_client_used_if_it_is_ours(stage: Stage, asked: str, shown: str) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.open()
    request = ua.GetEndpointsRequest()
    request.Parameters.EndpointUrl = asked.format(port=stage.server.port)
    response = await raw.ask(request)
    assert {each.EndpointUrl for each in response.Endpoints} == {shown.format(port=stage.server.port)}
    await raw.close()


@pytest.mark.parametrize("mode", [SIGN, ENCRYPT])
@pytest.mark.parametrize(
    "policy", [SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss]
)
async def test_policies_and_modes(stage: Stage, policy: Any, mode: ua.MessageSecurityMode) -> None:
    async with stage.client(policy=policy, mode=mode) as client:
        assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0


async def test_channel_is_renewed(client: Client) -> None:
    node = client.get_node(ua.ObjectIds.Server_ServerStatus_State)
    for _ in range(3):
        await client.open_secure_channel(renew=True)
        assert await node.read_value() == 0


async def test_channel_is_renewed_twice_in_silence(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.open()
    tokens = [raw.token]
    for _ in range(2):
        await raw.ask_channel(ua.SecurityTokenRequestType.Renew)
        tokens.append(raw.token)
    assert len(set(tokens)) == 3
    raw.token = tokens[1]  # said before the client knew of the newest
    assert (await raw.ask(ua.GetEndpointsRequest())).Endpoints
    raw.token = tokens[2]
    assert (await raw.ask(ua.GetEndpointsRequest())).Endpoints
    await raw.close()


async def test_silent_client_with_keys_renews_them(client: Client) -> None:
    for _ in range(3):
        await client.open_secure_channel(renew=True)
    assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0


async def test_channel_ends_with_its_token(tmp_path: Path, stage: Stage) -> None:
    limits = Limits(token_min_s=0.1, token_max_s=0.1)
    async with serving(tmp_path, stage.keys, limits=limits) as short:
        raw = await RawClient.connect(short.server.port)
        await raw.open()
        await asyncio.sleep(0.2)
        await raw.send(raw.frame(b"MSG", b"\0" * 40))
        assert await raw.refused() == ua.StatusCodes.BadSecureChannelTokenUnknown
        await raw.close()


async def test_client_that_takes_little_gets_little(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.hello(MaxMessageSize=1000)
    await raw.close()
    raw = await RawClient.connect(stage.server.port)
    assert (await raw.hello(ReceiveBufferSize=100)).error == ua.StatusCodes.BadTcpNotEnoughResources
    await raw.close()


# --- read


async def test_namespaces_are_in_their_fixed_order(client: Client) -> None:
    assert await client.get_namespace_array() == [
        "http://opcfoundation.org/UA/",
        "urn:test:server",
        "http://opcfoundation.org/UA/DI/",
        "urn:gridnode:model",
        "urn:gridnode:site:plant",
    ]


async def test_point_has_value_status_and_source_time(stage: Stage, client: Client) -> None:
    stage.publish("ac_power", 12.5)
    (value,) = await read(client, ua.ReadValueId(site_node("xw1.ac_power"), VALUE))
    assert value.Value == ua.Variant(12.5, ua.VariantType.Double)
    assert value.SourceTimestamp is not None
    assert value.ServerTimestamp is not None
    stage.publish("ac_power", None, Status.BAD_SENSOR_FAILURE)
    (value,) = await read(client, ua.ReadValueId(site_node("xw1.ac_power"), VALUE))
    assert (status_of(value), value.Value.Value) == ("BadSensorFailure", None)


@pytest.mark.parametrize(
    ("wanted", "source", "server"),
    [("Both", True, True), ("Source", True, False), ("Server", False, True), ("Neither", False, False)],
)
async def test_read_gives_the_times_that_were_asked_for(
    stage: Stage, client: Client, wanted: str, source: bool, server: bool
) -> None:
    stage.publish("ac_power", 1.0)
    item = ua.ReadValueId(site_node("xw1.ac_power"), VALUE)
    (value,) = await read(client, item, TimestampsToReturn=ua.TimestampsToReturn[wanted])
    assert (value.SourceTimestamp is not None, value.ServerTimestamp is not None) == (source, server)


async def test_read_says_what_is_wrong_with_each_item(stage: Stage, client: Client) -> None:
    stage.publish("ac_power", 1.0)
    power, array = site_node("xw1.ac_power"), ua.NodeId(ua.ObjectIds.Server_NamespaceArray)
    cases = {
        "BadNodeIdUnknown": ua.ReadValueId(site_node("xw1.nothing"), VALUE),
        "BadAttributeIdInvalid": ua.ReadValueId(power, 99),
        "BadDataEncodingUnsupported": ua.ReadValueId(power, VALUE, None, ua.QualifiedName("Default XML", 0)),
        "BadDataEncodingInvalid": ua.ReadValueId(power, ua.AttributeIds.BrowseName, None, ua.QualifiedName("Odd", 0)),
        "BadIndexRangeInvalid": ua.ReadValueId(array, VALUE, "3:1"),
        "BadIndexRangeNoData": ua.ReadValueId(power, VALUE, "0:1"),
        "Good": ua.ReadValueId(power, VALUE),
    }
    assert [status_of(value) for value in await read(client, *cases.values())] == list(cases)


async def test_index_range_gives_a_part(client: Client) -> None:
    array = ua.NodeId(ua.ObjectIds.Server_NamespaceArray)
    ranges = ("1:2", "0", "0,0:3", "9:12")
    values = await read(client, *(ua.ReadValueId(array, VALUE, each) for each in ranges))
    assert [value.Value.Value for value in values[:3]] == [
        ["urn:test:server", "http://opcfoundation.org/UA/DI/"],
        ["http://opcfoundation.org/UA/"],
        ["http"],
    ]
    assert status_of(values[3]) == "BadIndexRangeNoData"


async def test_empty_and_impossible_reads_are_refused(client: Client) -> None:
    with pytest.raises(ua.uaerrors.BadNothingToDo):
        await read(client)
    with pytest.raises(ua.uaerrors.BadMaxAgeInvalid):
        await read(client, ua.ReadValueId(ua.NodeId(2259), VALUE), MaxAge=-1)


async def test_rights_are_those_of_the_session(stage: Stage) -> None:
    limit, method = site_node("xw1.charge_limit"), site_node("xw1.StartSell")
    rights = {}
    for user in ("ann", "bob", "eve", "ada"):
        async with stage.client(user) as client:
            values = await read(
                client,
                ua.ReadValueId(limit, ua.AttributeIds.AccessLevel),
                ua.ReadValueId(limit, ua.AttributeIds.UserAccessLevel),
                ua.ReadValueId(method, ua.AttributeIds.Executable),
                ua.ReadValueId(method, ua.AttributeIds.UserExecutable),
                ua.ReadValueId(site_node("xw2.StartSell"), ua.AttributeIds.UserExecutable),
                ua.ReadValueId(site_node("xw2.charge_limit"), ua.AttributeIds.UserAccessLevel),
            )
            rights[user] = [value.Value.Value for value in values]
    assert rights == {
        "ann": [3, 1, True, False, False, 1],
        "bob": [3, 1, True, True, False, 1],
        "eve": [3, 3, True, True, False, 1],
        "ada": [3, 3, True, True, False, 1],
    }


async def test_server_says_what_it_is(client: Client) -> None:
    ids = ua.ObjectIds
    status = await client.get_node(ids.Server_ServerStatus).read_value()
    assert status.State == ua.ServerState.Running
    assert status.BuildInfo.ProductName == "gridnode"
    assert status.CurrentTime >= status.StartTime
    assert await client.get_node(ids.Server_ServerCapabilities_OperationLimits_MaxNodesPerRead).read_value() == 10_000
    assert await client.get_node(ids.Server_ServerArray).read_value() == ["urn:test:server"]


async def test_sessions_are_counted(stage: Stage, client: Client) -> None:
    node = client.get_node(site_node("node.sessions"))
    assert await node.read_value() == stage.server.sessions
    before = stage.server.sessions
    async with stage.client("ann"):
        assert await node.read_value() == before + 1


# --- browse


async def browse(client: Client, node: ua.NodeId, most: int, mask: int = 63) -> ua.BrowseResult:
    parameters = ua.BrowseParameters()
    parameters.RequestedMaxReferencesPerNode = most
    item = ua.BrowseDescription(node, ua.BrowseDirection.Both, ua.NodeId(), True, 0, mask)
    parameters.NodesToBrowse = [item]
    return (await client.uaclient.browse(parameters))[0]


async def browse_next(client: Client, point: bytes, *, release: bool = False) -> ua.BrowseResult:
    return (await client.uaclient.browse_next(ua.BrowseNextParameters(release, [point])))[0]


async def test_references_come_in_pages(client: Client) -> None:
    node = site_node("xw1")
    whole = await browse(client, node, 0)
    assert not whole.ContinuationPoint
    page = await browse(client, node, 3)
    pages = [page.References]
    while page.ContinuationPoint:
        page = await browse_next(client, page.ContinuationPoint)
        pages.append(page.References)
    assert [reference for each in pages for reference in each] == whole.References
    assert all(len(each) == 3 for each in pages[:-1])
    assert len(pages) > 1


async def test_continuation_points_are_released_and_their_own(stage: Stage, client: Client) -> None:
    point = (await browse(client, site_node("xw1"), 3)).ContinuationPoint
    async with stage.client("ann") as other:
        assert (await browse_next(other, point)).StatusCode.name == "BadContinuationPointInvalid"
    assert (await browse_next(client, point, release=True)).StatusCode.is_good()
    assert (await browse_next(client, point)).StatusCode.name == "BadContinuationPointInvalid"


async def test_continuation_points_are_bounded(client: Client) -> None:
    points = [await browse(client, site_node("xw1"), 1) for _ in range(Limits().continuation_points + 1)]
    assert [each.StatusCode.name for each in points[-2:]] == ["Good", "BadNoContinuationPoints"]


async def test_browse_says_what_is_wrong(client: Client) -> None:
    assert (await browse(client, site_node("nothing"), 0)).StatusCode.name == "BadNodeIdUnknown"
    item = ua.BrowseDescription(site_node("xw1"), ua.BrowseDirection.Both, ua.NodeId(85), True, 0, 63)
    result = await client.uaclient.browse(ua.BrowseParameters(NodesToBrowse=[item]))
    assert result[0].StatusCode.name == "BadReferenceTypeIdInvalid"


async def test_browse_leaves_out_what_the_mask_does_not_ask_for(client: Client) -> None:
    reference = (await browse(client, site_node("xw1"), 1, mask=0x08)).References[0]
    assert reference.BrowseName.Name
    assert reference.DisplayName.Text is None
    assert reference.NodeClass == ua.NodeClass.Unspecified


async def test_whole_tree_can_be_walked(client: Client) -> None:
    seen: set[ua.NodeId] = set()
    waiting = [ua.NodeId(ua.ObjectIds.ObjectsFolder)]
    while waiting:
        results = await client.uaclient.browse(
            ua.BrowseParameters(
                NodesToBrowse=[
                    ua.BrowseDescription(each, ua.BrowseDirection.Forward, ua.NodeId(33), True, 0, 63)
                    for each in waiting[:100]
                ]
            )
        )
        waiting = waiting[100:]
        for result in results:
            assert result.StatusCode.is_good()
            for reference in result.References:
                if reference.NodeId not in seen:
                    seen.add(reference.NodeId)
                    waiting.append(reference.NodeId)
    assert {site_node("xw1"), site_node("xw1.ac_power"), site_node("xw2.StartSell")} <= seen


async def test_path_leads_to_the_point(client: Client) -> None:
    path = ["4:plant", "3:Inverters", "4:xw1", "2:ParameterSet", "3:AcPower"]
    node = await client.nodes.objects.get_child(path)
    assert node.nodeid == site_node("xw1.ac_power")
    with pytest.raises(ua.uaerrors.BadNoMatch):
        await client.nodes.objects.get_child(["4:plant", "3:Nothing"])


# --- write


async def write(client: Client, node: ua.NodeId, value: ua.DataValue, attribute: int = VALUE, part: str = "") -> str:
    item = ua.WriteValue(node, attribute, part or None, value)
    return (await client.uaclient.write(ua.WriteParameters([item])))[0].name


def double(value: float) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double))


async def test_engineer_writes_a_setting_through_the_desk(stage: Stage, client: Client) -> None:
    assert await write(client, site_node("xw1.charge_limit"), double(50.0)) == "Good"
    ((device, point, value, caller),) = stage.desk.writes
    assert (device, point, value, caller.user, caller.role) == ("xw1", "charge_limit", 50.0, "eve", Role.ENGINEER)
    stage.desk.result = CommandResult(Outcome.REFUSED, Status.BAD_OUT_OF_RANGE, "", 0.0, "above 140")
    assert await write(client, site_node("xw1.charge_limit"), double(500.0)) == "BadOutOfRange"


async def test_nothing_else_is_written(stage: Stage) -> None:
    limit, power = site_node("xw1.charge_limit"), site_node("xw1.ac_power")
    stamped = double(5.0)
    object.__setattr__(stamped, "SourceTimestamp", ua.DateTime(2026, 1, 1))
    text = ua.DataValue(ua.Variant("x", ua.VariantType.String))
    array = ua.DataValue(ua.Variant([5.0], ua.VariantType.Double))
    whole = ua.DataValue(ua.Variant(5, ua.VariantType.Int32))
    bad = ua.DataValue(ua.Variant(5.0, ua.VariantType.Double), ua.StatusCode(ua.StatusCodes.BadSensorFailure))
    async with stage.client("ada") as admin:
        results = {
            "unknown": await write(admin, site_node("xw1.nothing"), double(5.0)),
            "measured": await write(admin, power, double(5.0)),
            "no control": await write(admin, site_node("xw2.charge_limit"), double(5.0)),
            "attribute": await write(admin, limit, text, ua.AttributeIds.DisplayName),
            "no attribute": await write(admin, limit, text, ua.AttributeIds.Executable),
            "namespace 0": await write(admin, ua.NodeId(ua.ObjectIds.Server_ServiceLevel), double(5.0)),
            "property": await write(admin, site_node("xw1.charge_limit.EURange"), double(5.0)),
            "text": await write(admin, limit, text),
            "array": await write(admin, limit, array),
            "other number": await write(admin, limit, whole),
            "null": await write(admin, limit, ua.DataValue()),
            "part": await write(admin, limit, double(5.0), part="0"),
            "time": await write(admin, limit, stamped),
            "status": await write(admin, limit, bad),
        }
    assert results == {
        "unknown": "BadNodeIdUnknown",
        "measured": "BadNotWritable",
        "no control": "BadNotWritable",
        "attribute": "BadNotWritable",
        "no attribute": "BadAttributeIdInvalid",
        "namespace 0": "BadNotWritable",
        "property": "BadNotWritable",
        "text": "BadTypeMismatch",
        "array": "BadTypeMismatch",
        "other number": "BadTypeMismatch",
        "null": "BadTypeMismatch",
        "part": "BadWriteNotSupported",
        "time": "BadWriteNotSupported",
        "status": "BadWriteNotSupported",
    }
    assert stage.desk.writes == []


@pytest.mark.parametrize("user", ["ann", "bob"])
async def test_settings_need_an_engineer(stage: Stage, user: str) -> None:
    async with stage.client(user) as client:
        assert await write(client, site_node("xw1.charge_limit"), double(50.0)) == "BadUserAccessDenied"
    assert stage.desk.writes == []


async def test_nodes_are_neither_added_nor_deleted(stage: Stage) -> None:
    async with stage.client("ada") as admin:
        for call in (
            admin.uaclient.add_nodes([ua.AddNodesItem()]),
            admin.uaclient.delete_nodes(ua.DeleteNodesParameters([ua.DeleteNodesItem(site_node("xw1"), True)])),
            admin.uaclient.add_references([ua.AddReferencesItem()]),
            admin.uaclient.delete_references([ua.DeleteReferencesItem()]),
        ):
            with pytest.raises(ua.uaerrors.BadServiceUnsupported):
                await call


# --- call


async def call(client: Client, obj: str | int, method: ua.NodeId, *inputs: ua.Variant) -> ua.CallMethodResult:
    node = site_node(obj) if isinstance(obj, str) else ua.NodeId(obj)
    return (await client.uaclient.call([ua.CallMethodRequest(node, method, list(inputs))]))[0]


@pytest.mark.parametrize("obj", ["xw1", "xw1.MethodSet", "xw1.Operational"])
async def test_operator_calls_a_command(stage: Stage, obj: str) -> None:
    async with stage.client("bob") as client:
        result = await call(client, obj, site_node("xw1.StartSell"))
    assert result.StatusCode.is_good()
    outcome, observed, elapsed, reason = (each.Value for each in result.OutputArguments)
    assert (outcome, observed, elapsed, reason.Text) == (0, "inverter_status=Sell", 500.0, "")
    ((device, command, arguments, caller),) = stage.desk.calls
    assert (device, command, arguments, caller.user, caller.role) == ("xw1", "StartSell", [], "bob", Role.OPERATOR)


async def test_method_may_be_named_by_its_declaration(stage: Stage, client: Client) -> None:
    type_id = await client.get_node(site_node("xw1")).read_type_definition()
    found = await client.get_node(type_id).get_child(["2:MethodSet", "3:StartSell"])
    result = await call(client, "xw1", found.nodeid)
    assert result.StatusCode.is_good()
    assert stage.desk.calls[0][:2] == ("xw1", "StartSell")


async def test_call_says_what_is_wrong(stage: Stage, client: Client) -> None:
    limit = site_node("xw1.SetLimit")
    number, text = ua.Variant(5, ua.VariantType.Int32), ua.Variant("x", ua.VariantType.String)
    results = {
        "unknown object": await call(client, "nothing", limit, number),
        "other device": await call(client, "xw2", limit, number),
        "unknown method": await call(client, "xw1", site_node("xw1.Nothing")),
        "no method": await call(client, "xw1", site_node("xw1.ac_power")),
        "missing": await call(client, "xw1", limit),
        "too many": await call(client, "xw1", limit, number, number),
        "type": await call(client, "xw1", limit, text),
        "other number": await call(client, "xw1", limit, ua.Variant(5, ua.VariantType.Int64)),
        "array": await call(client, "xw1", limit, ua.Variant([5], ua.VariantType.Int32)),
        "no argument": await call(client, ua.ObjectIds.Server, ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems)),
    }
    assert {name: result.StatusCode.name for name, result in results.items()} == {
        "unknown object": "BadNodeIdUnknown",
        "other device": "BadMethodInvalid",
        "unknown method": "BadMethodInvalid",
        "no method": "BadMethodInvalid",
        "missing": "BadArgumentsMissing",
        "too many": "BadTooManyArguments",
        "type": "BadInvalidArgument",
        "other number": "BadInvalidArgument",
        "array": "BadInvalidArgument",
        "no argument": "BadArgumentsMissing",
    }
    assert [each.name for each in results["type"].InputArgumentResults] == ["BadTypeMismatch"]
    assert stage.desk.calls == []


async def test_desk_decides_about_roles_and_outcomes(stage: Stage, client: Client) -> None:
    async with stage.client("ann") as observer:
        assert (await call(observer, "xw1", site_node("xw1.StartSell"))).StatusCode.name == "BadUserAccessDenied"
    stage.desk.result = CommandResult(Outcome.MISMATCH, Status.UNCERTAIN, "inverter_status=Standby", 2.0, "other state")
    result = await call(client, "xw1", site_node("xw1.StartSell"))
    assert result.StatusCode.is_uncertain()
    assert result.OutputArguments[0].Value == Outcome.MISMATCH
    stage.desk.result = CommandResult(Outcome.FAILED, Status.BAD_DEVICE_FAILURE, "", 2.0, "exception 4")
    result = await call(client, "xw1", site_node("xw1.StartSell"))
    assert (result.StatusCode.name, result.OutputArguments) == ("BadDeviceFailure", [])


async def test_slow_call_and_slow_write_keep_nobody_waiting(stage: Stage, client: Client) -> None:
    stage.desk.may_answer.clear()
    slow = asyncio.ensure_future(call(client, "xw1", site_node("xw1.StartSell")))
    writing = asyncio.ensure_future(write(client, site_node("xw1.charge_limit"), double(5.0)))
    await until(lambda: bool(stage.desk.calls and stage.desk.writes))
    async with asyncio.timeout(5):
        stage.publish("ac_power", 3.0)
        assert await client.get_node(site_node("xw1.ac_power")).read_value() == 3.0
    assert not slow.done()
    assert not writing.done()
    stage.desk.may_answer.set()
    assert (await slow).StatusCode.is_good()
    assert await writing == "Good"


async def test_command_goes_on_when_its_client_leaves(stage: Stage) -> None:
    stage.desk.may_answer.clear()
    client = await stage.client("bob").secured()
    await client.connect()
    slow = asyncio.ensure_future(call(client, "xw1", site_node("xw1.StartSell")))
    await until(lambda: bool(stage.desk.calls))
    async with asyncio.timeout(5):
        client.uaclient.protocol.transport.abort()
        await asyncio.gather(slow, return_exceptions=True)
        stage.desk.may_answer.set()
        await stage.desk.done.wait()
    await client.disconnect()


# --- subscribe


class Notes:
    """Handler of asyncua that keeps what is reported."""

    def __init__(self) -> None:
        self.values: asyncio.Queue[Any] = asyncio.Queue()

    def datachange_notification(self, node: Any, value: Any, data: Any) -> None:
        self.values.put_nowait((node.nodeid.Identifier, value, data.monitored_item.Value))

    def status_change_notification(self, status: Any) -> None:
        self.values.put_nowait(status)

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.values.get()


async def test_changes_of_points_are_reported(stage: Stage, client: Client) -> None:
    stage.publish("ac_power", 1.0)
    notes = Notes()
    subscription = await client.create_subscription(50, notes)
    nodes = [client.get_node(site_node(f"xw1.{name}")) for name in ("ac_power", "inverter_status")]
    await subscription.subscribe_data_change(nodes)
    first = {(await notes.next())[0] for _ in nodes}
    assert first == {"xw1.ac_power", "xw1.inverter_status"}
    stage.publish("ac_power", 2.0)
    assert (await notes.next())[1] == 2.0
    stage.publish("ac_power", 2.0)  # the same value with a newer time is no change
    stage.publish("ac_power", None, Status.BAD_SENSOR_FAILURE)
    name, value, data = await notes.next()
    assert (name, value, data.StatusCode.name) == ("xw1.ac_power", None, "BadSensorFailure")
    await subscription.delete()


async def test_values_that_no_slot_stands_for_are_reported_too(client: Client) -> None:
    notes = Notes()
    subscription = await client.create_subscription(50, notes)
    await subscription.subscribe_data_change(client.get_node(ua.ObjectIds.Server_ServerStatus_CurrentTime))
    assert (await notes.next())[1] < (await notes.next())[1]
    await subscription.delete()


async def create_items(client: Client, number: int, *items: ua.MonitoredItemCreateRequest) -> list[Any]:
    parameters = ua.CreateMonitoredItemsParameters(number, ua.TimestampsToReturn.Both, list(items))
    return list(await client.uaclient.create_monitored_items(parameters))


def item(node: ua.NodeId, attribute: int = VALUE, **parameters: Any) -> ua.MonitoredItemCreateRequest:
    wanted = ua.MonitoringParameters(1, 50.0, None, 1, True)
    for name, value in parameters.items():
        setattr(wanted, name, value)
    return ua.MonitoredItemCreateRequest(ua.ReadValueId(node, attribute), ua.MonitoringMode.Reporting, wanted)


async def test_items_say_what_they_are(client: Client) -> None:
    subscription = await client.create_subscription(200, Notes())
    power = site_node("xw1.ac_power")
    deadband = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Absolute, 5.0)
    results = await create_items(
        client,
        subscription.subscription_id,
        item(power, SamplingInterval=50.0, QueueSize=0),
        item(power, SamplingInterval=500.0, QueueSize=10**6),
        item(power, SamplingInterval=float("nan")),
        item(power, Filter=deadband),
        item(power, Filter=ua.EventFilter()),
        item(site_node("nothing")),
        item(power, ua.AttributeIds.Executable),
        item(ua.NodeId(ua.ObjectIds.Server), ua.AttributeIds.EventNotifier),
    )
    assert [(each.RevisedSamplingInterval, each.RevisedQueueSize) for each in results[:3]] == [
        (50.0, 1),
        (500.0, 1000),
        (200.0, 1),
    ]
    assert [each.StatusCode.name for each in results[3:]] == [
        "Good",
        "BadFilterNotAllowed",
        "BadNodeIdUnknown",
        "BadAttributeIdInvalid",
        "BadMonitoredItemFilterInvalid",
    ]
    await subscription.delete()


async def test_session_and_its_subscription_survive_a_lost_connection(stage: Stage) -> None:
    client = await stage.client("ann").secured()
    await client.connect()
    notes = Notes()
    subscription = await client.create_subscription(50, notes)
    await subscription.subscribe_data_change(client.get_node(site_node("xw1.ac_power")))
    before = stage.server.sessions
    client.uaclient.protocol.transport.abort()
    await asyncio.sleep(0.1)
    assert stage.server.sessions == before
    await client.disconnect()


async def test_abandoned_session_ends(tmp_path: Path, stage: Stage) -> None:
    limits = Limits(session_min_s=0.2, session_max_s=0.2)
    async with serving(tmp_path, stage.keys, limits=limits) as short:
        client = await short.client().secured()
        await client.connect()
        client.uaclient.protocol.transport.abort()
        await until(lambda: short.server.sessions == 0)
        await client.disconnect()


# --- faults of ours


async def test_fault_of_ours_ends_neither_server_nor_session(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> CommandResult:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(stage.desk, "call", fail)
    with pytest.raises(ua.uaerrors.BadInternalError):
        await call(client, "xw1", site_node("xw1.StartSell"))
    assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0
    assert "a bug" in caplog.text


async def test_requests_pass_what_we_put_in_place_of_the_librarys(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []

    def spy(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            passed.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, watched)

    for name in ("select_policy", "open", "expects", "count", "unpack_one", "pack_one"):
        spy(SecureChannel, name)
    for name in ("verify", "signature", "remove_padding"):
        spy(HardCryptography, name)
    for name in ("read", "copy"):
        spy(Reader, name)
    spy(NodeMap, "get")
    async with stage.client("bob") as client:
        await client.get_node(site_node("xw1.ac_power")).read_browse_name()
    assert set(passed) == {
        *("select_policy", "open", "expects", "count", "unpack_one", "pack_one"),
        *("verify", "signature", "remove_padding"),
        *("read", "copy", "get"),
    }


# --- end


async def test_stop_leaves_nothing(tmp_path: Path, stage: Stage) -> None:
    async with serving(tmp_path, stage.keys) as short:
        client = await short.client("bob").secured()
        await client.connect()
        short.desk.may_answer.clear()
        slow = asyncio.ensure_future(call(client, "xw1", site_node("xw1.StartSell")))
        await until(lambda: bool(short.desk.calls))
        port = short.server.port
        await short.server.stop()
        with pytest.raises(ConnectionError):
            await RawClient.connect(port)
        await asyncio.gather(slow, return_exceptions=True)
        await client.disconnect()
