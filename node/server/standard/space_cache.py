"""The file that spares a start the building of the standard address space, which takes most of a second.

It is only ever a shortcut: whatever is wrong with it, the space is built as the library does it and the file is made
anew. Its header names the layout and everything that the nodes come from, so another library never meets it.
"""

from __future__ import annotations

import asyncio
import hashlib
import logging
import os
import stat
import struct
from collections.abc import Awaitable, Callable, Mapping, MutableMapping
from importlib.metadata import version
from pathlib import Path
from typing import Any, Final

from asyncua import ua
from asyncua.server import address_space

from node.server.security.private_file import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, write_atomic
from node.server.standard.standard_space import FORMAT, Damaged, PackedSpace, StandardNode, Unpackable, pack

_LOG = logging.getLogger(__name__)

FILE: Final = "standard-address-space"
_MAGIC: Final = b"gridnode"
# Magic, layout, origin of the nodes, length of what follows, its SHA-256; little endian.
_HEADER: Final = struct.Struct("<8sI32sI32s")


class _Outdated(Exception):
    """The file belongs to another version; the text says of what."""


class _Distrusted(Exception):
    """Others own the folder or file or may write it; the text says which."""


class SpaceCache:
    """The cache file in a folder of this node's own, which is made when it is needed."""

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self.path = folder / FILE

    async def fill(self, nodes: MutableMapping[ua.NodeId, Any], build: Callable[[], Awaitable[None]]) -> None:
        """Put the standard address space into `nodes`: from the file, else by `build`, which puts it there too.

        Says in one line of the log why it has to be built. Raises only what `build` raises.
        """
        standard = await asyncio.to_thread(self.load)
        if standard is not None:
            nodes.update(standard)
            return
        await build()
        await asyncio.to_thread(self.store, nodes)

    def load(self) -> dict[ua.NodeId, StandardNode] | None:
        """The nodes of the standard address space; None when there is no good file of our own."""
        try:
            return dict(PackedSpace(self._read()).nodes())
        except FileNotFoundError:
            _LOG.info("the standard address space is built; later starts take it from %s and are faster", self.path)
        except _Outdated as reason:
            _LOG.info("the standard address space is built anew: %s is of another version of %s", self.path, reason)
        except (_Distrusted, Damaged, OSError) as reason:
            _LOG.warning("the standard address space is built, because %s is of no use: %s", self.path, reason)
        return None

    def store(self, nodes: Mapping[ua.NodeId, Any]) -> None:
        """Make the file from nodes as the library has built them; a failure costs only later starts their time."""
        try:
            body = pack(nodes)
            header = _HEADER.pack(_MAGIC, FORMAT, origin(), len(body), hashlib.sha256(body).digest())
            make_folder(self._folder, PRIVATE_FOLDER)
            _check(self._folder, self._folder.lstat(), stat.S_ISDIR)
            write_atomic(self.path, header + body, PRIVATE_FILE)
        except _Distrusted as reason:
            _LOG.debug("no cache of the standard address space: %s", reason)  # `load` has said it
        except (Unpackable, OSError) as reason:
            _LOG.warning("later starts take as long as this one: %s cannot be written: %s", self.path, reason)

    def _read(self) -> bytes:
        """What follows the header of a file that is ours, whole and of this version."""
        _check(self._folder, self._folder.lstat(), stat.S_ISDIR)
        with os.fdopen(os.open(self.path, os.O_RDONLY | os.O_NOFOLLOW | os.O_CLOEXEC), "rb") as file:
            _check(self.path, os.fstat(file.fileno()), stat.S_ISREG)
            content = file.read()
        if len(content) < _HEADER.size:
            raise Damaged("it ends too early")
        magic, layout, nodes_from, length, checksum = _HEADER.unpack_from(content)
        body = content[_HEADER.size :]
        if magic != _MAGIC:
            raise Damaged("it is something else")
        if layout != FORMAT:
            raise _Outdated("gridnode")
        if nodes_from != origin():
            raise _Outdated("asyncua")
        if len(body) != length or hashlib.sha256(body).digest() != checksum:
            raise Damaged("its checksum does not fit")
        return body


def origin() -> bytes:
    """SHA-256 over the library's version and the sources that make the nodes. Raises OSError when one is not there."""
    made_by = Path(address_space.__file__)
    digest = hashlib.sha256(version("asyncua").encode())
    for path in (made_by, *sorted((made_by.parent / "standard_address_space").glob("*.py"))):
        source = path.read_bytes()
        digest.update(f"\n{path.name} {len(source)}\n".encode())
        digest.update(source)
    return digest.digest()


def _check(path: Path, found: os.stat_result, kind: Callable[[int], bool]) -> None:
    """Raise _Distrusted unless it is of that kind, of this user or root, and nobody else may write it."""
    if not kind(found.st_mode):
        raise _Distrusted(f"{path} is not what it should be")
    if found.st_uid not in (os.geteuid(), 0):
        raise _Distrusted(f"{path} belongs to another user ({found.st_uid})")
    if found.st_mode & 0o022:
        raise _Distrusted(f"others may write {path} (mode {stat.S_IMODE(found.st_mode):o})")
