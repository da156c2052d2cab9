"""The state folder of a site belongs to one node at a time: two would write one journal and answer one port each."""

from __future__ import annotations

import fcntl
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from node.server.private_file import PRIVATE_FILE, PRIVATE_FOLDER, make_folder


class StateInUse(Exception):  # it names a state of affairs, as PortTaken does
    """Another node runs on this state folder; the text says which process."""


@contextmanager
def holding(folder: Path) -> Iterator[None]:
    """Hold a state folder, made if there is none. Raises StateInUse and OSError.

    The kernel lets go when the process ends, however it ends, so nothing has to be cleaned up by hand.
    """
    make_folder(folder, PRIVATE_FOLDER)
    path = folder / "lock"
    descriptor = os.open(path, os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, PRIVATE_FILE)
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
        yield
    finally:
        os.close(descriptor)
