"""The only place that touches names which asyncua keeps to itself; everything here is thin and pinned by tests.

asyncua gives types, binary codec, the cryptography of the secure channel and the standard address space. What goes
beyond that here: its channel asks us for policy and lifetimes, its address space gets our node map, and two settings
of its decoder keep a few bytes of a stranger from becoming gigabytes.
"""

from __future__ import annotations

import logging
from collections.abc import Awaitable, Callable, MutableMapping
from pathlib import Path
from typing import Any

from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import SecurityPolicy, SecurityPolicyNone
from asyncua.server.address_space import AddressSpace
from asyncua.server.internal_server import InternalServer
from asyncua.ua import ua_binary

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
