"""The comparison: starts, memory, and one subscribed client, on each server in turn."""

from __future__ import annotations

import time
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import usage
from benchmarks.contender import Contender, Failed, Running

# A server ends by itself after this, should the benchmark be killed.
_LIFETIME_S: Final = 600


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run. Times in seconds."""

    points: int = 10_000
    few: int = 100  # points of the run that memory per point is taken against
    per_device: int = 100
    period_s: float = 1.0
    starts: int = 3
    windows: int = 3
    window_s: float = 8.0


@dataclass(frozen=True, slots=True)
class Start:
    """One start: seconds until the port accepted, CPU and resident memory (bytes) by then, memory with every point
    updated.
    """

    seconds: float
    cpu_s: float
    listening: int
    updated: int


@dataclass(slots=True)
class Figures:
    """All that was measured on one server."""

    first: Start  # nothing cached yet; here this node makes its keys and users
    few: list[Start] = field(default_factory=list)
    many: list[Start] = field(default_factory=list)
    updates_cpu: float = 0.0  # of a core, no client
    subscribed: dict[str, Any] = field(default_factory=dict)
    reads: dict[str, Any] = field(default_factory=dict)
    properties: dict[str, Any] = field(default_factory=dict)

    @property
    def start_s(self) -> float:
        """Median start with all points."""
        return median(start.seconds for start in self.many)

    def per_point(self, moment: str) -> float:
        """Bytes per point: difference of the two medians; `moment` is `listening` or `updated`."""
        few, many = (median(getattr(start, moment) for start in starts) for starts in (self.few, self.many))
        return float(many - few)

    def window(self, work: str, per: str) -> float:
        """Median over the windows of a quotient of two of their figures."""
        rows = self.subscribed["windows"]
        return float(median(row[work] / row[per] for row in rows))


def compare(contenders: Sequence[Contender], plan: Plan, folder: Path, figures: dict[str, Figures]) -> Iterator[str]:
    """Measure all contenders in turns into `figures`, by their names; yields what is done next."""
    for contender in contenders:
        yield f"first start: {contender.name}"
        figures[contender.name] = Figures(first=_start(contender, plan, plan.few, folder))
    for turn in range(plan.starts):
        for contender in contenders:
            yield f"start {turn + 1} of {plan.starts}: {contender.name}"
            figures[contender.name].few.append(_start(contender, plan, plan.few, folder))
            figures[contender.name].many.append(_start(contender, plan, plan.points, folder))
    for contender in contenders:
        yield f"one client on {plan.points} items: {contender.name}"
        _load(contender, plan, folder, figures[contender.name])


@contextmanager
def _running(contender: Contender, plan: Plan, points: int, folder: Path) -> Iterator[Running]:
    words = ["--period-s", str(plan.period_s), "--lifetime-s", str(_LIFETIME_S)]
    with Running(contender, points, words, folder) as server:
        yield server


def _start(contender: Contender, plan: Plan, points: int, folder: Path) -> Start:
    with _running(contender, plan, points, folder) as server:
        cpu_s, listening = usage.cpu_s(server.pid), usage.rss_bytes(server.pid)
        time.sleep(2.5 * plan.period_s)
        return Start(server.start_s, cpu_s, listening, usage.rss_bytes(server.pid))


def _load(contender: Contender, plan: Plan, folder: Path, figures: Figures) -> None:
    common = ["--points", str(plan.points), "--per-device", str(plan.per_device)]
    common += ["--interval-ms", str(plan.period_s * 1000), "--window-s", str(plan.window_s)]
    limit_s = 60.0 + (plan.windows + 2) * plan.window_s
    with _running(contender, plan, plan.points, folder) as server:
        time.sleep(2.5 * plan.period_s)
        before, began = usage.cpu_s(server.pid), time.perf_counter()
        time.sleep(5 * plan.period_s)
        figures.updates_cpu = (usage.cpu_s(server.pid) - before) / (time.perf_counter() - began)
        figures.subscribed = server.run("subscribe", [*common, "--windows", str(plan.windows)], limit_s)
        # A second subscriber, with a reader beside it: the reader's requests are no part of the windows above.
        subscriber = server.client("subscribe", [*common, "--windows", "2"])
        try:
            assert subscriber.stderr is not None
            while (line := subscriber.stderr.readline()).strip() != "counting":
                if not line:
                    raise Failed(f"the subscriber beside the reader ended early on {contender.name}")
            figures.reads = server.run("reads", common, limit_s)
        finally:
            server.result(subscriber, limit_s)
    if contender.properties:
        with _running(contender, plan, plan.points, folder) as server:
            time.sleep(2.5 * plan.period_s)
            figures.properties = server.run("properties", common, limit_s)
