"""A clock that stands still until a test moves it."""

import asyncio
import heapq
import itertools
from collections.abc import Callable

NS_PER_S = 1_000_000_000
NS_PER_TICK = 100
TICKS_PER_MS = 10_000
START = 134_272_512_000_000_000
"""2026-06-30 00:00:00 UTC in OPC UA ticks."""

# How many rounds of the event loop a woken task gets before time moves on: enough for a chain of that many awaits.
ROUNDS = 25


class FakeClock:
    """The `Clock` of address_space/model.py by hand: `advance` wakes sleepers in the order of their times.

    Time is kept in whole nanoseconds, so that ten steps of 0.1 s are one second. Work in threads (aiosqlite) and real
    sockets is not waited for.
    """

    def __init__(self, start: int = START) -> None:
        self._start_ticks = start
        self._elapsed_ns = 0
        self._order = itertools.count()
        self._sleepers: list[tuple[int, int, asyncio.Future[None]]] = []

    def now(self) -> int:
        """Wall time in OPC UA ticks, rounded down to 1 ms."""
        ticks = self._start_ticks + self._elapsed_ns // NS_PER_TICK
        return ticks - ticks % TICKS_PER_MS

    def monotonic(self) -> float:
        """Seconds that `advance` has moved this clock since it was made."""
        return self._elapsed_ns / NS_PER_S

    async def sleep(self, seconds: float) -> None:
        """Wait until `advance` has moved this clock by that many seconds; without any, only let others run."""
        if seconds <= 0:
            await asyncio.sleep(0)
            return
        woken = asyncio.get_running_loop().create_future()
        heapq.heappush(self._sleepers, (self._elapsed_ns + round(seconds * NS_PER_S), next(self._order), woken))
        await woken

    def call_at(self, when: float, callback: Callable[[], object]) -> "asyncio.Handle | _Timer":
        """Call something when `advance` has moved this clock there, in the next round when it is there already."""
        due_ns = round(when * NS_PER_S)
        if due_ns <= self._elapsed_ns:
            return asyncio.get_running_loop().call_soon(callback)
        timer = _Timer(callback)
        heapq.heappush(self._sleepers, (due_ns, next(self._order), timer.woken))
        return timer

    @property
    def sleeping(self) -> int:
        """How many tasks wait on this clock."""
        return sum(not woken.done() for _, _, woken in self._sleepers)

    async def advance(self, seconds: float) -> None:
        """Move time forward, stopping at every sleeper that becomes due so that it and what it starts can run."""
        if seconds < 0:
            raise ValueError(f"a monotonic clock does not go back ({seconds} s); step_wall moves wall time")
        end_ns = self._elapsed_ns + round(seconds * NS_PER_S)
        await self.settle()
        while self._sleepers and self._sleepers[0][0] <= end_ns:
            due_ns, _, woken = heapq.heappop(self._sleepers)
            if woken.done():  # its task was cancelled
                continue
            self._elapsed_ns = due_ns
            woken.set_result(None)
            await self.settle()
        self._elapsed_ns = end_ns
        await self.settle()

    def start_at(self, seconds: float) -> None:
        """Let `monotonic` begin with another number, before anybody looks at it."""
        if self.sleeping:
            raise ValueError("somebody sleeps on this clock already")
        self._sleepers.clear()
        self._elapsed_ns = round(seconds * NS_PER_S)

    def step_wall(self, seconds: float) -> None:
        """Set wall time forward or back, as NTP or an operator does; `monotonic` and sleepers do not notice."""
        self._start_ticks += round(seconds * NS_PER_S) // NS_PER_TICK

    async def settle(self) -> None:
        """Let every task that can run do so, without moving time."""
        for _ in range(ROUNDS):
            await asyncio.sleep(0)


class _Timer:
    """A callback that waits on a fake clock."""

    def __init__(self, callback: Callable[[], object]) -> None:
        self.woken: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        self.woken.add_done_callback(lambda woken: None if woken.cancelled() else callback())

    def cancel(self) -> None:
        """Forget it."""
        self.woken.cancel()
