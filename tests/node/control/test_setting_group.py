"""Several settings of one device in one request: few round trips, and a result for each that is true."""

import asyncio
import dataclasses
from collections.abc import AsyncIterator, Mapping, Sequence

import pytest

from address_space.image import ProcessImage
from address_space.model import (
    CommandResult,
    DataType,
    Device,
    DeviceClass,
    Outcome,
    Point,
    PointKind,
    Range,
    Sample,
    Status,
    Value,
    device_model,
)
from address_space.system import SYSTEM_POINTS
from drivers.base import DriverError, NoAnswer, Priority, Rejected, Setting, Unreachable
from drivers.spec import SettingSpec
from node.begun import Begun
from node.control.desk import ControlDesk
from node.control.setting_results import SettingResults
from node.roles import Caller, Role
from tests.fake_clock import FakeClock
from tests.node.control.plant import PROFILE

ENGINEER = Caller("eve", Role.ENGINEER)
NAMES = ("a", "b", "c", "d")
POINTS = tuple(
    Point(name, name, "", DataType.DOUBLE, PointKind.ANALOG, unit="A", range=Range(0, 60), writable=True)
    for name in NAMES
)
MODEL = device_model("test.device", DeviceClass.INVERTER, (*POINTS, *SYSTEM_POINTS))
SPECS = {name: SettingSpec(name, Range(0, 60), 0.05, 2.0, persistent=True) for name in NAMES}


class Memory:
    """A device that keeps what it is told, unless a test says otherwise; the order of what it was asked."""

    def __init__(self, clock: FakeClock) -> None:
        self.clock = clock
        self.values: dict[str, Value] = dict.fromkeys(NAMES, 1.0)
        self.asked: list[str] = []
        self.rejects: set[str] = set()
        self.ignores: set[str] = set()
        self.unreadable: set[str] = set()
        self.loses_answer = False
        self.down = False
        self.status = Status.GOOD

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        self.asked.append("write " + " ".join(each.point for each in settings))
        self._check()
        for each in settings:
            if each.point in self.rejects:
                raise Rejected(f"{each.point} is rejected", 3)
            if each.point not in self.ignores:
                self.values[each.point] = each.value
        if self.loses_answer:
            raise NoAnswer("no answer")

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        self.asked.append("read " + " ".join(points))
        self._check()
        for point in points:
            if point in self.unreadable:
                raise Rejected(f"{point} is not read", 2)
        return {point: Sample(self.values[point], int(self.status), self.clock.now()) for point in points}

    def _check(self) -> None:
        error: DriverError | None = Unreachable("the bus is down") if self.down else None
        if error is not None:
            raise error


class Bench:
    def __init__(self, clock: FakeClock, tasks: asyncio.TaskGroup, control: bool = True) -> None:
        self.clock = clock
        self.device = Device("xw1", MODEL, control=control)
        self.image = ProcessImage([self.device], clock)
        self.memory = Memory(clock)
        profile = dataclasses.replace(PROFILE, model=MODEL, commands={}, settings=SPECS)
        self.desk = ControlDesk(
            self.image,
            {"xw1": self.device},
            {"xw1": profile},
            {"xw1": self.memory},
            clock,
            tasks.create_task,
        )

    async def write(self, caller: Caller = ENGINEER, **values: Value) -> SettingResults:
        writing = asyncio.ensure_future(self.desk.write_settings("xw1", values, caller))
        while not writing.done():
            await self.clock.advance(0.25)
        return await writing

    def last(self, name: str) -> Value | None:
        return self.image.values[self.image.slot("xw1", f"last_command_{name}")]


@pytest.fixture
async def bench(clock: FakeClock) -> AsyncIterator[Bench]:
    async with asyncio.TaskGroup() as tasks:
        yield Bench(clock, tasks)


def outcomes(results: Mapping[str, CommandResult]) -> dict[str, Outcome]:
    return {point: result.outcome for point, result in results.items()}


async def test_all_are_read_written_and_read_back_at_once(bench: Bench) -> None:
    results = await bench.write(a=5.0, b=6.0, c=7.0)
    assert outcomes(results) == dict.fromkeys("abc", Outcome.CONFIRMED)
    assert bench.memory.asked == ["read a b c", "write a b c", "read a b c"]
    assert results["b"].observed == "b=6 A"
    assert bench.last("name") == "write 3 settings"
    assert bench.last("wanted") == "a = 5 A, b = 6 A, c = 7 A"
    assert bench.last("reason") == "3 of 3 confirmed"
    assert bench.last("user") == "eve"


async def test_what_the_device_has_already_is_not_written(bench: Bench) -> None:
    results = await bench.write(a=1.0, b=6.0)
    assert results["a"].reason == "the device has this value already"
    assert bench.memory.asked == ["read a b", "write b", "read b"]
    bench.memory.asked.clear()
    await bench.write(a=1.0, b=6.0)
    assert bench.memory.asked == ["read a b"]


async def test_one_setting_is_written_as_before(bench: Bench) -> None:
    await bench.write(a=2.0)
    assert (bench.last("name"), bench.last("wanted")) == ("write a", "a = 2 A")


