"""One command on its way through a device: precondition, writes, confirmation."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Coroutine, Mapping, Sequence
from itertools import takewhile
from typing import Any, TypeVar

from address_space.model import Clock, CommandResult, Device, Outcome, Sample, Status
from drivers.base import AnswerLost, DriverError, Malformed, NoAnswer, Port, Priority, Setting
from drivers.spec import CommandSpec, Condition, Confirm, KeepAlive, Run, Step, Write
from node.begun import Begun
from node.control.conditions import (
    Arguments,
    describe,
    describe_condition,
    first_unmet,
    operand_value,
    points_of,
)

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

    def __init__(
        self,
        device: Device,
        commands: Mapping[str, CommandSpec],
        port: Port,
        clock: Clock,
        lock: asyncio.Lock,
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

    async def command(self, spec: CommandSpec, arguments: Arguments) -> CommandResult:
        """Carry out a command to its end. Never raises for what a device does or does not do."""
        try:
            return await self._command(spec, arguments)
        except _Ended as ended:
            return ended.result
        except Superseded as later:
            return self._superseded(later)

    def result(self, outcome: Outcome, status: Status, reason: str) -> CommandResult:
        """A result with what was observed and how long it took until now."""
        return CommandResult(outcome, status, self.observed, self._clock.monotonic() - self._started, reason)

    # --- commands

    async def _command(self, spec: CommandSpec, arguments: Arguments) -> CommandResult:
        priority = Priority.EMERGENCY if spec.emergency else Priority.COMMAND
        leading = list(takewhile(_is_write, spec.steps))
        async with self._lock:
            if spec.requires:
                await self._require(spec.requires, arguments, priority)
            unanswered = await self._burst(leading, arguments, priority)
        inner: CommandResult | None = None
        for step in spec.steps[len(leading) :]:
            if isinstance(step, Run):
                inner = await self._command(self._commands[step.command], {})
                if inner.outcome is not Outcome.CONFIRMED:
                    return inner
            else:
                async with self._lock:
                    unanswered = await self._burst([step], arguments, priority) or unanswered
        if spec.keep_alive is not None and self._keep is not None:
            await self._keep(spec.keep_alive)
        if spec.confirm is not None:
            return await self._confirm(spec.confirm, arguments, unanswered, priority)
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

    async def _require(self, conditions: tuple[Condition, ...], arguments: Arguments, priority: Priority) -> None:
        """Read the points of a precondition now and refuse when one does not hold."""
        try:
            samples = await self._unless_superseded(self._read(points_of(conditions), priority))
        except DriverError as error:
            raise _Ended(self.result(Outcome.FAILED, error.status, f"precondition not read: {error}")) from error
        unmet = first_unmet(conditions, samples, arguments)
        if unmet is not None:
            reason = f"needs {describe_condition(self._device.model, unmet, arguments)}; nothing was written"
            raise _Ended(self.result(Outcome.REFUSED, unmet.otherwise, reason))

    async def _burst(self, steps: Sequence[Step], arguments: Arguments, priority: Priority) -> DriverError | None:
        """Write steps in order. A write without an answer may still have worked: that is returned, not raised."""
        self._check_superseded()
        settings = [self._setting(step, arguments) for step in steps if isinstance(step, Write)]
        if not settings:
            return None
        try:
            return await self._write(settings, priority)
        except DriverError as error:
            raise _Ended(self.result(Outcome.FAILED, error.status, str(error))) from error

    def _setting(self, step: Write, arguments: Arguments) -> Setting:
        value = operand_value(step.value, arguments)
        if value is None or isinstance(value, tuple):
            raise TypeError(f"{step.point} cannot be set to {value!r}; the linter should have refused this step")
        return Setting(step.point, value)

    async def _confirm(
        self, confirm: Confirm, arguments: Arguments, unanswered: DriverError | None, priority: Priority
    ) -> CommandResult:
        """Read the confirming points until they show the effect or the profile's deadline passes."""
        points = points_of(confirm.conditions)
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
        self._check_superseded()
        begun = Begun(waiting)
        if begun.done:
            return begun.result
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


def _is_write(step: Step) -> bool:
    return isinstance(step, Write)


def _wake(waiting: asyncio.Future[None]) -> None:
    if not waiting.done():
        waiting.set_result(None)
