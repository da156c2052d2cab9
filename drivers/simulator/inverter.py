"""Physics of an inverter/charger: a battery, a grid and loads, and power that follows what the device says it does."""

from __future__ import annotations

from collections.abc import Mapping
from enum import IntEnum
from random import Random
from typing import Final

from drivers.simulator.body import Body, Counters, Physics
from drivers.simulator.environment import Battery, Inertia, Wander, demand

DEFAULTS: Final[Mapping[str, float]] = {
    "voltage_v": 240.0,  # of the grid, over all legs of a split phase
    "frequency_hz": 60.0,
    "load_w": 2500.0,  # peak of the load curve
    "charge_w": 3000.0,
    "sell_w": 2500.0,
    "battery_v": 48.0,
    "battery_ah": 200.0,
    "soc": 0.6,  # at the start, 0 to 1
    "ramp_s": 3.0,  # until a new power is nearly reached
    "day_s": 86_400.0,
    "day_shift": 0.0,
}

_EFFICIENCY: Final = 0.94
_POWER_FACTOR: Final = 0.97
_RESISTANCE: Final = 0.0002  # ohm per volt of nominal battery voltage: about 10 mOhm at 48 V


class _State(IntEnum):
    """Codes of the class's InverterState that matter here."""

    OFF = 0
    STANDBY = 1
    INVERTING = 3
    CHARGING = 4
    EXPORTING = 5
    FAULT = 10


class _Charge(IntEnum):
    """Codes of the class's ChargeState that matter here."""

    BULK = 3
    ABSORPTION = 4
    FLOAT = 5
    CHARGING = 7


_IDLE: Final = (_State.OFF, _State.STANDBY, _State.FAULT)


