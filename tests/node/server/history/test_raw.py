import json
import random
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import INTEGER_RANGES, DataType, Point, PointKind, Value, ticks_to_datetime
from node.historian.history import Columns, History, HistoryUnavailable
from node.server.history import POINTS_PER_SESSION, Archive, HistoryService
from node.server.history.data import history_data, wire_type
from node.server.reading import Stamps
from node.server.request import ServiceRefused
from tests.fake_clock import FakeClock
from tests.node.server.history.house import FIVE, MINUTE, House, Session, item, moment, status, times, values
from tests.tools import require_cases

# --- the table of OPC 10000-11


def at(text: str | None) -> int | None:
    if text is None:
        return None
    hours, minutes = text.split(":")
    return FIVE + ((int(hours) - 5) * 60 + int(minutes)) * MINUTE


async def follows(house: House, case: dict[str, Any]) -> None:
    start, end = at(case["start"]), at(case["end"])
    result = await house.read(start, end, case["num_values"], bounds=case["return_bounds"])
    assert bool(result.ContinuationPoint) is case["continuation_point"], case
    if case["expect"] == ["NODATA"]:
        assert status(result) == "GoodNoData", case
        assert not values(result), case
        return
    assert status(result) == "Good", case
    got = values(result)
    assert len(got) == len(case["expect"]), case
    travel = (start, end) if start is not None else (end, None)
    for position, (value, wanted) in enumerate(zip(got, case["expect"], strict=True)):
        if wanted in ("FIRST", "LAST"):
            assert value.StatusCode.name == "BadBoundNotFound", case
            assert value.Value.Value is None, case
            edge = travel[0] if position == 0 else travel[1]
            assert edge is None or value.SourceTimestamp == ticks_to_datetime(edge), case
        else:
            assert value.SourceTimestamp == ticks_to_datetime(at(wanted) or 0), case
            assert value.StatusCode.is_good(), case


async def test_the_published_cases_hold(house: House) -> None:
    table = json.loads((require_cases() / "part11_readraw.json").read_text(encoding="utf-8"))
    house.record(at(text) or 0 for text in table["stored"])
    for bring_on in (None, house.journal.flush, house.journal.compact):  # from memory, from a frame, from a block
        if bring_on is not None:
            await bring_on()
        for case in table["cases"]:
            await follows(house, case)


def case(
    start: str | None, end: str | None, count: int, expect: list[str], *, bounds: bool = False, more: bool = False
) -> dict[str, Any]:
    return {
        "start": start, "end": end, "num_values": count, "return_bounds": bounds,
        "expect": expect, "continuation_point": more,
    }  # fmt: skip


@pytest.mark.parametrize(
    "one",
    [
        # By hand from the rules: end excluded, a page is full only when more lies behind it.
        case("5:00", "5:05", 0, ["5:00", "5:02", "5:03"]),
        case("5:00", "5:05", 3, ["5:00", "5:02", "5:03"]),
        case("5:00", "5:05", 2, ["5:00", "5:02"], more=True),
        case("5:05", "5:00", 0, ["5:05", "5:03", "5:02"]),
        case("5:04", "5:01", 0, ["5:03", "5:02"]),
        case("5:06", None, 1, ["5:06"]),
        case("5:06", None, 2, ["5:06"]),
        case(None, "5:02", 2, ["5:02", "5:00"]),
        case(None, "5:02", 1, ["5:02"], more=True),
        case("5:07", "5:09", 0, ["NODATA"]),
        case("4:00", "4:30", 0, ["FIRST", "5:00"], bounds=True),
        case("5:07", "5:09", 0, ["5:06", "LAST"], bounds=True),
        case("5:09", "4:59", 0, ["LAST", "5:06", "5:05", "5:03", "5:02", "5:00", "FIRST"], bounds=True),
        case("5:00", "5:00", 0, ["5:00", "5:02"], bounds=True),
        case("5:06", "5:06", 0, ["5:06", "LAST"], bounds=True),
        case("5:00", None, 5, ["5:00", "5:02", "5:03", "5:05", "5:06"], bounds=True, more=True),
    ],
    ids=str,
)
async def test_our_own_cases_hold(house: House, one: dict[str, Any]) -> None:
    house.record(FIVE + minute * MINUTE for minute in (0, 2, 3, 5, 6))
    await house.journal.flush()
    await follows(house, one)


# --- paging


async def all_pages(house: House, start: int | None, end: int | None, count: int, *, bounds: bool) -> list[Any]:
    found: list[Any] = []
    token: bytes | None = None
    while True:
        result = await house.read(start, end, count, bounds=bounds, token=token)
        got = values(result)
        assert len(got) <= count or not count
        assert got or token is None
        found += [(v.SourceTimestamp, v.Value.Value if v.Value else None, v.StatusCode.value) for v in got]
        token = result.ContinuationPoint
        if not token:
            return found


