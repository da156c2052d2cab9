"""Recording as fast as it goes, with all that is recorded in blocks at the end; and what that puts on the disk."""

from __future__ import annotations

import os
import sqlite3
import time
from array import array
from pathlib import Path
from typing import Any, Final

from benchmarks import usage
from benchmarks.history.mixed import MixedLoad
from benchmarks.history.plant import FIRST, PER_DEVICE, MovedClock, Used, make_image, running, slots, written_bytes
from benchmarks.single import summary
from node.historian.journal import Journal

# The load itself says when to commit.
_NEVER_S: Final = 1e9
_POSITIONS: Final = range(PER_DEVICE)


async def ingest(folder: Path, samples: int, tags: int, commit_s: int, *, sd_card: bool = False) -> dict[str, Any]:
    """Record `samples` of the mixed load, one commit per `commit_s` seconds of it, and compact what is left."""
    path = folder / f"ingest-{commit_s}.db"
    clock = MovedClock()
    image = make_image(tags, clock)
    journal = Journal(path, image, clock, commit_interval_s=_NEVER_S, sd_card=sd_card)
    load, places = MixedLoad(tags // PER_DEVICE, PER_DEVICE, FIRST), slots(image, tags)
    seconds = [load.second(number, places) for number in range(samples // tags)]
    took: array[float] = array("d")
    async with running(journal):
        await journal.flush()
        written, used = written_bytes(), Used()
        for number, batches in enumerate(seconds, 1):
            clock.move(1.0)
            for batch in batches:
                journal.offer(batch, _POSITIONS)
            if number % commit_s == 0:
                began = time.perf_counter()
                await journal.flush()
                took.append(time.perf_counter() - began)
        await journal.flush()
        recorded = used.figures()
        await journal.compact()
        figures = used.figures()
    # What the node records of itself comes on top.
    accepted = journal.accepted
    _all_there(journal, samples)
    commits = summary(took)
    return {
        **figures,
        "recording": recorded,
        "samples": accepted,
        "commit_p50_ms": commits.p50_us / 1000,
        "commit_p99_ms": commits.p99_us / 1000,
        "commit_max_ms": commits.max_us / 1000,
        "written": (written_bytes() - written) / accepted,
        **on_disk(path),
    }


def _all_there(journal: Journal, samples: int) -> None:
    if journal.lost or journal.acknowledged < samples:
        raise ValueError(f"{journal.acknowledged} of {samples} samples are recorded, {journal.lost} are lost")


def on_disk(path: Path) -> dict[str, float]:
    """Bytes per sample in the pages of blocks and their indexes, and of the blocks themselves."""
    connection = sqlite3.connect(path)
    try:
        (samples, payload) = connection.execute("SELECT sum(n), sum(length(data)) FROM block").fetchone()
        (pages,) = connection.execute(
            "SELECT sum(s.pgsize) FROM dbstat AS s JOIN sqlite_schema AS t ON s.name = t.name"
            " WHERE t.tbl_name = 'block' AND s.aggregate = 1"
        ).fetchone()
    finally:
        connection.close()
    return {"in_blocks": samples, "page_bytes": pages / samples, "block_bytes": payload / samples}


async def memory(folder: Path, samples: int, tags: int, warm: int) -> dict[str, Any]:
    """Resident memory while `samples` are recorded and compacted, from the moment that `warm` of them were."""
    clock = MovedClock()
    image = make_image(tags, clock)
    load, places = MixedLoad(tags // PER_DEVICE, PER_DEVICE, FIRST), slots(image, tags)
    load.second(0, places)
    pid = os.getpid()
    bare = usage.rss_bytes(pid)
    journal = Journal(folder / "memory.db", image, clock, commit_interval_s=_NEVER_S)
    warm_rss = peak = 0
    async with running(journal):
        for number in range(1, samples // tags + 1):
            clock.move(1.0)
            for batch in load.second(number, places):
                journal.offer(batch, _POSITIONS)
            await journal.flush()
            if number % 50 == 0:
                rss = usage.rss_bytes(pid)
                peak = max(peak, rss)
                if number * tags <= warm:
                    warm_rss = peak
        end = usage.rss_bytes(pid)
    _all_there(journal, samples)
    return {"bare": bare, "warm": warm_rss, "peak": peak, "end": end, "samples": journal.accepted}
