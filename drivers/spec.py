"""A profile and a bus as frozen data: what `profile.py` and the site file leave for drivers, simulator and control.

The words are those of the profile schema (docs/profiles.md). Nothing here reads a file or a wire.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import StrEnum

from address_space.model import DeviceModel, Range, Status, Value

# --- where a point comes from ----------------------------------------------------------------------


class Table(StrEnum):
    """Modbus tables (Modbus Application Protocol V1.1b3 section 4.3)."""

    HOLDING = "holding"  # read FC3, write FC6 or FC16
    INPUT = "input"  # read FC4
    COIL = "coil"  # read FC1, write FC5 or FC15
    DISCRETE = "discrete"  # read FC2


class RawType(StrEnum):
    """How registers hold a value; the number is its width in bits."""

    BOOL = "bool"
    U16 = "u16"
    I16 = "i16"
    U32 = "u32"
    I32 = "i32"
    U64 = "u64"
    I64 = "i64"
    F32 = "f32"
    F64 = "f64"
    BITS16 = "bits16"
    BITS32 = "bits32"
    BITS64 = "bits64"
    TEXT = "text"  # ASCII, two characters a register, `registers` of them


class WordOrder(StrEnum):
    """Which 16-bit word of a multi-word value comes first."""

    BIG = "big"  # high word first
    LITTLE = "little"  # low word first


@dataclass(frozen=True, slots=True)
class BitField:
    """Bits low..high (0 = least significant) of a raw integer; one bit gives a FLAG."""

    low: int
    high: int


@dataclass(frozen=True, slots=True)
class RegisterSource:
    """Where and how one point stands in a device's Modbus tables.

    raw -> sentinel check -> bit field -> scale factor, scale and offset or `linear` or `map` -> value.
    """

    table: Table
    address: int  # 0-based, as on the wire
    type: RawType
    registers: int  # 16-bit registers the value takes (1 for a coil)
    words: tuple[int, ...] = ()  # own addresses of the words, high word first, when they are not adjacent
    word_order: WordOrder | None = None  # None = the profile's, which the bus may override
    byte_swap: bool = False  # TEXT with the two characters of each register exchanged
    scale: float = 1.0
    offset: float = 0.0
    linear: tuple[tuple[float, float], tuple[float, float]] | None = None  # two points (raw, value)
    map: Mapping[int, int] | None = None  # raw code -> code of the class's enumeration
    scale_from: str | None = None  # point id whose value is the power of ten (SunSpec scale factor)
    bits: BitField | None = None
    sentinels: tuple[int | float, ...] = ()  # raw values that mean "no value"; NaN as float('nan')
    below: float | None = None  # raw under this = BadSensorFailure
    above: float | None = None  # raw over this = BadSensorFailure


@dataclass(frozen=True, slots=True)
class LineSource:
    """A point of a serial collector: the answer of its line, or a step of the conversion from it."""

    quantity: str  # "raw", "voltage", "current" or "power" of the collector (docs/drivers.md)


Source = RegisterSource | LineSource


@dataclass(frozen=True, slots=True)
class PollGroup:
    """Points that are read together; `period_s` None = once after each connect."""

    name: str
    period_s: float | None
    points: tuple[str, ...]


# --- commands --------------------------------------------------------------------------------------


class Comparison(StrEnum):
    """How a condition compares a point with its operand."""

    EQ = "eq"
    NE = "ne"
    IN = "in"
    NOT_IN = "not_in"
    GE = "ge"
    LE = "le"


@dataclass(frozen=True, slots=True)
class Operand:
    """A constant or, when `argument` is set, an input of the command. Parameters of the site are constants here."""

    constant: Value | tuple[Value, ...] | None = None
    argument: str | None = None


@dataclass(frozen=True, slots=True)
class Condition:
    """A statement about one point, in engineering values (codes for STATE points).

    `tolerance` is the allowed absolute difference of EQ on a number.
    """

    point: str
    comparison: Comparison
    operand: Operand
    tolerance: float = 0.0
    otherwise: Status = Status.BAD_INVALID_STATE  # what a precondition that does not hold answers


@dataclass(frozen=True, slots=True)
class Write:
    """Step: write one point."""

    point: str
    value: Operand


@dataclass(frozen=True, slots=True)
class Run:
    """Step: run another command of the same profile with its requires, steps and confirm, without inputs."""

    command: str


Step = Write | Run


@dataclass(frozen=True, slots=True)
class Confirm:
    """The effect that proves a command: all conditions hold within `within_s` after the last write."""

    conditions: tuple[Condition, ...]
    within_s: float
    every_s: float = 0.5  # pause between two confirming reads


@dataclass(frozen=True, slots=True)
class KeepAlive:
    """What is rewritten while a command stands, and what ends it."""

    every_s: float
    writes: tuple[Write, ...]
    until: tuple[Condition, ...]  # any of them, seen by the polls, ends it
    ended_by: tuple[str, ...]  # commands of the same device that end it
    farewell: tuple[Write, ...] = ()  # written once when it ends or the node stops


@dataclass(frozen=True, slots=True)
class CommandSpec:
    """How one command is carried out. With `dispatch` it only picks another command by its one input."""

    id: str
    requires: tuple[Condition, ...] = ()
    steps: tuple[Step, ...] = ()
    confirm: Confirm | None = None
    keep_alive: KeepAlive | None = None
    dispatch: Mapping[int, str] = field(default_factory=dict)  # input code -> command id
    emergency: bool = False  # goes before every other command on the bus


@dataclass(frozen=True, slots=True)
class SettingSpec:
    """How a setting is written: which range, what counts as equal, and how it is confirmed.

    The read-back must come within `within_s` and lie within `tolerance` of the written value.
    """

    point: str
    range: Range | None  # None only with an enumeration or a flag
    tolerance: float
    within_s: float
    persistent: bool  # kept in the device's non-volatile memory, which writing wears out
    readable: bool = True  # False for a trigger that the device does not show again


# --- identification and simulation ------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class IdentifyCheck:
    """A point that must answer, and what it must be, for the device to be the one the profile describes."""

    point: str
    one_of: tuple[Value, ...] = ()
    between: Range | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """Simulation: when `point` is written with `equals` (None = anything), set others after a delay."""

    point: str
    equals: Value | None
    after_s: float
    sets: Mapping[str, Value]  # point id -> value, or "$value" for the written one


@dataclass(frozen=True, slots=True)
class Simulation:
    """How the simulator plays a device: first values, reactions to writes, and a physics by name."""

    initial: Mapping[str, Value]
    links: tuple[Link, ...] = ()
    physics: str = ""  # key of drivers/simulator/physics.py: "inverter", "meter", ...; "" = none
    physics_options: Mapping[str, float] = field(default_factory=dict)


# --- the profile ------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class ModbusLimits:
    """What a device bears on the wire."""

    word_order: WordOrder = WordOrder.BIG
    max_read: int = 125  # registers a request, at most 125
    max_write: int = 123  # registers a request, at most 123
    max_gap: int | None = None  # unused registers read along at most; None = by link speed
    barriers: tuple[int, ...] = ()  # no block may cross into these addresses
    align: int = 1  # blocks start at multiples of this
    min_interval_s: float = 0.0  # between two requests to one unit
    write_single: bool = True  # FC6 for one register; False = always FC16


@dataclass(frozen=True, slots=True)
class Profile:
    """One profile file, checked, with the site's parameters applied."""

    id: str
    version: str
    protocol: str  # key of DRIVERS
    model: DeviceModel
    models: tuple[str, ...]  # product names that it fits
    provenance: str  # guessed | documented | simulated | hardware
    documents: tuple[str, ...]  # sources of the facts
    modbus: ModbusLimits
    sources: Mapping[str, Source]  # by point id; a point without one is the node's own
    groups: tuple[PollGroup, ...]
    commands: Mapping[str, CommandSpec]
    settings: Mapping[str, SettingSpec]
    identify: tuple[IdentifyCheck, ...]
    simulation: Simulation | None
    parameters: Mapping[str, Value]  # as the site file set them, defaults filled in
    presence: str | None = None  # point that reads 0 when a gateway lost the device behind it


