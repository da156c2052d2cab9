"""One chunk as bytes, beside asyncua's objects: same bytes out, same messages in, and nothing changed passes."""

from typing import Any

import pytest
from asyncua import ua
from asyncua.common.connection import SecureConnection, TransportLimits
from asyncua.crypto.security_policies import Cryptography, SecurityPolicyNone
from asyncua.crypto.uacrypto import InvalidSignature

from node.server.compat import HardCryptography, SecureChannel

MODES = [ua.MessageSecurityMode.None_, ua.MessageSecurityMode.Sign, ua.MessageSecurityMode.SignAndEncrypt]
MESSAGE: Any = ua.MessageType.SecureMessage


class Policy(SecurityPolicyNone):
    """Basic256Sha256's keys without its certificates."""

    signature_key_size = 32
    symmetric_key_size = 32

    def __init__(self, mode: ua.MessageSecurityMode, cryptography: type[Cryptography]) -> None:
        super().__init__()  # type: ignore[no-untyped-call]
        self.Mode = mode
        if mode != ua.MessageSecurityMode.None_:
            from asyncua.crypto import security_policies  # noqa: PLC0415

            self.symmetric_cryptography = cryptography(mode)  # type: ignore[no-untyped-call]
            make = security_policies.SecurityPolicyBasic256Sha256
            make.make_local_symmetric_key(self, b"s" * 32, b"c" * 32)  # type: ignore[no-untyped-call]
            make.make_remote_symmetric_key(self, b"c" * 32, b"s" * 32, 60_000)  # type: ignore[no-untyped-call]


class Peer(Policy):
    """The same channel from its other end."""

    def __init__(self, mode: ua.MessageSecurityMode) -> None:
        super().__init__(mode, Cryptography)
        if mode != ua.MessageSecurityMode.None_:
            from asyncua.crypto import security_policies  # noqa: PLC0415

            make = security_policies.SecurityPolicyBasic256Sha256
            make.make_local_symmetric_key(self, b"c" * 32, b"s" * 32)  # type: ignore[no-untyped-call]
            make.make_remote_symmetric_key(self, b"s" * 32, b"c" * 32, 60_000)  # type: ignore[no-untyped-call]


def opened(connection: Any) -> Any:
    connection._open = True
    connection.security_token.ChannelId, connection.security_token.TokenId = 7, 13
    connection._peer_sequence_number = 50
    connection._sequence_number = 50
    return connection


def limits() -> TransportLimits:
    return TransportLimits(65_535, 65_535, 4, 1_000_000)


def ours(mode: ua.MessageSecurityMode) -> SecureChannel:
    channel = SecureChannel(lambda *_: None, int, limits())  # type: ignore[arg-type,return-value]
    channel.security_policy = Policy(mode, HardCryptography)
    return opened(channel)  # type: ignore[no-any-return]


def library(policy: Any) -> SecureConnection:
    return opened(SecureConnection(policy, limits()))  # type: ignore[no-any-return]


@pytest.mark.parametrize("mode", MODES, ids=str)
@pytest.mark.parametrize("size", [1, 7, 15, 16, 31, 32, 33, 200, 65_400])
def test_chunks_are_the_librarys_bytes(mode: ua.MessageSecurityMode, size: int) -> None:
    channel, other = ours(mode), library(Policy(mode, Cryptography))
    body = bytes(range(256)) * 256
    for request in (1, 99):
        assert channel.pack_one(body[:size], request) == other.message_to_binary(body[:size], MESSAGE, request)


def test_numbers_begin_again_where_the_librarys_do() -> None:
    channel, other = ours(MODES[0]), library(SecurityPolicyNone())  # type: ignore[no-untyped-call]
    channel._sequence_number = other._sequence_number = 2**32 - 3
    for request in range(5):
        assert channel.pack_one(b"x", request) == other.message_to_binary(b"x", MESSAGE, request)


def test_a_message_of_more_than_a_chunk_is_the_librarys() -> None:
    channel = ours(MODES[0])
    assert channel.pack_one(b"x" * 65_535, 1) is None
    assert channel._sequence_number == 50


@pytest.mark.parametrize("mode", MODES, ids=str)
def test_what_the_peer_packs_is_unpacked(mode: ua.MessageSecurityMode) -> None:
    channel, peer = ours(mode), library(Peer(mode))
    for size in range(1, 70):
        chunk = peer.message_to_binary(b"m" * size, MESSAGE, 5)
        content = channel.unpack_one(chunk)
        assert content is not None
        assert content[8:] == b"m" * size
        assert channel.take(13, int.from_bytes(content[:4], "little"))


@pytest.mark.parametrize("mode", MODES[1:], ids=str)
def test_no_byte_of_a_chunk_can_be_changed(mode: ua.MessageSecurityMode) -> None:
    channel, peer = ours(mode), library(Peer(mode))
    chunk = peer.message_to_binary(b"message", MESSAGE, 5)
    for place in range(len(chunk)):
        changed = bytearray(chunk)
        changed[place] ^= 1
        assert channel.unpack_one(bytes(changed)) is None
    for length in range(16, len(chunk)):
        try:
            assert channel.unpack_one(chunk[:length]) is None
        except ValueError:
            assert mode == ua.MessageSecurityMode.SignAndEncrypt  # no whole block


def test_only_the_next_whole_message_with_the_token_in_use_is_taken_and_once() -> None:
    channel = ours(MODES[0])
    assert not channel.take(12, 51)
    assert not channel.take(14, 51)
    for sequence in (0, 1, 49, 50, 52, 2**32 - 1):
        assert not channel.take(13, sequence)
    channel._incoming_parts.append(None)  # type: ignore[arg-type]
    assert not channel.take(13, 51)
    channel._incoming_parts.clear()
    assert channel.take(13, 51)
    assert not channel.take(13, 51)
    channel.close()
    assert not channel.take(13, 52)


def test_every_byte_of_padding_is_looked_at() -> None:
    crypto = HardCryptography(ua.MessageSecurityMode.SignAndEncrypt)
    assert crypto.remove_padding(b"message\3\3\3\3") == b"message"
    assert crypto.remove_padding(b"message\0") == b"message"
    for wrong in (b"message\3\2\3\3", b"message\4\3\3\3", b"message\x40", b"", b"\1"):
        with pytest.raises(InvalidSignature):
            crypto.remove_padding(wrong)
    signs = HardCryptography(ua.MessageSecurityMode.Sign)
    assert signs.remove_padding(b"message\3\2") == b"message\3\2"
