"""How long to wait before something that failed is tried again."""

from __future__ import annotations

from random import Random
from typing import Final

FIRST_S: Final = 1.0
LONGEST_S: Final = 60.0
# Many nodes that lost one server together must not come back together.
_JITTER: Final = 0.5
_ASKED_JITTER: Final = 0.1


class Backoff:
    """Pauses that double from 1 s to 60 s, each shortened by chance by up to half."""

    def __init__(self, random: Random) -> None:
        self._random = random
        self._next_s = FIRST_S

    def reset(self) -> None:
        """It worked: begin with the shortest pause again."""
        self._next_s = FIRST_S

    def pause_s(self, asked_s: float | None = None) -> float:
        """The next pause; never shorter than what the other side asked for."""
        pause = self._next_s * (1 - _JITTER * self._random.random())
        self._next_s = min(self._next_s * 2, LONGEST_S)
        if asked_s is None:
            return pause
        return max(pause, asked_s * (1 + _ASKED_JITTER * self._random.random()))
