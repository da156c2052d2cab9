"""The names and addresses under which this machine is reached; best effort, only the resolver is asked."""

from __future__ import annotations

import re
import socket
import threading
from collections.abc import Iterable
from ipaddress import IPv4Address, IPv6Address, ip_address
from pathlib import Path

IPV4_TABLE = Path("/proc/net/fib_trie")
IPV6_TABLE = Path("/proc/net/if_inet6")
LOOPBACK = ("localhost", "127.0.0.1", "::1")

# A resolver without a network answers after 10 s and more; a node that starts must not wait for it.
_RESOLVER_S = 2.0
_DNS_LABEL = re.compile(r"(?!-)[A-Za-z0-9_-]{1,63}(?<!-)")


def address_of(name: str) -> IPv4Address | IPv6Address | None:
    """The IP address that a text is, in brackets or not, or None for a host name."""
    try:
        return ip_address(name.strip().removeprefix("[").removesuffix("]"))
    except ValueError:
        return None


def normal_name(name: str) -> str:
    """One spelling for each host name and address, to compare and to store.

    Host names become lower-case ASCII (IDNA) without a final dot, addresses their shortest form.
    Raises ValueError for what is neither.
    """
    address = address_of(name)
    if address is not None:
        return str(address)
    try:
        text = name.strip().removesuffix(".").encode("idna").decode("ascii").lower()
    except UnicodeError:
        text = ""
    if not 0 < len(text) <= 253 or not all(_DNS_LABEL.fullmatch(label) for label in text.split(".")):
        raise ValueError(f"{name!r} is neither a host name nor an IP address")
    return text


def server_names(site_names: Iterable[str] = ()) -> tuple[str, ...]:
    """All names for the node's certificate: the site file's first, then the machine's own, loopback last.

    Each once, in the spelling of `normal_name`. Raises ValueError for a site name that is none.
    Blocks for up to 2 s when the resolver does not answer.
    """
    names = [normal_name(name) for name in site_names]
    return tuple(dict.fromkeys([*names, *machine_names(), *LOOPBACK]))


def machine_names() -> tuple[str, ...]:
    """Host name, full name, then the addresses of the interfaces, without loopback and link-local ones."""
    host = socket.gethostname()
    names: list[str] = []
    for name in (host, _full_name(host)):
        try:
            normal = normal_name(name)
        except ValueError:
            continue  # such as "(none)" or a name with a space: nobody can connect to it
        if not normal.startswith("localhost") and not normal.endswith(".arpa"):
            names.append(normal)
    return tuple(dict.fromkeys([*names, *interface_addresses()]))


def interface_addresses(ipv4_table: Path = IPV4_TABLE, ipv6_table: Path = IPV6_TABLE) -> tuple[str, ...]:
    """Addresses of this machine's interfaces from the Linux kernel's tables; empty where there are none."""
    found: list[IPv4Address | IPv6Address] = [*_ipv4(_text(ipv4_table)), *_ipv6(_text(ipv6_table))]
    usable = (a for a in found if not (a.is_loopback or a.is_link_local or a.is_multicast or a.is_unspecified))
    return tuple(dict.fromkeys(str(address) for address in usable))


def _full_name(host: str) -> str:
    answers: list[str] = []
    thread = threading.Thread(target=lambda: answers.append(socket.getfqdn(host)), name="full-name", daemon=True)
    thread.start()
    thread.join(_RESOLVER_S)
    return answers[0] if answers else host


def _text(table: Path) -> str:
    try:
        return table.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _ipv4(table: str) -> Iterable[IPv4Address]:
    # fib_trie names an address on one line ("|-- 192.0.2.2") and what it is on the next ("/32 host LOCAL").
    candidate = ""
    for line in table.splitlines():
        words = line.split()
        if words[:1] == ["|--"]:
            candidate = words[-1]
        elif words[:3] == ["/32", "host", "LOCAL"] and candidate:
            yield IPv4Address(candidate)


def _ipv6(table: str) -> Iterable[IPv6Address]:
    for line in table.splitlines():
        digits = line.split(" ", 1)[0]
        if len(digits) == 32:
            yield IPv6Address(int(digits, 16))
