"""Registers <-> engineering values. Pure: no I/O, no clock.

raw -> sentinel check -> bit field -> scale factor, scale and offset or `linear` or `map` -> value. A raw that means
"no value" is BadSensorFailure; a code that a table does not have stays raw and is Uncertain.
"""

from __future__ import annotations

import math
import struct
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from operator import itemgetter
from typing import Any, Final

from address_space.model import INTEGER_RANGES, DataType, Point, Status, Value
from drivers.spec import RawType, RegisterSource, Table, WordOrder

_GOOD: Final = int(Status.GOOD)
_NO_VALUE: Final = int(Status.BAD_SENSOR_FAILURE)
_ODD_CODE: Final = int(Status.UNCERTAIN)

# struct letter of each raw type in network order (Modbus Application Protocol V1.1b3 section 4.2).
LETTERS: Final = {
    RawType.BOOL: "H",
    RawType.U16: "H",
    RawType.I16: "h",
    RawType.U32: "I",
    RawType.I32: "i",
    RawType.U64: "Q",
    RawType.I64: "q",
    RawType.F32: "f",
    RawType.F64: "d",
    RawType.BITS16: "H",
    RawType.BITS32: "I",
    RawType.BITS64: "Q",
}
_FLOATS: Final = (RawType.F32, RawType.F64)
_FLOAT_MAX: Final = 3.4028234663852886e38  # largest finite IEEE 754 binary32
_EXPONENTS: Final = range(-10, 11)  # SunSpec scale factors (Information Model Specification, sunssf)


@dataclass(frozen=True, slots=True)
class _Odd:
    """A code outside its table: shown raw and Uncertain."""

    value: Value


_Convert = Callable[[Any], "Value | _Odd | None"]
_Scaled = Callable[[Any, int], "Value | None"]


def word_order(source: RegisterSource, profile: WordOrder, bus: WordOrder | None) -> WordOrder:
    """Order that counts for a source: the bus's, else its own, else the profile's."""
    return bus or source.word_order or profile


def addresses(source: RegisterSource, order: WordOrder) -> tuple[int, ...]:
    """Addresses of the words of a source, high word (first characters of a text) first."""
    if source.words:
        return source.words
    words = tuple(range(source.address, source.address + source.registers))
    if order is WordOrder.LITTLE and source.type is not RawType.TEXT:
        return words[::-1]
    return words


