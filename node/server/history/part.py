"""What the kinds of history reads have in common: a read is answered in parts."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Protocol

from asyncua import ua

from node.server.history.work import Work
from node.server.reading import Stamps


@dataclass(frozen=True, slots=True)
class Part:
    """One answer for one node; `rest` is the read that goes on behind it, None when this was all."""

    body: ua.ExtensionObject | None
    rest: Reading | None = None
    status: int = ua.StatusCodes.Good


class Reading(Protocol):
    """One node's read and where it stands. Immutable, so that a part can be asked for again."""

    @property
    def node_id(self) -> ua.NodeId:
        """The node that is read."""
        ...

    @property
    def kind(self) -> str:
        """What is read of it; a continuation point is good for reads of its own kind only."""
        ...

    def empty(self, stamps: Stamps) -> ua.ExtensionObject:
        """The body of an answer with nothing in it."""
        ...

    async def part(self, stamps: Stamps, work: Work) -> Part:
        """The next part. Raises HistoryUnavailable, NodeRefused, and what `Work.check` raises."""
        ...


class NodeRefused(Exception):
    """One node of a request is answered with this status."""

    def __init__(self, status: int) -> None:
        super().__init__(ua.StatusCode(ua.UInt32(status)).name)
        self.status = status
