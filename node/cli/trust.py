"""`gridnode trust`: which applications may talk to the node."""

from __future__ import annotations

import sys
from datetime import UTC, datetime
from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import SiteOption, check_owner, check_writable, explained, open_site
from node.clock import RealClock
from node.identity import site_pki
from node.server.security.trust import TrustEntry, TrustList
from node.site import Site

trust = typer.Typer(no_args_is_help=True, help="Which applications may talk to the node.")

Thumbprint = Annotated[str, typer.Argument(help="Thumbprint, or a beginning of it that fits only one.")]
_MAX_BYTES = 1_048_576


@trust.command("list")
def list_(site: SiteOption = None) -> None:
    """Show the trusted certificates and those that were refused."""
    with explained():
        found = _list(open_site(site))
        trusted = found.trusted()
        known = {entry.certificate.der for entry in trusted}
        # A crash while one was moved leaves it in both folders; the node goes by the first.
        refused = [entry for entry in found.rejected() if entry.certificate.der not in known]
        for title, entries in (("trusted", trusted), ("refused", refused)):
            print(f"{title}:{'' if entries else ' none'}")
            for entry in entries:
                print(f"  {_line(entry)}")


@trust.command()
def accept(thumbprint: Thumbprint, site: SiteOption = None) -> None:
    """Trust an application that was refused; a running node lets it in at its next attempt."""
    with explained():
        _say_trusted(_writable(site).accept(thumbprint))


@trust.command()
def revoke(thumbprint: Thumbprint, site: SiteOption = None) -> None:
    """Trust an application no longer; a running node closes its connections."""
    with explained():
        print(f"no longer trusted: {_line(_writable(site).revoke(thumbprint))}")


@trust.command()
def add(
    file: Annotated[Path, typer.Argument(help="Certificate of an application or a CA, DER or PEM.")],
    site: SiteOption = None,
) -> None:
    """Trust the certificates of a file, before their application ever connected."""
    with explained():
        found = _writable(site)
        with file.open("rb") as source:
            content = source.read(_MAX_BYTES)
        added = found.add(content)
        refused = {entry.certificate.der for entry in found.rejected()}
        for entry in added:
            if entry.certificate.der in refused:  # it came before it was added
                found.accept(entry.certificate.thumbprint)
            _say_trusted(entry)


def _list(site: Site) -> TrustList:
    return site_pki(site, RealClock()).trust


def _writable(site: Path | None) -> TrustList:
    found = open_site(site)
    check_writable(found.pki, found)
    check_owner(found.pki)
    return _list(found)


def _say_trusted(entry: TrustEntry) -> None:
    print(f"trusted: {_line(entry)}")
    if _has_ended(entry):
        print("it has ended and will be refused all the same: its owner has to make a new one", file=sys.stderr)


def _has_ended(entry: TrustEntry) -> bool:
    return entry.certificate.not_after < datetime.now(UTC)


def _line(entry: TrustEntry) -> str:
    certificate = entry.certificate
    kind = "authority" if certificate.is_authority else certificate.application_uri or "no application URI"
    name = (certificate.common_name or certificate.subject).encode("unicode_escape").decode("ascii")
    ended = " (it has ended)" if _has_ended(entry) else ""
    return f"{certificate.thumbprint}  {name}  {kind}  until {certificate.not_after.date()}{ended}"
