"""A site's buses without hardware: every device that stands on them, served where the node will look for it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping, Sequence
from typing import Final, Protocol, TypeVar

from address_space.model import Clock
from drivers.base import Unreachable
from drivers.simulator.collector import Collector
from drivers.simulator.device import LineDevice, ModbusDevice, SimulatedDevice
from drivers.simulator.faults import WriteBehaviour
from drivers.simulator.modbus_server import ExceptionCode, Replies, RtuRequests, TcpRequests, Unit
from drivers.simulator.pty_port import PtyPort
from drivers.spec import BusConfig, BusUnit, SerialLine, TcpPeer

STEP_S: Final = 0.1  # every device lives on this often


log = logging.getLogger("drivers.simulator")

_Device = TypeVar("_Device", bound=SimulatedDevice)


class _Link(Protocol):
    async def start(self) -> None: ...

    async def stop(self) -> None: ...


class Simulator:
    """All simulated devices of some buses, by device id, and the faults they can be given.

    `start` opens ports and sockets, `stop` closes them. Devices live on the given clock; the same seed and clock
    give the same plant.
    """

    def __init__(self, buses: Sequence[tuple[BusConfig, Sequence[BusUnit]]], clock: Clock, seed: int = 1) -> None:
        """Build the devices; buses without a link (computed) are left out.

        Raises ValueError for a simulate section, a protocol or a set of units that cannot be played.
        """
        self._clock = clock
        self._devices: dict[str, SimulatedDevice] = {}
        self._links: dict[str, _Link] = {}
        self._life: asyncio.Task[None] | None = None
        for bus, units in buses:
            if bus.link is None:
                continue
            if bus.driver == "modbus":
                self._links[bus.id] = self._modbus(bus, units, seed)
            elif bus.driver == "serial_line":
                self._links[bus.id] = self._line(bus, units, seed)
            else:
                raise ValueError(f"bus {bus.id}: there is no simulator for the driver {bus.driver}")

    # --- devices and their faults

    @property
    def devices(self) -> Mapping[str, SimulatedDevice]:
        """All devices by id."""
        return self._devices

    def device(self, device_id: str) -> SimulatedDevice:
        """Device by id, with `get`, `set` and `faults`; raises KeyError."""
        return self._devices[device_id]

    def silence(self, device_id: str, silent: bool = True) -> None:
        """Let a device no longer answer at all."""
        self._devices[device_id].faults.silent = silent

    def delay(self, device_id: str, seconds: float) -> None:
        """Let every answer of a device come later."""
        self._devices[device_id].faults.delay_s = seconds

    def reject(self, device_id: str, exception: int | None) -> None:
        """Let a device answer every request by this Modbus exception; None ends it."""
        self._devices[device_id].faults.exception = exception

    def misbehave(self, device_id: str, point: str, how: WriteBehaviour | None) -> None:
        """What a write to a point does from now on; None = what it should."""
        writes = self._devices[device_id].faults.writes
        if how is None:
            writes.pop(point, None)
        else:
            writes[point] = how

    def port(self, bus_id: str) -> int:
        """TCP port on which a bus is served; raises KeyError for a bus that is not served over TCP."""
        link = self._links[bus_id]
        if not isinstance(link, _TcpLink):
            raise KeyError(bus_id)
        return link.port

    # --- life

    async def start(self) -> None:
        """Serve all buses; raises Unreachable when a port or path is taken, and then serves none."""
        try:
            for link in self._links.values():
                await link.start()
        except Unreachable:
            await self.stop()
            raise
        self._life = asyncio.create_task(self._live(), name="simulator")
        self._life.add_done_callback(_note_end)

    async def stop(self) -> None:
        """Close everything and remove the symlinks; does nothing when it is stopped.

        Raises what ended the life of the devices, if anything did.
        """
        life, self._life = self._life, None
        if life is not None:
            life.cancel()
            await asyncio.wait([life])
        for link in self._links.values():
            await link.stop()
        if life is not None and not life.cancelled():
            life.result()

    def step(self) -> None:
        """Let all devices live up to now; `start` does this every STEP_S."""
        for device in self._devices.values():
            device.step()

    async def _live(self) -> None:
        while True:
            await self._clock.sleep(STEP_S)
            self.step()

    # --- building

    def _modbus(self, bus: BusConfig, units: Sequence[BusUnit], seed: int) -> _Link:
        served: dict[int, Unit] = {}
        for unit in units:
            if unit.unit in served:
                raise ValueError(f"bus {bus.id}: unit {unit.unit} stands twice")
            device = ModbusDevice(unit, bus.word_order, self._clock, seed)
            served[unit.unit] = self._add(device)
        if isinstance(bus.link, SerialLine):
            return _RtuLine(bus.link, Replies(served, self._clock, _byte_s(bus.link)), self._clock)
        if isinstance(bus.link, TcpPeer):
            return _TcpLink(bus, bus.link, Replies(served, self._clock))
        raise ValueError(f"bus {bus.id} has no link")

    def _line(self, bus: BusConfig, units: Sequence[BusUnit], seed: int) -> _Link:
        if not isinstance(bus.link, SerialLine) or len(units) != 1:
            raise ValueError(f"bus {bus.id}: a serial collector is one device on a serial port")
        return _CollectorLine(bus.link, self._add(LineDevice(units[0], self._clock, seed)), self._clock)

    def _add(self, device: _Device) -> _Device:
        if device.id in self._devices:
            raise ValueError(f"device id {device.id} is used twice")
        self._devices[device.id] = device
        return device


def _note_end(life: asyncio.Task[None]) -> None:
    """Say at once that the devices stand still; `stop` raises the reason."""
    if not life.cancelled() and (error := life.exception()) is not None:
        log.error("simulated devices stand still after a fault: %r", error)


def _byte_s(line: SerialLine) -> float:
    """Time of one byte on the wire: start bit, data, parity, stop bits."""
    return (1 + line.bits + (line.parity != "N") + line.stop_bits) / line.baud


class _RtuLine:
    """Modbus RTU on a simulated serial port."""

    def __init__(self, line: SerialLine, replies: Replies, clock: Clock) -> None:
        self._replies = replies
        self._port = PtyPort(line.port, clock)
        self._requests = RtuRequests(replies, self._port.write)

    async def start(self) -> None:
        await self._port.start(self._requests.feed)

    async def stop(self) -> None:
        await self._replies.stop()
        await self._port.stop()


class _CollectorLine:
    """A serial collector on a simulated serial port."""

    def __init__(self, line: SerialLine, device: LineDevice, clock: Clock) -> None:
        self._port = PtyPort(line.port, clock)
        self.collector = Collector(device, clock, self._port.write)

    async def start(self) -> None:
        await self._port.start(self.collector.received, self.collector.opened, self.collector.closed)

    async def stop(self) -> None:
        await self._port.stop()
        await self.collector.stop()


class _TcpLink:
    """A TCP server: a Modbus TCP gateway, or RTU frames over TCP."""

    def __init__(self, bus: BusConfig, peer: TcpPeer, replies: Replies) -> None:
        self._bus = bus
        self._peer = peer
        self._replies = replies
        self._server: asyncio.Server | None = None
        self._connections: set[_Connection] = set()

    @property
    def port(self) -> int:
        """Port on which it listens; that of the site file while it does not."""
        if self._server is None or not self._server.sockets:
            return self._peer.port
        return int(self._server.sockets[0].getsockname()[1])

    async def start(self) -> None:
        loop = asyncio.get_running_loop()
        try:
            self._server = await loop.create_server(self._connection, self._peer.host, self._peer.port)
        except OSError as error:
            raise Unreachable(
                f"simulator of bus {self._bus.id} cannot listen on {self._peer.host}:{self._peer.port}: "
                f"{error.strerror}; the site file names the address where the simulated devices shall be"
            ) from error

    async def stop(self) -> None:
        await self._replies.stop()
        if self._server is None:
            return
        self._server.close()
        for connection in list(self._connections):
            connection.abort()
        await self._server.wait_closed()
        self._server = None

    def _connection(self) -> _Connection:
        return _Connection(self._connections, self._requests)

    def _requests(self, send: Callable[[bytes], None], close: Callable[[], None]) -> TcpRequests | RtuRequests:
        if self._bus.framing == "rtu_over_tcp":
            return RtuRequests(self._replies, send)
        return TcpRequests(self._replies, send, close, ExceptionCode.NO_TARGET)


class _Connection(asyncio.Protocol):
    """One TCP connection of a master."""

    def __init__(
        self,
        connections: set[_Connection],
        make: Callable[[Callable[[bytes], None], Callable[[], None]], TcpRequests | RtuRequests],
    ) -> None:
        self._connections = connections
        self._make = make
        self._transport: asyncio.Transport | None = None
        self._requests: TcpRequests | RtuRequests | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
            self._requests = self._make(self._send, transport.close)
            self._connections.add(self)

    def connection_lost(self, exc: Exception | None) -> None:
        self._transport = None
        self._connections.discard(self)

    def data_received(self, data: bytes) -> None:
        if self._requests is not None:
            self._requests.feed(data)

    def abort(self) -> None:
        if self._transport is not None:
            self._transport.abort()

    def _send(self, data: bytes) -> None:
        if self._transport is not None and data:
            self._transport.write(data)
