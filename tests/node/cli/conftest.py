"""A command line of its own for each test: no site, user or password of this machine reaches it."""

from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from node.cli.app import command_line
from tests.logging_state import restored_logging

SITE = """\
site: demo
server: {listen: "127.0.0.1:4840"}
buses:
  gw1: {driver: modbus, tcp: "127.0.0.1:15020"}
devices:
  xw1: {profile: schneider.xw, bus: gw1, unit: 10, control: true}
"""


class Gridnode:
    """Runs commands as somebody at a prompt would, in this process."""

    def __init__(self, site: Path) -> None:
        self.site = site
        self._runner = CliRunner()

    def __call__(self, *words: str, code: int = 0, env: dict[str, str] | None = None) -> Result:
        """Run a command that has to end with an exit code."""
        result = self._runner.invoke(command_line(words[0] if words else None), list(words), env=env)
        if result.exception is not None and not isinstance(result.exception, SystemExit):
            raise result.exception
        assert result.exit_code == code, result.output
        return result

    def on_site(self, *words: str, code: int = 0, env: dict[str, str] | None = None) -> Result:
        """The same about the site."""
        return self(*words, "--site", str(self.site), code=code, env=env)


@pytest.fixture
def gridnode(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Gridnode]:
    """The command line, and a site."""
    monkeypatch.setenv("XDG_STATE_HOME", str(tmp_path / "home"))
    for name in ("GRIDNODE_SITE", "GRIDNODE_USER", "GRIDNODE_PASSWORD", "GRIDNODE_SERVER_THUMBPRINT"):
        monkeypatch.delenv(name, raising=False)
    site = tmp_path / "site.yaml"
    site.write_text(SITE, "utf-8")
    with restored_logging():
        yield Gridnode(site)
