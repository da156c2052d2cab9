"""Devices as nodes: where they hang, what they have, what stays the same."""

import tracemalloc

import pytest
from asyncua import ua
from asyncua.common.utils import Buffer
from asyncua.server.address_space import AddressSpace, ViewService
from asyncua.ua.ua_binary import struct_from_binary, struct_to_binary

from address_space.builder import build
from address_space.classes import RESERVED_NAMES
from address_space.image import ProcessImage
from address_space.model import DataType, Device, DeviceClass, Point, PointKind, device_model
from address_space.nodes import NodeMap
from address_space.shape import namespace_uris
from tests.address_space.conftest import Plant, devices, inverter_model, model_id, raise_plant, site_id
from tests.fake_clock import FakeClock

DEVICE_SET = ua.NodeId(5001, 2)
OBJECTS = ua.NodeId(ua.ObjectIds.ObjectsFolder)
TYPED = ua.NodeId(ua.ObjectIds.HasTypeDefinition)
ONE_WAY = {ua.ObjectIds.HasTypeDefinition, ua.ObjectIds.HasModellingRule, ua.ObjectIds.GeneratesEvent}
NAMEPLATE = {
    "2:Manufacturer",
    "2:Model",
    "2:HardwareRevision",
    "2:SoftwareRevision",
    "2:DeviceRevision",
    "2:DeviceManual",
    "2:SerialNumber",
    "2:RevisionCounter",
}
COMMON = {"NodeId", "NodeClass", "BrowseName", "DisplayName", "Description", "WriteMask", "UserWriteMask"}
# Mandatory attributes by NodeClass: OPC 10000-3 section 5, tables of the node classes.
MANDATORY = {
    ua.NodeClass.Object: COMMON | {"EventNotifier"},
    ua.NodeClass.Variable: COMMON | {"Value", "DataType", "ValueRank", "AccessLevel", "UserAccessLevel", "Historizing"},
    ua.NodeClass.Method: COMMON | {"Executable", "UserExecutable"},
    ua.NodeClass.ObjectType: COMMON | {"IsAbstract"},
    ua.NodeClass.DataType: COMMON | {"IsAbstract"},
}


def own(plant: Plant) -> list[ua.NodeId]:
    return [nodeid for nodeid in plant.nodes if nodeid.NamespaceIndex >= 2]


def walk(plant: Plant, start: ua.NodeId, *names: str) -> ua.NodeId:
    """The one node at a browse path like `2:ParameterSet`, `3:AcPower`."""
    elements = [
        ua.RelativePathElement(
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
            IncludeSubtypes=True,
            IsInverse=False,
            TargetName=ua.QualifiedName(name.partition(":")[2], int(name.partition(":")[0])),
        )
        for name in names
    ]
    path = ua.BrowsePath(StartingNode=start, RelativePath=ua.RelativePath(Elements=elements))
    [result] = ViewService(plant.space).translate_browsepaths_to_nodeids([path])
    result.StatusCode.check()
    [target] = result.Targets
    return target.TargetId


def test_namespaces_have_their_fixed_order() -> None:
    assert namespace_uris("urn:app", "demo") == (
        "http://opcfoundation.org/UA/",
        "urn:app",
        "http://opcfoundation.org/UA/DI/",
        "urn:gridnode:model",
        "urn:gridnode:site:demo",
    )


def test_devices_are_components_of_di_device_set_and_organized_by_class(plant: Plant) -> None:
    assert {ref.NodeId.Identifier for ref in plant.browse(DEVICE_SET)} == {"xw1", "xw2", "other", "tank"}
    site = walk(plant, OBJECTS, "4:demo")
    assert site == site_id("_site")
    devices = {"4:xw1", "4:xw2", "4:other", "4:tank", "4:gw1", "4:node"}  # by HasNotifier
    assert plant.children("_site") == {"3:Inverters", "3:Tanks", "3:Buses"} | devices
    assert plant.children("_site.Inverters") == {"4:xw1", "4:xw2", "4:other"}
    assert plant.children("_site.Buses") == {"4:gw1"}
    assert walk(plant, OBJECTS, "2:DeviceSet", "4:xw1", "2:ParameterSet", "3:AcPower") == site_id("xw1.ac_power")


