"""What every driver is made of: the error tree, the channel that a protocol fills, the port that control uses.

DriverError
├── Unreachable      nobody answered or the channel is down: retry later
│   ├── NoAnswer     the channel works, this unit was silent until its deadline
│   └── AnswerLost   the channel broke after the request was sent: it may have been carried out
├── Rejected         the device answered that it will not: do not retry blindly (`code` says why)
└── Malformed        an answer that is no answer (length, check sum, text): retry, count, never decode
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from enum import IntEnum
from typing import NamedTuple, Protocol

from address_space.model import Clock, Publisher, Sample, Status, Value
from drivers.spec import BusConfig, BusUnit


class DriverError(Exception):
    """Root of all that a driver raises; the text says which device and what happened."""

    status: Status = Status.BAD_COMMUNICATION_ERROR  # what a command that ended so answers


class Unreachable(DriverError):
    """The channel is down or nobody answers on it: retry later."""

    status = Status.BAD_NO_COMMUNICATION


class NoAnswer(Unreachable):
    """The channel works, but this unit did not answer before its deadline."""

    status = Status.BAD_TIMEOUT


class AnswerLost(Unreachable):
    """The channel broke while the answer was awaited: what was asked for may have been carried out."""


class Rejected(DriverError):
    """The device answered, and the answer is no; `code` is the protocol's own (Modbus: the exception code)."""

    status = Status.BAD_DEVICE_FAILURE

    def __init__(self, text: str, code: int, status: Status = Status.BAD_DEVICE_FAILURE) -> None:
        super().__init__(text)
        self.code = code
        self.status = status


class Malformed(DriverError):
    """The bytes that came are no answer to what was asked."""

    status = Status.BAD_COMMUNICATION_ERROR


class Priority(IntEnum):
    """Order of work on a bus; lower goes first, cyclic reads go by earliest deadline after all others."""

    EMERGENCY = 0  # Standby, Stop
    COMMAND = 1  # an operator's write and its confirming reads
    KEEP_ALIVE = 2  # rewriting what a standing command needs
    PROBE = 3  # is a dead unit back?
    POLL = 4


class Setting(NamedTuple):
    """One value to write, in engineering units, by point id."""

    point: str
    value: Value


class Port(Protocol):
    """How control reaches devices: the bus that owns their channel. Ahead of polls, one at a time."""

    async def write(self, device_id: str, settings: Sequence[Setting], priority: Priority, deadline: float) -> None:
        """Write settings in order; returns when the device acknowledged all of them.

        `deadline` is a time on Clock.monotonic(). Raises DriverError; a write already on the wire is never
        torn when the caller is cancelled.
        """
        ...

    async def read(
        self, device_id: str, points: Sequence[str], priority: Priority, deadline: float
    ) -> Mapping[str, Sample]:
        """Fresh samples of points, also published to the image; raises DriverError."""
        ...


class Driver(Port, Protocol):
    """What serves one bus: a task, and the port of control to its devices."""

    async def run(self) -> None:
        """Serve the bus until cancelled. Loss and return of devices and of the channel happen inside."""
        ...


class DriverFactory(Protocol):
    """Makes the driver of one bus. Nothing is opened before `run`."""

    def __call__(self, config: BusConfig, units: Sequence[BusUnit], publisher: Publisher, clock: Clock, /) -> Driver:
        """Raises ValueError for a bus or profile that the protocol cannot serve, KeyError for points without slots."""
        ...
