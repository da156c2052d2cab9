"""What is rewritten while a command stands, and what ends it."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Coroutine
from typing import Any

from address_space.model import Clock, Device, Publisher
from drivers.base import DriverError, Port, Priority, Setting
from drivers.spec import KeepAlive, Write
from node.control.conditions import Arguments, holds, operand_value

_LOG = logging.getLogger(__name__)

Spawn = Callable[[Coroutine[Any, Any, None]], "asyncio.Task[None]"]  # TaskGroup.create_task

# After so many periods without a successful rewrite, at least this long, the device has let go by its own watchdog;
# writing again when the channel returns would start it behind the operator's back.
_GIVE_UP_PERIODS = 10
_GIVE_UP_MIN_S = 10.0


class Standing:
    """One command that stands on one device: rewrites its settings until something ends it."""

    def __init__(
        self, device: Device, spec: KeepAlive, arguments: Arguments, port: Port, image: Publisher, clock: Clock
    ) -> None:
        self._device = device
        self.spec = spec
        self._arguments = arguments
        self._port = port
        self._image = image
        self._clock = clock
        self._over = asyncio.Event()
        self._began = clock.now()

    def ended_by(self, command_id: str) -> bool:
        """True when that command of the same device ends this one."""
        return command_id in self.spec.ended_by

    def end(self) -> None:
        """Let go; the farewell is written by `run`."""
        self._over.set()

    async def run(self) -> None:
        """Rewrite each `every_s` until ended, seen ended, or given up; then write the farewell."""
        written = self._clock.monotonic()
        give_up_s = max(_GIVE_UP_MIN_S, _GIVE_UP_PERIODS * self.spec.every_s)
        while not self._over.is_set() and not self._is_until():
            try:
                await self._write(self.spec.writes)
                written = self._clock.monotonic()
            except DriverError as error:
                if self._clock.monotonic() - written > give_up_s:
                    _LOG.warning(
                        "%s: what its command needs was not rewritten for %g s and is given up: %s",
                        self._device.id,
                        give_up_s,
                        error,
                    )
                    return
            await self._pause()
        try:
            await self._write(self.spec.farewell)
        except DriverError as error:
            _LOG.warning("%s: the last write of its command failed: %s", self._device.id, error)

    def _is_until(self) -> bool:
        """True when a poll since the beginning shows what ends the command."""
        for condition in self.spec.until:
            sample = self._image.sample(self._image.slot(self._device.id, condition.point))
            if sample.ticks > self._began and holds(condition, sample, self._arguments):
                return True
        return False

    async def _write(self, writes: tuple[Write, ...]) -> None:
        settings = []
        for write in writes:
            value = operand_value(write.value, self._arguments)
            if value is not None and not isinstance(value, tuple):
                settings.append(Setting(write.point, value))
        if settings:
            deadline = self._clock.monotonic() + max(self.spec.every_s, 1.0)
            await self._port.write(self._device.id, settings, Priority.KEEP_ALIVE, deadline)

    async def _pause(self) -> None:
        timer = asyncio.ensure_future(self._clock.sleep(self.spec.every_s))
        over = asyncio.ensure_future(self._over.wait())
        try:
            await asyncio.wait({timer, over}, return_when=asyncio.FIRST_COMPLETED)
        finally:
            timer.cancel()
            over.cancel()


class KeepAlives:
    """The standing commands of all devices, at most one a device."""

    def __init__(self, image: Publisher, clock: Clock, spawn: Spawn) -> None:
        self._image = image
        self._clock = clock
        self._spawn = spawn
        self._standing: dict[str, tuple[Standing, asyncio.Task[None]]] = {}

    async def begin(self, device: Device, spec: KeepAlive, arguments: Arguments, port: Port) -> None:
        """Let a command stand on a device, in place of the one that stood there."""
        await self._let_go(device.id)
        standing = Standing(device, spec, arguments, port, self._image, self._clock)
        self._standing[device.id] = (standing, self._spawn(standing.run()))

    async def end(self, device_id: str, spec: KeepAlive) -> None:
        """End what stands on a device if it stands by this spec."""
        standing = self._standing.get(device_id)
        if standing is not None and standing[0].spec is spec:
            await self._let_go(device_id)

    def stands(self, device_id: str) -> bool:
        """True when a command stands on a device."""
        return device_id in self._standing

    async def before(self, device_id: str, command_id: str) -> None:
        """End what stands on a device if the command that is about to be carried out ends it."""
        standing = self._standing.get(device_id)
        if standing is not None and standing[0].ended_by(command_id):
            await self._let_go(device_id)

    async def stop(self) -> None:
        """End all, with their last writes."""
        await asyncio.gather(*(self._let_go(device_id) for device_id in list(self._standing)))

    async def _let_go(self, device_id: str) -> None:
        standing = self._standing.pop(device_id, None)
        if standing is not None:
            standing[0].end()
            await asyncio.wait({standing[1]})
