"""A whole node, seen by an OPC UA client that is not ours: node-opcua-client. See node_client/ for its program."""

import asyncio
import logging
import re
import shlex
import sys
from collections import Counter
from collections.abc import AsyncIterator
from itertools import pairwise
from typing import Any

import pytest
import pytest_asyncio

from address_space.model import Outcome, Status, ticks_to_datetime
from tests.e2e.foreign_client import ForeignError
from tests.e2e.foreign_scene import PASSWORDS, Scene, foreign_scene, site_node, wire
from tests.e2e.running import sample, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

DEVICES = ("xw1", "xw2", "fc1", "meter1", "pumps", "plant")
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
METERED = "meter1.frequency"  # ten samples a second
PASS_THROUGH, STANDBY, SELL = 1025, 1032, 1036  # codes of the XW's inverter status

# A trigger that cannot be read, and a computed device, for which nobody answers.
NOT_READABLE = ".force_charger_state"
NEVER_ANSWERED = (NOT_READABLE, "plant.last_answer")

RIGHTS = {"RolePermissions", "UserRolePermissions", "AccessRestrictions"}
BASE = {"NodeId", "NodeClass", "BrowseName", "DisplayName", "Description", "WriteMask", "UserWriteMask"} | RIGHTS
VARIABLE = BASE | {"Value", "DataType", "ValueRank", "AccessLevel", "UserAccessLevel", "Historizing"}
ATTRIBUTES = {  # of a class of nodes: those that are always there, and those that may be
    "Object": (BASE | {"EventNotifier"}, set()),
    "Variable": (VARIABLE, {"ArrayDimensions", "MinimumSamplingInterval"}),
    "Method": (BASE | {"Executable", "UserExecutable"}, set()),
}


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


async def refusal(scene: Scene, command: str = "connect", **way: Any) -> str:
    with pytest.raises(ForeignError) as caught:
        await scene.foreign.do(command, **({"name": "refused"} if command == "connect" else {}), **way)
    return str(caught.value)


# --- connect


async def test_unknown_client_is_refused_until_it_is_accepted(scene: Scene, caplog: pytest.LogCaptureFixture) -> None:
    caplog.set_level(logging.DEBUG, "node")
    way = scene.way("operator", keys="stranger")
    await scene.foreign.do("trust_server", **scene.way(keys="stranger"))
    for _ in range(2):
        await refusal(scene, **way)
    found = [re.search(r"gridnode (trust accept [0-9A-F]{40} .*)$", record.getMessage()) for record in caplog.records]
    lines = [match for match in found if match is not None]
    assert len(lines) == 1
    command = [sys.executable, "-m", "node", *shlex.split(lines[0][1])]
    process = await asyncio.create_subprocess_exec(*command, stdout=asyncio.subprocess.PIPE)
    words, _ = await process.communicate()
    assert process.returncode == 0
    assert b"trusted: " in words
    await scene.foreign.do("connect", name="stranger", **way)
    await scene.foreign.do("disconnect", name="stranger")


@pytest.mark.parametrize("mode", ["Sign", "SignAndEncrypt"])
@pytest.mark.parametrize("policy", POLICIES)
async def test_every_policy_and_mode_connects(scene: Scene, policy: str, mode: str) -> None:
    await scene.foreign.do("connect", name="one", **scene.way("operator", policy=policy, mode=mode))
    ((value),) = await scene.read("node.certificate_days_left", user="one")
    assert value["status"] == "Good"
    await scene.foreign.do("disconnect", name="one")


