"""Values of the variables that every OPC UA server has: some stay, some are made when somebody looks."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import Clock, ticks_to_datetime


class StandardValues:
    """Sets values of the library's standard address space; nodes that it does not have are left out."""

    def __init__(self, space: AddressSpace, clock: Clock) -> None:
        self._space = space
        self._clock = clock

    def now(self) -> Any:
        """The time, as the library wants it."""
        return ticks_to_datetime(self._clock.now())

    def set(self, node: int, value: Any, kind: ua.VariantType) -> None:
        """A value that stays."""
        self.set_attribute(node, ua.AttributeIds.Value, value, kind, SourceTimestamp=self.now())

    def set_attribute(
        self, node: int, attribute: ua.AttributeIds, value: Any, kind: ua.VariantType, **times: Any
    ) -> None:
        """An attribute that stays."""
        entry = self._entry(node, attribute)
        if entry is not None:
            entry.value = ua.DataValue(ua.Variant(value, kind, is_array=isinstance(value, list)), **times)

    def live(self, node: int, read: Callable[[], Any], kind: ua.VariantType) -> None:
        """A value that is made when somebody looks."""
        entry = self._entry(node, ua.AttributeIds.Value)
        if entry is None:
            return

        def look(_node: object, _attribute: object) -> ua.DataValue:
            value = read()
            variant = ua.Variant(value, kind, is_array=isinstance(value, list))
            return ua.DataValue(variant, SourceTimestamp=self.now())

        entry.value_callback = look

    def _entry(self, node: int, attribute: ua.AttributeIds) -> Any:
        found = self._space.get(ua.NodeId(ua.Int32(node)))
        return None if found is None else found.attributes.get(attribute)
