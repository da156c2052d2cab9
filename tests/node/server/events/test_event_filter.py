"""Filters of events: which clauses are refused, and which events pass."""

from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from hypothesis import given
from hypothesis import strategies as st

from address_space.nodes import NodeMap
from address_space.shape import HAS_PROPERTY, HAS_SUBTYPE, node_id
from node.server.events.conversion import INTEGERS, convert
from node.server.events.event import Event
from node.server.events.event_filter import MOST_SELECT_CLAUSES, MOST_WHERE_ELEMENTS, EventFilterRefused, event_filter
from node.server.events.event_types import EventTypes
from node.server.events.events import field
from node.server.events.like import like
from node.server.events.where_clause import Where, WhereRefused

F, T = ua.FilterOperator, ua.VariantType
BASE = node_id(ua.ObjectIds.BaseEventType)
SYSTEM = node_id(ua.ObjectIds.SystemEventType)
DEVICE_FAILURE = node_id(ua.ObjectIds.DeviceFailureEventType)
AUDIT = node_id(ua.ObjectIds.AuditEventType)
NOT_AN_EVENT = node_id(ua.ObjectIds.BaseObjectType)


class StandInNode:
    def __init__(self, *references: ua.ReferenceDescription) -> None:
        self.references = references


def link(kind: ua.NodeId, target: ua.NodeId, name: str = "", *, forward: bool = True) -> ua.ReferenceDescription:
    return ua.ReferenceDescription(kind, forward, target, BrowseName=ua.QualifiedName(name, 0))


def below(parent: ua.NodeId, *properties: str) -> StandInNode:
    fields = [link(HAS_PROPERTY, node_id(f"{name}"), name) for name in properties]
    return StandInNode(link(HAS_SUBTYPE, parent, forward=False), *fields)


NODES: dict[ua.NodeId, Any] = {
    NOT_AN_EVENT: StandInNode(),
    BASE: below(NOT_AN_EVENT, "Severity", "Message"),
    SYSTEM: below(BASE),
    DEVICE_FAILURE: below(SYSTEM),
    AUDIT: below(BASE, "Status"),
}
TYPES = EventTypes(NODES)


def event(event_type: ua.NodeId = DEVICE_FAILURE, **fields: ua.Variant) -> Event:
    given = {
        "EventType": ua.Variant(event_type, T.NodeId),
        "Severity": ua.Variant(500, T.UInt16),
        "Message": ua.Variant(ua.LocalizedText("Inverter 1 is lost", "en"), T.LocalizedText),
        **fields,
    }
    return Event(TYPES.line(event_type), {field(name): value for name, value in given.items()})


def operand(name: str, definition: ua.NodeId = BASE, **changes: Any) -> ua.SimpleAttributeOperand:
    found = ua.SimpleAttributeOperand(
        definition, [ua.QualifiedName(name, 0)] if name else [], ua.AttributeIds.Value, ""
    )
    for each, value in changes.items():
        setattr(found, each, value)
    return found


def literal(value: Any, kind: ua.VariantType | None = None) -> ua.LiteralOperand:
    return ua.LiteralOperand(ua.Variant(value, kind))


def element(index: int) -> ua.ElementOperand:
    return ua.ElementOperand(ua.UInt32(index))


def clause(*elements: tuple[Any, ...]) -> ua.ContentFilter:
    return ua.ContentFilter([ua.ContentFilterElement(kind, list(operands)) for kind, *operands in elements])


def passes(*elements: tuple[Any, ...], of: Event | None = None) -> bool:
    return Where(clause(*elements), TYPES).fits(of or event())


# --- operators


def test_no_clause_lets_everything_pass() -> None:
    assert passes()


@pytest.mark.parametrize(("wanted", "expected"), [(DEVICE_FAILURE, True), (SYSTEM, True), (BASE, True), (AUDIT, False)])
def test_of_type_takes_subtypes(wanted: ua.NodeId, expected: bool) -> None:
    assert passes((F.OfType, literal(wanted, T.NodeId))) is expected


