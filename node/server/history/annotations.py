"""Remarks of people about times of a variable, read as the history of its Annotations property.

OPC 10000-11 sections 5.1.2 and 6.6.6.
"""

from __future__ import annotations

import struct
from array import array
from dataclasses import dataclass, replace
from typing import Any, ClassVar, Final

from asyncua import ua
from asyncua.ua.ua_binary import variant_to_binary

from node.historian.editing import Annotation, Editor
from node.server.history.data import ready_values
from node.server.history.part import Part
from node.server.history.span import Span
from node.server.history.work import Work
from node.server.reading import Stamps

_AT_ONCE: Final = 1_000
_MOST: Final = 100_000  # that are looked at for one answer
_VALUE, _SOURCE, _SERVER = 0x01, 0x04, 0x08


@dataclass(frozen=True, slots=True)
class AnnotationRead:
    """One variable's annotations, by the times that they are about."""

    node_id: ua.NodeId
    tag: str
    span: Span
    editor: Editor | None
    after: Annotation | None = None  # forward
    given: int = 0  # backward, where the store has no way to go on
    kind: ClassVar[str] = "annotations"

    def empty(self, _stamps: Stamps) -> ua.ExtensionObject:
        """As Reading."""
        return ready_values([])

    async def part(self, stamps: Stamps, work: Work) -> Part:
        """As Reading."""
        most = self.span.most
        found = [] if self.editor is None else await work.wait(self._found(self.editor))
        page, more = found[:most], len(found) > most
        rest = replace(self, after=page[-1], given=self.given + most) if more else None
        status = ua.StatusCodes.Good if page else ua.StatusCodes.GoodNoData
        return Part(ready_values([_packed(each, stamps) for each in page]), rest, status)

    async def _found(self, editor: Editor) -> list[Annotation]:
        """The next ones, one more than a page at least when there are more."""
        span = self.span
        if not span.reverse:
            return await editor.annotations(self.tag, span.first, span.end, limit=span.most + 1, after=self.after)
        low = None if span.last is None else span.last + 1
        everything = await _all(editor, self.tag, low, span.first + 1)
        return everything[::-1][self.given :]


async def annotation_times(editor: Editor, tag: str, start: int, end: int) -> array[int]:
    """Times of the annotations from `start` (included) to `end` (excluded), ascending."""
    return array("q", [each.ticks for each in await _all(editor, tag, start, end)])


async def _all(editor: Editor, tag: str, start: int | None, end: int | None) -> list[Annotation]:
    found: list[Annotation] = []
    while len(found) < _MOST:
        page = await editor.annotations(tag, start, end, limit=_AT_ONCE, after=found[-1] if found else None)
        found += page
        if len(page) < _AT_ONCE:
            break
    return found


def structure(annotation: Annotation) -> Any:
    """An annotation as OPC UA has it."""
    made: Any = ua.Annotation()
    made.Message = annotation.message
    made.UserName = annotation.user
    made.AnnotationTime = ua.win_epoch_to_datetime(annotation.at)
    return made


def _packed(annotation: Annotation, stamps: Stamps) -> bytes:
    mask = _VALUE | (_SOURCE if stamps.source else 0) | (_SERVER if stamps.server else 0)
    value = variant_to_binary(ua.Variant(structure(annotation), ua.VariantType.ExtensionObject))
    times = struct.pack("<q", annotation.ticks) * (stamps.source + stamps.server)
    return bytes((mask,)) + value + times
