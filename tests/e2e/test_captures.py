"""Every service of a client that is not ours, on the wire, as tshark's OPC UA dissector understands it."""

import asyncio
import struct
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.foreign_capture import Complaint, capturing
from tests.e2e.foreign_scene import METERED, Scene, foreign_scene, site_node, wire
from tests.tools import require_tool

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

NONE = {"policy": "None", "mode": "None"}
SIGN = {"policy": "Basic256Sha256", "mode": "Sign"}  # what is only signed can be read by everybody
SERVICES = (
    *("FindServers", "GetEndpoints", "OpenSecureChannel", "CreateSession", "ActivateSession", "CloseSession", "Cancel"),
    *("Browse", "BrowseNext", "TranslateBrowsePathsToNodeIds", "RegisterNodes", "UnregisterNodes"),
    *("Read", "Write", "HistoryRead", "HistoryUpdate", "Call"),
    *("CreateMonitoredItems", "ModifyMonitoredItems", "SetMonitoringMode", "SetTriggering", "DeleteMonitoredItems"),
    *("CreateSubscription", "ModifySubscription", "SetPublishingMode", "DeleteSubscriptions"),
    *("Publish", "Republish", "TransferSubscriptions"),
)
NOT_OFFERED = ("QueryFirst", "AddNodes")  # a ServiceFault answers these
STRUCTURES = ("Range", "EUInformation", "Argument", "DataChangeNotification", "EventNotificationList")
READ = (  # values of many types
    *("i=2255", "i=2256", "i=2261", "i=2267", "i=2275", "i=2994", "i=2992", "i=11702", "i=12885"),
    *map(site_node, ("xw1.ac_power", "xw1.ac_power.EURange", "xw1.ac_power.EngineeringUnits", "xw1.sell_enabled")),
    *map(site_node, ("xw1.inverter_status.EnumValues", "xw1.inverter_status", "xw1.Manufacturer", "xw1.last_answer")),
    *map(site_node, ("xw1.SetLoadShave.InputArguments", "fc1.state", "pumps.current", "xw1.nothing")),
)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    require_tool("tshark")
    async with foreign_scene(tmp_path_factory.mktemp("captures"), anonymous=True) as scene:
        yield scene


class Tour:
    """A session of its own that uses every service there is."""

    def __init__(self, scene: Scene, way: dict[str, Any]) -> None:
        self.scene = scene
        self.way = way

    async def do(self, command: str, **given: Any) -> Any:
        return await self.scene.foreign.do(command, name="tour", **given)

    async def ask(self, service: str, **members: Any) -> dict[str, Any]:
        return await self.scene.ask(service, "tour", **members)

    async def go(self) -> None:
        await self.do("connect", **self.way)
        await self.look_around()
        await self.use_values()
        await self.use_history()
        await self.use_subscription()
        await self.move_subscription()
        for service in NOT_OFFERED:
            assert await self.scene.fault(service, "tour") == "BadServiceUnsupported"
        await self.do("disconnect")

    async def look_around(self) -> None:
        await self.ask("FindServers", endpointUrl=self.way["url"])
        await self.ask("GetEndpoints", endpointUrl=self.way["url"])
        await self.do("browse", nodes=["i=84", "i=85", "i=2253", site_node("xw1")], most=5)
        await self.do("translate", start=site_node("xw1"), paths=["/2:ParameterSet/3:AcPower", "/2:Nothing"])
        await self.ask("RegisterNodes", nodesToRegister=[site_node("xw1.ac_power")])
        await self.ask("UnregisterNodes", nodesToUnregister=[site_node("xw1.ac_power")])
        await self.ask("Cancel", requestHandle=1)

    async def use_values(self) -> None:
        await self.do("read", nodes=READ)
        await self.do("read_all", nodes=["i=2253", "i=2041", "i=33", "i=85", site_node("xw1.ac_power"), "i=87"])
        await self.do("write", node=site_node("xw1.battery_capacity"), type="Double", value=5000)
        inputs = [["Boolean", True], ["Double", 99]]
        await self.do("call", object=site_node("xw1"), method=site_node("xw1.SetLoadShave"), inputs=inputs)

    async def use_history(self) -> None:
        whole = await self.scene.recorded(20)
        found = await self.do("history", node=site_node(METERED), start=0, end=None, page=5, pages_at_most=3)
        assert found["released"] == "Good"
        first, last = ({"$": "Date", "ms": whole[index][0]} for index in (0, -1))
        span = {"startTime": first, "endTime": last}
        mean = {"processingInterval": 500, "aggregateType": ["i=2342"]}
        for details in (
            {"$": "ReadProcessedDetails", **span, **mean},
            {"$": "ReadAtTimeDetails", "reqTimes": [first, last]},
        ):
            item = {"nodeId": site_node(METERED)}
            await self.ask("HistoryRead", historyReadDetails=details, timestampsToReturn="Both", nodesToRead=[item])
        value = {
            "$": "DataValue",
            "value": {"$": "Variant", "type": "Double", "value": 50},
            "sourceTimestamp": {"$": "Date", "ms": whole[0][0] - 60_000},
        }
        insert = {"performInsertReplace": "Insert", "updateValues": [value]}
        details = {"$": "UpdateDataDetails", "nodeId": site_node(METERED), **insert}
        await self.ask("HistoryUpdate", historyUpdateDetails=[details])

    async def use_subscription(self) -> None:
        made = await self.do("subscribe", subscription="tour", publishing_ms=50)
        parameters = {"clientHandle": 9, "samplingInterval": 100, "queueSize": 5}
        first, *_ = [
            await self.do("watch", subscription="tour", item=node, node=site_node(node))
            for node in (METERED, "xw1.ac_power")
        ]
        await self.do("trigger", subscription="tour", item=METERED, add=["xw1.ac_power"])
        await self.do("set_mode", subscription="tour", item="xw1.ac_power", mode="Sampling")
        events = {"fields": ["EventType", "Message", "Severity"], "of_type": "i=2041"}
        await self.do("watch", subscription="tour", item="events", node="i=2253", events=events)
        refresh = {"object": "i=2782", "method": "i=3875", "inputs": [["UInt32", made["id"]]]}  # brings two events
        await self.do("call", **refresh)
        changes = self.scene.foreign.changes("tour")
        wanted = {METERED, "events"}
        async with asyncio.timeout(15):
            while wanted:
                wanted.discard((await changes.get())["item"])
        await self.ask(
            "ModifyMonitoredItems",
            subscriptionId=made["id"],
            timestampsToReturn="Both",
            itemsToModify=[{"monitoredItemId": first["id"], "requestedParameters": parameters}],
        )
        await self.ask("DeleteMonitoredItems", subscriptionId=made["id"], monitoredItemIds=[first["id"]])
        await self.do("unsubscribe", subscription="tour")
        while not changes.empty():
            changes.get_nowait()

    async def move_subscription(self) -> None:
        rhythm = {"requestedPublishingInterval": 50, "requestedLifetimeCount": 1000, "requestedMaxKeepAliveCount": 10}
        made = await self.ask("CreateSubscription", publishingEnabled=True, **rhythm)
        one = made["subscriptionId"]
        await self.ask("ModifySubscription", subscriptionId=one, **rhythm)
        await self.ask("SetPublishingMode", publishingEnabled=True, subscriptionIds=[one])
        item = {
            "itemToMonitor": {"nodeId": site_node("xw1.ac_power"), "attributeId": 13},
            "monitoringMode": 2,
            "requestedParameters": {"clientHandle": 7, "samplingInterval": 0, "queueSize": 10},
        }
        await self.ask("CreateMonitoredItems", subscriptionId=one, timestampsToReturn="Both", itemsToCreate=[item])
        number = (await self.ask("Publish"))["notificationMessage"]["sequenceNumber"]
        await self.ask("Republish", subscriptionId=one, retransmitSequenceNumber=number)
        await self.ask("TransferSubscriptions", subscriptionIds=[one], sendInitialValues=True)
        await self.ask("Publish", subscriptionAcknowledgements=[{"subscriptionId": one, "sequenceNumber": number}])
        await self.ask("DeleteSubscriptions", subscriptionIds=[one])


