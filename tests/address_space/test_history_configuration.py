import tracemalloc
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace

from address_space.builder import build
from address_space.history_configuration import HAS_HISTORICAL_CONFIGURATION, HistoryOffer, stepped
from address_space.image import ProcessImage
from address_space.model import DataType, Device, DeviceClass, Point, PointKind, RecordingRule, device_model
from address_space.nodes import NodeMap
from address_space.system import node_model
from tests.fake_clock import START, FakeClock

POINTS = (
    Point(
        "power",
        "Power",
        "",
        DataType.DOUBLE,
        PointKind.ANALOG,
        unit="W",
        historize=True,
        record=RecordingRule(every_s=1.0),
    ),
    Point("mode", "Mode", "", DataType.INT32, PointKind.DATA, historize=True),
    Point("scratch", "Scratch", "", DataType.DOUBLE, PointKind.DATA),
)
CONFIGURED = 10  # nodes of a variable's configuration


def plant(
    standard: AddressSpace, offer: HistoryOffer | None, points: tuple[Point, ...] = POINTS, devices: int = 1
) -> NodeMap:
    model = device_model("test.plant", DeviceClass.GENERIC, points)
    image = ProcessImage(
        [*(Device(f"xw{number}", model) for number in range(devices)), Device("node", node_model())], FakeClock()
    )
    nodes = NodeMap(standard._nodes)
    build(nodes, image, FakeClock(), "test", history=offer)
    return nodes


def node(nodes: NodeMap, path: str, namespace: int = 4) -> Any:
    return nodes[ua.NodeId(path, namespace)]


def plain(found: Any, attribute: ua.AttributeIds = ua.AttributeIds.Value) -> Any:
    return found.attributes[attribute].value.Value.Value


def below(nodes: NodeMap, path: str) -> dict[str, ua.NodeId]:
    return {each.BrowseName.Name: each.NodeId for each in node(nodes, path).references if each.IsForward}


def test_a_historized_variable_has_a_configuration_with_its_four_aggregate_values(standard: AddressSpace) -> None:
    nodes = plant(standard, HistoryOffer(start=lambda tag: START if tag == "xw0.power" else None))
    [link] = [
        each for each in node(nodes, "xw0.power").references if each.ReferenceTypeId == HAS_HISTORICAL_CONFIGURATION
    ]
    assert link.BrowseName == ua.QualifiedName("HA Configuration", 0)
    configuration = below(nodes, "xw0.power.HAConfiguration")
    assert configuration.keys() == {
        "HistoricalDataConfigurationType",
        "Stepped",
        "StartOfArchive",
        "StartOfOnlineArchive",
        "ServerTimestampSupported",
        "AggregateConfiguration",
    }
    assert plain(nodes[configuration["StartOfArchive"]]) == ua.win_epoch_to_datetime(START)
    assert plain(node(nodes, "xw0.mode.HAConfiguration.StartOfArchive")) is None
    four = below(nodes, "xw0.power.HAConfiguration.AggregateConfiguration")
    del four["AggregateConfigurationType"]
    assert {name: plain(nodes[nodeid]) for name, nodeid in four.items()} == {
        "TreatUncertainAsBad": True,
        "PercentDataBad": 100,
        "PercentDataGood": 100,
        "UseSlopedExtrapolation": False,
    }
    assert [plain(node(nodes, f"xw0.{each}.HAConfiguration.Stepped")) for each in ("power", "mode")] == [False, True]


@pytest.mark.parametrize(
    ("offer", "access", "members"),
    [
        (None, 1, 0),
        (HistoryOffer(), 1 | 4, CONFIGURED),
        (HistoryOffer(changes=True), 1 | 4 | 8, CONFIGURED + 1),
    ],
)
def test_what_is_offered_is_there_and_nothing_else(
    standard: AddressSpace, offer: HistoryOffer | None, access: int, members: int
) -> None:
    nodes = plant(standard, offer)
    assert plain(node(nodes, "xw0.power"), ua.AttributeIds.AccessLevel) == access
    assert plain(node(nodes, "xw0.scratch"), ua.AttributeIds.AccessLevel) == 1
    for path, count in (("xw0.power.", members), ("xw0.scratch.", 0)):
        found = [each for each in nodes if str(each.Identifier).startswith(path) and each.NamespaceIndex == 4]
        assert (
            len([each for each in found if "Configuration" in each.Identifier or "Annot" in each.Identifier]) == count
        )
    assert len(list(nodes)) == len(nodes)
    assert not [each for each in nodes if each.NamespaceIndex == 3 and "Configuration." in str(each.Identifier)]


def test_every_reference_of_the_configuration_has_its_inverse(standard: AddressSpace) -> None:
    nodes = plant(standard, HistoryOffer(changes=True, events=True))
    ours = [each for each in nodes if each.NamespaceIndex == 4]
    for nodeid in ours:
        for each in nodes[nodeid].references:
            if each.NodeId.NamespaceIndex != 4:
                continue
            back = (each.ReferenceTypeId, not each.IsForward, nodeid)
            assert back in {(b.ReferenceTypeId, b.IsForward, b.NodeId) for b in nodes[each.NodeId].references}


@pytest.mark.parametrize("events", [False, True])
def test_notifiers_say_whether_their_events_are_kept(standard: AddressSpace, *, events: bool) -> None:
    nodes = plant(standard, HistoryOffer(events=events))
    for path in ("xw0", "node", "_site"):
        assert plain(node(nodes, path), ua.AttributeIds.EventNotifier) == (5 if events else 1)
        kept = below(nodes, path).get("HistoricalEventFilter")
        assert (kept is not None) is events
        if kept is not None:
            assert plain(nodes[kept]).SelectClauses


@pytest.mark.parametrize(
    "rule", [RecordingRule(every_s=10.0), RecordingRule(deadband=1.0), RecordingRule(False, every_s=1.0)]
)
def test_numbers_that_are_measured_lie_on_a_line_where_samples_are_left_out(rule: RecordingRule) -> None:
    kinds = {kind: stepped(Point("p", "", "", DataType.DOUBLE, kind), rule) for kind in PointKind}
    assert {kind for kind, held in kinds.items() if not held} == {PointKind.ANALOG, PointKind.COUNTER}


@pytest.mark.parametrize("rule", [None, RecordingRule(), RecordingRule(heartbeat_s=60.0)])
def test_what_is_recorded_at_every_change_stays_until_the_next_sample(rule: RecordingRule | None) -> None:
    assert all(stepped(Point("p", "", "", DataType.DOUBLE, kind), rule) for kind in PointKind)


def test_the_configuration_costs_no_memory_per_point(standard: AddressSpace) -> None:
    tracemalloc.start()
    try:
        nodes = plant(standard, HistoryOffer(changes=True, events=True, start=lambda _tag: START), devices=2_000)
        before = tracemalloc.get_traced_memory()[0]
        for number in range(2_000):
            for name in ("power", "mode"):
                assert plain(node(nodes, f"xw{number}.{name}.HAConfiguration.Stepped")) is (name == "mode")
        assert tracemalloc.get_traced_memory()[0] - before < 100_000
    finally:
        tracemalloc.stop()
