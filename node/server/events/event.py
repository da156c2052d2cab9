"""One event: what happened, where, and who may know."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from asyncua import ua

from node.roles import Role
from node.server.events.event_types import BASE_EVENT_TYPE, Path


@dataclass(frozen=True, slots=True, eq=False)
class Event:
    """An event as subscribers get it; `line` is its type with all supertypes, the type first."""

    line: tuple[ua.NodeId, ...]
    fields: Mapping[Path, ua.Variant]
    audience: Role = Role.OBSERVER  # the least that a subscriber has to be
    unfiltered: bool = False  # where clauses do not matter: it says something about the item itself

    def field(self, type_definition: ua.NodeId, path: Path) -> ua.Variant | None:
        """A field as an operand selects it; None when the event does not have it.

        With BaseEventType the type of the event does not matter (OPC 10000-4 section 7.7.4.5).
        """
        if type_definition != BASE_EVENT_TYPE and type_definition not in self.line:
            return None
        return self.fields.get(path)
