"""What a unit may still answer to requests that were given up, and how long to wait for it. Pure: no I/O, no clock.

A Modbus RTU answer does not name its request. Two rules keep a late one from passing for another: silence after
every lost request, and no request whose answer would have the size of one that may still come.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from drivers.channel import Request, Stray, Write
from drivers.spec import BusConfig

# First quiet window of a unit whose lateness nobody has seen yet.
_FIRST_QUIET_S: Final = 0.1
# How many time-outs a lost answer may be late until its size is used again.
_FORGET_TIMEOUTS: Final = 10.0
# Who asked on a line before this node did may have waited one time-out for an answer that is late by five more.
_STRANGER_TIMEOUTS: Final = 6.0
# How many lost requests are remembered; older ones are past their time anyway.
_REMEMBERED: Final = 64
_EXCEPTION: Final = 0x80


@dataclass(slots=True)
class _Lost:
    request: Request
    deadline: float
    seen: bool = False  # something like its answer came; its size is kept from use all the same
    overwritten: bool = False  # a write, and something else was written there since

    @property
    def function(self) -> int:
        return self.request.function

    @property
    def size(self) -> int:
        return self.request.size


def stranger_s(bus: BusConfig) -> float:
    """Silence on a line that was opened for the first time: what others asked for before comes within it.

    The site file's cap of quiet windows holds here too, but one time-out is always waited for.
    """
    return max(bus.timeout_s, min(bus.quiet_max_s, _STRANGER_TIMEOUTS * bus.timeout_s))


class Lateness:
    """The lost requests of one unit. Times are Clock.monotonic()."""

    def __init__(self, bus: BusConfig) -> None:
        self._timeout_s = bus.timeout_s
        self._quiet_max_s = bus.quiet_max_s
        self._lost: list[_Lost] = []
        self.longest_s = 0.0  # longest lateness seen

    def lost(self, request: Request, deadline: float) -> None:
        """Note a request that went unanswered until `deadline`."""
        self._lost.append(_Lost(request, deadline))
        del self._lost[:-_REMEMBERED]

    def came(self, stray: Stray) -> bool:
        """Match a stray with what was lost; False when nothing like it was."""
        if stray.late_s is not None:
            self.longest_s = max(self.longest_s, stray.late_s)
            return True
        function = stray.function & ~_EXCEPTION
        exception = stray.function != function
        like = [lost for lost in self._lost if lost.function == function and (exception or lost.size == stray.size)]
        matches = [lost for lost in like if not lost.seen]
        if not matches:
            return bool(like)
        # The newest that fits: a guess too early costs nothing, one too late would lengthen every silence.
        match = matches[-1]
        match.seen = True
        self.longest_s = max(self.longest_s, stray.arrived - match.deadline)
        return True

    def avoid(self, function: int, now: float) -> frozenset[int]:
        """Answer sizes that a request with `function` must not have now."""
        return frozenset(lost.size for lost in self._live(now) if lost.function == function)

    def wrote(self, write: Write) -> None:
        """Note that a write goes out: an earlier one that is still to be acknowledged may not be what counts."""
        for lost in self._lost:
            if isinstance(lost.request, Write) and _differs(lost.request, write):
                lost.overwritten = True

    def doubts(self, write: Write, now: float) -> bool:
        """True when its acknowledgement may be that of an earlier write after which the device held something else."""
        owed = [lost for lost in self._live(now) if lost.function == write.function]
        if all(lost.seen for lost in owed):
            return False
        return any(
            isinstance(lost.request, Write)
            and lost.request.echo == write.echo
            and (lost.overwritten or lost.request.words != write.words)
            for lost in owed
        )

    def owes(self, now: float) -> bool:
        """True while a lost answer may still come."""
        return any(not lost.seen for lost in self._live(now))

    def settled_at(self) -> float:
        """When the oldest lost answer is no longer waited for."""
        return min((lost.deadline for lost in self._lost), default=0.0) + self._forget_s()

    def window_s(self) -> float:
        """Silence after a lost request: twice the longest lateness seen, within the site file's cap."""
        return min(self._quiet_max_s, max(min(_FIRST_QUIET_S, self._timeout_s), 2 * self.longest_s))

    def _forget_s(self) -> float:
        return max(_FORGET_TIMEOUTS * self._timeout_s, 2 * self.longest_s)

    def _live(self, now: float) -> list[_Lost]:
        forget_s = self._forget_s()
        self._lost = [lost for lost in self._lost if now - lost.deadline < forget_s]
        return self._lost


def _differs(before: Write, after: Write) -> bool:
    """True when two writes share registers and are not the same."""
    if before.table is not after.table or (before.address, before.words) == (after.address, after.words):
        return False
    return before.address < after.address + len(after.words) and after.address < before.address + len(before.words)
