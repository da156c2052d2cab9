"""Events over the wire: who gets which, with which fields, and what the audit says."""

import asyncio
from collections.abc import AsyncIterator
from typing import Any
from urllib.parse import urlsplit

import pytest
import pytest_asyncio
from asyncua import Client, ua

from address_space.event_types import COMMAND_EVENT_TYPE
from address_space.model import CommandResult, Outcome, Status
from address_space.shape import node_id
from node.roles import Role
from tests.e2e.server_stage import Keys, Stage, serving, site_node

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

IDS = ua.ObjectIds
BASE = node_id(IDS.BaseEventType)
FIELDS = ("EventType", "SourceNode", "SourceName", "Message", "Severity", "EventId", "Time")
CONFIRMED = CommandResult(Outcome.CONFIRMED, Status.GOOD, "inverter_status=Sell", 0.5, "")


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    async with serving(tmp_path_factory.mktemp("server"), keys) as stage:
        yield stage


def operand(name: str, definition: ua.NodeId = BASE, namespace: int = 0) -> ua.SimpleAttributeOperand:
    return ua.SimpleAttributeOperand(definition, [ua.QualifiedName(name, namespace)], ua.AttributeIds.Value, "")


def of_type(event_type: ua.NodeId) -> ua.ContentFilter:
    literal = ua.LiteralOperand(ua.Variant(event_type, ua.VariantType.NodeId))
    return ua.ContentFilter([ua.ContentFilterElement(ua.FilterOperator.OfType, [literal])])


class Watcher:
    """A subscription of a client with one event item; events come as dictionaries of their fields."""

    def __init__(self, client: Client, names: tuple[str, ...]) -> None:
        self.client = client
        self.names = names
        self.events: asyncio.Queue[dict[str, Any]] = asyncio.Queue()
        self.number = 0
        self.result: Any = None

    @classmethod
    async def on(
        cls,
        client: Client,
        node: ua.NodeId,
        *,
        more: tuple[ua.SimpleAttributeOperand, ...] = (),
        where: ua.ContentFilter | None = None,
        queue: int = 0,
        discard_oldest: bool = True,
        interval: float = 50,
    ) -> "Watcher":
        names = (*FIELDS, *(each.BrowsePath[0].Name for each in more))
        watcher = cls(client, names)
        parameters = ua.CreateSubscriptionParameters(interval, 1000, 20, 0, True, 0)
        made = await client.uaclient.create_subscription(parameters, watcher.take)
        watcher.number = made.SubscriptionId
        select = [*(operand(name) for name in FIELDS), *more]
        wanted = ua.EventFilter(select, where or ua.ContentFilter())
        item = ua.MonitoredItemCreateRequest(
            ua.ReadValueId(node, ua.AttributeIds.EventNotifier),
            ua.MonitoringMode.Reporting,
            ua.MonitoringParameters(7, 0.0, wanted, queue, discard_oldest),
        )
        [watcher.result] = await client.uaclient.create_monitored_items(
            ua.CreateMonitoredItemsParameters(made.SubscriptionId, ua.TimestampsToReturn.Both, [item])
        )
        return watcher

    async def take(self, published: ua.PublishResult) -> None:
        for data in published.NotificationMessage.NotificationData or ():
            if isinstance(data, ua.EventNotificationList):
                for event in data.Events:
                    assert event.ClientHandle == 7
                    values = [each.Value for each in event.EventFields]
                    self.events.put_nowait(dict(zip(self.names, values, strict=True)))

    async def next(self) -> dict[str, Any]:
        return await asyncio.wait_for(self.events.get(), 3)

    async def nothing(self) -> bool:
        await asyncio.sleep(0.3)
        return self.events.empty()

    async def end(self) -> None:
        await self.client.uaclient.delete_subscriptions([self.number])


COMMAND_MORE = tuple(operand(name, BASE, 3) for name in ("Command", "Outcome", "User"))


