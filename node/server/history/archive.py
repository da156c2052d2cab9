"""What stands behind the services of history."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass

from address_space.history_configuration import own_rule
from address_space.model import Point, RecordingRule
from node.historian.editing import Editor
from node.historian.event_log import EventLog
from node.historian.history import History


@dataclass(frozen=True, slots=True)
class Archive:
    """Samples, and where the historian has them, changes and events."""

    history: History
    editor: Editor | None = None
    events: EventLog | None = None
    rule: Callable[[Point], RecordingRule | None] = own_rule  # how a point is recorded
