"""`python -m benchmarks`: this node and a plain asyncua server in one run, as one table.

With `--check` the exit code is 1 when a bound does not hold.
"""

from __future__ import annotations

import argparse
import sys
import tempfile
from collections.abc import Sequence
from pathlib import Path

from benchmarks import machine, plain_asyncua, site
from benchmarks.compare import Figures, Plan, compare
from benchmarks.contender import Contender, Failed
from benchmarks.report import Bound, bounds, table


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the comparison and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks", description=__doc__)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--per-device", type=int, default=100, help="points of a device or object")
    parser.add_argument("--starts", type=int, default=3, help="starts of each server; the median counts")
    parser.add_argument("--windows", type=int, default=3, help="windows of counting; the median counts")
    parser.add_argument("--window-s", type=float, default=8.0)
    parser.add_argument("--check", action="store_true", help="exit with 1 when a bound does not hold")
    options = parser.parse_args(arguments)
    plan = Plan(
        points=options.points,
        few=options.per_device,
        per_device=options.per_device,
        starts=options.starts,
        windows=options.windows,
        window_s=options.window_s,
    )
    print("\n".join(machine.describe()), flush=True)
    with tempfile.TemporaryDirectory(prefix="gridnode-bench-") as folder:
        try:
            held = _run(plan, Path(folder))
        except Failed as failed:
            print(f"\n{failed}", file=sys.stderr)
            return 2
    return 1 if options.check and not all(bound.holds for bound in held) else 0


def _run(plan: Plan, folder: Path) -> list[Bound]:
    def plain_words(port: int, points: int) -> list[str]:
        return ["--port", str(port), "--points", str(points), "--per-device", str(plan.per_device)]

    def our_words(port: int, points: int) -> list[str]:
        return [str(site.write_site(folder / "site", port, points, plan.per_device))]

    plain = Contender("plain asyncua", "benchmarks.plain_asyncua", plain_asyncua.NAMESPACE, plain_words)
    ours = Contender("gridnode", "benchmarks.node_under_test", site.NAMESPACE, our_words, properties=True)
    figures: dict[str, Figures] = {}
    for step in compare([plain, ours], plan, folder, figures):
        print(f"  {step}", file=sys.stderr, flush=True)
    print(f"\n{table(figures[plain.name], figures[ours.name], plan)}\n")
    held = bounds(figures[plain.name], figures[ours.name], plan)
    for bound in held:
        print(f"{'holds' if bound.holds else 'DOES NOT HOLD'}: {bound.text}")
    return held


if __name__ == "__main__":
    sys.exit(main())
