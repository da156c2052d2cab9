import asyncio
import contextlib
import logging
from collections.abc import AsyncIterator
from dataclasses import dataclass, replace
from itertools import pairwise

import pytest

from address_space.image import ProcessImage
from address_space.model import Batch, DataType, Sample, Status
from drivers.base import NoAnswer, Priority, Rejected, Setting, Unreachable
from drivers.bus import Bus
from drivers.channel import Read, Stray
from drivers.health import ConnectionState
from drivers.quiet import stranger_s
from drivers.spec import BusConfig, BusUnit, IdentifyCheck, ModbusLimits, Profile, SerialLine, TcpPeer
from tests.drivers.equipment import devices, point, profile, source
from tests.drivers.scripted import ScriptedChannel
from tests.fake_clock import FakeClock

SERIAL = BusConfig("line", "modbus", SerialLine("/dev/none", 9600), "rtu")
TCP = BusConfig("line", "modbus", TcpPeer("none", 502), "tcp")
ONLINE, SUSPECT, OFFLINE, OUT = (ConnectionState(code) for code in (1, 2, 3, 4))


def simple(*addresses: int, period_s: float | None = 1.0, stale_s: float = 3.0, **more: object) -> Profile:
    """One u16 point p<address> at each address, all in one group."""
    sources = {f"p{a}": source(a) for a in addresses or (0,)}
    points = [point(p, DataType.UINT16, stale_after_s=stale_s, bad_after_s=10 * stale_s) for p in sources]
    return profile(points, sources, {"group": (period_s, list(sources))}, **more)


@dataclass
class Plant:
    clock: FakeClock
    channel: ScriptedChannel
    image: ProcessImage
    bus: Bus
    batches: list[Batch]

    def sample(self, device: str, point_id: str) -> Sample:
        return self.image.sample(self.image.slot(device, point_id))

    def state(self, device: str = "d1") -> int:
        value = self.sample(device, "connection").value
        assert isinstance(value, int)
        return value

    def published(self, device: str, point_id: str) -> list[object]:
        slot = self.image.slot(device, point_id)
        return [v for b in self.batches for s, v in zip(b.slots, b.values, strict=True) if s == slot]

    async def write(self, device: str = "d1", point_id: str = "p0", value: int = 7, within_s: float = 5.0) -> None:
        deadline = self.clock.monotonic() + within_s
        await self.bus.write(device, [Setting(point_id, value)], Priority.COMMAND, deadline)


@contextlib.asynccontextmanager
async def plant(
    clock: FakeClock, *profiles: Profile, config: BusConfig = SERIAL, control: bool = True, **channel: object
) -> AsyncIterator[Plant]:
    """Units 1, 2, ... as devices d1, d2, ... with registers 0 to 99 holding their own address."""
    opening_s = 0.0
    if config.framing != "tcp":
        opening_s = stranger_s(config) + config.timeout_s  # silence, and a read that nobody needs
        clock.start_at(clock.monotonic() - opening_s)  # so that the plant is polled from 0.0 on
    units = [BusUnit(f"d{n}", n, one, control) for n, one in enumerate(profiles, 1)]
    registers = {n: {a: a for a in range(100)} for n in range(1, len(units) + 1)}
    wire = ScriptedChannel(clock, **({"registers": registers, "numbered": config.framing == "tcp"} | channel))
    image = ProcessImage(devices(config, units), clock)
    batches: list[Batch] = []
    image.tap(lambda batch, changed: batches.append(batch))
    bus = Bus(config, units, image, clock, wire)
    task = asyncio.create_task(bus.run())
    if opening_s:
        # Up to the last moment of the opening, so that a test sees the bus as if it began there.
        await clock.advance(opening_s - 0.001)
        wire.sent.clear()
        wire.silent_s = 0.0
        await clock.advance(0.001)
    try:
        yield Plant(clock, wire, image, bus, batches)
    finally:
        task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await task


# --- polling


async def test_a_poll_publishes_one_batch_with_the_time_at_which_the_answer_came(clock: FakeClock) -> None:
    async with plant(clock, simple(3, 4)) as one:
        start = clock.now()
        await clock.advance(0.5)
        assert one.sample("d1", "p3") == Sample(3, Status.GOOD, start + 100_000)
        assert [b.values for b in one.batches if b.slots[0] == one.image.slot("d1", "p3")] == [[3, 4]]
        assert one.channel.reads() == [(3, 2)]
        assert one.state() == ONLINE


