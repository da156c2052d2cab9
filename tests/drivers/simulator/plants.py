"""Profiles by hand for tests of simulator and serial line: small ones, one per behaviour."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from address_space.classes import CLASSES, SYSTEM_POINTS
from address_space.model import (
    DataType,
    Device,
    DeviceClass,
    Enumeration,
    EnumMember,
    Point,
    PointKind,
    Range,
    Value,
    device_model,
)
from drivers.spec import (
    BitField,
    BusUnit,
    LineSource,
    Link,
    ModbusLimits,
    PollGroup,
    Profile,
    RawType,
    RegisterSource,
    SettingSpec,
    Simulation,
    Source,
    Table,
)

WIDTHS = {
    RawType.U32: 2, RawType.I32: 2, RawType.F32: 2, RawType.BITS32: 2,
    RawType.U64: 4, RawType.I64: 4, RawType.F64: 4, RawType.BITS64: 4,
}  # fmt: skip
RAW_STATE = Enumeration("RawState", tuple(EnumMember(code, str(code)) for code in (1025, 1028, 1032, 1034, 1036)))


def at(
    address: int, type_: RawType = RawType.U16, *, registers: int = 0, table: Table = Table.HOLDING, **more: object
) -> RegisterSource:
    """A source; `more` are fields of RegisterSource."""
    plain = RegisterSource(table, address, type_, registers or WIDTHS.get(type_, 1))
    return replace(plain, **more)  # type: ignore[arg-type]


def own(point_id: str, data_type: DataType = DataType.UINT16, *, writable: bool = False, text: bool = False) -> Point:
    """A point that no class declares."""
    kind = PointKind.DATA if text or writable is False else PointKind.ANALOG
    return Point(
        point_id, point_id, f"{point_id}.", DataType.STRING if text else data_type, kind,
        range=Range(0, 65535) if writable else None, writable=writable,
    )  # fmt: skip


def profile(
    profile_id: str,
    device_class: DeviceClass,
    sources: Mapping[str, Source],
    *,
    extra: tuple[Point, ...] = (),
    simulation: Simulation | None = None,
    limits: ModbusLimits | None = None,
    protocol: str = "modbus",
    parameters: Mapping[str, Value] | None = None,
    period_s: float = 1.0,
) -> Profile:
    """A profile with the class points and own points that have a source, in one poll group."""
    from_class = [entry.point for entry in CLASSES[device_class].points if entry.point.id in sources]
    # Ages as a profile gives them: three and ten poll periods, at least 2 and 30 s.
    points = tuple(
        replace(point, stale_after_s=max(2.0, 3 * period_s), bad_after_s=max(30.0, 10 * period_s))
        for point in (*from_class, *extra)
    )
    missing = set(sources) - {point.id for point in points}
    assert not missing, f"neither of the class nor own: {missing}"
    return Profile(
        id=profile_id,
        version="1.0.0",
        protocol=protocol,
        model=device_model(profile_id, device_class, (*points, *SYSTEM_POINTS)),
        models=(profile_id,),
        provenance="simulated",
        documents=(),
        modbus=limits or ModbusLimits(),
        sources=sources,
        groups=(PollGroup("normal", period_s, tuple(sources)),),
        commands={},
        settings={
            point.id: SettingSpec(point.id, point.range, 0.5, 2.0, persistent=False)
            for point in points
            if point.writable
        },
        identify=(),
        simulation=simulation,
        parameters=parameters or {},
    )


# The bits of an XW that matter for its modes: raw status, the class's words for it on the same register.
INVERTER_MAP = {1025: 6, 1028: 0, 1032: 1, 1034: 7, 1036: 5}
CHARGER_MAP = {768: 1, 769: 3, 770: 4, 773: 5, 776: 0}


def inverter(**options: float) -> Profile:
    """An inverter with mode registers that act after delays."""
    links = (
        Link("operating_mode", 2, 1.5, {"raw_state": 1032, "charge_state": 0}),
        Link("operating_mode", 3, 1.0, {"raw_state": 1025}),
        Link("charger_enable", 1, 2.0, {"charge_state": 3}),
        Link("charger_enable", 0, 1.0, {"charge_state": 0}),
        Link("sell_enable", 1, 3.0, {"raw_state": 1036}),
        Link("sell_enable", 0, 1.0, {"raw_state": 1025}),
        Link("max_rate", None, 0.5, {"rate_echo": "$value"}),
    )
    milli = 0.001
    return profile(
        "test.inverter",
        DeviceClass.INVERTER,
        {
            "name": at(0, RawType.TEXT, registers=8),
            "raw_state": at(0x7A),
            "state": at(0x7A, map=INVERTER_MAP),
            "charge_state": at(0x7B, map=CHARGER_MAP),
            "dc_voltage": at(0x50, RawType.U32, scale=milli),
            "dc_current": at(0x52, RawType.I32, scale=milli),
            "dc_power": at(0x54, RawType.I32),
            "battery_temperature": at(0x56, scale=0.01, offset=-273.0, sentinels=(0,)),
            "ac_power": at(0x84, RawType.I32),
            "ac_voltage": at(0x62, RawType.U32, scale=milli),
            "ac_frequency": at(0x61, scale=0.01),
            "load_power": at(0x9A, RawType.I32),
            "state_of_charge": at(0xA0, scale=0.1),
            "energy_exported": at(0xB0, RawType.U32, scale=milli),
            "energy_imported": at(0xB2, RawType.U32, scale=milli),
            "energy_to_battery": at(0xB4, RawType.U32, scale=milli),
            "operating_mode": at(0x166),
            "charger_enable": at(0x164),
            "sell_enable": at(0x162),
            "max_rate": at(0x16F),
            "rate_echo": at(0x170),
        },
        extra=(
            own("name", text=True),
            replace(own("raw_state"), kind=PointKind.STATE, enumeration=RAW_STATE),
            own("operating_mode", writable=True),
            own("charger_enable", writable=True),
            own("sell_enable", writable=True),
            own("max_rate", writable=True),
            own("rate_echo"),
        ),
        simulation=Simulation(
            initial={
                "name": "XW 6048",
                "raw_state": 1025,
                "charge_state": 1,
                "operating_mode": 3,
                "energy_exported": 12.5,
            },
            links=links,
            physics="inverter",
            physics_options={"ramp_s": 1.0, "day_s": 600.0, **options},
        ),
        limits=ModbusLimits(max_gap=8, max_read=60),
    )  # fmt: skip


def meter(**options: float) -> Profile:
    """A three-phase meter of float input registers, in the manner of an SDM630."""
    phases = {
        f"{point}_l{phase}": at(2 * (phase - 1) + base, RawType.F32, table=Table.INPUT)
        for point, base in (("voltage", 0), ("current", 6), ("power", 12))
        for phase in (1, 2, 3)
    }
    return profile(
        "test.meter",
        DeviceClass.METER,
        {
            **phases,
            "power": at(52, RawType.F32, table=Table.INPUT),
            "frequency": at(70, RawType.F32, table=Table.INPUT),
            "energy_imported": at(72, RawType.F32, table=Table.INPUT),
            "energy_exported": at(74, RawType.F32, table=Table.INPUT),
        },
        simulation=Simulation({"energy_imported": 1000.0}, physics="meter", physics_options=options),
        limits=ModbusLimits(max_read=80, max_gap=20, align=2),
    )


def fuel_cell(**options: float) -> Profile:
    """A fuel cell with a control word, in the manner of a Cummins module."""
    sequence = {0: 0, 1: 2, 2: 2, 3: 2, 4: 2, 5: 3, 6: 4, 7: 5, 8: 5, 9: 6, 10: 1}
    return profile(
        "test.fuel_cell",
        DeviceClass.FUEL_CELL,
        {
            "state": at(14504, map=sequence),
            "sequence_state": at(14504),
            "mode": at(14503),
            "control_word": at(14500),
            "power_setpoint": at(14501, scale=1000.0),
            "run_echo": at(14499, RawType.BITS16, bits=BitField(0, 0)),
            "ready_to_start": at(14499, RawType.BITS16, bits=BitField(8, 8)),
            "output_power": at(14540, RawType.I32),
            "stack_temperature": at(14511, RawType.I16, scale=0.1),
            "energy_exported": at(14542, RawType.U32, scale=0.001),
        },
        extra=(
            own("sequence_state"),
            own("mode"),
            own("control_word", writable=True),
            replace(own("run_echo"), data_type=DataType.BOOLEAN, kind=PointKind.FLAG),
            replace(own("ready_to_start"), data_type=DataType.BOOLEAN, kind=PointKind.FLAG),
        ),
        simulation=Simulation({"sequence_state": 10, "power_setpoint": 20_000.0}, physics="fuel_cell",
                              physics_options=options),
    )  # fmt: skip


COLLECTOR_PARAMETERS: Mapping[str, Value] = {"vpp": 5 / 1024, "offset": 2.5, "sns": 0.066, "vcc": 5.0, "limit": 10.0}


def collector(period_s: float = 0.5, current_a: float | None = None) -> Profile:
    """A serial collector; without `current_a` it has no physics and shows what a test sets."""
    physics = "" if current_a is None else "collector"
    options = {} if current_a is None else {"current_a": current_a}
    return profile(
        "test.collector",
        DeviceClass.SENSOR,
        {quantity: LineSource(quantity) for quantity in ("raw", "voltage", "current", "power")},
        extra=(own("raw", DataType.DOUBLE),),
        simulation=Simulation({"current": 4.0}, physics=physics, physics_options=options),
        protocol="serial_line",
        parameters=COLLECTOR_PARAMETERS,
        period_s=period_s,
    )


def unit(device_id: str, address: int, made: Profile, control: bool = True) -> BusUnit:
    return BusUnit(device_id, address, made, control)


def device(one: BusUnit, bus: str = "bus") -> Device:
    """The device of the address space behind a unit."""
    return Device(one.device_id, one.profile.model, bus=bus, unit=one.unit, control=one.control)
