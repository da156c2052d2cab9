"""What is wrong with the node's clock: times that cannot be, and steps of the wall clock.

A node without a battery for its clock starts years back and is set when the network is there; a clock may be set by a
person at any time. Samples are recorded all the same, and whoever reads them sees that their time is doubtful.
"""

from __future__ import annotations

import logging
from datetime import UTC, datetime
from typing import Final

from address_space.model import TICKS_PER_S, Clock, Status, is_good, ticks_from_datetime

_LOG = logging.getLogger(__name__)

# No clock that was ever set says less: this program is younger.
SET_SINCE: Final = ticks_from_datetime(datetime(2024, 1, 1, tzinfo=UTC))
# A sample that is further ahead of the clock has no time that can be believed. In ticks: an hour.
AHEAD: Final = 3600 * TICKS_PER_S
# A clock that is slewed moves by milliseconds between two looks; one that is set moves by more than this.
STEP_S: Final = 5.0

# After the clock was set by more than an hour it may be wrong now as well as before: nothing is deleted by it.
TRUST_S: Final = 86_400.0


class ClockWatch:
    """Judges source times by the node's clock, and notices when that one is set."""

    def __init__(self, clock: Clock) -> None:
        self._clock = clock
        self._wall = clock.now()
        self._monotonic = clock.monotonic()
        self.doubtful = 0  # samples whose time could not be right
        self.steps = 0
        self.last_step_s = 0.0  # how far the clock was set last; negative is back
        self.stepped_at = -float("inf")  # Clock.monotonic() of the last step
        self._trusted_at = -float("inf")  # Clock.monotonic()
        self.low, self.high = SET_SINCE, self._wall + AHEAD  # what lies outside is looked at closely

    def look(self) -> bool:
        """True when the wall clock was set since the last look; call it every second."""
        before, wall, monotonic = self._wall, self._clock.now(), self._clock.monotonic()
        moved_s = self._moved_s(wall, monotonic)
        self._wall, self._monotonic = wall, monotonic
        self.high = wall + AHEAD
        if abs(moved_s) <= STEP_S:
            return False
        self.steps += 1
        self.last_step_s = moved_s
        self.stepped_at = monotonic
        if before >= SET_SINCE and abs(moved_s) * TICKS_PER_S > AHEAD:
            self._trusted_at = monotonic + TRUST_S
        way = "forward" if moved_s > 0 else "back"
        _LOG.warning("the clock of this node was set %s by %.1f s", way, abs(moved_s))
        return True

    def _moved_s(self, wall: int, monotonic: float) -> float:
        return (wall - self._wall) / TICKS_PER_S - (monotonic - self._monotonic)

    @property
    def is_trusted(self) -> bool:
        """True when what is old by the clock may be deleted for it."""
        wall, monotonic = self._clock.now(), self._clock.monotonic()
        steps = abs(self._moved_s(wall, monotonic)) > STEP_S  # and nobody has looked yet
        return wall >= SET_SINCE and monotonic >= self._trusted_at and not steps

    def is_doubtful(self, ticks: int) -> bool:
        """True for a time from before the clock was set, or too far ahead of it."""
        if ticks > self.high:
            self.high = self._clock.now() + AHEAD
        return not self.low <= ticks <= self.high

    def judged(self, status: int, ticks: int) -> int:
        """The status that a sample of this time is recorded with; a doubtful one is counted."""
        if not self.is_doubtful(ticks):
            return status
        self.doubtful += 1
        return int(Status.UNCERTAIN) if is_good(status) else status
