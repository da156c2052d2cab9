"""`gridnode journal`: the journal's file for whoever looks after it, beside the running node or without it."""

from __future__ import annotations

import asyncio
import json
import sqlite3
import sys
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated, Any, Final

import typer
from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from address_space.model import ticks_from_datetime
from node.cli.options import FAILED, USAGE, SiteOption, explained, fail
from node.cli.quarantine import quarantine
from node.cli.site_journal import opened
from node.cli.times import iso_utc, period, shown
from node.clock import RealClock
from node.historian.file.check import Check, Finding
from node.historian.file.journal_file import JournalFile
from node.historian.file.replay import mark_before, set_back
from node.historian.file.statistics import Amount, Statistics, counted
from node.historian.forwarding.feed import START
from node.historian.forwarding.feed_reader import FeedReader
from node.historian.store.damage import Damage
from node.site import Site

journal = typer.Typer(no_args_is_help=True, help="The journal's file: check it, count it, send it again.")
journal.add_typer(quarantine, name="quarantine")

FileArgument = Annotated[Path | None, typer.Argument(help="A journal file; by default the site's.", show_default=False)]
JsonOption = Annotated[bool, typer.Option("--json", help="As one JSON object.")]


# --- check


@journal.command()
def check(file: FileArgument = None, site: SiteOption = None, as_json: JsonOption = False) -> None:
    """Read every frame and block and verify its check sum. Damage is listed with its place; exit code 1 then."""
    with explained():
        _, source = opened(site, file)
        with source:
            done = _checked(source)
    if as_json:
        print(json.dumps(_check_json(source.path, done), indent=2))
    else:
        for finding in done.findings:
            print(f"{finding.place}{_reach(finding)}: {finding.reason}")
        end = (
            f"{len(done.findings)} damaged; what is whole can still be read" if done.findings else "all of it is whole"
        )
        print(
            f"{source.path}: {done.frames} frames, {done.blocks} blocks, {done.edits} replaced samples, "
            f"{done.samples} samples: {end}"
        )
    if done.findings:
        raise typer.Exit(FAILED)


def _checked(source: JournalFile) -> Check:
    done = Check(source.reading)
    bar = Progress(
        TextColumn("{task.completed} of {task.total} frames and blocks"),
        BarColumn(),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        transient=True,
        disable=not sys.stderr.isatty(),
    )

    def look(_connection: sqlite3.Connection) -> None:
        with bar:
            task = bar.add_task("", total=done.expected())
            for _ in done.steps():
                bar.update(task, completed=done.rows)

    source.read(look)
    return done


def _reach(finding: Finding) -> str:
    if finding.first is None or finding.last is None:
        return ""
    return f" ({shown(finding.first)} to {shown(finding.last)})"


def _check_json(path: Path, done: Check) -> dict[str, Any]:
    return {
        "file": str(path),
        "frames": done.frames,
        "blocks": done.blocks,
        "replaced": done.edits,
        "samples": done.samples,
        "damage": [
            {"place": one.place, "from": _iso(one.first), "to": _iso(one.last), "reason": one.reason}
            for one in done.findings
        ],
    }


# --- stats


@dataclass(frozen=True, slots=True)
class _SinkUse:
    """How far a sink is."""

    id: str
    configured: bool
    updated: int | None  # when its place was written last
    waiting: int
    oldest: int | None  # time of the oldest sample that waits
    quarantined: int


@journal.command()
def stats(
    file: FileArgument = None,
    top: Annotated[int, typer.Option(help="So many points, those that take most bytes.", min=0)] = 10,
    site: SiteOption = None,
    as_json: JsonOption = False,
) -> None:
    """Count what the journal holds: samples, bytes, times of samples, the largest points, and how far each sink is.

    In quarantine is what lies there now; a sink's point `quarantined` counts what it refused since the node started.
    """
    with explained():
        found, source = opened(site, file)
        with source:
            counts = source.read(lambda connection: counted(connection, source.path))
            sinks = asyncio.run(_sinks(source, found))
    if as_json:
        print(json.dumps(_stats_json(source.path, counts, sinks, top), indent=2))
    else:
        _print_stats(source.path, counts, sinks, top)


async def _sinks(source: JournalFile, site: Site | None) -> list[_SinkUse]:
    feed = FeedReader(source, RealClock(), Damage())
    updated = dict(await source.read_disk(lambda c: c.execute("SELECT sink, updated FROM cursor").fetchall()))
    kept = dict(
        await source.read_disk(lambda c: c.execute("SELECT sink, count(*) FROM quarantine GROUP BY sink").fetchall())
    )
    of_site = _sinks_of(site)
    found: list[_SinkUse] = []
    for sink in sorted({*of_site, *updated, *kept}):
        waiting, oldest = await feed.waiting(await feed.cursor(sink))
        found.append(_SinkUse(sink, sink in of_site, updated.get(sink), waiting, oldest, kept.get(sink, 0)))
    return found


def _sinks_of(site: Site | None) -> list[str]:
    return [sink.id for sink in site.sinks] if site is not None else []


