"""Simulated plants live believably: energy is conserved, modes decide the power, states follow their sequence."""

import pytest

from address_space.classes import CLASSES
from address_space.model import DeviceClass
from drivers.simulator.device import LineDevice, ModbusDevice, SimulatedDevice
from drivers.simulator.environment import Battery, Day, demand, sun
from drivers.simulator.faults import WriteBehaviour, WriteFault
from drivers.simulator.modbus_server import answer
from drivers.simulator.physics import DEFAULTS, PHYSICS, problems
from drivers.spec import Profile, RawType, Simulation
from tests.drivers.simulator import plants
from tests.fake_clock import FakeClock


def make(profile: Profile, clock: FakeClock, seed: int = 1) -> ModbusDevice:
    return ModbusDevice(plants.unit("d", 10, profile), None, clock, seed)


def number(device: SimulatedDevice, point: str) -> float:
    value = device.get(point)
    assert isinstance(value, int | float), f"{point} is {value!r}"
    return float(value)


async def live(device: SimulatedDevice, clock: FakeClock, seconds: float, step_s: float = 0.1) -> None:
    for _ in range(round(seconds / step_s)):
        await clock.advance(step_s)
        device.step()


async def test_the_same_seed_gives_the_same_plant_and_another_one_a_different() -> None:
    async def lives(seed: int) -> list[float]:
        clock = FakeClock()
        device = make(plants.meter(), clock, seed)
        await live(device, clock, 3)
        return [number(device, point) for point in ("power", "frequency", "voltage_l1")]

    assert await lives(5) == await lives(5)
    assert await lives(5) != await lives(6)


async def test_charging_draws_power_from_the_grid_and_fills_the_battery(clock: FakeClock) -> None:
    device = make(plants.inverter(load_w=0.0), clock)
    soc = number(device, "state_of_charge")
    device.set("charge_state", 3)
    await live(device, clock, 10)
    assert number(device, "ac_power") < -3000
    assert number(device, "dc_power") == pytest.approx(3000, rel=0.05)
    assert number(device, "dc_current") > 50
    await live(device, clock, 120, step_s=1)
    assert number(device, "state_of_charge") > soc
    assert number(device, "energy_imported") > number(device, "energy_to_battery") > 0


