"""A server in a process of its own: `python -m tests.e2e.fuzz.victim FOLDER`, with the keys that lie there already.

It prints its port, publishes a load of points until its input ends, and then stops in good order.
"""

import asyncio
import logging
import sys
from pathlib import Path

from address_space.model import Batch, DataType, Device, DeviceClass, Point, PointKind, device_model
from node.clock import RealClock
from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.server_stage import Keys, Stage, plant, serving

LOAD_DEVICE = "load"
LOAD_POINTS = 2_000
LOAD_INTERVAL_S = 0.1
# Sessions that the fuzz leaves behind end soon, so that what the server keeps does not depend on how long it runs.
LIMITS = Limits(session_max_s=10.0, sessions=30, lifetime_max_s=10.0)
OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True, limits=LIMITS)


def load_device() -> Device:
    points = (Point(f"p{number}", f"P{number}", "", DataType.DOUBLE, PointKind.DATA) for number in range(LOAD_POINTS))
    return Device(LOAD_DEVICE, device_model("test.load", DeviceClass.GENERIC, tuple(points)), "Load")


async def publish(stage: Stage) -> None:
    """All points of the load have another value, again and again."""
    clock = RealClock()
    slots = stage.image.slots(LOAD_DEVICE)[:LOAD_POINTS]
    number = 0
    while True:
        number += 1
        stage.image.publish(Batch(slots, [float(number)] * len(slots), [0] * len(slots), clock.now()))
        # What the stage remembers for other tests is not the server's to grow by.
        stage.desk.calls.clear()
        stage.desk.writes.clear()
        await clock.sleep(LOAD_INTERVAL_S)


async def serve(folder: Path) -> None:
    async with serving(folder, Keys(folder / "keys"), OPEN, devices=(*plant(), load_device())) as stage:
        publishing = asyncio.create_task(publish(stage))
        print(stage.server.port, flush=True)
        await asyncio.to_thread(sys.stdin.read)
        publishing.cancel()


if __name__ == "__main__":
    logging.basicConfig(level=logging.WARNING, format="%(levelname)s %(name)s %(message)s")
    asyncio.run(serve(Path(sys.argv[1])))
