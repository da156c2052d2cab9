"""One command on its way through a device: precondition, writes, confirmation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from typing import Any, TypeVar

from address_space.model import Clock, CommandResult, Device, Outcome, Sample, Status
from drivers.base import AnswerLost, DriverError, Malformed, NoAnswer, Port, Priority, Setting
from drivers.spec import CommandSpec, Condition, Confirm, KeepAlive, Run, Write
from node.begun import begin
from node.control.conditions import (
    Arguments,
    describe,
    describe_condition,
    first_unmet,
)
from node.control.course import Course, course_of
from node.control.device_lock import DeviceLock

# A write or read that waits longer than this behind a broken channel has failed: an operator waits for it.
_REQUEST_S = 10.0
# After these a write may have been carried out all the same: the device is asked what it shows.
_DOUBTFUL = (NoAnswer, AnswerLost, Malformed)

_Result = TypeVar("_Result")
Keep = Callable[[KeepAlive], Awaitable[None]]


class Superseded(Exception):  # not an error of this command: a later one took its place
    """A later command on the same device ended the waiting of this one; the text is its name."""


class _Ended(Exception):  # carries the result out of the nested steps
    def __init__(self, result: CommandResult) -> None:
        super().__init__(result.reason)
        self.result = result


class Execution:
    """Carries out one command on one device and remembers what it saw."""

    __slots__ = (
        "_clock",
        "_commands",
        "_device",
        "_keep",
        "_lock",
        "_port",
        "_samples",
        "_started",
        "_superseded_by",
        "_woken",
        "_written",
    )

    def __init__(
        self,
        device: Device,
        commands: Mapping[str, CommandSpec],
        port: Port,
        clock: Clock,
        lock: DeviceLock,
        keep: Keep | None = None,
    ) -> None:
        """`lock` is the device's: held from precondition to last write, not while waiting for the effect.

        `keep` is called after the writes of a command that has something to be kept alive.
        """
        self._device = device
        self._commands = commands
        self._port = port
        self._clock = clock
        self._lock = lock
        self._keep = keep
        self._started = clock.monotonic()
        self._samples: dict[str, Sample] = {}
        self._superseded_by: str | None = None
        self._woken: asyncio.Future[None] | None = None  # what it waits on just now
        self._written = False

    @property
    def observed(self) -> str:
        """The points that were looked at, as seen last."""
        return describe(self._device.model, self._samples)

    @property
    def superseded(self) -> bool:
        """True when a later command has taken the place of this one."""
        return self._superseded_by is not None

    def supersede(self, command_id: str) -> None:
        """End the waiting of this command: `command_id` takes its place. What is on the wire is finished."""
        self._superseded_by = command_id
        if self._woken is not None:
            _wake(self._woken)

    async def command(self, course: Course, arguments: Arguments) -> CommandResult:
        """Carry out a command to its end. Never raises for what a device does or does not do."""
        try:
            return await self._command(course, arguments)
        except _Ended as ended:
            return ended.result
        except Superseded as later:
            return self._superseded(later)

    def result(self, outcome: Outcome, status: Status, reason: str) -> CommandResult:
        """A result with what was observed and how long it took until now."""
        return CommandResult(outcome, status, self.observed, self._clock.monotonic() - self._started, reason)

    # --- commands

    async def _command(self, course: Course, arguments: Arguments) -> CommandResult:
        spec, lock = course.spec, self._lock
        if not lock.take():
            await lock.wait()
        try:
            if course.required:
                await self._require(course, arguments)
            unanswered = await self._burst(course.leading, arguments, course.priority)
        finally:
            lock.release()
        inner: CommandResult | None = None
        for step in course.others:
            if isinstance(step, Run):
                inner = await self._command(course_of(self._commands[step.command]), {})
                if inner.outcome is not Outcome.CONFIRMED:
                    return inner
                continue
            if not lock.take():
                await lock.wait()
            try:
                unanswered = await self._burst((step,), arguments, course.priority) or unanswered
            finally:
                lock.release()
        if spec.keep_alive is not None and self._keep is not None:
            await self._keep(spec.keep_alive)
        if spec.confirm is not None:
            return await self._confirm(spec.confirm, course, arguments, unanswered)
        if inner is not None and unanswered is None:
            return inner
        return self._unproven(unanswered, "written; the profile names nothing that would prove it")

    def _unproven(self, unanswered: DriverError | None, reason: str) -> CommandResult:
        """The result of a write whose effect nothing shows."""
        if unanswered is not None:
            return self.result(Outcome.FAILED, unanswered.status, str(unanswered))
        return self.result(Outcome.UNCONFIRMED, Status.UNCERTAIN, reason)

    def _superseded(self, later: Superseded) -> CommandResult:
        if self._written:
            return self.result(Outcome.UNCONFIRMED, Status.UNCERTAIN, f"superseded by {later}")
        return self.result(Outcome.REFUSED, Status.BAD_REQUEST_NOT_ALLOWED, f"superseded by {later}, not written")

    async def _require(self, course: Course, arguments: Arguments) -> None:
        """Read the points of a precondition now and refuse when one does not hold."""
        try:
            samples = await self._unless_superseded(self._read(course.required, course.priority))
        except DriverError as error:
            raise _Ended(self.result(Outcome.FAILED, error.status, f"precondition not read: {error}")) from error
        unmet = first_unmet(course.spec.requires, samples, arguments)
        if unmet is not None:
            reason = f"needs {describe_condition(self._device.model, unmet, arguments)}; nothing was written"
            raise _Ended(self.result(Outcome.REFUSED, unmet.otherwise, reason))

    async def _burst(self, writes: Sequence[Write], arguments: Arguments, priority: Priority) -> DriverError | None:
        """Write steps in order. A write without an answer may still have worked: that is returned, not raised."""
        self._check_superseded()
        if not writes:
            return None
        settings = [_setting(write, arguments) for write in writes]
        try:
            return await self._write(settings, priority)
        except DriverError as error:
            raise _Ended(self.result(Outcome.FAILED, error.status, str(error))) from error

    async def _confirm(
        self, confirm: Confirm, course: Course, arguments: Arguments, unanswered: DriverError | None
    ) -> CommandResult:
        """Read the confirming points until they show the effect or the profile's deadline passes."""
        points, priority = course.confirming, course.priority
        deadline = self._clock.monotonic() + confirm.within_s
        seen: Condition | None = None
        lost: DriverError | None = None
        while True:
            try:
                samples = await self._unless_superseded(self._read(points, priority))
            except DriverError as error:
                lost = error
            else:
                seen, lost = first_unmet(confirm.conditions, samples, arguments), None
                if seen is None:
                    return self.result(Outcome.CONFIRMED, Status.GOOD, "confirmed")
            if self._clock.monotonic() + confirm.every_s > deadline:
                break
            await self._pause(confirm.every_s)
        if unanswered is not None:
            return self.result(Outcome.FAILED, unanswered.status, f"{unanswered}; no effect seen either")
        if lost is not None:
            return self.result(Outcome.UNCONFIRMED, Status.UNCERTAIN, f"written, then not readable: {lost}")
        missing = "" if seen is None else describe_condition(self._device.model, seen, arguments)
        reason = f"written, but not {missing} within {confirm.within_s:g} s"
        return self.result(Outcome.MISMATCH, Status.UNCERTAIN, reason)

    # --- the wire

    async def _read(self, points: Sequence[str], priority: Priority = Priority.COMMAND) -> Mapping[str, Sample]:
        deadline = self._clock.monotonic() + _REQUEST_S
        samples = await self._port.read(self._device.id, points, priority, deadline)
        self._samples.update(samples)
        return samples

    async def _write(self, settings: Sequence[Setting], priority: Priority) -> DriverError | None:
        self._written = True
        try:
            await self._port.write(self._device.id, settings, priority, self._clock.monotonic() + _REQUEST_S)
        except _DOUBTFUL as error:
            return error
        return None

    def _check_superseded(self) -> None:
        if self._superseded_by is not None:
            raise Superseded(self._superseded_by)

    async def _pause(self, seconds: float) -> None:
        await self._unless_superseded(self._clock.sleep(seconds))

    async def _unless_superseded(self, waiting: Coroutine[Any, Any, _Result]) -> _Result:
        """Wait for something, but no longer than until a later command takes over. Raises Superseded then.

        A transaction that is on the wire is finished by the bus all the same.
        """
        if self._superseded_by is not None:
            waiting.close()
        self._check_superseded()
        result: _Result
        result, begun = begin(waiting)
        if begun is None:
            return result
        work = asyncio.ensure_future(begun)
        woken = self._woken = asyncio.get_running_loop().create_future()
        work.add_done_callback(lambda _: _wake(woken))
        try:
            await woken
            self._check_superseded()
            return work.result()
        finally:
            self._woken = None
            work.cancel()


def _setting(write: Write, arguments: Arguments) -> Setting:
    operand = write.value
    value = operand.constant if operand.argument is None else arguments[operand.argument]
    if value is None or isinstance(value, tuple):
        raise TypeError(f"{write.point} cannot be set to {value!r}; the linter should have refused this step")
    return Setting(write.point, value)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
