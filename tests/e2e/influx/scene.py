"""A journal, an InfluxDB and a forwarder between them, and what both have at the end."""

import asyncio
import math
import random
from collections.abc import AsyncIterator, Iterable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path

from address_space.image import ProcessImage
from address_space.model import Batch, Clock, Device, Status, Value, is_bad
from address_space.system import node_model, sink_model
from node.clock import RealClock
from node.historian.forwarding.feed import NO_ENTRY
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.forwarding.forward import Forwarder
from node.historian.journal import Journal
from node.sinks import SINKS
from node.sinks.base import SinkConfig
from tests.e2e.influx.server import influxql
from tests.node.historian.plant import MODEL

SINK = "central"
TAGS = tuple(f"{device}.{point.id}" for device in ("xw1", "xw2") for point in MODEL.points if point.historize)
FIRST = 134_272_512_000_000_000  # 2026-06-30
STEP = 10_000_000  # 1 s

Contents = dict[tuple[str, int], tuple[Value | None, int]]


class HurriedClock(RealClock):
    """The real time, but waiting takes a fiftieth of what is asked for."""

    async def sleep(self, seconds: float) -> None:
        await super().sleep(seconds / 50)


def make_image(clock: Clock) -> ProcessImage:
    devices = [Device("xw1", MODEL), Device("xw2", MODEL), Device(SINK, sink_model()), Device("node", node_model())]
    return ProcessImage(devices, clock)


@dataclass
class Scene:
    """What a test needs of one journal and its forwarder."""

    image: ProcessImage
    journal: Journal
    feed: FeedReader
    forwarder: Forwarder
    clock: Clock
    ticks: int = FIRST

    def record(self, tag: str, value: Value | None, status: int = 0, ticks: int | None = None) -> None:
        """One sample, a second after the one before."""
        if ticks is None:
            self.ticks += STEP
            ticks = self.ticks
        self.image.publish(Batch([self.image.slot(*tag.split("."))], [value], [status], ticks))

    def record_many(self, count: int, seed: int = 1) -> None:
        """Samples of every kind, Good ones and others."""
        rng = random.Random(seed)
        for number in range(count):
            tag = rng.choice(TAGS)
            status = rng.choice((0, 0, 0, int(Status.UNCERTAIN_SUB_NORMAL), int(Status.BAD_COMMUNICATION_ERROR)))
            value = None if is_bad(status) else value_of(tag, number, rng)
            self.record(tag, value, status)

    async def caught_up(self, within_s: float = 60.0) -> None:
        """Return when the cursor stands behind everything that is committed."""
        async with asyncio.timeout(within_s):
            while await self.feed.cursor(SINK) < await self.feed.newest():
                self.forwarder.wake()
                await asyncio.sleep(0.02)

    def shown(self, point: str) -> Value | None:
        """Newest value of a point of the sink's device."""
        return self.image.values[self.image.slot(SINK, point)]

    async def sent(self, least: int, within_s: float = 60.0) -> None:
        """Return when so many lines were stored."""
        async with asyncio.timeout(within_s):
            while int(self.shown("sent") or 0) < least:  # noqa: ASYNC110 - it must not be later than that
                await asyncio.sleep(0.001)

    async def local(self, tags: Iterable[str] = TAGS) -> Contents:
        """Everything that the journal has, as it is to be in the sink."""
        found: Contents = {}
        for tag in tags:
            page = await self.journal.raw(tag, None, None, limit=10_000_000)
            columns = page.columns
            for ticks, value, status in zip(columns.ticks, columns.values, columns.statuses, strict=True):
                found[tag, (ticks - 116_444_736_000_000_000) * 100] = as_sent(value, status)
        return found


def value_of(tag: str, number: int, rng: random.Random) -> Value:
    """A value of the tag's own type that changes every time."""
    kind = tag.partition(".")[2]
    values: dict[str, Value] = {
        "power": rng.choice((number / 7, -0.0, 1e300, math.nan, math.inf, float(number))),
        "energy": rng.choice((number, 2**63 - 1, 2**64 - 1 - number)),
        "text": f'täxt {number}, a=b "quoted" \\ back\nline',
        "flag": number % 2 == 0,
        "level": -number,
        "changed_at": FIRST + number,
    }
    return values[kind]


def as_sent(value: Value | None, status: int) -> tuple[Value | None, int]:
    """What a sample is to be in the sink: no value with a Bad status, no info bits, nothing that is not finite."""
    status &= 0xFFFF_0000
    if is_bad(status):
        return None, status
    if value is None:
        return None, 0x809B_0000
    if isinstance(value, float) and not math.isfinite(value):
        return None, int(Status.BAD_SENSOR_FAILURE)
    return value, status


async def remote(url: str, database: str, site: str, headers: dict[str, str] | None = None) -> Contents:
    """Everything that an InfluxDB has of a site."""
    text = f"""SELECT "v","i","b","s","st" FROM "h" WHERE "site" = '{site}' GROUP BY "node" """
    found: Contents = {}
    for series in await influxql(url, database, text, headers):
        tag = series["tags"]["node"]  # type: ignore[index]
        if tag.startswith(f"{SINK}."):  # how the sink itself does goes on while a test looks
            continue
        for ns, v, i, b, s, st in series["values"]:  # type: ignore[attr-defined]
            value = next((one for one in (b, i, s) if one is not None), None if v is None else float(v))
            if s is not None and i in (2**63 - 1, -(2**63)):
                value = int(s)
            if is_bad(st):
                value = None
            if st != NO_ENTRY:
                found[tag, ns] = (value, st)
    return found


@asynccontextmanager
async def forwarding(
    path: Path, config: SinkConfig, site: str, clock: Clock | None = None, *, run: bool = True
) -> AsyncIterator[Scene]:
    """A journal in `path` whose samples go to a sink; both end in good order."""
    clock = clock or HurriedClock()
    image = make_image(clock)
    journal = Journal(path, image, clock)
    image.tap(journal.offer)
    feed = FeedReader(journal, clock, journal.damage)
    forwarder = Forwarder(feed, SINKS[config.type](config, site), config, image, clock)
    journal.committed.append(forwarder.wake)
    tasks = [asyncio.create_task(forwarder.run())] if run else []
    try:
        yield Scene(image, journal, feed, forwarder, clock)
        for task in tasks:
            if task.done():
                task.result()
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        await journal.stop()
