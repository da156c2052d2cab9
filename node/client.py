"""The OPC UA client that `watch`, `call` and `history` use: any running node, over the wire like everybody else.

Points are named as the node names them, `xw1.ac_power`; the NodeIds behind that stay in here.
"""

from __future__ import annotations

import asyncio
import contextlib
import re
import socket
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Any, Final
from urllib.parse import urlsplit

from asyncua import Client, ua
from asyncua.crypto.security_policies import (
    SecurityPolicyAes128Sha256RsaOaep,
    SecurityPolicyAes256Sha256RsaPss,
    SecurityPolicyBasic256Sha256,
)

from address_space.model import Outcome, Value
from address_space.system import SYSTEM_POINTS
from node.client_history import HistoryReads
from node.client_reading import ClientError, NodeGone, Reading, code_of, reading_of, status_text
from node.server.security.certificate import split_chain
from node.server.security.pki import OwnCertificate

REQUEST_S: Final = 10.0
# A command answers within the site's `answer_within`, which is rarely longer than this.
CALL_S: Final = 60.0
_CHUNK: Final = 500  # nodes in one Read or CreateMonitoredItems
_DI_URI: Final = "http://opcfoundation.org/UA/DI/"
_DEVICE_SET: Final = 5001  # OPC 10000-100 annex A
_SITE_URI: Final = "urn:gridnode:site:"
_SITE_OBJECT: Final = "_site"  # the folders of a site begin with this and a dot
_OTHERS: Final = ("_site.Buses", "_site.Sinks")  # folders of what has points and is no device
_POLICIES: Final = (SecurityPolicyAes256Sha256RsaPss, SecurityPolicyBasic256Sha256, SecurityPolicyAes128Sha256RsaOaep)
_NOT_TRUSTED: Final = ("BadSecurityChecksFailed", "BadCertificateUntrusted", "BadCertificateUseNotAllowed")
# What a node says that stops, or whose connection broke while it was asked.
_GONE: Final = (
    "BadConnectionClosed",
    "BadSecureChannelClosed",
    "BadServerHalted",
    "BadShutdown",
    "BadTimeout",
    "BadRequestTimeout",
)
# How a node writes the codes of an input (`argument_description` of address_space/methods.py).
_CODES: Final = re.compile(r"Codes: (.+)\.$")
_CODE: Final = re.compile(r"(-?\d+) (.+)")
_OWN: Final = frozenset(point.id for point in SYSTEM_POINTS)  # the node's points about each device
_WRONG_USER: Final = ("BadUserAccessDenied", "BadIdentityTokenRejected", "BadIdentityTokenInvalid")


@dataclass(frozen=True, slots=True)
class Login:
    """A user and a password."""

    user: str
    password: str = field(repr=False)


@dataclass(frozen=True, slots=True)
class Offer:
    """What a node says about itself before anybody logs in."""

    url: str
    application_uri: str
    certificate: bytes = field(repr=False)  # DER, without CAs; empty when it has none
    encrypted: bool  # an encrypted endpoint can be had
    anonymous: bool  # it lets clients in without a user
    open: bool  # and without encryption, too


@dataclass(frozen=True, slots=True)
class RemotePoint:
    """A point of the node."""

    path: str
    label: str
    unit: str = ""
    texts: Mapping[int, str] = field(default_factory=dict)  # of a state or flag, by code


@dataclass(frozen=True, slots=True)
class CallAnswer:
    """How a command ended."""

    outcome: Outcome
    status: str  # the symbol of the call's status code
    observed: str
    elapsed_s: float
    reason: str


