"""Brings the lines of one portion to a sink, whatever it answers: waits, makes smaller, sorts out what it never takes.

A line is given up only when the sink refuses it alone. That an answer refuses many says nothing about each of them,
and what was stored of them is stored again: the same line of the same tag and time overwrites itself.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from address_space.model import Clock
from node.historian.forwarding.backoff import Backoff
from node.sinks.base import (
    Answer,
    Lines,
    Misconfigured,
    Poison,
    Retry,
    Sink,
    SinkConfig,
    SinkError,
    Stored,
    TooBig,
)

# So many lines with one fault are no bad data but a sink that is not set up for ours.
REFUSED_MAX: Final = 100
# A sink that is not set up right is tried again at this pace, by a person's change or for another reason.
PROBE_S: Final = 60.0
# A server that fails with the same lines so often, and answers otherwise, may fail because of them.
_SUSPECT_AFTER: Final = 3
# After a request was too big the next ones grow by an eighth each.
_GROWTH: Final = 8


class Refusing(Exception):
    """The sink refuses too many lines for the same reason; none of this portion was given up."""


@dataclass(frozen=True, slots=True)
class Delivered:
    """What became of a portion: how many lines are stored, which go to quarantine, how many are too old to keep."""

    stored: int
    refused: list[tuple[str, str]] = field(default_factory=list)
    too_old: int = 0


class Delivery:
    """Sends to one sink; knows how much it takes at once and how it did last."""

    def __init__(
        self, sink: Sink, config: SinkConfig, clock: Clock, random: Random, heard: Callable[[Answer], None]
    ) -> None:
        """`heard` is told every answer."""
        self._sink = sink
        self._config = config
        self._clock = clock
        self._heard = heard
        self._backoff = Backoff(random)
        self._limit = config.batch_lines  # lines at once, as long as the sink takes no more
        self._good: str | None = None  # the line that was stored last: to see whether the sink stores at all
        self._row = 0  # lines that were refused since one was stored
        self._opened = False

    async def close(self) -> None:
        """Let go of the sink's connections."""
        self._opened = False
        await self._sink.close()

    async def bring(self, lines: Lines) -> Delivered:
        """Return when every line is stored or known to be refused. Raises Refusing."""
        work = _Work(lines)
        while work.parts:
            part = work.parts.pop()
            if len(part) > self._limit or (len(part) > 1 and work.size(part) > self._config.batch_bytes):
                self._split(work, part)
                continue
            await self._try(work, part)
        return Delivered(work.stored, work.refused, work.too_old)

    async def _try(self, work: _Work, part: Sequence[int]) -> None:
        answer = await self._answer(work.texts(part))
        if answer is None:
            work.parts.append(part)
        else:
            await self._settle(work, part, answer)

    def _split(self, work: _Work, part: Sequence[int]) -> None:
        cut = self._limit if len(part) > self._limit else len(part) // 2
        work.parts += [part[cut:], part[:cut]]

    async def attempt(self, lines: Lines) -> bool:
        """Send lines once, for whoever wants to see them early; False when the sink takes nothing now.

        What it refuses is not sorted out here.
        """
        step = self._limit
        for start in range(0, len(lines.texts), step):
            if isinstance(await self._send(lines.texts[start : start + step]), Retry | Misconfigured):
                return False
        return True

    # --- what an answer means for a part

    async def _settle(self, work: _Work, part: Sequence[int], answer: Stored | Poison | TooBig) -> None:
        if isinstance(answer, Stored):
            work.stored += len(part)
            self._good = work.lines.texts[part[-1]]
            self._row = 0
            self._limit = min(self._limit + max(self._limit // _GROWTH, 1), self._config.batch_lines)
        elif isinstance(answer, TooBig):
            if len(part) == 1:
                self._refuse(work, part[0], answer.reason, "too big")
            else:
                self._limit = max(len(part) // 2, 1)
                self._split(work, part)
        elif answer.too_old:
            await self._sort_out_old(work, part)
        elif len(part) == 1:
            self._refuse(work, part[0], answer.reason, answer.kind)
        else:
            work.parts += [part[len(part) // 2 :], part[: len(part) // 2]]

    async def _sort_out_old(self, work: _Work, part: Sequence[int]) -> None:
        """Find where the sink's past ends, by halves: what is older than a line that is too old is so, too."""
        by_time = sorted(part, key=work.lines.ticks.__getitem__)
        newest, rest = by_time[-1:], by_time[:-1]
        answer = await self._answer(work.texts(newest)) if rest else Poison("", "", True)
        if isinstance(answer, Poison) and answer.too_old:
            work.too_old += len(part)
            return
        if answer is None:
            work.parts.append(newest)
        else:
            await self._settle(work, newest, answer)
        work.parts += [half for half in (rest[: len(rest) // 2], rest[len(rest) // 2 :]) if half]

    def _refuse(self, work: _Work, index: int, reason: str, kind: str) -> None:
        work.refused.append((work.lines.texts[index], reason))
        work.kinds[kind] += 1
        self._row += 1
        if work.kinds[kind] > REFUSED_MAX or self._row > REFUSED_MAX:
            self._row = 0
            raise Refusing(f"{self._config.target}: more than {REFUSED_MAX} lines are refused for one reason: {reason}")

    # --- until there is an answer that says something about the lines

    async def _answer(self, texts: Sequence[str]) -> Stored | Poison | TooBig | None:
        """What the sink says of these lines; None when fewer of them are to be tried."""
        suspicions = 0
        while True:
            answer = await self._send(texts)
            if isinstance(answer, Stored | Poison | TooBig):
                self._backoff.reset()
                return answer
            if isinstance(answer, Misconfigured):
                # What is read from files may be right after a change.
                await self.close()
                await self._clock.sleep(PROBE_S)
                continue
            suspicions += answer.suspect
            if suspicions >= _SUSPECT_AFTER and await self._stores_others(texts):
                self._backoff.reset()
                return Poison(answer.reason, answer.reason)
            await self._clock.sleep(self._backoff.pause_s(answer.after_s))
            if answer.slow and len(texts) > 1:
                self._limit = min(self._limit, max(len(texts) // 2, 1))
                return None

    async def _stores_others(self, texts: Sequence[str]) -> bool:
        """True when the sink answers, and a line alone that fails is not simply one of all lines that fail."""
        if not await self._sink.ping():
            return False
        if len(texts) > 1:
            return True
        return self._good is not None and isinstance(await self._send([self._good]), Stored)

    async def _send(self, texts: Sequence[str]) -> Answer:
        answer = await self._sent(texts)
        self._heard(answer)
        return answer

    async def _sent(self, texts: Sequence[str]) -> Answer:
        if not self._opened:
            try:
                await self._sink.open()
            except SinkError as error:
                return Misconfigured(str(error))
            self._opened = True
        return await self._sink.send(texts)


class _Work:
    """What is left to do of one portion: parts as positions of lines, the next one last."""

    def __init__(self, lines: Lines) -> None:
        self.lines = lines
        self.parts: list[Sequence[int]] = [range(len(lines.texts))] if lines.texts else []
        self.stored = 0
        self.too_old = 0
        self.refused = list(lines.refused)
        self.kinds: Counter[str] = Counter()

    def texts(self, part: Sequence[int]) -> list[str]:
        """The lines of a part."""
        texts = self.lines.texts
        return [texts[index] for index in part]

    def size(self, part: Sequence[int]) -> int:
        """Bytes of a part as one request, without compression."""
        texts = self.lines.texts
        return sum(len(texts[i]) if texts[i].isascii() else len(texts[i].encode()) for i in part) + len(part)
