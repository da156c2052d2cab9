"""The process image: slots, marks, taps and the rules of age."""

from collections.abc import Sequence

import pytest

from address_space.image import ProcessImage, Watch
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
    device_model,
)
from tests.fake_clock import FakeClock

GOOD = int(Status.GOOD)
WAITING = int(Status.BAD_WAITING_FOR_INITIAL_DATA)
STALE = int(Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE)
LOST = int(Status.BAD_COMMUNICATION_ERROR)


def point(point_id: str, stale: float | None = 3.0, bad: float | None = 30.0) -> Point:
    return Point(
        point_id, point_id, "", DataType.DOUBLE, PointKind.ANALOG, unit="V", stale_after_s=stale, bad_after_s=bad
    )


def meter(device_id: str, *points: Point) -> Device:
    return Device(device_id, device_model("test.meter", DeviceClass.METER, points))


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


@pytest.fixture
def image(clock: FakeClock) -> ProcessImage:
    return ProcessImage(
        [meter("m1", point("v"), point("i"), point("serial", None, None)), meter("m2", point("v"))], clock
    )


def good(image: ProcessImage, clock: FakeClock, device: str, point_id: str, value: float) -> int:
    slot = image.slot(device, point_id)
    image.publish(Batch([slot], [value], [GOOD], clock.now()))
    return slot


def test_points_of_a_device_have_consecutive_slots(image: ProcessImage) -> None:
    assert list(image.slots("m1")) == [0, 1, 2]
    assert image.slot("m2", "v") == 3
    device, owned = image.owner(2)
    assert (device.id, owned.id) == ("m1", "serial")
    with pytest.raises(IndexError, match="slot 4 is not in an image of 4"):
        image.owner(4)
    with pytest.raises(KeyError):
        image.slot("m1", "w")


def test_a_device_without_points_owns_no_slot(clock: FakeClock) -> None:
    image = ProcessImage([meter("a", point("v")), meter("none"), meter("b", point("v"))], clock)
    assert image.owner(1)[0].id == "b"
    assert list(image.slots("none")) == []


def test_a_device_id_stands_once(clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="'a' is used twice"):
        ProcessImage([meter("a"), meter("a")], clock)


def test_every_point_waits_for_its_first_answer(image: ProcessImage, clock: FakeClock) -> None:
    assert image.sample(0) == Sample(None, WAITING, clock.now())


@pytest.mark.parametrize("order", [range(12), [3, 0, 11], [5], []])
def test_samples_of_many_points_are_those_of_each(clock: FakeClock, order: Sequence[int]) -> None:
    image = ProcessImage([meter("m0", point("v")), meter("m1", *(point(f"p{n}") for n in range(12)))], clock)
    image.publish(Batch(image.slots("m1"), [float(n) for n in range(12)], [GOOD] * 12, clock.now()))
    points = [f"p{n}" for n in order]
    assert image.samples("m1", points) == {name: image.sample(image.slot("m1", name)) for name in points}
    with pytest.raises(KeyError):
        image.samples("m0", ["p0"])


async def test_a_batch_stores_value_status_and_its_one_source_time(image: ProcessImage, clock: FakeClock) -> None:
    await clock.advance(5)
    image.publish(Batch([0, 3], [230.5, None], [GOOD, int(Status.BAD_SENSOR_FAILURE)], clock.now()))
    assert image.sample(0) == Sample(230.5, GOOD, clock.now())
    assert image.sample(3) == Sample(None, Status.BAD_SENSOR_FAILURE, clock.now())
    assert image.sample(1).status == WAITING


def test_a_batch_of_unequal_columns_is_refused(image: ProcessImage, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="zip"):
        image.publish(Batch([0, 1], [1.0], [GOOD, GOOD], clock.now()))


def test_a_watch_holds_each_published_slot_once_in_order(image: ProcessImage, clock: FakeClock) -> None:
    woken: list[int] = []
    watch = Watch(lambda: woken.append(1))
    for slot in (0, 1, 1, 3):
        image.watch(slot, watch)
    good(image, clock, "m2", "v", 1.0)
    good(image, clock, "m1", "v", 1.0)
    good(image, clock, "m2", "v", 2.0)
    good(image, clock, "m1", "serial", 7.0)
    assert len(woken) == 1
    assert watch.take() == [3, 0]
    assert watch.take() == []
    image.unwatch(0, watch)
    good(image, clock, "m1", "v", 3.0)
    good(image, clock, "m1", "i", 3.0)
    assert watch.take() == [1]
    assert len(woken) == 2


