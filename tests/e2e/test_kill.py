"""kill -9 while recording: what was acknowledged is there after the restart."""

import asyncio
import random
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import Client, ua

from node.clock import RealClock
from node.historian.journal import Journal
from tests.e2e.recorder import TAGS, make_image, sample
from tests.e2e.running import free_port

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent


def record_and_kill(path: Path, first: int, seed: int, commits: int) -> int:
    """Let a process record, kill it after it has told of some commits; the number of the first sample not promised."""
    command = [sys.executable, "-m", "tests.e2e.recorder", str(path), str(first), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        promised = -1
        try:
            for line in process.stdout:
                promised = int(line)
                commits -= 1
                if commits <= 0:
                    break
        finally:
            process.kill()
        # What it had printed before it died was promised too; a line that was cut was not.
        for line in process.stdout:
            if line.endswith("\n"):
                promised = int(line)
    assert process.returncode == -9
    return promised


async def recorded(path: Path) -> dict[tuple[str, int], object]:
    image = make_image(RealClock())
    journal = Journal(path, image, RealClock())
    try:
        assert await journal.flush(), journal.error
        assert not list(path.parent.glob("*.corrupt-*"))
        found: dict[tuple[str, int], object] = {}
        for tag in TAGS:
            page = await journal.raw(tag, None, None, limit=10_000_000)
            found |= {(tag, t): v for t, v in zip(page.columns.ticks, page.columns.values, strict=True)}
        assert len(journal.damage) == 0
        return found
    finally:
        await journal.stop()


async def test_every_acknowledged_sample_survives_a_kill(
    tmp_path: Path, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    path = tmp_path / "history.db"
    promised: list[range] = []
    for _round in range(scaled(50)):
        first = promised[-1].stop + 1_000_000 if promised else 0
        stop = record_and_kill(path, first, rng.randrange(2**32), rng.randrange(1, 25))
        promised.append(range(first, max(first, stop)))
        found = await recorded(path)
        for numbers in promised:
            for number in numbers:
                tag, ticks, value = sample(number)
                assert found.get((tag, ticks)) == value, f"sample {number} of {numbers} is lost"
    assert sum(len(numbers) for numbers in promised) > 0


SITE = """
site: kill
state: state
server:
  listen: 127.0.0.1:{port}
  security: {{none: true, anonymous: true}}
history: {{commit_interval: 100ms}}
simulate: {{enabled: true}}
buses:
  gw: {{driver: modbus, tcp: "127.0.0.1:{gateway}"}}
devices:
  xw1: {{profile: schneider.xw, bus: gw, unit: 10}}
"""
POINTS = ("xw1.ac_power", "xw1.connection")


@asynccontextmanager
async def killed_node(site_file: Path, port: int) -> AsyncIterator[Client]:
    """A node in a process of its own with a client on it; at the end it is killed."""
    command = [sys.executable, "-m", "node", "run", "--no-table", str(site_file)]
    process = await asyncio.create_subprocess_exec(*command, cwd=ROOT, stdout=subprocess.PIPE)
    assert process.stdout is not None
    seen = b""
    try:
        async with asyncio.timeout(60):
            while b"OPC UA:" not in seen:
                line = await process.stdout.readline()
                assert line, f"the node ended: {seen.decode()}"
                seen += line
        async with Client(f"opc.tcp://127.0.0.1:{port}") as client:
            yield client
        process.kill()
    finally:
        if process.returncode is None and seen:
            process.kill()
        await process.communicate()
    assert process.returncode == -9


async def history(client: Client) -> dict[tuple[str, datetime | None], object]:
    found: dict[tuple[str, datetime | None], object] = {}
    start = datetime.now(UTC) - timedelta(hours=1)
    for point in POINTS:
        node = client.get_node(f"ns=4;s={point}")
        values = await node.read_raw_history(start, datetime.now(UTC) + timedelta(hours=1), 0)
        found |= {
            (point, value.SourceTimestamp): value.Value.Value if value.Value else None
            for value in values
            if value.StatusCode is None or value.StatusCode.value != ua.StatusCodes.BadBoundNotFound
        }
    return found


async def next_commits(client: Client, count: int) -> None:
    """Return when the node has acknowledged samples so many times."""
    node = client.get_node("ns=4;s=node.journal_samples")
    before = await node.read_value()
    async with asyncio.timeout(60):
        while count:
            await asyncio.sleep(0.02)
            now = await node.read_value()
            count -= now != before
            before = now


@pytest.mark.slow
async def test_a_killed_node_has_its_history_after_the_restart(tmp_path: Path, scaled: Callable[[int], int]) -> None:
    port = free_port()
    site_file = tmp_path / "site.yaml"
    site_file.write_text(SITE.format(port=port, gateway=free_port()))
    before: dict[tuple[str, datetime | None], object] = {}
    for _round in range(1 + scaled(10)):
        async with killed_node(site_file, port) as client:
            after = await history(client)
            assert before.items() <= after.items()
            await next_commits(client, 3)
            before = await history(client)
            await next_commits(client, 2)  # so all that was read is acknowledged
    assert any(point == POINTS[0] for point, _ in before)
