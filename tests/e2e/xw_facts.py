"""What a Schneider XW says and is told on the wire: raw words, values and writes, set down by hand.

Source: the register tables of the public implementations of Schneider's maps 503-0246-01-01 (ComBox, low word first)
and 990-6268B (Conext Gateway and Insight, high word first), in the order of the device reference: 2.1 transport,
2.2 read table, 2.3 write table and mode macros. Nothing here comes from a profile, so a profile can be held against
it. Ids are suggestions; a test says which of its points stands for which address.

Addresses are those on the wire, 0-based. Every row gives its words as each gateway sends them. Values that look alike
are avoided, so that two swapped registers cannot pass. Registers between the rows do not exist: a read that touches
one gets exception 2.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from enum import Enum
from typing import Final

from tests.e2e.slave import Registers


class Gateway(Enum):
    """Which box stands between the network and the inverter (2.1)."""

    COMBOX = "low word first"
    INSIGHT = "high word first"  # Conext Gateway, InsightHome, InsightFacility


@dataclass(frozen=True, slots=True)
class Row:
    """One quantity: where it stands, the words of each gateway, what they mean."""

    address: int
    id: str
    insight: tuple[int, ...]
    combox: tuple[int, ...]
    value: float | int | str
    unit: str | None = None  # as engineers write it
    text: str | None = None  # the name of an enumeration's code

    def words(self, gateway: Gateway) -> tuple[int, ...]:
        """Words as this gateway sends them."""
        return self.combox if gateway is Gateway.COMBOX else self.insight


def _one(address: int, id: str, word: int, value: float, unit: str | None = None, text: str | None = None) -> Row:
    """A row of one register: both gateways send the same word."""
    return Row(address, id, (word,), (word,), value, unit, text)


# --- 2.2 enumerations ----------------------------------------------------------------------------------------------

DEVICE_STATES: Final = {
    0: "hibernate",
    1: "power save",
    2: "safe mode",
    3: "operating",
    4: "diagnostic",
    5: "remote power off",
}
DEVICE_STATE_NOT_AVAILABLE: Final = 255

INVERTER_STATES: Final = {
    1024: "invert",
    1025: "AC pass-through",
    1026: "APS only",
    1027: "load sense",
    1028: "disabled",
    1029: "load-sense ready",
    1030: "engaging",
    1031: "fault",
    1032: "standby",
    1033: "grid-tied",
    1034: "grid support",
    1035: "gen support",
    1036: "sell-to-grid",
    1037: "load shaving",
    1038: "freq. stabilisation",
    1039: "AC coupling",
    1040: "reverse Ibatt",
}

CHARGER_STATES: Final = {
    768: "not charging",
    769: "bulk",
    770: "absorption",
    771: "overcharge",
    772: "equalize",
    773: "float",
    774: "no float",
    775: "constant VI",
    776: "disabled",
    777: "qualifying AC",
    778: "qualifying APS",
    779: "engaging",
    780: "fault",
    781: "suspend",
    782: "AC good",
    783: "APS good",
    784: "AC fault",
    785: "charge",
    786: "absorption exit pending",
    787: "ground fault",
    788: "AC good pending",
}

CHARGE_MODES: Final = {0: "stand-alone", 1: "primary", 2: "secondary"}
FORCED_SELL: Final = {0: "off", 1: "on", 2: "unavailable"}
TRANSFER_SWITCH: Final = {
    800: "inactive",
    801: "input 1 active",
    802: "input 2 active",
    803: "input 1 delay",
    804: "input 2 delay",
}

# --- 2.2 read table ------------------------------------------------------------------------------------------------

DEVICE: Final = (
    _one(0x0040, "device_state", 3, 3, None, "operating"),
    _one(0x0041, "device_present", 1, 1),
    _one(0x0042, "fault_bitmap_0", 0x0001, 0x0001),
    _one(0x0043, "fault_bitmap_1", 0x0020, 0x0020),
    _one(0x0044, "fault_bitmap_2", 0x0400, 0x0400),
    _one(0x0045, "fault_bitmap_3", 0x8000, 0x8000),
    _one(0x0046, "warning_bitmap_0", 0x0004, 0x0004),
    _one(0x0047, "inverter_enabled", 1, 1),
    _one(0x0048, "charger_enabled", 0, 0),
    _one(0x0049, "sell_enabled", 0, 0),
    _one(0x004A, "forced_sell", 2, 2, None, "unavailable"),
    _one(0x004B, "active_faults", 1, 1),
    _one(0x004C, "active_warnings", 0, 0),
    _one(0x004D, "charge_mode", 2, 2, None, "secondary"),
    _one(0x00C2, "warning_bitmap_1", 0x0800, 0x0800),
)

# The sign of DC current and power is taken as the words give it: 2.2 guesses that charging is positive.
BATTERY: Final = (
    Row(0x0050, "dc_voltage", (0x0000, 0xD000), (0xD000, 0x0000), 53.248, "V"),
    Row(0x0052, "dc_current", (0xFFFE, 0xA99A), (0xA99A, 0xFFFE), -87.654, "A"),
    Row(0x0054, "dc_power", (0xFFFF, 0xEDC5), (0xEDC5, 0xFFFF), -4667, "W"),
    _one(0x0056, "battery_temperature", 29835, 25.35, "degC"),
    Row(0x0058, "invert_dc_current", (0x0001, 0x600B), (0x600B, 0x0001), 90.123, "A"),
    Row(0x005A, "invert_dc_power", (0x0000, 0x12BF), (0x12BF, 0x0000), 4799, "W"),
    Row(0x005C, "charge_dc_current", (0x0000, 0x00FA), (0x00FA, 0x0000), 0.250, "A"),
    Row(0x005E, "charge_dc_power", (0x0000, 0x000D), (0x000D, 0x0000), 13, "W"),
    _one(0x0060, "charge_dc_percentage", 42, 42, "%"),
    Row(0x0174, "nominal_battery_voltage", (0x0000, 0xBB80), (0xBB80, 0x0000), 48.0, "V"),
)

AC1: Final = (
    _one(0x0061, "ac1_frequency", 5998, 59.98, "Hz"),
    Row(0x0062, "ac1_voltage", (0x0003, 0xAB80), (0xAB80, 0x0003), 240.512, "V"),
    Row(0x0064, "ac1_current", (0xFFFF, 0xB6C2), (0xB6C2, 0xFFFF), -18.750, "A"),
    Row(0x0066, "ac1_power", (0xFFFF, 0xEE6C), (0xEE6C, 0xFFFF), -4500, "W"),
    Row(0x0068, "ac1_apparent_power", (0x0000, 0x119E), (0x119E, 0x0000), 4510, "VA"),
    Row(0x006A, "ac1_input_current", (0x0000, 0x3039), (0x3039, 0x0000), 12.345, "A"),
    Row(0x006C, "ac1_input_power", (0x0000, 0x0B86), (0x0B86, 0x0000), 2950, "W"),
    # The order L1 V, L2 A, L2 V, L1 A is really like that.
    Row(0x006E, "ac1_l1_voltage", (0x0001, 0xD5BA), (0xD5BA, 0x0001), 120.250, "V"),
    Row(0x0070, "ac1_l2_current", (0xFFFF, 0xDC74), (0xDC74, 0xFFFF), -9.100, "A"),
    Row(0x0072, "ac1_l2_voltage", (0x0001, 0xD5C6), (0xD5C6, 0x0001), 120.262, "V"),
    Row(0x0074, "ac1_l1_current", (0xFFFF, 0xDA4E), (0xDA4E, 0xFFFF), -9.650, "A"),
    _one(0x0076, "ac1_voltage_qualified", 1, 1),
    _one(0x0077, "ac1_frequency_qualified", 0, 0),
    Row(0x0078, "ac1_qualified_duration", (0x0001, 0x51BD), (0x51BD, 0x0001), 86461, "s"),
)

STATUS: Final = (
    _one(0x007A, "inverter_status", 1025, 1025, None, "AC pass-through"),
    _one(0x007B, "charger_status", 776, 776, None, "disabled"),
)

AC1_OUTPUT: Final = (
    Row(0x007E, "ac1_output_voltage", (0x0003, 0xAB72), (0xAB72, 0x0003), 240.498, "V"),
    Row(0x0080, "ac1_output_current", (0x0000, 0x4911), (0x4911, 0x0000), 18.705, "A"),
    _one(0x0082, "ac1_output_frequency", 5997, 59.97, "Hz"),
    Row(0x0084, "ac1_output_power", (0x0000, 0x1192), (0x1192, 0x0000), 4498, "W"),
    Row(0x008A, "ac1_output_apparent_power", (0x0000, 0x1196), (0x1196, 0x0000), 4502, "VA"),
)

LOAD: Final = (
    Row(0x008C, "load_voltage", (0x0003, 0xAB79), (0xAB79, 0x0003), 240.505, "V"),
    Row(0x008E, "load_l1_voltage", (0x0001, 0xD5B4), (0xD5B4, 0x0001), 120.244, "V"),
    Row(0x0090, "load_l2_voltage", (0x0001, 0xD5C5), (0xD5C5, 0x0001), 120.261, "V"),
    # Signed in one maker's document and unsigned in the other, so only positive currents are sure.
    Row(0x0092, "load_l1_current", (0x0000, 0x0C45), (0x0C45, 0x0000), 3.141, "A"),
    Row(0x0094, "load_l2_current", (0x0000, 0x0A9E), (0x0A9E, 0x0000), 2.718, "A"),
    Row(0x0096, "load_current", (0x0000, 0x16E3), (0x16E3, 0x0000), 5.859, "A"),
    _one(0x0098, "load_frequency", 6001, 60.01, "Hz"),
    Row(0x009A, "load_power", (0xFFFF, 0xFA86), (0xFA86, 0xFFFF), -1402, "W"),
    Row(0x00A0, "load_apparent_power", (0x0000, 0x0581), (0x0581, 0x0000), 1409, "VA"),
)

# The document does not say whether AC2's currents and power are signed, so they are positive here.
AC2: Final = (
    Row(0x00A2, "ac2_voltage", (0x0003, 0xA534), (0xA534, 0x0003), 238.900, "V"),
    Row(0x00A4, "ac2_current", (0x0000, 0x01F4), (0x01F4, 0x0000), 0.500, "A"),
    _one(0x00A6, "ac2_frequency", 6005, 60.05, "Hz"),
    _one(0x00A7, "ac2_voltage_qualified", 0, 0),
    _one(0x00A8, "ac2_frequency_qualified", 1, 1),
    Row(0x00AA, "ac2_qualified_duration", (0x0000, 0x0E8D), (0x0E8D, 0x0000), 3725, "s"),
    Row(0x00AC, "ac2_power", (0x0000, 0x0077), (0x0077, 0x0000), 119, "W"),
    Row(0x00B2, "ac2_l1_voltage", (0x0001, 0xD290), (0xD290, 0x0001), 119.440, "V"),
    Row(0x00B4, "ac2_l1_current", (0x0000, 0x0104), (0x0104, 0x0000), 0.260, "A"),
    Row(0x00B6, "ac2_l2_voltage", (0x0001, 0xD2A4), (0xD2A4, 0x0001), 119.460, "V"),
    Row(0x00B8, "ac2_l2_current", (0x0000, 0x00F0), (0x00F0, 0x0000), 0.240, "A"),
    Row(0x00BA, "ac2_apparent_power", (0x0000, 0x007A), (0x007A, 0x0000), 122, "VA"),
)

SWITCHES: Final = (
    _one(0x00BC, "aux_status", 1, 1),
    _one(0x00BD, "aux_on_reason", 3, 3),
    _one(0x00BE, "aux_off_reason", 5, 5),
    _one(0x00C0, "transfer_switch", 801, 801, None, "input 1 active"),
    _one(0x00C1, "transfer_mode", 2, 2, None, "generator priority"),
)

# Energy, u32 in Wh: a period every 4 words, from four words before `today`: hour, today, week, month, year, lifetime.
ENERGY: Final = (
    Row(0x00D0, "energy_from_battery_hour", (0x0000, 0x0200), (0x0200, 0x0000), 0.512, "kWh"),
    Row(0x00D4, "energy_from_battery_today", (0x0000, 0x1C52), (0x1C52, 0x0000), 7.250, "kWh"),
    Row(0x00D8, "energy_from_battery_week", (0x0000, 0xBB9F), (0xBB9F, 0x0000), 48.031, "kWh"),
    Row(0x00DC, "energy_from_battery_month", (0x0003, 0x12E4), (0x12E4, 0x0003), 201.444, "kWh"),
    Row(0x00E0, "energy_from_battery_year", (0x002D, 0x03ED), (0x03ED, 0x002D), 2950.125, "kWh"),
    Row(0x00E4, "energy_from_battery_lifetime", (0x04D7, 0x8A87), (0x8A87, 0x04D7), 81234.567, "kWh"),
    Row(0x00E8, "energy_to_battery_hour", (0x0000, 0x025B), (0x025B, 0x0000), 0.603, "kWh"),
    Row(0x00EC, "energy_to_battery_today", (0x0000, 0x1FBD), (0x1FBD, 0x0000), 8.125, "kWh"),
    Row(0x00F0, "energy_to_battery_week", (0x0000, 0xCFD6), (0xCFD6, 0x0000), 53.206, "kWh"),
    Row(0x00F4, "energy_to_battery_month", (0x0003, 0x672B), (0x672B, 0x0003), 223.019, "kWh"),
    Row(0x00F8, "energy_to_battery_year", (0x0031, 0xD109), (0xD109, 0x0031), 3264.777, "kWh"),
    Row(0x00FC, "energy_to_battery_lifetime", (0x0560, 0x7F4B), (0x7F4B, 0x0560), 90210.123, "kWh"),
    Row(0x0100, "energy_grid_in_hour", (0x0000, 0x04B4), (0x04B4, 0x0000), 1.204, "kWh"),
    Row(0x0104, "energy_grid_in_today", (0x0000, 0x402F), (0x402F, 0x0000), 16.431, "kWh"),
    Row(0x0108, "energy_grid_in_week", (0x0001, 0x8623), (0x8623, 0x0001), 99.875, "kWh"),
    Row(0x010C, "energy_grid_in_month", (0x0006, 0x939E), (0x939E, 0x0006), 431.006, "kWh"),
    Row(0x0110, "energy_grid_in_year", (0x004F, 0x80E3), (0x80E3, 0x004F), 5210.339, "kWh"),
    Row(0x0114, "energy_grid_in_lifetime", (0x075B, 0xCD15), (0xCD15, 0x075B), 123456.789, "kWh"),
    Row(0x0118, "energy_grid_out_hour", (0x0000, 0x0133), (0x0133, 0x0000), 0.307, "kWh"),
    Row(0x011C, "energy_grid_out_today", (0x0000, 0x0FB2), (0x0FB2, 0x0000), 4.018, "kWh"),
    Row(0x0120, "energy_grid_out_week", (0x0000, 0x7AD2), (0x7AD2, 0x0000), 31.442, "kWh"),
    Row(0x0124, "energy_grid_out_month", (0x0002, 0x0AEF), (0x0AEF, 0x0002), 133.871, "kWh"),
    Row(0x0128, "energy_grid_out_year", (0x0019, 0x2E1C), (0x2E1C, 0x0019), 1650.204, "kWh"),
    Row(0x012C, "energy_grid_out_lifetime", (0x02B9, 0x0135), (0x0135, 0x02B9), 45678.901, "kWh"),
    Row(0x0130, "energy_load_hour", (0x0000, 0x045F), (0x045F, 0x0000), 1.119, "kWh"),
    Row(0x0134, "energy_load_today", (0x0000, 0x5593), (0x5593, 0x0000), 21.907, "kWh"),
    Row(0x0138, "energy_load_week", (0x0002, 0x4B29), (0x4B29, 0x0002), 150.313, "kWh"),
    Row(0x013C, "energy_load_month", (0x0009, 0xC4E1), (0xC4E1, 0x0009), 640.225, "kWh"),
    Row(0x0140, "energy_load_year", (0x0077, 0x0ADA), (0x0ADA, 0x0077), 7801.562, "kWh"),
    Row(0x0144, "energy_load_lifetime", (0x0C93, 0x6A86), (0x6A86, 0x0C93), 210987.654, "kWh"),
    Row(0x0148, "energy_generator_hour", (0x0000, 0x0065), (0x0065, 0x0000), 0.101, "kWh"),
    Row(0x014C, "energy_generator_today", (0x0000, 0x00CA), (0x00CA, 0x0000), 0.202, "kWh"),
    Row(0x0150, "energy_generator_week", (0x0000, 0x0517), (0x0517, 0x0000), 1.303, "kWh"),
    Row(0x0154, "energy_generator_month", (0x0000, 0x0964), (0x0964, 0x0000), 2.404, "kWh"),
    Row(0x0158, "energy_generator_year", (0x0000, 0x8AB1), (0x8AB1, 0x0000), 35.505, "kWh"),
    Row(0x015C, "energy_generator_lifetime", (0x005C, 0x7A3E), (0x7A3E, 0x005C), 6060.606, "kWh"),
)
# Behind each energy stand two words of active time, of which no unit is known; these only fill the image.
ACTIVE_TIME: Final = tuple(
    Row(energy.address + 2, energy.id.replace("energy", "active_time"), (0x0001, 0x2345), (0x2345, 0x0001), 0x12345)
    for energy in ENERGY
)

# 2.1: eight registers of text. A ComBox may exchange the two characters of each register.
NAME: Final = Row(
    0x0000,
    "device_name",
    (0x5857, 0x3638, 0x3438, 0x2048, 0x6F75, 0x7365, 0x2031, 0x0000),
    (0x5857, 0x3638, 0x3438, 0x2048, 0x6F75, 0x7365, 0x2031, 0x0000),
    "XW6848 House 1",
)
NAME_SWAPPED: Final = (0x5758, 0x3836, 0x3834, 0x4820, 0x756F, 0x6573, 0x3120, 0x0000)
# 2.1: the documents disagree (seven registers of text or one u32), so no value is expected of these words.
FIRMWARE_ADDRESS: Final = 0x001E
FIRMWARE_WORDS: Final = (0x312E, 0x3038, 0x2E30, 0x3000, 0x0000, 0x0000, 0x0000)

READ_ROWS: Final = (*DEVICE, *BATTERY, *AC1, *STATUS, *AC1_OUTPUT, *LOAD, *AC2, *SWITCHES, *ENERGY, NAME)

# Words that mean that there is no value: a Bad sample, never a number.
NO_VALUE: Final = (
    (0x0040, (DEVICE_STATE_NOT_AVAILABLE,)),
    (0x0056, (0,)),  # no sensor: not -273 degC
)
# Other images of single rows.
BATTERY_BELOW_ZERO: Final = _one(0x0056, "battery_temperature", 26050, -12.5, "degC")
INVERTER_STATE_OUTSIDE_TABLE: Final = _one(0x007A, "inverter_status", 1055, 1055)
LOST_ON_XANBUS: Final = (0x0041, (0,))  # the gateway answers, and everything else is old

# --- 2.3 write table: settings -------------------------------------------------------------------------------------

SETTINGS: Final = (
    _one(0x0161, "inverter_enable", 1, 1),
    _one(0x0162, "grid_support_sell_enable", 0, 0),
    _one(0x0163, "force_sell", 0, 0),
    _one(0x0164, "charger_enable", 0, 0),
    _one(0x0166, "operating_mode", 3, 3, None, "operating"),
    _one(0x0169, "search_mode", 0, 0),
    _one(0x016A, "inverter_mode", 1, 1, None, "grid support"),
    _one(0x016E, "charge_cycle", 1, 1, None, "3-stage"),
    _one(0x016F, "max_charge_rate", 80, 80, "%"),
    _one(0x0173, "battery_type", 2, 2, None, "AGM"),
    _one(0x0176, "battery_capacity", 440, 440, "Ah"),
    Row(0x0178, "grid_support_voltage", (0x0000, 0xC800), (0xC800, 0x0000), 51.2, "V"),
    Row(0x017A, "recharge_voltage", (0x0000, 0xC4E0), (0xC4E0, 0x0000), 50.4, "V"),
    Row(0x017C, "low_battery_cut_out", (0x0000, 0xB3B0), (0xB3B0, 0x0000), 46.0, "V"),
    _one(0x017E, "low_battery_cut_out_delay", 1000, 10.0, "s"),
    _one(0x0187, "ac_priority", 1, 1, None, "AC1"),
    _one(0x0188, "ac1_breaker", 6000, 60.0, "A"),
    _one(0x0189, "ac2_breaker", 5000, 50.0, "A"),
    Row(0x018A, "high_battery_cut_out", (0x0000, 0xFA00), (0xFA00, 0x0000), 64.0, "V"),
    Row(0x0196, "equalize_voltage", (0x0000, 0xF618), (0xF618, 0x0000), 63.0, "V"),
    Row(0x019A, "bulk_voltage", (0x0000, 0xE100), (0xE100, 0x0000), 57.6, "V"),
    Row(0x019C, "absorb_voltage", (0x0000, 0xDDE0), (0xDDE0, 0x0000), 56.8, "V"),
    Row(0x01A0, "float_voltage", (0x0000, 0xD2F0), (0xD2F0, 0x0000), 54.0, "V"),
    _one(0x01B2, "load_shave_enable", 0, 0),
    _one(0x01B3, "grid_support_enable", 0, 0),
    Row(0x01B4, "max_sell_current", (0x0000, 0x4E20), (0x4E20, 0x0000), 20.0, "A"),
    Row(0x01B6, "load_shave_current", (0x0000, 0x2710), (0x2710, 0x0000), 10.0, "A"),
    _one(0x01B8, "gen_support_enable", 0, 0),
    Row(0x01BA, "gen_support_current", (0x0000, 0x3A98), (0x3A98, 0x0000), 15.0, "A"),
    _one(0x01EF, "ac_coupling", 0, 0),
    Row(0x01F2, "low_battery_cut_out_hysteresis", (0x0000, 0x07D0), (0x07D0, 0x0000), 2.0, "V"),
    _one(0x01FF, "max_sell_scale", 95, 95, "%"),
)
# The document gives no width for these (a second register follows before the next row), so no value is expected.
WIDTH_UNKNOWN: Final = ((0x019E, "absorb_time", (0x0000, 0x0000)), (0x01D4, "max_discharge_current", (0, 0)))
# Triggers: they are written, what they read back is not documented.
TRIGGERS: Final = ((0x0165, "force_charger_state"), (0x0167, "reset"))
NEVER_WRITTEN: Final = 0x0167  # resets the device

# Settings to write: (row with the new value, Modbus function). FC6 for one register, FC16 for two.
SETTING_WRITES: Final = (
    (_one(0x016F, "max_charge_rate", 65, 65, "%"), 6),
    (_one(0x017E, "low_battery_cut_out_delay", 1250, 12.5, "s"), 6),
    (Row(0x017C, "low_battery_cut_out", (0x0000, 0xB892), (0xB892, 0x0000), 47.25, "V"), 16),
    (Row(0x01B4, "max_sell_current", (0x0000, 0x30D4), (0x30D4, 0x0000), 12.5, "A"), 16),
)

# --- 2.3 mode macros -----------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class Wire:
    """One write as it must appear on the wire; an optional one may be left out."""

    function: int
    address: int
    insight: tuple[int, ...]
    combox: tuple[int, ...]
    optional: bool = False

    def words(self, gateway: Gateway) -> tuple[int, ...]:
        """Words as this gateway expects them."""
        return self.combox if gateway is Gateway.COMBOX else self.insight


@dataclass(frozen=True, slots=True)
class Effect:
    """When `address` takes `value`, the device moves this status register."""

    address: int
    value: int
    status_address: int
    status: int


@dataclass(frozen=True, slots=True)
class CommandFact:
    """One command: the state it starts from, what goes over the wire, how the device shows that it obeyed.

    In `before` no wanted register has its wanted value yet, so that a node which leaves out needless writes and one
    which does not give the same frames; and the command is not confirmed yet.
    """

    name: str
    inputs: tuple[bool | float, ...]
    before: Mapping[int, tuple[int, ...]]  # registers that differ from the image (one word each)
    writes: tuple[Wire, ...]
    effects: tuple[Effect, ...]
    confirms: Mapping[int, frozenset[int]]  # status register -> words that prove it; all of them must hold


def _fc6(address: int, word: int, *, optional: bool = False) -> Wire:
    return Wire(6, address, (word,), (word,), optional)


CHARGING: Final = frozenset({769, 770, 773, 775, 777, 779, 785})
SELLING: Final = frozenset({1034, 1036})
NOT_STANDBY: Final = frozenset(INVERTER_STATES) - {1032}

OPERATING: Final = CommandFact(
    "Operating",
    (),
    before={0x0166: (2,), 0x0040: (1,), 0x007A: (1032,)},
    writes=(_fc6(0x0166, 3),),
    effects=(Effect(0x0166, 3, 0x0040, 3), Effect(0x0166, 3, 0x007A, 1025)),
    confirms={0x0040: frozenset({3}), 0x007A: NOT_STANDBY},
)
STANDBY: Final = CommandFact(
    "Standby",
    (),
    before={0x0166: (3,), 0x0040: (3,), 0x007A: (1025,)},
    writes=(_fc6(0x0166, 2),),
    effects=(Effect(0x0166, 2, 0x007A, 1032),),
    confirms={0x007A: frozenset({1032})},
)
START_CHARGE: Final = CommandFact(
    "StartCharge",
    (),
    before={0x0162: (1,), 0x0164: (0,), 0x0048: (0,), 0x007B: (776,)},
    writes=(_fc6(0x0162, 0), _fc6(0x0164, 1), _fc6(0x0165, 1, optional=True)),
    effects=(Effect(0x0164, 1, 0x0048, 1), Effect(0x0164, 1, 0x007B, 769)),
    confirms={0x0048: frozenset({1}), 0x007B: CHARGING},
)
STOP_CHARGE: Final = CommandFact(
    "StopCharge",
    (),
    before={0x0164: (1,), 0x0048: (1,), 0x007B: (769,)},
    writes=(_fc6(0x0164, 0),),
    effects=(Effect(0x0164, 0, 0x0048, 0), Effect(0x0164, 0, 0x007B, 776)),
    confirms={0x0048: frozenset({0}), 0x007B: frozenset({776})},
)
START_SELL: Final = CommandFact(
    "StartSell",
    (),
    before={0x0164: (1,), 0x01B3: (0,), 0x0162: (0,), 0x0049: (0,), 0x007A: (1025,)},
    writes=(_fc6(0x0164, 0, optional=True), _fc6(0x01B3, 1), _fc6(0x0162, 1)),
    effects=(Effect(0x0162, 1, 0x0049, 1), Effect(0x0162, 1, 0x007A, 1036)),
    confirms={0x0049: frozenset({1}), 0x007A: SELLING},
)
STOP_SELL: Final = CommandFact(
    "StopSell",
    (),
    before={0x0162: (1,), 0x0049: (1,), 0x007A: (1036,)},
    writes=(_fc6(0x0162, 0),),
    effects=(Effect(0x0162, 0, 0x0049, 0), Effect(0x0162, 0, 0x007A, 1025)),
    confirms={0x0049: frozenset({0})},
)
# The seed's habit, an option of the site.
STOP_SELL_TO_STANDBY: Final = CommandFact(
    "StopSell",
    (),
    before=STOP_SELL.before,
    writes=(*STOP_SELL.writes, *STANDBY.writes),
    effects=(*STOP_SELL.effects, *STANDBY.effects),
    confirms={**STOP_SELL.confirms, **STANDBY.confirms},
)
REST: Final = CommandFact(
    "Rest",
    (),
    before={**STOP_CHARGE.before, **STOP_SELL.before},
    writes=(*STOP_CHARGE.writes, *STOP_SELL.writes),
    effects=(*STOP_CHARGE.effects, *STOP_SELL.effects),
    confirms={**STOP_CHARGE.confirms, **STOP_SELL.confirms},
)
# 2.3 names no status register for load shaving; reading the two settings back is all there is.
SET_LOAD_SHAVE: Final = CommandFact(
    "SetLoadShave",
    (True, 12.5),
    before={0x01B2: (0,)},
    writes=(Wire(16, 0x01B6, (0x0000, 0x30D4), (0x30D4, 0x0000)), _fc6(0x01B2, 1)),
    effects=(Effect(0x01B2, 1, 0x007A, 1037),),
    confirms={0x01B2: frozenset({1})},
)

COMMANDS: Final = (OPERATING, STANDBY, START_CHARGE, STOP_CHARGE, START_SELL, STOP_SELL, REST, SET_LOAD_SHAVE)
# RunCommand(code) does what the named command does.
RUN_COMMAND: Final = {
    0: REST,
    1: OPERATING,
    2: STANDBY,
    3: START_CHARGE,
    4: STOP_CHARGE,
    5: START_SELL,
    6: STOP_SELL,
}
# StartCharge requires that the device operates; in this state it ignores every command but Operating.
NOT_OPERATING: Final = {0x0166: (2,), 0x0040: (1,), 0x007A: (1032,)}


def image(
    unit: int, gateway: Gateway, *changes: Mapping[int, tuple[int, ...]], rows: Iterable[Row] = ()
) -> list[Registers]:
    """The whole register image of one unit as this gateway serves it, then the changes and the other rows."""
    blocks = [Registers(unit, row.address, row.words(gateway)) for row in (*READ_ROWS, *ACTIVE_TIME, *SETTINGS)]
    blocks.append(Registers(unit, FIRMWARE_ADDRESS, FIRMWARE_WORDS))
    blocks += [Registers(unit, address, words) for address, _, words in WIDTH_UNKNOWN]
    blocks += [Registers(unit, address, (0,)) for address, _ in TRIGGERS]
    blocks += [Registers(unit, address, words) for change in changes for address, words in change.items()]
    blocks += [Registers(unit, row.address, row.words(gateway)) for row in rows]
    return blocks


def unexpected(fact: CommandFact, gateway: Gateway, written: Iterable[tuple[int, int, tuple[int, ...]]]) -> str | None:
    """What is wrong with the frames (function, address, words) of a command; None when they are as they must be."""
    frames = list(written)
    rest = list(frames)
    for wire in fact.writes:
        if rest and rest[0] == (wire.function, wire.address, wire.words(gateway)):
            rest.pop(0)
        elif not wire.optional:
            return f"{fact.name}: expected fc{wire.function} 0x{wire.address:04X} {wire.words(gateway)} in {frames}"
    return f"{fact.name}: frames too many: {rest}" if rest else None
