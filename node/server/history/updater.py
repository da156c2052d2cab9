"""The HistoryUpdate service: engineers correct samples and write annotations (OPC 10000-11 section 6.8).

Nothing is lost by it: what was there before is kept as modified values, and every request leaves an audit event.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from asyncua import ua

from address_space.model import Clock, Sample
from node.historian.editing import Annotation, Change, Edited, Editor
from node.historian.history import Columns, HistoryUnavailable
from node.roles import Caller
from node.server.history.given import Refused, annotation_of, change_of, sample_of
from node.server.history.nodes import HistoryNodes, Target
from node.server.history.part import NodeRefused
from node.server.history.span import ticks_of
from node.server.history.update_audit import UpdateAudit
from node.server.transport.tasks import in_slices

_S: Final = ua.StatusCodes
_WRITTEN: Final = {
    Edited.INSERTED: _S.GoodEntryInserted,
    Edited.REPLACED: _S.GoodEntryReplaced,
    Edited.DELETED: _S.Good,
    Edited.EXISTS: _S.BadEntryExists,
    Edited.MISSING: _S.BadNoEntryExists,
}
_UNSUPPORTED: Final = (ua.UpdateEventDetails, ua.DeleteEventDetails)

# What a kind of details comes to: the status of the node, and one of each entry.
_Done = tuple[int, list[int]]


class HistoryUpdater:
    """Changes the history of variables for whoever may."""

    def __init__(self, editor: Editor | None, nodes: HistoryNodes, clock: Clock, audit: UpdateAudit) -> None:
        self._editor = editor
        self._nodes = nodes
        self._clock = clock
        self._audit = audit
        self._kinds: dict[type, Callable[[Any, Target, Caller, Editor], Awaitable[_Done]]] = {
            ua.UpdateDataDetails: self._update,
            ua.UpdateStructureDataDetails: self._annotate,
            ua.DeleteRawModifiedDetails: self._delete_range,
            ua.DeleteAtTimeDetails: self._delete_times,
        }

    async def update(self, details: Any, caller: Caller) -> ua.HistoryUpdateResult:
        """Carry out one entry of a request."""
        if isinstance(details, _UNSUPPORTED):
            return _result(_S.BadHistoryOperationUnsupported, ())
        work = self._kinds.get(type(details))
        if work is None:
            return _result(_S.BadHistoryOperationInvalid, ())
        try:
            target = self._nodes.write(details.NodeId, caller)
            if self._editor is None or target.annotations != isinstance(details, ua.UpdateStructureDataDetails):
                raise NodeRefused(_S.BadHistoryOperationUnsupported)
            status, results = await work(details, target, caller, self._editor)
        except NodeRefused as refused:
            self._audit.refused(details, caller.user, refused.status)
            return _result(refused.status, ())
        except HistoryUnavailable:
            self._audit.refused(details, caller.user, _S.BadResourceUnavailable)
            return _result(_S.BadResourceUnavailable, ())
        return _result(status, results)

    async def _update(self, details: ua.UpdateDataDetails, target: Target, caller: Caller, editor: Editor) -> _Done:
        """Insert, replace or update samples."""
        change = _change(details, allowed=(Change.INSERT, Change.REPLACE, Change.UPDATE))
        now = self._clock.now()
        given = await in_slices(_filled(details.UpdateValues), lambda each: sample_of(each, target.point, now))
        samples = Columns()
        for each in given:
            if isinstance(each, Sample):
                samples.append(each.ticks, each.value, each.status)
        old = await self._audit.present(target, samples.ticks)
        edited = await editor.write(target.tag, samples, change, caller.user) if samples else []
        results = _merged(given, edited)
        self._audit.updated(details, target, old, caller.user, results)
        return _S.Good, results

    async def _annotate(
        self, details: ua.UpdateStructureDataDetails, target: Target, caller: Caller, editor: Editor
    ) -> _Done:
        """Insert, replace, update or delete annotations."""
        change = _change(details, allowed=tuple(Change))
        now = self._clock.now()
        given = await in_slices(
            _filled(details.UpdateValues), lambda each: annotation_of(each, change, caller.user, now)
        )
        annotations = [each for each in given if isinstance(each, Annotation)]
        edited = await editor.annotate(target.tag, annotations, change) if annotations else []
        results = _merged(given, edited)
        self._audit.annotated(details, annotations, caller.user, results)
        return _S.Good, results

    async def _delete_range(
        self, details: ua.DeleteRawModifiedDetails, target: Target, caller: Caller, editor: Editor
    ) -> _Done:
        """Delete samples, or what was kept of those that were changed before."""
        start, end = ticks_of(details.StartTime), ticks_of(details.EndTime)
        if start is None or end is None or end < start:
            raise NodeRefused(_S.BadInvalidTimestampArgument)
        end = max(end, start + 1)
        modified = bool(details.IsDeleteModified)
        old = Columns() if modified else await self._audit.between(target, start, end)
        if modified:
            count = await editor.delete_modified(target.tag, start, end)
        else:
            count = await editor.delete(target.tag, start, end, caller.user)
        status = _S.Good if count else _S.BadNoData
        self._audit.deleted_range(details, target, old, count, caller.user, status)
        return status, []

    async def _delete_times(
        self, details: ua.DeleteAtTimeDetails, target: Target, caller: Caller, editor: Editor
    ) -> _Done:
        """Delete the samples of given times."""
        times = [ticks_of(each) or 0 for each in _filled(details.ReqTimes)]
        old = await self._audit.present(target, times)
        results = [int(_WRITTEN[each]) for each in await editor.delete_at(target.tag, times, caller.user)]
        self._audit.deleted_times(details, target, old, caller.user, results)
        return _S.Good, results


def _change(details: Any, allowed: Sequence[Change]) -> Change:
    found = change_of(details.PerformInsertReplace)
    if found is None or found not in allowed:
        raise NodeRefused(_S.BadHistoryOperationInvalid)
    return found


def _filled(entries: Sequence[Any] | None) -> Sequence[Any]:
    if not entries:
        raise NodeRefused(_S.BadNothingToDo)
    return entries


def _merged(given: Sequence[object], edited: Sequence[Edited]) -> list[int]:
    """Results in the order of the request: of what was refused here, and of what was carried out."""
    done = iter(edited)
    return [each.status if isinstance(each, Refused) else int(_WRITTEN[next(done)]) for each in given]


def _result(status: int, results: Sequence[int]) -> ua.HistoryUpdateResult:
    result: Any = ua.HistoryUpdateResult(StatusCode=ua.StatusCode(ua.UInt32(status)))
    result.OperationResults = [ua.StatusCode(ua.UInt32(each)) for each in results]
    return result  # type: ignore[no-any-return]
