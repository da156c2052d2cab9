"""Every fault of a database, and at its end: nothing lost, nothing twice, what is poison in quarantine."""

from dataclasses import replace
from pathlib import Path

import pytest

from node.sinks.influx_config import InfluxConfig, Secret
from tests.e2e.influx import facade as fault
from tests.e2e.influx.conftest import Database
from tests.e2e.influx.facade import Facade
from tests.e2e.influx.scene import SINK, forwarding
from tests.e2e.influx.server import influxql, line

pytestmark = pytest.mark.e2e

SAMPLES = 700
# What makes the fault, so that every test has its own.
FAULTS = {
    "none": lambda: None,
    "hangs": lambda: fault.first(2, fault.hang),
    "unauthorized": lambda: fault.first(2, fault.code(401, "unauthorized access")),
    "forbidden": lambda: fault.first(1, fault.code(403, "insufficient permissions")),
    "no such bucket": lambda: fault.first(2, fault.code(404, 'bucket "gridnode" not found')),
    "moved elsewhere": lambda: fault.first(1, fault.code(302, "see there", {"Location": "http://127.0.0.1:9/login"})),
    "a portal in between": lambda: fault.first(1, fault.code(200, "please log in")),
    "too large": lambda: fault.longer_than(3000),
    "too many requests": lambda: fault.first(3, fault.code(429, "slow down", {"Retry-After": "2"})),
    "internal error": lambda: fault.first(2, fault.code(500, "internal error")),
    "overloaded": lambda: fault.first(3, fault.code(503, "engine is overloaded", {"Retry-After": "1"})),
    "cut before": lambda: fault.first(3, fault.cut_before),
    "acknowledgement lost": lambda: fault.first(3, fault.lose_answer),
    "acknowledgement cut": lambda: fault.first(3, fault.cut_answer),
    "stored by half": lambda: fault.first(3, fault.half),
    "slow": lambda: fault.first(3, fault.slow),
}