@pytest.mark.parametrize("host", ["127.0.0.1", "localhost"])
async def test_session_has_the_endpoints_that_discovery_has(scene: Scene, host: str) -> None:
    url = scene.url.replace("127.0.0.1", host)
    found = await scene.foreign.do("endpoints", **scene.way(url=url))
    made = await scene.foreign.do("connect", name="one", **scene.way("observer", url=url))
    await scene.foreign.do("disconnect", name="one")
    assert made["endpoints"] == found
    assert {each["url"] for each in found} == {url}
    assert {tuple(each["discovery"]) for each in found} == {(url,)}
    offered = [(each["policy"], each["mode"]) for each in found]
    assert offered[0] == ("Aes256_Sha256_RsaPss", "SignAndEncrypt")
    assert offered[-1] == ("None", "None")
    assert Counter(offered) == Counter(
        [(policy, mode) for policy in POLICIES for mode in ("Sign", "SignAndEncrypt")] + [("None", "None")]
    )
    levels = [each["level"] for each in found]
    assert levels == sorted(levels, reverse=True)
    assert len(set(levels)) == len(levels)
    users = ["UserName", "Certificate"]
    assert [[token["type"] for token in each["tokens"]] for each in found] == [users] * 6 + [[]]


async def test_host_that_is_not_ours_is_not_repeated(scene: Scene) -> None:
    found = await scene.foreign.do("endpoints", **scene.way(url=scene.url.replace("127.0.0.1", "127.1")))
    assert {each["url"] for each in found} == {scene.url.replace("127.0.0.1", "plant.example")}


async def test_wrong_password_and_unknown_user_are_refused_alike(scene: Scene) -> None:
    wrong = await refusal(scene, **scene.way(user="operator") | {"password": "not-the-password"})
    unknown = await refusal(scene, **scene.way(), user="nobody", password=PASSWORDS["operator"])
    assert "BadUserAccessDenied" in wrong
    assert wrong == unknown
    await scene.foreign.do("connect", name="one", **scene.way("operator"))  # the right one is not held up
    await scene.foreign.do("disconnect", name="one")


async def test_anonymous_is_refused_where_the_site_file_does_not_allow_it(scene: Scene) -> None:
    for security in ({}, {"policy": "None", "mode": "None"}):
        assert "ANONYMOUS" in await refusal(scene, **scene.way(), **security)  # not even offered
        assert "BadIdentityToken" in await refusal(scene, "rude_login", **scene.way(), **security)


async def test_user_name_is_refused_on_a_channel_without_security(scene: Scene) -> None:
    way = scene.way("operator", policy="None", mode="None")
    assert "USERNAME" in await refusal(scene, **way)  # not even offered
    assert "BadIdentityToken" in await refusal(scene, "rude_login", **way)


# --- browse and read


async def test_everything_can_be_browsed(scene: Scene) -> None:
    found = await scene.foreign.do("browse_all", name="observer", most=20)
    nodes = found["nodes"]
    assert found["longest"] == 20
    assert found["twice"] == []
    assert found["depth"] < 30
    for node, namespace in (("ns=0;i=2253", 0), ("ns=2;i=5001", 2), ("ns=3;s=SchneiderXwType", 3)):
        assert node in nodes, namespace
    for device in DEVICES:
        assert nodes[site_node(device)]["parents"].count("ns=2;i=5001") == 1
        assert len(nodes[site_node(device)]["parents"]) == 3  # the others: its class's folder, the site as notifier
    slots = {f"{device.id}.{point.id}" for device in scene.app.site.devices for point in device.model.points}
    assert {site_node(path) for path in slots} <= nodes.keys()
    # Instances have a type, and every type that they name can be reached as well.
    for name, node in nodes.items():
        if node["class"] in ("Object", "Variable") and name != "i=84":
            assert node["type"] in nodes, name


async def test_every_reference_of_the_site_has_its_other_end(scene: Scene) -> None:
    found = await scene.foreign.do("browse_all", name="observer", root="ns=4;s=_site", most=20)
    nodes = [name for name in found["nodes"] if name.startswith("ns=4")]
    forward = await scene.foreign.do("browse", name="observer", nodes=nodes, type="i=33", most=20)
    inverse = await scene.foreign.do("browse", name="observer", nodes=nodes, type="i=33", forward=False, most=20)
    there = {(kind, start, end) for start, ends in zip(nodes, forward, strict=True) for kind, end in ends}
    back = {(kind, start, end) for end, starts in zip(nodes, inverse, strict=True) for kind, start in starts}
    assert there <= back
    assert {start for _, start, _ in back - there} <= {
        "ns=0;i=85",
        "ns=2;i=5001",
        "ns=0;i=2253",
    }  # what the site hangs on


