from collections.abc import Sequence
from typing import Any

import pytest
from asyncua import ua

from address_space.model import TICKS_PER_MS, TICKS_PER_S, Batch, ticks_from_datetime
from node.server.history.processed import AGGREGATES
from node.server.request import ServiceRefused
from tests.node.server.history import tables
from tests.node.server.history.house import FIVE, MINUTE, House, annotate, item, moment, status, times, values
from tests.tools import require_cases

AVERAGE = ua.ObjectIds.AggregateFunction_Average
COUNT = ua.ObjectIds.AggregateFunction_Count


def details(
    start: int, end: int, interval_ms: float, *aggregates: int, configuration: dict[str, Any] | None = None
) -> ua.ReadProcessedDetails:
    given: Any = ua.AggregateConfiguration(UseServerCapabilitiesDefaults=configuration is None, **(configuration or {}))
    return ua.ReadProcessedDetails(
        moment(start), moment(end), interval_ms, [ua.NodeId(each) for each in aggregates], given
    )


async def one(house: House, *what: Any, token: bytes | None = None, node: str = "xw1.power", **how: Any) -> Any:
    (result,) = await house.ask(details(*what, **how), [item(node, token)])
    return result


def rows(result: Any, day: int) -> list[tables.Row]:
    return [
        (
            (ticks_from_datetime(each.SourceTimestamp) - day) / TICKS_PER_S,
            None if each.Value is None else getattr(each.Value.Value, "value", each.Value.Value),
            each.StatusCode.value,
        )
        for each in values(result)
    ]


def minutes(house: House, count: int) -> None:
    house.record(FIVE + minute * MINUTE for minute in range(count))


async def test_the_published_tables_hold_as_results_of_the_service(house: House) -> None:
    folder = require_cases()
    raw = tables.stored(folder)
    (name,) = [each for each in raw if each == "Historian1"]
    day = tables.midnight(FIVE)
    slot = house.image.slot("xw1", "power")
    for second, value, code in raw[name][1]:
        house.publish(slot, value, code, day + round(second * TICKS_PER_S))
    for table in tables.tables(folder):
        if table.historian != name or table.aggregate == "AnnotationCount":
            continue
        number = getattr(ua.ObjectIds, f"AggregateFunction_{table.aggregate}")
        first, last = (day + round(second * TICKS_PER_S) for second in (tables.FIRST, tables.LAST))
        result = await one(house, first, last, table.interval_ms, number, configuration=table.configuration)
        got = rows(result, day)
        assert len(got) == len(table.rows), table.aggregate
        wrong = [pair for pair in zip(table.rows, got, strict=True) if not tables.same(*pair)]
        assert not wrong, table.aggregate


def test_all_37_aggregates_have_their_standard_node() -> None:
    assert len(AGGREGATES) == 37
    assert {ua.ObjectIdNames[number] for number in AGGREGATES} == {
        f"AggregateFunction_{aggregate.value}" for aggregate in AGGREGATES.values()
    }


async def test_pages_of_intervals_add_up_to_the_whole_both_ways(house: House) -> None:
    minutes(house, 60)
    for start, end in ((FIVE, FIVE + 61 * MINUTE), (FIVE + 61 * MINUTE, FIVE)):
        whole = await one(house, start, end, 100.0, COUNT)
        assert len(values(whole)) == 10_000
        assert whole.ContinuationPoint
        found = times(whole)
        token = whole.ContinuationPoint
        while token:
            page = await one(house, start, end, 100.0, COUNT, token=token)
            found += times(page)
            token = page.ContinuationPoint
        step = 100 * TICKS_PER_MS * (1 if end > start else -1)
        assert [ticks_from_datetime(each) for each in found] == list(range(start, end, step))


async def test_a_result_has_the_type_of_its_aggregate(house: House) -> None:
    minutes(house, 3)
    types = {
        AVERAGE: ua.VariantType.Double,
        COUNT: ua.VariantType.Int32,
        ua.ObjectIds.AggregateFunction_WorstQuality: ua.VariantType.StatusCode,
        ua.ObjectIds.AggregateFunction_DurationGood: ua.VariantType.Double,
    }
    for number, kind in types.items():
        (value,) = values(await one(house, FIVE, FIVE + 5 * MINUTE, 0.0, number))
        assert value.Value.VariantType is kind
    house.publish(house.image.slot("xw1", "mode"), 1, 0, FIVE)
    (value,) = values(await one(house, FIVE, FIVE + MINUTE, 0.0, ua.ObjectIds.AggregateFunction_Start, node="xw1.mode"))
    assert value.Value.VariantType is ua.VariantType.Int32


async def test_annotations_are_counted_where_they_are_kept(house: House) -> None:
    minutes(house, 2)
    for second in (1, 2, 90):
        await annotate(house, FIVE + second * TICKS_PER_S, f"remark {second}")
    number = ua.ObjectIds.AggregateFunction_AnnotationCount
    found = values(await one(house, FIVE, FIVE + 2 * MINUTE, 60_000.0, number))
    assert [each.Value.Value for each in found] == [2, 1]


