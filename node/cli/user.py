"""`gridnode user`: who may log in, and in which role."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import (
    USAGE,
    PasswordFile,
    SiteOption,
    check_owner,
    check_writable,
    explained,
    fail,
    open_site,
    password,
)
from node.clock import RealClock
from node.identity import site_pki
from node.roles import Role, parse_role
from node.server.security.certificate import read_certificates
from node.server.security.users import UserStore, check_password

user = typer.Typer(no_args_is_help=True, help="Who may log in, and in which role.")

_MAX_BYTES = 1_048_576
Name = Annotated[str, typer.Argument(help="Name of the user.")]


@user.command("list")
def list_(site: SiteOption = None) -> None:
    """Show the users and their roles."""
    with explained():
        users = UserStore(open_site(site).users_file).list()
        for each in users:
            known = f"  ({len(each.certificates)} certificate)" if each.certificates else ""
            print(f"{each.role.label:9} {each.name}{known}")
        if not users:
            print("no users yet; the first start of the node makes `admin`")


@user.command()
def add(
    name: Name,
    role: Annotated[str, typer.Option(help="Observer, Operator, Engineer or Admin.")],
    site: SiteOption = None,
    password_file: PasswordFile = None,
) -> None:
    """Add a user; a running node knows it at once."""
    with explained():
        wanted = _role(role)
        store = _writable(site)
        word = password(password_file, name, new=True)
        check_password(name, word)
        added = store.add(name, word, wanted)
        print(f"added {added.name} as {added.role.label}")


@user.command()
def passwd(name: Name, site: SiteOption = None, password_file: PasswordFile = None) -> None:
    """Set a new password; open sessions go on."""
    with explained():
        store = _writable(site)
        store.passwd(name, password(password_file, name, new=True))
        print(f"changed the password of {name}")


@user.command()
def cert(
    name: Name,
    file: Annotated[Path | None, typer.Argument(help="Certificate of the user, DER or PEM; none with --clear.")] = None,
    clear: Annotated[bool, typer.Option("--clear", help="Let the user log in by password only.")] = False,
    site: SiteOption = None,
) -> None:
    """Let a user log in with a certificate too; a running node knows it at once."""
    with explained():
        if (file is None) != clear:
            fail("give either the file of a certificate, or --clear", USAGE)
        found = open_site(site)
        store = _writable(site)
        trust = site_pki(found, RealClock()).user_trust
        if file is not None:
            check_owner(found.pki)
            certificate = read_certificates(_content(file))[0]
            store.add_certificate(name, certificate.thumbprint)
            trust.add(certificate.der)
            print(f"{name} may log in with {certificate.thumbprint}")
            return
        known = store.clear_certificates(name)
        for entry in trust.trusted():
            if entry.certificate.thumbprint in known:
                trust.revoke(entry.certificate.thumbprint)
        print(f"{name} logs in by password only")


@user.command()
def remove(name: Name, site: SiteOption = None) -> None:
    """Remove a user; a running node ends its sessions."""
    with explained():
        _writable(site).remove(name)
        print(f"removed {name}")


def _content(file: Path) -> bytes:
    with file.open("rb") as source:
        return source.read(_MAX_BYTES)


def _writable(site: Path | None) -> UserStore:
    found = open_site(site)
    check_writable(found.state, found)
    check_owner(found.state)
    return UserStore(found.users_file)


def _role(text: str) -> Role:
    try:
        return parse_role(text)
    except ValueError as error:
        fail(str(error), USAGE)
