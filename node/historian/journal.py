"""The journal: every changed sample of the historized points, on the local disk, and raw history out of it.

Offered samples wait in memory, bounded, until the next commit. When the disk does not take them and the memory is
full, the newest are lost and counted; for every point that lost some, history then says Bad_DataLost from the first
lost sample on, followed by the point's newest sample. Nothing here ever makes a driver wait.
"""

from __future__ import annotations

import asyncio
import logging
import sqlite3
from array import array
from collections.abc import Callable, Sequence
from functools import partial
from pathlib import Path
from typing import Final, TypeVar

from address_space.image import ProcessImage
from address_space.model import Batch, Clock
from node.historian.connection import Connection
from node.historian.damage import Damage
from node.historian.database import WrongDatabase, is_corrupt, move_aside, open_reader
from node.historian.frame import is_recordable
from node.historian.history import Columns, HistoryUnavailable, Page, Position
from node.historian.reader import Request, read
from node.historian.report import JournalState, Report
from node.historian.samples import Samples
from node.historian.writer import DATA_LOST, Writer

_LOG = logging.getLogger(__name__)
T = TypeVar("T")

# Samples in memory, written or not: 20 s of a site with 10,000 changes a second, about 12 MB.
QUEUE_SAMPLES: Final = 200_000
# One frame is encoded and written in a few milliseconds, and a failing disk is tried with no more than this.
FRAME_SAMPLES: Final = 16_384
# A disk that has not answered for this long is said to fail; cheap SD cards were seen to pause for some seconds.
STUCK_S: Final = 15.0
# How long a reader waits: longer than a page of a month of frames takes, shorter than clients' own time-outs.
READ_S: Final = 30.0
# At the end the last commit gets this long; the kernel kills a service after 90 s by default.
STOP_S: Final = 10.0

_EARLIEST: Final = -(2**63)
_LATEST: Final = 2**63 - 1
# With these the connections stay usable: the disk is full, or another program holds the file.
_PASSING: Final = frozenset({sqlite3.SQLITE_FULL, sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED})