@pytest.mark.parametrize(
    ("operator", "value", "expected"),
    [
        (F.Equals, 500, True),
        (F.Equals, 501, False),
        (F.GreaterThan, 499, True),
        (F.GreaterThan, 500, False),
        (F.GreaterThanOrEqual, 500, True),
        (F.LessThan, 500, False),
        (F.LessThanOrEqual, 500, True),
        (F.LessThan, 500.5, True),
        (F.Equals, "500", True),  # a text is converted to the number
        (F.Equals, "many", False),
    ],
)
def test_comparisons_convert_to_one_type(operator: ua.FilterOperator, value: Any, expected: bool) -> None:
    assert passes((operator, operand("Severity"), literal(value))) is expected


def test_between_and_in_list() -> None:
    severity = operand("Severity")
    assert passes((F.Between, severity, literal(400), literal(500)))
    assert not passes((F.Between, severity, literal(500), literal(400)))
    assert passes((F.InList, severity, literal(1), literal(500)))
    assert not passes((F.InList, severity, literal(1), literal(2)))


def test_bits_are_combined() -> None:
    bit = (F.BitwiseAnd, operand("Severity"), literal(0x10, T.UInt16))
    assert passes((F.Equals, element(1), literal(0x10)), bit)
    either = (F.BitwiseOr, literal(1, T.Byte), literal(6, T.Int64))
    assert passes((F.Equals, element(1), literal(7)), either)
    assert not passes((F.Equals, element(1), literal(1)), (F.BitwiseAnd, literal(1.0, T.Double), literal(1, T.Byte)))


def test_missing_fields_are_null_and_null_is_neither_true_nor_false() -> None:
    missing = operand("Comment")
    assert passes((F.IsNull, missing))
    assert not passes((F.Equals, missing, literal(1)))
    assert not passes((F.Not, element(1)), (F.Equals, missing, literal(1)))
    assert passes((F.Or, element(1), element(2)), (F.Equals, missing, literal(1)), (F.Not, literal(False)))
    assert not passes((F.And, element(1), literal(True)), (F.Equals, missing, literal(1)))
    assert passes((F.Not, element(1)), (F.And, element(2), literal(False)), (F.Equals, missing, literal(1)))


def test_field_of_another_type_is_null() -> None:
    assert passes((F.IsNull, operand("Severity", AUDIT)))
    assert passes((F.Equals, operand("Severity", SYSTEM), literal(500)))


def test_cast_gives_another_type_or_null() -> None:
    byte = literal(node_id(ua.ObjectIds.Byte), T.NodeId)
    assert passes((F.Equals, element(1), literal(12)), (F.Cast, literal("12"), byte))
    assert passes((F.IsNull, element(1)), (F.Cast, operand("Severity"), byte))


def test_element_that_many_refer_to_costs_one_evaluation() -> None:
    chain = [(F.And, element(at + 1), element(at + 1)) for at in range(90)]
    assert passes(*chain, (F.Equals, operand("Severity"), literal(500)))


@pytest.mark.parametrize(
    ("pattern", "expected"),
    [
        ("%lost", True),
        ("Inverter _ is lost", True),
        ("Inverter [0-9] is%", True),
        ("Inverter [^0-9] is%", False),
        ("inverter%", False),
        ("lost", False),
        ("%", True),
        ("Inverter 1 is lost%%", True),
        ("Inverter [2-4]%", False),
    ],
)
def test_like(pattern: str, expected: bool) -> None:
    assert passes((F.Like, operand("Message"), literal(pattern))) is expected


def test_like_takes_escaped_and_open_brackets_as_they_are() -> None:
    assert like("100%", r"100\%")
    assert not like("1000", r"100\%")
    assert like("a]b", "a]b")
    assert like("[ab", "[ab")


@given(st.text(alphabet="ab%_", max_size=12), st.text(alphabet="ab%_", max_size=12))
def test_like_finds_what_a_plain_search_finds(text: str, pattern: str) -> None:
    def fits(rest: str, wanted: str) -> bool:
        if not wanted:
            return not rest
        if wanted[0] == "%":
            return any(fits(rest[at:], wanted[1:]) for at in range(len(rest) + 1))
        return bool(rest) and wanted[0] in ("_", rest[0]) and fits(rest[1:], wanted[1:])

    assert like(text, pattern) is fits(text, pattern)


