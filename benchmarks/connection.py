"""One connection of the load client: a blocking socket and an anonymous session, encrypted or not.

What is done once (channel, session, subscription, items) goes through asyncua's codec; what is counted stays bytes.
"""

from __future__ import annotations

import os
import socket
from collections import deque
from collections.abc import Sequence
from struct import Struct
from types import TracebackType
from typing import Any, Final, Self, TypeVar, cast

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import (
    header_from_binary,
    nodeid_from_binary,
    nodeid_to_binary,
    struct_from_binary,
    struct_to_binary,
)

from benchmarks.frames import SERVICE_FAULT, SYMMETRIC, FrameCutter, Unexpected, read_head
from benchmarks.secure import NONCE_BYTES, ChunkCipher, Identity

Answer = TypeVar("Answer")
_HELLO: Final = Struct("<4sIIIIII")  # type, size, version, receive, send, message and chunk limits
_CHUNK_BYTES: Final = 65_535
_POLICY_NONE: Final = b"http://opcfoundation.org/UA/SecurityPolicy#None"
_U32: Final = Struct("<I")
_REQUEST: Final = Struct("<qIIiI")  # time stamp, handle, diagnostics, audit id (null), timeout hint


class Connection:
    """A session on a server. Requests go out one by one, answers come back by request id."""

    def __init__(self, url: str, identity: Identity | None = None, timeout_s: float = 30.0) -> None:
        """With `identity` the channel is Basic256Sha256, SignAndEncrypt."""
        host, _, port = url.removeprefix("opc.tcp://").rstrip("/").rpartition(":")
        self._url = url
        self._socket = socket.create_connection((host, int(port)), timeout=timeout_s)
        self._socket.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        self._cutter = FrameCutter()
        self._waiting: deque[tuple[int, bytes]] = deque()
        self._received = memoryview(bytearray(1 << 20))
        self._request = 0
        self._identity = identity
        self._policy = None if identity is None else identity.policy()
        self._cipher: ChunkCipher | None = None
        self._channel = self._token = 0
        self.session = b"\0\0"  # the authentication token as bytes; null NodeId until there is a session

    def __enter__(self) -> Self:
        self._hello()
        if self._policy is None:
            self._open_channel()
        else:
            self._open_secure_channel()
        self._open_session()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None
    ) -> None:
        try:
            if kind is None:
                self.close()
        finally:
            self._socket.close()

    def close(self) -> None:
        """End the session in good order; the socket is closed by the context."""
        self.call(ua.CloseSessionRequest(DeleteSubscriptions=True), ua.CloseSessionResponse)

    def fileno(self) -> int:
        """For selectors."""
        return self._socket.fileno()

    # --- bytes

    def header(self, type_id: int) -> bytes:
        """Start of a request body: type id, session and a plain request header."""
        plain = _REQUEST.pack(0, self._request + 1, 0, -1, 60_000)
        return b"\x01\0" + type_id.to_bytes(2, "little") + self.session + plain + b"\0\0\0"

    def send(self, body: bytes) -> int:
        """Send one request that fits a chunk; returns its request id."""
        self._request += 1
        if self._cipher is not None:
            frame = self._cipher.seal(self._channel, self._token, self._request, self._request, body)
            self._socket.sendall(frame)
            return self._request
        size = SYMMETRIC.size + len(body)
        if size > _CHUNK_BYTES:
            raise ValueError(f"a request of {size} bytes does not fit one chunk")
        head = SYMMETRIC.pack(b"MSG", b"F", size, self._channel, self._token, self._request, self._request)
        self._socket.sendall(head + body)
        return self._request

    def receive(self) -> tuple[int, bytes]:
        """Request id and body of the next answer. Raises TimeoutError, or Unexpected when the server ends."""
        while not self._waiting:
            self.poll()
        return self._waiting.popleft()

    @property
    def ready(self) -> bool:
        """True when `receive` does not wait."""
        return bool(self._waiting)

    def poll(self) -> None:
        """Wait for bytes, and keep the answers that are whole by then."""
        for kind, request, body in self._more():
            if kind != b"MSG":
                raise Unexpected(f"{kind!r} in the middle of a session")
            self._waiting.append((request, body))

    def _more(self) -> list[tuple[bytes, int, bytes]]:
        count = self._socket.recv_into(self._received)
        if not count:
            raise Unexpected("the server closed the connection")
        return self._cutter.feed(self._received[:count])

    # --- objects, for what is done once

    def call(self, request: Any, answer: type[Answer]) -> Answer:
        """Send a request of asyncua's and wait for its answer; other answers until then are dropped.

        Raises Unexpected when the service failed.
        """
        request.RequestHeader.AuthenticationToken = nodeid_from_binary(Buffer(self.session))
        request.RequestHeader.TimeoutHint = 60_000
        sent = self.send(struct_to_binary(request))
        request_id, body = self.receive()
        while request_id != sent:
            request_id, body = self.receive()
        head = read_head(body)
        if head.type_id == SERVICE_FAULT or head.result & 0x8000_0000:
            raise Unexpected(f"{type(request).__name__}: status 0x{head.result:08X}")
        return struct_from_binary(answer, Buffer(body))

    # --- the way to a session

    def _hello(self) -> None:
        url = self._url.encode()
        text = _U32.pack(len(url)) + url
        self._socket.sendall(_HELLO.pack(b"HELF", _HELLO.size + len(text), 0, _CHUNK_BYTES, _CHUNK_BYTES, 0, 0) + text)
        self._answer(b"ACK")

    def _open_channel(self) -> None:
        request: Any = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
        request.Parameters.SecurityMode = ua.MessageSecurityMode.None_
        request.Parameters.RequestedLifetime = 3_600_000
        self._request += 1
        body = _U32.pack(0) + _U32.pack(len(_POLICY_NONE)) + _POLICY_NONE + b"\xff" * 8
        body += _U32.pack(self._request) * 2 + struct_to_binary(request)
        self._socket.sendall(b"OPNF" + _U32.pack(8 + len(body)) + body)
        answer = self._answer(b"OPN")
        # Channel, policy, two null byte strings, sequence header.
        start = 4 + 4 + _U32.unpack_from(answer, 4)[0] + 8 + 8
        token = struct_from_binary(ua.OpenSecureChannelResponse, Buffer(answer[start:])).Parameters.SecurityToken
        self._channel, self._token = token.ChannelId, token.TokenId

    def _open_secure_channel(self) -> None:
        request: Any = ua.OpenSecureChannelRequest()
        request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
        request.Parameters.SecurityMode = ua.MessageSecurityMode.SignAndEncrypt
        request.Parameters.RequestedLifetime = 3_600_000
        request.Parameters.ClientNonce = nonce = os.urandom(NONCE_BYTES)
        secured = SecureConnection(cast(Any, self._policy), TransportLimits())
        self._request += 1
        opening = cast(ua.MessageType, ua.MessageType.SecureOpen)
        self._socket.sendall(secured.message_to_binary(struct_to_binary(request), opening, self._request))
        body = self._answer(b"OPN")
        frame = Buffer(b"OPNF" + _U32.pack(8 + len(body)) + body)
        message = secured.receive_from_header_and_body(header_from_binary(frame), frame)
        answer: Any = struct_from_binary(ua.OpenSecureChannelResponse, message.body()).Parameters
        self._channel, self._token = answer.SecurityToken.ChannelId, answer.SecurityToken.TokenId
        self._cipher = ChunkCipher(nonce, answer.ServerNonce)
        self._cutter.opened = self._cipher.open

    def _answer(self, wanted: bytes) -> bytes:
        while True:
            for kind, _request, body in self._more():
                if kind != wanted:
                    raise Unexpected(f"{kind!r} instead of {wanted!r}")
                return body

    def _open_session(self) -> None:
        create: Any = ua.CreateSessionRequest()
        create.Parameters.ClientDescription.ApplicationUri = "urn:gridnode:benchmark"
        create.Parameters.ClientDescription.ApplicationType = ua.ApplicationType.Client
        create.Parameters.EndpointUrl = self._url
        create.Parameters.SessionName = "benchmark"
        create.Parameters.ClientNonce = os.urandom(32)
        create.Parameters.RequestedSessionTimeout = 600_000.0
        if self._identity is not None:
            create.Parameters.ClientDescription.ApplicationUri = self._identity.application_uri
            create.Parameters.ClientCertificate = self._identity.certificate
        created = self.call(create, ua.CreateSessionResponse).Parameters
        self.session = nodeid_to_binary(created.AuthenticationToken)
        activate: Any = ua.ActivateSessionRequest()
        mode = ua.MessageSecurityMode.None_ if self._identity is None else ua.MessageSecurityMode.SignAndEncrypt
        policy_id = _anonymous(created.ServerEndpoints, mode)
        activate.Parameters.UserIdentityToken = ua.AnonymousIdentityToken(PolicyId=policy_id)
        if self._policy is not None:
            signature = ua.SignatureData()
            signature.Algorithm = self._policy.AsymmetricSignatureURI
            signed = created.ServerCertificate + created.ServerNonce
            signature.Signature = self._policy.asymmetric_cryptography.signature(signed)
            activate.Parameters.ClientSignature = signature
        self.call(activate, ua.ActivateSessionResponse)


def _anonymous(endpoints: Sequence[ua.EndpointDescription], mode: ua.MessageSecurityMode) -> str:
    for endpoint in endpoints:
        if endpoint.SecurityMode != mode:
            continue
        for policy in endpoint.UserIdentityTokens:
            if policy.TokenType == ua.UserTokenType.Anonymous:
                return str(policy.PolicyId)
    raise Unexpected(f"the server offers no anonymous session with {mode.name}")
