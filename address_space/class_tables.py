"""Enumerations of the device classes: the normalised states onto which profiles map their registers."""

from __future__ import annotations

from typing import Final

from address_space.model import Enumeration, EnumMember

OFF_ON: Final = Enumeration("OffOn", (EnumMember(0, "Off"), EnumMember(1, "On")))
ALARM_FLAG: Final = Enumeration("AlarmFlag", (EnumMember(0, "None"), EnumMember(1, "Active")))

INVERTER_STATE: Final = Enumeration(
    "InverterState",
    (
        EnumMember(0, "Off", "Switched off or disabled; it needs to be enabled before it does anything."),
        EnumMember(1, "Standby", "Ready, converts nothing and obeys only Operating."),
        EnumMember(2, "Starting", "On the way into operation: engaging, synchronising, waiting for the grid."),
        EnumMember(3, "Inverting", "Makes its own AC for the loads out of DC, without the grid."),
        EnumMember(4, "Charging", "Charges the DC side from the AC side."),
        EnumMember(5, "Exporting", "Sells: delivers power to the grid."),
        EnumMember(6, "Bypass", "Passes AC through to the loads; the charger may work, see charge_state."),
        EnumMember(7, "Supporting", "Works beside a present AC source: grid or generator support, load shaving."),
        EnumMember(8, "Searching", "Sleeps and looks for a load now and then."),
        EnumMember(9, "Stopping", "On the way out of operation."),
        EnumMember(10, "Fault", "Stopped by a fault."),
    ),
)

CHARGE_STATE: Final = Enumeration(
    "ChargeState",
    (
        EnumMember(0, "Off", "The charger is disabled."),
        EnumMember(1, "Idle", "Enabled, but not charging."),
        EnumMember(2, "Starting", "Waiting for or qualifying its source."),
        EnumMember(3, "Bulk", "Charging with the full current."),
        EnumMember(4, "Absorption", "Charging at constant voltage."),
        EnumMember(5, "Float", "Keeping the full battery at its float voltage."),
        EnumMember(6, "Equalize", "Equalizing or over-charging on purpose."),
        EnumMember(7, "Charging", "Charging; the stage is not told."),
        EnumMember(8, "Fault", "Stopped by a fault."),
    ),
)

FUEL_CELL_STATE: Final = Enumeration(
    "FuelCellState",
    (
        EnumMember(0, "Off", "Not in operation and not ready."),
        EnumMember(1, "Standby", "Ready to start."),
        EnumMember(2, "Starting", "Start-up sequence."),
        EnumMember(3, "HeatUp", "Heating up to its working temperature."),
        EnumMember(4, "Running", "Makes power."),
        EnumMember(5, "Stopping", "Shut-down sequence."),
        EnumMember(6, "CoolDown", "Cooling down."),
        EnumMember(7, "Fault", "Stopped by a fault that Reset can acknowledge."),
        EnumMember(8, "Lockout", "Locked; a person has to go there."),
    ),
)

BATTERY_STATE: Final = Enumeration(
    "BatteryState",
    (
        EnumMember(0, "Off", "Disconnected."),
        EnumMember(1, "Idle", "Connected, next to no current."),
        EnumMember(2, "Charging"),
        EnumMember(3, "Discharging"),
        EnumMember(4, "Full"),
        EnumMember(5, "Empty"),
        EnumMember(6, "Balancing"),
        EnumMember(7, "Fault", "Stopped by a fault or a protection."),
    ),
)

PV_STATE: Final = Enumeration(
    "PvState",
    (
        EnumMember(0, "Off", "Switched off."),
        EnumMember(1, "Sleeping", "Night: too little sun."),
        EnumMember(2, "Starting", "Waking up or synchronising."),
        EnumMember(3, "Tracking", "Makes as much power as the sun gives."),
        EnumMember(4, "Throttled", "Makes less than the sun gives, on purpose."),
        EnumMember(5, "Stopping"),
        EnumMember(6, "Standby"),
        EnumMember(7, "Fault", "Stopped by a fault."),
    ),
)

TANK_STATE: Final = Enumeration(
    "TankState",
    (
        EnumMember(0, "Normal"),
        EnumMember(1, "Low"),
        EnumMember(2, "Empty"),
        EnumMember(3, "High"),
        EnumMember(4, "Overfull"),
        EnumMember(5, "Fault", "The level cannot be trusted."),
    ),
)

# Numbers of RunCommand: gridnode's own, for masters that send a number instead of calling a named method.
RUN_COMMAND: Final = Enumeration(
    "RunCommand",
    (
        EnumMember(0, "Rest", "Neither charge nor sell."),
        EnumMember(1, "Operating", "Leave standby."),
        EnumMember(2, "Standby", "Stop all conversion."),
        EnumMember(3, "StartCharge", "Charge from the AC side."),
        EnumMember(4, "StopCharge", "Stop charging."),
        EnumMember(5, "StartSell", "Export to the grid."),
        EnumMember(6, "StopSell", "Stop exporting."),
    ),
)
