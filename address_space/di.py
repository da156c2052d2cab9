"""The part of OPC UA for Devices (OPC 10000-100, edition 1.04.0 of 2022-11-03) that is used here.

NodeIds are the published ones of that edition; the namespace says of itself that it is a subset. Words are ours.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from asyncua import ua

from address_space.attributes import object_attributes, type_attributes, variable_attributes
from address_space.catalogue import Catalogue
from address_space.enumerations import add_enumeration
from address_space.metadata import NAMES, Metadata, add_metadata
from address_space.shape import DI_URI, HAS_COMPONENT, HAS_PROPERTY, HAS_SUBTYPE, NS_DI, ORGANIZES, node_id
from address_space.system import DEVICE_HEALTH
from address_space.values import NULL

TOPOLOGY_ELEMENT_TYPE: Final = node_id(1001, NS_DI)
DEVICE_TYPE: Final = node_id(1002, NS_DI)
FUNCTIONAL_GROUP_TYPE: Final = node_id(1005, NS_DI)
COMPONENT_TYPE: Final = node_id(15063, NS_DI)
DEVICE_SET: Final = node_id(5001, NS_DI)
DEVICE_HEALTH_ENUMERATION: Final = node_id(6244, NS_DI)

# The eight properties that DeviceType makes mandatory (section 4.5.3) with their built-in types.
NAMEPLATE: Final[Mapping[str, int]] = {
    "Manufacturer": ua.ObjectIds.LocalizedText,
    "Model": ua.ObjectIds.LocalizedText,
    "HardwareRevision": ua.ObjectIds.String,
    "SoftwareRevision": ua.ObjectIds.String,
    "DeviceRevision": ua.ObjectIds.String,
    "DeviceManual": ua.ObjectIds.String,
    "SerialNumber": ua.ObjectIds.String,
    "RevisionCounter": ua.ObjectIds.Int32,
}
NAMEPLATE_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "Manufacturer": "Who made the device.",
    "Model": "Model name of the device.",
    "HardwareRevision": "Revision of the hardware; empty when unknown.",
    "SoftwareRevision": "Revision of the firmware or software; empty when unknown.",
    "DeviceRevision": "Revision of the device as a whole; empty when unknown.",
    "DeviceManual": "Where the manual is; empty when unknown.",
    "SerialNumber": "Serial number that the manufacturer gave; empty when unknown.",
    "RevisionCounter": "How often the static data of the device was changed; -1 when the device does not count.",
}
# NodeIds of the same properties on ComponentType (optional there) and DeviceType (mandatory).
_COMPONENT_PROPERTIES: Final[Mapping[str, int]] = {
    "Manufacturer": 15086,
    "Model": 15088,
    "HardwareRevision": 15089,
    "SoftwareRevision": 15090,
    "DeviceRevision": 15091,
    "DeviceManual": 15093,
    "SerialNumber": 15095,
    "RevisionCounter": 15097,
}
_DEVICE_PROPERTIES: Final[Mapping[str, int]] = {
    "Manufacturer": 6003,
    "Model": 6004,
    "HardwareRevision": 6008,
    "SoftwareRevision": 6007,
    "DeviceRevision": 6006,
    "DeviceManual": 6005,
    "SerialNumber": 6001,
    "RevisionCounter": 6002,
}
# Names of functional groups that the standard recommends, as far as they are used.
GROUP_DESCRIPTIONS: Final[Mapping[str, str]] = {
    "Identification": "What identifies the device.",
    "Operational": "What operators watch and do: process values and commands.",
    "Configuration": "Settings.",
    "Statistics": "Counters and statistics.",
    "Diagnostics": "What helps to find a fault.",
    "Status": "States and alarms.",
}

_MANDATORY: Final = node_id(ua.ObjectIds.ModellingRule_Mandatory)
_OPTIONAL: Final = node_id(ua.ObjectIds.ModellingRule_Optional)
_OPTIONAL_PLACEHOLDER: Final = node_id(ua.ObjectIds.ModellingRule_OptionalPlaceholder)
_MANDATORY_PLACEHOLDER: Final = node_id(ua.ObjectIds.ModellingRule_MandatoryPlaceholder)
_OBJECT_TYPE: Final = node_id(ua.ObjectIds.BaseObjectType)
_VARIABLE_TYPE: Final = node_id(ua.ObjectIds.BaseDataVariableType)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)
_OBJECTS: Final = node_id(ua.ObjectIds.ObjectsFolder)


def add_di(catalogue: Catalogue) -> None:
    """Add the types, the enumeration and DeviceSet."""
    topology = _type(
        catalogue, 1001, "TopologyElementType", _OBJECT_TYPE, "Anything with parameters and methods.", abstract=True
    )
    component = _type(catalogue, 15063, "ComponentType", topology, "A part with a nameplate.", abstract=True)
    device = _type(catalogue, 1002, "DeviceType", component, "A device with a full nameplate.", abstract=True)
    folder_type = node_id(ua.ObjectIds.FolderType)
    group = _type(catalogue, 1005, "FunctionalGroupType", folder_type, "Parameters and methods for one purpose.")

    parameters = _object(catalogue, 5002, "ParameterSet", topology, _OBJECT_TYPE, _OPTIONAL)
    _object(catalogue, 5003, "MethodSet", topology, _OBJECT_TYPE, _OPTIONAL)
    _object(catalogue, 6014, "Identification", topology, group, _OPTIONAL)
    _object(catalogue, 6567, "<GroupIdentifier>", topology, group, _OPTIONAL_PLACEHOLDER)
    _object(catalogue, 6027, "<GroupIdentifier>", group, group, _OPTIONAL_PLACEHOLDER)
    any_type = node_id(ua.ObjectIds.BaseDataType)
    _variable(catalogue, 6017, "<ParameterIdentifier>", any_type, parameters, _MANDATORY_PLACEHOLDER)

    for name, data_type in NAMEPLATE.items():
        _property(catalogue, _COMPONENT_PROPERTIES[name], name, data_type, component, _OPTIONAL)
        _property(catalogue, _DEVICE_PROPERTIES[name], name, data_type, device, _MANDATORY)
    _variable(catalogue, 6208, "DeviceHealth", DEVICE_HEALTH_ENUMERATION, device, _OPTIONAL)
    add_enumeration(
        catalogue,
        DEVICE_HEALTH,
        DEVICE_HEALTH_ENUMERATION,
        node_id(6450, NS_DI),
        "Health of a device (section 4.5.4).",
    )
    catalogue.add(
        DEVICE_SET,
        object_attributes(ua.QualifiedName("DeviceSet", NS_DI), "DeviceSet", "All devices."),
        (ORGANIZES, _OBJECTS),
        _OBJECT_TYPE,
    )


def add_di_metadata(catalogue: Catalogue) -> None:
    """Say which edition this is, and that only a part of it is here."""
    facts = Metadata(NS_DI, DI_URI, "1.04.0", (2022, 11, 3), subset=True, numeric=True, static=True)
    properties = {name: node_id(number, NS_DI) for number, name in enumerate(NAMES, 15002)}
    add_metadata(catalogue, facts, node_id(15001, NS_DI), properties)


def _type(
    catalogue: Catalogue, number: int, name: str, above: ua.NodeId, description: str, *, abstract: bool = False
) -> ua.NodeId:
    browse = ua.QualifiedName(name, NS_DI)
    attributes = type_attributes(ua.NodeClass.ObjectType, browse, description, abstract=abstract)
    return catalogue.add(node_id(number, NS_DI), attributes, (HAS_SUBTYPE, above))


def _object(
    catalogue: Catalogue, number: int, name: str, parent: ua.NodeId, type_definition: ua.NodeId, rule: ua.NodeId
) -> ua.NodeId:
    attributes = object_attributes(ua.QualifiedName(name, NS_DI), name, GROUP_DESCRIPTIONS.get(name, ""))
    return catalogue.add(node_id(number, NS_DI), attributes, (HAS_COMPONENT, parent), type_definition, rule)


def _variable(
    catalogue: Catalogue, number: int, name: str, data_type: ua.NodeId, parent: ua.NodeId, rule: ua.NodeId
) -> None:
    attributes = variable_attributes(ua.QualifiedName(name, NS_DI), name, "", data_type)
    attributes[ua.AttributeIds.Value] = NULL
    catalogue.add(node_id(number, NS_DI), attributes, (HAS_COMPONENT, parent), _VARIABLE_TYPE, rule)


def _property(catalogue: Catalogue, number: int, name: str, data_type: int, parent: ua.NodeId, rule: ua.NodeId) -> None:
    description = NAMEPLATE_DESCRIPTIONS[name]
    attributes = variable_attributes(ua.QualifiedName(name, NS_DI), name, description, node_id(data_type))
    attributes[ua.AttributeIds.Value] = NULL
    catalogue.add(node_id(number, NS_DI), attributes, (HAS_PROPERTY, parent), _PROPERTY_TYPE, rule)
