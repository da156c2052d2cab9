"""The fast path: whatever it answers is, byte for byte, what the ordinary way answers, and doubt is left to that."""

import random
import struct
from collections.abc import Iterator
from typing import Any

import pytest
from asyncua import ua
from asyncua.ua.ua_binary import struct_from_binary
from hypothesis import given, settings
from hypothesis import strategies as st

from address_space.model import CommandResult, Outcome, Status
from node.roles import Caller, Role
from node.server.transport.wire import Reader
from tests.address_space.conftest import POINTS, model_id, site_id
from tests.node.server.fast_stage import Line, World, browse_request, read_request

VALUE = ua.AttributeIds.Value
ALL_FIELDS = 63


@pytest.fixture(scope="module")
def world() -> World:
    return World()


def value_of(path: str, **more: Any) -> ua.ReadValueId:
    return ua.ReadValueId(site_id(path), VALUE, **more)


def everything(nodeid: ua.NodeId, direction: int = 2, kind: ua.NodeId | None = None, *more: Any) -> Any:
    with_subtypes, classes, fields = more or (True, 0, ALL_FIELDS)
    return ua.BrowseDescription(
        nodeid, ua.BrowseDirection(direction), kind or ua.NodeId(), with_subtypes, classes, fields
    )


# --- read

samples = st.one_of(
    st.floats(),
    st.integers(-(2**65), 2**65),
    st.booleans(),
    st.text(max_size=5),
    st.sampled_from([3.4028234663852886e38, 3.40282350e38, -3.5e38, 2**31, 2**63 - 1, 1e300]),
    st.none(),
)
statuses = st.sampled_from([0, Status.UNCERTAIN, Status.BAD_SENSOR_FAILURE, Status.BAD_NO_COMMUNICATION, 0x0480])
paths = st.sampled_from([f"{device}.{point.id}" for device in ("xw1", "xw2", "other") for point in POINTS])


@settings(max_examples=300)
@given(
    st.lists(st.tuples(paths, samples, statuses), min_size=1, max_size=30),
    st.integers(0, 3),
    st.sampled_from([0.0, 5.0, float("inf")]),
)
async def test_reads_are_the_same_bytes(
    world: World, rows: list[tuple[str, Any, int]], stamps: int, max_age: float
) -> None:
    for path, value, status in rows:
        try:
            world.put(path, value, status)
            float(value) if isinstance(value, int) else None
        except OverflowError:
            world.put(path, 1)
    await world.same(read_request(*(value_of(path) for path, _, _ in rows), stamps=stamps, max_age=max_age))


async def test_a_row_of_one_type_is_packed_as_a_column(world: World) -> None:
    for path in ("xw1.ac_power", "xw2.ac_power", "other.ac_power", "xw1.limit", "xw2.limit"):
        world.put(path, 1.5)
    items = [value_of(f"{device}.{point}") for device in ("xw1", "xw2") for point in ("ac_power", "limit")]
    await world.same(read_request(*items))
    world.put("xw2.ac_power", None, Status.BAD_DEVICE_FAILURE)
    await world.same(read_request(*items))
    world.put("xw2.ac_power", None)  # Good and nothing: nobody may see that
    answer = await world.same(read_request(*items))
    response: Any = struct_from_binary(ua.ReadResponse, Reader(answer))  # type: ignore[arg-type]
    assert response.Results[2].StatusCode.name == "BadInternalError"


async def test_spellings_of_nothing_are_known(world: World) -> None:
    world.put("xw1.ac_power", 2.0)
    for span in (None, ""):
        for encoding in (None, ""):
            item = value_of("xw1.ac_power", IndexRange=span, DataEncoding=ua.QualifiedName(encoding, 0))
            await world.same(read_request(item))


