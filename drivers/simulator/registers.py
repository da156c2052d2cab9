"""The registers of one simulated device: words by table and address, and its points as views of them.

The words are the only truth, so that several points on one register always agree. Pure: no I/O, no clock.
"""

from __future__ import annotations

import itertools
import math
import struct
from collections.abc import Iterable, Sequence
from dataclasses import replace
from typing import Final

from address_space.model import DataType, Point, Value, is_bad
from drivers import codec
from drivers.spec import LineSource, Profile, RawType, RegisterSource, Table, WordOrder, Write

_BIT_TABLES: Final = (Table.COIL, Table.DISCRETE)
_FLOATS: Final = {RawType.F32: ">f", RawType.F64: ">d"}
# What a register may hold as a plain number.
_NUMBERS: Final = frozenset(codec.LETTERS) - {RawType.BOOL, RawType.BITS16, RawType.BITS32, RawType.BITS64}
_WIDEST_GAP: Final = 125  # registers in the largest read


class Hole(Exception):
    """A register that the device does not have."""


class RegisterImage:
    """Words of all tables of a device, all zero at first."""

    def __init__(self, profile: Profile, order: WordOrder | None) -> None:
        """`order` is the bus's word order, which overrides the profile's."""
        self._profile = profile
        self._bus_order = order
        points = {point.id: point for point in profile.model.points}
        self.sources: dict[str, RegisterSource] = {
            point_id: source for point_id, source in profile.sources.items() if not isinstance(source, LineSource)
        }
        self._points = {point_id: points[point_id] for point_id in self.sources}
        self._words: dict[Table, dict[int, int]] = {table: {} for table in Table}
        self._owners: dict[tuple[Table, int], list[str]] = {}
        self._decoders: dict[str, tuple[codec.Decoder, Table, int, int]] = {}
        for point_id, source in self.sources.items():
            for address in self._addresses(source):
                self._words[source.table][address] = 0
                self._owners.setdefault((source.table, address), []).append(point_id)
        self._lines = {
            point_id: _Line(source, self._addresses(source))
            for point_id, source in self.sources.items()
            if _is_plain(self._points[point_id], source)
        }
        self._fill_gaps()

    def point(self, point_id: str) -> Point:
        """Point by id; raises KeyError when the device has no such point."""
        return self._points[point_id]

    def owners(self, table: Table, addresses: Iterable[int]) -> list[str]:
        """Points that have a word at one of these addresses, each once, in order."""
        return list(dict.fromkeys(point for address in addresses for point in self._owners.get((table, address), ())))

    # --- words

    def read(self, table: Table, address: int, count: int) -> list[int]:
        """Words (or bits) from `address` on; raises Hole."""
        words = self._words[table]
        try:
            return [words[at] for at in range(address, address + count)]
        except KeyError as error:
            raise Hole(f"{table.value} {error.args[0]}") from error

    def write(self, table: Table, address: int, words: Sequence[int]) -> None:
        """Change words; raises Hole and changes nothing when one is not there."""
        self.read(table, address, len(words))
        self._words[table].update(enumerate(words, address))

    def cut(self, table: Table, address: int, count: int = 1) -> None:
        """Make a hole."""
        for at in range(address, address + count):
            self._words[table].pop(at, None)

    # --- points

    def get(self, point_id: str) -> Value | None:
        """Value of a point, None for "no value"; raises KeyError, or Hole when it was cut."""
        decoder, table, first, count = self._decoder(point_id)
        words = self._words[table]
        if self.sources[point_id].address not in words:
            raise Hole(point_id)
        span = [words.get(at, 0) for at in range(first, first + count)]
        if table in _BIT_TABLES:
            payload = bytes(span)
            values, statuses = decoder.decode(_packed(payload))
        else:
            values, statuses = decoder.decode(struct.pack(f">{count}H", *span))
        return None if is_bad(statuses[0]) else values[0]

    def set(self, point_id: str, value: Value | None) -> None:
        """Give a point a value; None = its first sentinel.

        Raises KeyError for an unknown point, ValueError for a value that its registers cannot hold.
        """
        source, point = self.sources[point_id], self._points[point_id]
        if value is None:
            pairs = self._nothing(point_id, source)
        elif source.bits is not None:
            pairs = self._merged(point, source, value)
        else:
            pairs = codec.encode(point, source, _typed(point, value), self._order(source), self._exponent(source))
        self._words[source.table].update(pairs)

    def put(self, point_id: str, value: float) -> None:
        """As `set` for a physics: limited to what the registers hold; a value that the device lacks changes nothing."""
        line = self._lines.get(point_id)
        try:
            if line is None:
                self.set(point_id, value)
            else:
                self._words[self.sources[point_id].table].update(line.words(value))
        except (ValueError, OverflowError):
            # No code for this state, or a raw that means "no value": the old value stays.
            return

    # --- inside

    def _order(self, source: RegisterSource) -> WordOrder:
        return codec.word_order(source, self._profile.modbus.word_order, self._bus_order)

    def _addresses(self, source: RegisterSource) -> tuple[int, ...]:
        return codec.addresses(source, self._order(source))

    def _fill_gaps(self) -> None:
        """Registers between points answer 0 where the profile says that they may be read along."""
        limits = self._profile.modbus
        widest = _WIDEST_GAP if limits.max_gap is None else limits.max_gap
        for words in self._words.values():
            known = sorted(words)
            for low, high in itertools.pairwise(known):
                crosses = any(low < barrier <= high for barrier in limits.barriers)
                if 1 < high - low <= widest + 1 and not crosses:
                    words.update(dict.fromkeys(range(low + 1, high), 0))

    def _decoder(self, point_id: str) -> tuple[codec.Decoder, Table, int, int]:
        made = self._decoders.get(point_id)
        if made is None:
            source = self.sources[point_id]
            addresses = list(self._addresses(source))
            if source.scale_from is not None:
                addresses += self._addresses(self.sources[source.scale_from])
            first, count = min(addresses), max(addresses) - min(addresses) + 1
            point = self._points[point_id]
            decoder = codec.Decoder([(point, source)], self.sources, first, count, self._order)
            made = self._decoders[point_id] = (decoder, source.table, first, count)
        return made

    def _exponent(self, source: RegisterSource) -> int:
        if source.scale_from is None:
            return 0
        power = self.get(source.scale_from)
        return int(power) if isinstance(power, int | float) else 0

    def _merged(self, point: Point, source: RegisterSource, value: Value) -> tuple[tuple[int, int], ...]:
        """Words with one bit field changed."""
        if source.bits is None:
            raise ValueError(f"{point.id} is no bit field")
        order = self._order(source)
        field = codec.encode(point, replace(source, bits=None), _typed(point, value), order)
        addresses = [address for address, _ in field]
        old = _joined([self._words[source.table][address] for address in addresses])
        mask = (1 << (source.bits.high - source.bits.low + 1)) - 1
        number = _joined([word for _, word in field])
        if number > mask:
            raise ValueError(f"{point.id}: {value!r} does not fit bits {source.bits.low} to {source.bits.high}")
        merged = old & ~(mask << source.bits.low) | number << source.bits.low
        size = len(addresses)
        return tuple((at, merged >> 16 * (size - 1 - place) & 0xFFFF) for place, at in enumerate(addresses))

    def _nothing(self, point_id: str, source: RegisterSource) -> tuple[tuple[int, int], ...]:
        """Words that say "no value"."""
        addresses = self._addresses(source)
        if source.type in _FLOATS:
            data = struct.pack(_FLOATS[source.type], math.nan)
        elif source.sentinels:
            number = int(source.sentinels[0]) & ((1 << 16 * source.registers) - 1)
            data = number.to_bytes(2 * source.registers, "big")
        elif source.above is not None:
            data = (int(source.above) + 1).to_bytes(2 * source.registers, "big")
        else:
            raise ValueError(f"{point_id} has no raw that means 'no value'")
        return tuple(zip(addresses, struct.unpack(f">{len(addresses)}H", data), strict=True))


