"""Points of a profile file -> Point, Source and SettingSpec, with the rules that concern one point alone."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import replace
from typing import Final

from address_space.classes import NO_YES
from address_space.model import DataType, Enumeration, FunctionalGroup, Point, PointKind, Range
from address_space.units import UNITS
from drivers.problems import KeyPath, one_of
from drivers.profile_draft import Draft, DraftPoint
from drivers.profile_recording import misfits, records
from drivers.profile_schema import PointEntry
from drivers.spec import BitField, LineSource, RawType, RegisterSource, SettingSpec, Source, Table

FLOATS: Final = (RawType.F32, RawType.F64)
_WIDTH: Final[Mapping[RawType, int]] = {
    RawType.BOOL: 1,
    **dict.fromkeys((RawType.U16, RawType.I16, RawType.BITS16), 16),
    **dict.fromkeys((RawType.U32, RawType.I32, RawType.BITS32, RawType.F32), 32),
    **dict.fromkeys((RawType.U64, RawType.I64, RawType.BITS64, RawType.F64), 64),
}
_SIGNED: Final = (RawType.I16, RawType.I32, RawType.I64)
_INTEGERS: Final[Mapping[tuple[int, bool], DataType]] = {
    (16, False): DataType.UINT16,
    (16, True): DataType.INT16,
    (32, False): DataType.UINT32,
    (32, True): DataType.INT32,
    (64, False): DataType.UINT64,
    (64, True): DataType.INT64,
}
# Age at which Good becomes Uncertain and Uncertain becomes Bad: poll periods, and at least so many seconds.
_STALE: Final = (3, 2.0)
_BAD: Final = (10, 30.0)


def raw_limits(raw_type: RawType) -> tuple[float, float]:
    """Least and greatest raw value that the type can hold."""
    if raw_type in FLOATS:
        return (-math.inf, math.inf)
    width = _WIDTH[raw_type]
    return (-(2.0 ** (width - 1)), 2.0 ** (width - 1) - 1) if raw_type in _SIGNED else (0.0, 2.0**width - 1)


def build_points(draft: Draft) -> None:
    """Fill `draft.points` and `draft.settings`; problems of one point leave the others alone."""
    for point_id, entry in draft.file.points.items():
        _spread(draft, point_id, entry)
    for item in draft.points.values():
        before = len(draft.problems)
        source = _line_source(draft, item) if draft.file.protocol == "serial_line" else _register_source(draft, item)
        point = _point(draft, item, source)
        if point is None:
            continue
        if isinstance(source, RegisterSource):
            source = _with_map(draft, item, point, source)
            _check_register(draft, item, point, source)
        item.point = point
        if len(draft.problems) == before:
            item.source = source
        setting = _setting(draft, item, point, source)
        if setting is not None:
            draft.settings[item.id] = setting


def _spread(draft: Draft, point_id: str, entry: PointEntry) -> None:
    path: KeyPath = ("points", point_id)
    addresses = entry.addr or ()
    if not entry.index:
        if len(addresses) > 1:
            draft.add((*path, "addr"), f"{len(addresses)} addresses need `index` with as many names, or `words`")
            return
        _put(draft, DraftPoint(point_id, entry, addresses[0] if addresses else None, path))
        return
    if len(entry.index) != len(addresses):
        draft.add((*path, "index"), f"has {len(entry.index)} names for {len(addresses)} addresses")
        return
    for name, address in zip(entry.index, addresses, strict=True):
        _put(draft, DraftPoint(f"{point_id}_{name.lower()}", entry, address, path, name))


def _put(draft: Draft, item: DraftPoint) -> None:
    if item.id in draft.points:
        draft.add(item.path, f"makes the point {item.id!r} a second time")
    else:
        draft.points[item.id] = item


# --- sources -----------------------------------------------------------------------------------------------


def _line_source(draft: Draft, item: DraftPoint) -> Source | None:
    if item.entry.quantity is None:
        draft.add(item.path, "a point of protocol serial_line needs `quantity`: raw, voltage, current or power")
        return None
    for key in ("addr", "words", "type", "bits", "map", "scale_from"):
        if key in item.entry.model_fields_set and key != "type":
            draft.add((*item.path, key), "is for protocol modbus only")
    if item.entry.access != "r":
        draft.add((*item.path, "access"), "a point of protocol serial_line can only be read")
    return LineSource(item.entry.quantity)


def _register_source(draft: Draft, item: DraftPoint) -> RegisterSource | None:
    entry = item.entry
    if entry.quantity is not None:
        draft.add((*item.path, "quantity"), "is for protocol serial_line only; modbus has `addr`")
    if entry.type is None:
        draft.add(item.path, f"has no `type`: {one_of(RawType)}")
        return None
    registers = _registers(draft, item, entry.type)
    address = min(entry.words) if entry.words else item.address
    if entry.words and item.address is not None:
        draft.add((*item.path, "words"), "stands beside `addr`; one of them says where the value is")
    if address is None:
        draft.add(item.path, "has no `addr`: the register's address, 0-based as on the wire")
        return None
    if registers is None:
        return None
    if address + registers > 0x1_0000:
        draft.add((*item.path, "addr"), f"{registers} registers from {address} go beyond 65535")
    return RegisterSource(
        table=entry.table,
        address=address,
        type=entry.type,
        registers=registers,
        words=entry.words,
        word_order=entry.word_order,
        byte_swap=entry.byte_swap,
        scale=entry.scale,
        offset=entry.offset,
        linear=entry.linear,
        scale_from=entry.scale_from,
        bits=None if entry.bits is None else BitField(*entry.bits),
        sentinels=entry.sentinels,
        below=entry.below,
        above=entry.above,
    )


def _registers(draft: Draft, item: DraftPoint, raw_type: RawType) -> int | None:
    entry = item.entry
    if raw_type is RawType.TEXT:
        if entry.registers is None:
            draft.add(item.path, "a text needs `registers`: how many registers it takes, two characters each")
        return entry.registers
    if entry.registers is not None:
        draft.add((*item.path, "registers"), "is for type text only; other types have their own width")
    needed = 1 if raw_type is RawType.BOOL else _WIDTH[raw_type] // 16
    if entry.words and (len(entry.words) != needed or len(set(entry.words)) != needed):
        draft.add((*item.path, "words"), f"{raw_type.value} has {needed} words, each at its own address")
        return None
    return needed


# --- points ------------------------------------------------------------------------------------------------


def _point(draft: Draft, item: DraftPoint, source: Source | None) -> Point | None:
    declared = draft.device_class.point(item.id)
    stale_s, bad_s, once = _ages(draft, item)
    entry = item.entry
    if declared is None:
        point = _own_point(draft, item, source, once=once)
    else:
        point = _class_point(draft, item, declared, source)
    if point is None:
        return None
    unit = point.unit
    if unit is not None and unit not in UNITS:
        draft.add((*item.path, "unit"), f"the unit {unit!r} is not known; known are {' '.join(UNITS)}")
    if entry.range is not None and point.enumeration is not None:
        draft.add((*item.path, "range"), "a state or a flag has no range; its enumeration says what it may be")
    suffix = f" {item.suffix}" if item.suffix else ""
    point = replace(
        point,
        label=f"{entry.label}{suffix}" if entry.label else point.label,
        description=(
            f"{entry.description} ({item.suffix})" if entry.description and suffix else entry.description
        ) or point.description,
        range=point.range if entry.range is None else Range(*entry.range),
        readable=entry.access != "w",
        writable=entry.access in ("rw", "w"),
        stale_after_s=stale_s,
        bad_after_s=bad_s,
    )  # fmt: skip
    point = records(point, entry.record, entry.historize)
    for key, text in misfits(point):
        draft.add((*item.path, "record", *([key] if key else [])), text)
    return point


def _ages(draft: Draft, item: DraftPoint) -> tuple[float | None, float | None, bool]:
    """(stale_after_s, bad_after_s, read only once) by the point's group."""
    group = item.entry.group
    if item.entry.access == "w":
        return (None, None, False)  # never polled
    if group is None:
        draft.add(item.path, f"is in no group: {one_of(draft.file.groups)}")
        return (None, None, False)
    if group not in draft.file.groups:
        if not draft.is_broken("groups", group):
            draft.add((*item.path, "group"), f"there is no group {group!r}: {one_of(draft.file.groups)}")
        return (None, None, False)
    period = draft.file.groups[group]
    if period is None:
        return (None, None, True)
    return (max(_STALE[0] * period, _STALE[1]), max(_BAD[0] * period, _BAD[1]), False)


