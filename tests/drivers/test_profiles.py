"""The shipped profiles against the makers' tables, written out here by hand."""

import re
from pathlib import Path

import pytest

from address_space.classes import CLASSES
from address_space.model import DataType, Point, PointKind, Range, Value
from drivers.codec import Decoder, encode
from drivers.plan import ReadLimits
from drivers.profile import load_profile, shipped_profiles
from drivers.simulator.physics import PHYSICS
from drivers.spec import (
    LineSource,
    Operand,
    Profile,
    RawType,
    RegisterSource,
    Run,
    Table,
    WordOrder,
    Write,
)

SHIPPED = list(shipped_profiles())


def point(profile: Profile, point_id: str) -> Point:
    return profile.model.points[profile.model.index[point_id]]


def register(profile: Profile, point_id: str) -> RegisterSource:
    source = profile.sources[point_id]
    assert isinstance(source, RegisterSource)
    return source


def decoded(profile: Profile, point_id: str, *words: int, order: WordOrder = WordOrder.BIG) -> tuple[Value | None, int]:
    source = register(profile, point_id)
    decoder = Decoder([(point(profile, point_id), source)], {}, source.address, source.registers, lambda _: order)
    values, statuses = decoder.decode(b"".join(word.to_bytes(2, "big") for word in words))
    return values[0], statuses[0]


def writes(profile: Profile, command_id: str) -> list[tuple[int, int]]:
    """(address, word) of each register that the command's own steps write."""
    written: list[tuple[int, int]] = []
    for step in profile.commands[command_id].steps:
        assert isinstance(step, Write)
        value = step.value.constant
        assert value is not None
        assert not isinstance(value, tuple)
        written += encode(point(profile, step.point), register(profile, step.point), value, WordOrder.BIG)
    return written


# --- all of them -----------------------------------------------------------------------------------------


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_every_shipped_profile_loads_and_says_where_its_facts_come_from(profile_id: str) -> None:
    profile = load_profile(profile_id)
    assert profile.id == profile_id
    assert profile.documents
    assert profile.provenance in ("guessed", "documented", "simulated", "hardware")
    assert profile.model.description
    assert profile.identify or profile.protocol == "serial_line"


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_no_device_is_told_by_what_it_measures_which_a_blackout_or_an_open_sensor_changes(profile_id: str) -> None:
    profile = load_profile(profile_id)
    for check in profile.identify:
        if point(profile, check.point).kind in (PointKind.ANALOG, PointKind.COUNTER):
            assert (check.one_of, check.between) == ((), None)


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_every_shipped_profile_can_be_simulated(profile_id: str) -> None:
    simulation = load_profile(profile_id).simulation
    assert simulation is not None
    assert simulation.physics in PHYSICS


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_every_shipped_profile_has_what_its_class_demands(profile_id: str) -> None:
    profile = load_profile(profile_id)
    for entry in CLASSES[profile.model.device_class].points:
        if entry.mandatory:
            assert entry.point.id in profile.sources
        if entry.point.id in profile.model.index:
            mine = point(profile, entry.point.id)
            assert (mine.unit, mine.kind, mine.data_type) == (entry.point.unit, entry.point.kind, entry.point.data_type)


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_nobody_in_a_shipped_profile_is_named_who_should_not_be(profile_id: str) -> None:
    text = Path(shipped_profiles()[profile_id]).read_text("utf-8")
    assert not re.search(r"password|token|https?://|@", text.replace("gridnode/profile@1", ""))


@pytest.mark.parametrize("profile_id", SHIPPED)
def test_every_point_that_a_person_sees_is_explained_by_label_and_unit(profile_id: str) -> None:
    profile = load_profile(profile_id)
    for one in profile.model.points:
        assert one.label
        if one.kind in (PointKind.ANALOG, PointKind.COUNTER):
            assert one.unit is not None


# --- Schneider XW: 990-6268B and 503-0246 --------------------------------------------------------------

