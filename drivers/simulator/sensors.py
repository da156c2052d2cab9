"""Physics of sensors: temperatures with inertia, a current collector, a tank."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from drivers.simulator.body import Body, Physics
from drivers.simulator.environment import Wander, demand

TEMPERATURE: Final[Mapping[str, float]] = {"middle": 25.0, "spread": 4.0}
COLLECTOR: Final[Mapping[str, float]] = {
    "current_a": 5.0,  # peak of the load curve
    "spread": 0.1,  # share of the current that it wanders
    "day_s": 86_400.0,
    "day_shift": 0.0,
}
TANK: Final[Mapping[str, float]] = {"level": 70.0, "use_per_hour": 2.0}


class TemperaturePhysics(Physics):
    """Temperature channels that drift slowly, each a little warmer than the one before."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        points = ["temperature", *(f"temperature_{channel}" for channel in range(1, 9))]
        here = [point for point in points if body.has(point)]
        spread = options["spread"]
        self._channels = {
            point: Wander(random, options["middle"] + spread * position / 2, spread / 4, 600.0)
            for position, point in enumerate(here)
        }

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the board."""
        for point, channel in self._channels.items():
            self.body.put(point, channel.step(dt_s))


class CollectorPhysics(Physics):
    """A current sensor at one consumer."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        self._noise = Wander(random, 1.0, options["spread"], 20.0)

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the sensor."""
        self.body.put("current", self.o["current_a"] * demand(self.day(ticks)) * self._noise.step(dt_s))


class TankPhysics(Physics):
    """A tank that is drawn from and filled again when it is nearly empty."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        self.level = options["level"]

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the tank."""
        self.level -= self.o["use_per_hour"] * dt_s / 3600
        if self.level < 10.0:
            self.level = 95.0
        self.body.put("level", self.level)
        self.body.put("state", 1 if self.level < 20.0 else 0)