@pytest.mark.parametrize(
    "item",
    [
        value_of("xw1.ac_power", IndexRange="0"),
        value_of("xw1.ac_power", DataEncoding=ua.QualifiedName("Default XML", 0)),
        value_of("xw1.nothing"),
        value_of("nobody.ac_power"),
        value_of("xw1.ac_power.EURange"),
        value_of("xw1"),
        ua.ReadValueId(site_id("xw1.ac_power"), ua.AttributeIds.DisplayName),
        ua.ReadValueId(site_id("xw1.ac_power"), 99),
        ua.ReadValueId(ua.NodeId(2258), VALUE),
        ua.ReadValueId(ua.NodeId("xw1.ac_power", 3), VALUE),
        ua.ReadValueId(ua.NodeId(b"xw1.ac_power", 4), VALUE),
    ],
    ids=str,
)
async def test_reads_of_anything_else_go_the_ordinary_way_as_a_whole(world: World, item: ua.ReadValueId) -> None:
    body = world.bytes_of(read_request(value_of("xw1.ac_power"), item))
    assert world.fast(body) is None
    assert len(await world.ordinary(body)) > 40


@pytest.mark.parametrize(
    ("change", "status"),
    [
        ({"max_age": -1.0}, "BadMaxAgeInvalid"),
        ({"max_age": float("nan")}, "BadMaxAgeInvalid"),
        ({"stamps": 4}, "BadTimestampsToReturnInvalid"),
    ],
)
async def test_what_is_wrong_with_a_whole_read_is_said_the_ordinary_way(
    world: World, change: dict[str, Any], status: str
) -> None:
    body = world.bytes_of(read_request(value_of("xw1.ac_power"), **change))
    assert world.fast(body) is None
    fault = struct_from_binary(ua.ServiceFault, Reader(await world.ordinary(body)))  # type: ignore[arg-type]
    assert fault.ResponseHeader.ServiceResult.name == status


async def test_too_many_or_no_nodes_are_refused_the_ordinary_way(world: World) -> None:
    for count, status in ((0, "BadNothingToDo"), (501, "BadTooManyOperations")):
        body = world.bytes_of(read_request(*[value_of("xw1.ac_power")] * count))
        assert world.fast(body) is None
        fault = struct_from_binary(ua.ServiceFault, Reader(await world.ordinary(body)))  # type: ignore[arg-type]
        assert fault.ResponseHeader.ServiceResult.name == status


# --- browse


async def test_browses_of_every_node_of_the_plant_are_the_same_bytes(world: World) -> None:
    nodes = [nodeid for nodeid in world.space.nodes if nodeid.NamespaceIndex]
    assert len(nodes) > 500
    for first in range(0, len(nodes), 50):
        await world.same(browse_request(*(everything(each) for each in nodes[first : first + 50])))


async def test_browses_with_any_filter_are_the_same_bytes(world: World, seed: int) -> None:
    chance = random.Random(seed)
    nodes = [
        *(site_id(each) for each in ("xw1", "xw2", "xw1.ParameterSet", "xw2.MethodSet", "tank.Status", "xw1.state")),
        *(model_id(each) for each in ("InverterType", "SchneiderXwType", "SchneiderXwType.ParameterSet")),
        *(ua.NodeId(each) for each in (84, 85, 86, 2253, 2268, 58, 33, 61)),
        *(site_id("xw1.nothing"), ua.NodeId(99_999), ua.NodeId("Server", 0), ua.NodeId(b"x", 4)),
    ]
    kinds = [None, *(ua.NodeId(each) for each in (31, 32, 33, 34, 35, 40, 44, 46, 47, 45))]
    for _ in range(60):
        items = [
            everything(
                chance.choice(nodes),
                chance.randrange(3),
                chance.choice(kinds),
                chance.random() < 0.7,
                chance.choice((0, 0, 1, 2, 4, 3, 64, 255)),
                chance.choice((ALL_FIELDS, 0, 1, 2, 4, 8, 16, 32, chance.randrange(64))),
            )
            for _ in range(chance.randrange(1, 8))
        ]
        await world.same(browse_request(*items))


