"""How much history is kept, as the site file says it, and what that means on a given disk. Pure."""

from __future__ import annotations

from dataclasses import dataclass
from enum import StrEnum
from typing import Final

# Less would be a few minutes of a large site, and no room to compact it in.
MIN_BYTES: Final = 32_000_000
_MAX_DEFAULT: Final = 4_000_000_000
_FLOOR_DEFAULT: Final = 512_000_000


class WhenFull(StrEnum):
    """What goes when there is no more room."""

    KEEP_NEW = "keep_new"  # the oldest samples, those that every sink has before others
    KEEP_OLD = "keep_old"  # the new ones: recording stops until there is room, and that is said


@dataclass(frozen=True, slots=True)
class RetentionRule:
    """How much history is kept; None = by the disk it is on, and for `max_age_s` no limit."""

    max_age_s: float | None = None
    max_bytes: int | None = None
    min_free_bytes: int | None = None
    when_full: WhenFull = WhenFull.KEEP_NEW


@dataclass(frozen=True, slots=True)
class Budget:
    """Bytes that the journal may have on its disk, and that must stay free there."""

    bytes: int
    floor: int


def budget(rule: RetentionRule, *, own: int, free: int, total: int) -> Budget:
    """The rule on a partition of `total` bytes with `free` of them free, where the journal has `own` bytes already.

    What the journal has counts as free, so that a restart does not shrink it.
    """
    most = min(_MAX_DEFAULT, (own + free) // 5) if rule.max_bytes is None else rule.max_bytes
    floor = min(_FLOOR_DEFAULT, total // 10) if rule.min_free_bytes is None else rule.min_free_bytes
    return Budget(max(most, MIN_BYTES), floor)
