"""What control wants done on a bus, until the bus has time for it."""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from typing import Final

from address_space.model import Sample
from drivers.base import NoAnswer, Priority, Unreachable
from drivers.unit import Unit

_NEVER: Final = float("inf")

Work = Callable[[], Awaitable[Mapping[str, Sample]]]


@dataclass(slots=True)
class Order:
    """Something that control wants done, and who waits for it."""

    priority: Priority
    number: int  # order of arrival
    unit: Unit
    deadline: float
    work: Work
    answer: asyncio.Future[Mapping[str, Sample]]


class Orders:
    """Orders that wait: the most urgent first, and of those the oldest."""

    def __init__(self) -> None:
        self._waiting: list[Order] = []
        self._numbers = 0

    def __len__(self) -> int:
        return len(self._waiting)

    def add(self, unit: Unit, priority: Priority, deadline: float, work: Work) -> asyncio.Future[Mapping[str, Sample]]:
        """Take an order; the future ends with its samples or with a DriverError."""
        answer: asyncio.Future[Mapping[str, Sample]] = asyncio.get_running_loop().create_future()
        self._numbers += 1
        self._waiting.append(Order(priority, self._numbers, unit, deadline, work, answer))
        return answer

    def take(self, now: float) -> tuple[Order | None, float]:
        """The order to carry out now, or None and when the first unit may be spoken to."""
        soonest = _NEVER
        first: Order | None = None
        for one in self._waiting:
            if one.unit.ready_at > now:
                soonest = min(soonest, one.unit.ready_at)
            elif first is None or (one.priority, one.number) < (first.priority, first.number):
                first = one
        if first is not None:
            self._waiting.remove(first)
        return first, soonest

    def next_deadline(self) -> float:
        """When the first of them ends unsent."""
        return min((order.deadline for order in self._waiting), default=_NEVER)

    def expire(self, now: float) -> None:
        """End those whose deadline passed; forget those whose caller is gone."""
        for order in [order for order in self._waiting if order.deadline <= now or order.answer.done()]:
            self._waiting.remove(order)
            if not order.answer.done():
                order.answer.set_exception(NoAnswer(f"{order.unit.name}: not sent before its deadline"))

    def refuse(self, text: str) -> None:
        """End all of them: the channel cannot carry them out."""
        orders, self._waiting = self._waiting, []
        for order in orders:
            if not order.answer.done():
                order.answer.set_exception(Unreachable(text))
