"""The node's key as the cryptography of a channel takes it."""

from __future__ import annotations

from cryptography.hazmat.primitives.asymmetric import rsa
from cryptography.hazmat.primitives.serialization import load_pem_private_key

from node.server.security.certificate import CertificateError, matches_key
from node.server.security.pki import OwnCertificate
from node.server.security.policies import ServerKeys


def load_keys(own: OwnCertificate) -> ServerKeys:
    """The key of an own certificate. Raises CertificateError when it is of another one by now, OSError."""
    try:
        key = load_pem_private_key(own.key_path.read_bytes(), password=None)
    except (ValueError, TypeError):
        raise CertificateError(f"{own.key_path} is no unencrypted PEM private key") from None
    if not isinstance(key, rsa.RSAPrivateKey) or not matches_key(own.certificate, key):
        raise CertificateError(f"{own.certificate_path} does not belong to {own.key_path}")
    return ServerKeys(own.certificate, own.chain, key)
