"""`gridnode history` without a node: its words, the journal's file, and the files that it writes."""

import asyncio
import csv
import json
import math
import re
import resource
import sys
from array import array
from datetime import UTC, datetime
from functools import partial
from pathlib import Path

import pyarrow.parquet
import pytest

from address_space.model import Value
from node.cli.history_output import Format, Output, give
from node.cli.history_request import HistoryRequest, requested
from node.cli.history_source import JournalSource
from node.cli.sample_file import ParquetFile, arrow, replacing
from node.client_reading import ClientError, Reading
from node.historian.file.journal_file import JournalFile
from node.historian.store.writer import Writer
from tests.fake_clock import START as NOW
from tests.node.cli.conftest import Gridnode

MS = 10_000
S = 1000 * MS
BEGIN = "2026-06-30T00:00:00+00:00"


def journal_of(state: Path, samples: dict[str, list[tuple[int, Value | None, int]]]) -> Path:
    """A journal with these samples: (ms after 2026-06-30, value, status)."""
    path = state / "history.db"
    writer = Writer(path)
    for tag, rows in samples.items():
        writer.append(
            [tag] * len(rows), array("q", [NOW + ms * MS for ms, _, _ in rows]), [v for _, v, _ in rows],
            array("I", [status for _, _, status in rows]),
        )  # fmt: skip
    writer.connection.close()
    return path


POWER: list[tuple[int, Value | None, int]] = [
    (-5000, 10.0, 0),
    (1000, 20.0, 0),
    (2000, None, 0x8031_0000),
    (3500, math.pi, 0x4095_0000),
    (9000, 40.0, 0),
]


@pytest.fixture
def at_journal(gridnode: Gridnode) -> Gridnode:
    """A site with a journal."""
    state = gridnode.site.parent / "state"
    state.mkdir()
    mixed: list[tuple[int, Value | None, int]] = [
        (0, 2**64 - 1, 0), (1, "a,\"b\"\nc", 0), (2, True, 0), (3, -7, 0), (4, math.nan, 0), (5, math.inf, 0),
    ]  # fmt: skip
    journal_of(state, {"xw1.ac_power": POWER, "xw1.mixed": mixed, "xw1.connection": [(0, 1, 0)]})
    return gridnode


def history(gridnode: Gridnode, *words: str, code: int = 0) -> str:
    return gridnode.on_site("history", *words, "--journal", code=code).output


def test_the_file_is_read_without_a_node(at_journal: Gridnode) -> None:
    said = history(at_journal, "xw1.ac_power", "--from", BEGIN, "--to", "2026-06-30T00:00:05+00:00")
    assert [line.split("  ", 1)[1].split() for line in said.splitlines()] == [
        ["10", "W", "Good", "(older;", "it", "held", "at", "the", "start)"],
        ["20", "W", "Good"],
        ["-", "BadNoCommunication"],
        ["3.141593", "W", "UncertainSubNormal"],
    ]
    assert "Online (1)  Good" in history(at_journal, "xw1.connection", "--from", BEGIN)


def test_aggregates_and_values_at_times_need_no_node(at_journal: Gridnode) -> None:
    words = ("xw1.ac_power", "--from", BEGIN, "--to", "2026-06-30T00:00:10+00:00", "--interval", "5s")
    first, second = history(at_journal, *words, "--aggregate", "count").splitlines()
    assert first.split()[2:] == ["1", "UncertainDataSubNormal,", "calculated"]
    assert second.split()[2:] == ["1", "Good,", "calculated,", "partial"]
    at = history(at_journal, "xw1.ac_power", "--at", "2026-06-30T00:00:01Z", "--at", "2026-06-29T23:59:58Z")
    assert [line.split()[2:] for line in at.splitlines()] == [["20", "W", "Good"], ["10", "W", "Good,", "interpolated"]]
    (worst,) = history(at_journal, *words[:-2], "--aggregate", "WorstQuality").splitlines()
    assert worst.split()[2] == "BadNoCommunication"


def test_patterns_name_what_the_file_has(at_journal: Gridnode) -> None:
    for words in (("xw1.*",), ("xw1",), ("xw1.connection", "*")):
        said = history(at_journal, *words, "--from", BEGIN)
        assert {line.split()[0] for line in said.splitlines()} == {"xw1.ac_power", "xw1.connection", "xw1.mixed"}, words
    assert history(at_journal, "*.connection", "xw1.connection", "--from", BEGIN).count("Online (1)") == 1
    assert "nothing that fits 'xw2.*' is recorded" in history(at_journal, "xw2.*", code=1)