@pytest.mark.parametrize(
    ("start", "end", "interval_ms", "aggregate", "configuration", "expected"),
    [
        (FIVE, FIVE, 1000.0, AVERAGE, None, "BadInvalidArgument"),
        (0, FIVE, 1000.0, AVERAGE, None, "BadInvalidArgument"),
        (FIVE, FIVE + MINUTE, -1.0, AVERAGE, None, "BadInvalidArgument"),
        (FIVE, FIVE + MINUTE, float("nan"), AVERAGE, None, "BadInvalidArgument"),
        (FIVE, FIVE + MINUTE * 60, 1.0, AVERAGE, None, "BadTooManyOperations"),
        (FIVE, FIVE + MINUTE, 1000.0, ua.ObjectIds.Server, None, "BadAggregateNotSupported"),
        (
            FIVE, FIVE + MINUTE, 1000.0, AVERAGE, {"PercentDataGood": 50, "PercentDataBad": 30},
            "BadAggregateConfigurationRejected",
        ),
        (FIVE, FIVE + MINUTE, 1000.0, AVERAGE, {"PercentDataGood": 101}, "BadAggregateConfigurationRejected"),
        (FIVE, FIVE + MINUTE, float("inf"), AVERAGE, None, "BadInvalidArgument"),
        (FIVE, FIVE + MINUTE, 1e308, AVERAGE, None, "Good"),
    ],
)  # fmt: skip
async def test_what_makes_no_sense_is_refused_per_node(
    house: House, start: int, end: int, interval_ms: float, aggregate: int, configuration: Any, expected: str
) -> None:
    minutes(house, 3)
    if configuration is not None:
        configuration = {"PercentDataBad": 100, "PercentDataGood": 100, **configuration}
    result = await one(house, start, end, interval_ms, aggregate, configuration=configuration)
    assert status(result) == expected


async def test_texts_have_no_average(house: House) -> None:
    slot = house.image.slot("xw1", "note")
    house.publish(slot, "all is well", 0, FIVE)
    result = await one(house, FIVE, FIVE + MINUTE, 0.0, AVERAGE, node="xw1.note")
    assert status(result) == "BadAggregateInvalidInputs"


async def test_every_node_has_its_own_aggregate_and_none_may_lack_one(house: House) -> None:
    minutes(house, 3)
    nodes = [item("xw1.power"), item("xw1.power")]
    first, second = await house.ask(details(FIVE, FIVE + 5 * MINUTE, 0.0, AVERAGE, COUNT), nodes)
    assert [values(each)[0].Value.Value for each in (first, second)] == [1.0, 3]
    with pytest.raises(ServiceRefused) as refused:
        await house.ask(details(FIVE, FIVE + MINUTE, 0.0, AVERAGE), nodes)
    assert refused.value.status == ua.StatusCodes.BadAggregateListMismatch


async def test_a_point_that_does_not_change_has_data_up_to_its_newest_answer(house: House) -> None:
    slot = house.image.slot("xw1", "level")
    for minute in range(4):  # every answer but the first says the same, and is not recorded
        house.image.publish(Batch([slot], [7], [0], FIVE + minute * MINUTE))
    average = ua.ObjectIds.AggregateFunction_TimeAverage2
    asked = (FIVE, FIVE + 4 * MINUTE, 60_000.0)
    found = rows(await one(house, *asked, average, node="xw1.level"), FIVE)
    # The last answer came at the begin of the last interval, which is partial.
    assert found == [(60.0 * minute, 7.0, 0x401) for minute in range(3)] + [(180.0, 7.0, 0x405)]
    later = rows(await one(house, FIVE + 4 * MINUTE, FIVE + 5 * MINUTE, 0.0, average, node="xw1.level"), FIVE)
    assert later == [(240.0, None, ua.StatusCodes.BadNoData)], "behind the newest answer nobody knows"
    counts = rows(await one(house, *asked, COUNT, node="xw1.level"), FIVE)
    assert [value for _, value, _ in counts] == [1, None, None, None], "what was not recorded is not counted"


# --- at time


async def at_times(house: House, wanted: Sequence[int], *, simple: bool = False, token: bytes | None = None) -> Any:
    given = ua.ReadAtTimeDetails([moment(each) for each in wanted], simple)
    (result,) = await house.ask(given, [item(token=token)])
    return result


async def test_values_at_times_come_in_the_order_of_the_request(house: House) -> None:
    minutes(house, 3)
    result = await at_times(house, [FIVE + MINUTE // 2, FIVE, FIVE + MINUTE])
    assert [(each.Value.Value, each.StatusCode.value) for each in values(result)] == [(0.5, 0x402), (0.0, 0), (1.0, 0)]


async def test_many_times_come_in_pages(house: House) -> None:
    minutes(house, 3)
    wanted = [FIVE + number * TICKS_PER_MS for number in range(12_000)]
    first = await at_times(house, wanted)
    assert len(values(first)) == 10_000
    second = await at_times(house, wanted, token=first.ContinuationPoint)
    assert [ticks_from_datetime(each) for each in times(first) + times(second)] == wanted
    assert not second.ContinuationPoint


async def test_too_many_times_and_none_at_all_are_refused(house: House) -> None:
    for wanted, code in (([FIVE] * 20_001, "BadTooManyOperations"), ([], "BadNothingToDo")):
        with pytest.raises(ServiceRefused) as refused:
            await at_times(house, wanted)
        assert refused.value.status == getattr(ua.StatusCodes, code)