def _class_point(draft: Draft, item: DraftPoint, declared: Point, source: Source | None) -> Point | None:
    entry, name = item.entry, draft.file.device.device_class
    before = len(draft.problems)
    if entry.kind not in (None, declared.kind):
        draft.add((*item.path, "kind"), f"{item.id} of class {name} is of kind {declared.kind.value}")
    if entry.unit not in (None, declared.unit):
        wanted = "has no unit" if declared.unit is None else f"is in {declared.unit}; scale the raw value to it"
        draft.add((*item.path, "unit"), f"{item.id} of class {name} {wanted}")
    if entry.enum is not None:
        draft.add(
            (*item.path, "enum"), f"{item.id} of class {name} has the enumeration of its class; `map` leads to it"
        )
    if isinstance(source, RegisterSource):
        is_text = source.type is RawType.TEXT
        is_bool = source.type is RawType.BOOL
        if declared.kind is PointKind.STATE and entry.map is None:
            draft.add(item.path, f"{item.id} of class {name} needs `map`: raw code to state of the class")
        if declared.kind in (PointKind.ANALOG, PointKind.COUNTER) and (is_text or is_bool):
            draft.add((*item.path, "type"), f"{item.id} of class {name} is a number, not {source.type.value}")
    return declared if len(draft.problems) == before else None


