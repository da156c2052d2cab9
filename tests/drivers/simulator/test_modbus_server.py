"""Frames of the simulated Modbus side, byte by byte: TCP, RTU, noise, late and broken answers."""

import asyncio
import struct

from drivers.simulator.device import ModbusDevice
from drivers.simulator.modbus_server import Replies, RtuRequests, TcpRequests, crc
from tests.drivers.simulator import plants
from tests.fake_clock import FakeClock

READ = struct.pack(">BHH", 3, 0x166, 1)
IS_3 = bytes((3, 2, 0, 3))


def rtu(unit: int, pdu: bytes) -> bytes:
    frame = bytes((unit,)) + pdu
    return frame + crc(frame)


def tcp(transaction: int, unit: int, pdu: bytes) -> bytes:
    return struct.pack(">HHHB", transaction, 0, len(pdu) + 1, unit) + pdu


class Line:
    """Requests of one link with what it sent."""

    def __init__(self, clock: FakeClock, byte_s: float = 0.0, unknown: int | None = 11) -> None:
        self.devices = {
            unit: ModbusDevice(plants.unit(f"d{unit}", unit, plants.inverter()), None, clock, 1) for unit in (10, 11)
        }
        self.replies = Replies(self.devices, clock, byte_s)
        self.sent: list[bytes] = []
        self.closed = False
        self.rtu = RtuRequests(self.replies, self.send)
        self.tcp = TcpRequests(self.replies, self.send, self.close, unknown)

    def send(self, data: bytes) -> None:
        if data:
            self.sent.append(data)

    def close(self) -> None:
        self.closed = True


def test_the_check_sum_is_that_of_the_serial_line_guide() -> None:
    assert rtu(1, struct.pack(">BHH", 3, 0, 10)) == bytes.fromhex("01 03 00 00 00 0A C5 CD")


def test_tcp_answers_carry_transaction_and_unit(clock: FakeClock) -> None:
    line = Line(clock)
    line.tcp.feed(tcp(0x1234, 10, READ))
    assert line.sent == [tcp(0x1234, 10, IS_3)]


def test_requests_may_come_in_pieces_and_glued(clock: FakeClock) -> None:
    line = Line(clock)
    both = tcp(1, 10, READ) + tcp(2, 11, READ)
    for at in range(len(both)):
        line.tcp.feed(both[at : at + 1])
    assert line.sent == [tcp(1, 10, IS_3), tcp(2, 11, IS_3)]
    line.tcp.feed(both)
    assert len(line.sent) == 4
    one = rtu(10, READ)
    line.rtu.feed(one[:3])
    line.rtu.feed(one[3:] + one)
    assert line.sent[4:] == [rtu(10, IS_3)] * 2


def test_a_gateway_answers_for_a_unit_that_is_not_there_and_a_line_does_not(clock: FakeClock) -> None:
    line = Line(clock)
    line.tcp.feed(tcp(1, 99, READ))
    assert line.sent == [tcp(1, 99, bytes((0x83, 11)))]
    line.rtu.feed(rtu(99, READ))
    assert len(line.sent) == 1
    silent = Line(clock, unknown=None)
    silent.tcp.feed(tcp(1, 99, READ))
    assert silent.sent == []


def test_a_stream_that_is_no_modbus_is_closed(clock: FakeClock) -> None:
    line = Line(clock)
    line.tcp.feed(b"GET / HTTP/1.1\r\n\r\n")
    assert line.closed
    assert line.sent == []


async def test_noise_before_an_rtu_request_is_skipped_and_half_a_frame_forgotten(clock: FakeClock) -> None:
    line = Line(clock)
    line.rtu.feed(b"\xff\x00\x07" + rtu(10, READ))
    assert line.sent == [rtu(10, IS_3)]
    line.rtu.feed(rtu(10, READ)[:5])
    await clock.advance(0.5)
    line.rtu.feed(rtu(10, READ))
    assert line.sent == [rtu(10, IS_3)] * 2
    line.rtu.feed(rtu(10, READ)[:-1] + b"\x00")
    await clock.advance(0.5)
    assert len(line.sent) == 2, "a wrong check sum has no answer"


def test_a_broadcast_is_obeyed_by_all_and_answered_by_none(clock: FakeClock) -> None:
    line = Line(clock)
    line.rtu.feed(rtu(0, struct.pack(">BHH", 6, 0x166, 2)))
    assert line.sent == []
    assert [device.get("operating_mode") for device in line.devices.values()] == [2, 2]


async def test_late_answers_stay_in_order_and_delay_what_comes_behind(clock: FakeClock) -> None:
    line = Line(clock)
    line.devices[10].faults.delay_s = 1.0
    line.rtu.feed(rtu(10, READ))
    line.rtu.feed(rtu(11, READ))
    await clock.advance(0.9)
    assert line.sent == []
    await clock.advance(0.2)
    assert line.sent == [rtu(10, IS_3), rtu(11, IS_3)]


async def test_a_serial_line_takes_its_time(clock: FakeClock) -> None:
    line = Line(clock, byte_s=10 / 9600)
    line.rtu.feed(rtu(10, READ))
    await clock.advance(0.019)
    assert line.sent == [], "8 bytes there, 5 ms, 7 bytes back: 20.6 ms"
    await clock.advance(0.002)
    assert line.sent == [rtu(10, IS_3)]


async def test_stopping_forgets_what_waits(clock: FakeClock) -> None:
    line = Line(clock)
    line.devices[10].faults.delay_s = 1.0
    line.rtu.feed(rtu(10, READ))
    await asyncio.sleep(0)
    await line.replies.stop()
    await clock.advance(2.0)
    assert line.sent == []


def test_faults_of_the_answer(clock: FakeClock) -> None:
    line = Line(clock)
    faults = line.devices[10].faults
    write = struct.pack(">BHH", 6, 0x166, 2)
    faults.silent = True
    line.rtu.feed(rtu(10, write))
    assert line.sent == []
    assert line.devices[10].get("operating_mode") == 3
    faults.clear()
    faults.mute = True
    line.rtu.feed(rtu(10, write))
    assert line.sent == []
    assert line.devices[10].get("operating_mode") == 2
    faults.clear()
    faults.corrupt = True
    line.rtu.feed(rtu(10, READ))
    assert line.sent[0][:-2] == rtu(10, bytes((3, 2, 0, 2)))[:-2]
    assert line.sent[0] != rtu(10, bytes((3, 2, 0, 2)))
    line.tcp.feed(tcp(7, 10, READ))
    assert line.sent[1] == tcp(7, 10, bytes((3, 2)))
    faults.clear()
    faults.garbage = b"\x00garbage"
    line.tcp.feed(tcp(8, 10, READ))
    assert line.sent[2] == b"\x00garbage"
