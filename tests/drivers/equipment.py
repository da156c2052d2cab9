"""Devices made by hand for the tests of drivers: models, profiles and units without a file."""

from collections.abc import Mapping, Sequence

from address_space.classes import SYSTEM_POINTS, bus_model
from address_space.model import DataType, Device, DeviceClass, Point, PointKind, device_model
from drivers.spec import (
    BusConfig,
    BusUnit,
    IdentifyCheck,
    ModbusLimits,
    PollGroup,
    Profile,
    RawType,
    RegisterSource,
    Table,
)


def point(point_id: str, data_type: DataType = DataType.DOUBLE, **more: object) -> Point:
    kind = PointKind.FLAG if data_type is DataType.BOOLEAN else PointKind.DATA
    return Point(point_id, point_id, "", data_type, more.pop("kind", kind), **more)


def source(address: int, raw: RawType = RawType.U16, registers: int = 1, **more: object) -> RegisterSource:
    return RegisterSource(more.pop("table", Table.HOLDING), address, raw, registers, **more)


def profile(
    points: Sequence[Point],
    sources: Mapping[str, RegisterSource],
    groups: Mapping[str, tuple[float | None, Sequence[str]]],
    *,
    modbus: ModbusLimits | None = None,
    identify: Sequence[IdentifyCheck] = (),
    presence: str | None = None,
    system: bool = True,
) -> Profile:
    model = device_model("test.device", DeviceClass.GENERIC, (*points, *(SYSTEM_POINTS if system else ())))
    return Profile(
        id="test.device",
        version="1.0.0",
        protocol="modbus",
        model=model,
        models=(),
        provenance="simulated",
        documents=(),
        modbus=modbus or ModbusLimits(),
        sources=sources,
        groups=tuple(PollGroup(name, period, tuple(ids)) for name, (period, ids) in groups.items()),
        commands={},
        settings={},
        identify=tuple(identify),
        simulation=None,
        parameters={},
        presence=presence,
    )


def devices(bus: BusConfig, units: Sequence[BusUnit]) -> list[Device]:
    """Devices of an image: the units of a bus and the bus itself."""
    return [Device(u.device_id, u.profile.model, bus=bus.id, unit=u.unit, control=u.control) for u in units] + [
        Device(bus.id, bus_model())
    ]