class Decoder:
    """Compiled decoding of one read block: an answer's bytes to values and statuses, in the order of its points."""

    __slots__ = ("_bits", "_converts", "_pack", "_pick", "_scaled", "_unpack", "_words")

    def __init__(
        self,
        points: Sequence[tuple[Point, RegisterSource]],
        sources: Mapping[str, RegisterSource],
        address: int,
        count: int,
        order: Callable[[RegisterSource], WordOrder],
    ) -> None:
        """Prepare for answers that start at `address` and hold `count` registers (bits, for coils).

        `sources` gives the scale-factor points. Raises ValueError when a word lies outside the block.
        """
        self._bits: list[int] | None = None
        self._converts: list[_Convert | None] = []
        self._scaled: list[tuple[int, int, _Convert, _Scaled]] = []
        if points and points[0][1].table in (Table.COIL, Table.DISCRETE):
            self._bits = [_inside(source.address, address, count) for _, source in points]
            self._converts = [_converter(point, source) for point, source in points]
            return
        factors: dict[str, int] = {}
        fields: list[RegisterSource] = [source for _, source in points]
        for position, (point, source) in enumerate(points):
            if source.scale_from is None:
                self._converts.append(_converter(point, source))
                continue
            if source.scale_from not in factors:
                factors[source.scale_from] = len(fields)
                fields.append(sources[source.scale_from])
            factor = sources[source.scale_from]
            self._converts.append(None)
            self._scaled.append((position, factors[source.scale_from], _exponent(factor), _scaler(point, source)))
        self._lay_out(fields, address, count, order)

    def _lay_out(
        self, fields: Sequence[RegisterSource], address: int, count: int, order: Callable[[RegisterSource], WordOrder]
    ) -> None:
        # Words are put in the order of the fields, high word first, so that one format decodes them all, whatever
        # their word order, and also where two points read the same register.
        picked = [_inside(a, address, count) for source in fields for a in addresses(source, order(source))]
        letters = "".join(f"{2 * s.registers}s" if s.type is RawType.TEXT else LETTERS[s.type] for s in fields)
        self._unpack = struct.Struct(f">{letters}").unpack
        self._words = struct.Struct(f">{count}H").unpack
        self._pack = struct.Struct(f">{len(picked)}H").pack
        self._pick: Callable[[Any], Any] | None = None
        if picked != list(range(count)):
            only = picked[0]
            self._pick = itemgetter(*picked) if len(picked) > 1 else lambda words: (words[only],)

    def decode(self, payload: bytes) -> tuple[list[Value | None], list[int]]:
        """Values and statuses of the block's points; raises ValueError when the length is not the block's."""
        try:
            raws = self._raws(payload)
        except (struct.error, IndexError) as error:
            raise ValueError(f"an answer of {len(payload)} bytes does not fit its block") from error
        values: list[Value | None] = []
        statuses: list[int] = []
        # Without a length check on purpose: scale factors are read behind the points.
        for convert, raw in zip(self._converts, raws, strict=False):
            value = None if convert is None else convert(raw)
            if value is None:
                statuses.append(_NO_VALUE)
            elif isinstance(value, _Odd):
                value = value.value
                statuses.append(_ODD_CODE)
            else:
                statuses.append(_GOOD)
            values.append(value)
        for position, factor, exponent, scaled in self._scaled:
            power = exponent(raws[factor])
            number = scaled(raws[position], power) if isinstance(power, int) else None
            if number is not None:
                values[position] = number
                statuses[position] = _GOOD
        return values, statuses

    def _raws(self, payload: bytes) -> Sequence[Any]:
        if self._bits is not None:
            return [payload[bit >> 3] >> (bit & 7) & 1 for bit in self._bits]
        if self._pick is None:
            return self._unpack(payload)
        return self._unpack(self._pack(*self._pick(self._words(payload))))


def _inside(word: int, address: int, count: int) -> int:
    if not address <= word < address + count:
        raise ValueError(f"register {word} is not in a block of {count} from {address}")
    return word - address


# --- raw -> value ----------------------------------------------------------------------------------


def _converter(point: Point, source: RegisterSource) -> _Convert:
    final = _final(point, source)
    bad = _sentinels(source)
    low = -math.inf if source.below is None else source.below
    high = math.inf if source.above is None else source.above
    if source.type in _FLOATS:

        def of_float(raw: float) -> Value | _Odd | None:
            # NaN and infinities are no measured value on any device.
            if not math.isfinite(raw) or raw in bad or not low <= raw <= high:
                return None
            return final(raw)

        return of_float
    if not bad and source.below is None and source.above is None:
        return final
    if source.type is RawType.TEXT:
        return final

    def of_int(raw: int) -> Value | _Odd | None:
        if raw in bad or not low <= raw <= high:
            return None
        return final(raw)

    return of_int


def _sentinels(source: RegisterSource) -> frozenset[int | float]:
    """Raw values that mean "no value"; 0x8000 counts for a signed 16-bit source as the raw -32768 does."""
    bad: set[int | float] = {s for s in source.sentinels if s == s}  # noqa: PLR0124  # NaN is caught apart
    bits = 16 * source.registers
    if source.type in (RawType.I16, RawType.I32, RawType.I64):
        bad |= {s - 2**bits for s in bad if s >= 2 ** (bits - 1)}
    elif source.type not in _FLOATS:
        bad |= {s + 2**bits for s in bad if s < 0}
    return frozenset(bad)


def _final(point: Point, source: RegisterSource) -> _Convert:
    if source.type is RawType.TEXT:
        return _text(source)
    number = _coded(point, source) or _number(point, source)
    if source.bits is None:
        return number
    shift, mask = source.bits.low, (1 << (source.bits.high - source.bits.low + 1)) - 1
    return lambda raw: number(raw >> shift & mask)


