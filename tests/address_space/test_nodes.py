"""The node map: computed nodes behave like kept ones, and nothing is kept for those that nobody touched."""

import pickle

import pytest
from asyncua import ua

from tests.address_space.conftest import Plant, model_id, site_id

NOWHERE = (
    site_id("xw1."),
    site_id("xw1.nothing"),
    site_id("xw1.ac_power.Nothing"),
    site_id("xw1.ac_power.EURange.Low"),
    site_id("xw1.StartSell.InputArguments"),  # it has none
    site_id(""),
    site_id(".ac_power"),
    site_id("XW1"),
    model_id("xw1"),
    ua.NodeId("xw1", 5),
    ua.NodeId(1, 4),
    ua.NodeId(b"xw1", 4),
)


async def report(handle: int, value: ua.DataValue) -> None:
    """A subscriber that does not listen."""


def test_a_computed_node_is_there_by_every_way_of_asking(plant: Plant) -> None:
    nodeid = site_id("xw1.ac_power")
    assert nodeid in plant.nodes
    assert plant.nodes[nodeid].nodeid == nodeid
    assert plant.nodes.get(nodeid).nodeid == nodeid
    assert nodeid in set(plant.nodes)
    assert nodeid in list(plant.nodes.keys())


@pytest.mark.parametrize("nodeid", NOWHERE, ids=str)
def test_what_is_not_there_is_not_found(plant: Plant, nodeid: ua.NodeId) -> None:
    assert nodeid not in plant.nodes
    assert plant.nodes.get(nodeid) is None
    assert plant.nodes.get(nodeid, 7) == 7
    with pytest.raises(KeyError):
        plant.nodes[nodeid]
    assert plant.read(nodeid).StatusCode.value == ua.StatusCodes.BadNodeIdUnknown


def test_iteration_length_and_lookup_agree(plant: Plant) -> None:
    listed = list(plant.nodes)
    assert len(listed) == len(set(listed)) == len(plant.nodes)
    assert all(nodeid in plant.nodes for nodeid in listed)
    assert [nodeid for nodeid, _ in plant.nodes.items()] == listed
    assert [node.nodeid for node in plant.nodes.values()] == listed


def test_a_computed_node_cannot_be_replaced_or_deleted(plant: Plant) -> None:
    nodeid = site_id("xw1.ac_power")
    with pytest.raises(ua.UaStatusCodeError) as refused:
        plant.nodes[nodeid] = object()
    assert refused.value.code == ua.StatusCodes.BadNodeIdExists
    with pytest.raises(KeyError):
        del plant.nodes[nodeid]


def test_an_ordinary_node_can_be_added_and_deleted(plant: Plant) -> None:
    nodeid, node = ua.NodeId("own", 1), object()
    before = len(plant.nodes)
    plant.nodes[nodeid] = node
    assert plant.nodes[nodeid] is node
    assert len(plant.nodes) == before + 1
    del plant.nodes[nodeid]
    assert nodeid not in plant.nodes


def test_a_node_map_has_no_file_form(plant: Plant) -> None:
    with pytest.raises(TypeError, match="no file form"):
        pickle.dumps(plant.nodes)


def test_attributes_answer_like_a_dictionary(plant: Plant) -> None:
    attributes = plant.node("xw1.limit").attributes
    assert ua.AttributeIds.Value in attributes
    assert ua.AttributeIds.Executable not in attributes
    assert attributes.get(ua.AttributeIds.Executable) is None
    with pytest.raises(KeyError):
        attributes[ua.AttributeIds.Executable]
    listed = list(attributes)
    assert len(listed) == len(set(listed)) == len(attributes)
    assert list(attributes.keys()) == listed == [attribute for attribute, _ in attributes.items()]
    assert [attribute.value is not None for attribute in attributes.values()] == [True] * len(listed)


def test_an_attribute_that_a_node_does_not_have_is_invalid(plant: Plant) -> None:
    answer = plant.read("xw1.ac_power", ua.AttributeIds.Executable)
    assert answer.StatusCode.value == ua.StatusCodes.BadAttributeIdInvalid


@pytest.mark.parametrize("path", ["xw1.ac_power", "xw1.limit", "xw1.limit.EURange", "xw1.Model"])
async def test_nothing_is_written_past_the_bus(plant: Plant, path: str) -> None:
    plant.put("xw1.ac_power", 5.0)
    plant.put("xw1.limit", 5.0)
    kept = plant.value(path)
    with pytest.raises(ua.UaStatusCodeError) as refused:
        await plant.write(path, plant.read(path).Value)
    assert refused.value.code == ua.StatusCodes.BadNotWritable
    with pytest.raises(ua.UaStatusCodeError):
        plant.node(path).attributes[ua.AttributeIds.Value].value = ua.DataValue(1.0)
    assert plant.value(path) == kept


def test_method_nodes_have_no_callback_of_their_own(plant: Plant) -> None:
    assert plant.node("xw1.StartSell").call is None
    with pytest.raises(AttributeError):
        plant.space.add_method_callback(site_id("xw1.StartSell"), report)


def test_nothing_is_attached_to_a_computed_node(plant: Plant) -> None:
    nodeid = site_id("xw1.ac_power")
    with pytest.raises(TypeError):
        plant.space.add_datachange_callback(nodeid, ua.AttributeIds.Value, report)
    with pytest.raises(ua.UaStatusCodeError):
        plant.space.set_attribute_value_callback(nodeid, ua.AttributeIds.Value, lambda *_: ua.DataValue(7.0))
    with pytest.raises(AttributeError):
        plant.node("xw1.ac_power").references.append(ua.ReferenceDescription())


def test_an_attribute_is_what_it_was_when_it_was_looked_at(plant: Plant) -> None:
    attribute = plant.node("xw1.ac_power").attributes[ua.AttributeIds.Value]
    plant.put("xw1.ac_power", 5.0)
    assert attribute.value.Value.Value == 5.0
    plant.put("xw1.ac_power", 6.0)
    assert attribute.value.Value.Value == 5.0
    assert plant.value("xw1.ac_power") == 6.0
