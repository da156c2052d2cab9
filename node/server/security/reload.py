"""What operators change while the node runs: the own certificate, the trust lists, the users."""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable
from weakref import WeakSet

from node.server.security.certificate import CertificateError
from node.server.security.identity import ANONYMOUS
from node.server.security.keys import load_keys
from node.server.security.login import LoginGuard
from node.server.security.pki import OwnCertificate, Pki
from node.server.security.policies import ServerKeys
from node.server.security.trust import TrustList
from node.server.sessions.sessions import Session, SessionTable
from node.server.transport.channel import Channel, status_code
from node.server.transport.connection import Connection

_LOG = logging.getLogger(__name__)


class Reload:
    """Looks at the files and draws the consequences for what is open; `look` is for once a second.

    A renewed certificate is for channels that are opened from then on. Who is trusted no longer loses channel and
    sessions at once, and so do users that were removed, have another role or lost their certificate.
    """

    def __init__(
        self,
        pki: Pki,
        users: LoginGuard,
        sessions: SessionTable,
        connections: Callable[[], Iterable[Connection]],
        own: OwnCertificate,
        renewed: Callable[[OwnCertificate, ServerKeys], None],
        ended: Callable[[Session], None] = lambda _: None,
    ) -> None:
        """`own` is what the server uses now, `renewed` is called with what it shall use from now on.

        `ended` is called with every session that is ended.
        """
        self._ended = ended
        self._pki = pki
        self._users = users
        self._sessions = sessions
        self._connections = connections
        self._own = own
        self._renewed = renewed
        self._used = self._seen = pki.stamp()
        self._trusted = (pki.trust.stamp(), pki.user_trust.stamp())
        # What has been looked at since the trust lists changed. Whatever is new is looked at once more: it may have
        # been let in by what an operator took back right afterwards.
        self._checked: WeakSet[Channel | Session] = WeakSet()

    async def look(self) -> None:
        """Take over what has changed since the last time."""
        await self._look_at_own()
        trusted = (self._pki.trust.stamp(), self._pki.user_trust.stamp())
        if trusted != self._trusted:
            self._trusted = trusted
            self._checked.clear()
        self._end_distrusted()
        self._end_users()

    async def _look_at_own(self) -> None:
        stamp = self._pki.stamp()
        settled, self._seen = stamp == self._seen, stamp
        # A renewal writes several files: it is over when nothing has changed for one look.
        if not settled or stamp == self._used:
            return
        self._used = stamp
        try:
            own = await asyncio.to_thread(self._pki.present)
            keys = await asyncio.to_thread(load_keys, own)
        except (CertificateError, OSError) as error:
            _LOG.error("%s; the certificate from before stays in use", error)
            return
        if own.application_uri != self._own.application_uri:
            _LOG.error(
                "the new certificate says ApplicationUri %s in place of %s: it is used from the next start",
                own.application_uri,
                self._own.application_uri,
            )
            return
        if own.certificate.der == self._own.certificate.der and own.chain == self._own.chain:
            return
        self._own = own
        self._renewed(own, keys)
        end = own.certificate.not_after.date().isoformat()
        _LOG.info("new channels use the certificate %s, valid until %s", own.certificate.thumbprint, end)

    def _end_distrusted(self) -> None:
        for connection in self._connections():
            channel = connection.channel
            if channel in self._checked or not channel.is_open or not channel.is_secure:
                continue
            self._checked.add(channel)
            verdict = self._pki.trust.check(channel.peer_chain)
            if not verdict.ok:
                _LOG.warning("closed the channel of %s: %s (%s)", connection.peer, verdict.reason, verdict.subject)
                connection.fail(status_code(verdict.wire_status), verdict.reason, reported=True)
        for session in self._sessions.all():
            if session in self._checked or not session.activated:
                continue
            self._checked.add(session)
            for trust, chain in (
                (self._pki.trust, session.client_chain),
                (self._pki.user_trust, session.user_certificate),
            ):
                self._end_if_distrusted(session, trust, chain)

    def _end_if_distrusted(self, session: Session, trust: TrustList, chain: bytes) -> None:
        if chain and not session.closed and not (verdict := trust.check(chain)).ok:
            self._end(session, verdict.reason)

    def _end_users(self) -> None:
        for session in self._sessions.all():
            caller = session.caller
            if not session.activated or caller is ANONYMOUS:
                continue
            if not self._users.stands(caller.user, caller.role, session.user_thumbprint):
                self._end(session, "the user was removed, or may do something else now")

    def _end(self, session: Session, reason: str) -> None:
        _LOG.info("ended session %r of %s: %s", session.name, session.caller.user or "nobody", reason)
        self._sessions.close(session)
        self._ended(session)
