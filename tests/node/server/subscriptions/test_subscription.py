"""How items sample, queue, trigger and are changed, on a clock that only the test moves."""

from collections.abc import AsyncIterator

import pytest
from asyncua import ua

from address_space.model import Batch
from node.server.limits import Limits
from node.server.subscriptions.sampling import timer_interval_ms
from node.server.subscriptions.subscription import Rhythm
from tests.fake_clock import FakeClock
from tests.node.server.subscription_bench import POINTS, TRIGGER, Bench, notifications

SAMPLING = ua.MonitoringMode.Sampling
REPORTING = ua.MonitoringMode.Reporting
DISABLED = ua.MonitoringMode.Disabled
UNCERTAIN = 0x40940000
SENSOR_FAILURE = 0x808C0000


@pytest.fixture
async def bench(clock: FakeClock) -> AsyncIterator[Bench]:
    bench = Bench(clock)
    bench.power(0.0)
    yield bench
    await bench.close()


# --- sampling


async def test_queue_keeps_every_publish_between_two_messages(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    bench.watch(subscription, queue=10)
    bench.watch(subscription)
    bench.publish_many(5)
    await clock.advance(0.5)
    bench.heard()
    for value in (1.0, 2.0, 2.0, 3.0):
        bench.power(value)
    await clock.advance(1.0)
    by_item: dict[int, list[float]] = {}
    for each in notifications(bench.messages()):
        by_item.setdefault(each.ClientHandle, []).append(each.Value.Value.Value)
    assert by_item == {1: [1.0, 2.0, 3.0], 2: [3.0]}


async def test_item_faster_than_publishing_is_sampled_by_its_own_timer(bench: Bench, clock: FakeClock) -> None:
    bench.watch(bench.subscribe(), queue=10, interval_ms=200.0)
    bench.publish_many(5)
    await clock.advance(0.01)
    bench.heard()
    for number in range(1, 11):  # every 100 ms: each second one is seen
        bench.power(float(number))
        await clock.advance(0.1)
    await clock.advance(1.0)
    assert bench.values() == [2.0, 4.0, 6.0, 8.0, 10.0]


@pytest.mark.parametrize("slot", [0, None])
async def test_item_slower_than_publishing_is_sampled_by_its_own_timer(
    bench: Bench, clock: FakeClock, slot: int | None
) -> None:
    bench.show(0)
    bench.watch(bench.subscribe(Rhythm(100.0, 100, 300, 1000, 0)), slot, interval_ms=1000.0)
    bench.publish_many(20)
    await clock.advance(0.05)
    bench.heard()
    for number in range(1, 31):
        bench.power(float(number))
        bench.show(number)
        await clock.advance(0.1)
    assert bench.values() == [10, 20, 30]


@pytest.mark.parametrize(
    ("asked", "given"),
    [(1.0, 50.0), (50.0, 50.0), (51.0, 100.0), (1000.0, 1000.0), (1001.0, 1100.0), (61_000.0, 120_000.0)],
)
def test_timers_keep_to_steps(asked: float, given: float) -> None:
    assert timer_interval_ms(asked) == given


async def test_timers_end_with_their_last_item(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    items = [bench.watch(subscription, slot, queue=5, interval_ms=200.0) for slot in (0, 1, None)]
    await clock.advance(0.5)
    assert len(bench.tasks) == 2
    for item in items:
        subscription.remove(item.id)
    await clock.settle()
    assert len(bench.tasks) == 1


async def test_items_on_one_slot_do_not_disturb_each_other(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    items = [bench.watch(subscription) for _ in range(4)]
    bench.publish_many(6)
    await clock.advance(0.5)
    bench.heard()
    for item in (items[1], items[3], items[0]):
        subscription.remove(item.id)
        bench.power(float(item.id))
        await clock.advance(1.0)
    handles = [[each.ClientHandle for each in notifications([response])] for response in bench.messages()]
    assert [sorted(each) for each in handles] == [[1, 3, 4], [1, 3], [3]]


async def test_rows_of_points_are_reported(bench: Bench, clock: FakeClock) -> None:
    points = len(POINTS)
    subscription = bench.subscribe()
    for slot in range(points):
        bench.watch(subscription, slot)
    bench.publish_many(3)
    await clock.advance(0.5)
    bench.heard()
    for number in (1.0, 2.0):
        bench.image.publish(Batch(range(points), [number] * points, [0] * points, clock.now()))
    await clock.advance(1.0)
    assert bench.values() == [2.0] * points


# --- filters


@pytest.mark.parametrize("queue", [1, 100])
async def test_deadband_is_measured_from_the_last_reported_value(bench: Bench, clock: FakeClock, queue: int) -> None:
    bench.watch(bench.subscribe(), deadband=5.0, queue=queue)
    bench.publish_many(30)
    await clock.advance(0.5)
    for number in range(1, 21):
        bench.power(float(number))
        await clock.advance(1.0)
    assert bench.values() == [0.0, 6.0, 12.0, 18.0]


async def test_deadband_on_a_value_without_a_slot(bench: Bench, clock: FakeClock) -> None:
    bench.show(0)
    bench.watch(bench.subscribe(), None, deadband=2.0)
    bench.publish_many(30)
    await clock.advance(0.5)
    for number in range(1, 8):
        bench.show(number)
        await clock.advance(1.0)
    assert bench.values() == [0, 3, 6]


@pytest.mark.parametrize("queue", [1, 100])
async def test_status_is_reported_whatever_the_deadband(bench: Bench, clock: FakeClock, queue: int) -> None:
    bench.watch(bench.subscribe(), deadband=5.0, queue=queue)
    bench.publish_many(30)
    await clock.advance(0.5)
    for value, status in ((1.0, UNCERTAIN), (1.5, UNCERTAIN), (None, SENSOR_FAILURE), (2.0, 0), (3.0, 0)):
        bench.power(value, status)
        await clock.advance(1.0)
    found = [(each.Value.Value.Value, each.Value.StatusCode.value) for each in notifications(bench.messages())]
    assert found == [(0.0, 0), (1.0, UNCERTAIN), (None, SENSOR_FAILURE), (2.0, 0)]


async def test_not_a_number_is_reported_once_and_left_again(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    bench.watch(subscription)
    bench.watch(subscription, deadband=5.0)
    bench.publish_many(30)
    await clock.advance(0.5)
    bench.heard()
    counts = []
    for value in (float("nan"), float("nan"), 1.0):
        bench.power(value)
        await clock.advance(1.0)
        counts.append(len(bench.values()))
    assert counts == [2, 0, 2]


@pytest.mark.parametrize("queue", [1, 100])
@pytest.mark.parametrize(
    ("trigger", "expected"),
    [
        (TRIGGER.Status, [(0.0, 0), (1.0, UNCERTAIN)]),
        (TRIGGER.StatusValue, [(0.0, 0), (1.0, 0), (1.0, UNCERTAIN)]),
        (TRIGGER.StatusValueTimestamp, [(0.0, 0), (0.0, 0), (1.0, 0), (1.0, UNCERTAIN), (1.0, UNCERTAIN)]),
    ],
)
async def test_triggers(
    bench: Bench, clock: FakeClock, trigger: ua.DataChangeTrigger, expected: list[tuple[float, int]], queue: int
) -> None:
    bench.watch(bench.subscribe(), trigger=trigger, queue=queue)
    bench.publish_many(30)
    await clock.advance(0.5)
    for value, status in ((0.0, 0), (1.0, 0), (1.0, UNCERTAIN), (1.0, UNCERTAIN)):
        bench.power(value, status)
        await clock.advance(1.0)
    found = [(each.Value.Value.Value, each.Value.StatusCode.value) for each in notifications(bench.messages())]
    assert found == expected


# --- triggering


async def test_linked_items_report_what_they_have_when_they_are_triggered(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    for slot in range(4):
        bench.power(0.0, slot=slot)
    trigger = bench.watch(subscription, 0)
    linked = bench.watch(subscription, 1, mode=SAMPLING, queue=5)
    bench.watch(subscription, 2, mode=SAMPLING)
    bench.publish_many(10)
    await clock.advance(0.5)
    bench.heard()
    subscription.link(trigger, (linked.id,))
    for number in (1.0, 2.0):
        bench.power(number, slot=1)
        bench.power(number, slot=2)
    await clock.advance(1.0)
    assert bench.values() == []
    bench.power(9.0)
    await clock.advance(1.0)
    assert sorted(bench.values()) == [0.0, 1.0, 2.0, 9.0]
    bench.power(3.0, slot=1)
    await clock.advance(1.0)
    assert bench.values() == [], "one trigger, one report"
    subscription.link(trigger, ())
    bench.power(10.0)
    await clock.advance(1.0)
    assert bench.values() == [10.0]


async def test_item_that_only_samples_triggers_too(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    trigger = bench.watch(subscription, 0, mode=SAMPLING)
    linked = bench.watch(subscription, 1, mode=SAMPLING)
    subscription.link(trigger, (linked.id, 12345))
    bench.publish_many(10)
    bench.power(5.0, slot=1)
    await clock.advance(1.5)
    bench.heard()
    bench.power(1.0)
    await clock.advance(1.0)
    assert bench.values() == [5.0]


# --- changes


async def test_item_that_samples_keeps_its_queue_for_later(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    item = bench.watch(subscription, queue=3, mode=SAMPLING)
    bench.publish_many(3)
    for number in range(1, 6):
        bench.power(float(number))
    await clock.advance(1.5)
    assert bench.values() == []
    subscription.set_mode(item, REPORTING)
    await clock.advance(1.0)
    assert bench.values() == [3.0, 4.0, 5.0]


async def test_disabled_items_wait_for_nothing(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    items = [bench.watch(subscription, queue=queue) for queue in (1, 5)]
    bench.publish_many(6)
    await clock.advance(0.5)
    bench.heard()
    bench.power(1.0)
    for item in items:
        subscription.set_mode(item, DISABLED)
    await clock.advance(2.0)
    assert bench.values() == []
    bench.power(2.0)
    for item in items:
        subscription.set_mode(item, REPORTING)
    await clock.advance(1.0)
    assert bench.values() == [2.0, 2.0]


async def test_modified_item_goes_by_its_new_settings(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    item = bench.watch(subscription, queue=5)
    bench.publish_many(10)
    await clock.advance(0.5)
    bench.heard()
    for number in range(1, 6):
        bench.power(float(number))
    bench.change(subscription, item, queue_size=2)
    await clock.advance(1.0)
    assert bench.values() == [4.0, 5.0], "the oldest go first"
    bench.change(subscription, item, queue_size=1)
    for number in (6.0, 7.0):
        bench.power(number)
    await clock.advance(1.0)
    assert bench.values() == [7.0]
    bench.change(subscription, item, interval_ms=3000.0)
    bench.power(8.0)
    await clock.advance(1.0)
    assert bench.values() == []
    await clock.advance(3.0)
    assert bench.values() == [8.0]


async def test_another_rhythm_counts_from_now_on(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe(Rhythm(3_600_000.0, 10, 30, 1000, 0))
    bench.watch(subscription)
    bench.publish_many(10)
    await clock.advance(10.0)
    bench.heard()
    bench.power(1.0)
    await bench.publisher.change_rhythm(subscription, Rhythm(500.0, 10, 30, 1000, 0))
    await clock.advance(0.4)
    assert bench.values() == []
    await clock.advance(0.2)
    assert bench.values() == [1.0]
    bench.power(2.0)
    await clock.advance(0.5)
    assert bench.values() == [2.0]
    assert len(bench.tasks) == 1


async def test_values_are_sent_again_on_request(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    bench.watch(subscription)
    bench.watch(subscription, queue=5)
    bench.watch(subscription, mode=SAMPLING)
    bench.watch(subscription, mode=DISABLED)
    bench.publish_many(5)
    await clock.advance(0.5)
    bench.heard()
    await subscription.repeat_values()
    await clock.advance(1.0)
    assert bench.values() == [0.0, 0.0]


# --- messages


async def test_messages_fit_what_the_client_can_take(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    for _ in range(10):
        bench.watch(subscription)
    bench.line.room = 4 * 34
    bench.publish_many(4)
    await clock.advance(0.5)
    assert [len(heard) for heard in bench.heard()] == [4, 4, 2]


async def test_many_unchanged_items_give_no_message(clock: FakeClock) -> None:
    bench = Bench(clock, Limits(items_per_subscription=10_000))
    bench.power(1.0)
    subscription = bench.subscribe(Rhythm(1000.0, 100, 300, 2000, 0))
    for _ in range(5_000):
        bench.watch(subscription)
    bench.publish_many(10)
    await clock.advance(0.5)
    assert [len(heard) for heard in bench.heard()] == [2000, 2000, 1000]
    bench.power(1.0)
    await clock.advance(1.0)
    assert bench.heard() == []
    bench.power(2.0)
    await clock.advance(1.0)
    assert [len(heard) for heard in bench.heard()] == [2000, 2000, 1000]
    await bench.close()


async def test_kept_messages_are_bounded_by_their_size(clock: FakeClock) -> None:
    bench = Bench(clock, Limits(unacknowledged_bytes=200))
    subscription = bench.subscribe()
    bench.watch(subscription)
    for number in range(6):
        bench.power(float(number))
        bench.publish()
        await clock.advance(1.0)
    assert len(subscription.available) == 3
    assert subscription.available[-1] == 6
    await bench.close()


async def test_subscription_moves_to_another_publisher_with_its_messages(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    bench.watch(subscription)
    bench.publish_many(2)
    await clock.advance(0.5)
    bench.heard()
    other = Bench(clock)
    bench.publisher.give_away(subscription.id)
    other.publisher.add(subscription)
    assert bench.heard() == ["GoodSubscriptionTransferred"]
    assert subscription.available == [1]
    other.publish_many(2)
    bench.power(1.0)
    await clock.advance(1.0)
    (message,) = other.messages()
    assert message.Parameters.NotificationMessage.SequenceNumber == 2
    assert [each.Value.Value.Value for each in notifications([message])] == [1.0]
    await other.close()
