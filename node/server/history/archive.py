"""What stands behind the services of history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from address_space.history_configuration import own_rule
from address_space.model import Point, RecordingRule
from node.historian.editing import Editor
from node.historian.event_log import EventLog
from node.historian.history import History, RawPages


@dataclass(frozen=True, slots=True)
class Archive:
    """Samples, and where the historian has them, changes and events."""

    history: History
    editor: Editor | None = None
    events: EventLog | None = None
    to_now: RawPages | None = None  # the same samples up to the newest answer, recorded or not
    rule: Callable[[Point], RecordingRule | None] = own_rule  # how a point is recorded

    @property
    def over_time(self) -> RawPages:
        """Samples for what asks how long a value held."""
        return self.history if self.to_now is None else self.to_now
