"""The `LastCommand` variables of a device: what was asked for last, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from itertools import compress

from address_space.model import Batch, Clock, CommandResult, Device, Publisher, Status, Value

_MS_PER_S = 1000.0
_POINTS = tuple(
    f"last_command_{what}" for what in ("name", "outcome", "wanted", "observed", "elapsed", "reason", "user", "time")
)


@dataclass(frozen=True, slots=True)
class Request:
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
        # By device: which of the points it has, and their slots.
        self._shown: dict[str, tuple[tuple[bool, ...], tuple[int, ...]]] = {}

    def begin(self, devices: Iterable[Device]) -> None:
        """Say of devices that nothing was asked of them yet: that is no data, not a device that does not answer."""
        for device in devices:
            has = tuple(point in device.model.index for point in _POINTS)
            slots = tuple(self._image.slot(device.id, point) for point in compress(_POINTS, has))
            self._shown[device.id] = has, slots
        all_slots = [slot for _has, slots in self._shown.values() for slot in slots]
        self._image.degrade(all_slots, Status.BAD_NO_DATA, self._clock.now())

    def show(self, request: Request, result: CommandResult) -> None:
        """Publish one result, pending or final."""
        values: tuple[Value, ...] = (
            *(request.name, int(result.outcome), request.wanted, result.observed),
            *(result.elapsed_s * _MS_PER_S, result.reason, request.user, request.ticks),
        )
        has, slots = self._shown[request.device.id]
        good = (int(Status.GOOD),) * len(slots)
        self._image.publish(Batch(slots, tuple(compress(values, has)), good, self._clock.now()))
