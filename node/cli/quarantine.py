"""`gridnode journal quarantine`: samples that a sink refused for good, as the lines that it refused."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Sequence
from typing import Annotated, Final

import typer

from node.cli.options import USAGE, SiteOption, explained, fail
from node.cli.site_journal import opened
from node.cli.times import iso_utc, shown
from node.cli.values import printable
from node.clock import RealClock
from node.historian.file.journal_file import JournalFile
from node.historian.file.replay import AT_ONCE, Refused, write_again
from node.historian.forwarding.feed import Quarantined
from node.historian.forwarding.feed_reader import LINE_CHARS, QUARANTINE_LINES, FeedReader
from node.historian.store.damage import Damage
from node.sinks.line_protocol import place_of

quarantine = typer.Typer(no_args_is_help=True, help="Samples that a sink refused for good.")

_LINE: Final = 160  # characters of a line on a terminal

SinkArgument = Annotated[str, typer.Argument(help="Id of the sink.")]
IdsArgument = Annotated[
    list[int] | None, typer.Argument(help="Numbers of lines, as `list` shows them.", show_default=False)
]
AllOption = Annotated[bool, typer.Option("--all", help="All lines of the sink.")]


@quarantine.command("list")
def list_(
    sink: Annotated[str | None, typer.Argument(help="Id of a sink; else of all.", show_default=False)] = None,
    limit: Annotated[int, typer.Option(help="So many, the newest first.", min=1)] = 50,
    as_json: Annotated[bool, typer.Option("--json", help="As a JSON array, with whole lines.")] = False,
    site: SiteOption = None,
) -> None:
    """Show what was refused, when and why, the newest first."""
    with explained():
        _, source = opened(site, None)
        with source:
            kept = _kept(source, sink)
    if as_json:
        rows = [
            {"id": one.id, "sink": one.sink, "at": iso_utc(one.at), "reason": one.reason, "line": one.line}
            for one in kept[:limit]
        ]
        print(json.dumps(rows, indent=2))
        return
    for one in kept[:limit]:
        print(f"{one.id}  {shown(one.at)}  {one.sink}  {printable(one.reason)}")
        print(f"    {printable(one.line[:_LINE])}{'...' if len(one.line) > _LINE else ''}")
    print(f"{len(kept)} in quarantine" + (f", {limit} shown" if len(kept) > limit else ""))


@quarantine.command()
def retry(sink: SinkArgument, ids: IdsArgument = None, every: AllOption = False, site: SiteOption = None) -> None:
    """Send refused samples again, once the reason is gone, as history has them now.

    They are written at the end of the journal once more, where a running node finds them within seconds. One that is
    refused again comes back.
    """
    with explained():
        _, source = opened(site, None)
        with source:
            chosen = _chosen(source, sink, ids, every)
            places = {one.id: _place(one) for one in chosen}
            lines = [Refused(number, *place) for number, place in places.items() if place is not None]
            done: set[int] = set()
            for start in range(0, len(lines), AT_ONCE):
                part = lines[start : start + AT_ONCE]
                done.update(source.write(lambda connection, part=part: write_again(connection, part)))  # type: ignore[misc]
    for one in chosen:
        if places[one.id] is None:
            print(f"{one.id} stays: no line can say this sample, or it is kept in part: {printable(one.reason)}")
        elif one.id not in done:
            print(f"{one.id} stays: the journal no longer has its sample")
    print(f"{len(done)} of {len(chosen)} are sent again")


@quarantine.command()
def drop(sink: SinkArgument, ids: IdsArgument = None, every: AllOption = False, site: SiteOption = None) -> None:
    """Forget refused samples; the journal keeps what it has of them."""
    with explained():
        _, source = opened(site, None)
        with source:
            chosen = _chosen(source, sink, ids, every)
            count = asyncio.run(_feed(source).release(sink, [one.id for one in chosen]))
    print(f"{count} dropped")


def _feed(source: JournalFile) -> FeedReader:
    return FeedReader(source, RealClock(), Damage())


def _kept(source: JournalFile, sink: str | None) -> list[Quarantined]:
    """Lines of a sink, or of all. Ends the command when nothing was ever refused by that one but by others."""
    kept = asyncio.run(_feed(source).quarantined(None, limit=QUARANTINE_LINES))
    if sink is None:
        return kept
    of_sink = [one for one in kept if one.sink == sink]
    others = sorted({one.sink for one in kept} - {sink})
    if not of_sink and others:
        fail(f"nothing of {sink!r} is in quarantine; there is something of {', '.join(others)}")
    return of_sink


def _chosen(source: JournalFile, sink: str, ids: Sequence[int] | None, every: bool) -> list[Quarantined]:
    if bool(ids) == every:
        fail("name the numbers of lines, or --all", USAGE)
    kept = _kept(source, sink)
    if every:
        return kept
    known = {one.id: one for one in kept}
    unknown = [str(number) for number in ids or () if number not in known]
    if unknown:
        fail(f"{sink} has no line {', '.join(unknown)} in quarantine; nothing was changed")
    return [known[number] for number in dict.fromkeys(ids or ())]


def _place(one: Quarantined) -> tuple[str, int] | None:
    return place_of(one.line) if len(one.line) < LINE_CHARS else None
