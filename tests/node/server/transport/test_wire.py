"""Bytes of a connection: frames and hostile bodies."""

import struct
from contextlib import suppress

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer, NotEnoughData
from asyncua.ua import ua_binary
from asyncua.ua.ua_binary import struct_from_binary, unpack_uatype, unpack_uatype_array
from hypothesis import given
from hypothesis import strategies as st

from node.server.compat import harden_decoder
from node.server.transport.wire import DECODE_ERRORS, BadFrame, FrameCutter, Reader, TooManyFields, error_frame

harden_decoder()


def frame(kind: bytes, body: bytes, chunk: bytes = b"F", channel: int = 7) -> bytes:
    content = (b"" if kind == b"HEL" else struct.pack("<I", channel)) + body
    return kind + chunk + struct.pack("<I", 8 + len(content)) + content


def test_frames_are_cut_wherever_the_stream_was_split() -> None:
    stream = frame(b"HEL", b"hello") + frame(b"OPN", b"open") + frame(b"MSG", b"part", b"C") + frame(b"CLO", b"")
    whole = FrameCutter(65535).feed(stream)
    assert [(each.type, each.chunk, each.channel_id, each.body) for each in whole] == [
        (b"HEL", b"F", 0, b"hello"),
        (b"OPN", b"F", 7, b"open"),
        (b"MSG", b"C", 7, b"part"),
        (b"CLO", b"F", 7, b""),
    ]
    cutter = FrameCutter(65535)
    assert [each for byte in stream for each in cutter.feed(bytes((byte,)))] == whole


@pytest.mark.parametrize(
    ("start", "status"),
    [
        (b"GET ", "BadTcpMessageTypeInvalid"),
        (b"MSGX", "BadTcpMessageTypeInvalid"),
        (b"OPNC", "BadTcpMessageTypeInvalid"),
        (b"HELA", "BadTcpMessageTypeInvalid"),
    ],
)
def test_unknown_types_are_refused(start: bytes, status: str) -> None:
    with pytest.raises(BadFrame) as caught:
        FrameCutter(65535).feed(start + struct.pack("<I", 32))
    assert caught.value.status == getattr(ua.StatusCodes, status)


@pytest.mark.parametrize("size", [0, 7, 11, 65536, 2**32 - 1])
def test_impossible_sizes_are_refused_with_the_header(size: int) -> None:
    with pytest.raises(BadFrame) as caught:
        FrameCutter(65535).feed(b"MSGF" + struct.pack("<I", size))
    assert caught.value.status == ua.StatusCodes.BadTcpMessageTooLarge


def test_reader_never_goes_back() -> None:
    reader = Reader(b"abcdef")
    assert reader.read(2) == b"ab"
    for size in (-1, -2, 5):
        with pytest.raises(NotEnoughData):
            reader.read(size)
        with pytest.raises(NotEnoughData):
            reader.skip(size)
    with pytest.raises(NotEnoughData):
        reader.copy(-2)
    part = reader.copy(2)
    assert (part.read(2), len(part), len(reader)) == (b"cd", 0, 4)
    assert len(reader.copy(99)) == 4


def test_nulls_are_no_more_than_bytes() -> None:
    array = struct.pack("<i", 4)
    assert unpack_uatype_array(ua.VariantType.Null, Reader(array)) == [None] * 4
    with pytest.raises(NotEnoughData):
        unpack_uatype_array(ua.VariantType.Null, Reader(struct.pack("<i", 2**31 - 1)))


def test_nulls_are_counted_also_when_the_library_has_read_some_before() -> None:
    ua_binary.Primitives.Null = ua_binary._Null()
    ua_binary._create_uatype_deserializer.cache_clear()
    ua_binary._create_uatype_array_deserializer.cache_clear()
    assert unpack_uatype_array(ua.VariantType.Null, Buffer(struct.pack("<i", 9))) == [None] * 9
    harden_decoder()
    with pytest.raises(NotEnoughData):
        unpack_uatype_array(ua.VariantType.Null, Reader(struct.pack("<i", 9)))


def test_matrix_is_refused() -> None:
    matrix = b"\xc6" + struct.pack("<iiiii", 1, 7, 2, 100_000, 100_000)
    with pytest.raises(DECODE_ERRORS):
        unpack_uatype(ua.VariantType.Variant, Reader(matrix))


@given(
    st.binary(max_size=400),
    st.sampled_from(
        [
            ua.ReadParameters,
            ua.CallParameters,
            ua.WriteParameters,
            ua.RequestHeader,
            ua.CreateMonitoredItemsParameters,
            ua.CreateSessionParameters,
            ua.ActivateSessionParameters,
            ua.BrowseParameters,
            ua.HistoryReadParameters,
        ]
    ),
)
def test_any_bytes_decode_or_fail_as_expected(content: bytes, kind: type) -> None:
    with suppress(*DECODE_ERRORS):
        struct_from_binary(kind, Reader(content))


@given(st.lists(st.binary(max_size=60), max_size=8))
def test_any_stream_is_cut_or_refused(pieces: list[bytes]) -> None:
    cutter = FrameCutter(200)
    try:
        for piece in pieces:
            cutter.feed(piece)
    except BadFrame as error:
        assert error.status & 0x8000_0000


def test_error_frame_is_as_the_standard_has_it() -> None:
    data = error_frame(ua.StatusCodes.BadTcpMessageTooLarge, "too large")
    assert data == b"ERRF" + struct.pack("<III", 8 + 8 + 9, ua.StatusCodes.BadTcpMessageTooLarge, 9) + b"too large"


def test_fields_are_counted_whatever_they_are_in() -> None:
    reader = Reader(b"abcdefgh", fields=4)
    assert [reader.read(1), reader.copy(2).read(1)] == [b"a", b"b"]
    reader.null()
    reader.allow(1)
    reader.skip(2)
    assert reader.read(1) == b"d"
    with pytest.raises(TooManyFields):
        reader.copy().read(1)


def test_readers_share_what_they_may_read() -> None:
    first = Reader(b"abcd", fields=2)
    first.read(1)
    second = Reader(b"efgh", fields=first.fields)
    second.read(1)
    for each in (first, second):
        with pytest.raises(TooManyFields):
            each.read(1)


def test_values_within_values_are_so_many_fields() -> None:
    # One byte each: encodings of Variants that hold nothing.
    nothings = b"\x98" + struct.pack("<i", 50_000) + b"\0" * 50_000
    assert len(unpack_uatype(ua.VariantType.Variant, Reader(nothings, fields=200_000)).Value) == 50_000
    with pytest.raises(TooManyFields):
        unpack_uatype(ua.VariantType.Variant, Reader(nothings))
