from collections.abc import Sequence
from datetime import datetime
from typing import Any

import pytest
from asyncua import ua

from address_space.model import TICKS_PER_S, CommandResult, Outcome, Status
from address_space.shape import NS_MODEL, NS_SITE, node_id
from node.historian.event_log import EventRecord
from node.roles import Caller, Role
from node.server.events.events import SERVER, field
from node.server.history.event_record import RecordDamaged, event_of, record_of
from node.server.request import ServiceRefused
from tests.fake_clock import START
from tests.node.server.history.house import ADMIN, CALLER, House, item, moment, status

OPERATOR = Caller("bob", Role.OPERATOR)
SITE, DEVICE, OTHER = (node_id(each, NS_SITE) for each in ("_site", "xw1", "node"))
BASE = node_id(ua.ObjectIds.BaseEventType)
S = TICKS_PER_S


def select(*names: str, definition: ua.NodeId = BASE, namespace: int = 0) -> list[ua.SimpleAttributeOperand]:
    return [
        ua.SimpleAttributeOperand(definition, [ua.QualifiedName(name, namespace)], ua.AttributeIds.Value)
        for name in names
    ]


def literal(value: Any) -> ua.LiteralOperand:
    return ua.LiteralOperand(ua.Variant(value))


def where(operator: ua.FilterOperator, *operands: Any) -> ua.ContentFilter:
    return ua.ContentFilter([ua.ContentFilterElement(operator, list(operands))])


async def read(
    house: House,
    start: int = START,
    end: int = START + 3600 * S,
    count: int = 0,
    *,
    notifier: ua.NodeId = SERVER,
    caller: Caller = ADMIN,
    fields: Sequence[ua.SimpleAttributeOperand] | None = None,
    clause: ua.ContentFilter | None = None,
    token: bytes | None = None,
    **how: Any,
) -> ua.HistoryReadResult:
    wanted = ua.EventFilter(list(select("Message", "Time") if fields is None else fields), clause or ua.ContentFilter())
    details = ua.ReadEventDetails(count, moment(start), moment(end), wanted)
    neither = ua.TimestampsToReturn.Neither
    (result,) = await house.ask(details, [item(notifier, token)], wanted=neither, caller=caller, **how)
    return result


def fields_of(result: ua.HistoryReadResult) -> list[list[Any]]:
    return [[field.Value for field in each.EventFields] for each in result.HistoryData.Events]


def messages(result: ua.HistoryReadResult) -> list[str]:
    return [fields[0].Text for fields in fields_of(result)]


def tell(house: House, message: str, **how: Any) -> None:
    house.events.tell(house.events.make(BASE, message, **how))


async def four(house: House) -> None:
    """One event of each kind, a minute apart."""
    tell(house, "of the server")
    await house.clock.advance(60)
    tell(house, "of the inverter", source=DEVICE, severity=700)
    await house.clock.advance(60)
    tell(house, "for operators", source=DEVICE, audience=Role.OPERATOR)
    await house.clock.advance(60)
    tell(house, "for administrators", audience=Role.ADMIN)


EVERYTHING = ["of the server", "of the inverter", "for operators", "for administrators"]


async def test_stored_events_come_in_order_of_their_times_both_ways(house: House) -> None:
    await four(house)
    for committed in (False, True):
        if committed:
            await house.journal.flush()
        assert messages(await read(house)) == EVERYTHING
        assert messages(await read(house, START + 3600 * S, START)) == EVERYTHING[:0:-1]
        assert messages(await read(house, START + 3600 * S, START - S)) == EVERYTHING[::-1]
        assert messages(await read(house, START + 60 * S, START + 180 * S)) == EVERYTHING[1:3]
    times: list[datetime] = [fields[1] for fields in fields_of(await read(house))]
    assert times == [moment(START + number * 60 * S) for number in range(4)]
    assert status(await read(house, START + 600 * S, START + 700 * S)) == "GoodNoData"


async def test_a_notifier_has_the_events_below_it(house: House) -> None:
    await four(house)
    assert messages(await read(house, notifier=DEVICE)) == EVERYTHING[1:3]
    assert messages(await read(house, notifier=SITE)) == EVERYTHING[1:3]
    assert messages(await read(house, notifier=OTHER)) == []
    assert status(await read(house, notifier=node_id("xw1.power", NS_SITE))) == "BadHistoryOperationUnsupported"
    assert status(await read(house, notifier=node_id("xw9", NS_SITE))) == "BadNodeIdUnknown"


async def test_events_are_read_by_those_who_would_have_been_told(house: House) -> None:
    await four(house)
    assert messages(await read(house, caller=CALLER)) == EVERYTHING[:2]
    assert messages(await read(house, caller=OPERATOR)) == EVERYTHING[:3]
    assert messages(await read(house, caller=ADMIN)) == EVERYTHING