async def test_each_group_keeps_its_period(clock: FakeClock) -> None:
    both = profile(
        [point("fast"), point("slow")],
        {"fast": source(0), "slow": source(50)},
        {"fast": (0.5, ["fast"]), "slow": (2.0, ["slow"])},
    )
    async with plant(clock, both) as one:
        await clock.advance(10.2)
        assert one.channel.reads().count((0, 1)) == 21
        assert one.channel.reads().count((50, 1)) == 6


async def test_a_bus_that_is_too_slow_leaves_polls_out_and_says_so(clock: FakeClock) -> None:
    async with plant(clock, simple(0, period_s=0.1), answer_s=0.35) as one:
        await clock.advance(7.1)
        assert 18 <= len(one.channel.reads()) <= 21
        assert one.sample("line", "overrun").value is True
        assert one.sample("line", "utilisation").value > 90


async def test_a_once_group_is_read_after_each_return_only(clock: FakeClock) -> None:
    name = profile(
        [point("name"), point("p")],
        {"name": source(50), "p": source(0)},
        {"once": (None, ["name"]), "fast": (1.0, ["p"])},
    )
    async with plant(clock, name) as one:
        await clock.advance(5)
        assert one.channel.reads().count((50, 1)) == 1
        one.channel.dead = {1}
        await clock.advance(20)
        one.channel.dead = set()
        await clock.advance(70)
        assert one.channel.reads().count((50, 1)) == 2


async def test_the_interval_of_a_unit_and_the_gap_of_the_bus_are_kept(clock: FakeClock) -> None:
    slow = simple(0, 50, period_s=0.1, modbus=ModbusLimits(max_gap=0, min_interval_s=0.2))
    async with plant(clock, slow, simple(0, period_s=0.01), config=replace(SERIAL, gap_s=0.05)) as one:
        await clock.advance(3)
        times = [at for at, _ in one.channel.sent]
        own = [at for at, r in one.channel.sent if r.unit == 1]
        assert min(b - a for a, b in pairwise(times)) >= 0.0599
        assert min(b - a for a, b in pairwise(own)) >= 0.2099


# --- silence


async def test_a_failed_poll_publishes_nothing_and_renews_no_time(clock: FakeClock) -> None:
    async with plant(clock, simple(0)) as one:
        await clock.advance(0.5)
        before = one.sample("d1", "p0")
        one.channel.dead = {1}
        await clock.advance(30)
        assert one.sample("d1", "p0") == before
        assert one.published("d1", "p0") == [0]


async def test_a_unit_that_never_answered_has_no_communication_after_the_first_failed_contact(clock: FakeClock) -> None:
    async with plant(clock, simple(0), dead={1}) as one:
        assert one.sample("d1", "p0").status == Status.BAD_WAITING_FOR_INITIAL_DATA
        await clock.advance(1.2)
        assert one.sample("d1", "p0").status == Status.BAD_NO_COMMUNICATION
        assert one.state() == SUSPECT


