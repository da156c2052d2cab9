"""What the forwarder does with every answer, against a sink in memory and a clock that only the test moves."""

import asyncio
from collections.abc import Callable, Sequence
from random import Random

import pytest

from node.historian.forwarding.delivery import REFUSED_MAX, Delivered, Delivery, Refusing
from node.historian.forwarding.feed import Portion
from node.sinks.base import (
    Answer,
    Lines,
    Misconfigured,
    Poison,
    Retry,
    SinkConfig,
    SinkError,
    Stored,
    TooBig,
)
from tests.fake_clock import FakeClock

Judge = Callable[[Sequence[str]], Answer]


class MemorySink:
    """Keeps lines and answers as it is told."""

    def __init__(self) -> None:
        self.kept: dict[str, int] = {}
        self.sent: list[int] = []
        self.judge: Judge = lambda _lines: Stored()
        self.answers: list[Answer] = []
        self.opened = 0
        self.broken: str | None = None

    def encode(self, portion: Portion) -> Lines:
        raise NotImplementedError

    async def open(self) -> None:
        self.opened += 1
        if self.broken is not None:
            raise SinkError(self.broken)

    async def send(self, lines: Sequence[str]) -> Answer:
        self.sent.append(len(lines))
        answer = self.answers.pop(0) if self.answers else self.judge(lines)
        if isinstance(answer, Stored):
            for line in lines:
                self.kept[line] = self.kept.get(line, 0) + 1
        return answer

    async def ping(self) -> bool:
        return True

    async def close(self) -> None: ...


class Bench:
    def __init__(self, clock: FakeClock, batch_lines: int = 100) -> None:
        self.sink = MemorySink()
        self.clock = clock
        self.heard: list[Answer] = []
        config = SinkConfig("central", "memory", batch_lines=batch_lines, batch_bytes=10_000)
        self.delivery = Delivery(self.sink, config, clock, Random(1), self.heard.append)

    def start(self, lines: Lines) -> "asyncio.Task[Delivered]":
        return asyncio.create_task(self.delivery.bring(lines))


def numbered(count: int) -> Lines:
    return Lines([f"h v={n} {n}" for n in range(count)], list(range(count)))


def poison(*bad: str) -> Judge:
    return lambda lines: Poison(f"refused {len(lines)}", "kind") if set(bad) & set(lines) else Stored()


async def test_batches_are_bounded_in_lines_and_in_bytes(clock: FakeClock) -> None:
    bench = Bench(clock)
    lines = numbered(250)
    lines.texts[120] = "x" * 9_990
    done = await bench.start(lines)
    assert done == Delivered(250)
    assert list(bench.sink.kept) == lines.texts
    assert max(bench.sink.sent) == 100
    assert bench.sink.sent[0] == 100
    assert len(bench.sink.sent) > 3