def _coded(point: Point, source: RegisterSource) -> _Convert | None:
    """Conversion of flags, mapped codes and states; None for a plain number."""
    flag = point.data_type is DataType.BOOLEAN
    low, high = INTEGER_RANGES.get(point.data_type, (-math.inf, math.inf))

    def odd(raw: int) -> _Odd | None:
        if flag:
            return _Odd(bool(raw))
        return _Odd(raw) if low <= raw <= high else None

    if source.map is not None:
        table = {raw: bool(code) if flag else code for raw, code in source.map.items()}
        return lambda raw: table[raw] if raw in table else odd(raw)
    if flag:
        return bool
    if point.enumeration is not None:
        known = frozenset(member.code for member in point.enumeration.members)
        return lambda raw: raw if raw in known else odd(raw)
    return None


def _text(source: RegisterSource) -> _Convert:
    swap = source.byte_swap

    def text(raw: bytes) -> str:
        if swap:
            raw = b"".join(raw[at + 1 : at + 2] + raw[at : at + 1] for at in range(0, len(raw), 2))
        return raw.split(b"\0", 1)[0].decode("ascii", "replace").strip()

    return text


def _number(point: Point, source: RegisterSource) -> _Convert:
    whole = INTEGER_RANGES.get(point.data_type)
    plain = source.linear is None and source.scale == 1 and source.offset == 0
    if plain and whole is not None and source.type not in _FLOATS:
        return _whole(lambda raw: raw, whole, source)
    if plain and whole is None:
        return _fitting(float, point, source)
    curve = _linear(source) if source.linear is not None else _scale(source)
    if whole is not None:
        return _whole(lambda raw: round(curve(raw)), whole, source, always=True)
    return _fitting(curve, point, source)


def _whole(
    convert: Callable[[Any], int], limits: tuple[int, int], source: RegisterSource, *, always: bool = False
) -> _Convert:
    """Refuse what does not fit the point's data type: a number that cannot be sent is no value."""
    low, high = limits
    if not always and source.bits is None:
        first, last = _raw_range(source.type)
        if low <= first and last <= high:
            return convert

    def whole(raw: Any) -> int | None:
        value = convert(raw)
        return value if low <= value <= high else None

    return whole


def _fitting(convert: Callable[[Any], float], point: Point, source: RegisterSource) -> _Convert:
    if point.data_type is not DataType.FLOAT or source.type is not RawType.F64:
        return convert

    def fitting(raw: Any) -> float | None:
        value = convert(raw)
        return value if abs(value) <= _FLOAT_MAX else None

    return fitting


def _exact(source: RegisterSource) -> tuple[int, int, int]:
    """Integers (p, r, q) with value = (raw * p + r) / q, from the decimals that the profile wrote."""
    scale, offset = Fraction(repr(source.scale)), Fraction(repr(source.offset))
    q = math.lcm(scale.denominator, offset.denominator)
    return int(scale * q), int(offset * q), q


def _scale(source: RegisterSource) -> Callable[[Any], float]:
    if source.type in _FLOATS:
        scale, offset = source.scale, source.offset
        return lambda raw: raw * scale + offset
    # In integers with one division, so that 29715 * 0.01 - 273 is 24.15 and not 24.149999999999977.
    p, r, q = _exact(source)
    if p == 1 and r == 0:
        return lambda raw: raw / q
    return lambda raw: (raw * p + r) / q


def _linear(source: RegisterSource) -> Callable[[Any], float]:
    if source.linear is None:
        raise ValueError("no line to follow")
    (x0, y0), (x1, y1) = source.linear
    if x0 == x1:
        raise ValueError(f"linear: both points have the raw value {x0}")
    return lambda raw: float(y0 + (raw - x0) * (y1 - y0) / (x1 - x0))


def _exponent(source: RegisterSource) -> _Convert:
    """A scale factor's power of ten; None for 0x8000 (not implemented) and for what no device means."""
    bad = _sentinels(source) | {-(2**15), 2**15}
    return lambda raw: raw if raw not in bad and raw in _EXPONENTS else None


def _scaler(point: Point, source: RegisterSource) -> _Scaled:
    whole = INTEGER_RANGES.get(point.data_type)
    bad = _sentinels(source)
    low = -math.inf if source.below is None else source.below
    high = math.inf if source.above is None else source.above
    scale, offset = source.scale, source.offset

    def scaled(raw: Any, power: int) -> Value | None:
        if raw in bad or not low <= raw <= high or not math.isfinite(raw):
            return None
        value = raw * 10**power if power >= 0 else raw / 10**-power
        if scale != 1 or offset != 0:
            value = value * scale + offset
        if whole is None:
            return float(value)
        rounded = round(value)
        return rounded if whole[0] <= rounded <= whole[1] else None

    return scaled


