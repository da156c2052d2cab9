"""What a subscription brings to a client that is not ours."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from tests.e2e.foreign_client import ForeignError
from tests.e2e.foreign_scene import METERED, Scene, foreign_scene, site_node, wire

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with foreign_scene(tmp_path_factory.mktemp("foreign")) as scene:
        yield scene


async def test_fifty_items_bring_their_changes(scene: Scene) -> None:
    devices = {device.id: device.model for device in scene.app.site.devices}
    paths = [f"{device}.{point.id}" for device in ("meter1", "xw1", "fc1") for point in devices[device].points][:48]
    paths += ["pumps.current", "plant.power"]
    made = await scene.foreign.do(
        "subscribe", name="observer", subscription="fifty", nodes=[site_node(path) for path in paths]
    )
    assert len(made["items"]) == 50
    assert {item["status"] for item in made["items"]} == {"Good"}
    changes = scene.foreign.changes("fifty")
    seen: dict[str, list[dict[str, Any]]] = {}
    async with asyncio.timeout(15):
        while (
            len(seen) < 50 or len(seen[site_node("meter1.frequency")]) < 10 or len(seen[site_node("plant.power")]) < 3
        ):
            change = await changes.get()
            seen.setdefault(change["node"], []).append(change)
    await scene.foreign.do("unsubscribe", name="observer", subscription="fifty")
    for node, told in seen.items():
        pairs = [(change["value"], change["status"]) for change in told]
        assert all(one != other for one, other in pairwise(pairs)), node
        times = [change["source"] for change in told if change["source"] is not None]
        assert times == sorted(times), node


async def test_subscription_goes_on_after_a_cut_connection(scene: Scene) -> None:
    async with wire(scene.app.site.server.listen.port) as (port, cut):
        way = scene.way("observer", url=f"opc.tcp://127.0.0.1:{port}", retries=20)
        await scene.foreign.do("connect", name="far", **way)
        before = await scene.foreign.do("happened", name="far")
        node = site_node(METERED)
        await scene.foreign.do("subscribe", name="far", subscription="far", nodes=[node], queue=200)
        changes = scene.foreign.changes("far")
        told = [await changes.get() for _ in range(5)]
        cut()
        async with asyncio.timeout(20):
            while (await scene.foreign.do("happened", name="far"))["reconnections"] < 1:
                await scene.read(METERED)
            told += [await changes.get() for _ in range(changes.qsize() + 20)]
        assert (await scene.foreign.do("happened", name="far"))["session"] == before["session"]
        await scene.foreign.do("disconnect", name="far")
    # The first one is the newest sample at that time, which need not be a change and so need not be recorded.
    whole = [each for each in await scene.recorded(1) if told[0]["source"] < each[0] <= told[-1]["source"]]
    assert [(change["source"], change["value"]) for change in told[1:]] == whole


# --- deadbands

STEPPED = (
    "xw1.battery_capacity"  # a setting in whole Ah with the range 0 to 10000: its steps are those that are written
)
NONE, ABSOLUTE, PERCENT = 0, 1, 2


def deadband(kind: int, value: float, trigger: int = 1) -> dict[str, Any]:
    """A DataChangeFilter; trigger 1 is StatusValue (OPC 10000-4 section 7.22.2)."""
    return {"$": "DataChangeFilter", "trigger": trigger, "deadbandType": kind, "deadbandValue": value}


class Watching:
    """A subscription with items by name, and what each of them has brought."""

    def __init__(self, scene: Scene, name: str, user: str) -> None:
        self.scene = scene
        self.name = name
        self.user = user
        self.told: dict[str, list[Any]] = {}

    @classmethod
    async def start(cls, scene: Scene, name: str, user: str = "observer") -> "Watching":
        watching = cls(scene, name, user)
        await scene.foreign.do("subscribe", name=user, subscription=name)
        return watching

    async def add(self, item: str, node: str, **how: Any) -> dict[str, Any]:
        self.told[item] = []
        made: dict[str, Any] = await self._do("watch", item=item, node=node, **how)
        return made

    async def until(self, item: str, value: Any) -> None:
        """Wait until an item says that its value is this one."""
        changes = self.scene.foreign.changes(self.name)
        async with asyncio.timeout(15):
            while not self.told[item] or self.told[item][-1] != value:
                change = await changes.get()
                self.told[change["item"]].append(change.get("fields", change.get("value")))

    async def trigger(self, item: str, **links: list[str]) -> dict[str, Any]:
        result: dict[str, Any] = await self._do("trigger", item=item, **links)
        return result

    async def end(self) -> None:
        await self._do("unsubscribe")

    async def _do(self, command: str, **given: Any) -> Any:
        return await self.scene.foreign.do(command, name=self.user, subscription=self.name, **given)


async def test_deadbands_let_through_what_moved_further(scene: Scene) -> None:
    assert await scene.write(STEPPED, 1000) == "Good"
    watching = await Watching.start(scene, "deadbands")
    filters = {
        "all": None,
        "absolute": deadband(ABSOLUTE, 25),
        "percent": deadband(PERCENT, 2.5),  # of the range of 10000: 250
        "nothing": deadband(NONE, 9999),
        "status": deadband(NONE, 0, trigger=0),
    }
    for name, filter_ in filters.items():
        made = await watching.add(name, site_node(STEPPED), filter=filter_, queue=20)
        assert made["status"] == "Good", name
    # Up in steps that are too small alone, to a deadband exactly, beyond it, back, and far.
    steps = [1010, 1020, 1025, 1026, 1001, 1000, 1250, 1251, 1000, 5000, 4750, 4749]
    for step in steps:
        assert await scene.write(STEPPED, step) == "Good"
        await watching.until("all", step)
    assert await scene.write(STEPPED, 9000) == "Good"  # far enough for all, so that nothing is on its way
    for name in ("all", "absolute", "percent", "nothing"):
        await watching.until(name, 9000)
    await watching.end()
    assert watching.told == {
        "all": [1000, *steps, 9000],
        "absolute": [1000, 1026, 1000, 1250, 1000, 5000, 4750, 9000],
        "percent": [1000, 1251, 1000, 5000, 4749, 9000],
        "nothing": [1000, *steps, 9000],
        "status": [1000],
    }


@pytest.mark.parametrize(
    ("node", "wanted", "status"),
    [
        (site_node("xw1.sell_enabled"), deadband(ABSOLUTE, 1), "BadFilterNotAllowed"),  # no number
        (site_node("xw1.Manufacturer"), deadband(ABSOLUTE, 1), "BadFilterNotAllowed"),
        ("i=2994", deadband(PERCENT, 1), "BadFilterNotAllowed"),  # Auditing: no number
        ("i=2267", deadband(PERCENT, 1), "BadFilterNotAllowed"),  # ServiceLevel: a number without a range
        (site_node(STEPPED), deadband(PERCENT, 100.5), "BadDeadbandFilterInvalid"),
        (site_node(STEPPED), deadband(PERCENT, -1), "BadDeadbandFilterInvalid"),
        (site_node(STEPPED), deadband(ABSOLUTE, -1), "BadDeadbandFilterInvalid"),
        (site_node(STEPPED), {"$": "EventFilter"}, "BadFilterNotAllowed"),
    ],
)
async def test_deadband_that_cannot_be_is_refused(scene: Scene, node: str, wanted: dict[str, Any], status: str) -> None:
    watching = await Watching.start(scene, "refused")
    with pytest.raises(ForeignError) as caught:
        await watching.add("item", node, filter=wanted)
    await watching.end()
    assert caught.value.status == status


# --- triggering

BREAKER, DELAY = "xw1.ac1_breaker", "xw1.low_battery_cut_out_delay"  # two settings


async def test_triggered_items_report_when_their_trigger_does(scene: Scene) -> None:
    for path, value in ((STEPPED, 100), (BREAKER, 40), (DELAY, 1)):
        assert await scene.write(path, value) == "Good"
    watching = await Watching.start(scene, "triggered")
    for name, path, mode in (
        ("trigger", BREAKER, "Reporting"),
        ("fence", DELAY, "Reporting"),
        ("sampled", STEPPED, "Sampling"),
        ("bystander", STEPPED, "Sampling"),
        ("disabled", STEPPED, "Disabled"),
    ):
        assert (await watching.add(name, site_node(path), mode=mode))["status"] == "Good"
    await watching.until("trigger", 40)
    await watching.until("fence", 1)
    result = await watching.trigger("trigger", add=["sampled", "disabled"])
    assert result == {"added": ["Good", "Good"], "removed": []}

    async def step(value: int, *, breaker: float, delay: float) -> None:
        assert await scene.write(STEPPED, value) == "Good"
        if watching.told["trigger"][-1] != breaker:
            assert await scene.write(BREAKER, breaker) == "Good"
            await watching.until("trigger", breaker)
        assert await scene.write(DELAY, delay) == "Good"
        await watching.until("fence", delay)  # what was to be reported before it has been

    await step(110, breaker=40, delay=2)  # nothing triggers
    assert watching.told["sampled"] == []
    await step(120, breaker=41, delay=3)
    # Its queue is reported: what it was when the item was made, and what it became since.
    assert watching.told["sampled"] == [100, 110, 120]
    await step(120, breaker=42, delay=4)  # triggered, but nothing new
    assert watching.told["sampled"] == [100, 110, 120]
    await step(130, breaker=43, delay=5)
    assert watching.told["sampled"] == [100, 110, 120, 130]
    assert (await watching.trigger("trigger", remove=["sampled"]))["removed"] == ["Good"]
    await step(140, breaker=44, delay=6)
    assert watching.told["sampled"] == [100, 110, 120, 130]
    assert (watching.told["bystander"], watching.told["disabled"]) == ([], [])
    await watching.end()


async def test_links_that_cannot_be_are_refused(scene: Scene) -> None:
    started = await scene.foreign.do("subscribe", name="observer", subscription="links")
    one = await scene.foreign.do("watch", name="observer", subscription="links", item="one", node=site_node(BREAKER))

    async def link(item: int, **links: Any) -> dict[str, Any]:
        return await scene.ask("SetTriggering", subscriptionId=started["id"], triggeringItemId=item, **links)

    given = await link(one["id"], linksToAdd=[one["id"] + 1000], linksToRemove=[one["id"]])
    assert (given["addResults"], given["removeResults"]) == (["BadMonitoredItemIdInvalid"],) * 2
    for subscription, item, links, status in (
        (started["id"], one["id"], [], "BadNothingToDo"),
        (started["id"], one["id"] + 1000, [one["id"]], "BadMonitoredItemIdInvalid"),
        (started["id"] + 1000, one["id"], [one["id"]], "BadSubscriptionIdInvalid"),
    ):
        wanted = {"subscriptionId": subscription, "triggeringItemId": item, "linksToAdd": links}
        assert await scene.fault("SetTriggering", **wanted) == status
    await scene.foreign.do("unsubscribe", name="observer", subscription="links")


# --- republish and transfer: a subscription that the library does not publish for


@dataclass
class Bare:
    """A subscription with one item; its messages are fetched and acknowledged by hand."""

    scene: Scene
    id: int
    user: str

    @classmethod
    async def start(cls, scene: Scene, path: str, user: str = "observer") -> "Bare":
        made = await scene.ask(
            "CreateSubscription",
            user,
            requestedPublishingInterval=50,
            requestedLifetimeCount=1000,
            requestedMaxKeepAliveCount=100,
            publishingEnabled=True,
        )
        bare = cls(scene, made["subscriptionId"], user)
        item = {
            "itemToMonitor": {"nodeId": site_node(path), "attributeId": 13},
            "monitoringMode": 2,
            "requestedParameters": {"clientHandle": 7, "samplingInterval": 0, "queueSize": 10},
        }
        items = await scene.ask(
            "CreateMonitoredItems", user, subscriptionId=bare.id, timestampsToReturn="Both", itemsToCreate=[item]
        )
        assert items["results"][0]["statusCode"] == "Good"
        return bare

    async def publish(self, *acknowledged: int) -> dict[str, Any]:
        numbers = [{"subscriptionId": self.id, "sequenceNumber": number} for number in acknowledged]
        return await self.scene.ask("Publish", self.user, subscriptionAcknowledgements=numbers)

    async def again(self, number: int) -> dict[str, Any]:
        wanted = {"subscriptionId": self.id, "retransmitSequenceNumber": number}
        return await self.scene.ask("Republish", self.user, **wanted)

    async def delete(self) -> str:
        given = await self.scene.ask("DeleteSubscriptions", self.user, subscriptionIds=[self.id])
        status: str = given["results"][0]
        return status


def values(message: dict[str, Any]) -> list[Any]:
    """What a NotificationMessage reports."""
    (data,) = message["notificationData"]
    return [item["value"]["value"] for item in data["monitoredItems"]]


async def test_lost_message_is_sent_again_until_it_is_acknowledged(scene: Scene) -> None:
    assert await scene.write(STEPPED, 300) == "Good"
    bare = await Bare.start(scene, STEPPED)
    first = await bare.publish()
    number = first["notificationMessage"]["sequenceNumber"]
    assert (values(first["notificationMessage"]), first["availableSequenceNumbers"]) == ([300], [number])
    assert await scene.write(STEPPED, 310) == "Good"
    second = await bare.publish()  # nothing was acknowledged, as if the first had been lost
    assert values(second["notificationMessage"]) == [310]
    assert second["availableSequenceNumbers"] == [number, number + 1]
    for message in (first, second):
        again = await bare.again(message["notificationMessage"]["sequenceNumber"])
        assert again["notificationMessage"] == message["notificationMessage"]
    assert await scene.write(STEPPED, 320) == "Good"
    third = await bare.publish(number, number + 99)
    assert third["results"] == ["Good", "BadSequenceNumberUnknown"]
    assert third["availableSequenceNumbers"] == [number + 1, number + 2]
    for gone in (number, number + 99):
        with pytest.raises(ForeignError, match="BadMessageNotAvailable"):
            await bare.again(gone)
    assert values((await bare.again(number + 1))["notificationMessage"]) == [310]
    assert await bare.delete() == "Good"
    with pytest.raises(ForeignError, match="BadSubscriptionIdInvalid"):
        await bare.again(number + 1)


async def transfer(scene: Scene, to: str, subscription: int, *, initial: bool = True) -> tuple[str, list[int]]:
    """Status and the messages that can be fetched again."""
    wanted = {"subscriptionIds": [subscription], "sendInitialValues": initial}
    (result,) = (await scene.ask("TransferSubscriptions", to, **wanted))["results"]
    return result["statusCode"], result["availableSequenceNumbers"]


async def test_another_user_gets_no_subscription(scene: Scene) -> None:
    bare = await Bare.start(scene, STEPPED)
    number = (await bare.publish())["notificationMessage"]["sequenceNumber"]
    for stranger in ("operator", "keeper"):
        assert await transfer(scene, stranger, bare.id) == ("BadUserAccessDenied", [])
        wanted = {"subscriptionId": bare.id, "retransmitSequenceNumber": number}
        assert await scene.fault("Republish", stranger, **wanted) == "BadSubscriptionIdInvalid"
    assert await transfer(scene, "observer", bare.id + 1000) == ("BadSubscriptionIdInvalid", [])
    assert values((await bare.again(number))["notificationMessage"])  # still its owner's
    assert await bare.delete() == "Good"


async def test_same_user_takes_a_subscription_along_with_the_values(scene: Scene) -> None:
    assert await scene.write(STEPPED, 400) == "Good"
    bare = await Bare.start(scene, STEPPED)
    number = (await bare.publish())["notificationMessage"]["sequenceNumber"]
    waiting = asyncio.create_task(bare.publish())
    other = Bare(scene, bare.id, "quiet")  # the same user in another session
    assert await transfer(scene, "quiet", bare.id) == ("Good", [number])
    # Its old session is told, and owns it no longer.
    told = await waiting
    (ended,) = told["notificationMessage"]["notificationData"]
    assert (told["subscriptionId"], ended["structure"]) == (bare.id, "StatusChangeNotification")
    assert ended["status"] == "GoodSubscriptionTransferred"
    assert await bare.delete() == "BadSubscriptionIdInvalid"
    # The new one gets what it never saw, and the value of every item though it has not changed.
    assert values((await other.again(number))["notificationMessage"]) == [400]
    assert values((await other.publish(number))["notificationMessage"]) == [400]
    assert await transfer(scene, "quiet", bare.id, initial=False) == ("Good", [number + 1])
    assert await scene.write(STEPPED, 410) == "Good"
    assert values((await other.publish(number + 1))["notificationMessage"]) == [410]
    assert await other.delete() == "Good"


async def subscriptions(scene: Scene) -> int:
    """CurrentSubscriptionCount of the server."""
    ((count),) = await scene.foreign.do("read", name="observer", nodes=["i=2285"])
    number: int = count["value"]
    return number


async def test_subscription_that_was_left_behind_is_counted_and_taken_over(scene: Scene) -> None:
    assert await scene.write(STEPPED, 500) == "Good"
    at_first = await subscriptions(scene)
    await scene.foreign.do("connect", name="leaver", **scene.way("observer"))
    bare = await Bare.start(scene, STEPPED, "leaver")
    number = (await bare.publish())["notificationMessage"]["sequenceNumber"]
    await scene.foreign.do("disconnect", name="leaver", keep=True)
    assert await subscriptions(scene) == at_first + 1
    assert await scene.write(STEPPED, 510) == "Good"
    other = Bare(scene, bare.id, "observer")
    assert await transfer(scene, "operator", bare.id) == ("BadUserAccessDenied", [])
    status, available = await transfer(scene, "observer", bare.id, initial=False)
    assert (status, number in available) == ("Good", True)
    assert values((await other.publish(number))["notificationMessage"]) == [510]
    assert await subscriptions(scene) == at_first + 1
    assert await other.delete() == "Good"
    assert await subscriptions(scene) == at_first


async def test_same_user_of_another_application_gets_no_subscription(scene: Scene) -> None:
    way = scene.way("observer", keys="stranger")
    await scene.foreign.do("trust_server", **way)
    certificate = scene.folder / "stranger/own/certs/client_certificate.pem"
    scene.app.pki.trust.add(certificate.read_bytes())
    await scene.foreign.do("connect", name="stranger", **way)
    bare = await Bare.start(scene, STEPPED)
    assert await transfer(scene, "stranger", bare.id) == ("BadUserAccessDenied", [])
    assert await bare.delete() == "Good"
    await scene.foreign.do("disconnect", name="stranger")
