"""The control desk: every command and every write of a setting goes through here, and its outcome is the truth.

authorise -> arguments -> precondition on fresh samples -> write ahead of polls -> confirm by the profile's status
points -> outcome. Nothing is written for a device without `control: true`, and nothing unless somebody asks.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine, Mapping, Sequence
from typing import Any

from address_space.model import Clock, CommandResult, Device, Outcome, Point, Publisher, Status, Value
from drivers.base import Port
from drivers.spec import KeepAlive, Profile, SettingSpec
from node.begun import Begun, begin
from node.control.arguments import check_arguments, fault_of_value
from node.control.conditions import Arguments, value_text
from node.control.device_lock import DeviceLock
from node.control.execution import Execution, Keep
from node.control.keep_alive import KeepAlives, Spawn
from node.control.last_command import LastCommand, Request
from node.control.recipe import Recipe, recipe_of
from node.control.setting_columns import SettingColumns, columns_of
from node.control.setting_group import SettingGroup, Wanted
from node.control.setting_results import SettingResults
from node.roles import Caller, Role

_LOG = logging.getLogger(__name__)

# Settings of a group that LastCommand spells out; of the others it says how many they are.
_SHOWN = 8
# Groups of settings whose columns are remembered; one of 100 takes about 8 KiB.
_COLUMNS = 256
_NO_BUS = CommandResult(Outcome.FAILED, Status.BAD_NO_COMMUNICATION, "", 0.0, "the bus of the device does not run")

# Hears the end of a request: device, command or what was written, user, and what came of it.
Ended = Callable[[str, str, str, CommandResult], None]


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
        self._listeners: list[Ended] = []
        self._last = LastCommand(image, clock)
        self._last.begin(devices.values())
        self._keep_alives = KeepAlives(image, clock, spawn)
        self._locks: dict[str, DeviceLock] = {}
        self._recipes: dict[tuple[str, str], Recipe] = {}  # by device and command
        self._columns: dict[tuple[str, tuple[str, ...]], SettingColumns] = {}
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
        recipe = self._recipes.get((device_id, command_id)) or self._recipe_of(device, command_id)
        asked = self._clock.now()
        refusal = _not_allowed(device, caller, Role.OPERATOR) or _wrong_arguments(recipe, arguments)
        port = self._ports.get(device_id)
        if refusal is not None or port is None:
            return self._end(Request(device, command_id, "", caller.user, asked), refusal or _NO_BUS)
        values: Any = arguments  # none of them is None: they have been looked at
        if recipe.spec.dispatch:
            recipe, values = self._recipe_of(device, recipe.spec.dispatch[int(values[0])]), ()
        named = recipe.named(values)
        request = Request(device, command_id, recipe.wanted(named), caller.user, asked)
        return await self._answer(request, self._carry_out(device, recipe, named, port), answer_by)

    async def write_setting(self, device_id: str, point_id: str, value: Value, caller: Caller) -> CommandResult:
        """Write one setting when it differs and read it back; as `write_settings`."""
        return (await self.write_settings(device_id, {point_id: value}, caller))[point_id]

    async def write_settings(self, device_id: str, values: Mapping[str, Value], caller: Caller) -> SettingResults:
        """Write settings of one device (values by point id) together when they differ, and read them back.

        Answers after the read-back with a result for each. LastCommand shows several as one: the first that was not
        confirmed, else how many were. Raises KeyError for a device or point that the site does not have.
        """
        device = self._devices[device_id]
        columns = self._columns_of(device, tuple(values))
        given = tuple(values.values())
        request = self._write_request(device, columns, given, caller)
        refused = self._refused(device, columns, given, caller)
        if len(refused) == len(given):
            results = SettingResults(refused)
            self._end(request, _summary(results))
        else:
            asked = [point not in refused for point in columns.ids] if refused else ()
            specs: Any = columns.specs  # those that are asked for are settings
            wanted = Wanted(columns.ids, specs, given, columns.tolerances, columns.readable)
            group = self._group(device)
            results = SettingResults(refused, group.observed_of)

            async def work() -> CommandResult:
                written = await self._apply(device, group, wanted.pick(asked) if asked else wanted)
                results.settle(columns.ids, {**written, **refused} if refused else written)
                return _summary(results)

            await self._answer(request, work(), None)
        if len(given) > 1:
            for point_id in results.unconfirmed:
                _LOG.warning("%s write %s by %s: %s", device_id, point_id, caller.user, results[point_id].reason)
        return results

    def listen(self, listener: Ended) -> None:
        """Let somebody hear the end of every request from now on, also of those that were pending before."""
        self._listeners.append(listener)

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
        began = self._clock.monotonic()
        self._newest[request.device.id] = request
        result: CommandResult | None
        result, begun = begin(work)
        if begun is None:
            assert result is not None  # noqa: S101 - it is one
            return self._end(request, result)
        result = await self._until(self._in_task(request, begun), answer_by)
        if result is not None:
            return result
        observed = ", ".join(one.observed for one in self._standing.get(request.device.id, ()))
        elapsed_s = self._clock.monotonic() - began
        pending = CommandResult(Outcome.UNCONFIRMED, Status.UNCERTAIN, observed, elapsed_s, "pending")
        if self._newest[request.device.id] is request:
            self._last.show(request, pending)
        return pending

    def _in_task(self, request: Request, begun: Begun[CommandResult]) -> asyncio.Future[CommandResult | None]:
        """Let work that has to wait go on in a task; the future gets its result, and is nothing that it needs."""
        answered: asyncio.Future[CommandResult | None] = asyncio.get_running_loop().create_future()

        async def run() -> None:
            result = self._end(request, await begun)
            if not answered.done():
                answered.set_result(result)

        def done(task: asyncio.Task[None]) -> None:
            self._running.discard(task)
            answered.cancel()  # only a stop of the node gets here without a result

        task = self._spawn(run())
        self._running.add(task)
        task.add_done_callback(done)
        return answered

    async def _until(
        self, answered: asyncio.Future[CommandResult | None], answer_by: float | None
    ) -> CommandResult | None:
        """The result, or None when there is none at `answer_by`."""
        if answer_by is None:
            return await answered

        def late() -> None:
            if not answered.done():
                answered.set_result(None)

        timer = self._clock.call_at(answer_by, late)
        try:
            return await answered
        finally:
            timer.cancel()

    async def _carry_out(self, device: Device, recipe: Recipe, arguments: Arguments, port: Port) -> CommandResult:
        """Take the place of commands that this one contradicts, then write, keep alive and confirm."""
        spec, written = recipe.spec, recipe.writes
        keep = None if spec.keep_alive is None else self._keeper(device, arguments, port)
        lock = self._lock(device.id)
        execution = Execution(device, self._profiles[device.id].commands, port, self._clock, lock, keep)
        standing = self._standing_on(device.id)
        for earlier, its_points in standing.items():
            if spec.emergency or not written.isdisjoint(its_points):
                earlier.supersede(spec.id)
        standing[execution] = written
        try:
            if self._keep_alives.stands(device.id):
                await self._keep_alives.before(device.id, spec.id)
            result = await execution.command(recipe.course, arguments)
        finally:
            del standing[execution]
        if spec.keep_alive is not None and result.outcome is not Outcome.CONFIRMED and not execution.superseded:
            await self._keep_alives.end(device.id, spec.keep_alive)
        return result

    def _keeper(self, device: Device, arguments: Arguments, port: Port) -> Keep:
        async def keep(kept: KeepAlive) -> None:
            await self._keep_alives.begin(device, kept, arguments, port)

        return keep

    def _lock(self, device_id: str) -> DeviceLock:
        lock = self._locks.get(device_id)
        if lock is None:
            lock = self._locks[device_id] = DeviceLock()
        return lock

    def _standing_on(self, device_id: str) -> dict[Execution, frozenset[str]]:
        """What is in work on a device, with the points that it writes."""
        standing = self._standing.get(device_id)
        if standing is None:
            standing = self._standing[device_id] = {}
        return standing

    def _recipe_of(self, device: Device, command_id: str) -> Recipe:
        recipe = self._recipes.get((device.id, command_id))
        if recipe is None:
            recipe = self._recipes[device.id, command_id] = recipe_of(device, self._profiles, command_id)
        return recipe

    async def _apply(self, device: Device, group: SettingGroup, wanted: Wanted) -> Mapping[str, CommandResult]:
        """Write settings; an emergency on the same device need not wait for their read-back."""
        standing = self._standing_on(device.id)
        standing[group] = frozenset(wanted.points)
        try:
            return await group.write(wanted)
        finally:
            del standing[group]

    def _columns_of(self, device: Device, ids: tuple[str, ...]) -> SettingColumns:
        """What is known of points that are written together, remembered because clients write the same ones again."""
        columns = self._columns.get((device.id, ids))
        if columns is None:
            profile = self._profiles.get(device.id)
            columns = columns_of(device, {} if profile is None else profile.settings, ids)
            if len(self._columns) >= _COLUMNS:
                self._columns.clear()
            self._columns[device.id, ids] = columns
        return columns

    def _write_request(
        self, device: Device, columns: SettingColumns, values: Sequence[Value], caller: Caller
    ) -> Request:
        count = len(columns.ids)
        name = f"write {columns.ids[0]}" if count == 1 else f"write {count} settings"
        shown = zip(columns.points[:_SHOWN], values, strict=False)
        texts = [f"{point.id} = {value_text(point, value)}" for point, value in shown]
        return Request(device, name, _list(texts, count), caller.user, self._clock.now())

    def _refused(
        self, device: Device, columns: SettingColumns, values: Sequence[Value], caller: Caller
    ) -> dict[str, CommandResult]:
        """Which settings must not be written, and why."""
        denied = _not_allowed(device, caller, Role.ENGINEER)
        down = None if device.id in self._ports else _NO_BUS
        if denied is None and down is None and columns.bounds.hold(values):
            return {}
        refused: dict[str, CommandResult] = {}
        for point, spec, value in zip(columns.points, columns.specs, values, strict=True):
            refusal = _unwritable(point, spec, value, denied) or down
            if refusal is not None:
                refused[point.id] = refusal
        return refused

    def _group(self, device: Device) -> SettingGroup:
        commands, port = self._profiles[device.id].commands, self._ports[device.id]
        return SettingGroup(device, commands, port, self._clock, self._lock(device.id))

    def _end(self, request: Request, result: CommandResult) -> CommandResult:
        self._last.show(request, result)
        for listener in self._listeners:
            listener(request.device.id, request.name, request.user, result)
        level = logging.INFO if result.outcome is Outcome.CONFIRMED else logging.WARNING
        if _LOG.isEnabledFor(level):
            text = "%s %s by %s: %s (%s) after %.1f s: %s"
            who = (request.device.id, request.name, request.user)
            _LOG.log(level, text, *who, result.outcome.name, result.status.symbol, result.elapsed_s, result.reason)
        return result


def _refuse(status: Status, reason: str, input_results: tuple[Status, ...] = ()) -> CommandResult:
    return CommandResult(Outcome.REFUSED, status, "", 0.0, reason, input_results)


def _not_allowed(device: Device, caller: Caller, needed: Role) -> CommandResult | None:
    if caller.role < needed:
        reason = f"needs the role {needed.label}; {caller.user} has {caller.role.label}"
        return _refuse(Status.BAD_USER_ACCESS_DENIED, reason)
    if not device.control:
        return _refuse(Status.BAD_NOT_EXECUTABLE, f"the site file does not say `control: true` for {device.id}")
    return None


def _unwritable(
    point: Point, spec: SettingSpec | None, value: Value, denied: CommandResult | None
) -> CommandResult | None:
    if spec is None:
        return _refuse(Status.BAD_NOT_WRITABLE, f"{point.id} is not a setting")
    if denied is not None:
        return denied
    fault = fault_of_value(value, point.data_type, spec.range, point.enumeration)
    return None if fault is None else _refuse(fault[0], f"{point.id}: {fault[1]}")


def _wrong_arguments(recipe: Recipe, arguments: Sequence[Value | None]) -> CommandResult | None:
    if recipe.bounds.hold(arguments):
        return None
    fault = check_arguments(recipe.command.inputs, arguments)
    return None if fault is None else _refuse(*fault)


def _list(texts: Sequence[str], count: int) -> str:
    return ", ".join(texts) + (f" and {count - len(texts)} more" if count > len(texts) else "")


def _summary(results: SettingResults) -> CommandResult:
    """One result for all settings of a request: the first that was not confirmed, with how many were."""
    points = list(results)
    if len(points) == 1:
        return results[points[0]]
    unconfirmed = results.unconfirmed
    count = f"{len(points) - len(unconfirmed)} of {len(points)} confirmed"
    if unconfirmed:
        first = results[unconfirmed[0]]
        return first._replace(reason=f"{count}; {first.reason}")
    observed = _list(results.observed(points[:_SHOWN]), len(points))
    return CommandResult(Outcome.CONFIRMED, Status.GOOD, observed, results.longest_s, count)
