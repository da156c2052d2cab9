"""The Read service, and reading one attribute for whoever else needs it (OPC 10000-4 section 5.10.2)."""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from address_space.model import Clock, ticks_to_datetime
from node.roles import Role
from node.server.index_range import BadRange, apply_range, parse_range
from node.server.request import ServiceRefused
from node.server.security.access import READ, access_level, attribute, user_access_level
from node.server.security.permissions import ON_EVERY_NODE, for_role
from node.server.transport.tasks import in_slices

_VALUE: Final = ua.AttributeIds.Value
_ENCODINGS: Final = (None, "", "Default Binary")
_FIRST_ATTRIBUTE: Final = 1
_LAST_ATTRIBUTE: Final = 27  # OPC 10000-6 annex A.1

Look = Callable[[Iterable[ua.NodeId]], Awaitable[None]]


@dataclass(frozen=True, slots=True)
class Stamps:
    """Which of the two times a client wants."""

    source: bool
    server: bool


def stamps(wanted: ua.TimestampsToReturn) -> Stamps:
    """What TimestampsToReturn stands for. Raises ServiceRefused for Invalid."""
    if wanted == ua.TimestampsToReturn.Invalid:
        raise ServiceRefused(ua.StatusCodes.BadTimestampsToReturnInvalid)
    both = wanted == ua.TimestampsToReturn.Both
    return Stamps(both or wanted == ua.TimestampsToReturn.Source, both or wanted == ua.TimestampsToReturn.Server)


class AttributeReader:
    """Reads attributes of nodes with the rights of a role."""

    def __init__(self, nodes: Mapping[ua.NodeId, Any], clock: Clock, look: Look | None = None) -> None:
        """`look` is called with the nodes of a request before their Values are read, where some have to be fetched."""
        self._nodes = nodes
        self._look = look
        self._clock = clock

    async def read_all(self, parameters: ua.ReadParameters, role: Role) -> ua.ReadResponse:
        """Answer a Read. Raises ServiceRefused for what concerns the whole request."""
        if not parameters.MaxAge >= 0:  # NaN too
            raise ServiceRefused(ua.StatusCodes.BadMaxAgeInvalid)
        wanted = stamps(parameters.TimestampsToReturn)
        if self._look is not None:
            await self._look(item.NodeId for item in parameters.NodesToRead if item.AttributeId == _VALUE)
        response: Any = ua.ReadResponse()
        response.Results = await in_slices(parameters.NodesToRead, lambda item: self.read(item, role, wanted))
        return response  # type: ignore[no-any-return]

    def read(self, item: ua.ReadValueId, role: Role, wanted: Stamps) -> ua.DataValue:
        """One attribute; what is wrong with the item is its status."""
        status = self.fault(item, role)
        if status is not None:
            return bad(status)
        return self.value(self._nodes.get(item.NodeId), item, role, wanted)

    def node(self, node_id: ua.NodeId) -> Any:
        """The node of a NodeId; None when there is none."""
        return self._nodes.get(node_id)

    def fault(self, item: ua.ReadValueId, role: Role) -> int | None:
        """Why an attribute cannot be read at all; None when it can."""
        node = self._nodes.get(item.NodeId)
        if node is None:
            return ua.StatusCodes.BadNodeIdUnknown
        if not _FIRST_ATTRIBUTE <= item.AttributeId <= _LAST_ATTRIBUTE or not _has(node, item.AttributeId):
            return ua.StatusCodes.BadAttributeIdInvalid
        if item.DataEncoding is not None and item.DataEncoding.Name not in _ENCODINGS:
            if item.AttributeId != _VALUE:
                return ua.StatusCodes.BadDataEncodingInvalid
            return ua.StatusCodes.BadDataEncodingUnsupported
        if item.IndexRange:
            try:
                parse_range(item.IndexRange)
            except BadRange as error:
                return error.status
        if item.AttributeId == _VALUE and _is_variable(node) and not user_access_level(node, role) & READ:
            readable = access_level(node) & READ
            return ua.StatusCodes.BadUserAccessDenied if readable else ua.StatusCodes.BadNotReadable
        return None

    def value(self, node: Any, item: ua.ReadValueId, role: Role, wanted: Stamps) -> ua.DataValue:
        """An attribute without the checks of `fault`, for items that are read again and again."""
        is_value = item.AttributeId == _VALUE
        special = None if is_value else for_role(node, item.AttributeId, role)
        if special is not None:
            found = ua.DataValue(special)
        else:
            present = attribute(node, item.AttributeId)
            if present is None:
                return bad(ua.StatusCodes.BadAttributeIdInvalid)
            found = present
        variant = found.Value
        if item.IndexRange and variant is not None:
            try:
                variant = apply_range(variant, parse_range(item.IndexRange))
            except BadRange as error:
                return bad(error.status)
        now: Any = ticks_to_datetime(self._clock.now()) if wanted.server else None
        return ua.DataValue(
            variant,
            found.StatusCode,
            SourceTimestamp=found.SourceTimestamp if wanted.source and is_value else None,
            ServerTimestamp=now,
        )


def bad(status: int) -> ua.DataValue:
    """An answer without a value."""
    return ua.DataValue(StatusCode=ua.StatusCode(ua.UInt32(status)))


def _has(node: Any, attribute_id: int) -> bool:
    return attribute_id in ON_EVERY_NODE or attribute_id in node.attributes


def _is_variable(node: Any) -> bool:
    return ua.AttributeIds.AccessLevel in node.attributes
