import math
import struct
import zlib
from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import TICKS_PER_MS, Value
from node.historian.history import Columns
from node.historian.store.block import BlockDamaged, decode, encode
from node.historian.store.frame import DELETED
from tests.node.historian.store.test_frame import exact, values

TIMES = st.integers(-(2**63), 2**63 - 1)
MILLISECONDS = st.integers(0, 2**40).map(lambda number: number * TICKS_PER_MS)
STATUSES = st.one_of(st.just(0), st.integers(0, 2**32 - 1))
decimals = st.builds(lambda number, power: number / 10**power, st.integers(-(2**54), 2**54), st.integers(0, 8))
# One kind of value in a whole block is another way through the codec than a mixture.
KINDS: tuple[st.SearchStrategy[Value | None], ...] = (
    values,
    st.floats(),
    decimals,
    st.integers(-300, 300).map(lambda number: number / 10),
    st.sampled_from([0.0, -0.0, 1.5, math.nan, math.inf]),
    st.booleans(),
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 300),
    st.integers(2**63, 2**64 - 1),
    st.integers(2**64),
    st.text(st.characters()),
    st.none(),
    st.just(DELETED),
)


@st.composite
def blocks(draw: st.DrawFn) -> Columns:
    ticks = sorted(draw(st.sets(draw(st.sampled_from([TIMES, MILLISECONDS])), min_size=1, max_size=60)))
    count = len(ticks)
    column = draw(st.lists(draw(st.sampled_from(KINDS)), min_size=count, max_size=count))
    statuses = draw(st.one_of(st.lists(STATUSES, min_size=count, max_size=count), st.just([7] * count)))
    return Columns(array("q", ticks), column, array("I", statuses))


def same(found: Columns, wanted: Columns) -> bool:
    return (
        found.ticks == wanted.ticks
        and found.statuses == wanted.statuses
        and list(map(exact, found.values)) == list(map(exact, wanted.values))
        and [value is DELETED for value in found.values] == [value is DELETED for value in wanted.values]
    )


@given(blocks())
def test_every_sample_comes_back_as_it_was(samples: Columns) -> None:
    assert same(decode(encode(samples)), samples)


@given(blocks(), TIMES, TIMES)
def test_a_part_of_a_block_is_what_lies_in_the_interval(samples: Columns, low: int, high: int) -> None:
    wanted = Columns()
    for sample in zip(samples.ticks, samples.values, samples.statuses, strict=True):
        if low <= sample[0] <= high:
            wanted.append(*sample)
    assert same(decode(encode(samples), low, high), wanted)


@given(blocks(), st.data())
def test_a_changed_or_missing_byte_is_noticed(samples: Columns, data: st.DataObject) -> None:
    blob = bytearray(encode(samples))
    position = data.draw(st.integers(0, len(blob) - 1))
    with pytest.raises(BlockDamaged):
        decode(bytes(blob[:position]))
    blob[position] ^= data.draw(st.integers(1, 255))
    with pytest.raises(BlockDamaged):
        decode(bytes(blob))


def test_a_float_keeps_its_bits_whatever_they_are() -> None:
    bits = [0x7FF8000000000001, 0xFFF0DEADBEEF0001, 0x8000000000000000, 0x0000000000000001, 0x3FF0000000000000]
    floats = list(struct.unpack("<5d", struct.pack("<5Q", *bits)))
    (found,) = [decode(encode(Columns(array("q", range(5)), [*floats], array("I", [0] * 5)))).values]
    assert struct.pack("<5d", *found) == struct.pack("<5Q", *bits)  # type: ignore[arg-type]


def test_what_is_no_value_is_refused() -> None:
    with pytest.raises(TypeError, match="bytes"):
        encode(Columns(array("q", [1]), [b"x"], array("I", [0])))  # type: ignore[list-item]


def test_the_bytes_on_disk_are_those_of_the_layout() -> None:
    """Written by hand: a later version must still read what this one wrote."""
    samples = Columns(array("q", [10_000, 20_000, 50_000]), [0.5, None, 1.5], array("I", [0, 5, 0]))
    body = b"\x01" + struct.pack("<Bqq", 0x11, 1, 1) + bytes([0, 2])  # whole ms, steps from the least one
    body += b"\x01" + bytes([0, 5, 0]) + bytes(9)  # statuses: lowest bytes, second lowest ...
    body += bytes([0xFF, 4, 0, 4])  # mixed: float, none, float
    body += b"\x01" + struct.pack("<Bqq", 0x10, 5, 10)  # tenths
    blob = encode(samples)
    assert blob[:4] == struct.pack("<BBH", 1, 1, 3)
    assert zlib.decompress(blob[8:]) == body


def test_measured_values_take_few_bytes() -> None:
    """A noisy power in tenths, once a second give or take some ms: far below eight bytes with its time."""
    ticks = array("q", [TICKS_PER_MS * (1000 * n + n * n % 37) for n in range(1024)])
    power = Columns(ticks, [(50_000 + n * 7919 % 601) / 10 for n in range(1024)], array("I", [0]) * 1024)
    assert len(encode(power)) < 4 * 1024