def _own_point(draft: Draft, item: DraftPoint, source: Source | None, *, once: bool) -> Point | None:
    entry = item.entry
    raw = source.type if isinstance(source, RegisterSource) else RawType.F64
    kind = entry.kind or _kind(entry, raw)
    table: Enumeration | None = None
    if entry.enum is not None:
        name = "".join(part.capitalize() for part in item.path[-1].split("_")) if isinstance(item.path[-1], str) else ""
        table = draft.table(entry.enum, name, (*item.path, "enum"))
        if table is None:
            return None
    if kind is PointKind.FLAG:
        table = table or NO_YES
        if [member.code for member in table.members] != [0, 1]:
            draft.add((*item.path, "enum"), "a flag has two texts, for 0 and 1")
    elif kind is PointKind.STATE and table is None:
        draft.add(item.path, "a state needs `enum`")
    elif kind in (PointKind.ANALOG, PointKind.COUNTER) and entry.unit is None:
        draft.add(item.path, f'a point of kind {kind.value} needs `unit`; "1" for a number without one')
    elif kind is PointKind.TIME:
        draft.add((*item.path, "kind"), "time is the node's own; a profile has analog, counter, state, flag and data")
    if kind is not PointKind.STATE and kind is not PointKind.FLAG and table is not None:
        draft.add((*item.path, "enum"), f"stands at a point of kind {kind.value}")
    suffix = f" {item.suffix}" if item.suffix else ""
    words = item.path[-1] if isinstance(item.path[-1], str) else item.id
    return Point(
        id=item.id,
        label=words.replace("_", " ").capitalize() + suffix,
        description="",
        data_type=_data_type(entry, raw, kind),
        kind=kind,
        group=entry.functional_group or _functional_group(entry, kind, once=once),
        unit=entry.unit,
        enumeration=table,
    )


def _kind(entry: PointEntry, raw: RawType) -> PointKind:
    one_bit = entry.bits is not None and entry.bits[0] == entry.bits[1]
    if raw is RawType.BOOL or (one_bit and entry.enum is None):
        return PointKind.FLAG
    if entry.enum is not None:
        return PointKind.STATE
    return PointKind.DATA if entry.unit is None else PointKind.ANALOG


def _data_type(entry: PointEntry, raw: RawType, kind: PointKind) -> DataType:
    if raw is RawType.TEXT:
        return DataType.STRING
    if kind is PointKind.FLAG:
        return DataType.BOOLEAN
    if entry.map is not None:
        return DataType.INT32
    scaled = entry.scale != 1 or entry.offset != 0 or entry.linear is not None or entry.scale_from is not None
    if raw is RawType.F32 and not scaled:
        return DataType.FLOAT
    if kind in (PointKind.ANALOG, PointKind.COUNTER) or scaled or raw in FLOATS:
        return DataType.DOUBLE
    width = _WIDTH[raw] if entry.bits is None else entry.bits[1] - entry.bits[0] + 1
    return _INTEGERS[(next(size for size in (16, 32, 64) if width <= size), raw in _SIGNED and entry.bits is None)]


