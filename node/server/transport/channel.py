"""The secure channel of one connection: who may open it, with what, and for how long (OPC 10000-4 section 5.5)."""

from __future__ import annotations

import hashlib
import hmac
import struct
from typing import Any, Final, NamedTuple

from asyncua import ua
from asyncua.common.connection import TransportLimits
from asyncua.crypto.security_policies import SecurityPolicy
from asyncua.crypto.uacrypto import InvalidSignature as WrongMac
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from cryptography.exceptions import InvalidSignature

from address_space.model import Clock
from node.server.compat import ChannelIds, SecureChannel
from node.server.limits import Limits
from node.server.security.policies import NONE_URI, ChannelRefused, ServerKeys, create_policy, leaf_certificate
from node.server.security.trust import TrustList
from node.server.transport.wire import DECODE_ERRORS, Frame, Reader

_ISSUE: Final = ua.SecurityTokenRequestType.Issue
_OPN: Final[Any] = ua.MessageType.SecureOpen
_MSG: Final[Any] = ua.MessageType.SecureMessage
_WHOLE: Final = b"MSGF"
_HEAD: Final = struct.Struct("<4sIIIII")  # type, size, channel, token; numbers as below, unless they are encrypted
# What an OpenSecureChannel has behind its certificates: a kilobyte in blocks of any key, or a little more. Each block
# of 256 bytes is decrypted with the private key, for whoever asks.
_OPENING_MAX_BYTES: Final = 4_096
_NUMBERS: Final = struct.Struct("<II")  # of the chunk and of its request


class Incoming(NamedTuple):
    """One complete message of a channel."""

    request_id: int
    body: bytes