def test_an_inverter_has_sets_groups_nameplate_and_health(plant: Plant) -> None:
    assert plant.children("xw1") == NAMEPLATE | {
        "2:ParameterSet",
        "2:MethodSet",
        "2:Identification",
        "2:Operational",
        "2:Configuration",
        "2:Statistics",
        "2:Diagnostics",
        "2:Status",
        "2:DeviceHealth",
    }
    assert {"3:AcPower", "3:State", "3:Limit", "3:Connection", "3:LastCommandOutcome"} <= plant.children(
        "xw1.ParameterSet"
    )
    assert plant.children("xw1.MethodSet") == {"3:StartSell", "3:SetLoadShave"}
    assert plant.children("xw1.Configuration") == {"3:Limit"}
    assert plant.children("xw1.Identification") == {"3:Name", "3:SerialNumber"}
    assert {"3:AcPower", "3:StartSell"} <= plant.children("xw1.Operational")


def test_a_bus_and_the_node_have_points_and_no_nameplate(plant: Plant) -> None:
    assert plant.children("gw1") == {"2:ParameterSet", "2:Status", "2:Statistics", "2:Diagnostics"}
    assert "3:CertificateDaysLeft" in plant.children("node.ParameterSet")


def test_the_eight_nameplate_properties_are_there_and_empty_when_unknown(plant: Plant) -> None:
    assert plant.value("xw1.Manufacturer") == ua.LocalizedText("Schneider", "en")
    assert plant.value("xw1.Model") == ua.LocalizedText("XW", "en")
    assert plant.value("xw1.SerialNumber") == "S-1"
    assert plant.value("tank.SerialNumber") == ""
    assert plant.value("xw1.RevisionCounter") == -1
    assert plant.read("xw1.RevisionCounter").Value.VariantType is ua.VariantType.Int32
    for name in ("HardwareRevision", "SoftwareRevision", "DeviceRevision", "DeviceManual"):
        assert plant.value(f"xw1.{name}") == ""


def test_a_serial_number_that_the_device_tells_is_its_nameplate(plant: Plant) -> None:
    plant.put("xw2.serial_number", "S-2")
    plant.put("xw1.serial_number", "S-9")
    assert plant.value("xw2.SerialNumber") == "S-2"
    assert plant.value("xw1.SerialNumber") == "S-1"  # the site file says so


def test_device_health_follows_its_point_as_di_enumeration(plant: Plant) -> None:
    plant.put("xw1.device_health", 4)
    found = plant.read("xw1.DeviceHealth")
    assert (found.Value.Value, found.Value.VariantType) == (4, ua.VariantType.Int32)
    assert plant.value("xw1.DeviceHealth", ua.AttributeIds.DataType) == ua.NodeId(6244, 2)


TYPES = {
    "ac_power": (ua.ObjectIds.AnalogUnitRangeType, {"0:EngineeringUnits", "0:EURange"}),
    "ac_energy": (ua.ObjectIds.AnalogUnitType, {"0:EngineeringUnits"}),
    "state": (ua.ObjectIds.MultiStateValueDiscreteType, {"0:EnumValues", "0:ValueAsText"}),
    "grid": (ua.ObjectIds.TwoStateDiscreteType, {"0:TrueState", "0:FalseState"}),
    "name": (ua.ObjectIds.BaseDataVariableType, set()),
    "since": (ua.ObjectIds.BaseDataVariableType, set()),
}


@pytest.mark.parametrize("point", TYPES)
def test_a_point_has_the_variable_type_of_its_kind(plant: Plant, point: str) -> None:
    type_definition, properties = TYPES[point]
    [typed] = [ref for ref in plant.node(f"xw1.{point}").references if ref.ReferenceTypeId == TYPED]
    assert typed.NodeId == ua.NodeId(type_definition)
    assert plant.children(f"xw1.{point}") - {"0:HA Configuration"} == properties


