"""Servers that speak less than InfluxDB 2: 1.6.7 by /write, and VictoriaMetrics."""

import asyncio
import json
from dataclasses import replace
from pathlib import Path

import aiohttp
import pytest

from address_space.model import Status
from node.sinks.influx_config import Api, InfluxConfig, Secret
from node.sinks.influx_http import Credentials
from tests.e2e.influx.conftest import Database
from tests.e2e.influx.scene import FIRST, SINK, STEP, forwarding, remote
from tests.e2e.influx.server import Influxd, influxql, need
from tests.e2e.running import free_port

pytestmark = pytest.mark.e2e


@pytest.mark.parametrize("api", [Api.AUTO, Api.V1])
@pytest.mark.parametrize("gzip", [True, False])
async def test_a_server_before_1_8_is_written_to_its_own_way(
    api: Api, gzip: bool, tmp_path: Path, influxd: Influxd, plain: InfluxConfig, site: str
) -> None:
    async with forwarding(tmp_path / "history.db", replace(plain, api=api, gzip=gzip), site) as scene:
        scene.record_many(500)
        await scene.journal.flush()
        await scene.caught_up()
        assert await Database(influxd.url, "gridnode").contents(site) == await scene.local()


async def test_a_database_that_is_not_there_is_waited_for(
    tmp_path: Path, influxd: Influxd, plain: InfluxConfig, site: str
) -> None:
    async with forwarding(tmp_path / "history.db", replace(plain, bucket="later/autogen"), site) as scene:
        scene.record_many(50)
        await scene.journal.flush()
        while scene.shown("sink_state") != 4:
            await scene.clock.sleep(1)
        assert scene.shown("last_error") == (
            f"{influxd.url} has no database or bucket 'later/autogen' (HTTP 404: database not found: \"later\");"
            " create it or correct sinks.central.bucket"
        )
        await influxql(influxd.url, "", "CREATE DATABASE later")
        await scene.caught_up()
        assert await Database(influxd.url, "later").contents(site) == await scene.local()


async def test_a_server_with_users_wants_the_right_password(tmp_path: Path, site: str) -> None:
    influxd = Influxd(tmp_path / "influx", auth=True)
    await influxd.start()
    try:
        await influxql(influxd.url, "", "CREATE USER feeder WITH PASSWORD 'pa:ss wörd' WITH ALL PRIVILEGES")
        basic = Credentials(user="feeder", password="pa:ss wörd").headers
        await influxql(influxd.url, "", "CREATE DATABASE gridnode", basic)
        secret = tmp_path / "password"
        secret.write_text("wrong-password")
        config = InfluxConfig(
            id=SINK, url=influxd.url, bucket="gridnode", user="feeder", password=Secret(file=secret), replay_rate=None
        )
        async with forwarding(tmp_path / "history.db", config, site) as scene:
            scene.record_many(50)
            await scene.journal.flush()
            while scene.shown("sink_state") != 4:
                await scene.clock.sleep(1)
            assert "HTTP 401" in str(scene.shown("last_error"))
            assert "wrong-password" not in str(scene.shown("last_error"))
            secret.write_text("pa:ss wörd\n")
            await scene.caught_up()
            assert await remote(influxd.url, "gridnode", site, basic) == await scene.local()
    finally:
        await influxd.kill()


async def test_victoria_metrics_takes_numbers_for_dashboards(tmp_path: Path, site: str) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    process = await asyncio.create_subprocess_exec(
        need("victoria-metrics"),
        f"-httpListenAddr={url.removeprefix('http://')}",
        f"-storageDataPath={tmp_path / 'metrics'}",
        "-retentionPeriod=100y",
        stdout=asyncio.subprocess.DEVNULL,
        stderr=asyncio.subprocess.DEVNULL,
    )
    try:
        config = InfluxConfig(id=SINK, url=url, bucket="gridnode", timeout_s=5.0, replay_rate=None)
        async with forwarding(tmp_path / "history.db", config, site) as scene:
            for number in range(1, 21):
                scene.record("xw1.power", number / 2)
                scene.record("xw1.level", number)
            scene.record("xw1.power", None, Status.BAD_TIMEOUT)
            await scene.journal.flush()
            await scene.caught_up()
            assert scene.shown("quarantined") == 0
        found = await exported(url, site)
        assert found["xw1.power", "h_v"] == {(FIRST + (2 * n - 1) * STEP): n / 2 for n in range(1, 21)}
        assert found["xw1.level", "h_i"] == {(FIRST + 2 * n * STEP): n for n in range(1, 21)}
        assert found["xw1.power", "h_st"][FIRST + 41 * STEP] == Status.BAD_TIMEOUT
    finally:
        process.kill()
        await process.wait()


async def exported(url: str, site: str) -> dict[tuple[str, str], dict[int, float]]:
    """Samples by node and metric, once the server shows what it has taken."""
    found: dict[tuple[str, str], dict[int, float]] = {}
    async with aiohttp.ClientSession() as session, asyncio.timeout(30):
        while len(found) < 4:
            await asyncio.sleep(0.2)
            async with session.get(f"{url}/internal/force_flush"):
                pass
            params = {"match[]": f'{{site="{site}"}}'}
            async with session.get(f"{url}/api/v1/export", params=params) as answer:
                lines = (await answer.text()).splitlines()
            for series in map(json.loads, lines):
                key = (series["metric"]["node"], series["metric"]["__name__"])
                times = (116_444_736_000_000_000 + ms * 10_000 for ms in series["timestamps"])
                found[key] = dict(zip(times, series["values"], strict=True))
    return found
