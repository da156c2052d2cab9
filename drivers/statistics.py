"""Counters of units and buses, and their publishing as points: about once a second, and only what changed."""

from __future__ import annotations

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from address_space.model import Batch, Publisher, Status, Value

# Latencies are taken over so many of the last answers.
_LATENCIES: Final = 200
# UINT32 counters roll over, as every counter of the kind does.
_ROLL_OVER: Final = 2**32


@dataclass(slots=True)
class Counters:
    """What happened on a unit or a bus since the node started."""

    requests: int = 0
    failures: int = 0  # without a usable answer, whatever the reason
    timeouts: int = 0
    rejections: int = 0
    malformed: int = 0
    late_replies: int = 0
    reconnects: int = 0
    last_error: str = ""
    last_answer: int | None = None  # ticks

    def facts(self) -> dict[str, Value]:
        """Values by point id."""
        facts: dict[str, Value] = {
            "requests": self.requests % _ROLL_OVER,
            "failures": self.failures % _ROLL_OVER,
            "timeouts": self.timeouts % _ROLL_OVER,
            "rejections": self.rejections % _ROLL_OVER,
            "malformed": self.malformed % _ROLL_OVER,
            "late_replies": self.late_replies % _ROLL_OVER,
            "reconnects": self.reconnects % _ROLL_OVER,
            "last_error": self.last_error,
        }
        if self.last_answer is not None:
            facts["last_answer"] = self.last_answer
        return facts


class Load:
    """How busy a channel is and how fast it answers."""

    def __init__(self, now: float) -> None:
        self._since = now
        self._busy_s = 0.0
        self._latencies: deque[float] = deque(maxlen=_LATENCIES)
        self._overran = False

    def used(self, seconds: float) -> None:
        """The channel could not be used otherwise for that long."""
        self._busy_s += seconds

    def answered(self, seconds: float) -> None:
        """An answer took that long."""
        self._latencies.append(seconds)

    @property
    def slowest_s(self) -> float | None:
        """Longest of the last latencies; None before the first answer."""
        return max(self._latencies, default=None)

    def overran(self) -> None:
        """A poll was left out because its successor was due already."""
        self._overran = True

    def facts(self, now: float) -> dict[str, Value]:
        """Values by point id over the time since the last call."""
        elapsed_s = now - self._since
        facts: dict[str, Value] = {"overrun": self._overran}
        if elapsed_s > 0:
            facts["utilisation"] = round(min(100.0, 100 * self._busy_s / elapsed_s), 1)
        if self._latencies:
            ordered = sorted(self._latencies)
            facts["latency_p50"] = round(1000 * ordered[len(ordered) // 2], 1)
            facts["latency_p95"] = round(1000 * ordered[min(len(ordered) - 1, len(ordered) * 95 // 100)], 1)
        self._since, self._busy_s, self._overran = now, 0.0, False
        return facts


class SystemPoints:
    """Publishes facts about a device or a bus as its system points; those that its model lacks are left out."""

    def __init__(self, publisher: Publisher, device_id: str) -> None:
        self._publisher = publisher
        self._device_id = device_id
        self._slots: dict[str, int | None] = {}
        self._shown: dict[str, Value] = {}

    def publish(self, facts: Mapping[str, Value], ticks: int) -> None:
        """Publish what is new as one batch."""
        slots: list[int] = []
        values: list[Value | None] = []
        for point, value in facts.items():
            if self._shown.get(point) == value:
                continue
            self._shown[point] = value
            slot = self._slot(point)
            if slot is not None:
                slots.append(slot)
                values.append(value)
        if slots:
            self._publisher.publish(Batch(slots, values, [int(Status.GOOD)] * len(slots), ticks))

    def _slot(self, point: str) -> int | None:
        if point not in self._slots:
            try:
                self._slots[point] = self._publisher.slot(self._device_id, point)
            except KeyError:
                self._slots[point] = None
        return self._slots[point]
