"""The C slave does what it is told, over every link: seen by a Modbus client that is not the node."""

import asyncio
import time
from collections.abc import AsyncIterator, Callable
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from pathlib import Path

import pytest
from pymodbus import FramerType
from pymodbus.client import AsyncModbusSerialClient, AsyncModbusTcpClient
from pymodbus.client.base import ModbusBaseClient
from pymodbus.exceptions import ModbusException
from pymodbus.pdu import ModbusPDU

from tests.e2e.slave import (
    APPLY,
    IGNORE,
    Registers,
    Slave,
    SlaveError,
    answer_exception,
    late,
    reject,
    revert,
    write_image,
)
from tests.e2e.slave.pty_line import PtyLine

pytestmark = pytest.mark.e2e

UNIT = 10
MODE, STATUS = 0x0166, 0x007A
IMAGE = (
    Registers(UNIT, 0x0040, (3, 1)),
    Registers(UNIT, STATUS, (1024, 776)),
    Registers(UNIT, 0x0160, (7, 0, 0, 0, 0, 0, 3)),
    Registers(UNIT, 0x0050, (0x0000, 0xCFD0), "input"),
    Registers(11, 0x0040, (1, 1)),
)
LONG_S = 30.0  # beyond every test: what is this late has not happened yet
SOON_S = 0.05

Link = Callable[[], AbstractAsyncContextManager[tuple[Slave, ModbusBaseClient]]]


@asynccontextmanager
async def connected(client: ModbusBaseClient) -> AsyncIterator[ModbusBaseClient]:
    assert await client.connect()
    try:
        yield client
    finally:
        client.close()


def tcp_client(port: int, framer: FramerType = FramerType.SOCKET) -> ModbusBaseClient:
    return AsyncModbusTcpClient("127.0.0.1", port=port, framer=framer, timeout=2, retries=0, reconnect_delay=0)


@pytest.fixture
def image(tmp_path: Path) -> Path:
    return write_image(tmp_path / "image.txt", IMAGE)


@pytest.fixture(params=["tcp", "rtu", "rtu_tcp"])
def link(request: pytest.FixtureRequest, slave_program: Path, image: Path) -> Link:
    """Opens a slave and a client on it; each test runs over each link."""

    @asynccontextmanager
    async def tcp() -> AsyncIterator[tuple[Slave, ModbusBaseClient]]:
        async with Slave(slave_program, image) as slave, connected(tcp_client(slave.port)) as client:
            yield slave, client

    @asynccontextmanager
    async def rtu_tcp() -> AsyncIterator[tuple[Slave, ModbusBaseClient]]:
        async with (
            Slave(slave_program, image, tcp=False, rtu_tcp=True) as slave,
            connected(tcp_client(slave.rtu_tcp_port, FramerType.RTU)) as client,
        ):
            yield slave, client

    @asynccontextmanager
    async def rtu() -> AsyncIterator[tuple[Slave, ModbusBaseClient]]:
        async with PtyLine() as line, Slave(slave_program, image, tcp=False, tty=line.device_path) as slave:
            client = AsyncModbusSerialClient(line.node_path, baudrate=9600, timeout=2, retries=0, reconnect_delay=0)
            async with connected(client):
                yield slave, client

    return {"tcp": tcp, "rtu": rtu, "rtu_tcp": rtu_tcp}[request.param]


async def holding(client: ModbusBaseClient, address: int, count: int = 1, unit: int = UNIT) -> ModbusPDU:
    return await client.read_holding_registers(address, count=count, device_id=unit)


async def write(client: ModbusBaseClient, address: int, word: int) -> ModbusPDU:
    return await client.write_register(address, word, device_id=UNIT)


async def write_without_answer(client: ModbusBaseClient, address: int, word: int) -> None:
    with pytest.raises((TimeoutError, ModbusException)):
        async with asyncio.timeout(SOON_S):
            await write(client, address, word)


async def until_holding(client: ModbusBaseClient, address: int, word: int) -> None:
    async with asyncio.timeout(5):
        while (await holding(client, address)).registers != [word]:  # noqa: ASYNC110  # only a request shows it
            await asyncio.sleep(0.01)


async def test_registers_are_read_from_both_tables_and_several_units(link: Link) -> None:
    async with link() as (_, client):
        assert (await holding(client, 0x0040, 2)).registers == [3, 1]
        assert (await holding(client, 0x0040, 2, unit=11)).registers == [1, 1]
        assert (await client.read_input_registers(0x0050, count=2, device_id=UNIT)).registers == [0, 0xCFD0]


async def test_a_hole_answers_exception_2(link: Link) -> None:
    async with link() as (slave, client):
        assert (await holding(client, 0x0040, 3)).exception_code == 2
        assert (await holding(client, 0x0050)).exception_code == 2
        await slave.remove(UNIT, 0x0041)
        assert (await holding(client, 0x0040, 2)).exception_code == 2
        assert (await write(client, 0x0300, 1)).exception_code == 2


