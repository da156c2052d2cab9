"""The plant as a client that is not ours works with it: commands, settings, history."""

import asyncio
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from address_space.model import Outcome
from tests.e2e.foreign_client import ForeignError
from tests.e2e.foreign_scene import METERED, Scene, foreign_scene, site_node
from tests.e2e.running import sample, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

PASS_THROUGH, STANDBY, SELL = 1025, 1032, 1036  # codes of the XW's inverter status


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    async with foreign_scene(tmp_path_factory.mktemp("foreign")) as scene:
        yield scene


@pytest_asyncio.fixture(loop_scope="module")
async def at_rest(scene: Scene) -> Scene:
    """The first inverter works and neither sells nor charges."""
    ways = {
        "Operating": sample(scene.app, "xw1.inverter_status").value == STANDBY,  # it obeys nothing else then
        "Rest": bool(sample(scene.app, "xw1.sell_enabled").value),
    }
    for command in (name for name, needed in ways.items() if needed):
        result = await scene.call(f"xw1.{command}")
        assert result["status"] == "Good", (command, result)
    await until(scene.app, "xw1.inverter_status", PASS_THROUGH)
    return scene


@pytest.mark.parametrize("user", ["observer", "quiet"])
async def test_keys_of_a_channel_are_renewed(scene: Scene, user: str) -> None:
    async with asyncio.timeout(25):
        while (await scene.foreign.do("happened", name=user))["renewals"] < 2:
            await scene.read(METERED, user="observer")
            await asyncio.sleep(0.2)
    (value,) = await scene.read(METERED, user=user)
    assert value["status"] == "Good"


# --- commands


async def test_command_is_seen_by_the_subscription(at_rest: Scene) -> None:
    scene = at_rest
    await scene.foreign.do("subscribe", name="observer", subscription="state", nodes=[site_node("xw1.inverter_status")])
    changes = scene.foreign.changes("state")
    assert (await changes.get())["value"] == PASS_THROUGH
    for method, inputs, code, text in (
        ("StartSell", (), SELL, "SellToGrid"),
        ("RunCommand", (("Int32", 2),), STANDBY, "Standby"),
    ):
        result = await scene.call(f"xw1.{method}", *inputs)
        assert result["status"] == "Good", method
        assert result["inputs"] == ["Good"] * len(inputs)
        assert [each["type"] for each in result["outputs"]] == ["Int32", "String", "Double", "LocalizedText"]
        outcome, observed, elapsed, reason = (each["value"] for each in result["outputs"])
        assert (outcome, reason) == (Outcome.CONFIRMED, "confirmed")
        assert f"inverter_status={text}" in observed
        assert elapsed > 1000  # the simulated inverter acts after 1.5 to 2 s
        async with asyncio.timeout(5):
            assert (await changes.get())["value"] == code
        last = await scene.last_command("xw1")
        assert (last["name"], last["user"], last["outcome"]) == (method, "operator", Outcome.CONFIRMED)
        assert (last["observed"], last["elapsed"], last["reason"]) == (observed, elapsed, "confirmed")
    await scene.foreign.do("unsubscribe", name="observer", subscription="state")


async def test_precondition_that_does_not_hold_refuses(at_rest: Scene) -> None:
    assert (await at_rest.call("xw1.Standby"))["status"] == "Good"
    result = await at_rest.call("xw1.StartSell")
    assert (result["status"], result["outputs"]) == ("BadInvalidState", [])
    last = await at_rest.last_command("xw1")
    assert (last["name"], last["outcome"]) == ("StartSell", Outcome.REFUSED)
    assert "nothing was written" in last["reason"]


async def test_arguments_are_described(scene: Scene) -> None:
    found = await scene.foreign.do("arguments_of", name="observer", method=site_node("xw1.SetLoadShave"))
    assert [(each["name"], each["dataType"]) for each in found["inputs"]] == [
        ("enable", "ns=0;i=1"),
        ("amps", "ns=0;i=11"),
    ]
    assert "Unit: A. Range: 0 to 60." in found["inputs"][1]["description"]
    assert [each["name"] for each in found["outputs"]] == ["Outcome", "Observed", "Elapsed", "Reason"]


