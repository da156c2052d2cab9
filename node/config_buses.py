"""Buses of a site file: what they are, and what cannot be."""

from __future__ import annotations

import stat
from ipaddress import ip_address
from pathlib import Path
from typing import Final

from drivers.spec import BusConfig, SerialLine, TcpPeer
from node.config_draft import Draft
from node.config_schema import BusEntry
from node.server.security.host_names import normal_name

MODBUS_PORT: Final = 502  # IANA's port of Modbus TCP
_TIMEOUT_MAX_S: Final = 60.0
_LINKS: Final = ("tcp", "serial", "rtu_over_tcp")


def host_and_port(text: str, default_port: int | None = None) -> tuple[str, int]:
    """Parts of `host:port`, `[::1]:4840` or, with a default port, `host`; ValueError says what is allowed."""
    example = "write host:port, for example 192.0.2.10:502 or [2001:db8::1]:502"
    host, colon, port = text.rpartition(":")
    if text.endswith("]") or not colon:
        host, port = text, "" if default_port is None else str(default_port)
    bracketed = host.startswith("[") and host.endswith("]")
    host = host[1:-1] if bracketed else host
    if not host or (":" in host) is not bracketed:
        raise ValueError(f"{text!r} is no address; {example}, an IPv6 address in brackets")
    try:
        normal = normal_name(host)
    except ValueError as error:
        raise ValueError(f"{error}; {example}") from error
    if not (port.isascii() and port.isdigit() and 1 <= int(port) <= 65_535):
        raise ValueError(f"{text!r} has no port from 1 to 65535; {example}")
    return normal, int(port)


def is_loopback(host: str) -> bool:
    """True for a host that is this machine and nothing else."""
    if host == "localhost":
        return True
    try:
        return ip_address(host).is_loopback
    except ValueError:
        return False


def buses(draft: Draft) -> dict[str, BusConfig]:
    """The buses that can be used, by id; problems of all go to the draft."""
    found: dict[str, BusConfig] = {}
    for bus_id, entry in draft.file.buses.items():
        config = _bus(draft, bus_id, entry)
        if config is not None:
            found[bus_id] = config
    _one_bus_per_channel(draft, found)
    return found


def _bus(draft: Draft, bus_id: str, entry: BusEntry) -> BusConfig | None:
    path = ("buses", bus_id)
    before = len(draft.problems)
    if bus_id == "node":
        draft.add(path, "the id `node` is the node's own")
    link, framing = _link(draft, bus_id, entry)
    if entry.driver == "serial_line":
        for key in ("word_order", "max_gap"):
            if getattr(entry, key) is not None:
                draft.add((*path, key), "has no meaning for the driver serial_line")
    if entry.timeout > _TIMEOUT_MAX_S:
        draft.add((*path, "timeout"), f"must be at most 60s; it is {entry.timeout:g}s")
    if entry.retry_min > entry.retry_max:
        text = f"must be at least retry_min ({entry.retry_min:g}s); it is {entry.retry_max:g}s"
        draft.add((*path, "retry_max" if "retry_max" in entry.model_fields_set else "retry_min"), text)
    if link is None or len(draft.problems) > before:
        return None
    return BusConfig(
        id=bus_id,
        driver=entry.driver,
        link=link,
        framing=framing,
        label=entry.label,
        word_order=entry.word_order,
        timeout_s=entry.timeout,
        quiet_max_s=entry.quiet_max,
        gap_s=entry.gap,
        max_gap=entry.max_gap,
        retry_min_s=entry.retry_min,
        retry_max_s=entry.retry_max,
    )


def _link(draft: Draft, bus_id: str, entry: BusEntry) -> tuple[SerialLine | TcpPeer | None, str]:
    path = ("buses", bus_id)
    given = [key for key in _LINKS if getattr(entry, key) is not None]
    if any(draft.is_broken(*path, key) for key in _LINKS):
        return None, ""
    if entry.driver == "serial_line" and given != ["serial"]:
        draft.add(path, "the driver serial_line needs `serial` and nothing else of tcp, serial, rtu_over_tcp")
        return None, ""
    if len(given) != 1:
        has = f"it has {' and '.join(given)}" if given else "it has none"
        draft.add(path, f"needs exactly one of tcp, serial, rtu_over_tcp; {has}")
        return None, ""
    if entry.serial is not None:
        return _serial(draft, bus_id, entry), "rtu" if entry.driver == "modbus" else ""
    key = given[0]
    try:
        host, port = host_and_port(entry.tcp or entry.rtu_over_tcp or "", MODBUS_PORT if key == "tcp" else None)
    except ValueError as error:
        draft.add((*path, key), str(error))
        return None, ""
    if draft.file.simulate.enabled and not is_loopback(host):
        # The node must never take a real plant for its simulation.
        text = f"simulate is on, so the address must be of this machine alone: 127.0.0.1:{port}; it is {host}"
        draft.add((*path, key), text)
    return TcpPeer(host, port), "tcp" if key == "tcp" else "rtu_over_tcp"


def _serial(draft: Draft, bus_id: str, entry: BusEntry) -> SerialLine:
    serial = entry.serial
    if serial is None:
        raise ValueError("the caller checks that there is a serial port")
    port = draft.folder / serial.port
    if draft.file.simulate.enabled and _is_hardware(port):
        draft.add(
            ("buses", bus_id, "serial", "port"),
            f"simulate is on, but {serial.port} is a serial port of this machine; name a file that does not exist yet",
        )
    framing = serial.framing
    return SerialLine(str(port), serial.baud, int(framing[0]), framing[1], int(framing[2]))


def _is_hardware(port: Path) -> bool:
    try:
        real = port.resolve()
        return stat.S_ISCHR(real.stat().st_mode) and not real.is_relative_to("/dev/pts")
    except (OSError, RuntimeError):  # not there, or a ring of links
        return False


def _one_bus_per_channel(draft: Draft, found: dict[str, BusConfig]) -> None:
    seen: dict[SerialLine | TcpPeer | str, str] = {}
    for bus_id, config in found.items():
        serial = isinstance(config.link, SerialLine)
        channel = str(Path(config.link.port).resolve()) if isinstance(config.link, SerialLine) else config.link
        if channel is None:
            continue
        first = seen.setdefault(channel, bus_id)
        if first == bus_id:
            continue
        if serial:
            text = f"bus {first} has this port already; a port is one bus, with one speed and one framing"
            draft.add(("buses", bus_id, "serial", "port"), text)
        else:
            text = f"bus {first} has this address already; many gateways answer only one connection"
            draft.warn(("buses", bus_id, "tcp" if config.framing == "tcp" else "rtu_over_tcp"), text)
