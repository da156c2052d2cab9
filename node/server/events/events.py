"""Events on their way: made here, and told to whoever watches a notifier above their source.

OPC 10000-3 section 4.7: an event of a device reaches those who watch the device, the site object, or the Server.
"""

from __future__ import annotations

import secrets
from collections.abc import Callable, Mapping
from datetime import datetime
from typing import Any, Final

from asyncua import ua

from address_space.model import Clock, ticks_to_datetime
from address_space.shape import node_id
from address_space.values import text
from node.roles import Role
from node.server.events.event import Event
from node.server.events.event_types import EventTypes, Path

SERVER: Final = node_id(ua.ObjectIds.Server)
_T: Final = ua.VariantType
_ID_BYTES: Final = 16
_TELL: Final = (node_id(ua.ObjectIds.HasNotifier), node_id(ua.ObjectIds.HasEventSource))
# OPC 10000-5 section 6.4.2 gives 1 to 1000; audit events and the like are below what an operator must see.
LOW: Final = 100
MIDDLE: Final = 500

Listener = Callable[[Event], None]


def field(name: str, namespace: int = 0) -> Path:
    """Path of a field that is a property of the event's type."""
    return ((namespace, name),)


class Events:
    """Makes events and tells them to listeners, and to a recorder that keeps them for those who come later."""

    def __init__(self, nodes: Mapping[ua.NodeId, Any], clock: Clock) -> None:
        self._nodes = nodes
        self._clock = clock
        self._listeners: dict[ua.NodeId, list[Listener]] = {}
        self.types = EventTypes(nodes)
        self.recorder: Listener | None = None  # hears everything

    def listen(self, notifier: ua.NodeId, listener: Listener) -> None:
        """Tell a listener all events of a notifier and of what is below it."""
        self._listeners.setdefault(notifier, []).append(listener)

    def unlisten(self, notifier: ua.NodeId, listener: Listener) -> None:
        """Undo `listen`."""
        rest = self._listeners[notifier]
        rest.remove(listener)
        if not rest:
            del self._listeners[notifier]

    @property
    def heard(self) -> bool:
        """False when nobody listens at all, so that an event need not be made."""
        return bool(self._listeners) or self.recorder is not None

    def now(self) -> datetime:
        """The time."""
        return ticks_to_datetime(self._clock.now())

    def make(
        self,
        event_type: ua.NodeId,
        message: str,
        *,
        source: ua.NodeId = SERVER,
        source_name: str = "Server",
        severity: int = LOW,
        fields: Mapping[Path, ua.Variant] | None = None,
        audience: Role = Role.OBSERVER,
        ticks: int | None = None,
        unfiltered: bool = False,
    ) -> Event:
        """An event of now, or of `ticks`, with the fields of BaseEventType and those given."""
        now = self.now()
        at = now if ticks is None else ticks_to_datetime(ticks)
        return Event(
            self.types.line(event_type),
            {
                field("EventId"): ua.Variant(secrets.token_bytes(_ID_BYTES), _T.ByteString),
                field("EventType"): ua.Variant(event_type, _T.NodeId),
                field("SourceNode"): ua.Variant(source, _T.NodeId),
                field("SourceName"): ua.Variant(source_name, _T.String),
                field("Time"): ua.Variant(at, _T.DateTime),
                field("ReceiveTime"): ua.Variant(now, _T.DateTime),
                field("Message"): ua.Variant(text(message), _T.LocalizedText),
                field("Severity"): ua.Variant(severity, _T.UInt16),
                **(fields or {}),
            },
            audience,
            unfiltered,
        )

    def tell(self, event: Event) -> None:
        """Tell an event to those who watch its source or a notifier above it, each once."""
        if self.recorder is not None:
            self.recorder(event)
        if not self._listeners:
            return
        source: Any = event.fields[field("SourceNode")].Value
        for notifier in self.above(source):
            for listener in self._listeners.get(notifier, ()):
                listener(event)

    def above(self, source: ua.NodeId) -> list[ua.NodeId]:
        """The source and the notifiers above it; the Server is above everything (OPC 10000-5 section 8.3.2)."""
        found = {source: None, SERVER: None}
        waiting = [source]
        while waiting:
            node = self._nodes.get(waiting.pop())
            for each in node.references if node is not None else ():
                if not each.IsForward and each.ReferenceTypeId in _TELL and each.NodeId not in found:
                    found[each.NodeId] = None
                    waiting.append(each.NodeId)
        return list(found)
