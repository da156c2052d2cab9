"""The device's end of a serial line without hardware: a pty with a symlink at the path that the site file names.

Notices when the other side opens and closes it, which a microcontroller board does too (reset by DTR).
"""

from __future__ import annotations

import asyncio
import os
import select
import tty
from collections.abc import Callable
from pathlib import Path
from typing import Final

from address_space.model import Clock
from drivers.base import Unreachable

_CHUNK: Final = 4096  # far above the longest RTU frame (256 bytes)
# How often a closed line is looked at: the kernel has no event for "the other side opened it".
_LOOK_EVERY_S: Final = 0.02
_PTS: Final = "/dev/pts/"


def _ignore(*_: object) -> None:
    """Nobody listens."""


class PtyPort:
    """One line: `start` makes the symlink at `path`, `stop` removes it.

    A close that is followed by an open within a few milliseconds may pass unnoticed.
    """

    def __init__(self, path: str, clock: Clock) -> None:
        self._path = Path(path)
        self._clock = clock
        self._received: Callable[[bytes], None] = _ignore
        self._opened: Callable[[], None] = _ignore
        self._closed: Callable[[], None] = _ignore
        self._master = -1
        self._target = ""
        self._open = False
        self._look: asyncio.Task[None] | None = None

    @property
    def is_open(self) -> bool:
        """True while the other side has the line open."""
        return self._open

    async def start(
        self,
        received: Callable[[bytes], None],
        opened: Callable[[], None] | None = None,
        closed: Callable[[], None] | None = None,
    ) -> None:
        """Make pty and symlink; `received` gets bytes, `opened` and `closed` tell of the other side.

        Raises Unreachable when the path is taken by something that is no simulated port.
        """
        self._received, self._opened, self._closed = received, opened or _ignore, closed or _ignore
        if self._path.exists() or self._path.is_symlink():
            self._clear_leftover()
        self._master, slave = os.openpty()
        try:
            tty.setraw(slave)  # no echo and no line editing before anybody sets the line up
            self._target = os.ttyname(slave)
            self._path.parent.mkdir(parents=True, exist_ok=True)
            self._path.symlink_to(self._target)
        except OSError as error:
            os.close(self._master)
            self._master = -1
            raise Unreachable(f"simulated port {self._path}: {error.strerror}") from error
        finally:
            os.close(slave)
        os.set_blocking(self._master, False)
        self._look = asyncio.create_task(self._look_for_opener(), name=f"pty {self._path}")

    async def stop(self) -> None:
        """Hang up and remove the symlink; does nothing when it is stopped."""
        if self._master < 0:
            return
        if self._look is not None:
            self._look.cancel()
            await asyncio.wait([self._look])
        if self._open:
            self._hung_up()
        os.close(self._master)
        self._master = -1
        if self._path.is_symlink() and str(self._path.readlink()) == self._target:
            self._path.unlink()

    def write(self, data: bytes) -> None:
        """Send bytes; lost when nobody has the line open, as on a wire."""
        if not self._open:
            return
        try:
            os.write(self._master, data)
        except BlockingIOError:
            pass  # the other side does not read and its buffer is full: a real line loses these bytes too
        except OSError:
            self._hung_up()

    def _clear_leftover(self) -> None:
        """Remove the symlink that a killed simulator left; anything else at the path belongs to somebody."""
        if not (self._path.is_symlink() and str(self._path.readlink()).startswith(_PTS)):
            raise Unreachable(
                f"simulated port {self._path}: there is something already that is no simulated port; "
                "name another path in the site file or remove it"
            )
        self._path.unlink()

    async def _look_for_opener(self) -> None:
        """Wait for the next opener, serve it until it closes, and again."""
        poll = select.poll()
        poll.register(self._master, select.POLLIN)
        while True:
            hung_up = any(events & select.POLLHUP for _fd, events in poll.poll(0))
            if not self._open and not hung_up:
                self._open = True
                self._opened()
                asyncio.get_running_loop().add_reader(self._master, self._readable)
            await self._clock.sleep(_LOOK_EVERY_S)

    def _readable(self) -> None:
        try:
            data = os.read(self._master, _CHUNK)
        except BlockingIOError:
            return
        except OSError:  # EIO: the other side closed the line
            data = b""
        if data:
            self._received(data)
        else:
            self._hung_up()

    def _hung_up(self) -> None:
        self._open = False
        asyncio.get_running_loop().remove_reader(self._master)
        self._closed()
