"""The load client: subscribes, counts notifications from raw bytes, and reads the server's CPU over the same window.

A process of its own, so that it shares no interpreter with what it measures:
`python -m benchmarks.load_client URL --namespace URI --server-pid PID ...` prints one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from array import array
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from struct import Struct
from typing import Any, Final, cast

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from benchmarks import pattern, usage
from benchmarks.connection import Connection
from benchmarks.frames import PUBLISH_RESPONSE, READ_RESPONSE, Publish, Unexpected, columns, read_head, read_publish

_PUBLISH: Final = 826
_READ: Final = 631
_OUTSTANDING: Final = 10  # Publish requests that wait at the server
_CREATE_AT_ONCE: Final = 500  # items a request; a request must fit one chunk
_ACK: Final = Struct("<iII")  # one acknowledgement: subscription, sequence number
_COUNT: Final = Struct("<i")
_READ_LIST: Final = Struct("<dii")  # MaxAge, TimestampsToReturn, number of nodes


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


@dataclass(slots=True)
class Reads:
    """Round trips of single reads, in microseconds."""

    count: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float


class Checker:
    """Looks at the values of some items: right item, right order, and how many passes were skipped."""

    def __init__(self, items: int) -> None:
        self._last: dict[int, int] = dict.fromkeys(pattern.sampled(items), -1)
        self._where = {handle: handle for handle in self._last}
        self.newest = -1
        self.missed = 0

    def check(self, handles: array[int], values: array[float]) -> None:
        """Raises Unexpected for a value of another item, or one that goes back in time."""
        count = len(handles)
        for handle, where in self._where.items():
            at = where
            if at >= count or handles[at] != handle:
                if handle not in handles:
                    continue
                at = self._where[handle] = handles.index(handle)
            self._take(handle, values[at])

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
    """One subscription on many items; keeps Publish requests outstanding and counts what comes."""

    def __init__(self, connection: Connection, nodes: Sequence[ua.NodeId], interval_ms: float) -> None:
        self._connection = connection
        self._checker = Checker(len(nodes))
        self._sequence = 0
        self.notifications = self.answers = self.bad = 0
        began = time.perf_counter()
        self._id = self._subscribe(interval_ms)
        for first in range(0, len(nodes), _CREATE_AT_ONCE):
            self._create(nodes[first : first + _CREATE_AT_ONCE], first)
        self.create_s = time.perf_counter() - began
        for _ in range(_OUTSTANDING):
            connection.send(connection.header(_PUBLISH) + _COUNT.pack(-1))

    def _subscribe(self, interval_ms: float) -> int:
        request: Any = ua.CreateSubscriptionRequest()
        request.Parameters.RequestedPublishingInterval = interval_ms
        request.Parameters.RequestedLifetimeCount = 10_000
        request.Parameters.RequestedMaxKeepAliveCount = 100
        request.Parameters.PublishingEnabled = True
        created = self._connection.call(request, ua.CreateSubscriptionResponse).Parameters
        if created.RevisedPublishingInterval > interval_ms:
            print(f"publishing interval revised to {created.RevisedPublishingInterval} ms", file=sys.stderr)
        return int(created.SubscriptionId)

    def _create(self, nodes: Sequence[ua.NodeId], first: int) -> None:
        request: Any = ua.CreateMonitoredItemsRequest()
        request.Parameters.SubscriptionId = self._id
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.ItemsToCreate = [_item(node, first + offset) for offset, node in enumerate(nodes)]
        results: Any = self._connection.call(request, ua.CreateMonitoredItemsResponse).Results
        for result, node in zip(results, nodes, strict=True):
            if not result.StatusCode.is_good():
                raise Unexpected(f"{node.to_string()}: {result.StatusCode}")

    def take(self) -> Publish:
        """Count the next Publish answer. Raises Unexpected for a gap, wrong values or a failed service."""
        while True:
            _request, message = self._connection.receive()
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
            self._connection.send(self._connection.header(_PUBLISH) + acknowledgement)
            if not publish.items:
                continue
            items = columns(message, publish.first, publish.end, publish.items)
            self._checker.check(items.handles, items.values)
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
        checker = self._checker
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


def _item(node: ua.NodeId, handle: int) -> ua.MonitoredItemCreateRequest:
    item = ua.MonitoredItemCreateRequest()
    item.ItemToMonitor = ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
    item.MonitoringMode = ua.MonitoringMode.Reporting
    item.RequestedParameters = ua.MonitoringParameters(
        ClientHandle=handle, SamplingInterval=0.0, QueueSize=1, DiscardOldest=True
    )
    return item


# --- reads -----------------------------------------------------------------------------------------


def node_id(identifier: str | int, space: int) -> ua.NodeId:
    """A NodeId with a string or a number."""
    found: ua.NodeId = cast(Any, ua.NodeId)(identifier, space)
    return found


def namespace_index(connection: Connection, uri: str) -> int:
    """Index of a namespace. Raises Unexpected when the server does not have it."""
    request: Any = ua.ReadRequest()
    array_node = node_id(ua.ObjectIds.Server_NamespaceArray, 0)
    request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=array_node, AttributeId=ua.AttributeIds.Value)]
    answer: Any = connection.call(request, ua.ReadResponse)
    uris = answer.Results[0].Value.Value
    if uri not in uris:
        raise Unexpected(f"the server has no namespace {uri}: {', '.join(uris)}")
    return int(uris.index(uri))


def single_reads(connection: Connection, node: ua.NodeId, seconds: float) -> Reads:
    """Read one value again and again, one request at a time. Raises Unexpected when a read fails."""
    value_id = struct_to_binary(ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value))
    rest = _READ_LIST.pack(0.0, ua.TimestampsToReturn.Both, 1) + value_id
    took: array[float] = array("d")
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        connection.send(connection.header(_READ) + rest)
        _request, message = connection.receive()
        took.append(time.perf_counter() - began)
        head = read_head(message)
        if head.type_id != READ_RESPONSE or head.result:
            raise Unexpected(f"Read answered with type {head.type_id}, status 0x{head.result:08X}")
    ordered = sorted(took)
    at = [ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1e6 for part in (0.5, 0.99, 0.999, 1.0)]
    return Reads(len(ordered), *at)


def read_all(connection: Connection, nodes: Sequence[ua.NodeId]) -> int:
    """Read the value of every node, 200 a request; returns how many were Good."""
    good = 0
    for first in range(0, len(nodes), 200):
        request: Any = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value) for node in nodes[first : first + 200]
        ]
        answer: Any = connection.call(request, ua.ReadResponse)
        good += sum(result.StatusCode is None or result.StatusCode.is_good() for result in answer.Results)
    return good


# --- command line ------------------------------------------------------------------------------------


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job against a running server and print its result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_client", description=__doc__)
    parser.add_argument("job", choices=("subscribe", "reads", "properties"))
    parser.add_argument("url")
    parser.add_argument("--namespace", required=True, help="URI of the points' namespace")
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--per-device", type=int, default=100)
    parser.add_argument("--interval-ms", type=float, default=1000.0)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=8.0)
    options = parser.parse_args(arguments)
    with Connection(options.url) as connection:
        space = namespace_index(connection, options.namespace)
        names = list(pattern.node_ids(options.points, options.per_device))
        result: dict[str, object]
        if options.job == "subscribe":
            result = _subscribe(connection, [node_id(name, space) for name in names], options)
        elif options.job == "reads":
            result = asdict(single_reads(connection, node_id(names[len(names) // 2], space), options.window_s))
        else:
            properties = [node_id(f"{name}.{end}", space) for name in names for end in ("EURange", "EngineeringUnits")]
            good = read_all(connection, properties)
            result = {"read": len(properties), "good": good, "rss": usage.rss_bytes(options.server_pid)}
    json.dump(result, sys.stdout)
    return 0


def _subscribe(connection: Connection, nodes: Sequence[ua.NodeId], options: argparse.Namespace) -> dict[str, object]:
    pid = options.server_pid
    before = usage.rss_bytes(pid)
    subscriber = Subscriber(connection, nodes, options.interval_ms)
    subscriber.settle(len(nodes), 2.0)
    # Nothing that lives now is garbage; the collector need not walk it in a window.
    gc.collect()
    gc.freeze()
    print("counting", file=sys.stderr, flush=True)
    windows = [asdict(subscriber.window(pid, options.window_s)) for _ in range(options.windows)]
    return {"create_s": subscriber.create_s, "rss_before": before, "rss": usage.rss_bytes(pid), "windows": windows}


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Unexpected, OSError) as failed:
        print(f"load client {os.getpid()}: {failed}", file=sys.stderr)
        sys.exit(1)
