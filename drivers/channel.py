"""The seam between the bus and a protocol: requests, and the channel that carries them one at a time.

A new protocol over registers fills `Channel`; pacing, back-off, status and priorities stay with the bus.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Protocol

from drivers.plan import answer_size
from drivers.spec import Table

# Function codes (Modbus Application Protocol V1.1b3 section 5.1); they also name kinds of requests elsewhere.
READ_FUNCTIONS: Final = {Table.COIL: 1, Table.DISCRETE: 2, Table.HOLDING: 3, Table.INPUT: 4}
WRITE_SINGLE: Final = {Table.COIL: 5, Table.HOLDING: 6}
WRITE_MANY: Final = {Table.COIL: 15, Table.HOLDING: 16}


@dataclass(frozen=True, slots=True)
class Read:
    """Read `count` registers or bits from `address` of a unit."""

    unit: int
    table: Table
    address: int
    count: int

    @property
    def function(self) -> int:
        """Function code."""
        return READ_FUNCTIONS[self.table]

    @property
    def size(self) -> int:
        """Bytes of data in the answer."""
        return answer_size(self.table, self.count)

    def __str__(self) -> str:
        return f"read of {self.count} {self.table.value} from {self.address}"


@dataclass(frozen=True, slots=True)
class Write:
    """Write words (0 or 1 each, for coils) from `address` on; `single` = the function for one, if it is one."""

    unit: int
    table: Table
    address: int
    words: tuple[int, ...]
    single: bool = True

    @property
    def function(self) -> int:
        """Function code; raises ValueError for a table that cannot be written."""
        codes = WRITE_SINGLE if self.single and len(self.words) == 1 else WRITE_MANY
        if self.table not in codes:
            raise ValueError(f"the {self.table.value} table cannot be written")
        return codes[self.table]

    @property
    def size(self) -> int:
        """Bytes of data in the answer: address and value or count."""
        return 4

    @property
    def echo(self) -> tuple[int, int, int]:
        """Function, address, and value or count: all that an acknowledgement repeats (same document, section 6)."""
        function = self.function
        return function, self.address, self.words[0] if function in WRITE_SINGLE.values() else len(self.words)

    def __str__(self) -> str:
        return f"write of {len(self.words)} {self.table.value} from {self.address}"


Request = Read | Write


@dataclass(frozen=True, slots=True)
class Stray:
    """A whole answer that nobody waits for: late, doubled, or of a wrong unit or length."""

    unit: int
    function: int  # with 0x80 for an exception
    size: int  # bytes of data
    arrived: float  # Clock.monotonic()
    late_s: float | None = None  # how late, where the answer names its request


class Channel(Protocol):
    """One physical link. Exactly one task speaks to it, and has at most one request on it."""

    numbered: bool  # True when an answer names its request, so that a late one cannot be taken for another
    gap_s: float  # silence that the link needs between two frames

    async def open(self) -> None:
        """Connect; raises Unreachable. May be called again after a loss."""
        ...

    async def close(self) -> None:
        """Let go of the link; does nothing when it is closed."""
        ...

    async def transact(self, request: Request, deadline: float) -> bytes:
        """Send and return the data of the answer (b"" for a write) by `deadline` (Clock.monotonic()).

        Unit, function, length and check sum fit the request. Raises NoAnswer, Malformed, Rejected with the
        protocol's code, or plain Unreachable when the link is gone.
        """
        ...

    async def drain(self, until: float) -> None:
        """Throw away what arrives; returns at `until`, or when something arrived before. Raises Unreachable."""
        ...

    def strays(self) -> Sequence[Stray]:
        """Answers thrown away since the last call."""
        ...
