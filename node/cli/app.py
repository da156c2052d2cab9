"""All commands of `gridnode` under one name."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from node.cli.cert import cert
from node.cli.check import check, schema
from node.cli.trust import trust
from node.cli.user import user

# Local values in a trace would show passwords.
app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_show_locals=False,
    help="A node between power equipment and SCADA.",
)


def _version(wanted: bool) -> None:
    if wanted:
        print(f"gridnode {version('gridnode')}")
        raise typer.Exit


@app.callback()
def _main(
    _version: Annotated[
        bool, typer.Option("--version", callback=_version, is_eager=True, help="Show the version.")
    ] = False,
) -> None:
    """A node between power equipment and SCADA."""


app.command()(check)
app.command()(schema)
app.add_typer(cert, name="cert")
app.add_typer(trust, name="trust")
app.add_typer(user, name="user")