async def offer(url: str) -> Offer:
    """Ask a node what it offers; raises ClientError."""
    _check_url(url)
    with _explained(url, encrypted=False):
        endpoints = await Client(url, REQUEST_S).connect_and_get_server_endpoints()
    if not endpoints:
        raise ClientError(f"{url} offers no endpoint")
    certificate = next((e.ServerCertificate for e in endpoints if e.ServerCertificate), b"")
    anonymous = [e for e in endpoints if any(t.TokenType == ua.UserTokenType.Anonymous for t in e.UserIdentityTokens)]
    return Offer(
        url=url,
        application_uri=str(endpoints[0].Server.ApplicationUri or ""),
        certificate=bytes(split_chain(certificate)[0]) if certificate else b"",
        encrypted=any(_encrypts(e) for e in endpoints),
        anonymous=bool(anonymous),
        open=any(e.SecurityMode == ua.MessageSecurityMode.None_ for e in anonymous),
    )


@asynccontextmanager
async def connected(found: Offer, login: Login | None, own: OwnCertificate | None) -> AsyncIterator[NodeClient]:
    """A session on a node: encrypted with `own`, the command line's certificate, or open and anonymous without it.

    The caller has made sure that `found.certificate` is the node's. Raises ClientError.
    """
    client = Client(found.url, CALL_S)
    client.name = client.description = "gridnode command line"
    thumbprint = own.certificate.thumbprint if own is not None else ""
    with _explained(found.url, encrypted=own is not None, thumbprint=thumbprint, logs_in=login is not None):
        async with asyncio.timeout(2 * REQUEST_S):
            if own is not None:
                await _secure(client, found, own)
            if login is not None:
                client.set_user(login.user)
                client.set_password(login.password)
            await client.connect()
    lost = asyncio.Event()

    async def on_lost(_error: Exception) -> None:
        lost.set()

    client.connection_lost_callback = on_lost
    try:
        with _explained(found.url, encrypted=own is not None):
            yield NodeClient(client, await _namespaces(client, found.url), lost)
    finally:
        # The node may be gone already; then there is nothing to say goodbye to.
        with contextlib.suppress(OSError, TimeoutError, ua.UaError):
            await client.disconnect()