@pytest.mark.parametrize(
    ("inputs", "status", "results"),
    [
        ((("Boolean", True),), "BadArgumentsMissing", []),
        ((("Boolean", True), ("Double", 5), ("Double", 5)), "BadTooManyArguments", []),
        ((("Boolean", True), ("String", "5")), "BadInvalidArgument", ["Good", "BadTypeMismatch"]),
        ((("Int32", 1), ("Float", 5)), "BadInvalidArgument", ["BadTypeMismatch", "BadTypeMismatch"]),
        ((("Boolean", True), ("Double", 61)), "BadInvalidArgument", ["Good", "BadOutOfRange"]),
    ],
)
async def test_wrong_arguments_are_refused(
    scene: Scene, inputs: tuple[tuple[str, Any], ...], status: str, results: list[str]
) -> None:
    result = await scene.call("xw1.SetLoadShave", *inputs)
    assert (result["status"], result["inputs"], result["outputs"]) == (status, results, [])


async def test_each_call_of_a_request_has_its_own_result(scene: Scene) -> None:
    def method(id_: str, *inputs: tuple[str, Any], on: str = "xw1") -> dict[str, Any]:
        given = [{"$": "Variant", "type": kind, "value": value} for kind, value in inputs]
        return {"objectId": site_node(on), "methodId": site_node(id_), "inputArguments": given}

    calls = [
        (method("xw1.SetLoadShave", ("Boolean", [True, False]), ("Double", 5)), "BadInvalidArgument"),  # rank
        (method("xw1.SetLoadShave", on="nothing"), "BadNodeIdUnknown"),
        (method("xw1.Nothing"), "BadMethodInvalid"),
        (method("xw1.ac_power"), "BadMethodInvalid"),  # a variable
        (method("xw1.SetLoadShave", ("Boolean", True), ("Double", 5), on="fc1"), "BadMethodInvalid"),  # of another
        (method("xw1.SetLoadShave", ("Boolean", True)), "BadArgumentsMissing"),
        (method("xw1.SetLoadShave", ("Boolean", True), ("Double", 5)), "Good"),
    ]
    given = await scene.ask("Call", "operator", methodsToCall=[call for call, _ in calls])
    assert [result["statusCode"] for result in given["results"]] == [status for _, status in calls]
    assert given["results"][0]["inputArgumentResults"] == ["BadTypeMismatch", "Good"]
    assert given["results"][-1]["inputArgumentResults"] == ["Good", "Good"]
    assert await scene.fault("Call", "operator", methodsToCall=[]) == "BadNothingToDo"


@pytest.mark.parametrize(
    ("inputs", "status", "results"),
    [
        ((), "BadArgumentsMissing", []),
        ((("UInt32", 1), ("UInt32", 1)), "BadTooManyArguments", []),
        ((("Int32", 1),), "BadInvalidArgument", ["BadTypeMismatch"]),
        ((("UInt32", 4_000_000_000),), "BadSubscriptionIdInvalid", []),
    ],
)
async def test_wrong_arguments_of_the_servers_own_methods_are_refused(
    scene: Scene, inputs: tuple[tuple[str, Any], ...], status: str, results: list[str]
) -> None:
    """GetMonitoredItems: OPC 10000-5 section 9.1."""
    result = await scene.foreign.do("call", name="observer", object="i=2253", method="i=11492", inputs=inputs)
    assert (result["status"], result["inputs"], result["outputs"]) == (status, results, [])


@pytest.mark.parametrize("inputs", [(("Boolean", True),), (("Boolean", True), ("Double", 61))])
async def test_last_command_tells_of_refused_arguments(scene: Scene, inputs: tuple[tuple[str, Any], ...]) -> None:
    await scene.call("xw1.Standby", user="observer")  # something else was the last before
    await scene.call("xw1.SetLoadShave", *inputs)
    last = await scene.last_command("xw1")
    assert (last["name"], last["user"], last["outcome"]) == ("SetLoadShave", "operator", Outcome.REFUSED)


async def test_right_arguments_are_carried_out(scene: Scene) -> None:
    result = await scene.call("xw1.SetLoadShave", ("Boolean", True), ("Double", 32.5))
    assert result["status"] == "Good"
    await until(scene.app, "xw1.load_shave_current", 32.5)
    assert (await scene.read("xw1.load_shave_current"))[0]["value"] == 32.5


