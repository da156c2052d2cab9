"""How late the event loop becomes beside a historian that records, compacts and answers all the time."""

from __future__ import annotations

import asyncio
import itertools
import json
import random
import subprocess
import sys
import time
from array import array
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final, Self

from address_space.model import TICKS_PER_S
from benchmarks.contender import ROOT
from benchmarks.history.backlog import every_second, fill, into_blocks
from benchmarks.history.mixed import MixedLoad
from benchmarks.history.plant import FIRST, PER_DEVICE, make_image, running, slots, tag
from benchmarks.single import Trips, summary
from node.clock import RealClock
from node.historian.aggregates import Aggregate, Configuration, processed
from node.historian.history import Position
from node.historian.journal import Journal

_TICK_S: Final = 0.001
_TAGS: Final = 1_000
_READ: Final = tuple(tag(number) for number in (3, 23, 43, 63))  # voltages of four devices
_DAY_S: Final = 86_400  # of samples, one a second, that are read
_PAGE: Final = 10_000
_HOUR: Final = 3_600 * TICKS_PER_S
_POSITIONS: Final = range(PER_DEVICE)


class Turns:
    """How much CPU time the longest turn of the event loop's thread took: what no load of the machine makes longer."""

    def __init__(self) -> None:
        self.longest_s = 0.0
        self._handle: Any = asyncio.Handle
        self._run = self._handle._run

    def __enter__(self) -> Self:
        run, clock, turns = self._run, time.thread_time, self

        def timed(handle: asyncio.Handle) -> None:
            began = clock()
            run(handle)
            took = clock() - began
            turns.longest_s = max(turns.longest_s, took)

        self._handle._run = timed
        return self

    def __exit__(self, *_: object) -> None:
        self._handle._run = self._run


async def ticks(seconds: float) -> Trips:
    """How much later than asked for a task was woken that sleeps 1 ms at a time."""
    late: array[float] = array("d")
    end = time.perf_counter() + seconds
    while (began := time.perf_counter()) < end:
        await asyncio.sleep(_TICK_S)
        late.append(time.perf_counter() - began - _TICK_S)
    return summary(late)


async def stall(folder: Path, seconds: float) -> dict[str, Any]:
    """Ticks of a loop that only makes the load, and of one whose load is recorded, compacted and read meanwhile.

    The load is 1,000 points, each ten times a second. An idle process ticks beside both.
    """
    path, clock = folder / "stall.db", RealClock()
    noise = random.Random(1)
    for name in _READ:
        fill(path, [name], every_second(230.0 + noise.gauss(0.0, 1.0) for _ in range(_DAY_S)))
    into_blocks(path)
    image = make_image(_TAGS, clock)
    journal = Journal(path, image, clock)
    load, places = MixedLoad(_TAGS // PER_DEVICE, PER_DEVICE, FIRST + _DAY_S * TICKS_PER_S), slots(image, _TAGS)
    found: dict[str, Any] = {}
    async with running(journal):
        await journal.flush()
        for name, record in (("bare", None), ("stall", journal)):
            idle = _idle(seconds)
            tasks = [asyncio.create_task(_load(load, places, record))]
            if record is not None:
                tasks += [asyncio.create_task(job) for job in (_compact(journal), _raw(journal), _averages(journal))]
            accepted = journal.accepted
            with Turns() as turns:
                found[name] = asdict(await ticks(seconds))
            found[name]["turn_ms"] = 1000 * turns.longest_s
            found[name]["samples_per_s"] = (journal.accepted - accepted) / seconds
            for task in tasks:
                if task.done():
                    task.result()
                task.cancel()
            await asyncio.wait(tasks)
            found[f"{name}_idle"] = await asyncio.to_thread(_ticks_of, idle)
    found["lost"] = journal.lost
    return found


def _idle(seconds: float) -> subprocess.Popen[str]:
    command = [sys.executable, "-m", "benchmarks.history", "ticks", "--seconds", str(seconds)]
    return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True)


def _ticks_of(process: subprocess.Popen[str]) -> Any:
    out, _ = process.communicate(timeout=120)
    return json.loads(out)


async def _load(load: MixedLoad, places: list[range], journal: Journal | None) -> None:
    """One device every 2 ms; without a journal what is made goes nowhere."""
    number, due = 0, time.perf_counter()
    while True:
        for batch in load.second(number, places):
            if journal is not None:
                journal.offer(batch, _POSITIONS)
            due += 0.1 / len(places)
            await asyncio.sleep(max(due - time.perf_counter(), 0.0))
        number += 1


async def _compact(journal: Journal) -> None:
    while True:
        await journal.compact()
        await asyncio.sleep(0.1)


async def _raw(journal: Journal) -> None:
    for name in itertools.cycle(_READ):
        after: Position | None = None
        while True:
            page = await journal.raw(name, FIRST, FIRST + _DAY_S * TICKS_PER_S, limit=_PAGE, after=after)
            after = page.next
            if after is None:
                break


async def _averages(journal: Journal) -> None:
    for name in itertools.cycle(_READ):
        results = processed(
            journal,
            name,
            Aggregate.TIME_AVERAGE_2,
            start=FIRST,
            end=FIRST + _DAY_S * TICKS_PER_S,
            interval=_HOUR,
            configuration=Configuration(False),
        )
        async for _result in results:
            pass
