"""What each role may do, and what it is told about that; real sockets."""

from collections.abc import AsyncIterator

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.ua.uaerrors import BadUserAccessDenied

from node.roles import Role
from tests.e2e.server_stage import ROLES, Keys, Stage, serving, site_node

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

IDS = ua.AttributeIds
MAY = ua.PermissionType
OBSERVER, OPERATOR, ENGINEER, CONFIGURE, SECURITY = 15668, 15680, 16036, 15716, 15704
# Well-known roles of each user, the user's own last (OPC 10000-3 section 4.9.2).
KNOWN = {
    "ann": (OBSERVER,),
    "bob": (OBSERVER, OPERATOR),
    "eve": (OBSERVER, OPERATOR, ENGINEER),
    "ada": (OBSERVER, OPERATOR, ENGINEER, CONFIGURE, SECURITY),
}
LOOK = MAY.Browse | MAY.ReadRolePermissions
SETTING, READING, METHOD = site_node("xw1.charge_limit"), site_node("xw1.ac_power"), site_node("xw1.StartSell")
USERS = pytest.mark.parametrize("user", KNOWN)


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    async with serving(tmp_path_factory.mktemp("roles"), keys) as stage:
        yield stage


async def read(client: Client, node: ua.NodeId, attribute: IDS) -> ua.DataValue:
    return await client.get_node(node).read_attribute(attribute, raise_on_bad_status=False)


async def permissions(client: Client, node: ua.NodeId, attribute: IDS) -> dict[int, ua.PermissionType]:
    value = (await read(client, node, attribute)).Value
    assert value is not None
    return {each.RoleId.Identifier: MAY(each.Permissions) for each in value.Value}


@USERS
async def test_role_permissions_are_the_same_for_all(stage: Stage, user: str) -> None:
    async with stage.client(user) as client:
        setting = await permissions(client, SETTING, IDS.RolePermissions)
        assert setting[OBSERVER] == setting[OPERATOR] == LOOK | MAY.Read
        assert setting[ENGINEER] == setting[CONFIGURE] == setting[SECURITY] == LOOK | MAY.Read | MAY.Write
        method = await permissions(client, METHOD, IDS.RolePermissions)
        assert method[OBSERVER] == LOOK
        assert method[OPERATOR] == method[ENGINEER] == method[SECURITY] == LOOK | MAY.Call
        assert set((await permissions(client, READING, IDS.RolePermissions)).values()) == {LOOK | MAY.Read}


@USERS
async def test_a_user_has_the_permissions_of_its_own_roles(stage: Stage, user: str) -> None:
    async with stage.client(user) as client:
        for node in (SETTING, METHOD, READING, ua.NodeId(ua.ObjectIds.Server), ua.NodeId(2259)):
            own = await permissions(client, node, IDS.UserRolePermissions)
            assert tuple(own) == KNOWN[user]
            everybody = await permissions(client, node, IDS.RolePermissions)
            assert own.items() <= everybody.items()


@USERS
async def test_user_rights_are_the_roles(stage: Stage, user: str) -> None:
    role = ROLES[user]
    async with stage.client(user) as client:
        writes = bool((await read(client, SETTING, IDS.UserAccessLevel)).Value.Value & ua.AccessLevel.CurrentWrite.mask)
        assert writes == (role >= Role.ENGINEER)
        assert (await read(client, SETTING, IDS.AccessLevel)).Value.Value & ua.AccessLevel.CurrentWrite.mask
        assert (await read(client, METHOD, IDS.UserExecutable)).Value.Value is (role >= Role.OPERATOR)
        assert (await read(client, METHOD, IDS.Executable)).Value.Value is True
        assert (
            await read(client, SETTING, IDS.AccessRestrictions)
        ).Value.Value == ua.AccessRestrictionType.SessionRequired
        for mask in (IDS.WriteMask, IDS.UserWriteMask):
            assert (await read(client, SETTING, mask)).Value.Value == 0