def test_like_is_never_slow() -> None:
    assert not like("a" * 4_000, "%a" * 1_000 + "b")


@given(st.sampled_from(sorted(INTEGERS)), st.sampled_from(sorted(INTEGERS)), st.integers(-(2**63), 2**64 - 1))
def test_integers_keep_their_value_or_become_null(source: T, target: T, value: int) -> None:
    low, high = INTEGERS[source]
    if not low <= value <= high:
        return
    found = convert(ua.Variant(value, source), target)
    low, high = INTEGERS[target]
    assert found.Value == value if found is not None else not low <= value <= high


@given(st.recursive(st.booleans() | st.none(), lambda inner: st.tuples(st.sampled_from(["and", "or"]), inner, inner)))
def test_three_values_follow_their_tables(tree: Any) -> None:
    elements: list[tuple[Any, ...]] = []

    def build(one: Any) -> int:
        at = len(elements)
        elements.append(())
        if isinstance(one, tuple):
            kind = F.And if one[0] == "and" else F.Or
            elements[at] = (kind, element(build(one[1])), element(build(one[2])))
        else:
            # Not(Not(x)) is x; a field that is not there is NULL.
            elements[at] = (F.Not, operand("Comment") if one is None else literal(not one))
        return at

    def value(one: Any) -> bool | None:
        if not isinstance(one, tuple):
            return one  # type: ignore[no-any-return]
        both = [value(one[1]), value(one[2])]
        decides = one[0] == "or"
        return decides if decides in both else None if None in both else not decides

    build(tree)
    if len(elements) <= MOST_WHERE_ELEMENTS:
        assert passes(*elements) is (value(tree) is True)


# --- what is refused


@pytest.mark.parametrize(
    ("elements", "at", "status", "operands"),
    [
        ([(F.InView, literal(BASE, T.NodeId))], 0, "BadFilterOperatorUnsupported", []),
        ([(F.RelatedTo, *[literal(1)] * 6)], 0, "BadFilterOperatorUnsupported", []),
        ([(F.Equals, literal(1))], 0, "BadFilterOperandCountMismatch", []),
        ([(F.Between, *[literal(1)] * 4)], 0, "BadFilterOperandCountMismatch", []),
        ([(F.Not, element(0))], 0, "BadFilterOperandInvalid", ["BadFilterOperandInvalid"]),
        ([(F.Not, element(1))], 0, "BadFilterOperandInvalid", ["BadFilterOperandInvalid"]),
        ([(F.Not, element(1)), (F.Not, element(0))], 1, "BadFilterOperandInvalid", ["BadFilterOperandInvalid"]),
        ([(F.OfType, literal(node_id(999_999), T.NodeId))], 0, "BadFilterOperandInvalid", ["BadNodeIdUnknown"]),
        ([(F.OfType, literal(NOT_AN_EVENT, T.NodeId))], 0, "BadFilterOperandInvalid", ["BadTypeDefinitionInvalid"]),
        ([(F.OfType, literal(5))], 0, "BadFilterOperandInvalid", ["BadFilterLiteralInvalid"]),
        ([(F.IsNull, ua.AttributeOperand())], 0, "BadFilterOperandInvalid", ["BadFilterOperandInvalid"]),
        (
            [(F.Equals, literal(1), operand("Nothing", AUDIT))],
            0,
            "BadFilterOperandInvalid",
            ["Good", "BadNoMatch"],
        ),
    ],
)
def test_wrong_elements_are_named(elements: list[Any], at: int, status: str, operands: list[str]) -> None:
    with pytest.raises(WhereRefused) as caught:
        Where(clause(*elements), TYPES)
    results = caught.value.result.ElementResults
    assert len(results) == len(elements)
    assert results[at].StatusCode.name == status
    assert [each.name for each in results[at].OperandStatusCodes] == operands


def wanted(*select: ua.SimpleAttributeOperand, where: ua.ContentFilter | None = None) -> ua.EventFilter:
    return ua.EventFilter(list(select), where or ua.ContentFilter())


