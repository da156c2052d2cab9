"""How much work a request announces, before any of it is decoded."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_from_binary

from node.server.transport.wire import Reader

_COUNT_BYTES: Final = 4
# Bytes before the list that says how much work a request is (OPC 10000-4 section 5).
_BEFORE: Final[Mapping[type, int]] = {
    ua.ReadParameters: 12,  # MaxAge, TimestampsToReturn
    ua.WriteParameters: 0,
    ua.CallParameters: 0,
    ua.HistoryUpdateParameters: 0,
    ua.BrowseNextParameters: 1,
    ua.TranslateBrowsePathsToNodeIdsParameters: 0,
    ua.RegisterNodesParameters: 0,
    ua.UnregisterNodesParameters: 0,
    ua.DeleteSubscriptionsParameters: 0,
    ua.SetPublishingModeParameters: 1,
    ua.TransferSubscriptionsParameters: 0,
    ua.CreateMonitoredItemsParameters: 8,  # subscription, TimestampsToReturn
    ua.ModifyMonitoredItemsParameters: 8,
    ua.SetMonitoringModeParameters: 8,  # subscription, mode
    ua.DeleteMonitoredItemsParameters: 4,  # subscription
}
_VIEW_BYTES: Final = 16  # of Browse, behind the view's NodeId: time, version, references per node


def announced(parameters: type, reader: Reader) -> int | None:
    """Length of the list that follows; None when it is not known before all is decoded. The reader stays.

    Raises what asyncua's decoder raises for bytes that are no request.
    """
    if parameters is ua.BrowseParameters:
        ahead: Any = reader.copy()
        nodeid_from_binary(ahead)
        ahead.skip(_VIEW_BYTES)
    elif parameters in _BEFORE:
        ahead = reader.copy()
        ahead.skip(_BEFORE[parameters])
    else:
        return None
    return max(int.from_bytes(ahead.read(_COUNT_BYTES), "little", signed=True), 0)
