"""The control desk with an audit event for each command and each write that reaches it, whatever way it came."""

from __future__ import annotations

from collections.abc import Coroutine, Mapping, Sequence
from typing import Any

from asyncua import ua

from address_space.builder import BuiltSpace
from address_space.image import ProcessImage
from address_space.methods import answer
from address_space.model import CommandResult, Value
from address_space.shape import NS_SITE, member_id, node_id
from address_space.values import variant
from node.control.setting_results import SettingResults
from node.roles import Caller
from node.server.calls import Desk
from node.server.events.audit import ASKED, Audit
from node.server.security.access import attribute


class AuditedDesk:
    """Hands everything on to a desk and tells the audit what came of it.

    When nobody hears the audit, it still notes for the request in work, if that is known, whose event it would be.
    """

    def __init__(self, desk: Desk, space: BuiltSpace, image: ProcessImage, audit: Audit) -> None:
        self._desk = desk
        self._space = space
        self._image = image
        self._audit = audit

    def call(
        self,
        device_id: str,
        command_id: str,
        arguments: Sequence[Value | None],
        caller: Caller,
        answer_by: float | None,
    ) -> Coroutine[Any, Any, CommandResult]:
        """As Desk.call."""
        told = self._audit.heard or ASKED.get()
        call = self._told_call if told else self._desk.call
        return call(device_id, command_id, arguments, caller, answer_by)

    async def _told_call(
        self,
        device_id: str,
        command_id: str,
        arguments: Sequence[Value | None],
        caller: Caller,
        answer_by: float | None,
    ) -> CommandResult:
        method = _settled(device_id, command_id)
        result = await self._desk.call(device_id, command_id, arguments, caller, answer_by)
        if self._audit.heard:
            declared = self._space.command(device_id, command_id).inputs
            inputs = [
                ua.Variant() if value is None else ua.Variant(value, ua.VariantType(int(argument.data_type)))
                for argument, value in zip(declared, arguments, strict=False)
            ]
            outputs = answer(result, len(declared)).OutputArguments
            device = node_id(device_id, NS_SITE)
            self._audit.called(device, method, inputs, outputs, caller.user, int(result.status))
        return result

    async def write_settings(self, device_id: str, values: Mapping[str, Value], caller: Caller) -> SettingResults:
        """As Desk.write_settings."""
        if not (self._audit.heard or ASKED.get()):
            return await self._desk.write_settings(device_id, values, caller)
        old = {point_id: self._present(_settled(device_id, point_id)) for point_id in values}
        results = await self._desk.write_settings(device_id, values, caller)
        for point_id, value in values.items():
            self._wrote(device_id, point_id, value, old[point_id], caller, results[point_id])
        return results

    def _present(self, node: ua.NodeId) -> ua.Variant | None:
        found = self._space.nodes.get(node) if self._audit.heard else None
        value = None if found is None else attribute(found, ua.AttributeIds.Value)
        return None if value is None else value.Value

    def _wrote(
        self, device_id: str, point_id: str, value: Value, old: Any, caller: Caller, result: CommandResult
    ) -> None:
        if self._audit.heard:
            _device, point = self._image.owner(self._image.slot(device_id, point_id))
            node = node_id(member_id(device_id, point_id), NS_SITE)
            self._audit.written(node, variant(value, point), old, caller.user, int(result.status))


def _settled(device_id: str, member: str) -> ua.NodeId:
    """The node of a member; the request that is in work has its event from here on."""
    node = node_id(member_id(device_id, member), NS_SITE)
    asked = ASKED.get()
    if asked is not None:
        asked.settled.add(node)
    return node
