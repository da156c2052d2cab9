"""Feeds one sink out of the journal: in the journal's order, for as long as it takes, at the sink's own pace.

The cursor on the disk follows what is known to be stored, some seconds behind; what was stored and is not yet in the
cursor is stored again after a crash. While much has queued up, the newest samples are sent early, too, so that people
see today's plant during the replay of yesterday's; the replay sends them again in their turn, so that of two samples
of one time the later always stands in the end.
"""

from __future__ import annotations

import asyncio
import logging
from random import Random
from typing import Final

from address_space.model import TICKS_PER_S, Clock, Publisher
from node.historian.forwarding.delivery import PROBE_S, Delivery, Refusing
from node.historian.forwarding.feed import START, Feed, Mark, Portion
from node.historian.forwarding.sink_report import SinkReport, SinkState
from node.historian.history import HistoryUnavailable
from node.sinks.base import Lines, Sink, SinkConfig

_LOG = logging.getLogger(__name__)

# A clock that was never set starts at 1970 or 2000 (no battery): before this it is not to be believed.
CLOCK_SET: Final = 133_485_408_000_000_000  # 2024-01-01 in ticks
_CLOCK_S: Final = 5.0  # how often it is looked at until then
# Samples that are read and sent before the next look at the newest ones.
PORTION: Final = 10_000
# So few are encoded where we are: a thread would take longer.
_HERE: Final = 1_000
# The cursor is written after so long or so many; each time costs a page of the disk.
SAVE_S: Final = 5.0
_SAVE_SAMPLES: Final = 200_000
_OBSERVE_S: Final = 5.0
# How long a wait for new samples lasts without being woken.
_IDLE_S: Final = 5.0
_UNAVAILABLE_S: Final = 5.0
_OPENING_S: Final = 0.5  # how often a journal that is not open yet is asked for the length of the queue
_EARLY_S: Final = 1.0  # how often the newest samples are sent early


