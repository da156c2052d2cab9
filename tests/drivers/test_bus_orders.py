"""What control asks of a bus, and whose acknowledgement it believes."""

import asyncio

import pytest

from address_space.model import Status
from drivers.base import NoAnswer, Priority, Rejected, Setting
from drivers.channel import Stray
from drivers.spec import ModbusLimits, Profile
from tests.drivers.bus_plant import (
    SUSPECT,
    TCP,
    Plant,
    identified,
    plant,
    refusing,
    simple,
)
from tests.fake_clock import FakeClock

# --- orders


async def test_nothing_is_written_unless_asked(clock: FakeClock) -> None:
    async with plant(clock, simple(0), identified()) as one:
        await clock.advance(20)
        assert one.channel.writes() == []


async def test_a_device_without_control_is_never_written_to(clock: FakeClock) -> None:
    async with plant(clock, simple(0), control=False) as one:
        with pytest.raises(Rejected) as refusal:
            await one.write()
        await clock.advance(2)
        assert refusal.value.status == Status.BAD_REQUEST_NOT_ALLOWED
        assert one.channel.writes() == []


async def test_a_command_goes_ahead_of_every_poll_that_is_due(clock: FakeClock) -> None:
    async with plant(clock, *[simple(0, period_s=0.1) for _ in range(5)], answer_s=0.05) as one:
        await clock.advance(1.01)
        before = len(one.channel.sent)
        order = asyncio.create_task(one.write("d3"))
        await clock.advance(0.2)
        await order
        assert one.channel.writes() == [(3, 0, (7,))]
        position = [r.unit for _, r in one.channel.sent[before:]].index(3)
        assert position <= 1


async def test_emergencies_go_before_commands(clock: FakeClock) -> None:
    async with plant(clock, simple(0), answer_s=0.5) as one:
        await clock.advance(0.1)  # a poll is on the wire

        async def write(value: int, priority: Priority) -> None:
            await one.bus.write("d1", [Setting("p0", value)], priority, clock.monotonic() + 9)

        orders = [
            asyncio.create_task(write(value, priority))
            for value, priority in ((1, Priority.KEEP_ALIVE), (2, Priority.COMMAND), (3, Priority.EMERGENCY))
        ]
        await clock.advance(3)
        await asyncio.gather(*orders)
        assert [words for _, _, words in one.channel.writes()] == [(3,), (2,), (1,)]


async def test_a_caller_that_goes_away_does_not_tear_what_is_on_the_wire(clock: FakeClock) -> None:
    async with plant(clock, simple(0, period_s=60.0), answer_s=0.5) as one:
        await clock.advance(2)
        order = asyncio.create_task(one.write())
        await clock.advance(0.2)
        order.cancel()
        await clock.advance(1)
        assert one.channel.registers[1][0] == 7


async def test_an_order_that_waits_past_its_deadline_is_not_sent(clock: FakeClock) -> None:
    async with plant(clock, simple(0), simple(0), dead={1}) as one:
        await clock.advance(0.5)
        order = asyncio.create_task(one.write("d2", within_s=0.2))
        await clock.advance(2)
        with pytest.raises(NoAnswer, match="not sent before its deadline"):
            await order
        assert one.channel.writes() == []


async def test_a_value_that_does_not_fit_is_out_of_range_and_not_sent(clock: FakeClock) -> None:
    async with plant(clock, simple(0)) as one:
        with pytest.raises(Rejected) as refusal:
            await one.write(value=70_000)
        assert refusal.value.status == Status.BAD_OUT_OF_RANGE


async def test_a_refused_write_says_what_the_device_said(clock: FakeClock) -> None:
    async with plant(clock, simple(0, period_s=60.0)) as one:
        await clock.advance(1)
        one.channel.refuses = refusing(3)
        order = asyncio.create_task(one.write())
        await clock.advance(1)
        with pytest.raises(Rejected) as refusal:
            await order
        assert (refusal.value.code, refusal.value.status) == (3, Status.BAD_DEVICE_FAILURE)


async def test_a_read_of_control_is_fresh_and_published(clock: FakeClock) -> None:
    async with plant(clock, simple(0, 1, period_s=60.0)) as one:
        await clock.advance(5)
        one.channel.registers[1][1] = 44
        order = asyncio.create_task(one.bus.read("d1", ["p1"], Priority.COMMAND, clock.monotonic() + 3))
        await clock.advance(1)
        samples = await order
        assert samples["p1"].value == 44
        assert samples["p1"] == one.sample("d1", "p1")


async def test_an_order_to_a_suspect_unit_does_not_wait_for_its_polls(clock: FakeClock) -> None:
    async with plant(clock, simple(0), config=TCP) as one:
        await clock.advance(0.5)
        one.channel.dead = {1}
        await clock.advance(3.65)  # two requests in a row went unanswered, the second just now
        assert one.state() == SUSPECT
        one.channel.dead = set()
        order = asyncio.create_task(one.write())
        await clock.advance(0.15)
        assert order.done()
        await order


# --- acknowledgements that may be late


async def attempt(one: Plant, value: int, within_s: float = 3.0) -> str:
    order = asyncio.create_task(one.write(value=value))
    await one.clock.advance(within_s)
    try:
        await order
    except NoAnswer as error:
        return str(error)
    return "acknowledged"


def many(**more: object) -> Profile:
    """Writes with FC16, of which an acknowledgement repeats only address and count."""
    return simple(0, period_s=600.0, modbus=ModbusLimits(write_single=False), **more)


async def test_an_acknowledgement_that_may_be_of_a_lost_write_is_believed_of_none(clock: FakeClock) -> None:
    async with plant(clock, many()) as one:
        await clock.advance(1)
        one.channel.dead = {1}
        assert "no answer" in await attempt(one, 7)
        one.channel.dead = set()
        assert "given up" in await attempt(one, 8)
        assert "given up" in await attempt(one, 7)
        await clock.advance(20)
        assert await attempt(one, 9) == "acknowledged"


async def test_the_same_write_again_is_believed_as_whichever_it_is_the_device_holds_it(clock: FakeClock) -> None:
    async with plant(clock, many()) as one:
        await clock.advance(1)
        one.channel.dead = {1}
        assert "no answer" in await attempt(one, 7)
        one.channel.dead = set()
        assert await attempt(one, 7) == "acknowledged"


async def test_a_late_acknowledgement_that_came_leaves_no_doubt(clock: FakeClock) -> None:
    async with plant(clock, many()) as one:
        await clock.advance(1)
        one.channel.dead = {1}
        order = asyncio.create_task(one.write())
        await clock.advance(1.005)
        one.channel.coming = [Stray(1, 16, 4, clock.monotonic())]
        await clock.advance(1)
        with pytest.raises(NoAnswer):
            await order
        one.channel.dead = set()
        assert await attempt(one, 8) == "acknowledged"


async def test_an_acknowledgement_that_repeats_the_value_tells_its_write(clock: FakeClock) -> None:
    async with plant(clock, simple(0, period_s=600.0)) as one:
        await clock.advance(1)
        one.channel.dead = {1}
        assert "no answer" in await attempt(one, 7)
        one.channel.dead = set()
        assert await attempt(one, 8) == "acknowledged"
        assert "given up" in await attempt(one, 7)  # which the device took before it took 8, perhaps
