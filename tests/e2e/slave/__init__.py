"""A foreign Modbus slave as a process: libmodbus in C, told what to hold and how to behave, asked what it received.

It shares no code with the node and knows no profile. `slave.c` describes its commands.
"""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Callable, Iterable
from dataclasses import dataclass
from pathlib import Path
from types import TracebackType
from typing import Final, Literal, Self, TypeVar

__all__ = [
    "APPLY",
    "IGNORE",
    "Answer",
    "ReadRequest",
    "Registers",
    "Slave",
    "SlaveError",
    "Table",
    "WriteRequest",
    "answer_exception",
    "late",
    "reject",
    "revert",
    "write_image",
]

Table = Literal["holding", "input"]
Answer = str  # "normal", "silent" (dead), "mute" (acts, its answer is lost) or answer_exception(code)

# What a write to one register does; see also late, reject and revert.
APPLY: Final = "apply"
IGNORE: Final = "ignore"  # acknowledged, changes nothing

START_WITHIN_S: Final = 10.0  # a process starts in milliseconds; two busy cores may need seconds
COMMAND_WITHIN_S: Final = 5.0

_Request = TypeVar("_Request")


def late(after_s: float) -> str:
    """Acknowledged at once, takes effect `after_s` seconds later."""
    return f"late {_ms(after_s)}"


def reject(exception: int) -> str:
    """Answered by a Modbus exception (1 to 11)."""
    return f"reject {exception}"


def revert(after_s: float) -> str:
    """Takes effect at once; `after_s` seconds later the old word is back."""
    return f"revert {_ms(after_s)}"


def answer_exception(exception: int) -> Answer:
    """Every request is answered by this Modbus exception (1 to 11)."""
    return f"exception {exception}"


class SlaveError(Exception):
    """The slave refused a command or is not running."""


@dataclass(frozen=True, slots=True)
class Registers:
    """Consecutive words of one unit, first address first."""

    unit: int
    address: int
    words: tuple[int, ...]
    table: Table = "holding"

    def line(self) -> str:
        """As the slave's `set` command."""
        return f"set {self.unit} {self.table} {self.address} {' '.join(map(str, self.words))}"


@dataclass(frozen=True, slots=True)
class WriteRequest:
    """One write frame as it arrived, whatever the slave did with it."""

    monotonic_s: float  # of time.monotonic(), which is the same clock in every process of this machine
    unit: int
    function: int  # 6 or 16
    address: int
    words: tuple[int, ...]


@dataclass(frozen=True, slots=True)
class ReadRequest:
    """One read frame as it arrived, whatever the slave did with it."""

    monotonic_s: float
    unit: int
    function: int  # 3 or 4
    address: int
    count: int


def write_image(path: Path, registers: Iterable[Registers]) -> Path:
    """Write a register image file and return its path."""
    path.write_text("".join(f"{block.line()}\n" for block in registers), encoding="ascii")
    return path


