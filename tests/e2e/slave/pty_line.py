"""A serial line without hardware: two ptys and a relay between them."""

from __future__ import annotations

import asyncio
import os
import tty
from types import TracebackType
from typing import Final, Self

CHUNK: Final = 4096  # far above the longest RTU frame (256 bytes)


class PtyLine:
    """Two tty paths that are the ends of one line; both sides may open and close them at will.

    `async with PtyLine() as line:` then the node opens `line.node_path` and the slave `line.device_path`.
    """

    def __init__(self) -> None:
        self.node_path = ""
        self.device_path = ""
        self.cut = False  # True: bytes are lost in both directions, as on a broken wire
        self._fds: list[int] = []
        self._masters: tuple[int, ...] = ()

    async def __aenter__(self) -> Self:
        node, self.node_path = self._open()
        device, self.device_path = self._open()
        self._masters = (node, device)
        loop = asyncio.get_running_loop()
        loop.add_reader(node, self._relay, node, device)
        loop.add_reader(device, self._relay, device, node)
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        loop = asyncio.get_running_loop()
        for master in self._masters:
            loop.remove_reader(master)
        for fd in self._fds:
            os.close(fd)

    def _open(self) -> tuple[int, str]:
        """Our end of a new pty and the path of the other; that one stays open here, so that a close is no hang-up."""
        master, other = os.openpty()
        self._fds += [master, other]
        tty.setraw(other)  # no echo and no line editing before anybody sets the line up
        os.set_blocking(master, False)
        return master, os.ttyname(other)

    def _relay(self, source: int, sink: int) -> None:
        data = os.read(source, CHUNK)
        if not self.cut:
            os.write(sink, data)
