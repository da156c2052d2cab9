"""What stands where InfluxDB should: nobody, a web server, no HTTP at all; each is told so that a person can act."""

import asyncio
from collections.abc import AsyncIterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from threading import Thread

import pytest

from node.sinks.base import Answer, Misconfigured, Retry
from node.sinks.influx import InfluxSink
from node.sinks.influx_config import Api, InfluxConfig
from tests.e2e.influx.server import Influxd
from tests.e2e.running import free_port

pytestmark = pytest.mark.e2e

LINE = "h,device=a,node=a.b,site=demo v=1.5,st=0i 1782777600000000000"


class Quiet(BaseHTTPRequestHandler):
    """A web server as Python has it: it answers POST with 501 and a page."""

    def log_message(self, format: str, *args: object) -> None:
        pass


@pytest.fixture
async def web_server() -> AsyncIterator[int]:
    server = ThreadingHTTPServer(("127.0.0.1", 0), Quiet)
    thread = Thread(target=server.serve_forever, kwargs={"poll_interval": 0.05})
    thread.start()
    yield server.server_address[1]
    await asyncio.to_thread(server.shutdown)
    server.server_close()
    thread.join()


@pytest.fixture
async def no_http() -> AsyncIterator[int]:
    """A port that says something of its own to everybody."""

    async def greet(_reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"SSH-2.0-OpenSSH_9.2\r\n")
        await writer.drain()
        writer.close()

    server = await asyncio.start_server(greet, "127.0.0.1", 0)
    yield server.sockets[0].getsockname()[1]
    server.close()
    await server.wait_closed()


async def answer_of(url: str, api: Api = Api.AUTO, bucket: str = "b") -> Answer:
    sink = InfluxSink(InfluxConfig(id="central", url=url, bucket=bucket, timeout_s=5.0, api=api), "demo")
    await sink.open()
    try:
        return await sink.send([LINE])
    finally:
        await sink.close()


@pytest.mark.parametrize("api", list(Api))
async def test_nobody_there(api: Api) -> None:
    url = f"http://127.0.0.1:{free_port()}"
    text = f"{url} refuses the connection; does InfluxDB run, is sinks.central.url right?"
    assert await answer_of(url, api) == Retry(text)


async def test_an_unknown_host() -> None:
    answer = await answer_of("http://no-such-host.invalid:8086")
    assert isinstance(answer, Retry)
    assert answer.reason.startswith("http://no-such-host.invalid:8086 cannot be reached: the address of no-such-host")
    assert answer.reason.endswith("; is sinks.central.url right?")


async def test_tls_to_a_port_without_it(web_server: int) -> None:
    url = f"https://127.0.0.1:{web_server}"
    text = f"{url} speaks no TLS; write http:// in sinks.central.url, or the port that has TLS"
    assert await answer_of(url) == Misconfigured(text)


@pytest.mark.parametrize("api", list(Api))
async def test_a_web_server_that_is_no_influxdb(api: Api, web_server: int) -> None:
    answer = await answer_of(f"http://127.0.0.1:{web_server}", api)
    assert isinstance(answer, Misconfigured)
    assert answer.answered
    assert answer.reason == (
        f"http://127.0.0.1:{web_server} answers as a web server, not as InfluxDB (HTTP 501: Error response);"
        " is sinks.central.url right?"
    )


async def test_a_port_that_speaks_no_http(no_http: int) -> None:
    url = f"http://127.0.0.1:{no_http}"
    assert await answer_of(url) == Misconfigured(f"{url} does not speak HTTP; is the port in sinks.central.url right?")


async def test_a_wrong_path_and_a_wrong_policy_of_a_real_server(influxd: Influxd) -> None:
    answer = await answer_of(f"{influxd.url}/influx")
    assert isinstance(answer, Misconfigured)
    assert answer.answered
    assert answer.reason.startswith(f"{influxd.url}/influx has nothing at /write (HTTP 404: 404 page not found")
    answer = await answer_of(influxd.url, bucket="gridnode/year")
    assert isinstance(answer, Misconfigured)
    assert answer.reason.startswith(f"{influxd.url} has no database or bucket 'gridnode/year' (HTTP ")
