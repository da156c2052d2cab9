"""A start takes the standard address space from a file only when that is whole, its own and of this version."""

import hashlib
import logging
import os
import random
import struct
from pathlib import Path
from typing import Any

import pytest
from asyncua import ua

from node.server.standard import space_cache
from node.server.standard.space_cache import FILE, SpaceCache, origin
from node.server.standard.standard_space import StandardNode
from tests.node.server.library_space import differing, library_nodes

HEADER = struct.calcsize("<8sI32sI32s")


@pytest.fixture(scope="module")
def content(tmp_path_factory: pytest.TempPathFactory) -> bytes:
    """A good file."""
    cache = SpaceCache(tmp_path_factory.mktemp("made") / "cache")
    cache.store(library_nodes())
    return cache.path.read_bytes()


@pytest.fixture
def cache(tmp_path: Path, content: bytes) -> SpaceCache:
    """A cache with a good file."""
    folder = tmp_path / "cache"
    folder.mkdir(mode=0o700)
    cache = SpaceCache(folder)
    put(cache, content)
    return cache


def put(cache: SpaceCache, content: bytes) -> None:
    cache.path.write_bytes(content)
    cache.path.chmod(0o600)


class Start:
    """One start with a cache: the nodes, whether they were built, and what the log says."""

    def __init__(self, cache: SpaceCache, caplog: pytest.LogCaptureFixture) -> None:
        self._cache = cache
        self._caplog = caplog
        self.nodes: dict[ua.NodeId, Any] = {}
        self.built = False
        self.lines: list[str] = []

    async def _build(self) -> None:
        self.built = True
        self.nodes.update(library_nodes())

    async def run(self) -> "Start":
        self._caplog.clear()
        with self._caplog.at_level(logging.INFO, space_cache.__name__):
            await self._cache.fill(self.nodes, self._build)
        self.lines = [f"{record.levelname} {record.getMessage()}" for record in self._caplog.records]
        return self


async def test_a_good_file_is_used_in_silence(cache: SpaceCache, caplog: pytest.LogCaptureFixture) -> None:
    start = await Start(cache, caplog).run()
    assert not start.built
    assert start.lines == []
    assert all(isinstance(node, StandardNode) for node in start.nodes.values())
    assert differing(start.nodes, library_nodes()) == []


