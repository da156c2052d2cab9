"""The node over a Modbus slave that is not ours: every value of an XW, with its unit, status and source time."""

import time
from collections.abc import AsyncIterator, Mapping
from datetime import UTC, datetime
from pathlib import Path

import pytest
import pytest_asyncio
from asyncua import ua

from address_space.model import Status
from tests.e2e.running import until, until_good
from tests.e2e.slave import ReadRequest
from tests.e2e.xw_facts import (
    ACTIVE_TIME,
    BATTERY_BELOW_ZERO,
    CHARGER_STATES,
    DEVICE_STATE_NOT_AVAILABLE,
    DEVICE_STATES,
    INVERTER_STATE_OUTSIDE_TABLE,
    INVERTER_STATES,
    NEVER_WRITTEN,
    NO_VALUE,
    READ_ROWS,
    SETTINGS,
    TRANSFER_SWITCH,
    Row,
)
from tests.e2e.xw_node import SPOTS, XwNode, xw_node
from tests.e2e.xw_points import POINTS, plain

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

READERS = ("insight", "combox", "line")
# UNECE unit ids (OPC 10000-8, the published list of UNECE codes) and display names of the units of the facts.
UNITS = {
    "V": (5655636, "V"),
    "A": (4279632, "A"),
    "W": (5723220, "W"),
    "VA": (4469814, "V·A"),
    "Hz": (4740186, "Hz"),
    "degC": (4408652, "°C"),
    "%": (20529, "%"),
    "s": (5457219, "s"),
    "kWh": (4937544, "kW·h"),
    "Ah": (4279624, "A·h"),
}


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory, slave_program: Path) -> AsyncIterator[XwNode]:
    async with xw_node(tmp_path_factory.mktemp("xw"), slave_program) as node:
        yield node
        written = [write.address for slave in node.slaves.values() for write in slave.writes()]
        assert NEVER_WRITTEN not in written


def monotonic_s(moment: datetime) -> float:
    """A time stamp of the node on the clock of the slaves' records."""
    aware = moment if moment.tzinfo else moment.replace(tzinfo=UTC)
    return aware.timestamp() - time.time() + time.monotonic()


def shown(data: ua.DataValue) -> object:
    """Value of a sample; None for one that has none."""
    return None if data.Value is None else data.Value.Value


# --- what is read ---------------------------------------------------------------------------------------------------


async def test_nothing_is_written_by_starting_and_polling(node: XwNode) -> None:
    assert node.written_at_start == []


def by_points(rows: tuple[Row, ...], device: str) -> list[tuple[Row, str]]:
    return [(row, f"{device}.{POINTS[row.address]}") for row in rows]


ROWS = (*READ_ROWS, *ACTIVE_TIME, *SETTINGS)


@pytest.mark.parametrize("device", READERS)
async def test_every_register_is_a_good_value(node: XwNode, device: str) -> None:
    rows = by_points(ROWS, device)
    values = await node.read(*(path for _, path in rows))
    wrong = {}
    for (row, path), data in zip(rows, values, strict=True):
        wanted = row.value if isinstance(row.value, str) else pytest.approx(row.value, abs=1e-9)
        if data.StatusCode is None or data.StatusCode.value != Status.GOOD or shown(data) != wanted:
            wrong[path] = (shown(data), data.StatusCode, row.value)
    assert not wrong


@pytest.mark.parametrize("device", READERS)
async def test_every_unit_is_that_of_the_document(node: XwNode, device: str) -> None:
    rows = by_points((*READ_ROWS, *SETTINGS), device)
    units = await node.properties("EngineeringUnits", *(path for _, path in rows))
    seen = {path: unit and (unit.UnitId, unit.DisplayName.Text) for (_, path), unit in zip(rows, units, strict=True)}
    assert seen == {path: row.unit and UNITS[row.unit] for row, path in rows}


@pytest.mark.parametrize("device", READERS)
async def test_every_code_has_the_text_of_the_document(node: XwNode, device: str) -> None:
    rows = [(row, path) for row, path in by_points((*READ_ROWS, *SETTINGS), device) if row.text is not None]
    texts = await node.properties("ValueAsText", *(path for _, path in rows))
    seen = {path: text and plain(text.Text) for (_, path), text in zip(rows, texts, strict=True)}
    assert seen == {path: plain(row.text or "") for row, path in rows}


@pytest.mark.parametrize(
    ("address", "table"),
    [(0x0040, DEVICE_STATES), (0x007A, INVERTER_STATES), (0x007B, CHARGER_STATES), (0x00C0, TRANSFER_SWITCH)],
)
async def test_tables_of_codes_are_those_of_the_document(node: XwNode, address: int, table: Mapping[int, str]) -> None:
    (members,) = await node.properties("EnumValues", f"insight.{POINTS[address]}")
    texts = {member.Value: plain(member.DisplayName.Text) for member in members}
    assert texts == {code: plain(text) for code, text in table.items()}


