"""Frames are written down by hand from the specifications' own examples, or built with a check sum of the test's."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.base import Malformed
from drivers.channel import Read, Request, Write
from drivers.frames import Answer, RtuFraming, TcpFraming
from drivers.spec import Table
from tests.e2e.chaos.slave import crc16

HOLDING, COIL = Table.HOLDING, Table.COIL
READ = Read(0x11, HOLDING, 0x6B, 3)


def rtu(*body: int) -> bytearray:
    return bytearray(bytes(body) + crc16(bytes(body)))


def tcp(number: int, *body: int) -> bytearray:
    return bytearray(number.to_bytes(2, "big") + b"\0\0" + len(body).to_bytes(2, "big") + bytes(body))


@pytest.mark.parametrize(
    ("request_", "body"),
    [
        (READ, "11 03 00 6b 00 03"),
        (Read(1, Table.INPUT, 8, 1), "01 04 00 08 00 01"),
        (Read(1, COIL, 0x13, 0x13), "01 01 00 13 00 13"),
        (Read(1, Table.DISCRETE, 0xC4, 0x16), "01 02 00 c4 00 16"),
        (Write(1, HOLDING, 1, (3,)), "01 06 00 01 00 03"),
        (Write(1, HOLDING, 1, (3,), single=False), "01 10 00 01 00 01 02 00 03"),
        (Write(1, HOLDING, 1, (10, 258)), "01 10 00 01 00 02 04 00 0a 01 02"),
        (Write(1, COIL, 0xAC, (1,)), "01 05 00 ac ff 00"),
        (Write(1, COIL, 0x13, (1, 0, 1, 1)), "01 0f 00 13 00 04 01 0d"),
    ],
)
def test_requests_are_those_of_the_specification(request_: Request, body: str) -> None:
    data = bytes.fromhex(body)
    assert RtuFraming().encode(request_, 0) == data + crc16(data)
    assert TcpFraming().encode(request_, 0x1501) == bytes(tcp(0x1501, *data))


def test_a_table_that_cannot_be_written_is_refused() -> None:
    with pytest.raises(ValueError, match="input table cannot be written"):
        RtuFraming().encode(Write(1, Table.INPUT, 0, (1,)), 0)


def test_the_answer_is_found_behind_noise_and_in_front_of_more() -> None:
    answer = rtu(0x11, 3, 6, 0xAE, 0x41, 0x56, 0x52, 0x43, 0x40)
    buffer = bytearray(b"\x00\xff") + answer + b"\x55"
    assert RtuFraming().find(buffer, READ, 0) == Answer(bytes.fromhex("ae4156524340"))
    assert buffer == b"\x55"


@pytest.mark.parametrize(
    "frame",
    [
        rtu(0x12, 3, 6, 0, 0, 0, 0, 0, 0),  # of another unit
        rtu(0x11, 4, 6, 0, 0, 0, 0, 0, 0),  # to another function
        rtu(0x11, 3, 4, 0, 0, 0, 0),  # of another length
        rtu(0x11, 3, 6, 0, 0, 0, 0, 0, 0)[:-1],  # cut off
        rtu(0x11, 3, 6, 0, 0, 0, 0, 0, 0)[:-1] + b"\x00",  # with a wrong check sum
        rtu(0x11, 3, 0, 0x6B, 0, 3),  # the echo of the request
    ],
)
def test_what_is_no_answer_to_this_request_is_not_taken(frame: bytearray) -> None:
    assert RtuFraming().find(frame, READ, 0) is None


def test_exceptions_and_acknowledgements_are_answers() -> None:
    assert RtuFraming().find(rtu(0x11, 0x83, 2), READ, 0) == Answer(b"", 2)
    assert TcpFraming().find(tcp(7, 0x11, 0x83, 11), READ, 7) == Answer(b"", 11)
    write = Write(1, HOLDING, 1, (10, 258))
    assert RtuFraming().find(rtu(1, 0x10, 0, 1, 0, 2), write, 0) == Answer(b"")
    assert TcpFraming().find(tcp(7, 1, 0x10, 0, 1, 0, 2), write, 7) == Answer(b"")


def test_an_acknowledgement_of_another_address_or_value_is_none() -> None:
    write = Write(1, HOLDING, 1, (3,))
    assert RtuFraming().find(rtu(1, 6, 0, 2, 0, 3), write, 0) is None
    assert RtuFraming().find(rtu(1, 6, 0, 1, 0, 4), write, 0) is None
    with pytest.raises(Malformed):
        TcpFraming().find(tcp(7, 1, 6, 0, 1, 0, 4), write, 7)


def test_whole_frames_that_nobody_asked_for_are_taken_off() -> None:
    framing = RtuFraming()
    buffer = rtu(5, 3, 4, 1, 2, 3, 4) + rtu(6, 0x84, 2) + rtu(1, 6, 0, 1, 0, 3) + b"\x11\x03"
    found = framing.strays(buffer, anywhere=False)
    assert [(u.unit, u.function, u.size) for u in found] == [(5, 3, 4), (6, 0x84, 1), (1, 6, 4)]
    assert buffer == b"\x11\x03"
    noisy = bytearray(b"\x00\x13") + rtu(5, 3, 2, 1, 2)
    assert framing.strays(noisy, anywhere=False) == []
    assert [u.unit for u in framing.strays(noisy, anywhere=True)] == [5]


def test_a_tcp_answer_to_an_earlier_request_is_a_stray_with_its_number() -> None:
    framing = TcpFraming()
    buffer = tcp(6, 0x11, 3, 6, 0, 0, 0, 0, 0, 0)
    assert framing.find(buffer, READ, 7) is None
    assert [(u.number, u.unit, u.size) for u in framing.strays(buffer, anywhere=False)] == [(6, 0x11, 6)]


@pytest.mark.parametrize(
    "frame",
    [
        tcp(7, 0x12, 3, 6, 0, 0, 0, 0, 0, 0),
        tcp(7, 0x11, 4, 6, 0, 0, 0, 0, 0, 0),
        tcp(7, 0x11, 3, 4, 0, 0, 0, 0),
        tcp(7, 0x11, 3, 6, 0, 0),
    ],
)
def test_a_tcp_answer_with_our_number_that_does_not_fit_is_malformed(frame: bytearray) -> None:
    with pytest.raises(Malformed):
        TcpFraming().find(frame, READ, 7)


def test_half_a_tcp_answer_with_another_frame_behind_it_is_malformed() -> None:
    half = tcp(7, 0x11, 3, 6, 0, 0, 0, 0, 0, 0)[:-5]
    with pytest.raises(Malformed, match="is no frame"):
        TcpFraming().find(half + tcp(6, 0x11, 3, 2, 0, 0), READ, 7)


@given(noise=st.binary(max_size=300), kind=st.sampled_from([RtuFraming, TcpFraming]))
def test_noise_is_never_an_answer_and_never_an_error_but_malformed(
    noise: bytes, kind: type[RtuFraming | TcpFraming]
) -> None:
    buffer = bytearray(noise)
    try:
        found = kind().find(buffer, READ, 0xABCD)
    except Malformed:
        found = None
    assert found is None
    kind().strays(buffer, anywhere=True)


@given(
    words=st.lists(st.integers(0, 0xFFFF), min_size=1, max_size=125),
    before=st.binary(max_size=8),
    cut=st.integers(0, 259),
    kind=st.sampled_from([RtuFraming, TcpFraming]),
)
def test_an_answer_in_pieces_is_found_when_its_last_byte_came(
    words: list[int], before: bytes, cut: int, kind: type[RtuFraming | TcpFraming]
) -> None:
    data = b"".join(word.to_bytes(2, "big") for word in words)
    request = Read(9, HOLDING, 0, len(words))
    body = (9, 3, len(data), *data)
    frame = rtu(*body) if kind is RtuFraming else tcp(0x1234, *body)
    if kind is TcpFraming:
        before = b""  # TCP carries no noise
    whole = bytearray(before) + frame
    part = whole[: min(cut, len(whole) - 1)]
    assert kind().find(bytearray(part), request, 0x1234) is None
    assert kind().find(whole, request, 0x1234) == Answer(data)
