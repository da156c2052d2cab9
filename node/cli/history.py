"""`gridnode history`: what was recorded of a point."""

from __future__ import annotations

from datetime import UTC, datetime
from typing import Annotated

import typer

from node.cli.connect import UrlOption, UserOption, Where, run_client, session
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
    """Print the recorded samples of a point, oldest first, in local time with its offset."""
    try:
        since, until = period(last, start, end, datetime.now(UTC))
    except ValueError as error:
        fail(str(error), USAGE)
    run_client(_print(Where(site, url, user, password_file), point, since, until))


async def _print(where: Where, path: str, since: datetime, until: datetime) -> None:
    count = 0
    async with session(where) as client:
        (point,) = await client.describe([(path, path)])
        async for reading in client.history(path, since, until):
            count += 1
            text = value_text(reading.value, point.unit, point.texts)
            print(f"{shown(reading.ticks)}  {text:>20}  {status_text(reading.status)}")
    if not count:
        print(f"nothing was recorded from {since.astimezone()} to {until.astimezone()}")
