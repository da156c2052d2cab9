"""What surrounds simulated devices: the day, the sun, a household's load, wandering quantities, inertia, a battery.

Pure numbers with a given random source: the same seed and the same steps give the same plant.
"""

from __future__ import annotations

import itertools
import math
from random import Random
from typing import Final

from address_space.model import TICKS_PER_S

DAY_S: Final = 86_400.0


class Day:
    """Time of day as a fraction 0..1 of a day that may be compressed to fewer seconds."""

    def __init__(self, length_s: float = DAY_S, shift: float = 0.0) -> None:
        """`shift` is added to the fraction: 0.5 makes midnight (UTC) noon."""
        self._length = max(1.0, length_s)
        self._shift = shift

    def fraction(self, ticks: int) -> float:
        """0 at midnight, 0.5 at noon."""
        return (ticks / TICKS_PER_S % self._length / self._length + self._shift) % 1.0


def sun(fraction: float) -> float:
    """Share of the peak power that a clear sky gives: 0 from 18 to 6 o'clock, 1 at noon."""
    height = max(0.0, math.sin((fraction - 0.25) * 2 * math.pi))
    return math.pow(height, 1.2)


def demand(fraction: float) -> float:
    """Share of a household's peak load: a base, a morning and a higher evening peak; 0.2 to 1."""
    return 0.2 + 0.35 * _hump(fraction, 7.5 / 24, 0.05) + 0.8 * _hump(fraction, 19.5 / 24, 0.08)


def _hump(fraction: float, middle: float, width: float) -> float:
    away = abs(fraction - middle)
    return math.exp(-((min(away, 1.0 - away) / width) ** 2))


class Wander:
    """A quantity that wanders around a middle (Ornstein-Uhlenbeck), never far: `sigma` is its spread."""

    def __init__(self, random: Random, middle: float, sigma: float, tau_s: float) -> None:
        self.middle = middle
        self.value = middle
        self._random = random
        self._sigma = sigma
        self._tau = tau_s

    def step(self, dt_s: float) -> float:
        """Value after `dt_s` seconds; four spreads from the middle at most."""
        keep = math.exp(-dt_s / self._tau)
        away = keep * (self.value - self.middle) + self._sigma * math.sqrt(1 - keep * keep) * self._random.gauss(0, 1)
        self.value = self.middle + max(-4 * self._sigma, min(4 * self._sigma, away))
        return self.value


class Inertia:
    """A quantity that follows a target with a time constant, as a temperature or a ramp does."""

    def __init__(self, value: float, tau_s: float) -> None:
        self.value = value
        self._tau = tau_s

    def step(self, target: float, dt_s: float) -> float:
        """Value after `dt_s` seconds."""
        self.value += (target - self.value) * (1 - math.exp(-dt_s / self._tau))
        return self.value


# State of charge against the share of the nominal voltage at rest: a flat lithium curve with steep ends.
_CURVE: Final = ((0.0, 0.86), (0.05, 0.95), (0.2, 0.985), (0.8, 1.02), (0.95, 1.04), (1.0, 1.08))


class Battery:
    """A battery by coulombs: current charges (positive) or discharges it, its voltage follows charge and current."""

    def __init__(self, nominal_v: float, capacity_ah: float, soc: float, resistance_ohm: float) -> None:
        """`soc` is the state of charge, 0 to 1."""
        self._nominal = nominal_v
        self._capacity = capacity_ah
        self._resistance = resistance_ohm
        self.soc = soc
        self.current_a = 0.0

    @property
    def rest_v(self) -> float:
        """Voltage without current."""
        for (low, low_share), (high, high_share) in itertools.pairwise(_CURVE):
            if self.soc <= high:
                return self._nominal * (low_share + (high_share - low_share) * (self.soc - low) / (high - low))
        return self._nominal * _CURVE[-1][1]

    @property
    def voltage_v(self) -> float:
        """Voltage under the present current."""
        return self.rest_v + self.current_a * self._resistance

    @property
    def power_w(self) -> float:
        """Power into the battery; negative while it discharges."""
        return self.voltage_v * self.current_a

    def step(self, power_w: float, dt_s: float) -> None:
        """Take `power_w` (negative: deliver) for `dt_s` seconds; a full one takes and an empty one gives nothing."""
        current = power_w / self.rest_v
        if current > 0:
            # Above 95 % the charge current tapers to nothing, as in the absorption stage.
            current *= min(1.0, max(0.0, (1.0 - self.soc) / 0.05))
        elif self.soc <= 0.0:
            current = 0.0
        self.current_a = current
        self.soc = min(1.0, max(0.0, self.soc + current * dt_s / 3600 / self._capacity))
