"""Types that a SCADA system builds on: classes, profiles, DI, enumerations, what namespaces say of themselves."""

import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.model import DataType, Device, DeviceClass, Point, PointKind, device_model
from address_space.types import type_name
from tests.address_space.conftest import Plant, inverter_model, model_id, raise_plant, site_id
from tests.fake_clock import FakeClock

SUBTYPE = ua.NodeId(ua.ObjectIds.HasSubtype)
TYPED = ua.NodeId(ua.ObjectIds.HasTypeDefinition)
RULE = ua.NodeId(ua.ObjectIds.HasModellingRule)
MANDATORY = ua.NodeId(ua.ObjectIds.ModellingRule_Mandatory)
OPTIONAL = ua.NodeId(ua.ObjectIds.ModellingRule_Optional)

# Published NodeIds of DI 1.04.0 (its NodeIds.csv), by hand.
PUBLISHED = {
    1001: "TopologyElementType",
    1002: "DeviceType",
    1005: "FunctionalGroupType",
    15063: "ComponentType",
    5001: "DeviceSet",
    5002: "ParameterSet",
    5003: "MethodSet",
    6014: "Identification",
    6244: "DeviceHealthEnumeration",
    6208: "DeviceHealth",
    6001: "SerialNumber",
    6002: "RevisionCounter",
    6003: "Manufacturer",
    6004: "Model",
    6005: "DeviceManual",
    6006: "DeviceRevision",
    6007: "SoftwareRevision",
    6008: "HardwareRevision",
}


def targets(plant: Plant, nodeid: ua.NodeId, kind: ua.NodeId, *, forward: bool = True) -> list[ua.NodeId]:
    return [
        ref.NodeId for ref in plant.nodes[nodeid].references if ref.ReferenceTypeId == kind and ref.IsForward is forward
    ]


def supertypes(plant: Plant, nodeid: ua.NodeId) -> list[object]:
    above = targets(plant, nodeid, SUBTYPE, forward=False)
    return [nodeid.Identifier, *(supertypes(plant, above[0]) if above else [])]


@pytest.mark.parametrize(
    ("model", "name"),
    [("fuel_cell", "FuelCellType"), ("schneider.xw", "SchneiderXwType"), ("a-b.c_d", "ABCDType")],
)
def test_type_names_follow_class_and_profile(model: str, name: str) -> None:
    assert type_name(model) == name


def test_a_device_is_of_its_profile_its_class_and_di_device_type(plant: Plant) -> None:
    [profile] = targets(plant, site_id("xw1"), TYPED)
    assert supertypes(plant, profile) == ["SchneiderXwType", "InverterType", 1002, 15063, 1001, 58]
    [bus] = targets(plant, site_id("gw1"), TYPED)
    assert supertypes(plant, bus) == ["BusType", 1001, 58]


def test_every_device_class_has_its_type_whatever_the_site_uses(plant: Plant) -> None:
    below = targets(plant, ua.NodeId(1002, 2), SUBTYPE)
    assert {nodeid.Identifier for nodeid in below} == {
        "InverterType",
        "FuelCellType",
        "BatteryType",
        "MeterType",
        "PvType",
        "TankType",
        "SensorType",
        "GenericType",
    }


def test_a_class_says_what_is_mandatory(plant: Plant) -> None:
    assert targets(plant, model_id("InverterType.ac_power"), RULE) == [MANDATORY]
    assert targets(plant, model_id("InverterType.dc_power"), RULE) == [OPTIONAL]
    assert targets(plant, model_id("InverterType.StartSell"), RULE) == [OPTIONAL]
    assert targets(plant, model_id("InverterType.connection"), RULE) == [MANDATORY]
    assert targets(plant, model_id("InverterType.ParameterSet"), RULE) == [MANDATORY]
    assert targets(plant, site_id("xw1.ac_power"), RULE) == []


def test_instances_have_the_browse_names_that_their_type_declares(plant: Plant) -> None:
    [profile] = targets(plant, site_id("xw1"), TYPED)
    for member in ("ParameterSet", "MethodSet", "Operational"):
        assert plant.children(f"xw1.{member}") == plant.children(model_id(f"{profile.Identifier}.{member}"))
    assert plant.children("xw1") == plant.children(profile)