async def test_event_of_a_device_reaches_every_notifier_above_it(stage: Stage) -> None:
    async with stage.client("bob") as client:
        watchers = {
            name: await Watcher.on(client, node, more=COMMAND_MORE)
            for name, node in (
                ("server", node_id(IDS.Server)),
                ("site", site_node("_site")),
                ("device", site_node("xw1")),
                ("other", site_node("xw2")),
            )
        }
        stage.server.command_ended("xw1", "StartSell", "bob", CONFIRMED)
        found = [await watchers[name].next() for name in ("server", "site", "device")]
        assert found[0] == found[1] == found[2]
        assert found[0]["EventType"] == COMMAND_EVENT_TYPE
        assert found[0]["SourceNode"] == site_node("xw1")
        assert found[0]["SourceName"] == "Inverter 1"
        assert (found[0]["Command"], found[0]["Outcome"], found[0]["User"]) == ("StartSell", Outcome.CONFIRMED, "bob")
        assert len(found[0]["EventId"]) == 16
        assert await watchers["other"].nothing()
        for watcher in watchers.values():
            await watcher.end()


async def test_notifiers_are_linked_from_the_server_down(stage: Stage) -> None:
    async with stage.client("ann") as client:
        path = client.nodes.server
        for expected in ("_site", "xw1"):
            below = await path.get_referenced_nodes(IDS.HasNotifier, ua.BrowseDirection.Forward, includesubtypes=False)
            path = next(each for each in below if each.nodeid == site_node(expected))
            assert await path.read_attribute(ua.AttributeIds.EventNotifier) is not None
            value = (await path.read_attribute(ua.AttributeIds.EventNotifier)).Value.Value
            assert value == 1 << ua.EventNotifier.SubscribeToEvents


async def test_observers_see_no_commands_and_only_administrators_the_audit(stage: Stage) -> None:
    async with stage.client("ann") as ann, stage.client("bob") as bob, stage.client("ada") as ada:
        watchers = [await Watcher.on(each, node_id(IDS.Server)) for each in (ann, bob, ada)]
        stage.server.command_ended("xw1", "StartSell", "bob", CONFIRMED)
        await bob.get_node(site_node("xw1")).call_method(site_node("xw1.StartSell"))
        assert (await watchers[1].next())["EventType"] == COMMAND_EVENT_TYPE
        assert (await watchers[2].next())["EventType"] == COMMAND_EVENT_TYPE
        assert (await watchers[2].next())["EventType"] == node_id(IDS.AuditUpdateMethodEventType)
        assert await watchers[0].nothing()
        assert watchers[1].events.empty()


async def test_where_clause_takes_subtypes(stage: Stage) -> None:
    async with stage.client("ada") as client:
        audits = await Watcher.on(client, node_id(IDS.Server), where=of_type(node_id(IDS.AuditEventType)))
        commands = await Watcher.on(client, node_id(IDS.Server), where=of_type(COMMAND_EVENT_TYPE))
        stage.server.command_ended("xw1", "StartSell", "bob", CONFIRMED)
        async with stage.client("ann"):
            pass
        assert (await audits.next())["EventType"] == node_id(IDS.AuditOpenSecureChannelEventType)
        assert (await audits.next())["EventType"] == node_id(IDS.AuditCreateSessionEventType)
        assert (await audits.next())["EventType"] == node_id(IDS.AuditActivateSessionEventType)
        assert (await commands.next())["EventType"] == COMMAND_EVENT_TYPE
        assert await commands.nothing()


AUDIT_MORE = tuple(operand(name) for name in ("Status", "ClientUserId", "ServerId", "ActionTimeStamp"))


async def next_of(watcher: Watcher, event_type: int) -> dict[str, Any]:
    while True:
        event = await watcher.next()
        if event["EventType"] == node_id(event_type):
            return event


async def test_audit_tells_of_writes_with_old_and_new_value(stage: Stage) -> None:
    values = tuple(operand(name) for name in ("OldValue", "NewValue", "AttributeId"))
    async with stage.client("ada") as ada, stage.client("eve") as eve, stage.client("bob") as bob:
        watcher = await Watcher.on(ada, node_id(IDS.Server), more=(*AUDIT_MORE, *values))
        stage.publish("charge_limit", 20.0)
        await eve.get_node(site_node("xw1.charge_limit")).write_value(ua.DataValue(ua.Variant(30.0)))
        event = await next_of(watcher, IDS.AuditWriteUpdateEventType)
        assert event["SourceNode"] == site_node("xw1.charge_limit")
        assert (event["OldValue"], event["NewValue"]) == (20.0, 30.0)
        assert (event["Status"], event["ClientUserId"], event["ServerId"]) == (True, "eve", "urn:test:server")
        with pytest.raises(ua.UaStatusCodeError):
            await bob.get_node(site_node("xw1.charge_limit")).write_value(ua.DataValue(ua.Variant(40.0)))
        event = await next_of(watcher, IDS.AuditWriteUpdateEventType)
        assert (event["Status"], event["ClientUserId"], event["NewValue"]) == (False, "bob", 40.0)


