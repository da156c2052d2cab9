"""Settings are written and commands called through the desk; every other try is told what is wrong."""

import asyncio
from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asyncua import Client, ua

from address_space.model import CommandResult, Outcome, Status
from node.roles import Role
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, Stage, serving, site_node, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SIGN = ua.MessageSecurityMode.Sign
ENCRYPT = ua.MessageSecurityMode.SignAndEncrypt
VALUE = ua.AttributeIds.Value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    config = ServerConfig(listen=Listen("127.0.0.1", 0))
    async with serving(tmp_path_factory.mktemp("server"), keys, config) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def client(stage: Stage) -> AsyncIterator[Client]:
    """An Engineer."""
    async with stage.client("eve") as client:
        yield client


@pytest.fixture(autouse=True)
def fresh_desk(stage: Stage) -> None:
    stage.desk.begin_anew()


# --- write


async def write(client: Client, node: ua.NodeId, value: ua.DataValue, attribute: int = VALUE, part: str = "") -> str:
    item = ua.WriteValue(node, attribute, part or None, value)
    return (await client.uaclient.write(ua.WriteParameters([item])))[0].name


def double(value: float) -> ua.DataValue:
    return ua.DataValue(ua.Variant(value, ua.VariantType.Double))


async def test_engineer_writes_a_setting_through_the_desk(stage: Stage, client: Client) -> None:
    assert await write(client, site_node("xw1.charge_limit"), double(50.0)) == "Good"
    ((device, point, value, caller),) = stage.desk.writes
    assert (device, point, value, caller.user, caller.role) == ("xw1", "charge_limit", 50.0, "eve", Role.ENGINEER)
    stage.desk.result = CommandResult(Outcome.REFUSED, Status.BAD_OUT_OF_RANGE, "", 0.0, "above 140")
    assert await write(client, site_node("xw1.charge_limit"), double(500.0)) == "BadOutOfRange"


async def test_nothing_else_is_written(stage: Stage) -> None:
    limit, power = site_node("xw1.charge_limit"), site_node("xw1.ac_power")
    stamped = double(5.0)
    object.__setattr__(stamped, "SourceTimestamp", ua.DateTime(2026, 1, 1))
    text = ua.DataValue(ua.Variant("x", ua.VariantType.String))
    array = ua.DataValue(ua.Variant([5.0], ua.VariantType.Double))
    whole = ua.DataValue(ua.Variant(5, ua.VariantType.Int32))
    bad = ua.DataValue(ua.Variant(5.0, ua.VariantType.Double), ua.StatusCode(ua.StatusCodes.BadSensorFailure))
    async with stage.client("ada") as admin:
        results = {
            "unknown": await write(admin, site_node("xw1.nothing"), double(5.0)),
            "measured": await write(admin, power, double(5.0)),
            "no control": await write(admin, site_node("xw2.charge_limit"), double(5.0)),
            "attribute": await write(admin, limit, text, ua.AttributeIds.DisplayName),
            "no attribute": await write(admin, limit, text, ua.AttributeIds.Executable),
            "namespace 0": await write(admin, ua.NodeId(ua.ObjectIds.Server_ServiceLevel), double(5.0)),
            "property": await write(admin, site_node("xw1.charge_limit.EURange"), double(5.0)),
            "text": await write(admin, limit, text),
            "array": await write(admin, limit, array),
            "other number": await write(admin, limit, whole),
            "null": await write(admin, limit, ua.DataValue()),
            "part": await write(admin, limit, double(5.0), part="0"),
            "time": await write(admin, limit, stamped),
            "status": await write(admin, limit, bad),
        }
    assert results == {
        "unknown": "BadNodeIdUnknown",
        "measured": "BadNotWritable",
        "no control": "BadNotWritable",
        "attribute": "BadNotWritable",
        "no attribute": "BadAttributeIdInvalid",
        "namespace 0": "BadNotWritable",
        "property": "BadNotWritable",
        "text": "BadTypeMismatch",
        "array": "BadTypeMismatch",
        "other number": "BadTypeMismatch",
        "null": "BadTypeMismatch",
        "part": "BadWriteNotSupported",
        "time": "BadWriteNotSupported",
        "status": "BadWriteNotSupported",
    }
    assert stage.desk.writes == []


@pytest.mark.parametrize("user", ["ann", "bob"])
async def test_settings_need_an_engineer(stage: Stage, user: str) -> None:
    async with stage.client(user) as client:
        assert await write(client, site_node("xw1.charge_limit"), double(50.0)) == "BadUserAccessDenied"
    assert stage.desk.writes == []


async def test_nodes_are_neither_added_nor_deleted(stage: Stage) -> None:
    async with stage.client("ada") as admin:
        for call in (
            admin.uaclient.add_nodes([ua.AddNodesItem()]),
            admin.uaclient.delete_nodes(ua.DeleteNodesParameters([ua.DeleteNodesItem(site_node("xw1"), True)])),
            admin.uaclient.add_references([ua.AddReferencesItem()]),
            admin.uaclient.delete_references([ua.DeleteReferencesItem()]),
        ):
            with pytest.raises(ua.uaerrors.BadServiceUnsupported):
                await call


# --- call


