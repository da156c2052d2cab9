"""The Node.js program of node_client/ as an object: OPC UA spoken by a library that is not ours."""

import asyncio
import json
import re
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

from tests.tools import require_node_client

_ANSWER_S = 30.0
_LINE_BYTES = 64 * 1024 * 1024  # everything that can be browsed is one line


class ForeignError(Exception):
    """What the foreign client says went wrong; the text has the name of the status."""

    @property
    def status(self) -> str:
        """The first name of a status in the text; empty when there is none."""
        found = re.search(r"Bad[A-Z]\w+", str(self))
        return "" if found is None else found[0]


class ForeignClient:
    """Speaks JSON lines with the program; commands may be in work beside each other."""

    def __init__(self, process: asyncio.subprocess.Process) -> None:
        self._process = process
        self._waiting: dict[int, asyncio.Future[Any]] = {}
        self._next = 0
        self._ended = False
        self._events: dict[str, asyncio.Queue[dict[str, Any]]] = {}

    async def do(self, command: str, **given: Any) -> Any:
        """Let the program carry out a command. Raises ForeignError."""
        self._next += 1
        answer: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self._waiting[self._next] = answer
        assert self._process.stdin is not None
        if self._ended:
            raise ForeignError("the program has ended")
        self._process.stdin.write(json.dumps({"id": self._next, "do": command, **given}).encode() + b"\n")
        async with asyncio.timeout(_ANSWER_S):
            return await answer

    def changes(self, subscription: str) -> asyncio.Queue[dict[str, Any]]:
        """What a subscription brings."""
        return self._events.setdefault(subscription, asyncio.Queue())

    async def listen(self) -> None:
        """Take what the program says until it ends."""
        assert self._process.stdout is not None
        async for line in self._process.stdout:
            message = json.loads(line)
            if "event" in message:
                self.changes(message["subscription"]).put_nowait(message)
                continue
            answer = self._waiting.pop(message["id"])
            if answer.done():
                continue  # its caller gave up
            if "error" in message:
                answer.set_exception(ForeignError(message["error"]))
            else:
                answer.set_result(message["ok"])
        self._ended = True
        for answer in self._waiting.values():
            if not answer.done():
                answer.set_exception(ForeignError("the program has ended"))


@asynccontextmanager
async def foreign_client(words: Path) -> AsyncIterator[ForeignClient]:
    """A running program; what it has to say beside its answers goes to the file `words`."""
    node, folder = require_node_client()
    with words.open("wb") as errors:
        process = await asyncio.create_subprocess_exec(
            node,
            "--dns-result-order=ipv4first",  # the node of the tests listens on IPv4 only
            "driver.js",
            cwd=folder,
            stdin=asyncio.subprocess.PIPE,
            stdout=asyncio.subprocess.PIPE,
            stderr=errors,
            limit=_LINE_BYTES,
        )
        client = ForeignClient(process)
        listening = asyncio.create_task(client.listen())
        try:
            yield client
        finally:
            assert process.stdin is not None
            process.stdin.close()
            try:
                async with asyncio.timeout(10):
                    await process.wait()
            except TimeoutError:
                process.kill()
                await process.wait()
            await listening
