"""The control desk tells the truth about what became of a command."""

import asyncio
from collections.abc import AsyncIterator, Sequence

import pytest

from address_space.image import ProcessImage
from address_space.model import Batch, CommandResult, Outcome, Status, Value
from drivers.base import (
    AnswerLost,
    DriverError,
    Malformed,
    NoAnswer,
    Priority,
    Rejected,
    Setting,
    Unreachable,
)
from node.begun import Begun
from node.control.desk import ControlDesk
from node.roles import Caller, Role
from tests.fake_clock import FakeClock
from tests.node.control.plant import PROFILE, Plant, inverter

OPERATOR = Caller("olga", Role.OPERATOR)
ENGINEER = Caller("emil", Role.ENGINEER)


class Bench:
    """A desk over one inverter, and the clock by hand."""

    def __init__(self, clock: FakeClock, tasks: asyncio.TaskGroup, control: bool = True) -> None:
        self.clock = clock
        self.plant = Plant(clock)
        device = inverter(control)
        self.image = ProcessImage([device], clock)
        self.desk = ControlDesk(
            self.image, {"xw1": device}, {"xw1": PROFILE}, {"xw1": self.plant}, clock, tasks.create_task
        )

    async def call(
        self,
        command: str,
        *arguments: Value,
        after_s: float = 400,
        caller: Caller = OPERATOR,
        within: float | None = None,
    ) -> CommandResult:
        answer_by = None if within is None else self.clock.monotonic() + within
        call = asyncio.ensure_future(self.desk.call("xw1", command, arguments, caller, answer_by))
        for _ in range(round(after_s / 0.25)):
            if call.done():
                break
            await self.clock.advance(0.25)
        return await call

    async def setting(self, point: str, value: Value, caller: Caller = ENGINEER) -> CommandResult:
        call = asyncio.ensure_future(self.desk.write_setting("xw1", point, value, caller))
        while not call.done():
            await self.clock.advance(0.25)
        return await call

    @property
    def writes(self) -> list[tuple[str, Value]]:
        return [(point, value) for point, value, _ in self.plant.writes]

    def last(self, name: str) -> Value | None:
        return self.image.values[self.image.slot("xw1", f"last_command_{name}")]


@pytest.fixture
async def tasks() -> AsyncIterator[asyncio.TaskGroup]:
    async with asyncio.TaskGroup() as group:
        yield group


@pytest.fixture
def bench(clock: FakeClock, tasks: asyncio.TaskGroup) -> Bench:
    return Bench(clock, tasks)


async def test_an_effect_that_is_seen_is_confirmed(bench: Bench) -> None:
    result = await bench.call("StartSell")
    assert (result.outcome, result.status, result.observed) == (
        Outcome.CONFIRMED,
        Status.GOOD,
        "state=Operating, selling=1",
    )
    assert 1.0 <= result.elapsed_s <= 1.75
    assert bench.writes == [("sell", 1)]


async def test_last_command_shows_what_was_asked_and_what_came_of_it(bench: Bench) -> None:
    asked = bench.clock.now()
    await bench.call("StartSell")
    assert bench.last("name") == "StartSell"
    assert bench.last("outcome") == Outcome.CONFIRMED
    assert bench.last("wanted") == "selling = 1"
    assert bench.last("observed") == "state=Operating, selling=1"
    assert bench.last("user") == "olga"
    assert bench.last("time") == asked
    elapsed = bench.last("elapsed")
    assert isinstance(elapsed, float)
    assert 1000 <= elapsed <= 1750


def test_before_the_first_command_there_is_no_data_about_one(bench: Bench) -> None:
    slot = bench.image.slot("xw1", "last_command_outcome")
    assert bench.image.sample(slot).status == Status.BAD_NO_DATA


async def test_a_write_that_is_acknowledged_and_ignored_is_a_mismatch(bench: Bench) -> None:
    bench.plant.acts = {}
    result = await bench.call("StartSell")
    assert (result.outcome, result.status) == (Outcome.MISMATCH, Status.UNCERTAIN)
    assert result.reason == "written, but not selling = 1 within 20 s"
    assert bench.writes == [("sell", 1)], "a mismatch is not answered by writing again"


