"""Where `gridnode history` puts what it reads: lines on the terminal, or a file with a progress bar."""

from __future__ import annotations

import sys
from collections.abc import Callable, Iterator, Sequence
from contextlib import ExitStack, contextmanager
from dataclasses import dataclass
from enum import StrEnum
from pathlib import Path
from types import TracebackType
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, Progress, TextColumn, TimeElapsedColumn

from address_space.model import ticks_to_datetime
from node.cli.connect import ReaderGone, put
from node.cli.history_request import HistoryRequest
from node.cli.history_source import Source
from node.cli.sample_file import CsvFile, ParquetFile, SampleFile, arrow, check_target, replacing, writing
from node.cli.times import shown
from node.cli.values import value_text
from node.client import RemotePoint
from node.client_reading import Reading, status_text
from node.historian.aggregates import Aggregate, ResultType

_BATCH: Final = 1_000  # samples between two looks at the progress
# Information bits of a status that say so (OPC 10000-4 section 7.39.1): how the value came to be.
_HAS_INFO: Final = 0x0400
_INFO: Final = (
    (0x01, "calculated"),
    (0x02, "interpolated"),
    (0x04, "partial"),
    (0x08, "extra data"),
    (0x10, "several values"),
)

Advance = Callable[[str, int, int], None]  # point, newest time, samples so far


class Format(StrEnum):
    """How history is given out."""

    TEXT = "text"
    CSV = "csv"
    PARQUET = "parquet"


@dataclass(frozen=True, slots=True)
class Output:
    """Where history goes; without a file to standard output."""

    format: Format
    file: Path | None
    ticks: bool
    overwrite: bool


def output_of(file: Path | None, form: Format | None, *, ticks: bool, overwrite: bool) -> Output:
    """The output of these options; the format by the file's name. Raises ValueError, which says what does not fit."""
    if form is None and file is not None:
        endings = {f".{each.value}": each for each in (Format.CSV, Format.PARQUET)}
        form = endings.get(file.suffix.lower())
        if form is None:
            raise ValueError(f"{file.name} ends with neither .csv nor .parquet: say which by --format")
    form = form or Format.TEXT
    if form is Format.PARQUET and file is None:
        raise ValueError("Parquet needs a file: --output NAME.parquet")
    if form is Format.TEXT and (file is not None or ticks):
        raise ValueError("text goes to the terminal, and has no ticks; --format csv goes anywhere and has them")
    return Output(form, file, ticks, overwrite)


def check_output(output: Output) -> None:
    """Find out before anything is read whether the output can be made. Raises ClientError."""
    if output.format is Format.PARQUET:
        arrow()
    if output.file is not None:
        check_target(output.file, overwrite=output.overwrite)


async def give(source: Source, points: Sequence[RemotePoint], request: HistoryRequest, output: Output) -> None:
    """Read the points one after the other and put them out. Raises ClientError, ReaderGone."""
    if output.format is Format.TEXT:
        await _print(source, points, request)
    elif output.file is None:
        with CsvFile(_Stdout(), ticks=output.ticks) as lines:
            await _export(lines, source, points, request, lambda _point, _ticks, _count: None)
    else:
        with ExitStack() as stack:
            part = stack.enter_context(replacing(output.file, overwrite=output.overwrite))
            file = stack.enter_context(_Written(output.file, output, part))
            advance = stack.enter_context(_progress(len(points), request))
            count = await _export(file, source, points, request, advance)
        print(f"{output.file}: {count} {'row' if count == 1 else 'rows'}", file=sys.stderr)


