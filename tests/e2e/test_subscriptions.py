"""Golden tests of the subscription services over a real connection, asked by asyncua's client."""

from collections.abc import AsyncIterator, Sequence
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua.ua_binary import struct_from_binary
from asyncua.ua.uaerrors import BadMessageNotAvailable, BadSubscriptionIdInvalid

from address_space.model import Status
from node.server.security.access import GET_MONITORED_ITEMS, RESEND_DATA
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, Stage, serving, site_node

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

VALUE = ua.AttributeIds.Value
POWER = "ac_power"
ROWS = ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_SubscriptionDiagnosticsArray)
SERVER = ua.NodeId(ua.ObjectIds.Server)
REPORTING = ua.MonitoringMode.Reporting
SAMPLING = ua.MonitoringMode.Sampling


class Asker:
    """A subscription that publishes only when the test says so."""

    def __init__(self, client: Client, number: int) -> None:
        self.client = client
        self.number = number
        self._handles = 0

    @classmethod
    async def make(cls, client: Client, interval_ms: float = 50.0, most: int = 0) -> "Asker":
        request: Any = ua.CreateSubscriptionRequest()
        request.Parameters = ua.CreateSubscriptionParameters(interval_ms, 10_000, 10, most, True, 0)
        return cls(client, (await ask(client, request, ua.CreateSubscriptionResponse)).Parameters.SubscriptionId)

    async def items(self, *names: str, mode: Any = REPORTING, **parameters: Any) -> list[Any]:
        """Watch points; results as the server gives them."""
        wanted = []
        for name in names:
            self._handles += 1
            settings = ua.MonitoringParameters(self._handles, 0.0, None, 1, True)
            for field, value in parameters.items():
                setattr(settings, field, value)
            wanted.append(
                ua.MonitoredItemCreateRequest(ua.ReadValueId(site_node(f"xw1.{name}"), VALUE), mode, settings)
            )
        given = ua.CreateMonitoredItemsParameters(self.number, ua.TimestampsToReturn.Both, wanted)
        return list(await self.client.uaclient.create_monitored_items(given))

    async def publish(self, *acknowledge: int) -> Any:
        """The parameters of the next answer."""
        request = ua.PublishRequest()
        request.Parameters.SubscriptionAcknowledgements = [
            ua.SubscriptionAcknowledgement(self.number, number) for number in acknowledge
        ]
        return (await ask(self.client, request, ua.PublishResponse)).Parameters

    async def values(self, *acknowledge: int) -> list[Any]:
        """Values of the next message that has any."""
        while True:
            found = notifications(await self.publish(*acknowledge))
            if found:
                return [each.Value.Value.Value for each in found]

    async def call(self, method: ua.NodeId, *arguments: ua.Variant) -> Any:
        request = ua.CallMethodRequest(SERVER, method, list(arguments))
        (result,) = await self.client.uaclient.call([request])
        return result


async def ask(client: Client, request: Any, kind: type) -> Any:
    """The answer to a request that asyncua's client has no call for, or publishes for itself."""
    data = await client.uaclient.protocol.send_request(request)
    found = struct_from_binary(kind, data)
    found.ResponseHeader.ServiceResult.check()
    return found


def notifications(parameters: Any) -> list[Any]:
    return [
        item
        for data in parameters.NotificationMessage.NotificationData or ()
        if isinstance(data, ua.DataChangeNotification)
        for item in data.MonitoredItems
    ]


def names(statuses: Sequence[Any]) -> list[str]:
    return [each.name for each in statuses]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    config = ServerConfig(listen=Listen("127.0.0.1", 0))
    async with serving(tmp_path_factory.mktemp("server"), keys, config) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def asker(stage: Stage) -> AsyncIterator[Asker]:
    stage.publish("ac_power", 0.0)
    stage.publish("inverter_status", 2)
    async with stage.client("ann") as client:
        yield await Asker.make(client)


async def test_deadbands_need_what_they_are_measured_in(asker: Asker) -> None:
    def deadband(kind: str, value: float) -> ua.DataChangeFilter:
        return ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType[kind], value)

    results = [
        (await asker.items(name, Filter=deadband(kind, value)))[0]
        for name, kind, value in (
            ("ac_power", "Absolute", 5.0),
            ("ac_power", "Percent", 10.0),
            ("ac_power", "Percent", 101.0),
            ("inverter_status", "Percent", 10.0),
            ("last_error", "Absolute", 1.0),
        )
    ]
    assert names(each.StatusCode for each in results) == [
        "Good",
        "Good",
        "BadDeadbandFilterInvalid",
        "BadFilterNotAllowed",
        "BadFilterNotAllowed",
    ]


