"""Where `gridnode history` reads: a running node over OPC UA, or the journal's file."""

from __future__ import annotations

from collections.abc import AsyncIterator, Mapping, Sequence
from contextlib import suppress
from datetime import datetime
from difflib import get_close_matches
from typing import Final, Protocol

from address_space.history_configuration import stepped
from address_space.model import DeviceModel, Point, PointKind, Value, is_bad, ticks_to_datetime
from address_space.system import bus_model, node_model, sink_model
from address_space.units import UNITS
from node.cli.points import fits, fitting, is_pattern
from node.cli.values import texts_of
from node.client import NodeClient, RemotePoint
from node.client_reading import ClientError, Reading
from node.historian.aggregates import Aggregate, AggregateError, Configuration, Result, at_time, processed
from node.historian.file.journal_file import JournalFile
from node.historian.history import Columns
from node.historian.recording import rule_of
from node.site import Site

_PAGE: Final = 10_000
_SHOWN: Final = 12  # points that are named when one is not there


class Source(Protocol):
    """History by path. Times are ticks; all raise ClientError, the file's HistoryUnavailable too."""

    async def find(self, words: Sequence[str]) -> Sequence[str]:
        """Paths that the words name, or that are recorded and fit them as patterns; each once."""
        ...

    async def describe(self, paths: Sequence[str]) -> Sequence[RemotePoint]:
        """Units and texts of points."""
        ...

    def raw(self, path: str, start: int, end: int) -> AsyncIterator[Reading]:
        """The sample that held at `start` with its own time, then all to `end`; one behind `end` may come last."""
        ...

    def processed(self, path: str, aggregate: Aggregate, start: int, end: int, interval: int) -> AsyncIterator[Reading]:
        """An aggregate over each interval; 0 is one interval."""
        ...

    def at_time(self, path: str, times: Sequence[int]) -> AsyncIterator[Reading]:
        """The value at each time."""
        ...


class NodeSource:
    """A running node."""

    def __init__(self, client: NodeClient) -> None:
        self._client = client
        self.raw, self.processed = client.history.raw, client.history.processed
        self.at_time = client.history.at_time

    async def find(self, words: Sequence[str]) -> Sequence[str]:
        """See `Source.find`."""
        patterns = [word for word in words if is_pattern(word)]
        there = [path for path, _ in await fitting(self._client, patterns)] if patterns else []
        recorded = await self._client.recorded(there) if there else frozenset()
        return _expanded(words, [path for path in there if path in recorded])

    async def describe(self, paths: Sequence[str]) -> Sequence[RemotePoint]:
        """See `Source.describe`."""
        return await self._client.describe([(path, path) for path in paths])


class JournalSource:
    """A journal's file; what its points are is in the site, if there is one."""

    def __init__(self, file: JournalFile, site: Site | None) -> None:
        self._file = file
        self._models = _models(site) if site is not None else {}
        self._rule = site.history.record if site is not None else None

    async def find(self, words: Sequence[str]) -> Sequence[str]:
        """See `Source.find`."""
        return _expanded(words, self._file.tags())

    async def describe(self, paths: Sequence[str]) -> Sequence[RemotePoint]:
        """See `Source.describe`."""
        tags = self._file.tags()
        for path in paths:
            if path not in tags:
                raise ClientError(f"{self._file.path} has nothing of {path!r}; it has {_some(path, sorted(tags))}")
        return [self._remote(path) for path in paths]

    def _remote(self, path: str) -> RemotePoint:
        point = self._point(path)
        if point is None:
            return RemotePoint(path, path)
        unit = UNITS.get(point.unit or "")
        return RemotePoint(
            path, point.label, unit.display_name if unit is not None else "", texts_of(point.enumeration)
        )

    def _point(self, path: str) -> Point | None:
        device, _, point = path.partition(".")
        model = self._models.get(device)
        position = None if model is None else model.index.get(point)
        return None if model is None or position is None else model.points[position]

    async def raw(self, path: str, start: int, end: int) -> AsyncIterator[Reading]:
        """See `Source.raw`."""
        is_time = self._is_time(path)
        for reading in _readings(await self._file.before(path, start), is_time):
            page = await self._file.raw(path, start, start + 1, limit=1)
            if not len(page.columns):  # else there is a sample of just that time
                yield reading
        after = None
        while True:
            page = await self._file.raw(path, start, end + 1, limit=_PAGE, after=after)
            for reading in _readings(page.columns, is_time):
                yield reading
            after = page.next
            if after is None:
                return

    async def processed(
        self, path: str, aggregate: Aggregate, start: int, end: int, interval: int
    ) -> AsyncIterator[Reading]:
        """See `Source.processed`."""
        annotations = None
        if aggregate is Aggregate.ANNOTATION_COUNT:
            annotations = self._file.annotation_times(path, start, end)
        results = processed(
            self._file,
            path,
            aggregate,
            start=start,
            end=end,
            interval=interval,
            configuration=self._configuration(path),
            annotations=annotations,
        )
        try:
            async for result in results:
                yield self._reading(path, result)
        except AggregateError as error:
            raise ClientError(f"{path}: {error}") from error

    async def at_time(self, path: str, times: Sequence[int]) -> AsyncIterator[Reading]:
        """See `Source.at_time`."""
        async for result in at_time(self._file, path, times, configuration=self._configuration(path)):
            yield self._reading(path, result)

    def _configuration(self, path: str) -> Configuration:
        point = self._point(path)
        return Configuration(stepped=point is None or stepped(point, rule_of(point, self._rule)))

    def _reading(self, path: str, result: Result) -> Reading:
        return _reading(result.ticks, result.value, result.status, self._is_time(path))

    def _is_time(self, path: str) -> bool:
        point = self._point(path)
        return point is not None and point.kind is PointKind.TIME


def _models(site: Site) -> Mapping[str, DeviceModel]:
    own = {bus.id: bus_model() for bus in site.buses} | {sink.id: sink_model() for sink in site.sinks}
    return {device.id: device.model for device in site.devices} | own | {"node": node_model()}


def _expanded(words: Sequence[str], recorded: Sequence[str]) -> Sequence[str]:
    """The words, each pattern replaced by what is recorded and fits it. Raises ClientError when that is nothing."""
    found: dict[str, None] = {}
    for word in words:
        paths = [path for path in recorded if fits(path, word)] if is_pattern(word) else [word]
        if not paths:
            raise ClientError(f"nothing that fits {word!r} is recorded")
        found |= dict.fromkeys(paths)
    return list(found)


def _some(path: str, tags: Sequence[str]) -> str:
    """The tags that are likeliest meant, or the first ones."""
    shown = get_close_matches(path, tags, _SHOWN) or tags[:_SHOWN]
    more = len(tags) - len(shown)
    return (", ".join(shown) or "nothing yet") + (f" and {more} others" if more else "")


def _readings(columns: Columns, is_time: bool) -> list[Reading]:
    samples = zip(columns.ticks, columns.values, columns.statuses, strict=True)
    return [_reading(ticks, value, status, is_time) for ticks, value, status in samples]


def _reading(ticks: int, value: Value | None, status: int, is_time: bool) -> Reading:
    shown: Value | datetime | None = None if is_bad(status) else value
    if is_time and type(shown) is int:
        with suppress(OverflowError, ValueError):  # a time that no calendar has stays a number
            shown = ticks_to_datetime(shown)
    return Reading(shown, status, ticks)
