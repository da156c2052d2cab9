"""Durations as people write them: 100ms, 1s, 5m or 5min, 2h, 1d. A bare number is none: nobody could tell its unit."""

from __future__ import annotations

import re
from typing import Final

DURATION: Final = re.compile(r"(\d+(?:\.\d+)?)\s*(ms|s|min|m|h|d)")
_WEEKS: Final = re.compile(r"(\d{1,9}(?:\.\d{1,9})?)\s*w")  # no unit here, but likely meant as one
_SECONDS: Final = {"ms": 0.001, "s": 1.0, "min": 60.0, "m": 60.0, "h": 3600.0, "d": 86_400.0}


def duration_s(value: object) -> float:
    """Seconds of a duration as it is written: `100ms`, `1s`, `5m` or `5min`, `2h`, `1d`. Raises ValueError."""
    match = DURATION.fullmatch(value) if isinstance(value, str) else None
    if match is None:
        weeks = _WEEKS.fullmatch(value) if isinstance(value, str) else None
        hint = f"; {float(weeks[1]) * 7:.15g}d works" if weeks is not None else ""
        raise ValueError(f"{value!r} is no duration; write it with its unit: 100ms, 1s, 5m (or 5min), 2h, 1d{hint}")
    return float(match[1]) * _SECONDS[match[2]]
