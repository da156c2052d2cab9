import math
import struct
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import Value
from node.historian.store.frame import Frame, FrameDamaged, encode

SAME = struct.Struct("<d")

values: st.SearchStrategy[Value | None] = st.one_of(
    st.none(),
    st.booleans(),
    st.floats(),
    st.integers(-(2**63), 2**64 - 1),
    st.integers(),
    st.text(st.characters()),  # surrogates too
)
samples = st.tuples(st.integers(0, 5), st.integers(-(2**63), 2**63 - 1), values, st.integers(0, 2**32 - 1))


def exact(value: Value | None) -> object:
    """Equal only for the same type and, for floats, the same bits."""
    return (type(value), SAME.pack(value) if isinstance(value, float) else value)


@given(st.lists(samples, max_size=60))
def test_every_value_comes_back_as_it_was_in_the_order_in_which_it_came(
    given_samples: list[tuple[int, int, Value | None, int]],
) -> None:
    columns = [list(column) for column in zip(*given_samples, strict=True)] or [[], [], [], []]
    frame = Frame(encode(*columns))  # type: ignore[arg-type]
    assert len(frame) == len(given_samples)
    for tag in range(7):
        found = frame.of(tag)
        got = [(t, exact(v), s) for t, v, s in zip(found.ticks, found.values, found.statuses, strict=True)]
        assert got == [(t, exact(v), s) for one, t, v, s in given_samples if one == tag]
    assert list(frame.tags) == sorted(columns[0])


@given(st.lists(samples, min_size=1, max_size=10), st.data())
def test_a_changed_byte_is_noticed(
    given_samples: list[tuple[int, int, Value | None, int]], data: st.DataObject
) -> None:
    blob = bytearray(encode(*(list(column) for column in zip(*given_samples, strict=True))))  # type: ignore[arg-type]
    position = data.draw(st.integers(0, len(blob) - 1))
    blob[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(FrameDamaged):
        Frame(bytes(blob))


@given(st.lists(samples, min_size=1, max_size=10), st.data())
def test_a_cut_frame_is_noticed(given_samples: list[tuple[int, int, Value | None, int]], data: st.DataObject) -> None:
    blob = encode(*(list(column) for column in zip(*given_samples, strict=True)))  # type: ignore[arg-type]
    with pytest.raises(FrameDamaged):
        Frame(blob[: data.draw(st.integers(0, len(blob) - 1))])


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        encode([1], [0], [b"x"], [0])  # type: ignore[list-item]


BODY = struct.pack("<ii qq BB IIq II", 1, 2, 3, 7, 5, 1, 0, 2, 1, 1, 0x80000000) + "é".encode()


def test_the_bytes_on_disk_are_those_of_the_layout() -> None:
    """Written by hand: a later version must still read what this one wrote."""
    blob = encode([2, 1], [7, 3], [True, "é"], [0x80000000, 1])
    assert zlib.decompress(blob[16:]) == BODY
    assert blob[:12] == b"GNZ1" + struct.pack("<II", 2, 2)


def test_a_body_that_is_not_compressed_is_read_too() -> None:
    """As they were written before, and are where compression does not help."""
    frame = Frame(b"GNF1" + struct.pack("<III", 2, 2, zlib.crc32(BODY)) + BODY)
    assert frame.of(1).values == ["é"]
    assert frame.of(2).values == [True]
    assert encode([1], [2**62 + 12345], [2.0**0.5], [0x12345678])[:4] == b"GNF1"


def test_not_a_number_keeps_its_bits() -> None:
    (value,) = Frame(encode([1], [0], [math.nan], [0])).of(1).values
    assert isinstance(value, float)
    assert math.isnan(value)