U16, I32, U32 = RawType.U16, RawType.I32, RawType.U32
# address: (point, raw type, value of the raw 10000)
XW_READ: dict[int, tuple[str, RawType, float]] = {
    0x50: ("dc_voltage", U32, 10.0), 0x52: ("dc_current", I32, 10.0), 0x54: ("dc_power", I32, 10000),
    0x56: ("battery_temperature", U16, -173.0), 0x58: ("invert_dc_current", U32, 10.0),
    0x5A: ("invert_dc_power", U32, 10000), 0x5C: ("charge_dc_current", U32, 10.0),
    0x5E: ("charge_dc_power", U32, 10000), 0x60: ("charge_dc_percent", U16, 10000),
    0x61: ("ac_frequency", U16, 100.0), 0x62: ("ac_voltage", U32, 10.0), 0x64: ("ac_current", I32, 10.0),
    0x66: ("ac_power", I32, 10000), 0x68: ("ac_apparent_power", U32, 10000),
    0x6A: ("ac1_input_current", U32, 10.0), 0x6C: ("ac1_input_power", U32, 10000),
    0x6E: ("ac_voltage_l1", U32, 10.0), 0x70: ("ac_current_l2", I32, 10.0), 0x72: ("ac_voltage_l2", U32, 10.0),
    0x74: ("ac_current_l1", I32, 10.0), 0x78: ("ac1_qualified_time", U32, 10000),
    0x7E: ("sell_voltage", U32, 10.0), 0x80: ("sell_current", U32, 10.0), 0x82: ("sell_frequency", U16, 100.0),
    0x84: ("sell_power", U32, 10000), 0x8A: ("sell_apparent_power", U32, 10000),
    0x8C: ("load_voltage", U32, 10.0), 0x8E: ("load_voltage_l1", U32, 10.0), 0x90: ("load_voltage_l2", U32, 10.0),
    0x92: ("load_current_l1", I32, 10.0), 0x94: ("load_current_l2", I32, 10.0), 0x96: ("load_current", I32, 10.0),
    0x98: ("load_frequency", U16, 100.0), 0x9A: ("load_power", I32, 10000), 0xA0: ("load_apparent_power", I32, 10000),
    0xA2: ("ac2_voltage", U32, 10.0), 0xA4: ("ac2_current", I32, 10.0), 0xA6: ("ac2_frequency", U16, 100.0),
    0xAA: ("ac2_qualified_time", U32, 10000), 0xAC: ("ac2_power", I32, 10000),
    0xB2: ("ac2_voltage_l1", U32, 10.0), 0xB4: ("ac2_current_l1", I32, 10.0), 0xB6: ("ac2_voltage_l2", U32, 10.0),
    0xB8: ("ac2_current_l2", I32, 10.0), 0xBA: ("ac2_apparent_power", U32, 10000),
    0xD4: ("from_battery_energy_today", U32, 10.0), 0xE4: ("energy_from_battery", U32, 10.0),
    0xEC: ("to_battery_energy_today", U32, 10.0), 0xFC: ("energy_to_battery", U32, 10.0),
    0x104: ("imported_energy_today", U32, 10.0), 0x10C: ("imported_energy_month", U32, 10.0),
    0x110: ("imported_energy_year", U32, 10.0), 0x114: ("energy_imported", U32, 10.0),
    0x11C: ("exported_energy_today", U32, 10.0), 0x12C: ("energy_exported", U32, 10.0),
    0x134: ("load_energy_today", U32, 10.0), 0x144: ("energy_load", U32, 10.0),
    0x14C: ("generator_energy_today", U32, 10.0), 0x15C: ("energy_generator", U32, 10.0),
    0x174: ("nominal_battery_voltage", U32, 10.0),
    0x178: ("grid_support_voltage", U32, 10.0), 0x17A: ("recharge_voltage", U32, 10.0),
    0x17C: ("low_battery_cut_out", U32, 10.0), 0x17E: ("low_battery_cut_out_delay", U16, 100.0),
    0x18A: ("high_battery_cut_out", U32, 10.0), 0x1F2: ("low_battery_cut_out_hysteresis", U32, 10.0),
    0x188: ("ac1_breaker", U16, 100.0), 0x189: ("ac2_breaker", U16, 100.0), 0x196: ("equalize_voltage", U32, 10.0),
    0x19A: ("bulk_voltage", U32, 10.0), 0x19C: ("absorb_voltage", U32, 10.0), 0x19E: ("absorb_time", U16, 10000),
    0x1A0: ("float_voltage", U32, 10.0), 0x1B4: ("max_sell_current", U32, 10.0),
    0x1B6: ("load_shave_current", U32, 10.0), 0x16F: ("max_charge_rate", U16, 10000),
    0x176: ("battery_capacity", U16, 10000),
}  # fmt: skip