async def test_selling_delivers_power_out_of_the_battery(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    exported = number(device, "energy_exported")
    soc = number(device, "state_of_charge")
    device.set("raw_state", 1036)
    await live(device, clock, 10)
    assert number(device, "ac_power") == pytest.approx(2500, rel=0.05)
    assert number(device, "dc_current") < -40
    await live(device, clock, 120, step_s=1)
    assert number(device, "state_of_charge") < soc
    assert number(device, "energy_exported") == pytest.approx(exported + 2.5 * 130 / 3600, rel=0.02)


async def test_standby_converts_nothing_and_energies_stand(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    device.set("raw_state", 1032)
    device.set("charge_state", 0)
    await live(device, clock, 5)
    energies = [device.get(f"energy_{way}") for way in ("exported", "imported", "to_battery")]
    await live(device, clock, 20)
    assert device.get("ac_power") == 0
    assert device.get("load_power") == 0
    assert abs(number(device, "dc_current")) < 0.1
    assert [device.get(f"energy_{way}") for way in ("exported", "imported", "to_battery")] == energies


async def test_a_standby_command_ends_the_power_after_its_delay(clock: FakeClock) -> None:
    device = make(plants.inverter(load_w=0.0), clock)
    device.set("charge_state", 3)
    await live(device, clock, 5)
    answer(device, b"\x06\x01\x66\x00\x02")
    await live(device, clock, 1)
    assert number(device, "ac_power") < -3000
    await live(device, clock, 4)
    assert number(device, "ac_power") == 0


async def test_charge_stages_follow_the_charge_and_a_full_battery_takes_nothing(clock: FakeClock) -> None:
    device = make(plants.inverter(soc=0.94, battery_ah=5.0), clock)
    device.set("charge_state", 3)
    seen = []
    for _ in range(600):
        await live(device, clock, 1, step_s=1)
        if device.get("charge_state") not in seen:
            seen.append(device.get("charge_state"))
    assert seen == [3, 4, 5]
    assert number(device, "state_of_charge") > 99
    assert number(device, "dc_power") < 100


async def test_an_empty_battery_gives_nothing(clock: FakeClock) -> None:
    device = make(plants.inverter(soc=0.01, battery_ah=5.0, load_w=0.0), clock)
    device.set("raw_state", 1036)
    await live(device, clock, 60, step_s=1)
    assert number(device, "state_of_charge") == 0
    assert number(device, "ac_power") == 0


def test_battery_voltage_rises_with_charge_and_with_charge_current() -> None:
    battery = Battery(48.0, 100.0, 0.5, 0.01)
    rest = battery.rest_v
    battery.step(2400.0, 1.0)
    assert battery.voltage_v == pytest.approx(rest + battery.current_a * 0.01, abs=0.01)
    assert battery.voltage_v > rest
    battery.step(-2400.0, 3600.0)
    assert battery.soc == pytest.approx(0.0, abs=0.02)
    assert battery.rest_v < 0.95 * 48


async def test_the_phases_of_a_meter_add_up_and_its_energy_is_the_integral(clock: FakeClock) -> None:
    device = make(plants.meter(), clock)
    await live(device, clock, 1)
    before, joules = number(device, "energy_imported"), 0.0
    for _ in range(100):
        await live(device, clock, 10, step_s=10)
        phases = sum(number(device, f"power_l{phase}") for phase in (1, 2, 3))
        assert number(device, "power") == pytest.approx(phases, rel=1e-5)
        assert number(device, "voltage_l1") == pytest.approx(230, rel=0.03)
        assert number(device, "frequency") == pytest.approx(50, abs=0.1)
        joules += number(device, "power") * 10
    assert number(device, "energy_imported") - before == pytest.approx(joules / 3.6e6, rel=0.01)
    assert device.get("energy_exported") == 0


async def test_pv_behind_a_meter_turns_it_around_at_noon(clock: FakeClock) -> None:
    device = make(plants.meter(pv_w=20_000.0, day_s=600.0, day_shift=0.5), clock)
    await live(device, clock, 1)
    assert number(device, "power") < 0
    assert number(device, "energy_exported") >= 0


def test_the_day_goes_from_dark_to_noon_to_dark_and_may_be_short() -> None:
    assert sun(0.0) == sun(0.2) == sun(0.8) == 0
    assert sun(0.5) == pytest.approx(1.0)
    assert 0.15 < min(demand(i / 48) for i in range(48)) < max(demand(i / 48) for i in range(48)) < 1.1
    hour = 3600 * 10_000_000
    assert Day().fraction(12 * hour) == pytest.approx(0.5)
    assert Day(600.0).fraction(hour + 300 * 10_000_000) == pytest.approx(0.5)


# --- fuel cell

RUN, RESET, ENABLE = 1, 2, 0x8000


async def control(device: ModbusDevice, clock: FakeClock, word: int, seconds: float) -> list[object]:
    """Assert the control word each second, as a driver does; the class states seen meanwhile."""
    seen: list[object] = []
    for _ in range(round(seconds)):
        assert answer(device, b"\x06" + (14500).to_bytes(2, "big") + word.to_bytes(2, "big"))[0] == 6
        for _ in range(10):
            await live(device, clock, 0.1)
            if not seen or seen[-1] != device.get("state"):
                seen.append(device.get("state"))
    return seen


async def test_a_fuel_cell_starts_heats_up_runs_and_cools_down(clock: FakeClock) -> None:
    device = make(plants.fuel_cell(), clock)
    assert device.get("ready_to_start") is True
    assert await control(device, clock, ENABLE | RUN, 20) == [2, 3, 4]
    assert device.get("sequence_state") == 6
    assert device.get("mode") == 3
    assert device.get("run_echo") is True
    assert number(device, "output_power") == pytest.approx(20_000, rel=0.05)
    assert number(device, "stack_temperature") > 50
    assert number(device, "energy_exported") > 0
    assert await control(device, clock, ENABLE, 15) == [5, 6, 1]
    assert device.get("output_power") == 0


async def test_a_fuel_cell_stops_when_its_control_word_is_no_longer_asserted(clock: FakeClock) -> None:
    device = make(plants.fuel_cell(watchdog_s=5.0), clock)
    await control(device, clock, ENABLE | RUN, 12)
    assert device.get("state") == 4
    await live(device, clock, 3.5)
    assert device.get("state") == 4
    await live(device, clock, 2)
    assert device.get("state") == 5


async def test_a_control_word_without_the_enable_bit_starts_nothing(clock: FakeClock) -> None:
    device = make(plants.fuel_cell(), clock)
    assert await control(device, clock, RUN, 5) == [1]


async def test_a_fault_stops_a_fuel_cell_until_it_is_reset(clock: FakeClock) -> None:
    profile = plants.fuel_cell()
    sources = {name: source for name, source in profile.sources.items() if name not in ("sequence_state",)}
    sources["state"] = plants.at(14504)
    own = tuple(point for point in profile.model.points if point.id in sources and not point.from_class)
    simulation = Simulation({}, physics="fuel_cell")
    plain = plants.profile("test.plain", DeviceClass.FUEL_CELL, sources, extra=own, simulation=simulation)
    device = make(plain, clock)
    await control(device, clock, ENABLE | RUN, 12)
    assert device.get("state") == 4
    device.set("state", 7)
    assert await control(device, clock, ENABLE | RUN, 5) == [7]
    assert device.get("output_power") == 0
    assert await control(device, clock, ENABLE | RESET, 3) == [1]


async def test_a_new_set_point_is_followed_up_to_the_nominal_power(clock: FakeClock) -> None:
    device = make(plants.fuel_cell(nominal_w=25_000.0), clock)
    await control(device, clock, ENABLE | RUN, 25)
    device.set("power_setpoint", 50_000.0)
    await control(device, clock, ENABLE | RUN, 15)
    assert number(device, "output_power") == pytest.approx(25_000, rel=0.02)


# --- sensors and the rest


async def test_a_collector_measures_a_current_that_its_adc_can_show(clock: FakeClock) -> None:
    device = LineDevice(plants.unit("c", 1, plants.collector(current_a=5.0)), clock, 1)
    await live(device, clock, 2)
    assert 0.1 < number(device, "current") < 6.5
    assert number(device, "power") == pytest.approx(5 * number(device, "current"))
    assert number(device, "raw") == pytest.approx(512 + number(device, "current") * 0.066 * 1024 / 5)
    assert device.answer() == f"{device.raw:.2f}\r\n".encode()


async def test_a_frozen_device_keeps_its_values(clock: FakeClock) -> None:
    device = make(plants.meter(), clock)
    device.faults.frozen = True
    power = device.get("power")
    await live(device, clock, 5)
    assert device.get("power") == power


@pytest.mark.parametrize("name", sorted(PHYSICS))
async def test_every_physics_lives_a_day_on_every_class(name: str, clock: FakeClock) -> None:
    """Whatever the profile has: no error, nothing outside of the registers."""
    for device_class, spec in CLASSES.items():
        points = [entry.point for entry in spec.points]
        sources = {point.id: plants.at(2 * at, RawType.F32) for at, point in enumerate(points)}
        options = {"day_s": 100.0} if "day_s" in DEFAULTS[name] else {}
        assert problems(name, options) == []
        simulation = Simulation({}, physics=name, physics_options=options)
        device = make(plants.profile(f"x.{device_class}", device_class, sources, simulation=simulation), clock)
        for _ in range(120):
            await live(device, clock, 1, step_s=1)
        for point in points:
            assert device.get(point.id) is not None, point.id


async def test_a_write_that_comes_late_moves_the_physics_late(clock: FakeClock) -> None:
    device = make(plants.inverter(), clock)
    device.faults.writes["charger_enable"] = WriteBehaviour(WriteFault.LATE, after_s=3.0)
    answer(device, b"\x06\x01\x64\x00\x01")
    await live(device, clock, 4)
    assert device.get("charge_state") == 1
    await live(device, clock, 2)
    assert device.get("charge_state") == 3
