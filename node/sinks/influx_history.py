"""Deep history: what is older than the journal is read back from the InfluxDB that got it, by InfluxQL over /query.

That is understood by 1.x, 2.x (which needs a DBRP mapping of the bucket) and 3.x. Only the database is asked for times
before the journal's first sample of a tag; when it does not answer, that part of an answer is one sample without a
value and with Bad_NoCommunication, and the rest is there.
"""

from __future__ import annotations

import logging
from collections.abc import Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from address_space.model import Status, Value, is_bad, is_good
from node.historian.forwarding.feed import NO_ENTRY
from node.historian.history import EARLIEST, LATEST, Columns, History, Page, Position, interval
from node.sinks.base import SinkError
from node.sinks.influx_config import InfluxConfig
from node.sinks.influx_http import InfluxHttp, Unanswered
from node.sinks.line_protocol import INTEGER_MAX, INTEGER_MIN, MEASUREMENT, ns_from_ticks, ticks_from_ns

_LOG = logging.getLogger(__name__)

# A person waits for the answer, and behind it the local part.
TIMEOUT_S: Final = 10.0
# 1 ns inside of what InfluxDB can say.
_NS_MIN: Final = -(2**63) + 2
_NS_MAX: Final = 2**63 - 2
# The columns of an answer, after the time.
_FIELDS: Final = ("v", "i", "b", "s", "st", "cut")
_ROWS: Final = 10_000


@dataclass(frozen=True, slots=True)
class _Span:
    """Times from `low` to `high`, both included, in ticks."""

    low: int
    high: int

    def __bool__(self) -> bool:
        return self.low <= self.high


class InfluxArchive:
    """Samples of one site out of an InfluxDB."""

    def __init__(self, config: InfluxConfig, site: str) -> None:
        """Connects to nothing yet."""
        self._http = InfluxHttp(replace(config, timeout_s=min(config.timeout_s, TIMEOUT_S)))
        self._site = site
        self._opened = False

    async def close(self) -> None:
        """Let go of all connections."""
        self._opened = False
        await self._http.close()

    async def read(self, tag: str, low: int, high: int, limit: int, *, reverse: bool = False) -> Columns:
        """At most `limit` samples with times from `low` to `high`, both included, in the direction of travel.

        Raises Unanswered.
        """
        found = Columns()
        while len(found) < limit and low <= high:
            count = min(limit - len(found), _ROWS)
            rows = await self._rows(tag, low, high, count, reverse)
            try:
                for row in rows:
                    _append(found, row)
                last = ticks_from_ns(rows[-1][0]) if rows else 0
            except (TypeError, ValueError, OverflowError) as error:
                raise Unanswered(f"a sample in the answer makes no sense: {error}") from None
            if len(rows) < count:
                break
            low, high = (low, last - 1) if reverse else (last + 1, high)
        return found

    async def _rows(self, tag: str, low: int, high: int, limit: int, reverse: bool) -> list[Sequence[Any]]:
        if not self._opened:
            try:
                await self._http.open()
            except SinkError as error:
                raise Unanswered(str(error)) from None
            self._opened = True
        first, last = max(ns_from_ticks(low), _NS_MIN), min(ns_from_ticks(high), _NS_MAX)
        fields = ", ".join(f'"{name}"' for name in _FIELDS)
        results = await self._http.query(
            f'SELECT {fields} FROM "{MEASUREMENT}" WHERE "site" = {_quoted(self._site)} AND "node" = {_quoted(tag)}'  # noqa: S608
            f" AND time >= {first} AND time <= {last} ORDER BY time {'DESC' if reverse else 'ASC'} LIMIT {limit}"
        )
        try:
            series = results[0].get("series", [])
            return list(series[0]["values"]) if series else []
        except (LookupError, AttributeError, TypeError):
            raise Unanswered("the answer is not that of InfluxQL") from None


def _quoted(text: str) -> str:
    """A string literal of InfluxQL."""
    escaped = text.replace("\\", "\\\\").replace("'", "\\'").replace("\n", "\\n")
    return f"'{escaped}'"


def _append(into: Columns, row: Sequence[Any]) -> None:
    ns, v, i, b, s, st, cut = row
    status = int(st or 0)
    if status == NO_ENTRY:  # deleted
        return
    if cut is not None and is_good(status):
        status = int(Status.UNCERTAIN)  # a text that is not whole
    into.append(ticks_from_ns(ns), None if is_bad(status) else _value(v, i, b, s), status)


def _value(v: float | None, i: int | None, b: bool | None, s: str | None) -> Value | None:
    if b is not None:
        return bool(b)
    if i is not None:
        return int(s, 0) if s is not None and i in (INTEGER_MIN, INTEGER_MAX) else int(i)
    if s is not None:
        return str(s)
    return None if v is None else float(v)


