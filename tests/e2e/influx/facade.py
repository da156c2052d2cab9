"""The write API of InfluxDB 2 in front of a real InfluxDB 1.6.7, with faults to order.

Real are parsing, storing, overwriting, partial writes and reading; made up are organization, bucket, token, the codes
of newer versions, and the faults. In front of a server of version 2 it only passes on, and makes the faults.
"""

import asyncio
import json
import ssl
import zlib
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, field

import aiohttp
from aiohttp import web

TOKEN = "a-token-of-the-tests"
ORG = "plant"

Fault = Callable[["Facade", web.Request, bytes], Awaitable[web.StreamResponse | None]]


@dataclass
class Facade:
    """One façade. `fault` is asked about every write; what it returns is the answer, None lets the write through."""

    target: str
    version: str = "v2.7.1"
    target_token: str = ""  # set for a target that speaks version 2 itself
    target_org: str = ""
    partial: int = 422  # code of a write that was stored in part
    fault: Fault | None = None
    writes: int = 0
    lines: list[int] = field(default_factory=list)  # of each write that was let through
    codes: list[int] = field(default_factory=list)
    _runner: web.AppRunner | None = None
    _session: aiohttp.ClientSession | None = None
    port: int = 0
    tls: ssl.SSLContext | None = None

    @property
    def url(self) -> str:
        return f"http{'s' if self.tls else ''}://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Listen, on the same port as before."""
        app = web.Application(client_max_size=64 * 1024 * 1024)
        app.router.add_get("/ping", self._ping)
        app.router.add_post("/api/v2/write", self._write)
        app.router.add_post("/write", self._no_such)
        app.router.add_get("/query", self._query)
        app.router.add_post("/query", self._query)
        self._runner = web.AppRunner(app, access_log=None, shutdown_timeout=0.1)
        await self._runner.setup()
        site = web.TCPSite(self._runner, "127.0.0.1", self.port, reuse_address=True, ssl_context=self.tls)
        await site.start()
        if not self.port:
            self.port = self._runner.addresses[0][1]
        self._session = aiohttp.ClientSession()

    async def stop(self) -> None:
        """Refuse connections."""
        if self._session is not None:
            await self._session.close()
            self._session = None
        if self._runner is not None:
            await self._runner.cleanup()
            self._runner = None

    async def _ping(self, _request: web.Request) -> web.Response:
        return web.Response(status=204, headers={"X-Influxdb-Version": self.version})

    async def _no_such(self, _request: web.Request) -> web.Response:
        return web.Response(status=404, text="404 page not found")

    async def _write(self, request: web.Request) -> web.StreamResponse:
        self.writes += 1
        if request.headers.get("Authorization") != f"Token {TOKEN}":
            return self._answer(refusal(401, "unauthorized access"))
        if request.query.get("precision") != "ns":
            return self._answer(refusal(400, "a precision that is not ours"))
        body = await request.read()  # aiohttp unpacks it
        if body[:2] == b"\x1f\x8b":
            body = zlib.decompress(body, 31)
        answer = None if self.fault is None else await self.fault(self, request, body)
        return self._answer(answer if answer is not None else await self.store(request, body))

    def _answer(self, answer: web.StreamResponse) -> web.StreamResponse:
        self.codes.append(answer.status)
        return answer

    async def store(self, request: web.Request, body: bytes) -> web.Response:
        """Pass the lines on, and answer as version 2 does."""
        assert self._session is not None
        self.lines.append(body.count(b"\n") + 1)
        if self.target_token:
            place, params = (
                "/api/v2/write",
                {"org": self.target_org, "bucket": request.query["bucket"], "precision": "ns"},
            )
        else:
            place, params = "/write", {"db": request.query["bucket"], "precision": "ns"}
        headers = {"Authorization": f"Token {self.target_token}"} if self.target_token else {}
        async with self._session.post(self.target + place, params=params, data=body, headers=headers) as answer:
            text = await answer.text()
            if answer.status == 204:
                return web.Response(status=204)
            code = self.partial if "partial write" in text else answer.status
            said = json.loads(text)
            return refusal(code, str(said.get("message") or said.get("error")))

    async def _query(self, request: web.Request) -> web.Response:
        if request.headers.get("Authorization") != f"Token {TOKEN}":
            return refusal(401, "unauthorized access")
        assert self._session is not None
        headers = {"Authorization": f"Token {self.target_token}"} if self.target_token else {}
        async with self._session.get(f"{self.target}/query", params=request.query, headers=headers) as answer:
            return web.Response(status=answer.status, body=await answer.read(), content_type="application/json")


def refusal(status: int, message: str, headers: dict[str, str] | None = None) -> web.Response:
    """An error as version 2 says it."""
    body = json.dumps({"code": "an error", "message": message})
    return web.Response(status=status, text=body, content_type="application/json", headers=headers)


def cut(request: web.Request) -> None:
    """Close the connection without a word."""
    assert request.transport is not None
    request.transport.abort()


# --- faults, each for the first writes only


def first(count: int, fault: Fault) -> Fault:
    """The fault for so many writes, then none."""

    async def limited(facade: Facade, request: web.Request, body: bytes) -> web.StreamResponse | None:
        nonlocal count
        count -= 1
        return await fault(facade, request, body) if count >= 0 else None

    return limited


def code(status: int, message: str = "as ordered", headers: dict[str, str] | None = None) -> Fault:
    """Always this answer; nothing is stored."""

    async def answer(_facade: Facade, _request: web.Request, _body: bytes) -> web.StreamResponse | None:
        return refusal(status, message, headers)

    return answer


def longer_than(size: int) -> Fault:
    """413 for what is longer than so many bytes."""

    async def answer(_facade: Facade, _request: web.Request, body: bytes) -> web.StreamResponse | None:
        return refusal(413, "request entity too large") if len(body) > size else None

    return answer


def with_text(text: bytes, status: int) -> Fault:
    """This answer for every write with a text in it; nothing of it is stored."""

    async def answer(_facade: Facade, _request: web.Request, body: bytes) -> web.StreamResponse | None:
        return refusal(status, f"cannot take {len(body)} bytes") if text in body else None

    return answer


async def hang(_facade: Facade, _request: web.Request, _body: bytes) -> web.StreamResponse | None:
    """No answer within the time of the client."""
    await asyncio.sleep(30)
    return None


async def cut_before(_facade: Facade, request: web.Request, _body: bytes) -> web.StreamResponse | None:
    """The connection breaks; nothing is stored."""
    cut(request)
    return web.Response(status=500)


async def lose_answer(facade: Facade, request: web.Request, body: bytes) -> web.StreamResponse | None:
    """Everything is stored, and the connection breaks before the answer."""
    await facade.store(request, body)
    cut(request)
    return web.Response(status=500)


async def cut_answer(facade: Facade, request: web.Request, body: bytes) -> web.StreamResponse | None:
    """Everything is stored, and the connection breaks in the middle of the answer."""
    await facade.store(request, body)
    answer = web.StreamResponse(status=204, headers={"Content-Length": "100"})
    answer.set_status(200)
    await answer.prepare(request)
    await answer.write(b"{")
    cut(request)
    return answer


async def slow(_facade: Facade, _request: web.Request, _body: bytes) -> web.StreamResponse | None:
    """The answer comes late, within the time of the client."""
    await asyncio.sleep(0.3)
    return None


async def half(facade: Facade, request: web.Request, body: bytes) -> web.StreamResponse | None:
    """Half of the lines are stored, then the server fails."""
    lines = body.split(b"\n")
    await facade.store(request, b"\n".join(lines[: len(lines) // 2 or 1]))
    return refusal(503, "out of memory")