def test_select_clauses_are_checked_one_by_one() -> None:
    found, result = event_filter(
        wanted(
            operand("Severity"),
            operand("Severity", node_id(999_999)),
            operand("Severity", NOT_AN_EVENT),
            operand("Severity", AttributeId=99),
            operand("Severity", IndexRange="2:1"),
            operand("Nothing", SYSTEM),
            operand("", AttributeId=ua.AttributeIds.NodeId),  # what clients ask of conditions
        ),
        TYPES,
    )
    assert result is not None
    assert [each.name for each in result.SelectClauseResults] == [
        "Good",
        "BadNodeIdUnknown",
        "BadTypeDefinitionInvalid",
        "BadAttributeIdInvalid",
        "BadIndexRangeInvalid",
        "BadNoMatch",
        "Good",
    ]
    assert [each is None for each in found.select] == [False, True, True, True, True, True, False]


@pytest.mark.parametrize(
    ("given_filter", "status"),
    [
        (None, "BadMonitoredItemFilterInvalid"),
        (ua.DataChangeFilter(), "BadFilterNotAllowed"),
        (wanted(), "BadEventFilterInvalid"),
        (wanted(operand("Severity", AttributeId=99)), "BadEventFilterInvalid"),
        (wanted(operand("Severity"), where=clause((F.InView, literal(1)))), "BadEventFilterInvalid"),
        (wanted(*[operand("Severity")] * (MOST_SELECT_CLAUSES + 1)), "BadTooManyOperations"),
        (
            wanted(operand("Severity"), where=clause(*[(F.IsNull, literal(1))] * (MOST_WHERE_ELEMENTS + 1))),
            "BadTooManyOperations",
        ),
    ],
)
def test_useless_filters_are_refused(given_filter: Any, status: str) -> None:
    with pytest.raises(EventFilterRefused) as caught:
        event_filter(given_filter, TYPES)
    assert ua.StatusCode(ua.UInt32(caught.value.status)).name == status


def test_times_are_compared() -> None:
    at = ua.Variant(datetime(2026, 5, 1, tzinfo=UTC), T.DateTime)
    later = literal(datetime(2026, 5, 2, tzinfo=UTC), T.DateTime)
    assert passes((F.LessThan, operand("Time"), later), of=event(Time=at))
    assert not passes((F.LessThan, operand("Time"), literal(5)), of=event(Time=at))


def test_type_tree_is_that_of_the_nodes() -> None:
    assert EventTypes(NodeMap()).line(BASE) == ()
    assert TYPES.line(DEVICE_FAILURE) == (DEVICE_FAILURE, SYSTEM, BASE)


VALUES = st.one_of(
    st.none().map(lambda _: ua.Variant()),
    st.booleans().map(lambda value: ua.Variant(value, T.Boolean)),
    st.floats().map(lambda value: ua.Variant(value, T.Double)),
    st.integers(0, 255).map(lambda value: ua.Variant(value, T.Byte)),
    st.integers(-(2**63), 2**63 - 1).map(lambda value: ua.Variant(value, T.Int64)),
    st.text().map(lambda value: ua.Variant(value, T.String)),
    st.text().map(lambda value: ua.Variant(ua.LocalizedText(value), T.LocalizedText)),
    st.integers(0, 2**32 - 1).map(lambda value: ua.Variant(ua.StatusCode(ua.UInt32(value)), T.StatusCode)),
    st.integers(0, 12_000).map(lambda value: ua.Variant(node_id(value), T.NodeId)),
    st.binary().map(lambda value: ua.Variant(value, T.ByteString)),
    st.datetimes(timezones=st.just(UTC)).map(lambda value: ua.Variant(value, T.DateTime)),
    st.lists(st.integers(0, 9)).map(lambda value: ua.Variant(value, T.Int32, is_array=True)),
)
COUNTS = {F.IsNull: 1, F.Not: 1, F.Between: 3}


@given(st.sampled_from(sorted(set(F) - {F.OfType, F.InView, F.RelatedTo})), VALUES, VALUES, VALUES)
def test_no_values_make_an_operator_fail(operator: ua.FilterOperator, first: Any, second: Any, third: Any) -> None:
    operands = [ua.LiteralOperand(each) for each in (first, second, third)][: COUNTS.get(operator, 2)]
    assert passes((F.IsNull, element(1)), (operator, *operands)) in (True, False)
    assert passes((operator, *operands)) in (True, False)
