"""Events as bytes of the journal and back. A field is decoded when somebody asks for it.

Layout, little endian: version (u8, 1), audience (u8, a Role), number of fields (u16); then of each field the length of
its path (u16), its path, the length of its value (u32), its value. A path is names one behind the other, each as
namespace index (u16), length (u16) and UTF-8; a value is a Variant in OPC UA binary (OPC 10000-6 section 5.2.2.16).
"""

from __future__ import annotations

import struct
from collections.abc import Iterator, Mapping
from functools import lru_cache
from typing import Any, Final

from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import variant_from_binary, variant_to_binary

from address_space.model import ticks_from_datetime
from node.historian.event_log import EventRecord
from node.roles import Role
from node.server.events.event import Event
from node.server.events.event_types import BASE_EVENT_TYPE, EventTypes, Path
from node.server.transport.wire import DECODE_ERRORS

_VERSION: Final = 1
_HEAD: Final = struct.Struct("<BBH")
_PATH: Final = struct.Struct("<H")
_VALUE: Final = struct.Struct("<I")
_NAME: Final = struct.Struct("<HH")
_LONGEST_NAME: Final = 512  # characters; no event here has one that is longer
_MOST_NAMESPACES: Final = 0xFFFF


class RecordDamaged(ValueError):
    """A record that is no event of ours; the text says why."""


def record_of(event: Event) -> EventRecord:
    """An event as the journal keeps it; a field that cannot be encoded, a client's broken text, is left out."""
    packed = {path: _packed(value) for path, value in event.fields.items()}
    fields = {_packed_path(path): value for path, value in packed.items() if value is not None}
    parts = [_HEAD.pack(_VERSION, int(event.audience), len(fields))]
    for name, value in fields.items():
        parts += (_PATH.pack(len(name)), name, _VALUE.pack(len(value)), value)
    return EventRecord(
        ticks_from_datetime(_plain(event, "Time")),
        _clean(_plain(event, "SourceNode").to_string()),
        _clean(_plain(event, "EventType").to_string()),
        b"".join(parts),
    )


def event_of(record: EventRecord, types: EventTypes) -> Event:
    """The event of a record. Raises RecordDamaged."""
    try:
        version, audience, count = _HEAD.unpack_from(record.body)
        if version != _VERSION:
            raise RecordDamaged(f"version {version} of an event")
        fields = StoredFields(record.body, count)
        event_type = _node_id(record.type)
        return Event(types.line(event_type) or (event_type, BASE_EVENT_TYPE), fields, Role(audience))
    except (struct.error, *DECODE_ERRORS) as error:
        raise RecordDamaged(str(error)) from error


def source_of(record: EventRecord) -> ua.NodeId:
    """The node that an event is of. Raises RecordDamaged."""
    try:
        return _node_id(record.source)
    except DECODE_ERRORS as error:
        raise RecordDamaged(str(error)) from error


class StoredFields(Mapping[Path, ua.Variant]):
    """The fields of a stored event."""

    __slots__ = ("_body", "_places")

    def __init__(self, body: bytes, count: int) -> None:
        self._body = body
        self._places: dict[bytes, tuple[int, int]] = {}
        at = _HEAD.size
        for _ in range(count):
            (length,) = _PATH.unpack_from(body, at)
            at += _PATH.size
            name = body[at : at + length]
            at += length
            (length,) = _VALUE.unpack_from(body, at)
            at += _VALUE.size
            self._places[name] = (at, at + length)
            at += length
        if at != len(body):
            raise RecordDamaged(f"an event of {len(body)} bytes says that it has {at}")

    def packed(self, path: Path) -> bytes | None:
        """A field as it is sent; None when the event does not have it."""
        if any(len(name) > _LONGEST_NAME or not 0 <= namespace <= _MOST_NAMESPACES for namespace, name in path):
            return None  # a client's invention, and nothing that should be kept
        place = self._places.get(_packed_path(path))
        return None if place is None else self._body[place[0] : place[1]]

    def __getitem__(self, path: Path) -> ua.Variant:
        packed = self.packed(path)
        if packed is None:
            raise KeyError(path)
        try:
            return variant_from_binary(Buffer(packed))
        except (struct.error, *DECODE_ERRORS) as error:
            raise RecordDamaged(str(error)) from error

    def __iter__(self) -> Iterator[Path]:
        return map(_path, self._places)

    def __len__(self) -> int:
        return len(self._places)


@lru_cache(maxsize=1024)
def _packed_path(path: Path) -> bytes:
    names = ((namespace, name.encode(errors="surrogatepass")) for namespace, name in path)
    return b"".join(_NAME.pack(namespace, len(name)) + name for namespace, name in names)


def _path(packed: bytes) -> Path:
    found: list[tuple[int, str]] = []
    at = 0
    while at < len(packed):
        namespace, length = _NAME.unpack_from(packed, at)
        at += _NAME.size
        found.append((namespace, packed[at : at + length].decode(errors="surrogatepass")))
        at += length
    return tuple(found)


@lru_cache(maxsize=1024)
def _node_id(text: str) -> ua.NodeId:
    return ua.NodeId.from_string(text)


def _packed(value: ua.Variant) -> bytes | None:
    try:
        return variant_to_binary(value)
    except UnicodeEncodeError:
        return None


def _clean(text: str) -> str:
    return text.encode(errors="replace").decode()


def _plain(event: Event, name: str) -> Any:
    return event.fields[((0, name),)].Value
