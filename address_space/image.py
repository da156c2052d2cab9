"""The process image: the newest sample of every point, in typed slots.

The heart of the node. Values, 32-bit statuses and source times live in columns; a batch is stored and what
depends on it is marked in one pass without awaits and without an object per value. Knows no OPC UA library
and no driver.
"""

from __future__ import annotations

from array import array
from bisect import bisect_right
from collections.abc import Callable, Iterable, Iterator, Sequence
from heapq import heappop, heappush
from itertools import repeat
from math import inf
from typing import Any, Final

from address_space.model import Batch, Clock, Device, Point, Sample, Status, Value, is_bad

# Takes every batch with the positions in it whose value or status changed. Must not wait or raise.
Tap = Callable[[Batch, Sequence[int]], None]

_WAITING: Final = int(Status.BAD_WAITING_FOR_INITIAL_DATA)
_STALE: Final = int(Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE)
_LOST: Final = int(Status.BAD_COMMUNICATION_ERROR)
# Bad codes that age cannot make worse: there never was a sample, its loss is said already, or a person decided.
_SETTLED: Final = frozenset(
    {_WAITING, _LOST, int(Status.BAD_NO_COMMUNICATION), int(Status.BAD_OUT_OF_SERVICE), int(Status.BAD_NOT_SUPPORTED)}
)
# Ages are checked in steps of this many seconds; the shortest `stale_after_s` of a site is 2 s.
_GRAIN_S: Final = 0.1
# Shorter rows are stored one by one, which is as fast.
_ROW: Final = 8


class Watch:
    """A dirty list over some slots: who reads it gets each slot that was published since, once.

    Who must not miss a sample overrides `mark`, which is called whenever slots have been stored.

    The order is that of the first mark. `woken` is called when the list goes from empty to not empty. A row of slots
    that is published at once costs one mark, and slots of the same device that nobody watches here may be marked
    with it.
    """

    __slots__ = ("_dirty", "_woken", "slots")

    def __init__(self, woken: Callable[[], None] | None = None) -> None:
        self.slots: dict[int, Any] = {}  # what is watched, with what whoever watches has to remember
        self._dirty: dict[int | range, None] = {}
        self._woken = woken

    def mark(self, slots: int | range) -> None:
        """Note that a slot, or each of a row, has something new."""
        if not self._dirty and self._woken is not None:
            self._woken()
        self._dirty[slots] = None

    def take(self) -> list[int]:
        """The marked slots, oldest mark first; the list is empty afterwards."""
        if not self._dirty:
            return []
        dirty, self._dirty = self._dirty, {}
        slots = self.slots
        found: list[int] = []
        for marked in dirty:
            if isinstance(marked, int):
                if marked in slots:
                    found.append(marked)
            elif len(marked) > 2 * len(slots):
                found += [slot for slot in slots if slot in marked]
            else:
                found += [slot for slot in marked if slot in slots]
        return found if len(dirty) == 1 else list(dict.fromkeys(found))


