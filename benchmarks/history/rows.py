"""The rows of the historian's table: what is told of each job, and what must hold."""

from __future__ import annotations

from collections.abc import Callable
from statistics import median
from typing import Final

from benchmarks.measure import Result, ratio
from benchmarks.rows import Limit, Row
from benchmarks.servers import NODE

_MIB: Final = 1 << 20


def _per_cpu(result: Result) -> float:
    return float(result["samples"] / result["cpu_s"])


def _per_second(result: Result) -> float:
    return float(result["samples"] / result["seconds"])


def _field(name: str, part: str = "") -> Callable[[Result], float]:
    return lambda result: float((result[part] if part else result)[name])


def _ms(name: str, part: str) -> Callable[[Result], float]:
    return lambda result: float(result[part][name]) / 1000


def _grown(to: str, since: str) -> Callable[[Result], float]:
    return lambda result: float(result[to] - result[since]) / _MIB


def _windows(name: str) -> Callable[[Result], float]:
    return lambda result: float(median(window[name] for window in result["windows"]))


def _cpu_of_one(result: Result) -> float:
    return ratio(result, "server_cpu_s", "reads")


def _row(
    job: str,
    label: str,
    figure: Callable[[Result], float],
    form: str = ",.0f",
    must: float | None = None,
    aim: float | None = None,
    *,
    more: bool = False,
) -> Row:
    limits = [() if bound is None else (Limit(bound),) for bound in (must, aim)]
    return Row(job, label, figure, form, more, limits[0], limits[1])


ROWS: Final = (
    _row("ingest", "recording until all is in blocks, samples per CPU-s", _per_cpu, must=1e5, aim=2e5, more=True),
    _row("ingest", "... samples/s on the wall", _per_second, more=True),
    _row("ingest", "... commit p50, ms", _field("commit_p50_ms"), ",.2f"),
    _row("ingest", "... commit p99, ms", _field("commit_p99_ms"), ",.2f"),
    _row("ingest", "bytes per sample in pages of blocks", _field("page_bytes"), ",.2f", 8, 6),
    _row("ingest", "bytes written per sample, 1 s commits", _field("written"), ",.0f", 200, 170),
    _row("ingest-sd", "bytes written per sample, 5 s commits, sd_card", _field("written"), ",.0f", 100, 76),
    _row("ingest-sd", "... samples per CPU-s", _per_cpu, more=True),
    Row(
        "raw",
        "100,000 raw values over OPC UA in pages of 10,000, values per CPU-s",
        lambda result: ratio(result, "values", "server_cpu_s"),
        must=(Limit(3, NODE),),
        aim=(Limit(6, NODE),),
    ),
    Row("raw", "... seconds for all of them", _windows("median_s"), ",.3f", more=False),
    _row("average", "TimeAverage2 hourly over a day of 1 Hz, over OPC UA, s of CPU", _cpu_of_one, ",.3f", 0.25, 0.1),
    _row("average", "... s on the wall", _windows("median_s"), ",.3f"),
    _row("at-time", "1,000 times scattered over 1,000,000 values, over OPC UA, s of CPU", _cpu_of_one, ",.3f"),
    _row("at-time", "... s on the wall", _windows("median_s"), ",.3f"),
    _row("open", "opening a backlog in frames, to the first new sample, s", _field("seconds"), ",.3f", 1, 0.3),
    _row("open", "... to a first page of history behind that, s", _field("first_page_s"), ",.3f"),
    _row("open-blocks", "opening the same backlog in blocks, s", _field("seconds"), ",.3f", 1, 0.3),
    _row("open-blocks", "... to a first page of history behind that, s", _field("first_page_s"), ",.3f"),
    _row("make", "... making that file, s", _field("seconds"), ",.1f"),
    _row("compact", "compaction of it, samples per CPU-s", _per_cpu, more=True),
    _row("replay", "replay into influxdb 1.6.7, points per CPU-s of ours", _per_cpu, must=1e5, aim=3e5, more=True),
    _row("replay", "... points/s on the wall", _per_second, more=True),
    _row("replay", "... memory on top at its peak, MiB", _grown("rss_peak", "rss_before"), ",.1f"),
    _row(
        "stall",
        "longest turn of the event loop beside recording, compaction and reads, CPU ms",
        _field("turn_ms", "stall"),
        ",.1f",
        20,
        10,
    ),
    _row("stall", "longest delay of a 1 ms timer, ms", _ms("max_us", "stall"), ",.1f", 20, 10),
    _row("stall", "... p99.9", _ms("p999_us", "stall"), ",.1f"),
    _row("stall", "... the same loop without the historian: longest, ms", _ms("max_us", "bare"), ",.1f"),
    _row("stall", "... an idle process in the same seconds: longest, ms", _ms("max_us", "stall_idle"), ",.1f"),
    _row("stall", "... ... p99.9", _ms("p999_us", "stall_idle"), ",.1f"),
    _row("memory", "memory growth at 1,000 tags after warm-up, MiB", _grown("peak", "warm"), ",.1f", 50, 10),
    _row("memory", "... peak above a process that has recorded nothing, MiB", _grown("peak", "bare"), ",.1f"),
)
