"""Serial collectors: a board that answers each question with one line, the raw number of a current sensor.

One task owns the port: it asks at the poll period, publishes all quantities of an answer at once, and publishes
nothing for an answer that is late, broken or missing.
"""

from __future__ import annotations

import asyncio
import logging
import re
from collections.abc import Mapping, Sequence
from typing import Final

from address_space.model import Batch, Clock, Publisher, Sample, Status, Value
from drivers.base import DriverError, Malformed, NoAnswer, Priority, Rejected, Setting, Unreachable
from drivers.collector import ADC_MAX, Conversion, Quantity
from drivers.complaint import Complaint
from drivers.health import BackOff, ConnectionState, Health
from drivers.line_channel import LineChannel
from drivers.quiet import stranger_s
from drivers.spec import BusConfig, BusUnit, LineSource, SerialLine
from drivers.statistics import Counters, Load, SystemPoints

log = logging.getLogger("drivers.serial_line")

_QUESTION: Final = b"read \n"
# A float as the firmware prints it; no NaN, no infinity, no exponent.
_NUMBER: Final = re.compile(rb"[+-]?\d{1,6}(\.\d{1,8})?")
# An answer may be late by several time-outs; until then a board that was not reset could still give it.
_LATE_TIMEOUTS: Final = 6.0
_STATISTICS_S: Final = 1.0
_DEFAULT_PERIOD_S: Final = 1.0


class _Silent(Unreachable):
    """The port is there; the board has to be reset by opening it anew."""


def parse(line: bytes) -> float:
    """Raw number of an answer, 0 to 1023; raises Malformed."""
    text = line.strip()
    if not _NUMBER.fullmatch(text):
        raise Malformed(f"{text!r} is not a number")
    raw = float(text)
    if not 0.0 <= raw <= ADC_MAX:
        raise Malformed(f"{raw:g} is outside of what the ADC gives (0 to {ADC_MAX:g})")
    return raw