def test_properties_say_unit_range_and_texts(plant: Plant) -> None:
    unit = plant.value("xw1.ac_power.EngineeringUnits")
    assert unit == ua.EUInformation(
        NamespaceUri="http://www.opcfoundation.org/UA/units/un/cefact",
        UnitId=int.from_bytes(b"WTT", "big"),
        DisplayName=ua.LocalizedText("W", "en"),
        Description=ua.LocalizedText("watt", "en"),
    )
    assert plant.value("xw1.ac_power.EURange") == ua.Range(Low=-6800.0, High=6800.0)
    values = plant.value("xw1.state.EnumValues")
    assert [(entry.Value, entry.DisplayName.Text, entry.Description.Text) for entry in values] == [
        (0, "Hibernate", ""),
        (2, "Standby", "Waits."),
        (9, "Sell", ""),
    ]
    assert plant.value("xw1.grid.TrueState").Text == "On"
    assert plant.value("xw1.bare_flag.FalseState").Text == "False"
    assert plant.value("xw1.small.EngineeringUnits").UnitId == int.from_bytes(b"C62", "big")


def test_names_and_descriptions_are_english_with_unit_and_range(plant: Plant) -> None:
    assert plant.value("xw1.ac_power", ua.AttributeIds.DisplayName) == ua.LocalizedText("AC power", "en")
    assert plant.value("xw1.ac_power", ua.AttributeIds.Description) == ua.LocalizedText(
        "Power on the AC terminal. Unit: W. Range: -6800 to 6800.", "en"
    )
    assert plant.value("xw1", ua.AttributeIds.DisplayName).Text == "Inverter 1"
    assert plant.value("xw2", ua.AttributeIds.DisplayName).Text == "xw2"


@pytest.mark.parametrize("attribute", [ua.AttributeIds.AccessLevel, ua.AttributeIds.UserAccessLevel])
def test_a_setting_is_writable_only_where_control_is_on(plant: Plant, attribute: ua.AttributeIds) -> None:
    assert plant.value("xw1.limit", attribute) == 0b011
    assert plant.value("xw2.limit", attribute) == 0b001
    assert plant.value("xw1.grid", attribute) == 0b001
    assert plant.value("xw1.ac_power", attribute) == 0b101  # history, no write


def test_history_is_offered_where_it_is_kept(plant: Plant) -> None:
    assert plant.value("xw1.ac_power", ua.AttributeIds.Historizing) is True
    assert plant.value("xw1.limit", ua.AttributeIds.Historizing) is False


def test_without_a_journal_no_history_is_offered(standard: AddressSpace, clock: FakeClock) -> None:
    plant = raise_plant(standard, clock, history=False)
    assert plant.value("xw1.ac_power", ua.AttributeIds.Historizing) is False
    assert plant.value("xw1.ac_power", ua.AttributeIds.AccessLevel) == 0b001


def test_methods_are_executable_only_where_control_is_on(plant: Plant) -> None:
    for attribute in (ua.AttributeIds.Executable, ua.AttributeIds.UserExecutable):
        assert plant.value("xw1.StartSell", attribute) is True
        assert plant.value("xw2.StartSell", attribute) is False


def test_method_arguments_are_described_with_unit_range_and_codes(plant: Plant) -> None:
    limit, mode = plant.value("xw1.SetLoadShave.InputArguments")
    assert (limit.Name, limit.DataType, limit.ValueRank) == ("Limit", ua.NodeId(ua.ObjectIds.Double), -1)
    assert limit.Description == ua.LocalizedText("Largest draw. Unit: A. Range: 0 to 60.", "en")
    assert mode.Description.Text == "What to do. Codes: 0 Off, 1 On."
    outputs = plant.value("xw1.StartSell.OutputArguments")
    assert [(entry.Name, entry.DataType) for entry in outputs] == [
        ("Outcome", model_id("Outcome")),
        ("Observed", ua.NodeId(ua.ObjectIds.String)),
        ("Elapsed", ua.NodeId(ua.ObjectIds.Duration)),
        ("Reason", ua.NodeId(ua.ObjectIds.LocalizedText)),
    ]


