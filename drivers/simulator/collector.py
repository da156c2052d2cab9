"""The firmware of a serial collector: resets when its port opens, answers each `rea...` line, slowly, one by one."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from address_space.model import Clock
from drivers.simulator.device import LineDevice

RESET_S: Final = 1.0  # bootloader and start of the firmware after DTR
# Ten samples of two pauses of 5 ms each (devices.md section 1.3), and the transfer of the line.
MEASURE_S: Final = 0.105
_BUFFER: Final = 64  # bytes in the board's receive buffer; what comes on top is lost


class Collector:
    """One board on one line. Call `opened`, `received` and `closed` from the line; `send` is its answer."""

    def __init__(self, device: LineDevice, clock: Clock, send: Callable[[bytes], None]) -> None:
        self.device = device
        self.resets = 0  # how often the port was opened
        self._clock = clock
        self._send = send
        self._input = bytearray()
        self._more = asyncio.Event()
        self._program: asyncio.Task[None] | None = None

    def opened(self) -> None:
        """DTR went up: forget everything and boot."""
        self.closed()
        self.resets += 1
        self._input.clear()
        self._program = asyncio.create_task(self._run(), name=f"collector {self.device.id}")

    def closed(self) -> None:
        """The other side went away."""
        if self._program is not None:
            self._program.cancel()
            self._program = None

    def received(self, data: bytes) -> None:
        """Bytes from the host."""
        self._input += data[: max(0, _BUFFER - len(self._input))]
        self._more.set()

    async def stop(self) -> None:
        """Power off."""
        program = self._program
        self.closed()
        if program is not None:
            await asyncio.wait([program])

    async def _run(self) -> None:
        await self._clock.sleep(RESET_S)
        self._input.clear()  # the bootloader takes what comes meanwhile for itself
        while True:
            self._more.clear()
            line, newline, rest = bytes(self._input).partition(b"\n")
            if newline:
                self._input[:] = rest
                await self._command(line)
            elif len(self._input) >= _BUFFER:
                self._input.clear()
            else:
                await self._more.wait()

    async def _command(self, line: bytes) -> None:
        faults = self.device.faults
        if not line.startswith(b"rea") or faults.silent:
            return
        await self._clock.sleep(MEASURE_S)
        if faults.mute:
            return
        answer = self.device.answer() if faults.garbage is None else faults.garbage
        await self._clock.sleep(faults.delay_s)
        # Cut short: the value is there, its end is not.
        self._send(answer[:-3] if faults.corrupt else answer)