class DeepHistory:
    """A `History` of which the newer part is the journal's and the older part comes from an InfluxDB."""

    def __init__(self, local: History, archive: InfluxArchive) -> None:
        self._local = local
        self._archive = archive

    async def close(self) -> None:
        """Let go of the connections to the database."""
        await self._archive.close()

    async def raw(
        self,
        tag: str,
        start: int | None,
        end: int | None,
        *,
        limit: int,
        reverse: bool = False,
        after: Position | None = None,
    ) -> Page:
        """See `History.raw`."""
        span = _Span(*interval(start, end, after, reverse=reverse))
        begin = await self._begin(tag)
        old = _Span(span.low, min(span.high, begin - 1))
        if not old:
            return await self._local.raw(tag, start, end, limit=limit, reverse=reverse, after=after)
        if reverse:
            return await self._back(tag, start, end, limit, after, span, old)
        return await self._forth(tag, end, limit, span, old, begin)

    async def _forth(self, tag: str, end: int | None, limit: int, span: _Span, old: _Span, begin: int) -> Page:
        """The old part, then the journal's."""
        columns, more = await self._old(tag, old, limit, reverse=False)
        if more:
            return Page(columns, Position(columns.ticks[-1]))
        if span.high < begin:
            return Page(columns, None)
        left = limit - len(columns)
        page = await self._local.raw(tag, begin, end, limit=max(left, 1))
        if not left:
            # Behind the old part altogether, also when it could not be read.
            return Page(columns, Position(begin - 1) if len(page.columns) else None)
        return Page(_joined(columns, page.columns), page.next)

    async def _back(
        self, tag: str, start: int | None, end: int | None, limit: int, after: Position | None, span: _Span, old: _Span
    ) -> Page:
        """The journal's part, then the old one."""
        newer = Columns()
        if span.high > old.high:
            page = await self._local.raw(tag, start, end, limit=limit, reverse=True, after=after)
            if page.next is not None:
                return page
            newer = page.columns
        left = limit - len(newer)
        columns, more = await self._old(tag, old, max(left, 1), reverse=True)
        if not left:
            return Page(newer, Position(old.high + 1) if len(columns) else None)
        whole = _joined(newer, columns)
        return Page(whole, Position(whole.ticks[-1]) if more else None)

    async def _old(self, tag: str, span: _Span, limit: int, *, reverse: bool) -> tuple[Columns, bool]:
        """At most `limit` old samples and whether there are more; one Bad sample when they cannot be read."""
        try:
            columns = await self._archive.read(tag, span.low, span.high, limit + 1, reverse=reverse)
        except Unanswered as error:
            _LOG.warning("history of %s before the journal cannot be read: %s", tag, error)
            return _unread(span.high if reverse or span.low == EARLIEST else span.low), False
        if len(columns) <= limit:
            return columns, False
        return Columns(columns.ticks[:limit], columns.values[:limit], columns.statuses[:limit]), True

    async def before(self, tag: str, ticks: int) -> Columns:
        """See `History.before`."""
        return await self.at_or_before(tag, ticks - 1)

    async def at_or_before(self, tag: str, ticks: int) -> Columns:
        """See `History.at_or_before`."""
        found = await self._local.at_or_before(tag, ticks)
        if len(found):
            return found
        return (await self._old(tag, _Span(EARLIEST, ticks), 1, reverse=True))[0]

    async def after(self, tag: str, ticks: int) -> Columns:
        """See `History.after`."""
        return await self.at_or_after(tag, ticks + 1)

    async def at_or_after(self, tag: str, ticks: int) -> Columns:
        """See `History.at_or_after`."""
        old = _Span(ticks, await self._begin(tag) - 1)
        if old:
            found, _ = await self._old(tag, old, 1, reverse=False)
            if len(found):
                return found
        return await self._local.at_or_after(tag, ticks)

    async def start_of_archive(self, tag: str) -> int | None:
        """See `History.start_of_archive`; the journal's own when the database does not answer."""
        begin = await self._local.start_of_archive(tag)
        try:
            oldest = await self._archive.read(tag, EARLIEST, LATEST if begin is None else begin - 1, 1)
        except Unanswered as error:
            _LOG.warning("the start of the history of %s is not known: %s", tag, error)
            return begin
        return oldest.ticks[0] if len(oldest) else begin

    async def _begin(self, tag: str) -> int:
        """The first time that is the journal's."""
        begin = await self._local.start_of_archive(tag)
        return LATEST if begin is None else begin


def _unread(ticks: int) -> Columns:
    columns = Columns()
    columns.append(ticks, None, int(Status.BAD_NO_COMMUNICATION))
    return columns


def _joined(first: Columns, second: Columns) -> Columns:
    return Columns(first.ticks + second.ticks, [*first.values, *second.values], first.statuses + second.statuses)
