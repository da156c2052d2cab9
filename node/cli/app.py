"""All commands of `gridnode` under one name."""

from __future__ import annotations

from importlib.metadata import version
from typing import Annotated

import typer

from node.cli.call import call
from node.cli.cert import cert
from node.cli.check import check, schema
from node.cli.history import history
from node.cli.run import run
from node.cli.simulate import simulate
from node.cli.trust import trust
from node.cli.user import user
from node.cli.watch import watch

app = typer.Typer(
    no_args_is_help=True,
    add_completion=False,
    pretty_exceptions_enable=False,
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


for command in (run, check, schema, simulate, watch, call, history):
    app.command()(command)
app.add_typer(cert, name="cert")
app.add_typer(trust, name="trust")
app.add_typer(user, name="user")