async def test_a_reference_that_is_added_is_seen(world: World) -> None:
    folder = ua.NodeId(2253)
    before = await world.same(browse_request(everything(folder)))
    references = world.space.nodes[folder].references
    references.append(references[0])
    try:
        assert len(await world.same(browse_request(everything(folder)))) > len(before)
    finally:
        references.pop()


@pytest.mark.parametrize(
    "request_",
    [
        browse_request(everything(site_id("xw1.ParameterSet")), most=3),
        browse_request(everything(site_id("xw1"), 3)),
        browse_request(everything(site_id("xw1"), 2, ua.NodeId(61))),
        browse_request(everything(site_id("xw1"), 2, ua.NodeId(12_345_678))),
        browse_request(),
        browse_request(*[everything(site_id("xw1"))] * 201),
    ],
)
async def test_pages_and_refusals_of_browse_go_the_ordinary_way(world: World, request_: Any) -> None:
    body = world.bytes_of(request_)
    assert world.fast(body) is None
    assert len(await world.ordinary(body)) > 20


async def test_a_view_is_refused_the_ordinary_way(world: World) -> None:
    request = browse_request(everything(site_id("xw1")))
    request.Parameters.View.ViewId = ua.NodeId(87)
    body = world.bytes_of(request)
    assert world.fast(body) is None
    fault = struct_from_binary(ua.ServiceFault, Reader(await world.ordinary(body)))  # type: ignore[arg-type]
    assert fault.ResponseHeader.ServiceResult.name == "BadViewIdUnknown"


# --- who may ask


def test_a_request_is_answered_only_for_its_session_on_its_connection(world: World) -> None:
    body = world.bytes_of(read_request(value_of("xw1.ac_power")))
    assert world.fast(body) is not None
    assert world.fast(body, Line(world.clock)) is None
    strange = body.replace(bytes(world.session.token.Identifier), b"x" * 32)  # type: ignore[call-overload]
    assert strange != body
    assert world.fast(strange) is None


def test_what_changes_about_a_session_counts_at_once(world: World) -> None:
    line = Line(world.clock)
    session = world.sessions.create(line, "new", 60_000.0, b"")
    body = world.bytes_of(read_request(value_of("xw1.ac_power")), session)
    assert world.fast(body, line) is None  # nobody has logged in
    world.sessions.activate(session, line, Caller("ann", Role.OBSERVER))
    assert world.fast(body, line) is not None
    other = Line(world.clock)
    world.sessions.activate(session, other, Caller("ann", Role.OBSERVER))
    assert world.fast(body, line) is None
    assert world.fast(body, other) is not None
    world.sessions.close(session)
    assert world.fast(body, other) is None


def test_without_security_nothing_is_answered_unless_it_is_allowed(world: World) -> None:
    body = world.bytes_of(read_request(value_of("xw1.ac_power")))
    world.line.channel.is_secure = False
    try:
        assert world.fast(body) is None
    finally:
        world.line.channel.is_secure = True


async def test_a_request_keeps_its_session_alive(world: World) -> None:
    await world.clock.advance(7)
    assert world.fast(world.bytes_of(read_request(value_of("xw1.ac_power")))) is not None
    assert world.session.touched_s == world.clock.monotonic()


async def test_audit_entries_and_diagnostics_in_a_header_change_nothing(world: World) -> None:
    request = read_request(value_of("xw1.ac_power"))
    request.RequestHeader.AuditEntryId = "operator desk 7"
    request.RequestHeader.ReturnDiagnostics = ua.UInt32(0x3FF)
    await world.same(request)


# --- bytes that are no request

REQUESTS = (
    read_request(value_of("xw1.ac_power"), value_of("xw1.state"), value_of("xw2.ac_power")),
    browse_request(everything(site_id("xw1")), everything(ua.NodeId(85), 0, ua.NodeId(33))),
)


