"""The `LastCommand` variables of a device: what was asked for last, by whom, and what came of it."""

from __future__ import annotations

from dataclasses import dataclass

from address_space.model import Batch, Clock, CommandResult, Device, Publisher, Status, Value

_MS_PER_S = 1000.0


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

    def show(self, request: Request, result: CommandResult) -> None:
        """Publish one result, pending or final."""
        values: dict[str, Value] = {
            "last_command_name": request.name,
            "last_command_outcome": int(result.outcome),
            "last_command_wanted": request.wanted,
            "last_command_observed": result.observed,
            "last_command_elapsed": result.elapsed_s * _MS_PER_S,
            "last_command_reason": result.reason,
            "last_command_user": request.user,
            "last_command_time": request.ticks,
        }
        known = [point for point in values if point in request.device.model.index]
        slots = [self._image.slot(request.device.id, point) for point in known]
        good = [int(Status.GOOD)] * len(known)
        self._image.publish(Batch(slots, [values[point] for point in known], good, self._clock.now()))
