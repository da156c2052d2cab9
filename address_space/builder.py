"""Devices -> instance nodes: DI's DeviceSet, the site's folders, and computed nodes with stable string NodeIds.

`build` fills a node map that has asyncua's own nodes; nothing in it is kept per point. The NodeId of a point is its
path (`xw1.ac_power`), that of a command likewise (`xw1.StartSell`); they depend on nothing but the site file.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from asyncua import ua

from address_space import di
from address_space.attributes import object_attributes
from address_space.catalogue import Catalogue
from address_space.event_types import add_event_types
from address_space.history_configuration import EVENT_FILTER, HistoryOffer, event_filter_attributes
from address_space.image import ProcessImage
from address_space.layout import Layout
from address_space.metadata import NAMES, Metadata, add_metadata
from address_space.model import OWN_CLASSES, Clock, Command, Device, DeviceClass, DeviceModel
from address_space.nodes import Node, NodeMap
from address_space.shape import (
    HAS_COMPONENT,
    HAS_NOTIFIER,
    HAS_PROPERTY,
    HAS_TYPE_DEFINITION,
    MODEL_URI,
    NS_MODEL,
    NS_SITE,
    ORGANIZES,
    Link,
    Owner,
    Shape,
    member_id,
    namespace_uris,
    node_id,
)
from address_space.types import Types, find
from address_space.values import Samples, text

# First part of the NodeIds of the site object and what is fixed below it; ids of devices start with a letter.
SITE: Final = "_site"
_OBJECTS: Final = node_id(ua.ObjectIds.ObjectsFolder)
_SERVER: Final = node_id(ua.ObjectIds.Server)
_PROPERTY_TYPE: Final = node_id(ua.ObjectIds.PropertyType)
_USUAL: Final = HistoryOffer()
_FOLDER_TYPE: Final = node_id(ua.ObjectIds.FolderType)
# Folder of the site object in which the devices of a class are organized; the node itself stands beside them.
_FOLDERS: Final[dict[DeviceClass, tuple[str, str]]] = {
    DeviceClass.INVERTER: ("Inverters", "Inverters"),
    DeviceClass.FUEL_CELL: ("FuelCells", "Fuel cells"),
    DeviceClass.BATTERY: ("Batteries", "Batteries"),
    DeviceClass.METER: ("Meters", "Meters"),
    DeviceClass.PV: ("Pv", "PV"),
    DeviceClass.TANK: ("Tanks", "Tanks"),
    DeviceClass.SENSOR: ("Sensors", "Sensors"),
    DeviceClass.GENERIC: ("Generic", "Other devices"),
    DeviceClass.BUS: ("Buses", "Buses"),
    DeviceClass.SINK: ("Sinks", "Sinks"),
}
# Version of the types in the model's namespace.
_MODEL_VERSION: Final = "1.0.0"


class DeviceOwner:
    """One device, bus or the node itself as an object with members."""

    __slots__ = ("_parents", "_type", "device", "first_slot", "layout")

    namespace = NS_SITE

    def __init__(
        self, device: Device, layout: Layout, first_slot: int, type_definition: ua.NodeId, parents: tuple[Link, ...]
    ) -> None:
        self.device = device
        self.layout = layout
        self.first_slot: int | None = first_slot
        self._type = type_definition
        self._parents = parents

    @property
    def id(self) -> str:
        """Id of the device: the identifier of its NodeId."""
        return self.device.id

    def shape(self, member: str) -> Shape | None:
        """Shape of the device ("") or of one of its members."""
        if member:
            return self.layout.shape(member)
        device = self.device
        name = ua.QualifiedName(device.id, NS_SITE)
        label = device.label or device.id
        return Shape(
            ua.NodeClass.Object,
            name,
            text(label),
            self._type,
            object_attributes(
                name,
                label,
                device.description or device.model.description,
                notifier=True,
                history=self.layout.event_history,
            ),
            links=(Link(HAS_TYPE_DEFINITION, True, self._type), *self._parents, *self.layout.links()),
        )


class SiteDirectory:
    """The computed nodes of all devices of a site."""

    def __init__(self) -> None:
        self.owners: dict[str, DeviceOwner] = {}

    def find(self, identifier: str) -> tuple[Owner, str, Shape] | None:
        """Owner, member and shape behind a string identifier; None when there is no such node."""
        return find(self.owners, identifier)

    def __iter__(self) -> Iterator[str]:
        for owner in self.owners.values():
            yield owner.id
            yield from (member_id(owner.id, member) for member in owner.layout)

    def __len__(self) -> int:
        return sum(1 + owner.layout.size for owner in self.owners.values())


class BuiltSpace:
    """An address space over a process image, and the way back from its NodeIds to devices."""

    def __init__(self, nodes: NodeMap, directory: SiteDirectory) -> None:
        self.nodes = nodes
        self._directory = directory

    def device_of(self, nodeid: ua.NodeId) -> str | None:
        """Id of the device, bus or node whose object or member this is; None for every other NodeId."""
        node = self._find(nodeid)
        return None if node is None else node.owner.id

    def point_of(self, nodeid: ua.NodeId) -> int | None:
        """Slot of the point whose variable this is; None for properties and everything else."""
        node = self._find(nodeid)
        owner = None if node is None else self._directory.owners[node.owner.id]
        if node is None or owner is None or node.member not in owner.device.model.index:
            return None
        return node.slot

    def command_of(self, nodeid: ua.NodeId) -> tuple[str, str] | None:
        """(device id, command id) of a method of a device; None for everything else."""
        node = self._find(nodeid)
        if node is None or node.shape.node_class is not ua.NodeClass.Method:
            return None
        return node.owner.id, node.member

    def command(self, device_id: str, command_id: str) -> Command:
        """Declaration of a device's command; raises KeyError when it has none of that id."""
        for command in self._directory.owners[device_id].device.model.commands:
            if command.id == command_id:
                return command
        raise KeyError(f"{device_id}.{command_id}")

    def has_method(self, object_id: ua.NodeId, method_id: ua.NodeId) -> bool:
        """Whether a method may be called on an object: its device, MethodSet or the group that organizes it."""
        node = self._find(method_id)
        if node is None or node.shape.node_class is not ua.NodeClass.Method:
            return False
        above = {"", *(str(link.target) for link in node.shape.links if not link.forward)}
        return any(object_id == node_id(member_id(node.owner.id, member), NS_SITE) for member in above)

    def _find(self, nodeid: ua.NodeId) -> Node | None:
        return self.nodes.find(nodeid) if nodeid.NamespaceIndex == NS_SITE else None