# --- value -> raw ----------------------------------------------------------------------------------


def encode(
    point: Point, source: RegisterSource, value: Value, order: WordOrder, exponent: int = 0
) -> tuple[tuple[int, int], ...]:
    """(address, word) of each register to write, high word first; for a coil the word is 0 or 1.

    `exponent` is the current scale factor of a `scale_from` point. A number is rounded to the nearest raw.
    Raises ValueError when the value has the wrong type, does not fit, or would mean "no value".
    """
    if source.bits is not None:
        raise ValueError(f"{point.id}: bits of a shared register cannot be written alone")
    if source.type is RawType.TEXT:
        data = _encode_text(point, source, value)
    else:
        raw = _raw(point, source, value, exponent)
        if source.table is Table.COIL:
            return ((source.address, int(raw)),)
        data = _pack(point, source, raw)
    words = struct.unpack(f">{len(data) // 2}H", data)
    return tuple(zip(addresses(source, order), words, strict=True))


def _raw(point: Point, source: RegisterSource, value: Value, exponent: int) -> int | float:
    if isinstance(value, str):
        raise ValueError(f"{point.id}: {value!r} is not a number")
    if isinstance(value, bool) is not (point.data_type is DataType.BOOLEAN):
        wanted = "true or false" if point.data_type is DataType.BOOLEAN else "a number"
        raise ValueError(f"{point.id}: {value!r} is not {wanted}")
    if not math.isfinite(value):
        raise ValueError(f"{point.id}: {value} is not a finite number")
    if source.map is not None:
        raws = [raw for raw, code in source.map.items() if code == value]
        if not raws:
            raise ValueError(
                f"{point.id}: {value!r} has no raw code; the profile maps to {sorted(source.map.values())}"
            )
        return raws[0]
    if source.linear is not None:
        (x0, y0), (x1, y1) = source.linear
        if y0 == y1:
            raise ValueError(f"{point.id}: a line without slope cannot be written")
        return x0 + (value - y0) * (x1 - x0) / (y1 - y0)
    if source.type in _FLOATS:
        return (value - source.offset) / (source.scale * 10.0**exponent)
    scale = Fraction(repr(source.scale)) * Fraction(10) ** exponent
    # The shortest decimal that reads back as the same float is what its writer meant.
    meant = Fraction(value) if isinstance(value, int) else Fraction(repr(value))
    return round((meant - Fraction(repr(source.offset))) / scale)


def _pack(point: Point, source: RegisterSource, raw: int | float) -> bytes:
    number = raw if source.type in _FLOATS else round(raw)
    low = -math.inf if source.below is None else source.below
    high = math.inf if source.above is None else source.above
    if number in _sentinels(source) or not low <= number <= high:
        raise ValueError(f"{point.id}: raw {number} means that there is no value")
    if source.type is RawType.BOOL and number not in (0, 1):
        raise ValueError(f"{point.id}: raw {number} is not 0 or 1")
    try:
        return struct.pack(f">{LETTERS[source.type]}", number)
    except (struct.error, OverflowError) as error:
        raise ValueError(f"{point.id}: raw {number} does not fit {source.type.value}") from error


def _encode_text(point: Point, source: RegisterSource, value: Value) -> bytes:
    if not isinstance(value, str):
        raise ValueError(f"{point.id}: {value!r} is not a text")
    size = 2 * source.registers
    if not value.isascii() or len(value) > size or "\0" in value:
        raise ValueError(f"{point.id}: {value!r} is not ASCII text of at most {size} characters")
    data = value.encode("ascii").ljust(size, b"\0")
    if source.byte_swap:
        data = b"".join(data[at + 1 : at + 2] + data[at : at + 1] for at in range(0, size, 2))
    return data


def _raw_range(raw_type: RawType) -> tuple[int, int]:
    letter = LETTERS[raw_type]
    bits = 8 * struct.calcsize(f">{letter}")
    return (-(2 ** (bits - 1)), 2 ** (bits - 1) - 1) if letter.islower() else (0, 2**bits - 1)
