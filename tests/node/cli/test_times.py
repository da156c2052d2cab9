import time
from collections.abc import Iterator
from datetime import UTC, datetime, timedelta

import pytest

from address_space.model import ticks_from_datetime
from drivers.duration import duration_s
from node.cli.times import iso_utc, moment, period, shown

NOW = datetime(2026, 7, 1, 12, 0, tzinfo=UTC)


@pytest.fixture(autouse=True)
def _berlin(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    monkeypatch.setenv("TZ", "CET-1CEST,M3.5.0,M10.5.0/3")
    time.tzset()
    yield
    monkeypatch.undo()
    time.tzset()


def test_a_time_is_local_with_its_offset_in_summer_and_winter() -> None:
    assert shown(ticks_from_datetime(NOW)) == "2026-07-01 14:00:00.000+02:00"
    assert shown(ticks_from_datetime(NOW.replace(month=1))) == "2026-01-01 13:00:00.000+01:00"


def test_no_time_and_an_impossible_one_are_shown_too() -> None:
    assert shown(None) == "-"
    assert shown(2**62) == "out of range"


def test_a_time_without_offset_is_local() -> None:
    assert moment("2026-07-01T14:00").astimezone(UTC) == NOW
    assert moment("2026-07-01T12:00Z").astimezone(UTC) == NOW


def test_a_period_is_the_last_five_minutes_by_default() -> None:
    assert period(None, None, None, NOW) == (NOW - timedelta(minutes=5), NOW)
    assert period("2h", None, None, NOW) == (NOW - timedelta(hours=2), NOW)
    assert period(None, "2026-07-01T13:00", "2026-07-01T13:30", NOW) == (
        NOW - timedelta(hours=1),
        NOW - timedelta(minutes=30),
    )


@pytest.mark.parametrize(
    ("last", "start", "end", "said"),
    [
        ("5m", "2026-07-01T13:00", None, "not both"),
        ("5", None, None, "write it with its unit"),
        (None, "yesterday", None, "is no time"),
        (None, "2026-07-01T15:00", None, "is not before the end"),
    ],
)
def test_a_wrong_period_is_said(last: str | None, start: str | None, end: str | None, said: str) -> None:
    with pytest.raises(ValueError, match=said):
        period(last, start, end, NOW)


@pytest.mark.parametrize(
    ("ticks", "text"),
    [
        (0, "1601-01-01T00:00:00.000Z"),
        (-10_000, "1600-12-31T23:59:59.999Z"),
        (ticks_from_datetime(NOW) + 1_230_000, "2026-07-01T12:00:00.123Z"),
        (ticks_from_datetime(NOW) + 1, "2026-07-01T12:00:00.0000001Z"),
        (2_650_467_743_999_990_000, "9999-12-31T23:59:59.999Z"),
        (2_650_467_744_000_000_000, "out of range"),
        (-(2**63), "out of range"),
    ],
)
def test_a_time_of_a_file_is_utc_with_as_many_digits_as_it_has(ticks: int, text: str) -> None:
    assert iso_utc(ticks) == text


@pytest.mark.parametrize(("text", "seconds"), [("1d", 86_400.0), ("5min", 300.0), ("5m", 300.0), ("100ms", 0.1)])
def test_all_units_of_durations_are_taken(text: str, seconds: float) -> None:
    assert duration_s(text) == seconds


@pytest.mark.parametrize(
    ("text", "ends"),
    [("2w", "2h, 1d; 14d works"), ("1.5 w", "; 10.5d works"), ("5", "5m (or 5min), 2h, 1d"), ("2y", "2h, 1d")],
)
def test_what_is_no_duration_is_told_the_units(text: str, ends: str) -> None:
    with pytest.raises(ValueError, match="is no duration") as refused:
        duration_s(text)
    assert str(refused.value).endswith(ends)
