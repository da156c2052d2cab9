"""CreateMonitoredItems from bytes and to bytes: the same as the library's decoder and encoder say."""

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import NotEnoughData
from asyncua.ua.ua_binary import struct_to_binary
from hypothesis import given
from hypothesis import strategies as st

from address_space.model import ticks_to_datetime
from node.server.subscriptions.item_requests import CreateItems, create_response
from node.server.transport.wire import DECODE_ERRORS, Reader, TooManyFields
from tests.fake_clock import START

NODE_IDS = st.one_of(
    st.builds(ua.NodeId, st.text(st.characters(exclude_categories=["Cs"]), max_size=12), st.integers(0, 9)),
    st.builds(ua.NodeId, st.integers(0, 2**32 - 1), st.integers(0, 9)),
)
FILTERS = st.none() | st.builds(
    lambda value: ua.DataChangeFilter(ua.DataChangeTrigger.Status, ua.DeadbandType.Absolute, value),
    st.floats(allow_nan=False),
)
ITEMS = st.builds(
    ua.MonitoredItemCreateRequest,
    st.builds(
        ua.ReadValueId,
        NODE_IDS,
        st.integers(0, 2**32 - 1),
        st.none() | st.just("1:2"),
        st.builds(ua.QualifiedName, st.none() | st.just("Default Binary"), st.integers(0, 1)),
    ),
    st.sampled_from(list(ua.MonitoringMode)),
    st.builds(
        ua.MonitoringParameters,
        st.integers(0, 2**32 - 1),
        st.floats(allow_nan=False),
        FILTERS,
        st.integers(0, 2**32 - 1),
        st.booleans(),
    ),
)


@given(items=st.lists(ITEMS, max_size=5))
def test_items_are_decoded_as_by_the_library(items: list[Any]) -> None:
    given_parameters = ua.CreateMonitoredItemsParameters(7, ua.TimestampsToReturn.Both, items)
    decoded = CreateItems.decode(Reader(struct_to_binary(given_parameters)))
    assert (decoded.SubscriptionId, decoded.TimestampsToReturn) == (7, ua.TimestampsToReturn.Both)
    assert len(decoded.ItemsToCreate) == len(items)
    assert [struct_to_binary(each) for each in decoded.ItemsToCreate] == [struct_to_binary(each) for each in items]


@given(items=st.lists(ITEMS, min_size=1, max_size=2), data=st.data())
def test_bytes_that_end_too_early_are_no_items(items: list[Any], data: st.DataObject) -> None:
    body = struct_to_binary(ua.CreateMonitoredItemsParameters(7, ua.TimestampsToReturn.Both, items))
    cut = body[: data.draw(st.integers(0, len(body) - 1))]
    with pytest.raises(DECODE_ERRORS):
        list(CreateItems.decode(Reader(cut)).ItemsToCreate)


def test_a_count_without_bytes_is_refused_before_anything_is_made() -> None:
    with pytest.raises(NotEnoughData):
        CreateItems.decode(Reader(struct.pack("<Iii", 1, 3, 2**31 - 1)))


def test_results_are_packed_as_by_the_library() -> None:
    results: list[Any] = [
        ua.MonitoredItemCreateResult(
            MonitoredItemId=ua.UInt32(5), RevisedSamplingInterval=250.0, RevisedQueueSize=ua.UInt32(3)
        ),
        ua.MonitoredItemCreateResult(StatusCode=ua.StatusCode(ua.UInt32(ua.StatusCodes.BadNodeIdUnknown))),
        ua.MonitoredItemCreateResult(FilterResult=ua.EventFilterResult()),
    ]
    response: Any = ua.CreateMonitoredItemsResponse(Results=results)
    response.ResponseHeader.Timestamp = ticks_to_datetime(START)
    response.ResponseHeader.RequestHandle = ua.UInt32(9)
    assert create_response(START, 9, results) == struct_to_binary(response)


def filtered(clauses: int, items: int) -> bytes:
    wanted: Any = ua.EventFilter()
    wanted.SelectClauses = [ua.SimpleAttributeOperand()] * clauses
    what = ua.ReadValueId(ua.NodeId(2253), ua.AttributeIds.EventNotifier)
    item = ua.MonitoredItemCreateRequest(what, 2, ua.MonitoringParameters(1, 0.0, wanted, 1, True))
    return struct_to_binary(ua.CreateMonitoredItemsParameters(1, 2, [item] * items))


def test_filters_have_a_bounded_number_of_fields_each_and_together() -> None:
    together = list(CreateItems.decode(Reader(filtered(250, 20), fields=200_000)).ItemsToCreate)
    assert [len(each.RequestedParameters.Filter.SelectClauses) for each in together] == [250] * 20
    for clauses, items in ((10_000, 1), (250, 200)):
        with pytest.raises(TooManyFields):
            list(CreateItems.decode(Reader(filtered(clauses, items), fields=200_000)).ItemsToCreate)
