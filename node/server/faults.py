"""What peers do wrong, in the log: the first time as a warning, repeats for debugging only."""

from __future__ import annotations

import logging
from collections import OrderedDict

_LOG = logging.getLogger(__name__)

# Pairs of peer and kind that are remembered; a new one may be logged again after so many others.
_KEPT = 1_000


class FaultLog:
    """Remembers which peer was reported for what."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def report(self, peer: str, kind: str, detail: str) -> None:
        """Log a fault of `peer` (host without port); `kind` decides what counts as a repeat."""
        key = (peer, kind)
        level = logging.DEBUG if key in self._seen else logging.WARNING
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        _LOG.log(level, "%s: %s: %s", peer, kind, detail)
