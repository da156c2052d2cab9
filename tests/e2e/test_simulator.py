"""The simulator on real sockets and ptys, asked by a client that knows nothing of it."""

from __future__ import annotations

import asyncio
import os
import socket
import termios
import tty
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient

from address_space.image import ProcessImage
from address_space.model import Status, is_good
from drivers import DRIVERS
from drivers.base import Unreachable
from drivers.profile import load_profile, shipped_profiles
from drivers.simulator import Simulator
from drivers.simulator.simulator import STEP_S
from drivers.spec import BusConfig, BusUnit, RawType, RegisterSource, SerialLine, Table, TcpPeer, WordOrder
from node.clock import RealClock
from tests.drivers.simulator import plants

pytestmark = pytest.mark.e2e


def tcp_bus(port: int = 0, framing: str = "tcp") -> BusConfig:
    return BusConfig("gw", "modbus", TcpPeer("127.0.0.1", port), framing)


def inverters() -> list[BusUnit]:
    return [plants.unit(f"xw{n}", 9 + n, plants.inverter()) for n in (1, 2, 3)]


@asynccontextmanager
async def running(*buses: tuple[BusConfig, list[BusUnit]], seed: int = 1) -> AsyncIterator[Simulator]:
    simulator = Simulator(buses, RealClock(), seed)
    await simulator.start()
    try:
        yield simulator
    finally:
        await simulator.stop()


async def until(holds: Callable[[], bool], within_s: float = 10.0) -> None:
    async with asyncio.timeout(within_s):
        while not holds():  # noqa: ASYNC110  # the plant has no event for what a test waits for
            await asyncio.sleep(0.02)


async def test_a_gateway_serves_several_units_on_one_port() -> None:
    async with running((tcp_bus(), inverters())) as simulator:
        for n in (1, 2, 3):
            simulator.device(f"xw{n}").set("rate_echo", 100 + n)
        client = AsyncModbusTcpClient("127.0.0.1", port=simulator.port("gw"))
        assert await client.connect()
        for n in (1, 2, 3):
            answer = await client.read_holding_registers(0x170, count=1, device_id=9 + n)
            assert answer.registers == [100 + n]
        assert (await client.read_holding_registers(0x170, count=1, device_id=99)).exception_code == 11
        assert (await client.read_holding_registers(0x300, count=1, device_id=10)).exception_code == 2
        client.close()


async def test_a_mode_acts_after_its_delay_and_its_power_follows() -> None:
    async with running((tcp_bus(), inverters())) as simulator:
        device = simulator.device("xw1")
        client = AsyncModbusTcpClient("127.0.0.1", port=simulator.port("gw"))
        assert await client.connect()
        assert not (await client.write_register(0x164, 1, device_id=10)).isError()
        assert device.get("charge_state") == 1
        await until(lambda: device.get("charge_state") == 3)
        await until(lambda: float(device.get("ac_power") or 0) < -2000)
        assert not (await client.write_register(0x166, 2, device_id=10)).isError()
        await until(lambda: (device.get("raw_state"), device.get("ac_power")) == (1032, 0))
        assert simulator.device("xw2").get("charge_state") == 1
        client.close()


async def test_rtu_on_a_pty_at_the_configured_path(tmp_path: Path) -> None:
    path = tmp_path / "state" / "tty-rs485"
    bus = BusConfig("rs485", "modbus", SerialLine(str(path), baud=115200), "rtu")
    units = [plants.unit("meter", 2, plants.meter()), plants.unit("xw", 3, plants.inverter())]
    async with running((bus, units)) as simulator:
        simulator.device("meter").faults.frozen = True
        assert path.is_symlink()
        client = AsyncModbusSerialClient(str(path), baudrate=115200, timeout=5)
        for _ in range(2):  # a line may be closed and opened again
            assert await client.connect()
            answer = await client.read_input_registers(52, count=2, device_id=2)
            power = client.convert_from_registers(answer.registers, client.DATATYPE.FLOAT32)
            assert power == pytest.approx(simulator.device("meter").get("power"))
            assert (await client.read_holding_registers(0x166, count=1, device_id=3)).registers == [3]
            client.close()
            await asyncio.sleep(0.1)
    assert not path.is_symlink()


