"""What goes over loopback to one port, captured by dumpcap and taken apart by tshark: a decoder that is not ours."""

import asyncio
import json
import secrets
import shutil
import socket
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from tests.tools import require_tool, unavailable

_ASK_AGAIN_S = 0.05
_SEEN_WITHIN_S = 20.0


@dataclass(frozen=True, slots=True)
class Message:
    """One OPC UA message as tshark understands it."""

    frame: int
    kind: str  # HEL, ACK, ERR, OPN, MSG or CLO
    chunk: str  # F for a message that is whole
    secret: bool  # an OPN of a channel with security is encrypted, whatever the mode is
    service: str  # name of the structure, such as "ReadRequest"; empty where there is none
    tree: dict[str, Any]


@dataclass(frozen=True, slots=True)
class Complaint:
    """Something that tshark finds wrong, and the names of the tree's members that lead to it."""

    frame: int
    path: tuple[str, ...]
    text: str


class Capture:
    """A file with the packets of one TCP port."""

    def __init__(self, path: Path, port: int) -> None:
        self.path = path
        self._port = port

    async def decode(self) -> tuple[list[Message], list[Complaint]]:
        """All OPC UA messages, and all that is wrong with frames that have them and can be read."""
        how = ("-d", f"tcp.port=={self._port},opcua", "-Y", "opcua", "-T", "json", "--no-duplicate-keys")
        process = await asyncio.create_subprocess_exec(
            *(require_tool("tshark"), "-r", str(self.path), *how),
            stdout=asyncio.subprocess.PIPE,
            stderr=asyncio.subprocess.PIPE,
        )
        output, errors = await process.communicate()
        assert process.returncode == 0, errors.decode()
        messages: list[Message] = []
        complaints: list[Complaint] = []
        for packet in json.loads(output):
            layers = packet["_source"]["layers"]
            number = int(layers["frame"]["frame.number"])
            found = [_message(number, tree) for tree in _each(layers["opcua"])]
            messages += found
            if not all(message.secret for message in found):
                # TCP's own remarks, such as that a connection begins, are none about OPC UA.
                seen = {name: layer for name, layer in layers.items() if name not in ("frame", "eth", "ip", "tcp")}
                complaints += _complaints(number, seen, ())
        return messages, complaints


def _message(frame: int, tree: dict[str, Any]) -> Message:
    kind, policy = tree["opcua.transport.type"], tree.get("opcua.security.spu", "")
    secret = kind == "OPN" and not policy.endswith("#None")
    bodies = [body for name, body in tree.items() if name.endswith(": Encodeable Object")]
    names = [name for body in bodies for name in body if not name.startswith("TypeId")]
    return Message(frame, kind, tree["opcua.transport.chunk"], secret, "" if secret else "".join(names), tree)


def _complaints(frame: int, tree: Any, path: tuple[str, ...]) -> Iterator[Complaint]:
    """What tshark has written beside the members that it concerns."""
    for name, member in tree.items() if isinstance(tree, dict) else ():
        if name in ("_ws.malformed", "_ws.expert"):
            for each in _each(member):
                text = str(each.get("_ws.expert.message", name)) if isinstance(each, dict) else str(each)
                yield Complaint(frame, path, text)
            continue
        for each in _each(member):
            yield from _complaints(frame, each, (*path, name))


def _each(member: Any) -> list[Any]:
    """A member that occurs several times is a list."""
    return member if isinstance(member, list) else [member]


@asynccontextmanager
async def capturing(path: Path, port: int) -> AsyncIterator[Capture]:
    """Capture all that goes to and from a port of loopback, from before the body until after it."""
    dumpcap = shutil.which("dumpcap") or require_tool("tshark")
    with socket.socket(socket.AF_INET, socket.SOCK_DGRAM) as mark:
        mark.bind(("127.0.0.1", 0))
        there = mark.getsockname()
        wanted = f"tcp port {port} or udp port {there[1]}"
        process = await asyncio.create_subprocess_exec(
            *(dumpcap, "-q", "-i", "lo", "-f", wanted, "-w", str(path)),
            stdout=asyncio.subprocess.DEVNULL,
            stderr=asyncio.subprocess.PIPE,
        )
        try:
            await _mark(process, mark, path)
            yield Capture(path, port)
            await _mark(process, mark, path)
        finally:
            if process.returncode is None:
                process.terminate()
            await process.wait()


async def _mark(process: asyncio.subprocess.Process, mark: socket.socket, path: Path) -> None:
    """Send a mark until it is in the file: what went before it is there as well."""
    word = secrets.token_bytes(32)
    async with asyncio.timeout(_SEEN_WITHIN_S):
        while not (path.exists() and word in path.read_bytes()):
            if process.returncode is not None:
                assert process.stderr is not None
                words = (await process.stderr.read()).decode().strip()
                unavailable(f"dumpcap cannot capture on loopback (root can): {words.partition(chr(10))[0]}")
            mark.sendto(word, mark.getsockname())
            await asyncio.sleep(_ASK_AGAIN_S)
