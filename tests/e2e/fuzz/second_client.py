"""A client that must not suffer: `python -m tests.e2e.fuzz.second_client PORT`, until its input ends.

It subscribes to the load of the server, reads one value after another beside that, and prints, as JSON, how long each
read took and what the subscription got.
"""

import asyncio
import json
import struct
import sys
from time import perf_counter

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from tests.e2e.fuzz.channel import ChannelClient
from tests.e2e.fuzz.victim import LOAD_DEVICE, LOAD_POINTS
from tests.e2e.server_stage import site_node

PAUSE_S = 0.002
SUBSCRIPTION_AT = 28  # in a PublishResponse: behind its header
PUBLISHES = 10
_COUNTS = struct.Struct("<Ii")  # SubscriptionId, number of available sequence numbers


class Load:
    """The subscription, looked at from its bytes."""

    def __init__(self, client: ChannelClient) -> None:
        self._client = client
        self.messages = 0
        self.lost = 0  # sequence numbers that never came

    async def run(self) -> None:
        client = self._client
        made = await client.ask(ua.CreateSubscriptionRequest(Parameters=_rhythm()))
        create = ua.CreateMonitoredItemsRequest()
        create.Parameters.SubscriptionId = made.Parameters.SubscriptionId
        create.Parameters.ItemsToCreate = [
            ua.MonitoredItemCreateRequest(
                ua.ReadValueId(site_node(f"{LOAD_DEVICE}.p{number}"), ua.AttributeIds.Value),
                ua.MonitoringMode.Reporting,
                ua.MonitoringParameters(number, 0.0, None, 1, True),
            )
            for number in range(LOAD_POINTS)
        ]
        await client.ask(create)
        for _ in range(PUBLISHES):
            self._publish(0, 0)
        last = 0
        while True:
            _, body = await client.receive()
            subscription, count = _COUNTS.unpack_from(body, SUBSCRIPTION_AT)
            at = SUBSCRIPTION_AT + _COUNTS.size + 4 * max(count, 0) + 1
            (sequence,) = struct.unpack_from("<I", body, at)
            self.lost += max(sequence - last - 1, 0)
            last = sequence
            self.messages += 1
            self._publish(subscription, sequence)

    def _publish(self, subscription: int, sequence: int) -> None:
        request = ua.PublishRequest()
        request.RequestHeader.AuthenticationToken = self._client.token
        if sequence:
            request.Parameters.SubscriptionAcknowledgements = [ua.SubscriptionAcknowledgement(subscription, sequence)]
        self._client.writer.write(self._client.frame(struct_to_binary(request)))


def _rhythm() -> ua.CreateSubscriptionParameters:
    return ua.CreateSubscriptionParameters(100.0, 10_000, 50, 0, True, 0)


async def read_on(client: ChannelClient, delays_s: list[float]) -> None:
    request = ua.ReadRequest()
    request.Parameters.NodesToRead = [ua.ReadValueId(site_node("xw1.ac_power"), ua.AttributeIds.Value)]
    while True:
        began = perf_counter()
        await client.ask(request)
        delays_s.append(perf_counter() - began)
        await asyncio.sleep(PAUSE_S)


def percentile(ordered: list[float], share: float) -> float:
    return ordered[min(int(len(ordered) * share), len(ordered) - 1)]


async def watch(port: int) -> None:
    load = Load(await ChannelClient.connect(port))
    delays_s: list[float] = []
    tasks = [asyncio.create_task(load.run()), asyncio.create_task(read_on(await ChannelClient.connect(port), delays_s))]
    print("ready", flush=True)
    ended = asyncio.create_task(asyncio.to_thread(sys.stdin.read))
    done, _ = await asyncio.wait([ended, *tasks], return_when=asyncio.FIRST_COMPLETED)
    for task in done - {ended}:
        task.result()
    ordered = sorted(delays_s)
    report: dict[str, float] = {f"p{share * 100:g}": percentile(ordered, share) * 1000 for share in (0.5, 0.99, 0.999)}
    report |= {"max": ordered[-1] * 1000, "reads": len(ordered), "messages": load.messages, "lost": load.lost}
    print(json.dumps(report), flush=True)
    for task in tasks:
        task.cancel()


if __name__ == "__main__":
    asyncio.run(watch(int(sys.argv[1])))
