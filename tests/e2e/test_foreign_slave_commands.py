"""The node over a Modbus slave that is not ours: what commands and settings make an XW do, and what is said of it."""

import asyncio
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
import pytest_asyncio

from address_space.model import Outcome, Status
from tests.e2e.running import until
from tests.e2e.slave import IGNORE, Slave, late, reject
from tests.e2e.xw_facts import (
    COMMANDS,
    DEVICE_STATE_NOT_AVAILABLE,
    NEVER_WRITTEN,
    NOT_OPERATING,
    OPERATING,
    REST,
    RUN_COMMAND,
    SET_LOAD_SHAVE,
    SETTING_WRITES,
    STANDBY,
    START_CHARGE,
    START_SELL,
    STOP_SELL_TO_STANDBY,
    CommandFact,
    Effect,
    Row,
    unexpected,
)
from tests.e2e.xw_node import SPOTS, TIMEOUT_S, XwNode, xw_node
from tests.e2e.xw_points import POINTS
from tests.e2e.xw_stage import stage

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

BUSES = ("insight", "combox", "line")
LATER_S = 4.0  # later than the site's answer_within (3 s)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def node(tmp_path_factory: pytest.TempPathFactory, slave_program: Path) -> AsyncIterator[XwNode]:
    async with xw_node(tmp_path_factory.mktemp("xw"), slave_program) as node:
        yield node
        written = [write.address for slave in node.slaves.values() for write in slave.writes()]
        assert NEVER_WRITTEN not in written


def named(facts: tuple[CommandFact, ...]) -> list[object]:
    return [pytest.param(fact, id=fact.name) for fact in facts]


def fault_of(node: XwNode, device: str, since: int, fact: CommandFact) -> str | None:
    return unexpected(fact, SPOTS[device].gateway, node.writes(device, since))


async def staged(node: XwNode, device: str, fact: CommandFact, after_s: float = 0.0) -> int:
    """The device before the command, obeying it after a while; returns how many writes it has had so far."""
    since = await node.fresh(device)
    await stage(node.slave(device), SPOTS[device].unit, fact, after_s)
    return since


# --- commands that work ---------------------------------------------------------------------------------------------


async def check_confirmed(node: XwNode, device: str, fact: CommandFact, command: str, *inputs: bool | float) -> None:
    since = await staged(node, device, fact)
    answer = await node.call(device, command, *inputs)
    assert (answer.status, answer.outcome) == (Status.GOOD, Outcome.CONFIRMED), answer
    assert fault_of(node, device, since, fact) is None
    assert answer.elapsed_ms > 0
    last = await node.last_command(device)
    assert (last["name"], last["outcome"], last["user"]) == (command, Outcome.CONFIRMED, "olga")
    assert last["observed"] == answer.observed != ""
    assert last["wanted"] != ""


@pytest.mark.parametrize("fact", named(COMMANDS))
@pytest.mark.parametrize("bus", BUSES)
async def test_a_command_gives_the_writes_of_the_document_and_is_confirmed(
    node: XwNode, bus: str, fact: CommandFact
) -> None:
    await check_confirmed(node, f"{bus}_control", fact, fact.name, *fact.inputs)


@pytest.mark.parametrize("code", RUN_COMMAND)
@pytest.mark.parametrize("bus", ["insight", "combox"])
async def test_a_command_by_number_is_the_named_one(node: XwNode, bus: str, code: int) -> None:
    await check_confirmed(node, f"{bus}_control", RUN_COMMAND[code], "RunCommand", code)


OPTIONAL = tuple(
    replace(fact, writes=tuple(replace(wire, optional=False) for wire in fact.writes))
    for fact in (START_CHARGE, START_SELL, STOP_SELL_TO_STANDBY)
)


@pytest.mark.parametrize("fact", named(OPTIONAL))
@pytest.mark.parametrize("bus", ["insight", "combox"])
async def test_options_of_the_site_add_their_writes(node: XwNode, bus: str, fact: CommandFact) -> None:
    await check_confirmed(node, f"{bus}_options", fact, fact.name)


