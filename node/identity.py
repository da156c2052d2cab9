"""Who the node and its command line are in their certificates, and where their keys are."""

from __future__ import annotations

import os
import shlex
import socket
from pathlib import Path

from address_space.model import Clock
from node.server.security.certificate import Identity
from node.server.security.host_names import normal_name, server_names
from node.server.security.pki import Pki
from node.site import Site

CLIENT = "client"  # folder of the command line's own keys, in a `pki` folder


def site_identity(site: Site, names: tuple[str, ...] | None = None) -> Identity:
    """Identity of a site's server; `names` as from `server_names`, which is asked without them: up to 2 s."""
    if names is None:
        names = server_names(site.server.names)
    return Identity(f"urn:{_host()}:gridnode:{site.id}", names, common_name=f"gridnode {site.id}")


def client_identity() -> Identity:
    """Identity of the command line on this machine."""
    host = _host()
    return Identity(f"urn:{host}:gridnode:client", (host,), common_name="gridnode client")


def site_pki(site: Site, clock: Clock) -> Pki:
    """Keys and trust list of a site."""
    return Pki(site.pki, clock, accept_options=f"--site {shlex.quote(str(site.path.absolute()))}")


def own_folder() -> Path:
    """Where the command line keeps what belongs to its user: $XDG_STATE_HOME/gridnode, by default ~/.local/state."""
    base = os.environ.get("XDG_STATE_HOME")
    return (Path(base) if base else Path.home() / ".local" / "state") / "gridnode"


def _host() -> str:
    try:
        return normal_name(socket.gethostname())
    except ValueError:
        return "localhost"
