"""The `LastCommand` variables of a device: what was asked for last, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from itertools import compress
from typing import NamedTuple

from address_space.model import Batch, Clock, CommandResult, Device, Publisher, Status, Value

_MS_PER_S = 1000.0
_GOOD = int(Status.GOOD)
_POINTS = tuple(
    f"last_command_{what}" for what in ("name", "outcome", "wanted", "observed", "elapsed", "reason", "user", "time")
)
_ALL_GOOD = (_GOOD,) * len(_POINTS)


class Request(NamedTuple):
    """One call or write as it was asked for."""

    device: Device
    name: str  # command id, or "write <point>"
    wanted: str  # effect that proves it, as text
    user: str
    ticks: int  # when it was asked for


class LastCommand:
    """Publishes results to the points of the device; a model without these points shows nothing."""

    def __init__(self, image: Publisher, clock: Clock) -> None:
        self._image = image
        self._clock = clock
        # By device: which of the points it has (None when it has all), their slots and their statuses.
        self._shown: dict[str, tuple[tuple[bool, ...] | None, Sequence[int], tuple[int, ...]]] = {}

    def begin(self, devices: Iterable[Device]) -> None:
        """Say of devices that nothing was asked of them yet: that is no data, not a device that does not answer."""
        for device in devices:
            has = tuple(point in device.model.index for point in _POINTS)
            slots = [self._image.slot(device.id, point) for point in compress(_POINTS, has)]
            row = range(slots[0], slots[0] + len(slots)) if slots else range(0)
            # As a row when they are one, which is published with less work.
            good = _ALL_GOOD if all(has) else (_GOOD,) * len(slots)
            self._shown[device.id] = None if all(has) else has, (row if slots == list(row) else slots), good
        all_slots = [slot for _has, slots, _good in self._shown.values() for slot in slots]
        self._image.degrade(all_slots, Status.BAD_NO_DATA, self._clock.now())

    def show(self, request: Request, result: CommandResult) -> None:
        """Publish one result, pending or final."""
        device, name, wanted, user, ticks = request
        outcome, _status, observed, elapsed_s, reason, _inputs = result
        values: tuple[Value, ...] = (name, int(outcome), wanted, observed, elapsed_s * _MS_PER_S, reason, user, ticks)
        has, slots, good = self._shown[device.id]
        if has is not None:
            values = tuple(compress(values, has))
        self._image.publish(Batch(slots, values, good, self._clock.now()))
