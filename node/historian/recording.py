"""Which samples of the image are recorded: every change, or what a point's rule makes of it.

A sample that the deadband holds back stays in memory until the next: it is recorded when the value leaves the
deadband, or when a straight line from the recorded sample before to a newer one would miss a sample that was held back
since by more than the deadband (the limits of its slope are kept, as of a door that swings). Rules by the clock take
the newest answer out of the image, in rounds over all points; a point costs no timer.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from heapq import heapify, heappop, heappush
from math import inf, isfinite
from typing import Final

from address_space.image import ProcessImage
from address_space.model import Batch, Clock, Point, PointKind, RecordingRule, Status, Value, is_bad
from drivers.profile_recording import has_deadband
from node.historian.clock_watch import ClockWatch

Put = Callable[[int, Value | None, int, int], bool]  # slot, value, status, ticks; False when it was lost

# Rules by the clock are looked at about this often at most, the node's clock at least every second.
_GRAIN_S: Final = 0.1
_LOOK_S: Final = 1.0
# So many slots are looked at in one go, a few milliseconds; then others have their turn for a moment.
_ROUND: Final = 500
_TURN_S: Final = 0.005
# After the clock was set, points that do not answer are waited for this long.
_RENEW_S: Final = 600.0

_NO, _EVERY_CHANGE, _BY_RULE = 0, 1, 2
_NOTHING: Final = 0xFFFF_FFFF  # no status that there is: nothing was recorded yet
_WAITING: Final = int(Status.BAD_WAITING_FOR_INITIAL_DATA)


def rule_of(point: Point, default: RecordingRule | None) -> RecordingRule | None:
    """The rule that a point is recorded by; None when every change is.

    The site's default is for measured numbers and counters, and its percentage needs a range; of other points it says
    only how often an unchanged answer is recorded.
    """
    if point.record is not None or default is None:
        return point.record
    if point.kind not in (PointKind.ANALOG, PointKind.COUNTER):
        return None if default.heartbeat_s is None else RecordingRule(heartbeat_s=default.heartbeat_s)
    if default.deadband and (point.range is None or not has_deadband(point)):
        return RecordingRule(default.on_change, every_s=default.every_s, heartbeat_s=default.heartbeat_s)
    return default


def deadband_of(point: Point, rule: RecordingRule) -> float:
    """Deadband in the point's unit; 0 when every change counts, infinite when none does."""
    if not rule.on_change:
        return inf
    if rule.percent and point.range is not None:
        return (point.range.high - point.range.low) * rule.deadband / 100
    return rule.deadband


