"""From the options of a client command to a session: where the node is, that it is the right one, who we are."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.options import explained, fail, password, site_path
from node.client import ClientError, Login, NodeClient, Offer, connected, offer
from node.clock import RealClock
from node.config import load_site
from node.identity import CLIENT, client_identity, own_folder, site_pki
from node.logs import configure
from node.server.certificate import read_certificate
from node.server.pki import OwnCertificate, Pki
from node.site import LoggingConfig, Site

UrlOption = Annotated[
    str | None,
    typer.Option("--url", help="Node anywhere: opc.tcp://host:4840.", show_default=False),
]
UserOption = Annotated[
    str | None,
    typer.Option("--user", envvar="GRIDNODE_USER", help="User to log in as.", show_default=False),
]


@dataclass(frozen=True, slots=True)
class Where:
    """The options of a client command."""

    site: Path | None
    url: str | None
    user: str | None
    password_file: Path | None
    must_log_in: bool = False  # anonymous clients may not do what is wanted


def run_client(work: Coroutine[Any, Any, None]) -> None:
    """Run a client command; what it cannot do is said, Ctrl-C ends it."""
    try:
        with explained():
            asyncio.run(work)
    except ClientError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


@asynccontextmanager
async def session(where: Where) -> AsyncIterator[NodeClient]:
    """A session on the node that the options name. Raises ClientError, and what `explained` explains."""
    configure(LoggingConfig(level="WARNING"))
    # Whatever the library says of refused logins and lost connections, we say in words that help.
    logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
    site = load_site(site_path(where.site)) if where.url is None else None
    found = await offer(where.url or local_url(site))
    user = where.user
    if user is None and where.must_log_in:
        user = _ask_user()
    own: OwnCertificate | None = None
    if user is not None or not found.open:
        own = _certificate(site, found)
    login = None if user is None else Login(user, password(where.password_file, user, new=False))
    async with connected(found, login, own) as client:
        yield client


def local_url(site: Site | None) -> str:
    """Where this machine reaches the node of a site."""
    if site is None:
        raise ValueError("the caller gives a site or a URL")
    host = site.server.listen.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # a bind to all is reached on loopback
    return f"opc.tcp://{f'[{host}]' if ':' in host else host}:{site.server.listen.port}"


def _ask_user() -> str:
    if not sys.stdin.isatty():
        fail("commands need a user: --user NAME, and its password by --password-file or GRIDNODE_PASSWORD")
    return input("User: ").strip()


def _certificate(site: Site | None, found: Offer) -> OwnCertificate:
    """Our certificate for this node, after making sure that the node is the one that it says it is."""
    if not found.certificate:
        raise ClientError(f"{found.url} offers no encryption, and a password is never sent in clear")
    if site is not None:
        pki = site_pki(site, RealClock())
        if pki.show().certificate.der != found.certificate:
            raise ClientError(
                f"{found.url} does not show the certificate of {site.path}: another program listens there, or the node "
                "has to be restarted after a renewal"
            )
        return pki.ensure_client(CLIENT, client_identity())
    pki = Pki(own_folder() / CLIENT, RealClock())
    own = pki.ensure_own(client_identity())
    verdict = pki.trust.validate(found.certificate, found.application_uri)
    if not verdict.ok:
        _ask_trust(pki, found, verdict.reason)
    return own


def _ask_trust(pki: Pki, found: Offer, reason: str) -> None:
    """Whoever logs in sends a password: the node's certificate is accepted by a person, once."""
    certificate = read_certificate(found.certificate)
    shown = f"{found.url} is not known here: {reason}\nIts thumbprint is {certificate.thumbprint}"
    given = os.environ.get("GRIDNODE_SERVER_THUMBPRINT", "").upper()
    if given != certificate.thumbprint:
        if given or not sys.stdin.isatty():
            fail(f"{shown}; compare it with `gridnode cert show` there and set GRIDNODE_SERVER_THUMBPRINT to it")
        print(f"{shown}\nCompare it with `gridnode cert show` on the node's machine.")
        if not typer.confirm("Is it the same?"):
            fail("nothing was sent")
    pki.trust.add(found.certificate)