async def test_refused_writes_fill_no_log(stage: Stage) -> None:
    limit, value = site_node("xw1.charge_limit"), operand("NewValue")
    async with stage.client("ada") as ada, stage.client("ann") as ann:
        where = of_type(node_id(IDS.AuditUpdateEventType))
        watcher = await Watcher.on(ada, node_id(IDS.Server), more=(*AUDIT_MORE, value), where=where)
        long = ua.DataValue(ua.Variant("x" * 20_000))
        params = ua.WriteParameters([ua.WriteValue(limit, ua.AttributeIds.Value, None, long)] * 70)
        await ann.uaclient.write(params)
        events = [await watcher.next() for _ in range(51)]
        assert {(each["EventType"], each["NewValue"]) for each in events[:50]} == {
            (node_id(IDS.AuditWriteUpdateEventType), None)
        }
        assert events[50]["EventType"] == node_id(IDS.AuditUpdateEventType)
        assert "20 more" in events[50]["Message"].Text


async def test_audit_tells_of_calls_once_with_what_came_of_them(stage: Stage) -> None:
    values = tuple(operand(name) for name in ("MethodId", "StatusCodeId", "InputArguments", "OutputArguments"))
    limit = ua.Variant(50, ua.VariantType.Int32)
    async with stage.client("ada") as ada, stage.client("bob") as bob, stage.client("ann") as ann:
        watcher = await Watcher.on(
            ada,
            node_id(IDS.Server),
            more=(*AUDIT_MORE, *values),
            where=of_type(node_id(IDS.AuditUpdateMethodEventType)),
        )
        await bob.get_node(site_node("xw1")).call_method(site_node("xw1.SetLimit"), limit)
        event = await watcher.next()
        assert event["SourceNode"] == site_node("xw1")
        assert event["MethodId"] == site_node("xw1.SetLimit")
        assert (event["Status"], event["ClientUserId"]) == (True, "bob")
        assert [each.Value for each in event["InputArguments"]] == [50]
        assert event["OutputArguments"][0].Value == Outcome.CONFIRMED
        for path in ("xw1.StartSell", "xw1.Nothing"):
            with pytest.raises(ua.UaStatusCodeError):
                await ann.get_node(site_node("xw1")).call_method(site_node(path))
            event = await watcher.next()
            assert (event["MethodId"], event["Status"], event["ClientUserId"]) == (site_node(path), False, "ann")
        assert await watcher.nothing()


async def test_audit_tells_of_refused_users_and_certificates_without_secrets(stage: Stage) -> None:
    more = (*AUDIT_MORE, operand("UserIdentityToken"))
    async with stage.client("ada") as ada:
        watcher = await Watcher.on(ada, node_id(IDS.Server), more=more)
        with pytest.raises(ua.UaStatusCodeError):
            async with stage.client("ann", password="wrong"):
                pass
        event = await next_of(watcher, IDS.AuditActivateSessionEventType)
        assert event["Status"] is False
        assert event["UserIdentityToken"].UserName is None
        assert event["UserIdentityToken"].Password is None
        async with stage.client("ann"):
            pass
        event = await next_of(watcher, IDS.AuditActivateSessionEventType)
        assert (event["Status"], event["ClientUserId"]) == (True, "ann")
        with pytest.raises((ua.UaStatusCodeError, ConnectionError, TimeoutError)):
            async with stage.client("ann", key="stranger"):
                pass
        event = await next_of(watcher, IDS.AuditCertificateUntrustedEventType)
        assert event["Status"] is False
        assert (await next_of(watcher, IDS.AuditOpenSecureChannelEventType))["Status"] is False