class ProcessImage:
    """Typed slots of all points of a site.

    A device's points have consecutive slots in the order of its model, so a slot is found by arithmetic and
    a device costs one dictionary entry however many points it has.
    """

    def __init__(self, devices: Iterable[Device], clock: Clock) -> None:
        """Lay out the slots; every point waits for its first answer from now on.

        Raises ValueError when two devices have one id.
        """
        self._clock = clock
        self.devices: dict[str, Device] = {}
        self._first: dict[str, int] = {}
        self._owners: list[Device] = []
        self._bounds = array("L")
        total = 0
        for device in devices:
            if device.id in self.devices:
                raise ValueError(f"device id {device.id!r} is used twice")
            self.devices[device.id] = device
            self._first[device.id] = total
            self._owners.append(device)
            self._bounds.append(total)
            total += len(device.model.points)
        self.size = total
        self.values: list[Value | None] = [None] * total
        self.statuses = array("I", [_WAITING]) * total
        self.sources = array("q", [clock.now()]) * total
        self.arrivals = array("d", [clock.monotonic()]) * total
        self._watched = bytearray(total)
        # By the position of the device: who watches how many of its slots.
        self._watches: dict[int, dict[Watch, int]] = {}
        self._taps: list[Tap] = []
        self._ages = _Ages(self, clock.monotonic())

    # --- finding slots

    def slot(self, device_id: str, point_id: str) -> int:
        """Slot of a point; raises KeyError when the site has no such device or point."""
        return self._first[device_id] + self.devices[device_id].model.index[point_id]

    def slots(self, device_id: str) -> range:
        """All slots of a device, in the order of its model's points."""
        first = self._first[device_id]
        return range(first, first + len(self.devices[device_id].model.points))

    def owner(self, slot: int) -> tuple[Device, Point]:
        """Device and point behind a slot; raises IndexError outside the image."""
        if not 0 <= slot < self.size:
            raise IndexError(f"slot {slot} is not in an image of {self.size}")
        # A device without points shares its bound with the next one; the last of equals owns the slot.
        owner = bisect_right(self._bounds, slot) - 1
        device = self._owners[owner]
        return device, device.model.points[slot - self._bounds[owner]]

    def sample(self, slot: int) -> Sample:
        """Newest sample of a slot as an object; for the edges, not for the hot path."""
        return Sample(self.values[slot], self.statuses[slot], self.sources[slot])

    def samples(self, device_id: str, points: Sequence[str]) -> dict[str, Sample]:
        """Newest samples of points of one device."""
        first, index = self._first[device_id], self.devices[device_id].model.index
        values, statuses, sources = self.values, self.statuses, self.sources
        places = list(map(index.__getitem__, points))
        row = _row(places)
        if row is None:
            rows: Iterable[tuple[Value | None, int, int]] = [
                (values[slot], statuses[slot], sources[slot]) for slot in [first + place for place in places]
            ]
        else:
            part = slice(first + row.start, first + row.stop)
            rows = zip(values[part], statuses[part], sources[part], strict=True)
        # Each a sample of its row, without a call of Python for each of many.
        return dict(zip(points, map(tuple.__new__, repeat(Sample), rows), strict=True))

    # --- publishing

    def publish(self, batch: Batch) -> None:
        """Store a batch, mark its watchers and hand it to the taps. Never waits."""
        row = _row(batch.slots)
        changed = self._store_each(batch) if row is None else self._store_row(row, batch)
        for tap in self._taps:
            tap(batch, changed)

    def _store_each(self, batch: Batch) -> list[int]:
        values, statuses, sources, watched = self.values, self.statuses, self.sources, self._watched
        arrivals, arrived, ticks = self.arrivals, self._clock.monotonic(), batch.ticks
        changed: list[int] = []
        for position, (slot, value, status) in enumerate(zip(batch.slots, batch.values, batch.statuses, strict=True)):
            if values[slot] != value or statuses[slot] != status:
                changed.append(position)
                values[slot] = value
                statuses[slot] = status
            sources[slot] = ticks
            arrivals[slot] = arrived
            if watched[slot]:
                self._mark(slot)
        return changed

    def _store_row(self, row: range, batch: Batch) -> list[int]:
        """As `_store_each`, by whole columns."""
        first, last, count = row.start, row.stop, len(row)
        values, statuses = list(batch.values), array("I", batch.statuses)
        if not (first >= 0 and last <= self.size and len(values) == len(statuses) == count):
            raise ValueError(
                f"a batch of slots {first} to {last - 1} with {len(values)} values and {len(statuses)} statuses, "
                f"for an image of {self.size}"
            )
        changed: list[int] = []
        if self._taps:
            old = zip(self.values[first:last], values, self.statuses[first:last], statuses, strict=True)
            changed = [
                position
                for position, (value, new_value, status, new_status) in enumerate(old)
                if value != new_value or status != new_status
            ]
        self.values[first:last] = values
        self.statuses[first:last] = statuses
        self.sources[first:last] = array("q", (batch.ticks,)) * count
        self.arrivals[first:last] = array("d", (self._clock.monotonic(),)) * count
        if self._watched.find(1, first, last) >= 0:
            self._mark_row(row)
        return changed

    def _mark(self, slot: int) -> None:
        for watch in self._watches.get(bisect_right(self._bounds, slot) - 1, ()):
            watch.mark(slot)

    def _mark_row(self, row: range) -> None:
        bounds = self._bounds
        device = bisect_right(bounds, row.start) - 1
        while device < len(bounds) and bounds[device] < row.stop:
            end = bounds[device + 1] if device + 1 < len(bounds) else self.size
            part = range(max(row.start, bounds[device]), min(row.stop, end))
            for watch in self._watches.get(device, ()):
                watch.mark(part)
            device += 1

    def degrade(self, slots: Sequence[int], status: int, ticks: int) -> None:
        """Give slots a status without a new sample, decided at `ticks`.

        A Bad status takes the value away and carries the time of the decision; an Uncertain one keeps value
        and source time, so a client still sees how old the value is. History gets both at `ticks`.
        """
        bad = is_bad(status)
        moved = [slot for slot in slots if self.statuses[slot] != status]
        for slot in moved:
            self.statuses[slot] = status
            if bad:
                self.values[slot] = None
                self.sources[slot] = ticks
            if self._watched[slot]:
                self._mark(slot)
        if not moved:
            return
        batch = Batch(moved, [self.values[slot] for slot in moved], [status] * len(moved), ticks)
        for tap in self._taps:
            tap(batch, range(len(moved)))

    def age(self) -> None:
        """Apply the age rules now: Good to Uncertain past `stale_after_s`, Bad past `bad_after_s`.

        Call it every 50 ms; a call costs the slots whose check is due, not all of them.
        """
        self._ages.check(self._clock.monotonic(), self._clock.now())

    # --- who wants to know

    def watch(self, slot: int, watch: Watch, what: object = None) -> None:
        """Let `watch` be marked at every publish of a slot, and remember `what` there; twice is once."""
        if slot not in watch.slots:
            watches = self._watches.setdefault(bisect_right(self._bounds, slot) - 1, {})
            watches[watch] = watches.get(watch, 0) + 1
            self._watched[slot] = 1
        watch.slots[slot] = what

    def unwatch(self, slot: int, watch: Watch) -> None:
        """Undo `watch`; does nothing when it was not set."""
        if slot not in watch.slots:
            return
        del watch.slots[slot]
        device = bisect_right(self._bounds, slot) - 1
        watches = self._watches[device]
        watches[watch] -= 1
        if not watches[watch]:
            del watches[watch]
        if not watches:
            del self._watches[device]
        self._settle(slot)

    def drop(self, watch: Watch) -> None:
        """Undo `watch` for all slots at once."""
        for device in {bisect_right(self._bounds, slot) - 1 for slot in watch.slots}:
            watches = self._watches[device]
            del watches[watch]
            if not watches:
                del self._watches[device]
                last = self._bounds[device + 1] if device + 1 < len(self._bounds) else self.size
                first = self._bounds[device]
                self._watched[first:last] = bytes(last - first)
        watch.slots.clear()

    def _settle(self, slot: int) -> None:
        """Clear the flag of a slot that nobody wants to know of any more."""
        watches = self._watches.get(bisect_right(self._bounds, slot) - 1, ())
        if not any(slot in watch.slots for watch in watches):
            self._watched[slot] = 0

    def tap(self, tap: Tap) -> None:
        """Let `tap` see every batch from now on."""
        self._taps.append(tap)

    def __iter__(self) -> Iterator[tuple[Device, Point, int]]:
        """All points with device and slot, in slot order."""
        for device, first in zip(self._owners, self._bounds, strict=True):
            for position, point in enumerate(device.model.points):
                yield device, point, first + position


