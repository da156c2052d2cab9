"""Subscriptions on a clock that only the test moves: what is reported, when, and what the client hears of it."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any

import pytest
from asyncua import ua

from address_space.model import Range
from node.server.limits import Limits
from node.server.request import ServiceRefused
from node.server.subscriptions.change_filter import ChangeFilter, FilterRefused, Measure, change_filter, same
from node.server.subscriptions.subscription import Rhythm, revise
from tests.fake_clock import FakeClock
from tests.node.server.subscription_bench import TRIGGER, VALUE, Bench

DOUBLE = Measure(ua.VariantType.Double)


@pytest.fixture
async def bench(clock: FakeClock) -> AsyncIterator[Bench]:
    bench = Bench(clock)
    yield bench
    await bench.close()


async def test_first_value_then_changes_once_a_cycle(bench: Bench, clock: FakeClock) -> None:
    bench.power(1.0)
    bench.watch(bench.subscribe())
    for _ in range(4):
        bench.publish()
    await clock.advance(0.0)
    assert bench.heard() == [[1.0]]
    bench.power(2.0)
    bench.power(3.0)
    await clock.advance(0.9)
    assert bench.heard() == []
    await clock.advance(0.2)
    assert bench.heard() == [[3.0]]
    bench.power(3.0)
    await clock.advance(5.0)
    assert bench.heard() == []


async def test_nothing_new_gives_a_sign_of_life_with_the_next_number(bench: Bench, clock: FakeClock) -> None:
    bench.power(1.0)
    bench.watch(bench.subscribe(Rhythm(1000.0, 3, 30, 1000, 0)))
    for _ in range(3):
        bench.publish()
    await clock.advance(6.5)
    numbers = [response.Parameters.NotificationMessage.SequenceNumber for _, response in bench.line.sent]
    assert bench.heard() == [[1.0], [], []]
    assert numbers == [1, 2, 2]


async def test_news_wait_for_a_request(bench: Bench, clock: FakeClock) -> None:
    bench.watch(bench.subscribe())
    bench.power(1.0)
    await clock.advance(1.5)
    assert bench.heard() == []
    bench.publish()
    assert bench.heard() == [[1.0]]


async def test_large_news_come_in_parts(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe(Rhythm(1000.0, 10, 30, 2, 0))
    bench.power(1.0)
    for _ in range(5):
        bench.watch(subscription)
    await clock.advance(0.0)
    for _ in range(3):
        bench.publish()
    more = [response.Parameters.MoreNotifications for _, response in bench.line.sent]
    assert bench.heard() == [[1.0, 1.0], [1.0, 1.0], [1.0]]
    assert more == [True, True, False]


async def test_status_alone_is_a_change_and_time_alone_is_not(bench: Bench, clock: FakeClock) -> None:
    bench.power(1.0)
    subscription = bench.subscribe()
    bench.watch(subscription)
    bench.watch(subscription, trigger=TRIGGER.Status)
    for _ in range(4):
        bench.publish()
    await clock.advance(0.5)
    bench.heard()
    bench.power(2.0)
    await clock.advance(1.0)
    assert bench.heard() == [[2.0]]
    bench.power(None, 0x808C0000)
    await clock.advance(1.0)
    assert bench.heard() == [[None, None]]


async def test_value_without_a_slot_is_looked_at_each_cycle(bench: Bench, clock: FakeClock) -> None:
    bench.watch(bench.subscribe(), None)
    bench.publish()
    bench.publish()
    await clock.advance(0.5)
    bench.show(2)
    await clock.advance(1.0)
    assert bench.heard() == [[1], [2]]


async def test_slow_item_is_sampled_at_its_own_interval(bench: Bench, clock: FakeClock) -> None:
    bench.power(0.0)
    bench.watch(bench.subscribe(), interval_ms=3000.0)
    for _ in range(10):
        bench.publish()
    await clock.advance(0.5)
    bench.heard()
    for number in range(1, 7):
        bench.power(float(number))
        await clock.advance(1.0)
    assert [each for each in bench.heard() if each] == [[3.0], [6.0]]


@pytest.mark.parametrize(
    ("oldest", "kept", "overflown"),
    [(True, [3.0, 4.0, 5.0], [True, False, False]), (False, [1.0, 2.0, 5.0], [False, False, True])],
)
async def test_full_queue_says_that_values_were_lost(
    bench: Bench, clock: FakeClock, oldest: bool, kept: list[float], overflown: list[bool]
) -> None:
    bench.power(1.0)
    bench.watch(bench.subscribe(), queue=3, oldest=oldest)
    for number in range(2, 6):
        bench.power(float(number))
        await clock.advance(1.0)
    bench.publish()
    (response,) = [response for _, response in bench.line.sent]
    items = response.Parameters.NotificationMessage.NotificationData[0].MonitoredItems
    assert [each.Value.Value.Value for each in items] == kept
    assert [each.Value.StatusCode.value == 0x0480 for each in items] == overflown


async def test_disabled_item_is_silent_and_reports_when_it_is_enabled(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    bench.power(1.0)
    item = bench.watch(subscription, mode=ua.MonitoringMode.Disabled)
    for _ in range(5):
        bench.publish()
    await clock.advance(2.5)
    assert bench.heard() == [[]]
    subscription.set_mode(item, ua.MonitoringMode.Reporting)
    await clock.advance(1.0)
    assert bench.heard() == [[1.0]]
    subscription.set_mode(item, ua.MonitoringMode.Disabled)
    bench.power(2.0)
    await clock.advance(2.0)
    assert bench.heard() == []


async def test_sampling_item_keeps_its_value_until_it_may_report(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    bench.power(1.0)
    item = bench.watch(subscription, mode=ua.MonitoringMode.Sampling)
    bench.publish()
    bench.publish()
    await clock.advance(1.5)
    assert bench.heard() == [[]]
    subscription.set_mode(item, ua.MonitoringMode.Reporting)
    await clock.advance(1.0)
    assert bench.heard() == [[1.0]]


async def test_subscription_that_does_not_publish_keeps_its_news(bench: Bench, clock: FakeClock) -> None:
    bench.power(1.0)
    subscription = bench.subscribe(enabled=False)
    bench.watch(subscription)
    bench.publish()
    bench.publish()
    await clock.advance(2.0)
    assert bench.heard() == [[]]
    subscription.enabled = True
    await clock.advance(1.0)
    assert bench.heard() == [[1.0]]


async def test_message_is_kept_until_it_is_acknowledged(bench: Bench, clock: FakeClock) -> None:
    bench.power(1.0)
    subscription = bench.subscribe()
    bench.watch(subscription)
    bench.publish()
    await clock.advance(0.5)
    assert subscription.available == [1]
    message = subscription.again(1)
    assert message is not None
    assert message[:4] == b"\x01\0\0\0", "its sequence number"
    bench.publish((1, 1), (1, 7), (9, 1))
    bench.power(2.0)
    await clock.advance(1.0)
    results = bench.line.sent[-1][1].Parameters.Results
    assert [each.name for each in results] == ["Good", "BadSequenceNumberUnknown", "BadSubscriptionIdInvalid"]
    assert subscription.available == [2]
    assert subscription.again(1) is None


async def test_unacknowledged_messages_are_bounded(clock: FakeClock) -> None:
    bench = Bench(clock, Limits(unacknowledged=3))
    subscription = bench.subscribe()
    bench.watch(subscription)
    for number in range(6):
        bench.power(float(number))
        bench.publish()
        await clock.advance(1.0)
    assert len(subscription.available) == 3
    await bench.tasks.close()


async def test_subscription_whose_client_is_gone_ends_and_says_so(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe(Rhythm(1000.0, 1, 3, 1000, 0))
    bench.watch(subscription)
    await clock.advance(10.0)
    assert bench.publisher.subscriptions == {}
    bench.power(1.0)  # nobody watches any more
    bench.publish()
    assert bench.heard() == ["BadTimeout"]
    with pytest.raises(ServiceRefused):
        bench.publish()


async def test_subscription_without_a_session_lives_as_long_as_any_without_a_client(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.subscribe(Rhythm(1000.0, 1, 3, 1000, 0))
    await clock.advance(0.5)
    bench.publish_many(2)
    bench.heard()
    bench.publisher.retire()
    assert set(bench.heard()) == {"BadSessionClosed"}
    assert bench.orphans == [bench.publisher]
    await clock.advance(2.0)
    assert list(bench.publisher.subscriptions) == [1]
    await clock.advance(4.0)
    assert bench.publisher.subscriptions == {}
    await bench.close()


async def test_publish_keeps_a_subscription_alive(bench: Bench, clock: FakeClock) -> None:
    bench.subscribe(Rhythm(1000.0, 1, 3, 1000, 0))
    for _ in range(10):
        await clock.advance(2.0)
        bench.publish()
    assert list(bench.publisher.subscriptions) == [1]


async def test_important_subscription_is_served_first(bench: Bench, clock: FakeClock) -> None:
    low = bench.subscribe(Rhythm(1000.0, 10, 30, 1000, 1), number=1)
    high = bench.subscribe(Rhythm(1000.0, 10, 30, 1000, 9), number=2)
    bench.power(1.0)
    bench.watch(low)
    bench.watch(high)
    await clock.advance(0.5)
    bench.publish()
    bench.publish()
    assert [response.Parameters.SubscriptionId for _, response in bench.line.sent] == [2, 1]


async def test_requests_time_out_and_are_bounded(clock: FakeClock) -> None:
    bench = Bench(clock, Limits(publish_requests=2))
    bench.subscribe()
    bench.publish()
    await clock.advance(0.5)
    bench.heard()
    bench.publish(hint_ms=700)
    await clock.advance(2.0)
    assert bench.heard() == ["BadTimeout"]
    for _ in range(3):
        bench.publish()
    assert bench.heard() == ["BadTooManyPublishRequests"]
    bench.publisher.close()
    assert bench.heard() == ["BadSessionClosed", "BadSessionClosed"]
    await bench.tasks.close()


async def test_last_deleted_subscription_frees_the_requests(bench: Bench, clock: FakeClock) -> None:
    bench.subscribe()
    await clock.advance(0.5)
    bench.publish()
    bench.publish()
    bench.heard()
    assert bench.publisher.remove(1)
    assert not bench.publisher.remove(1)
    assert bench.heard() == ["BadNoSubscription"]


async def test_removed_item_is_no_longer_watched(bench: Bench, clock: FakeClock) -> None:
    subscription = bench.subscribe()
    item = bench.watch(subscription)
    assert subscription.remove(item.id)
    assert not subscription.remove(item.id)
    bench.publish()
    bench.power(1.0)
    await clock.advance(1.5)
    assert bench.heard() == [[]]


async def test_end_of_a_publisher_ends_its_cycles(bench: Bench, clock: FakeClock) -> None:
    bench.subscribe()
    await clock.advance(0.5)
    bench.publisher.close()
    await clock.advance(2.0)
    await asyncio.sleep(0)
    assert len(bench.tasks) == 0


@pytest.mark.parametrize(
    ("asked", "revised"),
    [
        ((1000.0, 300, 10, 0, 0), Rhythm(1000.0, 10, 300, 2000, 0)),
        ((0.0, 0, 0, 7, 3), Rhythm(50.0, 10_000, 30_000, 7, 3)),
        ((float("nan"), 3, 1, 0, 0), Rhythm(50.0, 1, 3, 2000, 0)),
        ((-1.0, 1, 100, 0, 0), Rhythm(50.0, 100, 300, 2000, 0)),
        ((1e300, 10, 10, 0, 0), Rhythm(3_600_000.0, 1, 3, 2000, 0)),
        ((float("inf"), 10, 1, 0, 0), Rhythm(3_600_000.0, 1, 3, 2000, 0)),
    ],
)
def test_rhythm_is_within_bounds(asked: tuple[Any, ...], revised: Rhythm) -> None:
    assert revise(ua.CreateSubscriptionParameters(*asked[:4], True, asked[4]), Limits()) == revised


def test_filters() -> None:
    assert change_filter(None, VALUE, DOUBLE) == ChangeFilter()
    assert change_filter(ua.ExtensionObject(), VALUE, DOUBLE) == ChangeFilter()
    assert change_filter(ua.DataChangeFilter(TRIGGER.Status, 0, 0.0), VALUE, DOUBLE).trigger == TRIGGER.Status
    absolute = ua.DataChangeFilter(TRIGGER.StatusValue, ua.DeadbandType.Absolute, 2.5)
    assert change_filter(absolute, VALUE, DOUBLE).deadband == 2.5
    percent = ua.DataChangeFilter(TRIGGER.StatusValue, ua.DeadbandType.Percent, 5.0)
    ranged = Measure(ua.VariantType.Double, Range(-100.0, 300.0))
    assert change_filter(percent, VALUE, ranged).deadband == 20.0


@pytest.mark.parametrize(
    ("kind", "value", "measure", "status"),
    [
        ("Absolute", -1.0, DOUBLE, "BadDeadbandFilterInvalid"),
        ("Absolute", float("nan"), DOUBLE, "BadDeadbandFilterInvalid"),
        ("Absolute", float("inf"), DOUBLE, "BadDeadbandFilterInvalid"),
        ("Absolute", 1.0, Measure(ua.VariantType.String), "BadFilterNotAllowed"),
        ("Absolute", 1.0, Measure(ua.VariantType.Boolean), "BadFilterNotAllowed"),
        ("Percent", 1.0, DOUBLE, "BadFilterNotAllowed"),
        ("Percent", 101.0, Measure(ua.VariantType.Double, Range(0.0, 1.0)), "BadDeadbandFilterInvalid"),
        ("Percent", -0.1, Measure(ua.VariantType.Double, Range(0.0, 1.0)), "BadDeadbandFilterInvalid"),
        ("Percent", 1.0, Measure(ua.VariantType.String, Range(0.0, 1.0)), "BadFilterNotAllowed"),
    ],
)
def test_deadbands_that_make_no_sense_are_refused(kind: str, value: float, measure: Measure, status: str) -> None:
    with pytest.raises(FilterRefused, match=status):
        change_filter(ua.DataChangeFilter(TRIGGER.StatusValue, ua.DeadbandType[kind], value), VALUE, measure)


def test_filters_that_an_attribute_cannot_have_are_refused() -> None:
    for wanted, attribute, status in (
        (ua.AggregateFilter(), VALUE, "BadMonitoredItemFilterUnsupported"),
        (ua.EventFilter(), VALUE, "BadFilterNotAllowed"),
        (ua.DataChangeFilter(TRIGGER.Status, 0, 0.0), ua.AttributeIds.DisplayName, "BadFilterNotAllowed"),
    ):
        with pytest.raises(FilterRefused, match=status):
            change_filter(wanted, attribute, DOUBLE)


def test_not_a_number_is_itself() -> None:
    nan = ua.Variant(float("nan"), ua.VariantType.Double)
    assert same(nan, ua.Variant(float("nan"), ua.VariantType.Double))
    assert not same(nan, ua.Variant(1.0, ua.VariantType.Double))
    assert not same(ua.Variant(1, ua.VariantType.Int32), ua.Variant(1, ua.VariantType.Int64))
    assert same(float("nan"), float("nan"))
    assert not same(None, 1.0)