def test_a_point_is_of_the_variable_type_that_its_class_declares_or_below(plant: Plant) -> None:
    [declared] = targets(plant, model_id("InverterType.ac_power"), TYPED)
    [used] = targets(plant, site_id("xw1.ac_power"), TYPED)
    assert declared == ua.NodeId(ua.ObjectIds.BaseAnalogType)
    assert used == ua.NodeId(ua.ObjectIds.AnalogUnitRangeType)
    assert declared.Identifier in supertypes(plant, used)


def test_one_profile_with_two_sets_of_parameters_is_one_type(standard: AddressSpace, clock: FakeClock) -> None:
    more = Point("extra", "Extra", "", DataType.DOUBLE, PointKind.ANALOG)
    plant = raise_plant(
        standard, clock, [Device("a", inverter_model()), Device("b", inverter_model("schneider.xw", more))]
    )
    assert targets(plant, site_id("a"), TYPED) == targets(plant, site_id("b"), TYPED)
    assert targets(plant, model_id("SchneiderXwType.extra"), RULE) == [OPTIONAL]
    assert targets(plant, model_id("SchneiderXwType.ac_power"), RULE) == [MANDATORY]
    assert site_id("a.extra") not in plant.nodes
    assert site_id("b.extra") in plant.nodes


def test_a_device_without_a_profile_is_of_its_class(standard: AddressSpace, clock: FakeClock) -> None:
    plant = raise_plant(standard, clock, [Device("plant", device_model("generic", DeviceClass.GENERIC, ()))])
    assert targets(plant, site_id("plant"), TYPED) == [model_id("GenericType")]


def test_profiles_that_would_share_a_type_name_are_called_by_their_ids(
    standard: AddressSpace, clock: FakeClock
) -> None:
    plant = raise_plant(standard, clock, [Device("x", inverter_model("a.b.c")), Device("y", inverter_model("a.b_c"))])
    assert targets(plant, site_id("x"), TYPED) == [model_id("a-b-cType")]
    assert targets(plant, site_id("y"), TYPED) == [model_id("a-b_cType")]


def test_a_profile_cannot_take_the_name_of_a_class(standard: AddressSpace, clock: FakeClock) -> None:
    plant = raise_plant(standard, clock, [Device("x", device_model("fuel.cell", DeviceClass.METER, ()))])
    assert targets(plant, site_id("x"), TYPED) == [model_id("fuel-cellType")]


@pytest.mark.parametrize("number", PUBLISHED)
def test_di_nodes_have_their_published_node_ids(plant: Plant, number: int) -> None:
    name = plant.value(ua.NodeId(number, 2), ua.AttributeIds.BrowseName)
    assert name == ua.QualifiedName(PUBLISHED[number], 2)


def test_enumerations_have_texts_and_definitions(plant: Plant) -> None:
    for nodeid, strings, names in (
        (model_id("Outcome"), model_id("Outcome.EnumStrings"), "CONFIRMED UNCONFIRMED MISMATCH REFUSED FAILED"),
        (
            ua.NodeId(6244, 2),
            ua.NodeId(6450, 2),
            "NORMAL FAILURE CHECK_FUNCTION OFF_SPEC MAINTENANCE_REQUIRED",
        ),
    ):
        assert [entry.Text for entry in plant.value(strings)] == names.split()
        fields = plant.value(nodeid, ua.AttributeIds.DataTypeDefinition).Fields
        assert [(entry.Value, entry.Name) for entry in fields] == list(enumerate(names.split()))
        assert targets(plant, nodeid, SUBTYPE, forward=False) == [ua.NodeId(ua.ObjectIds.Enumeration)]


@pytest.mark.parametrize(
    ("uri", "subset", "version"),
    [
        ("http://opcfoundation.org/UA/DI/", True, "1.04.0"),
        ("urn:gridnode:model", False, "1.0.0"),
        ("urn:gridnode:site:demo", False, ""),
    ],
)
def test_namespaces_say_what_they_are(plant: Plant, uri: str, subset: bool, version: str) -> None:
    namespaces = ua.NodeId(ua.ObjectIds.Server_Namespaces)
    [metadata] = [ref.NodeId for ref in plant.browse(namespaces) if ref.BrowseName.Name == uri]
    facts = {ref.BrowseName.Name: plant.value(ref.NodeId) for ref in plant.browse(metadata)}
    assert facts["NamespaceUri"] == uri
    assert facts["IsNamespaceSubset"] is subset
    assert facts["NamespaceVersion"] == version
    assert len(facts) == 7
