import math
import struct

import pytest
from hypothesis import assume, given
from hypothesis import strategies as st

from address_space.model import DataType, Enumeration, EnumMember, Point, PointKind, Status
from drivers.codec import Decoder, addresses, encode, word_order
from drivers.spec import BitField, RawType, RegisterSource, Table, WordOrder
from tests.drivers.equipment import point, source

GOOD, NO_VALUE, ODD = Status.GOOD, Status.BAD_SENSOR_FAILURE, Status.UNCERTAIN
BIG, LITTLE = WordOrder.BIG, WordOrder.LITTLE
WIDTHS = {RawType.U16: 1, RawType.I16: 1, RawType.U32: 2, RawType.I32: 2, RawType.U64: 4, RawType.I64: 4}
STATES = Enumeration("States", (EnumMember(1, "On"), EnumMember(2, "Off")))


def words(*values: int) -> bytes:
    return struct.pack(f">{len(values)}H", *values)


def decode(one: Point, from_: RegisterSource, payload: bytes, address: int | None = None, order: WordOrder = BIG):
    start = from_.address if address is None else address
    decoder = Decoder([(one, from_)], {}, start, len(payload) // 2, lambda _: order)
    values, statuses = decoder.decode(payload)
    return values[0], statuses[0]


@pytest.mark.parametrize(
    ("raw", "registers", "payload", "value"),
    [
        (RawType.U16, 1, words(0xFFFE), 65534.0),
        (RawType.I16, 1, words(0xFFFE), -2.0),
        (RawType.U32, 2, words(0x0001, 0x0002), 65538.0),
        (RawType.I32, 2, words(0xFFFF, 0xFFFF), -1.0),
        (RawType.U64, 4, words(0, 0, 1, 0), 65536.0),
        (RawType.I64, 4, words(0xFFFF, 0xFFFF, 0xFFFF, 0xFFFE), -2.0),
        (RawType.F32, 2, struct.pack(">f", 49.5), 49.5),
        (RawType.F64, 4, struct.pack(">d", -0.1), -0.1),
        (RawType.BITS32, 2, words(0x8000, 1), 0x8000_0001),
    ],
)
def test_each_raw_type_is_read_high_word_first(raw: RawType, registers: int, payload: bytes, value: float) -> None:
    assert decode(point("p"), source(10, raw, registers), payload) == (value, GOOD)


def test_little_word_order_swaps_words_and_not_bytes() -> None:
    assert decode(point("p"), source(0, RawType.U32, 2), words(0x0002, 0x0001), order=LITTLE) == (65538.0, GOOD)


def test_the_word_order_of_the_bus_goes_before_the_sources_and_that_before_the_profiles() -> None:
    own = source(0, RawType.U32, 2, word_order=LITTLE)
    assert word_order(own, BIG, None) is LITTLE
    assert word_order(own, BIG, BIG) is BIG
    assert word_order(source(0), LITTLE, None) is LITTLE


def test_words_that_are_not_adjacent_are_put_together_as_written_whatever_the_order() -> None:
    apart = source(667, RawType.U32, 2, words=(671, 667))
    payload = words(0x0002, 9, 9, 9, 0x0001)
    assert decode(point("p"), apart, payload, 667, LITTLE) == (65538.0, GOOD)
    assert addresses(apart, LITTLE) == (671, 667)


def test_scale_and_offset_give_the_decimal_that_was_meant() -> None:
    kelvin = source(0, scale=0.01, offset=-273.0)
    assert decode(point("p"), kelvin, words(29715)) == (24.15, GOOD)
    assert decode(point("p"), source(0, RawType.I16, scale=-0.1), words(123)) == (-12.3, GOOD)


def test_an_integer_point_gets_an_integer() -> None:
    value, _ = decode(point("p", DataType.INT32), source(0, scale=0.1), words(26))
    assert (value, type(value)) == (3, int)


def test_a_number_that_its_data_type_cannot_hold_is_no_value() -> None:
    assert decode(point("p", DataType.BYTE), source(0), words(256)) == (None, NO_VALUE)
    assert decode(point("p", DataType.FLOAT), source(0, RawType.F64, 4), struct.pack(">d", 1e300)) == (None, NO_VALUE)


@pytest.mark.parametrize(
    ("from_", "payload"),
    [
        (source(0, sentinels=(0xFFFF,)), words(0xFFFF)),
        (source(0, RawType.I16, sentinels=(0x8000,)), words(0x8000)),
        (source(0, RawType.I16, sentinels=(-32768,)), words(0x8000)),
        (source(0, RawType.U32, 2, sentinels=(0xFFFF_FFFF,), scale=0.001), words(0xFFFF, 0xFFFF)),
        (source(0, RawType.F32, 2, sentinels=(math.nan,)), struct.pack(">f", math.nan)),
        (source(0, RawType.F32, 2), struct.pack(">f", math.inf)),
        (source(0, above=50000), words(50001)),
        (source(0, below=10), words(9)),
        (source(0, sentinels=(7,), bits=BitField(0, 0)), words(7)),
    ],
)
def test_a_raw_that_means_no_value_is_a_sensor_failure(from_: RegisterSource, payload: bytes) -> None:
    assert decode(point("p"), from_, payload) == (None, NO_VALUE)


def test_bits_are_cut_out_of_a_register_that_others_share() -> None:
    first = source(3, bits=BitField(0, 0))
    middle = source(3, bits=BitField(4, 7))
    pairs = [(point("a", DataType.BOOLEAN), first), (point("b", DataType.INT32), middle)]
    decoder = Decoder(pairs, {}, 3, 1, lambda _: BIG)
    assert decoder.decode(words(0x00A1)) == ([True, 10], [GOOD, GOOD])


def test_a_code_outside_its_table_is_shown_raw_and_uncertain() -> None:
    state = point("s", DataType.INT32, kind=PointKind.STATE, enumeration=STATES)
    assert decode(state, source(0), words(2)) == (2, GOOD)
    assert decode(state, source(0), words(9)) == (9, ODD)


def test_a_mapped_code_is_the_classs_and_an_unmapped_one_raw_and_uncertain_even_if_the_class_has_its_number() -> None:
    state = point("s", DataType.INT32, kind=PointKind.STATE, enumeration=STATES)
    mapped = source(0, map={1024: 1, 1032: 2})
    assert decode(state, mapped, words(1032)) == (2, GOOD)
    assert decode(state, mapped, words(1)) == (1, ODD)


def test_linear_goes_through_its_two_points() -> None:
    tank = source(0, linear=((344, 0.0), (148, 100.0)))
    assert decode(point("p"), tank, words(246)) == (50.0, GOOD)


def test_text_ends_at_nul_and_may_have_its_bytes_swapped() -> None:
    plain = source(0, RawType.TEXT, 3)
    assert decode(point("t", DataType.STRING), plain, b"XW Pro") == ("XW Pro", GOOD)
    swapped = source(0, RawType.TEXT, 3, byte_swap=True)
    assert decode(point("t", DataType.STRING), swapped, b"WX7\0\0\0", order=LITTLE)[0] == "XW"


def scaled(power: int, raw: int = 1234) -> tuple[list, list]:
    value = source(0, RawType.I16, scale_from="sf", sentinels=(0x8000,))
    factor = source(2, RawType.I16)
    decoder = Decoder([(point("p"), value)], {"sf": factor}, 0, 3, lambda _: BIG)
    return decoder.decode(words(raw & 0xFFFF, 0, power & 0xFFFF))


def test_a_scale_factor_is_the_power_of_ten_of_its_value() -> None:
    assert scaled(-2) == ([12.34], [GOOD])
    assert scaled(1) == ([12340.0], [GOOD])


@pytest.mark.parametrize(("power", "raw"), [(-32768, 1), (77, 1), (0, 0x8000)])
def test_a_scale_factor_or_value_that_is_not_implemented_is_no_value(power: int, raw: int) -> None:
    assert scaled(power, raw) == ([None], [NO_VALUE])


def test_coils_are_read_lowest_bit_first() -> None:
    pairs = [(point(f"c{a}", DataType.BOOLEAN), source(a, RawType.BOOL, table=Table.COIL)) for a in (100, 101, 109)]
    decoder = Decoder(pairs, {}, 100, 10, lambda _: BIG)
    assert decoder.decode(b"\x02\x02") == ([False, True, True], [GOOD] * 3)


def test_an_answer_of_another_length_is_refused() -> None:
    for payload in (b"\0", words(1), words(1, 2, 3)):
        with pytest.raises(ValueError, match="does not fit"):
            decode_two(payload)


def decode_two(payload: bytes) -> None:
    Decoder([(point("p"), source(0))], {}, 0, 2, lambda _: BIG).decode(payload)


def test_a_register_outside_the_block_is_refused() -> None:
    with pytest.raises(ValueError, match="not in a block"):
        Decoder([(point("p"), source(9))], {}, 0, 2, lambda _: BIG)


# --- writing


@given(
    raw_type=st.sampled_from(list(WIDTHS)),
    order=st.sampled_from(WordOrder),
    data=st.data(),
)
def test_what_is_written_reads_back_for_every_raw(raw_type: RawType, order: WordOrder, data: st.DataObject) -> None:
    width = WIDTHS[raw_type]
    signed = raw_type in (RawType.I16, RawType.I32, RawType.I64)
    low = -(2 ** (16 * width - 1)) if signed else 0
    raw = data.draw(st.integers(low, low + 2 ** (16 * width) - 1))
    from_ = source(5, raw_type, width)
    one = point("p", DataType.INT64 if signed else DataType.UINT64)
    pairs = dict(encode(one, from_, raw, order))
    payload = words(*(pairs[address] for address in sorted(pairs)))
    assert decode(one, from_, payload, order=order) == (raw, GOOD)


@given(
    raw=st.integers(0, 0xFFFF_FFFF),
    scale=st.sampled_from([1.0, 0.1, 0.01, 0.001, 10.0, -0.1, 0.5]),
    offset=st.sampled_from([0.0, -273.0, 0.5]),
)
def test_a_scaled_value_writes_the_raw_that_it_was_read_from(raw: int, scale: float, offset: float) -> None:
    from_ = source(0, RawType.U32, 2, scale=scale, offset=offset)
    value, status = decode(point("p"), from_, struct.pack(">I", raw))
    assert status == GOOD
    assert value is not None
    assert encode(point("p"), from_, value, BIG) == ((0, raw >> 16), (1, raw & 0xFFFF))


@given(value=st.floats(-30.0, 30.0))
def test_a_number_is_rounded_to_the_nearest_raw(value: float) -> None:
    from_ = source(0, RawType.I16, scale=0.001)
    ((_, word),) = encode(point("p"), from_, value, BIG)
    back, _ = decode(point("p"), from_, words(word))
    assert abs(back - value) <= 0.0005 + 1e-12


@given(value=st.floats(width=32, allow_nan=False, allow_infinity=False))
def test_floats_read_back(value: float) -> None:
    from_ = source(0, RawType.F32, 2)
    payload = words(*(word for _, word in encode(point("p"), from_, value, BIG)))
    assert decode(point("p"), from_, payload) == (value, GOOD)


@given(text=st.text(st.characters(min_codepoint=33, max_codepoint=126), max_size=8), swap=st.booleans())
def test_texts_read_back(text: str, swap: bool) -> None:
    from_ = source(0, RawType.TEXT, 4, byte_swap=swap)
    one = point("t", DataType.STRING)
    payload = words(*(word for _, word in encode(one, from_, text, LITTLE)))
    assert decode(one, from_, payload) == (text, GOOD)


@given(words_=st.lists(st.integers(0, 0xFFFF), min_size=2, max_size=2))
def test_any_answer_decodes_to_a_value_or_none_and_never_raises(words_: list[int]) -> None:
    from_ = source(0, RawType.F32, 2, scale=0.1)
    value, status = decode(point("p", DataType.FLOAT), from_, words(*words_))
    assume(value is not None)
    assert status == GOOD
    assert math.isfinite(value)


@pytest.mark.parametrize(
    ("one", "from_", "value", "says"),
    [
        (point("p"), source(0), 65536, "does not fit u16"),
        (point("p"), source(0), -1, "does not fit u16"),
        (point("p"), source(0, scale=0.001), 65.54, "does not fit"),
        (point("p"), source(0), math.nan, "not a finite number"),
        (point("p"), source(0), "12", "not a number"),
        (point("p"), source(0), True, "not a number"),
        (point("p", DataType.BOOLEAN), source(0), 1, "true or false"),
        (point("p"), source(0, sentinels=(0xFFFF,)), 0xFFFF, "no value"),
        (point("p"), source(0, above=100), 101, "no value"),
        (point("p", DataType.INT32), source(0, map={5: 1}), 2, "no raw code"),
        (point("p"), source(0, bits=BitField(0, 1)), 1, "cannot be written alone"),
        (point("p"), source(0, RawType.F32, 2), 1e39, "does not fit f32"),
        (point("p", DataType.STRING), source(0, RawType.TEXT, 1), "abc", "ASCII"),
        (point("p", DataType.STRING), source(0, RawType.TEXT, 1), "é", "ASCII"),
        (point("p", DataType.STRING), source(0, RawType.TEXT, 1), 5, "not a text"),
    ],
)
def test_a_value_that_does_not_fit_is_refused(one: Point, from_: RegisterSource, value, says: str) -> None:
    with pytest.raises(ValueError, match=says):
        encode(one, from_, value, BIG)


def test_codes_coils_lines_and_scale_factors_are_written_back_through_their_inverse() -> None:
    assert encode(point("p", DataType.INT32), source(7, map={1024: 1}), 1, BIG) == ((7, 1024),)
    coil = source(7, RawType.BOOL, table=Table.COIL)
    assert encode(point("c", DataType.BOOLEAN), coil, True, BIG) == ((7, 1),)
    assert encode(point("p"), source(7, linear=((344, 0.0), (148, 100.0))), 50.0, BIG) == ((7, 246),)
    assert encode(point("p"), source(7, RawType.I16, scale_from="sf"), 12.34, BIG, -2) == ((7, 1234),)
    assert encode(point("p"), source(7, RawType.U32, 2, words=(9, 7)), 65538, LITTLE) == ((9, 1), (7, 2))
