"""Unit symbol -> UNECE unit as OPC UA's EUInformation wants it. Pure data.

The codes are those of UNECE Recommendation 20; how one becomes a UnitId: OPC 10000-8 section 5.6.3.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

# NamespaceUri of every EUInformation with a UNECE code (OPC 10000-8 section 5.6.3).
UNECE_NAMESPACE: Final = "http://www.opcfoundation.org/UA/units/un/cefact"


def unit_id(code: str) -> int:
    """UnitId of a UNECE code: one to three ASCII characters as a big-endian number; ValueError for anything else."""
    if not (1 <= len(code) <= 3 and code.isascii() and code.isalnum()):
        raise ValueError(f"{code!r} is no UNECE common code: one to three letters or digits")
    return int.from_bytes(code.encode("ascii"), "big")


@dataclass(frozen=True, slots=True)
class Unit:
    """One unit; `symbol` is the word of profiles and the key in UNITS."""

    symbol: str
    code: str  # UNECE common code
    unit_id: int  # computed from `code`
    display_name: str  # what a client shows behind the number, locale en
    description: str  # full name, locale en


def _unit(symbol: str, code: str, description: str, display_name: str | None = None) -> Unit:
    return Unit(symbol, code, unit_id(code), symbol if display_name is None else display_name, description)


_TABLE: Final = (
    _unit("V", "VLT", "volt"),
    _unit("mV", "2Z", "millivolt"),
    _unit("kV", "KVT", "kilovolt"),
    _unit("A", "AMP", "ampere"),
    _unit("mA", "4K", "milliampere"),
    _unit("W", "WTT", "watt"),
    _unit("kW", "KWT", "kilowatt"),
    _unit("MW", "MAW", "megawatt"),
    _unit("VA", "D46", "volt - ampere", "V·A"),
    _unit("kVA", "KVA", "kilovolt - ampere", "kV·A"),
    _unit("var", "D44", "var"),
    _unit("kvar", "KVR", "kilovar"),
    _unit("Wh", "WHR", "watt hour", "W·h"),
    _unit("kWh", "KWH", "kilowatt hour", "kW·h"),
    _unit("MWh", "MWH", "megawatt hour (1000 kW.h)", "MW·h"),
    _unit("kvarh", "K3", "kilovolt ampere reactive hour", "kvar·h"),
    _unit("Ah", "AMH", "ampere hour", "A·h"),
    _unit("Hz", "HTZ", "hertz"),
    _unit("ohm", "OHM", "ohm", "Ω"),
    _unit("mohm", "E45", "milliohm", "mΩ"),
    _unit("degC", "CEL", "degree Celsius", "°C"),
    _unit("K", "KEL", "kelvin"),
    _unit("%", "P1", "percent"),
    _unit("ppm", "59", "part per million"),
    _unit("1", "C62", "one", ""),
    _unit("deg", "DD", "degree [unit of angle]", "°"),
    _unit("ms", "C26", "millisecond"),
    _unit("s", "SEC", "second [unit of time]"),
    _unit("min", "MIN", "minute [unit of time]"),
    _unit("h", "HUR", "hour"),
    _unit("d", "DAY", "day"),
    _unit("Pa", "PAL", "pascal"),
    _unit("kPa", "KPA", "kilopascal"),
    _unit("mbar", "MBR", "millibar"),
    _unit("bar", "BAR", "bar [unit of pressure]"),
    _unit("L", "LTR", "litre", "l"),
    _unit("m3", "MTQ", "cubic metre", "m³"),
    _unit("l/min", "L2", "litre per minute"),
    _unit("l/h", "E32", "litre per hour"),
    _unit("m3/h", "MQH", "cubic metre per hour", "m³/h"),
    _unit("g", "GRM", "gram"),
    _unit("kg", "KGM", "kilogram"),
    _unit("kg/h", "E93", "kilogram per hour"),
    _unit("mm", "MMT", "millimetre"),
    _unit("m", "MTR", "metre"),
    _unit("m/s", "MTS", "metre per second"),
    _unit("rpm", "RPM", "revolutions per minute", "r/min"),
    _unit("W/m2", "D54", "watt per square metre", "W/m²"),
    _unit("lx", "LUX", "lux"),
    _unit("J", "JOU", "joule"),
    _unit("Nm", "NU", "newton metre", "N·m"),
)

UNITS: Final[Mapping[str, Unit]] = {unit.symbol: unit for unit in _TABLE}
