"""`gridnode journal replay` and `quarantine`: what an operator does about a sink, on the file alone."""

import json
import sqlite3
from array import array
from collections.abc import Callable
from pathlib import Path

import pytest

from node.historian.forwarding.feed import START, Portion
from node.historian.forwarding.feed_reader import LINE_CHARS
from node.historian.history import Columns
from node.sinks.line_protocol import LineEncoder
from tests.fake_clock import START as NOW
from tests.node.cli.conftest import Gridnode
from tests.node.cli.test_history import MS, POWER, journal_of

SINK = '\nsinks:\n  central: {type: influx, url: "http://127.0.0.1:1", bucket: b, token_file: influx.token}\n'
TOKEN = "very-secret-token"

Run = Callable[..., str]


def line_of(tag: str, ms: int, value: float) -> str:
    samples = Columns(array("q", [NOW + ms * MS]), [value], array("I", [0]))
    return LineEncoder("demo").encode(Portion(START, [tag], samples)).texts[0]


@pytest.fixture
def path(gridnode: Gridnode) -> Path:
    """A journal of two commits, of which `central` has taken everything and refused some."""
    folder = gridnode.site.parent
    with gridnode.site.open("a") as site:
        site.write(SINK)
    (folder / "influx.token").write_text(TOKEN)
    (folder / "influx.token").chmod(0o600)
    (folder / "state").mkdir()
    path = journal_of(folder / "state", {"xw1.ac_power": POWER, "xw2.ac_power": [(60_000, 1.0, 0), (61_000, 2.0, 0)]})
    lines = [
        (line_of("xw1.ac_power", 1000, 20.0), "HTTP 400: type conflict"),
        (line_of("xw1.ac_power", 1001, 20.0), "HTTP 400: of a sample that is gone"),
        ("'xw1.ac_power' 1 st=0x00000000 ticks=5", "the time is outside of what InfluxDB can hold"),
        (line_of("xw1.ac_power", 1000, 20.0).replace("v=", 's="' + LINE_CHARS * "x")[:LINE_CHARS], "too long\x1b[31m"),
    ]
    with sqlite3.connect(path) as journal:
        journal.execute("INSERT INTO cursor VALUES ('central', 2, ?, ?, ?)", (2**63 - 1, 2**63 - 1, NOW))
        journal.executemany(
            "INSERT INTO quarantine (sink, seq, line, reason, at) VALUES ('central', 1, ?, ?, ?)",
            [(*entry, NOW) for entry in lines],
        )
    journal.close()
    return path


@pytest.fixture
def run(gridnode: Gridnode, path: Path) -> Run:
    def run(*words: str, code: int = 0) -> str:
        output = gridnode.on_site("journal", *words, code=code).output
        assert TOKEN not in output
        return output

    return run


def waiting(run: Run) -> int:
    (sink,) = json.loads(run("stats", "--json"))["sinks"]
    assert (sink["id"], sink["configured"]) == ("central", True)
    return int(sink["waiting"])


def test_stats_count_what_is_in_quarantine_now(run: Run) -> None:
    assert "central: about 0 samples wait, 4 refused ones lie in quarantine now\n" in run("stats")
    run("quarantine", "drop", "central", "2")
    assert "3 refused ones lie in quarantine now\n" in run("stats")


def test_a_sink_is_set_back_to_a_time(run: Run) -> None:
    assert waiting(run) == 0
    said = run("replay", "central", "--from", "2026-06-30T00:01:00+00:00")
    assert "on again, about 2 samples" in said
    assert waiting(run) == 2
    assert "has not got what comes from" in run("replay", "central", "--from", "2026-06-30T00:01:00+00:00")
    assert "about 7 samples" in run("replay", "central", "--from", "2026-06-30T00:00:00+00:00")
    assert waiting(run) == 7
    assert "has nothing from" in run("replay", "central", "--from", "2026-07-01")
    assert "there is no sink 'other'; there is central" in run("replay", "other", "--last", "1h", code=1)


def test_refused_lines_are_listed_newest_first(run: Run) -> None:
    said = run("quarantine", "list")
    assert said.index("too long") < said.index("type conflict")
    assert "\x1b" not in said
    assert said.endswith("4 in quarantine\n")
    assert run("quarantine", "list", "central", "--limit", "1").endswith("4 in quarantine, 1 shown\n")
    rows = json.loads(run("quarantine", "list", "--json"))
    assert rows[-1] == {
        "id": 1, "sink": "central", "at": "2026-06-30T00:00:00.000Z", "reason": "HTTP 400: type conflict",
        "line": line_of("xw1.ac_power", 1000, 20.0),
    }  # fmt: skip
    assert "there is something of central" in run("quarantine", "list", "other", code=1)


def test_refused_samples_are_written_again_where_that_is_possible(run: Run) -> None:
    said = run("quarantine", "retry", "central", "--all")
    assert "2 stays: the journal no longer has its sample" in said
    assert "3 stays: no line can say this sample" in said
    assert "4 stays: no line can say this sample, or it is kept in part" in said
    assert said.endswith("1 of 4 are sent again\n")
    assert waiting(run) == 1
    assert "central has no line 1 in quarantine" in run("quarantine", "retry", "central", "1", code=1)
    assert "all of it is whole" in run("check")


def test_refused_lines_are_dropped_and_history_stays(run: Run) -> None:
    before = json.loads(run("stats", "--json"))["samples"]
    assert run("quarantine", "drop", "central", "2", "3") == "2 dropped\n"
    assert run("quarantine", "drop", "central", "--all") == "2 dropped\n"
    assert run("quarantine", "list") == "0 in quarantine\n"
    assert json.loads(run("stats", "--json"))["samples"] == before
