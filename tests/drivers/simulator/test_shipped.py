"""Every shipped profile can be played: it lives a day, and its commands have the effect that confirms them."""

import struct

import pytest

from drivers.profile import load_profile, shipped_profiles
from drivers.simulator.device import LineDevice, ModbusDevice, SimulatedDevice
from drivers.simulator.modbus_server import answer
from drivers.spec import LineSource, Profile, Table
from tests.drivers.simulator import plants
from tests.fake_clock import FakeClock

PROFILES = list(shipped_profiles())


def make(profile: Profile, clock: FakeClock) -> SimulatedDevice:
    unit = plants.unit("d", 10, profile)
    if profile.protocol == "serial_line":
        return LineDevice(unit, clock, 1)
    return ModbusDevice(unit, None, clock, 1)


async def live(device: SimulatedDevice, clock: FakeClock, seconds: float, step_s: float = 0.1) -> None:
    for _ in range(round(seconds / step_s)):
        await clock.advance(step_s)
        device.step()


def assert_believable(device: SimulatedDevice) -> None:
    points = {point.id: point for point in device.profile.model.points}
    for point_id in device.profile.sources:
        value, point = device.get(point_id), points[point_id]
        if point.range is not None and isinstance(value, int | float):
            # Settings that nobody gave a first value are 0, which may lie outside of what one may write.
            assert point.writable or point.range.holds(value), f"{point_id} = {value}, range {point.range}"
        if point.enumeration is not None and value is not None and not point.writable:
            assert point.enumeration.text(int(value)) is not None, f"{point_id} = {value}"


@pytest.mark.parametrize("profile_id", PROFILES)
async def test_it_shows_believable_values_for_a_day(profile_id: str, clock: FakeClock) -> None:
    device = make(load_profile(profile_id), clock)
    for _ in range(48):
        await live(device, clock, 1800, step_s=600)
        assert_believable(device)


@pytest.mark.parametrize(("register", "name"), [(0x164, "charging"), (0x162, "selling")])
async def test_an_xw_is_believable_at_work_until_its_battery_is_full_or_empty(
    register: int, name: str, clock: FakeClock
) -> None:
    device = make(load_profile("schneider.xw"), clock)
    write(device, register, 1)
    for _ in range(40):
        await live(device, clock, 300, step_s=10)
        assert_believable(device)
    energies = [device.number(f"energy_{way}") for way in ("to_battery", "from_battery")]
    assert energies[0 if name == "charging" else 1] > (1420 if name == "charging" else 1250) + 2
    assert device.number("dc_current") == pytest.approx(0, abs=2)


@pytest.mark.parametrize("profile_id", PROFILES)
async def test_its_identification_holds(profile_id: str, clock: FakeClock) -> None:
    profile = load_profile(profile_id)
    device = make(profile, clock)
    await live(device, clock, 1)
    for check in profile.identify:
        value = device.get(check.point)
        assert value is not None
        if check.one_of:
            assert value in check.one_of
        if check.between is not None:
            assert not isinstance(value, str)
            assert check.between.holds(value)
    if profile.presence is not None:
        assert device.get(profile.presence)


def write(device: SimulatedDevice, address: int, word: int) -> None:
    assert isinstance(device, ModbusDevice)
    assert answer(device, struct.pack(">BHH", 6, address, word)) == struct.pack(">BHH", 6, address, word)


async def test_the_modes_of_an_xw_show_in_the_status_registers_of_its_map(clock: FakeClock) -> None:
    """Registers and codes by hand from the maker's map."""
    device = make(load_profile("schneider.xw"), clock)
    assert isinstance(device, ModbusDevice)

    def word(address: int) -> int:
        return device.image.read(Table.HOLDING, address, 1)[0]

    await live(device, clock, 1)
    assert (word(0x40), word(0x7A), word(0x7B)) == (3, 1025, 776)
    write(device, 0x164, 1)
    await live(device, clock, 8)
    assert (word(0x48), word(0x7B)) == (1, 769)
    assert device.image.read(Table.HOLDING, 0x66, 1)[0] >= 0x8000, "AC1 power is negative: drawn from the grid"
    write(device, 0x164, 0)
    write(device, 0x162, 1)
    await live(device, clock, 10)
    assert (word(0x49), word(0x7A)) == (1, 1036)
    assert word(0x67) > 2000, "W, low word"
    write(device, 0x166, 2)
    await live(device, clock, 8)
    assert word(0x7A) == 1032
    assert device.get("ac_power") == 0
    write(device, 0x166, 3)
    await live(device, clock, 3)
    assert word(0x7A) != 1032


async def test_a_cummins_module_starts_with_its_control_word_and_needs_it_again_and_again(clock: FakeClock) -> None:
    device = make(load_profile("cummins.fuel_cell"), clock)
    seen: list[float] = []
    for _ in range(15):
        write(device, 14500, 0x8001)
        await live(device, clock, 1)
        seen.append(device.number("sequence_state"))
    assert seen == sorted(seen), "valves, charge, cooling, start, running, in this order"
    assert {5, 6} < set(seen)
    assert device.get("run_echo") is True
    assert device.get("output_power") == pytest.approx(12_000, rel=0.05)
    await live(device, clock, 5.5)
    assert device.get("run_echo") is False
    assert device.get("state") == 5
    await live(device, clock, 10)
    assert device.get("sequence_state") == 10
    device.set("critical_shutdown", True)
    await live(device, clock, 1)
    assert device.get("fault_active") is True
    assert device.get("start_possible") is False
    write(device, 14500, 0x8002)
    await live(device, clock, 1)
    assert device.get("critical_shutdown") is False
    assert device.get("start_possible") is True


def test_no_shipped_point_reads_bad_at_the_start(clock: FakeClock) -> None:
    for profile_id in PROFILES:
        profile = load_profile(profile_id)
        device = make(profile, clock)
        lost = [
            point
            for point, source in profile.sources.items()
            if not isinstance(source, LineSource) and not source.sentinels and device.get(point) is None
        ]
        assert not lost, f"{profile_id}: {lost}"
