"""Clients that come and go, and many that stay."""

from __future__ import annotations

import selectors
import time
from collections.abc import Sequence
from contextlib import ExitStack
from typing import Any, Final

from asyncua import ua

from benchmarks import usage
from benchmarks.connection import Connection
from benchmarks.frames import Unexpected
from benchmarks.subscriber import Subscriber

_STAY_S: Final = 0.5


def come_and_go(url: str, nodes: Sequence[ua.NodeId], seconds: float) -> int:
    """Connect, subscribe to all nodes, stay a moment, leave: in good order or without a word. Returns how often."""
    rounds, end = 0, time.perf_counter() + seconds
    while time.perf_counter() < end:
        with Connection(url) as connection:
            subscriber = Subscriber(connection, nodes, 100.0)
            subscriber.until(time.perf_counter() + _STAY_S)
            if rounds % 2:
                connection.close = _nothing  # type: ignore[method-assign]  # it drops the line instead
        rounds += 1
    return rounds


def _nothing() -> None:
    pass


def left_behind(url: str, node: ua.NodeId, pid: int, times: int, rest_s: float) -> dict[str, float]:
    """Bytes of the server's memory that a client leaves behind: `times` visits to warm up, then as many that count."""
    _visit(url, node, times)
    time.sleep(rest_s)
    before = usage.rss_bytes(pid)
    _visit(url, node, times)
    time.sleep(rest_s)
    return {"bytes": (usage.rss_bytes(pid) - before) / times}


def _visit(url: str, node: ua.NodeId, times: int) -> None:
    for _ in range(times):
        with Connection(url) as connection:
            request: Any = ua.ReadRequest()
            request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)]
            connection.call(request, ua.ReadResponse)


class Crowd:
    """Many clients in one process, each with a subscription of its own."""

    def __init__(self, url: str, nodes: Sequence[ua.NodeId], clients: int, items: int, interval_ms: float) -> None:
        self._stack = ExitStack()
        self._subscribers: list[Subscriber] = []
        self._selector = selectors.DefaultSelector()
        for client in range(clients):
            first = client * items % max(len(nodes) - items + 1, 1)
            connection = self._stack.enter_context(Connection(url))
            # A queue longer than one, so that what is missing was lost and not overwritten.
            subscriber = Subscriber(
                connection, nodes[first : first + items], interval_ms, first=first, queue=10, outstanding=3
            )
            self._subscribers.append(subscriber)
            self._selector.register(connection, selectors.EVENT_READ, subscriber)
            self._drain(0.0)

    def close(self) -> None:
        """End all sessions."""
        self._selector.close()
        self._stack.close()

    def _drain(self, wait_s: float) -> None:
        for key, _events in self._selector.select(wait_s):
            subscriber: Subscriber = key.data
            subscriber.connection.poll()
            while subscriber.connection.ready:
                subscriber.take_any()

    def until(self, moment: float) -> None:
        """Take what comes until a moment."""
        while (left := moment - time.perf_counter()) > 0:
            self._drain(left)

    def window(self, pid: int, seconds: float, period_s: float) -> dict[str, float]:
        """Count for some seconds. Lost is what the sampled items skipped, or what never came."""
        taken = sum(subscriber.notifications for subscriber in self._subscribers)
        missed = sum(subscriber.checker.missed for subscriber in self._subscribers)
        began, server, client = time.perf_counter(), usage.cpu_s(pid), time.process_time()
        self.until(began + seconds)
        ended = time.perf_counter()
        result = {
            "seconds": ended - began,
            "notifications": sum(subscriber.notifications for subscriber in self._subscribers) - taken,
            "server_cpu_s": usage.cpu_s(pid) - server,
            "client_cpu_s": time.process_time() - client,
            "lost": sum(subscriber.checker.missed for subscriber in self._subscribers) - missed,
        }
        newest = max(subscriber.checker.newest for subscriber in self._subscribers)
        if any(newest - subscriber.checker.newest > 1 + 3 / period_s for subscriber in self._subscribers):
            raise Unexpected("a client of the crowd gets nothing any more")
        return result
