"""What can be wrong with a simulated device: pure data that its server looks at before every answer."""

from __future__ import annotations

from dataclasses import dataclass, field
from enum import StrEnum


class WriteFault(StrEnum):
    """What a write to a point does, acknowledged in all cases but REJECT."""

    IGNORE = "ignore"  # changes nothing, as a device in standby
    LATE = "late"  # takes effect `after_s` seconds later
    REVERT = "revert"  # takes effect at once; `after_s` seconds later the old value is back
    REJECT = "reject"  # answered by an exception, changes nothing


@dataclass(frozen=True, slots=True)
class WriteBehaviour:
    """A write fault with its delay or its Modbus exception code."""

    fault: WriteFault
    after_s: float = 0.0
    exception: int = 4


@dataclass(slots=True)
class Faults:
    """The faults of one device; all off at first. Change them at any time."""

    silent: bool = False  # takes no part: no answer, no effect
    mute: bool = False  # acts, but its answer is lost
    delay_s: float = 0.0  # every answer comes this much later
    exception: int | None = None  # Modbus: every request is answered by this exception code
    corrupt: bool = False  # every answer has a wrong check sum (RTU) or byte count (TCP); a line is cut short
    garbage: bytes | None = None  # sent instead of every answer, as it is
    frozen: bool = False  # its physics stands still
    writes: dict[str, WriteBehaviour] = field(default_factory=dict)  # by point id

    def clear(self) -> None:
        """All faults off."""
        self.silent = self.mute = self.corrupt = self.frozen = False
        self.delay_s = 0.0
        self.exception = None
        self.garbage = None
        self.writes.clear()
