"""Device classes: the points and commands that every device of a class has, whatever its brand.

The class decides id, unit, kind, data type and sign; a profile maps its registers onto them. So a screen that is
built on the class works for any brand: `ParameterSet/3:AcPower` is the same path everywhere. Pure data.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from address_space.class_tables import (
    ALARM_FLAG,
    BATTERY_STATE,
    CHARGE_STATE,
    FUEL_CELL_STATE,
    INVERTER_STATE,
    OFF_ON,
    PV_STATE,
    RUN_COMMAND,
    TANK_STATE,
)
from address_space.model import (
    Argument,
    Command,
    DataType,
    DeviceClass,
    Enumeration,
    FunctionalGroup,
    Point,
    PointKind,
    Range,
)
from address_space.system import (
    CONNECTION_STATE,
    DEVICE_HEALTH,
    JOURNAL_STATE,
    NO_YES,
    OUTCOME,
    SYSTEM_POINTS,
    bus_model,
    node_model,
    sink_model,
)

__all__ = [
    "CLASSES",
    "CONNECTION_STATE",
    "DEVICE_HEALTH",
    "JOURNAL_STATE",
    "NO_YES",
    "OFF_ON",
    "OUTCOME",
    "RESERVED_NAMES",
    "RUN_COMMAND",
    "SYSTEM_POINTS",
    "ClassCommand",
    "ClassPoint",
    "ClassSpec",
    "browse_name",
    "bus_model",
    "node_model",
    "sink_model",
]


@dataclass(frozen=True, slots=True)
class ClassPoint:
    """A point that a class declares; `point.range` is a default that a profile may narrow or widen."""

    point: Point
    mandatory: bool


@dataclass(frozen=True, slots=True)
class ClassCommand:
    """A command that a class declares; ranges of its inputs are the profile's."""

    command: Command
    mandatory: bool


@dataclass(frozen=True, slots=True)
class ClassSpec:
    """One device class: what it is, its sign convention, its points and commands, mandatory ones first."""

    device_class: DeviceClass
    label: str
    description: str
    signs: str  # sign convention, stated once for all its points; "" when nothing is signed
    points: tuple[ClassPoint, ...]
    commands: tuple[ClassCommand, ...] = ()

    def point(self, point_id: str) -> Point | None:
        """Declaration of a point; None when the class has no such id."""
        return next((entry.point for entry in self.points if entry.point.id == point_id), None)

    def command(self, command_id: str) -> Command | None:
        """Declaration of a command; None when the class has no such id."""
        return next((entry.command for entry in self.commands if entry.command.id == command_id), None)


# What every device has beside its points and commands; no command can be called so (OPC 10000-100 section 4).
RESERVED_NAMES: Final = frozenset(
    {
        "ParameterSet",
        "MethodSet",
        "DeviceHealth",
        "Manufacturer",
        "Model",
        "HardwareRevision",
        "SoftwareRevision",
        "DeviceRevision",
        "DeviceManual",
        "SerialNumber",
        "RevisionCounter",
        *(group.value for group in FunctionalGroup),
    }
)


def browse_name(point_id: str) -> str:
    """BrowseName of a point id: `ac_power` is `AcPower`, `voltage_l1_l2` is `VoltageL1L2`."""
    return "".join(part[:1].upper() + part[1:] for part in point_id.split("_"))


# --- how the tables below are written ----------------------------------------------------------------


def _analog(
    point_id: str,
    label: str,
    unit: str,
    description: str,
    limits: tuple[float, float] | None = None,
    *,
    log: bool = True,
) -> Point:
    return Point(
        point_id,
        label,
        description,
        DataType.DOUBLE,
        PointKind.ANALOG,
        unit=unit,
        range=None if limits is None else Range(*limits),
        historize=log,
        from_class=True,
    )


def _counter(point_id: str, label: str, unit: str, description: str) -> Point:
    return Point(
        point_id,
        label,
        description,
        DataType.DOUBLE,
        PointKind.COUNTER,
        FunctionalGroup.STATISTICS,
        unit,
        historize=True,
        from_class=True,
    )


def _state(point_id: str, label: str, table: Enumeration, description: str) -> Point:
    return Point(
        point_id,
        label,
        description,
        DataType.INT32,
        PointKind.STATE,
        FunctionalGroup.STATUS,
        enumeration=table,
        historize=True,
        from_class=True,
    )


