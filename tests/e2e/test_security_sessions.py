"""Whose certificate, session and user it has to be: what the OPC UA server refuses to all others; real sockets."""

import asyncio
import logging
import struct
import time
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto import uacrypto
from asyncua.ua.ua_binary import struct_to_binary
from asyncua.ua.uaerrors import (
    BadCertificateUriInvalid,
    BadIdentityTokenInvalid,
    BadIdentityTokenRejected,
    BadSecurityChecksFailed,
    BadSessionIdInvalid,
    BadUserAccessDenied,
)

from node.server.limits import Limits
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import NONE_URI, RawClient
from tests.e2e.server_stage import CLIENT_URI, Keys, Stage, serving, site_node, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

OPEN = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    """A server with the default, closed configuration."""
    async with serving(tmp_path_factory.mktemp("closed"), keys) as stage:
        yield stage


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def open_stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    """A server that allows channels without security and anonymous sessions."""
    async with serving(tmp_path_factory.mktemp("open"), keys, OPEN) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def raw(stage: Stage) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(stage.server.port)
    yield client
    await client.close()


@pytest_asyncio.fixture(loop_scope="module")
async def open_raw(open_stage: Stage) -> AsyncIterator[RawClient]:
    client = await RawClient.connect(open_stage.server.port)
    yield client
    await client.close()


async def still_serves(stage: Stage) -> bool:
    async with stage.client() as client:
        return await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0


async def raw_session(raw: RawClient) -> ua.NodeId:
    """An anonymous session on a channel without security; its token."""
    await raw.open()
    create = ua.CreateSessionRequest()
    create.Parameters.RequestedSessionTimeout = 60_000
    token: ua.NodeId = (await raw.ask(create)).Parameters.AuthenticationToken
    response = await raw.ask(ua.ActivateSessionRequest(), token)
    assert isinstance(response, ua.ActivateSessionResponse), response
    return token


# --- certificates


async def connect_error(client: Client) -> BaseException:
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)) as caught:
        await client.connect()
    return caught.value


async def test_untrusted_client_is_refused_and_can_be_accepted(
    stage: Stage, keys: Keys, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.WARNING)
    own = keys.of("stranger")
    for _ in range(2):
        await connect_error(await stage.client(key="stranger").secured())
    told = [r.getMessage() for r in caplog.records if r.name.startswith("node.")]
    assert len(told) == 1
    assert f"gridnode trust accept {own.certificate.thumbprint}" in told[0]
    assert own.certificate.der in [entry.certificate.der for entry in stage.pki.trust.rejected()]
    stage.pki.trust.accept(own.certificate.thumbprint)
    async with stage.client(key="stranger") as client:
        assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0
    stage.pki.trust.revoke(own.certificate.thumbprint)
    await connect_error(await stage.client(key="stranger").secured())


async def test_client_that_is_trusted_no_longer_loses_its_channel_at_the_renewal(stage: Stage, keys: Keys) -> None:
    own = keys.of("former")
    stage.pki.trust.add(own.certificate.der)
    client = await stage.client(key="former").secured()
    await client.connect_sessionless()
    await client.open_secure_channel(renew=True)
    stage.pki.trust.revoke(own.certificate.thumbprint)
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
        await client.open_secure_channel(renew=True)
    await client.disconnect_sessionless()


async def test_changed_message_is_refused(stage: Stage, caplog: pytest.LogCaptureFixture) -> None:
    client = await stage.client().secured()
    await client.connect()
    transport = client.uaclient.protocol.transport
    write = transport.write
    transport.write = lambda data: write(data[:-1] + bytes((data[-1] ^ 1,)))
    with pytest.raises((ua.UaError, ConnectionError, asyncio.TimeoutError)):
        await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value()
    assert not any(record.exc_info for record in caplog.records if record.name.startswith("node."))
    assert await still_serves(stage)
    await client.disconnect()


async def test_channel_keeps_its_certificate_policy_and_mode(stage: Stage, raw: RawClient) -> None:
    await raw.open()
    request = ua.OpenSecureChannelRequest()
    request.Parameters.RequestType = ua.SecurityTokenRequestType.Issue
    request.Parameters.SecurityMode = ua.MessageSecurityMode.None_
    uri = NONE_URI.encode()
    security = struct.pack("<I", len(uri)) + uri + struct.pack("<ii", -1, -1)
    await raw.send(raw.frame(b"OPN", struct_to_binary(request), security))
    assert await raw.refused() == ua.StatusCodes.BadRequestTypeInvalid


