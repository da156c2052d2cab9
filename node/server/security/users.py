"""The users file: name, argon2id hash, role and certificates of each user, in JSON, mode 0600.

It is read again whenever it changed on disk, so that `gridnode user add` works on a running node. No password
appears in a log line or an error text of this file.
"""

from __future__ import annotations

import fcntl
import json
import logging
import re
import secrets
import threading
import unicodedata
from base64 import b64encode
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from pathlib import Path
from types import MappingProxyType
from typing import TextIO

from argon2 import PasswordHasher
from argon2.exceptions import InvalidHashError, VerificationError, VerifyMismatchError
from argon2.low_level import ARGON2_VERSION

from node.roles import Role, parse_role
from node.server.security.private_file import (
    PRIVATE_FILE,
    PRIVATE_FOLDER,
    file_stamp,
    make_folder,
    readable_by_others,
    write_atomic,
)

_LOG = logging.getLogger(__name__)

FIRST_ADMIN = "admin"
MIN_PASSWORD_CHARS = 8
MAX_PASSWORD_CHARS = 256  # longer ones only cost time
MAX_NAME_CHARS = 64
_VERSION = 1
_MAX_FILE_BYTES = 1_048_576
_BASE32 = "ABCDEFGHIJKLMNOPQRSTUVWXYZ234567"
_KEYS = frozenset({"hash", "role"})
_ALL_KEYS = _KEYS | {"certificates"}
_FIRST_PASSWORD_CHARS = 20  # 100 bits


class UserError(ValueError):
    """A request about users cannot be done; the text says why and what to do, never a password."""


class UsersFileError(Exception):
    """The users file cannot be used; the text says where it is, why and what to do."""


@dataclass(frozen=True, slots=True)
class User:
    """One user as the file has it."""

    name: str
    role: Role
    hash: str = field(repr=False)  # argon2id in PHC text form
    certificates: tuple[str, ...] = ()  # thumbprints (SHA-1, 40 upper-case hex digits) that it may log in with