async def test_pages_of_every_size_add_up_to_the_whole_both_ways(house: House, seed: int) -> None:
    rng = random.Random(seed)
    house.record(FIVE + number * MINUTE for number in rng.sample(range(60), 30))
    await house.journal.flush()
    for _ in range(60):
        start, end = (FIVE + rng.randrange(-2, 62) * MINUTE for _ in range(2))
        bounds = rng.random() < 0.5
        everything = await all_pages(house, start, end, 0, bounds=bounds)
        assert await all_pages(house, start, end, rng.randrange(1, 12), bounds=bounds) == everything
        if bounds and start != end:
            assert await all_pages(house, end, start, rng.randrange(1, 12), bounds=True) == everything[::-1]


async def test_a_read_of_all_values_comes_in_pages_of_ten_thousand(house: House) -> None:
    house.record(range(FIVE, FIVE + 25_000 * 10, 10))
    sizes, token = [], None
    for _ in range(3):
        result = await house.read(FIVE, FIVE + MINUTE * 60, token=token)
        sizes.append(len(values(result)))
        token = result.ContinuationPoint
    assert sizes == [10_000, 10_000, 5_000]
    assert not token


async def test_a_continuation_point_serves_one_node_of_one_session_once(house: House) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(9))
    first = await house.read(FIVE, None, 3)
    token = first.ContinuationPoint
    other = await house.read(FIVE, None, 3, token=token, session=Session())
    assert status(other) == "BadContinuationPointInvalid"
    assert status(await house.read(FIVE, None, 3, token=token, node="xw1.level")) == "BadContinuationPointInvalid"
    second = await house.read(FIVE, None, 3, token=token)
    assert times(second) == [ticks_to_datetime(FIVE + minute * MINUTE) for minute in (3, 4, 5)]
    assert second.ContinuationPoint != token
    assert status(await house.read(FIVE, None, 3, token=token)) == "BadContinuationPointInvalid"
    assert status(await house.read(FIVE, None, 3, token=b"\0" * 8)) == "BadContinuationPointInvalid"


async def test_a_released_continuation_point_is_gone_and_gives_no_data(house: House) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(9))
    token = (await house.read(FIVE, None, 3)).ContinuationPoint
    details = ua.ReadRawModifiedDetails(IsReadModified=False)
    for expected in ("Good", "BadContinuationPointInvalid"):
        (result,) = await house.ask(details, [item(token=token)], release=True)
        assert status(result) == expected
        assert not result.HistoryData
    assert status(await house.read(FIVE, None, 3, token=token)) == "BadContinuationPointInvalid"


async def test_a_session_has_a_bounded_number_of_points_and_the_oldest_goes(house: House) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(9))
    tokens = [(await house.read(FIVE, None, 3)).ContinuationPoint for _ in range(POINTS_PER_SESSION + 1)]
    assert status(await house.read(token=tokens[0])) == "BadContinuationPointInvalid"
    assert status(await house.read(token=tokens[1])) == "Good"


async def test_points_go_with_their_session(house: House) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(9))
    session = Session()
    await house.read(FIVE, None, 3, session=session)
    assert len(house.reader._reader._points._sessions) == 1
    del session
    assert len(house.reader._reader._points._sessions) == 0


# --- what is refused


async def test_each_node_has_its_own_answer(house: House) -> None:
    house.record([FIVE])
    details = ua.ReadRawModifiedDetails(
        IsReadModified=False, StartTime=moment(FIVE), EndTime=moment(FIVE + 1), ReturnBounds=False
    )
    strange = item()
    strange.DataEncoding = ua.QualifiedName("Default XML")
    cut = item()
    cut.IndexRange = "0:1"
    results = await house.ask(
        details,
        [item(), item("xw1.scratch"), item("xw1"), item("xw9.power"), item("xw1.level"), strange, cut],
    )
    assert [status(result) for result in results] == [
        "Good",
        "BadHistoryOperationUnsupported",
        "BadHistoryOperationUnsupported",
        "BadNodeIdUnknown",
        "GoodNoData",
        "BadDataEncodingUnsupported",
        "BadIndexRangeInvalid",
    ]


@pytest.mark.parametrize(
    ("start", "end", "count"), [(None, None, 5), (FIVE, None, 0), (None, FIVE, 0), (None, None, 0)]
)
async def test_two_of_start_end_and_number_are_needed(
    house: House, start: int | None, end: int | None, count: int
) -> None:
    assert status(await house.read(start, end, count)) == "BadHistoryOperationInvalid"


@pytest.mark.parametrize("details", [None, ua.ExtensionObject(), ua.Argument()])
async def test_details_that_are_none_refuse_the_request(house: House, details: Any) -> None:
    with pytest.raises(ServiceRefused) as refused:
        await house.ask(details, [item()])
    assert refused.value.status == ua.StatusCodes.BadHistoryOperationInvalid


@pytest.mark.parametrize("wanted", [ua.TimestampsToReturn.Neither, ua.TimestampsToReturn.Invalid])
async def test_a_read_without_times_makes_no_sense(house: House, wanted: ua.TimestampsToReturn) -> None:
    with pytest.raises(ServiceRefused) as refused:
        await house.read(FIVE, FIVE + 1, wanted=wanted)
    assert refused.value.status == ua.StatusCodes.BadTimestampsToReturnInvalid


