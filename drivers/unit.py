"""One unit on a bus: what is read when, and what an answer publishes. Speaks to no channel."""

from __future__ import annotations

import logging
from collections.abc import Mapping, Sequence
from typing import Final

from address_space.model import Batch, Publisher, Status, Value, is_bad
from drivers.base import Rejected, Setting
from drivers.channel import READ_FUNCTIONS, Write
from drivers.codec import Decoder, encode, word_order
from drivers.complaint import Complaint
from drivers.health import BackOff, ConnectionState, Health
from drivers.plan import ReadBlock, bisect, plan_reads, plan_writes, read_limits, reshape, span
from drivers.quiet import Lateness
from drivers.spec import BusConfig, BusUnit, RegisterSource, Table, WordOrder
from drivers.statistics import Counters, SystemPoints

log = logging.getLogger("drivers.bus")

# A register that a device does not have will not be there a second later; a firmware update may bring it.
UNSUPPORTED_RETRY_S: Final = 3600.0
# A device that said it is busy (exceptions 5 and 6) is asked again so soon, so often.
BUSY_RETRY_S: Final = 0.2
BUSY_RETRIES: Final = 3
# A SunSpec scale factor that nobody has read yet cannot scale a write.
_EXPONENT_STATUS: Final = Status.BAD_INVALID_STATE
# A block that alone is never answered is not brought forward any more when its unit returns.
_HOPELESS: Final = 2
_MOST_DOUBLINGS: Final = 16
_HEALTHS: Final = {
    ConnectionState.OFFLINE: 1,
    ConnectionState.OUT_OF_SERVICE: 1,
}  # DI DeviceHealth FAILURE; else NORMAL


class Poll:
    """One block that is read again and again, or once after each return of the device (`period_s` None)."""

    __slots__ = ("alone", "block", "busy", "due", "failures", "pad", "period_s")

    def __init__(self, block: ReadBlock, period_s: float | None, due: float) -> None:
        self.block = block
        self.period_s = period_s
        self.due: float | None = due  # None = done until the device returns
        self.busy = 0  # answers in a row that said busy
        self.failures = 0  # requests in a row without a usable answer
        self.alone = 0  # those of them that went unanswered while the unit answered others
        self.pad = True  # False when the device refused registers behind the block

    @property
    def deadline(self) -> float:
        """When it is late: one period after it became due."""
        return (self.due or 0.0) + (self.period_s or 0.0)

    def done(self, now: float) -> bool:
        """Set the next time; True when one or more whole periods were missed (they are not made up for)."""
        self.busy = self.failures = self.alone = 0
        if self.period_s is None or self.due is None:
            self.due = None
            return False
        self.due += self.period_s
        missed = int(max(0.0, now - self.due) / self.period_s)
        self.due += missed * self.period_s
        return missed > 0

    def failed(self, now: float, lost: int, bus: BusConfig) -> None:
        """Set when to ask again after no usable answer; `lost` = requests in a row that the whole unit left unanswered.

        Soon while the unit may be gone, which is to be found out; else after its period, and ever more rarely.
        """
        self.failures += 1
        period_s = bus.retry_min_s if self.period_s is None else self.period_s
        if self.failures <= lost:
            self.due = now + min(period_s, bus.retry_min_s)
            return
        self.due = now + min(period_s * 2**self.alone, max(period_s, bus.retry_max_s))
        self.alone = min(self.alone + 1, _MOST_DOUBLINGS)


