"""Chunks that the load client seals are those that asyncua opens, and the other way round."""

import os
from struct import Struct

import pytest
from asyncua.common.connection import MessageChunk, SecureConnection, TransportLimits
from asyncua.common.utils import Buffer
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from asyncua.ua.ua_binary import header_from_binary

from benchmarks.frames import FrameCutter
from benchmarks.secure import ChunkCipher, Identity
from node.server.security.certificate import Identity as Names
from node.server.security.pki import Pki
from tests.fake_clock import FakeClock

CLIENT_NONCE, SERVER_NONCE = os.urandom(32), os.urandom(32)
BODIES = [b"", b"x", b"a body of some length", bytes(range(256)) * 7]


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> SecureConnection:
    """The server's end of a channel with number 7 and token 9."""
    pki = Pki(tmp_path_factory.mktemp("pki"), FakeClock())
    names = Names("urn:here:gridnode:test", ("localhost",), common_name="test")
    own = pki.ensure_own(names)
    client = pki.ensure_client("client", names)
    identity = Identity.read(client.certificate_path.parent, own.certificate_path.parent)
    assert identity.application_uri == "urn:here:gridnode:test"
    policy: SecurityPolicyBasic256Sha256 = identity.policy()
    policy.make_local_symmetric_key(CLIENT_NONCE, SERVER_NONCE)  # type: ignore[no-untyped-call]
    policy.make_remote_symmetric_key(SERVER_NONCE, CLIENT_NONCE, 60_000)  # type: ignore[no-untyped-call]
    connection = SecureConnection(policy, TransportLimits())
    connection.security_token.ChannelId, connection.security_token.TokenId = 7, 9
    return connection


@pytest.mark.parametrize("body", BODIES, ids=len)
def test_sealed_chunk_is_opened_by_asyncua(server: SecureConnection, body: bytes) -> None:
    frame = Buffer(ChunkCipher(CLIENT_NONCE, SERVER_NONCE).seal(7, 9, 3, 4, body))
    chunk = MessageChunk.from_header_and_body(server.security_policy, header_from_binary(frame), frame)
    assert chunk.Body == body
    assert (chunk.SequenceHeader.SequenceNumber, chunk.SequenceHeader.RequestId) == (3, 4)
    assert chunk.SecurityHeader.TokenId == 9


@pytest.mark.parametrize("body", BODIES[1:], ids=len)
def test_chunk_of_asyncua_is_opened(server: SecureConnection, body: bytes) -> None:
    frame = server.message_to_binary(body, request_id=12)
    cutter = FrameCutter()
    cutter.opened = ChunkCipher(CLIENT_NONCE, SERVER_NONCE).open
    assert cutter.feed(frame) == [(b"MSG", 12, body)]


def test_changed_chunk_is_refused(server: SecureConnection) -> None:
    frame = bytearray(server.message_to_binary(b"ten bytes.", request_id=1))
    frame[Struct("<3scIII").size] ^= 1
    with pytest.raises(ValueError, match="signature"):
        ChunkCipher(CLIENT_NONCE, SERVER_NONCE).open(bytes(frame))