def _print_stats(path: Path, counts: Statistics, sinks: Sequence[_SinkUse], top: int) -> None:
    print(f"{path}: {_bytes(counts.file_bytes)}, log {_bytes(counts.log_bytes)}, spare {_bytes(counts.spare_bytes)}")
    print(f"samples     {counts.samples} of {len(counts.points)} points")
    print(f"oldest      {shown(counts.oldest)}")
    print(f"newest      {shown(counts.newest)}")
    for name, amount in (("blocks", counts.blocks), ("frames", counts.frames)):
        each = f", {amount.bytes / amount.samples:.1f} bytes a sample" if amount.samples else ""
        print(f"{name:11} {amount.rows} with {amount.samples} samples in {_bytes(amount.bytes)}{each}")
    print(f"events      {counts.events}")
    print(f"edits       {counts.replaced} replaced or deleted samples, {counts.annotations} annotations")
    if counts.damaged:
        print(f"damaged     {counts.damaged} frames or blocks; `gridnode journal check` says which")
    for sink in sinks:
        age = f" since {shown(sink.oldest)}" if sink.oldest is not None else ""
        note = "" if sink.configured else "  (not in the site file)"
        held = f"{sink.quarantined} refused ones lie in quarantine now"
        print(f"sink        {sink.id}: about {sink.waiting} samples wait{age}, {held}{note}")
    if top and counts.points:
        which = "all points" if top >= len(counts.points) else f"{top} of {len(counts.points)} points"
        print(f"\n{which}, those with the most bytes first:")
        print(f"{'point':40} {'samples':>12} {'bytes':>12}  newest sample")
    for point, amount in _largest(counts, top):
        print(f"{point:40} {amount.samples:>12} {amount.bytes:>12}  {shown(amount.newest)}")


def _largest(counts: Statistics, top: int) -> list[tuple[str, Amount]]:
    return sorted(counts.points.items(), key=lambda entry: (-entry[1].bytes, entry[0]))[:top]


def _stats_json(path: Path, counts: Statistics, sinks: Sequence[_SinkUse], top: int) -> dict[str, Any]:
    return {
        "file": str(path),
        "bytes": counts.file_bytes,
        "log_bytes": counts.log_bytes,
        "spare_bytes": counts.spare_bytes,
        "samples": counts.samples,
        "points": len(counts.points),
        "oldest": _iso(counts.oldest),
        "newest": _iso(counts.newest),
        "blocks": _amount_json(counts.blocks),
        "frames": _amount_json(counts.frames),
        "damaged": counts.damaged,
        "events": counts.events,
        "replaced": counts.replaced,
        "annotations": counts.annotations,
        "sinks": [
            {
                "id": sink.id,
                "configured": sink.configured,
                "updated": _iso(sink.updated),
                "waiting": sink.waiting,
                "oldest": _iso(sink.oldest),
                "quarantined": sink.quarantined,
            }
            for sink in sinks
        ],
        "largest": [{"point": point, **_amount_json(amount)} for point, amount in _largest(counts, top)],
    }


def _amount_json(amount: Amount) -> dict[str, Any]:
    return {
        "rows": amount.rows,
        "samples": amount.samples,
        "bytes": amount.bytes,
        "oldest": _iso(amount.oldest),
        "newest": _iso(amount.newest),
    }


def _iso(ticks: int | None) -> str | None:
    return None if ticks is None else iso_utc(ticks)


_KILO: Final = 1000


def _bytes(count: float) -> str:
    for unit in ("B", "kB", "MB"):
        if count < _KILO:
            return f"{count:.0f} {unit}" if unit == "B" else f"{count:.1f} {unit}"
        count /= _KILO
    return f"{count:.1f} GB"


# --- replay


@journal.command()
def replay(
    sink: Annotated[str, typer.Argument(help="Id of the sink.")],
    start: Annotated[
        str | None, typer.Option("--from", help="From when on: 2026-11-21T10:00, local unless it says its offset.")
    ] = None,
    last: Annotated[str | None, typer.Option(help="How far back: 2h, 30d.", show_default=False)] = None,
    site: SiteOption = None,
) -> None:
    """Send everything from a time on to a sink again, in place of what it has of these times.

    While it lasts, the newest samples are sent early too. A running node begins within seconds.
    """
    if (start is None) == (last is None):
        fail("say from when on: --from TIME or --last 2h", USAGE)
    try:
        since, _ = period(last, start, None, datetime.now(UTC))
    except ValueError as error:
        fail(str(error), USAGE)
    with explained():
        found, source = opened(site, None)
        with source:
            print(asyncio.run(_replay(source, found, sink, ticks_from_datetime(since))))


async def _replay(source: JournalFile, site: Site | None, sink: str, since: int) -> str:
    feed = FeedReader(source, RealClock(), Damage())
    place = await feed.cursor(sink)
    if sink not in _sinks_of(site):
        known = ", ".join(_sinks_of(site)) or "none; `sinks:` in the site file has them"
        fail(f"there is no sink {sink!r}; there is {known}")
    mark = source.read(lambda connection: mark_before(connection, since))
    if mark is None:
        return f"the journal has nothing from {shown(since)} on; nothing was changed"
    if place == START or not source.write(lambda connection: set_back(connection, sink, mark, RealClock().now())):
        return f"{sink} has not got what comes from {shown(since)} on yet: it comes anyway; nothing was changed"
    waiting, _ = await feed.waiting(mark)
    return f"{sink} gets everything from {shown(since)} on again, about {waiting} samples with what lies between"
