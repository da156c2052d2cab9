"""What the server says about itself before anybody logs in: endpoints and applications (OPC 10000-4 section 5.4)."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final
from urllib.parse import urlsplit

from asyncua import ua

from node.server.security.host_names import address_of, normal_name
from node.server.security.policies import NO_SECURITY, NONE_URI, SECURE_OFFERS, Offer

PRODUCT_URI: Final = "urn:gridnode"
_TRANSPORT: Final = "http://opcfoundation.org/UA-Profile/Transport/uatcp-uasc-uabinary"
ANONYMOUS_POLICY_ID: Final = "anonymous"


def user_name_policy_id(offer: Offer) -> str:
    """PolicyId of the user name token on an endpoint: it names the policy that encrypts the password."""
    return "username_" + offer.uri.rpartition("#")[2].lower()


def certificate_policy_id(offer: Offer) -> str:
    """PolicyId of the X.509 token on an endpoint: it names the policy whose algorithm the user signs with."""
    return "certificate_" + offer.uri.rpartition("#")[2].lower()


@dataclass(slots=True)
class Endpoints:
    """The endpoints of one server."""

    application_uri: str
    application_name: str
    certificate: bytes  # DER with the CAs above it, as a client shall get it; replaced when it is renewed
    names: tuple[str, ...]  # host names and addresses of this machine, the preferred one first
    port: int
    allow_none: bool
    allow_anonymous: bool

    @property
    def offers(self) -> tuple[Offer, ...]:
        """What a session can be made on, strongest first."""
        return (*SECURE_OFFERS, NO_SECURITY) if self.allow_none else SECURE_OFFERS

    def url(self, asked: str | None) -> str:
        """The server's URL with the host that the client used, if it is one of ours, else with the first name.

        Behind NAT the client knows the way to us better than we do, so its port is kept with its host.
        """
        host, port = _host_and_port(asked or "")
        if host is None or host not in self.names:
            host, port = self.names[0], self.port
        address = address_of(host)
        shown = f"[{host}]" if address is not None and address.version == 6 else host
        return f"opc.tcp://{shown}:{port or self.port}"

    def is_ours(self, asked: str) -> bool:
        """Whether a URL has one of the server's names for its host."""
        host, _port = _host_and_port(asked)
        return host in self.names

    def application(self, asked: str | None) -> ua.ApplicationDescription:
        """The server as FindServers shows it."""
        return ua.ApplicationDescription(
            ApplicationUri=_text(self.application_uri),
            ProductUri=_text(PRODUCT_URI),
            ApplicationName=ua.LocalizedText(_text(self.application_name), _text("en")),
            ApplicationType=ua.ApplicationType.Server,
            DiscoveryUrls=[_text(self.url(asked))],
        )

    def describe(
        self, asked: str | None, profiles: Sequence[str] = (), certificate: bytes | None = None
    ) -> list[ua.EndpointDescription]:
        """All endpoints, strongest first; `asked` is the URL that the client used.

        `certificate` is that of a channel which was opened before the renewal.
        """
        if profiles and _TRANSPORT not in profiles:
            return []
        url, application = _text(self.url(asked)), self.application(asked)
        return [
            ua.EndpointDescription(
                EndpointUrl=url,
                Server=application,
                ServerCertificate=certificate or self.certificate,
                SecurityMode=offer.mode,
                SecurityPolicyUri=_text(offer.uri),
                UserIdentityTokens=self.tokens(offer),
                TransportProfileUri=_text(_TRANSPORT),
                SecurityLevel=ua.Byte(offer.level),
            )
            for offer in self.offers
        ]

    def tokens(self, offer: Offer) -> list[ua.UserTokenPolicy]:
        """How a user may log in on an endpoint: with a name or a certificate only where nobody can take over."""
        tokens: list[ua.UserTokenPolicy] = []
        if offer.secure:
            tokens.append(
                ua.UserTokenPolicy(
                    PolicyId=_text(user_name_policy_id(offer)),
                    TokenType=ua.UserTokenType.UserName,
                    SecurityPolicyUri=_text(offer.uri),
                )
            )
            tokens.append(
                ua.UserTokenPolicy(
                    PolicyId=_text(certificate_policy_id(offer)),
                    TokenType=ua.UserTokenType.Certificate,
                    SecurityPolicyUri=_text(offer.uri),
                )
            )
        if self.allow_anonymous:
            tokens.append(
                ua.UserTokenPolicy(
                    PolicyId=_text(ANONYMOUS_POLICY_ID),
                    TokenType=ua.UserTokenType.Anonymous,
                    SecurityPolicyUri=_text(NONE_URI),
                )
            )
        return tokens


def _text(text: str) -> Any:
    # asyncua's annotations want its own string type; the codec wants a str.
    return text


def _host_and_port(url: str) -> tuple[str | None, int | None]:
    try:
        parts = urlsplit(url)
        host, port = parts.hostname, parts.port
        return (normal_name(host) if host else None), port
    except ValueError:
        return None, None
