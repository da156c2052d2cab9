"""Things of this machine that a test needs: present, or a skip with the reason, or with CI=true a failure."""

import os
import shutil
from pathlib import Path
from typing import NoReturn

import pytest

NODE_CLIENT = Path(__file__).parent / "e2e" / "node_client"


def missing(what: str, package: str) -> NoReturn:
    """Skip this test because `what` is not here; fail instead where CI=true promises that it is."""
    unavailable(f"{what} is missing (Debian package {package}; `make test` installs it as root)")


def unavailable(reason: str) -> NoReturn:
    """Skip this test because of something that this machine cannot do; fail instead with CI=true."""
    if os.environ.get("CI", "").lower() == "true":
        pytest.fail(reason, pytrace=False)
    pytest.skip(reason)


def require_tool(name: str, package: str | None = None) -> str:
    """Path of the program `name`."""
    path = shutil.which(name)
    if path is None:
        missing(name, package or name)
    return path


def require_header(name: str, package: str) -> None:
    """Make sure that a C header such as `modbus/modbus.h` can be included."""
    if not any((Path(root) / name).exists() for root in ("/usr/include", "/usr/local/include")):
        missing(name, package)


def require_node_client() -> tuple[str, Path]:
    """The Node.js program and the folder in which `require("node-opcua-client")` works."""
    node = require_tool("node", "nodejs")
    if not (NODE_CLIENT / "node_modules" / "node-opcua-client").is_dir():
        missing("node-opcua-client (make node-client)", "npm")
    return node, NODE_CLIENT


def require_cases() -> Path:
    """The folder of recorded cases that GRIDNODE_CASES names; they are not part of the repository."""
    folder = os.environ.get("GRIDNODE_CASES", "")
    if not folder:
        pytest.skip("GRIDNODE_CASES does not name the folder of recorded cases")
    if not Path(folder).is_dir():
        pytest.fail(f"GRIDNODE_CASES is not a folder: {folder}", pytrace=False)
    return Path(folder)
