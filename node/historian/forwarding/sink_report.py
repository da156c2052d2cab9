"""How a sink does, as points of its own device and in the log."""

from __future__ import annotations

import logging
from enum import IntEnum
from typing import Final

from address_space.model import Batch, Clock, Publisher, Status, Value
from node.sinks.base import Answer, Misconfigured, Retry, SinkConfig

_LOG = logging.getLogger(__name__)

# So many requests without a usable answer, and the other side counts as gone.
_OFFLINE_AFTER: Final = 3


class SinkState(IntEnum):
    """What the forwarder of a sink does; the codes are those of the point."""

    STARTING = 0
    FORWARDING = 1  # it keeps up with what is recorded
    REPLAYING = 2  # it works on what has queued up
    RETRYING = 3  # the sink does not take anything now
    MISCONFIGURED = 4  # a person has to change something
    REFUSED = 5  # too many lines are refused for one reason: a person has to look
    WAITING_FOR_TIME = 6  # the clock of this machine is not set yet


# Codes of ConnectionState.
_ONLINE: Final = 1
_SUSPECT: Final = 2
_OFFLINE: Final = 3
_NEEDS_PEOPLE: Final = (SinkState.MISCONFIGURED, SinkState.REFUSED)


class SinkReport:
    """Publishes the points of one sink when they change, and logs when its state does."""

    def __init__(self, publisher: Publisher, clock: Clock, config: SinkConfig) -> None:
        """Raises KeyError when the site has no device for the sink."""
        self._publisher = publisher
        self._clock = clock
        self._sink = config.id
        self._target = config.target
        self._slots: dict[str, int] = {}
        self._shown: dict[str, Value | None] = {}
        self._failures = 0
        self.state = SinkState.STARTING
        self.sent = self.quarantined = self.lost = 0
        for point in ("connection", "sink_state", "queue_samples", "queue_age", "sent", "quarantined", "lost"):
            self._slots[point] = publisher.slot(config.id, point)
        for point in ("last_error", "last_answer", "replay_rate", "target"):
            self._slots[point] = publisher.slot(config.id, point)
        self._show(
            connection=0,
            sink_state=int(self.state),
            sent=0,
            quarantined=0,
            lost=0,
            last_error="",
            replay_rate=float(config.replay_rate or 0.0),
            target=config.target,
        )

    def heard(self, answer: Answer) -> None:
        """The sink answered, or did not."""
        if isinstance(answer, Retry):
            self._failures += 1
            connection = _OFFLINE if self._failures >= _OFFLINE_AFTER else _SUSPECT
            self._show(connection=connection)
            self.changed(SinkState.RETRYING, answer.reason)
        elif isinstance(answer, Misconfigured):
            self.changed(SinkState.MISCONFIGURED, answer.reason)
            if answer.answered:
                self._answered()
            else:
                self._show(connection=_SUSPECT)
        else:
            self._answered()

    def _answered(self) -> None:
        self._failures = 0
        self._show(connection=_ONLINE, last_answer=self._clock.now())

    def changed(self, state: SinkState, error: str = "") -> None:
        """The forwarder does something else now; `error` says why when it is none of its own."""
        if state is not self.state:
            level = logging.INFO
            if state in _NEEDS_PEOPLE:
                level = logging.ERROR
            elif state in (SinkState.RETRYING, SinkState.WAITING_FOR_TIME):
                level = logging.WARNING
            doing, why = state.name.lower().replace("_", " "), f": {error}" if error else ""
            if state in (SinkState.FORWARDING, SinkState.REPLAYING):
                doing += f" to {self._target}"
            _LOG.log(level, "sink %s is %s%s", self._sink, doing, why)
            self.state = state
        self._show(sink_state=int(state), **({"last_error": error} if error else {}))

    def delivered(self, stored: int, quarantined: int, lost: int) -> None:
        """Count what became of lines."""
        if quarantined:
            _LOG.warning("sink %s: %d lines were refused and are in quarantine", self._sink, quarantined)
        if lost:
            _LOG.warning("sink %s: %d samples are older than what it keeps and are not in it", self._sink, lost)
        self.sent += stored
        self.quarantined += quarantined
        self.lost += lost
        self._show(sent=self.sent, quarantined=self.quarantined, lost=self.lost)

    def queued(self, samples: int, age_s: float) -> None:
        """How much waits for the sink, and the age of the oldest of it."""
        self._show(queue_samples=samples, queue_age=age_s)

    def _show(self, **values: Value) -> None:
        changed = {point: value for point, value in values.items() if self._shown.get(point) != value}
        if changed:
            self._shown.update(changed)
            slots = [self._slots[point] for point in changed]
            good = [int(Status.GOOD)] * len(changed)
            self._publisher.publish(Batch(slots, list(changed.values()), good, self._clock.now()))