class InverterPhysics(Physics):
    """Charging takes power from the grid, exporting gives battery power to it, standby does nothing at all."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        o = self.o
        self.battery = Battery(o["battery_v"], o["battery_ah"], o["soc"], o["battery_v"] * _RESISTANCE)
        self._ramp = Inertia(0.0, max(0.01, o["ramp_s"] / 3))
        self._voltage = Wander(random, o["voltage_v"], o["voltage_v"] * 0.004, 60.0)
        self._frequency = Wander(random, o["frequency_hz"], 0.015, 20.0)
        self._noise = Wander(random, 1.0, 0.05, 15.0)
        self._heat = Inertia(30.0, 120.0)
        self._battery_heat = Inertia(body.number("battery_temperature", 22.0) or 22.0, 900.0)
        self._counters = Counters(body)
        self._periods = body.has("exported_energy_today")

    @property
    def is_deaf(self) -> bool:
        """In standby only the way out of it is obeyed."""
        return int(self.body.number("state", _State.CHARGING)) == _State.STANDBY

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the inverter."""
        state = int(self.body.number("state", _State.CHARGING))
        idle = state in _IDLE
        charge = int(self.body.number("charge_state"))
        charging = not idle and (state == _State.CHARGING or _Charge.BULK <= charge <= _Charge.CHARGING)
        load = 0.0 if idle else self.o["load_w"] * demand(self.day(ticks)) * self._noise.step(dt_s)
        power = self._ramp.step(self._wanted(state, charging, load), dt_s)
        if idle:
            power = self._ramp.value = 0.0  # the contactor opens; only a change of work is a ramp
        self.battery.step(power, dt_s)
        if charging and charge in (_Charge.BULK, _Charge.ABSORPTION, _Charge.FLOAT):
            self._stage(charge)
        into = self.battery.power_w
        converted = -into * _EFFICIENCY if into < 0 else -into / _EFFICIENCY
        grid = 0.0 if idle and abs(into) < 1 else converted - (0.0 if idle else load)
        if state == _State.INVERTING:
            grid = 0.0
        self._show_ac(grid, dt_s)
        self._show_ways(grid)
        self._show_load(load)
        self._show_battery(into, dt_s)
        self._count(grid, into, load, ticks, dt_s)

    def _wanted(self, state: int, charging: bool, load: float) -> float:
        """Power into the battery that the present state asks for."""
        if charging:
            return self.o["charge_w"]
        if state == _State.EXPORTING:
            return -(self.o["sell_w"] + load) / _EFFICIENCY
        if state == _State.INVERTING:
            return -load / _EFFICIENCY
        return 0.0

    def _stage(self, charge: int) -> None:
        """Charge stages follow the charge, where the device tells them."""
        soc = self.battery.soc
        stage = _Charge.FLOAT if soc >= 0.995 else _Charge.ABSORPTION if soc >= 0.95 else _Charge.BULK
        if stage != charge:
            self.body.put("charge_state", stage)

    def _show_ac(self, grid: float, dt_s: float) -> None:
        put = self.body.put
        voltage = self._voltage.step(dt_s)
        apparent = abs(grid) / _POWER_FACTOR
        put("ac_power", grid)
        put("ac_voltage", voltage)
        put("ac_frequency", self._frequency.step(dt_s))
        put("ac_current", grid / _POWER_FACTOR / voltage)
        put("ac_apparent_power", apparent)
        put("ac_reactive_power", (apparent**2 - grid**2) ** 0.5)
        put("ac_power_factor", _POWER_FACTOR if grid >= 0 else -_POWER_FACTOR)
        put("temperature", self._heat.step(30.0 + 25.0 * min(1.0, abs(grid) / 5000.0), dt_s))
        legs = [leg for leg in ("_l1", "_l2", "_l3") if self.body.has(f"ac_voltage{leg}")]
        for leg in legs:
            # Two legs are a split phase (the whole is their sum), three are a star (each has the phase voltage).
            leg_voltage = voltage / 2 if len(legs) == 2 else voltage
            put(f"ac_voltage{leg}", leg_voltage)
            put(f"ac_current{leg}", grid / len(legs) / _POWER_FACTOR / leg_voltage)
            put(f"ac_power{leg}", grid / len(legs))

    def _show_load(self, load: float) -> None:
        put = self.body.put
        voltage = self._voltage.value if load else 0.0
        current = load / _POWER_FACTOR / voltage if voltage else 0.0
        put("load_power", load)
        put("load_voltage", voltage)
        put("load_current", current)
        put("load_apparent_power", load / _POWER_FACTOR)
        put("load_frequency", self._frequency.value if load else 0.0)
        for leg in ("_l1", "_l2"):
            put(f"load_voltage{leg}", voltage / 2)
            put(f"load_current{leg}", current)

    def _show_battery(self, into: float, dt_s: float) -> None:
        put = self.body.put
        current = self.battery.current_a
        put("dc_voltage", self.battery.voltage_v)
        put("dc_current", current)
        put("dc_power", into)
        put("state_of_charge", 100.0 * self.battery.soc)
        put("battery_temperature", self._battery_heat.step(22.0 + 0.08 * abs(current), dt_s))
        put("charge_dc_current", max(0.0, current))
        put("charge_dc_power", max(0.0, into))
        put("charge_dc_percent", min(100.0, max(0.0, 100.0 * into / self.o["charge_w"])))
        put("invert_dc_current", max(0.0, -current))
        put("invert_dc_power", max(0.0, -into))

    def _show_ways(self, grid: float) -> None:
        """The grid terminal seen apart as input and as output, on devices that do."""
        put, voltage = self.body.put, self._voltage.value
        out, into = max(0.0, grid), max(0.0, -grid)
        put("ac1_input_power", into)
        put("ac1_input_current", into / _POWER_FACTOR / voltage)
        put("sell_power", out)
        put("sell_current", out / _POWER_FACTOR / voltage)
        put("sell_apparent_power", out / _POWER_FACTOR)
        put("sell_voltage", voltage)
        put("sell_frequency", self._frequency.value)

    def _count(self, grid: float, into: float, load: float, ticks: int, dt_s: float) -> None:
        ways = (
            ("exported", "energy_exported", grid),
            ("imported", "energy_imported", -grid),
            ("to_battery", "energy_to_battery", into),
            ("from_battery", "energy_from_battery", -into),
            ("load", "energy_load", load),
        )
        for name, lifetime, power in ways:
            self._counters.add_energy(lifetime, power, dt_s)
            if self._periods:
                self._counters.add_periods(name, power, ticks, dt_s)
