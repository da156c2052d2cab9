"""`gridnode run`: the node itself."""

from __future__ import annotations

import asyncio
import contextlib
import logging
import os
import shlex
import signal
import socket
import sys
from collections.abc import Callable, Sequence
from dataclasses import replace
from pathlib import Path
from typing import Annotated

import typer

from drivers.base import DriverError
from node.app import App
from node.cli.check import summary
from node.cli.connect import local_url
from node.cli.options import check_owner, check_writable, explained, fail, load_named, program, remember_site
from node.clock import RealClock
from node.logs import configure
from node.roles import Role
from node.server.security.users import FIRST_ADMIN, User
from node.server.server import ServerError
from node.site import LoggingConfig, Site
from node.state import StateInUse, StateUnusable

log = logging.getLogger("node.run")

SiteArgument = Annotated[
    Path | None,
    typer.Argument(help="Site file; by default GRIDNODE_SITE or the one run last.", envvar="GRIDNODE_SITE"),
]


def run(
    site: SiteArgument = None,
    table: Annotated[bool, typer.Option(help="On a terminal, a live table below the log.")] = True,
    simulate: Annotated[
        bool, typer.Option(help="Start the simulators of a simulated site; without, `gridnode simulate` does.")
    ] = True,
) -> None:
    """Run the node of a site until SIGTERM or Ctrl-C; a second one ends it at once."""
    configure(LoggingConfig(level="WARNING"))
    with explained():
        loaded = load_named(site)
        if not simulate:
            loaded = replace(loaded, simulate=replace(loaded.simulate, enabled=False))
        configure(loaded.logging)
        check_writable(loaded.state, loaded)
        for folder in (loaded.state, loaded.pki):
            if folder.exists():  # a new one belongs to whoever runs the node, as it should
                check_owner(folder)
        try:
            asyncio.run(_run(loaded, table=table and sys.stdout.isatty()))
        except (DriverError, ServerError, StateInUse) as error:
            fail(str(error))
        except StateUnusable as error:
            fail(f"{loaded.path}: state: {error}; `state:` names another folder")


async def _run(site: Site, *, table: bool) -> None:
    stop = asyncio.Event()
    stop_on_signals(stop)
    app = App(site, RealClock())
    shows: list[asyncio.Task[None]] = []

    def started() -> None:
        try:
            remember_site(site.path)
        except OSError as error:
            log.debug("cannot note the site for other commands: %s", error)
        # Clients can connect; the library for tables need not be there before.
        from node.cli.live import log_lines, show_table  # noqa: PLC0415

        print(banner(site, app.users.list()), flush=True)
        shows.append(asyncio.create_task(show_table(app.image) if table else log_lines(app.image)))

    try:
        await _serve(app, stop, started)
    finally:
        for show in shows:
            show.cancel()
        # A table that failed is a fault of ours and is raised; a cancelled one is not.
        for result in await asyncio.gather(*shows, return_exceptions=True):
            if isinstance(result, Exception):
                raise result
    tell("stopped")


async def _serve(app: App, stop: asyncio.Event, started: Callable[[], None]) -> None:
    """The one place where the command line meets the node."""
    await app.run(stop, started, sys.stdout if sys.stdout.isatty() else None)


def stop_on_signals(stop: asyncio.Event) -> None:
    """Let SIGTERM and SIGINT set `stop`; a second one ends the process as if nobody had caught it."""
    loop = asyncio.get_running_loop()

    def asked(number: signal.Signals) -> None:
        stop.set()
        for each in (signal.SIGTERM, signal.SIGINT):
            loop.remove_signal_handler(each)
            signal.signal(each, signal.SIG_DFL)
        tell(f"{number.name}: stopping; once more ends it at once")

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, asked, number)


def tell(text: str) -> None:
    """Say something on standard error; a closed one must not keep the node from ending."""
    with contextlib.suppress(ValueError, OSError):
        print(f"gridnode: {text}", file=sys.stderr, flush=True)


def shown_url(site: Site) -> str:
    """Where clients find the node, by the name that its endpoints have."""
    listen, names = site.server.listen, site.server.names
    if not names and listen.host not in ("0.0.0.0", "::"):  # noqa: S104  # it only reads what is bound
        return local_url(site)
    host = names[0] if names else socket.gethostname().lower()
    return f"opc.tcp://{f'[{host}]' if ':' in host else host}:{listen.port}"


def banner(site: Site, users: Sequence[User]) -> str:
    """What somebody needs to connect: where, how to look, how to command."""
    security = site.server
    option = "" if os.environ.get("GRIDNODE_SITE") else f" --site {shlex.quote(str(site.path))}"
    gridnode = program()
    lines = [
        f"{site.label} ({site.id}): {summary(site)}",
        f"OPC UA:     {shown_url(site)}",
    ]
    if security.allow_none and security.allow_anonymous:
        lines.append("  look:     without encryption as Anonymous (Observer): browse, read, subscribe, history")
    elif security.allow_anonymous:
        lines.append("  look:     encrypted, as Anonymous (Observer)")
    lines.append("  command:  SignAndEncrypt with Basic256Sha256 or stronger, as a user with the role Operator:")
    operator = next((user.name for user in users if user.role is Role.OPERATOR), None)
    if operator is None:
        operator = "operator"
        lines.append(f"            {gridnode} user add {operator} --role Operator{option}")
    example = _example(site)
    if example:
        lines.append(f"            {gridnode} call {example} --user {shlex.quote(operator)}{option}")
    lines.append(f"  refused?  a new client's certificate has to be accepted once: {gridnode} trust list{option}")
    first = site.state / "first-admin-password"
    if first.exists():
        lines.append(f"  first log in as user {FIRST_ADMIN}: its password is in {first}")
    return "\n".join(lines)


def _example(site: Site) -> str:
    """A command that this site takes, without inputs; empty when it takes none."""
    for device in site.devices:
        commands = [command.id for command in device.model.commands if not command.inputs]
        if device.control and commands:
            return f"{device.id} {'StartSell' if 'StartSell' in commands else commands[0]}"
    return ""
