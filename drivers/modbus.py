"""Modbus TCP, RTU on a serial port and RTU over TCP: the channel that carries the bus's requests."""

from __future__ import annotations

import asyncio
from collections import OrderedDict
from collections.abc import Sequence
from typing import Final, Protocol

from address_space.model import Clock, Publisher, Status
from drivers.base import AnswerLost, Malformed, NoAnswer, Rejected, Unreachable
from drivers.bus import Bus
from drivers.channel import Request, Stray
from drivers.frames import Answer, Framing, RtuFraming, TcpFraming, trim
from drivers.serial_port import SerialPort
from drivers.spec import BusConfig, BusUnit, SerialLine, TcpPeer
from drivers.tcp_port import TcpPort

# Modbus over Serial Line V1.02 section 2.5.1.1: 3.5 characters between frames, 1.75 ms above 19200 baud.
_GAP_CHARACTERS: Final = 3.5
_GAP_FAST_S: Final = 0.00175
_FAST_BAUD: Final = 19200
# A gateway that passes RTU frames on keeps the silence of its line itself; doubled answers show up within this.
_GAP_GATEWAY_S: Final = 0.002
# How many given-up transaction numbers are remembered, to say how late their answers are.
_REMEMBERED: Final = 64

# Modbus Application Protocol V1.1b3 section 7.
_EXCEPTIONS: Final = {
    1: "illegal function",
    2: "illegal data address",
    3: "illegal data value",
    4: "device failure",
    5: "acknowledge, still working on it",
    6: "device busy",
    7: "negative acknowledge",
    8: "memory parity error",
    10: "gateway path unavailable",
    11: "gateway target did not respond",
}
_STATUSES: Final = {
    2: Status.BAD_NOT_SUPPORTED,
    10: Status.BAD_NO_COMMUNICATION,
    11: Status.BAD_NO_COMMUNICATION,
}


class _Port(Protocol):
    """What a serial port and a TCP connection have in common."""

    @property
    def is_open(self) -> bool: ...

    def write(self, data: bytes) -> None: ...

    async def close(self) -> None: ...


class ModbusChannel:
    """`channel.Channel` over one serial port or TCP connection."""

    def __init__(self, config: BusConfig, clock: Clock) -> None:
        """Raises ValueError for a link that its framing does not fit."""
        self._config = config
        self._clock = clock
        self._framing: Framing = TcpFraming() if config.framing == "tcp" else RtuFraming()
        if config.link is None or (config.framing == "rtu") is not isinstance(config.link, SerialLine):
            raise ValueError(f"bus {config.id}: framing {config.framing} needs another link")
        self.numbered = self._framing.numbered
        self.gap_s = _gap_s(config)
        self._port: _Port | None = None
        self._gone = ""  # why the port was lost
        self._buffer = bytearray()
        self._arrived: asyncio.Future[None] | None = None
        self._number = 0
        self._given_up: OrderedDict[int, float] = OrderedDict()  # transaction number -> its deadline
        self._strays: list[Stray] = []

    async def open(self) -> None:
        """Connect; raises Unreachable."""
        await self.close()
        self._gone = ""
        link = self._config.link
        if isinstance(link, SerialLine):
            self._port = await SerialPort.open(link, self._received, self._lost)
        elif isinstance(link, TcpPeer):
            self._port = await TcpPort.open(link, self._received, self._lost)

    async def close(self) -> None:
        """Let go of the link."""
        port, self._port = self._port, None
        if port is not None:
            await port.close()
        self._buffer.clear()

    async def transact(self, request: Request, deadline: float) -> bytes:
        """Send and wait for the one answer that fits; see channel.Channel."""
        self._collect(anywhere=True)
        self._buffer.clear()
        self._number = self._number % 0xFFFF + 1
        self._need_port().write(self._framing.encode(request, self._number))
        answer = await self._answer(request, deadline)
        # A frame behind the answer to the only request on the wire was not asked for.
        self._collect(anywhere=True)
        if answer.exception:
            raise _rejected(request, answer.exception)
        return answer.data

    async def _answer(self, request: Request, deadline: float) -> Answer:
        while True:
            answer = self._framing.find(self._buffer, request, self._number)
            if answer is not None:
                return answer
            # Only from the front: what begins like a frame inside of an unfinished one is its data.
            self._collect(anywhere=False)
            try:
                came = await self._more(deadline)
            except Unreachable as error:
                raise AnswerLost(str(error)) from error
            if not came:
                self._give_up(request, deadline)

    async def drain(self, until: float) -> None:
        """Throw away what arrives; see channel.Channel."""
        await self._more(until)
        self._collect(anywhere=True)

    def strays(self) -> Sequence[Stray]:
        """Answers thrown away since the last call."""
        strays, self._strays = self._strays, []
        return strays

    # --- inside

    def _need_port(self) -> _Port:
        if self._port is None or self._gone or not self._port.is_open:
            raise Unreachable(self._gone or "not connected")
        return self._port

    def _received(self, data: bytes) -> None:
        self._buffer += data
        trim(self._buffer)
        self._ring()

    def _lost(self, reason: str) -> None:
        self._gone = reason
        self._ring()

    def _ring(self) -> None:
        if self._arrived is not None and not self._arrived.done():
            self._arrived.set_result(None)

    async def _more(self, until: float) -> bool:
        """Wait for more bytes; False when none came by `until`. Raises Unreachable when the link is gone."""
        self._need_port()
        seconds = until - self._clock.monotonic()
        if seconds <= 0:
            return False
        self._arrived = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(seconds):
                await self._arrived
        except TimeoutError:
            return False
        finally:
            self._arrived = None
        self._need_port()
        return True

    def _collect(self, *, anywhere: bool) -> None:
        now = self._clock.monotonic()
        for unasked in self._framing.strays(self._buffer, anywhere=anywhere):
            late_s: float | None = None
            if self.numbered:
                deadline = self._given_up.pop(unasked.number, None)
                late_s = None if deadline is None else max(0.0, now - deadline)
            self._strays.append(Stray(unasked.unit, unasked.function, unasked.size, now, late_s))

    def _give_up(self, request: Request, deadline: float) -> None:
        """Raise NoAnswer, or Malformed when something came that is no frame."""
        if self.numbered:
            self._given_up[self._number] = deadline
            if len(self._given_up) > _REMEMBERED:
                self._given_up.popitem(last=False)
        if self._buffer:
            heard = len(self._buffer)
            raise Malformed(f"{heard} bytes that are no whole answer came to a {request}")
        raise NoAnswer(f"no answer to a {request}")


def _gap_s(config: BusConfig) -> float:
    if isinstance(config.link, SerialLine):
        line = config.link
        if line.baud > _FAST_BAUD:
            return _GAP_FAST_S
        character = 1 + line.bits + (line.parity != "N") + line.stop_bits
        return _GAP_CHARACTERS * character / line.baud
    return _GAP_GATEWAY_S if config.framing == "rtu_over_tcp" else 0.0


def _rejected(request: Request, code: int) -> Rejected:
    text = f"exception {code} ({_EXCEPTIONS.get(code, 'unknown')}) to a {request}"
    return Rejected(text, code, _STATUSES.get(code, Status.BAD_DEVICE_FAILURE))


def modbus_bus(config: BusConfig, units: Sequence[BusUnit], publisher: Publisher, clock: Clock) -> Bus:
    """The bus of a Modbus link: what `DRIVERS` names `modbus`."""
    return Bus(config, units, publisher, clock, ModbusChannel(config, clock))
