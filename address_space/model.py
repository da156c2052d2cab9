"""What the plant is, as pure data: points, devices, commands, samples, outcomes, time.

Everything here is frozen and slotted and imports nothing of ours; it crosses every layer.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import UTC, datetime
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple, Protocol

# --- time ------------------------------------------------------------------------------------------

TICKS_PER_S: Final = 10_000_000
TICKS_PER_MS: Final = 10_000
# Seconds from 1601-01-01 (OPC UA DateTime zero, OPC 10000-6 section 5.2.2.5) to 1970-01-01.
_UNIX_EPOCH_S: Final = 11_644_473_600
_UNIX_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def ticks_from_unix_ns(unix_ns: int) -> int:
    """OPC UA ticks (100 ns since 1601-01-01 UTC) of a Unix time in ns, rounded down to 1 ms.

    The millisecond makes live value, history and InfluxDB agree on one time stamp.
    """
    return (unix_ns // 1_000_000) * TICKS_PER_MS + _UNIX_EPOCH_S * TICKS_PER_S


def ticks_to_datetime(ticks: int) -> datetime:
    """Aware UTC datetime of OPC UA ticks; for the edges (files, command line) only.

    Raises OverflowError outside the years 1 to 9999.
    """
    unix_ticks = ticks - _UNIX_EPOCH_S * TICKS_PER_S
    seconds, rest = divmod(unix_ticks, TICKS_PER_S)
    return datetime.fromtimestamp(seconds, UTC).replace(microsecond=rest // 10)


def ticks_from_datetime(moment: datetime) -> int:
    """OPC UA ticks of an aware datetime; raises ValueError for a naive one."""
    if moment.tzinfo is None:
        raise ValueError(f"{moment.isoformat()}: a time needs its offset from UTC")
    delta = moment - _UNIX_EPOCH
    return (delta.days * 86_400 + delta.seconds + _UNIX_EPOCH_S) * TICKS_PER_S + delta.microseconds * 10


class Timer(Protocol):
    """Something that a clock will call."""

    def cancel(self) -> None:
        """Forget it; does nothing when it was called."""
        ...


class Clock(Protocol):
    """Where time and waiting come from; tests hand in one that they move by hand."""

    def now(self) -> int:
        """Wall time in OPC UA ticks, rounded down to 1 ms."""
        ...

    def monotonic(self) -> float:
        """Seconds on a clock that never steps."""
        ...

    async def sleep(self, seconds: float) -> None:
        """Wait that many seconds of `monotonic`."""
        ...

    def call_at(self, when: float, callback: Callable[[], object]) -> Timer:
        """Call something at a time of `monotonic`, soon when that has passed; for deadlines that seldom come."""
        ...


# --- values ----------------------------------------------------------------------------------------

Value = bool | int | float | str


class DataType(IntEnum):
    """OPC UA built-in types that points use, by their identifier (OPC 10000-6 table 1)."""

    BOOLEAN = 1
    SBYTE = 2
    BYTE = 3
    INT16 = 4
    UINT16 = 5
    INT32 = 6
    UINT32 = 7
    INT64 = 8
    UINT64 = 9
    FLOAT = 10
    DOUBLE = 11
    STRING = 12


# Smallest and largest number of the integer types (OPC 10000-6 section 5.2.2.2).
INTEGER_RANGES: Final[Mapping[DataType, tuple[int, int]]] = {
    DataType.SBYTE: (-(2**7), 2**7 - 1),
    DataType.BYTE: (0, 2**8 - 1),
    DataType.INT16: (-(2**15), 2**15 - 1),
    DataType.UINT16: (0, 2**16 - 1),
    DataType.INT32: (-(2**31), 2**31 - 1),
    DataType.UINT32: (0, 2**32 - 1),
    DataType.INT64: (-(2**63), 2**63 - 1),
    DataType.UINT64: (0, 2**64 - 1),
}


class Status(IntEnum):
    """OPC UA status codes that gridnode itself sets (OPC 10000-6 annex A.2)."""

    GOOD = 0x0000_0000
    UNCERTAIN = 0x4000_0000
    UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE = 0x408F_0000
    UNCERTAIN_LAST_USABLE_VALUE = 0x4090_0000
    UNCERTAIN_ENGINEERING_UNITS_EXCEEDED = 0x4094_0000
    UNCERTAIN_SUB_NORMAL = 0x4095_0000
    BAD = 0x8000_0000
    BAD_UNEXPECTED_ERROR = 0x8001_0000
    BAD_INTERNAL_ERROR = 0x8002_0000
    BAD_OUT_OF_MEMORY = 0x8003_0000
    BAD_RESOURCE_UNAVAILABLE = 0x8004_0000
    BAD_COMMUNICATION_ERROR = 0x8005_0000
    BAD_TIMEOUT = 0x800A_0000
    BAD_SERVICE_UNSUPPORTED = 0x800B_0000
    BAD_SHUTDOWN = 0x800C_0000
    BAD_USER_ACCESS_DENIED = 0x801F_0000
    BAD_NO_COMMUNICATION = 0x8031_0000
    BAD_WAITING_FOR_INITIAL_DATA = 0x8032_0000
    BAD_NOT_READABLE = 0x803A_0000
    BAD_OUT_OF_RANGE = 0x803C_0000
    BAD_NOT_SUPPORTED = 0x803D_0000
    BAD_NOT_WRITABLE = 0x803B_0000
    BAD_TYPE_MISMATCH = 0x8074_0000
    BAD_NO_DATA = 0x809B_0000
    BAD_ARGUMENTS_MISSING = 0x8076_0000
    BAD_NOTHING_TO_DO = 0x800F_0000
    BAD_TOO_MANY_OPERATIONS = 0x8010_0000
    BAD_CONFIGURATION_ERROR = 0x8089_0000
    BAD_NOT_CONNECTED = 0x808A_0000
    BAD_DEVICE_FAILURE = 0x808B_0000
    BAD_SENSOR_FAILURE = 0x808C_0000
    BAD_OUT_OF_SERVICE = 0x808D_0000
    BAD_INVALID_ARGUMENT = 0x80AB_0000
    BAD_INVALID_STATE = 0x80AF_0000
    BAD_NOT_EXECUTABLE = 0x8111_0000
    BAD_TOO_MANY_ARGUMENTS = 0x80E5_0000
    BAD_REQUEST_NOT_ALLOWED = 0x80E4_0000

    @property
    def symbol(self) -> str:
        """Name as the standard spells it, for example `BadNoCommunication`."""
        return "".join(part.capitalize() for part in self.name.split("_"))


def is_good(status: int) -> bool:
    """True for every Good code, whatever its info bits."""
    return status & 0xC000_0000 == 0


def is_bad(status: int) -> bool:
    """True for every Bad code: on the wire such a sample has no value."""
    return status & 0x8000_0000 != 0


class Sample(NamedTuple):
    """Value, status and source time (ticks) of one point; `value` is None when the status is Bad."""

    value: Value | None
    status: int
    ticks: int


@dataclass(frozen=True, slots=True)
class Range:
    """Closed interval in the unit of its point, as OPC UA's EURange."""

    low: float
    high: float

    def holds(self, value: float) -> bool:
        """True when `value` lies inside, both ends included; never for NaN."""
        return self.low <= value <= self.high


