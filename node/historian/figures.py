"""What the journal holds and what it lost, as points of the node's own device."""

from __future__ import annotations

from typing import Final

from address_space.model import Batch, Clock, Publisher, Status, Value
from node.historian.clock_watch import ClockWatch
from node.historian.events import Events
from node.historian.report import NODE_ID
from node.historian.store.damage import Damage
from node.historian.store.keeper import Keeper

_POINTS: Final = (
    "journal_deleted",
    "journal_events",
    "journal_events_lost",
    "journal_damaged",
    "journal_bytes",
    "journal_budget",
    "journal_free",
    "journal_oldest",
    "clock_doubtful",
    "clock_steps",
    "clock_last_step",
)


class Figures:
    """Publishes what changed; call `show` every second."""

    def __init__(
        self, publisher: Publisher, clock: Clock, keeper: Keeper, events: Events, damage: Damage, watch: ClockWatch
    ) -> None:
        """Raises KeyError when the site has no device `node` with the points of the journal."""
        self._publisher = publisher
        self._clock = clock
        self._keeper = keeper
        self._events = events
        self._damage = damage
        self._watch = watch
        self._slots = [publisher.slot(NODE_ID, point) for point in _POINTS]
        self._shown: dict[int, Value | None] = {}

    def show(self) -> None:
        """Publish the figures that changed."""
        keeper, used, watch = self._keeper, self._keeper.used, self._watch
        values: tuple[Value | None, ...] = (
            keeper.deleted.samples,
            self._events.recorded,
            self._events.lost,
            len(self._damage),
            None if used is None else used.on_disk,
            None if keeper.budget is None else keeper.budget.bytes,
            None if used is None else used.free,
            keeper.oldest,
            watch.doubtful,
            watch.steps,
            watch.last_step_s if watch.steps else None,
        )
        new = {s: v for s, v in zip(self._slots, values, strict=True) if v is not None and self._shown.get(s) != v}
        if new:
            self._shown.update(new)
            good = [int(Status.GOOD)] * len(new)
            self._publisher.publish(Batch(list(new), list(new.values()), good, self._clock.now()))
