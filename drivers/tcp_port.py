"""A TCP connection to a device or gateway, in the shape of `serial_port.SerialPort`. Knows no protocol."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Callable
from typing import Final

from drivers.base import Unreachable
from drivers.spec import TcpPeer

# A peer in the plant's own network answers within milliseconds, or not at all.
CONNECT_WITHIN_S: Final = 3.0


class TcpPort(asyncio.Protocol):
    """An open connection. `write` never waits; `close` does not either."""

    def __init__(self, name: str, received: Callable[[bytes], None], lost: Callable[[str], None]) -> None:
        self._name = name
        self._received = received
        self._lost = lost
        self._transport: asyncio.Transport | None = None
        self._closing = False

    @classmethod
    async def open(cls, peer: TcpPeer, received: Callable[[bytes], None], lost: Callable[[str], None]) -> TcpPort:
        """Connect to `peer` and hand what arrives to `received`; `lost` is called once, with the reason.

        Raises Unreachable when nobody listens there.
        """
        name = f"{peer.host}:{peer.port}"
        port = cls(name, received, lost)
        try:
            async with asyncio.timeout(CONNECT_WITHIN_S):
                await asyncio.get_running_loop().create_connection(lambda: port, peer.host, peer.port)
        except TimeoutError:
            raise Unreachable(f"{name} did not accept a connection within {CONNECT_WITHIN_S:.0f} s") from None
        except OSError as error:
            raise Unreachable(f"{name} cannot be reached: {error}") from error
        return port

    @property
    def is_open(self) -> bool:
        """False after `close` and after the connection was lost."""
        return self._transport is not None

    def write(self, data: bytes) -> None:
        """Send bytes; raises Unreachable when the connection is gone."""
        if self._transport is None or self._transport.is_closing():
            raise Unreachable(f"{self._name} is not connected")
        self._transport.write(data)

    async def close(self) -> None:
        """Close the connection; does nothing when it is closed."""
        self._closing = True
        transport, self._transport = self._transport, None
        if transport is not None:
            transport.abort()

    # --- asyncio.Protocol

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport; small requests are sent at once."""
        if isinstance(transport, asyncio.Transport):
            self._transport = transport
        wire = transport.get_extra_info("socket")
        if wire is not None:
            wire.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)

    def data_received(self, data: bytes) -> None:
        """Hand on what arrived."""
        if not self._closing:
            self._received(data)

    def connection_lost(self, exc: Exception | None) -> None:
        """Say once that the connection is gone."""
        self._transport = None
        if not self._closing:
            self._closing = True
            self._lost(f"{self._name}: {exc if exc is not None else 'closed by the other side'}")
