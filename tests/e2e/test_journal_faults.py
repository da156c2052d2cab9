"""A whole node whose disk is full, whose journal was damaged, and whose clock is wrong: it goes on, and history too."""

import asyncio
import os
import sqlite3
import subprocess
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta
from pathlib import Path

import pytest
from asyncua import Client, ua

from address_space.model import TICKS_PER_S, Status, is_good, ticks_to_datetime
from node.app import App
from node.clock import RealClock
from node.historian.history import Columns
from node.historian.report import JournalState
from node.historian.store.writer import DATA_LOST
from tests.e2e.running import free_port, running, sample, until, until_good

pytestmark = pytest.mark.e2e

SITE = """
site: faults
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
POINT = "xw1.ac_power"
HOUR_S = 3600


class SteppedClock(RealClock):
    """The real clock, set wrong by some seconds."""

    def __init__(self, wrong_s: float = 0.0) -> None:
        super().__init__()
        self.wrong_s = wrong_s

    def now(self) -> int:
        return super().now() + round(self.wrong_s) * TICKS_PER_S


@pytest.fixture
def port() -> int:
    return free_port()


@pytest.fixture
def site_file(tmp_path: Path, port: int) -> Path:
    path = tmp_path / "site.yaml"
    path.write_text(SITE.format(port=port, gateway=free_port()))
    return path


@pytest.fixture
def small_disk(tmp_path: Path) -> Iterator[Path]:
    """The node's state on a partition of its own of 16 MB."""
    folder = tmp_path / "state"
    folder.mkdir()
    made = subprocess.run(
        ["mount", "-t", "tmpfs", "-o", "size=16m", "tmpfs", str(folder)], capture_output=True, check=False
    )
    if made.returncode:
        pytest.skip("no partition can be mounted here")
    yield folder
    subprocess.run(["umount", str(folder)], check=True)


async def recorded(app: App, more: int) -> None:
    """Return when so many more samples were acknowledged."""
    assert app.journal is not None
    goal = app.journal.acknowledged + more
    async with asyncio.timeout(30):
        while app.journal.acknowledged < goal:  # noqa: ASYNC110 - commits come by the real clock
            await asyncio.sleep(0.02)


async def history(app: App, point: str = POINT) -> Columns:
    assert app.journal is not None
    return (await app.journal.raw(point, None, None, limit=1_000_000)).columns


async def read_by_client(port: int) -> list[ua.DataValue]:
    async with Client(f"opc.tcp://127.0.0.1:{port}") as client:
        start, end = datetime(1999, 1, 1, tzinfo=UTC), datetime.now(UTC) + timedelta(days=1)
        found: list[ua.DataValue] = await client.get_node(f"ns=4;s={POINT}").read_raw_history(start, end, 0)
        return [value for value in found if value.StatusCode is None or value.StatusCode.value != 0x80D70000]


def fill(path: Path) -> None:
    """Take what is left of a partition."""
    with path.open("wb", buffering=0) as file:
        try:
            while file.write(bytes(65536)):
                pass
        except OSError:
            pass
        try:
            while file.write(bytes(1)):
                pass
        except OSError:
            pass
        os.fsync(file.fileno())


async def test_a_full_disk_stops_neither_live_data_nor_the_reading_of_history(
    small_disk: Path, site_file: Path, port: int
) -> None:
    async with running(site_file) as app:
        assert app.journal is not None
        await until_good(app, POINT)
        await recorded(app, 10)
        fill(small_disk / "others")
        await until(app, "node.journal_state", JournalState.FAILING, within_s=60)
        assert "full" in str(sample(app, "node.journal_error").value)
        live = sample(app, "xw1.requests").value
        async with asyncio.timeout(30):
            while sample(app, "xw1.requests").value == live:  # noqa: ASYNC110
                await asyncio.sleep(0.02)
        assert is_good(sample(app, POINT).status)
        known = await history(app)
        assert len(known)
        assert await read_by_client(port)
        (small_disk / "others").unlink()
        await until(app, "node.journal_state", JournalState.RECORDING, within_s=60)
        await recorded(app, 20)
        assert app.journal.lost == 0
        # The oldest may have gone to make room: the policy is to keep what is new.
        assert (await history(app)).ticks[-1] > known.ticks[-1]


