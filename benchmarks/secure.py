"""Basic256Sha256 for the load client: opening a channel through asyncua, then chunks by the cryptography package.

Facts are those of OPC 10000-6 section 6.7 and OPC 10000-7 (AES-256-CBC, HMAC-SHA256, P_SHA256).
"""

from __future__ import annotations

import hmac
from dataclasses import dataclass
from hashlib import sha256
from pathlib import Path
from struct import Struct
from typing import Any, Final

from asyncua import ua
from asyncua.crypto.security_policies import SecurityPolicyBasic256Sha256
from cryptography import x509
from cryptography.hazmat.primitives.ciphers import Cipher, algorithms, modes
from cryptography.hazmat.primitives.serialization import load_pem_private_key

URI: Final = str(SecurityPolicyBasic256Sha256.URI)
NONCE_BYTES: Final = 32
SIGNATURE_BYTES: Final = 32
_BLOCK: Final = 16
_HEAD: Final = Struct("<3scIII")  # type, chunk, size, channel, token
_SEQUENCE: Final = Struct("<II")  # sequence number, request id


@dataclass(frozen=True, slots=True)
class Identity:
    """Who the load client is, and whom it expects."""

    certificate: bytes  # DER
    key: bytes  # PEM
    server_certificate: bytes  # DER
    application_uri: str

    @classmethod
    def read(cls, client: Path, server: Path) -> Identity:
        """From two folders with cert.der and key.pem, the server's without its key. Raises OSError."""
        certificate = (client / "cert.der").read_bytes()
        names = x509.load_der_x509_certificate(certificate).extensions.get_extension_for_class(
            x509.SubjectAlternativeName
        )
        uri = names.value.get_values_for_type(x509.UniformResourceIdentifier)[0]
        return cls(certificate, (client / "key.pem").read_bytes(), (server / "cert.der").read_bytes(), uri)

    def policy(self) -> Any:
        """asyncua's cryptography for the asymmetric messages."""
        return SecurityPolicyBasic256Sha256(  # type: ignore[no-untyped-call]
            x509.load_der_x509_certificate(self.server_certificate),
            x509.load_der_x509_certificate(self.certificate),
            load_pem_private_key(self.key, None),
            ua.MessageSecurityMode.SignAndEncrypt,
        )


class ChunkCipher:
    """Seals and opens the symmetric chunks of one channel token. Single chunks only when sealing."""

    def __init__(self, client_nonce: bytes, server_nonce: bytes) -> None:
        self._sign, key, vector = _keys(server_nonce, client_nonce)
        self._own = Cipher(algorithms.AES(key), modes.CBC(vector))
        self._check, key, vector = _keys(client_nonce, server_nonce)
        self._peer = Cipher(algorithms.AES(key), modes.CBC(vector))

    def seal(self, channel: int, token: int, sequence: int, request: int, body: bytes) -> bytes:
        """A final chunk, signed and encrypted."""
        padding = -(_SEQUENCE.size + len(body) + 1 + SIGNATURE_BYTES) % _BLOCK
        size = _HEAD.size + _SEQUENCE.size + len(body) + padding + 1 + SIGNATURE_BYTES
        head = _HEAD.pack(b"MSG", b"F", size, channel, token)
        plain = _SEQUENCE.pack(sequence, request) + body + bytes([padding]) * (padding + 1)
        plain += hmac.digest(self._sign, head + plain, sha256)
        cipher = self._own.encryptor()
        return head + cipher.update(plain) + cipher.finalize()

    def open(self, frame: bytes) -> tuple[int, bytes]:
        """Request id and body of a chunk. Raises ValueError when the signature is not the server's."""
        cipher = self._peer.decryptor()
        plain = cipher.update(frame[_HEAD.size :]) + cipher.finalize()
        signed = plain[:-SIGNATURE_BYTES]
        if not hmac.compare_digest(
            hmac.digest(self._check, frame[: _HEAD.size] + signed, sha256), plain[-SIGNATURE_BYTES:]
        ):
            raise ValueError("a chunk whose signature is wrong")
        return _SEQUENCE.unpack_from(plain)[1], signed[_SEQUENCE.size : len(signed) - 1 - signed[-1]]


def _keys(secret: bytes, seed: bytes) -> tuple[bytes, bytes, bytes]:
    """Signing key, encryption key and initialisation vector."""
    out, link = b"", seed
    while len(out) < 80:
        link = hmac.digest(secret, link, sha256)
        out += hmac.digest(secret, link + seed, sha256)
    return out[:32], out[32:64], out[64:80]
