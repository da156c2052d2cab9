"""This node on a site file, started as `gridnode run` starts it, with a driver that makes its values in memory.

Sockets and protocols of drivers are not measured here: in place of Modbus stands a bus that publishes one batch per
device in each period, through the same seam.
"""

# ruff: noqa: E402  # what the command imports comes first, and as the command imports it

from __future__ import annotations

from node.__main__ import load, main as gridnode  # isort: skip

load("run")

import argparse
import asyncio
import os
import signal
import sys
import threading
from collections.abc import Mapping, Sequence
from typing import ClassVar

from address_space.model import Batch, Clock, Publisher, Sample, Status
from benchmarks import pattern
from drivers.base import Priority, Setting
from drivers.spec import BusConfig, BusUnit
from node import app
from node.roles import Role
from node.server.security import identity

_AT_ONCE = 500  # values between two yields, the same as in the plain server


class BenchBus:
    """Publishes every point of its devices once per period; what a bus does when all of its reads were answered.

    Settings of the devices that have some are kept in memory: written at once, read back at once.
    """

    period_s: ClassVar[float] = 1.0

    def __init__(self, config: BusConfig, units: Sequence[BusUnit], image: Publisher, clock: Clock) -> None:
        self._id = config.id
        self._image = image
        self._clock = clock
        analog = [unit for unit in units if not unit.profile.settings]
        settable = [unit for unit in units if unit.profile.settings]
        self._devices = [(int(unit.device_id[1:]), len(unit.profile.sources), _slots(unit, image)) for unit in analog]
        self._slots = {
            unit.device_id: {point: image.slot(unit.device_id, point) for point in unit.profile.sources}
            for unit in settable
        }
        self._memory = {slot: 0.0 for slots in self._slots.values() for slot in slots.values()}

    async def run(self) -> None:
        """Publish for ever; the value of a point tells its index and the pass."""
        good = int(Status.GOOD)
        number, due = 1, self._clock.monotonic() + self.period_s
        while True:
            await self._clock.sleep(max(due - self._clock.monotonic(), 0.0))
            due += self.period_s
            since = 0
            for device, count, slots in self._devices:
                first = device * count
                values = [pattern.value(index, number) for index in range(first, first + count)]
                self._image.publish(Batch(slots, values, [good] * count, self._clock.now()))
                since += count
                if since >= _AT_ONCE:
                    since = 0
                    await asyncio.sleep(0)
            if self._memory:
                self._show(list(self._memory))
            number += 1

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        """Keep the values."""
        slots = self._slots[device_id]
        for setting in settings:
            self._memory[slots[setting.point]] = float(setting.value)

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        """What is kept, also published."""
        slots = self._slots[device_id]
        self._show([slots[point] for point in points])
        return self._image.samples(device_id, points)

    def _show(self, slots: Sequence[int]) -> None:
        values = [self._memory[slot] for slot in slots]
        self._image.publish(Batch(slots, values, [int(Status.GOOD)] * len(slots), self._clock.now()))


def _slots(unit: BusUnit, image: Publisher) -> range:
    count = len(unit.profile.sources)
    first = image.slot(unit.device_id, pattern.point_id(0))
    if image.slot(unit.device_id, pattern.point_id(count - 1)) != first + count - 1:
        raise ValueError(f"the points of {unit.device_id} are not in one row")
    return range(first, first + count)


def main() -> None:
    """Run the node on a site file for a limited time."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.node_under_test", description=__doc__)
    parser.add_argument("site")
    parser.add_argument("--period-s", type=float, default=1.0)
    parser.add_argument("--lifetime-s", type=float, default=300.0)
    options = parser.parse_args()
    BenchBus.period_s = options.period_s
    # A password is only taken on an encrypted channel, and what is compared runs without: there anonymous clients get
    # the role that may call and write. What is checked for each request stays the same.
    # The very object: others compare with it.
    object.__setattr__(identity.ANONYMOUS, "role", Role.ENGINEER)
    app.DRIVERS = {**app.DRIVERS, "modbus": BenchBus}  # type: ignore[attr-defined]  # the name that it looks up
    end = threading.Timer(options.lifetime_s, os.kill, (os.getpid(), signal.SIGTERM))
    end.daemon = True
    end.start()
    sys.argv = ["gridnode", "run", options.site]
    gridnode()


if __name__ == "__main__":
    main()
