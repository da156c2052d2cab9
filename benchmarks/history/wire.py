"""History through OPC UA: our node and node-opcua, each with the same values of one variable, read by one client."""

from __future__ import annotations

import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import pattern, site
from benchmarks.contender import Contender, Running
from benchmarks.history.backlog import every_second, fill, into_blocks
from benchmarks.history.client import FAR, VALUES, value
from benchmarks.servers import NODE, OURS, contenders

POINTS: Final = 100
_LIFETIME_S: Final = 600


def servers(folder: Path) -> dict[str, Contender]:
    """Both servers by name; ours finds the values in its journal, as blocks."""

    def ours(port: int, points: int, extra: int) -> Sequence[str]:
        path = site.write_site(folder / "site", port, points, POINTS, extra, history=True)
        journal = path.parent / "state" / "history.db"
        if not journal.exists():
            journal.parent.mkdir(mode=0o700, exist_ok=True)
            for name, count in zip(pattern.node_ids(2, POINTS), (VALUES, FAR), strict=True):
                fill(journal, [name], every_second(map(value, range(count))))
            into_blocks(journal)
        return [sys.executable, "-m", "benchmarks.node_under_test", str(path)]

    known = contenders(folder, POINTS)
    peer = known[NODE]

    def node(port: int, points: int, extra: int) -> Sequence[str]:
        return [*peer.command(port, points, extra), "--history", str(VALUES)]

    return {NODE: Contender(NODE, peer.namespace, node), OURS: Contender(OURS, site.NAMESPACE, ours)}


def read_all(
    folder: Path, contender: Contender, jobs: Sequence[str], windows: int, window_s: float
) -> dict[str, dict[str, Any]]:
    """Result of each job on a server of this kind. Raises Failed."""
    words = ["--period-s", "1", "--lifetime-s", str(_LIFETIME_S)]
    given = {"points": POINTS, "per-device": POINTS, "windows": windows, "window-s": window_s}
    client = [word for key, number in given.items() for word in (f"--{key}", str(number))]
    with Running(contender, POINTS, 0, words, folder) as server:
        return {job: server.run(job, client, 120.0 + 4 * windows * window_s) for job in jobs}
