"""The state folder of a site belongs to one node at a time: two would write one journal and answer one port each."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.server.security.private_file import PRIVATE_FILE, PRIVATE_FOLDER, make_folder, write_atomic


class StateUnusable(Exception):  # as below
    """The folder cannot be made or written; the text says why."""


class StateInUse(Exception):  # it names a state of affairs, as PortTaken does
    """Another node runs on this state folder, or it is another site's; the text says which, and what to do."""


@contextmanager
def holding(folder: Path, site_id: str) -> Iterator[None]:
    """Hold the state folder of a site, made if there is none. Raises StateInUse, StateUnusable and OSError.

    The folder remembers its site: the users, keys and history of one plant are not another's.

    The kernel lets go when the process ends, however it ends, so nothing has to be cleaned up by hand.
    """
    descriptor = _lock_file(folder)
    try:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            holder = os.pread(descriptor, 20, 0).decode("ascii", "replace").strip() or "unknown"
            raise StateInUse(
                f"{folder} is in use by process {holder}; stop it, or give this site a `state` folder of its own"
            ) from None
        os.ftruncate(descriptor, 0)
        os.pwrite(descriptor, f"{os.getpid()}\n".encode("ascii"), 0)
        _claim(folder, site_id)
        yield
    finally:
        os.close(descriptor)


def _lock_file(folder: Path) -> int:
    try:
        if folder.is_file():
            raise StateUnusable(f"{folder} is a file, not a folder")
        make_folder(folder, PRIVATE_FOLDER)
    except OSError as error:
        raise StateUnusable(f"{folder} cannot be made: {error.strerror or error}") from error
    try:
        return os.open(folder / "lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
    except OSError as error:
        raise StateUnusable(f"{folder} cannot be written: {error.strerror or error}") from error


def _claim(folder: Path, site_id: str) -> None:
    path = folder / "site"
    try:
        owner = path.read_text("utf-8", "replace").strip()
    except FileNotFoundError:
        write_atomic(path, f"{site_id}\n".encode(), PRIVATE_FILE)
        return
    if owner != site_id:
        raise StateInUse(
            f"{folder} belongs to the site {owner!r}, this one is {site_id!r}: give it a `state` folder of its own, or "
            f"remove {path} if the site was renamed"
        )
