"""What nodes have in common: namespaces, NodeIds, references, and shapes that many nodes share."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final, Protocol

from asyncua import ua

if TYPE_CHECKING:
    from address_space.nodes import Node

# Namespace indices; their order is fixed for ever (0 is OPC UA's own, 1 the application's).
NS_APPLICATION: Final = 1
NS_DI: Final = 2
NS_MODEL: Final = 3
NS_SITE: Final = 4
DI_URI: Final = "http://opcfoundation.org/UA/DI/"
MODEL_URI: Final = "urn:gridnode:model"


def namespace_uris(application_uri: str, site_id: str) -> tuple[str, str, str, str, str]:
    """The NamespaceArray of a node."""
    return ("http://opcfoundation.org/UA/", application_uri, DI_URI, MODEL_URI, f"urn:gridnode:site:{site_id}")


def node_id(identifier: int | str, namespace: int = 0) -> ua.NodeId:
    """A NodeId of plain Python values."""
    return ua.NodeId(identifier, namespace)  # type: ignore[arg-type]  # its annotations name wire types


ORGANIZES: Final = node_id(ua.ObjectIds.Organizes)
HAS_COMPONENT: Final = node_id(ua.ObjectIds.HasComponent)
HAS_PROPERTY: Final = node_id(ua.ObjectIds.HasProperty)
HAS_SUBTYPE: Final = node_id(ua.ObjectIds.HasSubtype)
HAS_TYPE_DEFINITION: Final = node_id(ua.ObjectIds.HasTypeDefinition)
HAS_MODELLING_RULE: Final = node_id(ua.ObjectIds.HasModellingRule)
HAS_NOTIFIER: Final = node_id(ua.ObjectIds.HasNotifier)
GENERATES_EVENT: Final = node_id(ua.ObjectIds.GeneratesEvent)
MANDATORY: Final = node_id(ua.ObjectIds.ModellingRule_Mandatory)
OPTIONAL: Final = node_id(ua.ObjectIds.ModellingRule_Optional)


@dataclass(frozen=True, slots=True)
class Link:
    """One reference of a shape; a string target is a member of the same owner, "" the owner itself."""

    type: ua.NodeId
    forward: bool
    target: ua.NodeId | str


@dataclass(frozen=True, slots=True)
class Shape:
    """What the same member of all devices of a model has in common.

    `live` attributes are computed per node, `fixed` ones are shared. `position` is the place of the point whose
    sample is the Value, in the model's points; None when the Value follows no slot.
    """

    node_class: ua.NodeClass
    browse_name: ua.QualifiedName
    display_name: ua.LocalizedText
    type_definition: ua.NodeId | None
    fixed: Mapping[ua.AttributeIds, ua.DataValue]
    live: Mapping[ua.AttributeIds, Callable[[Node], ua.DataValue]] = field(default_factory=dict)
    links: tuple[Link, ...] = ()
    position: int | None = None


class Owner(Protocol):
    """A device or a type: whose members the nodes of one prefix are."""

    @property
    def id(self) -> str:
        """Prefix of the string NodeIds: `xw1`."""
        ...

    @property
    def namespace(self) -> int:
        """Namespace index of the NodeIds."""
        ...

    @property
    def first_slot(self) -> int | None:
        """Slot of the model's first point; None for a type."""
        ...

    def shape(self, member: str) -> Shape | None:
        """Shape of a member ("" is the owner itself); None when there is no such member."""
        ...


class Directory(Protocol):
    """Finds the computed nodes of one namespace."""

    def find(self, identifier: str) -> tuple[Owner, str, Shape] | None:
        """Owner, member and shape behind a string identifier; None when there is no such node."""
        ...

    def __iter__(self) -> Iterator[str]:
        """Every identifier, each once."""
        ...

    def __len__(self) -> int:
        """How many identifiers there are."""
        ...


def refusal(status: int) -> ua.UaError:
    """The exception that asyncua answers with this status code."""
    return ua.UaStatusCodeError(status)  # type: ignore[no-untyped-call]


def member_id(owner: str, member: str) -> str:
    """String identifier of a member: `xw1.ac_power`; the owner's own for ""."""
    return f"{owner}.{member}" if member else owner


def reference(link_type: ua.NodeId, forward: bool, target: ua.NodeId, shape: Shape) -> ua.ReferenceDescription:
    """A reference to a node of a shape."""
    return ua.ReferenceDescription(
        ReferenceTypeId=link_type,
        IsForward=forward,
        NodeId=target,
        BrowseName=shape.browse_name,
        DisplayName=shape.display_name,
        NodeClass=shape.node_class,
        TypeDefinition=shape.type_definition or ua.NodeId(),
    )
