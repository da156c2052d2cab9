"""Blocks that stay decoded give what a fresh look at their bytes gives."""

import random
from array import array

import pytest

from node.historian.history import Columns
from node.historian.store.block import BlockDamaged, decode, encode
from node.historian.store.unpacked import Unpacked


def block(number: int) -> bytes:
    return encode(Columns(array("q", range(number, number + 50)), [number / 7] * 50, array("I", [0]) * 50))


def test_any_order_of_reads_gives_what_the_bytes_say() -> None:
    rng = random.Random(1)
    unpacked, blocks = Unpacked(), [block(number) for number in range(0, 600, 50)]
    for _ in range(500):
        blob = rng.choice(blocks)
        low, high = sorted(rng.choices(range(-10, 700), k=2))
        assert unpacked.decode(blob, low, high) == decode(blob, low, high)


def test_damaged_block_is_damaged_every_time() -> None:
    unpacked, blob = Unpacked(), block(0)
    unpacked.decode(blob, 0, 10)
    for _ in range(2):
        with pytest.raises(BlockDamaged):
            unpacked.decode(blob[:-1] + bytes([blob[-1] ^ 1]), 0, 10)
