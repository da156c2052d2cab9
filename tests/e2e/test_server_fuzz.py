"""Mutated requests of a valid session and random frames: the server answers, refuses or closes, and goes on."""

import logging
import random
import struct
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving, site_node

pytestmark = pytest.mark.e2e

OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)
MESSAGES = 10_000
HEADER_BYTES = 74  # type, token, times, handles
INTERESTING = (
    b"\x00",
    b"\xff",
    b"\x7f",
    b"\x80",
    b"\xff\xff\xff\xff",
    b"\xff\xff\xff\x7f",
    b"\xfe\xff\xff\xff",
    b"\x00\x00\x00\x80",
)


def requests(token: ua.NodeId, subscription: int) -> list[bytes]:
    """One valid request of each service that a session has."""
    power, method = site_node("xw1.ac_power"), site_node("xw1.SetLimit")
    read = ua.ReadRequest()
    read.Parameters.NodesToRead = [ua.ReadValueId(power, 13, "0:1", ua.QualifiedName("Default Binary", 0))] * 2
    write = ua.WriteRequest()
    write.Parameters.NodesToWrite = [ua.WriteValue(power, 13, None, ua.DataValue(ua.Variant([1.5, 2.5])))]
    browse = ua.BrowseRequest()
    browse.Parameters.NodesToBrowse = [ua.BrowseDescription(site_node("xw1"), 2, ua.NodeId(33), True, 0, 63)]
    browse.Parameters.RequestedMaxReferencesPerNode = 2
    following = ua.BrowseNextRequest()
    following.Parameters.ContinuationPoints = [b"x" * 16]
    translate = ua.TranslateBrowsePathsToNodeIdsRequest()
    path = ua.RelativePath([ua.RelativePathElement(ua.NodeId(33), False, True, ua.QualifiedName("Server", 0))])
    translate.Parameters.BrowsePaths = [ua.BrowsePath(ua.NodeId(85), path)]
    call = ua.CallRequest()
    call.Parameters.MethodsToCall = [
        ua.CallMethodRequest(site_node("xw1"), method, [ua.Variant(5, ua.VariantType.Int32)])
    ]
    history = ua.HistoryReadRequest()
    history.Parameters.HistoryReadDetails = ua.ReadRawModifiedDetails()
    history.Parameters.NodesToRead = [ua.HistoryReadValueId(power)]
    create = ua.CreateSubscriptionRequest()
    create.Parameters = ua.CreateSubscriptionParameters(100.0, 100, 10, 0, True, 0)
    items = ua.CreateMonitoredItemsRequest()
    items.Parameters.SubscriptionId = subscription
    data_filter = ua.DataChangeFilter(ua.DataChangeTrigger.StatusValue, 0, 0.0)
    items.Parameters.ItemsToCreate = [
        ua.MonitoredItemCreateRequest(
            ua.ReadValueId(power, 13), 2, ua.MonitoringParameters(1, 100.0, data_filter, 1, True)
        )
    ]
    publish = ua.PublishRequest()
    publish.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(subscription, 1)]
    republish = ua.RepublishRequest()
    republish.Parameters = ua.RepublishParameters(subscription, 1)
    modify = ua.ModifySubscriptionRequest()
    modify.Parameters = ua.ModifySubscriptionParameters(subscription, 200.0, 100, 10, 5, 0)
    change = ua.ModifyMonitoredItemsRequest()
    change.Parameters.SubscriptionId = subscription
    change.Parameters.ItemsToModify = [ua.MonitoredItemModifyRequest(1, ua.MonitoringParameters(1, 9.0, None, 2, True))]
    mode = ua.SetMonitoringModeRequest()
    mode.Parameters = ua.SetMonitoringModeParameters(subscription, ua.MonitoringMode.Sampling, [1, 2, 3])
    delete = ua.DeleteSubscriptionsRequest()
    delete.Parameters.SubscriptionIds = [1, 2]
    activate = ua.ActivateSessionRequest()
    activate.Parameters.UserIdentityToken = ua.UserNameIdentityToken("username", "ada", b"secret", "x")
    register = ua.RegisterNodesRequest()
    register.Parameters.NodesToRegister = [power]
    find = ua.FindServersRequest()
    endpoints = ua.GetEndpointsRequest()
    endpoints.Parameters.EndpointUrl = "opc.tcp://localhost:4840"
    session = ua.CreateSessionRequest()
    session.Parameters.ClientCertificate = b"c" * 40
    whole: list[Any] = [
        read, write, browse, following, translate, call, history, create, items, publish, republish, modify, change,
        mode, delete, activate, register, find, endpoints, session,
    ]  # fmt: skip
    for request in whole:
        request.RequestHeader.AuthenticationToken = token
    return [struct_to_binary(request) for request in whole]


