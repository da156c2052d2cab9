"""A serial line on which one line of text answers each question: bytes to lines, and what to do with late ones.

An answer does not name its question, so at most one question is open, and after a lost answer nothing is asked until
that answer has come, or the port was opened anew, which resets the board and what it still had to say.
"""

from __future__ import annotations

import asyncio
from typing import Final

from address_space.model import Clock
from drivers.base import Malformed, NoAnswer, Unreachable
from drivers.serial_port import SerialPort
from drivers.spec import SerialLine

# A board with the usual boot loader starts its program one second after the port opened.
BOOT_S: Final = 1.5
# Boards with a slow boot loader swallow the first question; each silent start waits twice as long, up to this.
BOOT_MAX_S: Final = 8.0
# A number has some ten characters; a longer line is a wrong baud rate or another device.
LINE_MAX: Final = 32
# Nothing for so long after a broken answer, and the line is taken for quiet: ten characters even at 1200 baud.
SILENCE_S: Final = 0.1


class LineChannel:
    """One board on one port. Exactly one task uses it."""

    def __init__(self, line: SerialLine, clock: Clock) -> None:
        self._line = line
        self._clock = clock
        self._port: SerialPort | None = None
        self._gone = ""  # why the port was lost
        self._buffer = bytearray()
        self._heard = asyncio.Event()
        self._boot_s = BOOT_S
        self._owed = False  # the line end of the last answer did not come
        self.owed_until = 0.0  # until when (Clock.monotonic()) an answer that was given up may still come

    @property
    def has_input(self) -> bool:
        """True when something came that nobody asked for."""
        return bool(self._buffer)

    async def open(self) -> None:
        """Open the port and wait until the board has started; nothing that comes before is believed.

        Raises Unreachable when the port cannot be opened or goes away again.
        """
        await self.close()
        self._gone = ""
        self._owed = False
        self._port = await SerialPort.open(self._line, self._received, self._lost)
        await self._wait(max(self._clock.monotonic() + self._boot_s, self.owed_until))
        self._buffer.clear()

    async def close(self) -> None:
        """Let go of the port; does nothing when it is closed."""
        port, self._port = self._port, None
        if port is not None:
            await port.close()
        self._buffer.clear()

    async def ask(self, question: bytes, deadline: float) -> bytes:
        """Send a question and return its answer without the line end, by `deadline`.

        Raises NoAnswer, Malformed for what is no single line, Unreachable when the port is gone.
        """
        self._need_port().write(question)
        self._owed = True
        while b"\n" not in self._buffer:
            if len(self._buffer) > LINE_MAX:
                raise Malformed(f"more than {LINE_MAX} characters without a line end")
            if self._clock.monotonic() >= deadline:
                if self._buffer:
                    raise Malformed("an answer without a line end")
                raise NoAnswer("no answer to a question")
            await self._more(deadline)
        self._owed = False
        line, _, rest = bytes(self._buffer).partition(b"\n")
        if rest:
            raise Malformed("more than one line for one question")
        self._buffer.clear()
        self._boot_s = BOOT_S
        return line.rstrip(b"\r")

    async def settle(self, until: float) -> bool:
        """After a lost or broken answer: wait for its line end, if it did not come, and for silence.

        False when `until` came first. All that came is thrown away. Raises Unreachable when the port is gone.
        """
        while self._owed and self._clock.monotonic() < until:
            await self._more(until)
            self._owed = b"\n" not in self._buffer
            del self._buffer[:-LINE_MAX]
        while not self._owed:
            self._buffer.clear()
            now = self._clock.monotonic()
            await self._more(now + SILENCE_S)
            if not self._buffer:
                return True
            if now >= until:
                break
        self._buffer.clear()
        return False

    def slower(self) -> None:
        """The board said nothing at all since it was opened: give it more time to start."""
        self._boot_s = min(BOOT_MAX_S, 2 * self._boot_s)

    def _need_port(self) -> SerialPort:
        if self._port is None or self._gone or not self._port.is_open:
            raise Unreachable(f"{self._line.port}: {self._gone or 'not open'}")
        return self._port

    def _received(self, data: bytes) -> None:
        self._buffer += data
        # Between two questions nobody looks: a babbling line must not grow without bound.
        del self._buffer[: -64 * LINE_MAX]
        self._heard.set()

    def _lost(self, reason: str) -> None:
        self._gone = reason
        self._heard.set()

    async def _wait(self, until: float) -> None:
        """Wait until a time, whatever comes; raises Unreachable when the port goes away."""
        while self._clock.monotonic() < until:
            await self._more(until)
            self._buffer.clear()

    async def _more(self, until: float) -> None:
        """Wait until something comes, the port goes away (raises Unreachable), or `until`."""
        self._need_port()
        self._heard.clear()
        sleeper = asyncio.ensure_future(self._clock.sleep(max(0.0, until - self._clock.monotonic())))
        sleeper.add_done_callback(lambda _: self._heard.set())
        try:
            await self._heard.wait()
        finally:
            sleeper.cancel()
        self._need_port()
