import asyncio
import logging
from dataclasses import replace
from itertools import pairwise

import pytest

from address_space.model import DataType, Sample, Status
from drivers.base import NoAnswer, Rejected
from drivers.channel import Read, Stray
from drivers.spec import BusConfig, ModbusLimits
from tests.drivers.bus_plant import (
    OFFLINE,
    ONLINE,
    OUT,
    SERIAL,
    SUSPECT,
    TCP,
    identified,
    plant,
    refusing,
    simple,
)
from tests.drivers.equipment import point, profile, source
from tests.fake_clock import FakeClock

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
