import math
import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import Status, Value, is_bad
from node.historian.forwarding.feed import Mark, Portion
from node.historian.history import Columns
from node.sinks.base import Lines
from node.sinks.line_protocol import TEXT_BYTES, LineEncoder, escape_tag, ns_from_ticks, ticks_from_ns

NOON = 134_272_512_000_000_000  # 2026-06-30 00:00:00 UTC
NS = 1_782_777_600_000_000_000
HEAD = r"h,device=xw1,node=xw1.ac_power,site=demo "


def encoded(value: Value | None, status: int = 0, ticks: int = NOON, tag: str = "xw1.ac_power") -> Lines:
    samples = Columns()
    samples.append(ticks, value, status)
    return LineEncoder("demo").encode(Portion(Mark(1), [tag], samples))


def line(value: Value | None, status: int = 0) -> str:
    (text,) = encoded(value, status).texts
    assert text.startswith(HEAD)
    assert text.endswith(f" {NS}")
    return text[len(HEAD) : -len(f" {NS}")]


@pytest.mark.parametrize(
    ("value", "fields"),
    [
        (1520.5, "v=1520.5"),
        (1e300, "v=1e+300"),
        (-0.0, "v=-0.0"),
        (7, "i=7i"),
        (2**63 - 2, "i=9223372036854775806i"),
        (2**63 - 1, 'i=9223372036854775807i,s="9223372036854775807"'),
        (-(2**63), 'i=-9223372036854775808i,s="-9223372036854775808"'),
        (2**63, 'i=9223372036854775807i,s="9223372036854775808"'),
        (-(2**63) - 1, 'i=-9223372036854775808i,s="-9223372036854775809"'),
        (True, "b=true"),
        (False, "b=false"),
        ("", 's=""'),
        ('a "b" \\ c, d=e ü', 's="a \\"b\\" \\\\ c, d=e ü"'),
        ("two\nlines", 's="two\nlines"'),
        ("\ud800", 's="?"'),
    ],
)
def test_a_value_goes_to_the_field_of_its_kind_with_the_status_beside_it(value: Value, fields: str) -> None:
    assert line(value) == f"{fields},st=0i"
    assert line(value, 0x4095_0000) == f"{fields},st={0x4095_0000}i"


@pytest.mark.parametrize("value", [math.nan, math.inf, -math.inf])
def test_what_is_not_finite_is_a_bad_status_alone(value: float) -> None:
    assert line(value) == f"st={int(Status.BAD_SENSOR_FAILURE)}i"
    assert line(value, Status.UNCERTAIN) == f"st={int(Status.BAD_SENSOR_FAILURE)}i"
    assert line(value, Status.BAD_TIMEOUT) == f"st={int(Status.BAD_TIMEOUT)}i"


def test_no_value_is_a_bad_status_alone() -> None:
    assert line(None, Status.BAD_TIMEOUT) == f"st={int(Status.BAD_TIMEOUT)}i"
    assert line(None) == f"st={int(Status.BAD_NO_DATA)}i"


def test_info_bits_are_not_stored() -> None:
    assert line(1.0, 0x4095_0480) == f"v=1.0,st={0x4095_0000}i"


def test_a_long_text_is_cut_between_characters_and_says_so() -> None:
    (text,) = encoded("ü" * TEXT_BYTES).texts
    cut = re.search(r'cut=(\d+)i,s="(ü+)",st=0i', text)
    assert cut is not None
    assert cut[1] == str(2 * TEXT_BYTES)
    assert len(cut[2].encode()) == TEXT_BYTES


@pytest.mark.parametrize("ticks", [0, 10**18, 2**63 - 1, -(2**63)])
def test_a_time_that_no_line_can_say_is_refused_with_its_reason(ticks: int) -> None:
    found = encoded(1.5, ticks=ticks)
    assert found.texts == found.ticks == []
    ((text, reason),) = found.refused
    assert "xw1.ac_power" in text
    assert "1.5" in text
    assert "1677" in reason


@pytest.mark.parametrize("tag", ["", "a\nb", "ends with \\"])
def test_a_tag_that_no_line_can_say_is_refused(tag: str) -> None:
    assert len(encoded(1.0, tag=tag).refused) == 1


def test_a_tag_is_escaped() -> None:
    assert escape_tag("Inv 1,a=b/ü") == r"Inv\ 1\,a\=b/ü"


@given(st.integers(0, 200), st.data())
def test_nothing_vanishes_and_nothing_raises(count: int, data: st.DataObject) -> None:
    values = st.one_of(st.none(), st.booleans(), st.integers(-(2**70), 2**70), st.floats(), st.text(max_size=50))
    samples = Columns()
    for _ in range(count % 7):
        samples.append(
            data.draw(st.integers(-(2**63), 2**63 - 1)), data.draw(values), data.draw(st.integers(0, 2**32 - 1))
        )
    tags = [data.draw(st.text(max_size=12)) for _ in range(len(samples))]
    found = LineEncoder("demo").encode(Portion(Mark(1), tags, samples))
    assert len(found.texts) + len(found.refused) == len(samples)
    assert len(found.ticks) == len(found.texts)
    for text in found.texts:
        status = int(re.findall(r"st=(\d+)i -?\d+$", text)[0])
        assert status & 0xFFFF == 0
        # Without a value the status is Bad, so that it hides a value that is there already.
        if not re.search(r'[ ,](v=|i=|b=|s=")', text):
            assert is_bad(status)


@given(st.integers(-(2**62) // 100, 2**62 // 100))
def test_a_time_comes_back(ticks: int) -> None:
    assert ticks_from_ns(ns_from_ticks(ticks)) == ticks
