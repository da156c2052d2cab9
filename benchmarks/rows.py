"""The table: what is told of each job, and what must hold."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from benchmarks.measure import Result, per_point, ratio, start_figure
from benchmarks.servers import NODE, OURS, PLAIN

_KIB: Final = 1024
Results = Mapping[str, Mapping[str, Result]]


@dataclass(frozen=True, slots=True)
class Limit:
    """A figure of ours against a number, or against a multiple of a peer's figure."""

    value: float
    of: str = ""  # name of the peer; "" for a plain number

    def text(self, more: bool) -> str:
        """How it is shown."""
        if self.of:
            return f"{self.value:g}x {self.of}"
        return f"{'at least' if more else 'at most'} {self.value:g}"

    def holds(self, ours: float, peer: float | None, more: bool) -> bool:
        """True when it is kept; a peer's figure that is missing keeps nothing."""
        if self.of and peer is None:
            return False
        bound = self.value * (peer or 0.0) if self.of else self.value
        return ours >= bound if more else ours <= bound


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    job: str
    label: str
    figure: Callable[[Result], float]
    form: str = ",.0f"
    more: bool = True  # more is better
    must: tuple[Limit, ...] = ()
    aim: tuple[Limit, ...] = ()
    peer_job: str = ""  # job of the peers, when it is another one

    def value(self, results: Results, server: str) -> float | None:
        """Figure of a server; None when it was not measured."""
        job = self.peer_job if self.peer_job and server != OURS else self.job
        found = results.get(server, {}).get(job)
        return None if found is None else self.figure(found)


def _per_cpu(work: str) -> Callable[[Result], float]:
    return lambda result: ratio(result, work, "server_cpu_s")


def _of_a_core(result: Result) -> float:
    return 100.0 * ratio(result, "server_cpu_s", "seconds")


def _updates(result: Result) -> float:
    return 100.0 * float(result["updates"])


def _started(moment: str, which: str = "many") -> Callable[[Result], float]:
    return lambda result: start_figure(result, moment, which)


def _field(name: str, by: float = 1.0) -> Callable[[Result], float]:
    return lambda result: float(result[name]) / by


def _per_item(result: Result) -> float:
    # Each client takes every point once.
    return float(result["rss"] - result["rss_before"]) / _KIB / float(result["items"])


def _per_point(result: Result) -> float:
    return per_point(result) / _KIB


def _lost(result: Result) -> float:
    return float(sum(window["lost"] for window in result["windows"]))


def _median_of(name: str) -> Callable[[Result], float]:
    return lambda result: ratio({"windows": [{"a": w[name], "b": 1.0} for w in result["windows"]]}, "a", "b")


def _node(factor: float) -> tuple[Limit, ...]:
    return (Limit(factor, NODE),)


def _at_most(value: float) -> tuple[Limit, ...]:
    return (Limit(value),)


