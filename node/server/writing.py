"""The Write service: settings of devices through the control desk, and nothing else (OPC 10000-4 section 5.10.4)."""

from __future__ import annotations

from typing import Any

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.image import ProcessImage
from address_space.model import Value
from address_space.values import exact
from node.control.desk import Caller
from node.server.access import WRITE, WRITES, access_level
from node.server.calls import Desk


class SettingWriter:
    """Checks what a client writes and hands it to the desk."""

    def __init__(self, space: BuiltSpace, image: ProcessImage, desk: Desk) -> None:
        self._space = space
        self._image = image
        self._desk = desk

    async def write_all(self, parameters: ua.WriteParameters, caller: Caller) -> ua.WriteResponse:
        """Write settings in their order; each is answered after it was read back."""
        response: Any = ua.WriteResponse()
        response.Results = [
            ua.StatusCode(ua.UInt32(await self._write(item, caller))) for item in parameters.NodesToWrite
        ]
        return response  # type: ignore[no-any-return]

    async def _write(self, item: ua.WriteValue, caller: Caller) -> int:
        status = self._fault(item, caller)
        slot = self._space.point_of(item.NodeId)
        if status is not None or slot is None:
            return status or ua.StatusCodes.BadNotWritable
        device, point = self._image.owner(slot)
        value = self._value(item.Value, point.data_type)
        if value is None:
            return ua.StatusCodes.BadTypeMismatch
        result = await self._desk.write_setting(device.id, point.id, value, caller)
        return int(result.status)

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
