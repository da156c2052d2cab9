import re

import pytest

from address_space.classes import CLASSES, SYSTEM_POINTS, ClassSpec, browse_name, bus_model, node_model, sink_model
from address_space.model import OWN_CLASSES, DataType, DeviceClass, Outcome, Point, PointKind
from address_space.units import UNITS

SPECS = list(CLASSES.values())
ALL_POINTS = [
    *((spec.device_class, entry.point) for spec in SPECS for entry in spec.points),
    *((DeviceClass.GENERIC, point) for point in SYSTEM_POINTS),
    *((model().device_class, point) for model in (bus_model, sink_model, node_model) for point in model().points),
]


def test_every_class_that_a_profile_may_name_is_there() -> None:
    assert set(CLASSES) == set(DeviceClass) - OWN_CLASSES


@pytest.mark.parametrize(("owner", "point"), ALL_POINTS, ids=lambda value: getattr(value, "id", str(value)))
def test_a_declared_point_is_complete(owner: DeviceClass, point: Point) -> None:
    assert re.fullmatch(r"[a-z][a-z0-9]*(_[a-z0-9]+)*", point.id)
    assert point.label
    assert point.description.endswith(".")
    assert point.from_class
    assert (point.enumeration is not None) is (point.kind in (PointKind.STATE, PointKind.FLAG))
    assert (point.unit is not None) is (point.kind in (PointKind.ANALOG, PointKind.COUNTER))
    assert point.unit is None or point.unit in UNITS
    assert (point.data_type is DataType.BOOLEAN) is (point.kind is PointKind.FLAG)
    assert point.stale_after_s is None  # the profile's poll period decides; system points never age
    assert not point.writable


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.device_class)
def test_ids_and_browse_names_of_a_class_are_unique_and_none_is_a_system_point(spec: ClassSpec) -> None:
    ids = [entry.point.id for entry in spec.points] + [point.id for point in SYSTEM_POINTS]
    assert len(set(ids)) == len(ids)
    assert len({browse_name(one) for one in ids}) == len(ids)
    commands = [entry.command.id for entry in spec.commands]
    assert len(set(commands)) == len(commands)
    assert all(re.fullmatch(r"([A-Z][a-z0-9]*)+", command) for command in commands)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.device_class)
def test_signs_are_stated_once_where_something_has_a_sign(spec: ClassSpec) -> None:
    signed = any(entry.point.id.rpartition("_")[2] in ("power", "current", "flow") for entry in spec.points)
    assert bool(spec.signs) is signed


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.device_class)
def test_one_id_means_one_thing_within_a_class_and_its_enumerations_are_unambiguous(spec: ClassSpec) -> None:
    for entry in spec.points:
        table = entry.point.enumeration
        if table is not None:
            codes = [member.code for member in table.members]
            names = [member.name for member in table.members]
            assert codes == sorted(set(codes))
            assert len(set(names)) == len(names)
        assert spec.point(entry.point.id) is entry.point
    assert spec.point("no_such_point") is None
    assert spec.command("NoSuchCommand") is None


@pytest.mark.parametrize(
    ("point_id", "name"),
    [("ac_power", "AcPower"), ("voltage_l1", "VoltageL1"), ("state", "State"), ("string_1_voltage", "String1Voltage")],
)
def test_browse_names(point_id: str, name: str) -> None:
    assert browse_name(point_id) == name


def test_what_a_screen_for_any_inverter_can_build_on() -> None:
    spec = CLASSES[DeviceClass.INVERTER]
    assert {e.point.id for e in spec.points if e.mandatory} == {"state", "ac_power", "ac_voltage", "ac_frequency"}
    assert {e.command.id for e in spec.commands if e.mandatory} == {"Operating", "Standby"}
    run = spec.command("RunCommand")
    assert run is not None
    table = run.inputs[0].enumeration
    assert table is not None
    assert [(member.code, member.name) for member in table.members] == [
        (0, "Rest"), (1, "Operating"), (2, "Standby"), (3, "StartCharge"),
        (4, "StopCharge"), (5, "StartSell"), (6, "StopSell"),
    ]  # fmt: skip


def test_states_of_a_fuel_cell() -> None:
    state = CLASSES[DeviceClass.FUEL_CELL].point("state")
    assert state is not None
    assert state.enumeration is not None
    assert [member.name for member in state.enumeration.members] == [
        "Off", "Standby", "Starting", "HeatUp", "Running", "Stopping", "CoolDown", "Fault", "Lockout",
    ]  # fmt: skip


def test_outcomes_of_the_control_desk_all_have_a_text() -> None:
    point = next(point for point in SYSTEM_POINTS if point.id == "last_command_outcome")
    assert point.enumeration is not None
    assert {member.code: member.name for member in point.enumeration.members} == {one: one.name for one in Outcome}


def test_bus_and_node_have_their_own_models() -> None:
    assert {"connection", "utilisation", "overrun", "latency_p95"} <= set(bus_model().index)
    assert set(node_model().index) == {
        "certificate_days_left", "journal_samples", "journal_lost", "journal_state", "journal_error", "sessions",
        "journal_deleted", "journal_events", "journal_events_lost", "journal_damaged", "journal_bytes",
        "journal_budget", "journal_free", "journal_oldest", "clock_doubtful", "clock_steps", "clock_last_step",
    }  # fmt: skip