@pytest.fixture
def xw() -> Profile:
    return load_profile("schneider.xw")


@pytest.mark.parametrize(("address", "expected"), XW_READ.items())
def test_xw_registers(xw: Profile, address: int, expected: tuple[str, RawType, float]) -> None:
    point_id, raw_type, value = expected
    source = register(xw, point_id)
    assert (source.table, source.address, source.type) == (Table.HOLDING, address, raw_type)
    words = (10000,) if raw_type is U16 else (0, 10000)
    assert decoded(xw, point_id, *words) == (value, 0)


@pytest.mark.parametrize(
    ("point_id", "address", "raw", "text"),
    [
        ("device_state", 0x40, 3, "Operating"),
        ("inverter_status", 0x7A, 1032, "Standby"),
        ("inverter_status", 0x7A, 1036, "SellToGrid"),
        ("charger_status", 0x7B, 776, "Disabled"),
        ("charger_status", 0x7B, 788, "ACGoodPending"),
        ("transfer_switch", 0xC0, 801, "Input1Active"),
        ("operating_mode", 0x166, 2, "Standby"),
        ("inverter_mode", 0x16A, 4, "ACCoupling"),
        ("ac_priority", 0x187, 0, "ForceDisqualify"),
        ("charge_mode", 0x4D, 2, "Secondary"),
        ("forced_sell", 0x4A, 2, "Unavailable"),
    ],
)
def test_xw_states(xw: Profile, point_id: str, address: int, raw: int, text: str) -> None:
    table = point(xw, point_id).enumeration
    assert table is not None
    assert register(xw, point_id).address == address
    assert decoded(xw, point_id, raw) == (raw, 0)
    assert table.text(raw) == text


@pytest.mark.parametrize(
    ("point_id", "raw", "text"),
    [
        ("state", 1024, "Inverting"), ("state", 1025, "Bypass"), ("state", 1032, "Standby"),
        ("state", 1036, "Exporting"), ("state", 1034, "Supporting"), ("state", 1031, "Fault"),
        ("charge_state", 769, "Bulk"),
        ("charge_state", 776, "Off"), ("charge_state", 785, "Charging"),
    ],
)  # fmt: skip
def test_xw_in_the_words_of_every_inverter(xw: Profile, point_id: str, raw: int, text: str) -> None:
    table = point(xw, point_id).enumeration
    assert table is not None
    value, _ = decoded(xw, point_id, raw)
    assert isinstance(value, int)
    assert table.text(value) == text


def test_every_documented_xw_status_has_a_word_of_the_class(xw: Profile) -> None:
    for raw, mapped in (("inverter_status", "state"), ("charger_status", "charge_state")):
        table, source = point(xw, raw).enumeration, register(xw, mapped)
        assert table is not None
        assert source.map is not None
        assert set(source.map) == {member.code for member in table.members}


def test_xw_values_in_both_word_orders_and_below_zero(xw: Profile) -> None:
    assert decoded(xw, "ac_power", 0xFFFF, 0xFC18) == (-1000, 0)
    assert decoded(xw, "ac_power", 0xFC18, 0xFFFF, order=WordOrder.LITTLE) == (-1000, 0)
    assert decoded(xw, "dc_current", 0xFFFF, 0xFF85) == (-0.123, 0)


def test_xw_battery_temperature_is_centi_kelvin_and_0_is_no_sensor(xw: Profile) -> None:
    assert decoded(xw, "battery_temperature", 29715) == (pytest.approx(24.15), 0)
    value, status = decoded(xw, "battery_temperature", 0)
    assert value is None
    assert status & 0x8000_0000