@pytest.mark.parametrize("discard_oldest", [True, False])
async def test_full_queue_leaves_an_overflow_event(stage: Stage, discard_oldest: bool) -> None:
    async with stage.client("bob") as client:
        watcher = await Watcher.on(
            client,
            node_id(IDS.Server),
            more=COMMAND_MORE,
            queue=10,
            discard_oldest=discard_oldest,
            where=of_type(COMMAND_EVENT_TYPE),
        )
        assert watcher.result.RevisedQueueSize == 10
        for number in range(15):
            stage.server.command_ended("xw1", f"Command{number}", "bob", CONFIRMED)
        commands = [await watcher.next() for _ in range(11)]
        overflow = commands.pop(0 if discard_oldest else -1)
        assert overflow["EventType"] == node_id(IDS.EventQueueOverflowEventType)
        first = 5 if discard_oldest else 0
        assert [each["Command"] for each in commands] == [f"Command{number}" for number in range(first, first + 10)]
        stage.server.command_ended("xw1", "Later", "bob", CONFIRMED)
        assert (await watcher.next())["Command"] == "Later"
        rows = await client.get_node(IDS.Server_ServerDiagnostics_SubscriptionDiagnosticsArray).read_value()
        counts = next(each for each in rows if each.SubscriptionId == watcher.number)
        assert counts.EventQueueOverflowCount == 5
        assert counts.EventNotificationsCount == 12


async def test_filters_are_answered(stage: Stage) -> None:
    async with stage.client("ann") as client:
        watcher = await Watcher.on(client, node_id(IDS.Server), more=(operand("Severity", node_id(IDS.FolderType)),))
        assert watcher.result.StatusCode.is_good()
        statuses = [each.name for each in watcher.result.FilterResult.SelectClauseResults]
        assert statuses == ["Good"] * len(FIELDS) + ["BadTypeDefinitionInvalid"]
        in_view = ua.ContentFilter(
            [ua.ContentFilterElement(ua.FilterOperator.InView, [ua.LiteralOperand(ua.Variant(1))])]
        )
        refused = await Watcher.on(client, node_id(IDS.Server), where=in_view)
        assert refused.result.StatusCode.name == "BadEventFilterInvalid"
        [element] = refused.result.FilterResult.WhereClauseResult.ElementResults
        assert element.StatusCode.name == "BadFilterOperatorUnsupported"
        silent = await Watcher.on(client, node_id(IDS.ObjectsFolder))
        assert silent.result.StatusCode.name == "BadNotSupported"


async def test_filter_and_mode_are_changed(stage: Stage) -> None:
    async with stage.client("bob") as client:
        watcher = await Watcher.on(client, node_id(IDS.Server), where=of_type(node_id(IDS.AuditEventType)))
        stage.server.command_ended("xw1", "Unwanted", "bob", CONFIRMED)
        wanted = ua.EventFilter([operand(name) for name in FIELDS], of_type(COMMAND_EVENT_TYPE))
        modify = ua.ModifyMonitoredItemsParameters()
        modify.SubscriptionId = watcher.number
        modify.ItemsToModify = [
            ua.MonitoredItemModifyRequest(
                watcher.result.MonitoredItemId, ua.MonitoringParameters(7, 0.0, wanted, 0, True)
            )
        ]
        [result] = await client.uaclient.modify_monitored_items(modify)
        assert result.StatusCode.is_good()
        stage.server.command_ended("xw1", "Wanted", "bob", CONFIRMED)
        assert "Wanted" in (await watcher.next())["Message"].Text
        for mode in (ua.MonitoringMode.Disabled, ua.MonitoringMode.Reporting):
            request = ua.SetMonitoringModeRequest()
            request.Parameters.SubscriptionId = watcher.number
            request.Parameters.MonitoringMode = mode
            request.Parameters.MonitoredItemIds = [watcher.result.MonitoredItemId]
            await client.uaclient.protocol.send_request(request)
            stage.server.command_ended("xw1", mode.name, "bob", CONFIRMED)
        assert "Reporting" in (await watcher.next())["Message"].Text
        await watcher.end()


