"""What a client gets of a node: samples out of DataValues, and errors as sentences."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any

from asyncua import ua

from address_space.model import Value, ticks_from_datetime


class ClientError(Exception):
    """Something could not be done on the node; the text says what and what to do."""


class NodeGone(ClientError):
    """The node does not answer, or no longer; it may be back later."""


@dataclass(frozen=True, slots=True)
class Reading:
    """A sample as it came over the wire; `value` is None when its status is Bad.

    A point in time is a datetime in UTC.
    """

    value: Value | datetime | None
    status: int
    ticks: int | None  # source time


def status_text(status: int) -> str:
    """Name of a status code as the standard spells it; info bits do not change it."""
    return ua.StatusCode(ua.UInt32(status & 0xFFFF_0000)).name


def reading_of(value: ua.DataValue) -> Reading:
    """The sample of a DataValue; a status code as a value is its number."""
    plain: Any = value.Value.Value if value.Value is not None else None
    if isinstance(plain, ua.LocalizedText):
        plain = plain.Text
    elif isinstance(plain, ua.StatusCode):
        plain = int(plain.value)
    elif isinstance(plain, datetime):
        plain = _utc(plain)
    moment = value.SourceTimestamp
    return Reading(plain, code_of(value), None if moment is None else ticks_from_datetime(_utc(moment)))


def code_of(value: ua.DataValue) -> int:
    """Status code of a DataValue; Good when it has none."""
    return int(value.StatusCode.value) if value.StatusCode is not None else 0


def _utc(moment: datetime) -> datetime:
    return moment if moment.tzinfo is not None else moment.replace(tzinfo=UTC)
