"""History as a client reads it that is not ours: node-opcua-client, with all published examples."""

import json
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import ua

from tests.e2e.foreign_client import ForeignClient, foreign_client
from tests.e2e.history_stage import SLOPED, SPARE, HistoryStage, history_stage
from tests.node.server.history import tables
from tests.tools import require_cases

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

BOUND_NOT_FOUND = 0x80D7_0000
GOOD, NO_DATA = "Good", "GoodNoData"
FIVE = 5 * 3600.0
# Rows in which the tables and the words of the standard contradict each other: how many of a table may be either.
AMBIGUOUS = {
    ("Historian3", "TimeAverage2"): 4,
    ("Historian3", "Total2"): 4,
    **{
        ("Historian3", f"{name}{of}"): 2
        for name in ("StandardDeviation", "Variance")
        for of in ("Sample", "Population")
    },
    **{(f"Historian{number}", name): 1 for number in (3, 4) for name in ("DurationBad", "PercentBad")},
    ("Historian5", "Delta"): 1,
}


@dataclass
class Scene:
    stage: HistoryStage
    foreign: ForeignClient

    async def read(self, kind: str, tag: str = SLOPED, **how: Any) -> dict[str, Any]:
        for name in ("start", "end"):
            if how.get(name) is not None:
                how[name] = self.stage.ms(how[name])
        found: dict[str, Any] = await self.foreign.do(
            "history_read", name="anybody", kind=kind, node=f"ns=4;s={tag}", **how
        )
        found["values"] = [(self.stage.second(row[0]), row[1], row[2]) for row in found["values"]]
        return found


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def scene(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Scene]:
    folder = tmp_path_factory.mktemp("history")
    async with history_stage(folder) as stage, foreign_client(folder / "words.log") as foreign:
        way = {"url": stage.url, "keys": str(folder / "keys"), "policy": "None", "mode": "None"}
        await foreign.do("connect", name="anybody", **way)
        yield Scene(stage, foreign)


# --- raw


def second(text: str | None) -> float | None:
    if text in (None, "-"):
        return None
    hours, minutes = str(text).split(":")
    return int(hours) * 3600.0 + int(minutes) * 60


async def follows(scene: Scene, case: dict[str, Any]) -> None:
    start, end = second(case["start"]), second(case["end"])
    found = await scene.read(
        "raw", start=start, end=end, count=case["num_values"], bounds=case["return_bounds"], pages=1
    )
    assert found["more"] is case["continuation_point"], case
    if case["expect"] == ["NODATA"]:
        assert (found["statuses"], found["values"]) == ([NO_DATA], []), case
        return
    assert found["statuses"] == [GOOD], case
    travel = (start, end) if start is not None else (end, None)
    assert len(found["values"]) == len(case["expect"]), case
    for position, (row, wanted) in enumerate(zip(found["values"], case["expect"], strict=True)):
        if wanted in ("FIRST", "LAST"):
            edge = travel[0] if position == 0 else travel[1]
            assert row[1:] == (None, BOUND_NOT_FOUND), case
            assert edge is None or row[0] == edge, case
        else:
            assert row[0] == second(wanted), case
            assert row[2] == 0, case


async def test_the_published_cases_of_raw_reads_hold(scene: Scene) -> None:
    table = json.loads((require_cases() / "part11_readraw.json").read_text(encoding="utf-8"))
    await scene.stage.fill(
        SLOPED, [(second(text) or 0.0, float(number), 0) for number, text in enumerate(table["stored"])]
    )
    for case in table["cases"]:
        await follows(scene, case)


async def test_everything_comes_in_pages_and_once(scene: Scene) -> None:
    count = 25_000
    await scene.stage.fill(SLOPED, [(number / 10, float(number), 0) for number in range(count)])
    found = await scene.read("raw", start=0.0, end=3600.0)
    assert found["statuses"] == [GOOD] * 3
    assert [row[1] for row in found["values"]] == list(range(count))
    back = await scene.read("raw", start=3600.0, end=-1.0, count=7000)
    assert [row[1] for row in back["values"]] == list(range(count))[::-1]
    own = await scene.foreign.do(
        "own_history", name="anybody", node=f"ns=4;s={SLOPED}", start=scene.stage.ms(0), end=scene.stage.ms(100)
    )
    assert [row[1] for row in own["values"]] == list(range(1001))  # the library asks for bounds


# --- processed


async def fill_examples(scene: Scene, folder: Path) -> dict[str, str]:
    """Store all historians; where each is. What is stepped and what is a line is with the variable."""
    places: dict[str, str] = {}
    for number, (historian, (stepped, rows)) in enumerate(tables.stored(folder).items()):
        states = any(isinstance(value, bool) for _, value, _ in rows)
        tag = f"xw1.{'states' if states else 'steps' if stepped else 'line'}{number}"
        await scene.stage.fill(tag, rows)
        await scene.stage.annotate(tag, [at for at, _, status in rows if status != tables.CODES["BadNoData"]])
        places[historian] = tag
    return places


