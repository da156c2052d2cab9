"""Values of clients in audit events."""

from typing import Any

import pytest
from asyncua import ua

from node.server.events.audit_value import is_small, kept


@pytest.mark.parametrize(
    "value",
    [
        None,
        30.0,
        "text",
        ua.Variant(30.0),
        ua.Variant([1, 2, 3]),
        ua.DataValue(ua.Variant("text"), StatusCode=ua.StatusCode()),
        ua.NodeId("xw1", 4),
        [ua.Variant(each) for each in range(5)],
    ],
)
def test_what_people_write_is_kept(value: Any) -> None:
    assert is_small(value, 100)
    assert kept({((0, "NewValue"),): value}, 100) == {((0, "NewValue"),): value}


@pytest.mark.parametrize(
    "value",
    [
        "x" * 101,
        b"x" * 101,
        ua.Variant("x" * 101),
        ua.Variant([0] * 101),
        [ua.Variant(ua.Variant("x" * 40))] * 3,
        ua.Variant(ua.ExtensionObject(ua.NodeId(1), b"x" * 101)),
        ua.NodeId("x" * 101, 4),
        ua.Variant(ua.LocalizedText("x" * 101)),
    ],
)
def test_what_is_too_large_is_left_out(value: Any) -> None:
    assert not is_small(value, 100)
    assert kept({((0, "NewValue"),): value}, 100) == {((0, "NewValue"),): ua.Variant()}
