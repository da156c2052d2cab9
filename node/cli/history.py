"""`gridnode history`: what was recorded of points, on the terminal or as a file."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from typing import Annotated

import typer

from node.cli.connect import UrlOption, UserOption, Where, run_client, session
from node.cli.history_output import Format, Output, check_output, give, output_of
from node.cli.history_request import HistoryRequest, requested
from node.cli.history_source import JournalSource, NodeSource
from node.cli.options import USAGE, PasswordFile, SiteOption, fail
from node.cli.site_journal import opened
from node.client_reading import NodeGone


def history(
    points: Annotated[
        list[str], typer.Argument(help="Points: xw1.ac_power; 'xw1.*', '*.ac_power': those that are recorded.")
    ],
    last: Annotated[str | None, typer.Option(help="How far back, 5m, 2h; 5m by default.", show_default=False)] = None,
    start: Annotated[
        str | None, typer.Option("--from", help="Start: 2026-11-21T10:00, local unless it says its offset.")
    ] = None,
    end: Annotated[str | None, typer.Option("--to", help="End; now by default.", show_default=False)] = None,
    aggregate: Annotated[
        str | None, typer.Option(help="Aggregate of OPC UA: TimeAverage2, Maximum, ...", show_default=False)
    ] = None,
    interval: Annotated[
        str | None,
        typer.Option(
            help="Of the aggregate: 1h; else the whole time. With --last at whole hours, UTC.", show_default=False
        ),
    ] = None,
    at: Annotated[
        list[str] | None, typer.Option(help="Value at a time; may be given several times.", show_default=False)
    ] = None,
    output: Annotated[
        Path | None, typer.Option("--output", "-o", help="File to write: NAME.csv, NAME.parquet.", show_default=False)
    ] = None,
    form: Annotated[
        Format | None, typer.Option("--format", help="By the file's name, else text.", show_default=False)
    ] = None,
    ticks: Annotated[bool, typer.Option("--ticks", help="In files, times as OPC UA ticks (100 ns) too.")] = False,
    overwrite: Annotated[bool, typer.Option("--overwrite", help="Replace a file that is there.")] = False,
    journal: Annotated[bool, typer.Option("--journal", help="Read the site's journal file, without the node.")] = False,
    journal_file: Annotated[
        Path | None, typer.Option(help="Read this journal file: a copy, or one moved aside.", show_default=False)
    ] = None,
    site: SiteOption = None,
    url: UrlOption = None,
    user: UserOption = None,
    password_file: PasswordFile = None,
) -> None:
    """Print or export recorded samples of points, oldest first, or aggregates of them.

    Samples are recorded when they change: the one that held at the start comes first and is marked. The terminal shows
    local time with its offset, files have UTC.
    """
    from_file = journal or journal_file is not None
    if from_file and (url is not None or user is not None):
        fail("use --journal or --journal-file, or --url and --user, not both", USAGE)
    try:
        request = requested(last, start, end, aggregate, interval, at or [])
        goal = output_of(output, form, ticks=ticks, overwrite=overwrite)
    except ValueError as error:
        fail(str(error), USAGE)
    if from_file:
        run_client(_from_file(site, journal_file, points, request, goal))
    else:
        run_client(_from_node(Where(site, url, user, password_file), points, request, goal))


async def _from_node(where: Where, points: Sequence[str], request: HistoryRequest, output: Output) -> None:
    check_output(output)
    try:
        async with session(where) as client:
            source = NodeSource(client)
            await give(source, await source.describe(await source.find(points)), request, output)
    except NodeGone as error:
        if where.url is not None:
            raise
        raise NodeGone(f"{error}; --journal reads the file of a node that does not run") from error


async def _from_file(
    path: Path | None, file: Path | None, points: Sequence[str], request: HistoryRequest, output: Output
) -> None:
    check_output(output)
    site, journal = opened(path, file)
    with journal:
        source = JournalSource(journal, site)
        await give(source, await source.describe(await source.find(points)), request, output)
