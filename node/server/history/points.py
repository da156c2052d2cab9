"""Continuation points of history reads: random names for where a read of a session stopped."""

from __future__ import annotations

import secrets
from collections import OrderedDict
from typing import Final, Generic, TypeVar
from weakref import WeakKeyDictionary

T = TypeVar("T")

# As many as one request may have nodes, so that no request pushes out its own.
POINTS_PER_SESSION: Final = 100
_TOKEN_BYTES: Final = 16


class ContinuationPoints(Generic[T]):
    """What is kept for each session; it goes with the session, and the oldest goes when there are too many."""

    def __init__(self, most: int = POINTS_PER_SESSION) -> None:
        self._most = most
        # A read may still run when its session is closed, so nobody could clear a plain dict in time.
        self._sessions: WeakKeyDictionary[object, OrderedDict[bytes, T]] = WeakKeyDictionary()

    def add(self, session: object, state: T) -> bytes:
        """A new name for `state`."""
        token = secrets.token_bytes(_TOKEN_BYTES)
        self.restore(session, token, state)
        return token

    def restore(self, session: object, token: bytes, state: T) -> None:
        """Put back what was taken, under its name."""
        points = self._sessions.setdefault(session, OrderedDict())
        points[token] = state
        while len(points) > self._most:
            points.popitem(last=False)

    def take(self, session: object, token: bytes) -> T | None:
        """What a name stands for, which is forgotten; None when this session has no such name."""
        points = self._sessions.get(session)
        return None if points is None else points.pop(token, None)

    def count(self, session: object) -> int:
        """How many a session has."""
        return len(self._sessions.get(session, ()))