class Channel:
    """Opens, renews and ends; decrypts what comes and encrypts what goes. One per connection."""

    def __init__(self, keys: ServerKeys, trust: TrustList, ids: ChannelIds, clock: Clock, limits: Limits) -> None:
        self._keys = keys
        self._trust = trust
        self._ids = ids
        self._clock = clock
        self._limits = limits
        self._transport = TransportLimits(
            limits.chunk_bytes, limits.chunk_bytes, limits.stranger_message_chunks, limits.stranger_message_bytes
        )
        self._secure = SecureChannel(self._policy, self._revised_ms, self._transport)
        self.request_type: ua.SecurityTokenRequestType = _ISSUE  # of the last OpenSecureChannel
        self.requested_ms = 0.0  # lifetime that it asked for
        self._peer_certificate = b""  # DER of the peer's own certificate
        self._peer_chain = b""  # the same with the CAs that the peer has shown
        self._ends: dict[int, float] = {}  # token id -> when it is worth nothing, monotonic

    # --- what it is

    @property
    def is_open(self) -> bool:
        """True between OpenSecureChannel and its end."""
        return self._secure.is_open()

    @property
    def id(self) -> int:
        """Its number; 0 before it is open."""
        return int(self._secure.security_token.ChannelId)

    @property
    def policy(self) -> SecurityPolicy:
        """Its cryptography."""
        return self._secure.security_policy

    @property
    def policy_uri(self) -> str:
        """URI of its security policy."""
        return str(self.policy.URI)

    @property
    def mode(self) -> ua.MessageSecurityMode:
        """Its security mode."""
        mode: ua.MessageSecurityMode = self.policy.Mode
        return mode

    @property
    def is_secure(self) -> bool:
        """True when messages are signed, at least."""
        return self.policy_uri != NONE_URI

    @property
    def peer_certificate(self) -> bytes:
        """DER of the certificate with which the peer has proven itself; empty without security."""
        return self._peer_certificate

    @property
    def peer_chain(self) -> bytes:
        """The same certificate with the CAs that the peer has shown."""
        return self._peer_chain

    @property
    def keys(self) -> ServerKeys:
        """Our certificate and key on this channel; one that is renewed later is for later channels."""
        return self._keys

    # --- bounds

    def set_send_bytes(self, chunk_bytes: int) -> None:
        """Largest chunk that the peer takes."""
        self._transport.max_send_buffer = chunk_bytes

    def accept_large_messages(self) -> None:
        """The peer is no stranger any more."""
        self._transport.max_message_size = self._limits.message_bytes
        self._transport.max_chunk_count = self._limits.message_chunks

    # --- messages

    def open(self, frame: Frame, peer: str) -> bytes:
        """Open or renew the channel; the answer's bytes. Raises ChannelRefused, after which it is of no use."""
        was_open, certificate = self.is_open, self._peer_certificate
        _check_opening(frame)
        message = self._receive(frame)
        if message is None:
            raise ChannelRefused(ua.StatusCodes.BadTcpMessageTypeInvalid, "an OpenSecureChannel in parts")
        security = message.SecurityHeader()
        request = self._request(message.body())
        parameters = request.Parameters
        self.request_type, self.requested_ms = parameters.RequestType, float(parameters.RequestedLifetime)
        if (parameters.RequestType == _ISSUE) == was_open:
            raise ChannelRefused(ua.StatusCodes.BadRequestTypeInvalid, "a channel is issued once, then renewed")
        if was_open:
            if security.SecurityPolicyURI != self.policy_uri or parameters.SecurityMode != self.mode:
                raise ChannelRefused(ua.StatusCodes.BadSecurityChecksFailed, "a renewal with another policy or mode")
            if self.is_secure and leaf_certificate(security.SenderCertificate).der != certificate:
                raise ChannelRefused(ua.StatusCodes.BadSecurityChecksFailed, "a renewal with another certificate")
        else:
            self._secure.select_policy(security.SecurityPolicyURI, security.SenderCertificate, parameters.SecurityMode)
        if self.is_secure:
            # At a renewal too, so that a client that is trusted no longer loses its channel with the token.
            self._admit(security, peer)
        self._check_nonce(parameters.ClientNonce)
        response = ua.OpenSecureChannelResponse()
        response.ResponseHeader.RequestHandle = request.RequestHeader.RequestHandle
        response.Parameters = self._secure.open(parameters, self._ids)
        token = response.Parameters.SecurityToken
        lifetime_s = token.RevisedLifetime / 1000 * self._limits.token_grace
        now = self._clock.monotonic()
        self._ends = {id_: end for id_, end in self._ends.items() if end > now}
        self._ends[int(token.TokenId)] = now + lifetime_s
        return self._secure.message_to_binary(struct_to_binary(response), _OPN, message.SequenceHeader().RequestId)

    def receive(self, frame: Frame) -> Incoming | None:
        """A message, or None as long as chunks of it are missing. Raises ChannelRefused."""
        if not self.is_open:
            raise ChannelRefused(ua.StatusCodes.BadTcpSecureChannelUnknown, "a message before OpenSecureChannel")
        if frame.channel_id != self.id:
            raise ChannelRefused(ua.StatusCodes.BadTcpSecureChannelUnknown, f"a message for channel {frame.channel_id}")
        token = int.from_bytes(frame.body[:4], "little")
        end = self._ends.get(token)
        if end is None or end < self._clock.monotonic():
            raise ChannelRefused(ua.StatusCodes.BadSecureChannelTokenUnknown, f"token {token} is unknown or has ended")
        message = self._receive(frame)
        if message is None:
            return None
        return Incoming(int(message.request_id()), bytes(message.body()))

    def receive_next(self, chunk: bytes) -> Incoming | None:
        """The message in a chunk, without asyncua's objects; None for what needs `receive`, nothing was taken then.

        That is a chunk that is not a whole message, not the next one, or not made with the keys in use.
        """
        secure, begin = self._secure, _HEAD.size
        # Nothing is encrypted in fewer bytes, and a plain message has more.
        if not begin <= len(chunk) <= self._transport.max_message_size:
            return None
        kind, _size, channel, token, sequence, request_id = _HEAD.unpack_from(chunk)
        if (
            kind != _WHOLE
            or channel != secure.security_token.ChannelId
            or self._ends.get(token, 0.0) < self._clock.monotonic()
        ):
            return None
        if not secure.is_plain:
            try:
                content = secure.unpack_one(chunk)
                if content is None:
                    return None
                sequence, request_id = _NUMBERS.unpack_from(content)
            except (ValueError, struct.error):
                return None
            chunk, begin = content, _NUMBERS.size
        return Incoming(request_id, chunk[begin:]) if secure.take(token, sequence) else None

    def pack(self, response: bytes, request_id: int) -> bytes:
        """The chunks of a response."""
        packed = self._secure.pack_one(response, request_id)
        return self._secure.message_to_binary(response, _MSG, request_id) if packed is None else packed

    def close(self) -> None:
        """Take no more messages."""
        self._secure.close()

    # --- rules

    def _policy(self, uri: str, sender: bytes | None, mode: ua.MessageSecurityMode | None) -> SecurityPolicy:
        return create_policy(self._keys, uri, sender, mode)

    def _revised_ms(self, requested_ms: int) -> int:
        low, high = self._limits.token_min_s * 1000, self._limits.token_max_s * 1000
        # 0 asks for the server's choice.
        return int(min(max(requested_ms, low), high)) if requested_ms else int(high)

    def _receive(self, frame: Frame) -> Any:
        """Decrypt and verify one chunk; asyncua's message, or None before its last chunk. Raises ChannelRefused."""
        try:
            return self._secure.receive_from_header_and_body(
                frame.header(),
                Reader(frame.body),  # type: ignore[arg-type]  # has all of a Buffer that is used
            )
        except (InvalidSignature, WrongMac) as error:
            raise ChannelRefused(ua.StatusCodes.BadSecurityChecksFailed, "a wrong signature") from error
        except ua.UaStatusCodeError as error:
            raise ChannelRefused(int(error.code), str(error)) from error
        except DECODE_ERRORS as error:
            raise ChannelRefused(
                ua.StatusCodes.BadSecurityChecksFailed, f"not a chunk of this channel: {error}"
            ) from error

    def _request(self, body: object) -> ua.OpenSecureChannelRequest:
        try:
            request: ua.OpenSecureChannelRequest = struct_from_binary(
                ua.OpenSecureChannelRequest,
                Reader(bytes(body)),  # type: ignore[arg-type,call-overload]  # as above
            )
        except DECODE_ERRORS as error:
            raise ChannelRefused(
                ua.StatusCodes.BadDecodingError, f"not an OpenSecureChannel request: {error}"
            ) from error
        return request

    def _admit(self, security: ua.AsymmetricAlgorithmHeader, peer: str) -> None:
        """The peer has the key of its certificate; is it one that we trust, and does it mean us?"""
        sender = security.SenderCertificate or b""
        own = hashlib.sha1(self._keys.certificate.der, usedforsecurity=False).digest()
        if not hmac.compare_digest(security.ReceiverCertificateThumbPrint or b"", own):
            raise ChannelRefused(ua.StatusCodes.BadCertificateInvalid, "it knows another certificate of this server")
        verdict = self._trust.validate(sender)
        if not verdict.ok:
            self._trust.report(verdict, peer)
            raise ChannelRefused(status_code(verdict.wire_status), verdict.reason, reported=True)
        self._peer_certificate = leaf_certificate(sender).der
        self._peer_chain = sender

    def _check_nonce(self, nonce: bytes | None) -> None:
        wanted = self.policy.secure_channel_nonce_length
        if self.is_secure and len(nonce or b"") != wanted:
            raise ChannelRefused(ua.StatusCodes.BadNonceInvalid, f"a nonce of {wanted} bytes is needed")


def _check_opening(frame: Frame) -> None:
    """Raises ChannelRefused for more than anybody needs to ask for a channel."""
    reader = Reader(frame.body)
    try:
        for _ in ("policy", "certificate", "thumbprint"):
            reader.skip(max(int.from_bytes(reader.read(4), "little", signed=True), 0))
    except DECODE_ERRORS as error:
        raise ChannelRefused(ua.StatusCodes.BadSecurityChecksFailed, f"not an OpenSecureChannel: {error}") from error
    if len(reader) > _OPENING_MAX_BYTES:
        raise ChannelRefused(ua.StatusCodes.BadTcpMessageTooLarge, f"an OpenSecureChannel with {len(reader)} bytes")


def status_code(name: str) -> int:
    """Number of a status code by its name in the standard."""
    return int(getattr(ua.StatusCodes, name))