class Unit:
    """State of one unit: its blocks, its health, its lateness, its counters."""

    def __init__(self, config: BusUnit, bus: BusConfig, publisher: Publisher, lateness: Lateness, now: float) -> None:
        """`lateness` is that of the unit address, which several devices may share."""
        self.config = config
        self.profile = config.profile
        self.name = f"{config.device_id} (unit {config.unit} of {bus.id})"
        self._bus = bus
        self._publisher = publisher
        self._model = config.profile.model
        self.sources: dict[str, RegisterSource] = {
            point: source for point, source in config.profile.sources.items() if isinstance(source, RegisterSource)
        }
        self._slots = {
            point: publisher.slot(config.device_id, point) for point in self.sources if point in self._model.index
        }
        polled = {point for group in config.profile.groups for point in group.points}
        # What is never read (a trigger that can only be written) keeps the status that says so.
        self._read = {point: slot for point, slot in self._slots.items() if point in polled}
        self._known = {
            table: frozenset(
                address
                for source in self.sources.values()
                if source.table is table and not source.words
                for address in range(span(source)[0], span(source)[1] + 1)
            )
            for table in Table
        }
        self.limits = read_limits(config.profile.modbus, bus)
        self._compiled: dict[ReadBlock, tuple[Decoder, tuple[str, ...], tuple[int, ...]]] = {}
        self.polls = [
            Poll(block, group.period_s, now)
            for group in config.profile.groups
            for block in self.plan([point for point in group.points if point in self.sources])
        ]
        presence = config.profile.presence
        self.present: bool | None = None if presence in self.sources else True
        seed = f"{bus.id}/{config.unit}"
        self.health = Health(BackOff(bus.retry_min_s, bus.retry_max_s, seed), bus.retry_max_s)
        self.lateness = lateness
        self.counters = Counters()
        self._system = SystemPoints(publisher, config.device_id)
        self.verified = not config.profile.identify
        self.ready_at = now  # not before: its interval, or its quiet window on a numbered channel
        self.polls_at = now  # polls not before: others first, after it cost them a time-out; orders need not wait
        self._complaint = Complaint(log, self.name)

    # --- what to read

    def plan(self, points: Sequence[str]) -> tuple[ReadBlock, ...]:
        """Blocks that answer `points`; raises Rejected when one of them has no register."""
        strange = [point for point in points if point not in self.sources or point not in self._slots]
        if strange:
            text = f"{self.config.device_id}: no register for {', '.join(strange)}"
            raise Rejected(text, 0, Status.BAD_NOT_SUPPORTED)
        return plan_reads(self.sources, points, self.limits)

    def pieces(self, block: ReadBlock, now: float, *, pad: bool = True) -> tuple[ReadBlock, ...]:
        """The block in requests whose answers cannot be mistaken for a lost one; empty when one has to wait."""
        function = READ_FUNCTIONS[block.table]
        avoid = self.lateness.avoid(function, now)
        if not avoid:
            return (block,)
        known = self._known[block.table] if pad else frozenset()
        return reshape(block, avoid, known, self.limits, pad=pad)

    def smallest(self) -> ReadBlock | None:
        """The shortest read of this unit: what a probe asks for. None when it has no registers to read."""
        if self.profile.identify:
            return self.plan([self.profile.identify[0].point])[0]
        blocks = [poll.block for poll in self.polls]
        if self.profile.presence in self.sources:
            blocks = [poll.block for poll in self.polls if self.profile.presence in poll.block.points] or blocks
        points = [item.points[0] for block in blocks for item in block.items]
        return min((self.plan([point])[0] for point in points), key=lambda one: one.count, default=None)

    def candidates(self) -> Sequence[Poll]:
        """The polls that make sense now: only the presence point's while the device is not known to be present."""
        if self.present:
            return self.polls
        return [poll for poll in self.polls if self.profile.presence in poll.block.points]

    def restart(self, now: float) -> None:
        """The device (or its channel) is back: identify it again, read everything, `once` groups too."""
        self.verified = not self.profile.identify
        if self.profile.presence in self.sources:
            self.present = None
        for poll in self.polls:
            if poll.due is None or (poll.due < now + UNSUPPORTED_RETRY_S / 2 and poll.alone < _HOPELESS):
                poll.due = now

    def refused(self, poll: Poll, now: float, ticks: int) -> None:
        """Exception 2: the device does not have some register of a block. Cut it until the hole is known."""
        if len(poll.block.items) > 1:
            left, right = bisect(poll.block, self.limits)
            log.info("%s: no registers somewhere in %s to %s, read apart from now on", self.name, *_ends(poll.block))
            at = self.polls.index(poll)
            self.polls[at : at + 1] = [Poll(left, poll.period_s, now), Poll(right, poll.period_s, now)]
            return
        log.warning("%s: does not have %s", self.name, ", ".join(poll.block.points))
        self.publish_status(poll.block.points, Status.BAD_NOT_SUPPORTED, ticks)
        poll.due = now + UNSUPPORTED_RETRY_S

    # --- what an answer says

    def decode(self, block: ReadBlock, payload: bytes) -> dict[str, tuple[Value | None, int]]:
        """Value and status by point; raises ValueError when the payload is not the block's."""
        decoder, points, _ = self._compile(block)
        return dict(zip(points, zip(*decoder.decode(payload), strict=True), strict=True))

    def publish(self, block: ReadBlock, payload: bytes, ticks: int) -> None:
        """Publish an answer as one batch; of a device that its gateway lost, only the presence point."""
        decoder, points, slots = self._compile(block)
        values, statuses = decoder.decode(payload)
        presence = self.profile.presence
        if presence is not None and presence in points:
            at = points.index(presence)
            self._see_presence(bool(values[at]) and not statuses[at], ticks)
        if self.present:
            self._publisher.publish(Batch(slots, values, statuses, ticks))
        elif presence is not None and presence in points:
            at = points.index(presence)
            self._publisher.publish(Batch([slots[at]], [values[at]], [statuses[at]], ticks))

    def publish_status(self, points: Sequence[str], status: Status, ticks: int) -> None:
        """Publish a Bad status that the device itself gave."""
        slots = [self._slots[point] for point in points]
        self._publisher.publish(Batch(slots, [None] * len(slots), [int(status)] * len(slots), ticks))

    def begin(self, ticks: int) -> None:
        """Say of what is never read that it cannot be."""
        slots = [slot for point, slot in self._slots.items() if point not in self._read]
        if slots:
            self._publisher.degrade(slots, int(Status.BAD_NOT_READABLE), ticks)

    def out_of_service(self, ticks: int) -> None:
        """Take every point out of service."""
        self._publisher.degrade(list(self._read.values()), int(Status.BAD_OUT_OF_SERVICE), ticks)

    def unreachable(self, ticks: int) -> None:
        """Points that never had an answer say that there is no communication; does nothing once it was reached."""
        if not (self.health.reached and self.present):
            self.unanswered(list(self._read), ticks)

    def unanswered(self, points: Sequence[str], ticks: int) -> None:
        """Those of `points` that never had an answer say that there is no communication."""
        waiting = int(Status.BAD_WAITING_FOR_INITIAL_DATA)
        slots = [self._slots[point] for point in points]
        slots = [slot for slot in slots if self._publisher.sample(slot).status == waiting]
        if slots:
            self._publisher.degrade(slots, int(Status.BAD_NO_COMMUNICATION), ticks)

    def lose(self, ticks: int) -> None:
        """It went offline: what never ages (read once) is only the last known value until it is read again."""
        points = self._model.points
        slots = [slot for point, slot in self._read.items() if points[self._model.index[point]].stale_after_s is None]
        slots = [slot for slot in slots if not is_bad(self._publisher.sample(slot).status)]
        if slots:
            self._publisher.degrade(slots, int(Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE), ticks)

    def _see_presence(self, present: bool, ticks: int) -> None:
        if present is self.present:
            return
        before, self.present = self.present, present
        if not present:
            self.counters.last_error = "the gateway reports that the device is not there"
            log.warning("%s: %s", self.name, self.counters.last_error)
            # What the gateway goes on to tell of it is from before it was lost.
            others = [slot for point, slot in self._read.items() if point != self.profile.presence]
            self._publisher.degrade(others, int(Status.BAD_NO_COMMUNICATION), ticks)
        elif before is False:
            log.info("%s: there again", self.name)
            for poll in self.polls:
                if poll.due is None:
                    poll.due = 0.0  # `once` groups: what came back may be another device

    def _compile(self, block: ReadBlock) -> tuple[Decoder, tuple[str, ...], tuple[int, ...]]:
        compiled = self._compiled.get(block)
        if compiled is None:
            points = block.points
            pairs = [(self._model.points[self._model.index[point]], self.sources[point]) for point in points]
            decoder = Decoder(pairs, self.sources, block.address, block.count, self._order)
            compiled = decoder, points, tuple(self._slots[point] for point in points)
            self._compiled[block] = compiled
        return compiled

    def _order(self, source: RegisterSource) -> WordOrder:
        return word_order(source, self.profile.modbus.word_order, self._bus.word_order)

    # --- what to write

    def writes(self, settings: Sequence[Setting]) -> tuple[Write, ...]:
        """Requests that write settings in order; raises Rejected for one that cannot be written."""
        runs: list[tuple[RegisterSource, list[tuple[tuple[int, int], ...]]]] = []
        for setting in settings:
            source = self.sources.get(setting.point)
            if source is None or setting.point not in self._model.index:
                text = f"{self.config.device_id}: no register for {setting.point}"
                raise Rejected(text, 0, Status.BAD_NOT_WRITABLE)
            point = self._model.points[self._model.index[setting.point]]
            try:
                words = encode(point, source, setting.value, self._order(source), self._exponent(source))
            except ValueError as error:
                raise Rejected(f"{self.config.device_id}: {error}", 0, Status.BAD_OUT_OF_RANGE) from error
            if runs and runs[-1][0].table is source.table:
                runs[-1][1].append(words)
            else:
                runs.append((source, [words]))
        modbus = self.profile.modbus
        return tuple(
            Write(self.config.unit, block.table, block.address, block.words, modbus.write_single)
            for source, run in runs
            for block in plan_writes(source.table, run, max_write=modbus.max_write, join=not modbus.write_single)
        )

    def _exponent(self, source: RegisterSource) -> int:
        if source.scale_from is None:
            return 0
        sample = self._publisher.sample(self._slots[source.scale_from])
        if sample.status or not isinstance(sample.value, (int, float)):
            text = f"{self.config.device_id}: the scale factor {source.scale_from} is not known"
            raise Rejected(text, 0, _EXPONENT_STATUS)
        return int(sample.value)

    # --- what is said about it

    def show(self, ticks: int) -> None:
        """Publish state and counters, as far as they changed."""
        state = self.health.state
        if state is ConnectionState.ONLINE and self.present is False:
            state = ConnectionState.OFFLINE  # its gateway answers, and says that the device does not
        facts: dict[str, Value] = {"connection": int(state), "device_health": _HEALTHS.get(state, 0)}
        self._system.publish(facts | self.counters.facts(), ticks)

    def yield_to_others(self, now: float) -> None:
        """After a lost request its polls wait as if they were due only now: those of other units go first."""
        for poll in self.polls:
            if poll.due is not None and poll.due < now:
                poll.due = now

    def complain(self, text: str, now: float) -> None:
        """Say that something failed: loudly the first time in a while, then for debugging only."""
        self.counters.last_error = text
        self._complaint.say(text, now)

    def give_up(self) -> None:
        """Say that it is only probed from now on."""
        self._complaint.insist(f"offline: {self.counters.last_error}")

    def rejoice(self) -> None:
        """Say that it answers again, if anything was said before."""
        self._complaint.over("answers again")

    def check(self, seen: Mapping[str, tuple[Value | None, int]]) -> str:
        """What of the identification does not hold, as a sentence; empty when all of it does."""
        for check in self.profile.identify:
            value, status = seen[check.point]
            if not check.one_of and check.between is None:
                continue  # that it answers is all that is asked; "not available" is an answer
            if value is None or status & 0x8000_0000:
                return f"{check.point} has no value"
            if check.one_of and value not in check.one_of:
                return f"{check.point} is {value!r}, expected one of {', '.join(map(repr, check.one_of))}"
            if check.between is not None and (isinstance(value, str) or not check.between.holds(value)):
                return f"{check.point} is {value!r}, expected {check.between.low:g} to {check.between.high:g}"
        return ""


def _ends(block: ReadBlock) -> tuple[int, int]:
    return block.address, block.address + block.count - 1
