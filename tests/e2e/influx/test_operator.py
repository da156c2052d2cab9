"""What an operator does with a sink while the node runs: send again, and try refused samples once more."""

from pathlib import Path

import pytest

from node.historian.file.journal_file import JournalFile
from node.historian.file.replay import Refused, mark_before, set_back, write_again
from node.sinks.influx_config import InfluxConfig
from node.sinks.line_protocol import place_of
from tests.e2e.influx.conftest import Database
from tests.e2e.influx.scene import FIRST, SINK, STEP, Contents, forwarding
from tests.e2e.influx.server import Influxd, influxql, line

pytestmark = pytest.mark.e2e


def since(contents: Contents, ticks: int) -> Contents:
    ns = (ticks - 116_444_736_000_000_000) * 100
    return {place: sample for place, sample in contents.items() if place[1] >= ns}


@pytest.mark.parametrize("compacted", ["all", "half", "nothing"])
async def test_what_was_lost_in_the_database_is_sent_again_from_a_time_on(
    compacted: str, tmp_path: Path, influxd: Influxd, plain: InfluxConfig, site: str
) -> None:
    path = tmp_path / "history.db"
    async with forwarding(path, plain, site) as scene:
        for part in range(2):
            scene.record_many(300, seed=part)
            await scene.journal.flush()
            if compacted == "all" or (compacted == "half" and part == 0):
                await scene.journal.compact()
        await scene.caught_up()
        await influxql(influxd.url, "gridnode", "DROP MEASUREMENT h")
        scene.record_many(50, seed=9)
        await scene.journal.flush()
        await scene.caught_up()
        begin = FIRST + 200 * STEP
        with JournalFile(path) as file:
            mark = file.read(lambda connection: mark_before(connection, begin))
            assert mark is not None
            assert file.write(lambda connection: set_back(connection, SINK, mark, scene.clock.now()))
        await scene.caught_up()
        there = await Database(influxd.url, "gridnode").contents(site)
        here = await scene.local()
        assert since(there, begin) == since(here, begin)
        assert len(since(here, begin)) > 400
        assert there.items() <= here.items()


async def test_refused_samples_are_sent_again_when_the_reason_is_gone(
    tmp_path: Path, influxd: Influxd, plain: InfluxConfig, site: str
) -> None:
    path = tmp_path / "history.db"
    other = f"h,device=x,node=x.y,site=other v=1i {(FIRST - 116_444_736_000_000_000) * 100}"
    await line(influxd.url, "gridnode", other)  # somebody made `v` an integer
    async with forwarding(path, plain, site) as scene:
        for number in range(5):
            scene.record("xw1.power", number / 2 + 0.25)
        scene.record("xw1.level", 7)
        await scene.journal.flush()
        await scene.caught_up()
        kept = await scene.feed.quarantined(SINK)
        assert len(kept) == 5
        assert "type conflict" in kept[0].reason
        await influxql(influxd.url, "gridnode", "DROP SERIES WHERE site = 'other'")
        await influxql(influxd.url, "gridnode", "DROP MEASUREMENT h")
        places = {one.id: place_of(one.line) for one in kept}
        lines = [Refused(number, *place) for number, place in places.items() if place is not None]
        with JournalFile(path) as file:
            assert sorted(file.write(lambda connection: write_again(connection, lines))) == sorted(places)
        await scene.caught_up()
        assert await scene.feed.quarantined(SINK) == []
        there = await Database(influxd.url, "gridnode").contents(site)
        here = {place: sample for place, sample in (await scene.local()).items() if place[0] == "xw1.power"}
        assert {place: sample for place, sample in there.items() if place[0] == "xw1.power"} == here
        assert len(here) == 5