def test_intervals_back_from_now_begin_at_whole_ones() -> None:
    for last in ("1h", None):
        request = requested(last, None, None, "Average", "10m", [])
        assert request.start % (600 * S) == 0
        assert request.end - request.start >= (300 if last is None else 3600) * S
        assert request.end - request.start < (900 if last is None else 4200) * S
    start, end = "2026-06-30T00:03:00+00:00", "2026-06-30T01:05:00+00:00"
    assert requested(None, start, end, "Average", "10m", []).start == NOW + 180 * S  # as it was said
    assert requested("1h", None, end, "Average", "10m", []).start == NOW
    assert requested("1h", None, end, "Average", None, []).start == NOW + 300 * S


def test_percentages_have_their_sign(at_journal: Gridnode) -> None:
    words = ("xw1.ac_power", "--from", BEGIN, "--to", "2026-06-30T00:00:10+00:00")
    assert re.search(r"  [\d.]+ %  ", history(at_journal, *words, "--aggregate", "PercentGood"))
    assert re.search(r"  [\d.]+ ms  ", history(at_journal, *words, "--aggregate", "DurationGood"))


def test_several_points_have_their_names_in_front(at_journal: Gridnode) -> None:
    lines = history(at_journal, "xw1.ac_power", "xw1.connection", "--from", BEGIN).splitlines()
    assert lines[0].startswith("xw1.ac_power    2026")
    assert lines[-1].startswith("xw1.connection  2026")


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("xw1.nothing",), 1, "has nothing of 'xw1.nothing'; it has xw1.ac_power, xw1.connection, xw1.mixed"),
        (("xw1.ac_power", "--aggregate", "Mean"), 2, "there is no aggregate 'Mean'; there is Interpolative, Average"),
        (("xw1.ac_power", "--interval", "1s"), 2, "--interval needs --aggregate"),
        (("xw1.ac_power", "--at", BEGIN, "--last", "1h"), 2, "--at stands alone"),
        (("xw1.ac_power", "-o", "x.txt"), 2, "ends with neither .csv nor .parquet"),
        (("xw1.ac_power", "--format", "parquet"), 2, "Parquet needs a file"),
        (("xw1.ac_power", "--ticks"), 2, "text goes to the terminal"),
        (("xw1.ac_power", "--url", "opc.tcp://h:1"), 2, "not both"),
        (("xw1.text", "--aggregate", "Average"), 1, "has nothing of 'xw1.text'"),
        (("xw1.mixed", "--from", BEGIN, "--aggregate", "Average"), 1, "xw1.mixed: "),
    ],
)
def test_what_does_not_fit_is_said(at_journal: Gridnode, words: tuple[str, ...], code: int, said: str) -> None:
    assert said in history(at_journal, *words, code=code)


def test_no_journal_is_said(gridnode: Gridnode) -> None:
    assert "there is no journal" in history(gridnode, "xw1.ac_power", code=1)


# --- files


