"""Physics of a fuel cell: its start and stop sequence with heat-up, its control word with a watchdog, its fuel."""

from __future__ import annotations

import math
from collections.abc import Mapping
from enum import IntEnum
from random import Random
from typing import Final

from drivers.simulator.body import WS_PER_KWH, Body, Counters, Physics
from drivers.simulator.environment import Inertia, Wander

DEFAULTS: Final[Mapping[str, float]] = {
    "nominal_w": 30_000.0,
    "voltage_v": 350.0,  # of the output without load
    "start_s": 3.0,
    "heat_up_s": 6.0,
    "stop_s": 3.0,
    "cool_down_s": 4.0,
    "watchdog_s": 5.0,  # without a new enabled control word it stops; 0 = no watchdog
    "fuel_kwh": 200.0,  # energy in a full tank
}

_EFFICIENCY: Final = 0.52
_W_PER_FLOW: Final = 180.0  # hydrogen of one standard litre a minute, lower heating value
_WORKING_C: Final = 65.0
_AMBIENT_C: Final = 20.0
_RUN_BIT: Final = 0x0001
_RESET_BIT: Final = 0x0002
_ENABLE_BIT: Final = 0x8000


class Phase(IntEnum):
    """Codes of the class's FuelCellState."""

    OFF = 0
    STANDBY = 1
    STARTING = 2
    HEAT_UP = 3
    RUNNING = 4
    STOPPING = 5
    COOL_DOWN = 6
    FAULT = 7
    LOCKOUT = 8


# What Cummins reports meanwhile: mode (2 standby, 3 run) and the steps of its sequence (devices.md section 1.2b).
_MODE: Final = {Phase.OFF: 1, Phase.STANDBY: 2, Phase.FAULT: 2, Phase.LOCKOUT: 1}
_STEPS: Final[Mapping[Phase, tuple[int, ...]]] = {
    Phase.OFF: (10,),
    Phase.STANDBY: (10,),
    Phase.STARTING: (1, 2, 3, 4),
    Phase.HEAT_UP: (5,),
    Phase.RUNNING: (6,),
    Phase.STOPPING: (7, 8),
    Phase.COOL_DOWN: (9,),
    Phase.FAULT: (10,),
    Phase.LOCKOUT: (10,),
}
_ON: Final = (Phase.STARTING, Phase.HEAT_UP, Phase.RUNNING)
_FAULTS: Final = ("fault_active", "critical_shutdown", "non_critical_shutdown")
_OWN_CONTROLS: Final = ("control_word", "control_run", "control_enable", "control_reset")


