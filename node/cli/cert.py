"""`gridnode cert`: the node's own certificate."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Annotated

import typer

from node.cli.options import SiteOption, check_owner, check_writable, explained, open_site
from node.clock import RealClock
from node.identity import site_identity, site_pki
from node.server.security.pki import OwnCertificate, Pki
from node.site import Site

cert = typer.Typer(no_args_is_help=True, help="The node's own certificate.")

_MAX_BYTES = 1_048_576
_RESTART = "the node uses it from its next start, and clients have to trust it again"


@cert.command()
def show(site: SiteOption = None) -> None:
    """Show the certificate and how many days it is still valid."""
    with explained():
        _print(_pki(open_site(site)).show())


@cert.command()
def renew(
    site: SiteOption = None,
    new_key: Annotated[bool, typer.Option("--new-key", help="Make a new key too.")] = False,
    replace_issued: Annotated[
        bool, typer.Option("--replace-issued", help="Also replace a certificate that a CA has signed.")
    ] = False,
) -> None:
    """Make a new self-signed certificate; the old one stays beside it as .bak."""
    with explained():
        found = open_site(site)
        own = _writable(found).renew(site_identity(found), with_new_key=new_key, replace_issued=replace_issued)
        _print(own)
        print(_RESTART)


@cert.command()
def request(
    site: SiteOption = None,
    out: Annotated[Path | None, typer.Option("--out", help="File for the request; else it is printed.")] = None,
) -> None:
    """Make a request (PKCS #10) that a certificate authority can sign."""
    with explained():
        found = open_site(site)
        pem = _writable(found).request(site_identity(found))
        if out is None:
            sys.stdout.write(pem.decode("ascii"))
        else:
            out.write_bytes(pem)
            print(f"{out}: have it signed, then: gridnode cert import FILE")


@cert.command("import")
def import_(
    file: Annotated[Path, typer.Argument(help="What the authority sent, PEM or DER, best with its chain.")],
    site: SiteOption = None,
) -> None:
    """Use the certificate that an authority made of the request."""
    with explained():
        found = open_site(site)
        with file.open("rb") as source:
            content = source.read(_MAX_BYTES)
        own = _writable(found).import_(content, site_identity(found).application_uri)
        _print(own)
        print(_RESTART)


def _pki(site: Site) -> Pki:
    return site_pki(site, RealClock())


def _writable(site: Site) -> Pki:
    check_writable(site.pki, site)
    check_owner(site.pki)
    return _pki(site)


def _print(own: OwnCertificate) -> None:
    certificate = own.certificate
    left = f"{own.days_left} days left" if own.days_left >= 0 else "it has ended"
    rows = {
        "thumbprint": certificate.thumbprint,
        "subject": certificate.subject,
        "issuer": "itself" if certificate.self_issued else certificate.issuer,
        "application URI": own.application_uri,
        "names": ", ".join(certificate.names),
        "valid": f"{certificate.not_before.date()} to {certificate.not_after.date()} ({left})",
        "key": f"RSA {certificate.key_bits}, signed with {certificate.signature_hash}",
        "file": str(own.certificate_path),
    }
    for name, value in rows.items():
        print(f"{name + ':':17}{value}")