class _Line:
    """Compiled `put` of a number that stands in whole registers: ten times a second for hundreds of points."""

    def __init__(self, source: RegisterSource, addresses: Sequence[int]) -> None:
        letter = codec.LETTERS[source.type]
        self._addresses = addresses
        self._whole = letter not in "fd"
        self._pack = struct.Struct(f">{letter}").pack
        self._unpack = struct.Struct(f">{len(addresses)}H").unpack
        if source.linear is None:
            self._scale, self._offset = source.scale, source.offset
        else:
            (x0, y0), (x1, y1) = source.linear
            self._scale = (y1 - y0) / (x1 - x0)
            self._offset = y0 - x0 * self._scale
        bits = 16 * source.registers
        low: float = -(2 ** (bits - 1)) if letter.islower() else 0
        high: float = low + 2**bits - 1
        self._low = low if source.below is None else max(low, source.below)
        self._high = high if source.above is None else min(high, source.above)
        self._sentinels = {int(raw) % 2**bits for raw in source.sentinels} if self._whole else set()
        self._modulus = 2**bits

    def words(self, value: float) -> zip[tuple[int, int]]:
        """(address, word) of each register; raises ValueError for a raw that means "no value"."""
        raw = (value - self._offset) / self._scale
        if self._whole:
            raw = round(min(max(raw, self._low), self._high))
            if self._sentinels and raw % self._modulus in self._sentinels:
                raise ValueError(f"raw {raw} means that there is no value")
        return zip(self._addresses, self._unpack(self._pack(raw)), strict=True)


def _is_plain(point: Point, source: RegisterSource) -> bool:
    """True for a number that neither shares registers nor depends on a table or on another point."""
    special = source.bits or source.map or source.scale_from or point.data_type is DataType.BOOLEAN
    return not special and source.type in _NUMBERS and source.table not in _BIT_TABLES


def _typed(point: Point, value: Value) -> Value:
    """Value in the Python type of the point: physics and links speak in plain numbers."""
    if isinstance(value, str):
        return value
    if point.data_type is DataType.BOOLEAN:
        return bool(value)
    return int(value) if isinstance(value, bool) else value


def _joined(words: Iterable[int]) -> int:
    number = 0
    for word in words:
        number = number << 16 | word
    return number


def _packed(bits: bytes) -> bytes:
    packed = bytearray((len(bits) + 7) // 8)
    for position, bit in enumerate(bits):
        packed[position // 8] |= (bit & 1) << position % 8
    return bytes(packed)


def writable_points(profile: Profile) -> frozenset[str]:
    """Points that a master may write: settings and what commands write; all others are read-only registers."""
    written = set(profile.settings) | {point.id for point in profile.model.points if point.writable}
    for command in profile.commands.values():
        written.update(step.point for step in command.steps if isinstance(step, Write))
        if command.keep_alive is not None:
            written.update(write.point for write in (*command.keep_alive.writes, *command.keep_alive.farewell))
    return frozenset(written)
