"""Subscriptions of a client, and sessions that lose it."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua

from address_space.model import Status
from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, Stage, serving, site_node, until

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
