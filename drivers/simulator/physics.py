"""The list of physics that a profile's `simulate` section may name, with their options."""

from __future__ import annotations

from collections.abc import Mapping
from random import Random
from typing import Final

from drivers.simulator import fuel_cell, inverter, meters, sensors
from drivers.simulator.body import Body, Physics

PHYSICS: Final[Mapping[str, type[Physics]]] = {
    "inverter": inverter.InverterPhysics,
    "fuel_cell": fuel_cell.FuelCellPhysics,
    "meter": meters.MeterPhysics,
    "dc_load": meters.DcLoadPhysics,
    "pv": meters.PvPhysics,
    "battery": meters.BatteryPhysics,
    "temperature": sensors.TemperaturePhysics,
    "collector": sensors.CollectorPhysics,
    "tank": sensors.TankPhysics,
}

DEFAULTS: Final[Mapping[str, Mapping[str, float]]] = {
    "inverter": inverter.DEFAULTS,
    "fuel_cell": fuel_cell.DEFAULTS,
    "meter": meters.METER,
    "dc_load": meters.DC_LOAD,
    "pv": meters.PV,
    "battery": meters.BATTERY,
    "temperature": sensors.TEMPERATURE,
    "collector": sensors.COLLECTOR,
    "tank": sensors.TANK,
}


def problems(name: str, options: Mapping[str, float]) -> list[str]:
    """What is wrong with a physics and its options, as sentences; empty when nothing is."""
    if not name:
        return [f"options {', '.join(sorted(options))} need a physics"] if options else []
    if name not in PHYSICS:
        return [f"physics {name!r} is not known; there is {', '.join(sorted(PHYSICS))}"]
    known = DEFAULTS[name]
    return [
        f"physics {name} has no option {option!r}; it has {', '.join(sorted(known))}"
        for option in sorted(options)
        if option not in known
    ]


def make(name: str, body: Body, options: Mapping[str, float], random: Random) -> Physics | None:
    """The physics of a device, defaults filled in; None for the empty name. Raises ValueError, see `problems`."""
    wrong = problems(name, options)
    if wrong:
        raise ValueError("; ".join(wrong))
    if not name:
        return None
    return PHYSICS[name](body, {**DEFAULTS[name], **options}, random)
