"""A sample as text: number with unit, state by its name, status where it is not Good."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import datetime

from address_space.model import Enumeration, Status, Value, is_bad, is_good


def value_text(
    value: Value | datetime | None, unit: str = "", texts: Mapping[int, str] | None = None, *, digits: int = 7
) -> str:
    """`230.1 V`, `Operating (3)`, `On`; `-` for none. Numbers with so many significant digits, points in time local."""
    if value is None:
        return "-"
    if texts and isinstance(value, bool | int):
        name = texts.get(int(value))
        if name is None:
            return f"? ({value})"
        return name if isinstance(value, bool) else f"{name} ({value})"
    if isinstance(value, datetime):
        return value.astimezone().isoformat(" ", "milliseconds")
    text = f"{value:.{digits}g}" if isinstance(value, float) else printable(str(value))
    return f"{text} {unit}" if unit and unit != "1" else text


def texts_of(enumeration: Enumeration | None) -> Mapping[int, str]:
    """Texts of an enumeration by code."""
    return {} if enumeration is None else {member.code: member.name for member in enumeration.members}


def status_name(status: int) -> str:
    """Name of a status that gridnode sets itself; the code of any other."""
    try:
        return Status(status & 0xFFFF_0000).symbol
    except ValueError:
        return f"0x{status:08X}"


def style(status: int) -> str:
    """Colour of a sample on a terminal: none while it is Good."""
    return "" if is_good(status) else "red" if is_bad(status) else "yellow"


def printable(text: str) -> str:
    """Text from elsewhere without characters that steer a terminal."""
    return "".join(sign if sign.isprintable() else "?" for sign in text)
