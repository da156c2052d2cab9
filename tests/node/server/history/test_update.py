from datetime import datetime
from typing import Any

import pytest
from asyncua import ua

from address_space.model import TICKS_PER_S, DataType, Point, PointKind, Value, ticks_from_datetime
from address_space.shape import NS_SITE, node_id
from node.historian.editing import Change
from node.roles import Caller, Role
from node.server.events.event import Event
from node.server.events.events import SERVER, field
from node.server.history.given import Refused, annotation_of, sample_of
from tests.fake_clock import START
from tests.node.server.history.house import (
    ADMIN,
    ENGINEER,
    FIVE,
    MINUTE,
    House,
    annotate,
    item,
    moment,
    status,
    times,
    values,
)

INSERT, REPLACE, UPDATE = (ua.PerformUpdateType[name] for name in ("Insert", "Replace", "Update"))
DOUBLE = ua.VariantType.Double
OPERATOR, OBSERVER = Caller("bob", Role.OPERATOR), Caller("", Role.OBSERVER)


def sample(
    ticks: int, value: Any, kind: ua.VariantType = DOUBLE, code: int = 0, *, array: bool = False
) -> ua.DataValue:
    variant = ua.Variant() if value is None else ua.Variant(value, kind, is_array=array)
    return ua.DataValue(variant, ua.StatusCode(code), SourceTimestamp=moment(ticks))


def write(perform: ua.PerformUpdateType, *samples: ua.DataValue, node: str = "xw1.power") -> ua.UpdateDataDetails:
    return ua.UpdateDataDetails(node_id(node, NS_SITE), perform, list(samples))


def delete(start: int, end: int, *, modified: bool = False) -> ua.DeleteRawModifiedDetails:
    return ua.DeleteRawModifiedDetails(node_id("xw1.power", NS_SITE), modified, moment(start), moment(end))


async def names(house: House, *details: Any, caller: Caller = ENGINEER) -> list[list[str]]:
    """Of each entry the name of its status and those of its samples."""
    results = await house.update(*details, caller=caller)
    return [[each.StatusCode.name, *(code.name for code in each.OperationResults)] for each in results]


async def power(house: House) -> list[tuple[int, Value | None]]:
    """Minute and value of all samples."""
    found = values(await house.read(FIVE - MINUTE, FIVE + 100 * MINUTE))
    return [(minute(each.SourceTimestamp), None if each.Value is None else each.Value.Value) for each in found]


def minute(time: datetime) -> int:
    return (ticks_from_datetime(time) - FIVE) // MINUTE


async def modified(house: House, start: int = FIVE, end: int = FIVE + 100 * MINUTE, count: int = 0, **how: Any) -> Any:
    details = ua.ReadRawModifiedDetails(True, moment(start), moment(end), count, False)
    (result,) = await house.ask(details, [item(**how)])
    return result


# --- samples


async def test_insert_replace_and_update_say_what_became_of_each_sample(house: House) -> None:
    house.record([FIVE])
    told = await names(
        house,
        write(INSERT, sample(FIVE, 9.0), sample(FIVE + MINUTE, 1.5)),
        write(REPLACE, sample(FIVE, 7.0), sample(FIVE + 2 * MINUTE, 2.5)),
        write(UPDATE, sample(FIVE, 8.0), sample(FIVE + 3 * MINUTE, 3.5)),
    )
    assert told == [
        ["Good", "BadEntryExists", "GoodEntryInserted"],
        ["Good", "GoodEntryReplaced", "BadNoEntryExists"],
        ["Good", "GoodEntryReplaced", "GoodEntryInserted"],
    ]
    assert await power(house) == [(0, 8.0), (1, 1.5), (3, 3.5)]


