"""Publishing of one session: its subscriptions and the Publish requests that wait for something to say.

OPC 10000-4 section 5.13: requests are answered in the order in which they came, subscriptions that could not send are
served first, by priority and then by how long they wait.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Any

from asyncua import ua

from address_space.model import Clock
from node.server.limits import Limits
from node.server.request import Request, ServiceRefused
from node.server.subscription import Subscription
from node.server.tasks import TaskSet


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A Publish request with the results of its acknowledgements."""

    request: Request
    results: list[ua.StatusCode]


class Publisher:
    """All subscriptions of one session."""

    def __init__(self, clock: Clock, limits: Limits, tasks: TaskSet) -> None:
        self._clock = clock
        self._limits = limits
        self._tasks = tasks
        self._requests: deque[_Waiting] = deque()
        self._late: dict[int, None] = {}  # ids of subscriptions that have something to say, the longest waiting first
        self._ended: deque[tuple[int, ua.NotificationMessage]] = deque()
        self.subscriptions: dict[int, Subscription] = {}

    # --- subscriptions

    def add(self, subscription: Subscription) -> None:
        """Begin the cycles of a subscription. Raises ServiceRefused when the session has too many."""
        if len(self.subscriptions) >= self._limits.subscriptions_per_session:
            raise ServiceRefused(ua.StatusCodes.BadTooManySubscriptions)
        self.subscriptions[subscription.id] = subscription
        self._tasks.start(self._run(subscription), f"subscription {subscription.id}")

    def find(self, subscription_id: int) -> Subscription:
        """A subscription of this session; a client's request shows that the client lives. Raises ServiceRefused."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None:
            raise ServiceRefused(ua.StatusCodes.BadSubscriptionIdInvalid)
        subscription.lonely_cycles = 0
        return subscription

    def remove(self, subscription_id: int) -> bool:
        """End a subscription; False when the session has none with that id."""
        subscription = self.subscriptions.pop(subscription_id, None)
        if subscription is None:
            return False
        self._late.pop(subscription_id, None)
        subscription.close()
        if not self.subscriptions:
            self._refuse_all(ua.StatusCodes.BadNoSubscription)
        return True

    def close(self) -> None:
        """End everything; waiting requests are told that the session is gone."""
        self._refuse_all(ua.StatusCodes.BadSessionClosed)
        for subscription_id in list(self.subscriptions):
            self.remove(subscription_id)

    def forget_requests(self) -> None:
        """The connection on which the requests came is gone."""
        self._requests.clear()

    # --- requests

    def publish(self, request: Request, acknowledgements: list[ua.SubscriptionAcknowledgement]) -> None:
        """Answer a Publish now or when there is something to say. Raises ServiceRefused."""
        if not self.subscriptions and not self._ended:
            raise ServiceRefused(ua.StatusCodes.BadNoSubscription)
        results = [ua.StatusCode(ua.UInt32(self._acknowledge(each))) for each in acknowledgements]
        for subscription in self.subscriptions.values():
            subscription.lonely_cycles = 0
        self._drop_expired()
        if len(self._requests) >= self._limits.publish_requests:
            self._requests.popleft().request.refuse(ua.StatusCodes.BadTooManyPublishRequests)
        self._requests.append(_Waiting(request, results))
        self._serve()

    # --- inside

    async def _run(self, subscription: Subscription) -> None:
        """The cycles of one subscription, until it is removed."""
        next_s = self._clock.monotonic()
        while self.subscriptions.get(subscription.id) is subscription:
            await self._cycle(subscription)
            next_s = max(next_s + subscription.rhythm.interval_ms / 1000, self._clock.monotonic())
            await self._clock.sleep(next_s - self._clock.monotonic())

    async def _cycle(self, subscription: Subscription) -> None:
        await subscription.sample()
        if subscription.closed:
            return
        subscription.silent_cycles += 1
        self._drop_expired()
        if not self._requests:
            subscription.lonely_cycles += 1
            if subscription.lonely_cycles > subscription.rhythm.lifetime:
                self._ended.append((subscription.id, subscription.end_message(ua.StatusCodes.BadTimeout)))
                self.remove(subscription.id)
                return
        if subscription.wants_to_send:
            self._late.setdefault(subscription.id)
            self._serve()

    def _serve(self) -> None:
        while self._requests and (self._ended or self._late):
            if self._ended:
                subscription_id, message = self._ended.popleft()
                self._send(subscription_id, [], message, more=False)
                continue
            # The first of the highest priority: `max` keeps the order of those that are equal.
            chosen = max(self._late, key=lambda each: self.subscriptions[each].rhythm.priority)
            subscription = self.subscriptions[chosen]
            message, more = subscription.message()
            del self._late[chosen]
            if more:
                self._late[chosen] = None
            self._send(chosen, subscription.available, message, more=more)

    def _send(self, subscription_id: int, available: list[int], message: ua.NotificationMessage, *, more: bool) -> None:
        waiting = self._requests.popleft()
        result: Any = ua.PublishResult(MoreNotifications=more, NotificationMessage=message)
        result.SubscriptionId = subscription_id
        result.AvailableSequenceNumbers = available
        result.Results = waiting.results
        waiting.request.answer(ua.PublishResponse(Parameters=result))

    def _acknowledge(self, acknowledgement: ua.SubscriptionAcknowledgement) -> int:
        subscription = self.subscriptions.get(acknowledgement.SubscriptionId)
        if subscription is None:
            return ua.StatusCodes.BadSubscriptionIdInvalid
        if not subscription.acknowledge(acknowledgement.SequenceNumber):
            return ua.StatusCodes.BadSequenceNumberUnknown
        return ua.StatusCodes.Good

    def _drop_expired(self) -> None:
        now = self._clock.monotonic()
        for waiting in [each for each in self._requests if (each.request.deadline_s or now) < now]:
            self._requests.remove(waiting)
            waiting.request.refuse(ua.StatusCodes.BadTimeout)

    def _refuse_all(self, status: int) -> None:
        while self._requests:
            self._requests.popleft().request.refuse(status)
