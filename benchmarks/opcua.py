"""`python -m benchmarks opcua`: this node, a plain asyncua server and a node-opcua server under the same load.

With `--check` the exit code is 1 when a "must" of a measured row does not hold.
"""

from __future__ import annotations

import argparse
import json
import sys
import tempfile
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

from benchmarks import machine
from benchmarks.contender import Failed
from benchmarks.measure import JOBS, QUICK, STARTS, Bench, Plan, run
from benchmarks.rows import broken, table
from benchmarks.servers import NODE, NODE_FOLDER, OURS, PLAIN, contenders, has_node

_SERVERS = {"ours": OURS, "plain": PLAIN, "node": NODE}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison, or some rows of it, and print it."""
    names = (*STARTS, *JOBS)
    parser = argparse.ArgumentParser(prog="python -m benchmarks opcua", description=__doc__)
    parser.add_argument("--only", help=f"rows to run, by commas: {', '.join(names)}")
    parser.add_argument("--servers", default="plain,node,ours", help="by commas: ours, plain, node")
    parser.add_argument("--quick", action="store_true", help="one short window for each figure, nothing of 100,000")
    parser.add_argument("--check", action="store_true", help='exit with 1 when a "must" does not hold')
    parser.add_argument("--windows", type=int, help="windows of counting; the median counts")
    parser.add_argument("--window-s", type=float)
    parser.add_argument("--json", type=Path, help="write everything that was measured to this file")
    options = parser.parse_args(arguments)
    jobs = options.only.split(",") if options.only else [n for n in names if not (options.quick and n == "start-many")]
    servers = options.servers.split(",")
    for given, known in ((jobs, names), (servers, tuple(_SERVERS))):
        if unknown := set(given) - set(known):
            parser.error(f"not known: {', '.join(sorted(unknown))}; known are {', '.join(known)}")
    plan = QUICK if options.quick else Plan()
    plan = replace(plan, windows=options.windows or plan.windows, window_s=options.window_s or plan.window_s)
    wanted = [name for key, name in _SERVERS.items() if key in servers]
    if NODE in wanted and not has_node():
        print(f"node-opcua is not installed: `make bench` does it, or `npm ci` in {NODE_FOLDER}", file=sys.stderr)
        wanted.remove(NODE)
    print("\n".join(machine.describe()), flush=True)
    with tempfile.TemporaryDirectory(prefix="gridnode-bench-") as folder:
        bench = Bench(plan, Path(folder))
        programs = [program for name, program in contenders(bench.folder, plan.per_device).items() if name in wanted]
        try:
            for step in run(bench, programs, jobs):
                print(f"  {step}", file=sys.stderr, flush=True)
        except Failed as error:
            bench.failures.append(str(error))
    if options.json:
        options.json.write_text(json.dumps(bench.results, indent=1))
    print(f"\n{table(bench.results)}\n")
    wrong = broken(bench.results)
    for text in (*wrong, *bench.failures):
        print(text)
    return 2 if bench.failures else int(options.check and bool(wrong))