def test_node_ids_lead_back_to_devices_points_and_commands(plant: Plant) -> None:
    built = plant.built
    assert built.point_of(site_id("xw2.ac_power")) == plant.image.slot("xw2", "ac_power")
    for path in ("xw1", "xw1.ac_power.EURange", "xw1.state.ValueAsText", "xw1.DeviceHealth", "xw1.StartSell", "no"):
        assert built.point_of(site_id(path)) is None
    assert built.command_of(site_id("xw1.StartSell")) == ("xw1", "StartSell")
    for nodeid in (
        site_id("xw1.ac_power"),
        site_id("xw1.StartSell.OutputArguments"),
        model_id("InverterType.StartSell"),
    ):
        assert built.command_of(nodeid) is None
    assert built.command("xw1", "SetLoadShave").inputs[0].name == "Limit"
    with pytest.raises(KeyError):
        built.command("xw1", "Explode")
    assert built.device_of(site_id("xw1.state.EnumValues")) == "xw1"
    assert built.device_of(site_id("_site")) is None


def test_a_method_is_called_on_what_it_belongs_to(plant: Plant) -> None:
    method = site_id("xw1.StartSell")
    for path in ("xw1", "xw1.MethodSet", "xw1.Operational"):
        assert plant.built.has_method(site_id(path), method)
    for path in ("xw2", "xw1.ParameterSet", "_site", "xw1.StartSell"):
        assert not plant.built.has_method(site_id(path), method)
    assert not plant.built.has_method(site_id("xw1"), site_id("xw1.ac_power"))


# --- the whole map


def test_every_reference_leads_to_a_node_and_says_what_it_is(plant: Plant) -> None:
    for nodeid in own(plant):
        for ref in plant.nodes[nodeid].references:
            attributes = plant.nodes[ref.NodeId].attributes
            shown = (ref.BrowseName, ref.DisplayName, ref.NodeClass)
            assert shown == tuple(
                attributes[attribute].value.Value.Value
                for attribute in (ua.AttributeIds.BrowseName, ua.AttributeIds.DisplayName, ua.AttributeIds.NodeClass)
            ), (nodeid, ref)
            types = [one.NodeId for one in plant.nodes[ref.NodeId].references if one.ReferenceTypeId == TYPED]
            assert ref.TypeDefinition == (types[0] if types and ref.NodeClass in (1, 2) else ua.NodeId()), (nodeid, ref)


def test_every_reference_has_its_inverse(plant: Plant) -> None:
    edges = {
        (nodeid, ref.ReferenceTypeId.Identifier, ref.NodeId, ref.IsForward)
        for nodeid in plant.nodes
        for ref in plant.nodes[nodeid].references
    }
    for source, kind, target, forward in edges:
        touches_ours = max(source.NamespaceIndex, target.NamespaceIndex) >= 2
        if touches_ours and kind not in ONE_WAY:
            assert (target, kind, source, not forward) in edges, (source, kind, target, forward)


def test_no_reference_is_there_twice(plant: Plant) -> None:
    for nodeid in own(plant):
        keys = [(ref.ReferenceTypeId, ref.NodeId, ref.IsForward) for ref in plant.nodes[nodeid].references]
        assert len(keys) == len(set(keys)), nodeid


def test_every_node_is_reached_from_objects_or_types(plant: Plant) -> None:
    seen: set[ua.NodeId] = set()
    waiting = [ua.NodeId(ua.ObjectIds.RootFolder)]
    while waiting:
        nodeid = waiting.pop()
        if nodeid not in seen:
            seen.add(nodeid)
            waiting += [
                ref.NodeId
                for ref in plant.nodes[nodeid].references
                if ref.IsForward and ref.ReferenceTypeId.Identifier not in ONE_WAY
            ]
    assert not set(own(plant)) - seen