async def test_a_slow_effect_is_pending_and_then_confirmed(bench: Bench) -> None:
    bench.plant.acts["sell"] = ("selling", 10.0)
    result = await bench.call("StartSell", within=3.0)
    assert (result.outcome, result.status, result.reason) == (Outcome.UNCONFIRMED, Status.UNCERTAIN, "pending")
    assert 3.0 <= result.elapsed_s <= 3.25
    assert bench.last("reason") == "pending"
    await bench.clock.advance(10)
    assert bench.last("outcome") == Outcome.CONFIRMED


async def test_a_command_whose_effect_is_there_at_once_never_waits(bench: Bench) -> None:
    begun = Begun(bench.desk.call("xw1", "SetAmps", (7.0,), OPERATOR, 100.0))
    assert begun.done
    assert begun.result.outcome is Outcome.CONFIRMED
    assert (bench.writes, bench.plant.reads) == ([("amps", 7.0)], 1)
    assert bench.last("outcome") == Outcome.CONFIRMED
    assert bench.clock.sleeping == 0


async def test_a_deadline_that_was_not_needed_is_forgotten(bench: Bench) -> None:
    assert (await bench.call("StartSell", within=100.0)).outcome is Outcome.CONFIRMED
    assert bench.clock.sleeping == 0


async def test_a_stop_of_the_node_ends_those_who_wait_for_an_answer(bench: Bench) -> None:
    bench.plant.acts = {}
    selling = asyncio.ensure_future(bench.desk.call("xw1", "StartSell", (), OPERATOR, None))
    await bench.clock.advance(1)
    await bench.desk.stop()
    with pytest.raises(asyncio.CancelledError):
        await selling


async def test_a_caller_who_leaves_does_not_stop_a_command(bench: Bench) -> None:
    call = asyncio.ensure_future(bench.desk.call("xw1", "StartSell", (), OPERATOR, 100.0))
    await bench.clock.advance(0.5)
    call.cancel()
    await bench.clock.advance(5)
    assert call.cancelled()
    assert bench.last("outcome") == Outcome.CONFIRMED


async def test_a_device_that_refuses_the_write_fails_with_its_cause(bench: Bench) -> None:
    bench.plant.on_write = lambda _: Rejected("xw1 refused", 4)
    result = await bench.call("StartSell")
    assert (result.outcome, result.status, result.reason) == (Outcome.FAILED, Status.BAD_DEVICE_FAILURE, "xw1 refused")


@pytest.mark.parametrize(
    ("error", "status"), [(Unreachable("no link"), Status.BAD_NO_COMMUNICATION), (NoAnswer("mute"), Status.BAD_TIMEOUT)]
)
async def test_an_unreachable_device_fails_before_anything_is_written(
    bench: Bench, error: DriverError, status: Status
) -> None:
    bench.plant.on_read = lambda: error
    result = await bench.call("StartSell")
    assert (result.outcome, result.status) == (Outcome.FAILED, status)
    assert bench.writes == []


@pytest.mark.parametrize("error", [NoAnswer("mute"), AnswerLost("connection reset"), Malformed("7 bytes of noise")])
async def test_a_write_without_an_answer_that_worked_is_confirmed(bench: Bench, error: DriverError) -> None:
    def lost_answer(setting: Setting) -> DriverError:
        bench.plant.values["selling"] = setting.value
        return error

    bench.plant.on_write = lost_answer
    assert (await bench.call("StartSell")).outcome is Outcome.CONFIRMED


async def test_a_write_without_an_answer_and_effect_fails_by_time_out(bench: Bench) -> None:
    bench.plant.on_write = lambda _: NoAnswer("no answer within 1 s")
    result = await bench.call("StartSell")
    assert (result.outcome, result.status) == (Outcome.FAILED, Status.BAD_TIMEOUT)


async def test_a_device_that_dies_after_the_write_leaves_it_unconfirmed(bench: Bench) -> None:
    def die(_: Setting) -> None:
        bench.plant.on_read = lambda: Unreachable("gone")

    bench.plant.on_write = die
    result = await bench.call("StartSell")
    assert (result.outcome, result.status) == (Outcome.UNCONFIRMED, Status.UNCERTAIN)
    assert result.reason == "written, then not readable: gone"


