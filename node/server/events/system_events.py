"""Events of what goes wrong in the plant's connections, the journal and the sinks, and of what is well again.

Bus tasks, journal and forwarders publish their state as points; here a change for the worse or the better of such a
point becomes an event of its device: DeviceFailureEventType for what stopped working, SystemEventType for the rest
(OPC 10000-5 sections 6.4.30 and 6.4.31).
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from asyncua import ua

from address_space.image import ProcessImage, Watch
from address_space.model import Clock, Device, is_bad
from address_space.shape import NS_SITE, node_id
from node.server.events.event import Event
from node.server.events.events import Events

# A second gathers what happens at once; a count that grows all the time is told once a minute.
LOOK_S: Final = 1.0
REPEAT_S: Final = 60.0

FAILURE: Final = node_id(ua.ObjectIds.DeviceFailureEventType)
SYSTEM: Final = node_id(ua.ObjectIds.SystemEventType)
# Severities, 1 to 1000 (OPC 10000-5 section 6.4.2): an operator must act, should look, may know.
_ACT: Final = 800
_LOOK: Final = 500
_KNOW: Final = 100


@dataclass(frozen=True, slots=True)
class _States:
    """A point of a state: which states are trouble, and how bad, and which say that it is over."""

    troubles: Mapping[int, int]  # severity by state
    well: frozenset[int]


@dataclass(frozen=True, slots=True)
class _Grows:
    """A point that counts trouble; every growth is worth an event."""

    severity: int


# By point id; the codes are those of the enumerations in address_space/system.py.
_RULES: Final[Mapping[str, _States | _Grows]] = {
    "connection": _States({3: _ACT}, frozenset({1})),
    "journal_state": _States({2: _ACT}, frozenset({1})),
    "sink_state": _States({3: _LOOK, 4: _ACT, 5: _ACT, 6: _LOOK}, frozenset({1, 2})),
    "journal_lost": _Grows(_ACT),
    "journal_events_lost": _Grows(_ACT),
    "journal_damaged": _Grows(_ACT),
    "quarantined": _Grows(_LOOK),
    "lost": _Grows(_ACT),
    "clock_steps": _Grows(_LOOK),
}
# Points which hold the reason, in words.
_REASONS: Final = ("journal_error", "last_error")


@dataclass(slots=True)
class _Watched:
    """One point and what was told of it last."""

    device: Device
    rule: _States | _Grows
    label: str
    names: Mapping[int, str]
    reason: int | None  # slot of the words
    trouble: int | None = None  # the state that was told and is not over
    count: float = 0
    told_s: float = field(default=-REPEAT_S)


class SystemEvents:
    """Watches the states that gridnode publishes about itself; `run` tells events as long as the server lives."""

    def __init__(self, image: ProcessImage, events: Events, clock: Clock) -> None:
        """What is so already counts as known: only what changes from now on is told."""
        self._image = image
        self._events = events
        self._clock = clock
        self._watch = Watch()
        self._late: set[int] = set()  # slots of counts that grew too soon after an event
        self._points: dict[int, _Watched] = {}
        for device, point, slot in image:
            rule = _RULES.get(point.id) if point.from_class else None
            if rule is None:
                continue
            names = {} if point.enumeration is None else {m.code: m.name for m in point.enumeration.members}
            self._points[slot] = _Watched(device, rule, point.label, names, self._reason_slot(device))
            image.watch(slot, self._watch)
            self._note(slot)

    def _reason_slot(self, device: Device) -> int | None:
        ids = {point.id for point in device.model.points}
        return next((self._image.slot(device.id, each) for each in _REASONS if each in ids), None)

    def _note(self, slot: int) -> None:
        watched, value = self._points[slot], self._value(slot)
        if isinstance(watched.rule, _Grows):
            watched.count = max(value, 0.0)
        elif value in watched.rule.troubles:
            watched.trouble = int(value)

    def _value(self, slot: int) -> float:
        sample = self._image.sample(slot)
        known = isinstance(sample.value, int | float) and not is_bad(sample.status)
        return float(sample.value or 0) if known else -1.0

    async def run(self) -> None:
        """Look every second until cancelled."""
        try:
            while True:
                await self._clock.sleep(LOOK_S)
                self.look()
        finally:
            self._image.drop(self._watch)

    def look(self) -> None:
        """Tell what has changed since the last look."""
        now = self._clock.monotonic()
        late, self._late = self._late, set()
        for slot in dict.fromkeys([*self._watch.take(), *late]):
            watched = self._points.get(slot)
            if watched is not None:
                self._look_at(slot, watched, self._value(slot), now)

    def _look_at(self, slot: int, watched: _Watched, value: float, now: float) -> None:
        rule = watched.rule
        if isinstance(rule, _Grows):
            grown = value - watched.count
            if grown > 0 and now - watched.told_s < REPEAT_S:
                self._late.add(slot)
            elif grown > 0:
                watched.count, watched.told_s = value, now
                self._tell(slot, watched, SYSTEM, rule.severity, f"{grown:g} more, {value:g} since the start")
        elif value in rule.troubles and value != watched.trouble:
            watched.trouble = int(value)
            self._tell(slot, watched, FAILURE, rule.troubles[int(value)], watched.names.get(int(value), f"{value:g}"))
        elif value in rule.well and watched.trouble is not None:
            watched.trouble = None
            self._tell(slot, watched, SYSTEM, _KNOW, watched.names.get(int(value), f"{value:g}"))

    def _tell(self, slot: int, watched: _Watched, event_type: ua.NodeId, severity: int, what: str) -> None:
        if not self._events.heard:
            return
        device = watched.device
        name = device.label or device.id
        reason = ""
        if severity > _KNOW and watched.reason is not None:
            reason = str(self._image.sample(watched.reason).value or "")
        message = f"{name}: {watched.label}: {what}" + (f" ({reason})" if reason else "")
        event: Event = self._events.make(
            event_type,
            message,
            source=node_id(device.id, NS_SITE),
            source_name=name,
            severity=severity,
            ticks=self._image.sample(slot).ticks,
        )
        self._events.tell(event)
