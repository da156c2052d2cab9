"""Points by the bytes of what a client reads, and their newest samples as bytes."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass
from itertools import groupby, repeat
from operator import itemgetter
from struct import Struct, error
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import struct_to_binary

from address_space.builder import BuiltSpace
from address_space.image import ProcessImage
from address_space.model import DataType, PointKind
from address_space.shape import NS_SITE, node_id
from address_space.values import WIRE_LETTERS
from node.roles import Role
from node.server.fast.layout import TEXT_ID, TEXT_KIND
from node.server.reading import AttributeReader, Stamps
from node.server.security.access import READ, user_access_level

# A read value id behind its NodeId: attribute Value, no range, no encoding; a text of no bytes may be null or empty.
_ABSENT: Final = (b"\xff\xff\xff\xff", b"\0\0\0\0")
TAILS: Final = frozenset(
    ua.AttributeIds.Value.to_bytes(4, "little") + span + b"\0\0" + encoding for span in _ABSENT for encoding in _ABSENT
)
TAIL_BYTES: Final = 14
# Entries kept at a time; one takes about 0.3 KiB.
_KEPT: Final = 20_000

_BAD: Final = 0x8000_0000
_VALUE_AND_STATUS: Final = 0x03
_SOURCE: Final = 0x04
_SERVER: Final = 0x08
# What struct packs exactly as the ordinary way does, or refuses. Texts, times and Floats (whose largest value struct
# rounds to) go the ordinary way one by one.
_FORMATS: Final = {data_type: code for data_type, code in WIRE_LETTERS.items() if data_type is not DataType.FLOAT}
_MANY: Final = 4  # points of one type in a row that are packed as columns


@dataclass(frozen=True, slots=True)
class Entry:
    """One readable point."""

    slot: int
    data_type: int  # built-in type; 0 for what is read one by one
    node_id: ua.NodeId


@dataclass(frozen=True, slots=True)
class _Run:
    """Points of one type that follow each other in a request."""

    entries: tuple[Entry, ...]
    data_type: int
    pick: Callable[[Sequence[Any]], tuple[Any, ...]] | None  # their column; None for few


Plan = tuple[_Run, ...]


class Form:
    """How data values look for one choice of time stamps."""

    def __init__(self, stamps: Stamps) -> None:
        self.stamps = stamps
        self.mask = _VALUE_AND_STATUS | (_SOURCE if stamps.source else 0) | (_SERVER if stamps.server else 0)
        times = "q" * (stamps.source + stamps.server)
        self.bad = Struct(f"<BBI{times}")
        self.good = {int(data_type): Struct(f"<BB{code}I{times}").pack for data_type, code in _FORMATS.items()}


class Points:
    """Finds points by bytes and packs what the image has of them."""

    def __init__(self, space: BuiltSpace, image: ProcessImage, reader: AttributeReader) -> None:
        self._space = space
        self._image = image
        self._reader = reader
        self._known: dict[bytes, Entry] = {}

    def plan(self, data: bytes, at: int, count: int) -> Plan | None:
        """What `count` read value ids from `at` to the end of `data` ask for; None when one is not a point's Value.

        Raises IndexError and struct.error for bytes that end too early.
        """
        entries: list[Entry] = []
        known, header = self._known, TEXT_ID.unpack_from
        for _ in range(count):
            kind, _space, length = header(data, at)
            if kind != TEXT_KIND or length < 0:
                return None
            end = at + TEXT_ID.size + length + TAIL_BYTES
            item = data[at:end]
            entry = known.get(item) or self._find(item)
            if entry is None:
                return None
            entries.append(entry)
            at = end
        return None if at != len(data) else tuple(_runs(entries))

    def pack(self, plan: Plan, form: Form, role: Role, now: int) -> list[bytes]:
        """The newest samples as data values, in the order of the plan."""
        packed: list[bytes] = []
        for run in plan:
            column = None if run.pick is None else self._columns(run, run.pick, form, now)
            packed += column or (self._one(entry, form, role, now) for entry in run.entries)
        return packed

    # --- inside

    def _columns(
        self, run: _Run, pick: Callable[[Sequence[Any]], tuple[Any, ...]], form: Form, now: int
    ) -> list[bytes] | None:
        """All at once; None when one of them has no value, or not one of its type."""
        image = self._image
        values, statuses = pick(image.values), pick(image.statuses)
        if max(statuses) >= _BAD or None in values:
            return None
        columns: list[Any] = [repeat(form.mask), repeat(run.data_type), values, statuses]
        if form.stamps.source:
            columns.append(pick(image.sources))
        if form.stamps.server:
            columns.append(repeat(now))
        try:
            return list(map(form.good[run.data_type], *columns))
        except (error, OverflowError):
            return None

    def _one(self, entry: Entry, form: Form, role: Role, now: int) -> bytes:
        image, slot = self._image, entry.slot
        status, value = image.statuses[slot], image.values[slot]
        times = (image.sources[slot],) if form.stamps.source else ()
        if form.stamps.server:
            times = (*times, now)
        if status >= _BAD:
            return form.bad.pack(form.mask, 0, status, *times)
        if entry.data_type and value is not None:
            try:
                return form.good[entry.data_type](form.mask, entry.data_type, value, status, *times)
            except (error, OverflowError):
                pass  # not a value of its type: what that means is for the ordinary way
        item = ua.ReadValueId(entry.node_id, ua.AttributeIds.Value)
        return struct_to_binary(self._reader.read(item, role, form.stamps))

    def _find(self, item: bytes) -> Entry | None:
        """Look a read value id up and remember it; None when it is not just the Value of a point for everybody."""
        _kind, namespace, length = TEXT_ID.unpack_from(item)
        if namespace != NS_SITE or item[-TAIL_BYTES:] not in TAILS or len(item) != TEXT_ID.size + length + TAIL_BYTES:
            return None
        try:
            nodeid = node_id(item[TEXT_ID.size : -TAIL_BYTES].decode(), NS_SITE)
        except UnicodeDecodeError:
            return None
        slot = self._space.point_of(nodeid)
        if slot is None or not user_access_level(self._space.nodes.get(nodeid), min(Role)) & READ:
            return None
        _device, point = self._image.owner(slot)
        packs = point.data_type in _FORMATS and point.kind is not PointKind.TIME
        if len(self._known) >= _KEPT:
            self._known.clear()
        entry = self._known[item] = Entry(slot, int(point.data_type) if packs else 0, nodeid)
        return entry


def _runs(entries: Sequence[Entry]) -> Iterator[_Run]:
    for data_type, group in groupby(entries, key=lambda entry: entry.data_type):
        run = tuple(group)
        slots = [entry.slot for entry in run]
        yield _Run(run, data_type, itemgetter(*slots) if data_type and len(run) >= _MANY else None)
