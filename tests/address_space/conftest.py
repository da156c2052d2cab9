"""asyncua's own nodes, made once; a small plant with two brands of inverter on top of them."""

import gc
from collections.abc import Iterator
from dataclasses import dataclass

import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeService, NodeManagementService, ViewService
from asyncua.server.standard_address_space import standard_address_space

from address_space.builder import BuiltSpace, build
from address_space.history_configuration import HistoryOffer
from address_space.image import ProcessImage
from address_space.model import (
    Argument,
    Batch,
    Command,
    DataType,
    Device,
    DeviceClass,
    DeviceModel,
    Enumeration,
    EnumMember,
    FunctionalGroup,
    Point,
    PointKind,
    Range,
    Status,
    Value,
    device_model,
)
from address_space.nodes import Node, NodeMap
from address_space.system import SYSTEM_POINTS, bus_model, node_model
from tests.fake_clock import FakeClock

STATES = Enumeration("XwState", (EnumMember(0, "Hibernate"), EnumMember(2, "Standby", "Waits."), EnumMember(9, "Sell")))
OFF_ON = Enumeration("OffOn", (EnumMember(0, "Off"), EnumMember(1, "On")))

POINTS = (
    Point(
        "ac_power",
        "AC power",
        "Power on the AC terminal",
        DataType.DOUBLE,
        PointKind.ANALOG,
        unit="W",
        range=Range(-6800, 6800),
        historize=True,
        from_class=True,
    ),
    Point("ac_energy", "AC energy", "", DataType.UINT64, PointKind.COUNTER, FunctionalGroup.STATISTICS, unit="kWh"),
    Point("state", "State", "", DataType.UINT16, PointKind.STATE, FunctionalGroup.STATUS, enumeration=STATES),
    Point("grid", "Grid", "Grid present.", DataType.BOOLEAN, PointKind.FLAG, enumeration=OFF_ON),
    Point("bare_flag", "Bare flag", "", DataType.BOOLEAN, PointKind.FLAG),
    Point("name", "Name", "", DataType.STRING, PointKind.DATA, FunctionalGroup.IDENTIFICATION),
    Point("serial_number", "Serial", "", DataType.STRING, PointKind.DATA, FunctionalGroup.IDENTIFICATION),
    Point("faults", "Faults", "", DataType.UINT32, PointKind.DATA),
    Point("float_32", "Float", "", DataType.FLOAT, PointKind.ANALOG, unit="degC"),
    Point("small", "Small", "", DataType.INT16, PointKind.ANALOG),
    Point("since", "Since", "", DataType.INT64, PointKind.TIME),
    Point(
        "limit",
        "Charge limit",
        "Largest charge current.",
        DataType.DOUBLE,
        PointKind.ANALOG,
        FunctionalGroup.CONFIGURATION,
        "A",
        Range(0, 140),
        writable=True,
    ),
)
COMMANDS = (
    Command("StartSell", "Start selling", "Export power.", from_class=True),
    Command(
        "SetLoadShave",
        "Set load shave",
        "",
        (
            Argument("Limit", DataType.DOUBLE, "Largest draw", unit="A", range=Range(0, 60)),
            Argument("Mode", DataType.INT32, "What to do", enumeration=OFF_ON),
        ),
    ),
)


def inverter_model(model_id: str = "schneider.xw", *more: Point) -> DeviceModel:
    return device_model(
        model_id,
        DeviceClass.INVERTER,
        (*POINTS, *more, *SYSTEM_POINTS),
        COMMANDS,
        manufacturer="Schneider",
        model="XW",
        description="An inverter.",
    )


def devices() -> list[Device]:
    xw = inverter_model()
    return [
        Device("xw1", xw, "Inverter 1", bus="gw1", control=True, serial_number="S-1"),
        Device("xw2", xw, bus="gw1"),
        Device("other", inverter_model("other.brand")),
        Device("tank", device_model("some.tank", DeviceClass.TANK, SYSTEM_POINTS)),
        Device("gw1", bus_model()),
        Device("node", node_model()),
    ]