async def test_a_command_without_a_confirming_point_says_so(bench: Bench) -> None:
    result = await bench.call("Blind")
    assert (result.outcome, result.reason) == (
        Outcome.UNCONFIRMED,
        "written; the profile names nothing that would prove it",
    )


async def test_a_precondition_that_does_not_hold_refuses(bench: Bench) -> None:
    bench.plant.values["state"] = 2
    result = await bench.call("StartSell")
    assert (result.outcome, result.status) == (Outcome.REFUSED, Status.BAD_INVALID_STATE)
    assert result.reason == "needs state = Operating; nothing was written"
    assert bench.writes == []


async def test_an_observer_is_refused(bench: Bench) -> None:
    result = await bench.call("StartSell", caller=Caller("otto", Role.OBSERVER))
    assert (result.outcome, result.status) == (Outcome.REFUSED, Status.BAD_USER_ACCESS_DENIED)
    assert bench.plant.reads == 0
    assert bench.last("outcome") == Outcome.REFUSED
    assert bench.last("user") == "otto"


async def test_without_control_nothing_is_written_or_even_read(clock: FakeClock, tasks: asyncio.TaskGroup) -> None:
    bench = Bench(clock, tasks, control=False)
    admin = Caller("ada", Role.ADMIN)
    result = await bench.call("StartSell", caller=admin)
    assert (result.outcome, result.status) == (Outcome.REFUSED, Status.BAD_NOT_EXECUTABLE)
    assert (await bench.setting("amps", 10.0, admin)).outcome is Outcome.REFUSED
    assert (bench.writes, bench.plant.reads) == ([], 0)


@pytest.mark.parametrize("control", [True, False])
async def test_who_may_not_call_learns_nothing_of_the_arguments(
    clock: FakeClock, tasks: asyncio.TaskGroup, control: bool
) -> None:
    bench = Bench(clock, tasks, control=control)
    caller = Caller("otto", Role.OBSERVER if control else Role.ADMIN)
    for arguments in ((), (1.0, 2.0), ("ten",), (99.0,)):
        result = await bench.call("SetAmps", *arguments, caller=caller)
        status = Status.BAD_USER_ACCESS_DENIED if control else Status.BAD_NOT_EXECUTABLE
        assert (result.status, result.input_results) == (status, ())


@pytest.mark.parametrize(
    ("arguments", "status", "inputs"),
    [
        ((), Status.BAD_ARGUMENTS_MISSING, ()),
        ((1.0, 2.0), Status.BAD_TOO_MANY_ARGUMENTS, ()),
        (("ten",), Status.BAD_INVALID_ARGUMENT, (Status.BAD_TYPE_MISMATCH,)),
        ((None,), Status.BAD_INVALID_ARGUMENT, (Status.BAD_TYPE_MISMATCH,)),
        ((True,), Status.BAD_INVALID_ARGUMENT, (Status.BAD_TYPE_MISMATCH,)),
        ((60.5,), Status.BAD_INVALID_ARGUMENT, (Status.BAD_OUT_OF_RANGE,)),
        ((float("nan"),), Status.BAD_INVALID_ARGUMENT, (Status.BAD_OUT_OF_RANGE,)),
    ],
)
async def test_arguments_are_checked_before_anything_happens(
    bench: Bench, arguments: Sequence[Value | None], status: Status, inputs: tuple[Status, ...]
) -> None:
    result = await bench.call("SetAmps", *arguments)
    assert (result.outcome, result.status, result.input_results) == (Outcome.REFUSED, status, inputs)
    assert (bench.last("outcome"), bench.writes) == (Outcome.REFUSED, [])


async def test_a_command_whose_argument_has_codes_wants_it_too(bench: Bench) -> None:
    result = await bench.call("RunCommand")
    assert (result.outcome, result.status) == (Outcome.REFUSED, Status.BAD_ARGUMENTS_MISSING)
    result = await bench.call("RunCommand", 7)
    assert (result.status, result.input_results) == (Status.BAD_INVALID_ARGUMENT, (Status.BAD_OUT_OF_RANGE,))
    assert bench.writes == []


