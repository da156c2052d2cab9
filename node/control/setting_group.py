"""Settings of one device: one read, one burst of writes, one read-back for all of them, and the truth about each."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from itertools import compress, repeat
from operator import itemgetter, le, not_, sub
from typing import Any

from address_space.model import Clock, CommandResult, Device, Outcome, Sample, Status, Value, is_good
from drivers.base import DriverError, Malformed, Port, Priority, Rejected, Setting
from drivers.spec import CommandSpec, SettingSpec
from node.control.conditions import describe_one
from node.control.device_lock import DeviceLock
from node.control.execution import Execution, Superseded

# The device (or one block of it) said no: each setting is then asked for by itself, to know which.
_SAID_NO = (Rejected, Malformed)
_READ_BACK_EVERY_S = 0.2
_value_of, _status_of = itemgetter(0), itemgetter(1)  # of a sample


@dataclass(frozen=True, slots=True)
class Wanted:
    """Settings of one device with the values that they are to have, as columns."""

    points: tuple[str, ...]
    specs: tuple[SettingSpec, ...]
    values: tuple[Value, ...]
    tolerances: tuple[float, ...]
    readable: bool  # all of them are

    @property
    def burst(self) -> list[Setting]:
        """As a bus takes them."""
        # Without a call of Python for each of many.
        return list(map(tuple.__new__, repeat(Setting), zip(self.points, self.values, strict=True)))

    def pick(self, chosen: Sequence[bool]) -> Wanted:
        """Those that are chosen."""
        if all(chosen):
            return self
        return Wanted(
            tuple(compress(self.points, chosen)),
            tuple(compress(self.specs, chosen)),
            tuple(compress(self.values, chosen)),
            tuple(compress(self.tolerances, chosen)),
            self.readable,
        )

    def by_readable(self, *, readable: bool) -> Wanted:
        """Those that the device shows again, or those that it does not."""
        if self.readable:
            return self if readable else _NONE
        return self.pick([spec.readable is readable for spec in self.specs])

    def each(self) -> Iterator[Wanted]:
        """One by one."""
        for point, spec, value in zip(self.points, self.specs, self.values, strict=True):
            yield Wanted((point,), (spec,), (value,), (spec.tolerance,), spec.readable)

    def held_by(self, samples: Mapping[str, Sample]) -> list[bool]:
        """For each whether the device has it as wanted, within its tolerance; `samples` are of all points."""
        seen = list(map(samples.__getitem__, self.points))
        values: Any = tuple(map(_value_of, seen))
        if all(map(is_good, set(map(_status_of, seen)))):
            if values == self.values:
                return [True] * len(values)
            with suppress(TypeError):  # not all of them are numbers
                return list(map(le, map(abs, map(sub, values, self.values)), self.tolerances))
        rows = zip(seen, self.values, self.tolerances, strict=True)
        return [is_good(one.status) and _equal(one.value, wanted, room) for one, wanted, room in rows]


_NONE = Wanted((), (), (), (), readable=True)


class SettingGroup(Execution):
    """Writes settings together."""

    __slots__ = ("_verdicts",)

    def __init__(
        self, device: Device, commands: Mapping[str, CommandSpec], port: Port, clock: Clock, lock: DeviceLock
    ) -> None:
        """As Execution."""
        super().__init__(device, commands, port, clock, lock)
        self._verdicts: dict[str, CommandResult] = {}

    async def write(self, wanted: Wanted) -> Mapping[str, CommandResult]:
        """Write those that the device has differently, and read them back; a verdict for each. Never raises.

        What was observed is not in the verdicts: `observed_of` tells it.
        """
        try:
            try:
                await self._together(wanted)
            except _SAID_NO:
                left = self._left(wanted)
                if len(left.points) == 1:
                    raise
                for one in left.each():
                    await self._alone(one)
        except DriverError as error:
            self._settle(self._left(wanted), self.result(Outcome.FAILED, error.status, str(error)))
        except Superseded as later:
            self._settle(self._left(wanted), self._superseded(later))
        return self._verdicts

    def observed_of(self, point: str) -> str:
        """A point as seen last, as text."""
        sample = self._samples.get(point)
        return "" if sample is None else describe_one(self._device.model, point, sample)

    def result(self, outcome: Outcome, status: Status, reason: str) -> CommandResult:
        """A verdict for any number of settings: what was observed is each one's own."""
        return CommandResult(outcome, status, "", self._clock.monotonic() - self._started, reason)

    # --- steps

    async def _alone(self, wanted: Wanted) -> None:
        try:
            await self._together(wanted)
        except DriverError as error:
            self._settle(wanted, self.result(Outcome.FAILED, error.status, str(error)))

    async def _together(self, wanted: Wanted) -> None:
        lock = self._lock
        if not lock.take():
            await lock.wait()
        try:
            self._check_superseded()
            await self._settle_held(wanted, "the device has this value already")
            waiting = self._left(wanted)
            if not waiting.points:
                return
            self._check_superseded()
            unanswered = await self._write(waiting.burst, Priority.COMMAND)
        finally:
            lock.release()
        blind = waiting.by_readable(readable=False)
        if blind.points:
            self._settle(blind, self._unproven(unanswered, "written; the device does not let it be read back"))
        await self._read_back(waiting, unanswered)

    async def _settle_held(self, wanted: Wanted, reason: str) -> None:
        """Read what has no verdict yet; what the device has as it is wanted is confirmed."""
        asked = self._left(wanted).by_readable(readable=True)
        if not asked.points:
            return
        held = asked.held_by(await self._unless_superseded(self._read(asked.points)))
        if any(held):
            self._settle(asked.pick(held), self.result(Outcome.CONFIRMED, Status.GOOD, reason))

    async def _read_back(self, wanted: Wanted, unanswered: DriverError | None) -> None:
        written = self._clock.monotonic()
        while True:
            lost: DriverError | None = None
            try:
                await self._settle_held(wanted, "confirmed")
            except DriverError as error:
                lost = error
            left = self._left(wanted)
            late = self._clock.monotonic() + _READ_BACK_EVERY_S - written
            for one in left.each():
                if late > one.specs[0].within_s:
                    self._settle(one, self._not_confirmed(one.specs[0], unanswered, lost))
            if not self._left(left).points:
                return
            await self._pause(_READ_BACK_EVERY_S)

    # --- verdicts

    def _left(self, wanted: Wanted) -> Wanted:
        verdicts = self._verdicts
        return wanted.pick(list(map(not_, map(verdicts.__contains__, wanted.points)))) if verdicts else wanted

    def _settle(self, wanted: Wanted, verdict: CommandResult) -> None:
        verdicts = dict.fromkeys(wanted.points, verdict)
        if self._verdicts:
            self._verdicts.update(verdicts)
        else:
            self._verdicts = verdicts

    def _not_confirmed(
        self, spec: SettingSpec, unanswered: DriverError | None, lost: DriverError | None
    ) -> CommandResult:
        """What a setting came to that was not seen to have its value in time."""
        if unanswered is not None:
            return self.result(Outcome.FAILED, unanswered.status, f"{unanswered}; not read back either")
        if lost is not None:
            return self.result(Outcome.UNCONFIRMED, Status.UNCERTAIN, f"written, then not readable: {lost}")
        reason = f"written, but the device shows something else after {spec.within_s:g} s"
        return self.result(Outcome.MISMATCH, Status.UNCERTAIN, reason)


def _equal(value: Value | None, wanted: Value, tolerance: float) -> bool:
    if value is None:
        return False
    if isinstance(value, str) or isinstance(wanted, str):
        return value == wanted
    return abs(value - wanted) <= tolerance
