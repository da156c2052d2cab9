"""`gridnode watch`: the newest samples of a running node, live."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Mapping, Sequence
from fnmatch import fnmatchcase
from typing import Annotated, Final

import typer
from rich.console import Console
from rich.live import Live
from rich.table import Table
from rich.text import Text

from node.cli.connect import UrlOption, UserOption, Where, run_client, session
from node.cli.options import PasswordFile, SiteOption
from node.cli.times import shown
from node.cli.values import style, value_text
from node.client import ClientError, NodeClient, Reading, RemotePoint, status_text

_PERIOD_S: Final = 0.5
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
    """Show points live: a table on a terminal, else a line for each change. Ends with Ctrl-C."""
    run_client(_watch(Where(site, url, user, password_file), patterns or []))


async def _watch(where: Where, patterns: Sequence[str]) -> None:
    async with session(where) as client:
        points = await client.describe(await _find(client, patterns))
        by_path = {point.path: point for point in points}
        newest: dict[str, Reading] = {}
        on_terminal = sys.stdout.isatty()

        def changed(path: str, reading: Reading) -> None:
            newest[path] = reading
            if on_terminal:
                return
            try:
                print(_line(by_path[path], reading), flush=True)
            except BrokenPipeError:  # who read the lines has enough of them
                client.lost.set()

        await client.watch([point.path for point in points], changed, _PERIOD_S)
        if on_terminal:
            await _live(client, points, newest)
        else:
            await client.lost.wait()
        raise ClientError("the connection broke")


async def _live(client: NodeClient, points: Sequence[RemotePoint], newest: Mapping[str, Reading]) -> None:
    console = Console()
    with Live(console=console, auto_refresh=False, vertical_overflow="crop") as live:
        while not client.lost.is_set():
            # Title, head and frame take six lines; the last one tells what does not fit.
            live.update(_table(points, newest, max(1, console.size.height - 7)), refresh=True)
            await asyncio.sleep(1 / _FRAMES)


async def _find(client: NodeClient, patterns: Sequence[str]) -> list[tuple[str, str]]:
    found: list[tuple[str, str]] = []
    matched: set[str] = set()
    for device in await client.devices():
        if patterns and not any(fnmatchcase(device, pattern.partition(".")[0]) for pattern in patterns):
            continue
        points = await client.points(device)
        if not patterns:
            found += points[:_FIRST]
            continue
        for path, label in points:
            fitting = [pattern for pattern in patterns if fnmatchcase(path, pattern) or pattern == device]
            matched.update(fitting)
            if fitting:
                found.append((path, label))
    for pattern in patterns:
        if pattern not in matched:
            raise ClientError(f"no point fits {pattern!r}; `gridnode watch` without words shows some of each device")
    return found


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
