"""What a namespace says of itself: NamespaceMetadata objects below Server/Namespaces (OPC 10000-5 section 6.3.13)."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime
from typing import Any, Final

from asyncua import ua

from address_space.attributes import object_attributes, variable_attributes
from address_space.catalogue import Catalogue
from address_space.shape import HAS_COMPONENT, HAS_PROPERTY, node_id
from address_space.values import constant

_NAMESPACES: Final = node_id(ua.ObjectIds.Server_Namespaces)
_METADATA_TYPE: Final = node_id(ua.ObjectIds.NamespaceMetadataType)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)
NAMES: Final = (
    "NamespaceUri",
    "NamespaceVersion",
    "NamespacePublicationDate",
    "IsNamespaceSubset",
    "StaticNodeIdTypes",
    "StaticNumericNodeIdRange",
    "StaticStringNodeIdPattern",
)


@dataclass(frozen=True, slots=True)
class Metadata:
    """Facts of one namespace; `published` None means that it was never published."""

    namespace: int
    uri: str
    version: str
    published: tuple[int, int, int] | None
    subset: bool
    numeric: bool  # its NodeIds are numbers, else strings
    static: bool  # its NodeIds mean the same on every server


def add_metadata(catalogue: Catalogue, facts: Metadata, nodeid: ua.NodeId, properties: Mapping[str, ua.NodeId]) -> None:
    """Add the object and its seven mandatory properties, whose NodeIds are `properties` by name."""
    name = ua.QualifiedName(facts.uri, facts.namespace)
    catalogue.add(nodeid, object_attributes(name, facts.uri, ""), (HAS_COMPONENT, _NAMESPACES), _METADATA_TYPE)
    for key, (value, data_type, variant_type) in _values(facts).items():
        browse = ua.QualifiedName(key, 0)
        is_array = isinstance(value, list)
        attributes = variable_attributes(browse, key, "", node_id(data_type), rank=1 if is_array else -1)
        attributes[ua.AttributeIds.Value] = constant(value, variant_type, is_array=is_array)
        catalogue.add(properties[key], attributes, (HAS_PROPERTY, nodeid), _PROPERTY_TYPE)


def _values(facts: Metadata) -> dict[str, tuple[Any, int, ua.VariantType]]:
    string, ids, types = ua.VariantType.String, ua.ObjectIds, ua.VariantType
    published = datetime(*facts.published, tzinfo=UTC) if facts.published else datetime(1601, 1, 1, tzinfo=UTC)
    id_types = [0 if facts.numeric else 1] if facts.static else []
    return {
        "NamespaceUri": (facts.uri, ids.String, string),
        "NamespaceVersion": (facts.version, ids.String, string),
        "NamespacePublicationDate": (published, ids.DateTime, types.DateTime),
        "IsNamespaceSubset": (facts.subset, ids.Boolean, types.Boolean),
        "StaticNodeIdTypes": (id_types, ids.IdType, types.Int32),
        "StaticNumericNodeIdRange": (["1:2147483647"] if facts.numeric else [], ids.NumericRange, string),
        "StaticStringNodeIdPattern": ("" if facts.numeric or not facts.static else ".*", ids.String, string),
    }
