"""What of the journal can no longer be read."""

from __future__ import annotations

import logging

_LOG = logging.getLogger(__name__)


class Damage:
    """The damaged frames that were met, each counted once; the first is logged as an error, others for debugging."""

    def __init__(self) -> None:
        self._frames: set[int] = set()

    def __len__(self) -> int:
        return len(self._frames)

    def note(self, seq: int, error: Exception) -> None:
        """Count a frame that cannot be read."""
        if seq in self._frames:
            return
        level = logging.DEBUG if self._frames else logging.ERROR
        self._frames.add(seq)
        _LOG.log(level, "journal frame %d is damaged and is skipped, the others are not touched: %s", seq, error)