class _Written:
    """The file that is written while its samples are read: an error of the disk is told apart from one of reading."""

    def __init__(self, target: Path, output: Output, part: Path) -> None:
        """Begin the file `part`, which errors call `target`. Raises ClientError."""
        self._target = target
        self._open = ExitStack()
        with writing(target):
            self._file = self._open.enter_context(self._made(part, output))

    def _made(self, part: Path, output: Output) -> SampleFile:
        if output.format is Format.PARQUET:
            return ParquetFile(arrow(), part, ticks=output.ticks)
        stream = self._open.enter_context(part.open("w", encoding="utf-8", newline=""))
        return CsvFile(stream, ticks=output.ticks)

    def __enter__(self) -> _Written:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left. Raises ClientError."""
        with writing(self._target):
            self._open.__exit__(kind, error, trace)

    def write(self, path: str, readings: Sequence[Reading]) -> None:
        """See `SampleFile.write`. Raises ClientError."""
        with writing(self._target):
            self._file.write(path, readings)


class _Stdout:
    """Standard output, whose reader may have enough."""

    def write(self, text: str) -> int:
        """Raises ReaderGone."""
        try:
            return sys.stdout.write(text)
        except BrokenPipeError as error:
            raise ReaderGone from error


# --- files


async def _export(
    file: SampleFile, source: Source, points: Sequence[RemotePoint], request: HistoryRequest, advance: Advance
) -> int:
    count = 0
    for point in points:
        batch: list[Reading] = []
        async for reading in request.readings(source, point.path):
            batch.append(reading)
            if len(batch) == _BATCH:
                count += len(batch)
                file.write(point.path, batch)
                advance(point.path, reading.ticks or 0, count)
                batch = []
        count += len(batch)
        file.write(point.path, batch)
        advance(point.path, request.end, count)
    return count


@contextmanager
def _progress(points: int, request: HistoryRequest) -> Iterator[Advance]:
    """A bar on standard error when that is a terminal: how much of the time of all points is done."""
    span = max(request.end - request.start, 1)
    bar = Progress(
        TextColumn("{task.description}"),
        BarColumn(),
        TextColumn("{task.percentage:>3.0f} % {task.fields[rows]} rows"),
        TimeElapsedColumn(),
        console=Console(stderr=True),
        disable=not sys.stderr.isatty(),
    )
    done = 0
    with bar:
        task = bar.add_task("", total=points * span, rows=0)

        def advance(point: str, ticks: int, count: int) -> None:
            nonlocal done
            part = min(max(ticks - request.start, 0), span)
            bar.update(task, description=point, completed=done + part, rows=count)
            if ticks == request.end:
                done = min(done + span, points * span)

        yield advance


# --- the terminal


async def _print(source: Source, points: Sequence[RemotePoint], request: HistoryRequest) -> None:
    width = max(len(point.path) for point in points) if len(points) > 1 else 0
    for point in points:
        count = 0
        async for reading in request.readings(source, point.path):
            name = f"{point.path:{width}}  " if width else ""
            put(name + _line(point, reading, request))
            count += 1
        if not count:
            since, until = (ticks_to_datetime(ticks).astimezone() for ticks in (request.start, request.end))
            put(f"{point.path}: nothing was recorded from {since} to {until}, nor before")


def _line(point: RemotePoint, reading: Reading, request: HistoryRequest) -> str:
    aggregate = request.aggregate
    if aggregate is not None and aggregate.result_type is ResultType.STATUS_CODE and isinstance(reading.value, int):
        text = status_text(reading.value)
    elif request.has_units:
        text = value_text(reading.value, point.unit, point.texts)
    else:
        text = value_text(reading.value, _unit(request.aggregate))
    # A point is recorded when it changes: what it was at the start may have been written long before.
    is_older = aggregate is None and not request.times and reading.ticks is not None and reading.ticks < request.start
    held = "  (older; it held at the start)" if is_older else ""
    return f"{shown(reading.ticks)}  {text:>20}  {_status(reading.status)}{held}"


def _unit(aggregate: Aggregate | None) -> str:
    """The unit of results that are not in the point's."""
    if aggregate is None:
        return ""
    return (
        "%" if aggregate.value.startswith("Percent") else "ms" if aggregate.result_type is ResultType.DURATION else ""
    )


def _status(status: int) -> str:
    origins = [text for bit, text in _INFO if status & _HAS_INFO and status & bit]
    return ", ".join([status_text(status), *origins])
