"""Round trips one at a time: single reads of a server, and echoes of a process that does nothing else."""

from __future__ import annotations

import os
import socket
import time
from array import array
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Final

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from benchmarks.connection import Connection
from benchmarks.frames import READ_RESPONSE, Unexpected, read_head

_READ: Final = 631
_READ_LIST: Final = Struct("<dii")  # MaxAge, TimestampsToReturn, number of nodes
_ECHO_PAUSE_S: Final = 0.0005  # an echo without pauses would take what it measures


@dataclass(slots=True)
class Trips:
    """Round trips, in microseconds."""

    count: int
    p50_us: float
    p99_us: float
    p999_us: float
    max_us: float
    over_20_ms: int


def summary(took: array[float]) -> Trips:
    """Percentiles of round trips in seconds."""
    ordered = sorted(took)
    half, p99, p999, longest = (
        ordered[min(int(len(ordered) * part), len(ordered) - 1)] * 1e6 for part in (0.5, 0.99, 0.999, 1.0)
    )
    return Trips(len(ordered), half, p99, p999, longest, sum(1 for one in ordered if one > 0.02))


def single_reads(connection: Connection, node: ua.NodeId, seconds: float) -> Trips:
    """Read one value again and again, one request at a time. Raises Unexpected when a read fails."""
    value_id = struct_to_binary(ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value))
    body = connection.header(_READ) + _READ_LIST.pack(0.0, ua.TimestampsToReturn.Both, 1) + value_id

    def trip() -> None:
        connection.send(body)
        _request, message = connection.receive()
        head = read_head(message)
        if head.type_id != READ_RESPONSE or head.result:
            raise Unexpected(f"Read answered with type {head.type_id}, status 0x{head.result:08X}")

    return _repeat(trip, seconds)


def echoes(seconds: float) -> Trips:
    """Round trips to another process over a socket: what the machine itself adds to every answer."""
    near, far = socket.socketpair()
    child = os.fork()
    if child == 0:
        near.close()
        while data := far.recv(64):
            far.sendall(data)
        os._exit(0)
    far.close()

    def trip() -> None:
        near.sendall(b"?")
        near.recv(64)

    try:
        return _repeat(trip, seconds, _ECHO_PAUSE_S)
    finally:
        near.close()
        os.waitpid(child, 0)


def _repeat(trip: Callable[[], None], seconds: float, pause_s: float = 0.0) -> Trips:
    took: array[float] = array("d")
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        trip()
        took.append(time.perf_counter() - began)
        if pause_s:
            time.sleep(pause_s)
    return summary(took)