def test_xw_signs_are_the_sites_to_set() -> None:
    turned = load_profile("schneider.xw", {"ac1_sign": -1, "dc_sign": -1})
    assert decoded(turned, "ac_power", 0, 1000) == (-1000, 0)
    assert decoded(turned, "ac_current", 0, 1000) == (-1.0, 0)
    assert decoded(turned, "dc_current", 0, 1000) == (-1.0, 0)
    assert decoded(turned, "dc_voltage", 0, 1000) == (1.0, 0)


@pytest.mark.parametrize(
    ("command_id", "expected"),
    [
        ("Operating", [(0x166, 3)]),
        ("Standby", [(0x166, 2)]),
        ("StartCharge", [(0x162, 0), (0x164, 1)]),
        ("StopCharge", [(0x164, 0)]),
        ("StartSell", [(0x1B3, 1), (0x162, 1)]),
        ("StopSell", [(0x162, 0)]),
        ("Rest", [(0x164, 0), (0x162, 0)]),
    ],
)
def test_what_xw_commands_write(xw: Profile, command_id: str, expected: list[tuple[int, int]]) -> None:
    assert writes(xw, command_id) == expected


def test_options_of_xw_commands() -> None:
    profile = load_profile(
        "schneider.xw", {"standby_after_stop_sell": True, "force_bulk_charge": True, "sell_stops_charging": True}
    )
    assert profile.commands["StopSell"].steps == (Write("sell_enable", Operand(False)), Run("Standby"))
    assert writes(profile, "StartCharge") == [(0x162, 0), (0x164, 1), (0x165, 1)]
    assert writes(profile, "StartSell")[0] == (0x164, 0)
    assert profile.commands["Rest"].steps[-1] == Write("sell_enable", Operand(False))


def test_what_confirms_xw_commands(xw: Profile) -> None:
    confirmed = {
        command_id: [(c.point, c.comparison.value, c.operand.constant) for c in spec.confirm.conditions]
        for command_id, spec in xw.commands.items()
        if spec.confirm is not None
    }
    assert confirmed["Operating"] == [("device_state", "eq", 3), ("inverter_status", "ne", 1032)]
    assert confirmed["Standby"] == [("inverter_status", "eq", 1032)]
    assert confirmed["StartCharge"] == [
        ("charger_enabled", "eq", True),
        ("charger_status", "in", (769, 770, 773, 775, 777, 779, 785)),
    ]
    assert confirmed["StopCharge"] == [("charger_enabled", "eq", False)]
    assert confirmed["StartSell"] == [("sell_enabled", "eq", True), ("inverter_status", "in", (1034, 1036))]
    assert confirmed["StopSell"] == [("sell_enabled", "eq", False)]
    assert xw.commands["Standby"].emergency


@pytest.mark.parametrize("command_id", ["StartCharge", "StartSell"])
def test_xw_obeys_nothing_in_standby_and_so_is_not_asked(xw: Profile, command_id: str) -> None:
    needed = [(c.point, c.comparison.value, c.operand.constant) for c in xw.commands[command_id].requires]
    assert needed == [("device_state", "eq", 3), ("inverter_status", "ne", 1032)]


def test_load_shaving(xw: Profile) -> None:
    spec = xw.commands["SetLoadShave"]
    assert spec.steps == (
        Write("load_shave_current", Operand(argument="amps")),
        Write("load_shave_enable", Operand(argument="enable")),
    )
    amps, enable = (register(xw, step.point) for step in spec.steps if isinstance(step, Write))
    assert (amps.address, enable.address) == (0x1B6, 0x1B2)
    assert encode(point(xw, "load_shave_current"), amps, 12.5, WordOrder.BIG) == ((0x1B6, 0), (0x1B7, 12500))
    assert encode(point(xw, "load_shave_current"), amps, 12.5, WordOrder.LITTLE) == ((0x1B7, 0), (0x1B6, 12500))
    command = next(one for one in xw.model.commands if one.id == "SetLoadShave")
    assert [(one.name, one.data_type, one.range) for one in command.inputs] == [
        ("enable", DataType.BOOLEAN, None),
        ("amps", DataType.DOUBLE, Range(0, 60)),
    ]


