"""Physics of what only measures: AC meters, DC loads, PV strings and battery meters."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from drivers.simulator.body import Body, Counters, Physics
from drivers.simulator.environment import Battery, Inertia, Wander, demand, sun

METER: Final[Mapping[str, float]] = {
    "voltage_v": 230.0,
    "frequency_hz": 50.0,
    "load_w": 9000.0,  # peak of the load curve, all phases
    "pv_w": 0.0,  # peak of a PV plant behind the meter
    "power_factor": 0.95,
    "day_s": 86_400.0,
    "day_shift": 0.0,
}
DC_LOAD: Final[Mapping[str, float]] = {"voltage_v": 315.0, "load_w": 4000.0, "day_s": 86_400.0, "day_shift": 0.0}
PV: Final[Mapping[str, float]] = {"voltage_v": 300.0, "peak_w": 4000.0, "day_s": 86_400.0, "day_shift": 0.0}
BATTERY: Final[Mapping[str, float]] = {
    "battery_v": 315.0,
    "battery_ah": 16.7,
    "soc": 0.7,
    "load_w": 3000.0,
    "pv_w": 4000.0,
    "day_s": 86_400.0,
    "day_shift": 0.0,
}

# Shares of the phases of an uneven household; a device with one phase has all of it.
_SHARES: Final = {1: (1.0,), 2: (0.55, 0.45), 3: (0.42, 0.33, 0.25)}
_SLEEPING: Final = 1  # PvState
_TRACKING: Final = 3


class MeterPhysics(Physics):
    """An AC meter: each phase has its load, the total is their sum, energies integrate."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        self._legs = [leg for leg in ("_l1", "_l2", "_l3") if self._has_leg(leg)] or [""]
        volts = options["voltage_v"]
        self._voltages = [Wander(random, volts, volts * 0.004, 60.0) for _ in self._legs]
        self._noises = [Wander(random, 1.0, 0.06, 10.0) for _ in self._legs]
        self._frequency = Wander(random, options["frequency_hz"], 0.012, 15.0)
        self._counters = Counters(body)

    def _has_leg(self, leg: str) -> bool:
        return any(self.body.has(point + leg) for point in ("power", "voltage", "current"))

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the meter."""
        put, factor = self.body.put, self.o["power_factor"]
        whole = self.o["load_w"] * demand(self.day(ticks)) - self.o["pv_w"] * sun(self.day(ticks))
        shares = _SHARES[len(self._legs)]
        powers = [whole * share * noise.step(dt_s) for share, noise in zip(shares, self._noises, strict=True)]
        voltages = [wander.step(dt_s) for wander in self._voltages]
        currents = [power / factor / voltage for power, voltage in zip(powers, voltages, strict=True)]
        reactive = (1 - factor**2) ** 0.5 / factor
        for leg, power, voltage, current in zip(self._legs, powers, voltages, currents, strict=True):
            self._show(leg, power, voltage, current, reactive)
        total = sum(powers)
        self._show("", total, sum(voltages) / len(voltages), sum(currents), reactive)
        put("frequency", self._frequency.step(dt_s))
        self._counters.add_energy("energy_imported", total, dt_s)
        self._counters.add_energy("energy_exported", -total, dt_s)
        self._counters.add_energy("energy_total", abs(total), dt_s)

    def _show(self, leg: str, power: float, voltage: float, current: float, reactive: float) -> None:
        put, factor = self.body.put, self.o["power_factor"]
        put(f"power{leg}", power)
        put(f"voltage{leg}", voltage)
        put(f"current{leg}", current)
        put(f"apparent_power{leg}", abs(power) / factor)
        put(f"reactive_power{leg}", power * reactive)
        put(f"power_factor{leg}", factor if power >= 0 else -factor)


class DcLoadPhysics(Physics):
    """A DC meter between a battery bus and its loads."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        self._voltage = Wander(random, options["voltage_v"], options["voltage_v"] * 0.01, 120.0)
        self._noise = Wander(random, 1.0, 0.06, 10.0)
        self._counters = Counters(body)

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the meter."""
        voltage = self._voltage.step(dt_s)
        power = self.o["load_w"] * demand(self.day(ticks)) * self._noise.step(dt_s)
        self.body.put("voltage", voltage)
        self.body.put("current", power / voltage)
        self.body.put("power", power)
        self._counters.add_energy("energy_imported", power, dt_s)
        self._counters.add_energy("energy_total", power, dt_s)


class PvPhysics(Physics):
    """PV strings under a sky with passing clouds; equipment that warms up in the sun."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        self._strings = [i for i in (1, 2, 3) if body.has(f"string_{i}_voltage") or body.has(f"string_{i}_current")]
        self._clouds = Wander(random, 0.85, 0.07, 40.0)
        self._temperature = Inertia(20.0, 300.0)
        self._counters = Counters(body)

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the PV plant."""
        put = self.body.put
        light = sun(self.day(ticks)) * min(1.0, self._clouds.step(dt_s))
        power = self.o["peak_w"] * light
        strings = max(1, len(self._strings))
        # A string has nearly its full voltage in weak light already.
        voltage = self.o["voltage_v"] * (0.9 + 0.1 * light) if light > 0.005 else 0.0
        for string in self._strings:
            put(f"string_{string}_voltage", voltage)
            put(f"string_{string}_current", power / strings / voltage if voltage else 0.0)
        put("power", power)
        put("temperature", self._temperature.step(18.0 + 35.0 * light, dt_s))
        put("state", _TRACKING if voltage else _SLEEPING)
        self._counters.add_energy("energy_exported", power, dt_s)


class BatteryPhysics(Physics):
    """A battery on a bus with PV and loads: it takes what is left over and gives what is missing."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        volts = options["battery_v"]
        self.battery = Battery(volts, options["battery_ah"], options["soc"], volts * 0.0005)
        self._noise = Wander(random, 1.0, 0.06, 10.0)
        self._temperature = Inertia(22.0, 900.0)
        self._counters = Counters(body)

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the battery."""
        put, battery, day = self.body.put, self.battery, self.day(ticks)
        surplus = 0.85 * self.o["pv_w"] * sun(day) - self.o["load_w"] * demand(day) * self._noise.step(dt_s)
        battery.step(surplus, dt_s)
        put("current", battery.current_a)
        put("voltage", battery.voltage_v)
        put("power", battery.power_w)
        put("state_of_charge", 100 * battery.soc)
        put("remaining_charge", battery.soc * self.o["battery_ah"])
        put("capacity", self.o["battery_ah"])
        put("temperature", self._temperature.step(22.0 + 0.3 * abs(battery.current_a), dt_s))
        put("state", self._state(battery))
        self._counters.add_energy("energy_charged", battery.power_w, dt_s)
        self._counters.add_energy("energy_discharged", -battery.power_w, dt_s)

    @staticmethod
    def _state(battery: Battery) -> int:
        """Code of the class's BatteryState."""
        if battery.soc >= 0.999:
            return 4
        if battery.soc <= 0.001:
            return 5
        if abs(battery.current_a) < 0.05:
            return 1
        return 2 if battery.current_a > 0 else 3
