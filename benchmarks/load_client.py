"""The load client: one job against a running server, counted from raw bytes, with the server's CPU of the same time.

A process of its own, so that it shares no interpreter with what it measures:
`python -m benchmarks.load_client JOB URL --namespace URI --server-pid PID ...` prints one JSON object.
"""

from __future__ import annotations

import argparse
import gc
import json
import os
import sys
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from asyncua import ua

from benchmarks import pattern, usage, work
from benchmarks.connection import Connection
from benchmarks.frames import Unexpected
from benchmarks.history.client import AtTimes, Averages, HistoryJob, Pages, history_window
from benchmarks.secure import Identity
from benchmarks.single import echoes, single_reads
from benchmarks.subscriber import Subscriber, node_id
from benchmarks.visitors import Crowd, come_and_go, left_behind

_READ_AT_ONCE: Final = 200


@dataclass(frozen=True, slots=True)
class Target:
    """The server, and what the command line said."""

    options: argparse.Namespace
    identity: Identity | None
    space: int  # index of the points' namespace

    @property
    def names(self) -> list[str]:
        """NodeIds of all points."""
        return list(pattern.node_ids(self.options.points, self.options.per_device))

    @property
    def nodes(self) -> list[ua.NodeId]:
        """The same as NodeIds."""
        return [node_id(name, self.space) for name in self.names]

    def connect(self) -> Connection:
        """A connection as the command line wants it."""
        return Connection(self.options.url, self.identity)


def namespace_index(connection: Connection, uri: str) -> int:
    """Index of a namespace. Raises Unexpected when the server does not have it."""
    request: Any = ua.ReadRequest()
    array_node = node_id(ua.ObjectIds.Server_NamespaceArray, 0)
    request.Parameters.NodesToRead = [ua.ReadValueId(NodeId=array_node, AttributeId=ua.AttributeIds.Value)]
    answer: Any = connection.call(request, ua.ReadResponse)
    uris = answer.Results[0].Value.Value
    if uri not in uris:
        raise Unexpected(f"the server has no namespace {uri}: {', '.join(uris)}")
    return int(uris.index(uri))


# --- jobs --------------------------------------------------------------------------------------------


def _subscribe(target: Target) -> dict[str, object]:
    options, nodes = target.options, target.nodes
    pid = options.server_pid
    with target.connect() as connection:
        before = usage.rss_bytes(pid)
        subscriber = Subscriber(connection, nodes, options.interval_ms)
        subscriber.settle(len(nodes), 2.0)
        _quiet()
        windows = [asdict(subscriber.window(pid, options.window_s)) for _ in range(options.windows)]
        return {
            "create_s": subscriber.create_s,
            "items": len(nodes),
            "rss_before": before,
            "rss": usage.rss_bytes(pid),
            "windows": windows,
        }


