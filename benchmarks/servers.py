"""The three servers that are compared, as programs."""

from __future__ import annotations

import shutil
import sys
from pathlib import Path
from typing import Final

from benchmarks import plain_asyncua, site
from benchmarks.contender import ROOT, Contender
from node.clock import RealClock
from node.identity import client_identity
from node.server.security.pki import Pki

OURS: Final = "gridnode"
PLAIN: Final = "plain asyncua"
NODE: Final = "node-opcua"
NODE_FOLDER: Final = ROOT / "benchmarks" / "peers" / "node_opcua"
_NODE_NAMESPACE: Final = "urn:gridnode:benchmark:node-opcua"


def contenders(folder: Path, per_device: int) -> dict[str, Contender]:
    """All servers by name, the peers first; their files go into `folder`."""

    def words(port: int, points: int, extra: int) -> list[str]:
        return ["--port", str(port), "--points", str(points), "--per-device", str(per_device), "--extra", str(extra)]

    def plain(port: int, points: int, extra: int) -> list[str]:
        return [sys.executable, "-m", "benchmarks.plain_asyncua", *words(port, points, extra)]

    def node(port: int, points: int, extra: int) -> list[str]:
        script = str(NODE_FOLDER / "server.js")
        return ["node", "--no-warnings", script, *words(port, points, extra), "--state", str(folder / "node-opcua")]

    def ours(port: int, points: int, extra: int) -> list[str]:
        path = site.write_site(folder / "site", port, points, per_device, extra)
        return [sys.executable, "-m", "benchmarks.node_under_test", str(path)]

    return {
        PLAIN: Contender(PLAIN, plain_asyncua.NAMESPACE, plain),
        NODE: Contender(NODE, _NODE_NAMESPACE, node),
        OURS: Contender(OURS, site.NAMESPACE, ours),
    }


def has_node() -> bool:
    """True when node-opcua can be started; `make bench` installs it."""
    return shutil.which("node") is not None and (NODE_FOLDER / "node_modules" / "node-opcua").is_dir()


def trusted_client(folder: Path) -> tuple[str, str]:
    """Folders of a client certificate that our server trusts, and of the server's own. Call it before a start."""
    pki = Pki(folder / "site" / "state" / "pki", RealClock())
    own = pki.ensure_client("client", client_identity())
    return str(own.certificate_path.parent), str(pki.own_folder)
