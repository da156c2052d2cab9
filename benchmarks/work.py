"""Services under load: several requests outstanding, answers counted from raw bytes.

The first answer to each different request is taken apart by asyncua's codec and looked at; every later one must have
the same type, status and, where values have a fixed size, length.
"""

from __future__ import annotations

import time
from array import array
from collections import deque
from collections.abc import Callable, Sequence
from dataclasses import asdict, dataclass
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from benchmarks import pattern, usage
from benchmarks.connection import Connection
from benchmarks.frames import (
    BROWSE_RESPONSE,
    CALL_RESPONSE,
    READ_RESPONSE,
    WRITE_RESPONSE,
    Unexpected,
    read_head,
)
from benchmarks.single import summary
from benchmarks.subscriber import node_id

_OUTSTANDING: Final = 4
_AT_ONCE: Final = 100  # nodes of a Read or Write
_BROWSED: Final = 10  # nodes of a Browse: an object and some of its variables


@dataclass(frozen=True, slots=True)
class Job:
    """Requests in turns, all of one service. `fixed` when an answer's length tells that it is complete."""

    response: int
    kind: type[Any]
    requests: Sequence[Any]
    count: Callable[[Any], int]  # work done by an answer; raises Unexpected for one that is not right
    fixed: bool = True


@dataclass(frozen=True, slots=True)
class WorkWindow:
    """What one window came to."""

    seconds: float
    work: int
    requests: int
    server_cpu_s: float
    client_cpu_s: float
    p50_us: float
    p99_us: float
    max_us: float


class Pipeline:
    """Keeps requests outstanding on one connection."""

    def __init__(self, connection: Connection, job: Job) -> None:
        self._connection = connection
        self._job = job
        self._bodies: list[bytes] = []
        self._lengths: list[int] = []
        self._work: list[int] = []
        for request in job.requests:
            type_id, parameters = split_request(request)
            self._bodies.append(connection.header(type_id) + parameters)

    def probe(self) -> None:
        """Do each request once and look at its answer. Raises Unexpected."""
        for body in self._bodies:
            self._connection.send(body)
            _request, message = self._connection.receive()
            self._check(message)
            self._work.append(self._job.count(struct_from_binary(self._job.kind, Buffer(message))))
            self._lengths.append(len(message))

    def window(self, pid: int, seconds: float) -> WorkWindow:
        """Keep the server busy for some seconds; ends with nothing outstanding."""
        connection, count = self._connection, len(self._bodies)
        sent: deque[tuple[int, int, float]] = deque()
        took: array[float] = array("d")
        work = turn = 0
        clock = time.perf_counter
        before, client, began = usage.cpu_s(pid), time.process_time(), clock()
        end = began + seconds
        while True:
            while len(sent) < _OUTSTANDING and clock() < end:
                index = turn % count
                sent.append((connection.send(self._bodies[index]), index, clock()))
                turn += 1
            if not sent:
                break
            request, message = connection.receive()
            place = 0 if sent[0][0] == request else next(n for n, entry in enumerate(sent) if entry[0] == request)
            _request, index, left = sent[place]
            del sent[place]
            took.append(clock() - left)
            self._check(message)
            if self._job.fixed and len(message) != self._lengths[index]:
                raise Unexpected(f"an answer of {len(message)} bytes, before of {self._lengths[index]}")
            work += self._work[index]
        ended, after = clock(), usage.cpu_s(pid)
        trips = summary(took)
        return WorkWindow(
            seconds=ended - began,
            work=work,
            requests=turn,
            server_cpu_s=after - before,
            client_cpu_s=time.process_time() - client,
            p50_us=trips.p50_us,
            p99_us=trips.p99_us,
            max_us=trips.max_us,
        )

    def _check(self, message: bytes) -> None:
        head = read_head(message)
        if head.type_id != self._job.response or head.result:
            raise Unexpected(f"{self._job.kind.__name__}: type {head.type_id}, status 0x{head.result:08X}")
        if head.type_id == WRITE_RESPONSE and any(message[head.body + 4 : head.body + 4 + 4 * _AT_ONCE]):
            raise Unexpected("a Write was refused")
        if head.type_id == CALL_RESPONSE and any(message[head.body + 4 : head.body + 8]):
            raise Unexpected("a Call was refused")


def split_request(request: Any) -> tuple[int, bytes]:
    """Type id of an encoded request, and its bytes behind the header."""
    request.RequestHeader.AuthenticationToken = ua.NodeId()
    plain = struct_to_binary(request)
    return int.from_bytes(plain[2:4], "little"), plain[4 + len(struct_to_binary(request.RequestHeader)) :]


