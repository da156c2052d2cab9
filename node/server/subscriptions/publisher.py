"""Publishing of one session: its subscriptions and the Publish requests that wait for something to say.

OPC 10000-4 section 5.13: requests are answered in the order in which they came, subscriptions that could not send are
served first, by priority and then by how long they wait.
"""

from __future__ import annotations

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from asyncua import ua

from address_space.model import Clock
from node.roles import Caller
from node.server.limits import Limits
from node.server.request import Request, ServiceRefused
from node.server.subscriptions.notification_packer import publish_response
from node.server.subscriptions.subscription import Rhythm, Subscription
from node.server.transport.tasks import TaskSet


@dataclass(frozen=True, slots=True)
class _Waiting:
    """A Publish request with the results of its acknowledgements."""

    request: Request
    results: list[int]


class Publisher:
    """All subscriptions of one session."""

    def __init__(
        self, clock: Clock, limits: Limits, tasks: TaskSet, orphaned: Callable[[Publisher], None] | None = None
    ) -> None:
        """`orphaned` gets a publisher whose session has ended; without it nothing outlives its session."""
        self._orphaned = orphaned
        self._clock = clock
        self._limits = limits
        self._tasks = tasks
        self._requests: deque[_Waiting] = deque()
        self._late: dict[int, None] = {}  # ids of subscriptions that may have something to say, longest waiting first
        self._ended: deque[tuple[int, bytes]] = deque()  # ids with their last messages
        self._asleep: dict[int, asyncio.Task[None]] = {}  # cycles that wait for their time
        self.subscriptions: dict[int, Subscription] = {}

    # --- subscriptions

    def add(self, subscription: Subscription) -> None:
        """Begin the cycles of a subscription. Raises ServiceRefused when the session has too many."""
        if len(self.subscriptions) >= self._limits.subscriptions_per_session:
            raise ServiceRefused(ua.StatusCodes.BadTooManySubscriptions)
        self.subscriptions[subscription.id] = subscription
        self._start(subscription, 0.0)

    def find(self, subscription_id: int) -> Subscription:
        """A subscription of this session; a client's request shows that the client lives. Raises ServiceRefused."""
        subscription = self.subscriptions.get(subscription_id)
        if subscription is None:
            raise ServiceRefused(ua.StatusCodes.BadSubscriptionIdInvalid)
        subscription.lonely_cycles = 0
        return subscription

    def remove(self, subscription_id: int) -> bool:
        """End a subscription; False when the session has none with that id."""
        subscription = self._let_go(subscription_id)
        if subscription is None:
            return False
        subscription.close()
        if not self.subscriptions and not self._ended:
            self._refuse_all(ua.StatusCodes.BadNoSubscription)
        return True

    def give_away(self, subscription_id: int) -> None:
        """Let another session have a subscription; this one's client is told. Does nothing when there is none."""
        subscription = self._let_go(subscription_id)
        if subscription is None:
            return
        self._ended.append((subscription_id, subscription.end_message(ua.StatusCodes.GoodSubscriptionTransferred)))
        while self._serve_one():
            pass
        if not self.subscriptions:
            self._refuse_all(ua.StatusCodes.BadNoSubscription)

    async def change_rhythm(self, subscription: Subscription, rhythm: Rhythm) -> None:
        """Publish in another rhythm; the next cycle comes after one new interval."""
        await subscription.change_rhythm(rhythm)
        task = self._asleep.pop(subscription.id, None)
        if task is not None:
            task.cancel()
            self._start(subscription, rhythm.interval_ms / 1000)

    def belong_to(self, caller: Caller) -> None:
        """Another user has taken over the session."""
        for subscription in self.subscriptions.values():
            subscription.belong_to(caller)

    def close(self) -> None:
        """End everything; waiting requests are told that the session is gone."""
        self._refuse_all(ua.StatusCodes.BadSessionClosed)
        for subscription_id in list(self.subscriptions):
            self.remove(subscription_id)

    def retire(self) -> None:
        """The session has ended: its subscriptions go on until their lifetime ends or another session takes them."""
        self._refuse_all(ua.StatusCodes.BadSessionClosed)
        self._ended.clear()
        if self._orphaned is None:
            self.close()
        elif self.subscriptions:
            self._orphaned(self)

    def cancel(self, handle: int) -> int:
        """Answer the waiting requests of a handle with BadRequestCancelledByClient; how many there were."""
        cancelled = [each for each in self._requests if each.request.header.RequestHandle == handle]
        for waiting in cancelled:
            self._requests.remove(waiting)
            waiting.request.refuse(ua.StatusCodes.BadRequestCancelledByClient)
        return len(cancelled)

    def forget_requests(self) -> None:
        """The connection on which the requests came is gone."""
        self._requests.clear()

    # --- requests

    @property
    def waiting(self) -> int:
        """How many Publish requests wait for something to say."""
        return len(self._requests)

    def publish(self, request: Request, acknowledgements: Sequence[ua.SubscriptionAcknowledgement]) -> None:
        """Answer a Publish now or when there is something to say. Raises ServiceRefused."""
        if not self.subscriptions and not self._ended:
            raise ServiceRefused(ua.StatusCodes.BadNoSubscription)
        results = [self._acknowledge(each) for each in acknowledgements]
        for subscription in self.subscriptions.values():
            subscription.lonely_cycles = 0
        self._drop_expired()
        if len(self._requests) >= self._limits.publish_requests:
            self._requests.popleft().request.refuse(ua.StatusCodes.BadTooManyPublishRequests)
        self._requests.append(_Waiting(request, results))
        if self._serve_one() and self._requests:
            self._tasks.start(self._serve(), "late publishing")

    # --- cycles

    def _start(self, subscription: Subscription, delay_s: float) -> None:
        self._tasks.start(self._run(subscription, delay_s), f"subscription {subscription.id}")

    async def _run(self, subscription: Subscription, delay_s: float) -> None:
        """The cycles of one subscription, until it is removed."""
        next_s = self._clock.monotonic() + delay_s
        while self.subscriptions.get(subscription.id) is subscription:
            if next_s > self._clock.monotonic():
                await self._sleep(subscription.id, next_s - self._clock.monotonic())
            await self._cycle(subscription)
            next_s = max(next_s + subscription.rhythm.interval_ms / 1000, self._clock.monotonic())

    async def _sleep(self, subscription_id: int, seconds: float) -> None:
        """Wait for the next cycle, as long as nobody wakes it by cancelling."""
        task = asyncio.current_task()
        assert task is not None  # noqa: S101 - it runs in one
        self._asleep[subscription_id] = task
        await self._clock.sleep(seconds)
        del self._asleep[subscription_id]

    async def _cycle(self, subscription: Subscription) -> None:
        if subscription.closed:
            return
        await subscription.sample()
        if self.subscriptions.get(subscription.id) is not subscription:
            return
        subscription.silent_cycles += 1
        self._drop_expired()
        if not self._requests:
            subscription.lonely_cycles += 1
            if subscription.lonely_cycles > subscription.rhythm.lifetime:
                self._ended.append((subscription.id, subscription.end_message(ua.StatusCodes.BadTimeout)))
                self.remove(subscription.id)
                return
        if subscription.may_have_news or subscription.must_send:
            if not self._requests and subscription.id not in self._late:
                subscription.counts.late += 1
            self._late.setdefault(subscription.id)
            await self._serve()

    def _let_go(self, subscription_id: int) -> Subscription | None:
        subscription = self.subscriptions.pop(subscription_id, None)
        self._late.pop(subscription_id, None)
        task = self._asleep.pop(subscription_id, None)
        if task is not None:
            task.cancel()
        return subscription

    # --- answers

    async def _serve(self) -> None:
        """Answer requests as long as there is something to say, with turns for others after each message."""
        while self._serve_one():  # noqa: ASYNC110 - a turn for others, nothing is waited for
            await asyncio.sleep(0)

    def _serve_one(self) -> bool:
        """Take one step towards an answer; False when there is nothing to answer or nothing to say."""
        if not self._requests:
            return False
        if self._ended:
            self._send(*self._ended.popleft(), [], more=False)
            return True
        room = self._requests[0].request.line.room
        while self._late:
            # The first of the highest priority: `max` keeps the order of those that are equal.
            chosen = max(self._late, key=lambda each: self.subscriptions[each].rhythm.priority)
            subscription = self.subscriptions[chosen]
            message = subscription.message(room)
            if message is None and subscription.may_have_news:
                return True
            del self._late[chosen]
            if message is None:
                continue
            if message.more:
                self._late[chosen] = None
            self._send(chosen, message.body, subscription.available, more=message.more)
            return True
        return False

    def _send(self, subscription_id: int, message: bytes, available: list[int], *, more: bool) -> None:
        waiting = self._requests.popleft()
        request = waiting.request
        body = publish_response(
            self._clock.now(),
            request.header.RequestHandle,
            subscription_id,
            available,
            message,
            waiting.results,
            more=more,
        )
        request.answer_packed(body)

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