# --- buses ------------------------------------------------------------------------------------------


@dataclass(frozen=True, slots=True)
class SerialLine:
    """A serial port's settings."""

    port: str  # device path
    baud: int = 9600
    bits: int = 8
    parity: str = "N"  # N, E or O
    stop_bits: int = 1


@dataclass(frozen=True, slots=True)
class TcpPeer:
    """A TCP peer's address."""

    host: str
    port: int


@dataclass(frozen=True, slots=True)
class BusConfig:
    """One physical channel as the site file describes it."""

    id: str
    driver: str  # key of DRIVERS: modbus, serial_line, computed
    link: SerialLine | TcpPeer | None  # None for computed
    framing: str = "tcp"  # modbus: tcp, rtu or rtu_over_tcp
    label: str = ""
    word_order: WordOrder | None = None  # overrides the profiles'
    timeout_s: float = 1.0  # until a request counts as unanswered
    quiet_max_s: float = 2.0  # cap of the quiet window after a timeout
    gap_s: float = 0.0  # extra silence between two requests
    max_gap: int | None = None  # registers read along at most; None = by link speed
    retry_min_s: float = 1.0  # first pause before a dead unit or channel is tried again
    retry_max_s: float = 60.0


@dataclass(frozen=True, slots=True)
class BusUnit:
    """One device on a bus: which profile answers under which unit address."""

    device_id: str
    unit: int
    profile: Profile
    control: bool


# --- computed points --------------------------------------------------------------------------------


class Function(StrEnum):
    """How a computed point comes from its inputs."""

    AVERAGE = "average"
    TOTAL = "total"
    MINIMUM = "minimum"
    MAXIMUM = "maximum"


@dataclass(frozen=True, slots=True)
class ComputedPoint:
    """A point of a computed device: a function over points of other devices, all of one unit."""

    point: str
    function: Function
    inputs: tuple[tuple[str, str], ...]  # (device id, point id)
