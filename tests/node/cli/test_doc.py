"""docs/command-line.md tells every command and every exit code of `call`."""

from pathlib import Path

import pytest
from typer.main import get_command

from node.cli.app import command_line
from node.cli.call import EXIT_CODES

DOC = (Path(__file__).parents[3] / "docs" / "command-line.md").read_text("utf-8")


@pytest.mark.parametrize("name", sorted(getattr(get_command(command_line()), "commands")))  # noqa: B009 - a group, says typer
def test_every_command_is_told(name: str) -> None:
    commands = getattr(get_command(command_line()), "commands")  # noqa: B009
    assert f"| `gridnode {name}" in DOC
    for inner in getattr(commands[name], "commands", {}):
        row = next(line for line in DOC.splitlines() if line.startswith(f"| `gridnode {name}"))
        assert f"{inner}`" in row


def test_every_exit_code_is_told() -> None:
    for outcome, code in EXIT_CODES.items():
        assert any(line.startswith(f"| {code} |") and outcome.name in line for line in DOC.splitlines())