async def test_deleted_samples_are_gone_and_nothing_else(house: House) -> None:
    house.record(FIVE + number * MINUTE for number in range(6))
    assert await names(house, delete(FIVE + MINUTE, FIVE + 3 * MINUTE)) == [["Good"]]
    assert [number for number, _ in await power(house)] == [0, 3, 4, 5]
    assert await names(house, delete(FIVE + MINUTE, FIVE + 3 * MINUTE)) == [["BadNoData"]]
    given = ua.DeleteAtTimeDetails(node_id("xw1.power", NS_SITE), [moment(FIVE), moment(FIVE + 1)])
    assert await names(house, given) == [["Good", "Good", "BadNoEntryExists"]]
    assert [number for number, _ in await power(house)] == [3, 4, 5]
    assert await names(house, delete(FIVE + 4 * MINUTE, FIVE + 4 * MINUTE)) == [["Good"]]
    assert [number for number, _ in await power(house)] == [3, 5]
    assert await names(house, delete(FIVE + MINUTE, FIVE)) == [["BadInvalidTimestampArgument"]]


async def test_what_was_there_before_is_read_with_who_changed_it_how(house: House) -> None:
    assert status(await modified(house)) == "GoodNoData"
    house.record(FIVE + number * MINUTE for number in range(4))
    await house.clock.advance(60)
    await names(house, write(REPLACE, sample(FIVE, 7.0)), delete(FIVE + MINUTE, FIVE + 2 * MINUTE))
    result = await modified(house)
    assert status(result) == "Good"
    assert [minute(time) for time in times(result)] == [0, 1]
    assert [each.Value.Value for each in values(result)] == [0.0, 1.0]
    infos = result.HistoryData.ModificationInfos
    assert [(info.UpdateType.name, info.UserName) for info in infos] == [("Replace", "eve"), ("Delete", "eve")]
    assert {ticks_from_datetime(info.ModificationTime) for info in infos} == {START + 60 * TICKS_PER_S}
    assert [minute(time) for time in times(await modified(house, FIVE + 100 * MINUTE, FIVE))] == [1]
    assert [minute(time) for time in times(await modified(house, FIVE + 100 * MINUTE, FIVE - 10))] == [1, 0]
    first = await modified(house, count=1)
    rest = await modified(house, count=1, token=first.ContinuationPoint)
    assert [minute(time) for time in times(first) + times(rest)] == [0, 1]
    assert not rest.ContinuationPoint
    assert await names(house, delete(FIVE, FIVE + MINUTE, modified=True)) == [["Good"]]
    assert [minute(time) for time in times(await modified(house))] == [1]


async def test_what_was_inserted_is_told_with_its_new_value(house: House) -> None:
    house.record([FIVE])
    await names(house, write(INSERT, sample(FIVE + MINUTE, 1.5)), write(UPDATE, sample(FIVE + 2 * MINUTE, 2.5)))
    result = await modified(house)
    assert [(minute(each.SourceTimestamp), each.Value.Value) for each in values(result)] == [(1, 1.5), (2, 2.5)]
    assert [info.UpdateType.name for info in result.HistoryData.ModificationInfos] == ["Insert", "Insert"]