async def test_a_retry_waits_longer_every_time_and_never_gives_up(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda _lines: Retry("away")
    task = bench.start(numbered(10))
    for _ in range(100):
        await clock.advance(60)
    assert not task.done()
    tries = len(bench.sink.sent)
    assert 100 <= tries <= 230
    bench.sink.judge = lambda _lines: Stored()
    await clock.advance(60)
    assert (await task).stored == 10


async def test_retry_after_is_honoured(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.answers = [Retry("slow down", after_s=300)]
    task = bench.start(numbered(1))
    await clock.advance(299)
    assert bench.sink.sent == [1]
    await clock.advance(31)
    assert (await task).stored == 1


async def test_a_sink_that_is_not_set_up_is_probed_every_minute_and_opened_anew(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda _lines: Misconfigured("HTTP 401")
    task = bench.start(numbered(10))
    for _ in range(60):
        await clock.advance(60)
    assert not task.done()
    assert len(bench.sink.sent) == bench.sink.opened == 61
    bench.sink.judge = lambda _lines: Stored()
    await clock.advance(60)
    assert (await task).stored == 10


async def test_a_sink_that_cannot_be_opened_says_why(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.broken = "token cannot be read"
    task = bench.start(numbered(1))
    await clock.advance(60)
    assert set(map(repr, bench.heard)) == {"Misconfigured(reason='token cannot be read', answered=False)"}
    bench.sink.broken = None
    await clock.advance(60)
    assert (await task).stored == 1


async def test_what_is_too_big_is_made_smaller(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda lines: TooBig("413") if len(lines) > 30 else Stored()
    done = await bench.start(numbered(200))
    assert done == Delivered(200)
    assert list(bench.sink.kept.values()) == [1] * 200


async def test_one_line_that_is_too_big_alone_goes_to_quarantine(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda lines: TooBig("413") if "h v=7 7" in lines else Stored()
    done = await bench.start(numbered(20))
    assert done == Delivered(19, [("h v=7 7", "413")])


@pytest.mark.parametrize("bad", [{0}, {99}, {0, 50, 99}, {10, 11, 12}, set(range(0, 100, 7))])
async def test_poison_is_found_by_halves_and_everything_else_is_stored(clock: FakeClock, bad: set[int]) -> None:
    bench = Bench(clock)
    texts = {f"h v={n} {n}" for n in bad}
    bench.sink.judge = poison(*texts)
    done = await bench.start(numbered(100))
    assert {line for line, _ in done.refused} == texts
    assert {reason for _, reason in done.refused} == {"refused 1"}
    assert done.stored == 100 - len(bad)
    assert set(bench.sink.kept) == set(numbered(100).texts) - texts
    assert len(bench.sink.sent) <= 1 + 2 * 7 * len(bad)


async def test_too_many_refusals_for_one_reason_stop_and_give_nothing_up(clock: FakeClock) -> None:
    bench = Bench(clock, batch_lines=1000)
    bench.sink.judge = poison(*(f"h v={n} {n}" for n in range(0, 1000, 5)))
    with pytest.raises(Refusing, match=f"memory: more than {REFUSED_MAX} lines"):
        await bench.start(numbered(1000))


async def test_refusals_that_come_one_by_one_stop_too_when_nothing_is_stored_between_them(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda _lines: Poison("no", "kind")
    for number in range(REFUSED_MAX):
        assert len((await bench.start(Lines([f"h v={number} 1"], [number]))).refused) == 1
    with pytest.raises(Refusing):
        await bench.start(Lines(["h v=1 1"], [1]))


async def test_an_internal_error_that_repeats_is_searched_for_its_line(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda lines: Retry("500", suspect=True) if "h v=42 42" in lines else Stored()
    task = bench.start(numbered(100))
    for _ in range(100):
        await clock.advance(60)
    assert await task == Delivered(99, [("h v=42 42", "500")])


async def test_an_internal_error_of_every_line_is_waited_for(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda _lines: Retry("500", suspect=True)
    task = bench.start(numbered(4))
    for _ in range(100):
        await clock.advance(60)
    assert not task.done()
    bench.sink.judge = lambda _lines: Stored()
    await clock.advance(60)
    assert await task == Delivered(4)


@pytest.mark.parametrize("kept", [0, 1, 37, 99, 100])
async def test_what_is_older_than_the_sink_keeps_is_counted_with_few_requests(clock: FakeClock, kept: int) -> None:
    bench = Bench(clock)
    lines = numbered(100)
    order = list(range(100))
    Random(3).shuffle(order)
    lines = Lines([lines.texts[n] for n in order], order)
    old = {f"h v={n} {n}" for n in range(100 - kept)}
    bench.sink.judge = lambda sent: Poison("too old", "old", True) if old & set(sent) else Stored()
    done = await bench.start(lines)
    assert done == Delivered(kept, too_old=100 - kept)
    assert set(bench.sink.kept) == set(lines.texts) - old
    assert len(bench.sink.sent) <= 30


async def test_a_slow_line_gets_fewer_lines_at_once(clock: FakeClock) -> None:
    bench = Bench(clock)
    bench.sink.judge = lambda lines: Retry("no answer within 30 s", slow=True) if len(lines) > 20 else Stored()
    task = bench.start(numbered(100))
    for _ in range(50):
        await clock.advance(60)
    assert (await task).stored == 100
    assert list(bench.sink.kept.values()) == [1] * 100


async def test_lines_that_could_not_be_made_are_refused_with_their_reason(clock: FakeClock) -> None:
    bench = Bench(clock)
    assert await bench.start(Lines(refused=[("x", "no time")])) == Delivered(0, [("x", "no time")])
    assert bench.sink.sent == []