async def test_rest_does_not_go_to_standby_even_where_stopping_to_sell_does(node: XwNode) -> None:
    await check_confirmed(node, "insight_options", REST, "Rest")


@pytest.mark.parametrize("fact", named((START_CHARGE, START_SELL, SET_LOAD_SHAVE)))
async def test_without_its_option_nothing_optional_is_written(node: XwNode, fact: CommandFact) -> None:
    bare = replace(fact, writes=tuple(wire for wire in fact.writes if not wire.optional))
    await check_confirmed(node, "insight_control", bare, fact.name, *fact.inputs)


# --- commands that do not, or not at once -----------------------------------------------------------------------------


IGNORED = [("insight", fact) for fact in COMMANDS] + [("combox", fact) for fact in (STANDBY, SET_LOAD_SHAVE)]


@pytest.mark.parametrize(("bus", "fact"), [pytest.param(*one, id=f"{one[0]}-{one[1].name}") for one in IGNORED])
async def test_ignored_writes_are_a_mismatch_and_not_repeated(node: XwNode, bus: str, fact: CommandFact) -> None:
    device = f"{bus}_hasty"
    since = await staged(node, device, fact)
    for wire in fact.writes:
        for address in range(wire.address, wire.address + len(wire.insight)):
            await node.slave(device).behaviour(SPOTS[device].unit, address, IGNORE)
    answer = await node.call(device, fact.name, *fact.inputs)
    assert (answer.status, answer.outcome) == (Status.UNCERTAIN, Outcome.MISMATCH), answer
    assert "written, but not" in answer.reason
    assert fault_of(node, device, since, fact) is None
    assert (await node.last_command(device))["outcome"] == Outcome.MISMATCH


HALVES = [
    pytest.param(fact, effect, id=f"{fact.name}-{effect.status_address:04X}")
    for fact in (OPERATING, START_CHARGE, START_SELL)
    for effect in fact.effects
]


@pytest.mark.parametrize(("fact", "effect"), HALVES)
async def test_half_of_the_proof_is_none(node: XwNode, fact: CommandFact, effect: Effect) -> None:
    since = await staged(node, "insight_hasty", replace(fact, effects=(effect,)))
    answer = await node.call("insight_hasty", fact.name)
    assert (answer.status, answer.outcome) == (Status.UNCERTAIN, Outcome.MISMATCH), answer
    assert fault_of(node, "insight_hasty", since, fact) is None


async def check_late(node: XwNode, device: str, fact: CommandFact) -> None:
    since = await staged(node, device, fact, after_s=LATER_S)
    answer = await node.call(device, fact.name)
    assert (answer.status, answer.outcome, answer.reason) == (Status.UNCERTAIN, Outcome.UNCONFIRMED, "pending")
    assert (await node.last_command(device))["reason"] == "pending"
    await node.until_outcome(device, Outcome.CONFIRMED)
    last = await node.last_command(device)
    assert (last["name"], last["outcome"], last["reason"]) == (fact.name, Outcome.CONFIRMED, "confirmed")
    assert last["elapsed"] >= LATER_S * 1000 - 1
    assert fault_of(node, device, since, fact) is None


async def test_a_late_effect_is_pending_first_and_confirmed_then(node: XwNode) -> None:
    await asyncio.gather(
        check_late(node, "insight_control", STANDBY),
        check_late(node, "combox_control", START_SELL),
        check_late(node, "line_control", START_CHARGE),
    )


async def test_a_write_that_takes_effect_soon_is_confirmed_in_the_call(node: XwNode) -> None:
    since = await staged(node, "combox_control", STANDBY)
    await node.slave("combox").behaviour(SPOTS["combox_control"].unit, 0x0166, late(0.6))
    answer = await node.call("combox_control", "Standby")
    assert (answer.status, answer.outcome) == (Status.GOOD, Outcome.CONFIRMED)
    assert answer.elapsed_ms >= 500
    assert fault_of(node, "combox_control", since, STANDBY) is None


