"""All commands of `gridnode` under one name."""

from __future__ import annotations

from collections.abc import Mapping
from importlib import import_module
from importlib.metadata import version
from typing import Annotated, Final

import typer

# By its word on the command line: the module of node.cli that has a function, or a group of commands, of that name.
_COMMANDS: Final[Mapping[str, str]] = {
    "run": "run",
    "check": "check",
    "schema": "check",
    "simulate": "simulate",
    "watch": "watch",
    "call": "call",
    "history": "history",
}
_GROUPS: Final[Mapping[str, str]] = {"cert": "cert", "trust": "trust", "user": "user", "journal": "journal"}


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gridnode {version('gridnode')}")
        raise typer.Exit


def _main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A node between power equipment and SCADA."""


def command_line(word: str | None = None) -> typer.Typer:
    """All commands, or only the one of this word if there is one: a start need not import what the others use."""
    made = typer.Typer(
        no_args_is_help=True,
        add_completion=False,
        pretty_exceptions_enable=False,
        help="A node between power equipment and SCADA.",
    )
    made.callback()(_main)
    one = word in _COMMANDS or word in _GROUPS
    for name, module in _COMMANDS.items():
        if not one or name == word:
            made.command()(getattr(import_module(f"node.cli.{module}"), name))
    for name, module in _GROUPS.items():
        if not one or name == word:
            made.add_typer(getattr(import_module(f"node.cli.{module}"), name), name=name)
    return made