def mutate(body: bytes, chance: random.Random) -> bytes:
    """The body with a few bytes changed, put in, taken out or repeated; sometimes cut or as it was."""
    data = bytearray(body)
    for _ in range(chance.choice((0, 1, 1, 1, 2, 3, 8))):
        # Behind the header, mostly: what is before ends at the door.
        place = chance.randrange(min(len(data), HEADER_BYTES if chance.random() < 0.9 else 4), len(data) + 1)
        kind = chance.randrange(5)
        if kind == 0 and place < len(data):
            data[place] ^= 1 << chance.randrange(8)
        elif kind == 1:
            piece = chance.choice(INTERESTING)
            data[place : place + len(piece)] = piece
        elif kind == 2:
            data[place:place] = chance.randbytes(chance.randrange(1, 9))
        elif kind == 3:
            del data[place : place + chance.randrange(1, 9)]
        else:
            data[place:place] = data[place : place + chance.randrange(1, 40)] * chance.randrange(1, 5)
    if chance.random() < 0.05:
        del data[chance.randrange(len(data) + 1) :]
    return bytes(data)


class Fuzzer:
    """A session that is opened again whenever the server ends it."""

    def __init__(self, stage: Stage, chance: random.Random) -> None:
        self.stage = stage
        self.chance = chance
        self.client: RawClient | None = None
        self.bodies: list[bytes] = []
        self.ended = 0

    async def session(self) -> RawClient:
        if self.client is None:
            self.client = await RawClient.connect(self.stage.server.port)
            await self.client.open()
            token = (await self.client.ask(ua.CreateSessionRequest())).Parameters.AuthenticationToken
            await self.client.ask(ua.ActivateSessionRequest(), token)
            create = ua.CreateSubscriptionRequest()
            create.Parameters = ua.CreateSubscriptionParameters(50.0, 100, 10, 0, True, 0)
            made = await self.client.ask(create, token)
            self.bodies = requests(token, made.Parameters.SubscriptionId)
        return self.client

    async def end(self) -> None:
        if self.client is not None:
            await self.client.close()
            self.client = None
            self.ended += 1

    async def send(self) -> None:
        """One mutated message; now and then something whose answer shows that the connection lives."""
        client = await self.session()
        data = client.frame(b"MSG", mutate(self.chance.choice(self.bodies), self.chance))
        if self.chance.random() < 0.02:
            data = mutate(data, self.chance)
        client.writer.write(data)
        if self.chance.random() < 0.1:
            client.writer.write(client.frame(b"MSG", self.bodies[0]))
            while True:
                frame = await client.receive()
                if frame.kind in (b"ERR", b""):
                    await self.end()
                    return
                if struct.unpack_from("<I", frame.body, 12)[0] == client.request:
                    return


async def test_mutated_requests_do_not_stop_the_server(
    tmp_path: Path, seed: int, scaled: Callable[[int], int], caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    async with serving(tmp_path, Keys(tmp_path / "keys"), OPEN) as stage:
        fuzzer = Fuzzer(stage, random.Random(seed))
        for _ in range(scaled(MESSAGES)):
            await fuzzer.send()
        await fuzzer.end()
        assert fuzzer.ended < scaled(MESSAGES)
        async with stage.client() as client:
            assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0
    traces = [record.getMessage() for record in caplog.records if record.exc_info]
    assert traces == []
