"""The mixed load of a plant: what two hundred points say once a second. Pure: the same seed gives the same values.

A fifth of the points each: power with noise in steps of 0.1 W, a slow temperature, energy that is summed up in a Double
and never rounded, a voltage with all bits of a Double, and a state.
"""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

from address_space.model import TICKS_PER_MS, TICKS_PER_S, Batch

KINDS: Final = 5
_JITTER_MS: Final = 50  # a device answers so much later or earlier, in whole milliseconds
_WARM: Final = 25.0
_STATE_CHANGES: Final = 0.01  # of a state's samples, part that differs from the one before


class MixedLoad:
    """`devices` rows of `points` values; point p of a device is of kind p modulo 5."""

    def __init__(self, devices: int, points: int, first: int, seed: int = 1) -> None:
        """`first` is the time of second 0 in ticks. Raises ValueError when the kinds do not come out even."""
        if points % KINDS:
            raise ValueError(f"{points} points a device are no multiple of {KINDS}")
        self._points = points
        self._first = first
        self._random = random.Random(seed)
        self._rows = [self._begin() for _ in range(devices)]

    def _begin(self) -> list[float | int]:
        one: tuple[float | int, ...] = (1500.0, _WARM, 1000.0, 230.0, 3)
        return [one[point % KINDS] for point in range(self._points)]

    def second(self, number: int, slots: Sequence[range]) -> list[Batch]:
        """One batch per device; `slots` are those of each device. Call it with ascending numbers."""
        batches = []
        good = [0] * self._points
        for row, places in zip(self._rows, slots, strict=True):
            self._step(row)
            late = self._random.randrange(_JITTER_MS) * TICKS_PER_MS
            batches.append(Batch(places, list(row), good, self._first + number * TICKS_PER_S + late))
        return batches

    def _step(self, row: list[float | int]) -> None:
        gauss, uniform = self._random.gauss, self._random.random
        for at in range(0, len(row), KINDS):
            row[at] = round(1500.0 + gauss(0.0, 5.0), 1)
            row[at + 1] = round(row[at + 1] + gauss(0.0, 0.02), 2)
            row[at + 2] += row[at] / 3.6e6  # kWh of a second
            row[at + 3] = 230.0 + gauss(0.0, 1.0)
            if uniform() < _STATE_CHANGES:
                row[at + 4] = int(uniform() * 6)