async def test_refresh_of_conditions_has_a_start_and_an_end(stage: Stage) -> None:
    condition_type = node_id(IDS.ConditionType)
    refresh, refresh_item = node_id(IDS.ConditionType_ConditionRefresh), node_id(IDS.ConditionType_ConditionRefresh2)
    number = ua.VariantType.UInt32
    async with stage.client("ann") as client, stage.client("bob") as other:
        watcher = await Watcher.on(client, node_id(IDS.Server), where=of_type(node_id(IDS.AuditEventType)))
        subscription = ua.Variant(watcher.number, number)
        item = ua.Variant(watcher.result.MonitoredItemId, number)
        node = client.get_node(condition_type)
        for method, arguments in ((refresh, (subscription,)), (refresh_item, (subscription, item))):
            await node.call_method(method, *arguments)
            found = [(await watcher.next())["EventType"] for _ in range(2)]
            assert found == [node_id(IDS.RefreshStartEventType), node_id(IDS.RefreshEndEventType)]
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await node.call_method(refresh, ua.Variant(1, number))
        assert caught.value.code == ua.StatusCodes.BadSubscriptionIdInvalid
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await other.get_node(condition_type).call_method(refresh, subscription)
        assert caught.value.code == ua.StatusCodes.BadUserAccessDenied


@pytest.mark.parametrize("request_type", [ua.QueryFirstRequest, ua.AddNodesRequest, ua.DeleteReferencesRequest])
async def test_what_is_not_offered_is_unsupported(stage: Stage, request_type: Any) -> None:
    async with stage.client("ada") as client:
        with pytest.raises(ua.UaStatusCodeError) as caught:
            await client.uaclient.protocol.send_request(request_type())
        assert caught.value.code == ua.StatusCodes.BadServiceUnsupported


async def test_audit_tells_what_a_client_has_asked_for_and_what_was_wrong_with_it(stage: Stage) -> None:
    names = ("RequestType", "RequestedLifetime", "Certificate", "InvalidUri", "EndpointUrl", "RequestHandle")
    async with stage.client("ada") as ada:
        watcher = await Watcher.on(ada, node_id(IDS.Server), more=(*AUDIT_MORE, *map(operand, names)))
        stranger = await stage.client("ann").secured()
        stranger.application_uri = "urn:somebody:else"
        with pytest.raises((ua.UaStatusCodeError, ConnectionError, TimeoutError)):
            await stranger.connect()
        event = await next_of(watcher, IDS.AuditOpenSecureChannelEventType)
        assert (event["RequestType"], event["RequestedLifetime"]) == (0, 3_600_000)
        event = await next_of(watcher, IDS.AuditCertificateDataMismatchEventType)
        assert event["SourceName"] == "Security/Certificate"
        assert event["InvalidUri"] == "urn:somebody:else"
        assert event["Certificate"] == stage.keys.of("client").certificate.der
        lost = await stage.client("ann").secured()
        try:
            await lost.connect_socket()
            await lost.send_hello()
            await lost.open_secure_channel()
            lost._server_url = urlsplit("opc.tcp://gone.example:4840")
            await lost.create_session()
            event = await next_of(watcher, IDS.AuditUrlMismatchEventType)
            assert (event["EndpointUrl"], event["Status"]) == ("opc.tcp://gone.example:4840", True)
        finally:
            lost.disconnect_socket()
        cancel = ua.CancelRequest()
        cancel.Parameters.RequestHandle = 77
        await ada.uaclient.protocol.send_request(cancel)
        event = await next_of(watcher, IDS.AuditCancelEventType)
        assert (event["RequestHandle"], event["SourceName"], event["ClientUserId"]) == (77, "Session/Cancel", "ada")


async def test_audit_tells_of_sessions_that_the_server_ends(stage: Stage) -> None:
    stage.users.add("tim", "password-of-tim", Role.OBSERVER)
    async with stage.client("ada") as ada:
        watcher = await Watcher.on(ada, node_id(IDS.Server), more=(*AUDIT_MORE, operand("SessionId")))
        client = await stage.client("tim", password="password-of-tim").secured()
        await client.connect()
        made = await next_of(watcher, IDS.AuditActivateSessionEventType)
        stage.users.remove("tim")
        event = await next_of(watcher, IDS.AuditSessionEventType)
        assert (event["SourceName"], event["ClientUserId"]) == ("Session/Terminated", "tim")
        assert event["SessionId"] == made["SessionId"]
        client.disconnect_socket()