async def test_rtu_over_tcp() -> None:
    async with running((tcp_bus(framing="rtu_over_tcp"), inverters())) as simulator:
        client = AsyncModbusTcpClient("127.0.0.1", port=simulator.port("gw"), framer=FramerType.RTU)
        assert await client.connect()
        assert (await client.read_holding_registers(0x166, count=1, device_id=11)).registers == [3]
        client.close()


async def test_a_taken_port_or_path_is_an_error_that_says_so_and_nothing_is_served(tmp_path: Path) -> None:
    file = tmp_path / "ttyUSB0"
    file.write_text("somebody's")
    with socket.create_server(("127.0.0.1", 0)) as taken:
        clash = tcp_bus(taken.getsockname()[1])
        simulator = Simulator([(clash, inverters())], RealClock())
        with pytest.raises(Unreachable, match=r"bus gw cannot listen on 127\.0\.0\.1:\d+: "):
            await simulator.start()
    line = BusConfig("rs485", "modbus", SerialLine(str(file)), "rtu")
    simulator = Simulator([(tcp_bus(), inverters()), (line, [])], RealClock())
    with pytest.raises(Unreachable, match="there is something already"):
        await simulator.start()
    assert file.read_text() == "somebody's"


async def test_the_symlink_of_a_killed_simulator_is_replaced(tmp_path: Path) -> None:
    path = tmp_path / "tty"
    path.symlink_to("/dev/pts/99999")
    bus = BusConfig("rs485", "modbus", SerialLine(str(path)), "rtu")
    async with running((bus, [plants.unit("xw", 3, plants.inverter())])):
        assert path.readlink() != Path("/dev/pts/99999")
        assert path.exists()


async def test_time_goes_on_by_itself() -> None:
    async with running((tcp_bus(), [plants.unit("m", 1, plants.meter())])) as simulator:
        before = simulator.device("m").get("frequency")
        await until(lambda: simulator.device("m").get("frequency") != before, 20 * STEP_S)


# --- every shipped profile, read by a plain client

DATATYPES = {
    RawType.U16: "UINT16", RawType.I16: "INT16", RawType.U32: "UINT32", RawType.I32: "INT32", RawType.U64: "UINT64",
    RawType.I64: "INT64", RawType.F32: "FLOAT32", RawType.F64: "FLOAT64",
}  # fmt: skip
MODBUS = [name for name in shipped_profiles() if load_profile(name).protocol == "modbus"]


async def ask(client: AsyncModbusTcpClient, source: RegisterSource, first: int, count: int) -> list[int]:
    reads = {
        Table.HOLDING: client.read_holding_registers,
        Table.INPUT: client.read_input_registers,
        Table.COIL: client.read_coils,
        Table.DISCRETE: client.read_discrete_inputs,
    }
    answer = await reads[source.table](first, count=count, device_id=1)
    assert not answer.isError(), f"{source.table} {first}: {answer}"
    return answer.registers if source.table in (Table.HOLDING, Table.INPUT) else [int(b) for b in answer.bits[:count]]


@pytest.mark.parametrize("order", list(WordOrder))
@pytest.mark.parametrize("profile_id", MODBUS)
async def test_every_point_of_a_shipped_profile_can_be_read(profile_id: str, order: WordOrder) -> None:
    """The words are decoded by the client's own routines, which know nothing of the profile."""
    profile = load_profile(profile_id)
    bus = replace(tcp_bus(), word_order=order)
    async with running((bus, [plants.unit("d", 1, profile)])) as simulator:
        device = simulator.device("d")
        device.faults.frozen = True
        client = AsyncModbusTcpClient("127.0.0.1", port=simulator.port("gw"))
        assert await client.connect()
        checked = 0
        for point, source in profile.sources.items():
            assert isinstance(source, RegisterSource)
            for at in source.words:
                await ask(client, source, at, 1)
            if source.words:
                continue
            registers = await ask(client, source, source.address, source.registers)
            datatype = DATATYPES.get(source.type)
            if datatype is None or source.bits or source.map or source.linear or source.scale_from:
                continue
            raw = client.convert_from_registers(registers, client.DATATYPE[datatype], word_order=order.value)
            assert isinstance(raw, int | float)
            value = device.get(point)
            if value is not None and not isinstance(value, str):
                assert raw * source.scale + source.offset == pytest.approx(float(value)), point
                checked += 1
        assert checked >= len(profile.sources) / 4 or profile_id == "generic.battery_meter"
        client.close()