def is_false_alarm(complaint: Complaint) -> bool:
    """The one that tshark 4.0 is known for: it takes the Int64 of an EnumValueType for a Float of eight bytes."""
    known = ("Trying to fetch a single-precision floating point number with length 8", "Malformed Packet")
    return complaint.path[-1:] == ("EnumValueType: EnumValueType",) and complaint.text in known


@pytest.mark.parametrize(("channel", "user"), [(NONE, None), (SIGN, "engineer")], ids=["None", "Sign"])
async def test_every_service_is_decoded_and_nothing_is_malformed(
    scene: Scene, tmp_path: Path, channel: dict[str, str], user: str | None
) -> None:
    async with (
        # A port of its own, so that the other connections of the scene are not in it.
        wire(scene.app.site.server.listen.port) as (port, _cut),
        capturing(tmp_path / "tour.pcapng", port) as capture,
    ):
        await Tour(scene, scene.way(user, url=f"opc.tcp://127.0.0.1:{port}", **channel)).go()
    messages, complaints = await capture.decode()
    readable = [message for message in messages if not message.secret and message.kind in ("OPN", "MSG", "CLO")]
    assert [message for message in readable if not message.service or message.chunk != "F"] == []
    assert [complaint for complaint in complaints if not is_false_alarm(complaint)] == []
    found = {message.service for message in readable}
    wanted = {f"{service}{side}" for service in SERVICES for side in ("Request", "Response")}
    wanted |= {"CloseSecureChannelRequest", "ServiceFault"} | {f"{service}Request" for service in NOT_OFFERED}
    assert found == wanted
    # What has gone over the channel that was asked for, not over the one that asks for the endpoints before.
    policies = {message.tree["opcua.security.spu"].partition("#")[2] for message in messages if message.kind == "OPN"}
    assert channel["policy"] in policies
    text = {name for message in readable for name in names(message.tree)}
    assert {name for name in STRUCTURES if name not in text} == set()


async def test_what_is_malformed_is_found(scene: Scene, tmp_path: Path) -> None:
    url = b"opc.tcp://127.0.0.1"
    body = struct.pack("<5Ii", 0, 65536, 65536, 0, 0, len(url) + 9) + url  # the text ends before its length
    async with (
        wire(scene.app.site.server.listen.port) as (port, _cut),
        capturing(tmp_path / "bad.pcapng", port) as capture,
    ):
        reader, writer = await asyncio.open_connection("127.0.0.1", port)
        writer.write(b"HELF" + struct.pack("<I", len(body) + 8) + body)
        answer = await reader.read()
        writer.close()
        await writer.wait_closed()
    messages, complaints = await capture.decode()
    assert answer.startswith(b"ERRF")
    assert [message.kind for message in messages] == ["HEL", "ERR"]
    assert [complaint.frame for complaint in complaints if not is_false_alarm(complaint)] == [messages[0].frame]


def names(tree: Any) -> set[str]:
    """Names of all structures in a message."""
    if isinstance(tree, list):
        return set().union(*map(names, tree))
    if not isinstance(tree, dict):
        return set()
    return {name.rpartition(": ")[2] for name in tree}.union(*map(names, tree.values()))
