"""The Modbus side of simulated devices: frames in, frames out, over TCP, RTU and RTU over TCP.

Written from the Modbus Application Protocol V1.1b3 and the Serial Line Guide V1.02, on purpose without the library
that the driver uses: what both get wrong in the same way would not be seen.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import Callable, Mapping
from enum import IntEnum
from typing import Final, Protocol

from address_space.model import Clock
from drivers.simulator.faults import Faults
from drivers.spec import Table

_MAX_BITS: Final = 2000  # application protocol section 6.1
_MAX_WRITE_BITS: Final = 1968  # section 6.11
_MAX_READ: Final = 125  # section 6.3
_MAX_WRITE: Final = 123  # section 6.12
_MAX_PDU: Final = 253  # section 4.1
# A frame that stays unfinished this long is noise: far above t1.5, as scheduling on a busy machine is no wire.
_FRAME_WITHIN_S: Final = 0.2
_TURNAROUND_S: Final = 0.005  # a slow controller's pause before it answers


class ExceptionCode(IntEnum):
    """Modbus exception codes (application protocol section 7)."""

    ILLEGAL_FUNCTION = 1
    ILLEGAL_ADDRESS = 2
    ILLEGAL_VALUE = 3
    DEVICE_FAILURE = 4
    NO_PATH = 10
    NO_TARGET = 11


class Refuse(Exception):
    """A request that is answered by an exception."""

    def __init__(self, code: int) -> None:
        super().__init__(code)
        self.code = code


class Unit(Protocol):
    """What answers under one unit address. Every method raises Refuse."""

    faults: Faults

    def read_words(self, table: Table, address: int, count: int) -> list[int]:
        """Words of consecutive registers."""
        ...

    def read_bits(self, table: Table, address: int, count: int) -> list[bool]:
        """Consecutive coils or discrete inputs."""
        ...

    def write_words(self, address: int, words: list[int], single: bool) -> None:
        """Write holding registers; `single` when it came by function 6."""
        ...

    def write_bits(self, address: int, bits: list[bool]) -> None:
        """Write coils."""
        ...


_READS: Final = {1: Table.COIL, 2: Table.DISCRETE, 3: Table.HOLDING, 4: Table.INPUT}


def answer(unit: Unit, pdu: bytes) -> bytes:
    """Response PDU to a request PDU; an exception response for what the device will not do."""
    function = pdu[0]
    try:
        if unit.faults.exception is not None:
            raise Refuse(unit.faults.exception)
        if function in (1, 2):
            return _read_bits(unit, function, pdu)
        if function in (3, 4):
            return _read_words(unit, function, pdu)
        if function == 5:
            return _write_coil(unit, pdu)
        if function == 6:
            address, word = _fields(pdu, ">HH")
            unit.write_words(address, [word], single=True)
            return pdu
        if function == 15:
            return _write_coils(unit, pdu)
        if function == 16:
            return _write_registers(unit, pdu)
        raise Refuse(ExceptionCode.ILLEGAL_FUNCTION)
    except Refuse as refusal:
        return bytes((function | 0x80, refusal.code))


def _fields(pdu: bytes, layout: str) -> tuple[int, int]:
    if len(pdu) != 1 + struct.calcsize(layout):
        raise Refuse(ExceptionCode.ILLEGAL_VALUE)
    first, second = struct.unpack(layout, pdu[1:])
    return first, second


def _counted(pdu: bytes, layout: str, most: int) -> tuple[int, int]:
    address, count = _fields(pdu, layout)
    if not 1 <= count <= most:
        raise Refuse(ExceptionCode.ILLEGAL_VALUE)
    if address + count > 0x10000:
        raise Refuse(ExceptionCode.ILLEGAL_ADDRESS)
    return address, count


def _read_bits(unit: Unit, function: int, pdu: bytes) -> bytes:
    address, count = _counted(pdu, ">HH", _MAX_BITS)
    packed = bytearray((count + 7) // 8)
    for position, bit in enumerate(unit.read_bits(_READS[function], address, count)):
        packed[position // 8] |= int(bit) << position % 8
    return bytes((function, len(packed))) + packed


def _read_words(unit: Unit, function: int, pdu: bytes) -> bytes:
    address, count = _counted(pdu, ">HH", _MAX_READ)
    words = unit.read_words(_READS[function], address, count)
    return struct.pack(f">BB{count}H", function, 2 * count, *words)


def _write_coil(unit: Unit, pdu: bytes) -> bytes:
    address, word = _fields(pdu, ">HH")
    if word not in (0x0000, 0xFF00):
        raise Refuse(ExceptionCode.ILLEGAL_VALUE)
    unit.write_bits(address, [word == 0xFF00])
    return pdu


def _write_coils(unit: Unit, pdu: bytes) -> bytes:
    address, count = _counted(pdu[:5], ">HH", _MAX_WRITE_BITS)
    data = pdu[6:]
    if len(data) != (count + 7) // 8 or pdu[5] != len(data):
        raise Refuse(ExceptionCode.ILLEGAL_VALUE)
    unit.write_bits(address, [bool(data[i // 8] >> i % 8 & 1) for i in range(count)])
    return pdu[:5]


def _write_registers(unit: Unit, pdu: bytes) -> bytes:
    address, count = _counted(pdu[:5], ">HH", _MAX_WRITE)
    data = pdu[6:]
    if len(data) != 2 * count or pdu[5] != len(data):
        raise Refuse(ExceptionCode.ILLEGAL_VALUE)
    unit.write_words(address, list(struct.unpack(f">{count}H", data)), single=False)
    return pdu[:5]


def crc(data: bytes) -> bytes:
    """CRC-16 of a frame as it stands on the wire, low byte first (Serial Line Guide section 6.2.2)."""
    register = 0xFFFF
    for byte in data:
        register ^= byte
        for _ in range(8):
            register = register >> 1 ^ 0xA001 if register & 1 else register >> 1
    return register.to_bytes(2, "little")


class Replies:
    """Answers of one link, in order: each after its device's delay and, on a serial line, its time on the wire.

    `stop` forgets what is still to be sent.
    """

    def __init__(self, units: Mapping[int, Unit], clock: Clock, byte_s: float = 0.0) -> None:
        """`byte_s` is how long one byte takes on the wire; 0 for a network."""
        self.units = units
        self._clock = clock
        self._byte_s = byte_s
        self._waiting: set[asyncio.Task[None]] = set()
        self._last: asyncio.Task[None] | None = None

    def monotonic(self) -> float:
        """Time of this link's clock."""
        return self._clock.monotonic()

    def put(self, unit: Unit, size: int, make: Callable[[], bytes], send: Callable[[bytes], None]) -> None:
        """Answer a request of `size` bytes by `make()`, now or when its time has come."""
        if unit.faults.delay_s <= 0 and self._byte_s <= 0 and self._last is None:
            send(make())
            return
        before = self._last
        task = asyncio.create_task(self._later(before, unit, size, make, send))
        self._last = task
        self._waiting.add(task)
        task.add_done_callback(self._done)

    def _done(self, task: asyncio.Task[None]) -> None:
        self._waiting.discard(task)
        if self._last is task:
            self._last = None

    async def _later(
        self,
        before: asyncio.Task[None] | None,
        unit: Unit,
        size: int,
        make: Callable[[], bytes],
        send: Callable[[bytes], None],
    ) -> None:
        if before is not None:
            await asyncio.wait([before])
        pause = unit.faults.delay_s + (_TURNAROUND_S if self._byte_s else 0.0)
        await self._clock.sleep(pause + size * self._byte_s)
        reply = make()
        if self._byte_s:
            await self._clock.sleep(len(reply) * self._byte_s)
        send(reply)

    async def stop(self) -> None:
        """Forget what waits."""
        waiting = list(self._waiting)
        for task in waiting:
            task.cancel()
        if waiting:
            await asyncio.wait(waiting)


