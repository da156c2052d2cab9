"""kill -9 while recording: what was acknowledged is there after the restart."""

import random
import subprocess
import sys
from collections.abc import Callable
from pathlib import Path

import pytest

from node.clock import RealClock
from node.historian.journal import Journal
from tests.e2e.recorder import TAGS, make_image, sample

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).parent.parent.parent


def record_and_kill(path: Path, first: int, seed: int, commits: int) -> int:
    """Let a process record, kill it after it has told of some commits; the number of the first sample not promised."""
    command = [sys.executable, "-m", "tests.e2e.recorder", str(path), str(first), str(seed)]
    with subprocess.Popen(command, cwd=ROOT, stdout=subprocess.PIPE, text=True) as process:
        assert process.stdout is not None
        promised = -1
        try:
            for line in process.stdout:
                promised = int(line)
                commits -= 1
                if commits <= 0:
                    break
        finally:
            process.kill()
        # What it had printed before it died was promised too; a line that was cut was not.
        for line in process.stdout:
            if line.endswith("\n"):
                promised = int(line)
    assert process.returncode == -9
    return promised


async def recorded(path: Path) -> dict[tuple[str, int], object]:
    image = make_image(RealClock())
    journal = Journal(path, image, RealClock())
    try:
        assert await journal.flush(), journal.error
        assert not list(path.parent.glob("*.corrupt-*"))
        found: dict[tuple[str, int], object] = {}
        for tag in TAGS:
            page = await journal.raw(tag, None, None, limit=10_000_000)
            found |= {(tag, t): v for t, v in zip(page.columns.ticks, page.columns.values, strict=True)}
        assert len(journal.damage) == 0
        return found
    finally:
        await journal.stop()


async def test_every_acknowledged_sample_survives_a_kill(
    tmp_path: Path, seed: int, scaled: Callable[[int], int]
) -> None:
    rng = random.Random(seed)
    path = tmp_path / "history.db"
    promised: list[range] = []
    for _round in range(scaled(50)):
        first = promised[-1].stop + 1_000_000 if promised else 0
        stop = record_and_kill(path, first, rng.randrange(2**32), rng.randrange(1, 40))
        promised.append(range(first, max(first, stop)))
        found = await recorded(path)
        for numbers in promised:
            for number in numbers:
                tag, ticks, value = sample(number)
                assert found.get((tag, ticks)) == value, f"sample {number} of {numbers} is lost"
    assert sum(len(numbers) for numbers in promised) > 0