def test_a_tap_sees_batches_with_what_changed(image: ProcessImage, clock: FakeClock) -> None:
    seen: list[tuple[list[int], list[int]]] = []
    image.tap(lambda batch, changed: seen.append((list(batch.slots), list(changed))))
    image.publish(Batch([0, 1], [1.0, 2.0], [GOOD, GOOD], clock.now()))
    image.publish(Batch([0, 1], [1.0, 3.0], [GOOD, GOOD], clock.now()))
    image.publish(Batch([0], [None], [int(Status.BAD_DEVICE_FAILURE)], clock.now()))
    assert seen == [([0, 1], [0, 1]), ([0, 1], [1]), ([0], [0])]


async def test_silence_makes_good_uncertain_and_then_bad(image: ProcessImage, clock: FakeClock) -> None:
    slot = good(image, clock, "m1", "v", 230.0)
    measured = clock.now()
    seen: list[Batch] = []
    image.tap(lambda batch, _changed: seen.append(batch))

    await clock.advance(2.8)
    image.age()
    assert image.sample(slot) == Sample(230.0, GOOD, measured)

    await clock.advance(0.2)
    image.age()
    assert image.sample(slot) == Sample(230.0, STALE, measured), "value and source time stay"
    assert [(batch.values, batch.statuses, batch.ticks) for batch in seen] == [([230.0], [STALE], clock.now())]

    await clock.advance(26.8)
    image.age()
    assert image.sample(slot).status == STALE
    await clock.advance(0.2)
    image.age()
    assert image.sample(slot) == Sample(None, LOST, clock.now()), "a bad status has no value and its own time"


async def test_no_point_is_good_past_its_limit_whenever_it_is_looked_at(clock: FakeClock) -> None:
    image = ProcessImage([meter("m", *(point(f"p{n}", 2.0 + n * 0.37, 30.0) for n in range(20)))], clock)
    for step in range(200):
        if step < 60:
            for n in range(step % 5, 20, 5):
                good(image, clock, "m", f"p{n}", float(step))
        await clock.advance(0.05)
        image.age()
        for _device, owned, slot in image:
            age = (clock.now() - image.sources[slot]) / TICKS_PER_S
            if image.statuses[slot] == GOOD:
                assert owned.stale_after_s is not None
                assert age <= owned.stale_after_s
            elif image.statuses[slot] == STALE:
                assert owned.stale_after_s is not None
                assert age >= owned.stale_after_s - 0.11


async def test_an_answer_makes_a_stale_point_good_again(image: ProcessImage, clock: FakeClock) -> None:
    slot = good(image, clock, "m1", "v", 1.0)
    await clock.advance(40)
    image.age()
    assert image.sample(slot).status == LOST
    good(image, clock, "m1", "v", 2.0)
    image.age()
    assert image.sample(slot) == Sample(2.0, GOOD, clock.now())
    await clock.advance(3)
    image.age()
    assert image.sample(slot).status == STALE


async def test_a_point_that_never_answered_goes_on_waiting(image: ProcessImage, clock: FakeClock) -> None:
    await clock.advance(1000)
    image.age()
    assert image.sample(0).status == WAITING


async def test_a_bad_answer_ages_to_lost_communication_but_not_to_uncertain(
    image: ProcessImage, clock: FakeClock
) -> None:
    slot = image.slot("m1", "v")
    image.publish(Batch([slot], [None], [int(Status.BAD_SENSOR_FAILURE)], clock.now()))
    await clock.advance(10)
    image.age()
    assert image.sample(slot).status == Status.BAD_SENSOR_FAILURE
    await clock.advance(20)
    image.age()
    assert image.sample(slot).status == LOST


@pytest.mark.parametrize("settled", [Status.BAD_OUT_OF_SERVICE, Status.BAD_NO_COMMUNICATION, Status.BAD_NOT_SUPPORTED])
async def test_what_is_settled_stays(image: ProcessImage, clock: FakeClock, settled: Status) -> None:
    slot = good(image, clock, "m1", "v", 1.0)
    image.degrade([slot], settled, clock.now())
    await clock.advance(100)
    image.age()
    assert image.sample(slot).status == settled


async def test_a_point_without_limits_never_ages(image: ProcessImage, clock: FakeClock) -> None:
    slot = good(image, clock, "m1", "serial", 4711.0)
    await clock.advance(100_000)
    image.age()
    assert image.sample(slot).status == GOOD


async def test_a_step_of_the_wall_clock_neither_ages_nor_refreshes(image: ProcessImage, clock: FakeClock) -> None:
    slot = good(image, clock, "m1", "v", 1.0)
    clock.step_wall(3600)
    await clock.advance(1)
    image.age()
    assert image.sample(slot).status == GOOD
    clock.step_wall(-7200)
    await clock.advance(2)
    image.age()
    assert image.sample(slot).status == STALE
