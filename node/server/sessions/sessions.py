"""Sessions: who is logged in, on which connection, and until when (OPC 10000-4 section 5.6)."""

from __future__ import annotations

import hashlib
import secrets
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from asyncua import ua
from asyncua.ua.ua_binary import nodeid_to_binary

from address_space.model import Clock
from address_space.shape import NS_APPLICATION
from node.roles import Caller, Role
from node.server.limits import Limits
from node.server.request import Line, ServiceRefused
from node.server.security.certificate import split_chain

if TYPE_CHECKING:
    from node.server.subscriptions.publisher import Publisher

_TOKEN_BYTES: Final = 32
TOKEN_ID_BYTES: Final = 7 + _TOKEN_BYTES  # its NodeId in a request: kind, namespace, length, token
NONCE_BYTES: Final = 32

# Who has not logged in: it may ask nothing, so its role does not matter; the lowest.
_NOBODY: Final = Caller("", Role.OBSERVER)


class Session:
    """One session of a client; it outlives its connection until its timeout."""

    def __init__(self, line: Line, name: str, timeout_s: float, client_certificate: bytes, now_s: float) -> None:
        # The NodeId of its diagnostics too; no secret.
        self.id = ua.NodeId(f"session-{secrets.token_hex(8)}", NS_APPLICATION)  # type: ignore[arg-type]
        # Nobody guesses this one: whoever has it on the right channel is the session.
        self.token = ua.NodeId(secrets.token_bytes(_TOKEN_BYTES), ua.UInt16(0))  # type: ignore[arg-type]
        self.line: Line | None = line
        self.name = name
        self.timeout_s = timeout_s
        self.client_certificate = client_certificate
        self.client_chain = client_certificate  # with the CAs that the client has shown
        self.max_response_bytes = 0  # what its client takes; 0 is no limit
        self.user_certificate = b""  # of a user who has logged in with one; DER, with the CAs that were shown
        self.caller = _NOBODY
        self.activated = False
        self.closed = False
        self.nonce = b""
        self.touched_s = now_s
        self.browse_points: dict[bytes, object] = {}
        self.served: Counter[int] = Counter()  # requests by the number of their service
        self.publisher: Publisher | None = None

    @property
    def user_thumbprint(self) -> str | None:
        """Thumbprint of the certificate by which its user has logged in; None for other ways."""
        if not self.user_certificate:
            return None
        leaf = split_chain(self.user_certificate)[0]
        return hashlib.sha1(leaf, usedforsecurity=False).hexdigest().upper()

    def new_nonce(self) -> bytes:
        """The nonce that the client's next ActivateSession has to sign."""
        self.nonce = secrets.token_bytes(NONCE_BYTES)
        return self.nonce


