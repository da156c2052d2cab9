"""Audit events of HistoryUpdate: what was there, what came, who did it (OPC 10000-11 section 5.6)."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final, Protocol

from asyncua import ua

from address_space.model import Value
from address_space.shape import node_id
from address_space.values import moment, status_code, variant
from node.historian.editing import Annotation
from node.historian.history import Columns, History
from node.server.events.event_types import Path
from node.server.events.events import field as path
from node.server.history.annotations import structure
from node.server.history.nodes import Target

_T: Final = ua.VariantType
_BAD: Final = 0x8000_0000
# Of a large change the event has the first values; all that was there before is in the modified history.
MOST_SHOWN: Final = 100


class Auditor(Protocol):
    """What makes events of it."""

    @property
    def heard(self) -> bool:
        """False when nobody wants to know."""
        ...

    def history_updated(
        self, node: ua.NodeId, event_type: int, fields: Mapping[Path, ua.Variant], what: str, user: str, status: int
    ) -> None:
        """A client changed the history of a node, or tried to."""
        ...


class UpdateAudit:
    """Tells an auditor of every change; reads what was there before only when somebody wants to know."""

    def __init__(self, history: History, auditor: Auditor | None) -> None:
        self._history = history
        self._auditor = auditor

    @property
    def _heard(self) -> bool:
        return self._auditor is not None and self._auditor.heard

    # --- before

    async def present(self, target: Target, times: Sequence[int]) -> Columns:
        """The samples of the first of these times, where there are some. Raises HistoryUnavailable."""
        found = Columns()
        for ticks in times[:MOST_SHOWN] if self._heard else ():
            one = (await self._history.raw(target.tag, ticks, ticks + 1, limit=1)).columns
            if one:
                found.append(one.ticks[0], one.values[0], one.statuses[0])
        return found

    async def between(self, target: Target, start: int, end: int) -> Columns:
        """The first samples of an interval. Raises HistoryUnavailable."""
        if not self._heard:
            return Columns()
        return (await self._history.raw(target.tag, start, end, limit=MOST_SHOWN)).columns

    # --- after

    def refused(self, details: Any, user: str, status: int) -> None:
        """Nothing was changed."""
        event_type, fields = _kind(details)
        self._tell(details, event_type, fields, "could not change", user, status)

    def updated(self, details: Any, target: Target, old: Columns, user: str, results: Sequence[int]) -> None:
        """Samples were inserted or replaced; `results` has one status for each."""
        event_type, fields = _kind(details)
        fields[path("OldValues")] = _values(_data_values(old, target))
        self._tell(details, event_type, fields, f"wrote {_good(results)} of {len(results)} samples to", user, 0)

    def annotated(self, details: Any, annotations: Sequence[Annotation], user: str, results: Sequence[int]) -> None:
        """Annotations were written or deleted."""
        event_type, fields = _kind(details)
        shown = [structure(each) for each in annotations[:MOST_SHOWN]]
        fields[path("NewValues")] = ua.Variant(shown, _T.ExtensionObject, is_array=True)
        self._tell(details, event_type, fields, f"wrote {_good(results)} of {len(results)} annotations to", user, 0)

    def deleted_range(self, details: Any, target: Target, old: Columns, count: int, user: str, status: int) -> None:
        """Samples of an interval were deleted."""
        event_type, fields = _kind(details)
        fields[path("OldValues")] = _values(_data_values(old, target))
        self._tell(details, event_type, fields, f"deleted {count} samples of", user, status)

    def deleted_times(self, details: Any, target: Target, old: Columns, user: str, results: Sequence[int]) -> None:
        """Samples of some times were deleted."""
        event_type, fields = _kind(details)
        fields[path("OldValues")] = _values(_data_values(old, target))
        self._tell(details, event_type, fields, f"deleted {_good(results)} of {len(results)} samples of", user, 0)

    def _tell(
        self, details: Any, event_type: int, fields: Mapping[Path, ua.Variant], what: str, user: str, status: int
    ) -> None:
        if self._auditor is None or not self._auditor.heard:
            return
        parameter = node_id(int(getattr(ua.ObjectIds, type(details).__name__)))
        common = {path("ParameterDataTypeId"): ua.Variant(parameter, _T.NodeId)}
        if not isinstance(details, ua.UpdateStructureDataDetails):  # the one type that does not have it
            common[path("UpdatedNode")] = ua.Variant(details.NodeId, _T.NodeId)
        words = f"{user} {what} the history of {details.NodeId.to_string()}"
        self._auditor.history_updated(details.NodeId, event_type, {**common, **fields}, words, user, status)


def _kind(details: Any) -> tuple[int, dict[Path, ua.Variant]]:
    """Type of the event, and the fields that come from the request."""
    if isinstance(details, ua.DeleteAtTimeDetails):
        times = list(details.ReqTimes or ())[:MOST_SHOWN]
        fields = {path("ReqTimes"): ua.Variant(times, _T.DateTime, is_array=True)}
        return ua.ObjectIds.AuditHistoryAtTimeDeleteEventType, fields
    if isinstance(details, ua.DeleteRawModifiedDetails):
        fields = {
            path("IsDeleteModified"): ua.Variant(bool(details.IsDeleteModified), _T.Boolean),
            path("StartTime"): ua.Variant(details.StartTime, _T.DateTime),
            path("EndTime"): ua.Variant(details.EndTime, _T.DateTime),
        }
        return ua.ObjectIds.AuditHistoryRawModifyDeleteEventType, fields
    fields = {path("PerformInsertReplace"): ua.Variant(int(details.PerformInsertReplace), _T.Int32)}
    if isinstance(details, ua.UpdateStructureDataDetails):
        return ua.ObjectIds.AuditHistoryAnnotationUpdateEventType, fields
    fields[path("NewValues")] = _values(list(details.UpdateValues or ())[:MOST_SHOWN])
    return ua.ObjectIds.AuditHistoryValueUpdateEventType, fields


def _values(values: list[ua.DataValue]) -> ua.Variant:
    return ua.Variant(values, _T.DataValue, is_array=True)


def _data_values(samples: Columns, target: Target) -> list[ua.DataValue]:
    return [
        ua.DataValue(_variant(value, target), StatusCode=status_code(status), SourceTimestamp=moment(ticks))
        for ticks, value, status in zip(samples.ticks, samples.values, samples.statuses, strict=True)
    ]


def _variant(value: Value | None, target: Target) -> ua.Variant:
    """A value in the type of its point, else in the one that it has by itself."""
    if value is None:
        return ua.Variant()
    return variant(value, target.point) or ua.Variant(value)


def _good(results: Sequence[int]) -> int:
    return sum(each < _BAD for each in results)
