"""Blocks that were read last, decoded: reads of a few samples often come to the same ones again."""

from __future__ import annotations

from collections import OrderedDict
from typing import Final

from node.historian.history import Columns
from node.historian.store.block import decode
from node.historian.store.pieces import within

# Decoding is nine tenths of a read of one sample; two neighbours of a few tags at a time are about this many.
_KEPT: Final = 8


class Unpacked:
    """Decodes blocks and keeps the newest of them; what it gives is not to be changed."""

    def __init__(self) -> None:
        self._blocks: OrderedDict[bytes, Columns] = OrderedDict()

    def decode(self, blob: bytes, low: int, high: int) -> Columns:
        """As `block.decode`: the samples of an interval; raises BlockDamaged."""
        columns = self._blocks.get(blob)
        if columns is None:
            columns = self._blocks[blob] = decode(blob)
            if len(self._blocks) > _KEPT:
                self._blocks.popitem(last=False)
        else:
            self._blocks.move_to_end(blob)
        return within(columns, low, high)
