"""`python -m benchmarks historian`: recording, reading, replay and what they cost, with history over OPC UA compared.

With `--check` the exit code is 1 when a "must" of a measured row does not hold.
"""

from __future__ import annotations

import argparse
import json
import shutil
import subprocess
import sys
import tempfile
from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from benchmarks import machine
from benchmarks.contender import ROOT, Failed
from benchmarks.history import wire
from benchmarks.history.rows import ROWS
from benchmarks.measure import Result
from benchmarks.rows import broken, table
from benchmarks.servers import NODE, NODE_FOLDER, OURS, has_node

_WITHIN_S: Final = 1_800.0


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run."""

    samples: int = 2_000_000  # recorded
    memory: int = 6_000_000
    warm: int = 1_500_000  # of those, before memory counts: some passes of compaction
    backlog: int = 10_000_000
    windows: int = 3
    window_s: float = 4.0
    stall_s: float = 20.0


QUICK: Final = Plan(600_000, 1_500_000, 800_000, 1_000_000, 1, 3.0, 8.0)


@dataclass(slots=True)
class Bench:
    """What jobs need and what they found: `results[server][job]`."""

    plan: Plan
    folder: Path
    results: dict[str, dict[str, Result]] = field(default_factory=lambda: {OURS: {}})
    failures: list[str] = field(default_factory=list)

    def job(self, name: str, **given: object) -> Result:
        """Result of a job in a process of its own. Raises Failed."""
        words = [word for key, value in given.items() for word in (f"--{key}", str(value))]
        command = [sys.executable, "-m", "benchmarks.history", name, "--folder", str(self.folder), *words]
        try:
            done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, timeout=_WITHIN_S, check=False)
        except subprocess.TimeoutExpired as late:
            raise Failed(f"no result within {_WITHIN_S:g} s") from late
        if done.returncode:
            raise Failed("\n".join(done.stderr.splitlines()[-15:]))
        result: dict[str, Any] = json.loads(done.stdout)
        return result


# --- what can be asked for by its name; each gives what is done next -------------------------------------


def _ingest(bench: Bench) -> Iterator[str]:
    for name in ("ingest", "ingest-sd"):
        yield name
        bench.results[OURS][name] = bench.job(name, samples=bench.plan.samples)


def _wire(bench: Bench) -> Iterator[str]:
    plan, servers = bench.plan, wire.servers(bench.folder)
    if has_node():
        yield f"{NODE}: raw"
        bench.results[NODE] = wire.read_all(bench.folder, servers[NODE], ["raw"], plan.windows, plan.window_s)
    else:
        print(f"node-opcua is not installed: `make bench` does it, or `npm ci` in {NODE_FOLDER}", file=sys.stderr)
    yield f"{OURS}: raw, average, at-time"
    jobs = ["raw", "average", "at-time"]
    bench.results[OURS] |= wire.read_all(bench.folder, servers[OURS], jobs, plan.windows, plan.window_s)


def _backlog(bench: Bench) -> Iterator[str]:
    samples, results = bench.plan.backlog, bench.results[OURS]
    yield f"making a backlog of {samples:,} samples"
    results["make"] = bench.job("make", samples=samples)
    yield "opening it in frames"
    results["open"] = bench.job("open")
    yield "compaction of it"
    results["compact"] = bench.job("compact", samples=samples)
    yield "opening it in blocks"
    results["open-blocks"] = bench.job("open")
    if shutil.which("influxd") is None:
        print("influxd is not installed (tests/system_deps.sh): replay is not measured", file=sys.stderr)
        return
    yield "replay"
    results["replay"] = bench.job("replay", samples=samples)


def _stall(bench: Bench) -> Iterator[str]:
    yield "stall"
    bench.results[OURS]["stall"] = bench.job("stall", seconds=bench.plan.stall_s)


def _memory(bench: Bench) -> Iterator[str]:
    yield "memory"
    plan = bench.plan
    bench.results[OURS]["memory"] = bench.job("memory", samples=plan.memory, tags=1_000, warm=plan.warm)


JOBS: Final[Mapping[str, Callable[[Bench], Iterator[str]]]] = {
    "ingest": _ingest,
    "wire": _wire,
    "backlog": _backlog,
    "stall": _stall,
    "memory": _memory,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Measure the historian, or some of it, and print the table."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks historian", description=__doc__)
    parser.add_argument("--only", help=f"what to run, by commas: {', '.join(JOBS)}")
    parser.add_argument("--quick", action="store_true", help="less of everything; a backlog of a million samples")
    parser.add_argument("--check", action="store_true", help='exit with 1 when a "must" does not hold')
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args(arguments)
    jobs = options.only.split(",") if options.only else list(JOBS)
    if unknown := set(jobs) - set(JOBS):
        parser.error(f"not known: {', '.join(sorted(unknown))}; known are {', '.join(JOBS)}")
    print("\n".join(machine.describe()), flush=True)
    with tempfile.TemporaryDirectory(prefix="gridnode-bench-") as folder:
        bench = Bench(QUICK if options.quick else Plan(), Path(folder))
        for name in jobs:
            try:
                for step in JOBS[name](bench):
                    print(f"  {step}", file=sys.stderr, flush=True)
            except Failed as error:
                bench.failures.append(f"{name}: {error}")
    if options.json:
        options.json.write_text(json.dumps(bench.results, indent=1))
    print(f"\n{table(bench.results, ROWS, (NODE, OURS))}\n")
    wrong = broken(bench.results, ROWS)
    for text in (*wrong, *bench.failures):
        print(text)
    return 2 if bench.failures else int(options.check and bool(wrong))
