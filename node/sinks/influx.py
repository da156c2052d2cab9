"""The InfluxDB sink: /api/v2/write through influxdb-client, /write for servers before 1.8."""

from __future__ import annotations

import asyncio
import zlib
from collections.abc import Sequence
from dataclasses import replace
from typing import Final

import aiohttp
from influxdb_client.client.influxdb_client_async import InfluxDBClientAsync
from influxdb_client.rest import ApiException
from influxdb_client.service.write_service import WriteService

from node.historian.forwarding.feed import Portion
from node.sinks.base import Answer, Lines, Misconfigured, Poison, Retry, SinkConfig, TooBig
from node.sinks.influx_config import Api, InfluxConfig
from node.sinks.influx_http import InfluxHttp, Unanswered, is_before_1_8
from node.sinks.influx_words import InfluxWords
from node.sinks.line_protocol import LineEncoder

# More would cost more time than the wire saves.
_GZIP_LEVEL: Final = 1
_GZIP_FORMAT: Final = 31  # zlib's code for the largest window with gzip's header
_PRECISION: Final = "ns"
_PATHS: Final = {Api.V1: "/write", Api.V2: "/api/v2/write"}


class InfluxSink:
    """Writes lines to one InfluxDB or what speaks like it; a `Sink`."""

    def __init__(self, config: SinkConfig, site: str) -> None:
        """Raises TypeError for the configuration of another kind of sink, ValueError for a site that is no tag."""
        if not isinstance(config, InfluxConfig):
            raise TypeError(f"sink {config.id} is not configured as an InfluxDB")
        self._config = config
        self._encoder = LineEncoder(site)
        self._http = InfluxHttp(config)
        self._words = InfluxWords(config)
        self._client: InfluxDBClientAsync | None = None
        self._api: Api | None = None

    def encode(self, portion: Portion) -> Lines:
        """See `Sink.encode`."""
        return self._encoder.encode(portion)

    async def open(self) -> None:
        """See `Sink.open`."""
        await self.close()
        await self._http.open()

    async def close(self) -> None:
        """See `Sink.close`."""
        client, self._client = self._client, None
        self._api = None
        if client is not None:
            await client.close()
        await self._http.close()

    async def ping(self) -> bool:
        """See `Sink.ping`."""
        try:
            await self._http.version()
        except (Unanswered, aiohttp.ClientError, OSError):
            return False
        return True

    async def send(self, lines: Sequence[str]) -> Answer:
        """See `Sink.send`."""
        answer = await self._send(lines)
        if isinstance(answer, Retry | Poison | TooBig | Misconfigured):
            # A server or a proxy may say back what it was sent.
            return replace(answer, reason=self._http.credentials.redact(answer.reason))
        return answer

    async def _send(self, lines: Sequence[str]) -> Answer:
        try:
            body = await asyncio.to_thread(_body, lines, self._config.gzip)
            if await self._chosen() is Api.V1:
                said = await self._http.write(body, gzip=self._config.gzip)
                return self._words.answered(_PATHS[Api.V1], said.status, said.headers, said.body)
            return await self._write_v2(body)
        except ApiException as error:
            # It has a status of 0 when the client itself did not send it.
            if not error.status:
                said_it = " ".join(str(error.reason).split())
                return Misconfigured(f"nothing can be sent to {self._config.shown_url}: {said_it}")
            headers, content = dict(error.headers or {}), bytes(error.body or b"")
            return self._words.answered(_PATHS[Api.V2], int(error.status), headers, content)
        except Unanswered as error:
            return Retry(str(error), slow=True)
        except (aiohttp.ClientError, OSError) as error:
            return self._words.unanswered(error)

    async def _write_v2(self, body: bytes) -> Answer:
        service = WriteService(self._opened().api_client)
        _data, status, headers = await service.post_write_async(
            self._config.org,
            self._config.bucket,
            body,
            precision=_PRECISION,
            content_type="text/plain; charset=utf-8",
            **({"content_encoding": "gzip"} if self._config.gzip else {}),
            async_req=False,
            _return_http_data_only=False,
        )
        return self._words.answered(_PATHS[Api.V2], int(status), dict(headers or {}), b"")

    def _opened(self) -> InfluxDBClientAsync:
        if self._client is None:
            self._client = InfluxDBClientAsync(
                self._config.url.rstrip("/"),
                token=self._http.credentials.as_token,  # none without credentials
                org=self._config.org,
                timeout=aiohttp.ClientTimeout(total=self._config.timeout_s),
                ssl_context=self._http.tls,
                allow_redirects=False,
            )
        return self._client

    async def _chosen(self) -> Api:
        """Which way this server is written to; asked once per connection. Raises Unanswered, aiohttp.ClientError."""
        if self._api is None:
            chosen = self._config.api
            if chosen is Api.AUTO:
                chosen = Api.V1 if is_before_1_8(await self._http.version()) else Api.V2
            self._api = chosen
        return self._api


def _body(lines: Sequence[str], gzip: bool) -> bytes:
    raw = "\n".join(lines).encode()
    if not gzip:
        return raw
    packer = zlib.compressobj(_GZIP_LEVEL, zlib.DEFLATED, _GZIP_FORMAT)
    return packer.compress(raw) + packer.flush()
