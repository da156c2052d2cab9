"""Which applications or users may talk to the node: trusted and rejected certificates, as files in folders.

    <root>/trusted/certs/   accepted applications (or users) and CAs, *.der (also .crt, .cer and .pem)
    <root>/trusted/crl/     revocation lists of those CAs, *.crl (also .der and .pem), one a file
    <root>/issuers/certs/   CAs between a certificate and a trusted CA; nobody is trusted because of them
    <root>/issuers/crl/     and their revocation lists
    <root>/rejected/        the newest refused certificates, for `gridnode trust accept`

The folders are read again whenever they changed, so that the command line works on a running node.
"""

from __future__ import annotations

import logging
import os
import re
import shlex
from collections import OrderedDict, deque
from collections.abc import Callable
from dataclasses import dataclass, replace
from pathlib import Path

from address_space.model import Clock, ticks_to_datetime
from node.server.security.certificate import (
    Certificate,
    CertificateError,
    read_certificate,
    read_certificates,
    split_chain,
)
from node.server.security.private_file import PUBLIC_FILE, make_folder, sync_folder, write_atomic
from node.server.security.revocation import RevocationList, RevocationRule, read_revocation_list
from node.server.security.verdict import CertificateStatus, Knowledge, Purpose, Verdict, judge

_LOG = logging.getLogger(__name__)

MAX_REJECTED = 50
_MAX_FILE_BYTES = 131_072  # a PEM bundle of several certificates
_SUFFIXES = frozenset({".der", ".crt", ".cer", ".pem"})
_MAX_LIST_BYTES = 4_194_304  # about 100,000 revoked certificates
_LIST_SUFFIXES = frozenset({".crl", ".der", ".pem"})

# Anybody who reaches the port can make a new certificate for each attempt. This many new ones in a minute are
# stored and reported; the others of that minute cost neither disk nor log.
_NEW_PER_MINUTE = 20
_REPORTED_KEPT = 1000

_Stamp = tuple[int, int]  # time of the last change in ns, size in bytes


class TrustError(ValueError):
    """A request about the trust list cannot be done; the text says why and what to do."""


@dataclass(frozen=True, slots=True)
class TrustEntry:
    """One certificate in one of the folders."""

    certificate: Certificate
    path: Path


