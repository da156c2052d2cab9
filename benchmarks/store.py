"""`python -m benchmarks.store`: the historian's store by itself, on the mixed load of 200 tags once a second.

Ingest with compaction on, bytes written and at rest, stalls of the event loop, reading, and opening with a backlog.
Rates are per second of processor time of this process where the machine is shared.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import random
import sqlite3
import tempfile
import time
from array import array
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

from address_space.image import ProcessImage
from address_space.model import TICKS_PER_MS, TICKS_PER_S, Batch, DataType, Device, DeviceClass, Point, PointKind
from address_space.model import device_model as model_of
from address_space.system import node_model
from node.clock import RealClock
from node.historian.journal import Journal
from node.historian.store.writer import Writer

TAGS: Final = 200
_PER_BATCH: Final = 20  # points of a device, which come with one time
_START: Final = 134_272_512_000_000_000  # 2026-06-30, any time does
_POINTS: Final = tuple(
    Point(f"p{i}", f"p{i}", "", DataType.DOUBLE, PointKind.ANALOG, historize=True) for i in range(TAGS)
)

Figures = dict[str, Any]
Second = list[tuple[int, list[float | int]]]  # per device: time, values


def load(seconds: int) -> list[Second]:
    """Noisy power, slow temperature, energy counter, full mantissa and state, a fifth of the tags each."""
    rng = random.Random(1)
    now: list[float] = [(5_000.0, 20.0, 1e5, 0.0, 2)[tag % 5] for tag in range(TAGS)]

    def value(tag: int) -> float | int:
        kind = tag % 5
        if kind == 3:
            return 230 + rng.gauss(0, 1)
        if kind == 4:
            now[tag] = rng.randrange(6) if rng.random() < 0.02 else now[tag]
            return int(now[tag])
        now[tag] += (rng.gauss(0, 30), rng.gauss(0, 0.02), rng.random() * 3)[kind]
        return round(now[tag], (1, 2, 3)[kind])

    return [
        [
            (
                _START + second * TICKS_PER_S + int(abs(rng.gauss(0, 15))) * TICKS_PER_MS,
                [value(tag) for tag in range(first, first + _PER_BATCH)],
            )
            for first in range(0, TAGS, _PER_BATCH)
        ]
        for second in range(seconds)
    ]


class Stalls:
    """How much later than asked for the event loop comes back, in ms."""

    def __init__(self) -> None:
        self._late = array("d")

    async def watch(self) -> None:
        """Measure until cancelled."""
        while True:
            asked = time.perf_counter()
            await asyncio.sleep(0.001)
            self._late.append((time.perf_counter() - asked - 0.001) * 1000)

    def figures(self) -> Figures:
        """Percentiles."""
        return {f"stall_{name}_ms": round(value, 2) for name, value in percentiles(self._late).items()}


def percentiles(values: array[float] | list[float]) -> dict[str, float]:
    """Half, p99 and the greatest."""
    ordered = sorted(values)
    return {"p50": ordered[len(ordered) // 2], "p99": ordered[len(ordered) * 99 // 100], "max": ordered[-1]}


def written_bytes() -> int:
    """What this process had written to disks; 0 where the system does not tell."""
    try:
        lines = Path("/proc/self/io").read_text(encoding="ascii").splitlines()
    except OSError:
        return 0
    return next((int(line.split()[1]) for line in lines if line.startswith("write_bytes")), 0)


def at_rest(connection: sqlite3.Connection) -> Figures:
    """Bytes for a sample once everything is in blocks."""
    samples, blocks, size = connection.execute("SELECT sum(n), count(*), sum(length(data)) FROM block").fetchone()
    (pages,), (spare,) = (
        connection.execute(f"PRAGMA {pragma}").fetchone() for pragma in ("page_count", "freelist_count")
    )
    return {
        "samples_per_block": round(samples / blocks),
        "block_bytes_per_sample": round(size / samples, 2),
        "used_bytes_per_sample": round((pages - spare) * 4096 / samples, 2),
    }


def journal_of(path: Path) -> tuple[ProcessImage, Journal]:
    """A journal of a device with all tags."""
    clock = RealClock()
    model = model_of("bench.plant", DeviceClass.GENERIC, _POINTS)
    image = ProcessImage([Device("plant", model), Device("node", node_model())], clock)
    journal = Journal(path, image, clock, queue_samples=10**8)
    image.tap(journal.offer)
    return image, journal


async def ingest(path: Path, samples: int, commit_s: int) -> Figures:
    """Record a load with a commit every so many of its seconds, compaction on; then compact all and read."""
    seconds = load(samples // TAGS)
    image, journal = journal_of(path)
    slots, put = list(image.slots("plant")), journal._intake.put
    await journal.flush()
    stalls, commits = Stalls(), list[float]()
    tasks = [asyncio.create_task(stalls.watch()), asyncio.create_task(journal._compactor.run())]
    written, began, processor = written_bytes(), time.perf_counter(), time.process_time()
    for number, second in enumerate(seconds):
        for device, (ticks, values) in enumerate(second):
            # Not by the image: values that did not change count too, as they do for other stores.
            for slot, value in zip(slots[device * _PER_BATCH :], values, strict=False):
                put(slot, value, 0, ticks)
        if (number + 1) % commit_s == 0:
            asked = time.perf_counter()
            await journal.flush()
            commits.append((time.perf_counter() - asked) * 1000)
    await journal.compact()
    count = journal.acknowledged
    figures: Figures = {
        "samples": count,
        "samples_per_s": round(count / (time.perf_counter() - began)),
        "samples_per_cpu_s": round(count / (time.process_time() - processor)),
        "written_bytes_per_sample": round((written_bytes() - written) / count),
        **{f"commit_{name}_ms": round(value, 2) for name, value in percentiles(commits).items()},
        **stalls.figures(),
        **await journal.on_disk(at_rest),
    }
    for task in tasks:
        task.cancel()
    await asyncio.wait(tasks)
    await journal.stop()
    return figures


async def reading(path: Path, samples: int = 100_000) -> Figures:
    """Raw values of one tag with full mantissas out of blocks: at once, in pages, and the one before a time."""
    image, journal = journal_of(path)
    await journal.flush()
    slot = image.slot("plant", "p3")
    rng = random.Random(1)
    for number in range(samples):
        image.publish(Batch([slot], [rng.random()], [0], _START + number * TICKS_PER_S))
    await journal.flush()
    await journal.compact()

    async def once() -> None:
        await journal.raw("plant.p3", None, None, limit=samples)

    async def paged() -> None:
        page = await journal.raw("plant.p3", None, None, limit=10_000)
        while page.next is not None:
            page = await journal.raw("plant.p3", None, None, limit=10_000, after=page.next)

    async def bound() -> None:
        await journal.before("plant.p3", _START + samples // 2 * TICKS_PER_S)

    figures = {
        "read_ms": await best(once),
        "read_in_pages_ms": await best(paged),
        "before_ms": await best(bound),
    }
    await journal.stop()
    return figures


async def best(work: Callable[[], Any]) -> float:
    """Least of five, in ms."""
    took = []
    for _ in range(5):
        asked = time.perf_counter()
        await work()
        took.append((time.perf_counter() - asked) * 1000)
    return round(min(took), 2)


async def backlog(path: Path, samples: int) -> Figures:
    """Opening a file with so many samples in frames, and the first page out of them."""
    await asyncio.to_thread(_pile_up, path, samples // TAGS)
    _image, journal = journal_of(path)
    asked = time.perf_counter()
    await journal.flush()
    opened = time.perf_counter()
    await journal.raw("plant.p3", None, None, limit=10_000)
    figures = {"backlog_open_ms": round((opened - asked) * 1000, 1)}
    figures["backlog_first_page_ms"] = round((time.perf_counter() - opened) * 1000, 1)
    await journal.stop()
    return figures


def _pile_up(path: Path, commits: int) -> None:
    writer = Writer(path)
    writer.connection.execute("PRAGMA synchronous = OFF")
    tags = [f"plant.{point.id}" for point in _POINTS]
    values = [tag / 7 for tag in range(TAGS)]
    for number in range(commits):
        writer.append(tags, [_START + number * TICKS_PER_S] * TAGS, values, [0] * TAGS)
    writer.connection.close()


async def measure(folder: Path, samples: int, backlog_samples: int) -> Figures:
    """All figures."""
    return {
        "commit_1_s": await ingest(folder / "1.db", samples, 1),
        "commit_5_s": await ingest(folder / "5.db", samples, 5),
        "read_100000": await reading(folder / "read.db"),
        "backlog": await backlog(folder / "backlog.db", backlog_samples),
    }


def main() -> None:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--backlog", type=int, default=10_000_000)
    parser.add_argument("--folder", type=Path, help="where the files are made; a temporary folder otherwise")
    words = parser.parse_args()
    with tempfile.TemporaryDirectory(dir=words.folder) as folder:
        print(json.dumps(asyncio.run(measure(Path(folder), words.samples, words.backlog)), indent=2))


if __name__ == "__main__":
    main()
