"""A serial port for line protocols: the one module over pyserial-asyncio, so that a successor touches only this file.

Gives bytes and the loss of the port to two callbacks. Knows no protocol.
"""

from __future__ import annotations

import asyncio
import contextlib
import termios
from collections.abc import Callable
from typing import Final

import serial
import serial_asyncio

from drivers.base import Unreachable
from drivers.spec import SerialLine

# The kernel opens a port in milliseconds; a hung USB adapter must not hang its bus for ever.
OPEN_WITHIN_S: Final = 5.0


class SerialPort:
    """An open port. `write` never waits; `close` returns when the port is free for the next opener."""

    def __init__(self, path: str, received: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        self._path = path
        self._wires = _Wires(received, lost)

    @classmethod
    async def open(cls, line: SerialLine, received: Callable[[bytes], None], lost: Callable[[str], None]) -> SerialPort:
        """Open `line` and hand what arrives to `received`; `lost` is called once, with the reason, when it goes away.

        Raises Unreachable when the port is missing, taken by another program or refuses its settings.
        """
        port = cls(line.port, received, lost)
        try:
            async with asyncio.timeout(OPEN_WITHIN_S):
                # Opening asks the driver of the adapter, which may take its time: not on the event loop.
                device = await asyncio.to_thread(_open, line)
        except TimeoutError:
            raise Unreachable(f"{line.port} did not open within {OPEN_WITHIN_S:.0f} s") from None
        except (OSError, ValueError, termios.error) as error:
            # SerialException is an OSError; ValueError: a setting nobody has; termios.error: the port went away.
            raise Unreachable(f"{line.port} cannot be opened: {error}") from error
        wires = port._wires
        # The transport counts from here on: `connection_made` is called only in the next round of the loop.
        wires.transport, _ = await serial_asyncio.connection_for_serial(
            asyncio.get_running_loop(), lambda: wires, device
        )
        return port

    @property
    def is_open(self) -> bool:
        """False after `close` and after the port was lost."""
        return self._wires.transport is not None

    def write(self, data: bytes) -> None:
        """Send bytes; raises Unreachable when the port is gone."""
        if self._wires.transport is None:
            raise Unreachable(f"{self._path} is not open")
        self._wires.transport.write(data)

    async def close(self) -> None:
        """Close the port and wait until it is free; does nothing when it is closed."""
        await self._wires.close()


class _Wires(asyncio.Protocol):
    """The callbacks of one connection."""

    def __init__(self, received: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        self.transport: asyncio.Transport | None = None
        self._received = received
        self._lost = lost
        self._closing = False
        self._gone = asyncio.Event()

    def data_received(self, data: bytes) -> None:
        if not self._closing:
            self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        self.transport = None
        self._gone.set()
        if not self._closing:
            self._lost(str(exc) if exc is not None else "closed by the other side")

    async def close(self) -> None:
        self._closing = True
        transport, self.transport = self.transport, None
        if transport is None:
            return
        # What still waits to be sent would be drained at close, and a stuck adapter never drains.
        device = transport.get_extra_info("serial")
        with contextlib.suppress(OSError, termios.error):  # the port is gone already, so nothing waits in it
            device.reset_output_buffer()
        transport.abort()
        await self._gone.wait()


def _open(line: SerialLine) -> serial.Serial:
    return serial.Serial(
        line.port,
        baudrate=line.baud,
        bytesize=line.bits,
        parity=line.parity,
        stopbits=line.stop_bits,
        timeout=0,
        write_timeout=0,
        exclusive=True,
    )
