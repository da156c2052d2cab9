"""How much one client may ask of the server. Pure data; what a client is told comes from here too."""

from __future__ import annotations

from dataclasses import dataclass


@dataclass(frozen=True, slots=True)
class Limits:
    """Bounds of the OPC UA server. Sizes in bytes, times in seconds unless the name says `_ms`."""

    # One chunk; OPC 10000-6 section 7.1.2.3 wants 8192 at least, and 65535 is what most stacks use.
    chunk_bytes: int = 65_535
    smallest_chunk_bytes: int = 8_192
    # Whole request. Nobody needs more than a chunk before a session is active, so a stranger cannot fill memory.
    message_bytes: int = 2_097_152
    message_chunks: int = 64
    stranger_message_bytes: int = 65_535
    stranger_message_chunks: int = 4
    # What asyncua's decoder may be asked to take apart in a request of a session: each field takes it about 5 us, and
    # a read of 10,000 nodes has 60,000. A request without a session has `wire.FIELDS`.
    fields: int = 200_000
    # Of requests with more bytes only one is in work at a time, and it is decoded beside the event loop.
    done_at_once_bytes: int = 8_192
    # Frames that wait behind the one in work; beyond it the socket is not read.
    waiting_bytes: int = 1_048_576

    connections: int = 200
    connections_per_peer: int = 100
    # A connection without an activated session is closed after this long; clients need a second or two.
    unactivated_s: float = 30.0
    # A message that holds the loop for longer is followed by a rest of its connection, as long but bounded, so that one
    # client with huge requests has half of the server's time at most.
    held_s: float = 0.02
    rest_s: float = 1.0
    stalled_s: float = 30.0  # a client that does not read its answers for this long is cut off
    sessions: int = 100
    unactivated_sessions: int = 20  # of all connections; the oldest makes room
    unactivated_per_connection: int = 5
    session_min_s: float = 10.0
    session_max_s: float = 3_600.0

    # Channel tokens: asyncua and node-opcua ask for an hour, others for minutes.
    token_min_s: float = 10.0
    token_max_s: float = 3_600.0
    token_grace: float = 1.25  # OPC 10000-4 section 5.5.2: an expired token is taken for 25 % longer

    operations: int = 10_000  # per request: nodes to read, to browse, items to create, ...
    # Nodes per Browse, methods per Call and settings per Write are dearer, or end at a device.
    browse_operations: int = 2_000
    call_operations: int = 100
    write_operations: int = 1_000
    references_per_node: int = 1_000
    continuation_points: int = 50  # per session
    running_requests: int = 32  # calls, writes and history reads in work per connection

    subscriptions: int = 1_000  # of all sessions; each of them has its publishing cycles
    subscriptions_per_session: int = 50
    orphaned_subscriptions: int = 20  # whose session has ended, of all clients; the oldest ends first
    items_per_subscription: int = 20_000
    items_per_session: int = 100_000
    items: int = 500_000  # of all sessions: half a kilobyte each
    queue_size: int = 1_000
    # Values that may wait in all queues, and in those of one subscription: 130 bytes each. Later queues are shorter.
    queued_values: int = 1_000_000
    queued_per_subscription: int = 250_000
    publish_requests: int = 50  # waiting per session
    unacknowledged: int = 50  # messages kept for Republish, per subscription
    unacknowledged_bytes: int = 2_097_152  # of such messages; the newest is always kept
    publishing_min_ms: float = 50.0
    publishing_max_ms: float = 3_600_000.0
    sampling_min_ms: float = 50.0  # 0 is not below it: it asks for each publish of a point
    sampling_max_ms: float = 3_600_000.0
    keep_alive_max: int = 10_000
    lifetime_max: int = 30_000
    lifetime_max_s: float = 3_600.0  # a subscription without its client is gone after this long
    notifications_per_publish: int = 2_000  # packing them takes about 10 ms
