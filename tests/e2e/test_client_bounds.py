"""How much one client gets, each bound as the client or the site has set it; what was counted meanwhile is shown."""

from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua

from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving, site_node
from tests.e2e.test_subscriptions import Asker, ask

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

LIMITS = Limits(items_per_subscription=3, items_per_session=4, sampling_min_ms=200.0, sampling_max_ms=5_000.0)
OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)
ROWS = ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_SubscriptionDiagnosticsArray)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    async with serving(tmp_path_factory.mktemp("server"), keys, OPEN, LIMITS) as stage:
        yield stage


async def shown(client: Client, name: str) -> Any:
    return await client.get_node(ua.NodeId(getattr(ua.ObjectIds, f"Server_ServerCapabilities_{name}"))).read_value()


@pytest.mark.parametrize("attribute", [ua.AttributeIds.Value, ua.AttributeIds.DisplayName], ids=["fast", "ordinary"])
async def test_a_response_is_not_larger_than_the_session_takes(stage: Stage, attribute: ua.AttributeIds) -> None:
    raw = await RawClient.connect(stage.server.port)
    try:
        await raw.open()
        create = ua.CreateSessionRequest()
        create.Parameters.MaxResponseMessageSize = 8_192
        token = (await raw.ask(create)).Parameters.AuthenticationToken
        await raw.ask(ua.ActivateSessionRequest(), token)
        read = ua.ReadRequest()
        read.Parameters.NodesToRead = [ua.ReadValueId(site_node("xw1.ac_power"), attribute)] * 1_000
        assert await raw.fault(read, token) == "BadResponseTooLarge"
        read.Parameters.NodesToRead = read.Parameters.NodesToRead[:20]
        assert len((await raw.ask(read, token)).Results) == 20
    finally:
        await raw.close()


async def test_a_session_whose_name_is_no_text_harms_nobody(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    try:
        await raw.open()
        create = ua.CreateSessionRequest()
        create.Parameters.SessionName = "\udcff\udcfe"
        create.Parameters.EndpointUrl = "opc.tcp://\udcff:4840"
        token = (await raw.ask(create)).Parameters.AuthenticationToken
        await raw.ask(ua.ActivateSessionRequest(), token)
        summary = ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary)
        async with stage.client("ada") as client:
            for node in await client.get_node(summary).get_children():
                await node.read_display_name()
                for child in await node.get_children():
                    if await child.read_node_class() is ua.NodeClass.Variable:
                        await child.read_value()
    finally:
        await raw.close()


async def test_items_are_bounded_for_a_subscription_and_for_a_session(stage: Stage) -> None:
    async with stage.client("ann") as client:
        first, second = await Asker.make(client), await Asker.make(client)
        made = [each.StatusCode.name for each in await first.items(*["ac_power"] * 4)]
        assert made == ["Good"] * 3 + ["BadTooManyMonitoredItems"]
        made = [each.StatusCode.name for each in await second.items(*["ac_power"] * 3)]
        assert made == ["Good"] + ["BadTooManyMonitoredItems"] * 2
        assert await shown(client, "MaxMonitoredItemsPerSubscription") == 3
        assert await shown(client, "MaxMonitoredItems") == LIMITS.sessions * 4


async def test_sampling_intervals_are_brought_to_their_own_bounds(stage: Stage) -> None:
    async with stage.client("ann") as client:
        asker = await Asker.make(client, 1_000.0)
        for asked, given in ((10.0, 200.0), (0.0, 0.0), (-1.0, 1_000.0), (1e9, 5_000.0)):
            (item,) = await asker.items("ac_power", SamplingInterval=asked)
            assert item.RevisedSamplingInterval == given, asked
            modify = ua.ModifyMonitoredItemsParameters(asker.number, ua.TimestampsToReturn.Both)
            wanted = ua.MonitoringParameters(1, asked, None, 1, True)
            modify.ItemsToModify = [ua.MonitoredItemModifyRequest(item.MonitoredItemId, wanted)]
            (changed,) = await client.uaclient.modify_monitored_items(modify)
            assert changed.RevisedSamplingInterval == given, asked
            await client.uaclient.delete_monitored_items(
                ua.DeleteMonitoredItemsParameters(asker.number, [item.MonitoredItemId])
            )
        assert await shown(client, "MinSupportedSampleRate") == 200.0


async def row(client: Client, number: int) -> Any:
    return next(each for each in await client.get_node(ROWS).read_value() if each.SubscriptionId == number)


async def test_what_happens_to_a_subscription_is_counted(stage: Stage) -> None:
    async with stage.client("ann") as client, stage.client("ann") as other:
        asker = await Asker.make(client, 100.0)
        await asker.items("ac_power", QueueSize=2)
        message = (await asker.publish()).NotificationMessage
        for value in range(5):
            stage.publish("ac_power", float(value))
        await asker.values()
        again = ua.RepublishRequest()
        again.Parameters = ua.RepublishParameters(asker.number, message.SequenceNumber)
        await ask(client, again, ua.RepublishResponse)
        again.Parameters.RetransmitSequenceNumber = 1_000
        with pytest.raises(ua.UaStatusCodeError):
            await ask(client, again, ua.RepublishResponse)
        move = ua.TransferSubscriptionsRequest()
        move.Parameters = ua.TransferSubscriptionsParameters([asker.number], False)
        await ask(other, move, ua.TransferSubscriptionsResponse)
        counts = await row(other, asker.number)
        assert counts.MonitoringQueueOverflowCount == 3
        assert (counts.RepublishRequestCount, counts.RepublishMessageCount) == (2, 1)
        assert (counts.TransferRequestCount, counts.TransferredToSameClientCount) == (1, 1)
        assert counts.TransferredToAltClientCount == 0
        assert counts.NotificationsCount == counts.DataChangeNotificationsCount == 3
        assert counts.LatePublishRequestCount >= 1


