"""Samples on the wire: exact types, no value when Bad, texts that follow."""

from datetime import UTC, datetime

import pytest
from asyncua import ua

from address_space.model import Status, ticks_from_datetime, ticks_to_datetime
from tests.address_space.conftest import Plant, model_id
from tests.fake_clock import START

UNCERTAIN = Status.UNCERTAIN


@pytest.mark.parametrize(
    ("point", "value", "variant_type"),
    [
        ("ac_power", 12.5, ua.VariantType.Double),
        ("ac_energy", 2**64 - 1, ua.VariantType.UInt64),
        ("state", 2, ua.VariantType.UInt16),
        ("grid", True, ua.VariantType.Boolean),
        ("name", "XW", ua.VariantType.String),
        ("faults", 0xFFFF_FFFF, ua.VariantType.UInt32),
        ("float_32", -1.5, ua.VariantType.Float),
        ("small", -32768, ua.VariantType.Int16),
    ],
)
def test_a_good_sample_has_its_exact_type(plant: Plant, point: str, value: object, variant_type: object) -> None:
    plant.put(f"xw1.{point}", value)
    found = plant.read(f"xw1.{point}")
    assert (found.Value.Value, found.Value.VariantType) == (value, variant_type)
    assert type(found.Value.Value) is type(value)
    assert not found.Value.is_array


def test_a_whole_number_in_a_float_point_is_a_float(plant: Plant) -> None:
    plant.put("xw1.ac_power", 3)
    assert type(plant.read("xw1.ac_power").Value.Value) is float


def test_status_and_source_time_are_those_of_the_sample(plant: Plant) -> None:
    plant.put("xw1.ac_power", 1.0, Status.UNCERTAIN_LAST_USABLE_VALUE)
    found = plant.read("xw1.ac_power")
    assert found.StatusCode.value == Status.UNCERTAIN_LAST_USABLE_VALUE
    assert found.SourceTimestamp == ticks_to_datetime(START)
    assert found.Value.Value == 1.0


@pytest.mark.parametrize("path", ["xw1.ac_power", "xw1.state", "xw1.state.ValueAsText", "xw1.DeviceHealth"])
def test_before_the_first_answer_there_is_no_value(plant: Plant, path: str) -> None:
    found = plant.read(path)
    assert found.StatusCode.value == Status.BAD_WAITING_FOR_INITIAL_DATA
    assert found.Value.VariantType is ua.VariantType.Null
    assert found.SourceTimestamp is not None


def test_a_bad_sample_has_no_value(plant: Plant) -> None:
    plant.put("xw1.state", 2)
    slot = plant.put("xw1.ac_power", 7.0)
    plant.image.degrade([slot, plant.image.slot("xw1", "state")], Status.BAD_SENSOR_FAILURE, plant.clock.now())
    for path in ("xw1.ac_power", "xw1.state", "xw1.state.ValueAsText"):
        found = plant.read(path)
        assert found.StatusCode.value == Status.BAD_SENSOR_FAILURE
        assert found.Value.VariantType is ua.VariantType.Null


def test_value_as_text_follows_the_value(plant: Plant) -> None:
    plant.put("xw1.state", 2)
    assert plant.value("xw1.state.ValueAsText") == ua.LocalizedText("Standby", "en")
    plant.put("xw1.state", 9)
    assert plant.value("xw1.state.ValueAsText") == ua.LocalizedText("Sell", "en")


def test_a_code_outside_its_table_is_shown_raw_with_its_status(plant: Plant) -> None:
    plant.put("xw1.state", 77, UNCERTAIN)
    found, shown = plant.read("xw1.state"), plant.read("xw1.state.ValueAsText")
    assert (found.Value.Value, found.StatusCode.value) == (77, UNCERTAIN)
    assert (shown.Value.Value.Text, shown.StatusCode.value) == ("77", UNCERTAIN)


def test_a_time_is_a_date_time(plant: Plant) -> None:
    moment = datetime(2026, 2, 3, 4, 5, 6, 7000, tzinfo=UTC)
    plant.put("xw1.since", ticks_from_datetime(moment))
    found = plant.read("xw1.since")
    assert (found.Value.Value, found.Value.VariantType) == (moment, ua.VariantType.DateTime)


@pytest.mark.parametrize("ticks", [0, -1, 2**63 - 1])
def test_a_time_beyond_the_calendar_is_its_edge(plant: Plant, ticks: int) -> None:
    plant.put("xw1.since", ticks)
    assert plant.value("xw1.since").year == (1601 if ticks <= 0 else 9999)


@pytest.mark.parametrize(
    ("point", "value"),
    [
        ("small", 40_000),
        ("state", -1),
        ("faults", 2**32),
        ("float_32", 1e39),
        ("small", float("nan")),
        ("small", float("inf")),
        ("small", "text"),
    ],
)
def test_a_value_that_does_not_fit_its_type_is_bad_and_never_cut(plant: Plant, point: str, value: object) -> None:
    plant.put(f"xw1.{point}", value)
    found = plant.read(f"xw1.{point}")
    assert found.StatusCode.value == Status.BAD_OUT_OF_RANGE
    assert found.Value.VariantType is ua.VariantType.Null


def test_infinity_fits_a_float(plant: Plant) -> None:
    plant.put("xw1.float_32", float("inf"))
    assert plant.value("xw1.float_32") == float("inf")


def test_a_usable_status_without_a_value_is_bad(plant: Plant) -> None:
    plant.put("xw1.ac_power", None)
    assert plant.read("xw1.ac_power").StatusCode.value == Status.BAD_INTERNAL_ERROR


def test_a_type_has_no_value(plant: Plant) -> None:
    for path in ("InverterType.ac_power", "InverterType.state.ValueAsText", "InverterType.DeviceHealth"):
        assert plant.value(model_id(path)) is None