def _functional_group(entry: PointEntry, kind: PointKind, *, once: bool) -> FunctionalGroup:
    if entry.access != "r":
        return FunctionalGroup.CONFIGURATION
    if once:
        return FunctionalGroup.IDENTIFICATION
    if kind is PointKind.COUNTER:
        return FunctionalGroup.STATISTICS
    return FunctionalGroup.STATUS if kind in (PointKind.STATE, PointKind.FLAG) else FunctionalGroup.OPERATIONAL


def _with_map(draft: Draft, item: DraftPoint, point: Point, source: RegisterSource) -> RegisterSource:
    if item.entry.map is None:
        return source
    path = (*item.path, "map")
    if point.enumeration is None:
        draft.add(path, "needs an enumeration to lead to: `enum`, or a state of the class")
        return source
    codes: dict[int, int] = {}
    for raw, given in item.entry.map.items():
        code = draft.value(point, given, (*path, raw))
        if code is not None:
            codes[raw] = int(code)
    return replace(source, map=codes)


# --- rules of one point ---------------------------------------------------------------------------------


def _check_register(draft: Draft, item: DraftPoint, point: Point, source: RegisterSource) -> None:
    entry, path = item.entry, item.path
    bit_table = source.table in (Table.COIL, Table.DISCRETE)
    if bit_table is not (source.type is RawType.BOOL):
        draft.add((*path, "type"), "bool is what coils and discrete inputs hold, and they hold nothing else")
    if entry.access != "r" and source.table in (Table.INPUT, Table.DISCRETE):
        draft.add((*path, "access"), f"the {source.table.value} table of Modbus cannot be written")
    _check_scaling(draft, item, point, source)
    _check_bits(draft, item, source)
    _check_raw_values(draft, item, point, source)


def _check_scaling(draft: Draft, item: DraftPoint, point: Point, source: RegisterSource) -> None:
    path = item.path
    if source.scale == 0 or not math.isfinite(source.scale):
        draft.add((*path, "scale"), "must not be 0: every raw value would become the same")
    if source.linear is not None:
        (x0, y0), (x1, y1) = source.linear
        if x0 == x1 or y0 == y1:
            draft.add((*path, "linear"), "the two points must differ in raw and in value")
    scaling = [key for key in ("scale", "offset", "linear", "scale_from") if key in item.entry.model_fields_set]
    if source.linear is not None and len(scaling) > 1:
        draft.add((*path, "linear"), "stands beside scale, offset or scale_from; it says all by itself")
    if point.enumeration is not None:
        if source.type in FLOATS:
            draft.add((*path, "type"), f"an enumeration cannot stand on a float ({source.type.value})")
        if scaling:
            draft.add((*path, scaling[0]), "a code is not scaled; use `map`")
    elif source.type in (RawType.TEXT, RawType.BOOL) and scaling:
        draft.add((*path, scaling[0]), f"a {source.type.value} is not scaled")
    if source.byte_swap and source.type is not RawType.TEXT:
        draft.add((*path, "byte_swap"), "is for type text only")
    if source.scale_from is not None and item.entry.access != "r":
        draft.add((*path, "access"), "a point with scale_from cannot be written: its scale may change in between")


def _check_bits(draft: Draft, item: DraftPoint, source: RegisterSource) -> None:
    if source.bits is None:
        return
    path = (*item.path, "bits")
    if source.type in (*FLOATS, RawType.TEXT, RawType.BOOL):
        draft.add(path, f"{source.type.value} has no bits to pick")
    elif not 0 <= source.bits.low <= source.bits.high < _WIDTH[source.type]:
        draft.add(path, f"{source.type.value} has bits 0 to {_WIDTH[source.type] - 1}")
    if item.entry.access != "r":
        draft.add((*item.path, "access"), "bits of a shared register cannot be written alone; write the whole register")


