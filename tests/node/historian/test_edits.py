"""What an engineer may do to history, over samples that lie in frames, in blocks, in both, or wait."""

import random
from array import array
from collections.abc import Callable, Sequence
from pathlib import Path

import pytest

from address_space.model import Value
from node.historian.editing import Annotation, Change, Edited
from node.historian.history import Columns, HistoryUnavailable, Position
from node.historian.journal import Journal
from tests.fake_clock import START, FakeClock
from tests.node.historian.plant import record, recording, rows, whole
from tests.node.historian.test_raw import Model, agree

TAG = "xw1.power"
Row = tuple[int, Value | None, int]


def samples(*given: Row) -> Columns:
    columns = Columns()
    for row in given:
        columns.append(*row)
    return columns


async def changes(
    journal: Journal, start: int | None = None, end: int | None = None, *, reverse: bool = False, limit: int = 1000
) -> list[tuple[int, Value | None, Change, str]]:
    """All modified values of an interval, in pages."""
    found: list[tuple[int, Value | None, Change, str]] = []
    after: Position | None = None
    while True:
        page = await journal.modified(TAG, start, end, limit=limit, reverse=reverse, after=after)
        old = page.modified
        found += zip(old.columns.ticks, old.columns.values, old.changes, old.users, strict=True)
        if page.next is None:
            return found
        after = page.next


@pytest.fixture(params=["waiting", "frame", "block", "mixture"])
def layout(request: pytest.FixtureRequest) -> str:
    """Where the samples are when history is changed."""
    return str(request.param)


async def lay_out(journal: Journal, layout: str, put: Sequence[Callable[[], None]]) -> None:
    """Record samples and bring them where the layout wants them."""
    for number, one in enumerate(put):
        one()
        if layout == "mixture" and number == len(put) // 2:
            await journal.flush()
            await journal.compact()
    if layout != "waiting":
        await journal.flush()
    if layout == "block":
        await journal.compact()


async def test_each_change_does_what_its_name_says(tmp_path: Path, clock: FakeClock, layout: str) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        await lay_out(journal, layout, [lambda n=n: record(image, "power", START + n, n / 2) for n in range(4)])  # type: ignore[misc]
        both = samples((START + 1, 9.0, 0), (START + 9, 8.0, 7))
        assert await journal.write(TAG, both, Change.INSERT, "eve") == [Edited.EXISTS, Edited.INSERTED]
        assert (await whole(journal, TAG))[1:] == [
            (START + 1, 0.5, 0),
            (START + 2, 1.0, 0),
            (START + 3, 1.5, 0),
            (START + 9, 8.0, 7),
        ]
        both = samples((START + 2, 5.0, 0), (START + 8, 4.0, 0))
        assert await journal.write(TAG, both, Change.REPLACE, "eve") == [Edited.REPLACED, Edited.MISSING]
        assert await journal.write(TAG, both, Change.UPDATE, "bob") == [Edited.REPLACED, Edited.INSERTED]
        assert await journal.delete_at(TAG, [START, START + 7, START], "eve") == [
            Edited.DELETED,
            Edited.MISSING,
            Edited.MISSING,
        ]
        left = [(START + 1, 0.5, 0), (START + 2, 5.0, 0), (START + 3, 1.5, 0), (START + 8, 4.0, 0), (START + 9, 8.0, 7)]
        for _compacted in range(2):
            assert await whole(journal, TAG) == left
            assert await changes(journal) == [
                (START, 0.0, Change.DELETE, "eve"),
                (START + 2, 5.0, Change.UPDATE, "bob"),
                (START + 2, 1.0, Change.REPLACE, "eve"),
                # What was inserted is told with its new value, whether by INSERT or by UPDATE.
                (START + 8, 4.0, Change.INSERT, "bob"),
                (START + 9, 8.0, Change.INSERT, "eve"),
            ]
            await journal.compact()
        assert await journal.delete(TAG, START + 2, START + 9, "eve") == 3
        assert await whole(journal, TAG) == [left[0], left[-1]]
        assert await journal.write(TAG, samples((START, 1.0, 0)), Change.INSERT, "eve") == [Edited.INSERTED]
        assert (await whole(journal, TAG))[0] == (START, 1.0, 0)
        assert rows(await journal.before(TAG, START + 9)) == [left[0]]


