"""`gridnode` and `python -m node`: the command line."""

from __future__ import annotations

from node.cli.app import app


def main() -> None:
    """Run the command line; leaves by SystemExit with its exit code."""
    app(prog_name="gridnode")


if __name__ == "__main__":
    main()
