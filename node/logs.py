"""How log records look and which are written: text or one JSON object a line, with a level for each part."""

from __future__ import annotations

import json
import logging
import sys
from datetime import datetime
from typing import Final, TextIO

from node.site import LogFormat, LoggingConfig

# Libraries say much at INFO that belongs to nobody who runs a plant.
_QUIET: Final = ("asyncua", "pymodbus", "aiosqlite", "asyncio")
# First words of all names under which something is logged.
PARTS: Final = ("address_space", "drivers", "node", *_QUIET)
# A name that a peer chose must not start a line of its own in the log, nor steer the terminal.
_ESCAPED: Final = {code: f"\\x{code:02x}" for code in (*range(32), 127, *range(128, 160)) if code != 9}


def configure(config: LoggingConfig, stream: TextIO | None = None) -> None:
    """Send all records to `stream`, None = what is standard error at the time; replaces what it set up before."""
    handler = _Stream(stream)
    handler.setFormatter(_Json() if config.format is LogFormat.JSON else _Text())
    root = logging.getLogger()
    for old in list(root.handlers):
        if isinstance(old, _Stream):
            root.removeHandler(old)
    root.addHandler(handler)
    root.setLevel(config.level)
    for name in _QUIET:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
    for name, level in config.levels.items():
        logging.getLogger(name).setLevel(level)
    logging.captureWarnings(capture=True)


class _Stream(logging.Handler):
    """Writes to the standard error of the moment, so that a live table can move it above itself."""

    def __init__(self, stream: TextIO | None) -> None:
        super().__init__()
        self._given = stream

    def emit(self, record: logging.LogRecord) -> None:
        try:
            line = self.format(record)
            stream = self._given or sys.stderr
            stream.write(line + "\n")
            stream.flush()
        except (OSError, ValueError, TypeError):  # a closed terminal or a wrong message must not stop the plant
            self.handleError(record)


class _Text(logging.Formatter):
    """`2026-11-21T10:00:00.123+01:00 WARNING drivers.bus: what happened`."""

    def format(self, record: logging.LogRecord) -> str:
        text = f"{_time(record)} {record.levelname} {record.name}: {record.getMessage().translate(_ESCAPED)}"
        if record.exc_info:
            text += "\n" + self.formatException(record.exc_info)
        return text


class _Json(logging.Formatter):
    """One object: time, level, part, message, and `error` with the trace of an exception."""

    def format(self, record: logging.LogRecord) -> str:
        entry = {
            "time": _time(record),
            "level": record.levelname.lower(),
            "part": record.name,
            "message": record.getMessage(),
        }
        if record.exc_info:
            entry["error"] = self.formatException(record.exc_info)
        return json.dumps(entry, ensure_ascii=False)


def _time(record: logging.LogRecord) -> str:
    return datetime.fromtimestamp(record.created).astimezone().isoformat(timespec="milliseconds")