async def test_an_argument_reaches_the_device(bench: Bench) -> None:
    assert (await bench.call("SetAmps", 12.5)).outcome is Outcome.CONFIRMED
    assert bench.writes == [("amps", 12.5)]


async def test_run_command_hands_over_to_the_command_of_its_code(bench: Bench) -> None:
    assert (await bench.call("RunCommand", 1)).outcome is Outcome.CONFIRMED
    assert bench.writes == [("sell", 1)]
    assert bench.last("wanted") == "selling = 1"


async def test_a_command_of_commands_runs_each_to_its_end(bench: Bench) -> None:
    bench.plant.values["selling"] = 1
    result = await bench.call("Leave")
    assert result.outcome is Outcome.CONFIRMED
    assert bench.writes == [("sell", 0), ("mode", 2)]
    assert bench.plant.values == {"state": 2, "selling": 0, "mode": 3, "sell": 0, "amps": 5.0}


async def test_a_command_of_commands_stops_at_the_first_that_is_not_confirmed(bench: Bench) -> None:
    bench.plant.values["selling"] = 1
    del bench.plant.acts["sell"]
    assert (await bench.call("Leave")).outcome is Outcome.MISMATCH
    assert bench.writes == [("sell", 0)]


async def test_an_emergency_command_goes_first_and_ends_the_waiting_of_others(bench: Bench) -> None:
    bench.plant.acts["sell"] = ("selling", 100.0)
    selling = asyncio.ensure_future(bench.desk.call("xw1", "StartSell", (), OPERATOR, None))
    await bench.clock.advance(2)
    standby = await bench.call("Standby")
    superseded = await selling
    assert standby.outcome is Outcome.CONFIRMED
    assert (superseded.outcome, superseded.reason) == (Outcome.UNCONFIRMED, "superseded by Standby")
    assert bench.plant.writes[-1] == ("mode", 2, Priority.EMERGENCY)


async def test_commands_that_do_not_contradict_go_on_side_by_side(bench: Bench) -> None:
    bench.plant.acts["sell"] = ("selling", 8.0)
    selling = asyncio.ensure_future(bench.desk.call("xw1", "StartSell", (), OPERATOR, None))
    await bench.clock.advance(1)
    assert (await bench.call("SetAmps", 7.0)).outcome is Outcome.CONFIRMED
    await bench.clock.advance(8)
    assert (await selling).outcome is Outcome.CONFIRMED


async def test_a_standing_command_is_rewritten_until_its_end_command(bench: Bench) -> None:
    assert (await bench.call("Hold")).outcome is Outcome.CONFIRMED
    await bench.clock.advance(9)
    rewritten = [priority for *_, priority in bench.plant.writes].count(Priority.KEEP_ALIVE)
    assert 4 <= rewritten <= 6
    await bench.call("StopSell")
    sent = len(bench.writes)
    assert bench.writes[-2:] == [("sell", 0), ("sell", 0)], "the farewell, then the command"
    await bench.clock.advance(20)
    assert len(bench.writes) == sent


async def test_a_standing_command_ends_when_the_device_shows_it(bench: Bench) -> None:
    await bench.call("Hold")
    bench.image.publish(Batch([bench.image.slot("xw1", "state")], [2], [0], bench.clock.now() + 1))
    await bench.clock.advance(3)
    sent = len(bench.writes)
    assert bench.writes[-1] == ("sell", 0)
    await bench.clock.advance(20)
    assert len(bench.writes) == sent


async def test_a_standing_command_that_is_not_confirmed_lets_go(bench: Bench) -> None:
    bench.plant.acts = {}
    assert (await bench.call("Hold")).outcome is Outcome.MISMATCH
    assert bench.writes[-1] == ("sell", 0)
    sent = len(bench.writes)
    await bench.clock.advance(20)
    assert len(bench.writes) == sent


async def test_a_standing_command_is_given_up_when_the_device_is_lost(
    bench: Bench, caplog: pytest.LogCaptureFixture
) -> None:
    await bench.call("Hold")
    bench.plant.on_write = lambda _: Unreachable("gone")
    await bench.clock.advance(60)
    sent = len(bench.writes)
    bench.plant.on_write = lambda _: None
    await bench.clock.advance(60)
    assert len(bench.writes) == sent, "it is not started again behind the operator's back"
    assert "is given up: gone" in caplog.text