def _flag(point_id: str, label: str, table: Enumeration, description: str) -> Point:
    return Point(
        point_id,
        label,
        description,
        DataType.BOOLEAN,
        PointKind.FLAG,
        FunctionalGroup.STATUS,
        enumeration=table,
        historize=True,
        from_class=True,
    )


def _command(command_id: str, label: str, description: str, *inputs: Argument) -> Command:
    return Command(command_id, label, description, inputs, from_class=True)


def _class(
    device_class: DeviceClass,
    label: str,
    description: str,
    signs: str,
    mandatory: tuple[Point | Command, ...],
    optional: tuple[Point | Command, ...],
) -> ClassSpec:
    both = [(entry, True) for entry in mandatory] + [(entry, False) for entry in optional]
    return ClassSpec(
        device_class,
        label,
        description,
        signs,
        tuple(ClassPoint(entry, must) for entry, must in both if isinstance(entry, Point)),
        tuple(ClassCommand(entry, must) for entry, must in both if isinstance(entry, Command)),
    )


def _phases(point: Point) -> tuple[Point, ...]:
    """The same quantity on L1, L2 and L3."""
    return tuple(
        replace(
            point,
            id=f"{point.id}_l{phase}",
            label=f"{point.label} L{phase}",
            description=f"{point.description[:-1]}, phase L{phase}.",
        )
        for phase in (1, 2, 3)
    )


_FAULT = _flag("fault_active", "Fault active", ALARM_FLAG, "The device reports at least one fault.")
_WARNING = _flag("warning_active", "Warning active", ALARM_FLAG, "The device reports at least one warning.")
_PERCENT: Final = (0.0, 100.0)

# --- the classes ---------------------------------------------------------------------------------------