@pytest.mark.parametrize("exception", [3, 4])
async def test_a_refused_write_fails_the_command_and_ends_it(node: XwNode, exception: int) -> None:
    device = "insight_options"
    since = await staged(node, device, START_CHARGE)
    await node.slave(device).behaviour(SPOTS[device].unit, 0x0164, reject(exception))
    answer = await node.call(device, "StartCharge")
    assert answer.status == Status.BAD_DEVICE_FAILURE
    last = await node.last_command(device)
    assert last["outcome"] == Outcome.FAILED
    assert f"exception {exception} " in last["reason"]
    assert node.writes(device, since) == [(6, 0x0162, (0,)), (6, 0x0164, (1,))]


@pytest.mark.parametrize("call", [("StartCharge",), ("StartSell",), ("RunCommand", 3), ("RunCommand", 5)], ids=str)
async def test_a_device_that_does_not_operate_is_not_written_to(node: XwNode, call: tuple[str, *tuple[int]]) -> None:
    device = "combox_control"
    since = await node.fresh(device)
    for address, words in NOT_OPERATING.items():
        await node.slave(device).set(SPOTS[device].unit, address, *words)
    assert (await node.call(device, *call)).status == Status.BAD_INVALID_STATE
    last = await node.last_command(device)
    assert (last["name"], last["outcome"]) == (call[0], Outcome.REFUSED)
    assert node.writes(device, since) == []


async def test_amps_outside_their_range_are_not_written(node: XwNode) -> None:
    since = await node.fresh("insight_control")
    answer = await node.call("insight_control", "SetLoadShave", True, 60.1)
    assert answer.status == Status.BAD_INVALID_ARGUMENT
    assert (await node.last_command("insight_control"))["outcome"] == Outcome.REFUSED
    assert node.writes("insight_control", since) == []


@pytest.mark.parametrize("device", BUSES)
async def test_a_device_without_control_is_never_written_to(node: XwNode, device: str) -> None:
    assert (await node.call(device, "Standby")).status == Status.BAD_NOT_EXECUTABLE
    assert await node.write(node.engineer, device, "max_charge_rate", 65) != Status.GOOD
    assert node.writes(device) == []


async def test_an_inverter_that_its_gateway_lost_is_not_written_to(node: XwNode) -> None:
    assert (await node.call("away", "Standby")).status == Status.BAD_NO_COMMUNICATION
    assert node.writes("away") == []


# --- a slave that dies ------------------------------------------------------------------------------------------------


@asynccontextmanager
async def dying(node: XwNode, fact: CommandFact | None = None) -> AsyncIterator[tuple[Slave, int]]:
    """The mortal slave, well and polled, and how many writes it has had; afterwards it is well again."""
    slave = node.slave("mortal")
    await node.until_polled("mortal")
    since = await (node.fresh("mortal") if fact is None else staged(node, "mortal", fact))
    try:
        yield slave, since
    finally:
        await slave.up()
        await slave.answer(SPOTS["mortal"].unit, "normal")
        await node.until_polled("mortal")


async def test_a_slave_that_is_dead_before_the_write_fails_the_command(node: XwNode) -> None:
    async with dying(node, STANDBY) as (slave, since):
        await slave.down()
        answer = await node.call("mortal", "Standby")
        assert answer.status in (Status.BAD_NO_COMMUNICATION, Status.BAD_TIMEOUT)
        last = await node.last_command("mortal")
        assert (last["name"], last["outcome"]) == ("Standby", Outcome.FAILED)
        assert node.writes("mortal", since) == []


