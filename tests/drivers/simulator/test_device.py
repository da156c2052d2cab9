"""A simulated Modbus device: registers, links, faults."""

import math
import struct
from dataclasses import replace

import pytest

from address_space.model import DeviceClass
from drivers.simulator.device import ModbusDevice
from drivers.simulator.faults import WriteBehaviour, WriteFault
from drivers.simulator.modbus_server import answer
from drivers.spec import (
    BitField,
    CommandSpec,
    ModbusLimits,
    Operand,
    Profile,
    RawType,
    Simulation,
    Table,
    WordOrder,
    Write,
)
from tests.drivers.simulator import plants
from tests.fake_clock import FakeClock


def make(profile: Profile, clock: FakeClock, order: WordOrder | None = None) -> ModbusDevice:
    return ModbusDevice(plants.unit("d", 10, profile), order, clock, seed=1)


def read(device: ModbusDevice, address: int, count: int = 1, function: int = 3) -> bytes:
    return answer(device, struct.pack(">BHH", function, address, count))


def write(device: ModbusDevice, address: int, *words: int) -> bytes:
    if len(words) == 1:
        return answer(device, struct.pack(">BHH", 6, address, words[0]))
    return answer(device, struct.pack(f">BHHB{len(words)}H", 16, address, len(words), 2 * len(words), *words))


def test_a_point_stands_in_its_registers_in_the_order_of_the_bus(clock: FakeClock) -> None:
    for order, words in ((WordOrder.BIG, (0, 53_100)), (WordOrder.LITTLE, (53_100, 0))):
        device = make(plants.inverter(), clock, order)
        device.set("dc_voltage", 53.1)
        assert read(device, 0x50, 2) == struct.pack(">BBHH", 3, 4, *words)
        assert device.get("dc_voltage") == 53.1