class SessionTable:
    """All sessions of the server, by their secret token."""

    def __init__(self, clock: Clock, limits: Limits, changed: Callable[[int], None]) -> None:
        """`changed` gets the number of activated sessions whenever one comes or goes."""
        self._clock = clock
        self._limits = limits
        self._changed = changed
        self._left: list[Publisher] = []
        self.timed_out = 0  # sessions that ended because their client was silent
        self.aborted = 0  # sessions that ended with their connection, or to make room for others
        self._sessions: dict[ua.NodeId, Session] = {}
        self._by_bytes: dict[bytes, Session] = {}  # by the token's NodeId as it stands in requests

    def __len__(self) -> int:
        return len(self._sessions)

    def all(self) -> tuple[Session, ...]:
        """Every session now."""
        return tuple(self._sessions.values())

    @property
    def activated(self) -> int:
        """How many clients are logged in."""
        return sum(session.activated for session in self._sessions.values())

    def create(self, line: Line, name: str, requested_ms: float, client_certificate: bytes) -> Session:
        """A new session that nobody has logged into yet. Raises ServiceRefused when there are too many."""
        waiting = [session for session in self._sessions.values() if not session.activated]
        if sum(session.line is line for session in waiting) >= self._limits.unactivated_per_connection:
            raise ServiceRefused(ua.StatusCodes.BadTooManySessions, "nobody logs into the sessions of this connection")
        if len(waiting) >= self._limits.unactivated_sessions:
            self.aborted += 1
            self.close(waiting[0])
        if len(self._sessions) >= self._limits.sessions:
            self._make_room()
        if len(self._sessions) >= self._limits.sessions:
            raise ServiceRefused(ua.StatusCodes.BadTooManySessions, f"{len(self._sessions)} sessions")
        low, high = self._limits.session_min_s, self._limits.session_max_s
        # 0, a negative number or NaN asks for the server's choice.
        timeout_s = min(max(requested_ms / 1000, low), high) if requested_ms > 0 else high
        session = Session(line, name, timeout_s, client_certificate, self._clock.monotonic())
        self._sessions[session.token] = session
        self._by_bytes[nodeid_to_binary(session.token)] = session
        return session

    def find(self, token: ua.NodeId) -> Session:
        """The session of a token, on whichever connection. Raises ServiceRefused."""
        session = self._sessions.get(token)
        if session is None:
            raise ServiceRefused(ua.StatusCodes.BadSessionIdInvalid)
        return session

    def by_bytes(self, token: bytes) -> Session | None:
        """The session of a token as its NodeId stands in a request; None when there is none."""
        return self._by_bytes.get(token)

    def on_line(self, token: ua.NodeId, line: Line) -> Session:
        """The session of a token if it belongs to this connection. Raises ServiceRefused."""
        session = self.find(token)
        if session.line is not line:
            raise ServiceRefused(ua.StatusCodes.BadSessionIdInvalid, "the session belongs to another channel")
        return session

    def touch(self, session: Session) -> None:
        """The client has shown that it lives."""
        session.touched_s = self._clock.monotonic()

    def activate(self, session: Session, line: Line, caller: Caller) -> None:
        """Log in, or in again, and bind to a connection."""
        session.line = line
        session.caller = caller
        session.activated = True
        if session.publisher is not None:
            session.publisher.belong_to(caller)
        self.touch(session)
        self._changed(self.activated)

    def close(self, session: Session, *, keep_subscriptions: bool = False) -> None:
        """End a session, with its subscriptions or without; does nothing the second time."""
        if self._sessions.pop(session.token, None) is None:
            return
        del self._by_bytes[nodeid_to_binary(session.token)]
        session.closed = True
        session.browse_points.clear()
        if session.publisher is not None and keep_subscriptions:
            session.publisher.retire()
            self._left = [*self.left_behind(), session.publisher]
        elif session.publisher is not None:
            session.publisher.close()
        if session.activated:
            self._changed(self.activated)

    def left_behind(self) -> list[Publisher]:
        """What publishes for sessions that have ended, as long as it has subscriptions."""
        self._left = [publisher for publisher in self._left if publisher.subscriptions]
        return self._left

    def connection_lost(self, line: Line) -> None:
        """Its sessions wait for their client until their timeout; those nobody logged into end."""
        for session in self.all():
            if session.line is line:
                session.line = None
                if session.publisher is not None:
                    session.publisher.forget_requests()
                if not session.activated:
                    self.aborted += 1
                    self.close(session)

    def _make_room(self) -> None:
        """End the session that is without its client longest, so that a client that dies often locks nobody out."""
        orphans = [session for session in self._sessions.values() if session.line is None]
        if orphans:
            self.aborted += 1
            self.close(min(orphans, key=lambda session: session.touched_s))

    def expire(self) -> list[Session]:
        """Close what nobody used for too long; returns those."""
        now = self._clock.monotonic()
        ended = [
            session
            for session in self.all()
            if now - session.touched_s > (session.timeout_s if session.activated else self._limits.unactivated_s)
        ]
        self.timed_out += len(ended)
        for session in ended:
            # Subscriptions have a lifetime of their own, in which their client may come back for them.
            self.close(session, keep_subscriptions=True)
        return ended
