"""`gridnode` and `python -m node`: the command line."""

from __future__ import annotations

from typing import TYPE_CHECKING

from node.server.collector import paused

if TYPE_CHECKING:
    from typer import Typer


def command_line() -> Typer:
    """All commands. What their import makes stays, and passes of the collector over it would be a tenth of a start."""
    with paused():
        from node.cli.app import app  # noqa: PLC0415  # inside, that is what this is for
    return app


def main() -> None:
    """Run the command line; leaves by SystemExit with its exit code."""
    command_line()(prog_name="gridnode")


if __name__ == "__main__":
    main()
