"""A Modbus slave that answers every kind of rubbish, and whose registers say where and when they were read.

Registers come in pairs: a 32-bit value at each even address, high word = unit * 1024 + address / 2, low word = the
number of the request that it answers. So a value that belongs to another register, unit or request shows. Nothing
here uses the code under test.
"""

import asyncio
import os
import struct
import tty
from collections.abc import Callable
from dataclasses import dataclass, field

from tests.e2e.chaos.faults import Dice, Fault

READ_HOLDING, READ_INPUT = 3, 4


def crc16(data: bytes) -> bytes:
    """Check sum of Modbus over Serial Line V1.02 section 6.2.2, bit by bit."""
    crc = 0xFFFF
    for byte in data:
        crc ^= byte
        for _ in range(8):
            crc = (crc >> 1) ^ 0xA001 if crc & 1 else crc >> 1
    return struct.pack("<H", crc)


@dataclass
class ChaosSlave:
    """Serves units on one link. `requests` counts what came in, per unit in `by_unit`."""

    dice: Dice
    timeout_s: float
    rtu: bool
    slow: bool = False  # good answers take up to 0.6 time-outs, so that a late one can come before them
    dead: set[int] = field(default_factory=set)
    requests: int = 0
    answered: int = 0
    by_unit: dict[int, int] = field(default_factory=dict)
    violations: list[str] = field(default_factory=list)

    def __post_init__(self) -> None:
        self._buffer = b""

    # --- requests

    def received(self, data: bytes, send: Callable[[bytes], None]) -> None:
        self._buffer += data
        while self._buffer:
            length = 8 if self.rtu else 12
            if len(self._buffer) < length:
                return
            frame, self._buffer = self._buffer[:length], self._buffer[length:]
            if self.rtu:
                if crc16(frame[:-2]) != frame[-2:]:
                    self.violations.append(f"request with a wrong check sum: {frame.hex()}")
                self.request(0, frame[0], frame[1:6], send)
            else:
                number, protocol, rest = struct.unpack(">HHH", frame[:6])
                if protocol or rest != 6:
                    self.violations.append(f"request with a wrong header: {frame.hex()}")
                self.request(number, frame[6], frame[7:], send)

    def request(self, number: int, unit: int, pdu: bytes, send: Callable[[bytes], None]) -> None:
        function, address, count = struct.unpack(">BHH", pdu)
        self.requests += 1
        self.by_unit[unit] = self.by_unit.get(unit, 0) + 1
        if function not in (READ_HOLDING, READ_INPUT):
            self.violations.append(f"function {function} where nothing but reads is expected")
            return
        if unit in self.dead:
            return
        fault = self.dice.throw()
        if fault is not Fault.SILENCE:
            self.answer(fault, number, unit, function, address, count, send)

    # --- answers

    def words(self, unit: int, address: int, count: int) -> bytes:
        serial = self.requests & 0xFFFF
        return b"".join(
            struct.pack(">H", serial if a % 2 else unit * 1024 + a // 2) for a in range(address, address + count)
        )

    def frame(self, number: int, unit: int, pdu: bytes) -> bytes:
        if self.rtu:
            body = bytes((unit,)) + pdu
            return body + crc16(body)
        return struct.pack(">HHHB", number, 0, len(pdu) + 1, unit) + pdu

    def answer(
        self,
        fault: Fault,
        number: int,
        unit: int,
        function: int,
        address: int,
        count: int,
        send: Callable[[bytes], None],
    ) -> None:
        dice, loop = self.dice, asyncio.get_running_loop()

        def read(n: int, at: int = address) -> bytes:
            return bytes((function, 2 * n)) + self.words(unit, at, n)

        frame = self.frame(number, unit, read(count))
        if fault in (Fault.NONE, Fault.TWICE, Fault.PIECES, Fault.NOISE_BEHIND, Fault.NOISE_BEFORE):
            self.answered += 1
        if fault is Fault.LATE:
            loop.call_later(dice.lateness(self.timeout_s), send, frame)
        elif fault is Fault.LATE_EXCEPTION:
            late = self.frame(number, unit, bytes((function | 0x80, 4)))
            loop.call_later(dice.lateness(self.timeout_s), send, late)
        elif fault is Fault.BROKEN:
            # TCP has no check sum of its own: there the header breaks, which is all a client can see.
            send(dice.broken(frame) if self.rtu else dice.broken(frame[:6]) + frame[6:])
        elif fault is Fault.TRUNCATED:
            send(frame[: dice.random.randint(1, len(frame) - 1)])
        elif fault is Fault.OTHER_COUNT:
            other = dice.random.choice([n for n in range(1, 20) if n != count])
            send(self.frame(number, unit, read(other, address + 100)))
        elif fault is Fault.OTHER_UNIT:
            send(self.frame(number, unit % 4 + 1, read(count, address + 100)))
        elif fault is Fault.NOISE_BEFORE:
            send(dice.noise() + frame)
        elif fault is Fault.NOISE_BEHIND:
            send(frame + dice.noise())
        elif fault is Fault.TWICE:
            send(frame + frame)
        elif fault is Fault.PIECES:
            cut = sorted(dice.random.sample(range(1, len(frame)), 2))
            for step, piece in enumerate((frame[: cut[0]], frame[cut[0] : cut[1]], frame[cut[1] :])):
                loop.call_later(step * self.timeout_s / 10, send, piece)
        elif fault in (Fault.FAILURE, Fault.BUSY):
            send(self.frame(number, unit, bytes((function | 0x80, 4 if fault is Fault.FAILURE else 6))))
        elif self.slow:
            loop.call_later(dice.random.uniform(0.05, 0.6) * self.timeout_s, send, frame)
        else:
            send(frame)


class PtyLine:
    """A pty whose far end a driver opens as its serial port."""

    def __init__(self, slave: ChaosSlave) -> None:
        self._near, self._far = os.openpty()
        tty.setraw(self._near)
        tty.setraw(self._far)
        os.set_blocking(self._near, False)
        self.path = os.ttyname(self._far)
        self._slave = slave
        asyncio.get_running_loop().add_reader(self._near, self._ready)

    def _ready(self) -> None:
        self._slave.received(os.read(self._near, 4096), self._send)

    def _send(self, data: bytes) -> None:
        if self._near >= 0:
            os.write(self._near, data)

    def close(self) -> None:
        asyncio.get_running_loop().remove_reader(self._near)
        os.close(self._near)
        os.close(self._far)
        self._near = -1


class TcpLine:
    """A TCP server on a port of the system's choice.

    `transparent`: like a gateway that passes on whatever its serial line says, to whoever is connected then.
    """

    def __init__(self, slave: ChaosSlave, *, transparent: bool = False) -> None:
        self._slave = slave
        self.transparent = transparent
        self.port = 0
        self.connections = 0
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Transport] = set()

    async def start(self) -> None:
        self._server = await asyncio.get_running_loop().create_server(lambda: _Connection(self), "127.0.0.1", self.port)
        self.port = self._server.sockets[0].getsockname()[1]

    def drop(self) -> None:
        """Close every connection, as a gateway does that restarts."""
        for transport in list(self._open):
            transport.abort()

    async def close(self) -> None:
        self.drop()
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()
        await asyncio.sleep(0)


class _Connection(asyncio.Protocol):
    def __init__(self, line: TcpLine) -> None:
        self._line = line

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self._transport = transport
        self._line.connections += 1
        self._line._open.add(transport)
        self._line._slave._buffer = b""

    def connection_lost(self, exc: Exception | None) -> None:
        self._line._open.discard(self._transport)

    def data_received(self, data: bytes) -> None:
        self._line._slave.received(data, self._send)

    def _send(self, data: bytes) -> None:
        for transport in list(self._line._open) if self._line.transparent else [self._transport]:
            if not transport.is_closing():
                transport.write(data)