class TcpRequests:
    """Modbus TCP byte stream of one connection (Messaging on TCP/IP Implementation Guide V1.0b section 3.1.3)."""

    def __init__(
        self, replies: Replies, send: Callable[[bytes], None], close: Callable[[], None], unknown: int | None
    ) -> None:
        """`unknown` is the exception that answers for a unit which is not there; None = silence."""
        self._replies = replies
        self._send = send
        self._close = close
        self._unknown = unknown
        self._buffer = bytearray()

    def feed(self, data: bytes) -> None:
        """Take bytes and answer what is complete; a stream that is no Modbus is closed."""
        self._buffer += data
        while len(self._buffer) >= 8:
            transaction, protocol, length, address = struct.unpack_from(">HHHB", self._buffer)
            if protocol != 0 or not 2 <= length <= _MAX_PDU + 1:
                self._buffer.clear()
                self._close()
                return
            if len(self._buffer) < 6 + length:
                return
            pdu = bytes(self._buffer[7 : 6 + length])
            del self._buffer[: 6 + length]
            self._request(transaction, address, pdu)

    def _request(self, transaction: int, address: int, pdu: bytes) -> None:
        unit = self._replies.units.get(address)

        def frame(reply: bytes) -> bytes:
            return struct.pack(">HHHB", transaction, 0, len(reply) + 1, address) + reply

        if unit is None:
            if self._unknown is not None:
                self._send(frame(bytes((pdu[0] | 0x80, self._unknown))))
            return
        if unit.faults.silent:
            return
        faults = unit.faults

        def make() -> bytes:
            reply = answer(unit, pdu)
            if faults.mute:
                return b""
            if faults.garbage is not None:
                return faults.garbage
            if faults.corrupt and len(reply) > 2:
                # One register less than the byte count says, in a frame that is whole.
                reply = reply[:-2]
            return frame(reply)

        self._replies.put(unit, len(pdu) + 7, make, self._send)


