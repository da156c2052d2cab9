"""A channel that is opened, lost and found again, and what the bus says about itself and about what is lost."""

import asyncio
import logging
from dataclasses import replace

import pytest

from address_space.image import ProcessImage
from address_space.model import Sample, Status
from drivers.base import Rejected, Unreachable
from drivers.bus import Bus
from drivers.channel import Stray
from drivers.spec import BusUnit, IdentifyCheck, ModbusLimits, Profile
from tests.drivers.bus_plant import (
    OFFLINE,
    ONLINE,
    SERIAL,
    TCP,
    plant,
    refusing,
    simple,
    start,
    stop,
)
from tests.drivers.equipment import devices, point, profile, source
from tests.drivers.scripted import ScriptedChannel
from tests.fake_clock import FakeClock

# --- an open line


async def test_a_line_is_listened_to_before_the_first_request_and_the_first_answer_is_not_believed(
    clock: FakeClock,
) -> None:
    one, task = start(clock, simple(0))
    await clock.advance(1.99)
    assert one.channel.sent == []
    await clock.advance(1.0)
    assert one.channel.reads() == [(0, 1)]
    assert one.sample("d1", "p0").status == Status.BAD_WAITING_FOR_INITIAL_DATA
    await clock.advance(0.1)
    assert one.channel.reads() == [(0, 1), (0, 1)]
    assert one.sample("d1", "p0").status == Status.GOOD
    assert one.sample("line", "overrun").value in (None, False)
    await stop(task)


async def test_a_long_time_out_is_listened_for_whatever_the_cap_of_the_silence_is(clock: FakeClock) -> None:
    one, task = start(clock, simple(0), replace(SERIAL, timeout_s=5.0, quiet_max_s=0.5))
    await clock.advance(4.99)
    assert one.channel.sent == []
    await stop(task)


async def test_a_line_that_is_opened_again_is_listened_to_for_a_time_out(clock: FakeClock) -> None:
    async with plant(clock, simple(0)) as one:
        await clock.advance(1.5)
        one.channel.down = "unplugged"
        await clock.advance(1)
        one.channel.down = ""
        opened = one.channel.opened
        while one.channel.opened == opened:
            await clock.advance(0.01)
        start_s, sent = clock.monotonic(), len(one.channel.sent)
        await clock.advance(5)
        assert one.channel.sent[sent][0] >= start_s + 0.98
        assert one.state() == ONLINE


async def test_a_numbered_channel_is_used_at_once(clock: FakeClock) -> None:
    one, task = start(clock, simple(0), TCP, numbered=True)
    await clock.advance(0.1)
    assert one.sample("d1", "p0").status == Status.GOOD
    await stop(task)


async def test_the_parts_of_an_identification_wait_for_silence_too(clock: FakeClock) -> None:
    checks = [IdentifyCheck("p0"), IdentifyCheck("p50")]
    apart = simple(0, 50, identify=checks, modbus=ModbusLimits(max_gap=0))
    async with plant(clock, apart) as one:
        one.channel.coming = [Stray(1, 3, 2, 0.0)]  # comes with the first answer
        await clock.advance(2)
        first, second = (at for at, _ in one.channel.sent[:2])
        assert second - first >= 0.1


# --- the channel


async def test_a_channel_that_cannot_be_opened_is_tried_again_with_growing_pauses_and_orders_fail_at_once(
    clock: FakeClock,
) -> None:
    async with plant(clock, simple(0), down="nobody listens") as one:
        await clock.advance(0.1)
        assert one.state() == OFFLINE
        assert one.state("line") == OFFLINE
        assert one.sample("d1", "p0").status == Status.BAD_NO_COMMUNICATION
        with pytest.raises(Unreachable, match="nobody listens"):
            await one.write()
        await clock.advance(60)
        one.channel.down = ""
        await clock.advance(12)
        assert one.state() == ONLINE
        assert one.sample("d1", "p0").value == 0


async def test_a_lost_channel_is_opened_again_at_once_and_the_plant_goes_on(clock: FakeClock) -> None:
    async with plant(clock, simple(0), config=TCP) as one:
        await clock.advance(1.5)
        one.channel.down = "closed by the other side"
        await clock.advance(1)
        one.channel.down = ""
        await clock.advance(3)
        assert one.state() == ONLINE
        assert one.channel.opened == 2
        assert one.sample("line", "reconnects").value == 1
        assert one.sample("d1", "p0").ticks >= clock.now() - 15_000_000


async def test_a_tcp_peer_that_says_nothing_at_all_is_connected_to_anew(clock: FakeClock) -> None:
    async with plant(clock, simple(0), config=TCP) as one:
        await clock.advance(1.5)
        one.channel.dead = {1}
        await clock.advance(10)
        assert one.channel.opened >= 2


async def test_orders_end_with_the_bus(clock: FakeClock) -> None:
    async with plant(clock, simple(0), answer_s=0.5) as one:
        await clock.advance(0.1)
        order = asyncio.create_task(one.write())
        await clock.advance(0.1)
    with pytest.raises(Unreachable, match="stopped"):
        await order
    with pytest.raises(Unreachable, match="stopped"):
        await one.write()


# --- what the log hears of a channel