class TrustList:
    """The two folders, and the check of a peer's certificate against them.

    Not safe for use from several threads; all work is short and synchronous.
    """

    def __init__(
        self,
        root: Path,
        clock: Clock,
        *,
        max_rejected: int = MAX_REJECTED,
        accept_options: str = "",
        purpose: Purpose = Purpose.APPLICATION,
    ) -> None:
        """`accept_options`, quoted for a shell, make `gridnode trust accept THUMBPRINT` be about this folder."""
        self.trusted_folder = root / "trusted" / "certs"
        self.rejected_folder = root / "rejected"
        self.issuers_folder = root / "issuers" / "certs"
        self.list_folders = (root / "trusted" / "crl", root / "issuers" / "crl")
        self.rule = RevocationRule.CURRENT
        # Hears every refusal that is reported, with the peer's host.
        self.refused: Callable[[Verdict, str], None] | None = None
        self._purpose = purpose
        self._clock = clock
        self._max_rejected = max_rejected
        self._accept_options = f" {accept_options}" if accept_options else ""
        self._read: dict[Path, tuple[_Stamp, tuple[Certificate, ...]]] = {}
        self._lists: dict[Path, tuple[_Stamp, RevocationList | None]] = {}
        self._warned: set[tuple[Path, _Stamp]] = set()
        self._reported: OrderedDict[tuple[str, CertificateStatus], None] = OrderedDict()
        self._new_at: deque[float] = deque(maxlen=_NEW_PER_MINUTE)
        self._flooded = False

    def prepare(self) -> None:
        """Create the folders, so that certificates can be dropped into them. Raises OSError."""
        for folder in (self.trusted_folder, self.rejected_folder, self.issuers_folder, *self.list_folders):
            make_folder(folder)

    def stamp(self) -> tuple[tuple[str, int, int], ...]:
        """Names, times and sizes of all that trust depends on: another stamp says that it may have changed."""
        found: list[tuple[str, int, int]] = []
        for folder in (self.trusted_folder, self.issuers_folder, *self.list_folders):
            for path in _files(folder):
                try:
                    stat = path.stat()
                except OSError:
                    continue  # moved away since the folder was listed
                found.append((str(path), stat.st_mtime_ns, stat.st_size))
        return tuple(found)

    def trusted(self) -> tuple[TrustEntry, ...]:
        """Accepted certificates, by file name; unreadable files are skipped with a warning."""
        return self._entries(self.trusted_folder)

    def rejected(self) -> tuple[TrustEntry, ...]:
        """Refused certificates, by file name; unreadable files are skipped with a warning."""
        return self._entries(self.rejected_folder)

    def accept(self, thumbprint: str) -> TrustEntry:
        """Trust a refused certificate, named by its thumbprint or a beginning of it that fits only one.

        Raises TrustError when none or several fit, OSError when the move fails.
        """
        entry = self._only(self.rejected(), thumbprint, "rejected")
        return self._move(entry, self.trusted_folder)

    def revoke(self, thumbprint: str) -> TrustEntry:
        """Trust a certificate no longer and keep it among the rejected; named as in `accept`.

        Open connections are the caller's business. An application that a trusted CA has signed has no entry of its
        own. Raises TrustError, OSError.
        """
        entry = self._only(self.trusted(), thumbprint, "trusted")
        if sum(other.path == entry.path for other in self.trusted()) > 1:
            raise TrustError(f"{entry.path} holds several certificates; take this one out of the file by hand")
        moved = self._move(entry, self.rejected_folder)
        self._prune()
        return moved

    def add(self, content: bytes) -> tuple[TrustEntry, ...]:
        """Trust the certificates of a DER or PEM content, of applications or CAs.

        Raises CertificateError when it is not readable, OSError.
        """
        certificates = read_certificates(content)
        make_folder(self.trusted_folder)
        known = {entry.certificate.der: entry for entry in self.trusted()}
        return tuple(known.get(each.der) or self._store(each, self.trusted_folder) for each in certificates)

    def validate(self, cert_der: bytes, application_uri: str | None = None) -> Verdict:
        """Check a peer's certificate, in the order of OPC 10000-4 section 6.1.3.

        `cert_der` may be a chain, the peer's own first. With `application_uri` the certificate's must be the same
        (CreateSession); None leaves that out (OpenSecureChannel does not know it yet). A certificate that is only
        untrusted is put into the rejected folder. Raises nothing for whatever bytes a peer sends.
        """
        verdict, certificate = self._judge(cert_der, application_uri)
        if certificate is None:
            return verdict
        if verdict.ok:
            self._forget(verdict.thumbprint)
        stored = verdict.status is CertificateStatus.UNTRUSTED and self._reject(certificate)
        return replace(verdict, stored=stored)

    def check(self, cert_der: bytes) -> Verdict:
        """As `validate`, for a certificate that was let in before: nothing is stored or forgotten."""
        return self._judge(cert_der, None)[0]

    def _judge(self, cert_der: bytes, application_uri: str | None) -> tuple[Verdict, Certificate | None]:
        try:
            leaf, *above = split_chain(cert_der)
            certificate = read_certificate(leaf)
        except CertificateError as error:
            return Verdict(CertificateStatus.INVALID, str(error), der=cert_der), None
        shown = [read for read in map(_readable, above) if read is not None]
        known = Knowledge(
            tuple(entry.certificate for entry in self.trusted()),
            tuple(entry.certificate for entry in self._entries(self.issuers_folder)),
            tuple(each for folder in self.list_folders for each in self._revocation_lists(folder)),
            self.rule,
            self._purpose,
        )
        now = ticks_to_datetime(self._clock.now())
        status, reason = judge(certificate, known, now, application_uri, shown)
        verdict = Verdict(
            status,
            reason,
            certificate.thumbprint,
            certificate.subject,
            leaf,
            "" if application_uri is None else application_uri,
        )
        return verdict, certificate

    def report(self, verdict: Verdict, peer: str) -> None:
        """Log a refusal of `peer` (a host): a warning with the way out the first time, debug for repeats."""
        if verdict.ok:
            return
        if self.refused is not None:
            self.refused(verdict, peer)
        key = (verdict.thumbprint or peer, verdict.status)
        # One that is not stored cannot be accepted yet: its line comes with the attempt at which it is.
        waits = verdict.status is CertificateStatus.UNTRUSTED and not verdict.stored
        if key in self._reported or waits or not (verdict.stored or self._admit_new()):
            _LOG.debug("refused %s: %s %s", peer, verdict.status.value, verdict.thumbprint)
            return
        self._reported[key] = None
        if len(self._reported) > _REPORTED_KEPT:
            self._reported.popitem(last=False)
        if verdict.stored and self._purpose is Purpose.USER:
            _LOG.warning(
                "refused a user from %s: the certificate %r is not trusted. To let it in: gridnode user cert NAME %s%s",
                peer,
                verdict.subject,
                self._rejected_path(verdict.thumbprint),
                self._accept_options,
            )
        elif verdict.stored:
            _LOG.warning(
                "refused %s: its certificate %r is not trusted. To let it in: gridnode trust accept %s%s",
                peer,
                verdict.subject,
                verdict.thumbprint,
                self._accept_options,
            )
        else:
            _LOG.warning("refused %s: %s (%s, certificate %r)", peer, verdict.reason, verdict.status, verdict.subject)

    # --- refused ones ---

    def _reject(self, certificate: Certificate) -> bool:
        """Keep a refused certificate; False when it is not there afterwards."""
        if any(entry.certificate.der == certificate.der for entry in self.rejected()):
            return True
        if not self._admit_new():
            return False
        try:
            make_folder(self.rejected_folder)
            self._store(certificate, self.rejected_folder)
            self._prune()
        except OSError as error:
            _LOG.warning("cannot keep a refused certificate in %s: %s", self.rejected_folder, error)
            return False
        return True

    def _rejected_path(self, thumbprint: str) -> str:
        found = (entry.path for entry in self.rejected() if entry.certificate.thumbprint == thumbprint)
        return shlex.quote(str(next(found, self.rejected_folder)))

    def _admit_new(self) -> bool:
        now = self._clock.monotonic()
        if len(self._new_at) == _NEW_PER_MINUTE and now - self._new_at[0] < 60.0:
            if not self._flooded:
                self._flooded = True
                _LOG.warning("more than %d unknown certificates in a minute; more are not kept", _NEW_PER_MINUTE)
            return False
        self._flooded = False
        self._new_at.append(now)
        return True

    def _forget(self, thumbprint: str) -> None:
        for status in CertificateStatus:
            self._reported.pop((thumbprint, status), None)

    # --- the folders ---

    def _entries(self, folder: Path) -> tuple[TrustEntry, ...]:
        try:
            paths = sorted(path for path in folder.iterdir() if not path.name.startswith("."))
        except FileNotFoundError:
            paths = []
        except OSError as error:
            # Nobody is trusted by a folder that cannot be read.
            self._warn_once(folder, (0, 0), error)
            paths = []
        listed = set(paths)
        for gone in [path for path in self._read if path.parent == folder and path not in listed]:
            del self._read[gone]
        return tuple(TrustEntry(each, path) for path in paths for each in self._certificates(path))

    def _certificates(self, path: Path) -> tuple[Certificate, ...]:
        stamp = (0, 0)
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            kept = self._read.get(path)
            if kept is not None and kept[0] == stamp:
                return kept[1]
            if path.suffix.lower() not in _SUFFIXES or not path.is_file() or stat.st_size > _MAX_FILE_BYTES:
                raise CertificateError("not a certificate file (.der, .crt, .cer, .pem)")
            found = read_certificates(path.read_bytes())
        except FileNotFoundError:
            return ()  # moved away since the folder was listed
        except (OSError, CertificateError) as error:
            self._warn_once(path, stamp, error)
            found = ()
        self._read[path] = (stamp, found)
        return found

    def _revocation_lists(self, folder: Path) -> list[RevocationList]:
        paths = _files(folder)
        for gone in [path for path in self._lists if path.parent == folder and path not in paths]:
            del self._lists[gone]
        found = (self._revocation_list(path) for path in paths)
        return [each for each in found if each is not None]

    def _revocation_list(self, path: Path) -> RevocationList | None:
        stamp = (0, 0)
        read: RevocationList | None = None
        try:
            stat = path.stat()
            stamp = (stat.st_mtime_ns, stat.st_size)
            kept = self._lists.get(path)
            if kept is not None and kept[0] == stamp:
                return kept[1]
            if path.suffix.lower() not in _LIST_SUFFIXES or not path.is_file() or stat.st_size > _MAX_LIST_BYTES:
                raise CertificateError("not a revocation list (.crl, .der, .pem)")
            read = read_revocation_list(path.read_bytes())
        except FileNotFoundError:
            return None  # moved away since the folder was listed
        except (OSError, CertificateError) as error:
            self._warn_once(path, stamp, error)
        self._lists[path] = (stamp, read)
        return read

    def _warn_once(self, path: Path, stamp: _Stamp, error: Exception) -> None:
        if (path, stamp) in self._warned:
            return
        if len(self._warned) >= _REPORTED_KEPT:
            self._warned.clear()
        self._warned.add((path, stamp))
        _LOG.warning("skipped %s: %s", path, error)

    def _store(self, certificate: Certificate, folder: Path) -> TrustEntry:
        path = folder / _file_name(certificate)
        write_atomic(path, certificate.der, PUBLIC_FILE)
        now_s = ticks_to_datetime(self._clock.now()).timestamp()
        os.utime(path, (now_s, now_s))  # the age by which the rejected folder is kept short
        return TrustEntry(certificate, path)

    def _move(self, entry: TrustEntry, folder: Path) -> TrustEntry:
        """Write the certificate there first: a crash leaves it twice rather than lost."""
        make_folder(folder)
        moved = self._store(entry.certificate, folder)
        entry.path.unlink(missing_ok=True)
        sync_folder(entry.path.parent)
        self._forget(entry.certificate.thumbprint)
        return moved

    def _prune(self) -> None:
        paths = {entry.path for entry in self.rejected()}
        oldest_first = sorted(paths, key=lambda path: (path.stat().st_mtime_ns, path.name))
        for path in oldest_first[: max(0, len(oldest_first) - self._max_rejected)]:
            path.unlink(missing_ok=True)

    def _only(self, entries: tuple[TrustEntry, ...], thumbprint: str, where: str) -> TrustEntry:
        wanted = re.sub(r"[\s:-]", "", thumbprint).upper()
        if not re.fullmatch(r"[0-9A-F]{4,40}", wanted):
            raise TrustError(f"{thumbprint!r} is no thumbprint: give 4 to 40 hexadecimal digits")
        fitting = {e.certificate.der: e for e in entries if e.certificate.thumbprint.startswith(wanted)}
        if not fitting:
            raise TrustError(f"no {where} certificate begins with {wanted}; see `gridnode trust list`")
        if len(fitting) > 1:
            several = ", ".join(sorted(entry.certificate.thumbprint for entry in fitting.values()))
            raise TrustError(f"{wanted} fits several {where} certificates, give more digits: {several}")
        return next(iter(fitting.values()))


def _files(folder: Path) -> list[Path]:
    """What lies in a folder, by name; nothing when it cannot be listed, which `_entries` says."""
    try:
        return sorted(path for path in folder.iterdir() if not path.name.startswith("."))
    except OSError:
        return []


def _readable(der: bytes) -> Certificate | None:
    try:
        return read_certificate(der)
    except CertificateError:
        return None


def _file_name(certificate: Certificate) -> str:
    readable = re.sub(r"[^A-Za-z0-9.-]+", "_", certificate.common_name).strip("._")[:40]
    return f"{readable or 'certificate'}_{certificate.thumbprint}.der"
