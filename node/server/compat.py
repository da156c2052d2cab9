"""The only place that touches names which asyncua keeps to itself; everything here is thin and pinned by tests.

asyncua gives types, binary codec, the cryptography of the secure channel and the standard address space. What goes
beyond that here: its channel asks us for policy and lifetimes, its address space gets our node map, and two settings
of its decoder keep a few bytes of a stranger from becoming gigabytes.
"""

from __future__ import annotations

import hmac
import logging
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from struct import Struct
from typing import Any, Final

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import Cryptography, SecurityPolicy, SecurityPolicyNone
from asyncua.crypto.uacrypto import InvalidSignature
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_server import InternalServer
from asyncua.ua import ua_binary

# Type and size of a chunk, channel, token; then number of the chunk and of its request (OPC 10000-6 section 6.7.2).
_CHUNK: Final = Struct("<4sIII")
_SEQUENCE: Final = Struct("<II")
_PLAIN: Final = Struct("<4sIIIII")  # both, as they stand before a message without security
_NO_SECURITY: Final = ua.MessageSecurityMode.None_
# Headers, signature and padding of a chunk, at most; and the last number that a chunk can have.
_OVERHEAD_BYTES: Final = 128
_LAST_SEQUENCE: Final = 0xFFFF_FFFF

# Policy URI, the peer's certificate (DER or a chain), the mode or None while it is not known yet.
ChoosePolicy = Callable[[str, bytes | None, "ua.MessageSecurityMode | None"], SecurityPolicy]
# Requested lifetime in ms -> the one that the channel's token gets.
ReviseLifetime = Callable[[int], int]
# Fills a node map with the standard address space; may have asyncua build it there.
FillStandard = Callable[[MutableMapping["ua.NodeId", Any], Callable[[], Awaitable[None]]], Awaitable[None]]


class ChannelIds:
    """Numbers of secure channels, as asyncua's channel asks a server for them."""

    def __init__(self, first: int) -> None:
        self._last = first

    def get_new_channel_id(self) -> int:
        """A number that no channel of this server has had."""
        self._last += 1
        return self._last


class SecureChannel(SecureConnection):
    """asyncua's chunks, keys and signatures; policy and lifetime are decided by whoever made it."""

    def __init__(self, choose: ChoosePolicy, revise: ReviseLifetime, limits: TransportLimits) -> None:
        super().__init__(SecurityPolicyNone(), limits)  # type: ignore[no-untyped-call]
        self._choose = choose
        self._revise = revise

    def select_policy(
        self, uri: str, peer_certificate: bytes | None, mode: ua.MessageSecurityMode | None = None
    ) -> None:
        """Take the policy that `choose` gives, whatever it raises."""
        self.security_policy = self._choose(uri, peer_certificate, mode)

    def open(self, params: Any, server: Any) -> ua.OpenSecureChannelResult:
        """Issue or renew the token with a lifetime within our bounds."""
        params.RequestedLifetime = ua.UInt32(self._revise(params.RequestedLifetime))
        if self._open and self.next_security_token.TokenId:
            # A quiet client renews again before it has used its new token. asyncua would give that number once more.
            self.revolve_tokens()
        return super().open(params, server)

    @property
    def is_plain(self) -> bool:
        """True when messages are neither signed nor encrypted."""
        return self.security_policy.Mode is _NO_SECURITY

    def take(self, token: int, sequence: int) -> bool:
        """True for a chunk that is a whole message, in its turn, with the token in use: it counts as taken then.

        All others (a new token, one from before, numbers that wrap, parts of a message) are for asyncua.
        """
        last = self._peer_sequence_number
        if (
            not self._open
            or token != self.security_token.TokenId
            or last is None
            or sequence != last + 1
            or self._incoming_parts
        ):
            return False
        self._peer_sequence_number = sequence
        return True

    def pack_one(self, body: bytes, request_id: int) -> bytes | None:
        """A message as one chunk, as asyncua packs it; None when it may take more than one."""
        if len(body) > self._limits.max_send_buffer - _OVERHEAD_BYTES:
            return None
        # It wraps to 1 where asyncua's does.
        self._sequence_number = self._sequence_number + 1 if self._sequence_number < _LAST_SEQUENCE else 1
        token, policy = self.security_token, self.security_policy
        if policy.Mode is _NO_SECURITY:
            size = _PLAIN.size + len(body)
            return _PLAIN.pack(b"MSGF", size, token.ChannelId, token.TokenId, self._sequence_number, request_id) + body
        content = _SEQUENCE.pack(self._sequence_number, request_id) + body
        crypto: Any = policy.symmetric_cryptography
        content += crypto.padding(len(content))
        size = _CHUNK.size + len(content) + crypto.signature_size()
        head = _CHUNK.pack(b"MSGF", size, token.ChannelId, token.TokenId)
        encrypted: bytes = crypto.encrypt(content + crypto.signature(head + content))
        return head + encrypted

    def unpack_one(self, chunk: bytes) -> bytes | None:
        """Decrypt and verify a chunk with the keys in use: what stands behind its security header.

        None when it is not signed with them. Raises ValueError for what no key makes of it.
        """
        policy = self.security_policy
        if policy.Mode is _NO_SECURITY:
            return chunk[_CHUNK.size :]
        crypto: Any = policy.symmetric_cryptography
        crypto.use_prev_key = False
        content: bytes = crypto.decrypt(chunk[_CHUNK.size :])
        signed = len(content) - crypto.vsignature_size()
        try:
            crypto.verify(chunk[: _CHUNK.size] + content[:signed], content[signed:])
            plain: bytes = crypto.remove_padding(content[:signed])
        except InvalidSignature:
            return None
        return plain