async def test_a_channel_that_is_lost_again_and_again_is_told_of_once_a_minute(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with plant(clock, simple(0), config=TCP) as one:
        await clock.advance(1.5)
        caplog.clear()
        for _ in range(20):
            one.channel.refuses = lambda request: Unreachable("closed by the other side")
            await clock.advance(1)
            one.channel.refuses = lambda request: None
            await clock.advance(1)
    assert [(r.levelname, r.getMessage()) for r in caplog.records if "bus line" in r.getMessage()] == [
        ("WARNING", "bus line: lost: closed by the other side"),
        ("INFO", "bus line: open again"),
    ]


async def test_a_channel_that_cannot_be_opened_is_told_of_once_and_so_is_its_return(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with plant(clock, simple(0), config=TCP, down="nobody listens") as one:
        await clock.advance(100)
        one.channel.down = ""
        await clock.advance(15)
    assert [(r.levelname, r.getMessage()) for r in caplog.records if "bus line" in r.getMessage()] == [
        ("WARNING", "bus line: nobody listens"),
        ("INFO", "bus line: open again"),
    ]


# --- what it says about itself


async def test_counters_are_published_about_once_a_second_and_only_when_they_changed(clock: FakeClock) -> None:
    async with plant(clock, simple(0, period_s=60.0)) as one:
        await clock.advance(30)
        assert one.sample("d1", "requests").value == 1
        assert one.published("d1", "requests") in ([0, 1], [1])
        assert one.sample("line", "latency_p50").value == 10.0
        assert one.sample("d1", "last_answer").value is not None


async def test_a_model_without_system_points_is_served_the_same(clock: FakeClock) -> None:
    async with plant(clock, simple(0, system=False)) as one:
        await clock.advance(2)
        assert one.sample("d1", "p0").value == 0


async def test_a_device_of_another_bus_is_refused(clock: FakeClock) -> None:
    async with plant(clock, simple(0)) as one:
        with pytest.raises(Rejected, match="x is not on bus line"):
            await one.write("x")


async def test_devices_that_share_a_unit_address_share_what_it_owes(clock: FakeClock) -> None:
    shared = [BusUnit(f"d{n}", 1, simple(n * 10), control=False) for n in (1, 2)]
    channel = ScriptedChannel(clock, {1: {a: a for a in range(100)}})
    image = ProcessImage(devices(SERIAL, shared), clock)
    clock.start_at(-3)
    task = asyncio.create_task(Bus(SERIAL, shared, image, clock, channel).run())
    await clock.advance(3.5)
    channel.dead = {1}
    await clock.advance(1.0)  # a read of one register is lost
    channel.dead = set()
    await clock.advance(3)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    lost = next(n for n, (at, _) in enumerate(channel.sent) if at >= 0.9)
    assert all(r.count != 1 for _, r in channel.sent[lost + 1 :])
    assert len(channel.sent) > lost + 2


async def test_a_request_that_got_a_doubtful_refusal_is_still_owed_its_own_answer(clock: FakeClock) -> None:
    async with plant(clock, simple(0)) as one:
        await clock.advance(0.5)
        one.channel.dead = {1}
        await clock.advance(1.0)  # asked at 1.0, and lost
        one.channel.dead = set()
        one.channel.refuses = refusing(4)  # which may be the late answer to that
        await clock.advance(1.6)
        _, lost, refused = [r for _, r in one.channel.sent]
        assert one.bus._units[0].lateness.avoid(3, clock.monotonic()) == {lost.size, refused.size}
        assert lost.size != refused.size


# --- what is lost, and what is never read


def nameplate(**more: object) -> Profile:
    return profile(
        [point("name"), point("here"), point("p", stale_after_s=3.0, bad_after_s=30.0)],
        {"name": source(50), "here": source(1), "p": source(0)},
        {"once": (None, ["name"]), "fast": (1.0, ["here", "p"])},
        **more,
    )


async def test_what_is_read_once_is_bad_while_the_gateway_misses_the_device_and_read_again_then(
    clock: FakeClock,
) -> None:
    async with plant(clock, nameplate(presence="here")) as one:
        await clock.advance(3)
        assert one.sample("d1", "name") == Sample(50.0, Status.GOOD, one.sample("d1", "name").ticks)
        one.channel.registers[1][1] = 0
        await clock.advance(1.2)
        assert one.sample("d1", "here").status == Status.GOOD
        for point_id in ("name", "p"):
            assert one.sample("d1", point_id).status == Status.BAD_NO_COMMUNICATION
            assert one.sample("d1", point_id).value is None
        one.channel.registers[1] |= {1: 1, 50: 51}
        await clock.advance(3)
        assert [one.sample("d1", p).value for p in ("name", "p")] == [51.0, 0.0]


@pytest.mark.parametrize("how", ["dead", "down"])
async def test_what_is_read_once_is_the_last_usable_value_of_a_device_that_went_offline(
    clock: FakeClock, how: str
) -> None:
    async with plant(clock, nameplate()) as one:
        await clock.advance(3)
        read = one.sample("d1", "name")
        setattr(one.channel, how, {1} if how == "dead" else "unplugged")
        await clock.advance(30)
        assert one.state() == OFFLINE
        uncertain = Status.UNCERTAIN_NO_COMMUNICATION_LAST_USABLE_VALUE
        assert one.sample("d1", "name") == Sample(50.0, uncertain, read.ticks)
        setattr(one.channel, how, set() if how == "dead" else "")
        await clock.advance(70)
        assert one.sample("d1", "name").status == Status.GOOD
        assert one.sample("d1", "name").ticks > read.ticks


async def test_what_can_only_be_written_says_that_it_cannot_be_read(clock: FakeClock) -> None:
    sources = {"trigger": source(7), "p": source(0)}
    one_way = profile([point("trigger"), point("p")], sources, {"fast": (1.0, ["p"])})
    async with plant(clock, one_way) as one:
        await clock.advance(2)
        assert one.sample("d1", "trigger").status == Status.BAD_NOT_READABLE
        one.channel.dead = {1}
        await clock.advance(30)
        assert one.sample("d1", "trigger").status == Status.BAD_NOT_READABLE
