"""What a subscription did so far, for its row in SubscriptionDiagnosticsArray (OPC 10000-5 section 12.15)."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(slots=True)
class SubscriptionCounts:
    """Counts since the subscription was made."""

    modified: int = 0
    enabled: int = 0
    disabled: int = 0
    republish_requests: int = 0
    republished: int = 0
    transfer_requests: int = 0
    transferred_to_other: int = 0  # to another client
    transferred_to_same: int = 0
    publish_requests: int = 0
    data_changes: int = 0  # notifications in messages
    events: int = 0
    late: int = 0  # times that it began to have something to say and no request to answer
    discarded: int = 0  # messages that were dropped before the client acknowledged them
    overflows: int = 0  # values that a full queue lost
    event_overflows: int = 0  # events that a full queue lost