async def test_number_that_is_no_command_is_refused(scene: Scene) -> None:
    result = await scene.call("xw1.RunCommand", ("Int32", 7))
    assert (result["status"], result["inputs"]) == ("BadInvalidArgument", ["BadOutOfRange"])


async def test_observer_is_refused(scene: Scene) -> None:
    result = await scene.call("xw1.Standby", user="observer")
    assert (result["status"], result["outputs"]) == ("BadUserAccessDenied", [])
    last = await scene.last_command("xw1")
    assert (last["user"], last["outcome"]) == ("observer", Outcome.REFUSED)
    assert "needs the role Operator" in last["reason"]


@pytest.mark.parametrize("user", ["operator", "engineer"])
async def test_device_without_control_refuses_everybody(scene: Scene, user: str) -> None:
    for method in ("StartSell", "Standby"):
        result = await scene.call(f"xw2.{method}", user=user)
        assert (result["status"], result["outputs"]) == ("BadNotExecutable", [])
    last = await scene.last_command("xw2")
    assert (last["user"], last["outcome"]) == (user, Outcome.REFUSED)
    assert "control: true" in last["reason"]


async def test_executable_says_who_may_call(scene: Scene) -> None:
    methods = ("xw1.StartSell", "xw2.StartSell", "fc1.SetPower")
    for user, allowed in (
        ("observer", [False] * 3),
        ("operator", [True, False, True]),
        ("engineer", [True, False, True]),
    ):
        anybody = await scene.read(*methods, attribute="Executable", user=user)
        assert [each["value"] for each in anybody] == [True, False, True]
        this_user = await scene.read(*methods, attribute="UserExecutable", user=user)
        assert [each["value"] for each in this_user] == allowed, user


async def test_slow_command_keeps_no_read_waiting(at_rest: Scene) -> None:
    slow = asyncio.create_task(at_rest.call("xw1.StartSell"))
    for _ in range(5):
        (value,) = await at_rest.read("xw1.ac_power", user="operator")
        assert value["status"] == "Good"
    assert not slow.done()
    assert (await slow)["status"] == "Good"


async def test_call_answers_pending_before_its_client_gives_up(at_rest: Scene) -> None:
    result = await at_rest.call("xw1.StartSell", within_ms=1500)
    assert result["status"] == "Uncertain"
    outcome, _, elapsed, reason = (each["value"] for each in result["outputs"])
    assert (outcome, reason) == (Outcome.UNCONFIRMED, "pending")
    assert elapsed < 1500
    last = await at_rest.last_command("xw1")
    assert (last["outcome"], last["reason"]) == (Outcome.UNCONFIRMED, "pending")
    await until(at_rest.app, "xw1.last_command_reason", "confirmed")
    last = await at_rest.last_command("xw1")
    assert (last["name"], last["outcome"]) == ("StartSell", Outcome.CONFIRMED)
    assert last["elapsed"] > elapsed


async def test_command_outlives_its_session(at_rest: Scene) -> None:
    scene, foreign = at_rest, at_rest.foreign
    await foreign.do("connect", name="victim", **scene.way("operator"))
    slow = asyncio.create_task(scene.call("xw1.StartSell", user="victim"))
    await until(scene.app, "xw1.sell_enabled", True)
    assert sample(scene.app, "xw1.inverter_status").value == PASS_THROUGH
    await foreign.do("lose", name="victim")
    with pytest.raises(ForeignError):
        await slow
    await until(scene.app, "xw1.inverter_status", SELL)
    await until(scene.app, "xw1.last_command_name", "StartSell")
    last = await scene.last_command("xw1")
    assert (last["user"], last["outcome"], last["reason"]) == ("operator", Outcome.CONFIRMED, "confirmed")


# --- settings


async def test_engineer_writes_a_setting(scene: Scene) -> None:
    for wanted in (80.0, 80.0, 65.0):
        assert await scene.write("xw1.max_charge_rate", wanted) == "Good"
        (value,) = await scene.read("xw1.max_charge_rate")
        assert (value["value"], value["status"]) == (wanted, "Good")
        last = await scene.last_command("xw1")
        assert (last["user"], last["outcome"]) == ("engineer", Outcome.CONFIRMED)
        assert last["wanted"] == f"max_charge_rate = {wanted:g} %"


