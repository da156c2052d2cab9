"""The node's own certificate and key as files, and the trust list beside them.

    <root>/own/cert.der     application instance certificate
    <root>/own/chain.pem    CAs above it, when one signed it
    <root>/own/key.pem      its private key, mode 0600
    <root>/own/*.bak        what the last renewal or import replaced
    <root>/trusted/, issuers/ and rejected/: the trust list of applications, see trust.py
    <root>/users/trusted/, ...: the same for users that log in with a certificate

All work is synchronous; making a key takes up to seconds.
"""

from __future__ import annotations

import logging
from dataclasses import dataclass
from pathlib import Path

from cryptography.exceptions import UnsupportedAlgorithm
from cryptography.hazmat.primitives import serialization
from cryptography.hazmat.primitives.asymmetric import rsa

from address_space.model import Clock, ticks_to_datetime
from node.server.security.certificate import (
    Certificate,
    CertificateError,
    Identity,
    matches_key,
    missing_names,
    new_key,
    read_certificate,
    read_certificates,
    self_signed,
    signing_request,
)
from node.server.security.private_file import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    PUBLIC_FILE,
    file_stamp,
    make_folder,
    readable_by_others,
    sync_folder,
    write_atomic,
)
from node.server.security.trust import TrustList
from node.server.security.verdict import MAX_KEY_BITS, MIN_KEY_BITS, CertificateStatus, Knowledge, Purpose, judge

_LOG = logging.getLogger(__name__)

SERVER_AUTH = "1.3.6.1.5.5.7.3.1"
VALID_DAYS = 1826  # five years
WARN_DAYS = 30  # from here on each start says that the certificate ends


@dataclass(frozen=True, slots=True)
class OwnCertificate:
    """The node's certificate and where it lies."""

    certificate: Certificate
    certificate_path: Path  # DER
    key_path: Path  # PEM, PKCS #8, not encrypted
    chain: tuple[Certificate, ...]  # the CAs above it, the nearest first; empty when self-signed
    days_left: int  # whole days, negative when it has ended

    @property
    def application_uri(self) -> str:
        """The URI that the server has to use: clients refuse one that differs from the certificate's."""
        return self.certificate.application_uri or ""


