"""Users with a certificate, and what operators change while clients are connected; real sockets."""

import asyncio
import struct
from collections.abc import AsyncIterator
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto import security_policies
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)
from asyncua.ua.uaerrors import (
    BadIdentityTokenInvalid,
    BadIdentityTokenRejected,
    BadUserAccessDenied,
    BadUserSignatureInvalid,
)

from node.roles import Role
from node.server.security.certificate import Identity
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving, site_node, until

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

STATE = ua.ObjectIds.Server_ServerStatus_State


@pytest.fixture(scope="module")
def keys(tmp_path_factory: pytest.TempPathFactory) -> Keys:
    return Keys(tmp_path_factory.mktemp("keys"))


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory, keys: Keys) -> AsyncIterator[Stage]:
    """A server whose operator bob may log in with a certificate, too."""
    async with serving(tmp_path_factory.mktemp("users"), keys) as stage:
        own = keys.of("bob")
        stage.users.add_certificate("bob", own.certificate.thumbprint)
        stage.pki.user_trust.add(own.certificate.der)
        yield stage


async def log_in(stage: Stage, key: str, policy: Any = SecurityPolicyBasic256Sha256, **changes: Any) -> Client:
    """Log in with a certificate; `changes` make it wrong. The client is connected afterwards."""
    client = await stage.client(None, policy=policy).secured()
    await client.connect_sessionless()
    try:
        own, signing = stage.keys.of(key), stage.keys.of(changes.get("signed_by", key))
        await client.load_client_certificate(str(own.certificate_path))
        await client.load_private_key(str(signing.key_path))
        await client.create_session()
        policy_id = changes.get("policy_id", "certificate_" + policy.URI.rpartition("#")[2].lower())
        token = ua.X509IdentityToken(policy_id, changes.get("certificate", own.certificate.der))
        nonce = changes.get("nonce", client._server_nonce)
        data = stage.pki.show().certificate.der
        signature, algorithm = security_policies.sign_asymmetric(
            client.user_private_key, data + nonce, changes.get("algorithm", policy).URI
        )
        parameters = ua.ActivateSessionParameters(UserIdentityToken=token)
        parameters.UserTokenSignature = ua.SignatureData(algorithm, changes.get("signature", signature))
        own_data = data + client._server_nonce
        parameters.ClientSignature.Signature = client.security_policy.asymmetric_cryptography.signature(own_data)
        parameters.ClientSignature.Algorithm = client.security_policy.AsymmetricSignatureURI
        await client.uaclient.activate_session(parameters)
    except BaseException:
        await client.disconnect_sessionless()
        raise
    return client


# --- users with a certificate


@pytest.mark.parametrize(
    "policy",
    [SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss],
    ids=lambda policy: policy.__name__.removeprefix("SecurityPolicy"),
)
async def test_user_logs_in_with_a_certificate_and_has_its_role(stage: Stage, policy: Any) -> None:
    client = await log_in(stage, "bob", policy)
    stage.desk.calls.clear()
    node = client.get_node(site_node("xw1"))
    await node.call_method(site_node("xw1.StartSell"))
    assert [(caller.user, caller.role) for *_, caller in stage.desk.calls] == [("bob", Role.OPERATOR)]
    await client.disconnect_sessionless()


