"""`gridnode watch`: the newest samples of a running node, live."""

from __future__ import annotations

import asyncio
import os
import stat
import sys
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.cli.connect import Access, ReaderGone, UrlOption, UserOption, Where, put, run_client
from node.cli.options import PasswordFile, SiteOption
from node.cli.points import fits, fitting
from node.cli.times import shown
from node.cli.values import style, value_text
from node.client import NodeClient, RemotePoint
from node.client_reading import ClientError, NodeGone, Reading, status_text

_PERIOD_S: Final = 0.5
_RETRY_S: Final = 2.0
_FRAMES: Final = 4  # table updates a second
# Without a pattern the first points of each device, which are those that its class is about.
_FIRST: Final = 4


def watch(
    patterns: Annotated[
        list[str] | None,
        typer.Argument(help="Points: xw1.ac_power, 'xw1.*', '*.ac_power'.", show_default=False),
    ] = None,
    site: SiteOption = None,
    url: UrlOption = None,
    user: UserOption = None,
    password_file: PasswordFile = None,
) -> None:
    """Show points live: a table on a terminal, else a line for each change. Ends with Ctrl-C.

    Points of buses, sinks and the node, too: rs485.utilisation, node.sessions. Write-only points are left out. A node
    that goes away is waited for.
    """
    run_client(_watch(Where(site, url, user, password_file), patterns or []))


async def _watch(where: Where, patterns: Sequence[str]) -> None:
    """Show until Ctrl-C; a node that was there and goes away is waited for."""
    access = Access(where)
    shows = _Table() if sys.stdout.isatty() else _Lines()
    seen = waiting = False
    while True:
        try:
            async with access.session() as client:
                points = await client.describe(await _find(client, patterns))
                await client.watch([point.path for point in points], shows.begin(points, client.lost), _PERIOD_S)
                seen, waiting = True, False
                await shows.until_lost()
                raise NodeGone(f"the connection to {access.url} broke")
        except NodeGone as error:
            if not seen:
                raise
            if not waiting:
                waiting = True
                print(f"gridnode: {error}; waiting until the node is back", file=sys.stderr, flush=True)
            await asyncio.sleep(_RETRY_S)


async def _find(client: NodeClient, patterns: Sequence[str]) -> list[tuple[str, str]]:
    """Path and label of what is shown: what cannot be read is left out, and an error only where it is named."""
    if not patterns:
        found: list[tuple[str, str]] = []
        for device in await client.devices():
            found += (await _readable(client, await client.points(device)))[:_FIRST]
        return found
    found = await fitting(client, patterns)
    shown = await _readable(client, found)
    for pattern in patterns:
        if not any(fits(path, pattern) for path, _ in shown):
            is_one = any(path == pattern for path, _ in found)
            what = f"{pattern} is write-only" if is_one else f"what fits {pattern!r} is write-only"
            raise ClientError(f"{what}: there is no value to be watched")
    return shown


async def _readable(client: NodeClient, points: Sequence[tuple[str, str]]) -> list[tuple[str, str]]:
    readable = await client.readable([path for path, _ in points])
    return [entry for entry in points if entry[0] in readable]


# --- what is shown -------------------------------------------------------------------------------------------


class _Lines:
    """A line for each change, for as long as somebody reads them."""

    def __init__(self) -> None:
        self._points: dict[str, RemotePoint] = {}
        self._stop = asyncio.Event()
        self._enough = False

    def begin(self, points: Sequence[RemotePoint], lost: asyncio.Event) -> Callable[[str, Reading], None]:
        self._points, self._stop = {point.path: point for point in points}, lost
        return self._changed

    async def until_lost(self) -> None:
        with self._noticing():
            await self._stop.wait()
        if self._enough:
            raise ReaderGone

    def _changed(self, path: str, reading: Reading) -> None:
        try:
            put(_line(self._points[path], reading))
        except ReaderGone:  # the library that calls here would only log it
            self._end()

    def _end(self) -> None:
        self._enough = True
        self._stop.set()

    @contextmanager
    def _noticing(self) -> Iterator[None]:
        """A pipe whose reader ends tells so by an error on it; points may not change for long."""
        number = sys.stdout.fileno()
        if not stat.S_ISFIFO(os.fstat(number).st_mode):
            yield
            return
        loop = asyncio.get_running_loop()
        loop.add_reader(number, self._end)
        try:
            yield
        finally:
            loop.remove_reader(number)


class _Table:
    """A live table of the newest samples."""

    def __init__(self) -> None:
        self._points: Sequence[RemotePoint] = ()
        self._newest: dict[str, Reading] = {}
        self._lost = asyncio.Event()

    def begin(self, points: Sequence[RemotePoint], lost: asyncio.Event) -> Callable[[str, Reading], None]:
        self._points, self._lost = points, lost
        return self._newest.__setitem__

    async def until_lost(self) -> None:
        console = Console(soft_wrap=True)  # lines above the table stay whole, to be copied
        with Live(console=console, auto_refresh=False, vertical_overflow="crop", transient=True) as live:
            while not self._lost.is_set():
                # Title, head and frame take six lines; the last one tells what does not fit.
                live.update(_table(self._points, self._newest, max(1, console.size.height - 7)), refresh=True)
                await asyncio.sleep(1 / _FRAMES)


def _table(points: Sequence[RemotePoint], newest: Mapping[str, Reading], height: int) -> Table:
    table = Table(expand=False)
    for name in ("Point", "Value", "Status", "Source time"):
        table.add_column(name, justify="right" if name == "Value" else "left", no_wrap=True)
    for point in points[:height]:
        reading = newest.get(point.path)
        if reading is None:
            table.add_row(point.path, "-", "", "")
            continue
        text = value_text(reading.value, point.unit, point.texts)
        colour = style(reading.status)
        table.add_row(point.path, Text(text, colour), Text(status_text(reading.status), colour), shown(reading.ticks))
    if len(points) > height:
        table.caption = f"{len(points) - height} more points do not fit; name fewer: gridnode watch 'xw1.*'"
    return table


def _line(point: RemotePoint, reading: Reading) -> str:
    text = value_text(reading.value, point.unit, point.texts)
    return f"{shown(reading.ticks)}  {point.path}  {text}  {status_text(reading.status)}"