async def test_three_failures_take_a_unit_offline_and_an_answer_brings_it_back(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    caplog.set_level(logging.INFO)
    async with plant(clock, simple(0)) as one:
        await clock.advance(1.5)
        one.channel.dead = {1}
        await clock.advance(15)
        assert one.state() == OFFLINE
        one.channel.dead = set()
        await clock.advance(70)
        assert one.state() == ONLINE
        assert one.sample("d1", "p0").status == Status.GOOD
    said = [record.levelname for record in caplog.records if "d1" in record.getMessage()]
    assert said == ["WARNING", "WARNING", "INFO"]  # the first failure, offline, back


async def test_probes_of_a_dead_unit_come_ever_more_rarely_and_ask_for_little(clock: FakeClock) -> None:
    async with plant(clock, simple(*range(20)), dead={1}) as one:
        await clock.advance(20)
        start = clock.monotonic()
        await clock.advance(600)
        times = [at for at, _ in one.channel.sent if at >= start]
        assert {count for _, count in one.channel.reads(since=start)} <= {1, 2, 3}
        assert 9 <= len(times) <= 16
        assert all(48 <= b - a <= 63 for a, b in pairwise(times[4:]))


@pytest.mark.parametrize("config", [SERIAL, TCP])
async def test_one_dead_unit_of_eight_leaves_the_others_their_polls(clock: FakeClock, config: BusConfig) -> None:
    async def polls(dead: set[int]) -> list[int]:
        async with plant(clock, *[simple(0) for _ in range(8)], config=config, dead=dead, answer_s=0.03) as one:
            await clock.advance(60)
            return [len(one.channel.reads(unit)) for unit in range(1, 9)]

    alive, with_dead = await polls(set()), await polls({4})
    del alive[3], with_dead[3]
    assert all(b >= 0.9 * a for a, b in zip(alive, with_dead, strict=True))


async def test_probes_take_at_most_a_tenth_of_the_time_however_many_units_are_dead(clock: FakeClock) -> None:
    async with plant(clock, *[simple(0) for _ in range(12)], dead=set(range(2, 13))) as one:
        await clock.advance(200)
        start, silent_s = clock.monotonic(), one.channel.silent_s
        await clock.advance(300)
        assert 5 <= one.channel.silent_s - silent_s <= 30
        assert len(one.channel.reads(1, start)) >= 0.9 * 300


async def test_after_a_time_out_there_is_silence_and_then_a_request_of_another_length(clock: FakeClock) -> None:
    async with plant(clock, simple(0, 1)) as one:
        await clock.advance(0.5)
        one.channel.dead = {1}
        await clock.advance(1.5)  # asked at 1.0, given up at 2.0
        one.channel.dead = set()
        await clock.advance(3)
        sent = [(round(at, 3), r.count) for at, r in one.channel.sent]
        assert sent[1] == (1.0, 2)
        assert sent[2][0] >= 2.1
        assert sent[2][1] != 2


async def test_the_silence_grows_to_twice_the_longest_lateness_and_the_late_answer_ends_it(clock: FakeClock) -> None:
    async with plant(clock, simple(0, 1, period_s=0.1), simple(0, period_s=0.1)) as one:
        await clock.advance(0.45)
        one.channel.dead = {1}
        await clock.advance(0.1)
        one.channel.dead = set()
        lost = max(at for at, r in one.channel.sent if r.unit == 1)
        await clock.advance(lost + 1.05 - clock.monotonic())
        one.channel.coming = [Stray(1, 3, 4, lost + 1.4)]  # noticed at the end of the silence
        await clock.advance(0.5)
        unit = one.bus._units[0]
        assert unit.lateness.longest_s == pytest.approx(0.4)
        assert unit.lateness.window_s() == pytest.approx(0.8)
        assert unit.counters.late_replies == 1


async def test_the_silence_never_exceeds_the_cap_of_the_site_file(clock: FakeClock) -> None:
    async with plant(clock, simple(0), config=replace(SERIAL, quiet_max_s=0.3)) as one:
        unit = one.bus._units[0]
        unit.lateness.lost(Read(1, unit.sources["p0"].table, 0, 1), 0.0)
        assert unit.lateness.came(Stray(1, 3, 2, 5.0))
        assert unit.lateness.window_s() == 0.3


async def test_on_a_numbered_channel_others_are_asked_during_the_silence_of_one(clock: FakeClock) -> None:
    async with plant(clock, simple(0), simple(0, period_s=0.02), config=TCP, dead={1}, answer_s=0.001) as one:
        await clock.advance(1.1)
        assert len(one.channel.reads(2, since=1.0)) >= 4


# --- refusals


def refusing(code: int, unit: int = 1):
    return lambda r: Rejected(f"exception {code}", code) if r.unit == unit else None


async def test_an_exception_is_a_device_failure_at_once_and_the_device_is_online(clock: FakeClock) -> None:
    async with plant(clock, simple(0), refuses=refusing(4)) as one:
        await clock.advance(0.1)
        assert one.sample("d1", "p0").status == Status.BAD_DEVICE_FAILURE
        assert one.state() == ONLINE
        one.channel.refuses = lambda request: None
        await clock.advance(1)
        assert one.sample("d1", "p0").value == 0


async def test_a_busy_device_is_asked_again_soon_and_fails_only_in_the_end(clock: FakeClock) -> None:
    async with plant(clock, simple(0, period_s=60.0), refuses=refusing(6)) as one:
        await clock.advance(0.5)
        assert one.sample("d1", "p0").status == Status.BAD_WAITING_FOR_INITIAL_DATA
        assert len(one.channel.reads()) == 3
        await clock.advance(0.5)
        assert one.sample("d1", "p0").status == Status.BAD_DEVICE_FAILURE
        assert len(one.channel.reads()) == 4


@pytest.mark.parametrize("code", [10, 11])
async def test_a_gateway_that_knows_a_unit_is_away_takes_it_offline_at_once(clock: FakeClock, code: int) -> None:
    async with plant(clock, simple(0), simple(0), config=TCP, refuses=refusing(code)) as one:
        await clock.advance(0.3)
        assert one.state("d1") == OFFLINE
        assert one.sample("d1", "p0").status == Status.BAD_NO_COMMUNICATION
        assert one.state("d2") == ONLINE


async def test_a_hole_in_a_merged_block_is_found_and_read_around(clock: FakeClock) -> None:
    async with plant(clock, simple(0, 1, 5, 6, 7)) as one:
        for hole in (2, 3, 4):
            del one.channel.registers[1][hole]
        await clock.advance(2.5)
        assert one.channel.reads() == [(0, 8), (0, 2), (5, 3), (0, 2), (5, 3), (0, 2), (5, 3)]
        assert all(one.sample("d1", f"p{a}").value == a for a in (0, 1, 5, 6, 7))


async def test_a_register_that_the_device_lacks_is_not_supported_and_asked_for_again_after_an_hour(
    clock: FakeClock,
) -> None:
    async with plant(clock, simple(0, 1, 2, period_s=100.0)) as one:
        del one.channel.registers[1][1]
        await clock.advance(5)
        assert one.sample("d1", "p1").status == Status.BAD_NOT_SUPPORTED
        assert [one.sample("d1", p).value for p in ("p0", "p2")] == [0, 2]
        one.channel.registers[1][1] = 77
        await clock.advance(3500)
        assert one.channel.reads().count((1, 1)) == 1
        await clock.advance(200)
        assert one.sample("d1", "p1").value == 77


async def test_an_exception_that_may_belong_to_a_lost_request_is_believed_of_none(clock: FakeClock) -> None:
    async with plant(clock, simple(0, 1, period_s=0.5)) as one:
        await clock.advance(0.1)
        one.channel.dead = {1}
        await clock.advance(1)
        one.channel.dead = set()
        one.channel.refuses = refusing(2)
        await clock.advance(3)
        assert one.published("d1", "p0") == [0]


# --- presence and identification


async def test_points_of_a_device_that_its_gateway_lost_are_not_renewed(clock: FakeClock) -> None:
    absent = simple(0, 1, presence="p1")
    async with plant(clock, absent) as one:
        await clock.advance(1.5)
        assert one.sample("d1", "p0").value == 0
        one.channel.registers[1][0] = 99  # what the gateway remembers
        one.channel.registers[1][1] = 0
        await clock.advance(2)
        assert one.sample("d1", "p1").value == 0
        assert one.published("d1", "p0") == [0, 0, None]
        assert one.sample("d1", "p0").status == Status.BAD_NO_COMMUNICATION
        assert one.state() == OFFLINE
        one.channel.registers[1][1] = 1
        await clock.advance(2)
        assert one.sample("d1", "p0").value == 99
        assert one.state() == ONLINE


async def test_a_device_that_was_never_present_publishes_nothing_but_that(clock: FakeClock) -> None:
    apart = simple(0, 50, presence="p50", modbus=ModbusLimits(max_gap=0))
    async with plant(clock, apart) as one:
        one.channel.registers[1][50] = 0
        await clock.advance(3)
        assert one.channel.reads() and set(one.channel.reads()) == {(50, 1)}
        assert one.sample("d1", "p0").status == Status.BAD_NO_COMMUNICATION
        assert one.sample("d1", "p50").value == 0


def identified() -> Profile:
    return simple(0, 50, identify=[IdentifyCheck("p50", one_of=(50,))], modbus=ModbusLimits(max_gap=0))


async def test_a_device_is_identified_before_anything_else_is_asked(clock: FakeClock) -> None:
    async with plant(clock, identified()) as one:
        await clock.advance(1.5)
        assert one.channel.reads()[0] == (50, 1)
        assert one.sample("d1", "p0").value == 0


async def test_another_device_than_the_profiles_is_out_of_service_and_nothing_is_written_to_it(
    clock: FakeClock, caplog: pytest.LogCaptureFixture
) -> None:
    async with plant(clock, identified()) as one:
        one.channel.registers[1][50] = 49
        await clock.advance(1.5)
        assert one.state() == OUT
        assert one.sample("d1", "p0").status == Status.BAD_OUT_OF_SERVICE
        assert "p50 is 49, expected one of 50" in caplog.text
        with pytest.raises(Rejected, match="out of service") as refusal:
            await asyncio.gather(one.write(), clock.advance(1))
        assert refusal.value.status == Status.BAD_OUT_OF_SERVICE
        assert one.channel.writes() == []
        assert len(one.channel.reads()) == 1
        one.channel.registers[1][50] = 50
        await clock.advance(61)
        assert one.state() == ONLINE
        assert one.sample("d1", "p0").value == 0


async def test_a_device_that_comes_back_is_identified_again(clock: FakeClock) -> None:
    async with plant(clock, identified()) as one:
        await clock.advance(1.5)
        one.channel.dead = {1}
        await clock.advance(15)
        one.channel.dead = set()
        one.channel.registers[1][50] = 1
        one.channel.registers[1][0] = 1234
        await clock.advance(70)
        assert one.state() == OUT
        assert 1234 not in one.published("d1", "p0")


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


# --- an open line


def start(clock: FakeClock, one: Profile, config: BusConfig = SERIAL, **channel: object) -> tuple[Plant, asyncio.Task]:
    """A plant of one unit from the very first moment on."""
    units = [BusUnit("d1", 1, one, control=True)]
    wire = ScriptedChannel(clock, {1: {a: a for a in range(100)}}, **channel)
    image = ProcessImage(devices(config, units), clock)
    bus = Bus(config, units, image, clock, wire)
    return Plant(clock, wire, image, bus, []), asyncio.create_task(bus.run())


async def stop(task: asyncio.Task) -> None:
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)


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