@pytest.mark.parametrize(
    ("one", "node", "expected"),
    [
        (sample(FIVE, 1, ua.VariantType.Int32), "power", "BadTypeMismatch"),
        (sample(FIVE, 1.0, ua.VariantType.Float), "power", "BadTypeMismatch"),
        (sample(FIVE, "1", ua.VariantType.String), "power", "BadTypeMismatch"),
        (sample(FIVE, [1.0], array=True), "power", "BadTypeMismatch"),
        (sample(FIVE, None), "power", "BadTypeMismatch"),
        (sample(0, 1.0), "power", "BadInvalidTimestamp"),
        (sample(START + 2 * 3600 * TICKS_PER_S, 1.0), "power", "BadInvalidTimestamp"),
        (sample(FIVE, 200.0, ua.VariantType.Float), "heat", "BadOutOfRange"),
        (sample(FIVE, 200.0, ua.VariantType.Float, 0x40940000), "heat", "GoodEntryInserted"),
        (sample(FIVE, 7, ua.VariantType.Int32), "mode", "BadOutOfRange"),
        (sample(FIVE, 1, ua.VariantType.Int32), "mode", "GoodEntryInserted"),
        (sample(FIVE, None, code=0x80000000), "power", "GoodEntryInserted"),
        (sample(FIVE, "x" * 60_001, ua.VariantType.String), "note", "BadOutOfRange"),
        (sample(FIVE, moment(FIVE), ua.VariantType.DateTime), "since", "GoodEntryInserted"),
        (sample(FIVE, "all is well", ua.VariantType.String), "note", "GoodEntryInserted"),
    ],
)
async def test_a_sample_has_to_fit_its_point(house: House, one: ua.DataValue, node: str, expected: str) -> None:
    assert await names(house, write(INSERT, one, node=f"xw1.{node}")) == [["Good", expected]]


async def test_a_time_is_read_as_it_was_written(house: House) -> None:
    await names(house, write(INSERT, sample(FIVE, moment(FIVE + 5), ua.VariantType.DateTime), node="xw1.since"))
    (value,) = values(await house.read(FIVE, FIVE, node="xw1.since"))
    assert value.Value.VariantType is ua.VariantType.DateTime


@pytest.mark.parametrize("caller", [OPERATOR, OBSERVER], ids=lambda caller: caller.role.name)
async def test_who_is_no_engineer_changes_nothing(house: House, caller: Caller) -> None:
    house.record([FIVE])
    details = (write(UPDATE, sample(FIVE, 9.0)), delete(FIVE, FIVE + 1))
    assert await names(house, *details, caller=caller) == [["BadUserAccessDenied"]] * 2
    assert (await annotate(house, FIVE, "no", caller=caller)).StatusCode.name == "BadUserAccessDenied"
    assert await power(house) == [(0, 0.0)]


async def test_what_has_no_history_or_is_no_update_is_refused(house: House) -> None:
    given = [sample(FIVE, 1.0)]
    refused: list[tuple[Any, str]] = [
        (write(INSERT, *given, node="xw1.scratch"), "BadHistoryOperationUnsupported"),
        (write(INSERT, *given, node="xw9.power"), "BadNodeIdUnknown"),
        (write(ua.PerformUpdateType.Remove, *given), "BadHistoryOperationInvalid"),
        (write(INSERT), "BadNothingToDo"),
        (write(INSERT, *given, node="xw1.power.Annotations"), "BadHistoryOperationUnsupported"),
        (ua.DeleteEventDetails(SERVER, []), "BadHistoryOperationUnsupported"),
        (ua.UpdateEventDetails(SERVER), "BadHistoryOperationUnsupported"),
        (ua.Argument(), "BadHistoryOperationInvalid"),
    ]
    assert await names(house, *(details for details, _ in refused)) == [[expected] for _, expected in refused]


# --- annotations


async def remarks(house: House, start: int, end: int, count: int = 0, **how: Any) -> list[tuple[str, str]]:
    result = await house.read(start, end, count, node="xw1.power.Annotations", **how)
    return [(each.Value.Value.Message, each.Value.Value.UserName) for each in values(result)]


