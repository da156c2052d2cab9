"""`gridnode` and `python -m node`: the command line."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

from node.server.standard.collector import paused

if TYPE_CHECKING:
    from typer import Typer


def load(word: str | None) -> Typer:
    """The command line for its first word.

    What the import makes stays, and passes of the collector over it would be a tenth of a start.
    """
    with paused():
        from node.cli.app import command_line  # noqa: PLC0415  # inside, that is what this is for

        return command_line(word)


def main() -> None:
    """Run the command line; leaves by SystemExit with its exit code."""
    load(sys.argv[1] if len(sys.argv) > 1 else None)(prog_name="gridnode")


if __name__ == "__main__":
    main()