class HardCryptography(Cryptography):
    """asyncua's symmetric cryptography; a wrong signature takes as long as a right one, and padding is looked at."""

    def verify(self, data: bytes, sig: bytes) -> None:
        """Raise InvalidSignature unless the HMAC-SHA256 of all three policies is right."""
        verifier: Any = self.Prev_Verifier if self.use_prev_key else self.Verifier
        if not hmac.compare_digest(hmac.digest(verifier.key, data, "sha256"), sig):
            raise InvalidSignature

    def signature(self, data: bytes) -> bytes:
        """HMAC-SHA256."""
        signer: Any = self.Signer
        return hmac.digest(signer.key, data, "sha256")

    def remove_padding(self, data: bytes) -> bytes:
        """Take padding away; every byte of it says how long it is (OPC 10000-6 section 6.7.2.5)."""
        if not self.is_encrypted:
            return data
        size = data[-1] + 1 if data else 1
        if size > len(data) or data[-size:] != data[-1:] * size:
            raise InvalidSignature
        return data[:-size]


class StandardServer(InternalServer):
    """asyncua's owner of the address space; where the standard nodes come from is decided by whoever made it."""

    def __init__(self, fill: FillStandard) -> None:
        super().__init__()
        self._fill = fill

    async def load_standard_address_space(self, shelf_file: Path | None = None) -> None:
        """Let `fill` do it; asyncua's own cache file is not used."""
        await self._fill(self.aspace._nodes, super().load_standard_address_space)


def install_nodes(server: InternalServer, nodes: MutableMapping[ua.NodeId, Any]) -> AddressSpace:
    """Let `nodes` be the server's address space; whatever is loaded later goes into it. Call it before `init`."""
    server.aspace._nodes = nodes  # type: ignore[assignment]  # asyncua uses only what any mapping has
    return server.aspace


class _CountedNull:
    """Null as asyncua packs and reads it, but a reader that counts may refuse one."""

    @staticmethod
    def pack(_data: Any) -> bytes:
        return b""

    @staticmethod
    def unpack(data: Any) -> None:
        count = getattr(data, "null", None)
        if count is not None:
            count()


def harden_decoder() -> None:
    """Make asyncua's decoder refuse what has no bytes behind it: long arrays of Null, and matrices.

    asyncua documents the bound of matrices as a setting; Null has none. Packing is as before.
    """
    ua_binary.MAX_RESHAPE_ELEMENTS = 0
    # It writes an error for each chunk that we refuse; `FaultLog` does that, once per peer.
    logging.getLogger("asyncua.uaprotocol").setLevel(logging.CRITICAL)
    ua_binary.Primitives.Null = _CountedNull()  # type: ignore[assignment]
    # It keeps the decoders that it has made, those of Null among them.
    ua_binary._create_uatype_deserializer.cache_clear()
    ua_binary._create_uatype_array_deserializer.cache_clear()
