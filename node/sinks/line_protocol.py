"""Samples as InfluxDB's line protocol, one line each. Pure: no socket, no clock.

    h,device=xw1,node=xw1.ac_power,site=demo v=1520.5,st=0i 1782777600000000000

One measurement for everything. One of the typed fields has the value: `v` a double, `i` an integer of 64 bits, `b` a
Boolean, `s` text. An integer that `i` cannot hold, or just so, has its digits in `s`, and `i` is the limit.
`st` is the OPC UA status without its info bits, in every line: InfluxDB keeps the fields of an older line of the same
tag and time beside the new ones, so a line without a value always has a Bad `st`, which says that a value there no
longer counts. A text that was cut has `cut`, its length in bytes before.
"""

from __future__ import annotations

import re
from typing import Final

from address_space.model import Status, Value, is_bad
from node.historian.forwarding.feed import Portion
from node.sinks.base import Lines

MEASUREMENT: Final = "h"
# 2.x takes 64 KB of text in a field at most; this leaves room for escapes.
TEXT_BYTES: Final = 60_000
# The limits of `i`: with one of these, `s` has the digits.
INTEGER_MIN: Final = -(2**63)
INTEGER_MAX: Final = 2**63 - 1
STATUS_BITS: Final = 0xFFFF_0000  # the code; below it are flags and info bits (OPC 10000-4 section 7.39.1)

# 1970-01-01 in ticks, and the ns in a tick.
_EPOCH: Final = 116_444_736_000_000_000
_TICK_NS: Final = 100
# InfluxDB's smallest and largest time in ns; the two below and the one above are its own marks.
_NS_MIN: Final = -(2**63) + 2
_NS_MAX: Final = 2**63 - 2
_EARLIEST: Final = _EPOCH + -(-_NS_MIN // _TICK_NS)
_LATEST: Final = _EPOCH + _NS_MAX // _TICK_NS

_TAG_ESCAPES: Final = str.maketrans({" ": r"\ ", ",": r"\,", "=": r"\="})
_TEXT_ESCAPES: Final = str.maketrans({'"': r"\"", "\\": r"\\"})
_TAG_ESCAPED: Final = re.compile(r"\\([ ,=])")
_TAG_VALUE: Final = r"(?:\\[ ,=]|[^ ,=])+"
_PLACE: Final = re.compile(
    rf"{MEASUREMENT},device={_TAG_VALUE},node=({_TAG_VALUE}),site={_TAG_VALUE} [a-z]+=.* (-?[0-9]{{1,19}})", re.DOTALL
)
# What stands for a Good or Uncertain status where there is no value: nothing was measured, or no finite number.
_NO_VALUE: Final = int(Status.BAD_NO_DATA)
_NOT_FINITE: Final = int(Status.BAD_SENSOR_FAILURE)


def ns_from_ticks(ticks: int) -> int:
    """Unix time in ns."""
    return (ticks - _EPOCH) * _TICK_NS


def ticks_from_ns(ns: int) -> int:
    """OPC UA ticks of a Unix time in ns, rounded down."""
    return ns // _TICK_NS + _EPOCH


def escape_tag(value: str) -> str:
    """A tag value as it stands in a line; ValueError for one that no line can say."""
    if not value or value.endswith("\\") or not value.isprintable():
        raise ValueError(f"{value!r} cannot be a tag: it is empty, ends with \\ or has control characters")
    return value.translate(_TAG_ESCAPES)


def place_of(line: str) -> tuple[str, int] | None:
    """Tag and ticks of a whole line that LineEncoder made; None for anything else."""
    found = _PLACE.fullmatch(line)
    return None if found is None else (_TAG_ESCAPED.sub(r"\1", found[1]), ticks_from_ns(int(found[2])))


class LineEncoder:
    """Makes lines for one site; keeps what is the same for every line of a tag."""

    def __init__(self, site: str) -> None:
        """Raises ValueError for a site id that cannot be a tag."""
        self._site = escape_tag(site)
        self._heads: dict[str, str | None] = {}

    def encode(self, portion: Portion) -> Lines:
        """One line per sample, in order; what cannot be a line is refused with its reason. Never raises for a value."""
        found = Lines()
        add, add_ticks = found.texts.append, found.ticks.append
        heads, samples = self._heads, portion.samples
        columns = zip(portion.tags, samples.ticks, samples.values, samples.statuses, strict=True)
        for tag, ticks, value, status in columns:
            try:
                head = heads[tag]
            except KeyError:
                head = heads[tag] = self._head(tag)
            if head is None or not _EARLIEST <= ticks <= _LATEST:
                found.refused.append(_refusal(tag, ticks, value, status, head))
                continue
            kind = type(value)
            # A difference of NaN or of infinities is not zero.
            if kind is float and value - value == 0.0:  # type: ignore[operator]
                add(f"{head}v={value!r},st={status & STATUS_BITS}i {(ticks - _EPOCH) * _TICK_NS}")
            else:
                add(f"{head}{_fields(value, status)} {(ticks - _EPOCH) * _TICK_NS}")
            add_ticks(ticks)
        return found

    def _head(self, tag: str) -> str | None:
        device = tag.partition(".")[0]
        try:
            # In the order of the tag keys, as InfluxDB wants it for speed.
            return f"{MEASUREMENT},device={escape_tag(device)},node={escape_tag(tag)},site={self._site} "
        except ValueError:
            return None


def _fields(value: Value | None, status: int) -> str:
    st = f"st={status & STATUS_BITS}i"
    if isinstance(value, bool):
        return f"b={'true' if value else 'false'},{st}"
    if isinstance(value, int):
        if INTEGER_MIN < value < INTEGER_MAX:
            return f"i={value:d}i,{st}"
        limit = INTEGER_MAX if value > 0 else INTEGER_MIN
        return f"i={limit}i,{_text(_digits(value))},{st}"
    if isinstance(value, str):
        return f"{_text(value)},{st}"
    if is_bad(status):
        return st
    return f"st={_NO_VALUE if value is None else _NOT_FINITE}i"


def _digits(value: int) -> str:
    # Python refuses to write more than 4300 decimal digits; a text that begins with 0x is what a client can still read.
    return str(value) if value.bit_length() < 10_000 else hex(value)


def _text(value: str) -> str:
    raw = value.encode("utf-8", "replace")  # half of a surrogate pair has no UTF-8
    if len(raw) <= TEXT_BYTES:
        return f's="{raw.decode().translate(_TEXT_ESCAPES)}"'
    kept = raw[:TEXT_BYTES].decode("utf-8", "ignore")
    return f'cut={len(raw)}i,s="{kept.translate(_TEXT_ESCAPES)}"'


def _refusal(tag: str, ticks: int, value: Value | None, status: int, head: str | None) -> tuple[str, str]:
    text = f"{tag!r} {str(value)[:200] if isinstance(value, str) else _short(value)} st={status:#010x} ticks={ticks}"
    if head is None:
        return text, "the tag cannot be written as a tag of InfluxDB"
    return text, "the time is outside of what InfluxDB can hold (1677-09-21 to 2262-04-11)"


def _short(value: Value | None) -> str:
    return f"{value:#x}" if type(value) is int else repr(value)
