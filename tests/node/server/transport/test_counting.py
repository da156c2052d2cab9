"""Requests that announce too much are refused before they are taken apart."""

import struct
from typing import Any

import pytest
from asyncua import ua
from asyncua.common.utils import NotEnoughData
from asyncua.ua.ua_binary import struct_to_binary

from node.server.transport.counting import announced
from node.server.transport.wire import Reader

PARAMETERS = [
    (ua.ReadParameters, "NodesToRead", ua.ReadValueId()),
    (ua.WriteParameters, "NodesToWrite", ua.WriteValue()),
    (ua.CallParameters, "MethodsToCall", ua.CallMethodRequest()),
    (ua.BrowseParameters, "NodesToBrowse", ua.BrowseDescription()),
    (ua.BrowseNextParameters, "ContinuationPoints", b"x"),
    (ua.TranslateBrowsePathsToNodeIdsParameters, "BrowsePaths", ua.BrowsePath()),
    (ua.RegisterNodesParameters, "NodesToRegister", ua.NodeId(1)),
    (ua.UnregisterNodesParameters, "NodesToUnregister", ua.NodeId(1)),
    (ua.DeleteSubscriptionsParameters, "SubscriptionIds", 1),
    (ua.SetPublishingModeParameters, "SubscriptionIds", 1),
    (ua.TransferSubscriptionsParameters, "SubscriptionIds", 1),
    (ua.CreateMonitoredItemsParameters, "ItemsToCreate", ua.MonitoredItemCreateRequest()),
    (ua.ModifyMonitoredItemsParameters, "ItemsToModify", ua.MonitoredItemModifyRequest()),
    (ua.SetMonitoringModeParameters, "MonitoredItemIds", 1),
    (ua.DeleteMonitoredItemsParameters, "MonitoredItemIds", 1),
]


@pytest.mark.parametrize(("kind", "name", "item"), PARAMETERS, ids=lambda each: getattr(each, "__name__", ""))
def test_the_length_of_the_list_is_known_first(kind: type, name: str, item: Any) -> None:
    for count in (0, 1, 3):
        parameters = kind()
        setattr(parameters, name, [item] * count)
        reader = Reader(struct_to_binary(parameters))
        assert announced(kind, reader) == count
        assert reader.cur_pos == 0


def test_no_list_is_an_empty_one() -> None:
    assert announced(ua.WriteParameters, Reader(struct.pack("<i", -1))) == 0
    assert announced(ua.WriteParameters, Reader(struct.pack("<i", -(2**31)))) == 0


def test_what_is_not_known_is_counted_when_it_is_decoded() -> None:
    assert announced(ua.HistoryReadParameters, Reader(b"")) is None


def test_a_request_that_ends_too_early_has_no_length() -> None:
    for kind, _name, _item in PARAMETERS:
        with pytest.raises(NotEnoughData):
            announced(kind, Reader(b"\0\0"))