async def test_percent_is_of_the_range(stage: Stage, asker: Asker) -> None:
    percent = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Percent, 10.0)
    await asker.items("ac_power", Filter=percent, QueueSize=20)
    assert await asker.values() == [0.0]
    for value in (1000.0, 1400.0, 1500.0, 2000.0, 3000.0):  # 10 % of 14,000
        stage.publish("ac_power", value)
    assert await asker.values() == [1500.0, 3000.0]


async def test_every_publish_is_in_the_queue_and_a_full_one_says_so(stage: Stage, asker: Asker) -> None:
    await asker.items("ac_power", QueueSize=3)
    await asker.values()
    for value in range(1, 6):
        stage.publish("ac_power", float(value))
    found = notifications(await asker.publish())
    assert [(each.Value.Value.Value, each.Value.StatusCode.value) for each in found] == [
        (3.0, 0x480),
        (4.0, 0),
        (5.0, 0),
    ]


async def test_message_comes_in_parts_and_again_until_it_is_acknowledged(stage: Stage, asker: Asker) -> None:
    asker = await Asker.make(asker.client, most=2)
    await asker.items("ac_power", "inverter_status", "charge_limit")
    first = await asker.publish()
    if not notifications(first):  # the first sign of life was faster
        first = await asker.publish()
    second = await asker.publish()
    assert [(len(notifications(each)), each.MoreNotifications) for each in (first, second)] == [(2, True), (1, False)]
    assert second.AvailableSequenceNumbers == [1, 2]
    request = ua.RepublishRequest(Parameters=ua.RepublishParameters(asker.number, 1))
    again = await ask(asker.client, request, ua.RepublishResponse)
    assert again.NotificationMessage == first.NotificationMessage
    stage.publish("ac_power", 1.0)
    third = await asker.publish(1, 2, 7)
    assert names(third.Results) == ["Good", "Good", "BadSequenceNumberUnknown"]
    with pytest.raises(BadMessageNotAvailable):
        await ask(asker.client, request, ua.RepublishResponse)
    request.Parameters.SubscriptionId += 1
    with pytest.raises(BadSubscriptionIdInvalid):
        await ask(asker.client, request, ua.RepublishResponse)


async def test_triggered_items_report_with_their_trigger(stage: Stage, asker: Asker) -> None:
    (trigger,) = await asker.items("ac_power")
    (linked,) = await asker.items("charge_limit", mode=SAMPLING, QueueSize=5)
    request: Any = ua.SetTriggeringRequest()
    request.Parameters = ua.SetTriggeringParameters(
        asker.number, trigger.MonitoredItemId, [linked.MonitoredItemId, 99], [linked.MonitoredItemId]
    )
    results = (await ask(asker.client, request, ua.SetTriggeringResponse)).Parameters
    assert names(results.AddResults) == ["Good", "BadMonitoredItemIdInvalid"]
    assert names(results.RemoveResults) == ["BadMonitoredItemIdInvalid"]
    await asker.values()
    stage.publish("charge_limit", 10.0)
    stage.publish("charge_limit", 20.0)
    stage.publish("ac_power", 7.0)
    assert {10.0, 20.0, 7.0} <= set(await asker.values())


async def test_modified_items_have_their_new_settings(stage: Stage, asker: Asker) -> None:
    (item,) = await asker.items("ac_power")
    await asker.values()
    wanted = ua.MonitoringParameters(77, 200.0, None, 4, False)
    good = ua.MonitoredItemModifyRequest(item.MonitoredItemId, wanted)
    unknown = ua.MonitoredItemModifyRequest(item.MonitoredItemId + 1000, wanted)
    given = ua.ModifyMonitoredItemsParameters(asker.number, ua.TimestampsToReturn.Source, [good, unknown])
    results = await asker.client.uaclient.modify_monitored_items(given)
    assert names(each.StatusCode for each in results) == ["Good", "BadMonitoredItemIdInvalid"]
    assert (results[0].RevisedSamplingInterval, results[0].RevisedQueueSize) == (200.0, 4)
    stage.publish("ac_power", 5.0)
    (found,) = [each for each in notifications(await asker.publish()) if each.Value.Value.Value == 5.0]
    assert found.ClientHandle == 77
    assert found.Value.ServerTimestamp is None


