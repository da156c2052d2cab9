"""Which point of the node stands for which register of the XW, set down by hand.

Words, values and units of the registers are in xw_facts.py; here are the names that a client finds them under.
"""

from __future__ import annotations

from typing import Final

READINGS: Final = {
    0x0000: "device_name",
    0x0040: "device_state",
    0x0041: "present",
    0x0042: "fault_bits_0",
    0x0043: "fault_bits_1",
    0x0044: "fault_bits_2",
    0x0045: "fault_bits_3",
    0x0046: "warning_bits_0",
    0x00C2: "warning_bits_1",
    0x0047: "inverter_enabled",
    0x0048: "charger_enabled",
    0x0049: "sell_enabled",
    0x004A: "forced_sell",
    0x004B: "fault_active",
    0x004C: "warning_active",
    0x004D: "charge_mode",
    0x0050: "dc_voltage",
    0x0052: "dc_current",
    0x0054: "dc_power",
    0x0056: "battery_temperature",
    0x0058: "invert_dc_current",
    0x005A: "invert_dc_power",
    0x005C: "charge_dc_current",
    0x005E: "charge_dc_power",
    0x0060: "charge_dc_percent",
    0x0061: "ac_frequency",
    0x0062: "ac_voltage",
    0x0064: "ac_current",
    0x0066: "ac_power",
    0x0068: "ac_apparent_power",
    0x006A: "ac1_input_current",
    0x006C: "ac1_input_power",
    0x006E: "ac_voltage_l1",
    0x0070: "ac_current_l2",
    0x0072: "ac_voltage_l2",
    0x0074: "ac_current_l1",
    0x0076: "ac1_voltage_qualified",
    0x0077: "ac1_frequency_qualified",
    0x0078: "ac1_qualified_time",
    0x007A: "inverter_status",
    0x007B: "charger_status",
    0x007E: "sell_voltage",
    0x0080: "sell_current",
    0x0082: "sell_frequency",
    0x0084: "sell_power",
    0x008A: "sell_apparent_power",
    0x008C: "load_voltage",
    0x008E: "load_voltage_l1",
    0x0090: "load_voltage_l2",
    0x0092: "load_current_l1",
    0x0094: "load_current_l2",
    0x0096: "load_current",
    0x0098: "load_frequency",
    0x009A: "load_power",
    0x00A0: "load_apparent_power",
    0x00A2: "ac2_voltage",
    0x00A4: "ac2_current",
    0x00A6: "ac2_frequency",
    0x00A7: "ac2_voltage_qualified",
    0x00A8: "ac2_frequency_qualified",
    0x00AA: "ac2_qualified_time",
    0x00AC: "ac2_power",
    0x00B2: "ac2_voltage_l1",
    0x00B4: "ac2_current_l1",
    0x00B6: "ac2_voltage_l2",
    0x00B8: "ac2_current_l2",
    0x00BA: "ac2_apparent_power",
    0x00BC: "aux_status",
    0x00BD: "aux_on_reason",
    0x00BE: "aux_off_reason",
    0x00C0: "transfer_switch",
    0x00C1: "ac_priority_mode",
    0x0174: "nominal_battery_voltage",
}

_PERIODS: Final = ("hour", "today", "week", "month", "year")
_COUNTERS: Final = (
    # first register, energy of a period, of the whole life, active time
    (0x00D0, "from_battery_energy", "energy_from_battery", "from_battery_time"),
    (0x00E8, "to_battery_energy", "energy_to_battery", "to_battery_time"),
    (0x0100, "imported_energy", "energy_imported", "imported_time"),
    (0x0118, "exported_energy", "energy_exported", "exported_time"),
    (0x0130, "load_energy", "energy_load", "load_time"),
    (0x0148, "generator_energy", "energy_generator", "generator_time"),
)
ENERGIES: Final = {
    first + 4 * step: name
    for first, energy, lifetime, _ in _COUNTERS
    for step, name in enumerate([*(f"{energy}_{period}" for period in _PERIODS), lifetime])
}
ACTIVE_TIMES: Final = {
    first + 2 + 4 * step: f"{time}_{period}"
    for first, _, _, time in _COUNTERS
    for step, period in enumerate((*_PERIODS, "lifetime"))
}

SETTINGS: Final = {
    0x0161: "inverter_enable",
    0x0162: "sell_enable",
    0x0163: "force_sell",
    0x0164: "charger_enable",
    0x0166: "operating_mode",
    0x0169: "search_mode",
    0x016A: "inverter_mode",
    0x016E: "charge_cycle",
    0x016F: "max_charge_rate",
    0x0173: "battery_type",
    0x0176: "battery_capacity",
    0x0178: "grid_support_voltage",
    0x017A: "recharge_voltage",
    0x017C: "low_battery_cut_out",
    0x017E: "low_battery_cut_out_delay",
    0x0187: "ac_priority",
    0x0188: "ac1_breaker",
    0x0189: "ac2_breaker",
    0x018A: "high_battery_cut_out",
    0x0196: "equalize_voltage",
    0x019A: "bulk_voltage",
    0x019C: "absorb_voltage",
    0x01A0: "float_voltage",
    0x01B2: "load_shave_enable",
    0x01B3: "grid_support_enable",
    0x01B4: "max_sell_current",
    0x01B6: "load_shave_current",
    0x01B8: "gen_support_enable",
    0x01BA: "gen_support_current",
    0x01EF: "ac_coupling",
    0x01F2: "low_battery_cut_out_hysteresis",
    0x01FF: "max_sell_scale",
}
POINTS: Final = {**READINGS, **ENERGIES, **ACTIVE_TIMES, **SETTINGS}

# Texts of codes that are not the table's own words without blanks and signs.
SHORTER: Final = {
    "generatorpriority": "generator",
    "gridpriority": "grid",
    "freqstabilisation": "frequencystabilisation",
    "3stage": "threestage",
    "2stage": "twostage",
}


def plain(text: str) -> str:
    """A text of a code without what writers differ in: `AC pass-through` and `ACPassThrough` are one."""
    letters = "".join(letter for letter in text.lower() if letter.isalnum())
    return SHORTER.get(letters, letters)