class UserStore:
    """The users in one file; safe for use from several threads and several processes.

    Raises UsersFileError when the file is there and cannot be used. One that breaks later leaves the users as they
    were, with an error in the log; one that disappears leaves no users.
    """

    def __init__(self, path: Path, hasher: PasswordHasher | None = None) -> None:
        self.path = path
        self._hasher = hasher or PasswordHasher()
        # An unknown user costs the same work as a known one, else the time would tell which names exist.
        self._nobody = _hash_of_nothing(self._hasher)
        self._lock = threading.Lock()
        self._stamp = file_stamp(path)
        self._users = _read(path)

    def list(self) -> tuple[User, ...]:
        """All users by name."""
        users = self._current()
        return tuple(users[name] for name in sorted(users))

    def find(self, name: str) -> User | None:
        """The user of that name; None when there is none."""
        return self._current().get(_normal(name))

    def owner(self, thumbprint: str) -> User | None:
        """The user that has a certificate; None when nobody has it."""
        owners = [user for user in self._current().values() if thumbprint in user.certificates]
        # A file that was edited by hand may say two: then nobody can tell who it is.
        return owners[0] if len(owners) == 1 else None

    def check(self, name: str, password: str) -> Role | None:
        """Role of the user when the password is right, else None. Takes the time of one argon2 hash, whoever it is."""
        user = self._current().get(_normal(name))
        try:
            self._hasher.verify(user.hash if user else self._nobody, _secret(password))
        except VerifyMismatchError:
            return None
        except (VerificationError, InvalidHashError):
            _LOG.error(
                "%s: the hash of user %r cannot be used; set a new password: gridnode user passwd", self.path, name
            )
            return None
        return user.role if user else None

    def add(self, name: str, password: str, role: Role) -> User:
        """Add a user. Raises UserError for a name in use or a password against the rules, UsersFileError, OSError."""
        name = _checked_name(name)
        hashed = self._hash(name, password)
        with self._change() as users:
            taken = next((known for known in users if known.casefold() == name.casefold()), None)
            if taken is not None:
                raise UserError(f"there is a user {taken!r} already; see `gridnode user passwd`")
            users[name] = User(name, role, hashed)
            return users[name]

    def passwd(self, name: str, password: str) -> None:
        """Set a password; the file with the first admin's password goes when it holds no longer.

        Raises UserError for an unknown user or a password against the rules, UsersFileError, OSError.
        """
        name = _normal(name)
        hashed = self._hash(name, password)
        with self._change() as users:
            users[name] = replace(self._known(users, name), hash=hashed)
        if name == FIRST_ADMIN:
            self._first_password_path().unlink(missing_ok=True)

    def add_certificate(self, name: str, thumbprint: str) -> None:
        """Let a user log in with a certificate too; whether it is trusted is the trust list's to say.

        Raises UserError for an unknown user or a certificate that another user has, UsersFileError, OSError.
        """
        name = _normal(name)
        with self._change() as users:
            user = self._known(users, name)
            owner = next((each.name for each in users.values() if thumbprint in each.certificates), name)
            if owner != name:
                raise UserError(f"the certificate is {owner!r}'s already; one certificate is one user")
            users[name] = replace(user, certificates=tuple(sorted({*user.certificates, thumbprint})))

    def clear_certificates(self, name: str) -> tuple[str, ...]:
        """Let a user log in by password only; returns the thumbprints that it had.

        Raises UserError for an unknown user, UsersFileError, OSError.
        """
        name = _normal(name)
        with self._change() as users:
            user = self._known(users, name)
            users[name] = replace(user, certificates=())
            return user.certificates

    def remove(self, name: str) -> None:
        """Remove a user; a running node ends its sessions within seconds.

        Raises UserError for an unknown user or the last Admin, UsersFileError, OSError.
        """
        name = _normal(name)
        with self._change() as users:
            user = self._known(users, name)
            if user.role is Role.ADMIN and sum(each.role is Role.ADMIN for each in users.values()) == 1:
                raise UserError(f"{name!r} is the last Admin; add another one first")
            del users[name]

    def ensure_admin(self, terminal: TextIO | None = None) -> bool:
        """At the first start make the user `admin` with a random password and say it once; True when it was made.

        It goes to `terminal`, or without one to a file of mode 0600 beside the users file whose path is logged. Does
        nothing when there is any user. Raises UsersFileError, OSError.
        """
        users = self.list()
        if users:
            if all(user.role is not Role.ADMIN for user in users):
                _LOG.warning("no user is Admin: gridnode user add NAME --role Admin")
            return False
        password = "".join(secrets.choice(_BASE32) for _ in range(_FIRST_PASSWORD_CHARS))
        if terminal is None:
            # Before the user exists: after a crash in between the next start makes another one.
            publish_first_password(password, self._first_password_path())
        self.add(FIRST_ADMIN, password, Role.ADMIN)
        if terminal is not None:
            terminal.write(
                f"first start: log in as user {FIRST_ADMIN!r} with password {password}\n"
                f"this is shown once; change it with: gridnode user passwd {FIRST_ADMIN}\n"
            )
            terminal.flush()
        return True

    def _hash(self, name: str, password: str) -> str:
        check_password(name, password)
        return self._hasher.hash(_secret(password))

    def _known(self, users: Mapping[str, User], name: str) -> User:
        if name not in users:
            raise UserError(f"there is no user {name!r}; see `gridnode user list`")
        return users[name]

    def _first_password_path(self) -> Path:
        return self.path.with_name("first-admin-password")

    def _current(self) -> Mapping[str, User]:
        with self._lock:
            stamp = file_stamp(self.path)
            if stamp != self._stamp:
                self._stamp = stamp
                try:
                    self._users = _read(self.path)
                except UsersFileError as error:
                    _LOG.error("%s; the users stay as they were before", error)
            return self._users

    @contextmanager
    def _change(self) -> Iterator[dict[str, User]]:
        """Read, let the caller change, write: alone among all processes. Nothing is written when it raises."""
        make_folder(self.path.parent, PRIVATE_FOLDER)
        with self.path.with_name(self.path.name + ".lock").open("a") as lock:
            fcntl.flock(lock, fcntl.LOCK_EX)
            users = dict(_read(self.path))
            yield users
            write_atomic(self.path, _text(users).encode(), PRIVATE_FILE)
            with self._lock:
                self._stamp, self._users = file_stamp(self.path), MappingProxyType(users)