async def test_an_item_shows_nothing_to_a_user_who_may_not_read_it(tmp_path: Path, keys: Keys) -> None:
    secret = ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)
    async with serving(tmp_path, keys) as stage, stage.client("ada") as client:
        asker = await Asker.make(client)
        wanted = ua.CreateMonitoredItemsParameters(asker.number, ua.TimestampsToReturn.Both)
        item = ua.MonitoringParameters(1, 0.0, None, 1, True)
        wanted.ItemsToCreate = [ua.MonitoredItemCreateRequest(ua.ReadValueId(secret, ua.AttributeIds.Value), 2, item)]
        (made,) = await client.uaclient.create_monitored_items(wanted)
        assert made.StatusCode.is_good()
        (value,) = await asker.values()
        assert value
        await client.activate_session(username="ann", password="observer-pass")
        message = await asker.publish()
        (change,) = message.NotificationMessage.NotificationData[0].MonitoredItems
        assert change.Value.StatusCode.name == "BadUserAccessDenied"
        assert change.Value.Value is None or change.Value.Value.Value is None
        (refused,) = await client.uaclient.create_monitored_items(wanted)
        assert refused.StatusCode.name == "BadUserAccessDenied"


async def test_what_all_clients_together_have_is_bounded(tmp_path: Path, keys: Keys) -> None:
    limits = Limits(subscriptions=3, items=5, queue_size=4, queued_values=8, queued_per_subscription=4)
    async with serving(tmp_path, keys, OPEN, limits) as stage, stage.client("ann") as ann, stage.client("bob") as bob:
        first, second, third = await Asker.make(ann), await Asker.make(ann), await Asker.make(bob)
        assert await shown(ann, "MaxSubscriptions") == 3
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await Asker.make(bob)
        assert caught.value.code == ua.StatusCodes.BadTooManySubscriptions
        # Four values may wait beside the one that each item has: in a subscription, then in all of them.
        assert [each.RevisedQueueSize for each in await first.items("ac_power", "ac_power", QueueSize=9)] == [4, 2]
        assert [each.RevisedQueueSize for each in await second.items("ac_power", QueueSize=3)] == [3]
        (item,) = await third.items("ac_power", QueueSize=9)
        assert item.RevisedQueueSize == 3
        made = await third.items("ac_power", "ac_power")
        assert [each.StatusCode.name for each in made] == ["Good", "BadTooManyMonitoredItems"]
        assert await shown(ann, "MaxMonitoredItems") == 5
        # What goes makes room, and a queue that is changed keeps its own places.
        await ann.uaclient.delete_subscriptions([first.number])
        for asked, given in ((9, 4), (2, 2), (3, 3)):
            modify = ua.ModifyMonitoredItemsParameters(third.number, ua.TimestampsToReturn.Both)
            wanted = ua.MonitoringParameters(1, 100.0, None, asked, True)
            modify.ItemsToModify = [ua.MonitoredItemModifyRequest(item.MonitoredItemId, wanted)]
            (changed,) = await bob.uaclient.modify_monitored_items(modify)
            assert changed.RevisedQueueSize == given
        await Asker.make(bob)


async def test_a_subscription_whose_client_is_gone_makes_room(tmp_path: Path, keys: Keys) -> None:
    async with serving(tmp_path, keys, OPEN, Limits(subscriptions=1)) as stage, stage.client("bob") as bob:
        ann = await stage.client("ann").secured()
        await ann.connect()
        await Asker.make(ann)
        with pytest.raises(ua.UaStatusCodeError):
            await Asker.make(bob)
        await ann.uaclient.close_session(False)
        ann.disconnect_socket()
        await Asker.make(bob)


async def test_no_session_takes_over_more_items_than_it_may_have(tmp_path: Path, keys: Keys) -> None:
    limits = Limits(items_per_session=3)
    async with serving(tmp_path, keys, OPEN, limits) as stage, stage.client("ann") as ann, stage.client("ann") as other:
        theirs, own = await Asker.make(ann), await Asker.make(other)
        await theirs.items("ac_power", "ac_power")
        items = await own.items("ac_power", "ac_power")
        wanted = ua.TransferSubscriptionsParameters([theirs.number], False)
        (result,) = await other.uaclient.transfer_subscriptions(wanted)
        assert result.StatusCode.name == "BadTooManyMonitoredItems"
        gone = ua.DeleteMonitoredItemsParameters(own.number, [items[0].MonitoredItemId])
        await other.uaclient.delete_monitored_items(gone)
        (result,) = await other.uaclient.transfer_subscriptions(wanted)
        assert result.StatusCode.is_good()
