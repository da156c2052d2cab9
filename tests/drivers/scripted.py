"""A channel that answers out of a table of registers, with scripted failures, on a clock moved by hand."""

import struct
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field

from address_space.model import Clock
from drivers.base import DriverError, NoAnswer, Rejected, Unreachable
from drivers.channel import Read, Request, Stray, Write


@dataclass
class ScriptedChannel:
    """`registers[unit][address]` are the words of every table; what is not there is refused with exception 2."""

    clock: Clock
    registers: dict[int, dict[int, int]] = field(default_factory=dict)
    numbered: bool = False
    gap_s: float = 0.0
    answer_s: float = 0.01  # until an answer comes
    dead: set[int] = field(default_factory=set)
    refuses: Callable[[Request], DriverError | None] = lambda request: None
    down: str = ""
    sent: list[tuple[float, Request]] = field(default_factory=list)
    opened: int = 0
    is_open: bool = False
    coming: list[Stray] = field(default_factory=list)  # heard at the next chance
    busy: bool = False
    silent_s: float = 0.0  # spent on requests that nobody answered

    async def open(self) -> None:
        if self.down:
            raise Unreachable(self.down)
        self.opened += 1
        self.is_open = True

    async def close(self) -> None:
        self.is_open = False

    async def transact(self, request: Request, deadline: float) -> bytes:
        assert not self.busy, "two requests at a time"
        assert self.is_open
        self.busy = True
        try:
            self.sent.append((self.clock.monotonic(), request))
            if self.down:
                raise Unreachable(self.down)
            if request.unit in self.dead:
                self.silent_s += deadline - self.clock.monotonic()
                await self.clock.sleep(deadline - self.clock.monotonic())
                raise NoAnswer(f"no answer to a {request}")
            await self.clock.sleep(self.answer_s)
            error = self.refuses(request)
            if error is not None:
                raise error
            return self.answer(request)
        finally:
            self.busy = False

    def answer(self, request: Request) -> bytes:
        words = self.registers.setdefault(request.unit, {})
        if isinstance(request, Write):
            words.update(enumerate(request.words, request.address))
            return b""
        wanted = range(request.address, request.address + request.count)
        if any(address not in words for address in wanted):
            raise Rejected("exception 2", 2)
        return b"".join(struct.pack(">H", words[address]) for address in wanted)

    async def drain(self, until: float) -> None:
        if not self.coming:
            await self.clock.sleep(until - self.clock.monotonic())

    def strays(self) -> Sequence[Stray]:
        coming, self.coming = self.coming, []
        return coming

    # --- what the tests look at

    def reads(self, unit: int | None = None, since: float = 0.0) -> list[tuple[int, int]]:
        """(address, count) of the reads that were sent."""
        return [(r.address, r.count) for r in self.requests(unit, since) if isinstance(r, Read)]

    def writes(self) -> list[tuple[int, int, tuple[int, ...]]]:
        return [(r.unit, r.address, r.words) for _, r in self.sent if isinstance(r, Write)]

    def requests(self, unit: int | None = None, since: float = 0.0) -> Iterable[Request]:
        return [r for at, r in self.sent if at >= since and unit in (None, r.unit)]
