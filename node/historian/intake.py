"""What waits for its commit: accepted samples in memory, bounded, and where some were lost.

When the memory is full, the newest are lost and counted; for every point that lost some, history then says
Bad_DataLost from the first lost sample on, followed by the point's newest sample.
"""

from __future__ import annotations

from address_space.image import ProcessImage
from node.historian.history import Columns
from node.historian.store.frame import is_recordable
from node.historian.store.samples import Samples
from node.historian.store.writer import DATA_LOST


class Intake:
    """Samples between the image and the disk: those that wait, and those that a commit has taken up."""

    def __init__(self, image: ProcessImage, capacity: int) -> None:
        """At most `capacity` samples are held, written or not."""
        self._image = image
        self._capacity = capacity
        self._waiting = Samples()
        self.writing = Samples()  # a commit that did not succeed is tried again with the same samples
        self._gaps: dict[int, int] = {}  # slot -> time of its first lost sample
        self.accepted = 0
        self.lost = 0
        self.is_closed = False  # nothing is accepted: the journal is full and keeps what is old

    def __bool__(self) -> bool:
        return bool(self._waiting or self.writing)

    @property
    def _full(self) -> bool:
        return self.is_closed or len(self._waiting) + len(self.writing) >= self._capacity

    def put(self, slot: int, value: object, status: int, ticks: int) -> bool:
        """Accept a sample, or count it as lost: False then. Never raises for a value."""
        if self._full or slot in self._gaps:
            self.lost += 1
            self._gaps.setdefault(slot, ticks)
            return False
        self.accepted += 1
        if value is None or isinstance(value, bool | int | float | str):
            self._waiting.append(slot, value, status, ticks)
            return True
        # What no frame can hold is lost alone: its place says so, and the next sample is taken.
        self.lost += 1
        self._waiting.append(slot, None, DATA_LOST, ticks)
        return False

    def take(self, count: int) -> Samples:
        """What a commit writes next, at most `count`: the same again until `written` was called."""
        if not self.writing:
            self.writing = self._waiting.take(count)
        return self.writing

    def written(self) -> None:
        """What was taken is on the disk."""
        self.writing = Samples()

    def copy_of(self, slot: int, low: int, high: int) -> Columns:
        """What is held of a slot with times from `low` to `high`, both included, in the order in which it came."""
        found = Columns()
        self.writing.copy_of(slot, low, high, found)
        self._waiting.copy_of(slot, low, high, found)
        return found

    def fill_gaps(self) -> None:
        """Say in history what was lost, now that there is room; half of it, so that new samples find room too."""
        room = 0 if self.is_closed else (self._capacity - len(self._waiting)) // 4
        for slot, ticks in list(self._gaps.items())[:room]:
            del self._gaps[slot]
            newest = self._image.sample(slot)
            self.put(slot, None, DATA_LOST, ticks)
            if is_recordable(newest.value):
                self.put(slot, newest.value, newest.status, newest.ticks)
