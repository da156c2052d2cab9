"""How the journal does, as points of the node's own device and in the log."""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import Final

from address_space.model import Batch, Clock, Publisher, Status, Value

_LOG = logging.getLogger(__name__)

NODE_ID: Final = "node"
_POINTS: Final = ("journal_state", "journal_error", "journal_samples", "journal_lost")


class JournalState(IntEnum):
    """Whether history is recorded; the codes are those of the point."""

    OFF = 0  # the site file switches the journal off
    RECORDING = 1  # what was committed last is on the disk
    FAILING = 2  # the last commit failed; samples wait in memory and it is tried again


class Report:
    """Publishes state, error, and counts of the journal, and logs when the state changes."""

    def __init__(self, publisher: Publisher, clock: Clock) -> None:
        """Raises KeyError when the site has no device `node` with the points of the journal."""
        self._publisher = publisher
        self._clock = clock
        self._slots = [publisher.slot(NODE_ID, point) for point in _POINTS]
        self._shown: tuple[Value, ...] = ()
        self.state = JournalState.OFF
        self.error = ""

    def failed(self, error: str, samples: int, lost: int) -> None:
        """The journal cannot write now; the first time is a warning."""
        level = logging.DEBUG if self.state is JournalState.FAILING else logging.WARNING
        _LOG.log(level, "history is not written, live data and control go on: %s", error)
        self._show(JournalState.FAILING, error, samples, lost)

    def recorded(self, samples: int, lost: int) -> None:
        """Everything that was due is on the disk."""
        if self.state is JournalState.FAILING:
            _LOG.info("history is written again; %d samples were lost since the start", lost)
        self._show(JournalState.RECORDING, "", samples, lost)

    def _show(self, state: JournalState, error: str, samples: int, lost: int) -> None:
        self.state, self.error = state, error
        values: tuple[Value, ...] = (int(state), error, samples, lost)
        if values != self._shown:
            self._shown = values
            self._publisher.publish(Batch(self._slots, values, [Status.GOOD] * len(values), self._clock.now()))
