"""The OPC UA server as a client meets it: endpoints, channels, faults of ours, and its end."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest
import pytest_asyncio
from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)

from address_space.model import CommandResult
from address_space.nodes import NodeMap
from node.server.compat import HardCryptography, SecureChannel
from node.server.limits import Limits
from node.server.transport.wire import Reader
from node.site import Listen, ServerConfig
from tests.e2e.raw_client import RawClient
from tests.e2e.server_stage import Keys, Stage, serving, site_node, until
from tests.e2e.test_server_commands import call

pytestmark = [pytest.mark.e2e, pytest.mark.asyncio(loop_scope="module")]

SIGN = ua.MessageSecurityMode.Sign
ENCRYPT = ua.MessageSecurityMode.SignAndEncrypt
VALUE = ua.AttributeIds.Value


@pytest_asyncio.fixture(scope="module", loop_scope="module")
async def stage(tmp_path_factory: pytest.TempPathFactory) -> AsyncIterator[Stage]:
    keys = Keys(tmp_path_factory.mktemp("keys"))
    config = ServerConfig(listen=Listen("127.0.0.1", 0), names=("gateway.example",))
    async with serving(tmp_path_factory.mktemp("server"), keys, config) as stage:
        yield stage


@pytest_asyncio.fixture(loop_scope="module")
async def client(stage: Stage) -> AsyncIterator[Client]:
    """An Engineer."""
    async with stage.client("eve") as client:
        yield client


@pytest.fixture(autouse=True)
def fresh_desk(stage: Stage) -> None:
    stage.desk.begin_anew()


async def test_endpoints_are_the_same_list_strongest_first(stage: Stage) -> None:
    client = await stage.client().secured()
    await client.connect_sessionless()
    try:
        listed = await client.get_endpoints()
        created = (await client.create_session()).ServerEndpoints
    finally:
        await client.disconnect_sessionless()
    assert listed == created
    assert [(each.SecurityPolicyUri.rpartition("#")[2], each.SecurityMode.name) for each in listed] == [
        ("Aes256_Sha256_RsaPss", "SignAndEncrypt"),
        ("Basic256Sha256", "SignAndEncrypt"),
        ("Aes128_Sha256_RsaOaep", "SignAndEncrypt"),
        ("Aes256_Sha256_RsaPss", "Sign"),
        ("Basic256Sha256", "Sign"),
        ("Aes128_Sha256_RsaOaep", "Sign"),
    ]
    levels = [each.SecurityLevel for each in listed]
    assert levels == sorted(levels, reverse=True)
    # A password is encrypted with the certificate whatever the mode.
    assert all(
        token.SecurityPolicyUri == each.SecurityPolicyUri for each in listed for token in each.UserIdentityTokens
    )


@pytest.mark.parametrize(
    ("asked", "shown"),
    [
        ("opc.tcp://127.0.0.1:{port}", "opc.tcp://127.0.0.1:{port}"),
        ("opc.tcp://LocalHost:{port}/path", "opc.tcp://localhost:{port}"),
        ("opc.tcp://gateway.example:14840", "opc.tcp://gateway.example:14840"),  # a forwarded port
        ("opc.tcp://evil.example:4840", "opc.tcp://gateway.example:{port}"),
        ("opc.tcp://0.0.0.0:{port}", "opc.tcp://gateway.example:{port}"),
        ("", "opc.tcp://gateway.example:{port}"),
        ("opc.tcp://[::", "opc.tcp://gateway.example:{port}"),
    ],
)
async def test_endpoints_have_the_host_that_the_client_used_if_it_is_ours(stage: Stage, asked: str, shown: str) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.open()
    request = ua.GetEndpointsRequest()
    request.Parameters.EndpointUrl = asked.format(port=stage.server.port)
    response = await raw.ask(request)
    assert {each.EndpointUrl for each in response.Endpoints} == {shown.format(port=stage.server.port)}
    await raw.close()


@pytest.mark.parametrize("mode", [SIGN, ENCRYPT])
@pytest.mark.parametrize(
    "policy", [SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep, SecurityPolicyAes256Sha256RsaPss]
)
async def test_policies_and_modes(stage: Stage, policy: Any, mode: ua.MessageSecurityMode) -> None:
    async with stage.client(policy=policy, mode=mode) as client:
        assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0


async def test_channel_is_renewed(client: Client) -> None:
    node = client.get_node(ua.ObjectIds.Server_ServerStatus_State)
    for _ in range(3):
        await client.open_secure_channel(renew=True)
        assert await node.read_value() == 0


async def test_channel_is_renewed_twice_in_silence(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.open()
    tokens = [raw.token]
    for _ in range(2):
        await raw.ask_channel(ua.SecurityTokenRequestType.Renew)
        tokens.append(raw.token)
    assert len(set(tokens)) == 3
    raw.token = tokens[1]  # said before the client knew of the newest
    assert (await raw.ask(ua.GetEndpointsRequest())).Endpoints
    raw.token = tokens[2]
    assert (await raw.ask(ua.GetEndpointsRequest())).Endpoints
    await raw.close()


async def test_silent_client_with_keys_renews_them(client: Client) -> None:
    for _ in range(3):
        await client.open_secure_channel(renew=True)
    assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0


async def test_channel_ends_with_its_token(tmp_path: Path, stage: Stage) -> None:
    limits = Limits(token_min_s=0.1, token_max_s=0.1)
    async with serving(tmp_path, stage.keys, limits=limits) as short:
        raw = await RawClient.connect(short.server.port)
        await raw.open()
        await asyncio.sleep(0.2)
        await raw.send(raw.frame(b"MSG", b"\0" * 40))
        assert await raw.refused() == ua.StatusCodes.BadSecureChannelTokenUnknown
        await raw.close()


async def test_client_that_takes_little_gets_little(stage: Stage) -> None:
    raw = await RawClient.connect(stage.server.port)
    await raw.hello(MaxMessageSize=1000)
    await raw.close()
    raw = await RawClient.connect(stage.server.port)
    assert (await raw.hello(ReceiveBufferSize=100)).error == ua.StatusCodes.BadTcpNotEnoughResources
    await raw.close()


async def test_fault_of_ours_ends_neither_server_nor_session(
    stage: Stage, client: Client, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    async def fail(*_: object) -> CommandResult:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(stage.desk, "call", fail)
    with pytest.raises(ua.uaerrors.BadInternalError):
        await call(client, "xw1", site_node("xw1.StartSell"))
    assert await client.get_node(ua.ObjectIds.Server_ServerStatus_State).read_value() == 0
    assert "a bug" in caplog.text


async def test_requests_pass_what_we_put_in_place_of_the_librarys(
    stage: Stage, monkeypatch: pytest.MonkeyPatch
) -> None:
    passed: list[str] = []

    def spy(owner: Any, name: str) -> None:
        real = getattr(owner, name)

        def watched(*arguments: Any, **named: Any) -> Any:
            passed.append(name)
            return real(*arguments, **named)

        monkeypatch.setattr(owner, name, watched)

    for name in ("select_policy", "open", "take", "unpack_one", "pack_one"):
        spy(SecureChannel, name)
    for name in ("verify", "signature", "remove_padding"):
        spy(HardCryptography, name)
    for name in ("read", "copy"):
        spy(Reader, name)
    spy(NodeMap, "get")
    async with stage.client("bob") as client:
        await client.get_node(site_node("xw1.ac_power")).read_browse_name()
    assert set(passed) == {
        *("select_policy", "open", "take", "unpack_one", "pack_one"),
        *("verify", "signature", "remove_padding"),
        *("read", "copy", "get"),
    }


async def test_stop_leaves_nothing(tmp_path: Path, stage: Stage) -> None:
    async with serving(tmp_path, stage.keys) as short:
        client = await short.client("bob").secured()
        await client.connect()
        short.desk.may_answer.clear()
        slow = asyncio.ensure_future(call(client, "xw1", site_node("xw1.StartSell")))
        await until(lambda: bool(short.desk.calls))
        port = short.server.port
        await short.server.stop()
        with pytest.raises(ConnectionError):
            await RawClient.connect(port)
        await asyncio.gather(slow, return_exceptions=True)
        await client.disconnect()
