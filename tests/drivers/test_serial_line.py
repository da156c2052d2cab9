"""Serial collectors: what an answer is, what it means, and what a bus of them must be."""

from dataclasses import replace

import pytest

from address_space.image import ProcessImage
from address_space.model import Status
from drivers.base import Malformed, Priority, Rejected, Setting
from drivers.collector import Conversion, Quantity
from drivers.serial_line import SerialLineBus, parse
from drivers.spec import BusConfig, SerialLine, TcpPeer
from tests.drivers.simulator import plants
from tests.fake_clock import FakeClock

BUS = BusConfig("col", "serial_line", SerialLine("/dev/null", 115200))


def conversion(**changes: float) -> Conversion:
    profile = plants.collector()
    return Conversion.of(replace(profile, parameters={**profile.parameters, **changes}))


def bus(clock: FakeClock, config: BusConfig = BUS) -> SerialLineBus:
    unit = plants.unit("col1", 0, plants.collector())
    return SerialLineBus(config, [unit], ProcessImage([plants.device(unit)], clock), clock)


@pytest.mark.parametrize(
    ("line", "raw"), [(b"566.07", 566.07), (b"0", 0.0), (b" 1023.00 ", 1023.0), (b"+12.5", 12.5), (b"-0.00", 0.0)]
)
def test_an_answer_is_one_plain_number_of_a_10_bit_adc(line: bytes, raw: float) -> None:
    assert parse(line) == raw


@pytest.mark.parametrize(
    "line",
    [b"", b"nan", b"NaN", b"inf", b"-inf", b"ovf", b"5e2", b"0x10", b"1,5", b"12 13", b"12.5.6", b"1_0", b"r\xe9ad",
     b"\xff\xfe\x80", "٣".encode(), b"-1", b"1023.5", b"566.07566.07", b"read", b"."],
)  # fmt: skip
def test_anything_else_is_no_value(line: bytes) -> None:
    with pytest.raises(Malformed):
        parse(line)


def test_the_conversion_follows_the_parameters_of_the_site() -> None:
    """By hand: 600 x 5/1024 - 2.5 = 0.4296875 V; / 0.066 = 6.5104 A; x 5 V = 32.552 W."""
    usual = conversion()
    assert usual.value(Quantity.RAW, 600) == 600
    assert usual.value(Quantity.VOLTAGE, 600) == pytest.approx(0.4296875)
    assert usual.value(Quantity.CURRENT, 600) == pytest.approx(6.5104167)
    assert usual.value(Quantity.POWER, 600) == pytest.approx(32.5520833)
    other = conversion(vpp=0.01, offset=1.0, sns=0.5, vcc=12.0)
    assert other.value(Quantity.POWER, 300) == pytest.approx(48.0)
    for quantity in Quantity:
        assert usual.raw(quantity, usual.value(quantity, 321.5)) == pytest.approx(321.5)


def test_beyond_the_limit_there_is_no_current_and_no_power_in_either_direction() -> None:
    measure = conversion(limit=10.0)
    over, under = 512 + 136, 512 - 136  # 10.06 A and -10.06 A
    for raw in (over, under):
        for quantity in (Quantity.CURRENT, Quantity.POWER):
            assert measure.sample(quantity, raw) == (None, Status.BAD_OUT_OF_RANGE)
        assert measure.sample(Quantity.RAW, raw) == (raw, Status.GOOD)
        assert measure.sample(Quantity.VOLTAGE, raw)[1] == Status.GOOD
    for raw in (512 + 135, 512 - 135):
        assert measure.sample(Quantity.CURRENT, raw)[1] == Status.GOOD


@pytest.mark.parametrize("name", ["vpp", "sns", "vcc", "limit"])
def test_a_parameter_that_makes_no_sense_is_an_error(name: str) -> None:
    with pytest.raises(ValueError, match=name):
        conversion(**{name: 0.0})
    profile = plants.collector()
    with pytest.raises(ValueError, match="must be a number"):
        Conversion.of(replace(profile, parameters={name: "five"}))


def test_a_bus_is_one_collector_on_one_serial_port(clock: FakeClock) -> None:
    units = [plants.unit(name, 0, plants.collector()) for name in ("a", "b")]
    image = ProcessImage([plants.device(unit) for unit in units], clock)
    with pytest.raises(ValueError, match="one collector, and there are 2"):
        SerialLineBus(BUS, units, image, clock)
    with pytest.raises(ValueError, match="needs a serial port"):
        SerialLineBus(replace(BUS, link=TcpPeer("127.0.0.1", 1)), units[:1], image, clock)


async def test_control_is_told_what_a_collector_cannot_do(clock: FakeClock) -> None:
    one = bus(clock)
    with pytest.raises(Rejected) as refused:
        await one.write("col1", [Setting("current", 1.0)], Priority.COMMAND, 1.0)
    assert refused.value.status == Status.BAD_NOT_WRITABLE
    with pytest.raises(Rejected) as refused:
        await one.read("col1", ["voltage", "temperature"], Priority.COMMAND, 1.0)
    assert refused.value.status == Status.BAD_NOT_SUPPORTED