class NodeClient:
    """A session. All methods raise ClientError for a node that is gone or refuses, ua.UaError never."""

    def __init__(self, client: Client, namespaces: tuple[int, int], lost: asyncio.Event) -> None:
        self._client = client
        self._di, self._site = namespaces
        self.history = HistoryReads(client, self._id, self._could_be_recorded)
        self.lost = lost  # set when the connection broke

    # --- what there is

    async def devices(self) -> tuple[str, ...]:
        """Ids of all devices."""
        found = await self._children(ua.NodeId(ua.Int32(_DEVICE_SET), ua.Int16(self._di)), ua.NodeClass.Object)
        return tuple(device for device, _ in found)

    async def others(self) -> tuple[str, ...]:
        """Ids of what has points of its own beside the devices: buses, sinks and the node itself."""
        organizes, objects = ua.ObjectIds.Organizes, ua.NodeClass.Object
        top = [name for name, _ in await self._children(self._id(_SITE_OBJECT), objects, organizes)]
        found: list[str] = []
        for folder in _OTHERS:
            if folder in top:
                found += [name for name, _ in await self._children(self._id(folder), objects, organizes)]
        return (*found, *(name for name in top if not name.startswith(f"{_SITE_OBJECT}.")))

    async def points(self, device: str) -> tuple[tuple[str, str], ...]:
        """Path and label of each point of a device, in the order of its model."""
        return await self._children(self._id(f"{device}.ParameterSet"), ua.NodeClass.Variable)

    async def commands(self, device: str) -> tuple[str, ...]:
        """Names of a device's commands."""
        found = await self._children(self._id(f"{device}.MethodSet"), ua.NodeClass.Method)
        return tuple(path.rpartition(".")[2] for path, _ in found)

    async def readable(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of the points that have a value to be read; the others are write-only."""
        return await self._allowing(paths, ua.AccessLevel.CurrentRead)

    async def recorded(self, paths: Sequence[str]) -> frozenset[str]:
        """Those of the points that have a history."""
        return await self._allowing(paths, ua.AccessLevel.HistoryRead)

    async def _could_be_recorded(self, path: str) -> bool:
        """Whether the site file can have a point recorded: one of a device's profile that has a value."""
        device, _, point = path.partition(".")
        return point not in _OWN and device in await self.devices() and path in await self.readable([path])

    async def _allowing(self, paths: Sequence[str], access: ua.AccessLevel) -> frozenset[str]:
        levels = [value.Value for value in await self._read(paths, ua.AttributeIds.AccessLevel)]
        bit = 1 << access
        return frozenset(p for p, level in zip(paths, levels, strict=True) if level is not None and level.Value & bit)

    async def describe(self, points: Sequence[tuple[str, str]]) -> tuple[RemotePoint, ...]:
        """Units and texts of points."""
        names = ("EngineeringUnits", "EnumValues", "TrueState", "FalseState")
        values = await self._values([f"{path}.{name}" for path, _ in points for name in names])
        found: list[RemotePoint] = []
        for position, (path, label) in enumerate(points):
            unit, members, true, false = values[position * 4 : position * 4 + 4]
            texts = {int(member.Value): _plain(member.DisplayName) for member in members or ()}
            if true is not None and false is not None:
                texts = {0: _plain(false), 1: _plain(true)}
            found.append(RemotePoint(path, label, _plain(unit.DisplayName) if unit is not None else "", texts))
        return tuple(found)

    async def _children(
        self, parent: ua.NodeId, kind: ua.NodeClass, by: int = ua.ObjectIds.HasComponent
    ) -> tuple[tuple[str, str], ...]:
        node = self._client.get_node(parent)
        references = await node.get_references(by, ua.BrowseDirection.Forward, ua.NodeClass(kind))
        return tuple(
            (str(ref.NodeId.Identifier), _plain(ref.DisplayName))
            for ref in references
            if ref.NodeId.NamespaceIndex == self._site
        )

    # --- values

    async def read(self, paths: Sequence[str]) -> tuple[Reading, ...]:
        """Newest samples of points."""
        return tuple(reading_of(value) for value in await self._read(paths))

    async def watch(self, paths: Sequence[str], changed: Callable[[str, Reading], None], period_s: float) -> None:
        """Call `changed` for every new sample from now on; raises ClientError when the node has one of them not."""
        subscription = await self._client.create_subscription(period_s * 1000, _Handler(changed))
        for start in range(0, len(paths), _CHUNK):
            part = paths[start : start + _CHUNK]
            nodes = [self._client.get_node(self._id(path)) for path in part]
            results = await subscription.subscribe_data_change(nodes)
            for path, result in zip(part, results, strict=True):
                if isinstance(result, ua.StatusCode) and not result.is_good():
                    raise ClientError(f"{path} cannot be watched: {result.name}")

    async def _read(
        self, paths: Sequence[str], attribute: ua.AttributeIds = ua.AttributeIds.Value
    ) -> list[ua.DataValue]:
        found: list[ua.DataValue] = []
        for start in range(0, len(paths), _CHUNK):
            ids = [self._id(path) for path in paths[start : start + _CHUNK]]
            found += await self._client.uaclient.session.read_attributes(ids, attribute)
        return found

    async def _values(self, paths: Sequence[str]) -> list[Any]:
        """Plain values; None for what is not there."""
        return [
            value.Value.Value if value.Value is not None and code_of(value) & 0x8000_0000 == 0 else None
            for value in await self._read(paths)
        ]

    # --- commands

    async def call(self, device: str, command: str, words: Sequence[str]) -> CallAnswer:
        """Call a command with its inputs as words; raises ClientError when it does not exist or a word does not fit."""
        path = f"{device}.{command}"
        arguments, exists = await self._inputs(device, command)
        if not exists:
            raise ClientError(await self._no_command(device, command))
        if len(words) != len(arguments):
            wanted = ", ".join(str(one.Name) for one in arguments) or "none"
            raise ClientError(f"{path} needs {len(arguments)} inputs ({wanted}); {len(words)} were given")
        inputs = [await self._variant(word, one) for word, one in zip(words, arguments, strict=True)]
        request = ua.CallMethodRequest(self._id(device), self._id(path), inputs)
        (result,) = await self._client.uaclient.session.call([request])
        status = result.StatusCode.name
        outputs = [one.Value for one in result.OutputArguments or ()]
        if len(outputs) == 4:
            outcome, observed, elapsed_ms, reason = outputs
            return CallAnswer(Outcome(outcome), status, observed or "", (elapsed_ms or 0.0) / 1000, _plain(reason))
        return await self.last_command(device, command, status)

    async def _no_command(self, device: str, command: str) -> str:
        devices = await self.devices()
        if device not in devices:
            return f"there is no device {device!r}; there is {', '.join(devices)}"
        known = await self.commands(device)
        return f"{device} has no command {command!r}; it has {', '.join(known) if known else 'none'}"

    async def last_command(self, device: str, command: str, status: str) -> CallAnswer:
        """What the device's LastCommand variables say: the outcome of a call that was answered Bad."""
        names = ("name", "outcome", "observed", "elapsed", "reason")
        values = await self._values([f"{device}.last_command_{name}" for name in names])
        name, outcome, observed, elapsed_ms, reason = values
        if name != command or outcome is None:
            return CallAnswer(Outcome.REFUSED, status, "", 0.0, "")
        return CallAnswer(Outcome(outcome), status, observed or "", (elapsed_ms or 0.0) / 1000, reason or "")

    async def _inputs(self, device: str, command: str) -> tuple[Sequence[Any], bool]:
        node_class, inputs = await asyncio.gather(
            self._client.uaclient.session.read_attributes([self._id(f"{device}.{command}")], ua.AttributeIds.NodeClass),
            self._values([f"{device}.{command}.InputArguments"]),
        )
        found = node_class[0].Value
        return inputs[0] or (), found is not None and found.Value == ua.NodeClass.Method

    async def _variant(self, word: str, argument: Any) -> ua.Variant:
        """A word in the type that the command wants; a state may be given by its name."""
        kind: ua.NodeId = argument.DataType
        if kind.NamespaceIndex == 0 and isinstance(kind.Identifier, int) and kind.Identifier <= ua.VariantType.String:
            variant_type = ua.VariantType(kind.Identifier)
            names = _codes(_plain(argument.Description))
        else:
            variant_type = ua.VariantType.Int32  # enumerations travel as Int32 (OPC 10000-6 section 5.2.4)
            names = await self._names(kind)
        word = str(names.get(word.lower(), word))
        try:
            value = _parse(word, variant_type)
        except ValueError as error:
            means = _plain(argument.Description)
            raise ClientError(f"{argument.Name}: {word!r} is no {variant_type.name}; it is: {means}") from error
        return ua.Variant(value, variant_type)

    async def _names(self, enumeration: ua.NodeId) -> dict[str, int]:
        names: dict[str, int] = {}
        for child in await self._client.get_node(enumeration).get_properties():
            name = await child.read_browse_name()
            value = await child.read_value()
            if name.Name == "EnumValues":
                names |= {_plain(member.DisplayName).lower(): int(member.Value) for member in value}
            elif name.Name == "EnumStrings":
                names |= {_plain(text).lower(): code for code, text in enumerate(value)}
        return names

    def _id(self, path: str) -> ua.NodeId:
        return ua.NodeId(ua.String(path), ua.Int16(self._site))


class _Handler:
    """Passes samples on; asyncua calls these names."""

    def __init__(self, changed: Callable[[str, Reading], None]) -> None:
        self._changed = changed

    def datachange_notification(self, node: Any, _value: Any, data: Any) -> None:
        """One new sample."""
        self._changed(str(node.nodeid.Identifier), reading_of(data.monitored_item.Value))

    def status_change_notification(self, status: Any) -> None:
        """The subscription ended; the connection says so itself."""


def _codes(description: str) -> dict[str, int]:
    """Codes by name, in small letters, of an input that is described with them."""
    found = _CODES.search(description)
    entries = [_CODE.fullmatch(entry) for entry in found[1].split(", ")] if found is not None else []
    return {entry[2].lower(): int(entry[1]) for entry in entries if entry is not None}


def _check_url(url: str) -> None:
    try:
        parts = urlsplit(url)
        fits = parts.scheme == "opc.tcp" and parts.hostname and parts.port and not parts.username
    except ValueError:
        fits = False
    if not fits:
        raise ClientError(f"{url!r} is no URL of a node; write opc.tcp://host:4840")


def _encrypts(endpoint: Any) -> bool:
    return bool(endpoint.SecurityMode == ua.MessageSecurityMode.SignAndEncrypt)


async def _secure(client: Client, found: Offer, own: OwnCertificate) -> None:
    client.application_uri = own.application_uri
    endpoints = await Client(found.url, REQUEST_S).connect_and_get_server_endpoints()
    offered = {str(e.SecurityPolicyUri) for e in endpoints if _encrypts(e)}
    policy = next((each for each in _POLICIES if each.URI in offered), None)
    if policy is None:
        raise ClientError(f"{found.url} offers no encryption that is known here")
    await client.set_security(policy, own.certificate_path, own.key_path, server_certificate=found.certificate)


async def _namespaces(client: Client, url: str) -> tuple[int, int]:
    uris = await client.get_namespace_array()
    site = next((index for index, uri in enumerate(uris) if uri.startswith(_SITE_URI)), None)
    if site is None or _DI_URI not in uris:
        raise ClientError(f"{url} is an OPC UA server, but no gridnode")
    return uris.index(_DI_URI), site


def _plain(text: Any) -> str:
    return str(text.Text or "") if isinstance(text, ua.LocalizedText) else str(text or "")


def _parse(word: str, kind: ua.VariantType) -> Value:
    if kind is ua.VariantType.Boolean:
        known = {
            "true": True,
            "on": True,
            "1": True,
            "yes": True,
            "false": False,
            "off": False,
            "0": False,
            "no": False,
        }
        if word.lower() not in known:
            raise ValueError(word)
        return known[word.lower()]
    if kind in (ua.VariantType.Float, ua.VariantType.Double):
        return float(word)
    return word if kind is ua.VariantType.String else int(word, 0)


@contextlib.contextmanager
def _explained(url: str, *, encrypted: bool, thumbprint: str = "", logs_in: bool = False) -> Any:
    """Turn what the library and the network raise into sentences that help."""
    untrusted = (
        f"{url} does not trust this command line's certificate; on the node's machine: "
        f"gridnode trust accept {thumbprint or 'THUMBPRINT'}"
    )
    try:
        yield
    except ConnectionRefusedError as error:
        raise NodeGone(f"nobody listens on {url}; is the node running? (gridnode run SITE)") from error
    except socket.gaierror as error:
        raise NodeGone(f"the host of {url} is not known: {error.strerror}") from error
    except TimeoutError as error:
        raise NodeGone(f"{url} does not answer") from error
    except ua.UaStatusCodeError as error:
        name = status_text(error.code)
        if name in _WRONG_USER:
            raise ClientError(f"{url} refused the login ({name}): wrong user or password, or none given") from error
        if name == "BadTooManyOperations" and logs_in:
            text = f"{url} refused the login ({name}): too many tries; wait a few seconds, at most a minute"
            raise ClientError(text) from error
        if name in _NOT_TRUSTED and encrypted:
            raise ClientError(untrusted) from error
        if name in _GONE:
            raise NodeGone(f"the connection to {url} broke: {name}") from error
        raise ClientError(f"{url} refused: {name}") from error
    except OSError as error:
        if thumbprint:  # it closed the connection while the channel was being opened
            raise NodeGone(f"{url} closed the connection. If {untrusted}") from error
        raise NodeGone(f"the connection to {url} broke: {error.strerror or error}") from error
    except ua.UaError as error:
        raise ClientError(f"{url} answered what was not expected: {error}") from error
