"""`gridnode history`: what was recorded of a point."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from address_space.model import ticks_from_datetime
from node.cli.connect import UrlOption, UserOption, Where, put, run_client, session
from node.cli.options import USAGE, PasswordFile, SiteOption, fail
from node.cli.times import period, shown
from node.cli.values import value_text
from node.client import status_text


def history(
    point: Annotated[str, typer.Argument(help="Point, for example xw1.ac_power.")],
    last: Annotated[str | None, typer.Option(help="How far back, 5m, 2h; 5m by default.", show_default=False)] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Start: 2026-11-21T10:00, local unless it says its offset.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End; now by default.", show_default=False)] = None,
    site: SiteOption = None,
    url: UrlOption = None,
    user: UserOption = None,
    password_file: PasswordFile = None,
) -> None:
    """Print the recorded samples of a point, oldest first, in local time with its offset.

    Samples are recorded when they change: the one that held at the start comes first and is marked.
    """
    try:
        since, until = period(last, start, end, datetime.now(UTC))
    except ValueError as error:
        fail(str(error), USAGE)
    run_client(_print(Where(site, url, user, password_file), point, since, until))


async def _print(where: Where, path: str, since: datetime, until: datetime) -> None:
    first, last = ticks_from_datetime(since), ticks_from_datetime(until)
    count = 0
    async with session(where) as client:
        (point,) = await client.describe([(path, path)])
        async for reading in client.history(path, since, until):
            if reading.ticks is None or reading.ticks > last:
                continue
            text = value_text(reading.value, point.unit, point.texts)
            # A point is recorded when it changes: what it was at the start may have been written long before.
            held = "  (older; it held at the start)" if reading.ticks < first else ""
            put(f"{shown(reading.ticks)}  {text:>20}  {status_text(reading.status)}{held}")
            count += 1
    if not count:
        put(f"nothing was recorded from {since.astimezone()} to {until.astimezone()}, nor before")
