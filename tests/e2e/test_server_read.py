"""The Read service, and what a client finds by browsing."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asyncua import Client, ua

from address_space.model import Status
from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, Stage, read, serving, site_node, status_of

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SIGN = ua.MessageSecurityMode.Sign
ENCRYPT = ua.MessageSecurityMode.SignAndEncrypt
VALUE = ua.AttributeIds.Value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    config = ServerConfig(listen=Listen("127.0.0.1", 0))
    async with serving(tmp_path_factory.mktemp("server"), keys, config) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def client(stage: Stage) -> AsyncIterator[Client]:
    """An Engineer."""
    async with stage.client("eve") as client:
        yield client


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
