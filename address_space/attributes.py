"""The attributes that nodes of one class must have (OPC 10000-3 section 5), shared between nodes of a shape."""

from __future__ import annotations

from typing import Final

from asyncua import ua

from address_space.values import constant, shared, text

READ: Final = 1 << ua.AccessLevel.CurrentRead
SUBSCRIBE_TO_EVENTS: Final = 1 << ua.EventNotifier.SubscribeToEvents
READ_EVENT_HISTORY: Final = 1 << ua.EventNotifier.HistoryRead


def type_attributes(
    node_class: ua.NodeClass, name: ua.QualifiedName, description: str, *, abstract: bool
) -> dict[ua.AttributeIds, ua.DataValue]:
    """Attributes of an object type or data type."""
    attributes = base_attributes(node_class, name, name.Name, description)
    attributes[ua.AttributeIds.IsAbstract] = shared(abstract, ua.VariantType.Boolean)
    return attributes


def base_attributes(
    node_class: ua.NodeClass, name: ua.QualifiedName, label: str, description: str
) -> dict[ua.AttributeIds, ua.DataValue]:
    """The attributes that every node has, NodeId excepted."""
    return {
        ua.AttributeIds.NodeClass: shared(node_class, ua.VariantType.Int32),
        ua.AttributeIds.BrowseName: constant(name, ua.VariantType.QualifiedName),
        ua.AttributeIds.DisplayName: constant(text(label), ua.VariantType.LocalizedText),
        ua.AttributeIds.Description: constant(text(description), ua.VariantType.LocalizedText),
        ua.AttributeIds.WriteMask: shared(0, ua.VariantType.UInt32),
        ua.AttributeIds.UserWriteMask: shared(0, ua.VariantType.UInt32),
    }


def object_attributes(
    name: ua.QualifiedName, label: str, description: str, *, notifier: bool = False, history: bool = False
) -> dict[ua.AttributeIds, ua.DataValue]:
    """Attributes of an object; `notifier` when events of it, or of what is below it, can be subscribed to.

    `history` when the events of a notifier are kept.
    """
    attributes = base_attributes(ua.NodeClass.Object, name, label, description)
    attributes[ua.AttributeIds.EventNotifier] = shared(_notifier_bits(notifier, history), ua.VariantType.Byte)
    return attributes


def _notifier_bits(notifier: bool, history: bool) -> int:
    return (SUBSCRIBE_TO_EVENTS if notifier else 0) | (READ_EVENT_HISTORY if notifier and history else 0)


def variable_attributes(
    name: ua.QualifiedName,
    label: str,
    description: str,
    data_type: ua.NodeId,
    *,
    rank: int = -1,
    access: int = READ,
) -> dict[ua.AttributeIds, ua.DataValue]:
    """Attributes of a variable, its Value excepted; `rank` is -1 for a scalar and 1 for an array."""
    attributes = base_attributes(ua.NodeClass.Variable, name, label, description)
    attributes[ua.AttributeIds.DataType] = shared(data_type, ua.VariantType.NodeId)
    attributes[ua.AttributeIds.ValueRank] = shared(rank, ua.VariantType.Int32)
    if rank > 0:
        attributes[ua.AttributeIds.ArrayDimensions] = constant([0] * rank, ua.VariantType.UInt32, is_array=True)
    attributes[ua.AttributeIds.AccessLevel] = shared(access, ua.VariantType.Byte)
    attributes[ua.AttributeIds.UserAccessLevel] = attributes[ua.AttributeIds.AccessLevel]
    attributes[ua.AttributeIds.Historizing] = shared(False, ua.VariantType.Boolean)
    return attributes
