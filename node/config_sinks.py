"""Sinks of a site file: where the journal goes, and where their secrets stand."""

from __future__ import annotations

import stat
from pathlib import Path
from typing import Final
from urllib.parse import urlsplit

from node.config_buses import is_loopback
from node.config_draft import Draft
from node.config_schema import SinkEntry
from node.server.security.host_names import normal_name
from node.sinks.base import SinkConfig, SinkError
from node.sinks.influx_config import Api, InfluxConfig, Secret

_TIMEOUT_MAX_S: Final = 300.0
_EXAMPLE: Final = "write http://host:port or https://host:port, for example https://influx.example.com:8086"


def sinks(draft: Draft) -> tuple[SinkConfig, ...]:
    """The sinks that can be used, in the order of the file; problems of all go to the draft."""
    found = [_sink(draft, sink_id, entry) for sink_id, entry in draft.file.sinks.items()]
    if draft.file.sinks and not draft.file.history.enabled:
        draft.add(("history", "enabled"), "sinks are fed from the journal: switch it on, or take the sinks out")
    good = [sink for sink in found if sink is not None]
    _one_reader(draft, good)
    return tuple(good)


def _sink(draft: Draft, sink_id: str, entry: SinkEntry) -> InfluxConfig | None:
    path = ("sinks", sink_id)
    before = len(draft.problems)
    if sink_id == "node":
        draft.add(path, "the id `node` is the node's own")
    for kind in ("buses", "devices"):
        if sink_id in getattr(draft.file, kind):
            draft.add(
                path, f"{sink_id} stands under {kind}, too; ids of buses, devices and sinks are NodeIds and stand once"
            )
    _check_url(draft, sink_id, entry)
    if entry.timeout > _TIMEOUT_MAX_S:
        draft.add((*path, "timeout"), f"must be at most 5m; it is {entry.timeout:g}s")
    if entry.api is Api.V2 and entry.user and entry.token_file is None and entry.token_env is None and entry.org:
        draft.warn((*path, "user"), "2.x has tokens, not users with passwords, for programs")
    token = _secret(draft, sink_id, entry, "token")
    password = _secret(draft, sink_id, entry, "password")
    if ":" in entry.user:
        draft.add((*path, "user"), "must not have a colon, which HTTP keeps for itself")
    if entry.user and password is None:
        draft.add((*path, "user"), "needs password_file or password_env beside it")
    if password is not None and not entry.user:
        draft.add(path, "has a password, but no user")
    if token is not None and entry.user:
        draft.add(path, "has a token and a user; the server takes one of them")
    if len(draft.problems) > before:
        return None
    return InfluxConfig(
        id=sink_id,
        type=entry.type,
        label=entry.label,
        replay_rate=entry.replay_rate or None,
        batch_lines=entry.batch_lines,
        batch_bytes=entry.batch_size,
        url=entry.url.rstrip("/"),
        bucket=entry.bucket,
        org=entry.org,
        api=entry.api,
        token=token,
        user=entry.user,
        password=password,
        ca_file=None if entry.ca_file is None else draft.folder / entry.ca_file,
        timeout_s=entry.timeout,
        gzip=entry.gzip,
        read_back=entry.read_back,
    )


def _check_url(draft: Draft, sink_id: str, entry: SinkEntry) -> None:
    path = ("sinks", sink_id, "url")
    try:
        parts = urlsplit(entry.url)
        host = parts.hostname or ""
        _ = parts.port  # raises ValueError for what is no port
        if parts.scheme not in ("http", "https") or not host or parts.query or parts.fragment:
            raise ValueError
        normal_name(host)
    except ValueError:
        # The text may hold a password, so it is not said again.
        draft.add(path, f"is no address of a server; {_EXAMPLE}")
        return
    if parts.username is not None or parts.password is not None:
        draft.add(path, "a secret never stands in a site file: use `user` and `password_file`, or `token_file`")
    has_secret = any((entry.token_file, entry.token_env, entry.password_file, entry.password_env))
    if parts.scheme == "http" and has_secret and not is_loopback(host):
        draft.warn(path, "http shows the credentials to everybody on the way; use https")
    if parts.scheme == "http" and entry.ca_file is not None:
        draft.add(("sinks", sink_id, "ca_file"), "has no meaning for http; the url must begin with https")


def _secret(draft: Draft, sink_id: str, entry: SinkEntry, what: str) -> Secret | None:
    file: str | None = getattr(entry, f"{what}_file")
    variable: str | None = getattr(entry, f"{what}_env")
    if file is not None and variable is not None:
        draft.add(("sinks", sink_id), f"has {what}_file and {what}_env; one of them is enough")
        return None
    if file is not None:
        place = draft.folder / file
        if _is_open(place):
            draft.warn(("sinks", sink_id, f"{what}_file"), f"others on this machine can read {file}: chmod 600 {file}")
        return _readable(draft, sink_id, f"{what}_file", Secret(file=place))
    if variable is not None:
        return _readable(draft, sink_id, f"{what}_env", Secret(variable=variable))
    return None


def _readable(draft: Draft, sink_id: str, key: str, secret: Secret) -> Secret:
    """The secret's place; a warning when nothing usable is there now, for it may come later."""
    try:
        if secret.file is None or not secret.file.is_fifo():  # reading a pipe would take it away from the node
            secret.read()
    except (SinkError, OSError) as error:
        draft.warn(("sinks", sink_id, key), f"{error}; until that is right nothing is sent")
    return secret


def _is_open(place: Path) -> bool:
    try:
        return bool(place.stat().st_mode & (stat.S_IRWXG | stat.S_IRWXO))
    except OSError:  # it may come later: then the sink says so
        return False


def _one_reader(draft: Draft, found: list[InfluxConfig]) -> None:
    readers = [sink.id for sink in found if sink.read_back]
    for sink_id in readers[1:]:
        draft.add(("sinks", sink_id, "read_back"), f"sink {readers[0]} is read back already; one is enough")
