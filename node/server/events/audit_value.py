"""What a client gave, as an audit event keeps it: what is too large is left out, so that no journal is filled."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import fields, is_dataclass
from typing import Any

from asyncua import ua

from node.server.events.event_types import Path


def kept(given: Mapping[Path, ua.Variant], most: int) -> dict[Path, ua.Variant]:
    """The fields of an event; Null in place of those that are larger than about `most` bytes."""
    return {path: value if is_small(value, most) else ua.Variant() for path, value in given.items()}


def is_small(value: Any, most: int) -> bool:
    """False for more than `most` characters, bytes and parts; looks no further than that."""
    waiting, left = [value], most
    while waiting and left >= 0:
        each = waiting.pop()
        left -= 1
        if isinstance(each, str | bytes):
            left -= len(each)
        elif isinstance(each, list | tuple):
            left -= len(each)
            if left >= 0:
                waiting.extend(each)
        elif is_dataclass(each):
            waiting.extend(getattr(each, one.name) for one in fields(each))
    return left >= 0