@dataclass(frozen=True, slots=True)
class EnumMember:
    """One state of an enumeration: raw code, display text and what it means."""

    code: int
    name: str
    description: str = ""


@dataclass(frozen=True, slots=True)
class Enumeration:
    """Named states of a discrete point, in the order of their codes."""

    name: str
    members: tuple[EnumMember, ...]

    def text(self, code: int) -> str | None:
        """Display text of a code; None when the table does not have it."""
        for member in self.members:
            if member.code == code:
                return member.name
        return None

    def code(self, name: str) -> int | None:
        """Code of a display text; None when the table does not have it."""
        for member in self.members:
            if member.name == name:
                return member.code
        return None


class PointKind(StrEnum):
    """How a point behaves, which decides its OPC UA VariableType."""

    ANALOG = "analog"  # a measured or computed number with a unit: AnalogUnit(Range)Type
    COUNTER = "counter"  # a number that only grows until it rolls over or is reset: AnalogUnitType
    STATE = "state"  # a code out of an enumeration: MultiStateValueDiscreteType
    FLAG = "flag"  # a Boolean: TwoStateDiscreteType
    DATA = "data"  # text, bit fields, plain counts: BaseDataVariableType
    TIME = "time"  # OPC UA ticks as INT64, shown as DateTime


class FunctionalGroup(StrEnum):
    """DI functional group in which a point is organized (OPC 10000-100 section 5.4.2 and its table of names)."""

    IDENTIFICATION = "Identification"
    OPERATIONAL = "Operational"
    CONFIGURATION = "Configuration"
    STATISTICS = "Statistics"
    DIAGNOSTICS = "Diagnostics"
    STATUS = "Status"