class Recording:
    """The way of samples from the image to `put`; `offer` is a tap of the image."""

    def __init__(self, image: ProcessImage, clock: Clock, put: Put, default: RecordingRule | None = None) -> None:
        """Points without `historize` are left out."""
        self._image = image
        self._clock = clock
        self._put = put
        self.watch = ClockWatch(clock)
        self._kinds = bytearray(image.size)
        self._ageless = bytearray(image.size)
        self._beats: list[tuple[float, int]] = []  # when to look, slot
        self._periods: dict[int, float] = {}  # of the heartbeats, by slot
        self._rounds: list[tuple[float, int]] = []  # when to look, position in the next two
        self._round_slots: list[array[int]] = []
        self._round_s: list[float] = []
        self._renewing: list[int] = []
        bands = self._lay_out(default)
        self._ruled = array("L", bands)
        size = image.size if bands else 0  # a site without rules pays nothing for them
        self._bands = array("d", bytes(8 * size))
        for slot, band in bands.items():
            self._bands[slot] = band
        # What was recorded last: value, status, time, the image's source time, and its arrival (monotonic).
        self._values: list[Value | None] = [None] * size
        self._statuses = array("I", [_NOTHING]) * size
        self._ticks = array("q", bytes(8 * size))
        self._sources = array("q", bytes(8 * size))
        self._arrived = array("d", [clock.monotonic()]) * size
        # What is held back since, 0 = nothing, and between which slopes a line may leave the recorded sample.
        self._held: list[Value | None] = [None] * size
        self._held_ticks = array("q", bytes(8 * size))
        self._low = array("d", [-inf]) * size
        self._high = array("d", [inf]) * size
        # Up to when the value that was offered last is known to have stood.
        self._seen = image.sources[:size]

    def _lay_out(self, default: RecordingRule | None) -> dict[int, float]:
        """Fill what does not change; the deadbands of the slots that have a rule."""
        bands: dict[int, float] = {}
        every: dict[float, list[int]] = {}
        now = self._clock.monotonic()
        for _device, point, slot in self._image:
            self._ageless[slot] = point.stale_after_s is None
            rule = rule_of(point, default)
            if not point.historize:
                continue
            self._kinds[slot] = _EVERY_CHANGE if rule is None else _BY_RULE
            if rule is None:
                continue
            bands[slot] = deadband_of(point, rule)
            if rule.every_s is not None:
                every.setdefault(rule.every_s, []).append(slot)
            if rule.heartbeat_s is not None:
                self._periods[slot] = rule.heartbeat_s
                self._beats.append((now + rule.heartbeat_s, slot))
        heapify(self._beats)
        for period_s, slots in every.items():
            for start in range(0, len(slots), _ROUND):
                self._rounds.append((now + period_s, len(self._round_s)))
                self._round_slots.append(array("L", slots[start : start + _ROUND]))
                self._round_s.append(period_s)
        heapify(self._rounds)
        return bands

    # --- changes

    def offer(self, batch: Batch, changed: Sequence[int]) -> None:
        """Record the changed samples of historized points, or hold them back. Never waits, never raises for a value."""
        slots, values, statuses, ticks = batch.slots, batch.values, batch.statuses, batch.ticks
        kinds, put, watch = self._kinds, self._put, self.watch
        if not watch.low <= ticks <= watch.high and watch.is_doubtful(ticks):
            statuses = list(statuses)
            for position in changed:
                if kinds[slots[position]]:
                    statuses[position] = watch.judged(statuses[position], ticks)
        for position in changed:
            slot = slots[position]
            kind = kinds[slot]
            if kind:
                if kind == _EVERY_CHANGE:
                    put(slot, values[position], statuses[position], ticks)
                else:
                    self._by_rule(slot, values[position], statuses[position], ticks)

    def _by_rule(self, slot: int, value: Value | None, status: int, ticks: int) -> None:
        band = self._bands[slot]
        if band <= 0:
            self._record(slot, value, status, ticks)
            return
        if self._statuses[slot] != _NOTHING:
            self._confirm(slot, band)
        if status == self._statuses[slot]:
            if self._is_near(slot, value, ticks, band):
                self._hold(slot, value, ticks, band)
                return
            released = self._release(slot) and status == self._statuses[slot]  # and it was not lost
            if released and self._is_near(slot, value, ticks, band):
                self._hold(slot, value, ticks, band)
                return
        else:
            self._release(slot)
        self._record(slot, value, status, ticks)

    def _is_near(self, slot: int, value: Value | None, ticks: int, band: float) -> bool:
        """True when the sample may be held back: neither the recorded value nor a line to this one misses anything."""
        if band == inf:
            return True
        base = self._values[slot]
        elapsed = ticks - self._ticks[slot]
        try:
            off = value - base  # type: ignore[operator]
            # Written so that nothing is near NaN.
            return -band <= off <= band and elapsed > 0 and self._low[slot] <= off / elapsed <= self._high[slot]
        except (TypeError, OverflowError):
            return False

    def _hold(self, slot: int, value: Value | None, ticks: int, band: float) -> None:
        self._held[slot] = value
        self._held_ticks[slot] = self._seen[slot] = ticks
        if band == inf:
            return
        off, elapsed = value - self._values[slot], ticks - self._ticks[slot]  # type: ignore[operator]
        self._low[slot] = max(self._low[slot], (off - band) / elapsed)
        self._high[slot] = min(self._high[slot], (off + band) / elapsed)

    def _confirm(self, slot: int, band: float) -> None:
        """Hold the newest answer that is known to have had the value offered last: a line must not miss it either."""
        seen, held = self._seen[slot], self._held_ticks[slot]
        if seen <= (held or self._ticks[slot]) or is_bad(self._statuses[slot]):
            return
        value = self._held[slot] if held else self._values[slot]
        self._hold(slot, value, seen, band if isinstance(value, int | float) and isfinite(value) else inf)

    def _release(self, slot: int) -> bool:
        """Record what is held back; False when there is nothing."""
        held = self._held_ticks[slot]
        if not held:
            return False
        self._note(slot, self._held[slot], self._statuses[slot], held)
        return True

    def _record(self, slot: int, value: Value | None, status: int, ticks: int) -> None:
        self._sources[slot] = self._image.sources[slot]
        self._arrived[slot] = self._image.arrivals[slot]
        self._note(slot, value, status, ticks)

    def _note(self, slot: int, value: Value | None, status: int, ticks: int) -> None:
        self._values[slot] = value
        self._statuses[slot] = status
        self._ticks[slot] = self._seen[slot] = ticks
        self._held[slot] = None
        self._held_ticks[slot] = 0
        self._low[slot], self._high[slot] = -inf, inf
        if not self._put(slot, value, status, ticks):
            self._statuses[slot] = _NOTHING  # nothing is to be measured by what history does not have

    def finish(self) -> None:
        """Record what is held back: nothing comes behind it any more."""
        self._seen = self._image.sources[: len(self._bands)]
        for slot in self._ruled:
            band = self._bands[slot]
            if band > 0 and self._statuses[slot] != _NOTHING:
                self._confirm(slot, band)
                self._release(slot)

    # --- the clock

    async def run(self) -> None:
        """Apply the rules by the clock until cancelled."""
        while True:
            await self._clock.sleep(self.tick())

    def tick(self) -> float:
        """Record what is due now; the seconds until the next call."""
        now = self._clock.monotonic()
        if self.watch.look():
            self._begin_renewal()
        if self._renewing:
            self._renew(now)
        if not self._ruled:
            return _LOOK_S
        self._seen = self._image.sources[:]
        self._sample_rounds(now)
        self._beat(now)
        due = min(queue[0][0] for queue in (self._rounds, self._beats, [(now + _LOOK_S, 0)]) if queue)
        return max(due - now, _GRAIN_S) if due > now else _TURN_S

    def _sample_rounds(self, now: float) -> None:
        done = 0
        while self._rounds and self._rounds[0][0] <= now and done < 2 * _ROUND:
            due, position = heappop(self._rounds)
            slots, period_s = self._round_slots[position], self._round_s[position]
            for slot in slots:
                self._sample(slot)
            # Keeps its pace; rounds that were missed are not made up for.
            heappush(self._rounds, (due + period_s * (1 + (now - due) // period_s), position))
            done += len(slots)

    def _beat(self, now: float) -> None:
        for _ in range(_ROUND):
            if not self._beats or self._beats[0][0] > now:
                return
            _, slot = heappop(self._beats)
            period_s = self._periods[slot]
            if self._arrived[slot] + period_s <= now:
                self._sample(slot)
            due = self._arrived[slot] + period_s
            # A device that does not answer is looked at again after a while, not at once.
            heappush(self._beats, (due if due > now else now + max(min(period_s, _LOOK_S), period_s / 20), slot))

    def _sample(self, slot: int) -> None:
        """Record the newest answer unless it is recorded already."""
        image = self._image
        if image.sources[slot] == self._sources[slot] or image.statuses[slot] == _WAITING:
            return
        ticks = image.sources[slot]
        self._record(slot, image.values[slot], self.watch.judged(image.statuses[slot], ticks), ticks)

    # --- after the clock was set

    def _begin_renewal(self) -> None:
        """Record every point again on the new time: what changes seldom would be known on the old one only."""
        image, now = self._image, self._clock.now()
        historized = [slot for slot in range(image.size) if self._kinds[slot] and image.statuses[slot] != _WAITING]
        for slot in historized:
            if self._ageless[slot]:
                self._again(slot, now)  # nobody will say it anew, and it is as true as before
        self._renewing = [slot for slot in historized if not self._ageless[slot]]

    def _renew(self, now: float) -> None:
        image, stepped_at = self._image, self.watch.stepped_at
        answered = [slot for slot in self._renewing if image.arrivals[slot] > stepped_at]
        for slot in answered[: 2 * _ROUND]:
            self._again(slot, image.sources[slot])
        if answered:
            done = set(answered[: 2 * _ROUND])
            self._renewing = [slot for slot in self._renewing if slot not in done]
        if now - stepped_at > _RENEW_S:
            self._renewing = []

    def _again(self, slot: int, ticks: int) -> None:
        value, status = self._image.values[slot], self.watch.judged(self._image.statuses[slot], ticks)
        if self._kinds[slot] == _BY_RULE:
            self._release(slot)
            self._record(slot, value, status, ticks)
        else:
            self._put(slot, value, status, ticks)