async def test_the_filter_is_the_one_of_a_subscription(house: House) -> None:
    await four(house)
    (severity,) = select("Severity")
    loud = where(ua.FilterOperator.GreaterThan, severity, literal(ua.UInt16(500)))
    assert messages(await read(house, clause=loud)) == ["of the inverter"]
    audit = where(ua.FilterOperator.OfType, literal(node_id(ua.ObjectIds.AuditEventType)))
    assert messages(await read(house, clause=audit)) == []
    for wrong in ([], select("Nothing", definition=node_id(ua.ObjectIds.AuditEventType))):
        with pytest.raises(ServiceRefused) as refused:
            await read(house, fields=wrong)
        assert refused.value.status == ua.StatusCodes.BadEventFilterInvalid
    found = fields_of(await read(house, fields=select("SourceNode", "Nothing", "Severity")))
    assert found[1] == [DEVICE, None, 700]


async def test_outcomes_of_commands_and_audit_events_are_kept_with_their_fields(house: House) -> None:
    result = CommandResult(Outcome.MISMATCH, Status.UNCERTAIN, "mode=On", 1.5, "it did not obey")
    house.audit.command_ended(DEVICE, "Inverter", "StartSell", result, "bob")
    house.audit.written(node_id("xw1.power", NS_SITE), ua.Variant(5.0), ua.Variant(4.0), "eve", 0)
    command = node_id("CommandEventType", NS_MODEL)
    fields = select("Command", "Outcome", "Elapsed", definition=command, namespace=NS_MODEL)
    fields += select("NewValue", definition=node_id(ua.ObjectIds.AuditWriteUpdateEventType))
    assert fields_of(await read(house, fields=fields)) == [["StartSell", 2, 1500.0, None], [None, None, None, 5.0]]


@pytest.mark.parametrize("count", [1, 3, 100])
async def test_pages_of_events_add_up_to_the_whole(house: House, count: int) -> None:
    for number in range(250):
        tell(house, f"event {number}", severity=200 if number % 3 else 800)
        if number % 100 == 0:
            await house.clock.advance(1)
    (severity,) = select("Severity")
    loud = where(ua.FilterOperator.GreaterThan, severity, literal(ua.UInt16(500)))
    wanted = [f"event {number}" for number in range(250) if not number % 3]
    found, token = [], None
    while True:
        page = await read(house, count=count, clause=loud, token=token)
        assert 1 <= len(messages(page)) <= count
        found += messages(page)
        token = page.ContinuationPoint
        if not token:
            break
    assert found == wanted


async def test_two_of_start_end_and_number_are_needed(house: House) -> None:
    assert status(await read(house, START, 0)) == "BadHistoryOperationInvalid"
    await four(house)
    assert messages(await read(house, 0, START + 3600 * S, 2)) == EVERYTHING[:1:-1]


async def test_a_record_that_is_damaged_costs_only_itself(house: House, caplog: pytest.LogCaptureFixture) -> None:
    await four(house)
    good = record_of(house.events.make(BASE, "good"))
    for body in (b"", good.body[:-1], b"\x07" + good.body[1:], good.body[:5] + b"\xff" * 20):
        house.journal.offer_event(EventRecord(START, good.source, good.type, body))
    house.journal.offer_event(EventRecord(START, "no node", good.type, good.body))
    assert messages(await read(house)) == EVERYTHING
    assert "cannot be read" in caplog.text


def test_an_event_is_the_same_after_it_was_stored(house: House) -> None:
    made = house.events.make(
        node_id(ua.ObjectIds.AuditUpdateMethodEventType),
        "called",
        fields={
            field("InputArguments"): ua.Variant([ua.Variant(5, ua.VariantType.Int32)], ua.VariantType.Variant),
            ((0, "EnabledState"), (0, "Id")): ua.Variant(True),
        },
        audience=Role.ADMIN,
    )
    record = record_of(made)
    again = event_of(record, house.events.types)
    assert (again.line, again.audience) == (made.line, made.audience)
    assert dict(again.fields) == dict(made.fields)
    assert (record.ticks, record.source) == (START, "i=2253")
    with pytest.raises(RecordDamaged):
        event_of(EventRecord(0, "i=2253", "what", record.body), house.events.types)


async def test_a_client_s_broken_text_breaks_no_journal(house: House) -> None:
    broken = "\udcfa"
    tell(house, f"never {broken}")
    tell(house, "well", source=node_id(f"xw1{broken}", NS_SITE), source_name=broken)
    await house.journal.flush()
    first, second = fields_of(await read(house, fields=select("SourceName", "Message", broken)))
    assert (first[0], first[2]) == ("Server", None)
    assert second[1].Text == "well"


async def test_a_page_goes_on_only_for_a_user_who_might_have_begun_it(house: House) -> None:
    await four(house)
    first = await read(house, count=2, caller=ADMIN)
    token = first.ContinuationPoint
    assert status(await read(house, count=2, caller=CALLER, token=token)) == "BadUserAccessDenied"
    first = await read(house, count=2, caller=CALLER)
    assert messages(first) == EVERYTHING[:2]
    first = await read(house, count=1, caller=CALLER)
    assert messages(await read(house, count=1, caller=ADMIN, token=first.ContinuationPoint)) == EVERYTHING[1:2]
