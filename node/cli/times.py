"""Times as people read and write them: local, always with their offset from UTC."""

from __future__ import annotations

from datetime import UTC, date, datetime, timedelta
from functools import lru_cache
from typing import Final

from address_space.model import TICKS_PER_MS, TICKS_PER_S, ticks_to_datetime
from drivers.duration import duration_s

_DAY: Final = 86_400 * TICKS_PER_S


def shown(ticks: int | None) -> str:
    """`2026-11-21 10:00:00.123+01:00` of OPC UA ticks, in this machine's time zone; `-` for none."""
    if ticks is None:
        return "-"
    try:
        moment = ticks_to_datetime(ticks).astimezone()
    except (OverflowError, ValueError, OSError):
        return "out of range"
    return moment.isoformat(" ", "milliseconds")


def shown_short(ticks: int) -> str:
    """`10:00:00` of OPC UA ticks in this machine's time zone, with the date when that is not today's."""
    try:
        moment = ticks_to_datetime(ticks).astimezone()
    except (OverflowError, ValueError, OSError):
        return "out of range"
    today = moment.date() == datetime.now().astimezone().date()
    return f"{moment:%H:%M:%S}" if today else f"{moment:%Y-%m-%d %H:%M}"


def iso_utc(ticks: int) -> str:
    """`2026-11-21T09:00:00.123Z` of OPC UA ticks; all seven digits where it is no whole millisecond."""
    days, in_day = divmod(ticks, _DAY)
    seconds, rest = divmod(in_day, TICKS_PER_S)
    fraction = f"{rest:07d}" if rest % TICKS_PER_MS else f"{rest // TICKS_PER_MS:03d}"
    day = _date(days)
    if day is None:
        return "out of range"
    return f"{day}T{seconds // 3600:02d}:{seconds // 60 % 60:02d}:{seconds % 60:02d}.{fraction}Z"


@lru_cache(maxsize=16)
def _date(days: int) -> str | None:
    """Date of so many days after 1601-01-01; None beyond the calendar."""
    try:
        return (date(1601, 1, 1) + timedelta(days)).isoformat()
    except OverflowError:
        return None


def moment(text: str) -> datetime:
    """An ISO time; one without an offset is this machine's local time. Raises ValueError."""
    try:
        return datetime.fromisoformat(text).astimezone()
    except ValueError as error:
        raise ValueError(f"{text!r} is no time; write 2026-11-21T10:00 or 2026-11-21T10:00:00+01:00") from error


def period(last: str | None, start: str | None, end: str | None, now: datetime) -> tuple[datetime, datetime]:
    """From when to when: the `last` 5m before `end`, or from `start` to `end`; `end` is now by default.

    Raises ValueError for a time or duration that is none, for both or neither of `last` and `start`, and for a start
    after the end.
    """
    until = now.astimezone(UTC) if end is None else moment(end)
    if last is not None and start is not None:
        raise ValueError("use --last or --from, not both")
    since = moment(start) if start is not None else until - timedelta(seconds=duration_s(last or "5m"))
    if since >= until:
        raise ValueError(f"the start, {since.isoformat()}, is not before the end, {until.isoformat()}")
    return since, until
