"""The journal as sinks see it: portions in a durable order, and a cursor for each sink.

The order is that of sequence numbers, never of time, so that a stepped clock can neither lose nor repeat anything.
Samples may come twice (a crash between sending and moving the cursor, a block that was merged): a sink overwrites the
same (tag, time) with the same sample.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from node.historian.history import Columns

_LAST: Final = 2**63 - 1
# Bad_NoEntryExists: the status with which a sink learns of a deletion; no sample has it otherwise.
NO_ENTRY: Final = 0x80A0_0000


@dataclass(frozen=True, slots=True, order=True)
class Mark:
    """A place in the order of the journal. Frames come as (seq, LAST, LAST); blocks of one compaction share `seq`."""

    seq: int
    tag: int = _LAST
    ticks: int = _LAST


START: Final = Mark(0)


@dataclass(frozen=True, slots=True)
class Portion:
    """Samples that follow a mark. `tags[i]` is the path of sample i; `mark` is where the next portion begins."""

    mark: Mark
    tags: Sequence[str]
    samples: Columns
    deleted: Sequence[int] = ()  # positions of samples that were deleted from history: no value, status NO_ENTRY


@dataclass(frozen=True, slots=True)
class Quarantined:
    """One line that a sink will not take, kept for people."""

    id: int
    sink: str
    line: str
    reason: str
    at: int  # ticks


class Feed(Protocol):
    """The journal in order. All methods raise HistoryUnavailable; what moved or was kept is on the disk."""

    async def newest(self) -> Mark:
        """The mark behind everything that is committed."""
        ...

    async def read(self, after: Mark, *, limit: int) -> Portion | None:
        """The next portion behind `after`, about `limit` samples (at least one frame or block); None at the end."""
        ...

    async def waiting(self, after: Mark) -> tuple[int, int | None]:
        """How many samples lie behind a mark (about), and the time of the oldest of them in ticks."""
        ...

    async def cursor(self, sink: str) -> Mark:
        """Where a sink goes on; START for a new one."""
        ...

    async def move(self, sink: str, mark: Mark, known: Mark = START) -> None:
        """Everything up to `mark` is in the sink. A cursor never goes back by this.

        It does not move when it stands before `known`, where the caller believes it: somebody has set it back, and
        what lies behind it is to be sent again.
        """
        ...

    async def quarantine(self, sink: str, lines: Sequence[tuple[str, str]], mark: Mark, known: Mark = START) -> None:
        """Keep (line, reason) pairs and `move` in one commit; the oldest go when there are too many."""
        ...

    async def quarantined(self, sink: str | None = None, *, limit: int = 1000) -> list[Quarantined]:
        """Kept lines, the newest first."""
        ...

    async def release(self, sink: str, ids: Sequence[int]) -> int:
        """Forget kept lines (sent again or given up); how many there were."""
        ...
