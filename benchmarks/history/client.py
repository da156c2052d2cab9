"""HistoryRead by the load client: what is asked for is checked value by value once, and byte by byte ever after."""

from __future__ import annotations

import random
import time
from collections.abc import Sequence
from datetime import UTC, datetime, timedelta
from struct import Struct
from struct import error as StructError  # noqa: N812 - struct names its exception in lower case
from typing import Any, Final, NamedTuple, Protocol
from zlib import crc32

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary

from benchmarks import usage
from benchmarks.connection import Connection
from benchmarks.frames import Unexpected, read_head
from benchmarks.work import split_request

VALUES: Final = 100_000
FAR: Final = 1_000_000  # values of the variable whose times lie far apart, on our server only
PAGE: Final = 10_000
START: Final = datetime(2025, 1, 1, tzinfo=UTC)
_HOUR_MS: Final = 3_600_000.0
_TIMES: Final = 1_000
_RESPONSE: Final = ua.ObjectIds.HistoryReadResponse_Encoding_DefaultBinary
_DATA: Final = ua.ObjectIds.HistoryData_Encoding_DefaultBinary
_COUNT_AND_STATUS: Final = Struct("<iI")
_BODY: Final = Struct("<BBHBi")  # type in the four-byte form, encoding 1, length
_I32: Final = Struct("<i")
_NULL: Final = _I32.pack(-1)


def value(index: int) -> float:
    """What both servers remember of second `index` behind START."""
    return (index * 7919 % 100_003) / 10


class Answer(NamedTuple):
    """One result of a HistoryRead of one node: the encoded HistoryData, and where to go on."""

    token: bytes
    data: bytes


def read_answer(message: bytes) -> Answer:
    """The parts of a HistoryRead answer for one node. Raises Unexpected when it has no Good result of that form."""
    head = read_head(message)
    if head.type_id != _RESPONSE or head.result:
        raise Unexpected(f"HistoryRead answered with type {head.type_id}, status 0x{head.result:08X}")
    try:
        count, status = _COUNT_AND_STATUS.unpack_from(message, head.body)
        if count != 1 or status:
            raise Unexpected(f"{count} results, the first with status 0x{status:08X}")
        at = head.body + _COUNT_AND_STATUS.size
        length = max(_I32.unpack_from(message, at)[0], 0)
        token = message[at + 4 : at + 4 + length]
        at += 4 + length
        kind, namespace, type_id, encoding, size = _BODY.unpack_from(message, at)
    except StructError as short:
        raise Unexpected(f"an answer of {len(message)} bytes ends too early") from short
    at += _BODY.size
    if (kind, namespace, type_id, encoding) != (1, 0, _DATA, 1) or at + size > len(message):
        raise Unexpected(f"no HistoryData but type {type_id} of {size} bytes")
    return Answer(token, message[at : at + size])


class HistoryJob(Protocol):
    """Something that is read again and again."""

    def run(self) -> int:
        """Read it once; how many values came. Raises Unexpected when they are not right."""
        ...


class _Reads:
    """HistoryRead of one node on one connection, one request at a time."""

    def __init__(self, connection: Connection, node: ua.NodeId, details: Any) -> None:
        self._connection = connection
        request: Any = ua.HistoryReadRequest()
        request.Parameters.HistoryReadDetails = details
        request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Source
        request.Parameters.ReleaseContinuationPoints = False  # True in asyncua when it is not given
        request.Parameters.NodesToRead = [ua.HistoryReadValueId(NodeId=node)]
        type_id, parameters = split_request(request)
        # The continuation point is the last field of the request's only node.
        self._body = connection.header(type_id) + parameters.removesuffix(_NULL)
        self._checked: list[int] = []  # of each page: its check sum

    def _page(self, number: int, token: bytes) -> tuple[Answer, Sequence[Any] | None]:
        """A page, and its values the first time; later it has to be the same bytes."""
        self._connection.send(self._body + (_I32.pack(len(token)) + token if token else _NULL))
        _request, message = self._connection.receive()
        answer = read_answer(message)
        total = crc32(answer.data)
        if number < len(self._checked):
            if self._checked[number] != total:
                raise Unexpected(f"page {number} has changed")
            return answer, None
        self._checked.append(total)
        found: Any = struct_from_binary(ua.HistoryData, Buffer(answer.data))
        return answer, found.DataValues