async def test_annotations_are_written_read_replaced_and_removed(house: House) -> None:
    assert status(await house.read(FIVE, FIVE + MINUTE, node="xw1.power.Annotations")) == "GoodNoData"
    made = await annotate(house, FIVE, "scan failed", user="somebody else", at=FIVE + MINUTE)
    assert [code.name for code in made.OperationResults] == ["GoodEntryInserted"]
    await annotate(house, FIVE + 10, "fixed")
    await annotate(house, FIVE + 20, "really", caller=ADMIN)
    everything = [("scan failed", "eve"), ("fixed", "eve"), ("really", "ada")]
    assert await remarks(house, FIVE, FIVE + MINUTE) == everything
    assert await remarks(house, FIVE + MINUTE, FIVE - 10) == everything[::-1]
    for start, end in ((FIVE, FIVE + MINUTE), (FIVE + MINUTE, FIVE - 10)):
        first = await house.read(start, end, 2, node="xw1.power.Annotations")
        rest = await house.read(start, end, 2, node="xw1.power.Annotations", token=first.ContinuationPoint)
        assert [len(values(each)) for each in (first, rest)] == [2, 1]
        assert not rest.ContinuationPoint
    again = await annotate(house, FIVE, "seen", user="eve", at=FIVE + MINUTE, perform=REPLACE)
    assert [code.name for code in again.OperationResults] == ["GoodEntryReplaced"]
    gone = await annotate(house, FIVE, "", user="eve", at=FIVE + MINUTE, perform=ua.PerformUpdateType.Remove)
    assert [code.name for code in gone.OperationResults] == ["Good"]
    assert await remarks(house, FIVE, FIVE + MINUTE) == everything[1:]


async def test_an_annotation_is_one_and_has_a_time(house: House) -> None:
    node = node_id("xw1.power.Annotations", NS_SITE)
    details = ua.UpdateStructureDataDetails(node, INSERT, [sample(FIVE, 1.0)])
    assert await names(house, details) == [["Good", "BadTypeMismatch"]]
    assert (await annotate(house, 0, "when")).OperationResults[0].name == "BadInvalidTimestamp"


# --- audit


async def test_every_change_leaves_an_audit_event_with_old_and_new(house: House) -> None:
    heard: list[Event] = []
    house.events.listen(SERVER, heard.append)
    house.record([FIVE])
    await names(
        house,
        write(REPLACE, sample(FIVE, 7.0)),
        delete(FIVE, FIVE + MINUTE),
        ua.DeleteAtTimeDetails(node_id("xw1.power", NS_SITE), [moment(FIVE)]),
    )
    await annotate(house, FIVE, "why")
    await names(house, write(REPLACE, sample(FIVE, 7.0)), caller=OPERATOR)
    types = [ua.ObjectIdNames[event.line[0].Identifier] for event in heard]
    assert types == [
        "AuditHistoryValueUpdateEventType",
        "AuditHistoryRawModifyDeleteEventType",
        "AuditHistoryAtTimeDeleteEventType",
        "AuditHistoryAnnotationUpdateEventType",
        "AuditHistoryValueUpdateEventType",
    ]
    assert {event.audience for event in heard} == {Role.ADMIN}
    replaced = heard[0].fields
    assert [each.Value.Value for each in replaced[field("OldValues")].Value] == [0.0]
    assert [each.Value.Value for each in replaced[field("NewValues")].Value] == [7.0]
    assert replaced[field("ClientUserId")].Value == "eve"
    assert replaced[field("UpdatedNode")].Value == node_id("xw1.power", NS_SITE)
    assert [each.Value.Value for each in heard[1].fields[field("OldValues")].Value] == [7.0]
    assert [event.fields[field("Status")].Value for event in heard] == [True, True, True, True, False]
    declared = house.events.types
    for event in heard:
        missing = {path for path in event.fields if not declared.declares(event.line[0], path)}
        assert missing <= {field("StatusCodeId")}, event.line[0]  # of a later edition than the library's types


def test_broken_text_is_refused() -> None:
    broken = "\udcfa"
    note = Point("note", "", "", DataType.STRING, PointKind.DATA)
    assert sample_of(sample(FIVE, broken, ua.VariantType.String), note, START) == Refused(
        ua.StatusCodes.BadTypeMismatch
    )
    given = sample(FIVE, ua.Annotation(broken, "", moment(FIVE)), ua.VariantType.ExtensionObject)
    assert annotation_of(given, Change.INSERT, "eve", START) == Refused(ua.StatusCodes.BadTypeMismatch)
