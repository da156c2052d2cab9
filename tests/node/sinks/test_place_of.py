"""From a line back to the sample that it was made of."""

from array import array

import pytest
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import Value
from node.historian.forwarding.feed import START, Portion
from node.historian.history import Columns
from node.sinks.line_protocol import LineEncoder, place_of

TAGS = st.text(st.sampled_from("ab1._-=, \\ü"), min_size=1, max_size=12).filter(lambda tag: not tag.endswith("\\"))
VALUES: st.SearchStrategy[Value | None] = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(), st.text())
TICKS = st.integers(24_182_784_000_000_000, 208_700_000_000_000_000)


@given(TAGS, VALUES, TICKS, st.sampled_from([0, 0x4095_0000, 0x8000_0000]))
def test_every_line_tells_its_tag_and_time(tag: str, value: Value | None, ticks: int, status: int) -> None:
    samples = Columns(array("q", [ticks]), [value], array("I", [status]))
    lines = LineEncoder("a site").encode(Portion(START, [tag], samples))
    for line in lines.texts:
        assert place_of(line) == (tag, ticks)
    for text, _reason in lines.refused:
        assert place_of(text) is None


@pytest.mark.parametrize(
    "line", ["", "h", "x,device=a,node=a.b,site=s v=1 5", "h,device=a,node=a.b,site=s v=1", "h v=1 5"]
)
def test_what_is_no_line_of_ours_has_no_place(line: str) -> None:
    assert place_of(line) is None