class Pages(_Reads):
    """All raw values of a node in pages."""

    def __init__(self, connection: Connection, node: ua.NodeId, values: int = VALUES) -> None:
        # Behind the last value, and before what our node says of the time that nobody recorded.
        end = START + timedelta(seconds=values - 1, milliseconds=1)
        # Both flags, too, are True when they are not given.
        details = ua.ReadRawModifiedDetails(False, START, end, ua.UInt32(PAGE), False)
        super().__init__(connection, node, details)
        self._values = values

    def run(self) -> int:
        """See HistoryJob."""
        token, number, count = b"", 0, 0
        while number == 0 or token:
            (token, data), found = self._page(number, token)
            for index, got in enumerate(found or (), number * PAGE):
                if got.SourceTimestamp != START + timedelta(seconds=index) or got.Value.Value != value(index):
                    raise Unexpected(f"value {index} is {got.Value.Value} at {got.SourceTimestamp}")
            count += _I32.unpack_from(data)[0]
            number += 1
        if count != self._values:
            raise Unexpected(f"{count} of {self._values} values")
        return count


class Averages(_Reads):
    """Hourly TimeAverage2 over a day of values."""

    def __init__(self, connection: Connection, node: ua.NodeId) -> None:
        kind = ua.NodeId(ua.Int32(ua.ObjectIds.AggregateFunction_TimeAverage2))
        end = START + timedelta(days=1)
        details = ua.ReadProcessedDetails(
            StartTime=START, EndTime=end, ProcessingInterval=_HOUR_MS, AggregateType=[kind]
        )
        super().__init__(connection, node, details)

    def run(self) -> int:
        """See HistoryJob."""
        (token, data), found = self._page(0, b"")
        for hour, got in enumerate(found or ()):
            # A point that is recorded when it changes holds its value until the next.
            wanted = sum(map(value, range(3600 * hour, 3600 * (hour + 1)))) / 3600
            if abs(got.Value.Value - wanted) > 1e-6:
                raise Unexpected(f"hour {hour} has {got.Value.Value} in place of {wanted}")
        if token or _I32.unpack_from(data)[0] != 24:
            raise Unexpected("not a day of hours")
        return 24


class AtTimes(_Reads):
    """Values at times that lie about a block apart, none of them a sample's."""

    def __init__(self, connection: Connection, node: ua.NodeId, times: int = _TIMES) -> None:
        self._seconds = sorted(random.Random(1).sample(range(FAR - 1), times))
        half = timedelta(seconds=0.5)
        asked = [START + timedelta(seconds=second) + half for second in self._seconds]
        super().__init__(connection, node, ua.ReadAtTimeDetails(ReqTimes=asked, UseSimpleBounds=False))

    def run(self) -> int:
        """See HistoryJob."""
        (token, data), found = self._page(0, b"")
        for second, got in zip(self._seconds, found or (), strict=False):
            if got.Value.Value != value(second):
                raise Unexpected(f"second {second} and a half has {got.Value.Value} in place of {value(second)}")
        count = _I32.unpack_from(data)[0]
        if token or count != len(self._seconds):
            raise Unexpected(f"{count} of {len(self._seconds)} values")
        return int(count)


def history_window(job: HistoryJob, pid: int, seconds: float) -> dict[str, float]:
    """Read again and again for some seconds: values, reads, and what both processes used for them."""
    clock = time.perf_counter
    took: list[float] = []
    values = 0
    before, client, began = usage.cpu_s(pid), time.process_time(), clock()
    while not took or clock() < began + seconds:
        at = clock()
        values += job.run()
        took.append(clock() - at)
    ended = clock()
    return {
        "seconds": ended - began,
        "values": values,
        "reads": len(took),
        "longest_s": max(took),
        "median_s": _median(took),
        "server_cpu_s": usage.cpu_s(pid) - before,
        "client_cpu_s": time.process_time() - client,
    }


def _median(took: Sequence[float]) -> float:
    return sorted(took)[len(took) // 2]
