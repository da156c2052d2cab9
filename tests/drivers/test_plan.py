from collections.abc import Mapping

import pytest
from hypothesis import given
from hypothesis import strategies as st

from drivers.plan import (
    ReadLimits,
    answer_size,
    bisect,
    plan_reads,
    plan_writes,
    read_limits,
    reshape,
    span,
)
from drivers.spec import BusConfig, ModbusLimits, RawType, RegisterSource, SerialLine, Table, TcpPeer
from tests.drivers.equipment import source

WIDE = {1: RawType.U16, 2: RawType.U32, 4: RawType.U64}


def ranges(sources: Mapping[str, RegisterSource], limits: ReadLimits) -> list[tuple[int, int]]:
    return [(block.address, block.count) for block in plan_reads(sources, list(sources), limits)]


def test_neighbours_are_read_together_over_a_small_gap_only() -> None:
    sources = {"a": source(0), "b": source(5), "c": source(50)}
    assert ranges(sources, ReadLimits(max_gap=4)) == [(0, 6), (50, 1)]


def test_a_block_ends_before_a_value_that_would_be_split() -> None:
    sources = {f"p{a}": source(a, RawType.U32, 2) for a in range(1, 20, 2)}
    assert ranges(sources, ReadLimits(max_read=5)) == [(1, 4), (5, 4), (9, 4), (13, 4), (17, 4)]


def test_no_block_crosses_a_barrier() -> None:
    sources = {"a": source(8), "b": source(9), "c": source(10)}
    assert ranges(sources, ReadLimits(barriers=(10,))) == [(8, 2), (10, 1)]


def test_blocks_start_at_multiples_of_the_alignment() -> None:
    assert ranges({"a": source(7), "b": source(8)}, ReadLimits(align=4)) == [(4, 5)]


def test_tables_are_read_apart_and_bits_in_their_own_measure() -> None:
    sources = {
        "a": source(0),
        "b": source(0, table=Table.INPUT),
        "c": source(0, RawType.BOOL, table=Table.COIL),
        "d": source(1900, RawType.BOOL, table=Table.COIL),
    }
    assert ranges(sources, ReadLimits(max_gap=125)) == [(0, 1), (0, 1), (0, 1901)]


def test_a_scale_factor_is_read_in_the_block_of_its_value() -> None:
    sources = {"w": source(10, scale_from="sf"), "sf": source(60, RawType.I16)}
    (block,) = plan_reads(sources, ["w"], ReadLimits(max_gap=0))
    assert (block.address, block.count, block.points) == (10, 51, ("w",))


def test_words_that_are_apart_stay_in_one_request() -> None:
    sources = {"p": source(667, RawType.U32, 2, words=(671, 667))}
    assert ranges(sources, ReadLimits(max_gap=0)) == [(667, 5)]


def test_what_cannot_be_read_in_one_request_is_an_error() -> None:
    sources = {"p": source(0, RawType.U32, 2, words=(0, 125))}
    with pytest.raises(ValueError, match="p: its registers 0 to 125 do not fit one request of 125"):
        plan_reads(sources, ["p"], ReadLimits())


@pytest.mark.parametrize(
    ("link", "framing", "gap"),
    [
        (SerialLine("x", 9600), "rtu", 20),
        (SerialLine("x", 19200), "rtu", 30),
        (SerialLine("x", 115200), "rtu", 125),
        (TcpPeer("h", 1), "tcp", 125),
    ],
)
def test_the_gap_follows_the_speed_of_the_link(link: SerialLine | TcpPeer, framing: str, gap: int) -> None:
    assert read_limits(ModbusLimits(), BusConfig("b", "modbus", link, framing)).max_gap == gap
    assert read_limits(ModbusLimits(max_gap=3), BusConfig("b", "modbus", link, framing, max_gap=9)).max_gap == 3


@st.composite
def maps(draw: st.DrawFn) -> dict[str, RegisterSource]:
    sources: dict[str, RegisterSource] = {}
    at = draw(st.integers(0, 50))
    for number in range(draw(st.integers(1, 60))):
        width = draw(st.sampled_from(list(WIDE)))
        table = draw(st.sampled_from([Table.HOLDING, Table.INPUT]))
        sources[f"p{number}"] = source(at, WIDE[width], width, table=table)
        at += draw(st.integers(0, 30)) + draw(st.sampled_from([0, width]))  # some overlap
    return sources