_INVERTER = _class(
    DeviceClass.INVERTER,
    "Inverter",
    "An inverter or inverter/charger between a DC side (battery, PV, fuel cell) and an AC side.",
    "AC: positive leaves the inverter on its AC (grid) terminal, negative is taken from there. "
    "DC: positive flows into the DC source, that is, charges the battery. Load: positive is consumed.",
    (
        _state("state", "State", INVERTER_STATE, "What the inverter does, the same words for every brand."),
        _analog("ac_power", "AC power", "W", "Active power on the AC (grid) terminal; positive leaves the inverter."),
        _analog("ac_voltage", "AC voltage", "V", "Voltage on the AC (grid) terminal.", (0, 500)),
        _analog("ac_frequency", "AC frequency", "Hz", "Frequency on the AC (grid) terminal.", (0, 70)),
        _command("Operating", "Operating", "Leave standby, so that other commands are obeyed."),
        _command("Standby", "Standby", "Stop all conversion at once; only Operating leads out of it."),
    ),
    (
        _analog("ac_current", "AC current", "A", "Current on the AC (grid) terminal; positive leaves the inverter."),
        _analog("ac_apparent_power", "AC apparent power", "VA", "Apparent power on the AC (grid) terminal."),
        _analog("ac_reactive_power", "AC reactive power", "var", "Reactive power on the AC (grid) terminal."),
        _analog("ac_power_factor", "AC power factor", "1", "Power factor on the AC (grid) terminal.", (-1, 1)),
        *_phases(_analog("ac_voltage", "AC voltage", "V", "Voltage on the AC (grid) terminal.", (0, 500))),
        *_phases(_analog("ac_current", "AC current", "A", "Current on the AC (grid) terminal.")),
        *_phases(_analog("ac_power", "AC power", "W", "Active power on the AC (grid) terminal.")),
        _analog("dc_voltage", "DC voltage", "V", "Voltage of the DC side.", (0, 1500)),
        _analog("dc_current", "DC current", "A", "Current of the DC side; positive charges."),
        _analog("dc_power", "DC power", "W", "Power of the DC side; positive charges."),
        _analog("load_power", "Load power", "W", "Active power that the loads behind the inverter take."),
        _analog("load_voltage", "Load voltage", "V", "Voltage at the loads behind the inverter.", (0, 500)),
        _analog("load_current", "Load current", "A", "Current that the loads behind the inverter take."),
        _analog("load_frequency", "Load frequency", "Hz", "Frequency at the loads.", (0, 70)),
        _analog("load_apparent_power", "Load apparent power", "VA", "Apparent power that the loads take."),
        _analog("battery_temperature", "Battery temperature", "degC", "At the inverter's battery sensor.", (-40, 100)),
        _analog("state_of_charge", "State of charge", "%", "Of the battery on the DC side.", _PERCENT),
        _analog("temperature", "Temperature", "degC", "Inside the inverter.", (-40, 150)),
        _state("charge_state", "Charge state", CHARGE_STATE, "What the charger does, the same words for every brand."),
        _flag("inverter_enabled", "Inverter enabled", OFF_ON, "The device reports that inverting is enabled."),
        _flag("charger_enabled", "Charger enabled", OFF_ON, "The device reports that charging is enabled."),
        _flag("sell_enabled", "Selling enabled", OFF_ON, "The device reports that selling to the grid is enabled."),
        _FAULT,
        _WARNING,
        _counter("energy_exported", "Energy exported", "kWh", "Delivered to the grid over its life."),
        _counter("energy_imported", "Energy imported", "kWh", "Taken from the grid over its life."),
        _counter("energy_from_battery", "Energy from battery", "kWh", "Taken from the battery over its life."),
        _counter("energy_to_battery", "Energy to battery", "kWh", "Charged into the battery over its life."),
        _counter("energy_load", "Energy to loads", "kWh", "Delivered to the loads over its life."),
        _counter("energy_generator", "Energy from generator", "kWh", "Taken from a generator over its life."),
        _command("StartCharge", "Start charging", "Charge the battery from the AC side."),
        _command("StopCharge", "Stop charging", "No longer charge the battery from the AC side."),
        _command("StartSell", "Start selling", "Export power to the grid."),
        _command("StopSell", "Stop selling", "No longer export power to the grid."),
        _command("Rest", "Rest", "Neither charge nor sell."),
        _command(
            "SetLoadShave",
            "Set load shaving",
            "Let the inverter supply the loads above a limit of AC current.",
            Argument("enable", DataType.BOOLEAN, "Load shaving on or off.", enumeration=OFF_ON),
            Argument("amps", DataType.DOUBLE, "AC current above which the inverter supplies the loads.", "A"),
        ),
        _command(
            "RunCommand",
            "Run a command by number",
            "The same commands by their number, for masters that know only numbers.",
            Argument("command", DataType.INT32, "Number of the command.", enumeration=RUN_COMMAND),
        ),
    ),
)

_FUEL_CELL = _class(
    DeviceClass.FUEL_CELL,
    "Fuel cell",
    "A fuel-cell module or system that makes DC or AC power out of hydrogen or methanol.",
    "Output and stack: positive is delivered by the fuel cell.",
    (
        _state("state", "State", FUEL_CELL_STATE, "What the fuel cell does, the same words for every brand."),
        _analog("output_power", "Output power", "W", "Power delivered at the output terminals."),
        _command("Start", "Start", "Start up and deliver power."),
        _command("Stop", "Stop", "Shut down in the maker's order (cooling down included)."),
    ),
    (
        _analog("output_voltage", "Output voltage", "V", "Voltage at the output terminals.", (0, 1000)),
        _analog("output_current", "Output current", "A", "Current delivered at the output terminals."),
        _analog("power_setpoint", "Power set-point", "W", "Power that the fuel cell is asked to deliver."),
        _analog("nominal_power", "Nominal power", "W", "Power it is built for.", log=False),
        _analog("current_available", "Current available", "A", "Current that may be drawn now."),
        _analog("stack_power", "Stack power", "W", "Power of the stack."),
        _analog("stack_voltage", "Stack voltage", "V", "Voltage of the stack.", (0, 1000)),
        _analog("stack_current", "Stack current", "A", "Current of the stack."),
        _analog("stack_temperature", "Stack temperature", "degC", "Temperature of the stack.", (-40, 250)),
        _analog("coolant_temperature", "Coolant temperature", "degC", "Of the coolant.", (-40, 150)),
        _analog(
            "coolant_inlet_temperature", "Coolant inlet temperature", "degC", "Coolant into the stack.", (-40, 150)
        ),
        _analog("coolant_outlet_temperature", "Coolant outlet temperature", "degC", "Coolant out of it.", (-40, 150)),
        _analog("coolant_pressure", "Coolant pressure", "bar", "Pressure of the coolant.", (0, 20)),
        _analog("coolant_flow", "Coolant flow", "l/min", "Flow of the coolant."),
        _analog("ambient_temperature", "Ambient temperature", "degC", "Air around the module.", (-40, 80)),
        _analog("fuel_level", "Fuel level", "%", "How full the fuel tank is.", _PERCENT),
        _analog("fuel_pressure", "Fuel pressure", "bar", "Pressure of the fuel supply."),
        _analog("efficiency", "Efficiency", "%", "Electric output per fuel energy.", _PERCENT),
        _flag("start_possible", "Start possible", NO_YES, "The fuel cell would obey Start now."),
        _flag("stop_possible", "Stop possible", NO_YES, "The fuel cell would obey Stop now."),
        _flag("reset_possible", "Reset possible", NO_YES, "The fuel cell would obey Reset now."),
        _FAULT,
        _WARNING,
        _counter("energy_exported", "Energy delivered", "kWh", "Delivered at the output over its life."),
        _counter("operating_hours", "Operating hours", "h", "Time in operation over its life."),
        _counter("start_count", "Starts", "1", "Starts over its life."),
        _command("Reset", "Reset", "Acknowledge faults that are gone, so that it may start again."),
        _command(
            "SetPower",
            "Set power",
            "Set the power that the fuel cell is asked to deliver.",
            Argument("power", DataType.DOUBLE, "Power to deliver.", "W"),
        ),
    ),
)

