"""Checking a user name and password without stopping the event loop, and slowing down who guesses."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import Counter, OrderedDict
from concurrent.futures import Future, ThreadPoolExecutor
from ipaddress import IPv6Address, ip_network

from address_space.model import Clock, Status
from node.roles import Role
from node.server.security.host_names import address_of
from node.server.security.users import MAX_NAME_CHARS, User, UserStore

_LOG = logging.getLogger(__name__)

WORKERS = 2  # one hash takes a processor for tens of milliseconds and 64 MB; polls go on beside it
MAX_WAITING = 16

FREE_FAILURES = 2  # mistyped passwords that cost no delay
FIRST_DELAY_S = 1.0  # after the third failure, then doubled by each further one
LONGEST_DELAY_S = 60.0
FORGET_S = 900.0  # without a failure for so long all is forgotten
_KEPT = 4096  # names and peers with failures, and proven pairs; the oldest go first

_Key = tuple[str, str]  # ("user", name) or ("peer", host)


class LoginRefused(Exception):
    """A login was refused without looking at the password."""

    status = Status.BAD_USER_ACCESS_DENIED


class LoginBusy(LoginRefused):
    """Too many logins wait already; the client may try again."""

    status = Status.BAD_TOO_MANY_OPERATIONS


class LoginDelayed(LoginRefused):
    """Too many failures of this user or peer; `wait_s` is how long it will be refused."""

    # Not the status of a wrong password: whoever types the right one now shall not look for another mistake.
    status = Status.BAD_TOO_MANY_OPERATIONS

    def __init__(self, wait_s: float) -> None:
        super().__init__(f"too many failed logins of this user or from there, refused for another {wait_s:.0f} s")
        self.wait_s = wait_s


class FailureDelays:
    """How long each user and peer has to wait after its failures. Pure: the caller hands in the time."""

    def __init__(self) -> None:
        self._failures: OrderedDict[_Key, tuple[int, float]] = OrderedDict()  # count, time of the last

    def wait_s(self, key: _Key, now: float) -> float:
        """Seconds until a further attempt is let in; 0 when it is at once."""
        count, last = self._failures.get(key, (0, now))
        if count <= FREE_FAILURES:
            return 0.0
        # Bounded exponent: 2.0**1024 does not exist.
        delay = min(LONGEST_DELAY_S, FIRST_DELAY_S * 2.0 ** min(count - FREE_FAILURES - 1, 32))
        return max(0.0, last + delay - now)

    def suspect(self, key: _Key, now: float) -> bool:
        """True when it failed so often that only one attempt at a time is let in."""
        count, last = self._failures.get(key, (0, now))
        return count > FREE_FAILURES and now - last < FORGET_S

    def fail(self, key: _Key, now: float) -> int:
        """Count a failure; returns how many there are now."""
        count, last = self._failures.pop(key, (0, now))
        count = 1 if now - last >= FORGET_S else count + 1
        self._failures[key] = (count, now)
        if len(self._failures) > _KEPT:
            self._failures.popitem(last=False)
        return count

    def succeed(self, key: _Key) -> None:
        """Forget its failures."""
        self._failures.pop(key, None)


class LoginGuard:
    """Checks logins in a small thread pool. Used from one event loop; `close` ends the threads."""

    def __init__(
        self, store: UserStore, clock: Clock, *, workers: int = WORKERS, max_waiting: int = MAX_WAITING
    ) -> None:
        self._store = store
        self._clock = clock
        self._pool = ThreadPoolExecutor(workers, thread_name_prefix="login")
        self._places = threading.BoundedSemaphore(workers + max_waiting)
        self._delays = FailureDelays()
        self._running: Counter[_Key] = Counter()
        self._proven: OrderedDict[tuple[str, str], None] = OrderedDict()

    async def verify(self, name: str, password: str, peer: str | None = None) -> Role | None:
        """Role of the user, or None when name or password is wrong; `peer` is the client's host, without its port.

        Raises LoginDelayed while the user or the peer is delayed, LoginBusy when 16 others wait. A check that has
        begun counts, even when the caller is cancelled.
        """
        user = ("user", name[:MAX_NAME_CHARS])
        keys = [user] if peer is None else [user, ("peer", _peer_group(peer))]
        # Failures of strangers must not lock a user out who logged in from this very peer before.
        proven = peer is not None and (user[1], keys[-1][1]) in self._proven
        gates = keys[1:] if proven else keys
        now = self._clock.monotonic()
        wait_s = max((self._delays.wait_s(key, now) for key in gates), default=0.0)
        if wait_s > 0.0:
            raise LoginDelayed(wait_s)
        if any(self._running[key] and self._delays.suspect(key, now) for key in gates):
            raise LoginDelayed(FIRST_DELAY_S)
        if not self._places.acquire(blocking=False):
            raise LoginBusy("too many logins wait to be checked; try again")
        work = self._pool.submit(self._store.check, name, password)
        work.add_done_callback(self._leave)
        self._running.update(keys)
        future = asyncio.wrap_future(work)
        future.add_done_callback(lambda done: self._settle(keys, gates, done))
        return await asyncio.shield(future)

    def owner(self, thumbprint: str) -> User | None:
        """The user who logs in with a certificate, named by its thumbprint; None when there is none."""
        return self._store.owner(thumbprint)

    def stands(self, name: str, role: Role, thumbprint: str | None) -> bool:
        """True while there is such a user, in this role and, unless it is None, with this certificate."""
        user = self._store.find(name)
        return user is not None and user.role is role and (thumbprint is None or thumbprint in user.certificates)

    async def close(self) -> None:
        """Refuse what waits, let what runs end, and end the threads."""
        await asyncio.to_thread(self._pool.shutdown, wait=True, cancel_futures=True)

    def _leave(self, _work: Future[Role | None]) -> None:
        self._places.release()

    def _settle(self, keys: list[_Key], gates: list[_Key], done: asyncio.Future[Role | None]) -> None:
        for key in keys:
            self._running[key] -= 1
            if not self._running[key]:
                del self._running[key]
        if done.cancelled():
            return  # the pool was closed before its turn
        error = done.exception()
        if error is not None:
            # Raised to the caller too, if it still waits; without the text, which is nothing of ours.
            _LOG.error("a login could not be checked: %s", type(error).__name__)
            return
        pair = (keys[0][1], keys[-1][1])
        if done.result() is None:
            self._proven.pop(pair, None)
            count = max(self._delays.fail(key, self._clock.monotonic()) for key in keys)
            peer = keys[-1][1] if len(keys) > 1 else "an unknown peer"
            self._report(keys[0][1], peer, count)
            return
        for key in gates:  # a user's delay that did not apply here goes on for strangers
            self._delays.succeed(key)
        if len(keys) > 1:
            self._proven[pair] = None
            self._proven.move_to_end(pair)
            if len(self._proven) > _KEPT:
                self._proven.popitem(last=False)

    def _report(self, name: str, peer: str, count: int) -> None:
        # A name is said only if there is such a user: people type passwords into the wrong field.
        known = count > 1 and self._store.find(name) is not None
        who = f"of user {name!r} " if known else ""
        level = logging.WARNING if count in (1, FREE_FAILURES + 1) else logging.DEBUG
        wait = f"; further tries have to wait, {LONGEST_DELAY_S:g} s at most" if count > FREE_FAILURES else ""
        _LOG.log(level, "login %sfrom %s failed, %d in a row%s", who, peer, count, wait)


def _peer_group(peer: str) -> str:
    """The part of a peer's address that it cannot change at will: an IPv6 host has a whole /64."""
    address = address_of(peer.partition("%")[0])
    if isinstance(address, IPv6Address):
        if address.ipv4_mapped is not None:
            return str(address.ipv4_mapped)
        return str(ip_network((address, 64), strict=False))
    return str(address) if address is not None else peer
