"""A small plant to record: one device with points of every kind of value, and the node itself."""

import asyncio
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from address_space.image import ProcessImage
from address_space.model import (
    TICKS_PER_MS,
    Batch,
    DataType,
    Device,
    DeviceClass,
    Point,
    PointKind,
    Value,
    device_model,
)
from address_space.system import node_model
from node.historian.history import Columns, Position
from node.historian.journal import Journal
from node.historian.store.writer import DATA_LOST
from tests.fake_clock import FakeClock


def _point(id: str, data_type: DataType, *, kind: PointKind = PointKind.DATA, historize: bool = True) -> Point:
    return Point(id, id, "", data_type, kind, historize=historize)


POINTS = (
    _point("power", DataType.DOUBLE),
    _point("energy", DataType.UINT64),
    _point("text", DataType.STRING),
    _point("flag", DataType.BOOLEAN),
    _point("level", DataType.INT32),
    _point("changed_at", DataType.INT64, kind=PointKind.TIME),
    _point("scratch", DataType.DOUBLE, historize=False),
)
MODEL = device_model("test.plant", DeviceClass.GENERIC, POINTS)


def make_image(clock: FakeClock) -> ProcessImage:
    return ProcessImage([Device("xw1", MODEL), Device("xw2", MODEL), Device("node", node_model())], clock)


def record(image: ProcessImage, point: str, ticks: int, value: Value | None, status: int = 0) -> None:
    """Publish one sample of xw1."""
    image.publish(Batch([image.slot("xw1", point)], [value], [status], ticks))


@asynccontextmanager
async def recording(path: Path, clock: FakeClock, **options: Any) -> AsyncIterator[tuple[ProcessImage, Journal]]:
    """A fresh image whose changes go to a journal in `path`; the journal is stopped at the end."""
    image = make_image(clock)
    journal = Journal(path, image, clock, **options)
    image.tap(journal.offer)
    try:
        yield image, journal
    finally:
        async with asyncio.timeout(30):
            await journal.stop()


def rows(columns: Columns) -> list[tuple[int, Value | None, int]]:
    return list(zip(columns.ticks, columns.values, columns.statuses, strict=True))


def gap(last: int) -> tuple[int, Value | None, int]:
    """What history says from the newest sample of a run on, once the next run has begun."""
    return last + TICKS_PER_MS, None, DATA_LOST


async def whole(
    journal: Journal,
    tag: str,
    start: int | None = None,
    end: int | None = None,
    *,
    reverse: bool = False,
    limit: int = 1_000_000,
) -> list[tuple[int, Value | None, int]]:
    """Everything of an interval, in pages of `limit`; no page but an only one is empty."""
    found: list[tuple[int, Value | None, int]] = []
    after: Position | None = None
    while True:
        page = await journal.raw(tag, start, end, limit=limit, reverse=reverse, after=after)
        assert len(page.columns) <= limit
        assert len(page.columns) or after is None
        found += rows(page.columns)
        if page.next is None:
            return found
        after = page.next