_BATTERY = _class(
    DeviceClass.BATTERY,
    "Battery",
    "A battery, its monitor or its management system.",
    "Current and power: positive charges the battery, negative discharges it.",
    (_analog("current", "Current", "A", "Battery current; positive charges."),),
    (
        _analog("voltage", "Voltage", "V", "At the battery terminals.", (0, 1500)),
        _analog("power", "Power", "W", "Battery power; positive charges."),
        _analog("state_of_charge", "State of charge", "%", "Charge left, of the usable capacity.", _PERCENT),
        _analog("state_of_health", "State of health", "%", "Usable capacity, of the nominal one.", _PERCENT),
        _analog("remaining_charge", "Remaining charge", "Ah", "Charge left."),
        _analog("capacity", "Capacity", "Ah", "Nominal capacity.", log=False),
        _analog("temperature", "Temperature", "degC", "Of the battery.", (-40, 100)),
        _analog("cell_voltage_min", "Lowest cell voltage", "V", "Voltage of the lowest cell.", (0, 5)),
        _analog("cell_voltage_max", "Highest cell voltage", "V", "Voltage of the highest cell.", (0, 5)),
        _state("state", "State", BATTERY_STATE, "What the battery does, the same words for every brand."),
        _FAULT,
        _WARNING,
        _counter("energy_charged", "Energy charged", "kWh", "Charged over its life."),
        _counter("energy_discharged", "Energy discharged", "kWh", "Discharged over its life."),
    ),
)

_METER_VOLTAGE = _analog("voltage", "Voltage", "V", "Voltage; between line and neutral on an AC system.", (0, 1500))
_METER_CURRENT = _analog("current", "Current", "A", "Current; positive flows towards the loads.")
_METER_POWER = _analog("power", "Power", "W", "Active power; positive flows towards the loads (import).")
_METER_APPARENT = _analog("apparent_power", "Apparent power", "VA", "Apparent power.")
_METER_REACTIVE = _analog("reactive_power", "Reactive power", "var", "Reactive power.")
_METER_FACTOR = _analog("power_factor", "Power factor", "1", "Power factor.", (-1, 1))

_METER = _class(
    DeviceClass.METER,
    "Meter",
    "A meter of AC or DC power, with one or three phases.",
    "Current, power and energy: positive (import) flows from the supply towards the loads, negative is export.",
    (_METER_POWER,),
    (
        _METER_VOLTAGE,
        _METER_CURRENT,
        _analog("frequency", "Frequency", "Hz", "Frequency of the supply.", (0, 70)),
        _METER_APPARENT,
        _METER_REACTIVE,
        _METER_FACTOR,
        *(p for one in (_METER_VOLTAGE, _METER_CURRENT, _METER_POWER) for p in _phases(one)),
        *(p for one in (_METER_APPARENT, _METER_REACTIVE, _METER_FACTOR) for p in _phases(one)),
        _counter("energy_imported", "Energy imported", "kWh", "Delivered towards the loads over its life."),
        _counter("energy_exported", "Energy exported", "kWh", "Delivered back to the supply over its life."),
        _counter("energy_total", "Energy total", "kWh", "Imported plus exported energy over its life."),
    ),
)