def test_csv_has_utc_ticks_and_statuses_by_name_and_code(at_journal: Gridnode, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    history(at_journal, "xw1.ac_power", "xw1.mixed", "--from", BEGIN, "-o", str(file), "--ticks")
    with file.open(newline="", encoding="utf-8") as opened:
        rows = list(csv.DictReader(opened))
    assert rows[0] == {
        "point": "xw1.ac_power", "time": "2026-06-29T23:59:55.000Z", "ticks": str(NOW - 5 * S), "value": "10.0",
        "status": "Good", "code": "0x00000000",
    }  # fmt: skip
    assert [row["value"] for row in rows] == [
        "10.0", "20.0", "", "3.141592653589793", "40.0", "18446744073709551615", 'a,"b"\nc', "true", "-7", "nan", "inf",
    ]  # fmt: skip
    assert rows[3]["code"] == "0x40950000"
    assert not list(tmp_path.glob(".*part"))


def test_csv_goes_to_standard_output_too(at_journal: Gridnode) -> None:
    said = history(at_journal, "xw1.connection", "--from", BEGIN, "--format", "csv")
    assert said == "point,time,value,status,code\nxw1.connection,2026-06-30T00:00:00.000Z,1,Good,0x00000000\n"


def test_parquet_has_a_column_for_each_type(at_journal: Gridnode, tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    history(at_journal, "xw1.ac_power", "xw1.mixed", "--from", BEGIN, "-o", str(file), "--ticks")
    rows = pyarrow.parquet.read_table(file).to_pylist()
    assert rows[1] == {
        "point": "xw1.ac_power", "time": datetime(2026, 6, 30, 0, 0, 1, tzinfo=UTC), "ticks": NOW + S, "v": 20.0,
        "i": None, "b": None, "s": None, "status": "Good", "st": 0,
    }  # fmt: skip
    assert [(row["v"], row["i"], row["b"], row["s"]) for row in rows[5:9]] == [
        (None, None, None, "18446744073709551615"),
        (None, None, None, 'a,"b"\nc'),
        (None, None, True, None),
        (None, -7, None, None),
    ]
    assert math.isnan(rows[9]["v"])
    assert rows[2]["st"] == POWER[2][2]


def test_a_parquet_file_is_written_group_by_group(tmp_path: Path) -> None:
    file = tmp_path / "out.parquet"
    with ParquetFile(arrow(), file, ticks=False) as out:
        for start in range(0, 120_000, 1000):
            out.write("a.b", [Reading(float(n), 0, NOW + n * MS) for n in range(start, start + 1000)])
    assert pyarrow.parquet.ParquetFile(file).num_row_groups == 3
    assert pyarrow.parquet.read_table(file).column("v").to_pylist() == [float(n) for n in range(120_000)]


def test_a_file_that_is_there_is_kept_unless_it_may_be_replaced(at_journal: Gridnode, tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    file.write_text("dear\n")
    words = ("xw1.connection", "--from", BEGIN, "-o", str(file))
    assert "is there already" in history(at_journal, *words, code=1)
    assert file.read_text() == "dear\n"
    history(at_journal, *words, "--overwrite")
    assert "Good" in file.read_text()


@pytest.mark.parametrize("name", ["out.csv", "out.parquet"])
def test_a_file_that_cannot_be_made_is_named_before_anything_is_read(
    gridnode: Gridnode, tmp_path: Path, name: str
) -> None:
    nowhere = tmp_path / "no" / name
    said = history(gridnode, "xw1.ac_power", "-o", str(nowhere), code=1)  # there is no journal, either
    assert said == f"gridnode: {nowhere} cannot be written: there is no folder {nowhere.parent}\n"
    (tmp_path / "no").write_text("")
    said = history(gridnode, "xw1.ac_power", "-o", str(nowhere), code=1)
    assert said == f"gridnode: {nowhere} cannot be written: {nowhere.parent} is a file, not a folder\n"
    (tmp_path / name).mkdir()
    said = history(gridnode, "xw1.ac_power", "-o", str(tmp_path / name), "--overwrite", code=1)
    assert "cannot be written: it is a folder" in said


@pytest.mark.parametrize("ending", [Format.CSV, Format.PARQUET])
async def test_a_disk_that_refuses_names_the_file_that_was_asked_for(tmp_path: Path, ending: Format) -> None:
    path = journal_of(tmp_path, {"a.b": [(n, math.sin(n), 0) for n in range(30_000)]})
    file = tmp_path / f"out.{ending}"
    old = resource.getrlimit(resource.RLIMIT_FSIZE)
    with JournalFile(path) as journal:
        source = JournalSource(journal, None)
        points = await source.describe(["a.b"])
        request = HistoryRequest(NOW, NOW + 100 * S)
        resource.setrlimit(resource.RLIMIT_FSIZE, (100_000, old[1]))
        try:
            with pytest.raises(ClientError) as refused:
                await give(source, points, request, Output(ending, file, ticks=False, overwrite=False))
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, old)
    assert str(refused.value) == f"{file} cannot be written: File too large"
    assert [one.name for one in tmp_path.glob("*out*")] == []


def test_without_pyarrow_it_is_said_what_to_install(
    at_journal: Gridnode, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    for name in [name for name in sys.modules if name.partition(".")[0] == "pyarrow"]:
        monkeypatch.delitem(sys.modules, name)
    monkeypatch.setitem(sys.modules, "pyarrow", None)
    file = tmp_path / "out.parquet"
    assert "pip install 'gridnode[parquet]'" in history(at_journal, "xw1.connection", "-o", str(file), code=1)
    assert not list(tmp_path.glob("*out.parquet*"))


@pytest.mark.parametrize("ending", [Format.CSV, Format.PARQUET])
async def test_an_export_that_is_interrupted_leaves_no_file(
    at_journal: Gridnode, tmp_path: Path, ending: Format
) -> None:
    file = tmp_path / f"out.{ending}"
    stopped = asyncio.Event()

    class Slow(JournalSource):
        async def raw(self, path, start, end):  # type: ignore[no-untyped-def,override]
            async for reading in super().raw(path, start, end):
                yield reading
            stopped.set()
            await asyncio.Event().wait()

    with JournalFile(at_journal.site.parent / "state" / "history.db") as journal:
        source = Slow(journal, None)
        request = HistoryRequest(NOW, NOW + 10 * S)
        points = await source.describe(["xw1.ac_power"])
        task = asyncio.create_task(give(source, points, request, Output(ending, file, ticks=False, overwrite=False)))
        await stopped.wait()
        assert list(tmp_path.glob(".out.*.part"))
        assert not file.exists()
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not list(tmp_path.glob("*out.*"))


@pytest.mark.parametrize("words", [Format.TEXT, Format.CSV])
async def test_reading_a_file_can_be_interrupted_after_each_page(
    at_journal: Gridnode, tmp_path: Path, words: Format, capsys: pytest.CaptureFixture[str]
) -> None:
    state = tmp_path / "long"
    state.mkdir()
    path = journal_of(state, {"xw1.ac_power": [(n, float(n), 0) for n in range(50_000)]})
    output = Output(words, tmp_path / "out.csv" if words is Format.CSV else None, ticks=False, overwrite=False)
    with JournalFile(path) as journal:
        source = JournalSource(journal, None)
        points = await source.describe(["xw1.ac_power"])
        task = asyncio.create_task(give(source, points, HistoryRequest(NOW, NOW + 100 * S), output))
        await asyncio.sleep(0)
        task.cancel()
        with pytest.raises(asyncio.CancelledError):
            await task
    assert not list(tmp_path.glob("*out.*"))
    assert capsys.readouterr().out.count("\n") < 50_000


def test_a_file_comes_whole_or_not_at_all(tmp_path: Path) -> None:
    file = tmp_path / "out.csv"
    with pytest.raises(ValueError, match="in the middle"), replacing(file, overwrite=False) as part:
        part.write_text("half")
        raise ValueError("in the middle")
    assert list(tmp_path.iterdir()) == []
    file.write_text("old")
    with pytest.raises(ClientError, match="is there already"), replacing(file, overwrite=False):
        pass


# --- the journal's own commands


@pytest.fixture
def journal(at_journal: Gridnode) -> partial[str]:
    def run(*words: str, code: int = 0) -> str:
        return at_journal.on_site("journal", *words, code=code).output

    return partial(run)


def test_a_whole_journal_is_found_whole_and_a_broken_one_is_not(at_journal: Gridnode, journal: partial[str]) -> None:
    assert "3 frames, 0 blocks, 0 replaced samples, 12 samples: all of it is whole" in journal("check")
    path = at_journal.site.parent / "state" / "history.db"
    writer = Writer(path)
    writer.connection.execute("UPDATE frame SET data = x'00' WHERE seq = 2")
    writer.connection.close()
    said = journal("check", code=1)
    assert "frame 2 (" in said
    assert "1 damaged" in said
    found = json.loads(journal("check", "--json", code=1))
    assert [one["place"] for one in found["damage"]] == ["frame 2"]
    assert found["damage"][0]["from"] == "2026-06-30T00:00:00.000Z"
    assert "1 frames or blocks; `gridnode journal check`" in journal("stats")
    assert "frame 2" in at_journal("journal", "check", str(path), code=1).output


def test_stats_tell_size_times_and_the_largest_points(journal: partial[str]) -> None:
    found = json.loads(journal("stats", "--json", "--top", "1"))
    assert (found["samples"], found["points"], found["frames"]["rows"]) == (12, 3, 3)
    assert found["oldest"] == "2026-06-29T23:59:55.000Z"
    assert len(found["largest"]) == 1
    said = journal("stats")
    assert "12 of 3 points" in said
    assert "xw1.connection" in said


def test_stats_have_the_times_of_each_point_in_a_frame_of_many(gridnode: Gridnode) -> None:
    state = gridnode.site.parent / "state"
    state.mkdir()
    writer = Writer(state / "history.db")
    rows = [("a.late", 2000), ("a.early", 0), ("a.early", 1000), ("a.early", 500)]
    writer.append(
        [tag for tag, _ in rows], array("q", [NOW + ms * MS for _, ms in rows]), [1.0] * 4, array("I", [0] * 4)
    )
    writer.connection.close()
    found = json.loads(gridnode.on_site("journal", "stats", "--json").output)
    assert {one["point"]: (one["oldest"][17:], one["newest"][17:]) for one in found["largest"]} == {
        "a.early": ("00.000Z", "01.000Z"),
        "a.late": ("02.000Z", "02.000Z"),
    }
    said = gridnode.on_site("journal", "stats").output
    assert "all points, those with the most bytes first:" in said
    assert "newest sample" in said
    assert "1 of 2 points, those with" in gridnode.on_site("journal", "stats", "--top", "1").output


@pytest.mark.parametrize(
    ("words", "code", "said"),
    [
        (("replay", "central", "--last", "1h"), 1, "there is no sink 'central'; there is none"),
        (("replay", "central"), 2, "say from when on"),
        (("replay", "central", "--from", "yesterday"), 2, "'yesterday' is no time"),
        (("quarantine", "drop", "central"), 2, "name the numbers of lines, or --all"),
        (("quarantine", "retry", "central", "7"), 1, "central has no line 7 in quarantine"),
        (("quarantine", "list"), 0, "0 in quarantine"),
    ],
)
def test_what_an_operator_cannot_have_is_said(
    journal: partial[str], words: tuple[str, ...], code: int, said: str
) -> None:
    assert said in journal(*words, code=code)
