"""A subscription on many items that counts what comes from raw bytes."""

from __future__ import annotations

import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, cast

from asyncua import ua

from benchmarks import pattern, usage
from benchmarks.connection import Connection
from benchmarks.frames import PUBLISH_RESPONSE, Publish, Unexpected, columns, read_head, read_publish

_PUBLISH: Final = 826
_CREATE_AT_ONCE: Final = 500  # items a request; a request must fit one chunk
_ACK: Final = Struct("<iII")  # one acknowledgement: subscription, sequence number
_COUNT: Final = Struct("<i")


@dataclass(slots=True)
class Window:
    """What one window of counting came to."""

    seconds: float
    notifications: int
    answers: int
    server_cpu_s: float
    client_cpu_s: float
    passes: int  # update passes of the server that were seen to begin in the window
    missed: int  # values that the sampled items skipped
    bad: int  # notifications without a value


class Checker:
    """Looks at the values of some items: right item, right order, and how many passes were skipped."""

    def __init__(self, first: int, items: int, *, queued: bool = False) -> None:
        """Handles are `first` and up; `queued` when items have a queue longer than 1."""
        self._queued = queued
        self._last: dict[int, int] = {first + index: -1 for index in pattern.sampled(items)}
        self._where = {handle: handle - first for handle in self._last}
        self.newest = -1
        self.missed = 0

    def check(self, handles: array[int], values: array[float]) -> None:
        """Raises Unexpected for a value of another item, or one that goes back in time."""
        count = len(handles)
        if self._queued:
            # An item may be there several times, once for each value that waited.
            for handle, got in zip(handles, values, strict=True):
                if handle in self._last:
                    self._take(handle, got)
            return
        for handle, where in self._where.items():
            at = where
            if at >= count or handles[at] != handle:
                if handle not in handles:
                    continue
                at = self._where[handle] = handles.index(handle)
            # An item with a queue may have several values in one message, one after the other.
            while at < count and handles[at] == handle:
                self._take(handle, values[at])
                at += 1

    def _take(self, handle: int, value: float) -> None:
        if value != value:  # noqa: PLR0124  # NaN: an item without a value
            return
        number = pattern.pass_of(handle, value)
        last = self._last[handle]
        if number is None or number < last:
            raise Unexpected(f"item {handle} has the value {value!r} after pass {last}")
        if last >= 0:
            self.missed += max(number - last - 1, 0)
        self._last[handle] = number
        self.newest = max(self.newest, number)


class Subscriber:
    """One subscription on many items; keeps Publish requests outstanding and counts what comes.

    `first` is the index of the first node; client handles are indices.
    """

    def __init__(
        self,
        connection: Connection,
        nodes: Sequence[ua.NodeId],
        interval_ms: float,
        *,
        first: int = 0,
        queue: int = 1,
        outstanding: int = 10,
    ) -> None:
        self.connection = connection
        self.checker = Checker(first, len(nodes), queued=queue > 1)
        self._queue = queue
        self._sequence = 0
        self.notifications = self.answers = self.bad = 0
        began = time.perf_counter()
        self._id = self._subscribe(interval_ms)
        for start in range(0, len(nodes), _CREATE_AT_ONCE):
            self._create(nodes[start : start + _CREATE_AT_ONCE], first + start)
        self.create_s = time.perf_counter() - began
        for _ in range(outstanding):
            connection.send(connection.header(_PUBLISH) + _COUNT.pack(-1))

    def _subscribe(self, interval_ms: float) -> int:
        request: Any = ua.CreateSubscriptionRequest()
        request.Parameters.RequestedPublishingInterval = interval_ms
        request.Parameters.RequestedLifetimeCount = 10_000
        request.Parameters.RequestedMaxKeepAliveCount = 100
        request.Parameters.PublishingEnabled = True
        created = self.connection.call(request, ua.CreateSubscriptionResponse).Parameters
        if created.RevisedPublishingInterval > interval_ms:
            print(f"publishing interval revised to {created.RevisedPublishingInterval} ms", file=sys.stderr)
        return int(created.SubscriptionId)

    def _create(self, nodes: Sequence[ua.NodeId], first: int) -> None:
        request: Any = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self._id
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ItemsToCreate = [
            _item(node, first + offset, self._queue) for offset, node in enumerate(nodes)
        ]
        results: Any = self.connection.call(request, ua.CreateMonitoredItemsResponse).Results
        for result, node in zip(results, nodes, strict=True):
            if not result.StatusCode.is_good():
                raise Unexpected(f"{node.to_string()}: {result.StatusCode}")

    def take(self) -> Publish:
        """Count the next Publish answer that has items."""
        while not (publish := self.take_any()).items:
            pass
        return publish

    def take_any(self) -> Publish:
        """Count the next Publish answer. Raises Unexpected for a gap, wrong values or a failed service."""
        _request, message = self.connection.receive()
        head = read_head(message)
        if head.type_id != PUBLISH_RESPONSE or head.result:
            raise Unexpected(f"Publish answered with type {head.type_id}, status 0x{head.result:08X}")
        publish = read_publish(message, head.body)
        acknowledgement = _COUNT.pack(-1)
        if publish.items:
            if self._sequence and publish.sequence != self._sequence + 1:
                raise Unexpected(f"message {publish.sequence} came after {self._sequence}")
            self._sequence = publish.sequence
            acknowledgement = _ACK.pack(1, self._id, publish.sequence)
        # A fresh request leaves before this answer is looked at, so that the server never waits for one.
        self.connection.send(self.connection.header(_PUBLISH) + acknowledgement)
        if not publish.items:
            return publish
        items = columns(message, publish.first, publish.end, publish.items)
        self.checker.check(items.handles, items.values)
        self.notifications += publish.items
        self.answers += 1
        self.bad += items.bad
        return publish

    def settle(self, items: int, seconds: float) -> None:
        """Take the first value of every item, then go on for a while."""
        while self.notifications < items:
            self.take()
        self.until(time.perf_counter() + seconds)

    def until(self, moment: float) -> None:
        """Count until a moment has passed and no rest of a message is to come."""
        while self.take().more or time.perf_counter() < moment:
            pass

    def window(self, pid: int, seconds: float) -> Window:
        """Count for some seconds; begins and ends behind a whole message."""
        checker = self.checker
        before = self.notifications, self.answers, checker.newest, checker.missed, self.bad
        began, server, client = time.perf_counter(), usage.cpu_s(pid), time.process_time()
        self.until(began + seconds)
        return Window(
            seconds=time.perf_counter() - began,
            notifications=self.notifications - before[0],
            answers=self.answers - before[1],
            server_cpu_s=usage.cpu_s(pid) - server,
            client_cpu_s=time.process_time() - client,
            passes=checker.newest - before[2],
            missed=checker.missed - before[3],
            bad=self.bad - before[4],
        )


def _item(node: ua.NodeId, handle: int, queue: int) -> ua.MonitoredItemCreateRequest:
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
    item.MonitoringMode = ua.MonitoringMode.Reporting
    item.RequestedParameters = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=0.0, QueueSize=queue, DiscardOldest=True
    )
    return item


def node_id(identifier: str | int, space: int) -> ua.NodeId:
    """A NodeId with a string or a number."""
    found: ua.NodeId = cast(Any, ua.NodeId)(identifier, space)
    return found
