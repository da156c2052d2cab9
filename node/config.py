"""Site YAML -> Site. A file with any problem gives no site: all of its problems are said at once, with their lines."""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from address_space.model import RecordingRule
from drivers.problems import ConfigError, Problem
from drivers.yaml_lines import load
from node.config_buses import buses, host_and_port, is_loopback
from node.config_computed import computed_devices
from node.config_devices import devices
from node.config_draft import Draft, draft, unknown
from node.config_schema import json_schema
from node.config_sinks import sinks
from node.historian.store.retention_rule import MIN_BYTES, RetentionRule
from node.logs import PARTS
from node.server.limits import Limits
from node.server.security.host_names import address_of, normal_name
from node.site import HistoryConfig, Listen, LoggingConfig, ServerConfig, SimulateConfig, Site

__all__ = ["SiteCheck", "check_site", "load_site", "site_schema"]

log = logging.getLogger("node.config")

_COMMIT_S = 1.0
_COMMIT_MAX_S = 60.0
# A commit writes some pages however few samples it has; five times fewer commits halve what a card is written.
_COMMIT_SD_S = 5.0
# A flat line that is alive has a sample so often; aggregates know nothing behind the last one.
_HEARTBEAT_S = 600.0


@dataclass(frozen=True, slots=True)
class SiteCheck:
    """A site that can run, and what is doubtful about its file."""

    site: Site
    warnings: tuple[Problem, ...]


def site_schema() -> dict[str, object]:
    """JSON Schema of a site file, for editors."""
    return json_schema()


def load_site(path: Path) -> Site:
    """Read a site file; doubts go to the log. Raises ConfigError with every problem. Changes nothing."""
    checked = check_site(path)
    for warning in checked.warnings:
        log.warning("%s", warning)
    return checked.site


def check_site(path: Path) -> SiteCheck:
    """Read a site file. Raises ConfigError with every problem. Starts nothing, changes nothing."""
    work = draft(path, load(path))
    _check_log_parts(work)
    server = _server(work)
    channels = buses(work)
    found = devices(work, channels)
    models = {device_id: device.model for device_id, device in found.devices.items()}
    computed, rules = computed_devices(work, models)
    history = _history(work)
    feeds = sinks(work)
    if work.problems:
        raise ConfigError(work.problems)
    file = work.file
    everything = {**found.devices, **computed}
    state = (work.folder / file.state).resolve()
    site = Site(
        id=file.site,
        label=file.label or file.site,
        path=path,
        state=state,
        pki=state / "pki" if file.pki is None else (work.folder / file.pki).resolve(),
        server=server,
        logging=LoggingConfig(file.logging.format, file.logging.level, dict(file.logging.levels)),
        history=history,
        simulate=SimulateConfig(file.simulate.enabled, file.simulate.seed),
        sinks=feeds,
        buses=tuple(channels[bus_id] for bus_id in file.buses),
        devices=tuple(everything[device_id] for device_id in file.devices),
        profiles=found.profiles,
        computed=rules,
    )
    return SiteCheck(site, tuple(work.warnings))


def _check_log_parts(work: Draft) -> None:
    for name in work.file.logging.levels:
        if name.partition(".")[0] not in PARTS:
            work.add(("logging", "levels", name), unknown(name, PARTS, "nothing logs under this name or below it"))


def _server(work: Draft) -> ServerConfig:
    entry = work.file.server
    listen = _listen(work)
    security = entry.security
    if listen is not None and not is_loopback(listen.host) and not security.allow_insecure:
        for key in ("none", "anonymous"):
            if getattr(security, key):
                text = (
                    f"other machines reach {listen.host}; listen on 127.0.0.1, take this out, "
                    "or say allow_insecure: true beside it"
                )
                work.add(("server", "security", key), text)
    names: list[str] = []
    for index, name in enumerate(entry.names):
        try:
            names.append(normal_name(name))
        except ValueError as error:
            work.add(("server", "names", index), str(error))
    return ServerConfig(
        listen=listen or Listen(),
        names=tuple(names),
        allow_none=security.none,
        allow_anonymous=security.anonymous,
        allow_insecure=security.allow_insecure,
        answer_within_s=entry.answer_within,
        limits=_limits(work),
        revocation=security.revocation,
    )


def _history(work: Draft) -> HistoryConfig:
    entry = work.file.history
    interval_s = entry.commit_interval
    if interval_s is None:
        interval_s = _COMMIT_SD_S if entry.sd_card else _COMMIT_S
    if interval_s > _COMMIT_MAX_S:
        work.add(("history", "commit_interval"), f"must be at most 60s; it is {interval_s:g}s")
    rule = RecordingRule(heartbeat_s=_HEARTBEAT_S) if entry.record is None else entry.record.rule
    if rule.deadband and not rule.percent:
        text = "must be a percentage here, 0.5% for example: the points have different units"
        work.add(("history", "record", "deadband"), text)
    if entry.max_size is not None and entry.max_size < MIN_BYTES:
        work.add(("history", "max_size"), f"must be at least {MIN_BYTES // 1_000_000}MB")
    limits = RetentionRule(entry.max_age, entry.max_size, entry.min_free, entry.when_full)
    return HistoryConfig(entry.enabled, interval_s, entry.sd_card, rule, limits)


def _limits(work: Draft) -> Limits:
    entry = work.file.server.limits
    for name in ("session_timeout", "channel_lifetime", "publishing_interval", "sampling_interval"):
        low, high = getattr(entry, f"{name}_min"), getattr(entry, f"{name}_max")
        if low > high:
            text = f"must not be less than {name}_min, {low:g}s; it is {high:g}s"
            work.add(("server", "limits", f"{name}_max"), text)
    return Limits(
        message_bytes=entry.message_size,
        message_chunks=entry.message_chunks,
        connections=entry.connections,
        connections_per_peer=entry.connections_per_client,
        sessions=entry.sessions,
        session_min_s=entry.session_timeout_min,
        session_max_s=entry.session_timeout_max,
        token_min_s=entry.channel_lifetime_min,
        token_max_s=entry.channel_lifetime_max,
        subscriptions=entry.subscriptions,
        subscriptions_per_session=entry.subscriptions_per_session,
        items_per_subscription=entry.items_per_subscription,
        items_per_session=entry.items_per_session,
        items=entry.items,
        queue_size=entry.queue_size,
        queued_values=entry.queued_values,
        publishing_min_ms=entry.publishing_interval_min * 1000,
        publishing_max_ms=entry.publishing_interval_max * 1000,
        sampling_min_ms=entry.sampling_interval_min * 1000,
        sampling_max_ms=entry.sampling_interval_max * 1000,
        operations=entry.operations,
        browse_operations=entry.browse_operations,
        write_operations=entry.write_operations,
        call_operations=entry.call_operations,
    )


def _listen(work: Draft) -> Listen | None:
    text = work.file.server.listen
    try:
        host, port = host_and_port(text)
    except ValueError as error:
        said = str(error).partition(";")[0]
        work.add(("server", "listen"), f"{said}; write address:port, for example 0.0.0.0:4840 or [::1]:4840")
        return None
    # A name may stand for any address, today this one and tomorrow another.
    if host != "localhost" and address_of(host) is None:
        work.add(("server", "listen"), f"{host!r} must be an address of this machine, 0.0.0.0, [::] or localhost")
        return None
    return Listen(host, port)
