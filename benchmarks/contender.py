"""One server under measurement: how it is started, when it listens, how it ends."""

from __future__ import annotations

import json
import os
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Self

ROOT: Final = Path(__file__).parent.parent
_LOOK_EVERY_S: Final = 0.005
_START_WITHIN_S: Final = 180.0
_END_WITHIN_S: Final = 15.0


class Failed(Exception):
    """A server or client of the benchmark ended or never came up; the text has the end of its log."""


@dataclass(frozen=True, slots=True)
class Contender:
    """A server program; `command` writes its files and gives its command line."""

    name: str
    namespace: str  # URI of its points
    command: Callable[[int, int, int], Sequence[str]]  # of port, number of points, number of extra objects


class Running:
    """A started server: `pid`, `url` and the seconds until its port accepted. Ended, by its pid, on exit."""

    def __init__(self, contender: Contender, points: int, extra: int, words: Sequence[str], folder: Path) -> None:
        self.contender = contender
        self.port = _free_port()
        self.url = f"opc.tcp://127.0.0.1:{self.port}"
        self._log = folder / f"{contender.name.replace(' ', '-')}-{self.port}.log"
        command = [*contender.command(self.port, points, extra), *words]
        # The node remembers there which site ran last, and that is the user's.
        environment = {**os.environ, "XDG_STATE_HOME": str(folder)}
        # An installed program has its byte code; without it every start compiles the sources once more.
        environment.pop("PYTHONDONTWRITEBYTECODE", None)
        with self._log.open("wb") as log:
            began = time.perf_counter()
            self._process = subprocess.Popen(
                command, cwd=ROOT, env=environment, stdout=log, stderr=log, stdin=subprocess.DEVNULL
            )
        self.pid = self._process.pid
        self.start_s = 0.0
        self._began = began

    def __enter__(self) -> Self:
        try:
            self.start_s = self._listening()
        except BaseException:
            self._end()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._end()

    def _listening(self) -> float:
        while True:
            with socket.socket() as probe:
                if probe.connect_ex(("127.0.0.1", self.port)) == 0:
                    return time.perf_counter() - self._began
            if self._process.poll() is not None or time.perf_counter() - self._began > _START_WITHIN_S:
                raise Failed(f"{self.contender.name} does not listen:\n{self._tail()}")
            time.sleep(_LOOK_EVERY_S)

    def client(self, job: str, words: Sequence[str]) -> subprocess.Popen[str]:
        """Start a load client on this server."""
        given = [job, self.url, "--namespace", self.contender.namespace, "--server-pid", str(self.pid)]
        command = [sys.executable, "-m", "benchmarks.load_client", *given, *words]
        return subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)

    def run(self, job: str, words: Sequence[str], within_s: float) -> dict[str, Any]:
        """Run a load client to its end and give its result. Raises Failed."""
        return self.result(self.client(job, words), within_s)

    def result(self, client: subprocess.Popen[str], within_s: float) -> dict[str, Any]:
        """Result of a started client; it is killed when it takes longer. Raises Failed."""
        try:
            out, errors = client.communicate(timeout=within_s)
        except subprocess.TimeoutExpired:
            client.kill()
            out, errors = client.communicate()
            errors += f"\nkilled after {within_s:g} s"
        if client.returncode:
            raise Failed(f"load client on {self.contender.name}:\n{errors}\nlog of the server:\n{self._tail()}")
        result: dict[str, Any] = json.loads(out)
        return result

    def _tail(self) -> str:
        return "\n".join(self._log.read_text(errors="replace").splitlines()[-15:])

    def _end(self) -> None:
        if self._process.poll() is None:
            self._process.terminate()
        try:
            self._process.wait(_END_WITHIN_S)
        except subprocess.TimeoutExpired:
            print(f"{self.contender.name} did not end by SIGTERM: killed", file=sys.stderr)
            self._process.kill()
            self._process.wait()


def _free_port() -> int:
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])