def test_every_node_has_the_attributes_of_its_class(plant: Plant) -> None:
    for nodeid in own(plant):
        attributes = plant.nodes[nodeid].attributes
        node_class = attributes[ua.AttributeIds.NodeClass].value.Value.Value
        assert {attribute.name for attribute in attributes} >= MANDATORY[node_class], nodeid
        assert attributes[ua.AttributeIds.NodeId].value.Value.Value == nodeid


def test_every_attribute_survives_the_wire(plant: Plant) -> None:
    for slot in range(plant.image.size):
        device, point = plant.image.owner(slot)
        plant.put(f"{device.id}.{point.id}", "text" if point.data_type is DataType.STRING else 1)
    for nodeid in own(plant):
        for attribute in plant.nodes[nodeid].attributes:
            packed = struct_to_binary(plant.read(nodeid, attribute))
            assert struct_to_binary(struct_from_binary(ua.DataValue, Buffer(packed))) == packed, (nodeid, attribute)


def test_values_have_the_data_type_that_the_node_declares(plant: Plant) -> None:
    for slot in range(plant.image.size):
        device, point = plant.image.owner(slot)
        path = f"{device.id}.{point.id}"
        plant.put(path, "text" if point.data_type is DataType.STRING else 1)
        declared = plant.value(path, ua.AttributeIds.DataType)
        assert plant.read(path).Value.VariantType.value == declared.Identifier, path
        assert plant.value(path, ua.AttributeIds.ValueRank) == -1


def test_node_ids_depend_on_nothing_but_the_site(standard: AddressSpace, clock: FakeClock) -> None:
    first = set(own(raise_plant(standard, clock)))
    again = set(own(raise_plant(standard, clock, list(reversed(devices())))))
    assert first == again


def test_no_command_can_take_the_place_of_what_every_device_has(plant: Plant) -> None:
    fixed = {ref.BrowseName.Name for ref in plant.browse(site_id("xw1"))}
    assert fixed == RESERVED_NAMES


# --- refusals


def test_a_device_cannot_take_the_name_of_the_site_object(standard: AddressSpace, clock: FakeClock) -> None:
    with pytest.raises(ValueError, match="'_site'"):
        raise_plant(standard, clock, [Device("_site", inverter_model())])


@pytest.mark.parametrize(
    ("point", "message"),
    [
        (Point("ac__power", "", "", DataType.DOUBLE, PointKind.ANALOG), "'ac_power' and 'ac__power' would both"),
        (Point("Status", "", "", DataType.DOUBLE, PointKind.ANALOG), "'Status' cannot be the id"),
        (Point("a.b", "", "", DataType.DOUBLE, PointKind.ANALOG), "'a.b' cannot be the id"),
        (Point("odd", "", "", DataType.DOUBLE, PointKind.ANALOG, unit="furlong"), "odd: unknown unit 'furlong'"),
    ],
)
def test_a_model_that_cannot_be_shown_is_refused(
    standard: AddressSpace, clock: FakeClock, point: Point, message: str
) -> None:
    with pytest.raises(ValueError, match=message):
        raise_plant(standard, clock, [Device("d", inverter_model("x.y", point))])


# --- cost


def test_points_that_nobody_touches_cost_next_to_nothing(clock: FakeClock, standard: AddressSpace) -> None:
    kinds = [Point(f"analog_{number}", "", "", DataType.DOUBLE, PointKind.ANALOG, unit="W") for number in range(20)]
    model = device_model("bench.many", DeviceClass.INVERTER, kinds)
    image = ProcessImage([Device(f"d{number}", model) for number in range(500)], clock)
    nodes = NodeMap(standard._nodes)
    tracemalloc.start()
    try:
        build(nodes, image, clock, "bench")
        assert tracemalloc.get_traced_memory()[0] / image.size < 300  # bytes per point, properties included
        before = tracemalloc.get_traced_memory()[0]
        for device in image.devices:
            for path in (f"{device}.analog_{number}" for number in range(20)):
                node = nodes[site_id(path)]
                assert node.attributes[ua.AttributeIds.Value].value is not None
                assert len(node.references) == 4
        assert (tracemalloc.get_traced_memory()[0] - before) / image.size < 30  # shapes of the one model
    finally:
        tracemalloc.stop()
