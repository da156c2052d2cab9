"""Nodes out of bytes are the nodes that asyncua builds, and can be worked on like them."""

import struct
from datetime import UTC, datetime
from typing import Any

import pytest
from asyncua import ua
from asyncua.server.address_space import AddressSpace, AttributeService, NodeManagementService, ViewService
from asyncua.ua import ua_binary

from address_space.builder import build
from address_space.history_configuration import HistoryOffer
from address_space.image import ProcessImage
from address_space.model import Device
from address_space.nodes import NodeMap
from address_space.shape import HAS_TYPE_DEFINITION
from address_space.system import node_model
from node.server.compat import StandardServer, harden_decoder, install_nodes
from node.server.limits import Limits
from node.server.standard.capabilities import publish_capabilities
from node.server.standard.server_object import ServerObject
from node.server.standard.standard_space import Damaged, PackedSpace, StandardNode, Unpackable, pack
from node.server.standard.standard_values import StandardValues
from node.server.standard.withdrawal import withdraw_what_is_not_offered
from tests.fake_clock import FakeClock
from tests.node.server.library_space import build_into, differing, library_nodes

SERVER = ua.NodeId(ua.ObjectIds.Server)
BASE_OBJECT_TYPE = ua.NodeId(ua.ObjectIds.BaseObjectType)
VALUE = ua.AttributeIds.Value
NAME = ua.QualifiedName("Pump", 1)


@pytest.fixture(scope="module")
def packed() -> bytes:
    return pack(library_nodes())


@pytest.fixture
def nodes(packed: bytes) -> dict[ua.NodeId, Any]:
    return dict(PackedSpace(packed).nodes())


@pytest.fixture
def space(nodes: dict[ua.NodeId, Any]) -> AddressSpace:
    space = AddressSpace()
    space._nodes = nodes
    return space


def touched(nodes: dict[ua.NodeId, Any]) -> int:
    """How many nodes have been unpacked."""
    slots = (StandardNode.__dict__["attributes"], StandardNode.__dict__["references"])
    return sum(any(_is_set(slot, node) for slot in slots) for node in nodes.values())


def _is_set(slot: Any, node: object) -> bool:
    try:
        slot.__get__(node)
    except AttributeError:
        return False
    return True


# --- equal


def test_every_node_attribute_and_reference_is_the_librarys(nodes: dict[ua.NodeId, Any]) -> None:
    assert list(nodes) == list(library_nodes())  # the order, too
    assert len(nodes) > 6000
    assert differing(nodes, library_nodes()) == []


def test_values_have_the_librarys_bytes(nodes: dict[ua.NodeId, Any]) -> None:
    for nodeid, node in library_nodes().items():
        for attribute, entry in node.attributes.items():
            mine = nodes[nodeid].attributes[attribute].value
            assert ua_binary.variant_to_binary(mine.Value) == ua_binary.variant_to_binary(entry.value.Value)


def test_the_decoder_that_the_server_hardens_reads_all(packed: bytes) -> None:
    harden_decoder()
    assert differing(dict(PackedSpace(packed).nodes()), library_nodes()) == []


def test_a_difference_would_be_found(nodes: dict[ua.NodeId, Any]) -> None:
    nodes[SERVER].attributes[ua.AttributeIds.EventNotifier].value = ua.DataValue(ua.Variant(0, ua.VariantType.Byte))
    nodes[BASE_OBJECT_TYPE].references.pop()
    del nodes[HAS_TYPE_DEFINITION]
    assert set(differing(nodes, library_nodes())) == {SERVER, BASE_OBJECT_TYPE, HAS_TYPE_DEFINITION}


async def test_a_whole_server_on_it_has_the_same_nodes(nodes: dict[ua.NodeId, Any]) -> None:
    async def unpack(into: Any, _build: Any) -> None:
        into.update(nodes)

    async def library(into: Any, _build: Any) -> None:
        await build_into(into)

    maps = []
    for fill in (unpack, library):
        server, clock = StandardServer(fill), FakeClock()
        maps.append(NodeMap())
        space = install_nodes(server, maps[-1])
        await server.init()
        build(maps[-1], ProcessImage([Device("node", node_model())], clock), clock, "test")
        values = StandardValues(space, clock)
        withdraw_what_is_not_offered(maps[-1])
        ServerObject(values, clock, lambda: 255).publish("urn:test", ["urn:a", "urn:b"])
        publish_capabilities(values, Limits(), HistoryOffer())
        for each in list(maps[-1].values()):
            for entry in each.attributes.values():
                if entry.value_callback:
                    entry.value = entry.value_callback(each.nodeid, VALUE)
        await server.stop()
    assert differing(*maps, times=False) == []
    assert any(isinstance(each, StandardNode) for each in maps[0].values())


# --- lazy


def test_nothing_is_unpacked_before_somebody_looks(nodes: dict[ua.NodeId, Any]) -> None:
    assert SERVER in nodes
    assert nodes[SERVER].nodeid == SERVER
    assert touched(nodes) == 0


def test_looking_at_a_node_unpacks_that_node_only(nodes: dict[ua.NodeId, Any]) -> None:
    assert nodes[SERVER].references
    assert nodes[SERVER].attributes[ua.AttributeIds.BrowseName].value.Value.Value.Name == "Server"
    assert touched(nodes) == 1


def test_what_was_unpacked_stays(nodes: dict[ua.NodeId, Any]) -> None:
    node = nodes[SERVER]
    assert node.attributes is node.attributes
    assert node.references is node.references