def _single(target: Target) -> dict[str, object]:
    nodes = target.nodes
    with target.connect() as connection:
        return asdict(single_reads(connection, nodes[len(nodes) // 2], target.options.window_s))


def _echo(target: Target) -> dict[str, object]:
    return asdict(echoes(target.options.window_s))


def _properties(target: Target) -> dict[str, object]:
    """Read EURange and EngineeringUnits of every point: what that leaves in the server's memory."""
    good = 0
    nodes = [node_id(f"{name}.{end}", target.space) for name in target.names for end in ("EURange", "EngineeringUnits")]
    with target.connect() as connection:
        for first in range(0, len(nodes), _READ_AT_ONCE):
            request: Any = ua.ReadRequest()
            request.Parameters.TimestampsToReturn = ua.TimestampsToReturn.Neither
            request.Parameters.NodesToRead = [
                ua.ReadValueId(NodeId=node, AttributeId=ua.AttributeIds.Value)
                for node in nodes[first : first + _READ_AT_ONCE]
            ]
            answer: Any = connection.call(request, ua.ReadResponse)
            good += sum(result.StatusCode is None or result.StatusCode.is_good() for result in answer.Results)
    return {"read": len(nodes), "good": good, "rss": usage.rss_bytes(target.options.server_pid)}


def _service(make: Callable[[Target], work.Job]) -> Callable[[Target], dict[str, object]]:
    def run(target: Target) -> dict[str, object]:
        options = target.options
        job = make(target)
        _quiet()
        with target.connect() as connection:
            return {"windows": work.run_job(connection, job, options.server_pid, options.windows, options.window_s)}

    return run


def _churn(target: Target) -> dict[str, object]:
    options = target.options
    return {"rounds": come_and_go(options.url, target.nodes[: options.items], options.window_s)}


def _connects(target: Target) -> dict[str, object]:
    options = target.options
    left = left_behind(options.url, target.nodes[0], options.server_pid, options.clients, options.rest_s)
    return {**left}


def _crowd(target: Target) -> dict[str, object]:
    options = target.options
    began = time.perf_counter()
    crowd = Crowd(options.url, target.nodes, options.clients, options.items, options.interval_ms)
    create_s = time.perf_counter() - began
    crowd.until(time.perf_counter() + 3.0)
    _quiet()
    windows = [
        crowd.window(options.server_pid, options.window_s, options.interval_ms / 1000) for _ in range(options.windows)
    ]
    crowd.close()
    return {"create_s": create_s, "windows": windows}


def _history(make: Callable[[Target], Callable[[Connection], HistoryJob]]) -> Callable[[Target], dict[str, object]]:
    def run(target: Target) -> dict[str, object]:
        options = target.options
        with target.connect() as connection:
            job = make(target)(connection)
            job.run()
            _quiet()
            windows = [history_window(job, options.server_pid, options.window_s) for _ in range(options.windows)]
        return {"windows": windows}

    return run


def _quiet() -> None:
    # Nothing that lives now is garbage; the collector need not walk it in a window.
    gc.collect()
    gc.freeze()
    print("counting", file=sys.stderr, flush=True)


JOBS: Final[Mapping[str, Callable[[Target], dict[str, object]]]] = {
    "subscribe": _subscribe,
    "single": _single,
    "echo": _echo,
    "properties": _properties,
    "reads": _service(lambda t: work.reads(t.space, t.options.points, t.options.per_device)),
    "writes": _service(lambda t: work.writes(t.space)),
    "calls": _service(lambda t: work.calls(t.space)),
    "browse": _service(lambda t: work.browses(t.space, t.options.points, t.options.per_device)),
    "raw": _history(lambda t: lambda c: Pages(c, t.nodes[0])),
    "average": _history(lambda t: lambda c: Averages(c, t.nodes[0])),
    "at-time": _history(lambda t: lambda c: AtTimes(c, t.nodes[1])),
    "churn": _churn,
    "connects": _connects,
    "crowd": _crowd,
}


def main(arguments: Sequence[str] | None = None) -> int:
    """Run one job against a running server and print its result as JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.load_client", description=__doc__)
    parser.add_argument("job", choices=tuple(JOBS))
    parser.add_argument("url")
    parser.add_argument("--namespace", required=True, help="URI of the points' namespace")
    parser.add_argument("--server-pid", type=int, required=True)
    parser.add_argument("--points", type=int, default=10_000)
    parser.add_argument("--per-device", type=int, default=100)
    parser.add_argument("--interval-ms", type=float, default=1000.0)
    parser.add_argument("--windows", type=int, default=3)
    parser.add_argument("--window-s", type=float, default=8.0)
    parser.add_argument("--clients", type=int, default=50)
    parser.add_argument("--items", type=int, default=1000, help="items of one of many clients")
    parser.add_argument("--rest-s", type=float, default=1.0, help="pause before memory is looked at")
    parser.add_argument("--secure", nargs=2, metavar=("CLIENT", "SERVER"), help="folders of the two certificates")
    options = parser.parse_args(arguments)
    identity = None if options.secure is None else Identity.read(Path(options.secure[0]), Path(options.secure[1]))
    with Connection(options.url, identity) as connection:
        space = namespace_index(connection, options.namespace)
    json.dump(JOBS[options.job](Target(options, identity, space)), sys.stdout)
    return 0


if __name__ == "__main__":
    try:
        sys.exit(main())
    except (Unexpected, OSError) as failed:
        print(f"load client {os.getpid()}: {failed}", file=sys.stderr)
        sys.exit(1)
