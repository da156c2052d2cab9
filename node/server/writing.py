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
from node.begun import Begun
from node.roles import Caller
from node.server.calls import Desk
from node.server.security.access import WRITE, WRITES, access_level


class Wanted(NamedTuple):
    """One setting, by its slot, with the value that it is to have."""

    slot: int
    value: Value


class Group(NamedTuple):
    """Settings of one device that are written together."""

    points: tuple[str, ...]
    places: tuple[int, ...]  # of their values in the request


# By device: its groups, one after another.
Plan = tuple[tuple[str, tuple[Group, ...]], ...]


class SettingWriter:
    """Checks what a client writes and hands it to the desk."""

    def __init__(self, space: BuiltSpace, image: ProcessImage, desk: Desk) -> None:
        self._space = space
        self._image = image
        self._desk = desk

    async def write_all(self, parameters: ua.WriteParameters, caller: Caller) -> ua.WriteResponse:
        """Write settings; each is answered after it was read back."""
        checked = [self._check(item, caller) for item in parameters.NodesToWrite]
        wanted = [each for each in checked if isinstance(each, Wanted)]
        plan = self.plan([each.slot for each in wanted])
        written = iter(await self.carry_out(plan, [each.value for each in wanted], caller))
        response: Any = ua.WriteResponse()
        response.Results = [
            ua.StatusCode(ua.UInt32(int(next(written)) if isinstance(each, Wanted) else each)) for each in checked
        ]
        return response  # type: ignore[no-any-return]

    def plan(self, slots: Sequence[int]) -> Plan:
        """How settings are written that a request names in this order."""
        devices: dict[str, list[tuple[int, str]]] = {}
        for place, slot in enumerate(slots):
            device, point = self._image.owner(slot)
            devices.setdefault(device.id, []).append((place, point.id))
        return tuple((device_id, tuple(_groups(asked))) for device_id, asked in devices.items())

    async def carry_out(self, plan: Plan, values: Sequence[Value], caller: Caller) -> Sequence[int]:
        """Write what may be written: devices beside each other, settings of one device together, and in their order.

        A status for each value.
        """
        if len(plan) == 1 and len(plan[0][1]) == 1:
            device_id, ((points, _places),) = plan[0]
            results = await self._desk.write_settings(device_id, dict(zip(points, values, strict=True)), caller)
            return results.statuses()
        statuses = [0] * len(values)

        async def write(device_id: str, groups: Sequence[Group]) -> None:
            for points, places in groups:
                part = dict(zip(points, map(values.__getitem__, places), strict=True))
                results = await self._desk.write_settings(device_id, part, caller)
                for place, status in zip(places, results.statuses(), strict=True):
                    statuses[place] = status

        waiting = [begun for each in plan if not (begun := Begun(write(*each))).done]
        if waiting:
            await asyncio.gather(*waiting)
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
        _device, point = self._image.owner(slot)
        value = self._value(item.Value, point.data_type)
        return ua.StatusCodes.BadTypeMismatch if value is None else Wanted(slot, value)

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


def _groups(asked: Sequence[tuple[int, str]]) -> Iterator[Group]:
    """Points with their places, a new group where one comes again: its later value is written after the earlier one."""
    group: dict[str, int] = {}
    for place, point_id in asked:
        if point_id in group:
            yield Group(tuple(group), tuple(group.values()))
            group = {}
        group[point_id] = place
    yield Group(tuple(group), tuple(group.values()))
