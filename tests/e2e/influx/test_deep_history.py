"""History that the journal no longer has comes from the database, and what cannot be read is said to be so."""

from array import array
from dataclasses import replace
from pathlib import Path

import pytest

from address_space.model import Value
from node.historian.history import Columns, Page, Position, Seeks
from node.sinks import deep_history
from node.sinks.base import ClosingHistory
from node.sinks.influx_config import InfluxConfig
from tests.e2e.influx import facade as fault
from tests.e2e.influx.facade import Facade
from tests.e2e.influx.scene import FIRST, STEP, Scene, as_sent, forwarding

pytestmark = pytest.mark.e2e

TAG = "xw1.energy"
NO_COMMUNICATION = 0x8031_0000
Row = tuple[int, Value | None, int]


def rows(columns: Columns) -> list[Row]:
    return list(zip(columns.ticks, columns.values, columns.statuses, strict=True))


class Newer(Seeks):
    """The journal, as if it had lost what is older than a time."""

    def __init__(self, scene: Scene, begin: int) -> None:
        self._journal = scene.journal
        self._begin = begin

    async def raw(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> Page:
        page = await self._journal.raw(tag, start, end, limit=1_000_000, reverse=reverse, after=after)
        kept = [row for row in rows(page.columns) if row[0] >= self._begin]
        part = kept[:limit]
        columns = Columns(array("q", [r[0] for r in part]), [r[1] for r in part], array("I", [r[2] for r in part]))
        return Page(columns, Position(part[-1][0]) if len(kept) > limit else None)


async def whole(
    history: ClosingHistory, start: int | None, end: int | None, limit: int, *, reverse: bool = False
) -> list[Row]:
    found: list[Row] = []
    after: Position | None = None
    for _ in range(1000):
        page = await history.raw(TAG, start, end, limit=limit, reverse=reverse, after=after)
        assert len(page.columns) <= limit
        found += rows(page.columns)
        if page.next is None:
            return found
        after = page.next
    raise AssertionError("the pages do not end")


async def recorded(scene: Scene) -> list[Row]:
    """100 samples in journal and database; what they look like out of the database."""
    values: list[tuple[Value | None, int]] = [
        (number if number % 10 else 2**64 - 1 - number, 0) if number % 7 else (None, 0x8005_0000)
        for number in range(1, 101)
    ]
    for value, status in values:
        scene.record(TAG, value, status)
    await scene.journal.flush()
    await scene.caught_up()
    return [(FIRST + n * STEP, *as_sent(*sample)) for n, sample in enumerate(values, 1)]


@pytest.mark.parametrize("begin", [0, 1, 50, 100, 101])
@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_both_parts_are_one_history(
    begin: int, limit: int, tmp_path: Path, config: InfluxConfig, site: str
) -> None:
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        expected = await recorded(scene)
        deep = deep_history(Newer(scene, FIRST + begin * STEP), config, site)
        try:
            for start, end in ((None, None), (20, 80), (49, 51), (60, 70), (10, 20), (None, 50), (50, None)):
                low = None if start is None else FIRST + start * STEP
                high = None if end is None else FIRST + end * STEP
                part = [r for r in expected if (low is None or r[0] >= low) and (high is None or r[0] < high)]
                assert await whole(deep, low, high, limit) == part
                back = [r for r in expected if (low is None or r[0] > low) and (high is None or r[0] <= high)]
                assert await whole(deep, high, low, limit, reverse=True) == back[::-1]
            assert await deep.start_of_archive(TAG) == FIRST + STEP
            assert rows(await deep.at_or_before(TAG, FIRST + 30 * STEP)) == [expected[29]]
            assert rows(await deep.before(TAG, FIRST + 30 * STEP)) == [expected[28]]
            assert rows(await deep.at_or_after(TAG, FIRST + 30 * STEP + 1)) == [expected[30]]
            assert rows(await deep.after(TAG, FIRST + 100 * STEP)) == []
            assert rows(await deep.before(TAG, FIRST + STEP)) == []
        finally:
            await deep.close()


@pytest.mark.parametrize("limit", [1, 7, 1000])
async def test_a_part_that_cannot_be_read_is_one_bad_sample_and_the_rest_is_there(
    limit: int, tmp_path: Path, facade: Facade, config: InfluxConfig, site: str
) -> None:
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        expected = await recorded(scene)
        await facade.stop()
        begin = FIRST + 50 * STEP
        deep = deep_history(Newer(scene, begin), replace(config, timeout_s=1.0), site)
        try:
            start, end = FIRST + 10 * STEP, FIRST + 90 * STEP
            bad = (start, None, NO_COMMUNICATION)
            assert await whole(deep, start, end, limit) == [bad, *expected[49:89]]
            bad = (begin - 1, None, NO_COMMUNICATION)
            assert await whole(deep, end, start, limit, reverse=True) == [*expected[49:90][::-1], bad]
            assert await whole(deep, None, end, limit) == [bad, *expected[49:89]]
            assert rows(await deep.at_or_before(TAG, start)) == [(start, None, NO_COMMUNICATION)]
            assert await whole(deep, begin, end, limit) == expected[49:89]
            assert await deep.start_of_archive(TAG) == begin
        finally:
            await deep.close()


async def test_a_token_that_is_refused_is_no_empty_history(
    tmp_path: Path, facade: Facade, config: InfluxConfig, site: str
) -> None:
    async with forwarding(tmp_path / "history.db", config, site) as scene:
        await recorded(scene)
        (tmp_path / "wrong").write_text("wrong")
        assert config.token is not None
        wrong = replace(config, token=replace(config.token, file=tmp_path / "wrong"))
        deep = deep_history(Newer(scene, FIRST + 50 * STEP), wrong, site)
        try:
            found = await whole(deep, FIRST, FIRST + 20 * STEP, 100)
            assert found == [(FIRST, None, NO_COMMUNICATION)]
        finally:
            await deep.close()
        assert facade.fault is None
        assert fault.TOKEN != "wrong"