@given(
    sources=maps(),
    max_read=st.integers(8, 125),
    max_gap=st.integers(0, 40),
    barriers=st.lists(st.integers(0, 1000), max_size=3),
    align=st.sampled_from([1, 2, 4]),
)
def test_every_plan_reads_each_point_once_and_whole_within_all_limits(
    sources: dict[str, RegisterSource], max_read: int, max_gap: int, barriers: list[int], align: int
) -> None:
    limits = ReadLimits(max_read, max_gap, tuple(barriers), align)
    blocks = plan_reads(sources, list(sources), limits)
    seen = [p for block in blocks for p in block.points]
    assert sorted(seen) == sorted(sources)
    for block in blocks:
        assert 1 <= block.count <= max_read
        covered: set[int] = set()
        for p in block.points:
            first, last = span(sources[p])
            assert sources[p].table is block.table
            assert block.address <= first
            assert last < block.address + block.count
            covered |= set(range(first, last + 1))
        first, last = min(covered), max(covered)
        gap = longest = 0
        for address in range(first, last + 1):
            gap = 0 if address in covered else gap + 1
            longest = max(longest, gap)
        assert longest <= max_gap
        for barrier in barriers:
            # Only a value that lies on the barrier itself may hold it.
            inside = [item for item in block.items if item.first < barrier <= item.last]
            assert not block.items[0].first < barrier <= block.items[-1].last or inside


@given(sources=maps(), avoided=st.sets(st.integers(1, 20), max_size=4))
def test_a_reshaped_read_answers_the_same_points_in_no_size_that_is_avoided(
    sources: dict[str, RegisterSource], avoided: set[int]
) -> None:
    limits = ReadLimits(max_gap=5)
    avoid = frozenset(2 * count for count in avoided)
    known = frozenset(a for s in sources.values() for a in range(span(s)[0], span(s)[1] + 1))
    for block in plan_reads(sources, list(sources), limits):
        pieces = reshape(block, avoid, known, limits)
        assert not {piece.size for piece in pieces} & avoid
        assert [p for piece in pieces for p in piece.points] == list(block.points)
        for piece in pieces:
            assert piece.count <= 125
            for item in piece.items:
                assert piece.address <= item.first <= item.last < piece.address + piece.count


def test_a_lone_register_is_read_with_another_or_not_at_all() -> None:
    (block,) = plan_reads({"p": source(9)}, ["p"], ReadLimits())
    avoid = frozenset({2})
    assert [(b.address, b.count) for b in reshape(block, avoid, frozenset(), ReadLimits())] == [(9, 2)]
    assert reshape(block, avoid, frozenset(), ReadLimits(), pad=False) == ()
    known = frozenset({8, 9})
    assert [(b.address, b.count) for b in reshape(block, avoid, known, ReadLimits(), pad=False)] == [(8, 2)]


def test_coils_are_avoided_by_the_bytes_of_their_answer() -> None:
    (block,) = plan_reads({"c": source(0, RawType.BOOL, table=Table.COIL)}, ["c"], ReadLimits())
    (piece,) = reshape(block, frozenset({1}), frozenset(), ReadLimits())
    assert answer_size(Table.COIL, piece.count) == 2


def test_a_refused_block_is_cut_in_its_widest_gap_else_in_the_middle() -> None:
    sources = {"a": source(0), "b": source(1), "c": source(5), "d": source(6)}
    (block,) = plan_reads(sources, list(sources), ReadLimits())
    left, right = bisect(block, ReadLimits())
    assert (left.points, right.points) == (("a", "b"), ("c", "d"))
    first, second = bisect(left, ReadLimits())
    assert (first.points, second.points) == (("a",), ("b",))
    with pytest.raises(ValueError, match="cannot be split"):
        bisect(first, ReadLimits())


# --- writes


def test_settings_are_written_one_by_one_in_their_order() -> None:
    blocks = plan_writes(Table.HOLDING, [((5, 1),), ((6, 2),), ((1, 3), (2, 4))])
    assert [(b.address, b.words) for b in blocks] == [(5, (1,)), (6, (2,)), (1, (3, 4))]


def test_contiguous_settings_join_where_the_device_wants_whole_blocks() -> None:
    blocks = plan_writes(Table.HOLDING, [((5, 1),), ((6, 2),), ((9, 3),)], join=True)
    assert [(b.address, b.words) for b in blocks] == [(5, (1, 2)), (9, (3,))]


def test_words_that_are_apart_are_two_requests() -> None:
    blocks = plan_writes(Table.HOLDING, [((671, 1), (667, 2))])
    assert [(b.address, b.words) for b in blocks] == [(667, (2,)), (671, (1,))]


@given(
    widths=st.lists(st.sampled_from([1, 2, 4]), min_size=1, max_size=120),
    max_write=st.integers(4, 200),
)
def test_joined_writes_keep_order_and_values_whole_and_at_most_123_registers(widths: list[int], max_write: int) -> None:
    settings, at = [], 100
    for width in widths:
        settings.append([(at + step, at + step) for step in range(width)])
        at += width
    blocks = plan_writes(Table.HOLDING, settings, max_write=max_write, join=True)
    assert [word for b in blocks for word in b.words] == list(range(100, at))
    assert all(len(b.words) <= min(123, max_write) for b in blocks)
    starts = {pairs[0][0] for pairs in settings}
    assert all(b.address in starts for b in blocks)
