"""The peer: a plain asyncua server with bare Double variables, updated each period through its fastest public call."""

from __future__ import annotations

import argparse
import asyncio
import time
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import Server, ua

from benchmarks import pattern

NAMESPACE: Final = "urn:gridnode:benchmark:plain"
_AT_ONCE: Final = 500  # values between two yields, the same as on our side


async def serve(port: int, points: int, per_device: int, extra: int, period_s: float, lifetime_s: float) -> None:
    """Serve `points` variables in objects of `per_device` on loopback for `lifetime_s`."""
    server = Server()
    await server.init()
    server.set_endpoint(f"opc.tcp://127.0.0.1:{port}")
    server.set_security_policy([ua.SecurityPolicyType.NoSecurity])
    space = await server.register_namespace(NAMESPACE)
    nodes: list[ua.NodeId] = []
    node_id: Any = ua.NodeId
    for name in pattern.node_ids(points, per_device):
        device, _, point = name.partition(".")
        if point == pattern.point_id(0):
            parent = await server.nodes.objects.add_object(node_id(device, space), ua.QualifiedName(device, space))
        nodes.append(node_id(name, space))
        await parent.add_variable(nodes[-1], ua.QualifiedName(point, space), 0.0, varianttype=ua.VariantType.Double)
    await _extra(server, space, extra)
    async with server:
        await _update(server, nodes, period_s, time.monotonic() + lifetime_s)


async def _extra(server: Server, space: int, count: int) -> None:
    """Objects with writable values, and objects with a method."""
    node_id: Any = ua.NodeId
    double = ua.VariantType.Double
    for number in range(count):
        name = pattern.settings_id(number)
        parent = await server.nodes.objects.add_object(node_id(name, space), ua.QualifiedName(name, space))
        for index in range(pattern.SETTINGS):
            point = pattern.point_id(index)
            where = node_id(f"{name}.{point}", space)
            variable = await parent.add_variable(where, ua.QualifiedName(point, space), 0.0, varianttype=double)
            await variable.set_writable()
        name = pattern.adder_id(number)
        parent = await server.nodes.objects.add_object(node_id(name, space), ua.QualifiedName(name, space))
        method = ua.QualifiedName(pattern.METHOD, space)
        await parent.add_method(node_id(f"{name}.{pattern.METHOD}", space), method, _add, [double, double], [double])


def _add(_parent: ua.NodeId, first: ua.Variant, second: ua.Variant) -> list[ua.Variant]:
    return [ua.Variant(first.Value + second.Value, ua.VariantType.Double)]


async def _update(server: Server, nodes: list[ua.NodeId], period_s: float, end: float) -> None:
    data_value: Any = ua.DataValue
    number, due = 1, time.monotonic() + period_s
    while (now := time.monotonic()) < end:
        await asyncio.sleep(max(due - now, 0.0))
        due += period_s
        taken = datetime.now(UTC)
        for index, node_id in enumerate(nodes):
            variant = ua.Variant(pattern.value(index, number), ua.VariantType.Double)
            await server.write_attribute_value(node_id, data_value(variant, SourceTimestamp=taken))
            if index % _AT_ONCE == _AT_ONCE - 1:
                await asyncio.sleep(0)
        number += 1


def main() -> None:
    """Command line of the peer."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.plain_asyncua", description=__doc__)
    parser.add_argument("--port", type=int, required=True)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--per-device", type=int, default=100)
    parser.add_argument("--extra", type=int, default=0, help="objects with writable values, and with a method")
    parser.add_argument("--period-s", type=float, default=1.0)
    parser.add_argument("--lifetime-s", type=float, default=300.0)
    options = parser.parse_args()
    words = options.port, options.points, options.per_device, options.extra, options.period_s, options.lifetime_s
    asyncio.run(serve(*words))


if __name__ == "__main__":
    main()
