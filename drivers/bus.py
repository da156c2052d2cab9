"""The bus: one task owns a channel and decides what goes over it next.

Commands go ahead of probes, probes ahead of cyclic reads, and those by earliest deadline. The bus knows no
protocol: a `Channel` carries its requests.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from address_space.model import Clock, Publisher, Sample, Status
from drivers.base import AnswerLost, DriverError, NoAnswer, Priority, Rejected, Setting, Unreachable
from drivers.channel import Channel, Write
from drivers.complaint import Complaint
from drivers.exchange import Exchange, away
from drivers.health import BackOff, ConnectionState
from drivers.orders import Order, Orders, Work
from drivers.plan import ReadBlock
from drivers.quiet import Lateness
from drivers.spec import BusConfig, BusUnit
from drivers.statistics import SystemPoints
from drivers.unit import BUSY_RETRIES, BUSY_RETRY_S, Poll, Unit

log = logging.getLogger("drivers.bus")

# Exceptions of Modbus Application Protocol V1.1b3 section 7 that the bus acts on.
_NO_ADDRESS: Final = 2
_ACKNOWLEDGE: Final = 5
_BUSY: Final = 6
# A closed channel is tried again at the latest after this, whatever the pause of dead units is.
_RECONNECT_MAX_S: Final = 10.0
# After each failed probe the channel is free of probes for so many times what it cost: at most 10 % of its time.
_PROBE_REST: Final = 9.0
# A probe waits this many times the slowest of the last answers, at least this long, and each fourth in full.
_PROBE_LATENCIES: Final = 4
_PROBE_LEAST_S: Final = 0.1
_FULL_PROBE: Final = 4
_STATISTICS_S: Final = 1.0
# Shorter waits are not worth a timer, and a time that was summed up may miss its mark by a rounding.
_SHORTEST_S: Final = 0.0005


class Bus:
    """One physical channel with its units: `run` is its task, `write` and `read` are the port for control."""

    def __init__(
        self, config: BusConfig, units: Sequence[BusUnit], publisher: Publisher, clock: Clock, channel: Channel
    ) -> None:
        """Plan the reads of all units; raises ValueError for a profile that cannot be read, KeyError without slots."""
        self._config = config
        self._publisher = publisher
        self._clock = clock
        self._channel = channel
        now = clock.monotonic()
        # Late answers are told by unit address, and two devices may share one.
        lateness = {unit.unit: Lateness(config) for unit in units}
        self._units = [Unit(unit, config, publisher, lateness[unit.unit], now) for unit in units]
        self._by_device = {unit.config.device_id: unit for unit in self._units}
        self._orders = Orders()
        self._wake = asyncio.Event()
        self._state = ConnectionState.UNKNOWN
        self._system = SystemPoints(publisher, config.id)
        self._exchange = Exchange(config, channel, clock, self._units)
        self._show_at = now
        self._back_off = BackOff(
            config.retry_min_s, min(max(config.retry_min_s, _RECONNECT_MAX_S), config.retry_max_s), config.id
        )
        self._open = False
        self._open_at = now
        self._opened_once = False
        self._complaint = Complaint(log, f"bus {config.id}")
        self._down = ""  # why the channel cannot be opened; "" = it can, as far as is known
        self._stopped = False
        self._probe_at = now  # when the next probe of a dead unit is affordable

    # --- the port of control

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        """Write settings in order; see drivers.base.Port."""
        unit = self._unit(device_id)
        if not unit.config.control:
            text = f"{device_id}: the site file does not allow control of this device"
            raise Rejected(text, 0, Status.BAD_REQUEST_NOT_ALLOWED)
        requests = unit.writes(settings)
        await self._ask(unit, priority, deadline, lambda: self._write(unit, requests, deadline))

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        """Fresh samples of points; see drivers.base.Port."""
        unit = self._unit(device_id)
        blocks = unit.plan(points)
        return await self._ask(unit, priority, deadline, lambda: self._read(unit, points, blocks, deadline))

    def _unit(self, device_id: str) -> Unit:
        unit = self._by_device.get(device_id)
        if unit is None:
            raise Rejected(f"{device_id} is not on bus {self._config.id}", 0, Status.BAD_CONFIGURATION_ERROR)
        return unit

    async def _ask(self, unit: Unit, priority: Priority, deadline: float, work: Work) -> Mapping[str, Sample]:
        if self._stopped or self._down:
            raise Unreachable(f"bus {self._config.id}: {self._down or 'stopped'}")
        answer = self._orders.add(unit, priority, deadline, work)
        self._wake.set()
        return await answer

    # --- the task

    async def run(self) -> None:
        """Serve the channel until cancelled; loss and return of the channel happen inside."""
        for unit in self._units:
            unit.begin(self._clock.now())
        try:
            while True:
                now = self._clock.monotonic()
                self._show(now)
                self._orders.expire(now)
                try:
                    await self._step(now)
                except DriverError as error:
                    if _is_loss(error):
                        await self._lost(str(error))
                    else:  # counted, logged and published where it happened
                        log.debug("bus %s: %s", self._config.id, error)
        finally:
            self._stopped = True
            self._orders.refuse(f"bus {self._config.id}: stopped")
            await self._channel.close()

    async def _step(self, now: float) -> None:
        if not self._open:
            if now < self._open_at:
                await self._pause(self._open_at)
            else:
                await self._connect()
            return
        if self._exchange.quiet is not None:
            await self._exchange.listen()
            return
        if now < self._exchange.free_at:
            await self._pause(self._exchange.free_at, wakes=False)
            return
        work, at = self._next(now)
        if work is None:
            await self._pause(at)
        else:
            await work()

    async def _pause(self, until: float, *, wakes: bool = True) -> None:
        """Wait until a time, at most until the next statistics; an order ends it sooner."""
        seconds = min(until, self._show_at) - self._clock.monotonic()
        if not wakes:
            await self._clock.sleep(max(_SHORTEST_S, seconds))
            return
        self._wake.clear()
        if self._orders and self._open:
            # An order that cannot go yet (its unit needs silence) must not be woken for again and again.
            seconds = min(seconds, self._orders.next_deadline() - self._clock.monotonic())
        sleeper = asyncio.ensure_future(self._clock.sleep(max(_SHORTEST_S, seconds)))
        sleeper.add_done_callback(lambda _: self._wake.set())
        try:
            await self._wake.wait()
        finally:
            sleeper.cancel()

    def _next(self, now: float) -> tuple[Callable[[], Awaitable[None]] | None, float]:
        """What to do now, or None and when to look again."""
        order, soonest = self._orders.take(now)
        if order is not None:
            chosen = order
            return lambda: self._carry_out(chosen), now
        poll: Poll | None = None
        unit: Unit | None = None
        probe: Unit | None = None
        for one_unit in self._units:
            health = one_unit.health
            if not health.is_polled:
                at = max(health.retry_at, one_unit.ready_at, now if health.urgent else self._probe_at)
                if at > now:
                    soonest = min(soonest, at)
                elif probe is None or health.retry_at < probe.health.retry_at:
                    probe = one_unit
                continue
            for one_poll in one_unit.candidates():
                if one_poll.due is None:
                    continue
                at = max(one_poll.due, one_unit.ready_at, one_unit.polls_at)
                if at > now:
                    soonest = min(soonest, at)
                elif poll is None or one_poll.deadline < poll.deadline:
                    poll, unit = one_poll, one_unit
        if probe is not None:
            dead = probe
            return lambda: self._probe(dead), now
        if poll is not None and unit is not None:
            due, owner = poll, unit
            return lambda: self._poll(owner, due), now
        return None, soonest

    # --- the channel

    async def _connect(self) -> None:
        try:
            await self._channel.open()
            await self._exchange.begin(first=not self._opened_once)
        except Unreachable as error:
            await self._channel.close()
            now, ticks = self._clock.monotonic(), self._clock.now()
            self._complaint.say(str(error), now)
            self._down = self._exchange.counters.last_error = str(error)
            self._open_at = now + self._back_off.pause_s()
            self._state = ConnectionState.OFFLINE
            self._show_at = now
            for unit in self._units:
                if unit.health.channel_lost():
                    unit.counters.last_error = self._down
                    unit.lose(ticks)
                unit.unreachable(ticks)
            self._orders.refuse(f"bus {self._config.id}: {self._down}")
            return
        now = self._clock.monotonic()
        if not self._complaint.over("open again") and not self._opened_once:
            log.info("bus %s: open", self._config.id)
        self._exchange.counters.reconnects += self._opened_once
        self._opened_once, self._open, self._down = True, True, ""
        self._state = ConnectionState.ONLINE
        self._show_at = now
        self._back_off.reset()
        for unit in self._units:
            unit.health.channel_back(now)
            unit.restart(now)

    async def _lost(self, reason: str) -> None:
        """The channel went away: try at once to open it again, then with growing pauses."""
        self._complaint.say(f"lost: {reason}", self._clock.monotonic())
        self._exchange.counters.last_error = reason
        self._open = False
        self._state = ConnectionState.SUSPECT
        await self._channel.close()
        self._open_at = self._clock.monotonic()

    # --- polls and probes

    async def _poll(self, unit: Unit, poll: Poll) -> None:
        try:
            if not unit.verified and not await self._identify(unit):
                return
        except DriverError as error:
            self._retry(unit, poll, error)
            raise
        now = self._clock.monotonic()
        pieces = unit.pieces(poll.block, now, pad=poll.pad)
        if not pieces:
            poll.due = unit.lateness.settled_at()
            return
        for piece in pieces:
            try:
                payload, ticks = await self._exchange.fetch(unit, piece)
                unit.publish(piece, payload, ticks)
            except Rejected as error:
                self._refused(unit, poll, piece, error)
                return
            except DriverError as error:
                self._retry(unit, poll, error)
                raise
        if poll.done(self._clock.monotonic()):
            self._exchange.load.overran()

    def _retry(self, unit: Unit, poll: Poll, error: DriverError) -> None:
        """A poll went without a usable answer."""
        if _is_loss(error) and not isinstance(error, AnswerLost):
            return  # it was not even sent
        now = self._clock.monotonic()
        missed = poll.due is not None and poll.period_s is not None and now > poll.deadline
        poll.failed(now, unit.health.failures, self._config)
        unit.unanswered(poll.block.points, self._clock.now())
        if missed:
            self._exchange.load.overran()

    def _refused(self, unit: Unit, poll: Poll, piece: ReadBlock, error: Rejected) -> None:
        now, ticks = self._clock.monotonic(), self._clock.now()
        if error.code == _NO_ADDRESS:
            if piece.count > poll.block.count:
                poll.pad = False  # the registers read along are what it does not have
                poll.due = now
            else:
                unit.refused(poll, now, ticks)
        elif error.code in (_ACKNOWLEDGE, _BUSY) and poll.busy < BUSY_RETRIES:
            poll.busy += 1
            poll.due = now + BUSY_RETRY_S
        else:
            log.debug("%s: %s", unit.name, error)
            unit.publish_status(poll.block.points, error.status, ticks)
            if poll.period_s is None:
                poll.due = now + self._config.retry_max_s
            else:
                poll.done(now)

    async def _probe(self, unit: Unit) -> None:
        """Ask a dead unit for as little as possible; when it answers, everything begins again."""
        start = self._clock.monotonic()
        state = unit.health.state
        block = unit.smallest()
        pieces = unit.pieces(block, start) if block is not None else ()
        if not pieces:
            unit.health.retry_at = max(unit.lateness.settled_at(), start + self._config.retry_min_s)
            return
        try:
            await self._exchange.fetch(unit, pieces[0], self._probe_timeout_s(unit))
        except Rejected:
            pass  # a refusal is an answer too
        except DriverError:
            cost_s = self._clock.monotonic() - start + (unit.lateness.window_s() if self._exchange.quiet else 0.0)
            if any(one.health.is_polled for one in self._units):
                self._probe_at = self._clock.monotonic() + cost_s * (1 + _PROBE_REST)
            raise
        if state is ConnectionState.OUT_OF_SERVICE:
            await self._identify(unit)

    def _probe_timeout_s(self, unit: Unit) -> float:
        """As long as answers take on this bus, so that a dead unit costs the others little; now and then in full."""
        slowest_s = self._exchange.load.slowest_s
        if slowest_s is None or unit.health.failures % _FULL_PROBE == 0:
            return self._config.timeout_s
        return min(self._config.timeout_s, max(_PROBE_LEAST_S, _PROBE_LATENCIES * slowest_s))

    async def _identify(self, unit: Unit) -> bool:
        """Check that the device is the one that the profile describes; False when it is not, or not known."""
        seen = {}
        wrong = ""
        try:
            for block in unit.plan([check.point for check in unit.profile.identify]):
                pieces = unit.pieces(block, self._clock.monotonic())
                if not pieces:
                    unit.polls_at = unit.lateness.settled_at()
                    return False
                for piece in pieces:
                    payload, _ = await self._exchange.fetch(unit, piece)
                    seen.update(unit.decode(piece, payload))
            wrong = unit.check(seen)
        except Rejected as error:
            if error.code != _NO_ADDRESS:
                unit.complain(str(error), self._clock.monotonic())
                unit.polls_at = self._clock.monotonic() + self._config.retry_min_s
                unit.publish_status([check.point for check in unit.profile.identify], error.status, self._clock.now())
                return False
            wrong = str(error)
        now, ticks = self._clock.monotonic(), self._clock.now()
        was = unit.health.state
        if wrong:
            unit.counters.last_error = f"not a {unit.profile.id}: {wrong}"
            changed = unit.health.mismatched(now)
            log.log(
                logging.ERROR if changed else logging.DEBUG,
                "%s: out of service, not a %s: %s",
                unit.name,
                unit.profile.id,
                wrong,
            )
            unit.out_of_service(ticks)
        else:
            changed = unit.health.matched()
            if was is ConnectionState.OUT_OF_SERVICE:
                log.info("%s: in service again, it is a %s", unit.name, unit.profile.id)
                unit.restart(now)
            unit.verified = True
        if changed:
            unit.show(ticks)
        return not wrong

    # --- orders of control

    async def _carry_out(self, order: Order) -> None:
        """Do what control asked for. Its caller may be gone: what is on the wire is finished anyway."""
        if order.answer.done():
            return
        try:
            answer = await order.work()
        except DriverError as error:
            if not order.answer.done():
                order.answer.set_exception(error)
            if _is_loss(error):
                raise
            return
        except asyncio.CancelledError:
            if not order.answer.done():
                order.answer.set_exception(Unreachable(f"bus {self._config.id}: stopped"))
            raise
        if not order.answer.done():
            order.answer.set_result(answer)

    async def _write(self, unit: Unit, requests: Sequence[Write], deadline: float) -> Mapping[str, Sample]:
        await self._vouch(unit)
        if unit.present is False:
            text = f"{unit.name}: the gateway reports that the device is not there; nothing was written"
            raise Rejected(text, 0, Status.BAD_NO_COMMUNICATION)
        for request in requests:
            for attempt in range(BUSY_RETRIES + 1):
                await self._calm(unit, deadline)
                try:
                    await self._exchange.send(unit, request)
                except Rejected as error:
                    if error.code == _ACKNOWLEDGE:
                        break  # taken, and not finished yet: what confirms the command will tell
                    if error.code != _BUSY or attempt == BUSY_RETRIES:
                        raise
                    await self._clock.sleep(BUSY_RETRY_S)
                else:
                    break
        return {}

    async def _read(
        self, unit: Unit, points: Sequence[str], blocks: Sequence[ReadBlock], deadline: float
    ) -> Mapping[str, Sample]:
        await self._vouch(unit)
        for block in blocks:
            await self._calm(unit, deadline)
            pieces = unit.pieces(block, self._clock.monotonic())
            if not pieces:
                raise NoAnswer(f"{unit.name}: a late answer is still waited for")
            for piece in pieces:
                await self._calm(unit, deadline)
                try:
                    payload, ticks = await self._exchange.fetch(unit, piece)
                except Rejected as error:
                    if error.code != _NO_ADDRESS or piece.count <= block.count:
                        raise
                    raise NoAnswer(f"{unit.name}: a late answer is still waited for") from error
                unit.publish(piece, payload, ticks)
        if not unit.present:
            raise away(f"{unit.name}: the gateway reports that the device is not there")
        return self._publisher.samples(unit.config.device_id, points)

    async def _vouch(self, unit: Unit) -> None:
        """Nothing goes to a device that is not known to be the right one."""
        if not unit.verified and unit.health.state is not ConnectionState.OUT_OF_SERVICE:
            await self._identify(unit)
        if not unit.verified or unit.health.state is ConnectionState.OUT_OF_SERVICE:
            text = f"{unit.name}: out of service: {unit.counters.last_error}"
            raise Rejected(text, 0, Status.BAD_OUT_OF_SERVICE)

    async def _calm(self, unit: Unit, deadline: float) -> None:
        """Wait out a quiet window in the middle of an order; raises NoAnswer when that is past its deadline."""
        while self._exchange.quiet is not None:
            await self._exchange.listen()
        if self._clock.monotonic() > deadline:
            raise NoAnswer(f"{unit.name}: not sent before its deadline")

    # --- what is said about it

    def _show(self, now: float) -> None:
        if now < self._show_at:
            return
        ticks = self._clock.now()
        self._show_at = now + _STATISTICS_S
        self._system.publish(
            {"connection": int(self._state)} | self._exchange.counters.facts() | self._exchange.load.facts(now), ticks
        )
        for unit in self._units:
            unit.show(ticks)


def _is_loss(error: DriverError) -> bool:
    """True when the channel itself is gone."""
    return isinstance(error, Unreachable) and not isinstance(error, NoAnswer)