def test_it_has_nothing_else(nodes: dict[ua.NodeId, Any]) -> None:
    with pytest.raises(AttributeError, match="colour"):
        _ = nodes[SERVER].colour


# --- changed like ordinary nodes


async def test_a_value_that_is_written_is_read_and_is_nobody_elses(space: AddressSpace) -> None:
    array = ua.NodeId(ua.ObjectIds.Server_NamespaceArray)
    item = ua.WriteValue(array, VALUE, None, ua.DataValue(ua.Variant(["urn:a"], ua.VariantType.String)))
    assert [each.name for each in await AttributeService(space).write(ua.WriteParameters([item]))] == ["Good"]
    assert space.read_attribute_value(array, VALUE).Value == ua.Variant(["urn:a"], ua.VariantType.String)
    assert differing(space._nodes, library_nodes()) == [array]


def test_a_value_with_a_callback_is_the_callbacks(space: AddressSpace) -> None:
    state = ua.NodeId(ua.ObjectIds.Server_ServerStatus_State)
    space.set_attribute_value_callback(state, VALUE, lambda *_: ua.DataValue(ua.Variant(7, ua.VariantType.Int32)))
    assert space.read_attribute_value(state, VALUE).Value == ua.Variant(7, ua.VariantType.Int32)


def test_nodes_below_it_are_added_browsed_and_deleted(space: AddressSpace) -> None:
    manager, view = NodeManagementService(space), ViewService(space)
    item = ua.AddNodesItem()
    item.ParentNodeId, item.ReferenceTypeId = SERVER, ua.NodeId(ua.ObjectIds.HasComponent)
    item.RequestedNewNodeId, item.BrowseName = ua.NodeId("pump", 1), NAME
    item.NodeClass, item.TypeDefinition = ua.NodeClass.Object, ua.NodeId(ua.ObjectIds.BaseObjectType)
    item.NodeAttributes = ua.ObjectAttributes(DisplayName=ua.LocalizedText("Pump"))

    def names() -> list[ua.QualifiedName]:
        question = ua.BrowseParameters(NodesToBrowse=[ua.BrowseDescription(NodeId=SERVER)])
        return [each.BrowseName for each in view.browse(question)[0].References]

    assert NAME not in names()
    assert [each.StatusCode.name for each in manager.add_nodes([item])] == ["Good"]
    assert NAME in names()
    gone = ua.DeleteNodesParameters([ua.DeleteNodesItem(ua.NodeId("pump", 1), DeleteTargetReferences=True)])
    assert [each.name for each in manager.delete_nodes(gone)] == ["Good"]
    assert differing(space._nodes, library_nodes()) == []


async def test_a_new_display_name_is_seen_from_neighbours_that_nobody_had_looked_at(space: AddressSpace) -> None:
    new = ua.DataValue(ua.Variant(ua.LocalizedText("Other"), ua.VariantType.LocalizedText))
    await space.write_attribute_value(SERVER, ua.AttributeIds.DisplayName, new)
    objects = space[ua.NodeId(ua.ObjectIds.ObjectsFolder)]
    assert [each.DisplayName for each in objects.references if each.NodeId == SERVER] == [ua.LocalizedText("Other")]


# --- what cannot be packed or unpacked


def _with_time(nodes: Any) -> None:
    stamp: Any = datetime(2026, 1, 1, tzinfo=UTC)
    entry = nodes[SERVER].attributes[ua.AttributeIds.EventNotifier]
    entry.value = ua.DataValue(entry.value.Value, SourceTimestamp=stamp)


def _with_callback(nodes: Any) -> None:
    nodes[SERVER].attributes[ua.AttributeIds.BrowseName].value_callback = lambda *_: ua.DataValue()


def _with_method(nodes: Any) -> None:
    nodes[SERVER].call = print


def _with_matrix(nodes: Any) -> None:
    entry = nodes[SERVER].attributes[ua.AttributeIds.EventNotifier]
    entry.value = ua.DataValue(ua.Variant([[1, 2], [3, 4]], ua.VariantType.Int32))


def _with_other_name(nodes: Any) -> None:
    nodes[SERVER].references[0].DisplayName = ua.LocalizedText("Other")


def _without_target(nodes: Any) -> None:
    del nodes[nodes[SERVER].references[0].NodeId]


def _with_text_as_id(nodes: Any) -> None:
    nodes[ua.NodeId("pump", 0)] = nodes[SERVER]


@pytest.mark.parametrize(
    "spoil",
    [_with_time, _with_callback, _with_method, _with_matrix, _with_other_name, _without_target, _with_text_as_id],
)
def test_what_the_bytes_cannot_hold_is_refused(nodes: dict[ua.NodeId, Any], spoil: Any) -> None:
    spoil(nodes)
    with pytest.raises(Unpackable):
        pack(nodes)


@pytest.mark.parametrize("length", [0, 7, 8, 20_000, 200_000, -1])
def test_bytes_that_end_early_are_refused(packed: bytes, length: int) -> None:
    with pytest.raises(Damaged):
        PackedSpace(packed[:length])


def test_bytes_too_many_are_refused(packed: bytes) -> None:
    with pytest.raises(Damaged):
        PackedSpace(packed + b"\0")


def test_impossible_counts_are_refused_at_once() -> None:
    with pytest.raises(Damaged):
        PackedSpace(struct.pack("<II", 0xFFFFFFFF, 0xFFFFFFFF))
