"""InfluxDB's HTTP interface as far as influxdb-client does not have it: /ping, /write and InfluxQL over /query."""

from __future__ import annotations

import asyncio
import base64
import json
import re
import ssl
from dataclasses import dataclass
from typing import Any, Final

import aiohttp

from node.sinks.base import SinkError
from node.sinks.influx_answer import message
from node.sinks.influx_config import InfluxConfig, Secret
from node.sinks.influx_words import InfluxWords

_VERSION_1: Final = re.compile(r"v?1\.(\d+)")
# Longer answers are not read; a page of history is a hundredth of it.
_ANSWER_BYTES: Final = 64 * 1024 * 1024


class Unanswered(Exception):
    """No usable answer now; the text says why, without secrets."""


class QueryFailed(Unanswered):
    """The server refused a query."""


@dataclass(frozen=True, slots=True)
class HttpAnswer:
    """What came back."""

    status: int
    headers: dict[str, str]
    body: bytes


@dataclass(frozen=True, slots=True)
class Credentials:
    """What is sent with every request; never shown."""

    token: str = ""
    user: str = ""
    password: str = ""

    @property
    def headers(self) -> dict[str, str]:
        """The header of authorization, none without credentials."""
        if self.token:
            return {"Authorization": f"Token {self.token}"}
        if self.user:
            pair = f"{self.user}:{self.password}".encode()  # RFC 7617
            return {"Authorization": f"Basic {base64.b64encode(pair).decode()}"}
        return {}

    @property
    def as_token(self) -> str:
        """What /api/v2 takes as a token: 1.8 takes user and password so; empty without credentials."""
        return self.token or (f"{self.user}:{self.password}" if self.user else "")

    def __repr__(self) -> str:
        return "Credentials(...)"

    def redact(self, text: str) -> str:
        """The text without the secrets, should a server or a proxy have said them back."""
        for secret in (self.token, self.password):
            if secret:
                text = text.replace(secret, "***")
        return text


def credentials(config: InfluxConfig) -> Credentials:
    """Read the secrets of a sink. Raises SinkError."""
    return Credentials(
        _secret(config, "token", config.token), config.user, _secret(config, "password", config.password)
    )


def _secret(config: InfluxConfig, name: str, secret: Secret | None) -> str:
    if secret is None:
        return ""
    try:
        return secret.read()
    except SinkError as error:
        kind = "env" if secret.file is None else "file"
        key = f"sinks.{config.id}.{name}_{kind}"
        raise SinkError(f"nothing is sent to {config.shown_url}: {error}; correct it or {key}") from None


def tls_context(config: InfluxConfig) -> ssl.SSLContext:
    """How the server's certificate is judged. Raises SinkError when the file of CAs cannot be read."""
    try:
        return ssl.create_default_context(cafile=config.ca_file)
    except (OSError, ssl.SSLError) as error:
        reason = "it has none" if isinstance(error, ssl.SSLError) or not error.strerror else error.strerror
        raise SinkError(
            f"nothing is sent to {config.shown_url}: {config.ca_file} holds no certificates that can be read: {reason};"
            f" correct it or sinks.{config.id}.ca_file"
        ) from None


class InfluxHttp:
    """One server by HTTP; every request ends within the time-out of the sink. Redirections are not followed."""

    def __init__(self, config: InfluxConfig) -> None:
        self._config = config
        self._url = config.url.rstrip("/")
        self._words = InfluxWords(config)
        self._session: aiohttp.ClientSession | None = None
        self.credentials = Credentials()
        self.tls: ssl.SSLContext | None = None

    async def open(self) -> None:
        """Read secrets and certificates. Raises SinkError."""
        await self.close()
        self.credentials = await asyncio.to_thread(credentials, self._config)
        self.tls = await asyncio.to_thread(tls_context, self._config)

    async def close(self) -> None:
        """Let go of all connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None

    async def version(self) -> str:
        """What version the server says it has, "" if it does not. Raises Unanswered and aiohttp.ClientError."""
        answer = await self.request("GET", "/ping", {})
        named = answer.headers.get("X-Influxdb-Version", "")
        if not named and answer.body.startswith(b"{"):
            try:
                named = str(json.loads(answer.body).get("version", ""))
            except (ValueError, AttributeError):
                named = ""
        return named

    async def write(self, body: bytes, *, gzip: bool) -> HttpAnswer:
        """Lines to /write, precision ns. Raises Unanswered and aiohttp.ClientError."""
        params = {"db": self._config.database, "precision": "ns"}
        if self._config.retention_policy:
            params["rp"] = self._config.retention_policy
        headers = {"Content-Type": "text/plain; charset=utf-8"}
        if gzip:
            headers["Content-Encoding"] = "gzip"
        return await self.request("POST", "/write", params, headers, body)

    async def query(self, statements: str) -> list[Any]:
        """Results of InfluxQL statements, times as ns. Raises Unanswered, of which QueryFailed is one."""
        params = {"db": self._config.database, "epoch": "ns", "q": statements}
        if self._config.retention_policy:
            params["rp"] = self._config.retention_policy
        try:
            answer = await self.request("GET", "/query", params, {"Accept": "application/json"})
        except aiohttp.ClientError as error:
            raise Unanswered(self.credentials.redact(self._words.unanswered(error).reason)) from None
        if answer.status != 200:
            text = f"{self._config.shown_url} refuses the query (HTTP {answer.status}: {message(answer.body)})"
            raise QueryFailed(self.credentials.redact(text))
        try:
            results = json.loads(answer.body)["results"]
            failed = [result["error"] for result in results if "error" in result]
        except (ValueError, KeyError, TypeError):
            raise QueryFailed("the answer is not that of InfluxQL") from None
        if failed:
            raise QueryFailed(self.credentials.redact(str(failed[0])[:300]))
        return list(results)

    async def request(
        self, method: str, path: str, params: dict[str, str], headers: dict[str, str] | None = None, body: bytes = b""
    ) -> HttpAnswer:
        """One request. Raises Unanswered when time is up, and aiohttp.ClientError."""
        if self._session is None:
            timeout = aiohttp.ClientTimeout(total=self._config.timeout_s)
            connector = aiohttp.TCPConnector(ssl=self.tls if self.tls is not None else True)
            self._session = aiohttp.ClientSession(timeout=timeout, connector=connector)
        try:
            async with self._session.request(
                method,
                self._url + path,
                params=params,
                headers={**self.credentials.headers, **(headers or {})},
                data=body or None,
                allow_redirects=False,
            ) as answer:
                return HttpAnswer(answer.status, dict(answer.headers), await _body(answer))
        except TimeoutError as error:
            raise Unanswered(self._words.unanswered(error).reason) from None


async def _body(answer: aiohttp.ClientResponse) -> bytes:
    parts: list[bytes] = []
    size = 0
    async for part in answer.content.iter_any():
        size += len(part)
        if size > _ANSWER_BYTES:
            raise Unanswered(f"the answer has more than {_ANSWER_BYTES} bytes")
        parts.append(part)
    return b"".join(parts)


def is_before_1_8(version: str) -> bool:
    """True for a version without /api/v2/write."""
    found = _VERSION_1.match(version)
    return found is not None and int(found[1]) < 8