def run_job(connection: Connection, job: Job, pid: int, windows: int, window_s: float) -> list[dict[str, object]]:
    """Windows of one service, behind a short one that does not count."""
    pipeline = Pipeline(connection, job)
    pipeline.probe()
    pipeline.window(pid, min(window_s, 1.0))
    return [asdict(pipeline.window(pid, window_s)) for _ in range(windows)]


# --- the services ------------------------------------------------------------------------------------


def reads(space: int, points: int, per_device: int) -> Job:
    """Read 100 values at once, in the order of the points."""
    names = list(pattern.node_ids(points, per_device))
    requests = []
    for first in range(0, len(names) - _AT_ONCE + 1, _AT_ONCE):
        request: Any = ua.ReadRequest()
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
        request.Parameters.NodesToRead = [
            ua.ReadValueId(NodeId=node_id(name, space), AttributeId=ua.AttributeIds.Value)
            for name in names[first : first + _AT_ONCE]
        ]
        requests.append(request)
    return Job(READ_RESPONSE, ua.ReadResponse, requests, _values)


def _values(answer: Any) -> int:
    for result in answer.Results:
        if result.StatusCode is not None and not result.StatusCode.is_good():
            raise Unexpected(f"a read value has the status {result.StatusCode}")
        if not isinstance(result.Value.Value, float):
            raise Unexpected(f"a read value is {result.Value!r}")
    return len(answer.Results)


def writes(space: int) -> Job:
    """Write 100 values at once; each request changes all of them."""
    requests = []
    for value in (1.0, 2.0):
        for number in range(pattern.EXTRA):
            request: Any = ua.WriteRequest()
            request.Parameters.NodesToWrite = [
                _write(node_id(f"{pattern.settings_id(number)}.{pattern.point_id(index)}", space), value + index)
                for index in range(_AT_ONCE)
            ]
            requests.append(request)
    return Job(WRITE_RESPONSE, ua.WriteResponse, requests, _written)


def _write(node: ua.NodeId, value: float) -> ua.WriteValue:
    data_value: Any = ua.DataValue
    given = data_value(ua.Variant(value, ua.VariantType.Double), SourceTimestamp=None, ServerTimestamp=None)
    return ua.WriteValue(NodeId=node, AttributeId=ua.AttributeIds.Value, Value=given)


def _written(answer: Any) -> int:
    for result in answer.Results:
        if not result.is_good():
            raise Unexpected(f"a Write was answered {result}")
    return len(answer.Results)


def calls(space: int) -> Job:
    """Call a method with two Doubles, on several objects in turns."""
    requests = []
    for value in (1.0, 2.0):
        for number in range(pattern.EXTRA):
            name = pattern.adder_id(number)
            request: Any = ua.CallRequest()
            request.Parameters.MethodsToCall = [
                ua.CallMethodRequest(
                    ObjectId=node_id(name, space),
                    MethodId=node_id(f"{name}.{pattern.METHOD}", space),
                    InputArguments=[ua.Variant(value, ua.VariantType.Double), ua.Variant(3.0, ua.VariantType.Double)],
                )
            ]
            requests.append(request)
    # Its answer has texts of different lengths.
    return Job(CALL_RESPONSE, ua.CallResponse, requests, _called, fixed=False)


def _called(answer: Any) -> int:
    result = answer.Results[0]
    if not result.StatusCode.is_good() or not result.OutputArguments:
        raise Unexpected(f"a Call was answered {result.StatusCode}")
    return 1


def browses(space: int, points: int, per_device: int) -> Job:
    """Browse an object and some of its variables: all references, both directions, all that can be told of them."""
    names = list(pattern.node_ids(points, per_device))
    requests = []
    for first in range(0, len(names), per_device):
        request: Any = ua.BrowseRequest()
        browsed = [names[first].partition(".")[0], *names[first : first + _BROWSED - 1]]
        request.Parameters.NodesToBrowse = [_browse(node_id(name, space)) for name in browsed]
        requests.append(request)
    return Job(BROWSE_RESPONSE, ua.BrowseResponse, requests, _references)


def _browse(node: ua.NodeId) -> ua.BrowseDescription:
    return ua.BrowseDescription(
        NodeId=node,
        BrowseDirection=ua.BrowseDirection.Both,
        ReferenceTypeId=ua.NodeId(),
        IncludeSubtypes=True,
        NodeClassMask=ua.UInt32(0),
        ResultMask=ua.UInt32(63),
    )


def _references(answer: Any) -> int:
    for result in answer.Results:
        if not result.StatusCode.is_good() or result.ContinuationPoint:
            raise Unexpected(f"a Browse was answered {result.StatusCode}, cut: {bool(result.ContinuationPoint)}")
    return sum(len(result.References) for result in answer.Results)