@settings(max_examples=400)
@given(st.sampled_from(REQUESTS), st.integers(0, 2**31))
async def test_changed_bytes_are_answered_the_same_or_not_at_all(world: World, request: Any, chance: int) -> None:
    body = bytearray(world.bytes_of(request))
    generator = random.Random(chance)
    # Behind type id and token: in front of that nothing is answered at all.
    for _ in range(generator.randrange(1, 4)):
        place = generator.randrange(43, len(body))
        kind = generator.randrange(3)
        if kind == 0:
            body[place] = generator.choice((0, 1, 2, 3, 13, 0x7F, 0x80, 0xFF))
        elif kind == 1:
            del body[place : place + generator.randrange(1, 5)]
        else:
            body[place:place] = generator.randbytes(generator.randrange(1, 5))
        if len(body) < 50:
            break
    fast = world.fast(bytes(body))
    if fast is not None:
        assert fast == await world.ordinary(bytes(body))


def test_cut_requests_are_not_answered(world: World) -> None:
    for request in REQUESTS:
        body = world.bytes_of(request)
        assert world.fast(body) is not None
        assert all(world.fast(body[:length]) is None for length in range(len(body)))
        assert world.fast(body + b"\0") is None
        assert world.fast(struct.pack("<HH", 0x0101, 631) + body[4:]) is None


# --- settings and commands


def write_request(*rows: tuple[str, Any]) -> ua.WriteRequest:
    request = ua.WriteRequest()
    request.Parameters.NodesToWrite = [
        ua.WriteValue(
            site_id(path), VALUE, None, value if isinstance(value, ua.DataValue) else ua.DataValue(double(value))
        )
        for path, value in rows
    ]
    return request


def double(value: float) -> ua.Variant:
    return ua.Variant(value, ua.VariantType.Double)


def call_request(*inputs: ua.Variant, method: str = "xw1.SetLoadShave", thing: str = "xw1") -> ua.CallRequest:
    request = ua.CallRequest()
    request.Parameters.MethodsToCall = [ua.CallMethodRequest(site_id(thing), site_id(method), list(inputs))]
    return request


def good(limit: float = 5.0, mode: int = 1) -> tuple[ua.Variant, ua.Variant]:
    return double(limit), ua.Variant(mode, ua.VariantType.Int32)


@pytest.fixture
def engineer(world: World) -> Iterator[World]:
    world.session.caller = Caller("eve", Role.ENGINEER)
    world.desk.results = [CommandResult(Outcome.CONFIRMED, Status.GOOD, "a=1", 0.5, "confirmed")]
    yield world
    world.session.caller = Caller("ann", Role.OBSERVER)


async def both(world: World, request: Any) -> tuple[bytes | None, bytes]:
    """Answers of both ways, which ask the desk for the same."""
    body = world.bytes_of(request)
    fast = await world.fast_later(body)
    asked = list(world.desk.asked)
    ordinary = await world.ordinary(body)
    if fast is not None:
        assert asked == world.desk.asked
        assert fast == ordinary
    return fast, ordinary


async def test_writes_of_settings_are_the_same_bytes_and_ask_the_same(engineer: World) -> None:
    fast, _ = await both(engineer, write_request(("xw1.limit", 5.0)))
    assert fast is not None
    assert [row[:3] for row in engineer.desk.asked] == [("xw1", "limit", 5.0)]
    with_status = ua.DataValue(double(7.5), StatusCode=ua.StatusCode(ua.UInt32(0)))
    engineer.desk.results = [
        CommandResult(Outcome.MISMATCH, Status.UNCERTAIN, "", 0.5, ""),
        CommandResult(Outcome.REFUSED, Status.BAD_OUT_OF_RANGE, "", 0.0, ""),
    ]
    fast, _ = await both(engineer, write_request(("xw1.limit", with_status), ("xw1.limit", 250.0)))
    assert fast is not None
    assert len(engineer.desk.asked) == 2