async def test_a_slave_that_no_longer_answers_fails_the_command(node: XwNode) -> None:
    async with dying(node, STANDBY) as (slave, since):
        await slave.answer(SPOTS["mortal"].unit, "silent")
        answer = await node.call("mortal", "Standby")
        assert answer.status in (Status.BAD_NO_COMMUNICATION, Status.BAD_TIMEOUT)
        assert (await node.last_command("mortal"))["outcome"] == Outcome.FAILED
        # It is not sent again: a slave that is only deaf on the way back would obey twice.
        assert len(node.writes("mortal", since)) <= 1


async def test_a_precondition_that_nobody_answers_fails_the_command_unwritten(node: XwNode) -> None:
    async with dying(node, START_CHARGE) as (slave, since):
        await slave.answer(SPOTS["mortal"].unit, "silent")
        answer = await node.call("mortal", "StartCharge")
        assert answer.status in (Status.BAD_NO_COMMUNICATION, Status.BAD_TIMEOUT)
        assert (await node.last_command("mortal"))["outcome"] == Outcome.FAILED
        assert node.writes("mortal", since) == []


async def test_a_slave_that_dies_after_the_write_leaves_the_command_unconfirmed(node: XwNode) -> None:
    async with dying(node, replace(STANDBY, effects=())) as (slave, since):
        call = asyncio.create_task(node.call("mortal", "Standby"))
        written = await slave.until_writes(len(slave.writes()) + 1)
        # The node asks for the proof only after the write was acknowledged.
        while not [read for read in slave.reads() if read.monotonic_s > written[-1].monotonic_s]:
            await slave.until_reads(len(slave.reads()) + 1)
        await slave.down()
        answer = await call
        assert (answer.status, answer.outcome) == (Status.UNCERTAIN, Outcome.UNCONFIRMED), answer
        assert "not readable" in answer.reason
        assert fault_of(node, "mortal", since, STANDBY) is None
        assert (await node.last_command("mortal"))["outcome"] == Outcome.UNCONFIRMED


async def test_a_lost_acknowledgement_is_no_failure_when_the_effect_shows(node: XwNode) -> None:
    async with dying(node, STANDBY) as (slave, since):
        await slave.answer(SPOTS["mortal"].unit, "mute")
        call = asyncio.create_task(node.call("mortal", "Standby"))
        await slave.until_writes(len(slave.writes()) + 1)
        await slave.answer(SPOTS["mortal"].unit, "normal")
        answer = await call
        assert (answer.status, answer.outcome) == (Status.GOOD, Outcome.CONFIRMED), answer
        assert answer.elapsed_ms >= TIMEOUT_S * 1000 - 1
        assert fault_of(node, "mortal", since, STANDBY) is None


async def test_a_slave_that_dies_between_write_and_acknowledgement_is_no_failure(node: XwNode) -> None:
    async with dying(node, STANDBY) as (slave, since):
        await slave.answer(SPOTS["mortal"].unit, "mute")
        call = asyncio.create_task(node.call("mortal", "Standby"))
        await slave.until_writes(len(slave.writes()) + 1)
        await slave.down()
        await slave.answer(SPOTS["mortal"].unit, "normal")
        await slave.up()
        answer = await call
        assert fault_of(node, "mortal", since, STANDBY) is None
        assert answer.outcome in (Outcome.CONFIRMED, Outcome.UNCONFIRMED), await node.last_command("mortal")


async def test_an_inverter_whose_state_is_not_available_is_still_one(node: XwNode) -> None:
    async with dying(node) as (slave, _):
        await slave.set(SPOTS["mortal"].unit, 0x0040, DEVICE_STATE_NOT_AVAILABLE)
        await slave.down()
        await until(node.app, "mortal.connection", 3)
        await slave.up()
        try:
            await node.until_polled("mortal", 3.0)
        finally:
            await slave.set(SPOTS["mortal"].unit, 0x0040, 3)


async def test_a_slave_that_is_back_takes_commands_again(node: XwNode) -> None:
    async with dying(node) as (slave, _):
        await slave.down()
        await until(node.app, "mortal.connection", 3)
    await check_confirmed(node, "mortal", STANDBY, "Standby")


