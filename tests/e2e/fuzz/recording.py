"""Valid sessions as the bytes that a client has sent, recorded by a proxy in front of the server."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager, suppress
from dataclasses import dataclass, field
from typing import Any

from asyncua import Client, ua
from asyncua.ua.ua_binary import nodeid_to_binary

from tests.e2e.fuzz.channel import response
from tests.e2e.server_stage import site_node

HEAD_BYTES = 24  # of a MSG chunk without security: type, size, channel, token, numbers
TOKEN = slice(4, 43)  # of the session, in the body of a request


@dataclass
class Recording:
    """One session: its chunks in their order, and what in them belongs to that session alone."""

    chunks: list[bytes] = field(default_factory=list)
    token: bytes = b""
    subscription: int = 0

    def bodies(self, token: ua.NodeId, subscription: int) -> list[bytes]:
        """The requests as another session would send them."""
        theirs, mine = struct.pack("<I", self.subscription), struct.pack("<I", subscription)
        own_token = nodeid_to_binary(token)
        bodies = [chunk[HEAD_BYTES:] for chunk in self.chunks if chunk.startswith(b"MSGF")]
        return [
            body[: TOKEN.start] + own_token + body[TOKEN.stop :].replace(theirs, mine)
            if body[TOKEN] == self.token
            else body
            for body in bodies
        ]

    @property
    def opening(self) -> list[bytes]:
        """How it began: Hello and OpenSecureChannel."""
        return [chunk for chunk in self.chunks if chunk[:3] in (b"HEL", b"OPN")]


@asynccontextmanager
async def _tapped(port: int, recording: Recording) -> AsyncIterator[int]:
    """A port that leads to the server; what a client sends is recorded."""
    pumps: list[asyncio.Task[None]] = []

    async def to_server(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                head = await reader.readexactly(8)
                chunk = head + await reader.readexactly(int.from_bytes(head[4:], "little") - 8)
                recording.chunks.append(chunk)
                writer.write(chunk)

    async def to_client(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with suppress(ConnectionError):
            while data := await reader.read(65_536):
                writer.write(data)
        writer.close()
        await writer.wait_closed()

    async def accept(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        server_reader, server_writer = await asyncio.open_connection("127.0.0.1", port)
        pumps.append(asyncio.create_task(to_client(server_reader, writer)))
        await to_server(reader, server_writer)
        server_writer.close()
        await server_writer.wait_closed()

    listener = await asyncio.start_server(accept, "127.0.0.1", 0)
    try:
        yield listener.sockets[0].getsockname()[1]
    finally:
        listener.close()
        await listener.wait_closed()
        await asyncio.gather(*pumps)


async def record(port: int) -> Recording:
    """A session in which a client uses every service that there is, without security."""
    recording = Recording()
    async with _tapped(port, recording) as tap:
        client = Client(f"opc.tcp://127.0.0.1:{tap}", timeout=10)
        try:
            await _use_everything(client, recording)
        finally:
            client.disconnect_socket()
    return recording


async def _use_everything(client: Client, recording: Recording) -> None:
    await client.connect_socket()
    await client.send_hello()
    await client.open_secure_channel()
    await client.uaclient.find_servers(ua.FindServersParameters())
    await client.get_endpoints()
    await client.create_session()
    await client.activate_session()
    recording.token = nodeid_to_binary(client.uaclient.protocol.authentication_token)
    for request in _attribute_requests() + _view_requests():
        await ask(client, request)
    recording.subscription = (await ask(client, subscription_request())).Parameters.SubscriptionId
    made = await ask(client, items_request(recording.subscription))
    ids = [each.MonitoredItemId for each in made.Results]
    for request in subscription_requests(recording.subscription, ids):
        await ask(client, request)
    await client.close_session()
    await client.close_secure_channel()


async def ask(client: Client, request: Any) -> Any:
    """Send a request; a refusal is as good an end of it as an answer."""
    with suppress(ua.UaStatusCodeError):
        return response(bytes(await client.uaclient.protocol.send_request(request)))
    return None


def _attribute_requests() -> list[Any]:
    power, limit, method = site_node("xw1.ac_power"), site_node("xw1.charge_limit"), site_node("xw1.SetLimit")
    read = ua.ReadRequest()
    read.Parameters.NodesToRead = [
        ua.ReadValueId(power, ua.AttributeIds.Value),
        ua.ReadValueId(power, ua.AttributeIds.Value, "0:1", ua.QualifiedName("Default Binary", 0)),
        ua.ReadValueId(ua.NodeId(ua.ObjectIds.Server_NamespaceArray), ua.AttributeIds.Value, "1:2"),
        ua.ReadValueId(ua.NodeId(ua.ObjectIds.Server_ServerStatus), ua.AttributeIds.Value),
        ua.ReadValueId(limit, ua.AttributeIds.RolePermissions),
    ]
    many = ua.ReadRequest()
    many.Parameters.NodesToRead = [ua.ReadValueId(power, attribute) for attribute in range(1, 28)]
    write = ua.WriteRequest()
    write.Parameters.NodesToWrite = [
        ua.WriteValue(limit, ua.AttributeIds.Value, None, ua.DataValue(ua.Variant(12.5))),
        ua.WriteValue(power, ua.AttributeIds.Value, "1", ua.DataValue(ua.Variant([1.5, 2.5]))),
        ua.WriteValue(power, ua.AttributeIds.Value, None, ua.DataValue(ua.Variant([[1, 2], [3, 4]]))),
    ]
    call = ua.CallRequest()
    call.Parameters.MethodsToCall = [
        ua.CallMethodRequest(site_node("xw1"), method, [ua.Variant(5, ua.VariantType.Int32)]),
        ua.CallMethodRequest(
            ua.NodeId(ua.ObjectIds.Server),
            ua.NodeId(ua.ObjectIds.Server_GetMonitoredItems),
            [ua.Variant(1, ua.VariantType.UInt32)],
        ),
    ]
    requests = [read, many, write, call]
    for details in (ua.ReadRawModifiedDetails(), ua.ReadProcessedDetails(), ua.ReadAtTimeDetails()):
        history = ua.HistoryReadRequest()
        history.Parameters.HistoryReadDetails = details
        history.Parameters.NodesToRead = [ua.HistoryReadValueId(power)]
        requests.append(history)
    return requests


def _view_requests() -> list[Any]:
    power = site_node("xw1.ac_power")
    browse = ua.BrowseRequest()
    browse.Parameters.NodesToBrowse = [
        ua.BrowseDescription(site_node("xw1"), ua.BrowseDirection.Both, ua.NodeId(33), True, 0, 63)
    ]
    browse.Parameters.RequestedMaxReferencesPerNode = 2
    following = ua.BrowseNextRequest()
    following.Parameters.ContinuationPoints = [b"x" * 16]
    translate = ua.TranslateBrowsePathsToNodeIdsRequest()
    path = ua.RelativePath([ua.RelativePathElement(ua.NodeId(33), False, True, ua.QualifiedName("Server", 0))])
    translate.Parameters.BrowsePaths = [ua.BrowsePath(ua.NodeId(85), path)]
    register = ua.RegisterNodesRequest()
    register.Parameters.NodesToRegister = [power, ua.NodeId(85)]
    cancel = ua.CancelRequest()
    cancel.Parameters.RequestHandle = 7
    return [browse, following, translate, register, cancel]


def subscription_request() -> ua.CreateSubscriptionRequest:
    request = ua.CreateSubscriptionRequest()
    request.Parameters = ua.CreateSubscriptionParameters(50.0, 100, 10, 0, True, 0)
    return request


def items_request(subscription: int) -> ua.CreateMonitoredItemsRequest:
    power, value = site_node("xw1.ac_power"), ua.AttributeIds.Value
    deadband = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, ua.DeadbandType.Percent, 10.0)
    events = ua.EventFilter()
    names = ("EventId", "Message", "Severity")
    events.SelectClauses = [
        ua.SimpleAttributeOperand(ua.NodeId(2041), [ua.QualifiedName(name, 0)], value) for name in names
    ]
    element = ua.ContentFilterElement()
    element.FilterOperator = ua.FilterOperator.GreaterThanOrEqual
    element.FilterOperands = [events.SelectClauses[2], ua.LiteralOperand(ua.Variant(1, ua.VariantType.UInt16))]
    events.WhereClause.Elements = [element]
    request = ua.CreateMonitoredItemsRequest()
    request.Parameters.SubscriptionId = subscription
    request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Both
    request.Parameters.ItemsToCreate = [
        ua.MonitoredItemCreateRequest(
            ua.ReadValueId(node, attribute), 2, ua.MonitoringParameters(1, each, how, 5, True)
        )
        for node, attribute, each, how in (
            (power, value, 100.0, None),
            (power, value, 0.0, deadband),
            (ua.NodeId(ua.ObjectIds.Server_ServerStatus_CurrentTime), value, 1000.0, None),
            (ua.NodeId(ua.ObjectIds.Server), ua.AttributeIds.EventNotifier, 0.0, events),
        )
    ]
    return request


def subscription_requests(subscription: int, items: list[int]) -> list[Any]:
    publish = ua.PublishRequest()
    publish.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(subscription, 1)]
    republish = ua.RepublishRequest()
    republish.Parameters = ua.RepublishParameters(subscription, 1)
    modify = ua.ModifySubscriptionRequest()
    modify.Parameters = ua.ModifySubscriptionParameters(subscription, 200.0, 100, 10, 5, 0)
    change = ua.ModifyMonitoredItemsRequest()
    change.Parameters.SubscriptionId = subscription
    change.Parameters.ItemsToModify = [
        ua.MonitoredItemModifyRequest(item, ua.MonitoringParameters(1, 9.0, None, 2, True)) for item in items
    ]
    mode = ua.SetMonitoringModeRequest()
    mode.Parameters = ua.SetMonitoringModeParameters(subscription, ua.MonitoringMode.Sampling, items)
    link = ua.SetTriggeringRequest()
    link.Parameters = ua.SetTriggeringParameters(subscription, items[0], items[1:], items[:1])
    switch = ua.SetPublishingModeRequest()
    switch.Parameters = ua.SetPublishingModeParameters(True, [subscription])
    transfer = ua.TransferSubscriptionsRequest()
    transfer.Parameters = ua.TransferSubscriptionsParameters([subscription], True)
    unwatch = ua.DeleteMonitoredItemsRequest()
    unwatch.Parameters = ua.DeleteMonitoredItemsParameters(subscription, items[:1])
    delete = ua.DeleteSubscriptionsRequest()
    delete.Parameters.SubscriptionIds = [subscription]
    return [publish, republish, modify, change, mode, link, switch, transfer, unwatch, delete]