@pytest.mark.parametrize(
    ("wanted", "source", "server"), [("Source", True, False), ("Server", False, True), ("Both", True, True)]
)
async def test_the_wanted_times_are_returned(house: House, wanted: str, source: bool, server: bool) -> None:
    house.record([FIVE])
    (value,) = values(await house.read(FIVE, FIVE, wanted=ua.TimestampsToReturn[wanted]))
    moment = ticks_to_datetime(FIVE)
    assert (value.SourceTimestamp, value.ServerTimestamp) == (moment if source else None, moment if server else None)


class Disk:
    """A history whose disk can be taken away."""

    def __init__(self, history: History) -> None:
        self._history = history
        self.answers = True

    def __getattr__(self, name: str) -> Any:
        if not self.answers:
            raise HistoryUnavailable("the disk is gone")
        return getattr(self._history, name)


async def test_a_file_that_cannot_be_read_is_said_and_loses_no_continuation_point(house: House) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(9))
    disk: Any = Disk(house.journal)
    house.reader = HistoryService(Archive(disk), house.nodes, house.image, FakeClock())
    token = (await house.read(FIVE, None, 3)).ContinuationPoint
    disk.answers = False
    assert status(await house.read(FIVE, None, 3, token=token)) == "BadResourceUnavailable"
    disk.answers = True
    assert len(values(await house.read(FIVE, None, 3, token=token))) == 3


# --- bytes

BOTH = Stamps(source=True, server=True)
one_value = st.one_of(st.none(), st.booleans(), st.floats(), st.integers(-(2**63), 2**64 - 1), st.text())


@given(
    st.lists(st.tuples(st.integers(0, 10**17), one_value, st.integers(0, 2**32 - 1)), max_size=20),
    st.sampled_from([*DataType, 13]),
)
def test_asyncua_reads_from_our_bytes_what_was_recorded(
    samples: list[tuple[int, Value | None, int]], data_type: int
) -> None:
    columns = Columns()
    for ticks, value, code in samples:
        columns.append(ticks * 10, value, code)
    packed = struct_to_binary(history_data(columns, data_type, BOTH))
    result = struct_from_binary(ua.HistoryReadResult, Buffer(b"\0" * 4 + b"\xff" * 4 + packed))
    assert len(values(result)) == len(samples)
    for got, (ticks, value, code) in zip(values(result), samples, strict=True):
        assert got.StatusCode.value == code
        assert got.SourceTimestamp == got.ServerTimestamp == ticks_to_datetime(ticks * 10)
        if value is None or code & 0x80000000:
            assert got.Value.Value is None
        elif got.Value.VariantType == ua.VariantType.DateTime:
            assert isinstance(value, int)
        elif got.Value.VariantType == ua.VariantType.Float:
            assert got.Value.Value == pytest.approx(value, rel=1e-6, abs=1e-37, nan_ok=True)
        elif isinstance(value, float):
            assert repr(got.Value.Value) == repr(value)
        elif got.Value.VariantType == ua.VariantType.Double:
            assert got.Value.Value == float(value)
        else:
            assert got.Value.Value == value


def fitting(data_type: DataType) -> st.SearchStrategy[Value]:
    """Values that a point of this type has."""
    if data_type is DataType.BOOLEAN:
        return st.booleans()
    if data_type in INTEGER_RANGES:
        return st.integers(*INTEGER_RANGES[data_type])
    return st.text() if data_type is DataType.STRING else st.floats(width=32, allow_nan=False)


@given(st.data(), st.sampled_from(DataType), st.sampled_from([0, 0x4000_0000]))
def test_a_page_of_equal_kind_is_read_as_it_was_recorded(data: st.DataObject, data_type: DataType, code: int) -> None:
    columns = Columns()
    for number, value in enumerate(data.draw(st.lists(fitting(data_type), min_size=8, max_size=40))):
        columns.append(FIVE + 10 * number, value, code if number % 3 == 0 else 0)
    packed = struct_to_binary(history_data(columns, int(data_type), Stamps(source=True, server=False)))
    result = struct_from_binary(ua.HistoryReadResult, Buffer(b"\0" * 4 + b"\xff" * 4 + packed))
    got = [(each.Value.Value, each.StatusCode.value, each.SourceTimestamp) for each in values(result)]
    assert got == [
        (value, status, ticks_to_datetime(ticks))
        for ticks, value, status in zip(columns.ticks, columns.values, columns.statuses, strict=True)
    ]
    assert {each.Value.VariantType for each in values(result)} == {ua.VariantType(int(data_type))}


def test_a_value_has_the_type_of_its_point_and_a_time_is_a_date() -> None:
    time = Point("t", "t", "", DataType.INT64, PointKind.TIME)
    columns = Columns()
    columns.append(FIVE, FIVE, 0)
    body = struct_to_binary(history_data(columns, wire_type(time), BOTH))
    result = struct_from_binary(ua.HistoryReadResult, Buffer(b"\0" * 4 + b"\xff" * 4 + body))
    (value,) = values(result)
    assert value.Value.VariantType == ua.VariantType.DateTime
    assert value.Value.Value == ticks_to_datetime(FIVE)
