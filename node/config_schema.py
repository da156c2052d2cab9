"""The site file as pydantic models: what each key may hold. Meaning across keys is `config.py`'s.

Every description here is the one line that editors and docs/site-file.md show.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Annotated, Any, Final, Literal

from pydantic import BaseModel, BeforeValidator, ConfigDict, Field, WithJsonSchema

from address_space.model import DeviceClass
from drivers.duration import duration_s
from drivers.profile_schema import RecordEntry
from drivers.spec import Function, WordOrder
from node.historian.store.retention_rule import WhenFull
from node.server.security.revocation import RevocationRule
from node.sinks.influx_config import Api
from node.site import LogFormat

SITE_ID: Final = r"^[a-z0-9_-]+$"
NAME: Final = r"^[A-Za-z][A-Za-z0-9_]*$"
ENVIRONMENT: Final = r"^[A-Za-z_][A-Za-z0-9_]*$"
LEVELS: Final = ("debug", "info", "warning", "error", "critical")
_MAX_NAME: Final = 64
_SIZE: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(kB|MB|GB|TB)")
_BYTES: Final = {"kB": 1_000, "MB": 1_000_000, "GB": 1_000_000_000, "TB": 1_000_000_000_000}


def _positive_duration(value: object) -> float:
    seconds = duration_s(value)
    if seconds <= 0:
        raise ValueError("must be longer than 0 s")
    return seconds


def _pair(value: object) -> tuple[float, float]:
    numbers = [one for one in value if isinstance(one, int | float)] if isinstance(value, list) else []
    if not isinstance(value, list) or len(value) != 2 or len(numbers) != 2 or any(isinstance(n, bool) for n in numbers):
        raise ValueError("must be two numbers: [low, high]")
    if not numbers[0] < numbers[1]:
        raise ValueError(f"the first number must be less than the second; they are {numbers[0]:g} and {numbers[1]:g}")
    return (float(numbers[0]), float(numbers[1]))


def _scalar(value: object) -> object:
    if isinstance(value, bool | int | float | str):
        return value
    raise ValueError("must be a number, a word, true or false")


def _level(value: object) -> object:
    if isinstance(value, str) and value.lower() in LEVELS:
        return value.upper()
    raise ValueError(f"must be {', '.join(LEVELS[:-1])} or {LEVELS[-1]}; it is {value!r}")


def _size(value: object) -> int:
    match = _SIZE.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        raise ValueError(f"{value!r} is no size; write it with its unit: 500MB, 4GB")
    return int(float(match[1]) * _BYTES[match[2]])


def _schema(**schema: Any) -> WithJsonSchema:
    return WithJsonSchema(schema)


_DURATION_SCHEMA: Final = _schema(type="string", pattern=r"^\d+(\.\d+)?\s*(ms|s|min|m|h|d)$")
Duration = Annotated[float, BeforeValidator(_positive_duration), _DURATION_SCHEMA]
Pause = Annotated[float, BeforeValidator(duration_s), _DURATION_SCHEMA]  # may be 0s
Pair = Annotated[
    tuple[float, float],
    BeforeValidator(_pair),
    _schema(type="array", items={"type": "number"}, minItems=2, maxItems=2),
]
Size = Annotated[int, BeforeValidator(_size), _schema(type="string", pattern=f"^{_SIZE.pattern}$")]
Level = Annotated[str, BeforeValidator(_level), _schema(type="string", enum=list(LEVELS))]
Scalar = Annotated[Any, BeforeValidator(_scalar), _schema(type=["number", "string", "boolean"])]
Text = Annotated[str, Field(strict=True)]
Word = Annotated[str, Field(strict=True, min_length=1)]
Name = Annotated[str, Field(strict=True, pattern=NAME, max_length=_MAX_NAME)]
EnvironmentName = Annotated[str, Field(strict=True, pattern=ENVIRONMENT, max_length=_MAX_NAME)]
PointId = Annotated[str, Field(strict=True, pattern=r"^[a-z][a-z0-9]*(_[a-z0-9]+)*$", max_length=_MAX_NAME)]
Flag = Annotated[bool, Field(strict=True)]
Whole = Annotated[int, Field(strict=True)]


class _Strict(BaseModel):
    model_config = ConfigDict(extra="forbid", frozen=True)


class SecurityEntry(_Strict):
    """What clients may do without a certificate or a name; closed unless the site opens it."""

    none: Flag = Field(False, description="Offer endpoints without encryption (SecurityPolicy None).")
    anonymous: Flag = Field(False, description="Let clients in without a user, as Observer.")
    allow_insecure: Flag = Field(
        False, description="Allow `none` and `anonymous` on an address that other machines can reach."
    )
    revocation: RevocationRule = Field(
        RevocationRule.CURRENT,
        description="CAs' lists: required, current (may be missing, not outdated) or lenient (outdated ones count).",
    )


def _count(default: int, low: int, high: int, text: str) -> Any:
    return Field(default, ge=low, le=high, description=text)


class LimitsEntry(_Strict):
    """How much clients may ask; what is out of a bound is refused or brought to it."""

    message_size: Whole = _count(2_097_152, 65_535, 16_777_216, "Longest request, in bytes.")
    message_chunks: Whole = _count(64, 4, 4_096, "Chunks of a request.")
    connections: Whole = _count(200, 1, 10_000, "Connections of all clients.")
    connections_per_client: Whole = _count(100, 1, 10_000, "Connections from one address.")
    sessions: Whole = _count(100, 1, 10_000, "Sessions of all clients.")
    session_timeout_min: Duration = Field(10.0, description="Shortest time after which an unused session ends.")
    session_timeout_max: Duration = Field(3600.0, description="Longest time after which an unused session ends.")
    channel_lifetime_min: Duration = Field(10.0, description="Shortest time until a channel needs new keys.")
    channel_lifetime_max: Duration = Field(3600.0, description="Longest time until a channel needs new keys.")
    subscriptions: Whole = _count(1_000, 1, 100_000, "Subscriptions of all sessions.")
    subscriptions_per_session: Whole = _count(50, 1, 1_000, "Subscriptions of a session.")
    items_per_subscription: Whole = _count(20_000, 1, 1_000_000, "Monitored items of a subscription.")
    items_per_session: Whole = _count(100_000, 1, 10_000_000, "Monitored items of a session.")
    items: Whole = _count(500_000, 1, 10_000_000, "Monitored items of all sessions.")
    queue_size: Whole = _count(1_000, 1, 100_000, "Values that wait in a monitored item.")
    queued_values: Whole = _count(
        1_000_000, 1, 100_000_000, "Values that wait in all of them; queues are shorter when there are more."
    )
    publishing_interval_min: Duration = Field(0.05, description="Shortest publishing interval.")
    publishing_interval_max: Duration = Field(3600.0, description="Longest publishing interval.")
    sampling_interval_min: Duration = Field(0.05, description="Shortest sampling interval beside 0, each poll.")
    sampling_interval_max: Duration = Field(3600.0, description="Longest sampling interval.")
    operations: Whole = _count(10_000, 1, 100_000, "Nodes or items of a request.")
    browse_operations: Whole = _count(2_000, 1, 100_000, "Nodes of a Browse.")
    write_operations: Whole = _count(1_000, 1, 100_000, "Settings of a Write.")
    call_operations: Whole = _count(100, 1, 10_000, "Methods of a Call, nodes of a HistoryRead.")


class ServerEntry(_Strict):
    """The OPC UA server."""

    listen: Word = Field(
        "0.0.0.0:4840",
        description="Address and port: 0.0.0.0:4840, 127.0.0.1:4840, localhost:4840, [::]:4840.",
    )
    names: tuple[Word, ...] = Field((), description="Host names and addresses by which clients reach this machine.")
    security: SecurityEntry = Field(SecurityEntry(), description="What clients may do without certificate or name.")
    answer_within: Duration = Field(3.0, description="A command answers by then; its confirmation goes on.")
    limits: LimitsEntry = Field(LimitsEntry(), description="How much clients may ask.")


class LoggingEntry(_Strict):
    """How and how much the node logs."""

    format: LogFormat = Field(LogFormat.TEXT, description="text, or json for one JSON object a line.")
    level: Level = Field("INFO", description="Least level that is logged: debug, info, warning, error, critical.")
    levels: dict[Word, Level] = Field(
        {}, description="Level of single parts and what is below them: drivers.bus, node.server, asyncua."
    )


class HistoryEntry(_Strict):
    """The local journal."""

    enabled: Flag = Field(True, description="Record the historized points.")
    commit_interval: Duration | None = Field(
        None, description="Samples reach the disk at least so often, up to 60s; by default 1s, on an SD card 5s."
    )
    sd_card: Flag = Field(False, description="Write less often and in larger pieces, which wears a card out less.")
    record: RecordEntry | None = Field(
        None, description="Recording of points that have no rule of their own; by default `{heartbeat: 10m}`."
    )
    max_age: Duration | None = Field(None, description="What is older may go; without it only space is a limit.")
    max_size: Size | None = Field(
        None, description="Bytes on disk; by default 4GB, or a fifth of the free space if that is less."
    )
    min_free: Size | None = Field(
        None, description="Free space left to others; by default 512MB, or a tenth of a small partition."
    )
    when_full: WhenFull = Field(WhenFull.KEEP_NEW, description="keep_new deletes the oldest; keep_old stops recording.")


class SimulateEntry(_Strict):
    """Simulators in place of the plant."""

    enabled: Flag = Field(False, description="`gridnode run` starts a simulator for each bus, at the bus's address.")
    seed: Annotated[int, Field(strict=True, ge=0, description="The same seed gives the same plant.")] = 1


class SerialEntry(_Strict):
    """A serial port."""

    port: Word = Field(description="Device path; a relative one starts at the site file's folder.")
    baud: Annotated[int, Field(strict=True, ge=300, le=4_000_000, description="Bits per second.")] = 9600
    framing: Annotated[
        str, Field(strict=True, pattern=r"^[78][NEO][12]$", description="Data bits, parity, stop bits: 8N1, 8E1, 8N2.")
    ] = "8N1"


class BusEntry(_Strict):
    """One physical channel; exactly one of `tcp`, `serial`, `rtu_over_tcp`."""

    driver: Literal["modbus", "serial_line"] = Field(description="modbus, or serial_line for serial collectors.")
    label: Text = Field("", description="Name for people.")
    tcp: Word | None = Field(None, description="Modbus TCP: host:port of the device or gateway.")
    rtu_over_tcp: Word | None = Field(None, description="Modbus RTU frames in a TCP connection: host:port.")
    serial: SerialEntry | None = Field(None, description="Serial port.")
    word_order: WordOrder | None = Field(
        None, description="Which word of a long value comes first, big or little, in place of the profiles'."
    )
    timeout: Duration = Field(1.0, description="Until a request counts as unanswered, up to 60s.")
    quiet_max: Duration = Field(
        2.0, description="Longest silence kept after a lost answer, and before an RTU line is first used."
    )
    gap: Pause = Field(0.0, description="Silence between two requests.")
    max_gap: Annotated[int, Field(strict=True, ge=0, le=124)] | None = Field(
        None, description="Unused registers read along at most; by default as the speed of the channel suggests."
    )
    retry_min: Duration = Field(1.0, description="First pause before a dead device is tried again.")
    retry_max: Duration = Field(60.0, description="Longest pause before a dead device is tried again.")


class SinkEntry(_Strict):
    """One InfluxDB that gets the journal."""

    type: Literal["influx"] = Field(description="influx: InfluxDB 1.x, 2.x, 3.x, or VictoriaMetrics.")
    label: Text = Field("", description="Name for people.")
    url: Word = Field(description="http://host:port or https://host:port, with a path where a proxy wants one.")
    bucket: Word = Field(description="Bucket; for 1.x the database, or database/retention policy.")
    org: Text = Field("", description="Organization of the bucket, for 2.x.")
    api: Api = Field(Api.AUTO, description="auto asks the server; v1 writes to /write, v2 to /api/v2/write.")
    token_file: Word | None = Field(None, description="File with the token, of mode 0600.")
    token_env: EnvironmentName | None = Field(None, description="Environment variable with the token.")
    user: Text = Field("", description="User, for 1.x with authentication.")
    password_file: Word | None = Field(None, description="File with the user's password, of mode 0600.")
    password_env: EnvironmentName | None = Field(None, description="Environment variable with the user's password.")
    ca_file: Word | None = Field(
        None, description="CAs that the server's certificate is checked with; else the system's."
    )
    timeout: Duration = Field(30.0, description="Until a request counts as unanswered, up to 5m.")
    gzip: Flag = Field(True, description="Compress what is sent.")
    batch_lines: Whole = _count(5_000, 1, 10_000, "Samples of a request.")
    batch_size: Whole = _count(2_000_000, 100_000, 10_000_000, "Bytes of a request, before compression.")
    replay_rate: Whole | None = Field(
        50_000, ge=0, description="Samples a second of what has queued up; 0 (or null) is no limit."
    )
    read_back: Flag = Field(False, description="Read history from here that is older than the journal.")


class PointOverride(_Strict):
    """What one device's point has in place of its profile's."""

    label: Word | None = Field(None, description="Name for people.")
    description: Word | None = Field(None, description="What it is.")
    historize: Flag | None = Field(None, description="Record it in the journal.")
    range: Pair | None = Field(None, description="[low, high], shown to clients as EURange.")
    stale_after: Duration | None = Field(None, description="Age at which Good turns Uncertain.")
    bad_after: Duration | None = Field(None, description="Age at which it turns Bad.")
    record: RecordEntry | None = Field(
        None, description="Which of its samples are recorded, in place of the profile's."
    )


class ComputedEntry(_Strict):
    """One computed point: exactly one function with its inputs."""

    average: tuple[Word, ...] | None = Field(None, description="Mean of the points: [xw1.ac_power, xw2.ac_power].")
    total: tuple[Word, ...] | None = Field(None, description="Sum of the points.")
    minimum: tuple[Word, ...] | None = Field(None, description="Smallest of the points.")
    maximum: tuple[Word, ...] | None = Field(None, description="Largest of the points.")
    label: Word | None = Field(None, description="Name for people.")
    description: Word | None = Field(None, description="What it is.")
    range: Pair | None = Field(None, description="[low, high] in the unit of the inputs.")
    historize: Flag = Field(True, description="Record it in the journal.")
    record: RecordEntry | None = Field(None, description="Which of its samples are recorded.")

    @property
    def functions(self) -> Mapping[Function, tuple[str, ...]]:
        """The functions that are given; one when the entry is right."""
        given = {function: getattr(self, function.value) for function in Function}
        return {function: inputs for function, inputs in given.items() if inputs is not None}


class DeviceEntry(_Strict):
    """One device: a profile on a bus, or a class with computed points."""

    profile: Word | None = Field(None, description="Id of a shipped profile, or path of a file beside the site file.")
    bus: Word | None = Field(None, description="Id of its bus.")
    unit: Whole | None = Field(None, description="Modbus unit: 1 to 247, on tcp also 0 and 255; 1 by default.")
    control: Flag = Field(False, description="Only with true are commands and settings accepted.")
    label: Text = Field("", description="Name for people.")
    description: Text = Field("", description="What it is and where it stands.")
    serial_number: Text = Field("", description="Shown to clients.")
    hardware_revision: Text = Field("", description="Shown to clients.")
    software_revision: Text = Field("", description="Shown to clients.")
    parameters: dict[Word, Scalar] = Field({}, description="Values that the profile asks the site for.")
    points: dict[PointId, PointOverride] = Field({}, description="What single points have in place of the profile's.")
    device_class: Literal["inverter", "fuel_cell", "battery", "meter", "pv", "tank", "sensor", "generic"] | None = (
        Field(None, alias="class", description="Class of a device with computed points; generic by default.")
    )
    computed: dict[PointId, ComputedEntry] = Field({}, description="Points computed from those of other devices.")

    @property
    def as_class(self) -> DeviceClass:
        """The class of a computed device."""
        return DeviceClass(self.device_class or DeviceClass.GENERIC)


class SiteFile(_Strict):
    """A whole site file."""

    site: Annotated[
        str,
        Field(
            strict=True,
            pattern=SITE_ID,
            max_length=_MAX_NAME,
            description="Short id, of a-z, 0-9, _ and -; it is part of every NodeId's namespace: never change it.",
        ),
    ]
    label: Text = Field("", description="Name for people.")
    state: Word = Field("state", description="Folder of keys, users and journal, from the site file's folder.")
    pki: Word | None = Field(None, description="Folder of the certificates; by default pki in the state folder.")
    server: ServerEntry = Field(ServerEntry(), description="The OPC UA server.")
    logging: LoggingEntry = Field(LoggingEntry(), description="How and how much the node logs.")
    history: HistoryEntry = Field(HistoryEntry(), description="The local journal.")
    simulate: SimulateEntry = Field(SimulateEntry(), description="Simulators in place of the plant.")
    sinks: dict[Name, SinkEntry] = Field({}, description="Where the journal is forwarded to, by id.")
    buses: dict[Name, BusEntry] = Field({}, description="Physical channels by id.")
    devices: Annotated[dict[Name, DeviceEntry], Field(min_length=1, description="Devices by id.")]


def json_schema() -> dict[str, Any]:
    """JSON Schema of a site file, for editors."""
    schema = SiteFile.model_json_schema(by_alias=True)
    schema["$schema"] = "https://json-schema.org/draft/2020-12/schema"
    schema["title"] = "gridnode site"
    return schema
