"""A site as frozen data: what `config.py` leaves of a checked site file."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum
from pathlib import Path

from address_space.model import Device, RecordingRule
from drivers.spec import BusConfig, BusUnit, ComputedPoint, Profile
from node.historian.store.retention_rule import RetentionRule
from node.server.limits import Limits
from node.server.security.revocation import RevocationRule
from node.sinks.base import SinkConfig


@dataclass(frozen=True, slots=True)
class Listen:
    """Where the OPC UA server binds."""

    host: str = "0.0.0.0"  # noqa: S104  # a server of a plant listens on its network; control is closed by default
    port: int = 4840

    @property
    def is_loopback(self) -> bool:
        """True when only this machine can connect."""
        return self.host in ("localhost", "::1") or self.host.startswith("127.")


@dataclass(frozen=True, slots=True)
class ServerConfig:
    """The OPC UA front of a site."""

    listen: Listen = Listen()
    names: tuple[str, ...] = ()  # host names and addresses beside the machine's own
    allow_none: bool = False  # offer SecurityPolicy None
    allow_anonymous: bool = False  # anonymous sessions get the Observer role
    allow_insecure: bool = False  # None or anonymous even on a bind that is not loopback
    answer_within_s: float = 3.0  # a command call answers by then, at the latest
    limits: Limits = field(default_factory=Limits)
    revocation: RevocationRule = RevocationRule.CURRENT


class LogFormat(StrEnum):
    """How log records are written."""

    TEXT = "text"
    JSON = "json"  # one object a line


@dataclass(frozen=True, slots=True)
class LoggingConfig:
    """How and how much the node logs."""

    format: LogFormat = LogFormat.TEXT
    level: str = "INFO"
    levels: Mapping[str, str] = field(default_factory=dict)  # by part: drivers.bus, node.server, asyncua, ...


@dataclass(frozen=True, slots=True)
class HistoryConfig:
    """The local journal."""

    enabled: bool = True
    commit_interval_s: float = 1.0
    sd_card: bool = False  # the file is on a card that wears out by being written to
    record: RecordingRule | None = None  # of measured numbers and counters without a rule of their own
    retention: RetentionRule = field(default_factory=RetentionRule)


@dataclass(frozen=True, slots=True)
class SimulateConfig:
    """Whether `gridnode run` also starts simulators for its buses (the demo does)."""

    enabled: bool = False
    seed: int = 1


@dataclass(frozen=True, slots=True)
class Site:
    """One plant."""

    id: str  # goes into namespace 4 and the ApplicationUri
    label: str
    path: Path  # the site file
    state: Path  # folder of keys, users and journal
    pki: Path  # folder of certificates: `state`/pki, or certs/ in the demo
    server: ServerConfig
    logging: LoggingConfig
    history: HistoryConfig
    simulate: SimulateConfig
    buses: tuple[BusConfig, ...]
    devices: tuple[Device, ...]  # in the order of the file; buses and the node itself not included
    profiles: Mapping[str, Profile]  # by device id
    computed: Mapping[str, tuple[ComputedPoint, ...]]  # by device id
    sinks: tuple[SinkConfig, ...] = ()

    @property
    def users_file(self) -> Path:
        """Where users and their password hashes are."""
        return self.state / "users.json"


def site_units(site: Site, bus_id: str) -> tuple[BusUnit, ...]:
    """The devices on a bus, in the order of the file."""
    return tuple(
        BusUnit(device.id, device.unit, site.profiles[device.id], device.control)
        for device in site.devices
        if device.bus == bus_id
    )


def site_buses(site: Site) -> tuple[tuple[BusConfig, tuple[BusUnit, ...]], ...]:
    """Every bus that has devices, with them; a bus without any is not opened."""
    found = ((bus, site_units(site, bus.id)) for bus in site.buses)
    return tuple((bus, units) for bus, units in found if units)
