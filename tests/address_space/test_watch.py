"""Who watches slots or listens to them: a row is stored and marked at once, and means the same as slot by slot."""

from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.image import ProcessImage, Watch
from address_space.model import Batch, DataType, Device, DeviceClass, Point, PointKind, device_model
from tests.fake_clock import FakeClock

POINTS = tuple(Point(f"p{number}", "P", "", DataType.DOUBLE, PointKind.ANALOG) for number in range(12))
MODEL = device_model("m", DeviceClass.GENERIC, POINTS)
SIZE = 3 * len(POINTS)


def make_image() -> ProcessImage:
    return ProcessImage([Device(name, MODEL) for name in "abc"], FakeClock())


class Hearing(Watch):
    """Keeps every sample of its slots."""

    def __init__(self, image: ProcessImage, told: list[Any]) -> None:
        super().__init__()
        self._image = image
        self._told = told

    def mark(self, slots: int | range) -> None:
        for slot in [slots] if isinstance(slots, int) else slots:
            if slot in self.slots:
                sample = self._image.sample(slot)
                self._told.append((slot, sample.value, sample.status, sample.ticks))


@given(
    first=st.integers(0, SIZE - 8),
    length=st.integers(1, SIZE),
    watched=st.sets(st.integers(0, SIZE - 1)),
    heard=st.sets(st.integers(0, SIZE - 1)),
    as_list=st.booleans(),
)
def test_a_row_is_what_its_slots_are_one_by_one(
    first: int, length: int, watched: set[int], heard: set[int], as_list: bool
) -> None:
    row = range(first, min(first + length, SIZE))
    results: list[Any] = []
    for whole in (True, False):
        image, watch, told, seen = make_image(), Watch(), [], []
        image.tap(lambda batch, changed, seen=seen: seen.extend(batch.slots[each] for each in changed))
        for slot in sorted(watched):
            image.watch(slot, watch, slot)
        hearing = Hearing(image, told)
        for slot in heard:
            image.watch(slot, hearing)
        image.publish(Batch((first,), (5.0,), (0,), 10))
        watch.take()
        told.clear()
        seen.clear()
        values, statuses = [float(slot % 5) for slot in row], [0x40940000 * (slot % 3 == 0) for slot in row]
        if whole:
            image.publish(Batch(list(row) if as_list else row, values, statuses, 20))
        else:
            for slot, value, status in zip(row, values, statuses, strict=True):
                image.publish(Batch((slot,), (value,), (status,), 20))
        samples = [image.sample(slot) for slot in range(SIZE)]
        results.append((samples, sorted(watch.take()), sorted(told), seen))
    assert results[0] == results[1]
    assert results[0][1] == sorted(watched & set(row))
    assert [sample[0] for sample in results[0][2]] == sorted(heard & set(row))


def test_a_row_outside_the_image_is_refused() -> None:
    image = make_image()
    for row in (range(SIZE - 5, SIZE + 5), range(-3, 10)):
        with pytest.raises(ValueError, match="for an image of 36"):
            image.publish(Batch(row, [0.0] * len(row), [0] * len(row), 0))
    with pytest.raises(ValueError, match="with 3 values and 10 statuses"):
        image.publish(Batch(range(10), [0.0] * 3, [0] * 10, 0))
    assert image.size == len(image.values) == len(image.statuses) == SIZE


def test_watches_of_one_device_are_independent() -> None:
    image, first, second = make_image(), Watch(), Watch()
    for watch in (first, second):
        for slot in (0, 1, 13):
            image.watch(slot, watch)
    image.drop(first)
    image.unwatch(1, second)
    image.publish(Batch(range(24), [1.0] * 24, [0] * 24, 0))
    assert (first.take(), second.take()) == ([], [0, 13])
    image.drop(second)
    image.publish(Batch(range(24), [2.0] * 24, [0] * 24, 0))
    assert second.take() == []


def test_whoever_overrides_mark_hears_every_sample_until_it_leaves() -> None:
    image, told = make_image(), []
    hearing = Hearing(image, told)
    image.watch(3, hearing)
    for ticks in (1, 2):
        image.publish(Batch((3, 4), (1.0, 1.0), (0, 0), ticks))
    image.degrade([3], 0x80050000, 3)
    image.unwatch(3, hearing)
    image.publish(Batch((3,), (2.0,), (0,), 4))
    assert told == [(3, 1.0, 0, 1), (3, 1.0, 0, 2), (3, None, 0x80050000, 3)]