async def test_namespaces_and_types_are_those_of_di(scene: Scene) -> None:
    names = await scene.foreign.do("namespaces", name="observer")
    assert names[0] == "http://opcfoundation.org/UA/"
    assert names[2] == "http://opcfoundation.org/UA/DI/"
    assert len(set(names)) == len(names) == 5
    chain, end = [], "ns=3;s=SchneiderXwType"
    while end != "ns=0;i=58":  # BaseObjectType
        ((supertype,),) = await scene.foreign.do("browse", name="observer", nodes=[end], type="i=45", forward=False)
        end = supertype[1]
        chain.append(end)
    assert chain == ["ns=3;s=InverterType", "ns=2;i=1002", "ns=2;i=15063", "ns=2;i=1001", "ns=0;i=58"]
    paths = (
        "/2:ParameterSet/3:AcPower",
        "/2:MethodSet/3:StartSell",
        "/2:DeviceHealth",
        "/2:Manufacturer",
        "/2:Nothing",
    )
    found = await scene.foreign.do("translate", name="observer", start=site_node("xw1"), paths=paths)
    ends = ["xw1.ac_power", "xw1.StartSell", "xw1.DeviceHealth", "xw1.Manufacturer"]
    assert [each["targets"] for each in found[:4]] == [[site_node(end)] for end in ends]
    assert found[4]["status"] == "BadNoMatch"


async def test_types_can_be_learned(scene: Scene) -> None:
    await scene.foreign.do("learn_types", name="observer")
    node = ["ns=3;s=Outcome"]
    (found,) = await scene.foreign.do("read", name="observer", nodes=node, attribute="DataTypeDefinition")
    assert found["value"]["structure"] == "EnumDefinition"
    assert [field["name"] for field in found["value"]["fields"]] == [outcome.name for outcome in Outcome]


def expected_status(node: str, found: str) -> str:
    """Everything is Good but what nobody has asked for yet."""
    if ".last_command_" in node and found == "BadNoData":
        return "BadNoData"
    if node.removesuffix(".ValueAsText").endswith(NOT_READABLE):
        return "BadNotReadable"
    return "BadWaitingForInitialData" if node.removesuffix(".ValueAsText").endswith(NEVER_ANSWERED) else "Good"


async def everything_answered(scene: Scene) -> None:
    """Wait until the slowest group of each device was polled once."""
    paths = [f"{device.id}.{point.id}" for device in scene.app.site.devices for point in device.model.points]
    paths = [path for path in paths if not path.endswith(NEVER_ANSWERED)]
    async with asyncio.timeout(30):
        while paths:
            paths = [path for path in paths if sample(scene.app, path).status == Status.BAD_WAITING_FOR_INITIAL_DATA]
            await asyncio.sleep(0.2)


async def test_every_attribute_of_the_site_is_as_it_should_be(scene: Scene) -> None:
    await everything_answered(scene)
    found = await scene.foreign.do("browse_all", name="engineer", root="ns=4;s=_site")
    nodes = {name: node for name, node in found["nodes"].items() if name.startswith("ns=4")}
    values = await scene.foreign.do("read_all", name="engineer", nodes=list(nodes))
    types = {value["DataType"]["value"] for value in values if "DataType" in value}
    builtin = await scene.foreign.do("builtin_types", name="engineer", types=sorted(types))
    for (name, node), has in zip(nodes.items(), values, strict=True):
        always, maybe = ATTRIBUTES[node["class"] if name != "ns=4;s=_site" else "Object"]
        assert always <= has.keys() <= always | maybe, name
        assert {each["status"] for key, each in has.items() if key != "Value"} == {"Good"}, name
        assert has["NodeId"]["value"] == name
        assert has["WriteMask"]["value"] == has["UserWriteMask"]["value"] == 0
        if "Value" not in has:
            continue
        value, rank = has["Value"], has["ValueRank"]["value"]
        assert value["status"] == expected_status(name, value["status"]), name
        if value["status"] == "Good":
            assert value["type"] == builtin[has["DataType"]["value"]], name
            assert isinstance(value["value"], list) == (rank == 1), name
            # Properties that never change have no time of their own.
            assert value["source"] is not None or "MinimumSamplingInterval" not in has, name


