"""CreateSession, ActivateSession, CloseSession (OPC 10000-4 section 5.6)."""

from __future__ import annotations

import hmac
import logging
from typing import Any, Final

from asyncua import ua
from cryptography.exceptions import InvalidSignature

from node.server.limits import Limits
from node.server.request import Request, ServiceRefused
from node.server.security.identity import Identifier, Proof
from node.server.security.policies import ChannelRefused, leaf_certificate
from node.server.security.trust import TrustList
from node.server.sessions.endpoints import Endpoints
from node.server.sessions.sessions import NONCE_BYTES, Session, SessionTable
from node.server.transport.channel import Channel, status_code

_LOG = logging.getLogger(__name__)

_NAME_MAX_CHARS: Final = 200


class SessionService:
    """Makes sessions and lets users in."""

    def __init__(
        self,
        sessions: SessionTable,
        endpoints: Endpoints,
        identifier: Identifier,
        trust: TrustList,
        limits: Limits,
    ) -> None:
        self._sessions = sessions
        self._endpoints = endpoints
        self._identifier = identifier
        self._trust = trust
        self._limits = limits

    def create(self, request: Request, parameters: ua.CreateSessionParameters) -> ua.CreateSessionResponse:
        """A session that nobody has logged into yet. Raises ServiceRefused."""
        channel = request.line.channel
        nonce = parameters.ClientNonce or b""
        if channel.is_secure:
            self._check_client(request, parameters, channel)
            if len(nonce) < NONCE_BYTES:
                raise ServiceRefused(ua.StatusCodes.BadNonceInvalid, f"a nonce of {NONCE_BYTES} bytes is needed")
        name = str(parameters.SessionName or "")[:_NAME_MAX_CHARS]
        session = self._sessions.create(
            request.line, name, float(parameters.RequestedSessionTimeout), channel.peer_certificate
        )
        session.client_chain = channel.peer_chain
        session.max_response_bytes = int(parameters.MaxResponseMessageSize)
        own = channel.keys.chain_der
        result: Any = ua.CreateSessionResult(
            SessionId=session.id,
            AuthenticationToken=session.token,
            RevisedSessionTimeout=session.timeout_s * 1000,
            ServerNonce=session.new_nonce(),
            ServerEndpoints=self._endpoints.describe(parameters.EndpointUrl or request.line.hello_url, certificate=own),
            MaxRequestMessageSize=ua.UInt32(self._limits.message_bytes),
        )
        if channel.is_secure:
            result.ServerCertificate = own
            policy: Any = channel.policy
            result.ServerSignature.Algorithm = policy.AsymmetricSignatureURI
            result.ServerSignature.Signature = policy.asymmetric_cryptography.signature(
                channel.peer_certificate + nonce
            )
        return ua.CreateSessionResponse(Parameters=result)

    async def activate(self, request: Request, parameters: ua.ActivateSessionParameters) -> ua.ActivateSessionResponse:
        """Log a user in, or move a session to this channel. Raises ServiceRefused."""
        line = request.line
        session = self._sessions.find(request.header.AuthenticationToken)
        moved = session.line is not line
        self._check_owner(session, line.channel, moved=moved)
        self._check_signature(session, line.channel, parameters.ClientSignature)
        # After a failure the client tries again with the nonce that it knows; success makes a new one.
        nonce = session.nonce
        proof = Proof(nonce, parameters.UserTokenSignature)
        caller, certificate = await self._identifier.identify(
            parameters.UserIdentityToken, proof, line.channel, line.peer
        )
        if session.closed:
            raise ServiceRefused(ua.StatusCodes.BadSessionClosed)
        if moved and session.activated and caller.user != session.caller.user:
            raise ServiceRefused(ua.StatusCodes.BadUserAccessDenied, "a session moves with its own user only")
        if moved and session.publisher is not None:
            session.publisher.forget_requests()
        self._sessions.activate(session, line, caller)
        session.user_certificate = certificate
        line.channel.accept_large_messages()
        line.limit_responses(session.max_response_bytes)
        _LOG.info("%s logged in from %s as %s", caller.user, line.peer, caller.role.label)
        parameters_out: Any = ua.ActivateSessionResult(ServerNonce=session.new_nonce())
        parameters_out.Results = [ua.StatusCode() for _ in parameters.ClientSoftwareCertificates or ()]
        return ua.ActivateSessionResponse(Parameters=parameters_out)

    def close(self, request: Request, *, keep_subscriptions: bool) -> ua.CloseSessionResponse:
        """End the session of a request, with its subscriptions or without. Raises ServiceRefused."""
        session = self._sessions.on_line(request.header.AuthenticationToken, request.line)
        self._sessions.close(session, keep_subscriptions=keep_subscriptions)
        return ua.CloseSessionResponse()

    # --- rules

    def _check_client(self, request: Request, parameters: ua.CreateSessionParameters, channel: Channel) -> None:
        """The application that makes the session is the one that has opened the channel."""
        try:
            given = leaf_certificate(parameters.ClientCertificate).der
        except ChannelRefused as error:
            raise ServiceRefused(ua.StatusCodes.BadSecurityChecksFailed, str(error)) from error
        if not hmac.compare_digest(given, channel.peer_certificate):
            text = "CreateSession shows another certificate than the channel"
            raise ServiceRefused(ua.StatusCodes.BadSecurityChecksFailed, text)
        # The CAs above it have come with the channel; here clients send it with them or without.
        verdict = self._trust.validate(channel.peer_chain, parameters.ClientDescription.ApplicationUri or "")
        if not verdict.ok:
            self._trust.report(verdict, request.line.peer)
            raise ServiceRefused(status_code(verdict.wire_status), verdict.reason, reported=True)

    def _check_owner(self, session: Session, channel: Channel, *, moved: bool) -> None:
        if not moved:
            return
        if not session.activated:
            raise ServiceRefused(ua.StatusCodes.BadSessionIdInvalid, "the session was made on another channel")
        if not channel.is_secure or not hmac.compare_digest(session.client_certificate, channel.peer_certificate):
            # Without a certificate nobody can prove to be the client that has made the session.
            text = "a session moves with its own client only"
            raise ServiceRefused(ua.StatusCodes.BadSecurityChecksFailed, text)

    def _check_signature(self, session: Session, channel: Channel, signature: ua.SignatureData) -> None:
        if not channel.is_secure:
            return
        policy: Any = channel.policy
        # The policy says how it is signed, not the client: clients spell the algorithm's URI in several ways.
        for certificate in channel.keys.signed_forms:
            try:
                policy.asymmetric_cryptography.verify(certificate + session.nonce, signature.Signature or b"")
            except (InvalidSignature, ValueError):
                continue
            return
        raise ServiceRefused(ua.StatusCodes.BadApplicationSignatureInvalid, "a wrong signature")