def check_password(name: str, password: str) -> None:
    """Raise UserError when a password is against the rules: 8 to 256 characters, not the user's name."""
    if not password.strip():
        raise UserError("the password is empty")
    if not MIN_PASSWORD_CHARS <= len(password) <= MAX_PASSWORD_CHARS:
        raise UserError(f"a password has {MIN_PASSWORD_CHARS} to {MAX_PASSWORD_CHARS} characters")
    if _normal(password).casefold() == _normal(name).casefold():
        raise UserError("the password is the user's name")


def publish_first_password(password: str, path: Path) -> None:
    """Write the first admin's password to a file of mode 0600 and log where it is. Raises OSError."""
    make_folder(path.parent, PRIVATE_FOLDER)
    write_atomic(path, f"{password}\n".encode(), PRIVATE_FILE)
    _LOG.warning(
        "first start: the password of user %r is in %s; change it: gridnode user passwd %s",
        FIRST_ADMIN,
        path,
        FIRST_ADMIN,
    )


def _normal(text: str) -> str:
    # The same characters typed on two systems may come in two forms (RFC 8265 section 4.2.2).
    return unicodedata.normalize("NFC", text)


def _hash_of_nothing(hasher: PasswordHasher) -> str:
    """A hash that no password has, as dear to check as a real one; made without the 0.1 s that a real one takes."""
    salt, digest = (b64encode(secrets.token_bytes(size)).decode("ascii").rstrip("=")
                    for size in (hasher.salt_len, hasher.hash_len))  # fmt: skip
    cost = f"m={hasher.memory_cost},t={hasher.time_cost},p={hasher.parallelism}"
    return f"$argon2{hasher.type.name.lower()}$v={ARGON2_VERSION}${cost}${salt}${digest}"


def _secret(password: str) -> bytes:
    # A plain encode would raise an error that carries the whole password when a client sends half a character.
    return _normal(password).encode("utf-8", "surrogatepass")


def _checked_name(name: str) -> str:
    name = _normal(name)
    if not name or name != name.strip() or not name.isprintable() or len(name) > MAX_NAME_CHARS:
        raise UserError(f"a user name has 1 to {MAX_NAME_CHARS} printable characters and no space at its ends")
    return name


def _read(path: Path) -> Mapping[str, User]:
    """Users of a file, none when there is no file; raises UsersFileError."""
    try:
        if readable_by_others(path):
            _LOG.warning("%s can be read by other users of this machine: chmod 600 %s", path, path)
        with path.open("rb") as file:
            content = file.read(_MAX_FILE_BYTES)
    except FileNotFoundError:
        return MappingProxyType({})
    except OSError as error:
        raise UsersFileError(f"{path} cannot be read: {error.strerror}") from error
    try:
        return MappingProxyType(dict(_parse(json.loads(content))))
    except (ValueError, RecursionError) as error:
        # The text of a JSON error shows a position, never the content.
        raise UsersFileError(f"{path} is not a users file ({error}); repair it or restore it from a backup") from error


def _parse(content: object) -> Iterator[tuple[str, User]]:
    if not isinstance(content, dict) or content.get("version") != _VERSION:
        raise ValueError(f"version {_VERSION} expected")
    users = content.get("users")
    if not isinstance(users, dict):
        raise ValueError("'users' is missing")
    for name, entry in users.items():
        if (
            not isinstance(entry, dict)
            or not isinstance(entry.get("hash"), str)
            or not _KEYS <= set(entry) <= _ALL_KEYS
        ):
            raise ValueError(f"user {name!r}: 'hash' and 'role' expected")
        certificates = entry.get("certificates", [])
        if not isinstance(certificates, list) or not all(map(_is_thumbprint, certificates)):
            raise ValueError(f"user {name!r}: 'certificates' has 40 upper-case hexadecimal digits each")
        yield _normal(name), User(_normal(name), parse_role(str(entry["role"])), entry["hash"], tuple(certificates))


def _is_thumbprint(text: object) -> bool:
    return isinstance(text, str) and re.fullmatch(r"[0-9A-F]{40}", text) is not None


def _entry(user: User) -> dict[str, object]:
    entry: dict[str, object] = {"role": user.role.label, "hash": user.hash}
    return {**entry, "certificates": list(user.certificates)} if user.certificates else entry


def _text(users: Mapping[str, User]) -> str:
    entries = {name: _entry(users[name]) for name in sorted(users)}
    return json.dumps({"version": _VERSION, "users": entries}, indent=2, ensure_ascii=False) + "\n"
