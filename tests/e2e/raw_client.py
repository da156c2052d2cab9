"""A client that sends whatever bytes a test wants, and reads frames."""

import asyncio
import struct
from contextlib import suppress
from dataclasses import dataclass
from typing import Any

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import nodeid_from_binary, struct_from_binary, struct_to_binary, uatcp_to_binary

NONE_URI = "http://opcfoundation.org/UA/SecurityPolicy#None"
CLOSED = b""


@dataclass
class RawFrame:
    kind: bytes
    body: bytes

    @property
    def error(self) -> int:
        """Status of an ERR message."""
        assert self.kind == b"ERR", self
        return int.from_bytes(self.body[:4], "little")


class RawClient:
    """One socket."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.channel = 0
        self.token = 0
        self.sequence = 0
        self.request = 0

    @classmethod
    async def connect(cls, port: int) -> "RawClient":
        return cls(*await asyncio.open_connection("127.0.0.1", port))

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    async def send(self, data: bytes) -> None:
        self.writer.write(data)
        await self.writer.drain()

    async def receive(self) -> RawFrame:
        """The next frame; an empty kind when the server has closed."""
        async with asyncio.timeout(5):
            try:
                header = await self.reader.readexactly(8)
                size = int.from_bytes(header[4:], "little")
                return RawFrame(header[:3], await self.reader.readexactly(size - 8))
            except (asyncio.IncompleteReadError, ConnectionError):
                return RawFrame(CLOSED, b"")

    async def refused(self) -> int:
        """Status of the ERR that comes next, after which the server closes."""
        frame = await self.receive()
        assert (await self.receive()).kind == CLOSED
        return frame.error

    # --- the proper beginning

    async def hello(self, **changes: int) -> RawFrame:
        values = {
            "ReceiveBufferSize": 65535,
            "SendBufferSize": 65535,
            "MaxMessageSize": 0,
            "MaxChunkCount": 0,
        } | changes
        await self.send(uatcp_to_binary(ua.MessageType.Hello, ua.Hello(**values)))
        return await self.receive()

    async def open(self) -> None:
        """A channel without security."""
        await self.hello()
        await self.ask_channel(ua.SecurityTokenRequestType.Issue)

    async def ask_channel(self, kind: ua.SecurityTokenRequestType) -> None:
        """Issue or renew the token of a channel without security."""
        request = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = kind
        request.Parameters.SecurityMode = ua.MessageSecurityMode.None_
        request.Parameters.RequestedLifetime = 60_000
        uri = NONE_URI.encode()
        security = struct.pack("<I", len(uri)) + uri + struct.pack("<ii", -1, -1)
        await self.send(self.frame(b"OPN", struct_to_binary(request), security))
        frame = await self.receive()
        assert frame.kind == b"OPN", frame
        body = Buffer(frame.body[4:])
        struct_from_binary(ua.AsymmetricAlgorithmHeader, body)
        body.skip(8)
        response = struct_from_binary(ua.OpenSecureChannelResponse, body)
        self.channel = response.Parameters.SecurityToken.ChannelId
        self.token = response.Parameters.SecurityToken.TokenId

    def frame(self, kind: bytes, body: bytes, security: bytes | None = None, chunk: bytes = b"F") -> bytes:
        self.sequence += 1
        self.request += chunk == b"F"
        if security is None:
            security = struct.pack("<I", self.token)
        content = struct.pack("<I", self.channel) + security + struct.pack("<II", self.sequence, self.request) + body
        return kind + chunk + struct.pack("<I", 8 + len(content)) + content

    # --- requests

    async def ask(self, request: Any, token: ua.NodeId | None = None) -> Any:
        """Send a request; its response, or the ServiceFault."""
        if token is not None:
            request.RequestHeader.AuthenticationToken = token
        await self.send(self.frame(b"MSG", struct_to_binary(request)))
        return await self.response()

    async def ask_bytes(self, body: bytes) -> Any:
        await self.send(self.frame(b"MSG", body))
        return await self.response()

    async def response(self) -> Any:
        frame = await self.receive()
        if frame.kind != b"MSG":
            return frame
        body = Buffer(frame.body[16:])
        kind = ua.extension_objects_by_typeid[nodeid_from_binary(body.copy())]
        return struct_from_binary(kind, body)

    async def fault(self, request: Any, token: ua.NodeId | None = None) -> str:
        """Name of the status with which a request is refused."""
        response = await self.ask(request, token)
        assert isinstance(response, ua.ServiceFault), response
        return response.ResponseHeader.ServiceResult.name