def _check_raw_values(draft: Draft, item: DraftPoint, point: Point, source: RegisterSource) -> None:
    """Sentinels, limits and codes must be values that the raw type can have."""
    path = item.path
    if source.type in (RawType.TEXT, RawType.BOOL):
        for key in ("sentinels", "below", "above"):
            if getattr(item.entry, key):
                draft.add((*path, key), f"a {source.type.value} has no value that means no value")
        return
    low, high = raw_limits(source.type)
    is_float = source.type in FLOATS
    # 0x8000 and -32768 are the same word: either way of writing it is taken.
    least = low if low < 0 else -(high + 1) / 2
    most = high if low >= 0 else 2 * high + 1
    for sentinel in source.sentinels:
        fits = is_float or (not math.isnan(sentinel) and sentinel == int(sentinel) and least <= sentinel <= most)
        if not fits:
            draft.add((*path, "sentinels"), f"{sentinel:g} is no value of {source.type.value}")
    for key, limit in (("below", source.below), ("above", source.above)):
        if limit is not None and not low <= limit <= high:
            draft.add((*path, key), f"{limit:g} is no value of {source.type.value}")
    if source.below is not None and source.above is not None and source.below >= source.above:
        draft.add((*path, "below"), "is not less than `above`: no raw value would be good")
    _check_codes(draft, item, point, source)


def _check_codes(draft: Draft, item: DraftPoint, point: Point, source: RegisterSource) -> None:
    if point.enumeration is None or source.type in FLOATS or point.kind is PointKind.FLAG:
        return
    low, high = raw_limits(source.type)
    if source.bits is not None:
        low, high = 0.0, 2.0 ** (source.bits.high - source.bits.low + 1) - 1
    codes = source.map if source.map is not None else [member.code for member in point.enumeration.members]
    key = "map" if source.map is not None else "enum"
    for code in codes:
        if not low <= code <= high:
            draft.add((*item.path, key), f"the raw code {code} does not fit {source.type.value}")
        if source.bits is None and code in source.sentinels:
            draft.add((*item.path, key), f"the raw code {code} is a sentinel too")


# --- settings ----------------------------------------------------------------------------------------------


def _setting(draft: Draft, item: DraftPoint, point: Point, source: Source | None) -> SettingSpec | None:
    entry, path = item.entry, item.path
    if entry.access not in ("rw", "w"):
        if entry.write is not None:
            draft.add((*path, "write"), "stands at a point that is not a setting; say access: rw")
        return None
    if entry.write is None:
        draft.add(path, "a setting needs `write: {storage: volatile}` or `persistent`: whether writing it wears it out")
        return None
    if (entry.write.min is None) is not (entry.write.max is None):
        draft.add((*path, "write"), "needs both `min` and `max`, or none")
        return None
    limits = point.range
    if entry.write.min is not None and entry.write.max is not None:
        limits = Range(entry.write.min, entry.write.max)
    needs_range = point.enumeration is None and point.data_type is not DataType.STRING
    if needs_range and limits is None:
        draft.add(path, "a number that can be written needs `range`, or `write: {min, max}`")
        return None
    if not needs_range:
        limits = None
    elif limits is not None and isinstance(source, RegisterSource):
        _check_limits(draft, item, limits, source)
    step = abs(source.scale) if isinstance(source, RegisterSource) and source.type not in FLOATS else 0.0
    tolerance = entry.write.tolerance
    if tolerance is None:
        tolerance = step / 2 if needs_range else 0.0
    persistent, readable = entry.write.storage == "persistent", entry.access != "w"
    return SettingSpec(item.id, limits, tolerance, entry.write.within, persistent, readable)


def _check_limits(draft: Draft, item: DraftPoint, limits: Range, source: RegisterSource) -> None:
    """What may be written must fit the registers."""
    key = "write" if item.entry.write is not None and item.entry.write.min is not None else "range"
    if not limits.low <= limits.high:
        draft.add((*item.path, key), f"{limits.low:g} is not less than {limits.high:g}")
    if source.linear is not None or source.scale == 0 or source.type is RawType.TEXT:
        return
    low, high = raw_limits(source.type)
    for value in (limits.low, limits.high):
        raw = (value - source.offset) / source.scale
        if not low - 0.5 <= raw <= high + 0.5:
            draft.add((*item.path, key), f"{value:g} is raw {raw:g}, which does not fit {source.type.value}")
