"""Files full of samples, and what a node does with one: opening it, and bringing it into a database."""

from __future__ import annotations

import asyncio
import itertools
import os
import time
from collections.abc import Iterable, Iterator, Sequence
from pathlib import Path
from typing import Any, Final

from address_space.model import TICKS_PER_S, Batch, Value
from benchmarks import usage
from benchmarks.history.mixed import MixedLoad
from benchmarks.history.plant import FIRST, PER_DEVICE, SINK, Used, make_image, running, tag
from node.clock import RealClock
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.forwarding.forward import Forwarder
from node.historian.journal import Journal
from node.historian.store.compaction import Pass, waiting
from node.historian.store.damage import Damage
from node.historian.store.database import Transaction
from node.historian.store.retention_rule import RetentionRule
from node.historian.store.writer import Writer, put_frame, tag_id
from node.sinks.influx import InfluxSink
from node.sinks.influx_config import InfluxConfig
from tests.e2e.influx.server import Influxd, influxql

_TAGS: Final = 200
_AT_ONCE: Final = 2_000  # frames in one transaction
_LOOK_S: Final = 0.05
# The file of ten million samples is within the budget anyway; a small disk of the machine must not change it.
_KEEP: Final = RetentionRule(max_bytes=4_000_000_000, min_free_bytes=0)
_DATABASE: Final = "bench"


Row = tuple[Sequence[int], Sequence[Value]]  # times and values of one frame, in the order of its tags


def fill(path: Path, tags: Sequence[str], rows: Iterable[Row]) -> None:
    """Write one frame for each row; not synchronized in between."""
    writer = Writer(path)
    connection = writer.connection
    connection.execute("PRAGMA synchronous = OFF")
    with Transaction(connection):
        ids = [tag_id(connection, name) for name in tags]
    good = [0] * len(tags)
    left = iter(rows)
    while part := list(itertools.islice(left, _AT_ONCE)):
        with Transaction(connection):
            for ticks, values in part:
                put_frame(connection, ids, ticks, values, good)
    connection.close()


def every_second(values: Iterable[Value]) -> Iterator[Row]:
    """Rows of one sample for a `fill` with one tag, from FIRST on."""
    for number, value in enumerate(values):
        yield (FIRST + number * TICKS_PER_S,), (value,)


def _mixed(seconds: int) -> Iterator[Row]:
    load, places = MixedLoad(_TAGS // PER_DEVICE, PER_DEVICE, FIRST), [range(PER_DEVICE)] * (_TAGS // PER_DEVICE)
    for number in range(seconds):
        ticks: list[int] = []
        values: list[Value] = []
        for batch in load.second(number, places):
            ticks += [batch.ticks] * PER_DEVICE
            values += batch.values  # type: ignore[arg-type]
        yield ticks, values


def into_blocks(path: Path) -> None:
    """Compact everything in a file that nobody has open."""
    connection = Writer(path).connection
    while waiting(connection):
        work = Pass(Damage())
        while work.step(connection):
            pass
    connection.close()


async def make(folder: Path, samples: int) -> dict[str, Any]:
    """The file of a backlog, all of it in frames as commits of one second leave it."""
    used = Used()
    path = folder / "backlog.db"
    fill(path, [tag(number) for number in range(_TAGS)], _mixed(samples // _TAGS))
    return {**used.figures(), "samples": samples, "file_bytes": path.stat().st_size}


async def compact(folder: Path, samples: int) -> dict[str, Any]:
    """What an outage leaves: the backlog as blocks, since compaction does not wait for sinks."""
    used = Used()
    into_blocks(folder / "backlog.db")
    return {**used.figures(), "samples": samples}


async def open_one(folder: Path) -> dict[str, Any]:
    """From a closed file to the first new sample on the disk, and to a first page of history."""
    clock = RealClock()
    image = make_image(_TAGS, clock)
    used = Used()
    journal = Journal(folder / "backlog.db", image, clock, retention=_KEEP, sinks=[SINK])
    image.tap(journal.offer)
    async with running(journal):
        image.publish(Batch(image.slots("d000")[:1], [1.0], [0], clock.now()))
        goal = journal.accepted
        while journal.acknowledged < goal:  # noqa: ASYNC110 - it must not be known earlier than by looking
            await asyncio.sleep(0.001)
        took = used.figures()
        began = time.perf_counter()
        page = await journal.raw(tag(0), FIRST, None, limit=1_000)
        first_page_s = time.perf_counter() - began
    if len(page.columns) != 1_000:
        raise ValueError(f"the backlog has {len(page.columns)} of 1,000 samples")
    return {**took, "first_page_s": first_page_s}


async def replay(folder: Path, samples: int) -> dict[str, Any]:
    """Bring the backlog, or the first `samples` of it, into a fresh InfluxDB with no limit on the rate."""
    server = Influxd(folder / "influxdb")
    await server.start()
    try:
        await influxql(server.url, "", f"CREATE DATABASE {_DATABASE}")
        return await _replayed(folder, samples, server.url)
    finally:
        await server.kill()


async def _replayed(folder: Path, samples: int, url: str) -> dict[str, Any]:
    clock = RealClock()
    image = make_image(_TAGS, clock)
    journal = Journal(folder / "backlog.db", image, clock, retention=_KEEP, sinks=[SINK])
    config = InfluxConfig(id=SINK, url=url, bucket=_DATABASE, replay_rate=None)
    feed = FeedReader(journal, clock, journal.damage)
    forwarder = Forwarder(feed, InfluxSink(config, "bench"), config, image, clock)
    journal.committed.append(forwarder.wake)
    sent = image.slot(SINK, "sent")
    pid = os.getpid()
    async with running(journal):
        await journal.flush()
        before = peak = usage.rss_bytes(pid)
        used = Used()
        task = asyncio.create_task(forwarder.run())
        while int(image.values[sent] or 0) < samples and not task.done():
            await asyncio.sleep(_LOOK_S)
            peak = max(peak, usage.rss_bytes(pid))
        figures = used.figures()
        done = int(image.values[sent] or 0)
        if task.done():
            task.result()
        task.cancel()
        await asyncio.wait({task})
    series = await influxql(url, _DATABASE, 'SELECT count("st") FROM "h"')
    rows: Any = series[0]["values"]
    stored = int(rows[0][1])
    if stored < samples:
        raise ValueError(f"{stored} of {samples} points are in the database")
    return {**figures, "samples": done, "stored": stored, "rss_before": before, "rss_peak": peak}
