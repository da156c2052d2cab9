"""What a log hears about something that fails again and again: the first time, and that it is over."""

from __future__ import annotations

import logging
from typing import Final

# What fails now and then, all day long, is complained about at most so often.
LOUD_AGAIN_S: Final = 60.0


class Complaint:
    """One thing that may fail: the first failure warns, repeats are for debugging, the return is for information."""

    def __init__(self, log: logging.Logger, name: str) -> None:
        self._log = log
        self._name = name
        self._stands = False
        self._loud_at = float("-inf")  # Clock.monotonic(): not before is it said loudly again

    def say(self, text: str, now: float) -> None:
        """It failed at `now` (Clock.monotonic())."""
        if self._stands or now < self._loud_at:
            self._log.debug("%s: %s", self._name, text)
            return
        self.insist(text)
        self._loud_at = now + LOUD_AGAIN_S

    def insist(self, text: str) -> None:
        """It got worse: said loudly whatever was said before."""
        self._log.warning("%s: %s", self._name, text)
        self._stands = True

    def over(self, text: str) -> bool:
        """It works: said, and True, when a failure was said loudly since the last time."""
        said, self._stands = self._stands, False
        if said:
            self._log.info("%s: %s", self._name, text)
        return said