class Pki:
    """One folder with the own certificate and the trust list."""

    def __init__(
        self,
        root: Path,
        clock: Clock,
        *,
        key_bits: int = 2048,
        valid_days: int = VALID_DAYS,
        accept_options: str = "",  # as TrustList takes them
    ) -> None:
        if not MIN_KEY_BITS <= key_bits <= MAX_KEY_BITS:
            raise CertificateError(f"a key has {MIN_KEY_BITS} to {MAX_KEY_BITS} bits, not {key_bits}")
        self.root = root
        self.trust = TrustList(root, clock, accept_options=accept_options)
        self.user_trust = TrustList(root / "users", clock, accept_options=accept_options, purpose=Purpose.USER)
        self.own_folder = root / "own"
        self.certificate_path = self.own_folder / "cert.der"
        self.key_path = self.own_folder / "key.pem"
        self.chain_path = self.own_folder / "chain.pem"
        self._clock = clock
        self._key_bits = key_bits
        self._valid_days = valid_days

    def ensure_own(self, identity: Identity) -> OwnCertificate:
        """The own certificate; a self-signed one with a new key is made only when there is none.

        An existing one is never replaced: where it lacks a name, has another ApplicationUri, ends soon or has ended,
        a warning says what to do. Raises CertificateError when the files cannot be used, OSError.
        """
        self.trust.prepare()
        if self._complete():
            own = self.show()
            self._warn_about(own, identity)
            return own
        if self.certificate_path.exists():
            raise CertificateError(
                f"{self.certificate_path} has no key beside it: put {self.key_path} back or remove it"
            )
        own = self._make(identity, self._key() if self.key_path.exists() else new_key(self._key_bits))
        thumbprint, end = own.certificate.thumbprint, own.certificate.not_after.date().isoformat()
        _LOG.info("made the certificate %s, thumbprint %s, valid until %s", own.certificate_path, thumbprint, end)
        return own

    def show(self) -> OwnCertificate:
        """The own certificate as it lies there. Raises CertificateError when it is missing or cannot be used."""
        self._finish_interrupted()
        return self.present()

    def stamp(self) -> tuple[tuple[int, int, int] | None, ...]:
        """Times, sizes and inodes of the own files: another stamp says that they may have changed."""
        return tuple(file_stamp(path) for path in (self.certificate_path, self.key_path, self.chain_path))

    def present(self) -> OwnCertificate:
        """As `show`, but a renewal that another process is in the middle of is left alone."""
        certificate = self._certificate()
        if not matches_key(certificate, self._key()):
            raise CertificateError(
                f"{self.certificate_path} does not belong to {self.key_path}: put the right pair back "
                f"(see *.bak there), or remove both for a new one"
            )
        chain = self._read_all(self.chain_path) if self.chain_path.exists() else ()
        if chain and not certificate.issued_by(chain[0]):
            _LOG.warning("%s does not belong to the certificate beside it and is not used", self.chain_path)
            chain = ()
        days_left = certificate.days_left(ticks_to_datetime(self._clock.now()))
        return OwnCertificate(certificate, self.certificate_path, self.key_path, chain, days_left)

    def renew(self, identity: Identity, *, with_new_key: bool = False, replace_issued: bool = False) -> OwnCertificate:
        """Replace the own certificate by a new self-signed one; the old one stays as .bak.

        One that a CA has signed is only replaced with `replace_issued`. A running node uses it for new channels
        within seconds, and clients have to trust it again. Raises CertificateError, OSError.
        """
        if self._complete() and not self._certificate().self_issued and not replace_issued:
            raise CertificateError(
                "a CA signed the present certificate: make a request with `gridnode cert request`, have it signed, and "
                "use `gridnode cert import`"
            )
        keep = self.key_path.exists() and not with_new_key
        return self._make(identity, self._key() if keep else new_key(self._key_bits))

    def request(self, identity: Identity) -> bytes:
        """A request for a CA (PKCS #10, PEM) for the own key; the key is made when there is none yet.

        Raises CertificateError, OSError.
        """
        if not self.key_path.exists():
            make_folder(self.own_folder, PRIVATE_FOLDER)
            write_atomic(self.key_path, _pem(new_key(self._key_bits)), PRIVATE_FILE)
        return signing_request(self._key(), identity)

    def import_(self, content: bytes, application_uri: str) -> OwnCertificate:
        """Use the certificate that a CA has made for the own key; `content` is PEM or DER, with the CAs or without.

        The present one stays as .bak. Nothing changes when it does not fit: another key, another ApplicationUri, out
        of its validity, a broken chain. Raises CertificateError, OSError.
        """
        found = read_certificates(content)
        key = self._key()
        leaf = next((each for each in found if matches_key(each, key)), None)
        if leaf is None:
            raise CertificateError(
                f"none of the {len(found)} certificates belongs to {self.key_path}; was it requested here?"
            )
        if leaf.application_uri != application_uri:
            raise CertificateError(
                f"the certificate's ApplicationUri is {leaf.application_uri!r}, it has to be {application_uri!r}; "
                "the CA must take over the subject alternative name of the request"
            )
        status, reason = judge(leaf, Knowledge((leaf,)), ticks_to_datetime(self._clock.now()))
        if status is not CertificateStatus.GOOD:
            raise CertificateError(f"clients would refuse the node, {reason} ({status})")
        if leaf.extended_key_usage is not None and SERVER_AUTH not in leaf.extended_key_usage:
            raise CertificateError("clients would refuse the node, the extendedKeyUsage lacks serverAuth")
        chain = _chain_above(leaf, found)
        self._install(leaf.der, None, chain)
        return self.show()

    def ensure_client(self, name: str, identity: Identity) -> OwnCertificate:
        """A client certificate of this machine in `<root>/<name>/own`, trusted here when it is made.

        For the command line. Once made it is not trusted again, so that `gridnode trust revoke` holds.
        Raises CertificateError, OSError.
        """
        client = Pki(self.root / name, self._clock, key_bits=self._key_bits, valid_days=self._valid_days)
        if client.certificate_path.exists():
            return client.show()
        own = client.ensure_own(identity)
        self.trust.add(own.certificate.der)
        return own

    # --- reading ---

    def _complete(self) -> bool:
        return self.certificate_path.exists() and self.key_path.exists()

    def _certificate(self) -> Certificate:
        try:
            return read_certificate(self.certificate_path.read_bytes())
        except CertificateError as error:
            raise CertificateError(f"{self.certificate_path}: {error}") from error
        except FileNotFoundError as error:
            raise CertificateError(f"there is no certificate {self.certificate_path} yet; a start makes it") from error

    def _read_all(self, path: Path) -> tuple[Certificate, ...]:
        try:
            return read_certificates(path.read_bytes())
        except CertificateError as error:
            raise CertificateError(f"{path}: {error}") from error

    def _key(self) -> rsa.RSAPrivateKey:
        try:
            if readable_by_others(self.key_path):
                _LOG.warning(
                    "%s can be read by other users of this machine: chmod 600 %s", self.key_path, self.key_path
                )
            key = serialization.load_pem_private_key(self.key_path.read_bytes(), password=None)
        except FileNotFoundError as error:
            raise CertificateError(f"there is no key {self.key_path} yet; a start or a request makes it") from error
        except (ValueError, TypeError, UnsupportedAlgorithm):
            # The cause is left out: it must never show a part of a key.
            raise CertificateError(f"{self.key_path} is no unencrypted PEM private key") from None
        if not isinstance(key, rsa.RSAPrivateKey):
            raise CertificateError(f"{self.key_path} is no RSA key")
        return key

    def _warn_about(self, own: OwnCertificate, identity: Identity) -> None:
        if own.application_uri != identity.application_uri:
            _LOG.warning(
                "the certificate says ApplicationUri %s, the site wants %s; the certificate's is used until "
                "`gridnode cert renew`",
                own.application_uri,
                identity.application_uri,
            )
        missing = missing_names(own.certificate, identity)
        if missing:
            _LOG.warning(
                "the certificate lacks the names %s: clients that connect by them may refuse it; `gridnode cert renew` "
                "makes one that has them",
                ", ".join(missing),
            )
        if own.days_left < 0:
            _LOG.warning("the certificate ended %s: `gridnode cert renew`", own.certificate.not_after.isoformat())
        elif own.days_left < WARN_DAYS:
            _LOG.warning("the certificate ends in %d days: `gridnode cert renew`", own.days_left)

    # --- writing ---

    def _make(self, identity: Identity, key: rsa.RSAPrivateKey) -> OwnCertificate:
        der = self_signed(key, identity, ticks_to_datetime(self._clock.now()), self._valid_days)
        self._install(der, key, ())
        return self.show()

    def _install(self, der: bytes, key: rsa.RSAPrivateKey | None, chain: tuple[Certificate, ...]) -> None:
        """Put a certificate, and with `key` its key, in place of the present ones.

        Two files cannot be renamed at once: the certificate waits as cert.der.new until its key is there, and
        `_finish_interrupted` completes what a crash has left between the two.
        """
        make_folder(self.own_folder, PRIVATE_FOLDER)
        for path, mode in (
            (self.certificate_path, PUBLIC_FILE),
            (self.key_path, PRIVATE_FILE),
            (self.chain_path, PUBLIC_FILE),
        ):
            if path.exists():
                write_atomic(_beside(path, ".bak"), path.read_bytes(), mode)
        waiting = _beside(self.certificate_path, ".new")
        write_atomic(waiting, der, PUBLIC_FILE)
        if key is not None:
            write_atomic(self.key_path, _pem(key), PRIVATE_FILE)
        if chain:
            pem = b"".join(each.x509.public_bytes(serialization.Encoding.PEM) for each in chain)
            write_atomic(self.chain_path, pem, PUBLIC_FILE)
        else:
            self.chain_path.unlink(missing_ok=True)
        waiting.replace(self.certificate_path)
        sync_folder(self.own_folder)

    def _finish_interrupted(self) -> None:
        waiting = _beside(self.certificate_path, ".new")
        if not waiting.exists():
            return
        certificate = self._read_all(waiting)[0]
        if self.key_path.exists() and matches_key(certificate, self._key()):
            waiting.replace(self.certificate_path)
            _LOG.info("finished the interrupted renewal of %s", self.certificate_path)
        else:
            waiting.unlink()
            _LOG.info("dropped the interrupted renewal of %s; repeat it", self.certificate_path)
        sync_folder(self.own_folder)


def _beside(path: Path, suffix: str) -> Path:
    return path.with_name(path.name + suffix)


def _pem(key: rsa.RSAPrivateKey) -> bytes:
    return key.private_bytes(
        serialization.Encoding.PEM, serialization.PrivateFormat.PKCS8, serialization.NoEncryption()
    )


def _chain_above(leaf: Certificate, found: tuple[Certificate, ...]) -> tuple[Certificate, ...]:
    """The given CAs in the order in which they sign, the nearest first; raises CertificateError for one too many."""
    rest = [each for each in found if each.der != leaf.der]
    chain: list[Certificate] = []
    below = leaf
    while rest:
        above = next((each for each in rest if below.issued_by(each)), None)
        if above is None:
            raise CertificateError(f"the certificate {rest[0].subject!r} is not in the chain of {leaf.subject!r}")
        rest.remove(above)
        chain.append(above)
        below = above
    return tuple(chain)