async def test_the_first_start_builds_and_the_second_does_not(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = SpaceCache(tmp_path / "state" / "cache")
    first = await Start(cache, caplog).run()
    assert first.built
    assert first.nodes == library_nodes()
    assert len(first.lines) == 1
    assert first.lines[0].startswith("INFO")
    assert cache.path.stat().st_mode & 0o777 == 0o600
    assert cache.path.parent.stat().st_mode & 0o777 == 0o700
    assert [each.name for each in cache.path.parent.iterdir()] == [FILE]
    assert not (await Start(cache, caplog).run()).built


def _flip(content: bytes, bit: int) -> bytes:
    changed = bytearray(content)
    changed[bit // 8] ^= 1 << bit % 8
    return bytes(changed)


def _with_header(content: bytes, **changes: Any) -> bytes:
    names = ("magic", "layout", "origin", "length", "checksum")
    parts = dict(zip(names, struct.unpack_from("<8sI32sI32s", content), strict=True)) | changes
    return struct.pack("<8sI32sI32s", *parts.values()) + content[HEADER:]


def _spoiled(content: bytes) -> dict[str, bytes]:
    body = content[HEADER:-1]
    shorter = _with_header(content, length=len(body), checksum=hashlib.sha256(body).digest())[:-1]
    return {
        "empty": b"",
        "half a header": content[: HEADER // 2],
        "header only": content[:HEADER],
        "half": content[: len(content) // 2],
        "last byte gone": content[:-1],
        "one byte more": content + b"\0",
        "zeros": bytes(len(content)),
        "other magic": _with_header(content, magic=b"griddone"),
        "other checksum": _with_header(content, checksum=bytes(32)),
        "other length": _with_header(content, length=len(content)),
        "right checksum of too few bytes": shorter,
        "older layout": _with_header(content, layout=0),
        "newer layout": _with_header(content, layout=space_cache.FORMAT + 1),
        "other library": _with_header(content, origin=bytes(32)),
    }


@pytest.mark.parametrize("name", _spoiled(bytes(200)))
async def test_a_spoiled_file_is_built_anew_and_replaced(
    name: str, content: bytes, cache: SpaceCache, caplog: pytest.LogCaptureFixture
) -> None:
    put(cache, _spoiled(content)[name])
    start = await Start(cache, caplog).run()
    assert start.built
    assert len(start.lines) == 1
    assert str(cache.path) in start.lines[0]
    normal = ("older layout", "newer layout", "other library")  # as after an upgrade
    assert start.lines[0].startswith("INFO" if name in normal else "WARNING")
    assert cache.path.read_bytes() == content
    assert not (await Start(cache, caplog).run()).built


def test_every_bit_counts(cache: SpaceCache, content: bytes, seed: int) -> None:
    dice = random.Random(seed)
    bits = [*dice.sample(range(8 * HEADER), 40), *dice.sample(range(8 * HEADER, 8 * len(content)), 40)]
    for bit in bits:
        put(cache, _flip(content, bit))
        assert cache.load() is None, bit


def test_a_nodes_origin_is_the_library(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    before = origin()
    assert origin() == before
    monkeypatch.setattr(space_cache, "version", lambda _: "2.1.1")
    assert origin() != before
    monkeypatch.undo()
    (tmp_path / "standard_address_space").mkdir()
    (tmp_path / "address_space.py").write_text("")
    monkeypatch.setattr(space_cache.address_space, "__file__", str(tmp_path / "address_space.py"))
    empty = origin()
    (tmp_path / "standard_address_space" / "a.py").write_text("")
    assert len({before, empty, origin()}) == 3


@pytest.mark.parametrize("mode", [0o602, 0o620, 0o666, 0o777])
async def test_a_file_that_others_may_write_is_replaced(
    mode: int, cache: SpaceCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.path.chmod(mode)
    start = await Start(cache, caplog).run()
    assert start.built
    assert [line.partition(" ")[0] for line in start.lines] == ["WARNING"]
    assert "others may write" in start.lines[0]
    assert cache.path.stat().st_mode & 0o777 == 0o600
    assert not (await Start(cache, caplog).run()).built


@pytest.mark.parametrize("mode", [0o702, 0o720, 0o777])
async def test_a_folder_that_others_may_write_is_neither_read_nor_written(
    mode: int, cache: SpaceCache, caplog: pytest.LogCaptureFixture
) -> None:
    cache.path.parent.chmod(mode)
    before = cache.path.stat()
    start = await Start(cache, caplog).run()
    assert start.built
    assert [line.partition(" ")[0] for line in start.lines] == ["WARNING"]
    assert cache.path.stat() == before


@pytest.mark.skipif(os.geteuid() != 0, reason="only root can give files away")
@pytest.mark.parametrize("which", ["file", "folder"])
async def test_what_belongs_to_another_user_is_not_read(
    which: str, cache: SpaceCache, caplog: pytest.LogCaptureFixture
) -> None:
    os.chown(cache.path if which == "file" else cache.path.parent, 12345, -1)
    start = await Start(cache, caplog).run()
    assert start.built
    assert "another user" in start.lines[0]
    assert len(start.lines) == 1


async def test_a_link_is_not_followed(cache: SpaceCache, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    elsewhere = tmp_path / "elsewhere"
    cache.path.rename(elsewhere)
    before = elsewhere.read_bytes()
    cache.path.symlink_to(elsewhere)
    start = await Start(cache, caplog).run()
    assert start.built
    assert len(start.lines) == 1
    assert not cache.path.is_symlink()
    assert elsewhere.read_bytes() == before


async def test_a_start_goes_on_when_the_file_cannot_be_written(
    tmp_path: Path, caplog: pytest.LogCaptureFixture
) -> None:
    (tmp_path / "cache").write_text("a file where the folder should be")
    start = await Start(SpaceCache(tmp_path / "cache"), caplog).run()
    assert start.built
    assert start.nodes == library_nodes()
    assert {line.partition(" ")[0] for line in start.lines} == {"WARNING"}


def test_nodes_that_cannot_be_packed_leave_no_file(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    cache = SpaceCache(tmp_path)
    some = dict(list(library_nodes().items())[:100])  # they refer to others
    cache.store(some)
    assert list(tmp_path.iterdir()) == []
    assert [record.levelname for record in caplog.records] == ["WARNING"]