@pytest.mark.parametrize("shown", ["trusted", "none"])
async def test_session_needs_the_certificate_of_its_channel(stage: Stage, keys: Keys, shown: str) -> None:
    stage.pki.trust.add(keys.of("second").certificate.der)
    client = await stage.client(key="second").secured()
    await client.connect_sessionless()
    try:
        parameters = ua.CreateSessionParameters(ClientNonce=b"n" * 32, RequestedSessionTimeout=60_000)
        parameters.ClientDescription.ApplicationUri = CLIENT_URI
        parameters.ClientCertificate = keys.of("client").certificate.der if shown == "trusted" else None
        with pytest.raises(BadSecurityChecksFailed):
            await client.uaclient.create_session(parameters)
    finally:
        await client.disconnect_sessionless()


async def test_session_needs_the_application_uri_of_its_certificate(stage: Stage) -> None:
    client = await stage.client().secured()
    client.application_uri = "urn:somebody:else"
    await client.connect_sessionless()
    try:
        with pytest.raises(BadCertificateUriInvalid):
            await client.create_session()
    finally:
        await client.disconnect_sessionless()


# --- sessions


async def test_session_tokens_cannot_be_guessed(open_raw: RawClient) -> None:
    await open_raw.open()
    tokens = [(await open_raw.ask(ua.CreateSessionRequest())).Parameters.AuthenticationToken for _ in range(4)]
    assert all(isinstance(token.Identifier, bytes) and len(token.Identifier) == 32 for token in tokens)
    assert len({token.Identifier for token in tokens}) == 4


async def test_wrong_token_is_refused(open_raw: RawClient) -> None:
    token = await raw_session(open_raw)
    read = ua.ReadRequest()
    read.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId(2259), ua.AttributeIds.Value)]
    assert isinstance(await open_raw.ask(read, token), ua.ReadResponse)
    for wrong in (ua.NodeId(), ua.NodeId(1001), ua.NodeId(b"\0" * 32, 0)):
        assert await open_raw.fault(read, wrong) == "BadSessionIdInvalid"


async def test_token_is_worth_nothing_on_another_channel(open_stage: Stage, open_raw: RawClient) -> None:
    token = await raw_session(open_raw)
    thief = await RawClient.connect(open_stage.server.port)
    await thief.open()
    read = ua.ReadRequest()
    read.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId(2259), ua.AttributeIds.Value)]
    assert await thief.fault(read, token) == "BadSessionIdInvalid"
    assert await thief.fault(ua.CloseSessionRequest(), token) == "BadSessionIdInvalid"
    # Without a certificate nobody can show to be the client of that session.
    assert await thief.fault(ua.ActivateSessionRequest(), token) == "BadSecurityChecksFailed"
    assert isinstance(await open_raw.ask(read, token), ua.ReadResponse)
    await thief.close()


async def test_service_before_activation_is_refused(open_raw: RawClient) -> None:
    await open_raw.open()
    token = (await open_raw.ask(ua.CreateSessionRequest())).Parameters.AuthenticationToken
    read = ua.ReadRequest()
    read.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId(2259), ua.AttributeIds.Value)]
    assert await open_raw.fault(read, token) == "BadSessionNotActivated"


async def take_over(thief: Client, victim: Client, user: str, password: str) -> None:
    """Activate the victim's session on the thief's channel, as a client does after its connection was lost."""
    thief.uaclient.protocol.authentication_token = victim.uaclient.protocol.authentication_token
    thief._server_nonce = victim._server_nonce
    thief._policy_ids = victim._policy_ids
    await thief.activate_session(user, password)


async def test_session_moves_only_with_its_client_and_user(stage: Stage, keys: Keys) -> None:
    stage.pki.trust.add(keys.of("second").certificate.der)
    async with stage.client("eve") as victim:
        node = victim.get_node(ua.ObjectIds.Server_ServerStatus_State)
        other = await stage.client("ada", key="second").secured()
        await other.connect_sessionless()
        with pytest.raises(BadSecurityChecksFailed):
            await take_over(other, victim, "ada", "admin-password")
        await other.disconnect_sessionless()
        same = await stage.client("ada").secured()
        await same.connect_sessionless()
        with pytest.raises(BadUserAccessDenied):
            await take_over(same, victim, "ada", "admin-password")
        assert await node.read_value() == 0
        await take_over(same, victim, "eve", "engineer-pass")
        assert await same.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0
        with pytest.raises(BadSessionIdInvalid):
            await node.read_value()
        await same.disconnect_sessionless()