@USERS
async def test_what_a_role_may_not_do_is_refused(stage: Stage, user: str) -> None:
    role = ROLES[user]
    stage.desk.calls.clear()
    stage.desk.writes.clear()
    async with stage.client(user) as client:
        value = ua.DataValue(ua.Variant(12.0, ua.VariantType.Double))
        write = ua.WriteValue(SETTING, IDS.Value, Value=value)
        (status,) = await client.uaclient.write(ua.WriteParameters([write]))
        call = ua.CallMethodRequest(site_node("xw1"), METHOD, [])
        (result,) = await client.uaclient.call([call])
    refused = ua.StatusCodes.BadUserAccessDenied
    assert (status.value == refused) == (role < Role.ENGINEER)
    assert (result.StatusCode.value == refused) == (role < Role.OPERATOR)
    assert [caller.user for *_, caller in stage.desk.writes] == ([user] if role >= Role.ENGINEER else [])


async def test_nobody_writes_anything_but_values(stage: Stage) -> None:
    async with stage.client("ada") as client:
        nodes = (SETTING, READING, METHOD, site_node("xw1"), ua.NodeId(ua.ObjectIds.Server), ua.NodeId(2259))
        wanted = [
            ua.WriteValue(node, attribute, Value=ua.DataValue(ua.Variant(1, ua.VariantType.UInt32)))
            for node in nodes
            for attribute in IDS
            if attribute != IDS.Value
        ]
        answers = await client.uaclient.write(ua.WriteParameters(wanted))
        assert {each.name for each in answers} <= {"BadNotWritable", "BadAttributeIdInvalid"}
        for node in (READING, ua.NodeId(2259)):
            write = ua.WriteValue(node, IDS.Value, Value=ua.DataValue(ua.Variant(1.0)))
            assert [s.name for s in await client.uaclient.write(ua.WriteParameters([write]))] == ["BadNotWritable"]


async def test_role_is_looked_at_before_the_arguments(stage: Stage) -> None:
    """Whoever may not call a method learns nothing of what it takes."""
    many = [ua.Variant("no number")] * 3
    async with stage.client("ann") as client:
        with pytest.raises(BadUserAccessDenied):
            await client.get_node(site_node("xw1")).call_method(site_node("xw1.SetLimit"), *many)


async def test_methods_of_the_library_are_nobodys(stage: Stage) -> None:
    async with stage.client("ada") as client:
        server = client.get_node(ua.ObjectIds.Server)
        for method in (ua.ObjectIds.Server_SetSubscriptionDurable, ua.ObjectIds.Server_RequestServerStateChange):
            with pytest.raises(ua.UaStatusCodeError):
                await server.call_method(ua.NodeId(method))


@USERS
async def test_what_a_role_may_not_read_comes_by_no_way(stage: Stage, user: str) -> None:
    secret = ua.NodeId(ua.ObjectIds.Server_ServerDiagnostics_SessionsDiagnosticsSummary_SessionSecurityDiagnosticsArray)
    async with stage.client(user) as client:
        level = (await read(client, secret, IDS.UserAccessLevel)).Value.Value
        found = [(await read(client, secret, IDS.Value)).StatusCode]
        made = await client.uaclient.create_subscription(ua.CreateSubscriptionParameters(), object())
        items = ua.CreateMonitoredItemsParameters(made.SubscriptionId, ua.TimestampsToReturn.Both)
        item = ua.MonitoringParameters(1, 0.0, None, 1, True)
        items.ItemsToCreate = [ua.MonitoredItemCreateRequest(ua.ReadValueId(secret, IDS.Value), 2, item)]
        found += [each.StatusCode for each in await client.uaclient.create_monitored_items(items)]
    admin = ROLES[user] is Role.ADMIN
    assert bool(level & ua.AccessLevel.CurrentRead.mask) == admin
    assert [each.name for each in found] == ["Good" if admin else "BadUserAccessDenied"] * 2