async def test_a_change_lasts_over_a_restart(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(3):
            record(image, "power", START + number, float(number))
        await journal.delete_at(TAG, [START + 1], "eve")
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        assert [value for _, value, _ in await whole(journal, TAG)][:2] == [0.0, 2.0]
        assert await changes(journal) == [(START + 1, 1.0, Change.DELETE, "eve")]


async def test_much_is_deleted_in_slices(tmp_path: Path, clock: FakeClock, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("node.historian.edits._SLICE", 7)
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(100):
            record(image, "power", START + number, float(number))
        assert await journal.delete(TAG, START + 10, START + 90, "eve") == 80
        assert len(await whole(journal, TAG)) == 20
        assert len(await changes(journal)) == 80
        assert await journal.delete_modified(TAG, START, START + 50) == 40
        assert len(await changes(journal)) == 40
        assert await journal.delete(TAG, START + 90, START + 10, "eve") == 0


async def test_modified_values_come_in_pages_that_part_no_time(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        for number in range(6):
            record(image, "power", START + number, float(number))
        for round_ in range(3):
            changed = samples(*((START + n, round_ + n / 10, 0) for n in range(1, 6)))
            await journal.write(TAG, changed, Change.UPDATE, "eve")
        everything = await changes(journal)
        assert len(everything) == 15
        assert [value for time, value, _, _ in everything if time == START + 3] == [1.3, 0.3, 3.0]
        for limit in (1, 2, 3, 4, 100):
            assert await changes(journal, limit=limit) == everything
            backwards = await changes(journal, reverse=True, limit=limit)
            assert sorted(backwards, key=lambda row: row[0]) == everything
            assert [row[0] for row in backwards] == [row[0] for row in everything][::-1]
        assert {row[0] for row in await changes(journal, START + 2, START + 4)} == {START + 2, START + 3}
        assert {row[0] for row in await changes(journal, START + 4, START + 2, reverse=True)} == {START + 3, START + 4}


async def test_history_that_cannot_be_written_cannot_be_changed(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "missing" / "there" / "history.db", clock) as (_image, journal):
        with pytest.raises(HistoryUnavailable):
            await journal.write(TAG, samples((START, 1.0, 0)), Change.UPDATE, "eve")


async def test_a_change_on_a_full_disk_is_refused_whole(tmp_path: Path, clock: FakeClock) -> None:
    async with recording(tmp_path / "history.db", clock) as (image, journal):
        record(image, "power", START, 1.0)
        await journal.flush()
        await journal.on_disk(lambda c: c.execute("PRAGMA max_page_count = 1").fetchall())
        many = samples(*((START + n, f"{n}" * 100, 0) for n in range(500)))
        with pytest.raises(HistoryUnavailable, match="full"):
            await journal.write(TAG, many, Change.UPDATE, "eve")
        assert await whole(journal, TAG) == [(START, 1.0, 0)]
        await journal.on_disk(lambda c: c.execute("PRAGMA max_page_count = 1000000").fetchall())
        assert len(await journal.write(TAG, many, Change.UPDATE, "eve")) == 500
        assert len(await whole(journal, TAG)) == 500


async def test_annotations_are_kept_by_time_maker_and_moment(tmp_path: Path, clock: FakeClock) -> None:
    first = Annotation(START, START + 5, "eve", "pump was off")
    second = Annotation(START, START + 6, "bob", "no")
    third = Annotation(START + 9, START + 10, "eve", "new oil")
    async with recording(tmp_path / "history.db", clock) as (_image, journal):
        given = [third, first, second]
        assert await journal.annotate(TAG, given, Change.INSERT) == [Edited.INSERTED] * 3
        assert await journal.annotate(TAG, [first], Change.INSERT) == [Edited.EXISTS]
        assert await journal.annotations(TAG, None, None, limit=10) == [first, second, third]
        assert await journal.annotations(TAG, START, START + 9, limit=1) == [first]
        assert await journal.annotations(TAG, START, None, limit=5, after=first) == [second, third]
        better = Annotation(START, START + 6, "bob", "yes")
        assert await journal.annotate(TAG, [better], Change.REPLACE) == [Edited.REPLACED]
        assert await journal.annotate(TAG, [first, first], Change.DELETE) == [Edited.DELETED, Edited.MISSING]
        assert await journal.annotate(TAG, [first], Change.REPLACE) == [Edited.MISSING]
        assert await journal.annotations(TAG, None, None, limit=10) == [better, third]
        assert await journal.annotations("xw2.power", None, None, limit=10) == []


async def test_any_changes_among_recording_and_compaction_read_as_a_dictionary_would(
    tmp_path: Path, clock: FakeClock, seed: int, scaled: Callable[[int], int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("node.historian.store.compaction.BLOCK_SAMPLES", 8)
    monkeypatch.setattr("node.historian.store.compaction._SMALL", 4)
    monkeypatch.setattr("node.historian.edits._PAGE", 3)
    rng = random.Random(seed)
    for number in range(scaled(100)):
        model: Model = {}
        async with recording(tmp_path / f"{number}.db", clock) as (image, journal):
            for step in range(60):
                what = rng.random()
                times = [START + rng.randrange(60) for _ in range(rng.randrange(1, 6))]
                if what < 0.5:
                    record(image, "power", times[0], float(step))
                    model[times[0]] = (float(step), 0)
                elif what < 0.6:
                    await journal.flush()
                elif what < 0.65:
                    await journal.compact()
                elif what < 0.75:
                    assert await journal.delete_at(TAG, times, "eve") == [
                        Edited.DELETED if model.pop(t, None) else Edited.MISSING for t in times
                    ]
                elif what < 0.8:
                    low, high = sorted([*times[:1], START + rng.randrange(60)])
                    gone = [t for t in model if low <= t < high]
                    assert await journal.delete(TAG, low, high, "eve") == len(gone)
                    for t in gone:
                        del model[t]
                else:
                    new = Columns(
                        array("q", times), [float(-step - n) for n in range(len(times))], array("I", [1] * len(times))
                    )
                    change = rng.choice([Change.INSERT, Change.REPLACE, Change.UPDATE])
                    for t, result, value in zip(
                        times, await journal.write(TAG, new, change, "eve"), new.values, strict=True
                    ):
                        there = t in model
                        if there:
                            assert result is (Edited.EXISTS if change is Change.INSERT else Edited.REPLACED)
                        else:
                            assert result is (Edited.MISSING if change is Change.REPLACE else Edited.INSERTED)
                        if there != (change is Change.INSERT) or change is Change.UPDATE:
                            model[t] = (value, 1)
                if model and rng.random() < 0.2:
                    await agree(journal, model, rng, 2)
            if model:
                await agree(journal, model, rng, 5)