@dataclass(frozen=True)
class Plant:
    """A built address space, with asyncua's services on it."""

    built: BuiltSpace
    image: ProcessImage
    clock: FakeClock
    space: AddressSpace

    @property
    def nodes(self) -> NodeMap:
        return self.built.nodes

    def node(self, path: str) -> Node:
        node = self.nodes[site_id(path)]
        assert isinstance(node, Node)
        return node

    def put(self, path: str, value: Value | None, status: int = Status.GOOD) -> int:
        device, _, point = path.partition(".")
        slot = self.image.slot(device, point)
        self.image.publish(Batch([slot], [value], [status], self.clock.now()))
        return slot

    def read(self, path: str | ua.NodeId, attribute: ua.AttributeIds = ua.AttributeIds.Value) -> ua.DataValue:
        nodeid = site_id(path) if isinstance(path, str) else path
        return self.space.read_attribute_value(nodeid, attribute)

    def value(self, path: str | ua.NodeId, attribute: ua.AttributeIds = ua.AttributeIds.Value) -> object:
        """Value of an attribute that must be Good."""
        found = self.read(path, attribute)
        assert found.StatusCode.is_good(), (path, found)
        return found.Value.Value

    def browse(self, nodeid: ua.NodeId, *, forward: bool = True) -> list[ua.ReferenceDescription]:
        description = ua.BrowseDescription(
            NodeId=nodeid,
            BrowseDirection=ua.BrowseDirection.Forward if forward else ua.BrowseDirection.Inverse,
            ReferenceTypeId=ua.NodeId(ua.ObjectIds.HierarchicalReferences),
            IncludeSubtypes=True,
        )
        [result] = ViewService(self.space).browse(ua.BrowseParameters(NodesToBrowse=[description]))
        assert result.StatusCode.is_good()
        return result.References

    def children(self, path: str | ua.NodeId) -> set[str]:
        nodeid = site_id(path) if isinstance(path, str) else path
        return {f"{ref.BrowseName.NamespaceIndex}:{ref.BrowseName.Name}" for ref in self.browse(nodeid)}

    async def write(self, path: str, value: object) -> None:
        item = ua.WriteValue(NodeId=site_id(path), AttributeId=ua.AttributeIds.Value, Value=ua.DataValue(value))
        await AttributeService(self.space).write(ua.WriteParameters(NodesToWrite=[item]))


def site_id(path: str) -> ua.NodeId:
    return ua.NodeId(path, 4)


def model_id(path: str) -> ua.NodeId:
    return ua.NodeId(path, 3)


def raise_plant(
    standard: AddressSpace, clock: FakeClock, members: list[Device] | None = None, *, history: bool = True
) -> Plant:
    image = ProcessImage(devices() if members is None else members, clock)
    built = build(
        NodeMap(standard._nodes), image, clock, "demo", "Demo plant", history=HistoryOffer() if history else None
    )
    space = AddressSpace()
    space._nodes = built.nodes
    return Plant(built, image, clock, space)


@pytest.fixture(scope="session")
def every_standard_node() -> AddressSpace:
    """asyncua's namespace 0, which takes most of a second."""
    space = AddressSpace()
    gc.disable()
    try:
        standard_address_space.fill_address_space(NodeManagementService(space))
    finally:
        gc.enable()
    return space


@pytest.fixture
def standard(every_standard_node: AddressSpace) -> Iterator[AddressSpace]:
    """Namespace 0; references that a test's plant adds to it are taken away afterwards."""
    counts = {nodeid: len(node.references) for nodeid, node in every_standard_node._nodes.items()}
    yield every_standard_node
    for nodeid, count in counts.items():
        del every_standard_node[nodeid].references[count:]


@pytest.fixture
def plant(standard: AddressSpace, clock: FakeClock) -> Plant:
    return raise_plant(standard, clock)
