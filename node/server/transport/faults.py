"""What peers do wrong, in the log: the first time as a warning, repeats for debugging only."""

from __future__ import annotations

import logging
from collections import OrderedDict
from typing import Final

from asyncua import ua

_LOG = logging.getLogger(__name__)

# Pairs of peer and kind that are remembered; a new one may be logged again after so many others.
_KEPT = 1_000

# What clients meet that do nothing wrong: they ask again after a restart or a break, or for what servers may lack.
_ROUTINE: Final = frozenset(
    {
        ua.StatusCodes.BadSessionIdInvalid,
        ua.StatusCodes.BadSessionClosed,
        ua.StatusCodes.BadSubscriptionIdInvalid,
        ua.StatusCodes.BadMessageNotAvailable,
        ua.StatusCodes.BadNoSubscription,
        ua.StatusCodes.BadServiceUnsupported,
        ua.StatusCodes.BadNothingToDo,
    }
)


class FaultLog:
    """Remembers which peer was reported for what."""

    def __init__(self) -> None:
        self._seen: OrderedDict[tuple[str, str], None] = OrderedDict()

    def report(self, peer: str, kind: str, detail: str = "", level: int = logging.WARNING) -> None:
        """Log a fault of `peer` (host without port); `kind` decides what counts as a repeat."""
        key = (peer, kind)
        if key in self._seen:
            level = logging.DEBUG
        self._seen[key] = None
        self._seen.move_to_end(key)
        if len(self._seen) > _KEPT:
            self._seen.popitem(last=False)
        _LOG.log(level, "%s: %s%s", peer, kind, f": {detail}" if detail else "")

    def refused(self, peer: str, request: ua.NodeId, status: int, text: str) -> None:
        """Log that a request was refused; `text` is left out where it only repeats the status."""
        name = ua.StatusCode(ua.UInt32(status)).name
        level = logging.INFO if status in _ROUTINE else logging.WARNING
        self.report(peer, f"{_service(request)} refused, {name}", "" if text == name else text, level)


def _service(request: ua.NodeId) -> str:
    """Name of the service whose request has this type, or its NodeId."""
    number = request.Identifier
    known = ua.ObjectIdNames.get(number, "") if request.NamespaceIndex == 0 and isinstance(number, int) else ""
    return known.partition("Request_")[0] or request.to_string()
