"""What of the journal can no longer be read."""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)


class Damage:
    """Damaged frames, blocks and events that were met, each counted once; the first is an error in the log."""

    def __init__(self) -> None:
        self._known: set[str] = set()
        self._rows = 0

    def __len__(self) -> int:
        return len(self._known)

    def note(self, seq: int, error: Exception) -> None:
        """Count a frame that cannot be read."""
        self._note(f"frame {seq}", error)

    def note_block(self, tag: int, t_min: int, error: Exception) -> None:
        """Count a block that cannot be read."""
        self._note(f"block {tag}/{t_min}", error)

    def note_event(self, seq: int, error: Exception) -> None:
        """Count an event that cannot be read."""
        self._note(f"event {seq}", error)

    def note_rows(self, count: int) -> None:
        """Count rows that could not be read and were deleted."""
        for _ in range(count):
            self._rows += 1
            self._note(f"row {self._rows}", ValueError("holds something of another type"))

    def _note(self, what: str, error: Exception) -> None:
        if what in self._known:
            return
        level = logging.DEBUG if self._known else logging.ERROR
        self._known.add(what)
        _LOG.log(level, "journal %s is damaged and is skipped, the others are not touched: %s", what, error)
