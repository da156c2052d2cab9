"""A whole node in this process, on loopback and ports from the OS, for tests that look at it from outside."""

import asyncio
import socket
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path

from address_space.image import Watch
from address_space.model import Clock, Sample, is_good
from node.app import App
from node.clock import RealClock
from node.config import load_site


def free_port() -> int:
    """A port that was free a moment ago."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


@asynccontextmanager
async def running(site_file: Path, clock: Clock | None = None) -> AsyncIterator[App]:
    """The node of a site file, from when clients can connect until it has ended in good order."""
    app = App(load_site(site_file), clock or RealClock())
    stop, started = asyncio.Event(), asyncio.Event()
    task = asyncio.create_task(app.run(stop, started.set))
    ready = asyncio.create_task(started.wait())
    await asyncio.wait({task, ready}, return_when=asyncio.FIRST_COMPLETED)
    ready.cancel()
    if task.done():
        task.result()
    try:
        yield app
    finally:
        stop.set()
        await task


def sample(app: App, path: str) -> Sample:
    """Newest sample of `device.point`."""
    device, point = path.split(".")
    return app.image.sample(app.image.slot(device, point))


async def until(app: App, path: str, wanted: object, within_s: float = 15.0) -> Sample:
    """The sample of `device.point` as soon as its value is `wanted`; fails when that does not happen."""
    return await _until(app, path, lambda sample: sample.value == wanted, within_s)


async def until_good(app: App, path: str, within_s: float = 15.0) -> Sample:
    """The sample of `device.point` as soon as its status is Good; fails when that does not happen."""
    return await _until(app, path, lambda sample: is_good(sample.status), within_s)


async def _until(app: App, path: str, holds: Callable[[Sample], bool], within_s: float) -> Sample:
    slot = app.image.slot(*path.split("."))
    published = asyncio.Event()
    watch = Watch(published.set)
    app.image.watch(slot, watch)
    try:
        async with asyncio.timeout(within_s):
            while not holds(app.image.sample(slot)):
                await published.wait()
                published.clear()
                watch.take()
    finally:
        app.image.unwatch(slot, watch)
    return app.image.sample(slot)
