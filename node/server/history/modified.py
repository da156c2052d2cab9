"""What was there before somebody changed history, with who and when (OPC 10000-11 section 6.5.3.3)."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import ClassVar

from asyncua import ua

from node.historian.editing import Editor, ModifiedColumns
from node.historian.history import Position
from node.server.history.data import modified_data
from node.server.history.part import Part
from node.server.history.span import Span
from node.server.history.work import Work
from node.server.reading import Stamps


@dataclass(frozen=True, slots=True)
class ModifiedRead:
    """One variable's modified values; without an editor nothing was ever changed."""

    node_id: ua.NodeId
    tag: str
    data_type: int
    span: Span
    editor: Editor | None
    position: Position | None = None
    kind: ClassVar[str] = "modified"

    def empty(self, stamps: Stamps) -> ua.ExtensionObject:
        """As Reading."""
        return modified_data(ModifiedColumns(), self.data_type, stamps)

    async def part(self, stamps: Stamps, work: Work) -> Part:
        """As Reading."""
        span = self.span
        if self.editor is None:
            return Part(self.empty(stamps), status=ua.StatusCodes.GoodNoData)
        page = await work.wait(
            self.editor.modified(
                self.tag, span.first, span.end, limit=span.most, reverse=span.reverse, after=self.position
            )
        )
        rest = None if page.next is None else replace(self, position=page.next)
        status = ua.StatusCodes.Good if page.modified.at else ua.StatusCodes.GoodNoData
        return Part(modified_data(page.modified, self.data_type, stamps), rest, status)
