"""A process that records and forwards until it is killed: `python -m tests.e2e.influx.feeder FILE URL SITE FIRST SEED`.

It prints a line after every commit: how many samples it has recorded.
"""

import asyncio
import random
import sys
from pathlib import Path

from node.sinks.influx_config import InfluxConfig
from tests.e2e.influx.scene import FIRST, SINK, STEP, TAGS, forwarding, value_of

BURST = 400


def sink(url: str) -> InfluxConfig:
    """The sink of the feeder and of who looks after it."""
    return InfluxConfig(id=SINK, url=url, bucket="gridnode", timeout_s=2.0, replay_rate=None, batch_lines=150)


async def feed(path: Path, url: str, site: str, first: int, seed: int) -> None:
    rng = random.Random(seed)
    async with forwarding(path, sink(url), site) as scene:
        number = first
        while True:
            for _ in range(rng.randrange(1, BURST)):
                number += 1
                # Now and then an older sample of this run is corrected.
                at = number if rng.random() < 0.9 else rng.randrange(first, number + 1)
                tag = TAGS[at % len(TAGS)]
                scene.record(tag, value_of(tag, number, rng), ticks=FIRST + at * STEP)
            assert await scene.journal.flush()
            print(number, flush=True)
            await asyncio.sleep(rng.random() * 0.05)


if __name__ == "__main__":
    asyncio.run(feed(Path(sys.argv[1]), sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])))
