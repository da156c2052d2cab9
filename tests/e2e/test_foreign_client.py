"""A whole node, seen by an OPC UA client that is not ours: node-opcua-client. See node_client/ for its program."""

import asyncio
import base64
import logging
import re
import shlex
import sys
from collections import Counter
from collections.abc import AsyncIterator
from typing import Any

import pytest
import pytest_asyncio

from address_space.model import Outcome, Status
from tests.e2e.foreign_client import ForeignError
from tests.e2e.foreign_scene import METERED, PASSWORDS, Scene, foreign_scene, site_node
from tests.e2e.running import sample

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

DEVICES = ("xw1", "xw2", "fc1", "meter1", "pumps", "plant")
POLICIES = ("Basic256Sha256", "Aes128_Sha256_RsaOaep", "Aes256_Sha256_RsaPss")
SELL, STANDBY = 1036, 1032  # codes of the XW's inverter status

# A trigger that cannot be read, a computed device, for which nobody answers, and a clock that nobody has set.
NOT_READABLE = ".force_charger_state"
NEVER_ANSWERED = (NOT_READABLE, "plant.last_answer", "node.clock_last_step")

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
    # Annotations are there as history only (OPC 10000-11 section 5.1.2).
    if node.removesuffix(".ValueAsText").endswith(NOT_READABLE) or node.endswith(".Annotations"):
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
            # There may be nothing in an archive yet, and then it has not begun.
            not_begun = {"Null"} if name.endswith((".StartOfArchive", ".StartOfOnlineArchive")) else set()
            assert value["type"] in {builtin[has["DataType"]["value"]]} | not_begun, name
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


# --- browse everything, a few references at a time


async def test_whole_tree_in_small_pages_is_the_whole_tree(scene: Scene) -> None:
    paged = await scene.foreign.do("browse_all", name="observer", most=20)
    whole = await scene.foreign.do("browse_all", name="observer", most=0)
    assert (paged["longest"], paged["twice"], whole["twice"]) == (20, [], [])
    assert whole["longest"] > 20  # so that BrowseNext had to be used
    assert paged["nodes"].keys() == whole["nodes"].keys()
    for name, node in whole["nodes"].items():
        found = paged["nodes"][name]
        assert Counter(found["parents"]) == Counter(node["parents"]), name
        assert {**found, "parents": None} == {**node, "parents": None}
    assert len(whole["nodes"]) > 7000


async def test_references_of_all_nodes_are_the_same_in_small_pages(scene: Scene) -> None:
    tree = await scene.foreign.do("browse_all", name="observer", most=0)
    wanted = {"name": "observer", "nodes": list(tree["nodes"])}
    for forward, most in ((True, 20), (False, 2)):  # few nodes have many references back
        paged = await scene.foreign.do("browse", **wanted, forward=forward, most=most)
        whole = await scene.foreign.do("browse", **wanted, forward=forward, most=0)
        assert paged == whole
        assert max(len(ends) for ends in whole) > most


async def test_released_and_unknown_continuation_points_are_refused(scene: Scene) -> None:
    wanted = {"nodeId": "i=58", "browseDirection": 0, "referenceTypeId": "i=31", "includeSubtypes": True}
    wanted["resultMask"] = 0x3F
    given = await scene.ask("Browse", requestedMaxReferencesPerNode=1, nodesToBrowse=[wanted])
    (result,) = given["results"]
    point = {"$": "Buffer", "base64": result["continuationPoint"]}
    for release, status in ((True, "Good"), (False, "BadContinuationPointInvalid")):
        next_ = await scene.ask("BrowseNext", releaseContinuationPoints=release, continuationPoints=[point])
        assert [(each["statusCode"], each["references"]) for each in next_["results"]] == [(status, [])]


# --- read: times and parts

NAMESPACES = "i=2255"  # Server_NamespaceArray: texts
PRODUCT = "i=2261"  # BuildInfo.ProductName: a text, "gridnode"
SCHEMA = "i=8252"  # the XML schema of namespace 0: bytes
TIMES = {"Source": (True, False), "Server": (False, True), "Both": (True, True), "Neither": (False, False)}