async def test_an_unknown_function_answers_exception_1_over_tcp(slave_program: Path, image: Path) -> None:
    async with Slave(slave_program, image) as slave, connected(tcp_client(slave.port)) as client:
        assert (await client.read_coils(0, count=8, device_id=UNIT)).exception_code == 1


async def test_an_unknown_unit_answers_as_a_gateway_does(link: Link) -> None:
    async with link() as (slave, client):
        assert (await holding(client, 0x0040, unit=99)).exception_code == 11
        await slave.unknown(answer_exception(10))
        assert (await holding(client, 0x0040, unit=99)).exception_code == 10


async def test_a_write_takes_effect_and_is_recorded(link: Link) -> None:
    async with link() as (slave, client):
        before_s = time.monotonic()
        assert not (await write(client, MODE, 2)).isError()
        assert not (await client.write_registers(0x0160, [8, 9], device_id=UNIT)).isError()
        assert (await holding(client, 0x0160, 7)).registers == [8, 9, 0, 0, 0, 0, 2]
        first, second = await slave.until_writes(2)
        assert (first.unit, first.function, first.address, first.words) == (UNIT, 6, MODE, (2,))
        assert (second.unit, second.function, second.address, second.words) == (UNIT, 16, 0x0160, (8, 9))
        # The slave's clock counts whole milliseconds.
        assert before_s - 0.001 <= first.monotonic_s <= second.monotonic_s <= time.monotonic()


async def test_reads_are_recorded_when_asked_for(link: Link) -> None:
    async with link() as (slave, client):
        await holding(client, 0x0040, 2)
        await slave.log_reads()
        await client.read_input_registers(0x0050, count=2, device_id=UNIT)
        (read,) = await slave.until_reads(1)
        assert (read.unit, read.function, read.address, read.count) == (UNIT, 4, 0x0050, 2)


async def test_an_ignored_write_is_acknowledged_and_changes_nothing(link: Link) -> None:
    async with link() as (slave, client):
        await slave.behaviour(UNIT, MODE, IGNORE)
        await slave.link(UNIT, MODE, None, STATUS, 1032)
        assert not (await write(client, MODE, 2)).isError()
        assert (await holding(client, MODE)).registers == [3]
        assert (await holding(client, STATUS)).registers == [1024]
        assert len(await slave.until_writes(1)) == 1
        await slave.behaviour(UNIT, MODE, APPLY)
        await write(client, MODE, 2)
        assert (await holding(client, MODE)).registers == [2]


async def test_a_late_write_takes_effect_later(link: Link) -> None:
    async with link() as (slave, client):
        await slave.behaviour(UNIT, MODE, late(LONG_S))
        assert not (await write(client, MODE, 2)).isError()
        assert (await holding(client, MODE)).registers == [3]
        await slave.behaviour(UNIT, MODE, late(SOON_S))
        await write(client, MODE, 5)
        await until_holding(client, MODE, 5)


async def test_a_rejected_write_answers_its_exception_and_changes_nothing(link: Link) -> None:
    async with link() as (slave, client):
        await slave.behaviour(UNIT, 0x0161, reject(4))
        assert (await client.write_registers(0x0160, [1, 1], device_id=UNIT)).exception_code == 4
        assert (await holding(client, 0x0160, 2)).registers == [7, 0]
        assert len(await slave.until_writes(1)) == 1


async def test_a_write_may_be_reverted(link: Link) -> None:
    async with link() as (slave, client):
        await slave.behaviour(UNIT, MODE, revert(LONG_S))
        await write(client, MODE, 2)
        assert (await holding(client, MODE)).registers == [2]
        await slave.set(UNIT, MODE, 3)
        await slave.behaviour(UNIT, MODE, revert(SOON_S))
        await slave.link(UNIT, MODE, 2, STATUS, 1032)
        await slave.link(UNIT, MODE, 3, STATUS, 1033)
        await write(client, MODE, 2)
        await until_holding(client, MODE, 3)
        assert (await holding(client, STATUS)).registers == [1033]


async def test_a_link_moves_status_registers_after_a_write(link: Link) -> None:
    async with link() as (slave, client):
        await slave.link(UNIT, MODE, 2, 0x0040, 1)
        await slave.link(UNIT, MODE, 2, STATUS, 1032, 776, after_s=SOON_S)
        await slave.link(UNIT, MODE, 3, STATUS, 1024)
        await write(client, MODE, 2)
        assert (await holding(client, 0x0040)).registers == [1]
        await until_holding(client, STATUS, 1032)
        await write(client, MODE, 3)
        assert (await holding(client, STATUS)).registers == [1024]
        await slave.unlink(UNIT, MODE)
        await write(client, MODE, 2)
        assert (await holding(client, STATUS)).registers == [1024]


async def test_a_late_write_fires_its_links_when_it_takes_effect(link: Link) -> None:
    async with link() as (slave, client):
        await slave.link(UNIT, MODE, 2, STATUS, 1032)
        await slave.behaviour(UNIT, MODE, late(SOON_S))
        await write(client, MODE, 2)
        await until_holding(client, STATUS, 1032)
        assert (await holding(client, MODE)).registers == [2]


