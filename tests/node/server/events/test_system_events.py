"""Events of connections, journal and sinks: what is told, how bad it is, and how often."""

import asyncio
from typing import Any

import pytest
from asyncua import ua

from address_space.image import ProcessImage
from address_space.model import Batch, Device, Status, Value
from address_space.shape import HAS_SUBTYPE, NS_SITE, node_id
from address_space.system import bus_model, node_model, sink_model
from node.server.events.event import Event
from node.server.events.events import SERVER, Events, field
from node.server.events.system_events import FAILURE, LOOK_S, REPEAT_S, SYSTEM, SystemEvents
from tests.fake_clock import FakeClock


class StandInNode:
    def __init__(self, *references: ua.ReferenceDescription) -> None:
        self.references = references


def below(parent: ua.NodeId) -> StandInNode:
    return StandInNode(ua.ReferenceDescription(HAS_SUBTYPE, False, parent, BrowseName=ua.QualifiedName("", 0)))


BASE = node_id(ua.ObjectIds.BaseEventType)
NODES: dict[ua.NodeId, Any] = {BASE: StandInNode(), SYSTEM: below(BASE), FAILURE: below(SYSTEM)}


class Plant:
    def __init__(self) -> None:
        self.clock = FakeClock()
        devices = [Device("gw1", bus_model(), label="Gateway"), Device("node", node_model(), label="gridnode")]
        self.image = ProcessImage([*devices, Device("central", sink_model())], self.clock)
        events = Events(NODES, self.clock)
        self.heard: list[Event] = []
        events.listen(SERVER, self.heard.append)
        self.watcher = SystemEvents(self.image, events, self.clock)

    def show(self, device: str, **values: Value) -> None:
        slots = [self.image.slot(device, point) for point in values]
        good = [int(Status.GOOD)] * len(slots)
        self.image.publish(Batch(slots, list(values.values()), good, self.clock.now()))

    def told(self) -> list[tuple[str, str, int]]:
        """Kind, message and severity of the events since the last call."""
        self.watcher.look()
        kinds = {FAILURE: "failure", SYSTEM: "system"}
        found = [(kinds[e.line[0]], value(e, "Message").Text, value(e, "Severity")) for e in self.heard]
        self.heard.clear()
        return found


def value(event: Event, name: str) -> Any:
    return event.fields[field(name)].Value


@pytest.fixture
def plant() -> Plant:
    return Plant()


async def test_a_bus_that_goes_away_is_a_failure_with_its_reason(plant: Plant) -> None:
    plant.show("gw1", connection=1)
    assert plant.told() == []
    plant.show("gw1", last_error="no route to host", connection=3)
    assert plant.told() == [("failure", "Gateway: Connection: Offline (no route to host)", 800)]


async def test_the_event_is_that_of_the_device_and_of_the_time_of_the_change(plant: Plant) -> None:
    plant.show("gw1", connection=3)
    changed = plant.clock.now()
    await plant.clock.advance(0.9)
    plant.watcher.look()
    (event,) = plant.heard
    assert value(event, "SourceNode") == node_id("gw1", NS_SITE)
    assert value(event, "SourceName") == "Gateway"
    assert value(event, "Time") < value(event, "ReceiveTime")
    assert plant.clock.now() > changed


async def test_trouble_is_told_once_and_its_end_too(plant: Plant) -> None:
    plant.show("gw1", connection=3)
    assert len(plant.told()) == 1
    plant.show("gw1", connection=3, failures=7)
    plant.show("gw1", connection=2)
    assert plant.told() == []
    plant.show("gw1", connection=1)
    assert plant.told() == [("system", "Gateway: Connection: Online", 100)]
    plant.show("gw1", connection=1)
    assert plant.told() == []


async def test_the_first_answer_is_no_recovery(plant: Plant) -> None:
    plant.show("gw1", connection=1)
    plant.show("node", journal_state=1)
    assert plant.told() == []


async def test_a_journal_that_fails_is_told_with_why(plant: Plant) -> None:
    plant.show("node", journal_state=2, journal_error="disk full")
    assert plant.told() == [("failure", "gridnode: Journal state: Failing (disk full)", 800)]


async def test_one_trouble_after_another_is_two_events(plant: Plant) -> None:
    plant.show("central", sink_state=3)
    assert plant.told() == [("failure", "central: State: Retrying", 500)]
    plant.show("central", sink_state=4, last_error="401")
    assert plant.told() == [("failure", "central: State: Misconfigured (401)", 800)]
    plant.show("central", sink_state=1)
    assert plant.told() == [("system", "central: State: Forwarding", 100)]


async def test_losses_are_told_at_once_and_then_added_up_for_a_minute(plant: Plant) -> None:
    plant.show("node", journal_lost=0)
    assert plant.told() == []
    plant.show("node", journal_lost=3)
    assert plant.told() == [("system", "gridnode: Journal samples lost: 3 more, 3 since the start", 800)]
    plant.show("node", journal_lost=5)
    plant.show("node", journal_lost=9)
    assert plant.told() == []
    await plant.clock.advance(REPEAT_S)
    assert plant.told() == [("system", "gridnode: Journal samples lost: 6 more, 9 since the start", 800)]
    await plant.clock.advance(REPEAT_S)
    assert plant.told() == []


async def test_what_was_so_before_the_server_is_known_and_its_end_is_told(plant: Plant) -> None:
    plant.show("gw1", connection=3)
    events = Events(NODES, plant.clock)
    heard: list[Event] = []
    events.listen(SERVER, heard.append)
    watcher = SystemEvents(plant.image, events, plant.clock)
    watcher.look()
    assert heard == []
    plant.show("gw1", connection=1)
    watcher.look()
    assert [value(event, "Message").Text for event in heard] == ["Gateway: Connection: Online"]


async def test_it_looks_by_itself_until_it_is_ended(plant: Plant) -> None:
    task = asyncio.create_task(plant.watcher.run())
    await plant.clock.advance(0)
    plant.show("gw1", connection=3)
    await plant.clock.advance(LOOK_S)
    assert len(plant.heard) == 1
    task.cancel()
    await asyncio.wait([task])
    plant.show("gw1", connection=1)
    assert plant.watcher._watch.take() == []  # nothing is watched any more
