"""The points that gridnode itself gives to every device, to every bus and to the node: connection, statistics, health.

Pure data. They never age; who owns a fact publishes it (bus task, control desk, journal, server).
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from address_space.model import (
    DataType,
    DeviceClass,
    DeviceModel,
    Enumeration,
    EnumMember,
    FunctionalGroup,
    Outcome,
    Point,
    PointKind,
    Range,
    device_model,
)

CONNECTION_STATE: Final = Enumeration(
    "ConnectionState",
    (
        EnumMember(0, "Unknown", "Not asked yet."),
        EnumMember(1, "Online", "The last request was answered."),
        EnumMember(2, "Suspect", "Requests go unanswered; the device is still asked at its ordinary rate."),
        EnumMember(3, "Offline", "Given up for now; only probes go out until it answers."),
        EnumMember(4, "OutOfService", "Taken out of service by a person; nothing is sent."),
    ),
)

# OPC 10000-100 (DI 1.04.0) section 4.5.4, DeviceHealthEnumeration.
DEVICE_HEALTH: Final = Enumeration(
    "DeviceHealthEnumeration",
    (
        EnumMember(0, "NORMAL", "The device works as it should."),
        EnumMember(1, "FAILURE", "The device does not work, or nobody can reach it."),
        EnumMember(2, "CHECK_FUNCTION", "Its outputs are temporarily not valid: somebody works on it."),
        EnumMember(3, "OFF_SPEC", "It works outside of what it is specified for."),
        EnumMember(4, "MAINTENANCE_REQUIRED", "It works, and needs maintenance soon."),
    ),
)

OUTCOME: Final = Enumeration(
    "Outcome",
    (
        EnumMember(Outcome.CONFIRMED, "CONFIRMED", "The confirming point shows the wanted effect."),
        EnumMember(Outcome.UNCONFIRMED, "UNCONFIRMED", "Written; the effect is not seen (yet)."),
        EnumMember(
            Outcome.MISMATCH, "MISMATCH", "Written; the confirming point showed something else at the deadline."
        ),
        EnumMember(Outcome.REFUSED, "REFUSED", "Not written: role, argument, range, precondition or control: false."),
        EnumMember(Outcome.FAILED, "FAILED", "The device did not take the write."),
    ),
)

JOURNAL_STATE: Final = Enumeration(
    "JournalState",
    (
        EnumMember(0, "Off", "The site file switches the journal off."),
        EnumMember(1, "Recording", "Samples are written and acknowledged."),
        EnumMember(2, "Failing", "Samples cannot be written; JournalError says why."),
    ),
)

SINK_STATE: Final = Enumeration(
    "SinkState",
    (
        EnumMember(0, "Starting", "Nothing was sent yet."),
        EnumMember(1, "Forwarding", "The sink has what is recorded, but for the last seconds."),
        EnumMember(2, "Replaying", "The sink gets what has queued up."),
        EnumMember(3, "Retrying", "The sink takes nothing now; it is tried again."),
        EnumMember(4, "Misconfigured", "Address, credentials or database are not right: LastError says what."),
        EnumMember(5, "Refused", "The sink refuses too many samples for one reason: LastError says which."),
        EnumMember(6, "WaitingForTime", "The clock of the node is not set yet."),
    ),
)

NO_YES: Final = Enumeration("NoYes", (EnumMember(0, "No"), EnumMember(1, "Yes")))


def _point(
    point_id: str,
    label: str,
    description: str,
    data_type: DataType = DataType.STRING,
    kind: PointKind = PointKind.DATA,
    *,
    group: FunctionalGroup = FunctionalGroup.DIAGNOSTICS,
    unit: str | None = None,
    limits: Range | None = None,
    enumeration: Enumeration | None = None,
    historize: bool = False,
) -> Point:
    return Point(
        point_id,
        label,
        description,
        data_type,
        kind,
        group,
        unit,
        limits,
        enumeration,
        historize=historize,
        from_class=True,
    )


def _state(point_id: str, label: str, description: str, table: Enumeration, *, historize: bool = True) -> Point:
    return _point(
        point_id,
        label,
        description,
        DataType.INT32,
        PointKind.STATE,
        group=FunctionalGroup.STATUS if point_id == "connection" else FunctionalGroup.DIAGNOSTICS,
        enumeration=table,
        historize=historize,
    )


def _count(
    point_id: str,
    label: str,
    description: str,
    data_type: DataType = DataType.UINT32,
    *,
    historize: bool = False,
) -> Point:
    group = FunctionalGroup.STATISTICS
    return _point(point_id, label, description, data_type, PointKind.DATA, group=group, historize=historize)


def _analog(
    point_id: str, label: str, description: str, unit: str, limits: Range | None = None, *, historize: bool = False
) -> Point:
    group = FunctionalGroup.STATISTICS
    kind = PointKind.ANALOG
    return _point(
        point_id, label, description, DataType.DOUBLE, kind, group=group, unit=unit, limits=limits, historize=historize
    )


_CONNECTION = _state("connection", "Connection", "Whether the device answers.", CONNECTION_STATE)
_REQUESTS = _count("requests", "Requests", "Requests sent since the node started.")
_FAILURES = _count("failures", "Failures", "Requests without a usable answer since the node started.")
_TIMEOUTS = _count("timeouts", "Time-outs", "Requests not answered in time since the node started.")
_MALFORMED = _count("malformed", "Malformed answers", "Answers that were no answer to what was asked.")
_LATE = _count("late_replies", "Late replies", "Answers that came after their deadline and were thrown away.")
_LAST_ERROR = _point("last_error", "Last error", "What went wrong last, as a sentence; empty when nothing did.")

SYSTEM_POINTS: Final[tuple[Point, ...]] = (
    _CONNECTION,
    _REQUESTS,
    _FAILURES,
    _TIMEOUTS,
    _count("rejections", "Rejections", "Answers in which the device refused, since the node started."),
    _MALFORMED,
    _LATE,
    _LAST_ERROR,
    _point("last_answer", "Last answer", "When the device answered last.", DataType.INT64, PointKind.TIME),
    _state("device_health", "Device health", "Health as OPC UA for Devices defines it.", DEVICE_HEALTH),
    _point("last_command_name", "Last command", "Name of the command or setting that was asked for last."),
    _state("last_command_outcome", "Last command: outcome", "How it ended.", OUTCOME),
    _point("last_command_wanted", "Last command: wanted", "The effect that was wanted, as text."),
    _point("last_command_observed", "Last command: observed", "The confirming points as seen last, as text."),
    _point(
        "last_command_elapsed",
        "Last command: elapsed",
        "Time from the call to the outcome.",
        DataType.DOUBLE,
        PointKind.ANALOG,
        unit="ms",
    ),
    _point(
        "last_command_reason", "Last command: reason", "Why it ended so, as a sentence; 'pending' while it goes on."
    ),
    _point("last_command_user", "Last command: user", "Who asked for it."),
    _point("last_command_time", "Last command: time", "When it was asked for.", DataType.INT64, PointKind.TIME),
)

_BUS_POINTS: Final[tuple[Point, ...]] = (
    _CONNECTION,
    _REQUESTS,
    _FAILURES,
    _TIMEOUTS,
    _MALFORMED,
    _LATE,
    _count("reconnects", "Reconnects", "How often the channel was opened again since the node started."),
    _analog(
        "utilisation",
        "Utilisation",
        "Part of the time in which the channel was in use.",
        "%",
        Range(0, 100),
        historize=True,
    ),
    _analog("latency_p50", "Latency, median", "Median time to an answer over the last requests.", "ms"),
    _analog(
        "latency_p95",
        "Latency, 95 %",
        "Time within which 95 % of the last requests were answered.",
        "ms",
        historize=True,
    ),
    _point(
        "overrun",
        "Overrun",
        "The channel cannot keep the poll periods that its devices ask for.",
        DataType.BOOLEAN,
        PointKind.FLAG,
        enumeration=NO_YES,
        historize=True,
    ),
    _LAST_ERROR,
)

_SINK_POINTS: Final[tuple[Point, ...]] = (
    _state("connection", "Connection", "Whether the sink answers.", CONNECTION_STATE),
    _state("sink_state", "State", "What goes on between the journal and the sink.", SINK_STATE),
    _count(
        "queue_samples",
        "Queued samples",
        "Samples of the journal that are not in the sink, about.",
        DataType.UINT64,
        historize=True,
    ),
    _analog("queue_age", "Age of the queue", "Age of the oldest sample that is not in the sink.", "s"),
    _count("sent", "Sent", "Samples stored in the sink since the node started.", DataType.UINT64),
    _count(
        "quarantined",
        "Quarantined",
        "Samples that the sink refused since the node started; `gridnode journal stats` counts all in quarantine.",
        DataType.UINT64,
        historize=True,
    ),
    _count(
        "lost",
        "Lost",
        "Samples older than what the sink keeps, since the node started. What the journal deleted before the sink had"
        " it counts in JournalLost of the node.",
        DataType.UINT64,
        historize=True,
    ),
    _count("replay_rate", "Replay rate", "Samples a second of what has queued up; 0 is no limit.", DataType.DOUBLE),
    _point("target", "Target", "What the sink is, and where: address and database, without credentials."),
    _LAST_ERROR,
    _point("last_answer", "Last answer", "When the sink answered last.", DataType.INT64, PointKind.TIME),
)

_NODE_POINTS: Final[tuple[Point, ...]] = (
    _analog("certificate_days_left", "Certificate days left", "Until the server's own certificate ends.", "d"),
    _count("journal_samples", "Journal samples", "Samples that the journal acknowledged.", DataType.UINT64),
    _count(
        "journal_lost",
        "Journal samples lost",
        "Samples that the journal could not take, or had to delete before every sink had them.",
        DataType.UINT64,
    ),
    _count("journal_deleted", "Journal samples deleted", "Samples that were too old, or made room.", DataType.UINT64),
    _count("journal_events", "Journal events", "Events that the journal acknowledged.", DataType.UINT64),
    _count("journal_events_lost", "Journal events lost", "Events that the journal could not take.", DataType.UINT64),
    _count(
        "journal_damaged",
        "Journal damage",
        "Frames and blocks that cannot be read any more.",
        DataType.UINT64,
    ),
    _count("journal_bytes", "Journal size", "Bytes on the disk.", DataType.UINT64),
    _count("journal_budget", "Journal budget", "Bytes that the journal may have on the disk.", DataType.UINT64),
    _count("journal_free", "Disk space free", "Bytes that are free on the journal's partition.", DataType.UINT64),
    _point("journal_oldest", "Journal begin", "Time of about the oldest sample.", DataType.INT64, PointKind.TIME),
    _state("journal_state", "Journal state", "Whether history is recorded.", JOURNAL_STATE, historize=False),
    _point("journal_error", "Journal error", "Why the journal fails; empty when it does not."),
    _count("clock_doubtful", "Doubtful times", "Samples recorded as Uncertain because of their time.", DataType.UINT64),
    _count("clock_steps", "Clock steps", "How often the node's clock was set by more than 5 s."),
    _analog(
        "clock_last_step", "Last clock step", "How far the clock was set last; negative is back.", "s", historize=True
    ),
    _count("sessions", "Sessions", "OPC UA sessions open now."),
)


def bus_model() -> DeviceModel:
    """Model of a bus as a device of its own; its device id is the bus id."""
    return device_model(
        "gridnode.bus", DeviceClass.BUS, _BUS_POINTS, description="One physical channel and how it does."
    )


def sink_model() -> DeviceModel:
    """Model of a sink as a device of its own; its device id is the sink id."""
    return device_model(
        "gridnode.sink", DeviceClass.SINK, _SINK_POINTS, description="Something that gets the journal, and how it does."
    )


# What a node lost is worth a place in its history, and so in every database that gets it.
_LOSSES: Final = frozenset({"journal_lost", "journal_damaged"})


def node_model(*, record_losses: bool = False) -> DeviceModel:
    """Model of the node itself, device id `node`; `record_losses` puts what the journal lost into history."""
    points = [
        replace(point, historize=True) if record_losses and point.id in _LOSSES else point for point in _NODE_POINTS
    ]
    return device_model("gridnode.node", DeviceClass.NODE, points, description="The gridnode process.")