class Journal:
    """Records the historized points of an image and answers raw history; a `History`.

    Samples are numbered as they are accepted, from 1 after every start: those up to `acknowledged` are on the disk.
    """

    def __init__(
        self,
        path: Path,
        image: ProcessImage,
        clock: Clock,
        *,
        commit_interval_s: float = 1.0,
        queue_samples: int = QUEUE_SAMPLES,
    ) -> None:
        """Touches no file yet. Raises KeyError when the image has no device `node` to report at."""
        self._path = path
        self._image = image
        self._clock = clock
        self._interval_s = commit_interval_s
        self._capacity = queue_samples
        self._paths = {slot: f"{device.id}.{point.id}" for device, point, slot in image if point.historize}
        self._slots = {tag: slot for slot, tag in self._paths.items()}
        self._historized = bytearray(image.size)
        for slot in self._paths:
            self._historized[slot] = 1
        self._waiting = Samples()
        self._writing = Samples()
        self._gaps: dict[int, int] = {}  # slot -> time of its first lost sample
        self._accepted = 0
        self.acknowledged = 0
        self.lost = 0
        self.damage = Damage()
        self._report = Report(image, clock)
        self._began = False  # the file was opened once: what was lost later is known by itself
        self._lock = asyncio.Lock()
        self._hop: asyncio.Future[int] | None = None
        self._writer: Writer | None = None
        self._connection: Connection | None = None
        self._reader: Connection | None = None
        self._tags = array("i")  # by slot

    @property
    def accepted(self) -> int:
        """How many samples were taken into memory since the start."""
        return self._accepted

    @property
    def state(self) -> JournalState:
        """As the node's point `journal_state`."""
        return self._report.state

    @property
    def error(self) -> str:
        """Why the last commit failed; empty when it did not."""
        return self._report.error

    # --- recording

    def offer(self, batch: Batch, changed: Sequence[int]) -> None:
        """Take the changed samples of historized points; a tap of the image. Never waits, never raises for a value."""
        slots, historized = batch.slots, self._historized
        for position in changed:
            slot = slots[position]
            if historized[slot]:
                self._put(slot, batch.values[position], batch.statuses[position], batch.ticks)

    def _put(self, slot: int, value: object, status: int, ticks: int) -> None:
        if not (value is None or isinstance(value, bool | int | float | str)) or self._full or slot in self._gaps:
            self.lost += 1
            self._gaps.setdefault(slot, ticks)
            return
        self._waiting.append(slot, value, status, ticks)
        self._accepted += 1

    @property
    def _full(self) -> bool:
        return len(self._waiting) + len(self._writing) >= self._capacity

    async def run(self) -> None:
        """Commit at every interval until cancelled, then once more; runs for as long as the node does."""
        try:
            while True:
                await self.flush()
                await self._clock.sleep(self._interval_s)
        finally:
            await self.stop()

    async def flush(self) -> bool:
        """Commit all that was offered before; False when the disk does not take it (it is tried again later)."""
        async with self._lock:
            goal = self._accepted
            try:
                writer, connection = await self._opened()
                while self.acknowledged < goal:
                    await self._commit(writer, connection)
            except (sqlite3.Error, OSError, WrongDatabase) as error:
                self._report.failed(f"{self._path}: {error}", self.acknowledged, self.lost)
                await self._after(error)
                return False
            self._fill_gaps()
            self._report.recorded(self.acknowledged, self.lost)
            return True

    async def _commit(self, writer: Writer, connection: Connection) -> None:
        if not self._writing:
            self._writing = self._waiting.take(FRAME_SAMPLES)
        part = self._writing
        tags = array("i", [self._tags[slot] for slot in part.slots])
        work = partial(writer.append, tags, part.ticks, part.values, part.statuses)
        await self._answered(asyncio.ensure_future(connection.run(lambda _connection: work())))
        self.acknowledged += len(part)
        self._writing = Samples()

    async def _answered(self, hop: asyncio.Future[int]) -> int:
        """Result of work on the disk, however long it takes; a long wait is reported."""
        self._hop = hop
        waited = 0.0
        while True:
            done, _ = await asyncio.wait({hop}, timeout=STUCK_S)
            if done:
                self._hop = None
                return hop.result()
            waited += STUCK_S
            text = f"{self._path}: the disk has not answered for {waited:.0f} s"
            self._report.failed(text, self.acknowledged, self.lost)

    def _fill_gaps(self) -> None:
        """Say in history what was lost, now that there is room; half of it, so that new samples find room too."""
        room = (self._capacity - len(self._waiting)) // 4
        for slot, ticks in list(self._gaps.items())[:room]:
            del self._gaps[slot]
            newest = self._image.sample(slot)
            self._put(slot, None, DATA_LOST, ticks)
            if is_recordable(newest.value):
                self._put(slot, newest.value, newest.status, newest.ticks)

    # --- the file

    async def _opened(self) -> tuple[Writer, Connection]:
        """The open file; one that is broken is moved aside first. Raises WrongDatabase, sqlite3.Error, OSError."""
        if self._writer is not None and self._connection is not None and self._reader is not None:
            return self._writer, self._connection
        await self._close()
        made: list[Writer] = []
        self._connection = await Connection.opened(partial(self._open, made))
        self._writer = made[0]
        self._reader = await Connection.opened(partial(open_reader, self._path))
        ids = self._writer.tags
        self._tags = array("i", [ids[self._paths[s]] if s in self._paths else 0 for s in range(self._image.size)])
        return self._writer, self._connection

    def _open(self, made: list[Writer]) -> sqlite3.Connection:
        try:
            made.append(Writer(self._path, self._paths.values(), self.damage))
        except sqlite3.DatabaseError as error:
            if not is_corrupt(error):
                raise
            self._begin_anew(error)
            made.append(Writer(self._path, self._paths.values(), self.damage))
        if not self._began:
            made[0].mark_gap()
            self._began = True
        return made[0].connection

    async def _after(self, error: Exception) -> None:
        """Let go of a file that failed, so that the next commit opens it anew; keep it where that helps nothing."""
        if getattr(error, "sqlite_errorcode", 0) & 0xFF in _PASSING:
            return
        await self._close()
        if is_corrupt(error):
            try:
                self._begin_anew(error)
            except OSError as second:
                _LOG.debug("%s is broken and cannot be moved aside: %s", self._path, second)

    def _begin_anew(self, error: Exception) -> None:
        aside = move_aside(self._path, self._clock.now())
        _LOG.error("%s is broken (%s): moved to %s, a new journal begins", self._path, error, aside)

    async def _close(self) -> None:
        connections = [c for c in (self._reader, self._connection) if c is not None]
        self._reader = self._connection = self._writer = None
        for connection in connections:
            if not await connection.end(STOP_S):
                _LOG.warning("%s was not closed: the disk does not answer", self._path)

    async def stop(self) -> None:
        """Commit what waits and close the file; `run` does it at its end. Takes a bounded time."""
        await self._settle()
        try:
            async with asyncio.timeout(STOP_S):
                # Filling a gap in history offers samples of its own.
                while (self._waiting or self._writing) and await self.flush():
                    pass
        except TimeoutError:
            _LOG.error("%s: the disk does not answer, the last samples are not written", self._path)
        await self._close()

    async def _settle(self) -> None:
        """Wait for a commit whose waiter was cancelled, and count it when it came through."""
        hop = self._hop
        if hop is None:
            return
        await asyncio.wait({hop}, timeout=STOP_S)
        if hop.done():
            self._hop = None
            if hop.exception() is None:
                self.acknowledged += len(self._writing)
                self._writing = Samples()

    # --- reading

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
        if reverse:
            low, high = (_EARLIEST if end is None else end + 1), (_LATEST if start is None else start)
            high = high if after is None else min(high, after.ticks - 1)
        else:
            low, high = (_EARLIEST if start is None else start), (_LATEST if end is None else end - 1)
            low = low if after is None else max(low, after.ticks + 1)
        if low > high:
            return Page(Columns(), None)
        return await self._read(Request(tag, low, high, limit, reverse))

    async def before(self, tag: str, ticks: int) -> Columns:
        """See `History.before`."""
        return await self.at_or_before(tag, ticks - 1)

    async def at_or_before(self, tag: str, ticks: int) -> Columns:
        """See `History.at_or_before`."""
        return (await self.raw(tag, ticks, None, limit=1, reverse=True)).columns

    async def after(self, tag: str, ticks: int) -> Columns:
        """See `History.after`."""
        return await self.at_or_after(tag, ticks + 1)

    async def at_or_after(self, tag: str, ticks: int) -> Columns:
        """See `History.at_or_after`."""
        return (await self.raw(tag, ticks, None, limit=1)).columns

    async def start_of_archive(self, tag: str) -> int | None:
        """See `History.start_of_archive`."""
        oldest = (await self.raw(tag, None, None, limit=1)).columns
        return oldest.ticks[0] if oldest else None

    async def _read(self, request: Request) -> Page:
        if self._reader is None and self.state is JournalState.OFF:
            await self.flush()  # somebody asks before the first commit has opened the file
        if self._reader is None:
            raise HistoryUnavailable(self.error or f"{self._path} is not open")
        waiting = Columns()
        slot = self._slots.get(request.tag)
        if slot is not None:
            self._writing.copy_of(slot, request.low, request.high, waiting)
            self._waiting.copy_of(slot, request.low, request.high, waiting)
        work: Callable[[sqlite3.Connection], Page] = partial(read, request=request, waiting=waiting, damage=self.damage)
        try:
            async with asyncio.timeout(READ_S):
                return await self._reader.run(work)
        except (sqlite3.Error, TimeoutError, ValueError) as error:
            text = str(error) or f"no answer within {READ_S:.0f} s"
            raise HistoryUnavailable(f"{self._path}: {text}") from error