async def test_handles_and_values_come_again_by_methods_of_the_server(stage: Stage, asker: Asker) -> None:
    items = await asker.items("ac_power", "inverter_status")
    await asker.values()
    number = ua.Variant(asker.number, ua.VariantType.UInt32)
    result = await asker.call(GET_MONITORED_ITEMS, number)
    assert [each.Value for each in result.OutputArguments] == [[each.MonitoredItemId for each in items], [1, 2]]
    assert (await asker.call(RESEND_DATA, number)).StatusCode.is_good()
    assert await asker.values() == [0.0, 2]
    unknown = ua.Variant(asker.number + 1, ua.VariantType.UInt32)
    async with stage.client("bob") as other:
        theirs = Asker(other, asker.number)
        results = [await asker.call(RESEND_DATA, unknown), await theirs.call(GET_MONITORED_ITEMS, number)]
    results += [await asker.call(RESEND_DATA), await asker.call(RESEND_DATA, ua.Variant("x"))]
    assert names(each.StatusCode for each in results) == [
        "BadSubscriptionIdInvalid",
        "BadUserAccessDenied",
        "BadArgumentsMissing",
        "BadInvalidArgument",
    ]
    method = asker.client.get_node(GET_MONITORED_ITEMS)
    assert (await method.read_attribute(ua.AttributeIds.UserExecutable)).Value.Value is True


async def test_subscription_moves_with_its_user_and_nobody_else(stage: Stage, asker: Asker) -> None:
    await asker.items("ac_power")
    first = await asker.publish()
    assert first.NotificationMessage.SequenceNumber == 1
    wanted = ua.TransferSubscriptionsParameters([asker.number, asker.number + 1], True)
    async with stage.client("bob") as other:
        results = await other.uaclient.transfer_subscriptions(wanted)
        assert names(each.StatusCode for each in results) == ["BadUserAccessDenied", "BadSubscriptionIdInvalid"]
    async with stage.client("ann") as same:
        results = await same.uaclient.transfer_subscriptions(wanted)
        assert results[0].StatusCode.is_good()
        assert results[0].AvailableSequenceNumbers == [1]
        told = await asker.publish()
        assert told.NotificationMessage.NotificationData[0].Status.name == "GoodSubscriptionTransferred"
        moved = Asker(same, asker.number)
        assert await moved.values(1) == [0.0], "initial values"
        stage.publish("ac_power", 3.0)
        assert await moved.values() == [3.0]


@pytest.mark.parametrize("delete", [True, False])
async def test_subscription_outlives_its_session_when_its_client_says_so(stage: Stage, delete: bool) -> None:
    stage.publish("ac_power", 0.0)
    client = await stage.client("ann").secured()
    await client.connect()
    asker = await Asker.make(client)
    await asker.items("ac_power", QueueSize=5)
    await asker.values()
    await client.uaclient.close_session(delete)
    client.disconnect_socket()
    stage.publish("ac_power", 8.0)
    async with stage.client("ann") as again:
        wanted = ua.TransferSubscriptionsParameters([asker.number], False)
        shown = {each.SubscriptionId: each.SessionId for each in await again.get_node(ROWS).read_value()}
        assert shown.get(asker.number) == (None if delete else ua.NodeId())
        results = await again.uaclient.transfer_subscriptions(wanted)
        assert names(each.StatusCode for each in results) == ["BadSubscriptionIdInvalid" if delete else "Good"]
        if not delete:
            assert await Asker(again, asker.number).values() == [8.0]


async def test_many_items_are_created_at_once_with_their_own_results(stage: Stage, asker: Asker) -> None:
    results = await asker.items(*(["ac_power", "nothing", "inverter_status"] * 400))
    assert [each.StatusCode.name for each in results[:3]] == ["Good", "BadNodeIdUnknown", "Good"]
    assert len({each.MonitoredItemId for each in results}) == 801
    assert len(await asker.values()) == 800
    stage.publish("ac_power", None, Status.BAD_SENSOR_FAILURE)
    assert await asker.values() == [None] * 400
