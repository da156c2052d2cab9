"""Debian's InfluxDB 1.6.7 as a process of our own: loopback, ports from the OS, files in a folder of the test."""

import asyncio
import json
import os
import shutil
from dataclasses import dataclass
from pathlib import Path

import aiohttp
import pytest

from tests.e2e.running import free_port

CONFIG = """
reporting-disabled = true
bind-address = "127.0.0.1:{rpc}"
[meta]
  dir = "{folder}/meta"
  logging-enabled = false
[data]
  dir = "{folder}/data"
  wal-dir = "{folder}/wal"
  query-log-enabled = false
[monitor]
  store-enabled = false
[subscriber]
  enabled = false
[continuous_queries]
  enabled = false
[logging]
  level = "error"
[http]
  bind-address = "127.0.0.1:{port}"
  log-enabled = false
  auth-enabled = {auth}
"""


def need(program: str) -> str:
    """Path of a program; the test is skipped, or fails with CI=true, when it is not installed."""
    found = shutil.which(program)
    if found is None:
        text = f"{program} is not installed (tests/system_deps.sh)"
        if os.environ.get("CI") == "true":
            pytest.fail(text)
        pytest.skip(text)
    return found


@dataclass
class Influxd:
    """One influxd on its files; may be killed and started again."""

    folder: Path
    port: int = 0
    auth: bool = False
    process: asyncio.subprocess.Process | None = None

    @property
    def url(self) -> str:
        return f"http://127.0.0.1:{self.port}"

    async def start(self) -> None:
        """Start it on the same port and files as before, and wait until it answers."""
        self.port = self.port or free_port()
        self.folder.mkdir(exist_ok=True)
        config = self.folder / "influxdb.conf"
        config.write_text(
            CONFIG.format(folder=self.folder, port=self.port, rpc=free_port(), auth=str(self.auth).lower())
        )
        with (self.folder / "log").open("ab") as log:
            self.process = await asyncio.create_subprocess_exec(
                need("influxd"), "-config", str(config), stdout=log, stderr=log
            )
        async with asyncio.timeout(60), aiohttp.ClientSession() as session:
            while True:
                assert self.process.returncode is None, (self.folder / "log").read_text()
                try:
                    async with session.get(f"{self.url}/ping") as answer:
                        if answer.status == 204:
                            return
                except aiohttp.ClientError:
                    await asyncio.sleep(0.05)

    async def kill(self) -> None:
        """End it at once, as a loss of power would, but for what the kernel still writes."""
        if self.process is not None and self.process.returncode is None:
            self.process.kill()
            await self.process.wait()


async def influxql(
    url: str, database: str, text: str, headers: dict[str, str] | None = None
) -> list[dict[str, object]]:
    """All series of the first statement."""
    async with aiohttp.ClientSession(headers=headers) as session:
        params = {"db": database, "q": text, "epoch": "ns"}
        async with session.post(f"{url}/query", params=params) as answer:
            assert answer.status == 200, await answer.text()
            result = json.loads(await answer.read())["results"][0]
            assert "error" not in result, result
            series: list[dict[str, object]] = result.get("series", [])
            return series


async def line(url: str, database: str, text: str) -> None:
    """Write a line past gridnode."""
    async with (
        aiohttp.ClientSession() as session,
        session.post(f"{url}/write", params={"db": database, "precision": "ns"}, data=text.encode()) as answer,
    ):
        assert answer.status == 204, await answer.text()
