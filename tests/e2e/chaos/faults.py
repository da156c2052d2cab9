"""What a bad line, a slow device or a mad gateway does to one answer. Every choice comes from a seeded random."""

import random
from enum import StrEnum


class Fault(StrEnum):
    """One way to answer."""

    NONE = "none"
    SILENCE = "silence"
    LATE = "late"  # by up to five time-outs after the deadline, in any order
    LATE_EXCEPTION = "late exception"
    BROKEN = "broken"  # a burst of at most 16 bits, which the check sum always finds
    TRUNCATED = "truncated"
    OTHER_COUNT = "other count"
    OTHER_UNIT = "other unit"
    NOISE_BEFORE = "noise before"
    NOISE_BEHIND = "noise behind"
    TWICE = "twice"
    PIECES = "in pieces"
    FAILURE = "exception 4"
    BUSY = "exception 6"


BAD = [fault for fault in Fault if fault is not Fault.NONE]


class Dice:
    """Chooses faults: `part` of the answers get one, all kinds alike, late ones three times as often."""

    def __init__(self, seed: int, part: float) -> None:
        self.random = random.Random(seed)
        self.part = part
        self.thrown: dict[Fault, int] = dict.fromkeys(Fault, 0)

    def throw(self) -> Fault:
        fault = Fault.NONE
        if self.random.random() < self.part:
            fault = self.random.choice([*BAD, Fault.LATE, Fault.LATE])
        self.thrown[fault] += 1
        return fault

    def lateness(self, timeout_s: float) -> float:
        """Seconds after the request: past the deadline by up to five time-outs."""
        return timeout_s * (1 + self.random.uniform(0.05, 5.0))

    def noise(self, most: int = 12) -> bytes:
        return self.random.randbytes(self.random.randint(1, most))

    def broken(self, frame: bytes) -> bytes:
        bits = int.from_bytes(frame, "big")
        burst = self.random.randint(1, 0xFFFF)
        shift = self.random.randint(0, max(0, 8 * len(frame) - 16))
        return (bits ^ (burst << shift)).to_bytes(len(frame), "big")
