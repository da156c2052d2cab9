"""This node on a site file, started as `gridnode run` starts it, with a driver that makes its values in memory.

Sockets and protocols of drivers are not measured here: in place of Modbus stands a bus that publishes one batch per
device in each period, through the same seam.
"""

from __future__ import annotations

# First, so that everything is imported in the order in which the command imports it.
from node.__main__ import main as gridnode  # isort: skip

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
from drivers.base import Priority, Rejected, Setting
from drivers.spec import BusConfig, BusUnit
from node import app

_AT_ONCE = 500  # values between two yields, the same as in the plain server


class BenchBus:
    """Publishes every point of its devices once per period; what a bus does when all of its reads were answered."""

    period_s: ClassVar[float] = 1.0

    def __init__(self, config: BusConfig, units: Sequence[BusUnit], image: Publisher, clock: Clock) -> None:
        self._id = config.id
        self._image = image
        self._clock = clock
        self._devices = [(int(unit.device_id[1:]), len(unit.profile.sources), _slots(unit, image)) for unit in units]

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
            number += 1

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        """There is nothing to write to."""
        raise Rejected(f"bus {self._id}: devices of a benchmark take no writes", 1)

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        """What the image has."""
        return {point: self._image.sample(self._image.slot(device_id, point)) for point in points}


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
    app.DRIVERS = {**app.DRIVERS, "modbus": BenchBus}  # type: ignore[attr-defined]  # the name that it looks up
    end = threading.Timer(options.lifetime_s, os.kill, (os.getpid(), signal.SIGTERM))
    end.daemon = True
    end.start()
    sys.argv = ["gridnode", "run", options.site]
    gridnode()


if __name__ == "__main__":
    main()