_PV = _class(
    DeviceClass.PV,
    "PV",
    "A photovoltaic generator with its charge controller, PV inverter or string meter.",
    "Power and current: positive is generated.",
    (
        _analog("string_1_voltage", "String 1 voltage", "V", "Voltage of the first or only PV input.", (0, 1500)),
        _analog("string_1_current", "String 1 current", "A", "Current of the first or only PV input."),
    ),
    (
        _analog("string_2_voltage", "String 2 voltage", "V", "Voltage of the second PV input.", (0, 1500)),
        _analog("string_2_current", "String 2 current", "A", "Current of the second PV input."),
        _analog("string_3_voltage", "String 3 voltage", "V", "Voltage of the third PV input.", (0, 1500)),
        _analog("string_3_current", "String 3 current", "A", "Current of the third PV input."),
        _analog("power", "Power", "W", "Power generated."),
        _analog("temperature", "Temperature", "degC", "Of the PV equipment.", (-40, 150)),
        _state("state", "State", PV_STATE, "What the PV equipment does, the same words for every brand."),
        _FAULT,
        _WARNING,
        _counter("energy_exported", "Energy generated", "kWh", "Generated over its life."),
    ),
)

_TANK = _class(
    DeviceClass.TANK,
    "Tank",
    "A tank of fuel, hydrogen, water or anything else that is filled and drawn from.",
    "Flow: positive fills the tank.",
    (_analog("level", "Level", "%", "How full the tank is.", _PERCENT),),
    (
        _analog("volume", "Volume", "L", "Volume in the tank."),
        _analog("mass", "Mass", "kg", "Mass in the tank."),
        _analog("pressure", "Pressure", "bar", "Pressure in the tank."),
        _analog("temperature", "Temperature", "degC", "Of the contents.", (-40, 150)),
        _analog("flow", "Flow", "l/min", "Flow into (positive) or out of the tank."),
        _state("state", "State", TANK_STATE, "Whether the level needs attention, the same words for every brand."),
        _flag("leak", "Leak", ALARM_FLAG, "A leak sensor of the tank reports liquid."),
    ),
)

_SENSOR_TEMPERATURE = _analog("temperature", "Temperature", "degC", "Temperature at the sensor.", (-40, 150))

_SENSOR = _class(
    DeviceClass.SENSOR,
    "Sensor",
    "One or several sensors on one board.",
    "Current and power: positive as the arrow on the sensor points.",
    (),
    (
        _SENSOR_TEMPERATURE,
        *(
            replace(
                _SENSOR_TEMPERATURE,
                id=f"temperature_{channel}",
                label=f"Temperature {channel}",
                description=f"Temperature at channel {channel}.",
            )
            for channel in range(1, 9)
        ),
        _analog("current", "Current", "A", "Current through the sensor."),
        _analog("voltage", "Voltage", "V", "Voltage at the sensor."),
        _analog("power", "Power", "W", "Power at the sensor."),
        _analog("pressure", "Pressure", "bar", "Pressure at the sensor."),
        _analog("flow", "Flow", "l/min", "Flow through the sensor."),
        _analog("humidity", "Humidity", "%", "Relative humidity at the sensor.", _PERCENT),
        _FAULT,
    ),
)

_GENERIC = _class(
    DeviceClass.GENERIC,
    "Generic",
    "Anything else: its points are all its profile's own, or computed from other devices.",
    "",
    (),
    (),
)

# The classes that a profile may name; buses, sinks and the node itself have models of their own.
CLASSES: Final[Mapping[DeviceClass, ClassSpec]] = {
    spec.device_class: spec for spec in (_INVERTER, _FUEL_CELL, _BATTERY, _METER, _PV, _TANK, _SENSOR, _GENERIC)
}