@pytest.mark.parametrize(
    ("path", "value"),
    [
        ("xw1.limit", ua.DataValue(ua.Variant(5, ua.VariantType.Int32))),
        ("xw1.limit", ua.DataValue(ua.Variant([5.0], ua.VariantType.Double))),
        ("xw1.limit", ua.DataValue(double(5.0), StatusCode=ua.StatusCode(ua.UInt32(0x80000000)))),
        ("xw1.limit", ua.DataValue(double(5.0), SourceTimestamp=ua.win_epoch_to_datetime(10**17))),
        ("xw1.limit", ua.DataValue()),
        ("xw1.ac_power", 5.0),
        ("xw2.limit", 5.0),  # not controlled
        ("xw1.nothing", 5.0),
    ],
)
async def test_writes_of_anything_else_go_the_ordinary_way_as_a_whole(engineer: World, path: str, value: Any) -> None:
    fast, ordinary = await both(engineer, write_request(("xw1.limit", 1.0), (path, value)))
    assert fast is None
    response: Any = struct_from_binary(ua.WriteResponse, Reader(ordinary))  # type: ignore[arg-type]
    assert response.Results[0].is_good()
    assert not response.Results[1].is_good()


async def test_who_may_not_write_is_refused_the_ordinary_way(world: World) -> None:
    fast, ordinary = await both(world, write_request(("xw1.limit", 1.0)))
    assert fast is None
    response: Any = struct_from_binary(ua.WriteResponse, Reader(ordinary))  # type: ignore[arg-type]
    assert response.Results[0].name == "BadUserAccessDenied"


async def test_a_setting_that_is_written_twice_in_a_request_ends_as_the_later_one(engineer: World) -> None:
    for values in ((1.0, 2.0, 3.0), (3.0, 1.0)):
        fast, _ = await both(engineer, write_request(*(("xw1.limit", value) for value in values)))
        assert fast is not None
        assert [row[2] for row in engineer.desk.asked] == list(values)


written = st.tuples(
    st.sampled_from(["xw1.limit", "xw1.limit", "other.limit", "xw1.ac_power", "xw1.nothing"]),
    st.one_of(st.floats(), st.sampled_from([0.0, 5, "text"])),
    st.sampled_from([None, 0, 0, 0x40000000]),
)


@settings(max_examples=200)
@given(rows=st.lists(written, min_size=1, max_size=6), more=st.lists(st.floats(), min_size=6, max_size=6))
async def test_writes_are_the_same_bytes_when_their_form_is_known(world: World, rows: Any, more: Any) -> None:
    """Twice with other values, so that the second time goes by what was remembered of the first."""
    world.session.caller = Caller("eve", Role.ENGINEER)
    for values in ([value for _, value, _ in rows], more):
        items = []
        for (path, _, status), value in zip(rows, values, strict=False):
            kind = {int: ua.VariantType.Int32, str: ua.VariantType.String, float: ua.VariantType.Double}[type(value)]
            code = None if status is None else ua.StatusCode(ua.UInt32(status))
            items.append((path, ua.DataValue(ua.Variant(value, kind), StatusCode=code)))
        body = world.bytes_of(write_request(*items))
        fast = await world.fast_later(body)
        asked = repr(world.desk.asked)  # NaN is not equal to itself
        ordinary = await world.ordinary(body)
        if fast is not None:
            assert (fast, asked) == (ordinary, repr(world.desk.asked))
    world.session.caller = Caller("ann", Role.OBSERVER)


async def test_what_needs_no_waiting_is_answered_at_once_with_the_same_bytes(engineer: World) -> None:
    engineer.desk.at_once = True
    try:
        for request in (write_request(("xw1.limit", 5.0)), call_request(*good())):
            body = engineer.bytes_of(request)
            assert engineer.fast(body) == await engineer.ordinary(body)
    finally:
        engineer.desk.at_once = False
    assert engineer.line.running == 0


