"""kill -9 of the node while InfluxDB is away, and of InfluxDB while it is fed: both have the same at the end."""

import asyncio
import random
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from tests.e2e.influx.conftest import Database
from tests.e2e.influx.feeder import feed, sink
from tests.e2e.influx.scene import TAGS, forwarding
from tests.e2e.influx.server import Influxd
from tests.e2e.influx.test_node import SITE
from tests.e2e.running import free_port
from tests.e2e.test_kill import killed_node, next_commits

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROOT = Path(__file__).parents[3]
KILLS = 100
assert feed  # the process below runs it


async def feed_and_kill(path: Path, url: str, site: str, first: int, rng: random.Random) -> int:
    """Let a process record and forward, and kill it after some commits; the number of its last sample."""
    words = [str(path), url, site, str(first), str(rng.randrange(2**32))]
    process = await asyncio.create_subprocess_exec(
        sys.executable, "-m", "tests.e2e.influx.feeder", *words, cwd=ROOT, stdout=asyncio.subprocess.PIPE
    )
    assert process.stdout is not None
    last = first
    try:
        async with asyncio.timeout(60):
            for _ in range(rng.randrange(1, 20)):
                text = await process.stdout.readline()
                assert text, "the feeder ended by itself"
                last = int(text)
        await asyncio.sleep(rng.random() * 0.05)
    finally:
        if process.returncode is None:
            process.kill()
        rest = await process.stdout.read()
        await process.wait()
    assert process.returncode == -9
    return max([last, *(int(text) for text in rest.split(b"\n")[:-1] if text)])


async def test_a_node_that_is_killed_in_an_outage_loses_nothing(
    tmp_path: Path, influxd: Influxd, site: str, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    path, last, outages = tmp_path / "history.db", 0, 0
    for number in range(scaled(KILLS)):
        away = number % 2 == 0 or rng.random() < 0.3
        outages += away
        if away:
            await influxd.kill()
        elif influxd.process is None or influxd.process.returncode is not None:
            await influxd.start()
        # A kill may lose the samples of the commit that was on its way, whose numbers are left out.
        last = await feed_and_kill(path, influxd.url, site, last + 1000, rng)
    assert outages
    if influxd.process is None or influxd.process.returncode is not None:
        await influxd.start()
    async with forwarding(path, sink(influxd.url), site) as scene:
        await scene.journal.flush()
        await scene.caught_up()
        local = await scene.local()
        assert len(local) > 100 * scaled(KILLS)
        assert await Database(influxd.url, "gridnode").contents(site) == local
        assert await scene.feed.quarantined() == []


async def test_an_influxdb_that_is_killed_during_the_replay_gets_everything(
    tmp_path: Path, influxd: Influxd, site: str, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    async with forwarding(tmp_path / "history.db", sink(influxd.url), site) as scene:
        for number in range(scaled(KILLS)):
            await influxd.kill()
            for part in range(20):
                scene.record_many(150, seed=seed + 100 * number + part)
                await scene.journal.flush()
            if rng.random() < 0.3:
                await scene.journal.compact()
            least = int(scene.shown("sent") or 0) + rng.randrange(1, 1500)
            await influxd.start()
            await scene.sent(least)
        await influxd.kill()
        await asyncio.sleep(rng.random() * 0.1)
        await influxd.start()
        await scene.caught_up()
        local = await scene.local()
        assert {tag for tag, _ in local} == set(TAGS)
        assert await Database(influxd.url, "gridnode").contents(site) == local
        assert await scene.feed.quarantined() == []


async def test_a_whole_node_that_is_killed_in_outages_loses_nothing(
    tmp_path: Path, influxd: Influxd, site: str, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    port = free_port()
    site_file = tmp_path / "site.yaml"
    site_file.write_text(SITE.format(site=site, port=port, url=influxd.url, gateway=free_port()))
    for number in range(1 + scaled(20)):
        if number % 2 == 0:
            await influxd.kill()
        elif influxd.process is None or influxd.process.returncode is not None:
            await influxd.start()
        async with killed_node(site_file, port) as client:
            await next_commits(client, rng.randrange(2, 8))
    if influxd.process is None or influxd.process.returncode is not None:
        await influxd.start()
    path = tmp_path / "state" / "history.db"
    async with forwarding(path, sink(influxd.url), site) as scene:
        await scene.journal.flush()
        await scene.caught_up()
        rows = await scene.journal.read_disk(lambda connection: connection.execute("SELECT path FROM tag").fetchall())
        tags = [tag for (tag,) in rows if not tag.startswith("central.")]
        assert "xw1.ac_power" in tags
        local = await scene.local(tags)
        assert len(local) > len(tags)
        assert await Database(influxd.url, "gridnode").contents(site) == local
        assert await scene.feed.quarantined() == []
