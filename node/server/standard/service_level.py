"""How well the node can do its work now, as one number for clients: the health of the polling.

OPC 10000-4 section 6.6.2.4.2 gives the ranges: 0 maintenance, 1 no data, 2 to 199 degraded, 200 to 255 healthy.
"""

from __future__ import annotations

from typing import Final

from address_space.image import ProcessImage
from address_space.model import DeviceClass

HEALTHY: Final = 255
MAINTENANCE: Final = 0
NO_DATA: Final = 1
_DEGRADED: Final = (2, 199)

# Of the points `connection`; a device that is only suspect still counts as there.
_THERE: Final = (1, 2)
_OUT_OF_SERVICE: Final = 4


def service_level(image: ProcessImage) -> int:
    """255 when everything that is in service answers, else by the share that does; 1 when nothing does.

    A device that a person took out of service is not missed. The node itself and its sinks do not count.
    """
    states = [
        image.values[image.slot(device.id, "connection")]
        for device in image.devices.values()
        if device.model.device_class not in (DeviceClass.NODE, DeviceClass.SINK) and "connection" in device.model.index
    ]
    return level_of([None if state is None else int(state) for state in states])


def level_of(states: list[int | None]) -> int:
    """The level for connection states; None is a device that nobody has asked yet."""
    missed = [state for state in states if state != _OUT_OF_SERVICE]
    there = sum(state in _THERE for state in missed)
    if there == len(missed):
        return HEALTHY
    if not there:
        return NO_DATA
    low, high = _DEGRADED
    return low + int((high - low) * there / len(missed))
