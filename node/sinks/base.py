"""What a sink is: it takes the journal's samples as lines, and answers what became of them.

Answer
├── Stored         all of it is there for good
├── Retry          not now: the same lines again, later, for as long as it takes
├── Poison         something in it will never be taken: halves, and in the end the one line, go to quarantine
├── TooBig         smaller pieces of it may be taken
└── Misconfigured  nothing will be taken until a person has changed something; nothing is lost meanwhile
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Protocol

from node.historian.forwarding.feed import Portion
from node.historian.history import History


@dataclass(frozen=True, slots=True)
class Stored:
    """All lines are in the sink for good."""


@dataclass(frozen=True, slots=True)
class Retry:
    """Not now. `after_s` is what the server asked for.

    `suspect` when the cause may lie in these lines, `slow` when fewer lines at once may get through.
    """

    reason: str
    after_s: float | None = None
    suspect: bool = False
    slow: bool = False


@dataclass(frozen=True, slots=True)
class Poison:
    """At least one of the lines will never be taken. `kind` is the same for all lines with the same fault.

    `too_old` when a line lies before what the sink keeps: then every older one does, too.
    """

    reason: str
    kind: str
    too_old: bool = False


@dataclass(frozen=True, slots=True)
class TooBig:
    """The request was too long; nothing of it is known to be stored."""

    reason: str


@dataclass(frozen=True, slots=True)
class Misconfigured:
    """Address, credentials, certificate or database are not right; a sentence for people, without secrets.

    `answered` when the other side said so itself.
    """

    reason: str
    answered: bool = False


Answer = Stored | Retry | Poison | TooBig | Misconfigured


@dataclass(frozen=True, slots=True)
class Lines:
    """Samples as the sink writes them, in the order of the journal; `ticks[i]` is the source time of `texts[i]`.

    `refused` are those that no line can say, as (text, reason).
    """

    texts: list[str] = field(default_factory=list)
    ticks: list[int] = field(default_factory=list)
    refused: list[tuple[str, str]] = field(default_factory=list)


@dataclass(frozen=True, slots=True)
class SinkConfig:
    """What every sink of a site file has."""

    id: str
    type: str  # key of SINKS
    label: str = ""
    replay_rate: float | None = 50_000.0  # samples/s of what has queued up; None = as fast as it goes
    batch_lines: int = 5_000
    batch_bytes: int = 2_000_000
    read_back: bool = False  # history older than the journal is read from here

    @property
    def target(self) -> str:
        """What it is and where, for people: without secrets."""
        return self.type


class Sink(Protocol):
    """Something that stores lines and overwrites the one of the same tag and time."""

    def encode(self, portion: Portion) -> Lines:
        """The lines of a portion. Pure; called on a thread of its own. Never raises for a value."""
        ...

    async def open(self) -> None:
        """Get ready; connects to nothing yet. Raises SinkError when a file that it needs cannot be read."""
        ...

    async def send(self, lines: Sequence[str]) -> Answer:
        """Store lines; answers within a bounded time and raises nothing for what the other side does."""
        ...

    async def ping(self) -> bool:
        """True when the other side answers at all."""
        ...

    async def close(self) -> None:
        """Let go of all connections."""
        ...


class ClosingHistory(History, Protocol):
    """History that holds connections."""

    async def close(self) -> None:
        """Let go of them."""
        ...


class SinkError(Exception):
    """A sink cannot be opened as it is configured; the text says what to change, without secrets."""
