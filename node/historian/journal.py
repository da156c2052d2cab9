"""The journal: every changed sample of the historized points, on the local disk, and raw history out of it.

Offered samples wait in memory, bounded, until the next commit (intake.py). Nothing here ever makes a driver wait.
"""

from __future__ import annotations

import asyncio
import sqlite3
from collections.abc import Callable, Collection, Sequence
from functools import partial
from pathlib import Path
from typing import Final, Protocol, TypeVar

from address_space.image import ProcessImage
from address_space.model import Batch, Clock, RecordingRule
from node.historian.edits import Edits
from node.historian.event_log import EventMark, EventPage, EventRecord
from node.historian.events import Events
from node.historian.figures import Figures
from node.historian.history import Columns, HistoryUnavailable, Page
from node.historian.intake import Intake
from node.historian.raw import RawHistory
from node.historian.recording import Recording
from node.historian.report import JournalState, Report
from node.historian.store.compactor import Compactor
from node.historian.store.connection import Connection
from node.historian.store.damage import Damage
from node.historian.store.database import LOG_PAGES, LOG_PAGES_SD, WrongDatabase, is_corrupt, is_full
from node.historian.store.disk import STOP_S, Disk
from node.historian.store.keeper import Keeper
from node.historian.store.mending import is_garbled
from node.historian.store.reader import Reader, Request
from node.historian.store.retention_rule import RetentionRule
from node.historian.store.writer import Also, Writer

T = TypeVar("T")

# Samples in memory, written or not: 20 s of a site with 10,000 changes a second, about 12 MB.
QUEUE_SAMPLES: Final = 200_000
# One frame is encoded and written in a few milliseconds, and a failing disk is tried with no more than this.
FRAME_SAMPLES: Final = 16_384
# A disk that has not answered for this long is said to fail; cheap SD cards were seen to pause for some seconds.
STUCK_S: Final = 15.0
# How long a caller waits: longer than a large page takes, shorter than clients' own time-outs.
ANSWER_S: Final = 30.0
# After the bell a commit waits for what comes with it: alarms come in groups, and each commit is a sync of the disk.
EARLY_S: Final = 0.05


class Companion(Protocol):
    """Something that is committed together with samples, in the same transaction: events."""

    def take(self) -> Also | None:
        """Work that writes what waits now; the same again until `written`. None when nothing waits."""
        ...

    def written(self) -> None:
        """What was taken is on the disk."""
        ...


