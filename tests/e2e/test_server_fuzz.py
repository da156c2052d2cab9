"""Changed messages of valid sessions and random frames: the server refuses or closes, does not grow, and goes on.

It runs in a process of its own, and so does a client that subscribes and reads meanwhile: how long that one has to wait
is printed, and judged in a soak.
"""

import asyncio
import json
import logging
import os
import random
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from pathlib import Path

import pytest
from asyncua import Client, ua

from tests.conftest import SOAK
from tests.e2e.fuzz.channel import secured_policy
from tests.e2e.fuzz.fuzzer import SessionFuzzer, StrangerFuzzer
from tests.e2e.fuzz.recording import record
from tests.e2e.server_stage import CLIENT_URI, Keys

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

MESSAGES = 100_000
# Sent before the memory is looked at first: caches fill, and the allocator gets what the load needs for good.
WARM_UP = 2_000
GROWTH_BYTES = 20 * 2**20
DELAY_MS = 100.0  # at the 99.9th percentile
ROOT = Path(__file__).resolve().parents[2]


@asynccontextmanager
async def program(module: str, argument: str, log: Path) -> AsyncIterator[asyncio.subprocess.Process]:
    """A module of the fuzz as a process that ends with its input."""
    with log.open("wb") as stderr:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-m", f"tests.e2e.fuzz.{module}", argument,
            stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE, stderr=stderr, cwd=ROOT,
        )  # fmt: skip
    try:
        yield process
    finally:
        if process.returncode is None:
            process.kill()
        await process.wait()


async def line_of(process: asyncio.subprocess.Process) -> str:
    assert process.stdout is not None
    async with asyncio.timeout(60):
        return (await process.stdout.readline()).decode().strip()


async def ended(process: asyncio.subprocess.Process) -> int:
    assert process.stdin is not None
    process.stdin.close()
    async with asyncio.timeout(60):
        return await process.wait()


def resident_bytes(pid: int) -> int:
    fields = Path(f"/proc/{pid}/statm").read_text().split()
    return int(fields[1]) * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="the memory of a process is read from /proc")
async def test_changed_messages_neither_stop_the_server_nor_make_it_grow(
    tmp_path: Path,
    seed: int,
    scaled: Callable[[int], int],
    capsys: pytest.CaptureFixture[str],
    caplog: pytest.LogCaptureFixture,
) -> None:
    caplog.set_level(logging.CRITICAL, "asyncua")
    keys = Keys(tmp_path / "keys")
    for name, uri in (("client", CLIENT_URI), ("server", "urn:test:server")):
        keys.of(name, uri)
    log = tmp_path / "server.log"
    async with program("victim", str(tmp_path), log) as server:
        port = int(await line_of(server))
        recording = await record(port)
        sessions = [
            SessionFuzzer(port, recording, random.Random(f"{seed} open"), None),
            SessionFuzzer(port, recording, random.Random(f"{seed} secured"), partial(secured_policy, keys)),
        ]
        strangers = StrangerFuzzer(port, recording, random.Random(f"{seed} strangers"))

        async def send(count: int) -> None:
            shares = (sessions[0], count * 6 // 10), (sessions[1], count * 3 // 10), (strangers, count // 10)
            await asyncio.gather(*(fuzzer.run(share) for fuzzer, share in shares))

        async with program("second_client", str(port), tmp_path / "second.log") as second:
            assert await line_of(second) == "ready", (tmp_path / "second.log").read_text()
            await send(WARM_UP)
            before = resident_bytes(server.pid)
            await send(scaled(MESSAGES))
            grown = resident_bytes(server.pid) - before
            assert second.stdin is not None
            second.stdin.close()
            delays = json.loads(await line_of(second) or "{}")
        await good_client(port)
        assert await ended(server) == 0, log.read_text()[-5_000:]
    shown = ", ".join(f"{name} {value:,.5g}" for name, value in delays.items())
    with capsys.disabled():
        print(
            f"\nfuzz: {sum(each.sent for each in (*sessions, strangers)):,} messages (seed {seed}), "
            f"{sum(each.ended for each in sessions)} sessions ended, memory grew by {grown / 2**20:.1f} MiB; "
            f"single reads of a second client in ms, and how many: {shown}"
        )
    _, trace, what = log.read_text().partition("Traceback")
    assert trace == "", what[:10_000]
    assert grown <= GROWTH_BYTES
    assert delays["lost"] == 0
    assert delays["messages"] > 0
    if SOAK:
        assert delays["p99.9"] <= DELAY_MS


async def good_client(port: int) -> None:
    client = Client(f"opc.tcp://127.0.0.1:{port}", timeout=10)
    async with client:
        assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0
        assert await client.nodes.objects.get_children()
