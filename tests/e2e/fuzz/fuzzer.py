"""Sends changed messages to a server: in sessions that are made again whenever it ends them, and from strangers."""

import asyncio
import random
import struct
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Any

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from tests.e2e.fuzz.channel import ANSWER_S, ChannelClient, Ended
from tests.e2e.fuzz.mutation import mutate, random_frame
from tests.e2e.fuzz.recording import Recording, items_request, subscription_request, subscription_requests

BATCH = 25  # messages that are sent before the next answer is waited for
BROKEN_SHARE = 0.2  # of the batches without security: a chunk in it is changed beside its body
BROKEN_S = 0.5
FAULT = struct.pack("<BBH", 1, 0, ua.ObjectIds.ServiceFault_Encoding_DefaultBinary)

MakePolicy = Callable[[], Awaitable[Any]]


class SessionFuzzer:
    """Changed requests in a valid session; what the server did not get to before it closed is not counted."""

    def __init__(self, port: int, recording: Recording, chance: random.Random, policy: MakePolicy | None) -> None:
        """Without `policy` the channel has no security, and some chunks are changed beside their bodies."""
        self._port = port
        self._recording = recording
        self._chance = chance
        self._policy = policy
        self._client: ChannelClient | None = None
        self._bodies: list[bytes] = []
        self.sent = 0  # that the server has looked at
        self.ended = 0  # sessions

    async def run(self, count: int) -> None:
        """Send so many messages."""
        aim = self.sent + count
        while self.sent < aim:
            await self._batch(min(BATCH, aim - self.sent))
        await self.end()

    async def end(self) -> None:
        if self._client is not None:
            await self._client.close()
            self._client = None
            self.ended += 1

    async def _batch(self, count: int) -> None:
        client = self._client or await self._begin()
        before = client.request
        frames = [client.frame(mutate(self._chance.choice(self._bodies), self._chance)) for _ in range(count)]
        broken = self._policy is None and self._chance.random() < BROKEN_SHARE
        if broken:
            place = self._chance.randrange(count)
            frames[place] = mutate(frames[place], self._chance, keep=0)
        good = ua.ReadRequest()
        good.RequestHeader.AuthenticationToken = client.token
        good.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId(2258), ua.AttributeIds.Value)]
        client.writer.write(b"".join(frames) + client.frame(struct_to_binary(good)))
        number, body, reached = 0, b"", before
        try:
            while number != client.request:
                # A chunk that announces more than there is makes the server wait for the rest.
                number, body = await client.receive(BROKEN_S if broken else ANSWER_S)
                reached = max(reached, number)
        except (Ended, TimeoutError) as error:
            if isinstance(error, TimeoutError) and not broken:
                raise
            # It is the message behind the last one that was answered, at least.
            self.sent += min(reached - before + 1, count)
            await self.end()
            return
        self.sent += count
        if body.startswith(FAULT):
            await self.end()

    async def _begin(self) -> ChannelClient:
        policy = None if self._policy is None else await self._policy()
        self._client = client = await ChannelClient.connect(self._port, policy)
        made = await client.ask(subscription_request())
        subscription = made.Parameters.SubscriptionId
        results = (await client.ask(items_request(subscription))).Results
        own = subscription_requests(subscription, [each.MonitoredItemId for each in results])
        for request in own:
            request.RequestHeader.AuthenticationToken = client.token
        self._bodies = self._recording.bodies(client.token, subscription) + [struct_to_binary(each) for each in own]
        return client


class StrangerFuzzer:
    """Connections that begin in a wrong way: changed beginnings of a valid session, and frames of chance."""

    def __init__(self, port: int, recording: Recording, chance: random.Random) -> None:
        self._port = port
        self._opening = recording.opening
        self._chance = chance
        self.sent = 0

    async def run(self, count: int) -> None:
        """Send so many messages."""
        aim = self.sent + count
        while self.sent < aim:
            reader, writer = await asyncio.open_connection("127.0.0.1", self._port)
            for message in self._messages():
                writer.write(message)
                self.sent += 1
                if not await self._answered(reader):
                    break
            writer.close()
            with suppress(ConnectionError):
                await writer.wait_closed()

    def _messages(self) -> list[bytes]:
        chance, (hello, opening) = self._chance, self._opening
        kind = chance.randrange(4)
        if kind == 0:
            return [random_frame(chance)]
        if kind == 1:
            return [hello, random_frame(chance)]
        if kind == 2:
            return [mutate(hello, chance, keep=8), opening]
        return [hello, mutate(opening, chance, keep=12), random_frame(chance)]

    async def _answered(self, reader: asyncio.StreamReader) -> bool:
        """True when the server wants more; False when it has closed, or waits for the rest of a frame."""
        try:
            async with asyncio.timeout(0.02 if self._chance.random() < 0.9 else 0.2):
                head = await reader.readexactly(8)
                await reader.readexactly(int.from_bytes(head[4:], "little") - 8)
        except (TimeoutError, asyncio.IncompleteReadError, ConnectionError):
            return False
        return head[:3] != b"ERR"
