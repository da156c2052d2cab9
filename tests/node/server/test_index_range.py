"""Parts of arrays and texts."""

import pytest
from asyncua import ua

from node.server.index_range import BadRange, apply_range, parse_range

LIST = ua.Variant([1, 2, 3, 4], ua.VariantType.Int32)
TEXTS = ua.Variant(["abc", "defg"], ua.VariantType.String)
TEXT = ua.Variant("hello", ua.VariantType.String)


@pytest.mark.parametrize(
    ("variant", "text", "part"),
    [
        (LIST, "0", [1]),
        (LIST, "1:2", [2, 3]),
        (LIST, "2:99", [3, 4]),
        (TEXT, "1:3", "ell"),
        (TEXT, "0", "h"),
        (TEXTS, "1,0:1", ["de"]),
    ],
)
def test_part(variant: ua.Variant, text: str, part: object) -> None:
    taken = apply_range(variant, parse_range(text))
    assert taken.Value == part
    assert taken.VariantType == variant.VariantType
    assert taken.is_array == isinstance(part, list)


@pytest.mark.parametrize("text", ["", "a", "-1", "2:1", "1:1", "1:", ":2", "1,", "1;2", "1:2:3", " 1"])
def test_what_is_no_range(text: str) -> None:
    with pytest.raises(BadRange) as caught:
        parse_range(text)
    assert caught.value.status == ua.StatusCodes.BadIndexRangeInvalid


@pytest.mark.parametrize(
    ("variant", "text"),
    [
        (LIST, "4"),
        (LIST, "0,0"),
        (LIST, "0,0,0"),
        (TEXT, "5"),
        (TEXT, "0,0"),
        (TEXTS, "0,9"),
        (ua.Variant(1.5, ua.VariantType.Double), "0"),
        (ua.Variant([[1, 2], [3, 4]], ua.VariantType.Int32), "0,0"),
    ],
)
def test_what_a_value_does_not_have(variant: ua.Variant, text: str) -> None:
    with pytest.raises(BadRange) as caught:
        apply_range(variant, parse_range(text))
    assert caught.value.status == ua.StatusCodes.BadIndexRangeNoData
