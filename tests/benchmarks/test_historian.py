"""What the benchmarks of the historian count, and that they do not count what is wrong."""

import struct
from itertools import pairwise
from pathlib import Path

import pytest

from benchmarks.__main__ import main as benchmarks_main
from benchmarks.frames import Unexpected
from benchmarks.historian import JOBS, main
from benchmarks.history.backlog import every_second, fill, into_blocks
from benchmarks.history.client import read_answer
from benchmarks.history.ingest import on_disk
from benchmarks.history.mixed import KINDS, MixedLoad
from benchmarks.history.plant import FIRST, MovedClock
from benchmarks.history.rows import ROWS
from benchmarks.rows import broken, table
from benchmarks.servers import NODE, OURS

HEAD = struct.pack("<BBHqIIBi", 1, 0, 667, 0, 1, 0, 0, -1) + b"\0\0\0"
DATA = struct.pack("<iBBd", 1, 1, 11, 2.5)


def answer(status: int = 0, token: bytes = b"next", data: bytes = DATA, results: int = 1) -> bytes:
    body = struct.pack("<BBHBi", 1, 0, 658, 1, len(data)) + data
    return HEAD + struct.pack("<iIi", results, status, len(token)) + token + body + struct.pack("<i", -1)


def test_history_answer_is_taken_apart() -> None:
    assert read_answer(answer()) == (b"next", DATA)
    assert read_answer(answer(token=b"")).token == b""


@pytest.mark.parametrize(
    "wrong",
    [
        answer(status=0x80010000),
        answer(results=2),
        answer().replace(struct.pack("<BBH", 1, 0, 658), struct.pack("<BBH", 1, 0, 661)),
        answer()[: len(HEAD) + 20],
        answer()[:-12],
    ],
)
def test_history_answer_that_is_no_data_is_not_counted(wrong: bytes) -> None:
    with pytest.raises(Unexpected):
        read_answer(wrong)


def test_mixed_load_is_the_same_every_time_and_of_five_kinds() -> None:
    places = [range(10), range(10, 20)]
    runs = []
    for _ in range(2):
        load = MixedLoad(2, 10, FIRST)
        runs.append([load.second(number, places) for number in range(50)])
    assert runs[0] == runs[1]
    ticks = [batches[0].ticks for batches in runs[0]]
    assert all(earlier < later for earlier, later in pairwise(ticks))
    assert not any(tick % 10_000 for tick in ticks)  # whole milliseconds
    rows = [batches[1].values for batches in runs[0]]
    assert all(value == round(value, 1) for row in rows for value in row[0::KINDS])
    assert all(later[2] > earlier[2] for earlier, later in pairwise(rows))


async def test_load_moves_time() -> None:
    clock = MovedClock()
    clock.move(1.5)
    assert (clock.monotonic(), clock.now()) == (1.5, FIRST + 15_000_000)


def test_bytes_are_those_of_blocks_alone(tmp_path: Path) -> None:
    path = tmp_path / "history.db"
    fill(path, ["a.b"], every_second(number / 7 for number in range(5_000)))
    into_blocks(path)
    found = on_disk(path)
    assert found["in_blocks"] == 5_000
    assert found["block_bytes"] < found["page_bytes"] < 2 * found["block_bytes"] + 3 * 4096 / 5_000


def test_row_that_is_missed_is_said() -> None:
    stall = {"turn_ms": 25.0, "max_us": 9_000.0, "p999_us": 1.0}
    found = {OURS: {"stall": {"stall": stall, "bare": stall, "stall_idle": stall}}}
    assert [text.partition(":")[0] for text in broken(found, ROWS)] == ["DOES NOT HOLD (at most 20)"]
    assert "| NO |" in table(found, ROWS, (NODE, OURS))


def test_raw_values_are_compared_with_the_peer() -> None:
    def raw(values: float) -> dict[str, dict[str, object]]:
        return {
            "raw": {"windows": [{"values": values, "server_cpu_s": 1, "client_cpu_s": 1, "seconds": 1, "median_s": 1}]}
        }

    assert broken({OURS: raw(2.0)}, ROWS)[0].startswith("NOT COMPARED")
    assert broken({OURS: raw(2.0), NODE: raw(1.0)}, ROWS)[0].startswith("DOES NOT HOLD (3x node-opcua)")
    assert broken({OURS: raw(3.0), NODE: raw(1.0)}, ROWS) == []


def test_unknown_job_is_refused(capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit):
        main(["--only", "nonsense"])
    said = capsys.readouterr().err
    assert all(name in said for name in JOBS)


def test_rows_without_a_part_are_asked_for_at_once(capsys: pytest.CaptureFixture[str]) -> None:
    assert benchmarks_main(["--only", "reads"]) == 2
    assert "opcua or historian" in capsys.readouterr().err