async def test_a_device_that_answers_at_once_makes_nobody_wait(bench: Bench) -> None:
    begun = Begun(bench.desk.write_settings("xw1", {"a": 5.0, "b": 6.0}, ENGINEER))
    assert begun.done
    assert begun.result.statuses() == [Status.GOOD, Status.GOOD]


async def test_results_come_in_the_order_of_the_settings_whatever_ended_first(bench: Bench) -> None:
    bench.memory.ignores.add("a")
    results = await bench.write(a=5.0, b=99.0, c=1.0, d=7.0)
    assert list(results) == list("abcd")
    assert results.statuses() == [Status.UNCERTAIN, Status.BAD_OUT_OF_RANGE, Status.GOOD, Status.GOOD]
    assert results.unconfirmed == ["a", "b"]
    assert [results[point].observed for point in "abcd"] == ["a=1 A", "", "c=1 A", "d=7 A"]


@pytest.mark.parametrize("status", [Status.UNCERTAIN, Status.BAD_SENSOR_FAILURE])
async def test_a_value_that_is_not_good_proves_nothing(bench: Bench, status: Status) -> None:
    bench.memory.status = status
    results = await bench.write(a=1.0, b=6.0)
    assert outcomes(results) == dict.fromkeys("ab", Outcome.MISMATCH)


async def test_what_is_not_allowed_costs_only_itself(bench: Bench) -> None:
    results = await bench.write(a=99.0, b=6.0, c="7")
    assert [results[point].status for point in "abc"] == [
        Status.BAD_OUT_OF_RANGE,
        Status.GOOD,
        Status.BAD_TYPE_MISMATCH,
    ]
    assert bench.memory.asked == ["read b", "write b", "read b"]
    assert bench.last("outcome") == Outcome.REFUSED
    assert str(bench.last("reason")).startswith("1 of 3 confirmed; a: 99.0 is outside")


async def test_without_the_role_nothing_is_asked_of_the_device(bench: Bench) -> None:
    results = await bench.write(Caller("bob", Role.OPERATOR), a=2.0, b=2.0)
    assert {result.status for result in results.values()} == {Status.BAD_USER_ACCESS_DENIED}
    assert bench.memory.asked == []


async def test_a_setting_that_the_device_rejects_costs_only_itself(bench: Bench) -> None:
    bench.memory.rejects.add("b")
    results = await bench.write(a=5.0, b=6.0, c=7.0)
    assert outcomes(results) == {"a": Outcome.CONFIRMED, "b": Outcome.FAILED, "c": Outcome.CONFIRMED}
    assert results["b"].status == Status.BAD_DEVICE_FAILURE
    # `a` was written before the device said no, and is not written again.
    assert bench.memory.asked == [
        "read a b c",
        "write a b c",
        "read a",
        "read b",
        "write b",
        "read c",
        "write c",
        "read c",
    ]


async def test_one_that_the_device_rejects_is_not_asked_for_again(bench: Bench) -> None:
    bench.memory.rejects.add("b")
    results = await bench.write(a=1.0, b=6.0)
    assert outcomes(results) == {"a": Outcome.CONFIRMED, "b": Outcome.FAILED}
    assert bench.memory.asked == ["read a b", "write b"]


async def test_a_setting_that_cannot_be_read_costs_only_itself(bench: Bench) -> None:
    bench.memory.unreadable.add("a")
    results = await bench.write(a=5.0, b=6.0)
    assert outcomes(results) == {"a": Outcome.FAILED, "b": Outcome.CONFIRMED}


async def test_a_setting_that_the_device_ignores_is_a_mismatch_at_its_deadline(bench: Bench) -> None:
    bench.memory.ignores.add("b")
    began = bench.clock.monotonic()
    results = await bench.write(a=5.0, b=6.0)
    assert outcomes(results) == {"a": Outcome.CONFIRMED, "b": Outcome.MISMATCH}
    assert results["b"].observed == "b=1 A"
    assert results["b"].reason == "written, but the device shows something else after 2 s"
    assert bench.clock.monotonic() - began <= 2.5
    assert sum(each.startswith("write") for each in bench.memory.asked) == 1
    assert bench.memory.asked[2:4] == ["read a b", "read b"]


async def test_a_lost_answer_is_looked_at_and_nothing_is_written_twice(bench: Bench) -> None:
    bench.memory.loses_answer = True
    bench.memory.ignores.add("b")
    results = await bench.write(a=5.0, b=6.0)
    assert outcomes(results) == {"a": Outcome.CONFIRMED, "b": Outcome.FAILED}
    assert results["b"].status == Status.BAD_TIMEOUT
    assert sum(each.startswith("write") for each in bench.memory.asked) == 1


async def test_a_bus_that_is_down_is_asked_once(bench: Bench) -> None:
    bench.memory.down = True
    results = await bench.write(a=5.0, b=6.0)
    assert {result.status for result in results.values()} == {Status.BAD_NO_COMMUNICATION}
    assert bench.memory.asked == ["read a b"]


async def test_many_settings_are_not_all_spelled_out(bench: Bench) -> None:
    assert len(NAMES) == 4
    await bench.write(a=5.0, b=6.0, c=7.0, d=8.0)
    assert bench.last("observed") == "a=5 A, b=6 A, c=7 A, d=8 A"
