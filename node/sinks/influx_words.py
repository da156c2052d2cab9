"""What went wrong with an InfluxDB, for people: where, what, and which key of the site file to look at. Pure.

No text has a secret, a name of a Python class or more of a web page than its title.
"""

from __future__ import annotations

import errno
import os
import re
import socket
import ssl
from collections.abc import Mapping
from dataclasses import replace
from typing import Final
from urllib.parse import urlsplit

import aiohttp

from node.sinks.base import Answer, Misconfigured, Retry
from node.sinks.influx_answer import is_web_page, judge, message
from node.sinks.influx_config import InfluxConfig

_VERSION_1: Final = re.compile(r"v?1\.")
_NO_ORG: Final = re.compile(r"\borg(anization)?\b", re.IGNORECASE)
_NO_BUCKET: Final = re.compile(r"\b(database|bucket|retention policy)\b", re.IGNORECASE)
_WANTS_TLS: Final = re.compile(r"\bHTTPS (server|port)\b", re.IGNORECASE)
_HOST: Final = re.compile(r"\b(hostname|ip address) mismatch", re.IGNORECASE)
# OpenSSL's reasons for bytes that are no TLS at all.
_NO_TLS: Final = frozenset({"WRONG_VERSION_NUMBER", "RECORD_LAYER_FAILURE", "HTTP_REQUEST", "PACKET_LENGTH_TOO_LONG"})
_LOCATION_CHARS: Final = 200