class Slave:
    """One slave process with any of: Modbus TCP, RTU on a tty, RTU over TCP; all links serve the same units.

    `async with Slave(program, image) as slave:` starts it and ends it. Every command returns when it has taken
    effect and raises SlaveError when the slave refuses it.
    """

    def __init__(
        self, program: Path, image: Path, *, tcp: bool = True, tty: str | None = None, rtu_tcp: bool = False
    ) -> None:
        self._arguments = [str(program), str(image)]
        if tcp:
            self._arguments += ["--tcp", "0"]
        if rtu_tcp:
            self._arguments += ["--rtu-tcp", "0"]
        if tty is not None:
            self._arguments += ["--rtu", tty]
        self._process: asyncio.subprocess.Process | None = None
        self._reader: asyncio.Task[None] | None = None
        self._ports: dict[str, int] = {}
        self._writes: list[WriteRequest] = []
        self._reads: list[ReadRequest] = []
        self._dump: dict[tuple[str, int], int] = {}
        self._ready = asyncio.Event()
        self._arrived = asyncio.Event()  # set anew with every frame
        self._answers: asyncio.Queue[str] = asyncio.Queue()
        self._one_command = asyncio.Lock()

    async def __aenter__(self) -> Self:
        await self.start()
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self.stop()

    async def start(self) -> None:
        """Start the process and wait until its links are open; raises SlaveError when it cannot."""
        self._process = await asyncio.create_subprocess_exec(
            *self._arguments, stdin=asyncio.subprocess.PIPE, stdout=asyncio.subprocess.PIPE
        )
        self._reader = asyncio.create_task(self._read_lines(self._process))
        async with asyncio.timeout(START_WITHIN_S):
            await self._ready.wait()
        if self._process.stdin is None or not self._answers.empty():
            await self.stop()
            raise SlaveError("the slave did not start; its reason stands on stderr")

    async def stop(self) -> None:
        """End the process by closing its stdin; nothing when it has ended already."""
        if self._process is None or self._reader is None:
            return
        if self._process.stdin is not None:
            self._process.stdin.close()
        try:
            async with asyncio.timeout(COMMAND_WITHIN_S):
                await self._reader
        finally:
            if self._process.returncode is None:
                with contextlib.suppress(ProcessLookupError):
                    self._process.kill()
            await self._process.wait()

    @property
    def port(self) -> int:
        """Port of Modbus TCP on 127.0.0.1."""
        return self._ports["tcp"]

    @property
    def rtu_tcp_port(self) -> int:
        """Port of RTU over TCP on 127.0.0.1."""
        return self._ports["rtu-tcp"]

    async def set(self, unit: int, address: int, *words: int, table: Table = "holding") -> None:
        """Give registers these words; makes the unit and the registers where they are missing. Fires no link."""
        await self._command(Registers(unit, address, words, table).line())

    async def remove(self, unit: int, address: int, count: int = 1, *, table: Table = "holding") -> None:
        """Make a hole: requests that touch it get exception 2."""
        await self._command(f"remove {unit} {table} {address} {count}")

    async def behaviour(self, unit: int, address: int, behaviour: str) -> None:
        """What a write to this register does: APPLY, IGNORE, late(s), reject(code) or revert(s)."""
        await self._command(f"behave {unit} {address} {behaviour}")

    async def link(
        self, unit: int, address: int, value: int | None, target: int, *words: int, after_s: float = 0.0
    ) -> None:
        """When `address` takes `value` (None: any) through a write, `target` and the registers after it get `words`.

        A late write fires its links when it takes effect, an ignored or rejected one never, a revert those of the
        old word. The target must be there already; at most 8 words.
        """
        trigger = "any" if value is None else value
        await self._command(f"link {unit} {address} {trigger} {_ms(after_s)} {target} {' '.join(map(str, words))}")

    async def unlink(self, unit: int, address: int) -> None:
        """Forget all links of this register."""
        await self._command(f"unlink {unit} {address}")

    async def answer(self, unit: int, how: Answer) -> None:
        """How the unit answers from now on: "normal", "silent", "mute" or answer_exception(code)."""
        await self._command(f"answer {unit} {how}")

    async def unknown(self, how: Answer) -> None:
        """How a unit that is not there is answered: "silent" or answer_exception(code); exception 11 at first."""
        await self._command(f"unknown {how}")

    async def log_reads(self, on: bool = True) -> None:
        """Record reads too, for `reads()`."""
        await self._command(f"reads {'on' if on else 'off'}")

    async def dump(self, unit: int, table: Table = "holding") -> dict[int, int]:
        """Words of all registers of the unit, by address."""
        self._dump.clear()
        await self._command(f"dump {unit}")
        return {address: word for (name, address), word in self._dump.items() if name == table}

    async def down(self) -> None:
        """Close every link at once (sockets by a reset), as a power loss does; registers and behaviours stay."""
        await self._command("down")

    async def up(self) -> None:
        """Open the same links again, on the same ports."""
        await self._command("up")

    async def die(self) -> None:
        """Close every link at once and end the process."""
        await self._command("die")
        await self.stop()

    def writes(self, unit: int | None = None) -> list[WriteRequest]:
        """Write frames so far, in order of arrival; those of one unit when given."""
        return [w for w in self._writes if unit is None or w.unit == unit]

    def reads(self, unit: int | None = None) -> list[ReadRequest]:
        """Read frames since `log_reads()`, in order of arrival; those of one unit when given."""
        return [r for r in self._reads if unit is None or r.unit == unit]

    def forget(self) -> None:
        """Empty the records of writes and reads."""
        self._writes.clear()
        self._reads.clear()

    async def until_writes(self, count: int, within_s: float = COMMAND_WITHIN_S) -> list[WriteRequest]:
        """Wait until `count` writes have arrived and return all; raises TimeoutError when they do not."""
        return await self._until(self.writes, count, within_s)

    async def until_reads(self, count: int, within_s: float = COMMAND_WITHIN_S) -> list[ReadRequest]:
        """Wait until `count` reads have arrived and return all; raises TimeoutError when they do not."""
        return await self._until(self.reads, count, within_s)

    async def _until(self, recorded: Callable[[], list[_Request]], count: int, within_s: float) -> list[_Request]:
        async with asyncio.timeout(within_s):
            while len(recorded()) < count:
                self._arrived.clear()
                await self._arrived.wait()
        return recorded()

    async def _command(self, line: str) -> None:
        if self._process is None or self._process.stdin is None or self._process.returncode is not None:
            raise SlaveError(f"{line}: the slave is not running")
        async with self._one_command, asyncio.timeout(COMMAND_WITHIN_S):
            self._process.stdin.write(f"{line}\n".encode())
            answer = await self._answers.get()
        if answer != "ok":
            raise SlaveError(f"{line}: {answer}")

    async def _read_lines(self, process: asyncio.subprocess.Process) -> None:
        if process.stdout is None:
            raise SlaveError("the slave was started without a pipe")
        async for line in process.stdout:
            self._take(line.decode().split())
        self._answers.put_nowait("the slave has ended")
        self._ready.set()

    def _take(self, words: list[str]) -> None:
        match words:
            case ["write", ms, unit, function, address, *values]:
                registers = tuple(map(int, values))
                self._writes.append(WriteRequest(int(ms) / 1000, int(unit), int(function[2:]), int(address), registers))
                self._arrived.set()
            case ["read", ms, unit, function, address, count]:
                self._reads.append(ReadRequest(int(ms) / 1000, int(unit), int(function[2:]), int(address), int(count)))
                self._arrived.set()
            case ["register", _, table, address, word]:
                self._dump[table, int(address)] = int(word)
            case ["listening", ("tcp" | "rtu-tcp") as link, port]:
                self._ports[link] = int(port)
            case ["ready"]:
                self._ready.set()
            case [("ok" | "error"), *_]:
                self._answers.put_nowait(" ".join(words))


def _ms(seconds: float) -> int:
    return round(seconds * 1000)