async def test_setting_is_refused(scene: Scene) -> None:
    assert await scene.write("xw1.max_charge_rate", 50, user="operator") == "BadUserAccessDenied"
    assert await scene.write("xw1.max_charge_rate", 101) == "BadOutOfRange"
    assert await scene.write("xw1.max_charge_rate", -1) == "BadOutOfRange"
    assert await scene.write("xw1.max_charge_rate", 50, "Int32") == "BadTypeMismatch"
    assert await scene.write("xw1.ac_power", 50) == "BadNotWritable"
    assert await scene.write("xw2.max_charge_rate", 50) == "BadNotWritable"
    assert await scene.write("xw1.nothing", 50) == "BadNodeIdUnknown"
    assert (await scene.read("xw2.max_charge_rate"))[0]["value"] == 100


async def test_access_level_says_who_may_write(scene: Scene) -> None:
    paths = ("xw1.max_charge_rate", "xw2.max_charge_rate", "xw1.ac_power")
    for user, allowed in (("observer", [1, 1, 5]), ("operator", [1, 1, 5]), ("engineer", [3, 1, 13])):
        anybody = await scene.read(*paths, attribute="AccessLevel", user=user)
        assert [each["value"] for each in anybody] == [3, 1, 13]
        this_user = await scene.read(*paths, attribute="UserAccessLevel", user=user)
        assert [each["value"] for each in this_user] == allowed, user


# --- history


async def history(scene: Scene, start: int | None, end: int | None, **how: Any) -> Any:
    return await scene.foreign.do(
        "history", name="observer", node=site_node(METERED), start=start, end=end, page=50, **how
    )


def all_values(pages: list[dict[str, Any]]) -> list[tuple[int, Any]]:
    assert {page["status"] for page in pages} == {"Good"}
    values = [value for page in pages for value in page["values"]]
    assert {value["status"] for value in values} <= {"Good"}
    return [(value["source"], value["value"]) for value in values]


async def test_pages_of_history_add_up_to_the_whole(scene: Scene) -> None:
    whole = await scene.recorded(120)
    assert all(one[0] < other[0] for one, other in pairwise(whole))
    found = await history(scene, whole[0][0], whole[-1][0] + 1)
    assert [len(page["values"]) for page in found["pages"][:-1]] == [50] * (len(whole) // 50 - (len(whole) % 50 == 0))
    assert all_values(found["pages"]) == whole
    # The end belongs to the next read, so that reads one after the other give each sample once.
    parts = [await history(scene, *span) for span in ((whole[0][0], whole[70][0]), (whole[70][0], whole[-1][0] + 1))]
    assert all_values(parts[0]["pages"]) + all_values(parts[1]["pages"]) == whole


async def test_history_runs_backwards(scene: Scene) -> None:
    whole = await scene.recorded(120)
    found = await history(scene, whole[-1][0], whole[0][0] - 1)
    assert all_values(found["pages"]) == whole[::-1]


async def test_history_without_an_end_goes_on_to_the_newest(scene: Scene) -> None:
    whole = await scene.recorded(120)
    found = all_values((await history(scene, whole[0][0], None))["pages"])
    assert found[: len(whole)] == whole
    later = await scene.recorded(len(found))
    assert found == later[: len(found)]


async def test_bounds_are_given_where_they_are_asked_for(scene: Scene) -> None:
    whole = await scene.recorded(120)
    start, end = whole[20][0] + 1, whole[90][0] + 1
    found = await history(scene, start, end, bounds=True)
    assert all_values(found["pages"]) == whole[20:92]


async def test_reading_may_be_given_up(scene: Scene) -> None:
    whole = await scene.recorded(120)
    found = await history(scene, whole[0][0], whole[-1][0], pages_at_most=1)
    assert (found["complete"], found["released"]) == (False, "Good")


async def test_nothing_recorded_is_good_no_data(scene: Scene) -> None:
    found = await history(scene, 0, 1000)  # the first second of 1970
    assert [(page["status"], page["values"]) for page in found["pages"]] == [("GoodNoData", [])]