async def test_values_of_polled_points_are_good(scene: Scene) -> None:
    paths = ("xw1.ac_power", "xw2.dc_voltage", "fc1.state", "meter1.frequency", "pumps.current", "plant.power")
    for path, value in zip(paths, await scene.read(*paths), strict=True):
        assert value["status"] == "Good", path
        assert value["source"] <= value["server"]


async def test_units_ranges_and_states_are_structures(scene: Scene) -> None:
    unit, limits, members, text, status = await scene.read(
        "xw1.ac_power.EngineeringUnits",
        "xw1.ac_power.EURange",
        "xw2.inverter_status.EnumValues",
        "xw2.inverter_status.ValueAsText",
        "xw2.inverter_status",
    )
    assert unit["value"] == {
        "structure": "EUInformation",
        "namespaceUri": "http://www.opcfoundation.org/UA/units/un/cefact",
        "unitId": 0x575454,  # "WTT", OPC 10000-8 section 5.6.3
        "displayName": "W",
        "description": "watt",
    }
    assert limits["value"] == {"structure": "Range", "low": -20000, "high": 20000}
    assert {member["structure"] for member in members["value"]} == {"EnumValueType"}
    names = {int(member["value"][1]): member["displayName"] for member in members["value"]}
    assert (names[SELL], names[STANDBY]) == ("SellToGrid", "Standby")
    assert text["value"] == names[status["value"]]


async def test_fifty_items_bring_their_changes(scene: Scene) -> None:
    devices = {device.id: device.model for device in scene.app.site.devices}
    paths = [f"{device}.{point.id}" for device in ("meter1", "xw1", "fc1") for point in devices[device].points][:48]
    paths += ["pumps.current", "plant.power"]
    made = await scene.foreign.do(
        "subscribe", name="observer", subscription="fifty", nodes=[site_node(path) for path in paths]
    )
    assert len(made["items"]) == 50
    assert {item["status"] for item in made["items"]} == {"Good"}
    changes = scene.foreign.changes("fifty")
    seen: dict[str, list[dict[str, Any]]] = {}
    async with asyncio.timeout(15):
        while (
            len(seen) < 50 or len(seen[site_node("meter1.frequency")]) < 10 or len(seen[site_node("plant.power")]) < 3
        ):
            change = await changes.get()
            seen.setdefault(change["node"], []).append(change)
    await scene.foreign.do("unsubscribe", name="observer", subscription="fifty")
    for node, told in seen.items():
        pairs = [(change["value"], change["status"]) for change in told]
        assert all(one != other for one, other in pairwise(pairs)), node
        times = [change["source"] for change in told if change["source"] is not None]
        assert times == sorted(times), node


@pytest.mark.parametrize("user", ["observer", "quiet"])
async def test_keys_of_a_channel_are_renewed(scene: Scene, user: str) -> None:
    async with asyncio.timeout(25):
        while (await scene.foreign.do("happened", name=user))["renewals"] < 2:
            await scene.read(METERED, user="observer")
            await asyncio.sleep(0.2)
    (value,) = await scene.read(METERED, user=user)
    assert value["status"] == "Good"


