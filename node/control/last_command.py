"""The `LastCommand` variables of a device: what was asked for last, by whom, and what came of it."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

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

    def begin(self, devices: Iterable[Device]) -> None:
        """Say of devices that nothing was asked of them yet: that is no data, not a device that does not answer."""
        slots = [
            self._image.slot(device.id, point) for device in devices for point in _POINTS if point in device.model.index
        ]
        self._image.degrade(slots, Status.BAD_NO_DATA, self._clock.now())

    def show(self, request: Request, result: CommandResult) -> None:
        """Publish one result, pending or final."""
        values: tuple[Value, ...] = (
            *(request.name, int(result.outcome), request.wanted, result.observed),
            *(result.elapsed_s * _MS_PER_S, result.reason, request.user, request.ticks),
        )
        shown = [pair for pair in zip(_POINTS, values, strict=True) if pair[0] in request.device.model.index]
        slots = [self._image.slot(request.device.id, point) for point, _ in shown]
        good = [int(Status.GOOD)] * len(shown)
        self._image.publish(Batch(slots, [value for _, value in shown], good, self._clock.now()))