@pytest.mark.parametrize("device", READERS)
async def test_a_source_time_is_that_of_the_answer_with_the_value(node: XwNode, device: str) -> None:
    rows = by_points(ROWS, device)
    values = await node.read(*(path for _, path in rows))
    reads = node.slave(device).reads(SPOTS[device].unit)
    ended_s = time.monotonic()
    by_request: dict[ReadRequest, set[datetime]] = {}
    for (row, path), data in zip(rows, values, strict=True):
        assert data.SourceTimestamp is not None, path
        taken_s = monotonic_s(data.SourceTimestamp)
        assert node.began_s - 0.001 <= taken_s <= ended_s + 0.001, path
        # Both clocks count whole ms. The next request to this unit comes at least its pause of 10 ms later.
        asked = [read for read in reads if read.monotonic_s <= taken_s + 0.002][-1]
        assert asked.address <= row.address < asked.address + asked.count, path
        assert row.address + len(row.insight) <= asked.address + asked.count, path
        by_request.setdefault(asked, set()).add(data.SourceTimestamp)
    assert all(len(times) == 1 for times in by_request.values())
    assert len(by_request) > 1


@pytest.mark.parametrize("device", READERS)
async def test_holes_of_the_map_make_no_point_bad(node: XwNode, device: str) -> None:
    (rejections,) = await node.read(f"{device}.rejections")
    assert rejections.Value is not None
    assert rejections.Value.Value == 0
    children = await node.operator.get_node(f"ns=4;s={device}.ParameterSet").get_children()
    paths = [str(child.nodeid.Identifier) for child in children]
    values = await node.read(*paths)
    bad = {
        path
        for path, data in zip(paths, values, strict=True)
        if data.StatusCode is not None and not data.StatusCode.is_good() and "last_command" not in path
    }
    # It is a trigger of which no read is documented.
    assert bad == {f"{device}.force_charger_state"}
    (trigger,) = await node.read(f"{device}.force_charger_state")
    assert trigger.StatusCode is not None
    assert trigger.StatusCode.value == Status.BAD_NOT_READABLE


async def test_states_of_the_class_follow_the_codes(node: XwNode) -> None:
    texts = await node.properties("ValueAsText", "insight.state", "insight.charge_state")
    assert [text.Text for text in texts] == ["Bypass", "Off"]


async def test_a_temperature_below_zero_is_one(node: XwNode) -> None:
    (data,) = await node.read("odd.battery_temperature")
    assert data.Value is not None
    assert data.Value.Value == pytest.approx(BATTERY_BELOW_ZERO.value)


async def test_a_code_outside_its_table_is_shown_raw_and_uncertain(node: XwNode) -> None:
    for data in await node.read("odd.inverter_status", "odd.state"):
        assert data.Value is not None
        assert data.StatusCode is not None
        assert (data.Value.Value, data.StatusCode.value) == (INVERTER_STATE_OUTSIDE_TABLE.value, Status.UNCERTAIN)


async def test_words_that_mean_no_value_are_bad_and_never_a_number(node: XwNode) -> None:
    assert NO_VALUE[0] == (0x0040, (DEVICE_STATE_NOT_AVAILABLE,))
    before = {address: node.ticks(f"gone.{POINTS[address]}") for address, _ in NO_VALUE}
    for address, words in NO_VALUE:
        await node.slave("gone").set(SPOTS["gone"].unit, address, *words)
    for address, _ in NO_VALUE:
        path = f"gone.{POINTS[address]}"
        await until(node.app, path, None)
        (data,) = await node.read(path)
        assert data.StatusCode is not None
        assert (data.StatusCode.value, shown(data)) == (Status.BAD_SENSOR_FAILURE, None)
        assert node.ticks(path) > before[address]
    (data,) = await node.read("gone.dc_voltage")
    assert data.StatusCode is not None
    assert data.StatusCode.is_good()


async def test_an_inverter_that_its_gateway_lost_has_no_values(node: XwNode) -> None:
    slave, unit, volts = node.slave("lost"), SPOTS["lost"].unit, "lost.dc_voltage"
    await until(node.app, "lost.present", False)
    present, never = await node.read("lost.present", volts)
    assert present.StatusCode is not None
    assert present.StatusCode.is_good()
    assert never.StatusCode is not None
    assert (never.StatusCode.value, shown(never)) == (Status.BAD_NO_COMMUNICATION, None)
    assert (await node.call("lost", "StartCharge")).status == Status.BAD_NO_COMMUNICATION
    assert node.writes("lost") == []

    await slave.set(unit, 0x0041, 1)
    await until_good(node.app, volts)
    await slave.set(unit, 0x0041, 0)
    await until(node.app, "lost.present", False)
    await slave.set(unit, 0x0050, 0x0000, 0xEA60)
    await until(node.app, "lost.connection", 3)
    for path in (volts, "lost.nominal_battery_voltage"):
        (gone,) = await node.read(path)
        assert gone.StatusCode is not None
        assert (gone.StatusCode.value, shown(gone)) == (Status.BAD_NO_COMMUNICATION, None)

    await slave.set(unit, 0x0041, 1)
    assert (await until_good(node.app, volts)).value == pytest.approx(60.0)
    await node.until_polled("lost")