@dataclass(frozen=True, slots=True)
class RecordingRule:
    """Which samples of a historized point history gets; those whose quality changed always.

    At the time of every change that was left out, the recorded sample before it and the straight line between its
    recorded neighbours differ from it by the deadband at most.
    """

    on_change: bool = True  # record when the value changed, by more than the deadband if there is one
    deadband: float = 0.0  # in the point's unit, or in percent of its range; numbers only
    percent: bool = False
    every_s: float | None = None  # record the newest answer so often too
    heartbeat_s: float | None = None  # record an unchanged answer when nothing was recorded for so long


@dataclass(frozen=True, slots=True)
class Point:
    """One named quantity that every device of a model has.

    `stale_after_s` and `bad_after_s` are the ages at which Good becomes Uncertain and then Bad; None
    for a point that never ages (nameplate data, diagnostics of the node itself).
    """

    id: str  # snake_case, unique in the device, no dot
    label: str  # display name, locale en
    description: str
    data_type: DataType
    kind: PointKind
    group: FunctionalGroup = FunctionalGroup.OPERATIONAL
    unit: str | None = None  # key of units.py; None = no unit
    range: Range | None = None  # EURange; None = a range has no sense
    enumeration: Enumeration | None = None  # STATE; for FLAG its two texts are codes 0 and 1
    readable: bool = True  # False for a trigger that the device does not show again; it never has a value
    writable: bool = False  # a setting that an Engineer may write; needs `range` or `enumeration`
    historize: bool = False
    record: RecordingRule | None = None  # None = as the site says for all; every change if it says nothing
    from_class: bool = False  # declared by the device class, the same for every brand
    stale_after_s: float | None = None
    bad_after_s: float | None = None


@dataclass(frozen=True, slots=True)
class Argument:
    """One input of a command."""

    name: str
    data_type: DataType
    description: str = ""
    unit: str | None = None
    range: Range | None = None
    enumeration: Enumeration | None = None


@dataclass(frozen=True, slots=True)
class Command:
    """A named action of a device, as a client sees it; how it is done is the profile's."""

    id: str  # PascalCase BrowseName
    label: str
    description: str
    inputs: tuple[Argument, ...] = ()
    from_class: bool = False


class DeviceClass(StrEnum):
    """What a device is, whatever its brand; BUS, SINK and NODE are gridnode's own."""

    INVERTER = "inverter"
    FUEL_CELL = "fuel_cell"
    BATTERY = "battery"
    METER = "meter"
    PV = "pv"
    TANK = "tank"
    SENSOR = "sensor"
    GENERIC = "generic"
    BUS = "bus"
    SINK = "sink"
    NODE = "node"


# What is no equipment but a part of gridnode.
OWN_CLASSES: Final = frozenset({DeviceClass.BUS, DeviceClass.SINK, DeviceClass.NODE})