# --- a block that alone is never answered


def silent_at(*addresses: int):
    return lambda r: NoAnswer("silence") if isinstance(r, Read) and r.address in addresses else None


async def test_a_block_that_is_never_answered_has_no_communication_while_the_others_are_good(clock: FakeClock) -> None:
    apart = simple(0, 50, modbus=ModbusLimits(max_gap=0))
    async with plant(clock, apart, refuses=silent_at(50)) as one:
        await clock.advance(2)
        assert one.sample("d1", "p50").status == Status.BAD_NO_COMMUNICATION
        assert one.sample("d1", "p0").status == Status.GOOD


async def test_a_block_that_is_never_answered_is_asked_ever_more_rarely_and_costs_the_others_nothing(
    clock: FakeClock,
) -> None:
    sources = {f"p{a}": source(a) for a in (0, 20, 40, 60)}
    points = [point(p, DataType.UINT16, stale_after_s=30.0, bad_after_s=90.0) for p in sources]
    groups = {"fast": (1.0, ["p0"]), "energy": (10.0, ["p20", "p40"]), "slow": (30.0, ["p60"])}
    some = profile(points, sources, groups, modbus=ModbusLimits(max_gap=0))
    async with plant(clock, some, config=TCP, refuses=silent_at(20, 40), answer_s=0.3) as one:
        await clock.advance(5)
        assert one.sample("d1", "p60").status == Status.GOOD
        await clock.advance(300)
        reads = one.channel.reads()
        assert 8 <= reads.count((20, 1)) <= 15
        assert reads.count((0, 1)) >= 290
        assert reads.count((60, 1)) >= 10
        one.channel.refuses = lambda request: None
        await clock.advance(70)
        assert one.sample("d1", "p20").status == Status.GOOD
        before = len(one.channel.reads())
        await clock.advance(100)
        assert one.channel.reads()[before:].count((20, 1)) == 10


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
