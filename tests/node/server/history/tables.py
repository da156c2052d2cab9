"""The example tables of OPC 10000-13 as a client meets them: what to store, what to ask, what has to come back."""

import json
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from address_space.model import TICKS_PER_S, Value

CODES = {
    "Good": 0,
    "Uncertain": 0x4000_0000,
    "UncertainDataSubNormal": 0x40A4_0000,
    "Bad": 0x8000_0000,
    "BadNoData": 0x809B_0000,
    "Bad_NoData": 0x809B_0000,
}
BITS = {"Calculated": 1, "Interpolated": 2, "Partial": 4, "ExtraData": 8, "MultiValue": 16, "MultipleValues": 16}
FIRST, LAST = 12 * 3600.0, 12 * 3600.0 + 100  # seconds of the day
_TOLERANCE = 6e-4  # printed values are rounded

Row = tuple[float, Value | None, int]  # second of the day, value, status


@dataclass
class Table:
    historian: str
    aggregate: str
    interval_ms: float
    configuration: dict[str, Any]
    rows: list[Row]


def _second(text: str) -> float:
    hours, minutes, seconds = text.split(":")
    return (int(hours) * 60 + int(minutes)) * 60 + float(seconds)


def _value(text: str) -> Value | None:
    if text in {"", "undefined"}:
        return None
    if text in CODES:
        return CODES[text]
    return text == "true" if text in {"true", "false"} else float(text)


def _status(words: list[str]) -> int:
    bits = sum(BITS[word] for word in words[1:])
    return CODES[words[0]] | (0x400 | bits if bits else 0)


def _rows(rows: list[dict[str, Any]]) -> list[Row]:
    return [(_second(row["t"]), _value(row["v"]), _status(row["status"])) for row in rows if row["t"]]


def stored(folder: Path) -> dict[str, tuple[bool, list[Row]]]:
    """By historian: whether it is stepped, and its raw values."""
    found: dict[str, tuple[bool, list[Row]]] = {}
    for path in sorted(folder.glob("part13_*.json")):
        for name, table in json.loads(path.read_text(encoding="utf-8"))["raw"].items():
            found[name] = bool(table["stepped"]), _rows(table["rows"])
    return found


def tables(folder: Path) -> Iterator[Table]:
    for path in sorted(folder.glob("part13_*.json")):
        for table in json.loads(path.read_text(encoding="utf-8"))["processed"]:
            configuration = {
                "TreatUncertainAsBad": table["treat_uncertain_as_bad"],
                "PercentDataBad": table["percent_data_bad"],
                "PercentDataGood": table["percent_data_good"],
                "UseSlopedExtrapolation": table["use_sloped_extrapolation"],
            }
            yield Table(
                table["historian"],
                table["aggregate"],
                float(table["processing_interval_ms"]),
                configuration,
                _rows(table["rows"]),
            )


def midnight(ticks: int) -> int:
    """Ticks of the day's beginning."""
    return ticks - ticks % (86_400 * TICKS_PER_S)


def same(wanted: Row, got: Row) -> bool:
    """Whether an answer is the one of the table, as exact as that is printed."""
    if abs(wanted[0] - got[0]) > 1e-4 or wanted[2] != got[2]:
        return False
    if wanted[1] is None or got[1] is None or isinstance(wanted[1], str) or isinstance(got[1], str):
        return wanted[1] is got[1]
    return abs(float(wanted[1]) - float(got[1])) <= _TOLERANCE * max(1.0, abs(float(wanted[1])))


def numbered(row: Row) -> Row:
    """An answer whose value is a status as its name, with the number in its place."""
    return (row[0], CODES[row[1]], row[2]) if isinstance(row[1], str) else row
