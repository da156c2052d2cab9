"""The table says what holds, and never that something holds which was not compared."""

from typing import Any

from benchmarks.measure import JOBS, STARTS
from benchmarks.rows import ROWS, broken, table
from benchmarks.servers import NODE, OURS, PLAIN


def windows(work: float, cpu_s: float = 1.0) -> dict[str, Any]:
    row = {"work": work, "notifications": work, "server_cpu_s": cpu_s, "client_cpu_s": 0.1, "seconds": 2.0}
    return {"windows": [{**row, "p50_us": 1.0, "p99_us": 2.0, "max_us": 3.0, "requests": 1}] * 3}


def results(job: str, ours: float, node: float | None, plain: float | None) -> dict[str, dict[str, dict[str, Any]]]:
    figures = {OURS: ours, NODE: node, PLAIN: plain}
    return {server: {job: windows(work)} for server, work in figures.items() if work is not None}


def line(text: str, label: str) -> list[str]:
    return next([cell.strip() for cell in row.split("|")] for row in text.splitlines() if row.startswith(f"| {label}"))


def test_every_row_has_its_job() -> None:
    assert {row.job for row in ROWS} == {*JOBS, *STARTS}


def test_ratio_that_is_reached_holds() -> None:
    found = results("reads", ours=4_000, node=1_000, plain=900)
    assert broken(found) == []
    assert line(table(found), "Read of 100")[7] == "must, 4.00x node-opcua"


def test_aim_is_told() -> None:
    assert line(table(results("calls", 3_100, 1_000, None)), "Call")[7] == "aim, 3.10x node-opcua"


def test_ratio_that_is_missed_is_said() -> None:
    found = results("notifications", ours=3_000, node=1_000, plain=200)
    assert line(table(found), "notifications")[7].startswith("NO, 3.00x node-opcua")
    assert [text.partition(":")[0] for text in broken(found)] == ["DOES NOT HOLD (20x plain asyncua)"]


def test_peer_that_did_not_run_is_said() -> None:
    found = results("reads", ours=4_000, node=None, plain=1_000)
    assert line(table(found), "Read of 100")[7] == "not compared"
    assert broken(found)[0].startswith("NOT COMPARED with node-opcua")


def test_less_is_better_where_it_is() -> None:
    found = {OURS: {"connects": {"bytes": 600.0}}}
    assert [text.partition(":")[0] for text in broken(found)] == ["DOES NOT HOLD (at most 0.5)"]
    assert broken({OURS: {"connects": {"bytes": 500.0}}}) == []


def test_encrypted_is_compared_with_peers_on_none() -> None:
    found = results("notifications", ours=9_000, node=1_000, plain=100)
    found[OURS]["encrypted"] = windows(2_000)
    assert any("2.5x node-opcua" in text for text in broken(found))
    found[OURS]["encrypted"] = windows(2_500)
    assert broken(found) == []


def test_rows_that_were_not_run_are_left_out() -> None:
    assert len(table(results("writes", 1.0, 1.0, 1.0)).splitlines()) == 2 + 3