async def test_a_silent_unit_neither_acts_nor_answers_and_comes_back(link: Link) -> None:
    async with link() as (slave, client):
        await slave.answer(UNIT, "silent")
        await write_without_answer(client, MODE, 2)
        assert not (await holding(client, 0x0040, unit=11)).isError()
        await slave.answer(UNIT, "normal")
        assert (await holding(client, MODE)).registers == [3]
        assert len(slave.writes()) == 1


async def test_a_mute_unit_acts_and_its_answer_is_lost(link: Link) -> None:
    async with link() as (slave, client):
        await slave.answer(UNIT, "mute")
        await write_without_answer(client, MODE, 2)
        await slave.until_writes(1)
        assert (await slave.dump(UNIT))[MODE] == 2


async def test_a_unit_may_answer_nothing_but_an_exception(link: Link) -> None:
    async with link() as (slave, client):
        await slave.answer(UNIT, answer_exception(6))
        assert (await holding(client, 0x0040)).exception_code == 6
        assert (await write(client, MODE, 2)).exception_code == 6
        assert (await slave.dump(UNIT))[MODE] == 3


async def test_a_request_for_more_than_125_registers_answers_exception_3(slave_program: Path, image: Path) -> None:
    async with Slave(slave_program, image) as slave:
        reader, writer = await asyncio.open_connection("127.0.0.1", slave.port)
        writer.write(bytes.fromhex("0001 0000 0006 0A 03 0040 007E"))
        assert await reader.readexactly(9) == bytes.fromhex("0001 0000 0003 0A 83 03")
        writer.close()
        await writer.wait_closed()


async def test_a_broken_rtu_frame_is_not_answered_and_the_next_one_is(slave_program: Path, image: Path) -> None:
    async with Slave(slave_program, image, tcp=False, rtu_tcp=True) as slave:
        reader, writer = await asyncio.open_connection("127.0.0.1", slave.rtu_tcp_port)
        good = bytes.fromhex("0A 03 0040 0002 C4A4")
        answer = bytes.fromhex("0A 03 04 0003 0001 7133")
        writer.write(good)
        assert await reader.readexactly(9) == answer
        writer.write(good[:-2] + b"\xff\xff")  # the CRC is wrong
        await slave.set(UNIT, 0x0040, 3)  # its answer comes after the slave has seen the broken frame
        writer.write(good)
        assert await reader.readexactly(9) == answer
        writer.close()
        await writer.wait_closed()


async def test_several_clients_are_served_at_once(slave_program: Path, image: Path) -> None:
    async with (
        Slave(slave_program, image) as slave,
        connected(tcp_client(slave.port)) as one,
        connected(tcp_client(slave.port)) as other,
    ):
        answers = await asyncio.gather(*(holding(c, 0x0040, 2, u) for c in (one, other) for u in (UNIT, 11)))
        assert [a.registers for a in answers] == [[3, 1], [1, 1], [3, 1], [1, 1]]


async def test_dying_closes_every_link_at_once(slave_program: Path, image: Path) -> None:
    async with Slave(slave_program, image) as slave:
        reader, writer = await asyncio.open_connection("127.0.0.1", slave.port)
        await slave.die()
        with pytest.raises(ConnectionResetError):
            await reader.read()
        writer.close()
        with pytest.raises(ConnectionRefusedError):
            await asyncio.open_connection("127.0.0.1", slave.port)
        with pytest.raises(SlaveError, match="not running"):
            await slave.set(UNIT, 0x0040, 3)


async def test_links_go_down_and_up_with_registers_and_ports_kept(slave_program: Path, image: Path) -> None:
    async with Slave(slave_program, image) as slave:
        async with connected(tcp_client(slave.port)) as client:
            await write(client, MODE, 2)
            await slave.down()
            with pytest.raises(ConnectionRefusedError):
                await asyncio.open_connection("127.0.0.1", slave.port)
        await slave.up()
        async with connected(tcp_client(slave.port)) as client:
            assert (await holding(client, MODE)).registers == [2]


async def test_a_wrong_command_or_image_is_refused_with_its_reason(
    slave_program: Path, image: Path, tmp_path: Path, capfd: pytest.CaptureFixture[str]
) -> None:
    async with Slave(slave_program, image) as slave:
        with pytest.raises(SlaveError, match="error a number is"):
            await slave.set(UNIT, 0x0040, 70000)
        with pytest.raises(SlaveError, match="error no such unit"):
            await slave.answer(99, "silent")
        with pytest.raises(SlaveError, match="target is a hole"):
            await slave.link(UNIT, MODE, 2, 0x0300, 1)
    wrong = tmp_path / "wrong.txt"
    wrong.write_text("# a comment\nset 10 holding 0x40 1\nset 10 coils 0 1\n")
    with pytest.raises(SlaveError, match="did not start"):
        await Slave(slave_program, wrong).start()
    assert f"{wrong}:3: this word is not one of the known ones" in capfd.readouterr().err