class Notes:
    """Handler of asyncua that keeps what is reported."""

    def __init__(self) -> None:
        self.values: asyncio.Queue[Any] = asyncio.Queue()

    def datachange_notification(self, _node: Any, value: Any, _data: Any) -> None:
        self.values.put_nowait(value)

    async def next(self) -> Any:
        async with asyncio.timeout(5):
            return await self.values.get()


async def test_subscriptions_of_others_do_not_exist(stage: Stage) -> None:
    async with stage.client("ann") as owner, stage.client("ada") as other:
        notes = Notes()
        subscription = await owner.create_subscription(100, notes)
        handle = await subscription.subscribe_data_change(owner.get_node(site_node("xw1.ac_power")))
        number = subscription.subscription_id
        uaclient = other.uaclient
        unknown = [ua.StatusCodes.BadSubscriptionIdInvalid]
        assert [each.value for each in await uaclient.delete_subscriptions([number])] == unknown
        mode = ua.SetPublishingModeParameters(False, [number])
        assert [each.value for each in await uaclient.set_publishing_mode(mode)] == unknown
        for call in (
            uaclient.modify_subscription(ua.ModifySubscriptionParameters(number, 1000, 100, 10, 0, 0)),
            uaclient.delete_monitored_items(ua.DeleteMonitoredItemsParameters(number, [handle])),
            uaclient.create_monitored_items(
                ua.CreateMonitoredItemsParameters(number, ua.TimestampsToReturn.Both, [ua.MonitoredItemCreateRequest()])
            ),
            uaclient.set_monitoring_mode(ua.SetMonitoringModeParameters(number, ua.MonitoringMode.Disabled, [handle])),
        ):
            with pytest.raises(ua.uaerrors.BadSubscriptionIdInvalid):
                await call
        taken = await uaclient.transfer_subscriptions(ua.TransferSubscriptionsParameters([number], True))
        assert [each.StatusCode.name for each in taken] == ["BadUserAccessDenied"]
        await notes.next()
        stage.publish("ac_power", 77.0)
        assert await notes.next() == 77.0


# --- users


async def test_wrong_password_and_unknown_user_are_refused_alike(stage: Stage) -> None:
    for user, password in (("ann", "not-her-password"), ("nobody-here", "some-password")):
        error = await connect_error(await stage.client(user, password=password).secured())
        assert isinstance(error, BadUserAccessDenied)