ROWS: Final = (
    Row(
        "notifications",
        "notifications per CPU-s, 10,000 Doubles, 100 ms, all changing",
        _per_cpu("notifications"),
        must=(Limit(3, NODE), Limit(20, PLAIN)),
        aim=_node(6),
    ),
    Row(
        "encrypted",
        "the same with SignAndEncrypt, against peers on None",
        _per_cpu("notifications"),
        must=_node(2.5),
        aim=_node(5),
        peer_job="notifications",
    ),
    Row(
        "second",
        "CPU for 10,000 items each second, % of a core",
        _of_a_core,
        ",.2f",
        more=False,
        must=_at_most(4),
        aim=_at_most(2),
    ),
    Row("second", "... of it updates alone", _updates, ",.2f", more=False),
    Row(
        "stalls",
        "longest single read of another client meanwhile, with clients coming and going, ms",
        _field("max_us", 1000),
        ",.1f",
        more=False,
        must=_at_most(50),
        aim=_at_most(20),
    ),
    Row("stalls", "... p99.9 of these reads, ms", _field("p999_us", 1000), ",.1f", more=False),
    Row(
        "stalls",
        "... longest echo between two idle processes in that time, ms",
        lambda result: float(result["echo"]["max_us"]) / 1000,
        ",.1f",
        more=False,
    ),
    Row("reads", "Read of 100 nodes, values per CPU-s", _per_cpu("work"), must=_node(4), aim=_node(10)),
    Row("reads", "... p50 with 4 outstanding, us", _median_of("p50_us"), more=False),
    Row("reads", "... p99, us", _median_of("p99_us"), more=False),
    Row(
        "single",
        "single read round trip, p50, us",
        _field("p50_us"),
        more=False,
        must=(Limit(0.8, PLAIN),),
        aim=(Limit(0.5, PLAIN),),
    ),
    Row("single", "... p99, us", _field("p99_us"), more=False),
    Row("calls", "Call, per CPU-s", _per_cpu("work"), must=_node(2), aim=_node(3)),
    Row("calls", "... p50 with 4 outstanding, us", _median_of("p50_us"), more=False),
    Row("calls", "... p99, us", _median_of("p99_us"), more=False),
    Row("writes", "Write of 100, values per CPU-s", _per_cpu("work"), must=_node(4), aim=_node(8)),
    Row("writes", "... p50 with 4 outstanding, us", _median_of("p50_us"), more=False),
    Row("writes", "... p99, us", _median_of("p99_us"), more=False),
    Row("browse", "Browse, references per CPU-s", _per_cpu("work"), must=_node(3), aim=_node(6)),
    Row("browse", "... p50 with 4 outstanding, us", _median_of("p50_us"), more=False),
    Row("browse", "... p99, us", _median_of("p99_us"), more=False),
    Row(
        "start",
        "start to listening, 10,000 points, s",
        _started("seconds"),
        ",.2f",
        more=False,
        must=(Limit(1.5), Limit(0.5, PLAIN)),
        aim=_at_most(0.7),
    ),
    Row("start", "... CPU time of that start, s", _started("cpu_s"), ",.2f", more=False),
    Row("start", "... with 100 points, s", _started("seconds", "few"), ",.2f", more=False),
    Row(
        "start-many",
        "start to listening, 100,000 points, s",
        _started("seconds"),
        ",.2f",
        more=False,
        must=_at_most(4),
        aim=_at_most(1.5),
    ),
    Row("start-many", "... CPU time of that start, s", _started("cpu_s"), ",.2f", more=False),
    Row(
        "start",
        "memory per point, of 10,000, KiB",
        _per_point,
        ",.2f",
        more=False,
        must=(Limit(2), Limit(0.25, PLAIN)),
        aim=_at_most(0.75),
    ),
    Row(
        "start-many",
        "memory per point, of 100,000, KiB",
        _per_point,
        ",.2f",
        more=False,
        must=_at_most(2),
        aim=_at_most(0.75),
    ),
    Row(
        "second",
        "memory per monitored item, KiB",
        _per_item,
        ",.2f",
        more=False,
        must=_at_most(1),
        aim=_at_most(0.5),
    ),
    Row("second", "creating 10,000 monitored items, s", _field("create_s"), ",.2f", more=False),
    Row(
        "connects",
        "memory left behind per connection, KiB",
        _field("bytes", _KIB),
        ",.2f",
        more=False,
        must=_at_most(0.5),
        aim=_at_most(0.1),
    ),
    Row(
        "crowd",
        "50 clients with 1,000 items each at 1 s: lost notifications",
        _lost,
        more=False,
        must=_at_most(0),
        aim=_at_most(0),
    ),
    Row(
        "crowd",
        "... CPU, % of a core",
        _of_a_core,
        ",.1f",
        more=False,
        must=_at_most(25),
        aim=_at_most(10),
    ),
)


def table(results: Results, rows: Sequence[Row] = ROWS, servers: Sequence[str] = (PLAIN, NODE, OURS)) -> str:
    """Markdown; only rows that were measured on our server or a peer."""
    lines = [
        f"| | {' | '.join(servers)} | must | aim | holds | load client, % of a core |",
        f"|---|{'---:|' * len(servers)}---|---|---|---:|",
    ]
    for row in rows:
        values = {server: row.value(results, server) for server in servers}
        if all(value is None for value in values.values()):
            continue
        cells = ["" if value is None else format(value, row.form) for value in values.values()]
        limits = ["; ".join(limit.text(row.more) for limit in limits) for limits in (row.must, row.aim)]
        lines.append(f"| {row.label} | {' | '.join((*cells, *limits, _verdict(row, values), _client(row, results)))} |")
    return "\n".join(lines)


def broken(results: Results, rows: Sequence[Row] = ROWS) -> list[str]:
    """Measured rows whose "must" does not hold, or that lack the peer for it; each with its reason."""
    found = []
    for row in rows:
        values = {server: row.value(results, server) for server in (PLAIN, NODE, OURS)}
        ours = values[OURS]
        for limit in row.must if ours is not None else ():
            peer = values.get(limit.of)
            if limit.of and peer is None:
                found.append(f"NOT COMPARED with {limit.of}: {row.label}")
            elif ours is not None and not limit.holds(ours, peer, row.more):
                found.append(f"DOES NOT HOLD ({limit.text(row.more)}): {row.label}")
    return found


def _verdict(row: Row, values: Mapping[str, float | None]) -> str:
    ours = values[OURS]
    if ours is None or not row.must:
        return ""
    ratios = [f"{ours / peer:.2f}x {limit.of}" for limit in row.must if limit.of and (peer := values.get(limit.of))]
    if any(limit.of and values.get(limit.of) is None for limit in (*row.must, *row.aim)):
        word = "not compared"
    elif not all(limit.holds(ours, values.get(limit.of), row.more) for limit in row.must):
        word = "NO"
    else:
        word = "aim" if all(limit.holds(ours, values.get(limit.of), row.more) for limit in row.aim) else "must"
    return ", ".join((word, *ratios))


def _client(row: Row, results: Results) -> str:
    result = results.get(OURS, {}).get(row.job, {})
    windows = result.get("windows")
    if not windows or not row.must or row.job == "start":
        return ""
    return format(100.0 * ratio(result, "client_cpu_s", "seconds"), ".0f")
