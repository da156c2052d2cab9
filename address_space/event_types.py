"""Our own types of events: what a command came to."""

from __future__ import annotations

from typing import Final

from asyncua import ua

from address_space.attributes import type_attributes, variable_attributes
from address_space.catalogue import Catalogue
from address_space.methods import OUTCOME_TYPE
from address_space.shape import HAS_PROPERTY, HAS_SUBTYPE, MANDATORY, NS_MODEL, node_id
from address_space.values import NULL

_BASE_EVENT_TYPE: Final = node_id(ua.ObjectIds.BaseEventType)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)
_NAME: Final = "CommandEventType"
COMMAND_EVENT_TYPE: Final = node_id(_NAME, NS_MODEL)
# Fields of a command event: BrowseName, data type, description.
COMMAND_FIELDS: Final = (
    ("Command", node_id(ua.ObjectIds.String), "Name of the command, or of the setting that was written."),
    ("Outcome", OUTCOME_TYPE, "How it ended."),
    ("Observed", node_id(ua.ObjectIds.String), "What the confirming point showed."),
    ("Elapsed", node_id(ua.ObjectIds.Duration), "From the request to its end, in ms."),
    ("Reason", node_id(ua.ObjectIds.LocalizedText), "Why it ended so; empty when it was confirmed."),
    ("User", node_id(ua.ObjectIds.String), "Who asked for it."),
)


def add_event_types(catalogue: Catalogue) -> None:
    """Add them below BaseEventType."""
    name = ua.QualifiedName(_NAME, NS_MODEL)
    description = "A command or the write of a setting has ended."
    attributes = type_attributes(ua.NodeClass.ObjectType, name, description, abstract=False)
    catalogue.add(COMMAND_EVENT_TYPE, attributes, (HAS_SUBTYPE, _BASE_EVENT_TYPE))
    for field, data_type, words in COMMAND_FIELDS:
        browse_name = ua.QualifiedName(field, NS_MODEL)
        declared = variable_attributes(browse_name, field, words, data_type)
        declared[ua.AttributeIds.Value] = NULL
        nodeid = node_id(f"{_NAME}.{field}", NS_MODEL)
        catalogue.add(nodeid, declared, (HAS_PROPERTY, COMMAND_EVENT_TYPE), _PROPERTY_TYPE, MANDATORY)