async def test_certificate_is_offered_where_a_channel_protects_it(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.open()
    for endpoint in (await raw.ask(ua.GetEndpointsRequest())).Endpoints:
        (policy,) = [t for t in endpoint.UserIdentityTokens if t.TokenType == ua.UserTokenType.Certificate]
        assert policy.SecurityPolicyUri == endpoint.SecurityPolicyUri
    await raw.close()


@pytest.mark.parametrize(
    ("changes", "error"),
    [
        ({"signed_by": "client"}, BadUserSignatureInvalid),  # somebody who knows the certificate
        ({"nonce": b"x" * 32}, BadUserSignatureInvalid),  # recorded in another session
        ({"signature": b""}, BadUserSignatureInvalid),
        ({"signature": None}, BadUserSignatureInvalid),
        ({"algorithm": SecurityPolicyAes256Sha256RsaPss}, BadUserSignatureInvalid),  # of another policy
        ({"policy_id": "username_basic256sha256"}, BadIdentityTokenInvalid),
        ({"policy_id": "certificate_aes256_sha256_rsapss"}, BadIdentityTokenInvalid),
        ({"certificate": b""}, BadIdentityTokenInvalid),
        ({"certificate": b"\x30\x82\xff\xff"}, BadIdentityTokenInvalid),
    ],
)
async def test_certificate_is_worth_nothing_without_its_key_here_and_now(
    stage: Stage, changes: dict[str, Any], error: type[Exception]
) -> None:
    with pytest.raises(error):
        await log_in(stage, "bob", **changes)
    refused = [entry.certificate.der for entry in stage.pki.user_trust.rejected()]
    assert stage.keys.of("bob").certificate.der not in refused


async def test_trusted_application_is_no_user(stage: Stage) -> None:
    with pytest.raises(BadIdentityTokenRejected):
        await log_in(stage, "client")


async def test_unknown_user_certificate_is_kept_for_the_operator(
    keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, keys) as stage:
        for _ in range(2):
            with pytest.raises(BadIdentityTokenRejected):
                await log_in(stage, "visitor")
        (entry,) = stage.pki.user_trust.rejected()
        assert entry.certificate.der == keys.of("visitor").certificate.der
        told = [record.getMessage() for record in caplog.records if record.name.startswith("node.server")]
        told = [line for line in told if "CN=visitor" in line]
        assert len(told) == 1
        assert f"gridnode user cert NAME {entry.path}" in told[0]
        stage.pki.user_trust.accept(entry.certificate.thumbprint)
        # Trusted, and still nobody.
        with pytest.raises(BadUserAccessDenied):
            await log_in(stage, "visitor")


async def test_certificate_of_a_user_is_refused_without_security(keys: Keys, tmp_path: Path) -> None:
    config = ServerConfig(listen=Listen("127.0.0.1", 0), allow_none=True, allow_anonymous=True)
    async with serving(tmp_path, keys, config) as stage:
        raw = await RawClient.connect(stage.server.port)
        await raw.open()
        token = (await raw.ask(ua.CreateSessionRequest())).Parameters.AuthenticationToken
        request = ua.ActivateSessionRequest()
        request.Parameters.UserIdentityToken = ua.X509IdentityToken("anonymous", keys.of("bob").certificate.der)
        assert await raw.fault(request, token) == "BadIdentityTokenRejected"
        await raw.close()


# --- changes while clients are connected


async def ended(client: Client) -> str:
    """Name of the status that a client gets whose session or channel the server ends."""
    for _ in range(100):
        try:
            await client.get_node(STATE).read_value()
        except ua.UaError as error:
            return type(error).__name__
        except (TimeoutError, ConnectionError):
            return "closed"
        await asyncio.sleep(0.1)
    raise TimeoutError("it goes on")


async def leave(client: Client) -> None:
    with suppress(ua.UaError, ConnectionError, asyncio.TimeoutError):
        await client.disconnect_sessionless()


async def test_revoked_application_loses_its_channel_and_the_others_go_on(stage: Stage, keys: Keys) -> None:
    own = keys.of("former")
    stage.pki.trust.add(own.certificate.der)
    former = await stage.client(key="former").secured()
    await former.connect()
    async with stage.client("eve") as other:
        stage.pki.trust.revoke(own.certificate.thumbprint)
        assert await ended(former)
        assert await other.get_node(STATE).read_value() == 0
    await until(lambda: all(session.client_certificate != own.certificate.der for session in table(stage)))
    await leave(former)


def table(stage: Stage) -> tuple[Any, ...]:
    return stage.server._sessions.all()


async def test_sessions_of_a_removed_user_end(stage: Stage) -> None:
    stage.users.add("tim", "tims-password", Role.OBSERVER)
    client = await stage.client("tim", password="tims-password").secured()
    await client.connect()
    async with stage.client("eve") as other:
        stage.users.remove("tim")
        assert await ended(client) == "BadSessionIdInvalid"
        assert await other.get_node(STATE).read_value() == 0
    await leave(client)


async def test_session_ends_with_the_certificate_of_its_user(stage: Stage, keys: Keys) -> None:
    own = keys.of("eve")
    stage.users.add_certificate("eve", own.certificate.thumbprint)
    stage.pki.user_trust.add(own.certificate.der)
    async with stage.client("eve") as by_password:
        client = await log_in(stage, "eve")
        stage.pki.user_trust.revoke(own.certificate.thumbprint)
        assert await ended(client) == "BadSessionIdInvalid"
        await leave(client)
        stage.pki.user_trust.accept(own.certificate.thumbprint)
        client = await log_in(stage, "eve")
        stage.users.clear_certificates("eve")
        assert await ended(client) == "BadSessionIdInvalid"
        await leave(client)
        assert await by_password.get_node(STATE).read_value() == 0


async def test_renewed_certificate_is_for_new_channels(keys: Keys, tmp_path: Path) -> None:
    async with serving(tmp_path, keys) as stage:
        before = stage.pki.show().certificate
        async with stage.client() as old:
            identity = Identity("urn:test:server", ("localhost", "127.0.0.1"), common_name="server")
            renewed = stage.pki.renew(identity, with_new_key=True).certificate
            assert renewed.der != before.der
            await until(lambda: stage.server.endpoints.certificate == renewed.der)
            # The client with the pinned old one goes on, renews its keys, and makes sessions as before.
            assert await old.get_node(STATE).read_value() == 0
            await old.open_secure_channel(renew=True)
            assert await old.get_node(STATE).read_value() == 0
            async with stage.client("eve") as new:
                assert await new.get_node(STATE).read_value() == 0
            raw = await RawClient.connect(stage.server.port)
            await raw.open()
            (shown,) = {each.ServerCertificate for each in (await raw.ask(ua.GetEndpointsRequest())).Endpoints}
            assert shown == renewed.der
            await raw.close()


async def test_own_certificate_that_cannot_be_used_changes_nothing(
    keys: Keys, tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    async with serving(tmp_path, keys) as stage:
        kept = stage.pki.certificate_path.read_bytes()
        stage.pki.certificate_path.write_bytes(keys.of("bob").certificate.der)
        await until(lambda: any("stays in use" in record.getMessage() for record in caplog.records))
        assert stage.server.endpoints.certificate == kept
        stage.pki.certificate_path.write_bytes(kept)
        async with stage.client() as client:
            assert await client.get_node(STATE).read_value() == 0


# --- passwords


async def test_password_of_another_key_or_length_is_refused_alike(stage: Stage) -> None:
    client = await stage.client().secured()
    await client.connect_sessionless()
    await client.create_session()
    data = stage.pki.show().certificate.der + client._server_nonce
    statuses = set()
    for secret in (b"\0" * 256, b"\xff" * 255, b"\1" * 4097, struct.pack("<I", 2**31) * 64):
        token = ua.UserNameIdentityToken("username_basic256sha256", "ann", secret, "rsa-oaep")
        parameters = ua.ActivateSessionParameters(UserIdentityToken=token)
        parameters.ClientSignature.Signature = client.security_policy.asymmetric_cryptography.signature(data)
        with pytest.raises(BadIdentityTokenInvalid) as caught:
            await client.uaclient.activate_session(parameters)
        statuses.add(str(caught.value))
    assert len(statuses) == 1
    await client.disconnect_sessionless()