def test_run_command_numbers(xw: Profile) -> None:
    assert xw.commands["RunCommand"].dispatch == {
        0: "Rest", 1: "Operating", 2: "Standby", 3: "StartCharge", 4: "StopCharge", 5: "StartSell", 6: "StopSell",
    }  # fmt: skip


def test_every_xw_setting_has_a_limit_and_the_reset_is_not_there(xw: Profile) -> None:
    addresses = {register(xw, point_id).address for point_id in xw.settings}
    assert addresses == {
        0x161, 0x162, 0x163, 0x164, 0x165, 0x166, 0x169, 0x16A, 0x16E, 0x16F, 0x173, 0x176, 0x178, 0x17A, 0x17C,
        0x17E, 0x187, 0x188, 0x189, 0x18A, 0x196, 0x19A, 0x19C, 0x19E, 0x1A0, 0x1B2, 0x1B3, 0x1B4, 0x1B6, 0x1B8,
        0x1BA, 0x1D4, 0x1EF, 0x1F2, 0x1FF,
    }  # fmt: skip
    for point_id, setting in xw.settings.items():
        assert setting.range is not None or point(xw, point_id).enumeration is not None
        assert setting.persistent
    touched = {a for source in xw.sources.values() if isinstance(source, RegisterSource)
               for a in range(source.address, source.address + source.registers)}  # fmt: skip
    assert 0x167 not in touched


def test_xw_reads_no_hole_of_the_map(xw: Profile) -> None:
    assert xw.modbus.max_gap == 0
    assert ReadLimits(xw.modbus.max_read, 0, (), 1).most(Table.HOLDING) == 60
    assert xw.presence == "present"
    assert register(xw, "present").address == 0x41


# --- Eastron SDM630 ----------------------------------------------------------------------------------------

SDM630 = {
    "voltage_l1": 0, "voltage_l2": 2, "voltage_l3": 4, "current_l1": 6, "current_l2": 8, "current_l3": 10,
    "power_l1": 12, "power_l2": 14, "power_l3": 16, "apparent_power_l1": 18, "reactive_power_l1": 24,
    "power_factor_l1": 30, "power_factor_l3": 34, "voltage": 42, "current": 48, "power": 52, "apparent_power": 56,
    "reactive_power": 60, "power_factor": 62, "frequency": 70, "energy_imported": 72, "energy_exported": 74,
    "energy_total": 342,
}  # fmt: skip


@pytest.mark.parametrize(("point_id", "address"), SDM630.items())
def test_sdm630_registers(point_id: str, address: int) -> None:
    profile = load_profile("eastron.sdm630")
    source = register(profile, point_id)
    assert (source.table, source.address, source.type) == (Table.INPUT, address, RawType.F32)
    assert decoded(profile, point_id, 0x4366, 0x8000)[0] == 230.5
    value, status = decoded(profile, point_id, 0x7FC0, 0x0000)
    assert value is None
    assert status & 0x8000_0000


def test_sdm630_bears_even_addresses_and_80_registers_and_its_number_is_a_holding_register() -> None:
    profile = load_profile("eastron.sdm630", {"frequency_period": "100ms", "energy_period": "10s"})
    assert (profile.modbus.align, profile.modbus.max_read, profile.modbus.word_order) == (2, 80, WordOrder.BIG)
    number = register(profile, "serial_number")
    assert (number.table, number.address, number.type) == (Table.HOLDING, 0xFC00, RawType.U32)
    assert {group.name: group.period_s for group in profile.groups} == {
        "fast": 1.0, "frequency": 0.1, "energy": 10.0, "once": None,
    }  # fmt: skip


# --- hydrogen fuel cell ---------------------------------------------------------------------------------------