@pytest.mark.parametrize(
    "damage",
    [
        "UPDATE frame SET data = zeroblob(length(data)) WHERE seq = 5",
        "UPDATE frame SET t_max = CAST(x'ff00ff' AS TEXT) WHERE seq = 5",
    ],
)
async def test_a_damaged_frame_costs_a_node_nothing_else(site_file: Path, port: int, damage: str) -> None:
    async with running(site_file) as app:
        await until_good(app, POINT)
        await recorded(app, 20)
    path = site_file.parent / "state" / "history.db"
    with sqlite3.connect(path) as connection:
        (frames,) = connection.execute("SELECT count(*) FROM frame").fetchone()
        assert frames > 5
        connection.execute(damage)
    connection.close()
    async with running(site_file) as app:
        await until_good(app, POINT)
        await recorded(app, 10)
        assert await read_by_client(port)
        await until(app, "node.journal_damaged", 1)
        assert app.journal is not None
        assert app.journal.lost == 0
        assert not list(path.parent.glob("*.corrupt-*"))


async def test_a_broken_file_is_replaced_and_brought_over_while_the_node_runs(site_file: Path, port: int) -> None:
    async with running(site_file) as app:
        await until_good(app, POINT)
        await recorded(app, 20)
        before = await history(app)
    path = site_file.parent / "state" / "history.db"
    with sqlite3.connect(path) as connection:
        connection.execute("PRAGMA wal_checkpoint(TRUNCATE)")
        (root,) = connection.execute("SELECT rootpage FROM sqlite_schema WHERE name = 'meta'").fetchone()
    connection.close()
    with path.open("r+b") as file:
        file.seek((root - 1) * 4096)
        file.write(b"\xaa" * 4096)
    async with running(site_file) as app:
        await until_good(app, POINT)
        await recorded(app, 20)
        assert list(path.parent.glob("history.db.corrupt-*"))
        async with asyncio.timeout(30):
            while set(before.ticks) - set((await history(app)).ticks):  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert len(await read_by_client(port)) >= len(before)


@pytest.mark.parametrize("step_s", [HOUR_S, -HOUR_S])
async def test_a_clock_that_is_set_by_an_hour_loses_and_repeats_nothing(
    site_file: Path, port: int, step_s: float
) -> None:
    clock = SteppedClock()
    async with running(site_file, clock) as app:
        assert app.journal is not None
        await until_good(app, POINT)
        await recorded(app, 10)
        first = list((await history(app)).ticks)
        clock.wrong_s += step_s
        await until(app, "node.clock_steps", 1)
        await recorded(app, 20)
        found = await history(app)
        assert list(found.ticks) == sorted(set(found.ticks))
        assert set(first) <= set(found.ticks)
        assert min(found.statuses) == 0
        assert (app.journal.lost, DATA_LOST in found.statuses) == (0, False)
        new = [ticks for ticks in found.ticks if ticks not in first]
        assert new, "it goes on recording"
        assert sample(app, "node.clock_last_step").value == pytest.approx(step_s, abs=5)
        times = [str(value.SourceTimestamp) for value in await read_by_client(port)]
        assert times == sorted(times)


async def test_a_node_that_starts_in_the_year_2000_goes_on_when_its_clock_is_set(site_file: Path, port: int) -> None:
    wrong_s = (datetime(2000, 1, 1, tzinfo=UTC) - datetime.now(UTC)).total_seconds()
    clock = SteppedClock(wrong_s)
    async with running(site_file, clock) as app:
        assert app.journal is not None
        await until(app, "xw1.connection", 1)
        await recorded(app, 10)
        early = await history(app)
        assert {ticks_to_datetime(ticks).year for ticks in early.ticks} <= {1999, 2000}
        assert set(early.statuses) <= {int(Status.UNCERTAIN)}
        clock.wrong_s = 0.0
        await until(app, "node.clock_steps", 1)
        await until_good(app, POINT)
        await recorded(app, 20)
        found = await history(app)
        assert list(found.ticks) == sorted(set(found.ticks))
        assert list(found.ticks[: len(early)]) == list(early.ticks)
        late = {s for t, s in zip(found.ticks, found.statuses, strict=True) if ticks_to_datetime(t).year > 2000}
        assert late
        assert all(is_good(status) for status in late)
        assert app.journal.lost == 0
        assert len(await read_by_client(port)) >= len(found)