def test_points_on_one_register_always_agree(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    device.set("raw_state", 1036)
    assert device.get("state") == 5
    device.set("state", 1)
    assert device.get("raw_state") == 1032


def test_a_bit_field_leaves_the_other_bits_of_its_register(clock: FakeClock) -> None:
    device = make(plants.fuel_cell(), clock)
    device.image.write(Table.HOLDING, 14499, [0xF0F0])
    device.set("ready_to_start", True)
    assert device.image.read(Table.HOLDING, 14499, 1) == [0xF1F0]
    device.set("ready_to_start", False)
    assert device.image.read(Table.HOLDING, 14499, 1) == [0xF0F0]


def test_a_bit_field_of_two_registers_is_merged_across_both(clock: FakeClock) -> None:
    profile = plants.profile(
        "test.bits",
        DeviceClass.GENERIC,
        {"fields": plants.at(0, RawType.BITS32, bits=BitField(12, 19))},
        extra=(plants.own("fields"),),
    )
    device = make(profile, clock, WordOrder.LITTLE)
    device.image.write(Table.HOLDING, 0, [0xFFFF, 0xFFFF])
    device.set("fields", 0)
    assert device.image.read(Table.HOLDING, 0, 2) == [0x0FFF, 0xFFF0]
    with pytest.raises(ValueError, match="bits 12 to 19"):
        device.set("fields", 256)


def test_no_value_is_the_sentinel_of_the_device(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    device.set("battery_temperature", 20.0)
    assert device.get("battery_temperature") == 20.0
    device.set("battery_temperature", None)
    assert device.get("battery_temperature") is None
    assert read(device, 0x56) == bytes((3, 2, 0, 0))
    meter = make(plants.meter(), clock)
    meter.set("frequency", None)
    assert math.isnan(struct.unpack(">f", read(meter, 70, 2, function=4)[2:])[0])
    assert meter.get("frequency") is None


def test_a_scale_factor_moves_the_words_not_the_value(clock: FakeClock) -> None:
    profile = plants.profile(
        "test.sunspec",
        DeviceClass.METER,
        {"power": plants.at(0, RawType.I16, scale_from="power_sf"), "power_sf": plants.at(9, RawType.I16)},
        extra=(plants.own("power_sf"),),
        simulation=Simulation({"power_sf": 1, "power": 1230.0}),
    )
    profile = replace(profile, model=profile.model)
    device = make(profile, clock)
    assert device.image.read(Table.HOLDING, 0, 1) == [123]
    assert device.get("power") == 1230.0


def test_holes_too_long_and_odd_reads_are_refused_as_the_device_would(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    assert read(device, 0x200) == bytes((0x83, 2))
    assert read(device, 0x50, 61) == bytes((0x83, 3))
    meter = make(plants.meter(), clock)
    assert read(meter, 1, 2, function=4) == bytes((0x84, 2))
    assert read(meter, 0, 2, function=3) == bytes((0x83, 2)), "there are no holding registers"
    assert answer(device, b"\x2b\x0e\x01\x00") == bytes((0xAB, 1))


def test_unused_registers_are_read_along_only_as_far_as_the_profile_says(clock: FakeClock) -> None:
    assert read(make(plants.inverter(), clock), 0x56, 0x61 - 0x56)[0] == 0x83, "a gap of ten, and eight are allowed"
    strict = replace(plants.inverter(), modbus=ModbusLimits(max_gap=0))
    assert read(make(strict, clock), 0x54, 3)[0] == 3
    assert read(make(strict, clock), 0x162, 5) == bytes((0x83, 2))
    barred = replace(plants.inverter(), modbus=ModbusLimits(barriers=(0x164,)))
    assert read(make(barred, clock), 0x162, 3) == bytes((0x83, 2))
    device = make(plants.inverter(), clock)
    assert read(device, 0x162, 5)[0] == 3
    device.cut(Table.HOLDING, 0x163)
    assert read(device, 0x162, 5) == bytes((0x83, 2))


def test_only_what_the_profile_writes_can_be_written(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    before = read(device, 0x50, 2)
    assert write(device, 0x50, 1, 2) == bytes((0x90, 2))
    assert read(device, 0x50, 2) == before
    assert write(device, 0x163, 1) == bytes((0x86, 2)), "a register between two others is nobody's"


def test_a_device_without_function_6_says_so(clock: FakeClock) -> None:
    device = make(replace(plants.inverter(), modbus=ModbusLimits(write_single=False, max_write=1)), clock)
    assert write(device, 0x166, 2) == bytes((0x86, 1))
    assert answer(device, struct.pack(">BHHBH", 16, 0x166, 1, 2, 2)) == struct.pack(">BHH", 16, 0x166, 1)
    assert device.get("operating_mode") == 2


async def test_a_link_acts_after_its_delay_and_not_before(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    assert write(device, 0x166, 2) == struct.pack(">BHH", 6, 0x166, 2)
    await clock.advance(1.4)
    assert device.get("raw_state") == 1025
    await clock.advance(0.2)
    assert device.get("raw_state") == 1032
    assert device.get("state") == 1


async def test_the_newest_write_decides(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    write(device, 0x166, 2)
    await clock.advance(1.0)
    write(device, 0x166, 3)
    await clock.advance(5.0)
    assert device.get("raw_state") == 1025


async def test_a_value_written_again_and_again_does_not_hold_its_link_up(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    for _ in range(5):
        write(device, 0x166, 2)
        await clock.advance(0.5)
    assert device.get("raw_state") == 1032


async def test_a_link_can_hand_the_written_value_on(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    write(device, 0x16F, 77)
    await clock.advance(0.6)
    assert device.get("rate_echo") == 77


async def test_writes_are_ignored_late_reverted_or_rejected_on_demand(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    writes = device.faults.writes
    writes["operating_mode"] = WriteBehaviour(WriteFault.IGNORE)
    assert write(device, 0x166, 2)[0] == 6
    assert device.get("operating_mode") == 3
    writes["operating_mode"] = WriteBehaviour(WriteFault.LATE, after_s=2.0)
    write(device, 0x166, 2)
    assert device.get("operating_mode") == 3
    await clock.advance(2.0)
    assert device.get("operating_mode") == 2
    writes["operating_mode"] = WriteBehaviour(WriteFault.REVERT, after_s=2.0)
    write(device, 0x166, 3)
    assert device.get("operating_mode") == 3
    await clock.advance(2.0)
    assert device.get("operating_mode") == 2
    writes["operating_mode"] = WriteBehaviour(WriteFault.REJECT, exception=6)
    assert write(device, 0x166, 3) == bytes((0x86, 6))
    device.faults.clear()
    assert write(device, 0x166, 3)[0] == 6


def test_every_request_can_be_answered_by_an_exception(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    device.faults.exception = 11
    assert read(device, 0x50) == bytes((0x83, 11))


def test_coils_and_discrete_inputs_are_bits(clock: FakeClock) -> None:
    profile = plants.profile(
        "test.coils",
        DeviceClass.GENERIC,
        {
            "relay": plants.at(3, RawType.BOOL, table=Table.COIL),
            "contact": plants.at(0, RawType.BOOL, table=Table.DISCRETE),
        },
        extra=(plants.own("relay", writable=True), plants.own("contact")),
    )
    device = make(profile, clock)
    device.set("contact", 1)
    assert read(device, 0, function=2) == bytes((2, 1, 1))
    assert answer(device, struct.pack(">BHH", 5, 3, 0xFF00)) == struct.pack(">BHH", 5, 3, 0xFF00)
    assert read(device, 3, function=1) == bytes((1, 1, 1))
    assert answer(device, struct.pack(">BHHBB", 15, 3, 1, 1, 0)) == struct.pack(">BHH", 15, 3, 1)
    assert device.get("relay") == 0
    assert answer(device, struct.pack(">BHH", 5, 3, 0x1234)) == bytes((0x85, 3))


def test_a_wrong_simulate_section_says_where(clock: FakeClock) -> None:
    profile = plants.meter()
    with pytest.raises(ValueError, match=r"d: simulate\.initial: there is no point 'watts'"):
        make(replace(profile, simulation=Simulation({"watts": 1})), clock)
    with pytest.raises(ValueError, match="physics 'perpetuum_mobile' is not known; there is"):
        make(replace(profile, simulation=Simulation({}, physics="perpetuum_mobile")), clock)
    with pytest.raises(ValueError, match="has no option 'power'"):
        make(replace(profile, simulation=Simulation({}, physics="meter", physics_options={"power": 1.0})), clock)


async def test_in_standby_only_the_way_out_is_obeyed(clock: FakeClock) -> None:
    operating = CommandSpec("Operating", steps=(Write("operating_mode", Operand(3)),))
    device = make(replace(plants.inverter(), commands={"Operating": operating}), clock)
    write(device, 0x162, 1)
    await clock.advance(1.0)
    write(device, 0x166, 2)
    await clock.advance(5.0)
    assert device.get("raw_state") == 1032, "what was under way before standby is off too"
    assert write(device, 0x162, 0)[0] == 6
    assert write(device, 0x162, 1)[0] == 6
    await clock.advance(5.0)
    assert device.get("sell_enable") == 1
    assert device.get("raw_state") == 1032
    write(device, 0x166, 3)
    await clock.advance(2.0)
    assert device.get("raw_state") == 1025


@pytest.mark.parametrize("order", list(WordOrder))
def test_a_physics_puts_what_set_puts_within_what_the_registers_hold(order: WordOrder, clock: FakeClock) -> None:
    device = make(plants.inverter(), clock, order)
    for point, value in (("dc_current", -12.345), ("dc_power", -700.0), ("ac_frequency", 59.98), ("dc_voltage", 53.1)):
        device.put(point, value)
        put = dict(device.image._words[Table.HOLDING])
        device.set(point, value)
        assert device.image._words[Table.HOLDING] == put, point
    device.put("dc_voltage", -1.0)
    assert device.get("dc_voltage") == 0.0
    device.put("ac_frequency", 1e9)
    assert device.get("ac_frequency") == 655.35
    device.put("battery_temperature", 20.0)
    device.put("battery_temperature", -273.0)
    assert device.get("battery_temperature") == 20.0, "raw 0 means that there is no sensor"
    device.put("charge_state", 8)
    assert device.get("charge_state") == 1, "the device has no code for this"
    device.put("no_such_point", 1.0)


def test_a_line_through_two_points_and_floats_are_put_alike(clock: FakeClock) -> None:
    line = plants.at(0, RawType.I16, linear=((0.0, 0.0), (100.0, -1.0)))
    profile = plants.profile(
        "test.line",
        DeviceClass.BATTERY,
        {"current": line, "voltage": plants.at(1, RawType.F32), "power": plants.at(3, RawType.F64)},
    )
    device = make(profile, clock)
    for point in profile.sources:
        device.put(point, 12.25)
        assert device.get(point) == 12.25
    assert device.image.read(Table.HOLDING, 0, 1) == [0x10000 - 1225]
