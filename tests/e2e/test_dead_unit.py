"""One dead unit of eight: the other seven keep at least nine tenths of the polls that they complete without it."""

import asyncio
import contextlib

import pytest

from address_space.image import ProcessImage
from address_space.model import DataType
from drivers.modbus import modbus_bus
from drivers.spec import BusConfig, BusUnit, RawType, SerialLine, TcpPeer
from node.clock import RealClock
from tests.drivers.equipment import devices, point, profile, source
from tests.e2e.chaos.faults import Dice
from tests.e2e.chaos.slave import ChaosSlave, PtyLine, TcpLine

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

UNITS = range(1, 9)
DEAD = 5
PERIOD_S = 0.1
# Long beside the period, as in a plant: a time-out of the dead unit costs the others half a round.
TIMEOUT_S = 0.05
RUN_S = 3.0


def plant() -> list[BusUnit]:
    sources = {"a": source(0, RawType.U32, 2), "b": source(200, RawType.U32, 2)}
    one = profile(
        [point(p, DataType.UINT32, stale_after_s=2.0, bad_after_s=30.0) for p in sources],
        sources,
        {"fast": (PERIOD_S, list(sources))},
    )
    return [BusUnit(f"d{unit}", unit, one, control=False) for unit in UNITS]


async def completed(config: BusConfig, slave: ChaosSlave) -> dict[int, int]:
    """Polls that each unit answered in one run of a fixed length."""
    clock, units = RealClock(), plant()
    bus = modbus_bus(config, units, ProcessImage(devices(config, units), clock), clock)
    slave.by_unit.clear()
    task = asyncio.create_task(bus.run())
    await asyncio.sleep(RUN_S)
    task.cancel()
    with contextlib.suppress(asyncio.CancelledError):
        await task
    return dict(slave.by_unit)


@pytest.mark.parametrize("kind", ["rtu", "rtu_over_tcp", "tcp"])
async def test_a_dead_unit_costs_only_itself(kind: str, seed: int) -> None:
    slave = ChaosSlave(Dice(seed, part=0.0), TIMEOUT_S, rtu=kind != "tcp")
    async with contextlib.AsyncExitStack() as stack:
        if kind == "rtu":
            pty = PtyLine(slave)
            stack.callback(pty.close)
            config = BusConfig("line", "modbus", SerialLine(pty.path, 115200), kind, timeout_s=TIMEOUT_S)
        else:
            tcp = TcpLine(slave)
            await tcp.start()
            stack.push_async_callback(tcp.close)
            config = BusConfig("line", "modbus", TcpPeer("127.0.0.1", tcp.port), kind, timeout_s=TIMEOUT_S)
        alive = await completed(config, slave)
        slave.dead = {DEAD}
        with_dead = await completed(config, slave)
    print(alive, with_dead)
    others = [unit for unit in UNITS if unit != DEAD]
    assert all(alive[unit] > 0.5 * 2 * RUN_S / PERIOD_S for unit in UNITS), "the run itself was too slow to judge"
    assert all(with_dead[unit] >= 0.9 * alive[unit] for unit in others)
    assert with_dead[DEAD] < 0.5 * alive[DEAD]  # it is probed, and no more