class Forwarder:
    """One sink's way through the journal."""

    def __init__(
        self,
        feed: Feed,
        sink: Sink,
        config: SinkConfig,
        publisher: Publisher,
        clock: Clock,
        random: Random | None = None,
    ) -> None:
        """Raises KeyError when the site has no device for the sink."""
        self._feed = feed
        self._sink = sink
        self._id = config.id
        self._rate = config.replay_rate
        self._portion = PORTION if self._rate is None else min(PORTION, max(int(self._rate), 500))
        self._clock = clock
        self.report = SinkReport(publisher, clock, config)
        # Not for secrets: so that not all nodes come at once.
        self._delivery = Delivery(sink, config, clock, random or Random(), self.report.heard)  # noqa: S311
        self._mark: Mark | None = None  # up to here everything is in the sink; None when the cursor is to be read
        self._saved = START
        self._saved_at = 0.0
        self._unsaved = 0
        self._early: Mark | None = None  # up to here the newest were sent early
        self._early_at = 0.0
        self._news = asyncio.Event()

    def wake(self) -> None:
        """There are new samples; called after every commit."""
        self._news.set()

    async def run(self) -> None:
        """Forward until cancelled; what is stored then is in the cursor."""
        try:
            async with asyncio.TaskGroup() as tasks:
                tasks.create_task(self._observe())
                await self._forward()
        finally:
            try:
                await self._save()
            except HistoryUnavailable as error:
                _LOG.debug("sink %s: its cursor is not written: %s", self._id, error)
            await self._delivery.close()

    async def _forward(self) -> None:
        while True:
            try:
                await self._step()
            except HistoryUnavailable as error:
                _LOG.debug("sink %s: the journal cannot be read: %s", self._id, error)
                await self._clock.sleep(_UNAVAILABLE_S)
            except Refusing as error:
                self.report.changed(SinkState.REFUSED, str(error))
                await self._clock.sleep(PROBE_S)

    async def _step(self) -> None:
        if self._clock.now() < CLOCK_SET:
            self.report.changed(SinkState.WAITING_FOR_TIME, "the clock of this machine is not set yet")
            await self._clock.sleep(_CLOCK_S)
            return
        mark = await self._place()
        self._news.clear()
        portion = await self._feed.read(mark, limit=self._portion)
        if portion is None:
            self._early = None
            self.report.changed(SinkState.FORWARDING)
            await self._save()
            await self._more()
            return
        began = self._clock.monotonic()
        full = len(portion.samples) >= self._portion
        await self._bring(portion)
        if full:
            self.report.changed(SinkState.REPLAYING)
            await self._send_newest()
            await self._pace(len(portion.samples), began)
        else:
            self._early = None
            self.report.changed(SinkState.FORWARDING)

    async def _bring(self, portion: Portion) -> None:
        delivered = await self._delivery.bring(await self._encoded(portion))
        if await self._begun_anew():
            return
        if delivered.refused:
            await self._feed.quarantine(self._id, delivered.refused, portion.mark, self._saved)
            self._kept(portion.mark)
        self._mark = portion.mark
        self.report.delivered(delivered.stored, len(delivered.refused), delivered.too_old)
        self._unsaved += len(portion.samples)
        due = self._clock.monotonic() - self._saved_at >= SAVE_S or self._unsaved >= _SAVE_SAMPLES
        if due or self._saved == START:
            await self._save()

    async def _encoded(self, portion: Portion) -> Lines:
        if len(portion.samples) <= _HERE:
            return self._sink.encode(portion)
        return await asyncio.to_thread(self._sink.encode, portion)

    # --- the cursor

    async def _place(self) -> Mark:
        """Where to go on."""
        if self._mark is None or await self._begun_anew():
            self._mark = self._saved = await self._feed.cursor(self._id)
            # From now on the journal knows that somebody waits for what it has.
            await self._feed.move(self._id, self._mark, self._saved)
            self._early = None
        return self._mark

    async def _begun_anew(self) -> bool:
        """True when the journal is another file than before: its numbers begin anew, and so does the cursor."""
        if await self._feed.cursor(self._id) >= self._saved:
            return False
        self._mark = None
        return True

    async def _save(self) -> None:
        if self._mark is not None and self._mark > self._saved:
            await self._feed.move(self._id, self._mark, self._saved)
            self._kept(self._mark)

    def _kept(self, mark: Mark) -> None:
        self._saved = mark
        self._saved_at = self._clock.monotonic()
        self._unsaved = 0

    # --- pace

    async def _more(self) -> None:
        """Wait until there may be something new."""
        waits = [asyncio.ensure_future(self._news.wait()), asyncio.ensure_future(self._clock.sleep(_IDLE_S))]
        try:
            await asyncio.wait(waits, return_when=asyncio.FIRST_COMPLETED)
        finally:
            for wait in waits:
                wait.cancel()

    async def _pace(self, samples: int, began: float) -> None:
        if self._rate is not None:
            await self._clock.sleep(began + samples / self._rate - self._clock.monotonic())

    async def _send_newest(self) -> None:
        """Send what is newest ahead of its turn; it comes again in its turn, so nothing is remembered of it."""
        now = self._clock.monotonic()
        if self._early is None:
            self._early, self._early_at = await self._feed.newest(), now
        if now - self._early_at < _EARLY_S:
            return
        self._early_at = now
        portion = await self._feed.read(self._early, limit=self._portion)
        if portion is not None and await self._delivery.attempt(await self._encoded(portion)):
            self._early = portion.mark

    async def _observe(self) -> None:
        """Keep the length of the queue visible from the start, in an outage above all."""
        pause_s = _OPENING_S
        while True:
            try:
                mark = self._mark if self._mark is not None else await self._feed.cursor(self._id)
                samples, oldest = await self._feed.waiting(mark)
                age_s = 0.0 if oldest is None else max(self._clock.now() - oldest, 0) / TICKS_PER_S
                self.report.queued(samples, round(age_s, 1))
                pause_s = _OBSERVE_S
            except HistoryUnavailable as error:
                _LOG.debug("sink %s: the length of its queue is not known: %s", self._id, error)
            await self._clock.sleep(pause_s)
