"""Subscribers of computed nodes are told what was published, and cost nobody anything before."""

import asyncio
import logging

import pytest
from asyncua import ua

from address_space.model import Batch, Status
from tests.address_space.conftest import Plant, site_id


class Ears:
    """Remembers what it was told, in order."""

    def __init__(self) -> None:
        self.heard: list[tuple[int, object, int]] = []

    async def __call__(self, handle: int, value: ua.DataValue) -> None:
        self.heard.append((handle, value.Value.Value, value.StatusCode.value))


def subscribe(plant: Plant, path: str, ears: object, attribute: ua.AttributeIds = ua.AttributeIds.Value) -> int:
    status, handle = plant.space.add_datachange_callback(site_id(path), attribute, ears)
    status.check()
    return handle


@pytest.fixture
def ears() -> Ears:
    return Ears()


async def test_a_subscriber_hears_value_and_status(plant: Plant, ears: Ears) -> None:
    handle = subscribe(plant, "xw1.ac_power", ears)
    slot = plant.put("xw1.ac_power", 5.0)
    await plant.built.pump.drain()
    plant.image.degrade([slot], Status.BAD_COMMUNICATION_ERROR, plant.clock.now())
    await plant.built.pump.drain()
    assert ears.heard == [(handle, 5.0, 0), (handle, None, Status.BAD_COMMUNICATION_ERROR)]


async def test_texts_and_health_that_follow_a_slot_are_told_too(plant: Plant, ears: Ears) -> None:
    subscribe(plant, "xw1.state.ValueAsText", ears)
    subscribe(plant, "xw1.state", ears)
    subscribe(plant, "xw1.DeviceHealth", ears)
    plant.put("xw1.state", 9)
    plant.put("xw1.device_health", 1)
    await plant.built.pump.drain()
    assert [value for _, value, _ in ears.heard] == [ua.LocalizedText("Sell", "en"), 9, 1]


async def test_other_points_and_attributes_are_not_told(plant: Plant, ears: Ears) -> None:
    subscribe(plant, "xw1.ac_power", ears)
    subscribe(plant, "xw2.ac_power", ears, ua.AttributeIds.DisplayName)
    subscribe(plant, "xw2.ac_power.EURange", ears)
    plant.put("xw2.ac_power", 1.0)
    plant.put("xw1.limit", 1.0)
    await plant.built.pump.drain()
    assert ears.heard == []
    assert plant.built.pump.watched == 1


async def test_publishing_does_not_wait_and_several_publishes_come_as_the_newest(plant: Plant, ears: Ears) -> None:
    subscribe(plant, "xw1.ac_power", ears)
    for value in (1.0, 2.0, 3.0):
        plant.put("xw1.ac_power", value)
    assert ears.heard == []
    await plant.built.pump.drain()
    assert [value for _, value, _ in ears.heard] == [3.0]


async def test_who_unsubscribed_hears_nothing_and_the_slot_is_watched_no_more(plant: Plant, ears: Ears) -> None:
    first, second = subscribe(plant, "xw1.ac_power", ears), subscribe(plant, "xw1.ac_power", ears)
    plant.space.delete_datachange_callback(first)
    plant.put("xw1.ac_power", 1.0)
    plant.space.delete_datachange_callback(second)
    await plant.built.pump.drain()
    assert ears.heard == []
    assert plant.built.pump.watched == 0


async def test_a_subscriber_may_take_away_the_next(plant: Plant, ears: Ears) -> None:
    async def remove(_handle: int, _value: ua.DataValue) -> None:
        plant.space.delete_datachange_callback(second)

    subscribe(plant, "xw1.ac_power", remove)
    second = subscribe(plant, "xw1.ac_power", ears)
    plant.put("xw1.ac_power", 1.0)
    await plant.built.pump.drain()
    assert ears.heard == []


async def test_a_subscriber_that_fails_costs_only_itself_and_is_named_once(
    plant: Plant, ears: Ears, caplog: pytest.LogCaptureFixture
) -> None:
    async def broken(_handle: int, value: ua.DataValue) -> None:
        raise TypeError("no arithmetic on texts")

    subscribe(plant, "xw1.name", broken)
    subscribe(plant, "xw1.name", ears)
    for words in ("a", "b"):
        plant.put("xw1.name", words)
        await plant.built.pump.drain()
    assert [value for _, value, _ in ears.heard] == ["a", "b"]
    told = [record.levelno for record in caplog.records if "xw1.name" in record.getMessage()]
    assert told == [logging.WARNING, logging.DEBUG]


async def test_running_serves_what_is_published_until_cancelled(plant: Plant, ears: Ears) -> None:
    subscribe(plant, "xw1.ac_power", ears)
    task = asyncio.create_task(plant.built.pump.run())
    for value in (1.0, 2.0):
        plant.put("xw1.ac_power", value)
        await plant.clock.settle()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert [value for _, value, _ in ears.heard] == [1.0, 2.0]


async def test_a_large_drain_lets_others_run(plant: Plant, ears: Ears) -> None:
    slots = [slot for device in ("xw1", "xw2", "other", "tank", "gw1", "node") for slot in plant.image.slots(device)]
    for slot in slots:
        device, point = plant.image.owner(slot)
        subscribe(plant, f"{device.id}.{point.id}", ears)
    plant.image.publish(Batch(slots, [None] * len(slots), [Status.BAD_DEVICE_FAILURE] * len(slots), plant.clock.now()))
    seen: list[int] = []
    asyncio.get_running_loop().call_soon(lambda: seen.append(len(ears.heard)))
    await plant.built.pump.drain()
    assert len(ears.heard) == len(slots)
    assert 0 < seen[0] < len(slots)