class FuelCellPhysics(Physics):
    """Standby, Starting, HeatUp, Running, Stopping, CoolDown, Standby; a Fault waits for a reset."""

    def __init__(self, body: Body, options: Mapping[str, float], random: Random) -> None:
        super().__init__(body, options, random)
        self.phase = Phase.STANDBY
        self.fuel_kwh = options["fuel_kwh"] * (body.number("fuel_level", 80.0) or 80.0) / 100
        self._since = 0.0
        self._beats = 0
        self._shown: float | None = None
        self._power = Inertia(0.0, 2.0)
        self._stack = Inertia(_AMBIENT_C, max(0.5, options["heat_up_s"] / 3))
        self._ambient = Wander(random, _AMBIENT_C, 0.5, 300.0)
        self._pressure = Wander(random, 1.8, 0.02, 10.0)
        self._counters = Counters(body)

    def step(self, ticks: int, dt_s: float) -> None:
        """One moment of the life of the fuel cell."""
        self._adopt()
        self._since += dt_s
        self._advance()
        wanted = 0.0
        if self.phase is Phase.RUNNING and self.fuel_kwh > 0:
            wanted = min(max(0.0, self.body.number("power_setpoint", self.o["nominal_w"])), self.o["nominal_w"])
        power = self._power.step(wanted, dt_s) if self.phase in (Phase.RUNNING, Phase.STOPPING) else 0.0
        self._power.value = power
        if self.body.has("fuel_level"):  # one without a tank of its own is fed by a pipe
            self.fuel_kwh = max(0.0, self.fuel_kwh - power / _EFFICIENCY * dt_s / WS_PER_KWH)
        self._show_state()
        self._show_power(power)
        self._show_heat(power, dt_s)
        self._counters.add_energy("energy_exported", power, dt_s)
        self._counters.add("operating_hours", dt_s / 3600 if self.phase is Phase.RUNNING else 0.0)

    # --- sequence

    def _adopt(self) -> None:
        """What is set from outside counts: a fault flag, a state (the first value of the profile)."""
        stopped = any(self.body.number(flag) > 0 for flag in _FAULTS)
        if stopped and self.phase not in (Phase.FAULT, Phase.LOCKOUT):
            self._enter(Phase.FAULT)
            return
        state = self.body.number("state", math.nan)
        if not math.isnan(state) and state != self._shown and state in list(Phase):
            self._enter(Phase(int(state)))

    def _enter(self, phase: Phase) -> None:
        if phase is Phase.STARTING:
            self._counters.add("start_count", 1)
        self.phase = phase
        self._since = 0.0

    def _advance(self) -> None:
        run, reset = self._asked()
        phase, since, o = self.phase, self._since, self.o
        if phase in (Phase.FAULT, Phase.LOCKOUT):
            if reset and phase is Phase.FAULT:
                for flag in _FAULTS:
                    self.body.put(flag, 0)
                self._enter(Phase.STANDBY)
        elif not run and phase in _ON:
            self._enter(Phase.STOPPING)
        elif run and phase in (Phase.OFF, Phase.STANDBY):
            self._enter(Phase.STARTING)
        elif phase is Phase.STARTING and since >= o["start_s"]:
            self._enter(Phase.HEAT_UP)
        elif phase is Phase.HEAT_UP and since >= o["heat_up_s"]:
            self._enter(Phase.RUNNING)
        elif phase is Phase.STOPPING and since >= o["stop_s"]:
            self._enter(Phase.COOL_DOWN)
        elif phase is Phase.COOL_DOWN and since >= o["cool_down_s"]:
            self._enter(Phase.STANDBY)

    def _asked(self) -> tuple[bool, bool]:
        """Whether the control word asks to run and to reset; an old or not enabled word asks for nothing."""
        word = int(self.body.number("control_word"))
        run = bool(word & _RUN_BIT) or self.body.number("control_run") > 0
        reset = bool(word & _RESET_BIT) or self.body.number("control_reset") > 0
        controlled = [point for point in _OWN_CONTROLS if self.body.has(point)]
        if not controlled:
            return self.phase in _ON, False
        if not (word & _ENABLE_BIT or self.body.number("control_enable") > 0):
            return False, False
        watchdog = self.o["watchdog_s"]
        if watchdog > 0 and min(self.body.written_since(point) for point in controlled) > watchdog:
            return False, False
        return run, reset

    # --- what it shows

    def _show_state(self) -> None:
        put, phase = self.body.put, self.phase
        run, reset = self._asked()
        steps = _STEPS[phase]
        length = self.o["start_s"] if phase is Phase.STARTING else self.o["stop_s"]
        position = min(len(steps) - 1, int(len(steps) * self._since / length)) if length > 0 else len(steps) - 1
        put("state", phase)
        put("mode", _MODE.get(phase, 3))
        put("sequence_state", steps[position])
        self._beats = (self._beats + 1) % 0x10000
        put("heartbeat", self._beats)
        put("run_echo", run)
        put("reset_echo", reset)
        put("ready_to_start", phase in (Phase.OFF, Phase.STANDBY))
        put("start_possible", phase in (Phase.OFF, Phase.STANDBY))
        put("stop_possible", phase in _ON)
        put("reset_possible", phase is Phase.FAULT)
        if phase in (Phase.FAULT, Phase.LOCKOUT):
            put("fault_active", 1)
        # What can be read back: not every device has a code for every phase.
        self._shown = self.body.number("state", math.nan)

    def _show_power(self, power: float) -> None:
        put, o = self.body.put, self.o
        live = self.phase in (Phase.HEAT_UP, Phase.RUNNING, Phase.STOPPING)
        voltage = o["voltage_v"] * (1.0 - 0.2 * power / o["nominal_w"]) if live else 0.0
        current = power / voltage if voltage else 0.0
        for side in ("output", "stack"):
            put(f"{side}_power", power)
            put(f"{side}_voltage", voltage)
            put(f"{side}_current", current)
        put("nominal_power", o["nominal_w"])
        put("current_available", o["nominal_w"] / (0.8 * o["voltage_v"]) if self.phase is Phase.RUNNING else 0.0)
        put("efficiency", 100 * _EFFICIENCY if power > 1 else 0.0)
        put("fuel_level", 100 * self.fuel_kwh / o["fuel_kwh"])

    def _show_heat(self, power: float, dt_s: float) -> None:
        put = self.body.put
        hot = self.phase in (Phase.HEAT_UP, Phase.RUNNING, Phase.STOPPING)
        ambient = self._ambient.step(dt_s)
        stack = self._stack.step(_WORKING_C if hot else ambient, dt_s)
        pumping = self.phase in (Phase.STARTING, Phase.HEAT_UP, Phase.RUNNING, Phase.STOPPING, Phase.COOL_DOWN)
        rise = 8.0 * power / self.o["nominal_w"]
        put("stack_temperature", stack)
        put("coolant_temperature", stack)
        put("coolant_inlet_temperature", stack - rise)
        put("coolant_outlet_temperature", stack)
        put("coolant_pressure", self._pressure.step(dt_s) if pumping else 1.0)
        put("coolant_pressure_2", 0.9 * self._pressure.value if pumping else 1.0)
        put("hydrogen_flow", power / _EFFICIENCY / _W_PER_FLOW)
        put("coolant_flow", 80.0 if pumping else 0.0)
        put("ambient_temperature", ambient)
        put("fuel_pressure", 5.0 + 0.1 * self.random.random())
