"""What a physics sees of its device, and the base that all physics share."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final, Protocol

from address_space.model import TICKS_PER_S
from drivers.simulator.environment import Day

WS_PER_KWH: Final = 3_600_000.0
# Counters of a running period begin anew with each hour, day and week of UTC; a simulation seldom sees a new month.
_PERIODS: Final = {"hour": 3_600, "today": 86_400, "week": 604_800, "month": None, "year": None}


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

    @property
    def is_deaf(self) -> bool:
        """True while writes are acknowledged and have no effect, but for those that wake the device up."""
        return False

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
        self._begun: dict[str, int] = {}

    def add(self, point: str, amount: float) -> None:
        """Count `amount` in the unit of the point; nothing when it is negative or the point is not there."""
        if not self._body.has(point):
            return
        total = self._totals.get(point)
        if total is None:
            total = self._body.number(point)
        elif amount <= 0:
            return
        self._totals[point] = total = total + max(0.0, amount)
        self._body.put(point, total)

    def add_energy(self, point: str, power_w: float, dt_s: float) -> None:
        """Integrate a power into a point in kWh; a negative power adds nothing."""
        self.add(point, power_w * dt_s / WS_PER_KWH)

    def add_periods(self, name: str, power_w: float, ticks: int, dt_s: float) -> None:
        """Energy and time of `<name>_energy_<period>` and `<name>_time_<period>`; nothing without power."""
        self.add(f"{name}_time_lifetime", dt_s if power_w > 0 else 0.0)
        for period, length_s in _PERIODS.items():
            points = (f"{name}_energy_{period}", f"{name}_time_{period}")
            number = ticks // TICKS_PER_S // length_s if length_s else 0
            if self._begun.setdefault(points[0], number) != number:
                self._begun[points[0]] = number
                for point in points:
                    self._totals[point] = 0.0
                    self._body.put(point, 0.0)
            self.add_energy(points[0], power_w, dt_s)
            self.add(points[1], dt_s if power_w > 0 else 0.0)