async def test_the_published_tables_of_aggregates_hold(scene: Scene) -> None:
    folder = require_cases()
    places = await fill_examples(scene, folder)
    wrong: list[Any] = []
    count = 0
    for table in tables.tables(folder):
        configuration = {name[0].lower() + name[1:]: value for name, value in table.configuration.items()}
        found = await scene.read(
            "processed",
            places[table.historian],
            start=tables.FIRST,
            end=tables.LAST,
            interval=table.interval_ms,
            aggregates=[f"i={getattr(ua.ObjectIds, 'AggregateFunction_' + table.aggregate)}"],
            configuration=configuration,
        )
        assert len(found["values"]) == len(table.rows), (table.historian, table.aggregate, found)
        got = [tables.numbered(row) for row in found["values"]]
        differ = [pair for pair in zip(table.rows, got, strict=True) if not tables.same(*pair)]
        if len(differ) > AMBIGUOUS.get((table.historian, table.aggregate), 0):
            wrong += [(table.historian, table.aggregate, *pair) for pair in differ]
        count += 1
    assert count
    assert not wrong


async def test_the_library_s_own_way_to_aggregates_works(scene: Scene) -> None:
    await scene.stage.fill(SLOPED, [(FIVE + minute * 60, float(minute), 0) for minute in range(61)])
    start, end = scene.stage.ms(FIVE), scene.stage.ms(FIVE + 3600)
    found = await scene.foreign.do(
        "own_aggregate",
        name="anybody",
        node=f"ns=4;s={SLOPED}",
        start=start,
        end=end,
        function="TimeAverage2",
        interval=600_000,
    )
    assert found["status"] == GOOD
    assert [row[1] for row in found["values"]] == [5.0 + 10 * number for number in range(6)]


# --- at time


async def test_values_at_times_are_what_the_example_of_interpolation_says(scene: Scene) -> None:
    folder = require_cases()
    places = await fill_examples(scene, folder)
    checked = 0
    for table in tables.tables(folder):
        # Values at times follow the server's own configuration; where that makes a difference is not compared.
        if table.aggregate != "Interpolative" or table.configuration["UseSlopedExtrapolation"]:
            continue
        rows = [row for row in table.rows if row[2] & 0xFFFF0000 == 0]
        times = [scene.stage.ms(row[0]) for row in rows]
        found = await scene.read("at_time", places[table.historian], times=times)
        assert [row[0] for row in found["values"]] == [row[0] for row in rows]
        wrong = [pair for pair in zip(rows, found["values"], strict=True) if not tables.same(*pair)]
        assert not wrong, table.historian
        checked += len(rows)
    assert checked


async def test_times_are_answered_in_the_order_of_the_request(scene: Scene) -> None:
    await scene.stage.fill(SLOPED, [(FIVE, 0.0, 0), (FIVE + 60, 60.0, 0), (FIVE + 120, None, 0x80000000)])
    wanted = [FIVE + 30, FIVE, FIVE - 1, FIVE + 60]
    found = await scene.read("at_time", times=[scene.stage.ms(each) for each in wanted])
    assert [row[0] for row in found["values"]] == wanted
    assert [row[1] for row in found["values"]] == [30.0, 0.0, None, 60.0]
    assert [row[2] for row in found["values"]] == [0x402, 0, 0x809B0000, 0]


# --- what was changed, and events


async def test_what_was_changed_is_told_with_who_did_it(scene: Scene) -> None:
    tag = SPARE
    await scene.stage.fill(tag, [(FIVE, 1.0, 0)])
    await scene.stage.fill(tag, [])
    found = await scene.read("raw", tag, start=FIVE, end=FIVE + 1, modified=True)
    # The newest change first: it was deleted, and inserted before that.
    assert [row[1] for row in found["values"]] == [1.0, 1.0]
    assert [(info["userName"], info["updateType"]) for info in found["infos"]] == [("test", 4), ("test", 1)]


async def test_events_of_the_past_are_read_by_those_who_may(scene: Scene) -> None:
    found = await scene.foreign.do(
        "history_read",
        name="anybody",
        kind="events",
        node="i=2253",
        start=scene.stage.ms(0),
        end=scene.stage.ms(3 * 86_400),
        fields=["Message", "Time"],
    )
    # Logins were recorded, and an observer may not see them.
    assert found["statuses"] == [NO_DATA]
    page = await scene.stage.journal.events(None, None, limit=100)
    assert page.events
