"""What an engineer may change in history, and what is kept of it: the words of HistoryUpdate without OPC UA.

Nothing that was recorded is overwritten in place: a change is written like a late sample, a deletion as a mark that
hides what is there, and what was there before is kept beside it (OPC 10000-11 section 6.6.3, modified values).
"""

from __future__ import annotations

from array import array
from collections.abc import Sequence
from dataclasses import dataclass, field
from enum import IntEnum
from typing import Protocol

from node.historian.history import Columns, Position


class Change(IntEnum):
    """What is done to history; the codes of HistoryUpdateType (OPC 10000-11 section 6.6.3)."""

    INSERT = 1
    REPLACE = 2
    UPDATE = 3
    DELETE = 4


class Edited(IntEnum):
    """What became of one sample of a change."""

    INSERTED = 1
    REPLACED = 2
    DELETED = 3
    EXISTS = 4  # INSERT where there is a sample already: nothing was done
    MISSING = 5  # REPLACE or deletion where there is none: nothing was done


def _times() -> array[int]:
    return array("q")


@dataclass(frozen=True, slots=True)
class ModifiedColumns:
    """Samples as they were before a change, and who changed them when; columns of equal length.

    Of Change.INSERT it is the sample that was inserted: there was none before (OPC 10000-11 section 6.5.3.3).
    """

    columns: Columns = field(default_factory=Columns)
    at: array[int] = field(default_factory=_times)  # time of the change, ticks
    changes: list[Change] = field(default_factory=list)
    users: list[str] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class ModifiedPage:
    """One part of an answer; `next` is None exactly when nothing more lies in the interval."""

    modified: ModifiedColumns
    next: Position | None


@dataclass(frozen=True, slots=True)
class Annotation:
    """A remark of a person about a time of a tag."""

    ticks: int  # the time that it is about
    at: int  # when it was made
    user: str
    message: str


class Editor(Protocol):
    """Changes of history by tag. All methods raise HistoryUnavailable; what returned is on the disk."""

    async def write(self, tag: str, samples: Columns, change: Change, user: str) -> list[Edited]:
        """INSERT, REPLACE or UPDATE samples; one result per sample, in order."""
        ...

    async def delete(self, tag: str, start: int, end: int, user: str) -> int:
        """Delete the samples from `start` (included) to `end` (excluded); how many there were."""
        ...

    async def delete_at(self, tag: str, ticks: Sequence[int], user: str) -> list[Edited]:
        """Delete the samples of exactly these times; one result per time, in order."""
        ...

    async def delete_modified(self, tag: str, start: int, end: int) -> int:
        """Forget what was there before changes from `start` (included) to `end` (excluded); how many rows."""
        ...

    async def modified(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> ModifiedPage:
        """What was there before changes, as `History.raw` gives samples; of one time all changes, the newest first.

        All changes of one time are on one page, so that a page may hold a few more than `limit`.
        """
        ...

    async def annotate(self, tag: str, annotations: Sequence[Annotation], change: Change) -> list[Edited]:
        """INSERT, REPLACE, UPDATE or DELETE annotations (same tag, ticks, at and user is the same one)."""
        ...

    async def annotations(
        self, tag: str, start: int | None, end: int | None, *, limit: int, after: Annotation | None = None
    ) -> list[Annotation]:
        """Annotations of times from `start` (included) to `end` (excluded) in ascending order, at most `limit`."""
        ...