class RtuRequests:
    """RTU byte stream of one line or one RTU-over-TCP connection; requests for other units are not heard."""

    def __init__(self, replies: Replies, send: Callable[[bytes], None]) -> None:
        self._replies = replies
        self._send = send
        self._buffer = bytearray()
        self._since = 0.0

    def feed(self, data: bytes) -> None:
        """Take bytes and answer what is complete; noise before a frame is skipped byte by byte."""
        now = self._replies.monotonic()
        if self._buffer and now - self._since > _FRAME_WITHIN_S:
            self._buffer.clear()
        self._since = now
        self._buffer += data
        while self._buffer:
            size = _request_size(self._buffer)
            if size is None or size > len(self._buffer):
                return
            frame = bytes(self._buffer[:size])
            if size and crc(frame[:-2]) == frame[-2:]:
                del self._buffer[:size]
                self._request(frame)
            else:
                del self._buffer[0]

    def _request(self, frame: bytes) -> None:
        address, pdu = frame[0], frame[1:-2]
        if address == 0:  # broadcast: everybody acts, nobody answers (Serial Line Guide section 2.1)
            for unit in self._replies.units.values():
                if not unit.faults.silent:
                    answer(unit, pdu)
            return
        target = self._replies.units.get(address)
        if target is None or target.faults.silent:
            return
        faults = target.faults

        def make() -> bytes:
            reply = bytes((address,)) + answer(target, pdu)
            if faults.mute:
                return b""
            if faults.garbage is not None:
                return faults.garbage
            check = crc(reply)
            return reply + (bytes((check[0] ^ 0xFF, check[1])) if faults.corrupt else check)

        self._replies.put(target, len(frame), make, self._send)


def _request_size(buffer: bytearray) -> int | None:
    """Length of the RTU request at the start of `buffer`; None = too short to say, 0 = no request starts here."""
    if len(buffer) < 2:
        return None
    function = buffer[1]
    if function in (1, 2, 3, 4, 5, 6):
        return 8
    if function in (15, 16):
        return None if len(buffer) < 7 else 9 + buffer[6]
    # Functions that we do not serve have no length that we know: take the shortest, its check sum decides.
    return 4 if 1 <= function <= 0x7F else 0
