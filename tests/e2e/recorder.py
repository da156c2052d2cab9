"""A process that records until it is killed: `python -m tests.e2e.recorder FILE FIRST SEED`.

It publishes samples numbered from FIRST and prints, after every commit, up to which one all are acknowledged. What
sample a number stands for is told by `sample`.
"""

import asyncio
import random
import sys
from pathlib import Path

from address_space.image import ProcessImage
from address_space.model import Batch, DataType, Device, DeviceClass, Point, PointKind, Value, device_model
from address_space.system import node_model
from node.clock import RealClock
from node.historian.journal import Journal
from node.historian.store import compaction, compactor

TAGS = ("plant.number", "plant.count", "plant.text")
MODEL = device_model(
    "test.recorder",
    DeviceClass.GENERIC,
    (
        Point("number", "Number", "", DataType.DOUBLE, PointKind.ANALOG, historize=True),
        Point("count", "Count", "", DataType.INT64, PointKind.DATA, historize=True),
        Point("text", "Text", "", DataType.STRING, PointKind.DATA, historize=True),
    ),
)
FIRST_TICKS = 134_272_512_000_000_000  # 2026-06-30, any time does
COMMIT_INTERVAL_S = 0.01  # so that a kill often meets a commit
BURST = 600  # samples at once, at most: a commit takes some milliseconds then
PASS_SAMPLES = 2_000  # so that a kill often meets a compaction


def sample(number: int) -> tuple[str, int, Value]:
    """Tag, time and value of a sample."""
    kind = number % len(TAGS)
    values: tuple[Value, ...] = (number / 7, number, f"sample {number}")
    return TAGS[kind], FIRST_TICKS + number, values[kind]


def make_image(clock: RealClock) -> ProcessImage:
    return ProcessImage([Device("plant", MODEL), Device("node", node_model())], clock)


async def record(path: Path, first: int, seed: int) -> None:
    for module in (compaction, compactor):
        vars(module)["PASS_SAMPLES"] = PASS_SAMPLES
    clock, rng = RealClock(), random.Random(seed)
    image = make_image(clock)
    journal = Journal(path, image, clock, commit_interval_s=COMMIT_INTERVAL_S)
    image.tap(journal.offer)
    slots = dict(zip(TAGS, image.slots("plant"), strict=True))
    running = asyncio.create_task(journal.run())
    telling = asyncio.create_task(tell(journal, first))
    number = first
    while not (running.done() or telling.done()):
        for _ in range(rng.randrange(BURST)):
            tag, ticks, value = sample(number)
            image.publish(Batch([slots[tag]], [value], [0], ticks))
            number += 1
        await clock.sleep(rng.random() * COMMIT_INTERVAL_S)
    await asyncio.gather(running, telling)


async def tell(journal: Journal, first: int) -> None:
    """Print every promise as soon as it is made: one that is made too early must not find time to come true."""
    shown = 0
    while True:
        if journal.acknowledged != shown:
            shown = journal.acknowledged
            print(first + shown, flush=True)
        await asyncio.sleep(0.0002)


if __name__ == "__main__":
    asyncio.run(record(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
