"""One request at a time over a channel, with all silence that it needs, and what its fate says about the unit."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from address_space.model import Clock, Status
from drivers.base import AnswerLost, Malformed, NoAnswer, Rejected, Unreachable
from drivers.channel import Channel, Read, Request, Write
from drivers.health import ConnectionState
from drivers.plan import ReadBlock
from drivers.quiet import Lateness, stranger_s
from drivers.spec import BusConfig, TcpPeer
from drivers.statistics import Counters, Load
from drivers.unit import Unit

# Exceptions by which a gateway says that a unit is away (Modbus Application Protocol V1.1b3 section 7).
_GATEWAY: Final = (10, 11)
# A TCP peer that is gone without a word is found by silence: so many requests without a single byte.
_SILENT_REOPEN: Final = 3
# Two times nearer than this are the same: a sum of seconds may miss its mark by a rounding.
_SAME_S: Final = 0.0005


class Exchange:
    """What one channel is doing: the request on it, the silence it keeps, its counters and load."""

    def __init__(self, config: BusConfig, channel: Channel, clock: Clock, units: Sequence[Unit]) -> None:
        self._config = config
        self._channel = channel
        self._clock = clock
        self._units = units
        self._by_address = {unit.config.unit: unit for unit in reversed(units)}  # the first of those that share one
        now = clock.monotonic()
        self.counters = Counters()
        self.load = Load(now)
        self.free_at = now  # not before: silence between two frames
        self.quiet: tuple[Lateness, float] | None = None  # whose late answer is waited for, and until when
        self._silent = 0  # requests in a row without a byte from anybody

    async def begin(self, *, first: bool) -> None:
        """Get in step with a channel that was just opened; raises Unreachable when it is lost again.

        Answers that do not name their requests may still come to what was asked before: by this node, which knows
        how long they would be, or (`first`) by whoever used the line until now, of whom nobody knows anything.
        """
        now = self._clock.monotonic()
        self.free_at, self.quiet = now, None
        if self._channel.numbered:
            return
        await self._hear_out(now + (stranger_s(self._config) if first else self._config.timeout_s))
        if first:
            await self._flush()
        self.free_at = self._clock.monotonic() + self._gap_s()

    async def _hear_out(self, until: float) -> None:
        """Send nothing and throw away what comes until a time."""
        start = self._clock.monotonic()
        while self._clock.monotonic() < until - _SAME_S:
            await self._channel.drain(until)
            self._hear()
        self.load.used(self._clock.monotonic() - start)

    async def _flush(self) -> None:
        """One small read that nobody needs: a gateway may hold an old answer back until it is asked something."""
        asked = ((unit, unit.smallest()) for unit in self._units)
        unit, block = next(((unit, block) for unit, block in asked if block is not None), (None, None))
        if unit is None or block is None:
            return
        request = Read(unit.config.unit, block.table, block.address, block.count)
        deadline = self._clock.monotonic() + self._config.timeout_s
        self.counters.requests += 1
        try:
            await self._channel.transact(request, deadline)
        except (NoAnswer, Malformed):
            self._owes(unit, request, deadline)
        except Rejected:
            pass  # an answer is all that was wanted
        await self._hear_out(deadline)

    async def listen(self) -> None:
        """A quiet window: nothing is sent; it ends early when all that was awaited has come."""
        if self.quiet is None:
            return
        lateness, until = self.quiet
        start = self._clock.monotonic()
        if start < until:
            await self._channel.drain(until)
        now = self._clock.monotonic()
        self.load.used(now - start)
        heard = self._hear()
        if now >= until - _SAME_S or (heard and not lateness.owes(now)):
            self.quiet = None
            self.free_at = now + self._gap_s()

    def _gap_s(self) -> float:
        return self._channel.gap_s + self._config.gap_s

    def _hear(self) -> bool:
        """Note what came unasked; True when something came."""
        strays = self._channel.strays()
        for stray in strays:
            unit = self._by_address.get(stray.unit)
            late = unit is not None and unit.lateness.came(stray)
            for counters in (self.counters, *((unit.counters,) if unit else ())):
                if late:
                    counters.late_replies += 1
                else:
                    counters.malformed += 1
        return bool(strays)

    # --- one request

    async def send(self, unit: Unit, request: Request, timeout_s: float | None = None) -> tuple[bytes, int]:
        """Send one request after all silence; the data of its answer and its source time (ticks), when it arrived.

        Raises NoAnswer (also for a refusal or an acknowledgement that may be meant for an earlier, lost request),
        Malformed, Rejected, or, when the channel is gone, Unreachable before the request was sent and AnswerLost
        after it.
        """
        while self.quiet is not None:
            await self.listen()
        start = max(self.free_at, unit.ready_at)
        if start > self._clock.monotonic():
            await self._clock.sleep(start - self._clock.monotonic())
        start = self._clock.monotonic()
        deadline = start + (timeout_s or self._config.timeout_s)
        doubtful, unsure = self._ambiguous(unit, request), self._unsure(unit, request)
        both = (unit.counters, self.counters)
        for counters in both:
            counters.requests += 1
        try:
            payload = await self._channel.transact(request, deadline)
        except NoAnswer as error:
            self._silent = 0 if self._hear() else self._silent + 1
            self._missed(unit, request, deadline, f"no answer to a {request}")
            if (
                self._silent >= _SILENT_REOPEN
                and self._silent % _SILENT_REOPEN == 0
                and isinstance(self._config.link, TcpPeer)
            ):
                raise AnswerLost(f"{self._silent} requests without a byte from the other side") from error
            raise
        except Unreachable:
            self._owes(unit, request, deadline)  # a serial port that is opened again is the same line as before
            raise
        except Malformed as error:
            self._silent = 0
            for counters in both:
                counters.malformed += 1
            self._missed(unit, request, deadline, f"{error}", silent=False)
            raise
        except Rejected as error:
            ticks = self._clock.now()
            self._silent = 0
            self._finished(unit, start)
            if doubtful:
                self._owes(unit, request, deadline)  # its own answer may still come
            self._rejected(unit, error, ticks)
            if doubtful:
                raise NoAnswer(f"{unit.name}: {error}, or a late answer to an earlier request") from error
            raise
        else:
            ticks = self._clock.now()
            self._silent = 0
            self._finished(unit, start)
            self._answered(unit, ticks)
            if unsure:
                self._owes(unit, request, deadline)  # its own acknowledgement may still come
                raise NoAnswer(f"{unit.name}: acknowledged was a {request}, or an earlier one that was given up")
            return payload, ticks
        finally:
            now = self._clock.monotonic()
            self.load.used(now - start)
            self.free_at = max(self.free_at, now + self._gap_s())
            unit.ready_at = max(unit.ready_at, now + unit.profile.modbus.min_interval_s)

    def _finished(self, unit: Unit, start: float) -> None:
        now = self._clock.monotonic()
        self.load.answered(now - start)
        if self._hear() and not self._channel.numbered:
            # More came than was asked for: something is out of step, so let it run dry.
            self.quiet = (unit.lateness, now + unit.lateness.window_s())

    def _answered(self, unit: Unit, ticks: int) -> None:
        unit.counters.last_answer = ticks
        was = unit.health.state
        if unit.health.answered():
            if was is ConnectionState.OFFLINE:
                unit.restart(self._clock.monotonic())
            unit.show(ticks)
        if was is not ConnectionState.OUT_OF_SERVICE:
            unit.rejoice()

    def _rejected(self, unit: Unit, error: Rejected, ticks: int) -> None:
        for counters in (unit.counters, self.counters):
            counters.rejections += 1
            counters.failures += 1
        if error.code in _GATEWAY:
            now = self._clock.monotonic()
            unit.complain(str(error), now)
            self._failed(unit, now, ticks, fatal=True)
            raise away(f"{unit.name}: {error}") from error
        unit.counters.last_error = self.counters.last_error = str(error)
        self._answered(unit, ticks)

    def _missed(self, unit: Unit, request: Request, deadline: float, text: str, *, silent: bool = True) -> None:
        """A request went without a usable answer: silence, another size next time, and a mark against the unit."""
        now, ticks = self._clock.monotonic(), self._clock.now()
        self._hear()
        for counters in (unit.counters, self.counters):
            counters.failures += 1
            counters.timeouts += silent
            counters.last_error = text
        unit.complain(text, now)
        self._owes(unit, request, deadline)
        unit.yield_to_others(now)
        if unit.health.failures or not unit.health.reached:
            # More than a single lost answer: one time-out for the others before this unit costs one again.
            unit.polls_at = max(unit.polls_at, now + self._config.timeout_s)
        self._failed(unit, now, ticks)

    def _owes(self, unit: Unit, request: Request, deadline: float) -> None:
        """An answer to a request that was given up may still come: silence, and nothing of its size."""
        window_s = unit.lateness.window_s()
        now = self._clock.monotonic()
        if self._channel.numbered:
            unit.ready_at = max(unit.ready_at, now + window_s)
        else:
            unit.lateness.lost(request, deadline)
            self.quiet = (unit.lateness, now + window_s)

    def _failed(self, unit: Unit, now: float, ticks: int, *, fatal: bool = False) -> None:
        if unit.health.failed(now, fatal=fatal):
            if unit.health.state is ConnectionState.OFFLINE:
                unit.give_up()
                unit.lose(ticks)
            unit.show(ticks)
        if not unit.health.is_polled:
            unit.verified = not unit.profile.identify  # whatever comes back may be another device
        unit.unreachable(ticks)

    def _ambiguous(self, unit: Unit, request: Request) -> bool:
        """True when an exception may belong to an earlier, lost request: exceptions have no size to tell by."""
        return not self._channel.numbered and bool(unit.lateness.avoid(request.function, self._clock.monotonic()))

    def _unsure(self, unit: Unit, request: Request) -> bool:
        """True when an acknowledgement will not tell which write it is for: it repeats address and value or count."""
        if self._channel.numbered or not isinstance(request, Write):
            return False
        unit.lateness.wrote(request)
        return unit.lateness.doubts(request, self._clock.monotonic())

    async def fetch(self, unit: Unit, block: ReadBlock, timeout_s: float | None = None) -> tuple[bytes, int]:
        """Read one block; see `send`."""
        return await self.send(unit, Read(unit.config.unit, block.table, block.address, block.count), timeout_s)


def away(text: str) -> NoAnswer:
    """Somebody who knows says that a unit is not there: no time-out, and the channel is well."""
    error = NoAnswer(text)
    error.status = Status.BAD_NO_COMMUNICATION
    return error
