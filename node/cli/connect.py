"""From the options of a client command to a session: where the node is, that it is the right one, who we are."""

from __future__ import annotations

import asyncio
import logging
import os
import sys
from collections.abc import AsyncIterator, Coroutine
from contextlib import AbstractAsyncContextManager, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Annotated, Any

import typer

from node.cli.options import RAN_LAST, check_owner, explained, fail, load_named, password, site_words
from node.client import Login, NodeClient, Offer, connected, offer
from node.client_reading import ClientError, NodeGone
from node.clock import RealClock
from node.identity import CLIENT, client_identity, own_folder, site_pki
from node.logs import configure
from node.roles import Role
from node.server.security.certificate import read_certificate
from node.server.security.pki import OwnCertificate, Pki
from node.server.security.users import User, UsersFileError, UserStore
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
    """Run a client command; what it cannot do is said, Ctrl-C and a reader that has enough end it."""
    try:
        with explained():
            asyncio.run(work)
    except ReaderGone:
        # What is still in the buffer has nobody to go to; Python would complain at its end.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    except ClientError as error:
        fail(str(error))
    except KeyboardInterrupt:
        raise typer.Exit(130) from None


class ReaderGone(Exception):  # it names a state of affairs, as PortTaken does
    """Whoever read our lines has enough of them: `gridnode watch | head`."""


def put(line: str) -> None:
    """Print a line at once. Raises ReaderGone."""
    try:
        print(line, flush=True)
    except BrokenPipeError as error:
        raise ReaderGone from error


class Access:
    """The node that the options name. A password is asked for once, however many sessions there are."""

    def __init__(self, where: Where) -> None:
        """Find the site, if it is one of this machine, and end where our key would bar its node. Raises ConfigError."""
        configure(LoggingConfig(level="WARNING"))
        # Whatever the library says of refused logins and lost connections, we say in words that help.
        logging.getLogger("asyncua").setLevel(logging.CRITICAL + 1)
        self._where = where
        self._site = load_named(where.site) if where.url is None else None
        if self._site is not None:
            check_owner(self._site.state)
            check_owner(self._site.pki)
        self._login: Login | None = None
        self.url = where.url or local_url(self._site)

    @asynccontextmanager
    async def session(self) -> AsyncIterator[NodeClient]:
        """A session on the node. Raises ClientError, and what `explained` explains."""
        where = self._where
        try:
            found = await offer(self.url)
        except NodeGone as error:
            if self._site is None or where.site is not None:
                raise
            raise NodeGone(f"{error}; this node is that of {self._site.path}, {RAN_LAST}") from error
        if self._login is None and (where.user is not None or where.must_log_in or not found.anonymous):
            user = where.user if where.user is not None else _ask_user(self._site)
            self._login = Login(user, password(where.password_file, user, new=False))
        own = None if found.open and self._login is None else _certificate(self._site, found)
        async with connected(found, self._login, own) as client:
            yield client


def session(where: Where) -> AbstractAsyncContextManager[NodeClient]:
    """One session on the node that the options name. Raises ClientError, and what `explained` explains."""
    return Access(where).session()


def local_url(site: Site | None) -> str:
    """Where this machine reaches the node of a site."""
    if site is None:
        raise ValueError("the caller gives a site or a URL")
    host = site.server.listen.host
    host = {"0.0.0.0": "127.0.0.1", "::": "::1"}.get(host, host)  # noqa: S104  # a bind to all is reached on loopback
    return f"opc.tcp://{f'[{host}]' if ':' in host else host}:{site.server.listen.port}"


def _ask_user(site: Site | None) -> str:
    known = _users(site)
    if not sys.stdin.isatty():
        names = ", ".join(f"{user.name} ({user.role.label})" for user in known)
        if site is None:
            has = "`gridnode user list` on its machine shows who there is"
        elif any(user.role is Role.OPERATOR for user in known):
            has = f"it knows {names}"
        else:
            has = f"an Operator is made by: gridnode user add operator --role Operator{site_words(site)}"
        fail(
            "you need a user here, for commands with the role Operator or higher, and there is no terminal to ask: "
            "give --user NAME and --password-file FILE, or set GRIDNODE_USER and GRIDNODE_PASSWORD; " + has
        )
    likely = next((user.name for user in known), "")
    shown = f" [{likely}]" if likely else ""
    name = input(f"User{shown}: ").strip() or likely
    return name or fail("without a user nothing can be done here")


def _users(site: Site | None) -> tuple[User, ...]:
    """Users of a site of this machine who may command, the least mighty first; none when that cannot be read."""
    if site is None:
        return ()
    try:
        users = UserStore(site.users_file).list()
    except UsersFileError:  # it belongs to the node's own user
        return ()
    return tuple(
        sorted((user for user in users if user.role >= Role.OPERATOR), key=lambda user: (user.role, user.name))
    )


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
