"""The example tables of OPC 10000-13, where they lie beside the checkout."""

import json

import pytest

from address_space.model import TICKS_PER_MS, TICKS_PER_S, Value
from node.historian.aggregates import Aggregate, Aggregation, Configuration, Result
from node.historian.history import Columns
from tests.fake_clock import START
from tests.tools import require_cases

CODES = {
    "Good": 0,
    "Uncertain": 0x4000_0000,
    "UncertainDataSubNormal": 0x40A4_0000,
    "Bad": 0x8000_0000,
    "BadNoData": 0x809B_0000,
    "Bad_NoData": 0x809B_0000,
}
BITS = {"Calculated": 1, "Interpolated": 2, "Partial": 4, "ExtraData": 8, "MultiValue": 16, "MultipleValues": 16}
TOLERANCE = 6e-4  # printed values are rounded


def ticks(clock_time: str) -> int:
    hours, minutes, seconds = clock_time.split(":")
    return START + round(((int(hours) * 60 + int(minutes)) * 60 + float(seconds)) * TICKS_PER_S)


def value(text: str) -> Value | None:
    if text in {"", "undefined"}:
        return None
    return text == "true" if text in {"true", "false"} else float(text)


def status(words: list[str]) -> int:
    bits = sum(BITS[word] for word in words[1:])
    return CODES[words[0]] | (0x400 | bits if bits else 0)


def stored(rows: list[dict[str, object]]) -> Columns:
    columns = Columns()
    for row in rows:
        if row["t"]:
            columns.append(ticks(str(row["t"])), value(str(row["v"])), status(row["status"]))
    return columns


def computed(table: dict[str, object], raw: Columns, page: int) -> list[Result]:
    names = ("stepped", "treat_uncertain_as_bad", "percent_data_bad", "percent_data_good", "use_sloped_extrapolation")
    aggregation = Aggregation(
        Aggregate(table["aggregate"]),
        Configuration(**{name: table[name] for name in names}),
        start=ticks("12:00:00"),
        end=ticks("12:01:40"),
        interval=int(table["processing_interval_ms"]) * TICKS_PER_MS,
    )
    found = []
    for at in range(0, len(raw), page):
        part = slice(at, at + page)
        found += aggregation.feed(Columns(raw.ticks[part], raw.values[part], raw.statuses[part]))
    return [*found, *aggregation.finish()]


def differs(result: Result, row: dict[str, object]) -> bool:
    text = str(row["v"])
    if (result.ticks, result.status) != (ticks(str(row["t"])), status(row["status"])):
        return True
    expected = CODES[text] if text in CODES else value(text)
    if expected is None or result.value is None:
        return result.value is not expected
    return abs(float(expected) - float(result.value)) > TOLERANCE * max(1.0, abs(float(expected)))


@pytest.mark.parametrize("page", [1, 4, 1000])
@pytest.mark.parametrize("aggregate", Aggregate, ids=lambda aggregate: aggregate.value)
def test_the_published_tables_hold(aggregate: Aggregate, page: int) -> None:
    tables = 0
    for path in sorted(require_cases().glob("part13_*.json")):
        document = json.loads(path.read_text())
        raw = {name: stored(table["rows"]) for name, table in document["raw"].items()}
        for table in document["processed"]:
            if table["aggregate"] != aggregate.value:
                continue
            tables += 1
            found = computed(table, raw[table["historian"]], page)
            assert len(found) == len(table["rows"])
            assert [
                (row, result) for row, result in zip(table["rows"], found, strict=True) if differs(result, row)
            ] == []
    assert tables
