"""Whether a unit answers, and when a silent one is asked again. Pure: no I/O, no clock.

| state | answer | no answer | gateway says dead (exceptions 10, 11) or channel down | not the described device |
|---|---|---|---|---|
| Unknown, Online, Suspect | Online | Suspect, the third in a row Offline | Offline | OutOfService |
| Offline | Online | Offline, longer pause | Offline, longer pause | OutOfService |
| OutOfService | OutOfService until the check passes: Online | OutOfService | OutOfService | OutOfService |
"""

from __future__ import annotations

import random
from enum import IntEnum
from typing import Final

# Failures in a row after which a unit is only probed.
OFFLINE_AFTER: Final = 3
# Pauses vary by this part, so that units that died together are not probed together for ever.
_JITTER: Final = 0.2


class ConnectionState(IntEnum):
    """Codes of the `connection` points."""

    UNKNOWN = 0  # not asked yet
    ONLINE = 1  # the last request was answered
    SUSPECT = 2  # one or two requests in a row went unanswered; asked at its ordinary rate
    OFFLINE = 3  # given up for now; only probes go out
    OUT_OF_SERVICE = 4  # answers, and is not what the profile describes; checked again rarely


class BackOff:
    """Pauses that double from `first_s` to `longest_s`, with jitter out of a seed."""

    def __init__(self, first_s: float, longest_s: float, seed: str) -> None:
        self._first_s = first_s
        self._longest_s = longest_s
        self._random = random.Random(seed)  # noqa: S311  # spreads probes, keeps no secret
        self._next_s = first_s

    def pause_s(self) -> float:
        """The pause to make now; the next one is twice as long."""
        pause_s, self._next_s = self._next_s, min(2 * self._next_s, self._longest_s)
        return min(self._longest_s, pause_s * self._random.uniform(1 - _JITTER, 1 + _JITTER))

    def reset(self) -> None:
        """Begin with the shortest pause again."""
        self._next_s = self._first_s


class Health:
    """State of one unit. The methods are its transitions; each returns True when the state changed."""

    def __init__(self, back_off: BackOff, recheck_s: float) -> None:
        self._back_off = back_off
        self._recheck_s = recheck_s
        self.state = ConnectionState.UNKNOWN
        self.failures = 0  # in a row
        self.reached = False  # it answered at least once
        self.retry_at = 0.0  # when it may be asked again, while Offline or OutOfService
        self.urgent = False  # the channel just came back, so most units will answer

    @property
    def is_polled(self) -> bool:
        """True while ordinary requests go out."""
        return self.state < ConnectionState.OFFLINE

    def answered(self) -> bool:
        """An answer came, whatever it says."""
        self.failures = 0
        self.reached = True
        if self.state is ConnectionState.OUT_OF_SERVICE:
            return False
        self._back_off.reset()
        return self._become(ConnectionState.ONLINE)

    def failed(self, now: float, *, fatal: bool = False) -> bool:
        """A request went unanswered; `fatal` when somebody who knows says that the unit is away."""
        self.failures += 1
        self.urgent = False
        if self.state is ConnectionState.OUT_OF_SERVICE:
            self.retry_at = now + self._recheck_s
            return False
        if fatal or self.failures >= OFFLINE_AFTER or self.state is ConnectionState.OFFLINE:
            self.retry_at = now + self._back_off.pause_s()
            return self._become(ConnectionState.OFFLINE)
        return self._become(ConnectionState.SUSPECT)

    def mismatched(self, now: float) -> bool:
        """What answers is not the device that the profile describes."""
        self.retry_at = now + self._recheck_s
        return self._become(ConnectionState.OUT_OF_SERVICE)

    def matched(self) -> bool:
        """The identification holds."""
        self.failures = 0
        self.reached = True
        self._back_off.reset()
        return self._become(ConnectionState.ONLINE)

    def channel_lost(self) -> bool:
        """The channel is down and could not be opened again."""
        if self.state is ConnectionState.OUT_OF_SERVICE:
            return False
        return self._become(ConnectionState.OFFLINE)

    def channel_back(self, now: float) -> None:
        """The channel is open (again): a unit that was given up may be asked at once."""
        if not self.is_polled:
            self.retry_at = now
            self.urgent = True

    def _become(self, state: ConnectionState) -> bool:
        changed = state is not self.state
        if state is ConnectionState.ONLINE:
            self.urgent = False
        self.state = state
        return changed
