"""The profile file as pydantic models: what each key may hold. Meaning across keys is lint.py's and profile_build.py's.

Numbers stand for engineering values unless a key says raw. Unknown keys are errors. Parameters of the site (`$name`)
are replaced before these models see the data.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, ValidationError, WithJsonSchema, model_validator

from address_space.model import DeviceClass, FunctionalGroup, PointKind, RecordingRule
from drivers.duration import DURATION, duration_s
from drivers.spec import RawType, Table, WordOrder

SCHEMA_ID: Final = "gridnode/profile@1"
PROVENANCE: Final = ("guessed", "documented", "simulated", "hardware")
PARAMETER_REFERENCE: Final = re.compile(r"\$[a-z][a-z0-9_]*")

_PERCENT: Final = re.compile(r"(\d+(?:\.\d+)?)\s*%")
# Rules by the clock are looked at so often at most.
_SHORTEST_S: Final = 0.1

POINT_ID: Final = r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$"
COMMAND_ID: Final = r"^([A-Z][a-z0-9]*)+$"
TABLE_ID: Final = r"^[A-Z][A-Za-z0-9]*$"
PARAMETER_ID: Final = r"^[a-z][a-z0-9_]*$"
PROFILE_ID: Final = r"^[a-z0-9_]+(\.[a-z0-9_]+)+$"
VERSION: Final = r"^\d+\.\d+\.\d+$"
INDEX: Final = r"^[A-Za-z0-9]+$"

Scalar = bool | int | float | str


# --- values that people write in more than one way -----------------------------------------------------


def _period(value: object) -> float | None:
    if value == "start":
        return None
    seconds = duration_s(value)
    if seconds <= 0:
        raise ValueError("a period must be longer than 0 s, or `start` for once after each connect")
    return seconds


def _is_whole(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool)


def _is_number(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool)


def _scalar(value: object) -> object:
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("must be a number, a word, true or false")


def _addresses(value: Any) -> tuple[int, ...]:
    many = value if isinstance(value, list) else [value]
    if not many or not all(_is_whole(one) and 0 <= one <= 0xFFFF for one in many):
        raise ValueError("must be an address from 0 to 65535 as on the wire, or a list of them with `index`")
    return tuple(many)


def _pair(value: Any) -> tuple[float, float]:
    if not (isinstance(value, list) and len(value) == 2 and all(_is_number(one) for one in value)):
        raise ValueError("must be two numbers: [low, high]")
    if not value[0] < value[1]:
        raise ValueError(f"the first number must be less than the second; they are {value[0]:g} and {value[1]:g}")
    return (float(value[0]), float(value[1]))


def _line(value: Any) -> tuple[tuple[float, float], tuple[float, float]]:
    ok = isinstance(value, list) and len(value) == 2
    if not (ok and all(isinstance(p, list) and len(p) == 2 and all(_is_number(n) for n in p) for p in value)):
        raise ValueError("must be two points: [[raw, value], [raw, value]]")
    first, second = value
    return ((float(first[0]), float(first[1])), (float(second[0]), float(second[1])))


def _bits(value: Any) -> tuple[int, int]:
    if _is_whole(value):
        value = [value, value]
    if not (isinstance(value, list) and len(value) == 2 and all(_is_whole(b) for b in value) and value[0] <= value[1]):
        raise ValueError("must be one bit number or [lowest, highest], 0 is the least significant")
    return (value[0], value[1])


def _text_name(value: object) -> object:
    return {"name": value} if isinstance(value, str) else value


def _enum(value: object) -> object:
    if isinstance(value, str | Mapping):
        return value
    raise ValueError("must be the name of a table under `enumerations`, or the table itself: {0: Off, 1: On}")


def _deadband(value: object) -> float | str:
    if isinstance(value, str) and (match := _PERCENT.fullmatch(value)) is not None and 0 < float(match[1]) <= 100:
        return f"{float(match[1])}%"
    if isinstance(value, int | float) and not isinstance(value, bool) and 0 < value < float("inf"):
        return float(value)
    raise ValueError(f"must be a number above 0 in the point's unit, or a part of its range, 0.5%; it is {value!r}")


def _interval(value: object) -> float:
    seconds = duration_s(value)
    if seconds < _SHORTEST_S:
        raise ValueError(f"must be at least {_SHORTEST_S * 1000:.0f}ms")
    return seconds


def _schema(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


_NUMBER: Final = {"type": "number"}
_ANY_SCALAR: Final = {"type": ["number", "string", "boolean"]}
Number = Annotated[float, Field(strict=True, allow_inf_nan=True)]
Duration = Annotated[float, BeforeValidator(duration_s), _schema(type="string", pattern=f"^{DURATION.pattern}$")]
Period = Annotated[float | None, BeforeValidator(_period), _schema(type="string", description="1s, 100ms, or start")]
Interval = Annotated[float, BeforeValidator(_interval), _schema(type="string", pattern=f"^{DURATION.pattern}$")]
Deadband = Annotated[
    Any,
    BeforeValidator(_deadband),
    _schema(anyOf=[{"type": "number", "exclusiveMinimum": 0}, {"type": "string", "pattern": f"^{_PERCENT.pattern}$"}]),
]
AnyScalar = Annotated[Any, BeforeValidator(_scalar), _schema(**_ANY_SCALAR)]
Addresses = Annotated[
    tuple[int, ...],
    BeforeValidator(_addresses),
    _schema(anyOf=[{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]),
]
Pair = Annotated[
    tuple[float, float], BeforeValidator(_pair), _schema(type="array", items=_NUMBER, minItems=2, maxItems=2)
]
Line = Annotated[
    tuple[tuple[float, float], tuple[float, float]],
    BeforeValidator(_line),
    _schema(type="array", items={"type": "array", "items": _NUMBER, "minItems": 2, "maxItems": 2}),
]
Bits = Annotated[
    tuple[int, int],
    BeforeValidator(_bits),
    _schema(anyOf=[{"type": "integer"}, {"type": "array", "items": {"type": "integer"}}]),
]
PointId = Annotated[str, Field(strict=True, pattern=POINT_ID)]
Text = Annotated[str, Field(strict=True, min_length=1)]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


# --- head of the file ------------------------------------------------------------------------------------


class DeviceEntry(_Strict):
    """What the profile describes."""

    device_class: Literal["inverter", "fuel_cell", "battery", "meter", "pv", "tank", "sensor", "generic"] = Field(
        alias="class"
    )
    manufacturer: Annotated[str, Field(strict=True)] = ""
    model: Text
    models: tuple[Text, ...] = ()  # product names that it fits; `model` when empty
    description: Annotated[str, Field(strict=True)] = ""

    @property
    def as_class(self) -> DeviceClass:
        """The class as the model names it."""
        return DeviceClass(self.device_class)


class ProvenanceEntry(_Strict):
    """Where the facts come from and how far they were tried."""

    level: Literal["guessed", "documented", "simulated", "hardware"]
    sources: Annotated[tuple[Text, ...], Field(min_length=1)]
    note: Annotated[str, Field(strict=True)] = ""


class ModbusEntry(_Strict):
    """What the device bears on the wire."""

    word_order: WordOrder = WordOrder.BIG
    max_read: Annotated[int, Field(strict=True, ge=1, le=125)] = 125
    max_write: Annotated[int, Field(strict=True, ge=1, le=123)] = 123
    max_gap: Annotated[int, Field(strict=True, ge=0, le=124)] | None = None
    barriers: tuple[Annotated[int, Field(strict=True, ge=1, le=0xFFFF)], ...] = ()
    align: Annotated[int, Field(strict=True, ge=1, le=16)] = 1
    min_interval: Duration = 0.0
    write_single: Flag = True


class ParameterEntry(_Strict):
    """A value that the site file sets; `$name` stands for it anywhere else in the profile."""

    type: Literal["number", "integer", "flag", "text", "duration"]
    default: AnyScalar
    range: Pair | None = None
    unit: Text | None = None
    description: Text


class MemberEntry(_Strict):
    """One state of an enumeration."""

    name: Text
    description: Annotated[str, Field(strict=True)] = ""


Member = Annotated[
    MemberEntry,
    BeforeValidator(_text_name),
    _schema(anyOf=[{"type": "string"}, {"type": "object"}]),
]
Members = Annotated[dict[Whole, Member], Field(min_length=1)]


# --- points ------------------------------------------------------------------------------------------------


class WriteEntry(_Strict):
    """How a point is written as a setting."""

    min: Number | None = None  # both or none; by default the point's range
    max: Number | None = None
    tolerance: Annotated[float, Field(strict=True, ge=0)] | None = None  # by default half a step of the raw value
    within: Duration = 5.0  # until the read-back must show the value
    storage: Literal["volatile", "persistent"]


class DefaultsEntry(_Strict):
    """What points have that do not say otherwise; `sentinels` only count for points of the default type."""

    type: RawType | None = None
    group: Text | None = None
    table: Table | None = None
    word_order: WordOrder | None = None
    sentinels: tuple[Number, ...] | None = None
    historize: Flag | None = None
    write: WriteEntry | None = None  # of points with access rw or w, key by key


class RecordEntry(_Strict):
    """Which samples of a point go to the journal; those whose quality changed always do."""

    on_change: Annotated[bool, Field(strict=True)] | None = Field(
        None, description="Record changes of the value; by default unless `every` stands without `deadband`."
    )
    deadband: Deadband | None = Field(
        None, description="Least change that counts: 0.5 in the point's unit, or 1% of its range."
    )
    every: Interval | None = Field(None, description="Record the newest answer at this rate.")
    heartbeat: Interval | None = Field(
        None, description="Record an unchanged answer when nothing was recorded for so long."
    )

    @model_validator(mode="after")
    def _makes_sense(self) -> RecordEntry:
        if self.on_change is False and self.every is None:
            raise ValueError("records nothing: on_change: false needs `every`")
        if self.on_change is False and self.deadband is not None:
            raise ValueError("a deadband is for changes, and on_change: false records none")
        return self

    @property
    def rule(self) -> RecordingRule:
        """As the model has it."""
        on_change = self.on_change if self.on_change is not None else self.every is None or self.deadband is not None
        percent = isinstance(self.deadband, str)
        deadband = float(str(self.deadband).removesuffix("%")) if self.deadband is not None else 0.0
        return RecordingRule(on_change, deadband, percent, self.every, self.heartbeat)


class PointEntry(_Strict):
    """One point, or with `index` several of a kind."""

    addr: Addresses | None = None
    index: tuple[Annotated[str, Field(strict=True, pattern=INDEX)], ...] = ()
    words: tuple[Annotated[int, Field(strict=True, ge=0, le=0xFFFF)], ...] = ()
    table: Table = Table.HOLDING
    type: RawType | None = None
    registers: Annotated[int, Field(strict=True, ge=1, le=125)] | None = None
    word_order: WordOrder | None = None
    byte_swap: Flag = False
    quantity: Literal["raw", "voltage", "current", "power"] | None = None
    scale: Number = 1.0
    offset: Number = 0.0
    linear: Line | None = None
    map: dict[Whole, AnyScalar] | None = None
    scale_from: Text | None = None
    bits: Bits | None = None
    sentinels: tuple[Number, ...] = ()
    below: Number | None = None
    above: Number | None = None
    kind: PointKind | None = None
    unit: Text | None = None
    range: Pair | None = None
    enum: Annotated[Any, BeforeValidator(_enum), _schema(anyOf=[{"type": "string"}, {"type": "object"}])] = None
    access: Literal["r", "rw", "w", "command"] = "r"
    write: WriteEntry | None = None
    group: Text | None = None
    functional_group: FunctionalGroup | None = None
    label: Text | None = None
    description: Text | None = None
    historize: Flag | None = None
    record: RecordEntry | None = None


# --- commands ----------------------------------------------------------------------------------------------


class InputEntry(_Strict):
    """One input of a command; for a command of the class only what the class leaves open."""

    type: Literal["number", "integer", "flag", "text"] | None = None
    unit: Text | None = None
    range: Pair | None = None
    enum: Annotated[Any, BeforeValidator(_enum), _schema(anyOf=[{"type": "string"}, {"type": "object"}])] = None
    description: Text | None = None


class ConditionEntry(_Strict):
    """A statement about one point; exactly one comparison."""

    point: Text
    eq: AnyScalar = None
    ne: AnyScalar = None
    is_in: tuple[AnyScalar, ...] | None = Field(None, alias="in", min_length=1)
    not_in: tuple[AnyScalar, ...] | None = Field(None, min_length=1)
    ge: AnyScalar = None
    le: AnyScalar = None
    tolerance: Annotated[float, Field(strict=True, ge=0)] = 0.0
    otherwise: Text | None = Field(None, alias="else")


class SetEntry(_Strict):
    """Write one point."""

    set: Text
    to: AnyScalar


class StepEntry(_Strict):
    """Write one point (`set`, `to`) or run another command (`run`); only with `when` true."""

    set: Text | None = None
    to: AnyScalar = None
    run: Text | None = None
    when: Flag = True


class ConfirmEntry(_Strict):
    """What proves the command."""

    all: Annotated[tuple[ConditionEntry, ...], Field(min_length=1)]
    within: Duration
    every: Duration = 0.5


class KeepAliveEntry(_Strict):
    """What is rewritten while the command stands."""

    every: Duration
    writes: Annotated[tuple[SetEntry, ...], Field(min_length=1)]
    until: tuple[ConditionEntry, ...] = ()
    ended_by: tuple[Text, ...] = ()
    farewell: tuple[SetEntry, ...] = ()


class CommandEntry(_Strict):
    """One command and how it is carried out."""

    label: Text | None = None
    description: Text | None = None
    inputs: dict[Annotated[str, Field(strict=True, pattern=PARAMETER_ID)], InputEntry] = {}
    requires: tuple[ConditionEntry, ...] = ()
    steps: tuple[StepEntry, ...] = ()
    confirm: ConfirmEntry | None = None
    keep_alive: KeepAliveEntry | None = None
    dispatch: dict[Whole, Text] = {}
    emergency: Flag = False


# --- the rest --------------------------------------------------------------------------------------------


class IdentifyEntry(_Strict):
    """A point that must answer, and what it must be."""

    point: Text
    one_of: tuple[AnyScalar, ...] = ()
    between: Pair | None = None


class LinkEntry(_Strict):
    """Simulation: what a write brings about."""

    on_write: Text
    eq: AnyScalar = None
    after: Duration = 0.0
    set: Annotated[dict[Text, AnyScalar], Field(min_length=1)]


class SimulateEntry(_Strict):
    """How the simulator plays the device."""

    physics: Annotated[str, Field(strict=True)] = ""
    options: dict[Text, Number] = {}
    initial: dict[Text, AnyScalar] = {}
    links: tuple[LinkEntry, ...] = ()


class ProfileFile(_Strict):
    """A whole profile file."""

    schema_id: Literal["gridnode/profile@1"] = Field(alias="schema")
    id: Annotated[str, Field(strict=True, pattern=PROFILE_ID)]
    version: Annotated[str, Field(strict=True, pattern=VERSION)]
    device: DeviceEntry
    provenance: ProvenanceEntry
    protocol: Literal["modbus", "serial_line"]
    modbus: ModbusEntry = ModbusEntry()
    parameters: dict[Annotated[str, Field(strict=True, pattern=PARAMETER_ID)], ParameterEntry] = {}
    enumerations: dict[Annotated[str, Field(strict=True, pattern=TABLE_ID)], Members] = {}
    groups: dict[Text, Period] = {}
    defaults: DefaultsEntry = DefaultsEntry()
    points: dict[PointId, PointEntry] = {}
    identify: tuple[IdentifyEntry, ...] = ()
    presence: Text | None = None
    commands: dict[Annotated[str, Field(strict=True, pattern=COMMAND_ID)], CommandEntry] = {}
    simulate: SimulateEntry | None = None


# --- what leaves this file -------------------------------------------------------------------------------

# pydantic's error types in the words of this project; the rest keeps pydantic's own sentence.
_SENTENCES: Final[Mapping[str, str]] = {
    "extra_forbidden": "is not known here",
    "missing": "is missing",
    "string_type": "must be a text",
    "int_type": "must be a whole number",
    "float_type": "must be a number",
    "bool_type": "must be true or false",
    "dict_type": "must be a mapping of keys to values",
    "model_type": "must be a mapping of keys to values",
    "model_attributes_type": "must be a mapping of keys to values",
    "tuple_type": "must be a list",
    "string_too_short": "must not be empty",
}


_AMOUNT: Final = re.compile(r"at (least|most) (\d+) item")
# What a pattern of the models above asks for.
_WRITTEN_AS: Final[Mapping[str, str]] = {
    POINT_ID: "must be a point id: lower-case words joined by _, for example ac_power",
    COMMAND_ID: "must be a command id: capitalised words without anything between them, for example StartSell",
    TABLE_ID: "must be the name of an enumeration: letters and digits, the first a capital",
    PARAMETER_ID: "must have lower-case letters, digits and _, the first a letter",
    PROFILE_ID: "must be two or more words of a-z, 0-9 and _ with dots between them, for example acme.flow1",
    VERSION: "must be a version of three numbers: 1.0.0",
    INDEX: "must have letters and digits only",
}


def parameter(raw: object) -> ParameterEntry | None:
    """A declared parameter; None when it is wrong, which the check of the whole file says."""
    try:
        return ParameterEntry.model_validate(raw)
    except ValidationError:
        return None


def sentence(kind: str, message: str, given: object) -> str:
    """One error of pydantic as a sentence that says what is allowed."""
    if kind == "value_error":
        return message.removeprefix("Value error, ")
    text = _SENTENCES.get(kind)
    if text is not None:
        return text
    amount = _AMOUNT.search(message)
    if kind in ("too_short", "too_long") and amount is not None:
        return f"must have at {amount[1]} {amount[2]} {'entry' if amount[2] == '1' else 'entries'}"
    if kind == "string_pattern_mismatch":
        pattern = message.partition("'")[2].removesuffix("'")
        return f"{_WRITTEN_AS.get(pattern, f'must match {pattern}')}; it is {given!r}"
    shown = f"; it is {given!r}" if isinstance(given, str | int | float | bool) else ""
    message = message[:1].lower() + message[1:]
    return f"{message.replace('input should', 'must').replace('string should', 'must')}{shown}"


def json_schema() -> dict[str, Any]:
    """JSON Schema of a profile file for editors; `$parameter` is allowed wherever a number or a flag is."""
    schema = ProfileFile.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "gridnode profile"
    for name, part in schema["$defs"].items():
        if name != "ParameterEntry":
            _allow_parameters(part)
    return schema


def _allow_parameters(node: Any) -> None:
    if isinstance(node, list):
        for item in node:
            _allow_parameters(item)
    elif isinstance(node, dict):
        for key, item in list(node.items()):
            _allow_parameters(item)
            if isinstance(item, dict) and item.get("type") in ("number", "integer", "boolean"):
                node[key] = {"anyOf": [item, {"type": "string", "pattern": f"^{PARAMETER_REFERENCE.pattern}$"}]}
