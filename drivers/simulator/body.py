"""What a physics sees of its device, and the base that all physics share."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Protocol

from drivers.simulator.environment import Day

WS_PER_KWH = 3_600_000.0


class Body(Protocol):
    """The points of one simulated device in the units of its class."""

    def has(self, point: str) -> bool:
        """True when the device has this point with a place on the wire."""
        ...

    def number(self, point: str, default: float = 0.0) -> float:
        """Value of a point as a number (codes for states, 0 and 1 for flags); `default` when it has none."""
        ...

    def put(self, point: str, value: float) -> None:
        """Give a point a value, limited to what its registers hold; nothing when the device has no such point."""
        ...

    def written_since(self, point: str) -> float:
        """Seconds since a master wrote this point; infinite when none did."""
        ...


class Physics:
    """How a device lives between two moments. Subclasses fill `step`; `o` are the options, defaults filled in."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        self.body = body
        self.o = options
        self.random = random
        self._day = Day(options.get("day_s", 86_400.0), options.get("day_shift", 0.0))

    def step(self, ticks: int, dt_s: float) -> None:
        """Live `dt_s` seconds (0 at the very first step) up to the wall time `ticks`."""
        raise NotImplementedError

    def day(self, ticks: int) -> float:
        """Fraction of the plant's day."""
        return self._day.fraction(ticks)


class Counters:
    """Counters that integrate a rate; they go on from what the device showed at first."""

    def __init__(self, body: Body) -> None:
        self._body = body
        self._totals: dict[str, float] = {}

    def add(self, point: str, amount: float) -> None:
        """Count `amount` in the unit of the point; nothing when it is negative."""
        total = self._totals.get(point)
        if total is None:
            total = self._body.number(point)
        self._totals[point] = total = total + max(0.0, amount)
        self._body.put(point, total)

    def add_energy(self, point: str, power_w: float, dt_s: float) -> None:
        """Integrate a power into a point in kWh; a negative power adds nothing."""
        self.add(point, power_w * dt_s / WS_PER_KWH)