async def test_subscription_goes_on_after_a_cut_connection(scene: Scene) -> None:
    async with wire(scene.app.site.server.listen.port) as (port, cut):
        way = scene.way("observer", url=f"opc.tcp://127.0.0.1:{port}", retries=20)
        await scene.foreign.do("connect", name="far", **way)
        before = await scene.foreign.do("happened", name="far")
        node = site_node(METERED)
        await scene.foreign.do("subscribe", name="far", subscription="far", nodes=[node], queue=200)
        changes = scene.foreign.changes("far")
        told = [await changes.get() for _ in range(5)]
        cut()
        async with asyncio.timeout(20):
            while (await scene.foreign.do("happened", name="far"))["reconnections"] < 1:
                await scene.read(METERED)
            told += [await changes.get() for _ in range(changes.qsize() + 20)]
        assert (await scene.foreign.do("happened", name="far"))["session"] == before["session"]
        await scene.foreign.do("disconnect", name="far")
    # The first one is the newest sample at that time, which need not be a change and so need not be recorded.
    whole = [each for each in await recorded(scene, 1) if told[0]["source"] < each[0] <= told[-1]["source"]]
    assert [(change["source"], change["value"]) for change in told[1:]] == whole


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
        ((("Boolean", True), ("Double", 61)), "BadOutOfRange", ["Good", "BadOutOfRange"]),
    ],
)
async def test_wrong_arguments_are_refused(
    scene: Scene, inputs: tuple[tuple[str, Any], ...], status: str, results: list[str]
) -> None:
    result = await scene.call("xw1.SetLoadShave", *inputs)
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
    assert (result["status"], result["inputs"]) == ("BadOutOfRange", ["BadOutOfRange"])


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
    for user, allowed in (("observer", [1, 1, 5]), ("operator", [1, 1, 5]), ("engineer", [3, 1, 5])):
        anybody = await scene.read(*paths, attribute="AccessLevel", user=user)
        assert [each["value"] for each in anybody] == [3, 1, 5]
        this_user = await scene.read(*paths, attribute="UserAccessLevel", user=user)
        assert [each["value"] for each in this_user] == allowed, user


# --- history


async def recorded(scene: Scene, at_least: int) -> list[tuple[int, Any]]:
    """Samples of the meter's frequency as the journal has them, in ms since 1970."""
    journal = scene.app.journal
    assert journal is not None
    async with asyncio.timeout(40):
        while True:
            await journal.flush()
            page = await journal.raw(METERED, None, None, limit=100_000, reverse=False, after=None)
            if len(page.columns) >= at_least:
                break
            await asyncio.sleep(0.2)
    return [(ms(ticks), value) for ticks, value in zip(page.columns.ticks, page.columns.values, strict=True)]


def ms(ticks: int) -> int:
    return round(ticks_to_datetime(ticks).timestamp() * 1000)


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
    whole = await recorded(scene, 120)
    assert all(one[0] < other[0] for one, other in pairwise(whole))
    found = await history(scene, whole[0][0], whole[-1][0] + 1)
    assert [len(page["values"]) for page in found["pages"][:-1]] == [50] * (len(whole) // 50 - (len(whole) % 50 == 0))
    assert all_values(found["pages"]) == whole
    # The end belongs to the next read, so that reads one after the other give each sample once.
    parts = [await history(scene, *span) for span in ((whole[0][0], whole[70][0]), (whole[70][0], whole[-1][0] + 1))]
    assert all_values(parts[0]["pages"]) + all_values(parts[1]["pages"]) == whole


async def test_history_runs_backwards(scene: Scene) -> None:
    whole = await recorded(scene, 120)
    found = await history(scene, whole[-1][0], whole[0][0] - 1)
    assert all_values(found["pages"]) == whole[::-1]


async def test_history_without_an_end_goes_on_to_the_newest(scene: Scene) -> None:
    whole = await recorded(scene, 120)
    found = all_values((await history(scene, whole[0][0], None))["pages"])
    assert found[: len(whole)] == whole
    later = await recorded(scene, len(found))
    assert found == later[: len(found)]


async def test_bounds_are_given_where_they_are_asked_for(scene: Scene) -> None:
    whole = await recorded(scene, 120)
    start, end = whole[20][0] + 1, whole[90][0] + 1
    found = await history(scene, start, end, bounds=True)
    assert all_values(found["pages"]) == whole[20:92]


async def test_reading_may_be_given_up(scene: Scene) -> None:
    whole = await recorded(scene, 120)
    found = await history(scene, whole[0][0], whole[-1][0], pages_at_most=1)
    assert (found["complete"], found["released"]) == (False, "Good")


async def test_nothing_recorded_is_good_no_data(scene: Scene) -> None:
    found = await history(scene, 0, 1000)  # the first second of 1970
    assert [(page["status"], page["values"]) for page in found["pages"]] == [("GoodNoData", [])]
