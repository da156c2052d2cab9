"""Computed points: functions over Good inputs, and the truth when some are missing."""

import pytest

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_S,
    Batch,
    DataType,
    Device,
    DeviceClass,
    Point,
    PointKind,
    Sample,
    Status,
    Value,
    device_model,
)
from address_space.system import SYSTEM_POINTS
from drivers.computed import Computed, combine
from drivers.spec import ComputedPoint, Function
from tests.fake_clock import FakeClock

GOOD = int(Status.GOOD)


def good(value: float) -> Sample:
    return Sample(value, GOOD, 0)


@pytest.mark.parametrize(
    ("function", "value"),
    [(Function.AVERAGE, 4.0), (Function.TOTAL, 12.0), (Function.MINIMUM, 1.0), (Function.MAXIMUM, 8.0)],
)
def test_functions_over_good_inputs(function: Function, value: Value) -> None:
    assert combine(function, [good(1.0), good(8.0), good(3.0)]) == (value, GOOD)


@pytest.mark.parametrize(
    "missing",
    [
        Sample(None, int(Status.BAD_COMMUNICATION_ERROR), 0),
        Sample(5.0, int(Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE), 0),
    ],
)
def test_a_missing_input_makes_the_result_subnormal_over_the_others(missing: Sample) -> None:
    assert combine(Function.TOTAL, [good(1.0), missing]) == (1.0, int(Status.UNCERTAIN_SUB_NORMAL))


@pytest.mark.parametrize(
    ("first", "status"),
    [
        (Sample(None, int(Status.BAD_WAITING_FOR_INITIAL_DATA), 0), Status.BAD_WAITING_FOR_INITIAL_DATA),
        (Sample(5.0, int(Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE), 0), Status.BAD_NO_COMMUNICATION),
    ],
)
def test_without_any_good_input_there_is_no_value(first: Sample, status: Status) -> None:
    assert combine(Function.AVERAGE, [first, first]) == (None, int(status))


async def test_a_total_follows_its_inputs_with_their_source_time(clock: FakeClock) -> None:
    watts = Point("p", "P", "", DataType.DOUBLE, PointKind.ANALOG, unit="W")
    model = device_model("test", DeviceClass.GENERIC, [watts])
    image = ProcessImage([Device("a", model), Device("b", model), Device("plant", model)], clock)
    computed = Computed({"plant": [ComputedPoint("p", Function.TOTAL, (("a", "p"), ("b", "p")))]}, image, clock)
    computed.compute()
    assert image.sample(2).status == Status.BAD_WAITING_FOR_INITIAL_DATA
    await clock.advance(1)
    image.publish(Batch([0, 1], [100.0, 250.0], [GOOD, GOOD], clock.now()))
    measured = clock.now()
    await clock.advance(1)
    published: list[Batch] = []
    image.tap(lambda batch, _: published.append(batch))
    computed.compute()
    computed.compute()
    assert image.sample(2) == Sample(350.0, GOOD, measured)
    assert len(published) == 1, "nothing new, nothing published"


async def test_the_loss_of_an_input_has_the_time_at_which_it_was_decided(clock: FakeClock) -> None:
    watts = Point("p", "P", "", DataType.DOUBLE, PointKind.ANALOG, unit="W")
    model = device_model("test", DeviceClass.GENERIC, [watts])
    image = ProcessImage([Device("a", model), Device("plant", model)], clock)
    computed = Computed({"plant": [ComputedPoint("p", Function.TOTAL, (("a", "p"),))]}, image, clock)
    await clock.advance(1)
    measured = clock.now()
    image.publish(Batch([0], [100.0], [GOOD], measured))
    computed.compute()
    published: list[Batch] = []
    image.tap(lambda batch, _: published.append(batch))
    await clock.advance(6)
    image.degrade([0], int(Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE), clock.now())
    computed.compute()
    assert image.sample(1) == Sample(None, int(Status.BAD_NO_COMMUNICATION), clock.now())
    await clock.advance(1)
    computed.compute()
    assert [batch.ticks for batch in published if 1 in batch.slots] == [measured + 6 * TICKS_PER_S]


def test_a_computed_device_is_online(clock: FakeClock) -> None:
    image = ProcessImage([Device("plant", device_model("test", DeviceClass.GENERIC, SYSTEM_POINTS))], clock)
    Computed({"plant": []}, image, clock).compute()
    assert image.sample(image.slot("plant", "connection")).value == 1
    assert image.sample(image.slot("plant", "device_health")).value == 0
    assert image.sample(image.slot("plant", "failures")).value == 0


def test_an_unknown_input_is_an_error_at_once(clock: FakeClock) -> None:
    image = ProcessImage([], clock)
    with pytest.raises(KeyError):
        Computed({"plant": [ComputedPoint("p", Function.TOTAL, (("a", "p"),))]}, image, clock)
