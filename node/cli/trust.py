"""`gridnode trust`: which applications may talk to the node."""

from __future__ import annotations

from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import SiteOption, check_owner, check_writable, explained, open_site
from node.clock import RealClock
from node.identity import site_pki
from node.server.trust import TrustEntry, TrustList
from node.site import Site

trust = typer.Typer(no_args_is_help=True, help="Which applications may talk to the node.")

Thumbprint = Annotated[str, typer.Argument(help="Thumbprint, or a beginning of it that fits only one.")]
_MAX_BYTES = 1_048_576


@trust.command("list")
def list_(site: SiteOption = None) -> None:
    """Show the trusted certificates and those that were refused."""
    with explained():
        found = _list(open_site(site))
        for title, entries in (("trusted", found.trusted()), ("refused", found.rejected())):
            print(f"{title}:{'' if entries else ' none'}")
            for entry in entries:
                print(f"  {_line(entry)}")


@trust.command()
def accept(thumbprint: Thumbprint, site: SiteOption = None) -> None:
    """Trust an application that was refused; a running node lets it in at its next attempt."""
    with explained():
        print(f"trusted: {_line(_writable(site).accept(thumbprint))}")


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
        for entry in found.add(content):
            print(f"trusted: {_line(entry)}")


def _list(site: Site) -> TrustList:
    return site_pki(site, RealClock()).trust


def _writable(site: Path | None) -> TrustList:
    found = open_site(site)
    check_writable(found.pki)
    check_owner(found.pki)
    return _list(found)


def _line(entry: TrustEntry) -> str:
    certificate = entry.certificate
    kind = "authority" if certificate.is_authority else certificate.application_uri or "no application URI"
    name = (certificate.common_name or certificate.subject).encode("unicode_escape").decode("ascii")
    return f"{certificate.thumbprint}  {name}  {kind}  until {certificate.not_after.date()}"