# --- settings ---------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize(("row", "function"), [pytest.param(*one, id=one[0].id) for one in SETTING_WRITES])
@pytest.mark.parametrize("bus", BUSES)
async def test_a_setting_is_written_as_the_document_says_and_only_when_it_differs(
    node: XwNode, bus: str, row: Row, function: int
) -> None:
    device, point = f"{bus}_control", POINTS[row.address]
    since = await node.fresh(device)
    frame = (function, row.address, row.words(SPOTS[device].gateway))
    assert isinstance(row.value, int | float)
    for _ in range(2):
        assert await node.write(node.engineer, device, point, row.value) == Status.GOOD
        assert node.writes(device, since) == [frame]
        last = await node.last_command(device)
        assert (last["name"], last["outcome"], last["user"]) == (f"write {point}", Outcome.CONFIRMED, "emil")
    (data,) = await node.read(f"{device}.{point}")
    assert data.Value is not None
    assert data.Value.Value == pytest.approx(row.value)


@pytest.mark.parametrize(
    ("point", "value"),
    [("max_charge_rate", 101), ("low_battery_cut_out", 10.0), ("max_sell_current", 30.5), ("operating_mode", 7)],
)
async def test_a_setting_outside_its_range_is_refused_unwritten(node: XwNode, point: str, value: float) -> None:
    since = await node.fresh("insight_control")
    assert await node.write(node.engineer, "insight_control", point, value) == Status.BAD_OUT_OF_RANGE
    assert (await node.last_command("insight_control"))["outcome"] == Outcome.REFUSED
    assert node.writes("insight_control", since) == []


async def test_an_operator_writes_no_settings(node: XwNode) -> None:
    since = await node.fresh("insight_control")
    status = await node.write(node.operator, "insight_control", "max_charge_rate", 65)
    assert status == Status.BAD_USER_ACCESS_DENIED
    assert node.writes("insight_control", since) == []


async def test_a_setting_that_the_device_ignores_is_a_mismatch(node: XwNode) -> None:
    since = await node.fresh("insight_hasty")
    for address in (0x017C, 0x017D):
        await node.slave("insight_hasty").behaviour(SPOTS["insight_hasty"].unit, address, IGNORE)
    assert await node.write(node.engineer, "insight_hasty", "low_battery_cut_out", 47.25) == Status.UNCERTAIN
    assert (await node.last_command("insight_hasty"))["outcome"] == Outcome.MISMATCH
    assert node.writes("insight_hasty", since) == [(16, 0x017C, (0x0000, 0xB892))]


async def test_a_setting_that_the_device_takes_late_is_confirmed(node: XwNode) -> None:
    since = await node.fresh("combox_control")
    await node.slave("combox").behaviour(SPOTS["combox_control"].unit, 0x016F, late(0.5))
    assert await node.write(node.engineer, "combox_control", "max_charge_rate", 65) == Status.GOOD
    assert node.writes("combox_control", since) == [(6, 0x016F, (65,))]


async def test_a_setting_that_the_device_refuses_fails(node: XwNode) -> None:
    since = await node.fresh("combox_control")
    await node.slave("combox").behaviour(SPOTS["combox_control"].unit, 0x016F, reject(3))
    assert await node.write(node.engineer, "combox_control", "max_charge_rate", 65) == Status.BAD_DEVICE_FAILURE
    assert (await node.last_command("combox_control"))["outcome"] == Outcome.FAILED
    assert node.writes("combox_control", since) == [(6, 0x016F, (65,))]


async def test_the_reset_of_the_device_cannot_be_reached(node: XwNode) -> None:
    children = await node.operator.get_node("ns=4;s=insight_control.ParameterSet").get_children()
    names = [str(child.nodeid.Identifier) for child in children]
    assert [name for name in names if re.search("reset|reboot", name)] == []
