"""History over the wire with asyncua's client: who may change it, and what the address space says of it."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from datetime import datetime, timedelta
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.ua_binary import struct_from_binary

from address_space.model import TICKS_PER_S, ticks_to_datetime
from tests.e2e.history_stage import PASSWORDS, SLOPED, SPARE, HistoryStage, history_stage
from tests.e2e.server_stage import TestClient, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NOON = 12 * 3600.0
CONFIGURATION = ua.NodeId(ua.ObjectIds.HasHistoricalConfiguration)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[HistoryStage]:
    async with history_stage(tmp_path_factory.mktemp("history")) as stage:
        yield stage


@asynccontextmanager
async def logged_in(stage: HistoryStage, user: str | None = None) -> AsyncIterator[Client]:
    """A client: with keys and password as a user, without both as nobody in particular."""
    if user is None:
        async with Client(stage.url, timeout=10) as client:
            yield client
        return
    how: Any = stage
    mode = ua.MessageSecurityMode.SignAndEncrypt
    async with TestClient(
        how, user, PASSWORDS[user], stage.keys.of("client"), SecurityPolicyBasic256Sha256, mode
    ) as client:
        yield client


def site_node(path: str) -> ua.NodeId:
    return ua.NodeId(path, 4)


def at(stage: HistoryStage, second: float) -> datetime:
    return ticks_to_datetime(stage.today + round(second * TICKS_PER_S))


async def update(client: Client, details: Any) -> ua.HistoryUpdateResult:
    request = ua.HistoryUpdateRequest()
    request.Parameters.HistoryUpdateDetails = [details]
    data = await client.uaclient.protocol.send_request(request)
    response = ua.ua_binary.struct_from_binary(ua.HistoryUpdateResponse, data)
    response.ResponseHeader.ServiceResult.check()
    (result,) = response.Results
    found: ua.HistoryUpdateResult = result
    return found


def write(stage: HistoryStage, tag: str, second: float, value: float) -> ua.UpdateDataDetails:
    sample = ua.DataValue(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=at(stage, second))
    return ua.UpdateDataDetails(site_node(tag), ua.PerformUpdateType.Update, [sample])


# --- changes


@pytest.mark.parametrize("user", [None, "bob", "eve", "ada"])
async def test_engineers_change_history_and_others_do_not(stage: HistoryStage, user: str | None) -> None:
    allowed = user in ("eve", "ada")
    await stage.fill(SPARE, [(NOON, 1.0, 0)])
    async with logged_in(stage, user) as client:
        node = client.get_node(site_node(SPARE))
        level = await node.read_attribute(ua.AttributeIds.UserAccessLevel)
        assert bool(level.Value.Value & 1 << ua.AccessLevel.HistoryWrite) is allowed
        result = await update(client, write(stage, SPARE, NOON, 2.0))
        assert result.StatusCode.name == ("Good" if allowed else "BadUserAccessDenied")
        assert [code.name for code in result.OperationResults or ()] == (["GoodEntryReplaced"] if allowed else [])
        read = await node.read_raw_history(at(stage, NOON), at(stage, NOON + 1), return_bounds=False)
        assert [each.Value.Value for each in read] == [2.0 if allowed else 1.0]
        roles = await node.read_attribute(ua.AttributeIds.UserRolePermissions)
        granted = [permission.Permissions & ua.PermissionType.ModifyHistory for permission in roles.Value.Value]
        assert any(granted) is allowed


async def test_an_annotation_is_written_and_read_by_its_property(stage: HistoryStage) -> None:
    await stage.fill(SPARE, [(NOON, 1.0, 0)])
    async with logged_in(stage, "eve") as client:
        annotations = await client.get_node(site_node(SPARE)).get_child("0:Annotations")
        note = ua.Annotation("scan failed", "", at(stage, NOON))
        value = ua.DataValue(ua.Variant(note, ua.VariantType.ExtensionObject), SourceTimestamp=at(stage, NOON))
        details = ua.UpdateStructureDataDetails(annotations.nodeid, ua.PerformUpdateType.Insert, [value])
        assert [each.name for each in (await update(client, details)).OperationResults] == ["GoodEntryInserted"]
        (found,) = await annotations.read_raw_history(at(stage, NOON), at(stage, NOON + 1))
        assert found.Value.Value == ua.Annotation("scan failed", "eve", at(stage, NOON))


async def test_changes_are_in_the_event_history_of_administrators_alone(stage: HistoryStage) -> None:
    async with logged_in(stage, "eve") as client:
        await update(client, write(stage, SPARE, NOON + 5, 5.0))
    told = {}
    for user in ("ada", "bob"):
        async with logged_in(stage, user) as client:
            kind = client.get_node(ua.NodeId(ua.ObjectIds.AuditHistoryValueUpdateEventType))
            since, until = at(stage, 0), at(stage, 3 * 86_400)
            events = await client.nodes.server.read_event_history(since, until, evtypes=kind)
            told[user] = [event.ClientUserId for event in events if str(event.UpdatedNode.Identifier) == SPARE]
    assert "eve" in told["ada"]
    assert told["bob"] == []


# --- what is said of it


async def test_a_variable_says_how_its_history_is_kept(stage: HistoryStage) -> None:
    await stage.fill(SLOPED, [(60.0, 1.0, 0), (61.0, 2.0, 0)])
    async with logged_in(stage) as client:
        found = {}
        for tag in (SLOPED, "xw1.steps0"):
            node = client.get_node(site_node(tag))
            (configuration,) = await node.get_referenced_nodes(CONFIGURATION)
            assert (await configuration.read_browse_name()).Name == "HA Configuration"
            (kind,) = await configuration.get_referenced_nodes(ua.ObjectIds.HasTypeDefinition)
            assert kind.nodeid.Identifier == ua.ObjectIds.HistoricalDataConfigurationType
            stepped = await (await configuration.get_child("0:Stepped")).read_value()
            aggregates = await configuration.get_child("0:AggregateConfiguration")
            four = [(await each.read_browse_name()).Name for each in await aggregates.get_properties()]
            values = [await each.read_value() for each in await aggregates.get_properties()]
            found[tag] = stepped, dict(zip(four, values, strict=True))
            assert (await node.read_attribute(ua.AttributeIds.Historizing)).Value.Value is True
        defaults = {
            "TreatUncertainAsBad": True,
            "PercentDataBad": 100,
            "PercentDataGood": 100,
            "UseSlopedExtrapolation": False,
        }
        assert found == {SLOPED: (False, defaults), "xw1.steps0": (True, defaults)}
        for name in ("StartOfArchive", "StartOfOnlineArchive"):
            start = client.get_node(site_node(f"{SLOPED}.HAConfiguration.{name}"))
            assert await start.read_value() == at(stage, 60)


async def test_the_server_says_what_it_can(stage: HistoryStage) -> None:
    async with logged_in(stage) as client:
        names = {
            "AccessHistoryDataCapability": True,
            "AccessHistoryEventsCapability": True,
            "InsertDataCapability": True,
            "ReplaceDataCapability": True,
            "UpdateDataCapability": True,
            "DeleteRawCapability": True,
            "DeleteAtTimeCapability": True,
            "InsertAnnotationCapability": True,
            "InsertEventCapability": False,
            "DeleteEventCapability": False,
            "MaxReturnDataValues": 10_000,
            "MaxReturnEventValues": 1_000,
            "ServerTimestampSupported": True,
        }
        for name, expected in names.items():
            number = getattr(ua.ObjectIds, f"HistoryServerCapabilities_{name}")
            assert await client.get_node(ua.NodeId(number)).read_value() == expected, name
        for folder in ("HistoryServerCapabilities", "Server_ServerCapabilities"):
            functions = client.get_node(ua.NodeId(getattr(ua.ObjectIds, f"{folder}_AggregateFunctions")))
            assert len(await functions.get_children()) == 37
        default = client.get_node(ua.NodeId(ua.ObjectIds.DefaultHAConfiguration_AggregateConfiguration))
        assert len(await default.get_properties()) == 4


async def test_notifiers_say_that_their_events_are_kept(stage: HistoryStage) -> None:
    async with logged_in(stage) as client:
        for nodeid in (ua.NodeId(ua.ObjectIds.Server), site_node("_site"), site_node("xw1")):
            node = client.get_node(nodeid)
            bits = (await node.read_attribute(ua.AttributeIds.EventNotifier)).Value.Value
            assert bits == 1 << ua.EventNotifier.SubscribeToEvents | 1 << ua.EventNotifier.HistoryRead
            kept = await (await node.get_child("0:HistoricalEventFilter")).read_value()
            assert "Severity" in {clause.BrowsePath[0].Name for clause in kept.SelectClauses}


# --- long requests


async def test_a_long_read_of_many_nodes_is_answered_and_others_are_served_meanwhile(stage: HistoryStage) -> None:
    await stage.fill(SLOPED, [(number / 10, float(number), 0) for number in range(30_000)])
    async with logged_in(stage) as client, logged_in(stage) as other:
        details: Any = ua.ReadProcessedDetails(at(stage, 0), at(stage, 3000), 100.0)
        details.AggregateType = [ua.NodeId(ua.ObjectIds.AggregateFunction_TimeAverage2)] * 20
        parameters = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Source, False)
        parameters.NodesToRead = [ua.HistoryReadValueId(site_node(SLOPED)) for _ in range(20)]
        reading = asyncio.ensure_future(client.uaclient.history_read(parameters))
        served = 0
        while not reading.done():
            await other.nodes.server_state.read_value()
            served += 1
        results = await reading
        assert served > 10
        assert all(result.StatusCode.is_good() for result in results)
        assert all(result.ContinuationPoint for result in results)


def works_on_a_read() -> bool:
    return any(task.get_name() == "HistoryRead" for task in asyncio.all_tasks())


async def test_a_long_read_is_taken_back_by_its_client(stage: HistoryStage) -> None:
    await stage.fill(SLOPED, [(number / 10, float(number), 0) for number in range(30_000)])
    async with logged_in(stage) as client, logged_in(stage) as other:
        details: Any = ua.ReadProcessedDetails(at(stage, 0), at(stage, 3000), 30.0)
        details.AggregateType = [ua.NodeId(ua.ObjectIds.AggregateFunction_TimeAverage2)] * 50
        parameters = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Source, False)
        parameters.NodesToRead = [ua.HistoryReadValueId(site_node(SLOPED)) for _ in range(50)]
        reading = asyncio.ensure_future(client.uaclient.history_read(parameters))
        await until(works_on_a_read)
        cancel: Any = ua.CancelRequest()
        cancel.Parameters.RequestHandle = ua.UInt32(client.uaclient.protocol._request_handle)
        counts = []
        for each in (other, client):
            answer = await each.uaclient.protocol.send_request(cancel)
            counts.append(struct_from_binary(ua.CancelResponse, answer).Parameters.CancelCount)
        assert counts == [0, 1], "its own session only"
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await reading
        assert caught.value.code == ua.StatusCodes.BadRequestCancelledByClient
        await until(lambda: not works_on_a_read())


async def test_a_session_that_closes_leaves_no_work_behind(stage: HistoryStage) -> None:
    await stage.fill(SLOPED, [(number / 10, float(number), 0) for number in range(30_000)])
    async with logged_in(stage) as client:
        details: Any = ua.ReadProcessedDetails(at(stage, 0), at(stage, 3000), 30.0)
        details.AggregateType = [ua.NodeId(ua.ObjectIds.AggregateFunction_TimeAverage2)] * 50
        parameters = ua.HistoryReadParameters(details, ua.TimestampsToReturn.Source, False)
        parameters.NodesToRead = [ua.HistoryReadValueId(site_node(SLOPED)) for _ in range(50)]
        reading = asyncio.ensure_future(client.uaclient.history_read(parameters))
        await asyncio.sleep(0.1)
        await client.uaclient.close_session(True)
    await until(lambda: not works_on_a_read())
    reading.cancel()
    with pytest.raises((asyncio.CancelledError, ua.UaError, ConnectionError, TimeoutError)):
        await reading


async def test_asyncua_reads_everything_by_its_own_paging(stage: HistoryStage) -> None:
    await stage.fill(SLOPED, [(number / 10, float(number), 0) for number in range(12_345)])
    async with logged_in(stage) as client:
        found = await client.get_node(site_node(SLOPED)).read_raw_history(
            at(stage, 0), at(stage, 0) + timedelta(hours=1), numvalues=0, return_bounds=False
        )
        assert [each.Value.Value for each in found] == [float(number) for number in range(12_345)]