async def call(client: Client, obj: str | int, method: ua.NodeId, *inputs: ua.Variant) -> ua.CallMethodResult:
    node = site_node(obj) if isinstance(obj, str) else ua.NodeId(obj)
    return (await client.uaclient.call([ua.CallMethodRequest(node, method, list(inputs))]))[0]


@pytest.mark.parametrize("obj", ["xw1", "xw1.MethodSet", "xw1.Operational"])
async def test_operator_calls_a_command(stage: Stage, obj: str) -> None:
    async with stage.client("bob") as client:
        result = await call(client, obj, site_node("xw1.StartSell"))
    assert result.StatusCode.is_good()
    outcome, observed, elapsed, reason = (each.Value for each in result.OutputArguments)
    assert (outcome, observed, elapsed, reason.Text) == (0, "inverter_status=Sell", 500.0, "")
    ((device, command, arguments, caller),) = stage.desk.calls
    assert (device, command, arguments, caller.user, caller.role) == ("xw1", "StartSell", [], "bob", Role.OPERATOR)


async def test_method_may_be_named_by_its_declaration(stage: Stage, client: Client) -> None:
    type_id = await client.get_node(site_node("xw1")).read_type_definition()
    found = await client.get_node(type_id).get_child(["2:MethodSet", "3:StartSell"])
    result = await call(client, "xw1", found.nodeid)
    assert result.StatusCode.is_good()
    assert stage.desk.calls[0][:2] == ("xw1", "StartSell")


async def test_call_says_what_is_wrong(stage: Stage, client: Client) -> None:
    limit = site_node("xw1.SetLimit")
    number, text = ua.Variant(5, ua.VariantType.Int32), ua.Variant("x", ua.VariantType.String)
    results = {
        "unknown object": await call(client, "nothing", limit, number),
        "other device": await call(client, "xw2", limit, number),
        "unknown method": await call(client, "xw1", site_node("xw1.Nothing")),
        "no method": await call(client, "xw1", site_node("xw1.ac_power")),
        "missing": await call(client, "xw1", limit),
        "too many": await call(client, "xw1", limit, number, number),
        "type": await call(client, "xw1", limit, text),
        "other number": await call(client, "xw1", limit, ua.Variant(5, ua.VariantType.Int64)),
        "array": await call(client, "xw1", limit, ua.Variant([5], ua.VariantType.Int32)),
        "no argument": await call(client, ua.ObjectIds.Server, ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems)),
    }
    assert {name: result.StatusCode.name for name, result in results.items()} == {
        "unknown object": "BadNodeIdUnknown",
        "other device": "BadMethodInvalid",
        "unknown method": "BadMethodInvalid",
        "no method": "BadMethodInvalid",
        "missing": "BadArgumentsMissing",
        "too many": "BadTooManyArguments",
        "type": "BadInvalidArgument",
        "other number": "BadInvalidArgument",
        "array": "BadInvalidArgument",
        "no argument": "BadArgumentsMissing",
    }
    assert [each.name for each in results["type"].InputArgumentResults] == ["BadTypeMismatch"]
    assert stage.desk.calls == []


async def test_desk_decides_about_roles_and_outcomes(stage: Stage, client: Client) -> None:
    async with stage.client("ann") as observer:
        assert (await call(observer, "xw1", site_node("xw1.StartSell"))).StatusCode.name == "BadUserAccessDenied"
    stage.desk.result = CommandResult(Outcome.MISMATCH, Status.UNCERTAIN, "inverter_status=Standby", 2.0, "other state")
    result = await call(client, "xw1", site_node("xw1.StartSell"))
    assert result.StatusCode.is_uncertain()
    assert result.OutputArguments[0].Value == Outcome.MISMATCH
    stage.desk.result = CommandResult(Outcome.FAILED, Status.BAD_DEVICE_FAILURE, "", 2.0, "exception 4")
    result = await call(client, "xw1", site_node("xw1.StartSell"))
    assert (result.StatusCode.name, result.OutputArguments) == ("BadDeviceFailure", [])


async def test_slow_call_and_slow_write_keep_nobody_waiting(stage: Stage, client: Client) -> None:
    stage.desk.may_answer.clear()
    slow = asyncio.ensure_future(call(client, "xw1", site_node("xw1.StartSell")))
    writing = asyncio.ensure_future(write(client, site_node("xw1.charge_limit"), double(5.0)))
    await until(lambda: bool(stage.desk.calls and stage.desk.writes))
    async with asyncio.timeout(5):
        stage.publish("ac_power", 3.0)
        assert await client.get_node(site_node("xw1.ac_power")).read_value() == 3.0
    assert not slow.done()
    assert not writing.done()
    stage.desk.may_answer.set()
    assert (await slow).StatusCode.is_good()
    assert await writing == "Good"


async def test_command_goes_on_when_its_client_leaves(stage: Stage) -> None:
    stage.desk.may_answer.clear()
    client = await stage.client("bob").secured()
    await client.connect()
    slow = asyncio.ensure_future(call(client, "xw1", site_node("xw1.StartSell")))
    await until(lambda: bool(stage.desk.calls))
    async with asyncio.timeout(5):
        client.uaclient.protocol.transport.abort()
        await asyncio.gather(slow, return_exceptions=True)
        stage.desk.may_answer.set()
        await stage.desk.done.wait()
    await client.disconnect()
