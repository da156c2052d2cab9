"""A journal and the image that it records, with nothing else of a node, on a clock that the load moves."""

from __future__ import annotations

import asyncio
import heapq
import itertools
import os
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_S,
    Clock,
    DataType,
    Device,
    DeviceClass,
    Point,
    PointKind,
    device_model,
)
from address_space.system import node_model, sink_model
from benchmarks.history.mixed import KINDS
from node.historian.journal import Journal

FIRST: Final = 133_801_632_000_000_000  # 2025-01-01 in ticks
SINK: Final = "central"
PER_DEVICE: Final = 20
_TYPES: Final = (DataType.DOUBLE, DataType.DOUBLE, DataType.DOUBLE, DataType.DOUBLE, DataType.INT32)


@dataclass
class MovedClock:
    """Time that passes when the load says so; waiting is woken, and takes no other time."""

    ticks: int = FIRST
    elapsed_s: float = 0.0
    _order: itertools.count[int] = field(default_factory=itertools.count)
    _waits: list[tuple[float, int, asyncio.Future[None]]] = field(default_factory=list)

    def now(self) -> int:
        """See Clock."""
        return self.ticks

    def monotonic(self) -> float:
        """See Clock."""
        return self.elapsed_s

    async def sleep(self, seconds: float) -> None:
        """Wait until `move` has come that far."""
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._waits, (self.elapsed_s + max(seconds, 0.0), next(self._order), woken))
        await woken

    def call_at(self, when: float, callback: Callable[[], object]) -> asyncio.Handle:
        """See Clock; nothing that is measured here uses it."""
        raise NotImplementedError

    def move(self, seconds: float) -> None:
        """Let time pass and wake who waited for it."""
        self.elapsed_s += seconds
        self.ticks += round(seconds * TICKS_PER_S)
        while self._waits and self._waits[0][0] <= self.elapsed_s:
            woken = heapq.heappop(self._waits)[2]
            if not woken.done():
                woken.set_result(None)


def _point(number: int) -> Point:
    return Point(f"p{number:03d}", f"Point {number}", "", _TYPES[number % KINDS], PointKind.DATA, historize=True)


def make_image(tags: int, clock: Clock) -> ProcessImage:
    """Devices of 20 points each, and those that a node and its sink have of their own."""
    model = device_model("bench.mixed", DeviceClass.GENERIC, tuple(_point(number) for number in range(PER_DEVICE)))
    devices = [Device(device_id(number), model) for number in range(tags // PER_DEVICE)]
    return ProcessImage([*devices, Device(SINK, sink_model()), Device("node", node_model())], clock)


def device_id(number: int) -> str:
    """Id of a device."""
    return f"d{number:03d}"


def tag(number: int) -> str:
    """Path of a point, of all points in their order."""
    device, point = divmod(number, PER_DEVICE)
    return f"{device_id(device)}.p{point:03d}"


def slots(image: ProcessImage, tags: int) -> list[range]:
    """The slots of each device."""
    return [image.slots(device_id(number)) for number in range(tags // PER_DEVICE)]


@asynccontextmanager
async def running(journal: Journal) -> AsyncIterator[None]:
    """The journal's own tasks run; at the end it commits and closes its file."""
    task = asyncio.create_task(journal.run())
    try:
        yield
        if task.done():
            task.result()
    finally:
        task.cancel()
        await asyncio.wait({task})


def written_bytes() -> int:
    """What this process has had written to disks, as the kernel counts it."""
    for line in Path("/proc/self/io").read_text().splitlines():
        if line.startswith("write_bytes:"):
            return int(line.split()[1])
    raise OSError("the kernel does not count the bytes that processes write")


@dataclass
class Used:
    """CPU time of all threads of this process, and time on the wall, since it was made."""

    cpu_s: float = field(default_factory=time.process_time)
    wall_s: float = field(default_factory=time.perf_counter)

    def figures(self) -> dict[str, float]:
        """Both in seconds, and the machine's load."""
        return {
            "cpu_s": time.process_time() - self.cpu_s,
            "seconds": time.perf_counter() - self.wall_s,
            "load": os.getloadavg()[0],
        }
