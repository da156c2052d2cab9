"""The Write service: settings of devices through the control desk, and nothing else (OPC 10000-4 section 5.10.4)."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator, Sequence
from typing import Any, NamedTuple

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.image import ProcessImage
from address_space.model import Device, Point, Value
from address_space.values import exact
from node.roles import Caller
from node.server.access import WRITE, WRITES, access_level
from node.server.calls import Desk


class Wanted(NamedTuple):
    """One setting with the value that it is to have."""

    device: Device
    point: Point
    value: Value


class SettingWriter:
    """Checks what a client writes and hands it to the desk."""

    def __init__(self, space: BuiltSpace, image: ProcessImage, desk: Desk) -> None:
        self._space = space
        self._image = image
        self._desk = desk

    async def write_all(self, parameters: ua.WriteParameters, caller: Caller) -> ua.WriteResponse:
        """Write settings; each is answered after it was read back."""
        checked = [self._check(item, caller) for item in parameters.NodesToWrite]
        written = iter(await self.write_settings([each for each in checked if isinstance(each, Wanted)], caller))
        response: Any = ua.WriteResponse()
        response.Results = [
            ua.StatusCode(ua.UInt32(next(written) if isinstance(each, Wanted) else each)) for each in checked
        ]
        return response  # type: ignore[no-any-return]

    async def write_settings(self, wanted: Sequence[Wanted], caller: Caller) -> list[int]:
        """Write what may be written: devices beside each other, settings of one device together, and in their order.

        A status for each.
        """
        devices: dict[str, list[int]] = {}
        for index, each in enumerate(wanted):
            devices.setdefault(each.device.id, []).append(index)
        statuses = [0] * len(wanted)

        async def write(device_id: str, places: list[int]) -> None:
            for group in _rounds(wanted, places):
                values = {point_id: wanted[index].value for point_id, index in group.items()}
                results = await self._desk.write_settings(device_id, values, caller)
                for point_id, index in group.items():
                    statuses[index] = int(results[point_id].status)

        await asyncio.gather(*(write(device_id, places) for device_id, places in devices.items()))
        return statuses

    def owner(self, slot: int) -> tuple[Device, Point]:
        """Device and point of a slot."""
        return self._image.owner(slot)

    def _check(self, item: ua.WriteValue, caller: Caller) -> Wanted | int:
        """What to write, or the status that says why it cannot be."""
        status = self._fault(item, caller)
        slot = self._space.point_of(item.NodeId)
        if status is not None or slot is None:
            return status or ua.StatusCodes.BadNotWritable
        device, point = self._image.owner(slot)
        value = self._value(item.Value, point.data_type)
        return ua.StatusCodes.BadTypeMismatch if value is None else Wanted(device, point, value)

    def _fault(self, item: ua.WriteValue, caller: Caller) -> int | None:
        """Why an attribute cannot be written, whatever the value; None when it can."""
        node = self._space.nodes.get(item.NodeId)
        if node is None:
            return ua.StatusCodes.BadNodeIdUnknown
        if item.AttributeId not in node.attributes:
            return ua.StatusCodes.BadAttributeIdInvalid
        if item.AttributeId != ua.AttributeIds.Value or not access_level(node) & WRITE:
            return ua.StatusCodes.BadNotWritable
        if caller.role < WRITES:
            return ua.StatusCodes.BadUserAccessDenied
        given = item.Value
        if item.IndexRange:
            return ua.StatusCodes.BadWriteNotSupported
        if (
            (given.StatusCode is not None and given.StatusCode.value != ua.StatusCodes.Good)
            or given.SourceTimestamp is not None
            or given.ServerTimestamp is not None
        ):
            # Status and times of a point are the device's, not a client's.
            return ua.StatusCodes.BadWriteNotSupported
        return None

    def _value(self, given: ua.DataValue, data_type: Any) -> Value | None:
        variant = given.Value
        if variant is None or variant.is_array or variant.Value is None:
            return None
        if variant.VariantType != ua.VariantType(int(data_type)):
            return None
        return exact(variant.Value, data_type)


def _rounds(wanted: Sequence[Wanted], places: Sequence[int]) -> Iterator[dict[str, int]]:
    """Places by point id, a new round where a point comes again: the later value is written after the earlier one."""
    group: dict[str, int] = {}
    for index in places:
        point_id = wanted[index].point.id
        if point_id in group:
            yield group
            group = {}
        group[point_id] = index
    yield group
