"""Samples that wait for their commit, as columns."""

from __future__ import annotations

from array import array

from address_space.model import Value
from node.historian.history import Columns


class Samples:
    """Samples of any slots in the order in which they came; `len` is their number."""

    __slots__ = ("slots", "statuses", "ticks", "values")

    def __init__(self) -> None:
        self.slots = array("L")
        self.ticks = array("q")
        self.values: list[Value | None] = []
        self.statuses = array("I")

    def __len__(self) -> int:
        return len(self.values)

    def append(self, slot: int, value: Value | None, status: int, ticks: int) -> None:
        """Add one at the end."""
        self.slots.append(slot)
        self.ticks.append(ticks)
        self.values.append(value)
        self.statuses.append(status)

    def take(self, count: int) -> Samples:
        """The oldest `count` samples, which are no longer in here afterwards."""
        taken = Samples()
        taken.slots, taken.ticks = self.slots[:count], self.ticks[:count]
        taken.values, taken.statuses = self.values[:count], self.statuses[:count]
        del self.slots[:count], self.ticks[:count], self.values[:count], self.statuses[:count]
        return taken

    def copy_of(self, slot: int, low: int, high: int, into: Columns) -> None:
        """Append the samples of a slot with times from `low` to `high`, both included, to `into`."""
        position = -1
        for _ in range(self.slots.count(slot)):
            position = self.slots.index(slot, position + 1)
            if low <= self.ticks[position] <= high:
                into.append(self.ticks[position], self.values[position], self.statuses[position])
