"""Who a client says it is, and whether that is true (OPC 10000-4 sections 5.6.3 and 7.40)."""

from __future__ import annotations

import hmac
import struct
from typing import Any, Final

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyAes256Sha256RsaPss
from asyncua.crypto.uacrypto import decrypt_rsa_oaep, decrypt_rsa_oaep_sha256

from node.control.desk import Caller
from node.server.channel import Channel
from node.server.endpoints import ANONYMOUS_POLICY_ID, user_name_policy_id
from node.server.login import LoginGuard, LoginRefused
from node.server.policies import NO_SECURITY, SECURE_OFFERS, Offer, ServerKeys
from node.server.request import ServiceRefused
from node.server.roles import Role

ANONYMOUS: Final = Caller("anonymous", Role.OBSERVER)
_LENGTH: Final = struct.Struct("<I")
# A password of 256 characters has up to 1024 bytes; with the nonce that is 6 blocks of a 2048-bit key at most.
_MAX_SECRET_BYTES: Final = 4_096


class Identifier:
    """Turns the identity token of an ActivateSession into a caller."""

    def __init__(self, keys: ServerKeys, users: LoginGuard, *, allow_anonymous: bool) -> None:
        self._keys = keys
        self._users = users
        self._allow_anonymous = allow_anonymous

    async def identify(self, token: Any, channel: Channel, nonce: bytes, peer: str) -> Caller:
        """The caller behind a token; `nonce` is the one that the session was given last.

        Raises ServiceRefused with BadIdentityTokenInvalid for a token that nobody could accept, ...Rejected for a
        kind that is not offered here, BadUserAccessDenied for a wrong name or password.
        """
        offer = _offer(channel)
        if isinstance(token, ua.UserNameIdentityToken):
            return await self._by_name(token, offer, nonce, peer)
        # A null or empty token stands for an anonymous user (OPC 10000-4 section 5.6.3).
        empty = token is None or (isinstance(token, ua.ExtensionObject) and token.TypeId.is_null())
        if empty or isinstance(token, ua.AnonymousIdentityToken):
            if not self._allow_anonymous:
                raise ServiceRefused(ua.StatusCodes.BadIdentityTokenRejected, "anonymous sessions are not allowed")
            if not empty and token.PolicyId not in (None, "", ANONYMOUS_POLICY_ID):
                raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, f"unknown policy id {token.PolicyId!r}")
            return ANONYMOUS
        raise ServiceRefused(ua.StatusCodes.BadIdentityTokenRejected, "only names with passwords are taken")

    async def _by_name(self, token: ua.UserNameIdentityToken, offer: Offer, nonce: bytes, peer: str) -> Caller:
        if not offer.secure:
            # Whoever sees the channel could take over the session, even if the password were encrypted.
            text = "a user name on a channel without security"
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenRejected, text)
        if token.PolicyId not in (None, "", user_name_policy_id(offer)):
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, f"unknown policy id {token.PolicyId!r}")
        name = token.UserName
        if not isinstance(name, str) or not name:
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, "no user name")
        password = self._password(token, offer, nonce)
        try:
            role = await self._users.verify(name, password, peer)
        except LoginRefused as error:
            raise ServiceRefused(int(error.status), str(error)) from error
        if role is None:
            raise ServiceRefused(ua.StatusCodes.BadUserAccessDenied, "wrong name or password")
        return Caller(name, role)

    def _password(self, token: ua.UserNameIdentityToken, offer: Offer, nonce: bytes) -> str:
        """Decrypt the password: length, password and our nonce (OPC 10000-4 section 7.40.2.2)."""
        # The policy says how it is encrypted, not the client; only that it is encrypted has to be said.
        if not token.EncryptionAlgorithm:
            raise ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, "a password in clear")
        # One status and one text for all that can be wrong: differences would help to decrypt other secrets.
        refused = ServiceRefused(ua.StatusCodes.BadIdentityTokenInvalid, "the password cannot be decrypted")
        secret = token.Password
        if not isinstance(secret, bytes) or not 0 < len(secret) <= _MAX_SECRET_BYTES:
            raise refused
        try:
            plain = self._decrypt(secret, offer)
        except ValueError:
            raise refused from None
        if len(plain) < _LENGTH.size + len(nonce):
            raise refused
        (length,) = _LENGTH.unpack_from(plain)
        content = plain[_LENGTH.size : _LENGTH.size + length]
        password, given = content[: length - len(nonce)], content[length - len(nonce) :]
        if len(content) != length or not hmac.compare_digest(given, nonce):
            raise refused
        try:
            return password.decode("utf-8")
        except UnicodeDecodeError:
            raise refused from None

    def _decrypt(self, secret: bytes, offer: Offer) -> bytes:
        sha256 = offer.policy is SecurityPolicyAes256Sha256RsaPss
        decrypt: Any = decrypt_rsa_oaep_sha256 if sha256 else decrypt_rsa_oaep
        block = self._keys.key.key_size // 8
        return b"".join(decrypt(self._keys.key, secret[at : at + block]) for at in range(0, len(secret), block))


def _offer(channel: Channel) -> Offer:
    for offer in SECURE_OFFERS:
        if offer.uri == channel.policy_uri and offer.mode == channel.mode:
            return offer
    return NO_SECURITY
