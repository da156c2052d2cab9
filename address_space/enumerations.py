"""Enumerations as OPC UA data types, with their texts and definitions."""

from __future__ import annotations

from typing import Final

from asyncua import ua

from address_space.attributes import type_attributes, variable_attributes
from address_space.catalogue import Catalogue
from address_space.model import Enumeration
from address_space.shape import HAS_PROPERTY, HAS_SUBTYPE, node_id
from address_space.values import constant, text

_ENUMERATION: Final = node_id(ua.ObjectIds.Enumeration)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)


def add_enumeration(
    catalogue: Catalogue, table: Enumeration, nodeid: ua.NodeId, strings: ua.NodeId, description: str
) -> None:
    """Add a data type below Enumeration; `strings` is the NodeId of its EnumStrings.

    Raises ValueError unless the codes are 0, 1, 2 ...: EnumStrings are found by position (OPC 10000-3 section 5.8.3).
    """
    if [member.code for member in table.members] != list(range(len(table.members))):
        raise ValueError(f"enumeration {table.name}: its codes are not 0, 1, 2 ...")
    attributes = type_attributes(
        ua.NodeClass.DataType, ua.QualifiedName(table.name, nodeid.NamespaceIndex), description, abstract=False
    )
    attributes[ua.AttributeIds.DataTypeDefinition] = constant(_definition(table), ua.VariantType.ExtensionObject)
    catalogue.add(nodeid, attributes, (HAS_SUBTYPE, _ENUMERATION))
    name = ua.QualifiedName("EnumStrings", 0)
    texts = variable_attributes(name, "EnumStrings", "", node_id(ua.ObjectIds.LocalizedText), rank=1)
    words = [text(member.name) for member in table.members]
    texts[ua.AttributeIds.ArrayDimensions] = constant([len(words)], ua.VariantType.UInt32, is_array=True)
    texts[ua.AttributeIds.Value] = constant(words, ua.VariantType.LocalizedText, is_array=True)
    catalogue.add(strings, texts, (HAS_PROPERTY, nodeid), _PROPERTY_TYPE)


def _definition(table: Enumeration) -> ua.EnumDefinition:
    return ua.EnumDefinition(
        Fields=[
            ua.EnumField(
                Value=ua.Int64(member.code),
                DisplayName=text(member.name),
                Description=text(member.description),
                Name=ua.String(member.name),
            )
            for member in table.members
        ]
    )