def test_fuel_cell_states_and_scales() -> None:
    profile = load_profile("cummins.fuel_cell")
    table = point(profile, "state").enumeration
    assert table is not None
    seen = [decoded(profile, "state", raw)[0] for raw in range(1, 11)]
    assert [table.text(code) for code in seen if isinstance(code, int)] == [
        "Starting", "Starting", "Starting", "Starting", "HeatUp",
        "Running", "Stopping", "Stopping", "CoolDown", "Standby",
    ]  # fmt: skip
    assert decoded(profile, "state", 0)[0] is None
    assert decoded(profile, "nominal_power", 30) == (30_000, 0)
    assert decoded(profile, "output_power", 125) == (12_500, 0)
    assert decoded(profile, "ambient_temperature", 0xFFCE) == (-5.0, 0)
    bits = ("run_echo", "start_possible", "fault_active", "inhibited")
    assert [decoded(profile, one, 0x0901)[0] for one in bits] == [True, True, True, False]


def test_fuel_cell_control_word_is_rewritten_while_a_command_stands() -> None:
    profile = load_profile("cummins.fuel_cell", {"cycle": "500ms"})
    assert register(profile, "control_word").address == 14500
    assert "control_word" not in profile.settings
    words = {"Start": 0x8001, "Stop": 0x8000, "Reset": 0x8002}
    for command_id, word in words.items():
        spec = profile.commands[command_id]
        assert spec.steps == (Write("control_word", Operand(word)),)
        assert spec.keep_alive is not None
        assert spec.keep_alive.every_s == 0.5
        assert spec.keep_alive.writes == spec.steps
        assert set(spec.keep_alive.ended_by) <= set(words) - {command_id}
    assert profile.commands["Stop"].emergency
    reset = profile.commands["Reset"].keep_alive
    assert reset is not None
    assert reset.farewell == (Write("control_word", Operand(0x8000)),)


def test_fuel_cell_power_is_set_in_watts_and_written_in_kilowatts() -> None:
    profile = load_profile("cummins.fuel_cell", {"max_power": 25_000})
    source = register(profile, "power_setpoint")
    assert encode(point(profile, "power_setpoint"), source, 12_000.0, WordOrder.BIG) == ((14501, 12),)
    command = next(one for one in profile.model.commands if one.id == "SetPower")
    assert command.inputs[0].range == Range(0, 25_000)


# --- the RS485 set and the serial collector ------------------------------------------------------------------


def test_temperature_board() -> None:
    profile = load_profile("generic.temperature_board_4")
    assert [register(profile, f"temperature_{n}").address for n in (1, 2, 3, 4)] == [2, 3, 4, 5]
    assert decoded(profile, "temperature_1", 251) == (25.1, 0)
    assert decoded(profile, "temperature_1", 50_000)[0] == 5000.0
    value, status = decoded(profile, "temperature_1", 50_001)
    assert value is None
    assert status & 0x8000_0000


@pytest.mark.parametrize(
    ("profile_id", "point_id", "address", "raw", "value"),
    [
        ("generic.pv_meter", "string_1_voltage", 0, 301, 301),
        ("generic.pv_meter", "string_1_current", 1, 85, 8.5),
        ("generic.pv_meter", "string_2_voltage", 2, 299, 299),
        ("generic.pv_meter", "string_2_current", 3, 7, 0.7),
        ("generic.pv_meter", "temperature", 4, 421, 42.1),
        ("generic.load_meter", "power", 3, 0xFFFF, -1),
        ("generic.load_meter", "voltage", 4, 3155, 315.5),
        ("generic.load_meter", "current", 5, 0xFF9C, -1.0),
        ("generic.battery_meter", "current", 5, 0xFF9C, -1.0),
    ],
)
def test_rs485_set(profile_id: str, point_id: str, address: int, raw: int, value: float) -> None:
    profile = load_profile(profile_id)
    assert (register(profile, point_id).table, register(profile, point_id).address) == (Table.HOLDING, address)
    assert decoded(profile, point_id, raw) == (value, 0)


def test_serial_collector() -> None:
    profile = load_profile("generic.serial_current_sensor")
    assert profile.protocol == "serial_line"
    assert dict(profile.sources) == {one: LineSource(one) for one in ("current", "power", "voltage", "raw")}
    assert profile.parameters == {
        "vpp": 0.0048828125, "offset": 2.5, "sns": 0.066, "vcc": 5, "limit": 10, "period": 1.0,
    }  # fmt: skip
