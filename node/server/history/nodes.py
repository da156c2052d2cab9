"""Which nodes have history, and what a user may do with it."""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from address_space.history_configuration import ANNOTATIONS, stepped
from address_space.image import ProcessImage
from address_space.model import Point, RecordingRule
from address_space.nodes import Node
from node.roles import Caller
from node.server.history.data import wire_type
from node.server.history.part import NodeRefused
from node.server.security.access import HISTORY_READ, HISTORY_WRITE, access_level, plain, user_access_level

_ENCODINGS: Final = (None, "", "Default Binary")
_NOTIFIER_HISTORY: Final = 1 << ua.EventNotifier.HistoryRead


@dataclass(frozen=True, slots=True)
class Target:
    """A historized variable, or its annotations."""

    node_id: ua.NodeId
    tag: str
    point: Point
    annotations: bool
    rule: RecordingRule | None

    @property
    def data_type(self) -> int:
        """Built-in type of its values."""
        return wire_type(self.point)

    @property
    def stepped(self) -> bool:
        """Whether a value stays until the next one, in place of a line between them."""
        return stepped(self.point, self.rule)


class HistoryNodes:
    """Finds targets; all methods raise NodeRefused for nodes that do not fit."""

    def __init__(
        self,
        nodes: Mapping[ua.NodeId, Any],
        image: ProcessImage,
        rule: Callable[[Point], RecordingRule | None],
    ) -> None:
        """`rule` says how a point is recorded."""
        self._rule = rule
        self._nodes = nodes
        self._image = image

    def read(self, item: ua.HistoryReadValueId, caller: Caller) -> Target:
        """The variable that a read names."""
        target = self._target(item.NodeId, caller, HISTORY_READ)
        _check_form(item)
        return target

    def write(self, nodeid: ua.NodeId, caller: Caller) -> Target:
        """The variable whose history an update changes."""
        return self._target(nodeid, caller, HISTORY_WRITE)

    def notifier(self, item: ua.HistoryReadValueId) -> ua.NodeId:
        """The notifier whose events a read names. Everybody may ask; events have their own audience."""
        node = self._node(item.NodeId)
        if not int(plain(node, ua.AttributeIds.EventNotifier) or 0) & _NOTIFIER_HISTORY:
            raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported)
        _check_form(item)
        nodeid: ua.NodeId = item.NodeId
        return nodeid

    def _node(self, nodeid: ua.NodeId) -> Any:
        node = self._nodes.get(nodeid)
        if node is None:
            raise NodeRefused(ua.StatusCodes.BadNodeIdUnknown)
        return node

    def _target(self, nodeid: ua.NodeId, caller: Caller, right: int) -> Target:
        node = self._node(nodeid)
        if not isinstance(node, Node) or not access_level(node) & right:
            raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported)
        if not user_access_level(node, caller.role) & right:
            raise NodeRefused(ua.StatusCodes.BadUserAccessDenied)
        point_id, _, part = node.member.partition(".")
        try:
            slot = self._image.slot(node.owner.id, point_id)
        except KeyError:
            raise NodeRefused(ua.StatusCodes.BadHistoryOperationUnsupported) from None
        device, point = self._image.owner(slot)
        return Target(nodeid, f"{device.id}.{point.id}", point, part == ANNOTATIONS, self._rule(point))


def _check_form(item: ua.HistoryReadValueId) -> None:
    if item.DataEncoding is not None and item.DataEncoding.Name not in _ENCODINGS:
        raise NodeRefused(ua.StatusCodes.BadDataEncodingUnsupported)
    if item.IndexRange:  # every historized value is a scalar
        raise NodeRefused(ua.StatusCodes.BadIndexRangeInvalid)