async def test_a_stop_of_the_node_writes_the_farewell(bench: Bench) -> None:
    await bench.call("Hold")
    await bench.desk.stop()
    assert bench.writes[-1] == ("sell", 0)


async def test_a_setting_is_written_and_read_back(bench: Bench) -> None:
    result = await bench.setting("amps", 20.0)
    assert (result.outcome, bench.writes) == (Outcome.CONFIRMED, [("amps", 20.0)])
    assert bench.last("name") == "write amps"
    assert bench.last("wanted") == "amps = 20 A"


async def test_a_setting_that_the_device_has_already_is_not_written(bench: Bench) -> None:
    result = await bench.setting("amps", 5.01)
    assert (result.outcome, result.reason) == (Outcome.CONFIRMED, "the device has this value already")
    assert bench.writes == []


@pytest.mark.parametrize(
    ("point", "value", "caller", "status"),
    [
        ("amps", 60.1, ENGINEER, Status.BAD_OUT_OF_RANGE),
        ("amps", "20", ENGINEER, Status.BAD_TYPE_MISMATCH),
        ("amps", 20.0, OPERATOR, Status.BAD_USER_ACCESS_DENIED),
        ("state", 2, ENGINEER, Status.BAD_NOT_WRITABLE),
    ],
)
async def test_a_setting_is_refused(bench: Bench, point: str, value: Value, caller: Caller, status: Status) -> None:
    result = await bench.setting(point, value, caller)
    assert (result.outcome, result.status) == (Outcome.REFUSED, status)
    assert (bench.writes, bench.plant.reads) == ([], 0)


async def test_a_setting_that_the_device_ignores_is_a_mismatch(bench: Bench) -> None:
    bench.plant.ignores.add("amps")
    result = await bench.setting("amps", 20.0)
    assert (result.outcome, bench.writes) == (Outcome.MISMATCH, [("amps", 20.0)])
    assert result.reason == "written, but the device shows something else after 5 s"


async def test_a_setting_that_cannot_be_read_is_written_and_left_unconfirmed(bench: Bench) -> None:
    result = await bench.setting("trigger", 1)
    assert (result.outcome, result.reason) == (Outcome.UNCONFIRMED, "written; the device does not let it be read back")
    await bench.setting("trigger", 1)
    assert (bench.writes, bench.plant.reads) == ([("trigger", 1), ("trigger", 1)], 0)


async def test_an_emergency_does_not_wait_for_the_read_back_of_a_setting(bench: Bench) -> None:
    bench.plant.ignores.add("amps")
    setting = asyncio.ensure_future(bench.desk.write_setting("xw1", "amps", 20.0, ENGINEER))
    await bench.clock.advance(0.5)
    asked = bench.clock.monotonic()
    assert (await bench.call("Standby")).outcome is Outcome.CONFIRMED
    assert bench.plant.times[-1] == asked, "written at once"
    assert (await setting).reason == "superseded by Standby"


async def test_an_emergency_does_not_wait_for_the_precondition_of_a_command(bench: Bench) -> None:
    bench.plant.slow_reads_s = 9.0
    selling = asyncio.ensure_future(bench.desk.call("xw1", "StartSell", (), OPERATOR, None))
    await bench.clock.advance(0.5)
    bench.plant.slow_reads_s = 0.0
    asked = bench.clock.monotonic()
    assert (await bench.call("Standby")).outcome is Outcome.CONFIRMED
    assert bench.plant.times == [asked]
    assert (await selling).status == Status.BAD_REQUEST_NOT_ALLOWED
    assert bench.writes == [("mode", 2)]


async def test_what_the_site_does_not_have_is_a_key_error(bench: Bench) -> None:
    with pytest.raises(KeyError):
        await bench.desk.call("xw2", "Standby", (), OPERATOR, None)
    with pytest.raises(KeyError, match="xw1 has no command Fly"):
        await bench.desk.call("xw1", "Fly", (), OPERATOR, None)