@pytest.mark.parametrize("at_once", [True, False])
async def test_a_bug_behind_a_call_is_told_to_its_client_alone(
    engineer: World, at_once: bool, caplog: pytest.LogCaptureFixture
) -> None:
    engineer.desk.at_once = at_once
    for error in (ZeroDivisionError("a bug"), KeyError("a bug"), ValueError("a bug")):
        engineer.desk.error = error
        try:
            answer = await engineer.fast_later(engineer.bytes_of(call_request(*good())))
        finally:
            engineer.desk.error = None
        assert answer is not None
        assert len(engineer.desk.asked) == 1, "what has begun is not done again the ordinary way"
        fault = struct_from_binary(ua.ServiceFault, Reader(answer))  # type: ignore[arg-type]
        assert fault.ResponseHeader.ServiceResult.name == "BadInternalError"
        assert "a bug" in caplog.text
    engineer.desk.at_once = False
    assert engineer.line.running == 0


@settings(max_examples=100)
@given(
    st.sampled_from(Outcome),
    st.sampled_from([Status.GOOD, Status.UNCERTAIN, Status.BAD_INVALID_STATE, Status.BAD_INVALID_ARGUMENT]),
    st.text(max_size=10),
    st.floats(0, 1e6),
    st.text(max_size=10),
    st.sampled_from([(), (Status.GOOD, Status.BAD_OUT_OF_RANGE), (Status.GOOD,)]),
)
async def test_results_of_commands_are_the_same_bytes(
    world: World, outcome: Outcome, status: Status, observed: str, elapsed_s: float, reason: str, inputs: Any
) -> None:
    world.desk.results = [CommandResult(outcome, status, observed, elapsed_s, reason, inputs)]
    fast, _ = await both(world, call_request(*good()))
    assert fast is not None
    assert world.desk.asked[0][:3] == ("xw1", "SetLoadShave", (5.0, 1))


@pytest.mark.parametrize(
    "request_",
    [
        call_request(),
        call_request(double(1.0)),
        call_request(*good(), double(1.0)),
        call_request(*reversed(good())),
        call_request(ua.Variant([1.0], ua.VariantType.Double), good()[1]),
        call_request(ua.Variant("5", ua.VariantType.String), good()[1]),
        call_request(*good(), thing="xw2"),
        call_request(*good(), thing="nobody"),
        call_request(*good(), method="xw1.ac_power"),
    ],
)
async def test_other_calls_go_the_ordinary_way(world: World, request_: Any) -> None:
    fast, ordinary = await both(world, request_)
    assert fast is None
    assert len(ordinary) > 20


async def test_a_call_without_inputs_and_by_the_name_of_its_type(world: World) -> None:
    for method in (site_id("xw1.StartSell"), model_id("InverterType.StartSell")):
        request = ua.CallRequest()
        request.Parameters.MethodsToCall = [ua.CallMethodRequest(site_id("xw1.MethodSet"), method, [])] * 2
        fast, _ = await both(world, request)
        assert fast is not None
        assert [row[1] for row in world.desk.asked] == ["StartSell", "StartSell"]


async def test_a_client_has_its_answer_before_it_gives_up(world: World) -> None:
    request = call_request(*good())
    for hint_ms, within in ((0, 5.0), (2_000, 1.9), (100, 0.05), (60_000, 5.0)):
        request.RequestHeader.TimeoutHint = ua.UInt32(hint_ms)
        await both(world, request)
        assert world.desk.asked[0][4] == pytest.approx(world.clock.monotonic() + within)


def test_a_connection_with_too_much_in_work_is_refused_the_ordinary_way(world: World) -> None:
    world.line.running = world.limits.running_requests
    try:
        assert world.fast(world.bytes_of(call_request(*good()))) is None
    finally:
        world.line.running = 0
