"""Rules of a profile that span its entries. Pure: everything is said to the draft, with a line.

Rules of one point stand in profile_points.py, what a key may hold in profile_schema.py.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from address_space.classes import RESERVED_NAMES, SYSTEM_POINTS, browse_name
from address_space.model import DataType, PointKind, Value
from drivers import codec
from drivers.lint_commands import lint_commands
from drivers.problems import KeyPath
from drivers.profile_draft import Draft, DraftPoint
from drivers.simulator.physics import problems as physics_problems
from drivers.spec import RegisterSource, Simulation, Table, WordOrder

_SYSTEM = frozenset(point.id for point in SYSTEM_POINTS)
# What drivers/collector.py computes with.
_COLLECTOR_PARAMETERS = ("vpp", "offset", "sns", "vcc", "limit")


def lint(draft: Draft, simulation: Simulation | None) -> None:
    """Note every rule that the profile breaks."""
    _check_sections(draft)
    _check_names(draft)
    _check_class(draft)
    _check_overlaps(draft)
    _check_blocks(draft)
    _check_scale_factors(draft)
    _check_presence(draft)
    _check_parameters(draft)
    lint_commands(draft)
    if simulation is not None:
        _check_simulation(draft, simulation)


def _check_sections(draft: Draft) -> None:
    for key in ("points", "groups"):
        if not getattr(draft.file, key) and not any(path[0] == key for path in draft.broken):
            draft.add((key,), f"a profile needs `{key}`")
    if draft.file.protocol != "modbus" and "modbus" in draft.file.model_fields_set:
        draft.add(("modbus",), f"is for protocol modbus; this is {draft.file.protocol}")


def _check_names(draft: Draft) -> None:
    seen: dict[str, str] = {}
    for item in draft.points.values():
        if item.id in _SYSTEM:
            draft.add(item.path, f"{item.id} is a point that every device has from gridnode itself")
        name = browse_name(item.id)
        other = seen.setdefault(name, item.id)
        if other != item.id:
            draft.add(item.path, f"{item.id} and {other} have the same BrowseName {name}")
    for command_id in draft.file.commands:
        if command_id in RESERVED_NAMES:
            draft.add(("commands", command_id), "is what another part of every device is called; take another name")


def _check_class(draft: Draft) -> None:
    name = draft.file.device.device_class
    for entry in draft.device_class.points:
        if entry.mandatory and entry.point.id not in draft.points and not draft.is_broken("points", entry.point.id):
            draft.add(("points",), f"class {name} needs the point {entry.point.id}: {entry.point.description}")
    for command in draft.device_class.commands:
        command_id = command.command.id
        if command.mandatory and command_id not in draft.commands and not draft.is_broken("commands", command_id):
            draft.add(("commands",), f"class {name} needs the command {command_id}: {command.command.description}")


# --- registers -----------------------------------------------------------------------------------------------


def _registers(draft: Draft) -> Iterable[tuple[DraftPoint, RegisterSource]]:
    for item in draft.points.values():
        if isinstance(item.source, RegisterSource):
            yield item, item.source


def _addresses(source: RegisterSource) -> frozenset[int]:
    return frozenset(source.words or range(source.address, source.address + source.registers))


def _check_overlaps(draft: Draft) -> None:
    """Two values may share registers only as views of the very same span: one with `map` or `bits`."""
    owners: dict[tuple[Table, int], list[tuple[DraftPoint, RegisterSource]]] = {}
    said: set[tuple[str, str]] = set()
    for item, source in _registers(draft):
        mine = _addresses(source)
        for address in sorted(mine):
            for other, other_source in owners.setdefault((source.table, address), []):
                if (other.id, item.id) in said:
                    continue
                said.add((other.id, item.id))
                where = f"register {address} (0x{address:04X}) of the {source.table.value} table"
                if _addresses(other_source) != mine:
                    draft.add(item.path, f"{where} belongs to {other.id} too, and they overlap only partly")
                elif not any(one.map is not None or one.bits is not None for one in (source, other_source)):
                    draft.add(item.path, f"{where} is {other.id} already; two views of it differ by `map` or `bits`")
            owners[(source.table, address)].append((item, source))


def _check_blocks(draft: Draft) -> None:
    """Every value must fit into one read, and every setting into one write."""
    limits = draft.file.modbus
    for item, source in _registers(draft):
        if source.table in (Table.COIL, Table.DISCRETE):
            continue
        span = _addresses(source)
        first, last = min(span), max(span)
        needed = last - (first - first % limits.align) + 1
        if needed > limits.max_read:
            draft.add(item.path, f"takes a read of {needed} registers; modbus.max_read is {limits.max_read}")
        if item.entry.access != "r" and source.registers > limits.max_write:
            draft.add(item.path, f"takes a write of {source.registers} registers; max_write is {limits.max_write}")
        if item.entry.access != "r" and source.words:
            draft.add(item.path, "words that are apart cannot be written at once; such a point can only be read")
        for barrier in limits.barriers:
            if first < barrier <= last:
                draft.add(item.path, f"the barrier at {barrier} lies inside of this value")


def _check_scale_factors(draft: Draft) -> None:
    for item, source in _registers(draft):
        if source.scale_from is None:
            continue
        path: KeyPath = (*item.path, "scale_from")
        factor = draft.find(source.scale_from, path)
        if factor is None or not isinstance(factor.source, RegisterSource) or factor.point is None:
            continue
        if factor.id == item.id or factor.source.scale_from is not None:
            draft.add(path, "a scale factor has no scale factor itself")
        if factor.source.table is not source.table:
            draft.add(path, "the scale factor must stand in the same table: both are read in one request")
        if factor.point.data_type in (DataType.FLOAT, DataType.DOUBLE, DataType.STRING, DataType.BOOLEAN):
            draft.add(path, f"{factor.id} is no whole number: a scale factor is a power of ten")
        span = _addresses(source) | _addresses(factor.source)
        if max(span) - min(span) + 1 > draft.file.modbus.max_read:
            draft.add(path, "the scale factor is too far away to be read in one request")


def _check_presence(draft: Draft) -> None:
    if draft.file.presence is None:
        return
    item = draft.find(draft.file.presence, ("presence",))
    if item is not None and item.point is not None and item.point.data_type is DataType.STRING:
        draft.add(("presence",), f"{item.id} is a text; presence is a flag or a number that is 0 for an absent device")


def _check_parameters(draft: Draft) -> None:
    if draft.file.protocol != "serial_line":
        return
    for name in _COLLECTOR_PARAMETERS:
        entry = draft.file.parameters.get(name)
        if entry is None and not draft.is_broken("parameters", name):
            draft.add(("parameters",), f"protocol serial_line computes with a parameter {name!r} of type number")
        elif entry is not None and entry.type != "number":
            draft.add(("parameters", name, "type"), "must be number: protocol serial_line computes with it")


# --- simulation ----------------------------------------------------------------------------------------------


def _check_simulation(draft: Draft, simulation: Simulation) -> None:
    for text in physics_problems(simulation.physics, simulation.physics_options):
        key = "physics" if text.startswith("physics") and "no option" not in text else "options"
        draft.add(("simulate", key), text)
    places: list[tuple[KeyPath, Mapping[str, Value]]] = [(("simulate", "initial"), simulation.initial)]
    places += [(("simulate", "links", index, "set"), link.sets) for index, link in enumerate(simulation.links)]
    for path, values in places:
        views: dict[tuple[Table, frozenset[int]], str] = {}
        for point_id, value in values.items():
            item = draft.points[point_id]
            source, point = item.source, item.point
            if not isinstance(source, RegisterSource) or point is None:
                continue
            if source.bits is None:
                other = views.setdefault((source.table, _addresses(source)), point_id)
                if other != point_id:
                    draft.add((*path, point_id), f"sets the same registers as {other}")
            if value == "$value" or source.bits is not None or source.scale_from is not None:
                continue
            try:
                given = float(value) if point.kind is PointKind.ANALOG and isinstance(value, int) else value
                codec.encode(point, source, given, WordOrder.BIG)
            except ValueError as error:
                draft.add((*path, point_id), str(error).removeprefix(f"{point_id}: "))