@dataclass(frozen=True, slots=True)
class DeviceModel:
    """Everything that all devices of one kind share: one profile with one set of parameters."""

    id: str  # profile id, dotted: schneider.xw
    device_class: DeviceClass
    manufacturer: str
    model: str
    description: str
    points: tuple[Point, ...]
    commands: tuple[Command, ...]
    index: Mapping[str, int] = field(repr=False, compare=False)  # point id -> position in `points`


def device_model(
    model_id: str,
    device_class: DeviceClass,
    points: Sequence[Point],
    commands: Sequence[Command] = (),
    *,
    manufacturer: str = "",
    model: str = "",
    description: str = "",
) -> DeviceModel:
    """Build a model with its point index; raises ValueError when an id stands twice."""
    index = {point.id: position for position, point in enumerate(points)}
    if len(index) != len(points):
        twice = sorted({p.id for p in points if sum(q.id == p.id for q in points) > 1})
        raise ValueError(f"model {model_id}: point ids used twice: {', '.join(twice)}")
    return DeviceModel(model_id, device_class, manufacturer, model, description, tuple(points), tuple(commands), index)


@dataclass(frozen=True, slots=True)
class Device:
    """One piece of equipment at a site: a model on a unit of a bus."""

    id: str  # no dot; the NodeId is this string
    model: DeviceModel
    label: str = ""
    description: str = ""
    bus: str | None = None  # id of its bus; None for buses and the node itself
    unit: int = 0  # address on the bus, for example the Modbus unit id
    control: bool = False  # only then its methods are executable and its settings writable
    serial_number: str = ""
    hardware_revision: str = ""
    software_revision: str = ""


# --- commands and outcomes -------------------------------------------------------------------------


class Outcome(IntEnum):
    """How a command ended; the codes are ours and are shown as an OPC UA enumeration."""

    CONFIRMED = 0  # the confirming point shows the wanted effect
    UNCONFIRMED = 1  # written, the effect is not seen (yet)
    MISMATCH = 2  # written, and the confirming point shows something else at the deadline
    REFUSED = 3  # not written: role, argument, range, precondition or control: false
    FAILED = 4  # the device did not take the write


class CommandResult(NamedTuple):
    """What a command or the write of a setting came to.

    `status` is Good for CONFIRMED, Uncertain for UNCONFIRMED and MISMATCH, and for REFUSED and FAILED the
    Bad code that names the cause.
    """

    outcome: Outcome
    status: Status
    observed: str  # the confirming points as seen last, as text: "inverter_status=Standby"
    elapsed_s: float
    reason: str  # one sentence in English; "pending" while confirmation goes on
    # One status per input when an argument was refused (OPC 10000-4 InputArgumentResults), else empty.
    input_results: tuple[Status, ...] = ()


# --- batches ---------------------------------------------------------------------------------------


class Batch(NamedTuple):
    """New samples of several slots with one time: what a read block, a command or ageing publishes.

    `values[i]` is None when `statuses[i]` is Bad. `ticks` is the source time, taken when the answer arrived;
    for a change of status alone it is the time at which that was decided.
    """

    slots: Sequence[int]
    values: Sequence[Value | None]
    statuses: Sequence[int]
    ticks: int


class Publisher(Protocol):
    """Takes batches; the process image is one. Never waits, never raises for a value."""

    def publish(self, batch: Batch) -> None:
        """Store the samples and mark what depends on them."""
        ...

    def degrade(self, slots: Sequence[int], status: int, ticks: int) -> None:
        """Set a status without a new sample (a Bad one takes the value away), decided at `ticks`."""
        ...

    def slot(self, device_id: str, point_id: str) -> int:
        """Slot of a point; raises KeyError when the site has no such point."""
        ...

    def sample(self, slot: int) -> Sample:
        """Newest sample of a slot."""
        ...

    def samples(self, device_id: str, points: Sequence[str]) -> dict[str, Sample]:
        """Newest samples of points of one device; raises KeyError when the site has no such device or point."""
        ...
