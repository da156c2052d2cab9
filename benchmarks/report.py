"""Figures as a table and as bounds that hold or not."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from statistics import median
from typing import Final

from benchmarks.compare import Figures, Plan, Start
from benchmarks.pattern import sampled

_KIB: Final = 1024
_MIB: Final = 1024 * 1024
# Share of a plain asyncua server with bare variables that this node may take.
_START_SHARE: Final = 0.5
_MEMORY_SHARE: Final = 0.25


@dataclass(frozen=True, slots=True)
class Bound:
    """A statement about two figures of one run."""

    text: str
    holds: bool


def memory_per_point(figures: Figures, plan: Plan, moment: str = "updated") -> float:
    """Bytes per point of the difference between the run with all and the run with few points."""
    return figures.per_point(moment) / (plan.points - plan.few)


def bounds(plain: Figures, ours: Figures, plan: Plan) -> list[Bound]:
    """What must hold in every run, on any machine."""
    start = ours.start_s / plain.start_s
    cpu = _median(ours.many, "cpu_s") / _median(plain.many, "cpu_s")
    memory = memory_per_point(ours, plan) / memory_per_point(plain, plan)
    points = f"{plan.points:,} points"
    said = (
        f"start to listening with {points}: {start:.2f} of plain asyncua, at most {_START_SHARE} (CPU time: {cpu:.2f})"
    )
    needs = (
        f"memory of a point with its properties: {memory:.2f} of plain asyncua's bare variable, at most {_MEMORY_SHARE}"
    )
    return [Bound(said, start <= _START_SHARE), Bound(needs, memory <= _MEMORY_SHARE)]


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table."""

    label: str
    figure: Callable[[Figures], float]
    form: str = ".2f"
    more_is_better: bool = False
    factor: bool = True  # show how many times better this node is


def rows(plan: Plan) -> list[Row]:
    """What is shown of each server, in order."""
    n, few, each = f"{plan.points:,}", f"{plan.few:,}", f"{plan.period_s:g} s"
    return [
        Row("very first start, few points, s (keys and users are made)", lambda f: f.first.seconds, factor=False),
        Row(f"start to listening, {n} points, s", lambda f: f.start_s),
        Row("... CPU time of that start, s", lambda f: _median(f.many, "cpu_s")),
        Row(f"start to listening, {few} points, s", lambda f: _median(f.few, "seconds")),
        Row(f"RSS when listening, {n} points, MiB", lambda f: _median(f.many, "listening") / _MIB, ".1f"),
        Row(f"RSS when listening, {few} points, MiB", lambda f: _median(f.few, "listening") / _MIB, ".1f"),
        Row("memory per point when listening, KiB", lambda f: memory_per_point(f, plan, "listening") / _KIB),
        Row("memory per point, every one updated, KiB", lambda f: memory_per_point(f, plan) / _KIB),
        Row(f"CPU of updates alone, {n} every {each}, % of a core", lambda f: 100 * f.updates_cpu),
        Row(f"creating {n} monitored items, s", lambda f: f.subscribed["create_s"]),
        Row("memory per monitored item, KiB", lambda f: _per_item(f, plan) / _KIB),
        Row(f"CPU with one client on {n} items, % of a core", lambda f: 100 * f.window("server_cpu_s", "seconds")),
        Row(
            "notifications per CPU-s, updates included",
            lambda f: f.window("notifications", "server_cpu_s"),
            ",.0f",
            True,
        ),
        Row("values delivered of those written, %", lambda f: _delivered(f, plan), ".1f", factor=False),
        Row("single read of another client meanwhile: p50, us", lambda f: f.reads["p50_us"], ".0f"),
        Row("... p99.9, ms", lambda f: f.reads["p999_us"] / 1000, ".1f"),
        Row("... longest, ms", lambda f: f.reads["max_us"] / 1000, ".1f"),
        Row("CPU of the load client, % of a core", lambda f: 100 * f.window("client_cpu_s", "seconds"), factor=False),
    ]


def table(plain: Figures, ours: Figures, plan: Plan) -> str:
    """Markdown table; a factor above 1 says that this node is better."""
    lines = ["| | plain asyncua, bare variables | gridnode, points with properties | factor |", "|---|---:|---:|---:|"]
    for row in rows(plan):
        left, right = row.figure(plain), row.figure(ours)
        better = right / left if row.more_is_better else left / right
        factor = f"{better:.1f}x" if row.factor else ""
        lines.append(f"| {row.label} | {left:{row.form}} | {right:{row.form}} | {factor} |")
    read, good = ours.properties["read"], ours.properties["good"]
    more = (ours.properties["rss"] - _median(ours.many, "updated")) / plan.points / _KIB
    lines.append(f"| {good:,} of {read:,} properties read: more memory per point, KiB | | {more:.2f} | |")
    return "\n".join(lines)


def _median(starts: list[Start], moment: str) -> float:
    return float(median(getattr(start, moment) for start in starts))


def _per_item(figures: Figures, plan: Plan) -> float:
    return float(figures.subscribed["rss"] - figures.subscribed["rss_before"]) / plan.points


def _delivered(figures: Figures, plan: Plan) -> float:
    windows = figures.subscribed["windows"]
    written = sum(window["passes"] for window in windows) * len(sampled(plan.points))
    missed = sum(window["missed"] for window in windows)
    return 100.0 * float(1 - missed / written)