# --- the node's own driver against it, on every kind of link


@pytest.mark.parametrize("framing", ["tcp", "rtu_over_tcp", "rtu"])
async def test_the_modbus_driver_gets_every_polled_point_without_one_failure(framing: str, tmp_path: Path) -> None:
    line = SerialLine(str(tmp_path / "tty"), baud=115200)
    with socket.create_server(("127.0.0.1", 0)) as free:
        peer = TcpPeer("127.0.0.1", free.getsockname()[1])
    bus = BusConfig("bus", "modbus", line if framing == "rtu" else peer, framing)
    units = [plants.unit(f"d{n}", n, load_profile(name)) for n, name in enumerate(MODBUS, 1)]
    clock = RealClock()
    image = ProcessImage([plants.device(unit, "bus") for unit in units], clock)
    polled = {
        f"{unit.device_id}.{point}": image.slot(unit.device_id, point)
        for unit in units
        for group in unit.profile.groups
        for point in group.points
    }
    async with running((bus, units)):
        task = asyncio.create_task(DRIVERS["modbus"](bus, units, image, clock).run())
        try:
            async with asyncio.timeout(20):
                while waiting := [  # noqa: ASYNC110  # the image has no event for what a test waits for
                    name for name, slot in polled.items() if image.statuses[slot] == Status.BAD_WAITING_FOR_INITIAL_DATA
                ]:
                    await asyncio.sleep(0.05)
        finally:
            task.cancel()
            await asyncio.wait([task])
        assert not waiting
        bad = {name: hex(image.statuses[slot]) for name, slot in polled.items() if not is_good(image.statuses[slot])}
        assert not bad
        for unit in units:
            assert image.sample(image.slot(unit.device_id, "failures")).value in (0, None)


# --- the serial collector, asked by hand


class RawLine:
    """A host program at the other end of the line, without any library of ours."""

    def __init__(self, path: Path) -> None:
        self.fd = os.open(path, os.O_RDWR | os.O_NOCTTY | os.O_NONBLOCK)
        tty.setraw(self.fd)
        termios.tcflush(self.fd, termios.TCIFLUSH)
        self._bytes = bytearray()

    def write(self, data: bytes) -> None:
        os.write(self.fd, data)

    async def line(self, within_s: float) -> bytes | None:
        """The next line, or None when there is none in time."""
        try:
            async with asyncio.timeout(within_s):
                while b"\n" not in self._bytes:
                    await asyncio.sleep(0.005)
                    try:
                        self._bytes += os.read(self.fd, 1000)
                    except BlockingIOError:
                        continue
        except TimeoutError:
            return None
        line, _, rest = bytes(self._bytes).partition(b"\n")
        self._bytes[:] = rest
        return line + b"\n"

    def close(self) -> None:
        os.close(self.fd)


async def test_a_collector_resets_at_open_and_answers_slowly(tmp_path: Path) -> None:
    path = tmp_path / "tty-col"
    bus = BusConfig("col", "serial_line", SerialLine(str(path), 115200))
    loop = asyncio.get_running_loop()
    async with running((bus, [plants.unit("col1", 0, plants.collector())])) as simulator:
        simulator.device("col1").set("current", 4.0)
        line = RawLine(path)
        line.write(b"read \n")
        assert await line.line(0.8) is None, "what comes during the reset is lost"
        assert await line.line(0.6) is None
        asked = loop.time()
        line.write(b"read \n")
        assert await line.line(5) == b"566.07\r\n"  # (4 A x 0.066 V/A + 2.5 V) / (5 V / 1024)
        assert loop.time() - asked >= 0.1
        line.write(b"r \n")
        assert await line.line(0.4) is None, "the firmware knows only lines that start with rea"
        line.write(b"reaX\nread\n")
        assert await line.line(5) == b"566.07\r\n"
        assert await line.line(5) == b"566.07\r\n"
        line.close()
        await asyncio.sleep(0.2)
        again = RawLine(path)
        again.write(b"read \n")
        assert await again.line(0.8) is None, "it resets at every open"
        again.close()
