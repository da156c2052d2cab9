"""One job on the historian in this process: `python -m benchmarks.history JOB ...` prints one JSON object."""

from __future__ import annotations

import argparse
import asyncio
import json
import sys
from collections.abc import Callable, Coroutine, Mapping
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from benchmarks.history import backlog, stall
from benchmarks.history.ingest import ingest, memory
from node.server.standard.collector import settle

Options = argparse.Namespace


async def _ticks(options: Options) -> dict[str, Any]:
    return asdict(await stall.ticks(options.seconds))


JOBS: Final[Mapping[str, Callable[[Options], Coroutine[Any, Any, dict[str, Any]]]]] = {
    "ingest": lambda o: ingest(o.folder, o.samples, o.tags, 1),
    "ingest-sd": lambda o: ingest(o.folder, o.samples, o.tags, 5, sd_card=True),
    "memory": lambda o: memory(o.folder, o.samples, o.tags, o.warm),
    "make": lambda o: backlog.make(o.folder, o.samples),
    "compact": lambda o: backlog.compact(o.folder, o.samples),
    "open": lambda o: backlog.open_one(o.folder),
    "replay": lambda o: backlog.replay(o.folder, o.samples),
    "stall": lambda o: stall.stall(o.folder, o.seconds),
    "ticks": _ticks,
}


def main() -> None:
    """Run the job of the command line."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.history", description=__doc__)
    parser.add_argument("job", choices=tuple(JOBS))
    parser.add_argument("--folder", type=Path, default=Path())
    parser.add_argument("--samples", type=int, default=1_000_000)
    parser.add_argument("--tags", type=int, default=200)
    parser.add_argument("--warm", type=int, default=1_000_000)
    parser.add_argument("--seconds", type=float, default=10.0)
    options = parser.parse_args()
    settle()  # the collector's thresholds, as a node sets them
    json.dump(asyncio.run(JOBS[options.job](options)), sys.stdout)


if __name__ == "__main__":
    main()