async def read_part(scene: Scene, node: str, part: str, attribute: int = 13) -> tuple[str, Any]:
    """Status and value of a part of a Value."""
    item = {"nodeId": node, "attributeId": attribute, "indexRange": part}
    given = await scene.ask("Read", maxAge=0, timestampsToReturn="Neither", nodesToRead=[item])
    (result,) = given["results"]
    return result["status"], result["value"]


@pytest.mark.parametrize("mode", TIMES)
async def test_read_gives_the_times_that_are_asked_for(scene: Scene, mode: str) -> None:
    source, server = TIMES[mode]
    state, attribute = ({"nodeId": "i=2259", "attributeId": each} for each in (13, 4))  # State: Value, DisplayName
    polled = {"nodeId": site_node(METERED), "attributeId": 13}
    given = await scene.ask("Read", maxAge=0, timestampsToReturn=mode, nodesToRead=[state, polled, attribute])
    found = given["results"]
    assert {each["status"] for each in found} == {"Good"}
    assert [each["value"] is not None for each in found] == [True] * 3
    assert [each["server"] is not None for each in found] == [server] * 3
    # Only Values have a source (OPC 10000-4 section 7.11.3).
    assert [each["source"] is not None for each in found] == [source, source, False]
    if source and server:
        assert found[1]["source"] <= found[1]["server"]


async def test_read_refuses_times_and_ages_that_do_not_exist(scene: Scene) -> None:
    item = {"nodeId": site_node(METERED), "attributeId": 13}
    for age, times, status in ((0, "Invalid", "BadTimestampsToReturnInvalid"), (-1, "Both", "BadMaxAgeInvalid")):
        assert await scene.fault("Read", nodesToRead=[item], maxAge=age, timestampsToReturn=times) == status


async def test_parts_of_arrays_texts_and_bytes_are_read(scene: Scene) -> None:
    names = await scene.foreign.do("namespaces", name="observer")
    assert len(names) == 5
    for part, wanted in (
        ("2", names[2:3]),
        ("0:1", names[:2]),
        ("3:99", names[3:]),  # what there is of it
        ("1:2,0:3", [name[:4] for name in names[1:3]]),
    ):
        assert await read_part(scene, NAMESPACES, part) == ("Good", wanted), part
    (members,) = await scene.read("xw1.inverter_status.EnumValues")
    assert await read_part(scene, site_node("xw1.inverter_status.EnumValues"), "1:2") == ("Good", members["value"][1:3])
    assert await read_part(scene, PRODUCT, "1:3") == ("Good", "rid")
    assert await read_part(scene, PRODUCT, "4:99") == ("Good", "node")
    _, schema = await read_part(scene, SCHEMA, "0:4")
    assert base64.b64decode(schema) == b"<xs:s"


@pytest.mark.parametrize(
    ("node", "part", "status"),
    [
        (NAMESPACES, "5", "BadIndexRangeNoData"),
        (NAMESPACES, "50:60", "BadIndexRangeNoData"),
        (NAMESPACES, "0:1,0:1,0:1", "BadIndexRangeNoData"),
        (NAMESPACES, "2:1", "BadIndexRangeInvalid"),
        (NAMESPACES, "1:1", "BadIndexRangeInvalid"),
        (NAMESPACES, "one", "BadIndexRangeInvalid"),
        (NAMESPACES, "-1", "BadIndexRangeInvalid"),
        (SCHEMA, "99999999:100000000", "BadIndexRangeNoData"),
        (site_node("xw1.ac_power"), "0", "BadIndexRangeNoData"),  # a number has no parts
        (site_node("xw1.ac_power"), "0:1", "BadIndexRangeNoData"),
        (site_node("xw1.ac_power.EURange"), "0", "BadIndexRangeNoData"),  # nor has a structure
    ],
)
async def test_part_that_does_not_exist_is_refused(scene: Scene, node: str, part: str, status: str) -> None:
    assert await read_part(scene, node, part) == (status, None)