class InfluxWords:
    """Words for one sink."""

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config
        self._url = config.shown_url
        self._keys = f"sinks.{config.id}"

    def answered(self, path: str, status: int, headers: Mapping[str, str], body: bytes) -> Answer:
        """What an HTTP answer to a write at `path` means, see `judge`, with the reason in words."""
        answer = judge(status, headers, body)
        text = message(body)
        code = f"HTTP {status}: {text}" if text else f"HTTP {status}"
        if isinstance(answer, Retry) and answer.suspect:  # in the end it may be said of one line
            return replace(answer, reason=f"{code} (from {self._url})")
        if isinstance(answer, Retry):
            return replace(answer, reason=f"{self._url} takes nothing now ({code}); it is tried again")
        if isinstance(answer, Misconfigured):
            return replace(answer, reason=self._wrong(path, status, headers, body, code))
        return answer

    def _wrong(self, path: str, status: int, headers: Mapping[str, str], body: bytes, code: str) -> str:
        text, url, keys = message(body), self._url, self._keys
        if _WANTS_TLS.search(text):
            return f"{url} wants TLS ({code}); write https:// in {keys}.url"
        if is_web_page(body):
            return f"{url} answers as a web server, not as InfluxDB ({code}); is {keys}.url right?"
        if status == 401:
            return f"{url} does not let us in ({code}); {self._credentials(headers)}"
        if status == 403:
            return (
                f"{url} does not let us write to {self._config.bucket} ({code}); may {self._login()} do that,"
                f" is {keys}.bucket right?"
            )
        if 300 <= status < 400:
            return f"{url} sends us elsewhere ({code}){_location(headers)}; is {keys}.url right?"
        if _NO_ORG.search(text) and status == 404:
            return f"{url} does not know the organization {self._config.org!r} ({code}); correct {keys}.org"
        if _NO_BUCKET.search(text):
            return (
                f"{url} has no database or bucket {self._config.bucket!r} ({code}); create it or correct {keys}.bucket"
            )
        if status == 404:
            return f"{url} has nothing at {path} ({code}); is the path in {keys}.url right, and {keys}.api?"
        return f"{url} does not answer as InfluxDB does ({code}); is {keys}.url right?"

    def _credentials(self, headers: Mapping[str, str]) -> str:
        config, keys = self._config, self._keys
        version = next((text for name, text in headers.items() if name.lower() == "x-influxdb-version"), "")
        login = f"give {keys}.user and {keys}.password_file"
        if config.token is None and not config.user:
            if _VERSION_1.match(version):
                return f"no credentials are given: {login}"
            return f"no credentials are given: name {keys}.token_file, or for 1.x {keys}.user and {keys}.password_file"
        if config.token is not None and _VERSION_1.match(version):
            return f"InfluxDB {version} has users in place of tokens: {login} in place of the token"
        return f"is {self._login()} right?"

    def _login(self) -> str:
        """What was shown to the server, by the place where it stands."""
        config = self._config
        if config.token is not None:
            return f"the token of {self._keys}.token_{config.token.place}"
        if config.password is not None:
            return f"the user {config.user!r} with the password of {self._keys}.password_{config.password.place}"
        return "a client without credentials"

    # --- no answer

    def unanswered(self, error: Exception) -> Misconfigured | Retry:
        """What it means that there was no answer."""
        if isinstance(error, TimeoutError):  # some of aiohttp's are both
            text = f"does not answer within {self._config.timeout_s:g} s ({self._keys}.timeout)"
            return Retry(f"{self._url} {text}; does InfluxDB run, is {self._keys}.url right?", slow=True)
        text = f"{self._url} {self._missing(error)}"
        is_theirs = isinstance(error, aiohttp.ClientSSLError | aiohttp.InvalidURL | aiohttp.ClientResponseError)
        return Misconfigured(text) if is_theirs else Retry(text)

    def _missing(self, error: Exception) -> str:
        key = f"{self._keys}.url"
        if isinstance(error, aiohttp.ClientConnectorCertificateError):
            return self._certificate(error.certificate_error)
        if isinstance(error, aiohttp.ClientConnectorSSLError):
            return self._handshake(error.os_error)
        if isinstance(error, aiohttp.InvalidURL):
            return f"is no address; correct {key}"
        if isinstance(error, aiohttp.ClientResponseError):
            return f"does not speak HTTP; is the port in {key} right?"
        if isinstance(error, aiohttp.ClientPayloadError):
            return "breaks off its answer; it is tried again"
        if isinstance(error, aiohttp.ServerDisconnectedError):
            tls = f", does it want https in {key}?" if self._url.startswith("http:") else f", is {key} right?"
            return f"ends the connection without an answer; does InfluxDB run{tls}"
        cause = error.os_error if isinstance(error, aiohttp.ClientConnectorError) else error
        if isinstance(cause, socket.gaierror):
            host = urlsplit(self._url).hostname or ""
            return f"cannot be reached: the address of {host} is not known ({cause.strerror}); is {key} right?"
        if isinstance(cause, OSError) and cause.errno == errno.ECONNREFUSED:
            return f"refuses the connection; does InfluxDB run, is {key} right?"
        reason = os.strerror(cause.errno) if isinstance(cause, OSError) and cause.errno else "the connection broke off"
        return f"cannot be reached: {reason}; is {key} right?"

    def _certificate(self, error: Exception) -> str:
        said = getattr(error, "verify_message", "") or "it does not fit"
        if _HOST.search(said):
            todo = f"its names and {self._keys}.url differ"
        elif "expired" in said or "not yet valid" in said:
            todo = "it must be renewed, or a clock is wrong"
        elif self._config.ca_file is not None:
            todo = f"is {self._keys}.ca_file ({self._config.ca_file}) the CA of this server?"
        else:
            todo = f"name its CA in {self._keys}.ca_file"
        return f"cannot be trusted: certificate verify failed: {said}; {todo}"

    def _handshake(self, error: OSError) -> str:
        reason = error.reason if isinstance(error, ssl.SSLError) else ""
        if reason in _NO_TLS:
            return f"speaks no TLS; write http:// in {self._keys}.url, or the port that has TLS"
        said = (reason or "the connection broke off").replace("_", " ").lower()
        return f"does not agree on TLS ({said}); is {self._keys}.url right?"


def _location(headers: Mapping[str, str]) -> str:
    """Where a redirection goes, without what may be secret in it."""
    text = next((value for name, value in headers.items() if name.lower() == "location"), "")
    try:
        parts = urlsplit(text)
        place = f"{parts.scheme}://{parts.hostname}{':' + str(parts.port) if parts.port else ''}{parts.path}"
    except ValueError:
        return ""
    shown = "".join(c for c in (place if parts.hostname else parts.path) if c.isprintable())[:_LOCATION_CHARS]
    return f": to {shown}" if shown else ""