def build(
    nodes: NodeMap,
    image: ProcessImage,
    clock: Clock,
    site_id: str,
    site_label: str = "",
    *,
    history: HistoryOffer | None = _USUAL,
) -> BuiltSpace:
    """Add types, site and devices to a node map that holds asyncua's own nodes.

    `history` is what is offered of it; None leaves away all that is about history at all points. Raises ValueError for
    a model that cannot be shown (two members of one name, an unknown unit) and for a device that is called `Site`.
    """
    devices = list(image.devices.values())
    types = Types(device.model for device in devices)
    samples = Samples(image, clock)
    directory = SiteDirectory()
    layouts: dict[int, tuple[DeviceModel, Layout]] = {}
    for device in devices:
        if device.id == SITE:
            raise ValueError(f"a device cannot be called {SITE!r}: that is the NodeId of the site object")
        # By identity: comparing models of a hundred points for every device would cost the start.
        if id(device.model) not in layouts:
            layouts[id(device.model)] = device.model, Layout(device.model, samples, history=history)
        layout = layouts[id(device.model)][1]
        directory.owners[device.id] = DeviceOwner(
            device, layout, image.slots(device.id).start, types.of(device.model), _parents(device.model.device_class)
        )
    catalogue = Catalogue()
    di.add_di(catalogue)
    di.add_di_metadata(catalogue)
    types.add_fixed(catalogue)
    add_event_types(catalogue)
    _add_site(catalogue, devices, site_id, site_label, history=history is not None and history.events)
    nodes.mount(NS_MODEL, types)
    nodes.mount(NS_SITE, directory)
    catalogue.install(nodes)
    return BuiltSpace(nodes, directory)


def _site_node(*names: str) -> ua.NodeId:
    return node_id(".".join((SITE, *names)), NS_SITE)


def _parents(device_class: DeviceClass) -> tuple[Link, ...]:
    folder = _FOLDERS.get(device_class)
    links = [Link(ORGANIZES, False, _site_node() if folder is None else _site_node(folder[0]))]
    if device_class not in OWN_CLASSES:
        links.insert(0, Link(HAS_COMPONENT, False, di.DEVICE_SET))
    links.append(Link(HAS_NOTIFIER, False, _site_node()))
    return tuple(links)


def _add_site(catalogue: Catalogue, devices: list[Device], site_id: str, site_label: str, *, history: bool) -> None:
    """The site object with one folder per class in use, and the references down to the devices."""
    name = ua.QualifiedName(site_id, NS_SITE)
    site = catalogue.add(
        _site_node(),
        object_attributes(
            name, site_label or site_id, "All devices of the site, by class.", notifier=True, history=history
        ),
        (ORGANIZES, _OBJECTS),
        _FOLDER_TYPE,
    )
    # Events of a device reach who watches the device, the site or the Server (OPC 10000-3 section 7.18).
    catalogue.refer(_SERVER, HAS_NOTIFIER, site)
    catalogue.refer_back(site, HAS_NOTIFIER, _SERVER)
    if history:
        for notifier, child in ((site, EVENT_FILTER), (_SERVER, f"Server{EVENT_FILTER}")):
            catalogue.add(_site_node(child), event_filter_attributes(), (HAS_PROPERTY, notifier), _PROPERTY_TYPE)
    present = {device.model.device_class for device in devices}
    for device_class, (folder, label) in _FOLDERS.items():
        if device_class in present:
            attributes = object_attributes(ua.QualifiedName(folder, NS_MODEL), label, "")
            catalogue.add(_site_node(folder), attributes, (ORGANIZES, site), _FOLDER_TYPE)
    for device in devices:
        for link in _parents(device.model.device_class):
            assert isinstance(link.target, ua.NodeId)  # noqa: S101  # made so in `_parents`
            catalogue.refer(link.target, link.type, node_id(device.id, NS_SITE))
    uris = namespace_uris("", site_id)
    model = Metadata(NS_MODEL, MODEL_URI, _MODEL_VERSION, None, subset=False, numeric=False, static=True)
    own = Metadata(NS_SITE, uris[NS_SITE], "", None, subset=False, numeric=False, static=False)
    for facts, prefix in ((model, "Metadata"), (own, f"{SITE}.Metadata")):
        nodeid = node_id(prefix, facts.namespace)
        properties = {key: node_id(f"{prefix}.{key}", facts.namespace) for key in NAMES}
        add_metadata(catalogue, facts, nodeid, properties)