def _row(slots: Sequence[int]) -> range | None:
    """The slots as a row without gaps, when they are one that is long enough to matter."""
    count = len(slots)
    if count < _ROW:
        return None
    if isinstance(slots, range):
        return slots if slots.step == 1 else None
    first = slots[0]
    row = range(first, first + count)
    return row if slots[-1] == row[-1] and list(slots) == list(row) else None


class _Ages:
    """A wheel of due checks: each slot is looked at about once per `stale_after_s`, and publishing pays nothing.

    Ages are measured from the arrival of a sample on the monotonic clock, so that a step of the wall clock
    makes nothing stale and keeps nothing fresh.
    """

    __slots__ = ("_buckets", "_due", "_image", "_kinds", "_limits")

    def __init__(self, image: ProcessImage, now: float) -> None:
        self._image = image
        # A site has a handful of different limits, so a slot keeps only a small number; 0 never ages.
        self._limits: list[tuple[float, float]] = [(inf, inf)]
        self._kinds = array("H", [0]) * image.size
        self._buckets: dict[int, list[int]] = {}
        self._due: list[int] = []
        known: dict[tuple[float, float], int] = {}
        for _device, point, slot in image:
            if point.stale_after_s is None or point.bad_after_s is None:
                continue
            limits = (point.stale_after_s, point.bad_after_s)
            if limits not in known:
                known[limits] = len(self._limits)
                self._limits.append(limits)
            self._kinds[slot] = known[limits]
            self._put(slot, int((now + limits[0]) / _GRAIN_S))

    def _put(self, slot: int, bucket: int) -> None:
        waiting = self._buckets.get(bucket)
        if waiting is None:
            self._buckets[bucket] = [slot]
            heappush(self._due, bucket)
        else:
            waiting.append(slot)

    def check(self, now: float, ticks: int) -> None:
        """Degrade what is too old at `now` (seconds, monotonic); `ticks` is the wall time of that decision."""
        statuses, arrivals = self._image.statuses, self._image.arrivals
        stale_slots: list[int] = []
        lost_slots: list[int] = []
        current = int(now / _GRAIN_S)
        while self._due and self._due[0] <= current:
            for slot in self._buckets.pop(heappop(self._due)):
                stale, bad = self._limits[self._kinds[slot]]
                status = statuses[slot]
                # A grain early, never late: no point is shown Good past its limit.
                age = now + _GRAIN_S - arrivals[slot]
                # Whatever arrives from now on is stale at now + stale at the earliest.
                due = now + stale
                if status in _SETTLED:
                    pass
                elif age >= bad:
                    lost_slots.append(slot)
                else:
                    due = min(due, arrivals[slot] + bad)
                    if is_bad(status) or status == _STALE:
                        pass
                    elif age >= stale:
                        stale_slots.append(slot)
                    else:
                        due = arrivals[slot] + stale
                self._put(slot, max(int(due / _GRAIN_S), current + 1))
        if stale_slots:
            self._image.degrade(stale_slots, _STALE, ticks)
        if lost_slots:
            self._image.degrade(lost_slots, _LOST, ticks)