class SerialLineBus:
    """One serial port with its one collector: `run` is its task, `write` and `read` are the port for control."""

    def __init__(self, config: BusConfig, units: Sequence[BusUnit], publisher: Publisher, clock: Clock) -> None:
        """Raises ValueError for a bus that is not one collector on one serial port, KeyError without slots."""
        if not isinstance(config.link, SerialLine):
            raise ValueError(f"bus {config.id}: serial_line needs a serial port")
        if len(units) != 1:
            raise ValueError(f"bus {config.id}: one serial port has one collector, and there are {len(units)}")
        self._config = config
        self._unit = units[0]
        self._publisher = publisher
        self._clock = clock
        self._channel = LineChannel(config.link, clock)
        self._conversion = Conversion.of(self._unit.profile)
        self._slots = {
            point: (publisher.slot(self._unit.device_id, point), Quantity(source.quantity))
            for point, source in self._unit.profile.sources.items()
            if isinstance(source, LineSource)
        }
        periods = [group.period_s for group in self._unit.profile.groups if group.period_s is not None]
        self._period_s = min(periods, default=_DEFAULT_PERIOD_S)
        self._name = f"{self._unit.device_id} ({config.link.port})"
        self._retry = BackOff(config.retry_min_s, config.retry_max_s, config.id)
        self._health = Health(BackOff(config.retry_min_s, config.retry_max_s, self._name), config.retry_max_s)
        now = clock.monotonic()
        self._load = Load(now)
        self._show_at = now
        self._due = now
        self._bus_state = ConnectionState.UNKNOWN
        self._counters = Counters()
        self._bus_counters = Counters()
        self._system = SystemPoints(publisher, self._unit.device_id)
        self._bus_system = SystemPoints(publisher, config.id)
        self._late_s = 0.0  # longest lateness seen
        self._down = ""  # why the port is not open; "" = it is, or was not tried yet
        self._complaint = Complaint(log, self._name)
        self._opened_once = False
        self._stopped = False
        self._wake = asyncio.Event()
        self._readers: list[asyncio.Future[Mapping[str, Sample]]] = []

    # --- the port of control

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        """A collector takes no writes: raises Rejected."""
        names = ", ".join(setting.point for setting in settings)
        raise Rejected(f"{device_id}: a serial collector has nothing to write ({names})", 0, Status.BAD_NOT_WRITABLE)

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        """Fresh samples of points, also published; see drivers.base.Port."""
        strange = [point for point in points if point not in self._slots]
        if device_id != self._unit.device_id or strange:
            raise Rejected(f"{device_id}: no source for {', '.join(strange) or 'it'}", 0, Status.BAD_NOT_SUPPORTED)
        if self._stopped or self._down:
            raise Unreachable(f"bus {self._config.id}: {self._down or 'stopped'}")
        answer: asyncio.Future[Mapping[str, Sample]] = asyncio.get_running_loop().create_future()
        self._readers.append(answer)
        self._wake.set()
        sleeper = asyncio.ensure_future(self._clock.sleep(max(0.0, deadline - self._clock.monotonic())))
        try:
            await asyncio.wait((answer, sleeper), return_when=asyncio.FIRST_COMPLETED)
        finally:
            sleeper.cancel()
            if answer in self._readers:
                self._readers.remove(answer)
        if not answer.done():
            raise NoAnswer(f"{device_id}: no answer before the deadline")
        samples = answer.result()
        return {point: samples[point] for point in points}

    # --- the task

    async def run(self) -> None:
        """Serve the port until cancelled; loss and return of the port happen inside."""
        try:
            while True:
                try:
                    await self._session()
                except Unreachable as error:
                    self._lost(error)
                    await self._channel.close()
                self._show(force=True)
                await self._clock.sleep(self._retry.pause_s())
        finally:
            self._stopped = True
            self._refuse(Unreachable(f"bus {self._config.id}: stopped"))
            await self._channel.close()

    async def _session(self) -> None:
        """Open the port and ask until it is lost (raises Unreachable)."""
        if not self._opened_once:
            # A board that opening does not reset may still answer whoever asked before this node did.
            self._channel.owed_until = self._clock.monotonic() + stranger_s(self._config)
        await self._channel.open()
        self._bus_counters.reconnects += self._opened_once
        # The board is reset by opening its port, which says nothing about it; its answer will.
        log.log(logging.DEBUG if self._opened_once else logging.INFO, "bus %s: open", self._config.id)
        self._opened_once, self._down = True, ""
        self._bus_state = ConnectionState.ONLINE
        self._due = self._clock.monotonic()
        while True:
            await self._pause()
            await self._exchange()
            now = self._clock.monotonic()
            # Whole periods that were missed are not made up for.
            self._due += self._period_s * max(1, 1 + int((now - self._due) / self._period_s))
            if not self._health.is_polled:
                self._due = max(self._due, self._health.retry_at)
            self._show()

    async def _pause(self) -> None:
        """Wait until the next question is due; a reader ends it sooner."""
        while (seconds := self._due - self._clock.monotonic()) > 0 and not self._readers:
            self._wake.clear()
            sleeper = asyncio.ensure_future(self._clock.sleep(seconds))
            sleeper.add_done_callback(lambda _: self._wake.set())
            try:
                await self._wake.wait()
            finally:
                sleeper.cancel()

    async def _exchange(self) -> None:
        """One question with its answer, or with what follows from none. Raises Unreachable for a lost port."""
        if self._channel.has_input:
            self._count("late_replies")
            await self._recover("somebody spoke without being asked")
        start = self._clock.monotonic()
        # A time-out that is too short for this board costs its first answers, and not all of them.
        deadline = start + self._config.timeout_s + 1.5 * self._late_s
        self._count("requests")
        readers, self._readers = self._readers, []
        try:
            raw = parse(await self._channel.ask(_QUESTION, deadline))
        except NoAnswer as error:
            self._failed(error, readers, "timeouts")
            await self._await_late(deadline)
        except Malformed as error:
            self._failed(error, readers, "malformed")
            await self._recover(str(error))
        except Unreachable as error:
            self._hand_out(readers, error)
            raise
        else:
            ticks = self._clock.now()
            self._load.answered(self._clock.monotonic() - start)
            self._answered(raw, ticks, readers)
        finally:
            self._load.used(self._clock.monotonic() - start)

    async def _await_late(self, deadline: float) -> None:
        """The answer that was given up may still come: ask nothing until it has, or the board is reset."""
        self._channel.owed_until = deadline + _LATE_TIMEOUTS * self._config.timeout_s
        if not await self._channel.settle(self._clock.monotonic() + self._config.quiet_max_s):
            self._channel.slower()
            raise _Silent(f"{self._name} is silent; the port is opened again, which resets the board")
        self._channel.owed_until = 0.0
        self._late_s = max(self._late_s, self._clock.monotonic() - deadline)
        self._count("late_replies")

    async def _recover(self, reason: str) -> None:
        """Let a line that is out of step run dry; when it does not, reset the board."""
        if not await self._channel.settle(self._clock.monotonic() + self._config.quiet_max_s):
            raise _Silent(f"{self._name}: {reason}; the port is opened again, which resets the board")

    # --- what follows from it

    def _answered(self, raw: float, ticks: int, readers: Sequence[asyncio.Future[Mapping[str, Sample]]]) -> None:
        samples = {
            point: Sample(*self._conversion.sample(quantity, raw), ticks)
            for point, (_, quantity) in self._slots.items()
        }
        self._publisher.publish(
            Batch(
                [slot for slot, _ in self._slots.values()],
                [sample.value for sample in samples.values()],
                [int(sample.status) for sample in samples.values()],
                ticks,
            )
        )
        for counters in (self._counters, self._bus_counters):
            counters.last_answer = ticks
        self._retry.reset()
        if self._health.answered():
            self._show(force=True)
        self._complaint.over("answers again")
        for reader in readers:
            if not reader.done():
                reader.set_result(samples)

    def _failed(
        self, error: DriverError, readers: Sequence[asyncio.Future[Mapping[str, Sample]]], counter: str
    ) -> None:
        self._count(counter)
        self._count("failures")
        self._complain(str(error))
        self._hand_out(readers, type(error)(f"{self._name}: {error}"))
        if self._health.failed(self._clock.monotonic()):
            self._show(force=True)
        if not self._health.is_polled:
            self._unreachable()

    def _lost(self, error: Unreachable) -> None:
        """The port is away, or the board is silent: say so, once loudly."""
        text = str(error)
        self._down = text
        self._complain(text)
        self._refuse(Unreachable(f"bus {self._config.id}: {text}"))
        if isinstance(error, _Silent):
            self._bus_state = ConnectionState.SUSPECT
        else:
            self._bus_state = ConnectionState.OFFLINE
            self._health.channel_lost()
        if not self._health.is_polled:
            self._unreachable()

    def _unreachable(self) -> None:
        """Points that never had an answer say that there is no communication; ageing does the rest."""
        if self._health.reached:
            return
        waiting = int(Status.BAD_WAITING_FOR_INITIAL_DATA)
        slots = [slot for slot, _ in self._slots.values() if self._publisher.sample(slot).status == waiting]
        if slots:
            self._publisher.degrade(slots, int(Status.BAD_NO_COMMUNICATION), self._clock.now())

    def _refuse(self, error: DriverError) -> None:
        readers, self._readers = self._readers, []
        self._hand_out(readers, error)

    @staticmethod
    def _hand_out(readers: Sequence[asyncio.Future[Mapping[str, Sample]]], error: DriverError) -> None:
        for reader in readers:
            if not reader.done():
                reader.set_exception(error)

    def _count(self, counter: str) -> None:
        for counters in (self._counters, self._bus_counters):
            setattr(counters, counter, getattr(counters, counter) + 1)

    def _complain(self, text: str) -> None:
        """Say that something failed: loudly the first time, then for debugging only."""
        self._counters.last_error = self._bus_counters.last_error = text
        self._complaint.say(text, self._clock.monotonic())

    def _show(self, *, force: bool = False) -> None:
        """Publish states and counters, once a second or when a state changed."""
        now = self._clock.monotonic()
        if now < self._show_at and not force:
            return
        self._show_at = now + _STATISTICS_S
        ticks = self._clock.now()
        state = self._health.state
        away = state in (ConnectionState.OFFLINE, ConnectionState.OUT_OF_SERVICE)
        facts: dict[str, Value] = {"connection": int(state), "device_health": int(away)}
        self._system.publish(facts | self._counters.facts(), ticks)
        bus: dict[str, Value] = {"connection": int(self._bus_state)}
        self._bus_system.publish(bus | self._bus_counters.facts() | self._load.facts(now), ticks)