class Journal:
    """Records the historized points of an image; a `History`, an `Editor` and an `EventLog`.

    Samples are numbered as they are accepted, from 1 after every start: those up to `acknowledged` are on the disk.
    `committed` is called, on the event loop, after every commit; `companions` write in the transactions of commits.
    """

    def __init__(
        self,
        path: Path,
        image: ProcessImage,
        clock: Clock,
        *,
        commit_interval_s: float = 1.0,
        queue_samples: int = QUEUE_SAMPLES,
        default_rule: RecordingRule | None = None,
        retention: RetentionRule = RetentionRule(),  # noqa: B008  # frozen
        sinks: Collection[str] = (),
        sd_card: bool = False,
    ) -> None:
        """Touches no file yet. Raises KeyError when the image has no device `node` to report at.

        `sinks` are those of the site: what they have not taken is deleted last.
        """
        self._path = path
        self._clock = clock
        self._interval_s = commit_interval_s
        self._paths = {slot: f"{device.id}.{point.id}" for device, point, slot in image if point.historize}
        self._slots = {tag: slot for slot, tag in self._paths.items()}
        self._intake = Intake(image, queue_samples)
        self._recording = Recording(image, clock, self._intake.put, default_rule)
        self.acknowledged = 0
        self.damage = Damage()
        self._reader = Reader(self.damage)
        self._disk = Disk(path, self._slots.keys(), clock, self.damage, LOG_PAGES_SD if sd_card else LOG_PAGES)
        self._compactor = Compactor(self.on_disk, self._disk, clock, self.damage)
        self.committed: list[Callable[[], None]] = []
        self.event_log = Events(self, self.ring, self.damage)
        self.companions: list[Companion] = [self.event_log]
        history = RawHistory(self._read)
        self.raw, self.start_of_archive = history.raw, history.start_of_archive
        self.before, self.at_or_before = history.before, history.at_or_before
        self.after, self.at_or_after = history.after, history.at_or_after
        edits = Edits(self.on_disk, self.read_disk, self.flush, clock, self.damage)
        self.write, self.delete, self.delete_at = edits.write, edits.delete, edits.delete_at
        self.modified, self.delete_modified = edits.modified, edits.delete_modified
        self.annotate, self.annotations = edits.annotate, edits.annotations
        self._report = Report(image, clock)
        watch = self._recording.watch
        self.keeper = Keeper(self.on_disk, path, retention, clock, watch, self._intake, sinks)
        self._figures = Figures(image, clock, self.keeper, self.event_log, self.damage, watch)
        self._lock = asyncio.Lock()  # one commit at a time
        self._bell = asyncio.Event()
        self._hop: asyncio.Future[int] | None = None
        self._hop_also: list[Companion] = []  # who writes with the commit that is on its way

    @property
    def accepted(self) -> int:
        """How many samples were taken into memory since the start."""
        return self._intake.accepted

    @property
    def lost(self) -> int:
        """How many samples were lost since the start: not taken, or deleted before every sink had them."""
        return self._intake.lost + self.keeper.deleted.unsent

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
        self._recording.offer(batch, changed)

    def offer_event(self, event: EventRecord) -> None:
        """See `EventLog.offer_event`."""
        self.event_log.offer_event(event)

    def ring(self) -> None:
        """Ask `run` for a commit ahead of the interval."""
        self._bell.set()

    async def run(self) -> None:
        """Commit at every interval and compact until cancelled, then commit once more; runs as long as the node."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._commit_on())
                tasks.create_task(self._compactor.run())
                tasks.create_task(self._recording.run())
                tasks.create_task(self.keeper.run())
        finally:
            await self.stop()

    async def _commit_on(self) -> None:
        while True:
            self._bell.clear()
            await self.flush()
            await self._interval()

    async def _interval(self) -> None:
        """Wait for the time of the next commit, which the bell brings nearer."""
        waits = [
            asyncio.ensure_future(self._clock.sleep(self._interval_s)),
            asyncio.ensure_future(self._bell.wait()),
        ]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()
        if self._bell.is_set():
            await self._clock.sleep(min(EARLY_S, self._interval_s))

    async def flush(self) -> bool:
        """Commit all that was offered before; False when the disk does not take it (it is tried again later)."""
        async with self._lock:
            goal = self.accepted
            try:
                writer, connection = await self._disk.opened()
                also = self._also()
                while also or self.acknowledged < goal:
                    await self._commit(writer, connection, also)
                    also = []
            except (sqlite3.Error, OSError, WrongDatabase) as error:
                self._report.failed(f"{self._path}: {error}", self.acknowledged, self.lost)
                if is_full(error):
                    self.keeper.disk_full()
                await self._disk.after(error)
                return False
            self._intake.fill_gaps()
            if self.keeper.full:
                self._report.failed(self.keeper.full, self.acknowledged, self.lost)
            else:
                self._report.recorded(self.acknowledged, self.lost)
            self._figures.show()
            return True

    def _also(self) -> list[tuple[Companion, Also]]:
        taken = [(companion, companion.take()) for companion in self.companions]
        return [(companion, work) for companion, work in taken if work is not None]

    async def _commit(self, writer: Writer, connection: Connection, also: Sequence[tuple[Companion, Also]]) -> None:
        part = self._intake.take(FRAME_SAMPLES)
        tags = [self._paths[slot] for slot in part.slots]
        extra = [work for _, work in also]
        append = partial(writer.append, tags, part.ticks, part.values, part.statuses, extra)
        self._hop_also = [companion for companion, _ in also]
        await self._answered(asyncio.ensure_future(connection.run(lambda _connection: append())))
        self._written()

    def _written(self) -> None:
        count = len(self._intake.writing)
        self.acknowledged += count
        self._compactor.committed(count)
        self._intake.written()
        for companion in self._hop_also:
            companion.written()
        for call in self.committed:
            call()

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

    async def stop(self) -> None:
        """Commit what waits and close the file; `run` does it at its end. Takes a bounded time."""
        await self._settle()
        self._recording.finish()
        try:
            async with asyncio.timeout(STOP_S):
                # Filling a gap in history offers samples of its own.
                while (self._intake or self._also()) and await self.flush():
                    pass
        except TimeoutError:
            self._report.failed(f"{self._path}: the disk does not answer", self.acknowledged, self.lost)
        await self._disk.close()

    async def _settle(self) -> None:
        """Wait for a commit whose waiter was cancelled, and count it when it came through."""
        hop = self._hop
        if hop is None:
            return
        await asyncio.wait({hop}, timeout=STOP_S)
        if hop.done():
            self._hop = None
            if hop.exception() is None:
                self._written()

    async def compact(self) -> None:
        """Make blocks of all that is committed, now; raises HistoryUnavailable."""
        await self._compactor.compact()

    # --- work of others on the file

    async def on_disk(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of `work` on the connection that writes, between two commits; raises HistoryUnavailable.

        The work makes its own transaction (`database.Transaction`) and takes some milliseconds at most: commits wait
        for it. After a time-out it may still come to be done.
        """
        return await self._worked(work, lambda: self._disk.writing)

    async def read_disk(self, work: Callable[[sqlite3.Connection], T]) -> T:
        """Result of `work` on the connection that reads; raises HistoryUnavailable."""
        mended = self._disk.mended
        try:
            return await self._worked(work, lambda: self._disk.reading)
        except HistoryUnavailable:
            if mended == self._disk.mended:
                raise
            return await self._worked(work, lambda: self._disk.reading)  # what it met is gone

    async def _worked(self, work: Callable[[sqlite3.Connection], T], on: Callable[[], Connection | None]) -> T:
        if on() is None and self.state is JournalState.OFF:
            await self.flush()  # somebody asks before the first commit has opened the file
        connection = on()
        if connection is None:
            raise HistoryUnavailable(self.error or f"{self._path} is not open")
        try:
            async with asyncio.timeout(ANSWER_S):
                return await connection.run(work)
        except (sqlite3.Error, OSError, ValueError, TypeError, OverflowError) as error:
            # A time-out is an OSError too; a connection that was closed meanwhile says ValueError.
            if is_corrupt(error):
                await self._disk.after(error, connection)
            elif is_garbled(error) and not await self._disk.mend() and not isinstance(error, sqlite3.Error):
                raise  # no row of the file is to blame for it
            text = str(error) or f"no answer within {ANSWER_S:.0f} s"
            raise HistoryUnavailable(f"{self._path}: {text}") from error

    # --- reading

    async def events(
        self, start: int | None, end: int | None, *, limit: int, reverse: bool = False, after: EventMark | None = None
    ) -> EventPage:
        """See `EventLog.events`."""
        return await self.event_log.events(start, end, limit=limit, reverse=reverse, after=after)

    async def _read(self, request: Request) -> Page:
        slot = self._slots.get(request.tag)
        if self._disk.reading is None and self.state is JournalState.OFF:
            await self.flush()
        waiting = Columns() if slot is None else self._intake.copy_of(slot, request.low, request.high)
        return await self.read_disk(partial(self._reader.read, request=request, waiting=waiting))
