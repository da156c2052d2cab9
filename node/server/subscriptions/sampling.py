"""When items are sampled: marks of the process image, and timers of items that have an interval of their own."""

from __future__ import annotations

import asyncio
import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass, field
from itertools import chain
from typing import Final

from address_space.image import ProcessImage, Watch
from address_space.model import Clock
from node.server.subscriptions.monitored_item import MonitoredItem
from node.server.transport.tasks import TaskSet, in_slices

# Sampling intervals are multiples of a step that grows with them, so that a client cannot ask for endless timers:
# (intervals up to, step), both in ms.
_STEPS: Final = ((1_000.0, 50.0), (10_000.0, 100.0), (60_000.0, 1_000.0), (math.inf, 60_000.0))


def timer_interval_ms(wanted_ms: float) -> float:
    """The interval of the timer that samples an item; not shorter than what was asked for, 50 ms at least."""
    step = next(step for most, step in _STEPS if wanted_ms <= most)
    return max(1, math.ceil(wanted_ms / step)) * step


class MarkedItems:
    """Items whose slots the image marks when they are published."""

    __slots__ = ("_image", "_watch")

    def __init__(self, image: ProcessImage, watch: Watch | None = None) -> None:
        self._image = image
        self._watch = watch or Watch()

    def __bool__(self) -> bool:
        return bool(self._watch.slots)

    def add(self, slot: int, item: MonitoredItem) -> None:
        """Look at an item whenever its slot is published."""
        item.sibling = self._watch.slots.get(slot)
        self._image.watch(slot, self._watch, item)

    def remove(self, slot: int, item: MonitoredItem) -> None:
        """Undo `add`."""
        rest = [each for each in _siblings(self._watch.slots[slot]) if each is not item]
        item.sibling = None
        if not rest:
            self._image.unwatch(slot, self._watch)
            return
        for one, following in zip(rest, [*rest[1:], None], strict=True):
            one.sibling = following
        self._watch.slots[slot] = rest[0]

    def take(self) -> list[MonitoredItem]:
        """The items whose slots were published since the last look, each once."""
        slots = self._watch.slots
        found = [slots[slot] for slot in self._watch.take()]
        others = [item for item in found if item.sibling is not None]
        return found + [each for item in others for each in _siblings(item.sibling)]

    def close(self) -> None:
        """Watch nothing any more."""
        self._image.drop(self._watch)


class PublishWatch(Watch):
    """Says at once which items have a new sample: the first item of each slot, its siblings behind it."""

    __slots__ = ("_tell",)

    def __init__(self, tell: Callable[[list[MonitoredItem]], None]) -> None:
        super().__init__()
        self._tell = tell

    def mark(self, slots: int | range) -> None:
        """Tell of the items on these slots."""
        known = self.slots
        if isinstance(slots, int):
            found = [known[slots]] if slots in known else []
        elif len(slots) > 2 * len(known):
            found = [item for slot, item in known.items() if slot in slots]
        else:
            found = [item for item in map(known.get, slots) if item is not None]
        if found:
            self._tell(found)


def _siblings(first: MonitoredItem | None) -> Iterable[MonitoredItem]:
    while first is not None:
        yield first
        first = first.sibling


@dataclass(slots=True)
class _Group:
    """Items of one timer."""

    marked: MarkedItems
    looked: dict[int, MonitoredItem] = field(default_factory=dict)
    task: asyncio.Task[None] | None = None


class Sampler:
    """The timers of one subscription."""

    def __init__(
        self, image: ProcessImage, clock: Clock, tasks: TaskSet, look: Callable[[MonitoredItem], None]
    ) -> None:
        self._image = image
        self._clock = clock
        self._tasks = tasks
        self._look = look
        self._groups: dict[float, _Group] = {}

    def add(self, item: MonitoredItem, interval_ms: float) -> None:
        """Sample an item by a timer."""
        group = self._groups.get(interval_ms)
        if group is None:
            group = self._groups[interval_ms] = _Group(MarkedItems(self._image))
            group.task = self._tasks.start(self._run(group, interval_ms / 1000), f"sampling each {interval_ms:g} ms")
        item.interval_ms = interval_ms
        if item.slot is None:
            group.looked[item.id] = item
        else:
            group.marked.add(item.slot, item)

    def remove(self, item: MonitoredItem) -> None:
        """Undo `add`."""
        group = self._groups[item.interval_ms]
        if item.slot is None:
            group.looked.pop(item.id, None)
        else:
            group.marked.remove(item.slot, item)
        if not group.looked and not group.marked:
            self._end(self._groups.pop(item.interval_ms))

    def close(self) -> None:
        """End all timers."""
        for group in self._groups.values():
            self._end(group)
        self._groups.clear()

    def _end(self, group: _Group) -> None:
        group.marked.close()
        if group.task is not None:
            group.task.cancel()

    async def _run(self, group: _Group, interval_s: float) -> None:
        due = self._clock.monotonic()
        while True:
            due = max(due + interval_s, self._clock.monotonic())
            await self._clock.sleep(due - self._clock.monotonic())
            await in_slices(list(chain(group.marked.take(), group.looked.values())), self._look)
