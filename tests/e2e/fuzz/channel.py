"""A client that packs bodies of its own making into chunks of a proper channel, signed and encrypted or not."""

import asyncio
import struct
from contextlib import suppress
from typing import Any

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256, SecurityPolicyNone
from asyncua.crypto.uacrypto import encrypt_rsa_oaep, load_certificate, load_private_key, x509_from_der
from asyncua.ua.ua_binary import (
    header_from_binary,
    nodeid_from_binary,
    struct_from_binary,
    struct_to_binary,
    uatcp_to_binary,
)

from tests.e2e.server_stage import CLIENT_URI, PASSWORDS, Keys

ANSWER_S = 20  # a server that gives no sign of life for this long has stopped


class Ended(Exception):
    """The server has closed the connection."""


async def secured_policy(keys: Keys) -> Any:
    """Basic256Sha256 with the certificate of the client that the server trusts; a new one for each channel."""
    client, server = keys.of("client", CLIENT_URI), keys.of("server", "urn:test:server")
    return SecurityPolicyBasic256Sha256(
        await load_certificate(server.certificate_path),
        await load_certificate(client.certificate_path),
        await load_private_key(client.key_path),
        ua.MessageSecurityMode.SignAndEncrypt,
    )


class ChannelClient:
    """One connection with an activated session."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, policy: Any) -> None:
        self._reader = reader
        self.writer = writer
        self._policy = policy
        self._connection = SecureConnection(policy, TransportLimits())
        self.request = 0
        self.token = ua.NodeId()

    @classmethod
    async def connect(cls, port: int, policy: Any = None) -> "ChannelClient":
        """Connect, open a channel, make a session and log in as nobody. Raises Ended."""
        client = cls(*await asyncio.open_connection("127.0.0.1", port), policy or SecurityPolicyNone())
        client.writer.write(uatcp_to_binary(ua.MessageType.Hello, ua.Hello(0, 65535, 65535, 0, 0, "opc.tcp://x:1")))
        await client.receive()
        await client._open()
        await client._log_in()
        return client

    async def close(self) -> None:
        self.writer.close()
        with suppress(ConnectionError):
            await self.writer.wait_closed()

    def frame(self, body: bytes) -> bytes:
        """A message as its chunks, properly numbered, signed and encrypted."""
        self.request += 1
        return bytes(self._connection.message_to_binary(body, request_id=self.request))

    async def receive(self, within_s: float = ANSWER_S) -> tuple[int, bytes]:
        """Request id and body of the next message; an acknowledge has number 0. Raises Ended, TimeoutError."""
        while True:
            try:
                async with asyncio.timeout(within_s):
                    head = await self._reader.readexactly(8)
                    size = int.from_bytes(head[4:], "little")
                    buffer = Buffer(head + await self._reader.readexactly(size - 8))
            except (asyncio.IncompleteReadError, ConnectionError) as error:
                raise Ended from error
            message = self._connection.receive_from_header_and_body(header_from_binary(buffer), buffer)
            if isinstance(message, ua.ErrorMessage):
                raise Ended
            if isinstance(message, ua.Message):
                return message.request_id(), bytes(message.body())
            if message is not None:
                return 0, b""

    async def ask(self, request: Any) -> Any:
        """Send a request and wait for its response. Raises Ended."""
        request.RequestHeader.AuthenticationToken = self.token
        self.writer.write(self.frame(struct_to_binary(request)))
        while True:
            number, body = await self.receive()
            if number == self.request:
                return response(body)

    async def _open(self) -> None:
        request = ua.OpenSecureChannelRequest()
        parameters = request.Parameters
        parameters.SecurityMode = self._policy.Mode
        parameters.RequestedLifetime = 3_600_000
        parameters.ClientNonce = ua.utils.create_nonce(self._policy.secure_channel_nonce_length)
        self.request += 1
        body = struct_to_binary(request)
        self.writer.write(self._connection.message_to_binary(body, ua.MessageType.SecureOpen, self.request))
        _, answer = await self.receive()
        opened = response(answer)
        self._connection.set_channel(opened.Parameters, parameters.RequestType, parameters.ClientNonce)

    async def _log_in(self) -> None:
        create = ua.CreateSessionRequest()
        create.Parameters.ClientNonce = ua.utils.create_nonce(32)
        create.Parameters.ClientDescription.ApplicationUri = CLIENT_URI
        create.Parameters.ClientCertificate = self._policy.host_certificate
        create.Parameters.RequestedSessionTimeout = 10_000
        made = (await self.ask(create)).Parameters
        self.token = made.AuthenticationToken
        activate = ua.ActivateSessionRequest()
        if self._policy.Mode == ua.MessageSecurityMode.None_:
            activate.Parameters.UserIdentityToken = ua.AnonymousIdentityToken("anonymous")
        else:
            activate.Parameters.UserIdentityToken = self._user("eve", made.ServerNonce)
            signed = made.ServerCertificate + made.ServerNonce
            activate.Parameters.ClientSignature.Algorithm = self._policy.AsymmetricSignatureURI
            activate.Parameters.ClientSignature.Signature = self._policy.asymmetric_cryptography.signature(signed)
        activated = await self.ask(activate)
        assert activated.ResponseHeader.ServiceResult.is_good(), activated

    def _user(self, name: str, nonce: bytes) -> ua.UserNameIdentityToken:
        password = PASSWORDS[name].encode()
        secret = struct.pack("<I", len(password) + len(nonce)) + password + nonce
        encrypted = encrypt_rsa_oaep(x509_from_der(self._policy.peer_certificate).public_key(), secret)
        return ua.UserNameIdentityToken(
            "username_basic256sha256", name, encrypted, "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
        )


def response(body: bytes) -> Any:
    """A response as asyncua's object."""
    buffer = Buffer(body)
    kind = ua.extension_objects_by_typeid[nodeid_from_binary(buffer.copy())]
    return struct_from_binary(kind, buffer)