@pytest.mark.parametrize("name", FAULTS)
async def test_a_fault_that_passes_costs_nothing(
    name: str, tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    facade.fault = FAULTS[name]()
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(SAMPLES)
        assert await scene.journal.flush()
        await scene.caught_up()
        local = await scene.local()
        assert len(local) > SAMPLES * 0.8
        assert await database.contents(site) == local
        assert await scene.feed.quarantined() == []
        # Without a fault there is one write per batch.
        assert (facade.writes > -(-len(local) // config.batch_lines)) is (name not in ("none", "slow"))
        assert scene.shown("sent") >= len(local)
        assert scene.shown("quarantined") == scene.shown("lost") == 0
        assert scene.shown("connection") == 1


async def test_a_server_that_is_away_gets_everything_when_it_comes(
    tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    await facade.stop()
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        for part in range(5):
            scene.record_many(100, seed=part)
            assert await scene.journal.flush()
        while scene.shown("connection") != 3:
            await scene.clock.sleep(1)
        assert scene.shown("sink_state") == 3
        assert scene.shown("last_error") == (
            f"{facade.url} refuses the connection; does InfluxDB run, is sinks.central.url right?"
        )
        await facade.start()
        await scene.caught_up()
        assert await database.contents(site) == await scene.local()
        assert scene.shown("connection") == 1


@pytest.mark.parametrize("code", [400, 422])
async def test_lines_that_are_refused_for_good_go_to_quarantine_and_no_other(
    code: int, tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    if database.influxd is None:
        pytest.skip("a server that is not ours is not spoilt")
    facade.partial = code
    await line(database.url, database.bucket, f"h,node=other s=1.0 {1_782_777_600_000_000_000}")
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(300)
        texts = [tag for tag, _ in await scene.local() if tag.endswith(".text")]
        assert 0 < len(texts) <= 100
        await scene.journal.flush()
        await scene.caught_up()
        local = await scene.local()
        kept = await database.contents(site)
        # A text whose status is Bad has no value and so no conflict.
        missing = {key for key in local if key not in kept}
        assert missing
        assert {tag.partition(".")[2] for tag, _ in missing} <= {"text", "energy"}
        assert all(kept[key] == local[key] for key in kept)
        quarantined = await scene.feed.quarantined(SINK)
        assert len(quarantined) == len(missing) == scene.shown("quarantined")
        assert all("field type conflict" in one.reason and str(code) in one.reason for one in quarantined)
        assert all(one.line.startswith("h,device=xw") for one in quarantined)


@pytest.mark.parametrize("code", [400, 422, 500])
async def test_one_poison_line_is_found_by_halves(
    code: int, tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    facade.fault = fault.with_text(b"POISON", code)
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(250)
        scene.record("xw1.text", "POISON")
        scene.record_many(250, seed=2)
        poison = next(key for key, (value, _) in (await scene.local()).items() if value == "POISON")
        await scene.journal.flush()
        await scene.caught_up()
        expected = await scene.local()
        del expected[poison]
        assert await database.contents(site) == expected
        (kept,) = await scene.feed.quarantined(SINK)
        assert "POISON" in kept.line
        assert kept.reason.startswith(f"HTTP {code}: cannot take")


async def test_a_server_that_refuses_everything_stops_the_sink_and_nothing_goes_to_quarantine(
    tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    facade.fault = fault.code(422, "no line is good enough")
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(300)
        await scene.journal.flush()
        while scene.shown("sink_state") != 5:
            await scene.clock.sleep(1)
        assert await scene.feed.quarantined() == []
        assert "no line is good enough" in str(scene.shown("last_error"))
        facade.fault = None
        await scene.caught_up()
        assert await database.contents(site) == await scene.local()


async def test_a_server_that_fails_with_every_line_is_not_taken_for_poison(
    tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    facade.fault = fault.code(500, "disk is full")
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(30)
        await scene.journal.flush()
        while facade.writes < 30:
            await scene.clock.sleep(1)
        assert await scene.feed.quarantined() == []
        facade.fault = None
        await scene.caught_up()
        assert await database.contents(site) == await scene.local()
        assert await scene.feed.quarantined() == []


async def test_a_token_that_is_changed_is_read_again(
    tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    secret = tmp_path / "other"
    config = replace(config, token=Secret(file=secret))
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(50)
        await scene.journal.flush()
        while scene.shown("sink_state") != 4:
            await scene.clock.sleep(1)
        assert scene.shown("last_error") == (
            f"nothing is sent to {facade.url}: {secret} cannot be read: No such file or directory;"
            " correct it or sinks.central.token_file"
        )
        secret.write_text("wrong-and-secret")
        while "401" not in str(scene.shown("last_error")):
            await scene.clock.sleep(1)
        assert "wrong-and-secret" not in str(scene.shown("last_error"))
        secret.write_text(fault.TOKEN)
        await scene.caught_up()
        assert await database.contents(site) == await scene.local()


async def test_what_is_older_than_the_retention_is_counted_and_the_rest_is_stored(
    tmp_path: Path, facade: Facade, config: InfluxConfig, database: Database, site: str
) -> None:
    if database.influxd is None:
        pytest.skip("a server that is not ours keeps its retention")
    await influxql(database.url, "", "CREATE DATABASE short WITH DURATION 1h SHARD DURATION 1h NAME short")
    config = replace(config, bucket="short")
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        now = scene.clock.now()
        for second in range(900):
            scene.record("xw1.level", second, ticks=now + (second - 450) * 40_000_000 - 5 * 36_000_000_000)
        for second in range(60):
            scene.record("xw1.level", -second - 1, ticks=now - (60 - second) * 10_000_000)
        await scene.journal.flush()
        await scene.caught_up()
        assert scene.shown("lost") == 900
        assert scene.shown("quarantined") == 0
        local = await scene.local()
        newest = dict(sorted(local.items(), key=lambda item: item[0][1])[-60:])
        database.bucket = "short"
        assert await database.contents(site) == newest


async def test_a_deleted_sample_and_a_late_correction_arrive(
    tmp_path: Path, config: InfluxConfig, database: Database, site: str
) -> None:
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        scene.record_many(50)
        scene.record("xw1.power", 1.0)
        ticks = scene.ticks
        await scene.journal.flush()
        await scene.caught_up()
        scene.record("xw1.power", 2.0, ticks=ticks)
        await scene.journal.flush()
        await scene.caught_up()
        contents = await database.contents(site)
        assert contents == await scene.local()
        assert (2.0, 0) in contents.values()
