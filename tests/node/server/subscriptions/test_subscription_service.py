"""Requests with long lists leave others their turns."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any

import pytest
from asyncua import ua

from node.server.events.events import Events
from node.server.sessions.sessions import Session
from node.server.subscriptions.subscription_service import SubscriptionService
from tests.fake_clock import FakeClock
from tests.node.server.subscription_bench import Bench, Line

COUNT = 2_000
TURNS = 5
IDS = list(range(1, COUNT + 1))
SUBSCRIPTION = 0  # stands for the one that the test makes

Asked = Callable[[SubscriptionService, Session, int], Awaitable[Any]]


def with_items(service: str, parameters: Any) -> Asked:
    def ask(subscriptions: SubscriptionService, session: Session, number: int) -> Awaitable[Any]:
        parameters.SubscriptionId = number
        answer: Awaitable[Any] = getattr(subscriptions, service)(parameters, session)
        return answer

    return ask


REQUESTS: dict[str, Asked] = {
    "delete_items": with_items("delete_items", ua.DeleteMonitoredItemsParameters(SUBSCRIPTION, IDS)),
    "set_modes": with_items("set_modes", ua.SetMonitoringModeParameters(SUBSCRIPTION, ua.MonitoringMode.Disabled, IDS)),
    "set_triggering": with_items("set_triggering", ua.SetTriggeringParameters(SUBSCRIPTION, 1, IDS, [])),
    "set_publishing": lambda service, session, _: service.set_publishing(
        ua.SetPublishingModeParameters(True, IDS), session
    ),
    "delete": lambda service, session, _: service.delete(ua.DeleteSubscriptionsParameters(IDS), session),
}


@pytest.mark.parametrize("service", REQUESTS)
async def test_a_long_list_leaves_others_their_turns(clock: FakeClock, service: str) -> None:
    bench = Bench(clock)
    line: Any = Line()
    session = Session(line, "test", 60.0, b"", 0.0)
    subscriptions = SubscriptionService(
        bench.world.reader, bench.image, clock, bench.limits, bench.tasks, Events(bench.nodes, clock)
    )
    made = subscriptions.create(ua.CreateSubscriptionParameters(1_000.0, 100, 10, 0, True, 0), session)
    number = made.Parameters.SubscriptionId
    assert session.publisher is not None
    for _ in range(3):
        bench.watch(session.publisher.subscriptions[number])
    turns = 0
    asked = asyncio.ensure_future(REQUESTS[service](subscriptions, session, number))
    while not asked.done():
        turns += 1
        await asyncio.sleep(0)
    response = asked.result()
    results = getattr(response, "Results", None) or response.Parameters
    shown = results if isinstance(results, list) else getattr(results, "Results", None) or results.AddResults
    assert len(shown) == COUNT
    assert turns > TURNS
    session.publisher.close()
    await bench.close()
