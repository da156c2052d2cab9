"""What is done with a server: one function per job, each gives plain figures."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, field
from pathlib import Path
from statistics import median
from typing import Any, Final

from benchmarks import pattern, usage
from benchmarks.contender import Contender, Failed, Running
from benchmarks.servers import NODE, OURS, trusted_client

# A server ends by itself after this, should the benchmark be killed.
_LIFETIME_S: Final = 1_800
_MANY: Final = 100_000
Result = dict[str, Any]


@dataclass(frozen=True, slots=True)
class Plan:
    """How much is run. Times in seconds."""

    points: int = 10_000
    few: int = 100  # points of the start that memory per point is taken against
    per_device: int = 100
    starts: int = 3
    windows: int = 3
    window_s: float = 5.0
    stall_s: float = 15.0
    clients: int = 50
    items: int = 1_000
    visits: int = 150
    rest_s: float = 22.0  # long enough for a collector that waits for a quiet moment


QUICK: Final = Plan(starts=1, windows=1, window_s=3.0, stall_s=8.0, visits=50, rest_s=2.0)


@dataclass(slots=True)
class Bench:
    """Everything that jobs need, and what they found: `results[server][job]`."""

    plan: Plan
    folder: Path
    results: dict[str, dict[str, Result]] = field(default_factory=dict)
    failures: list[str] = field(default_factory=list)  # jobs without a result, with the reason

    def words(self, points: int | None = None, **changed: object) -> list[str]:
        """Command line of a load client."""
        plan = self.plan
        given: dict[str, object] = {
            "points": points or plan.points,
            "per_device": plan.per_device,
            "windows": plan.windows,
            "window_s": plan.window_s,
            **changed,
        }
        return [word for key, value in given.items() for word in (f"--{key.replace('_', '-')}", str(value))]

    @contextmanager
    def running(self, contender: Contender, points: int, period_s: float, extra: int = 0) -> Iterator[Running]:
        """A started server, every point updated once."""
        words = ["--period-s", str(period_s), "--lifetime-s", str(_LIFETIME_S)]
        with Running(contender, points, extra, words, self.folder) as server:
            yield server


# --- jobs on a running server --------------------------------------------------------------------------


def _client(job: str, interval_ms: float = 1000.0) -> Callable[[Bench, Running], Result]:
    def run(bench: Bench, server: Running) -> Result:
        plan = bench.plan
        limit_s = 120.0 + (plan.windows + 2) * plan.window_s
        return server.run(job, bench.words(interval_ms=interval_ms), limit_s)

    return run


def _second(bench: Bench, server: Running) -> Result:
    before, began = usage.cpu_s(server.pid), time.perf_counter()
    time.sleep(5.0)
    updates = (usage.cpu_s(server.pid) - before) / (time.perf_counter() - began)
    return {**_client("subscribe", interval_ms=1000.0)(bench, server), "updates": updates}


def _encrypted(bench: Bench, server: Running) -> Result:
    client, own = trusted_client(bench.folder)
    words = [*bench.words(interval_ms=100.0), "--secure", client, own]
    return server.run("subscribe", words, 120.0 + (bench.plan.windows + 2) * bench.plan.window_s)


def _stalls(bench: Bench, server: Running) -> Result:
    """Single reads of one client while another has all items, others come and go, and echoes tell of the machine."""
    plan = bench.plan
    limit_s = 120.0 + 4 * plan.stall_s
    subscriber = server.client("subscribe", bench.words(interval_ms=1000.0, windows=1, window_s=plan.stall_s + 8.0))
    try:
        assert subscriber.stderr is not None
        while (line := subscriber.stderr.readline()).strip() != "counting":
            if not line:
                server.result(subscriber, limit_s)
                raise Failed(f"the subscriber beside the reader ended early on {server.contender.name}")
        churn = server.client("churn", bench.words(window_s=plan.stall_s + 3.0, items=plan.items))
        time.sleep(1.0)
        echo = server.client("echo", bench.words(window_s=plan.stall_s))
        reads = server.run("single", bench.words(window_s=plan.stall_s), limit_s)
        reads["echo"] = server.result(echo, limit_s)
        reads["churn"] = server.result(churn, limit_s)
    finally:
        server.result(subscriber, limit_s)
    return reads


def _connects(bench: Bench, server: Running) -> Result:
    plan = bench.plan
    words = bench.words(clients=plan.visits, rest_s=plan.rest_s)
    return server.run("connects", words, 240.0 + 2 * plan.rest_s)


def _crowd(bench: Bench, server: Running) -> Result:
    plan = bench.plan
    words = bench.words(clients=plan.clients, items=plan.items, interval_ms=1000.0)
    return server.run("crowd", words, 300.0 + (plan.windows + 2) * plan.window_s)


@dataclass(frozen=True, slots=True)
class Job:
    """One thing to measure on a running server that updates its points every `period_s`."""

    run: Callable[[Bench, Running], Result]
    period_s: float = 1.0
    only: tuple[str, ...] = ()  # the servers that it makes sense for; all when empty


# In this order on a server: memory per item needs one that nobody has used yet.
JOBS: Final[Mapping[str, Job]] = {
    "second": Job(_second),
    "single": Job(_client("single")),
    "reads": Job(_client("reads")),
    "calls": Job(_client("calls")),
    "writes": Job(_client("writes")),
    "browse": Job(_client("browse")),
    "stalls": Job(_stalls),
    "crowd": Job(_crowd, only=(NODE, OURS)),
    "connects": Job(_connects, only=(OURS,)),
    "notifications": Job(_client("subscribe", interval_ms=100.0), period_s=0.1),
    "encrypted": Job(_encrypted, period_s=0.1, only=(OURS,)),
}
STARTS: Final = ("start", "start-many")


def run(bench: Bench, contenders: Sequence[Contender], jobs: Sequence[str]) -> Iterator[str]:
    """Measure into `bench.results`; yields what is done next. Raises Failed."""
    trusted_client(bench.folder)
    for contender in contenders:
        results = bench.results.setdefault(contender.name, {})
        yield f"{contender.name}: first start"
        with bench.running(contender, bench.plan.few, 1.0) as server:
            results["first"] = {"seconds": server.start_s}
    if "start" in jobs:
        for turn in range(bench.plan.starts):
            for contender in contenders:
                yield f"{contender.name}: start {turn + 1} of {bench.plan.starts}"
                _start(bench, contender, "start", bench.plan.points)
    for contender in contenders:
        if "start-many" in jobs and contender.name == OURS:
            yield f"{contender.name}: start with {_MANY:,} points"
            _start(bench, contender, "start-many", _MANY)
        yield from _jobs(bench, contender, jobs)


def _start(bench: Bench, contender: Contender, name: str, points: int) -> None:
    found: Result = {}
    for label, count in (("few", bench.plan.few), ("many", points)):
        with bench.running(contender, count, 1.0) as server:
            cpu_s, listening = usage.cpu_s(server.pid), usage.rss_bytes(server.pid)
            time.sleep(2.5 if count < _MANY else 5.0)
            rss = usage.rss_bytes(server.pid)
            if contender.name == OURS:
                # What a site's points have: properties, each looked at once.
                rss = server.run("properties", bench.words(count), 180.0)["rss"]
            found[label] = {"seconds": server.start_s, "cpu_s": cpu_s, "listening": listening, "rss": rss}
    row = bench.results[contender.name].setdefault(name, {"points": points, "few": bench.plan.few, "starts": []})
    row["starts"].append(found)


def _jobs(bench: Bench, contender: Contender, jobs: Sequence[str]) -> Iterator[str]:
    results = bench.results[contender.name]
    for period_s in (1.0, 0.1):
        wanted = [
            name
            for name, job in JOBS.items()
            if name in jobs and job.period_s == period_s and (not job.only or contender.name in job.only)
        ]
        if not wanted:
            continue
        with bench.running(contender, bench.plan.points, period_s, pattern.EXTRA) as server:
            time.sleep(2.5)
            for name in wanted:
                yield f"{contender.name}: {name}"
                try:
                    results[name] = JOBS[name].run(bench, server)
                except Failed as error:
                    bench.failures.append(f"{name}: {error}")


# --- figures of results ----------------------------------------------------------------------------------


def ratio(result: Result, work: str, per: str) -> float:
    """Median over the windows of a quotient of two of their figures."""
    return float(median(row[work] / row[per] for row in result["windows"]))


def start_figure(result: Result, moment: str, which: str = "many") -> float:
    """Median over the starts."""
    return float(median(start[which][moment] for start in result["starts"]))


def per_point(result: Result, moment: str = "rss") -> float:
    """Bytes per point: what a start with many has more than one with few."""
    more = start_figure(result, moment) - start_figure(result, moment, "few")
    return more / float(result["points"] - result["few"])
