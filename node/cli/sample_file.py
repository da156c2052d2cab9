"""Samples as a file of rows: CSV, or Parquet where pyarrow is installed. Rows go out as they come."""

from __future__ import annotations

import csv
import os
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from datetime import UTC, datetime
from pathlib import Path
from types import TracebackType
from typing import Any, Final, Protocol

from address_space.model import Value, ticks_from_datetime
from node.cli.times import iso_utc
from node.client_reading import ClientError, Reading, status_text

_GROUP: Final = 50_000  # rows of a row group, some megabytes
_NO_PYARROW: Final = (
    "Parquet needs pyarrow, which is not installed: pip install 'gridnode[parquet]' (in a clone: pip install "
    "'.[parquet]'), or write CSV"
)
_INT_BITS: Final = 63


class TextStream(Protocol):
    """What text can be written to."""

    def write(self, text: str, /) -> int:
        """Append text."""
        ...


class SampleFile(Protocol):
    """Takes samples; what was written is whole when the context ends without an error."""

    def __enter__(self) -> SampleFile: ...

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None: ...

    def write(self, path: str, readings: Sequence[Reading]) -> None:
        """Append samples of a point."""
        ...


@contextmanager
def writing(path: Path) -> Iterator[None]:
    """What the disk refuses is a ClientError that names `path`: it is not the node that failed."""
    try:
        yield
    except OSError as error:
        reason = os.strerror(error.errno) if error.errno else str(error)
        raise ClientError(f"{path} cannot be written: {reason}") from error


def check_target(path: Path, *, overwrite: bool) -> None:
    """Raises ClientError when `path` could not be written: there is no folder, or a file that is not to be replaced."""
    folder, reason = path.parent, ""
    with writing(path):
        if not folder.exists():
            reason = f"there is no folder {folder}"
        elif not folder.is_dir():
            reason = f"{folder} is a file, not a folder"
        elif path.is_dir():
            reason = "it is a folder"
        elif path.exists() and not overwrite:
            raise ClientError(f"{path} is there already; --overwrite replaces it")
        elif not os.access(folder, os.W_OK | os.X_OK):
            reason = f"you may not write in the folder {folder}"
    if reason:
        raise ClientError(f"{path} cannot be written: {reason}")


@contextmanager
def replacing(path: Path, *, overwrite: bool) -> Iterator[Path]:
    """A path to write to, which becomes `path` at the end; after an error or Ctrl-C there is neither.

    Raises ClientError as `check_target` does, and when the disk refuses.
    """
    check_target(path, overwrite=overwrite)
    part = path.with_name(f".{path.name}.{os.getpid()}.part")
    try:
        yield part
        with writing(path):
            with part.open("rb") as written:
                os.fsync(written.fileno())
            part.replace(path)
    finally:
        part.unlink(missing_ok=True)


class CsvFile:
    """One line a sample: point, time in UTC, [ticks,] value, name and code of the status."""

    def __init__(self, stream: TextStream, *, ticks: bool) -> None:
        """Write the head line."""
        self._writer = csv.writer(stream, lineterminator="\n")
        self._ticks = ticks
        self._writer.writerow(["point", "time", *(["ticks"] if ticks else []), "value", "status", "code"])

    def __enter__(self) -> CsvFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Nothing: the stream belongs to the caller."""

    def write(self, path: str, readings: Sequence[Reading]) -> None:
        """See `SampleFile.write`."""
        names = _Names()
        self._writer.writerows(
            [
                path,
                "" if one.ticks is None else iso_utc(one.ticks),
                *([one.ticks] if self._ticks else []),
                _csv_text(one.value),
                names[one.status],
                f"0x{one.status:08X}",
            ]
            for one in readings
        )


class _Names(dict[int, str]):
    """Names of statuses, each made once."""

    def __missing__(self, status: int) -> str:
        name = self[status] = status_text(status)
        return name


def _csv_text(value: Value | datetime | None) -> str:
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, datetime):
        return iso_utc(ticks_from_datetime(value))
    return "" if value is None else repr(value) if isinstance(value, float) else str(value)


@dataclass(frozen=True, slots=True)
class _Arrow:
    """The library, imported when it is wanted."""

    pa: Any
    pq: Any


def arrow() -> _Arrow:
    """What writes Parquet. Raises ClientError, which says what to install."""
    try:
        import pyarrow as pa  # noqa: PLC0415 - optional, and slow to load
        import pyarrow.parquet as pq  # noqa: PLC0415
    except ModuleNotFoundError as error:
        raise ClientError(_NO_PYARROW) from error
    return _Arrow(pa, pq)


class ParquetFile:
    """Columns point, time, [ticks,] v, i, b, s, status, st: the value is in that of its type, as in InfluxDB.

    `time` has microseconds; an integer that 64 bits cannot hold has its digits in `s`.
    """

    def __init__(self, library: _Arrow, path: Path, *, ticks: bool) -> None:
        """Raises OSError."""
        pa = library.pa
        names = pa.dictionary(pa.int32(), pa.string())
        columns = [("point", names), ("time", pa.timestamp("us", "UTC"))]
        columns += [("ticks", pa.int64())] if ticks else []
        columns += [("v", pa.float64()), ("i", pa.int64()), ("b", pa.bool_()), ("s", pa.string())]
        columns += [("status", names), ("st", pa.uint32())]
        self._pa = pa
        self._schema = pa.schema(columns)
        self._writer = library.pq.ParquetWriter(path, self._schema, compression="zstd")
        self._names = _Names()
        self._rows: dict[str, list[Any]] = {name: [] for name, _ in columns}

    def __enter__(self) -> ParquetFile:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        """Write what is left and the end of the file."""
        try:
            if kind is None:
                self._flush()
        finally:
            self._writer.close()

    def write(self, path: str, readings: Sequence[Reading]) -> None:
        """See `SampleFile.write`."""
        rows = self._rows
        rows["point"] += [path] * len(readings)
        rows["time"] += [None if one.ticks is None else (one.ticks - _UNIX) // 10 for one in readings]
        if "ticks" in rows:
            rows["ticks"] += [one.ticks for one in readings]
        for one in readings:
            v, i, b, s = _cells(one.value)
            rows["v"].append(v)
            rows["i"].append(i)
            rows["b"].append(b)
            rows["s"].append(s)
        rows["status"] += [self._names[one.status] for one in readings]
        rows["st"] += [one.status for one in readings]
        if len(rows["point"]) >= _GROUP:
            self._flush()

    def _flush(self) -> None:
        columns = [self._pa.array(self._rows[one.name], one.type) for one in self._schema]
        self._writer.write_table(self._pa.Table.from_arrays(columns, schema=self._schema))
        for values in self._rows.values():
            values.clear()


_UNIX: Final = ticks_from_datetime(datetime(1970, 1, 1, tzinfo=UTC))


def _cells(value: Value | datetime | None) -> tuple[float | None, int | None, bool | None, str | None]:
    """The value as `v`, `i`, `b` and `s`."""
    if isinstance(value, bool):
        return None, None, value, None
    if isinstance(value, float):
        return value, None, None, None
    if isinstance(value, int) and value.bit_length() <= _INT_BITS:
        return None, value, None, None
    if value is None:
        return None, None, None, None
    # Arrow's text is UTF-8, which has no halves of surrogate pairs.
    text = iso_utc(ticks_from_datetime(value)) if isinstance(value, datetime) else str(value)
    return None, None, None, text.encode("utf-8", "replace").decode()
