"""Samples and annotations as clients give them to HistoryUpdate, checked (OPC 10000-11 section 6.8)."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any, Final

from asyncua import ua

from address_space.model import TICKS_PER_S, Point, PointKind, Sample, Value, is_bad, is_good, ticks_from_datetime
from address_space.values import exact, variant_type
from node.historian.editing import Annotation, Change
from node.server.history.span import ticks_of

# Clocks differ, and nobody has seen the future.
_AHEAD: Final = 3600 * TICKS_PER_S
_CODE: Final = 0xFFFF_0000  # a status without its information bits, which are the reader's to make
_LONGEST_TEXT: Final = 60_000  # characters; sinks take no more either


@dataclass(frozen=True, slots=True)
class Refused:
    """What is wrong with one sample."""

    status: int


def change_of(wanted: Any) -> Change | None:
    """What PerformInsertReplace stands for; None for what it does not have."""
    try:
        return Change(int(wanted))
    except ValueError:
        return None


def sample_of(given: ua.DataValue, point: Point, now: int) -> Sample | Refused:
    """One sample for the history of a point; its type has to be the point's own."""
    ticks = ticks_of(given.SourceTimestamp)
    if ticks is None or ticks > now + _AHEAD:
        return Refused(ua.StatusCodes.BadInvalidTimestamp)
    status = 0 if given.StatusCode is None else int(given.StatusCode.value) & _CODE
    if is_bad(status):
        return Sample(None, status, ticks)
    value = _value(given.Value, point)
    if value is None or (isinstance(value, str) and not _is_text(value)):
        return Refused(ua.StatusCodes.BadTypeMismatch)
    if is_good(status) and not _in_range(value, point):
        return Refused(ua.StatusCodes.BadOutOfRange)
    return Sample(value, status, ticks)


def _value(given: ua.Variant | None, point: Point) -> Value | None:
    """The value if it has exactly the type of the point, else None."""
    if given is None or given.Value is None or given.is_array or given.VariantType != variant_type(point):
        return None
    if point.kind is PointKind.TIME:
        return ticks_from_datetime(given.Value)
    return exact(given.Value, point.data_type)


def _in_range(value: Value, point: Point) -> bool:
    if isinstance(value, str):
        return len(value) <= _LONGEST_TEXT
    if point.kind is PointKind.STATE and point.enumeration is not None:
        return point.enumeration.text(int(value)) is not None
    return point.range is None or point.range.holds(float(value))


def _is_text(words: str) -> bool:
    """False for what is left of bytes that were no UTF-8: nobody could store or send it."""
    try:
        words.encode()
    except UnicodeEncodeError:
        return False
    return True


def annotation_of(given: ua.DataValue, change: Change, user: str, now: int) -> Annotation | Refused:
    """One annotation; who makes one is who is logged in, and who changes one says whose it is."""
    ticks = ticks_of(given.SourceTimestamp)
    if ticks is None or ticks > now + _AHEAD:
        return Refused(ua.StatusCodes.BadInvalidTimestamp)
    found: Any = None if given.Value is None else given.Value.Value
    if not isinstance(found, ua.Annotation):
        return Refused(ua.StatusCodes.BadTypeMismatch)
    message, author = str(found.Message or ""), str(found.UserName or "")
    if not (_is_text(message) and _is_text(author)):
        return Refused(ua.StatusCodes.BadTypeMismatch)
    if len(message) > _LONGEST_TEXT or len(author) > _LONGEST_TEXT:
        return Refused(ua.StatusCodes.BadOutOfRange)
    at = ticks_of(found.AnnotationTime) or now
    return Annotation(ticks, at, user if change is Change.INSERT or not author else author, message)
