"""Members of the devices of one model, or of a type: their names and, on demand, their shapes.

A layout is shared by all devices of its model. Shapes are made when somebody looks and kept in a small cache, so a
model with ten thousand points costs no more than one with ten until it is browsed.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from asyncua import ua

from address_space import di
from address_space.attributes import READ, base_attributes, object_attributes, variable_attributes
from address_space.classes import RESERVED_NAMES, browse_name
from address_space.history_configuration import EVENT_FILTER, HistoryMembers, HistoryOffer, event_filter_shape
from address_space.methods import input_arguments, output_arguments, with_limits
from address_space.model import (
    OWN_CLASSES,
    Command,
    Device,
    DeviceModel,
    EnumMember,
    FunctionalGroup,
    Point,
    PointKind,
)
from address_space.nodes import Node
from address_space.shape import (
    HAS_COMPONENT,
    HAS_MODELLING_RULE,
    HAS_PROPERTY,
    HAS_TYPE_DEFINITION,
    MANDATORY,
    NS_DI,
    NS_MODEL,
    OPTIONAL,
    ORGANIZES,
    Link,
    Shape,
    node_id,
)
from address_space.units import UNECE_NAMESPACE, UNITS
from address_space.values import NULL, Samples, constant, live, shared, text, variant_type

# Shapes of one layout kept at a time; one is about 3 KiB.
_CACHED: Final = 512

_OBJECT_TYPE: Final = node_id(ua.ObjectIds.BaseObjectType)
_VARIABLE_TYPE: Final = node_id(ua.ObjectIds.BaseDataVariableType)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)

_WRITE: Final = 1 << ua.AccessLevel.CurrentWrite

# DI property -> points that hold it when the site file does not say it.
_NAMEPLATE_POINTS: Final[Mapping[str, tuple[str, ...]]] = {
    "SerialNumber": ("serial_number",),
    "HardwareRevision": ("hardware_revision", "hardware_version"),
    "SoftwareRevision": ("software_revision", "software_version", "firmware_revision", "firmware_version"),
}


class Layout:
    """Members of one model, for instances (`samples` given) or for a type (`samples` None).

    `history` is what an instance offers of it, `rules` are the modelling rules of a type's points and commands by id.
    Raises ValueError when two members would have one name or a unit is unknown.
    """

    def __init__(
        self,
        model: DeviceModel,
        samples: Samples | None,
        *,
        history: HistoryOffer | None = None,
        rules: Mapping[str, ua.NodeId] | None = None,
    ) -> None:
        self.model = model
        self._samples = samples
        self._history = HistoryMembers(history if samples is not None else None)
        self._rules = rules
        self._commands = {command.id: command for command in model.commands}
        self._cache: dict[str, Shape] = {}
        self.is_device = model.device_class not in OWN_CLASSES
        self.groups = tuple(group for group in FunctionalGroup if any(True for _ in self._organized(group)))
        _check(model)
        self.size = sum(1 for _ in self)

    @property
    def event_history(self) -> bool:
        """Whether the events of these devices are kept."""
        return self._history.offer is not None and self._history.offer.events

    # --- names

    def __iter__(self) -> Iterator[str]:
        """Names of all members, the owner itself ("") not among them."""
        yield from self.top()
        for point in self.model.points:
            yield point.id
            for name in (*_properties(point), *self._history.names(point)):
                yield f"{point.id}.{name}"
        for command in self.model.commands:
            yield command.id
            for name in _arguments(command):
                yield f"{command.id}.{name}"

    def top(self) -> Iterator[str]:
        """Members that hang directly on the owner."""
        if self.model.points:
            yield "ParameterSet"
        if self.model.commands:
            yield "MethodSet"
        for group in self.groups:
            yield group.value
        if self.is_device:
            yield from di.NAMEPLATE
            if "device_health" in self.model.index:
                yield "DeviceHealth"
        if self.event_history:
            yield EVENT_FILTER

    def links(self) -> Iterator[Link]:
        """References from the owner to its direct members."""
        for name in self.top():
            is_property = name in di.NAMEPLATE or name == EVENT_FILTER
            yield Link(HAS_PROPERTY if is_property else HAS_COMPONENT, True, name)

    def _organized(self, group: FunctionalGroup) -> Iterator[str]:
        for point in self.model.points:
            if point.group is group:
                yield point.id
        if group is FunctionalGroup.OPERATIONAL:
            yield from self._commands

    # --- shapes

    def shape(self, member: str) -> Shape | None:
        """Shape of a member; None when there is none of that name."""
        known = self._cache.get(member)
        if known is None:
            known = self._make(member)
            if known is not None:
                if len(self._cache) >= _CACHED:
                    self._cache.clear()
                self._cache[member] = known
        return known

    def _make(self, member: str) -> Shape | None:
        head, dot, name = member.partition(".")
        position = self.model.index.get(head)
        if position is not None:
            point = self.model.points[position]
            if not dot:
                return self._point(point, position)
            return self._property(point, position, name) or self._history.shape(point, name)
        command = self._commands.get(head)
        if command is not None:
            return self._argument_list(command, name) if dot else self._method(command)
        return None if dot or head not in set(self.top()) else self._top(head)

    def _top(self, name: str) -> Shape:
        if name == "ParameterSet":
            links = tuple(Link(HAS_COMPONENT, True, point.id) for point in self.model.points)
            return self._folder(name, _OBJECT_TYPE, "Flat list of all points.", links)
        if name == "MethodSet":
            links = tuple(Link(HAS_COMPONENT, True, command) for command in self._commands)
            return self._folder(name, _OBJECT_TYPE, "Flat list of all commands.", links)
        if name == "DeviceHealth":
            return self._health()
        if name in di.NAMEPLATE:
            return self._nameplate(name)
        if name == EVENT_FILTER:
            return event_filter_shape("")
        links = tuple(Link(ORGANIZES, True, member) for member in self._organized(FunctionalGroup(name)))
        return self._folder(name, di.FUNCTIONAL_GROUP_TYPE, di.GROUP_DESCRIPTIONS[name], links)

    def _folder(self, name: str, type_definition: ua.NodeId, description: str, links: tuple[Link, ...]) -> Shape:
        return Shape(
            ua.NodeClass.Object,
            ua.QualifiedName(name, NS_DI),
            text(name),
            type_definition,
            object_attributes(ua.QualifiedName(name, NS_DI), name, description),
            links=(
                Link(HAS_TYPE_DEFINITION, True, type_definition),
                Link(HAS_COMPONENT, False, ""),
                *self._ruled(MANDATORY if name == "ParameterSet" else OPTIONAL),
                *links,
            ),
        )

    def _nameplate(self, name: str) -> Shape:
        data_type = di.NAMEPLATE[name]
        fixed = variable_attributes(
            ua.QualifiedName(name, NS_DI), name, di.NAMEPLATE_DESCRIPTIONS[name], node_id(data_type)
        )
        return Shape(
            ua.NodeClass.Variable,
            ua.QualifiedName(name, NS_DI),
            text(name),
            _PROPERTY_TYPE,
            fixed,
            {ua.AttributeIds.Value: self._nameplate_value(name, ua.VariantType(data_type))},
            _property_links("") + self._ruled(MANDATORY),
        )

    def _nameplate_value(self, name: str, data_type: ua.VariantType) -> Callable[[Node], ua.DataValue]:
        samples, model = self._samples, self.model

        def value(node: Node) -> ua.DataValue:
            device: Device | None = getattr(node.owner, "device", None)
            if device is None or samples is None:
                words = {"Manufacturer": model.manufacturer, "Model": model.model}.get(name, "")
            else:
                words = nameplate(device, name)
                if not words and node.owner.first_slot is not None:
                    for point_id in _NAMEPLATE_POINTS.get(name, ()):
                        position = model.index.get(point_id)
                        found = None if position is None else samples.plain(node.owner.first_slot + position)
                        words = words or ("" if found is None else str(found))
            if data_type is ua.VariantType.Int32:
                return constant(-1, data_type)
            return constant(text(words) if data_type is ua.VariantType.LocalizedText else words, data_type)

        return value

    def _health(self) -> Shape:
        name = ua.QualifiedName("DeviceHealth", NS_DI)
        samples = self._samples
        return Shape(
            ua.NodeClass.Variable,
            name,
            text("DeviceHealth"),
            _VARIABLE_TYPE,
            variable_attributes(name, "DeviceHealth", "Health of the device.", di.DEVICE_HEALTH_ENUMERATION),
            {ua.AttributeIds.Value: live(lambda _node, slot: samples.health(slot) if samples else NULL)},
            (
                Link(HAS_TYPE_DEFINITION, True, _VARIABLE_TYPE),
                Link(HAS_COMPONENT, False, ""),
                *self._ruled(OPTIONAL),
            ),
            self.model.index["device_health"],
        )

    # --- points

    def _point(self, point: Point, position: int) -> Shape:
        samples = self._samples
        name = ua.QualifiedName(browse_name(point.id), NS_MODEL)
        label = point.label or browse_name(point.id)
        type_definition = self._type_of(point)
        history = self._history.access(point)
        access = (READ if point.readable else 0) | history
        fixed = variable_attributes(
            name,
            label,
            with_limits(point.description, point.unit, point.range),
            node_id(int(variant_type(point))),
            access=access,
        )
        fixed[ua.AttributeIds.Historizing] = shared(bool(history), ua.VariantType.Boolean)
        # Samples are pushed as they come: the server watches without a period of its own.
        fixed[ua.AttributeIds.MinimumSamplingInterval] = shared(0.0, ua.VariantType.Double)
        attributes: dict[ua.AttributeIds, Callable[[Node], ua.DataValue]] = {
            ua.AttributeIds.Value: live(lambda _node, slot: samples.value(slot, point) if samples else NULL)
        }
        if point.writable and samples is not None:
            levels = (
                shared(access, ua.VariantType.Byte),
                shared(access | _WRITE, ua.VariantType.Byte),
            )
            attributes[ua.AttributeIds.AccessLevel] = lambda node: levels[_controlled(node)]
            attributes[ua.AttributeIds.UserAccessLevel] = attributes[ua.AttributeIds.AccessLevel]
        links = [
            Link(HAS_TYPE_DEFINITION, True, type_definition),
            Link(HAS_COMPONENT, False, "ParameterSet"),
            Link(ORGANIZES, False, point.group.value),
            *self._ruled(self._rule(point.id)),
            *(Link(HAS_PROPERTY, True, f"{point.id}.{entry}") for entry in _properties(point)),
            *self._history.links(point),
        ]
        return Shape(
            ua.NodeClass.Variable,
            name,
            text(label),
            type_definition,
            fixed,
            attributes,
            tuple(links),
            position,
        )

    def _type_of(self, point: Point) -> ua.NodeId:
        if point.kind in (PointKind.ANALOG, PointKind.COUNTER):
            if point.range is not None:
                return node_id(ua.ObjectIds.AnalogUnitRangeType)
            # A profile may give a range to a point that its class leaves open. AnalogUnitRangeType is no subtype of
            # AnalogUnitType, so a class declares the supertype of both (OPC 10000-8 section 5.3.2).
            bare = self._samples is None and point.from_class
            return node_id(ua.ObjectIds.BaseAnalogType if bare else ua.ObjectIds.AnalogUnitType)
        if point.kind is PointKind.STATE and point.enumeration is not None:
            return node_id(ua.ObjectIds.MultiStateValueDiscreteType)
        if point.kind is PointKind.FLAG:
            return node_id(ua.ObjectIds.TwoStateDiscreteType)
        return _VARIABLE_TYPE

    def _property(self, point: Point, position: int, name: str) -> Shape | None:
        if name not in _properties(point):
            return None
        samples, enumeration = self._samples, point.enumeration
        value: ua.DataValue | None = None
        data_type, rank = ua.ObjectIds.LocalizedText, -1
        if name == "EngineeringUnits":
            data_type, value = ua.ObjectIds.EUInformation, _structure(_unit(point))
        elif name == "EURange":
            data_type, value = ua.ObjectIds.Range, _structure(_range(point))
        elif name == "EnumValues":
            data_type, rank = ua.ObjectIds.EnumValueType, 1
            members = enumeration.members if enumeration is not None else ()
            value = constant([_enum_value(member) for member in members], ua.VariantType.ExtensionObject, is_array=True)
        elif name in ("TrueState", "FalseState"):
            value = constant(text(_flag_text(point, code=int(name == "TrueState"))), ua.VariantType.LocalizedText)
        browse = ua.QualifiedName(name, 0)
        fixed = variable_attributes(browse, name, "", node_id(data_type), rank=rank)
        attributes: dict[ua.AttributeIds, Callable[[Node], ua.DataValue]] = {}
        if value is not None:
            fixed[ua.AttributeIds.Value] = value
        else:
            attributes[ua.AttributeIds.Value] = live(
                lambda _node, slot: samples.value_as_text(slot, enumeration) if samples else NULL
            )
        return Shape(
            ua.NodeClass.Variable,
            browse,
            text(name),
            _PROPERTY_TYPE,
            fixed,
            attributes,
            _property_links(point.id) + self._ruled(MANDATORY),
            position if value is None else None,
        )

    # --- commands

    def _method(self, command: Command) -> Shape:
        name = ua.QualifiedName(command.id, NS_MODEL)
        fixed = base_attributes(ua.NodeClass.Method, name, command.label or command.id, command.description)
        states = (shared(False, ua.VariantType.Boolean), shared(True, ua.VariantType.Boolean))

        def executable(node: Node) -> ua.DataValue:
            return states[_controlled(node)]

        return Shape(
            ua.NodeClass.Method,
            name,
            text(command.label or command.id),
            None,
            fixed,
            {ua.AttributeIds.Executable: executable, ua.AttributeIds.UserExecutable: executable},
            (
                Link(HAS_COMPONENT, False, "MethodSet"),
                Link(ORGANIZES, False, FunctionalGroup.OPERATIONAL.value),
                *self._ruled(self._rule(command.id)),
                *(Link(HAS_PROPERTY, True, f"{command.id}.{entry}") for entry in _arguments(command)),
            ),
        )

    def _argument_list(self, command: Command, name: str) -> Shape | None:
        if name not in _arguments(command):
            return None
        entries = input_arguments(command) if name == "InputArguments" else output_arguments()
        browse = ua.QualifiedName(name, 0)
        fixed = variable_attributes(browse, name, "", node_id(ua.ObjectIds.Argument), rank=1)
        fixed[ua.AttributeIds.ArrayDimensions] = constant([len(entries)], ua.VariantType.UInt32, is_array=True)
        fixed[ua.AttributeIds.Value] = constant(entries, ua.VariantType.ExtensionObject, is_array=True)
        return Shape(
            ua.NodeClass.Variable,
            browse,
            text(name),
            _PROPERTY_TYPE,
            fixed,
            links=_property_links(command.id) + self._ruled(MANDATORY),
        )

    # --- modelling rules

    def _ruled(self, rule: ua.NodeId) -> tuple[Link, ...]:
        return () if self._rules is None else (Link(HAS_MODELLING_RULE, True, rule),)

    def _rule(self, member: str) -> ua.NodeId:
        return OPTIONAL if self._rules is None else self._rules.get(member, OPTIONAL)


def nameplate(device: Device, name: str) -> str:
    """What the site file and the profile say for a DI property; "" when unknown."""
    return {
        "Manufacturer": device.model.manufacturer,
        "Model": device.model.model,
        "SerialNumber": device.serial_number,
        "HardwareRevision": device.hardware_revision,
        "SoftwareRevision": device.software_revision,
    }.get(name, "")


def _controlled(node: Node) -> bool:
    device: Device | None = getattr(node.owner, "device", None)
    return device is not None and device.control


def _property_links(parent: str) -> tuple[Link, ...]:
    return (Link(HAS_TYPE_DEFINITION, True, _PROPERTY_TYPE), Link(HAS_PROPERTY, False, parent))


def _properties(point: Point) -> tuple[str, ...]:
    if point.kind in (PointKind.ANALOG, PointKind.COUNTER):
        return ("EngineeringUnits",) if point.range is None else ("EngineeringUnits", "EURange")
    if point.kind is PointKind.STATE and point.enumeration is not None:
        return ("EnumValues", "ValueAsText")
    return ("TrueState", "FalseState") if point.kind is PointKind.FLAG else ()


def _arguments(command: Command) -> tuple[str, ...]:
    return ("InputArguments", "OutputArguments") if command.inputs else ("OutputArguments",)


def _structure(value: object) -> ua.DataValue:
    return constant(value, ua.VariantType.ExtensionObject)


def _unit(point: Point) -> ua.EUInformation:
    # A number without a unit counts ones; the type asks for some unit.
    unit = UNITS[point.unit or "1"]
    return ua.EUInformation(
        NamespaceUri=ua.String(UNECE_NAMESPACE),
        UnitId=ua.Int32(unit.unit_id),
        DisplayName=text(unit.display_name),
        Description=text(unit.description),
    )


def _range(point: Point) -> ua.Range:
    limits = point.range
    low, high = (0.0, 0.0) if limits is None else (limits.low, limits.high)
    return ua.Range(Low=ua.Double(low), High=ua.Double(high))


def _enum_value(member: EnumMember) -> ua.EnumValueType:
    return ua.EnumValueType(
        Value=ua.Int64(member.code), DisplayName=text(member.name), Description=text(member.description)
    )


def _flag_text(point: Point, *, code: int) -> str:
    known = None if point.enumeration is None else point.enumeration.text(code)
    return known if known is not None else ("False", "True")[code]


def _check(model: DeviceModel) -> None:
    """Raise ValueError for names that collide and units that nobody knows."""
    seen: dict[str, str] = {}
    for member in (*model.index, *(command.id for command in model.commands)):
        if member in RESERVED_NAMES or "." in member or not member:
            raise ValueError(f"model {model.id}: {member!r} cannot be the id of a point or command")
    for point_id in model.index:
        other = seen.setdefault(browse_name(point_id), point_id)
        if other != point_id:
            name = browse_name(point_id)
            raise ValueError(f"model {model.id}: {other!r} and {point_id!r} would both be shown as {name}")
    numbers: list[tuple[str, str | None]] = [(point.id, point.unit) for point in model.points]
    for command in model.commands:
        numbers += [(f"{command.id}({entry.name})", entry.unit) for entry in command.inputs]
    for place, unit in numbers:
        if unit is not None and unit not in UNITS:
            raise ValueError(f"model {model.id}, {place}: unknown unit {unit!r}")