async def test_guessing_is_slowed_down(keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    async with serving(tmp_path, keys) as stage:
        for _ in range(3):
            await connect_error(await stage.client("ann", password="not-her-password").secured())
        # Now even the right one has to wait.
        assert isinstance(await connect_error(await stage.client("ann").secured()), ua.uaerrors.BadTooManyOperations)
        told = [record.getMessage() for record in caplog.records if record.levelname == "WARNING"]
        assert any(
            "login of user 'ann' from 127.0.0.1 failed, 3 in a row; further tries have to wait" in t for t in told
        )
        assert any("ActivateSession refused, BadTooManyOperations: too many failed logins" in text for text in told)
        assert not any("not-her-password" in text for text in told)


async def test_anonymous_is_refused_unless_allowed(stage: Stage, open_stage: Stage) -> None:
    async def anonymous(where: Stage) -> None:
        client = await where.client().secured()
        await client.connect_sessionless()
        try:
            await client.create_session()
            parameters = ua.ActivateSessionParameters(UserIdentityToken=ua.AnonymousIdentityToken(PolicyId="anonymous"))
            data = where.pki.show().certificate.der + client._server_nonce
            parameters.ClientSignature.Signature = client.security_policy.asymmetric_cryptography.signature(data)
            parameters.ClientSignature.Algorithm = client.security_policy.AsymmetricSignatureURI
            await client.uaclient.activate_session(parameters)
        finally:
            await client.disconnect_sessionless()

    with pytest.raises(BadIdentityTokenRejected):
        await anonymous(stage)
    await anonymous(open_stage)


OAEP = "http://www.w3.org/2001/04/xmlenc#rsa-oaep"
RSA_15 = "http://www.w3.org/2001/04/xmlenc#rsa-1_5"


async def name_token(stage: Stage, password: bytes, algorithm: str | None, nonce: bytes | None = None) -> None:
    """Log in as ann with a token of the test's making; `nonce` b"" leaves it out."""
    client = await stage.client().secured()
    await client.connect_sessionless()
    try:
        await client.create_session()
        token = ua.UserNameIdentityToken(PolicyId="username_basic256sha256", UserName="ann")
        token.EncryptionAlgorithm = algorithm
        token.Password = password
        if algorithm is not None:
            secret = password + (client._server_nonce if nonce is None else nonce)
            key = stage.pki.show().certificate.x509.public_key()
            encrypt = uacrypto.encrypt_rsa15 if algorithm == RSA_15 else uacrypto.encrypt_rsa_oaep
            token.Password = encrypt(key, struct.pack("<I", len(secret)) + secret)
        parameters = ua.ActivateSessionParameters(UserIdentityToken=token)
        data = stage.pki.show().certificate.der + client._server_nonce
        parameters.ClientSignature.Signature = client.security_policy.asymmetric_cryptography.signature(data)
        parameters.ClientSignature.Algorithm = client.security_policy.AsymmetricSignatureURI
        await client.uaclient.activate_session(parameters)
    finally:
        await client.disconnect_sessionless()


async def test_password_must_be_encrypted_with_the_nonce_of_its_session(stage: Stage) -> None:
    await name_token(stage, b"observer-pass", OAEP)
    for password, algorithm, nonce in (
        (b"observer-pass", None, None),  # in clear
        (b"observer-pass", OAEP, b"x" * 32),  # recorded in another session
        (b"observer-pass", OAEP, b""),  # without a nonce
        (b"observer-pass", RSA_15, None),
        (b"observer-pass", "", None),
    ):
        with pytest.raises(BadIdentityTokenInvalid):
            await name_token(stage, password, algorithm, nonce)


async def test_user_name_is_refused_without_security(open_stage: Stage, open_raw: RawClient) -> None:
    await open_raw.open()
    token = (await open_raw.ask(ua.CreateSessionRequest())).Parameters.AuthenticationToken
    request = ua.ActivateSessionRequest()
    request.Parameters.UserIdentityToken = ua.UserNameIdentityToken("username", "ada", b"admin-password", None)
    assert await open_raw.fault(request, token) == "BadIdentityTokenRejected"
    endpoints = (await open_raw.ask(ua.GetEndpointsRequest())).Endpoints
    none = [each for each in endpoints if each.SecurityMode == ua.MessageSecurityMode.None_]
    assert [each.TokenType for each in none[0].UserIdentityTokens] == [ua.UserTokenType.Anonymous]


async def test_wrong_signature_of_the_client_is_refused(stage: Stage) -> None:
    client = await stage.client().secured()
    await client.connect_sessionless()
    try:
        await client.create_session()
        client._server_nonce = b"z" * 32
        with pytest.raises(ua.uaerrors.BadApplicationSignatureInvalid):
            await client.activate_session("ann", "observer-pass")
    finally:
        await client.disconnect_sessionless()


# --- a stranger's sessions


async def test_sessions_that_nobody_activates_lock_nobody_out(keys: Keys, tmp_path: Path) -> None:
    async with serving(tmp_path, keys, OPEN, Limits(unactivated_sessions=4)) as stage:
        strangers = [await RawClient.connect(stage.server.port) for _ in range(3)]
        for raw in strangers:
            await raw.open()
            for _ in range(3):
                assert isinstance(await raw.ask(ua.CreateSessionRequest()), ua.CreateSessionResponse)
        assert await still_serves(stage)
        for raw in strangers:
            await raw.close()


async def test_clients_that_die_lock_nobody_out(keys: Keys, tmp_path: Path) -> None:
    async with serving(tmp_path, keys, OPEN, Limits(sessions=3)) as stage:
        for _ in range(5):
            raw = await RawClient.connect(stage.server.port)
            await raw_session(raw)
            await raw.close()
            await until(lambda: not stage.server._connections)
        living = await RawClient.connect(stage.server.port)
        token = await raw_session(living)
        for _ in range(2):
            assert await still_serves(stage)
        read = ua.ReadRequest()
        read.Parameters.NodesToRead = [ua.ReadValueId(ua.NodeId(2259), ua.AttributeIds.Value)]
        assert isinstance(await living.ask(read, token), ua.ReadResponse)
        await living.close()


async def test_call_is_answered_before_its_client_gives_up(open_stage: Stage, open_raw: RawClient) -> None:
    token = await raw_session(open_raw)
    call = ua.CallRequest()
    call.Parameters.MethodsToCall = [ua.CallMethodRequest(site_node("xw1"), site_node("xw1.StartSell"), [])]
    for hint_ms, most_s in ((0, 3.0), (60_000, 3.0), (1000, 0.9), (100, 0.05)):
        call.RequestHeader.TimeoutHint = hint_ms
        before = time.monotonic()
        await open_raw.ask(call, token)
        assert open_stage.desk.answer_by is not None
        assert before + most_s <= open_stage.desk.answer_by + 1e-6 <= time.monotonic() + most_s + 1e-5
