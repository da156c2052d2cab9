"""When the history of each variable begins, for nodes that are read without waiting."""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

from asyncua import ua

from address_space.history_configuration import is_archive_start
from address_space.model import Clock
from address_space.shape import NS_SITE
from node.historian.history import History, HistoryUnavailable

_KEPT: Final = 4_096  # tags
_FRESH_S: Final = 60.0  # retention moves it in steps of hours
_AT_ONCE: Final = 200  # looked up for one request


class ArchiveStart:
    """Remembers for a short time what the historian says; `look` asks it, `known` does not wait."""

    def __init__(self, history: History, clock: Clock) -> None:
        self._history = history
        self._clock = clock
        self._found: dict[str, tuple[float, int | None]] = {}  # by tag: until when it is good, and what it is

    def known(self, tag: str) -> int | None:
        """Ticks of the oldest sample of a tag; None when there is none or nobody has looked."""
        found = self._found.get(tag)
        return None if found is None else found[1]

    async def look(self, nodes: Iterable[ua.NodeId]) -> None:
        """Ask for those of these nodes that tell when a history begins; the first of many only."""
        now = self._clock.monotonic()
        missing = [tag for tag in map(_tag, nodes) if tag and self._found.get(tag, (0.0,))[0] <= now]
        for tag in missing[:_AT_ONCE]:
            try:
                start = await self._history.start_of_archive(tag)
            except HistoryUnavailable:
                return  # what was known stays
            if len(self._found) >= _KEPT:
                self._found.clear()
            self._found[tag] = (now + _FRESH_S, start)


def _tag(nodeid: ua.NodeId) -> str:
    """The tag of a node that tells when its history begins; "" for all others."""
    member = nodeid.Identifier
    if not isinstance(member, str) or nodeid.NamespaceIndex != NS_SITE or not is_archive_start(member):
        return ""
    return ".".join(member.split(".")[:2])
