"""The control desk: every command and every write of a setting goes through here, and its outcome is the truth.

authorise -> arguments -> precondition on fresh samples -> write ahead of polls -> confirm by the profile's status
points -> outcome. Nothing is written for a device without `control: true`, and nothing unless somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from dataclasses import replace
from typing import Any

from address_space.model import Clock, Command, CommandResult, Device, Outcome, Point, Publisher, Status, Value
from drivers.base import Port
from drivers.spec import CommandSpec, KeepAlive, Profile, SettingSpec
from node.control.arguments import check_arguments, fault_of_value
from node.control.conditions import Arguments, describe_condition, value_text
from node.control.execution import Execution, Keep, written_points
from node.control.keep_alive import KeepAlives, Spawn
from node.control.last_command import LastCommand, Request
from node.control.setting_group import SettingGroup, Wanted
from node.roles import Caller, Role

_LOG = logging.getLogger(__name__)

# Settings of a group that LastCommand spells out; of the others it says how many they are.
_SHOWN = 8
_NO_BUS = CommandResult(Outcome.FAILED, Status.BAD_NO_COMMUNICATION, "", 0.0, "the bus of the device does not run")


class ControlDesk:
    """Carries out commands and writes settings, one at a time per device."""

    def __init__(
        self,
        image: Publisher,
        devices: Mapping[str, Device],
        profiles: Mapping[str, Profile],
        ports: Mapping[str, Port],
        clock: Clock,
        spawn: Spawn,
    ) -> None:
        """`profiles` and `ports` are by device id; a device has a port while its bus runs."""
        self._devices = devices
        self._profiles = profiles
        self._ports = ports
        self._clock = clock
        self._spawn = spawn
        # Hears the end of every request: device, command or what was written, user, and what came of it.
        self.ended: Callable[[str, str, str, CommandResult], None] | None = None
        self._last = LastCommand(image, clock)
        self._last.begin(devices.values())
        self._keep_alives = KeepAlives(image, clock, spawn)
        self._locks: dict[str, asyncio.Lock] = {}
        self._newest: dict[str, Request] = {}
        self._running: set[asyncio.Task[None]] = set()
        self._standing: dict[str, dict[Execution, frozenset[str]]] = {}

    async def call(
        self,
        device_id: str,
        command_id: str,
        arguments: Sequence[Value | None],
        caller: Caller,
        answer_by: float | None,
    ) -> CommandResult:
        """Carry out a command; answers when it has ended, at the latest at `answer_by` (Clock.monotonic()).

        An answer before the end is UNCONFIRMED with reason "pending": the command goes on whatever becomes of the
        caller, and LastCommand tells its end. An argument is None when it came with a wrong type. Raises KeyError
        for a device or command that the site does not have.
        """
        device = self._devices[device_id]
        command = _command(device, command_id)
        request = Request(device, command_id, "", caller.user, self._clock.now())
        refusal = _not_allowed(device, caller, Role.OPERATOR) or _wrong_arguments(command, arguments)
        if refusal is not None:
            return self._end(request, refusal)
        port = self._ports.get(device_id)
        if port is None:
            return self._end(request, _NO_BUS)
        profile = self._profiles[device_id]
        spec, named = _resolve(profile, command, [value for value in arguments if value is not None])
        request = replace(request, wanted=_wanted(profile, spec, named))
        return await self._answer(request, self._carry_out(device, profile, port, spec, named), answer_by)

    async def write_setting(self, device_id: str, point_id: str, value: Value, caller: Caller) -> CommandResult:
        """Write one setting when it differs and read it back; answers after the read-back.

        Raises KeyError for a device or point that the site does not have.
        """
        device = self._devices[device_id]
        point = device.model.points[device.model.index[point_id]]
        wanted = f"{point_id} = {value_text(point, value)}"
        request = Request(device, f"write {point_id}", wanted, caller.user, self._clock.now())
        spec = self._setting(device, point, value, caller)
        if isinstance(spec, CommandResult):
            return self._end(request, spec)
        execution = self._execution(device)
        return await self._answer(request, self._apply(device, execution, spec, value), None)

    async def write_settings(
        self, device_id: str, values: Mapping[str, Value], caller: Caller
    ) -> Mapping[str, CommandResult]:
        """Write settings of one device (values by point id) together, read them back; answers after the read-back.

        A result for each. LastCommand shows them as one: the first that was not confirmed, else how many were.
        Raises KeyError for a device or point that the site does not have.
        """
        if len(values) == 1:
            [(point_id, value)] = values.items()
            return {point_id: await self.write_setting(device_id, point_id, value, caller)}
        device = self._devices[device_id]
        model = device.model
        shown = [(model.points[model.index[point_id]], value) for point_id, value in values.items()]
        texts = [f"{point.id} = {value_text(point, value)}" for point, value in shown[:_SHOWN]]
        request = Request(
            device, f"write {len(values)} settings", _list(texts, len(values)), caller.user, self._clock.now()
        )
        results: dict[str, CommandResult] = {}
        allowed: list[Wanted] = []
        for point, value in shown:
            spec = self._setting(device, point, value, caller)
            if isinstance(spec, CommandResult):
                results[point.id] = spec
            else:
                allowed.append((spec, value))

        async def work() -> CommandResult:
            if allowed:
                results.update(await self._apply_all(device, allowed))
            return _summary(results)

        await self._answer(request, work(), None)
        for point_id, result in results.items():
            if result.outcome is not Outcome.CONFIRMED:
                _LOG.warning("%s write %s by %s: %s", device_id, point_id, caller.user, result.reason)
        return results

    async def stop(self) -> None:
        """End what is kept alive, with its last writes, and what waits; call it while the buses still run."""
        for task in self._running:
            task.cancel()
        await self._keep_alives.stop()

    # --- the way of one request

    async def _answer(
        self, request: Request, work: Coroutine[Any, Any, CommandResult], answer_by: float | None
    ) -> CommandResult:
        """Let the work go on in a task of the node, so that a caller who leaves does not stop it."""
        ended: asyncio.Future[CommandResult] = asyncio.get_running_loop().create_future()
        began = self._clock.monotonic()

        async def run() -> None:
            try:
                ended.set_result(self._end(request, await work))
            finally:
                ended.cancel()  # only a stop of the node gets here without a result

        self._newest[request.device.id] = request
        task = self._spawn(run())
        self._running.add(task)
        task.add_done_callback(self._running.discard)
        if answer_by is None:
            return await asyncio.shield(ended)
        timer = asyncio.ensure_future(self._clock.sleep(answer_by - began))
        try:
            waiting: set[asyncio.Future[Any]] = {ended, timer}
            await asyncio.wait(waiting, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
        if ended.done():
            return ended.result()
        observed = ", ".join(one.observed for one in self._standing.get(request.device.id, ()))
        elapsed_s = self._clock.monotonic() - began
        pending = CommandResult(Outcome.UNCONFIRMED, Status.UNCERTAIN, observed, elapsed_s, "pending")
        if self._newest[request.device.id] is request:
            self._last.show(request, pending)
        return pending

    async def _carry_out(
        self, device: Device, profile: Profile, port: Port, spec: CommandSpec, arguments: Arguments
    ) -> CommandResult:
        """Take the place of commands that this one contradicts, then write, keep alive and confirm."""

        async def keep(kept: KeepAlive) -> None:
            await self._keep_alives.begin(device, kept, arguments, port)

        execution = self._execution(device, keep)
        standing = self._standing.setdefault(device.id, {})
        written = written_points(profile.commands, spec)
        for earlier, its_points in standing.items():
            if spec.emergency or written & its_points:
                earlier.supersede(spec.id)
        standing[execution] = written
        try:
            await self._keep_alives.before(device.id, spec.id)
            result = await execution.command(spec, arguments)
        finally:
            del standing[execution]
        if spec.keep_alive is not None and result.outcome is not Outcome.CONFIRMED and not execution.superseded:
            await self._keep_alives.end(device.id, spec.keep_alive)
        return result

    async def _apply(self, device: Device, execution: Execution, spec: SettingSpec, value: Value) -> CommandResult:
        """Write a setting; an emergency on the same device need not wait for its read-back."""
        standing = self._standing.setdefault(device.id, {})
        standing[execution] = frozenset((spec.point,))
        try:
            return await execution.setting(spec, value)
        finally:
            del standing[execution]

    async def _apply_all(self, device: Device, wanted: Sequence[Wanted]) -> Mapping[str, CommandResult]:
        """Write settings together; as `_apply`."""
        lock = self._locks.setdefault(device.id, asyncio.Lock())
        profile, port = self._profiles[device.id], self._ports[device.id]
        group = SettingGroup(device, profile.commands, port, self._clock, lock)
        standing = self._standing.setdefault(device.id, {})
        standing[group] = frozenset(spec.point for spec, _ in wanted)
        try:
            return await group.write(wanted)
        finally:
            del standing[group]

    def _setting(self, device: Device, point: Point, value: Value, caller: Caller) -> SettingSpec | CommandResult:
        """How a setting is written, or why it must not be."""
        profile = self._profiles.get(device.id)
        spec = None if profile is None else profile.settings.get(point.id)
        if spec is None or not point.writable:
            return _refuse(Status.BAD_NOT_WRITABLE, f"{point.id} is not a setting")
        refusal = _not_allowed(device, caller, Role.ENGINEER)
        if refusal is not None:
            return refusal
        fault = fault_of_value(value, point.data_type, spec.range, point.enumeration)
        if fault is not None:
            return _refuse(fault[0], f"{point.id}: {fault[1]}")
        return _NO_BUS if device.id not in self._ports else spec

    def _execution(self, device: Device, keep: Keep | None = None) -> Execution:
        lock = self._locks.setdefault(device.id, asyncio.Lock())
        return Execution(device, self._profiles[device.id].commands, self._ports[device.id], self._clock, lock, keep)

    def _end(self, request: Request, result: CommandResult) -> CommandResult:
        self._last.show(request, result)
        if self.ended is not None:
            self.ended(request.device.id, request.name, request.user, result)
        level = logging.INFO if result.outcome is Outcome.CONFIRMED else logging.WARNING
        text = "%s %s by %s: %s (%s) after %.1f s: %s"
        who = (request.device.id, request.name, request.user)
        _LOG.log(level, text, *who, result.outcome.name, result.status.symbol, result.elapsed_s, result.reason)
        return result


def _command(device: Device, command_id: str) -> Command:
    for command in device.model.commands:
        if command.id == command_id:
            return command
    raise KeyError(f"{device.id} has no command {command_id}")


def _refuse(status: Status, reason: str, input_results: tuple[Status, ...] = ()) -> CommandResult:
    return CommandResult(Outcome.REFUSED, status, "", 0.0, reason, input_results)


def _not_allowed(device: Device, caller: Caller, needed: Role) -> CommandResult | None:
    if caller.role < needed:
        reason = f"needs the role {needed.label}; {caller.user} has {caller.role.label}"
        return _refuse(Status.BAD_USER_ACCESS_DENIED, reason)
    if not device.control:
        return _refuse(Status.BAD_NOT_EXECUTABLE, f"the site file does not say `control: true` for {device.id}")
    return None


def _wrong_arguments(command: Command, arguments: Sequence[Value | None]) -> CommandResult | None:
    fault = check_arguments(command.inputs, arguments)
    return None if fault is None else _refuse(*fault)


def _resolve(profile: Profile, command: Command, values: Sequence[Value]) -> tuple[CommandSpec, Arguments]:
    """The command to carry out with its named arguments; a dispatching one hands over to the command it picks."""
    spec = profile.commands[command.id]
    if spec.dispatch:
        return profile.commands[spec.dispatch[int(values[0])]], {}
    return spec, {argument.name: value for argument, value in zip(command.inputs, values, strict=True)}


def _wanted(profile: Profile, spec: CommandSpec, arguments: Arguments) -> str:
    if spec.confirm is None:
        return spec.id
    return ", ".join(describe_condition(profile.model, one, arguments) for one in spec.confirm.conditions)


def _list(texts: Sequence[str], count: int) -> str:
    return ", ".join(texts) + (f" and {count - len(texts)} more" if count > len(texts) else "")


def _summary(results: Mapping[str, CommandResult]) -> CommandResult:
    """One result for several settings: the first that was not confirmed, with how many were."""
    confirmed = sum(result.outcome is Outcome.CONFIRMED for result in results.values())
    count = f"{confirmed} of {len(results)} confirmed"
    for result in results.values():
        if result.outcome is not Outcome.CONFIRMED:
            return replace(result, reason=f"{count}; {result.reason}")
    seen = list(results.values())
    observed = _list([result.observed for result in seen[:_SHOWN]], len(seen))
    return CommandResult(Outcome.CONFIRMED, Status.GOOD, observed, max(result.elapsed_s for result in seen), count)
