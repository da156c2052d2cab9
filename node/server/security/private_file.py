"""Files and folders that survive a crash whole and are readable by whom they are meant for."""

from __future__ import annotations

import os
import tempfile
from pathlib import Path

PRIVATE_FOLDER = 0o700  # keys, password hashes
PRIVATE_FILE = 0o600
PUBLIC_FILE = 0o644  # certificates are public; other tools on the machine may read them


def make_folder(folder: Path, mode: int = 0o755) -> None:
    """Create a folder and its parents; `mode` is set on the folder itself only when it is created here."""
    if folder.is_dir():
        return
    folder.mkdir(parents=True, exist_ok=True)
    folder.chmod(mode)


def write_atomic(path: Path, content: bytes, mode: int) -> None:
    """Replace a file as a whole: a reader or a crash sees the old content or the new, never a part.

    The new file has `mode` from its first byte on, whatever the umask. Raises OSError.
    """
    handle, name = tempfile.mkstemp(prefix=f".{path.name}.", dir=path.parent)
    try:
        with os.fdopen(handle, "wb") as temporary:
            os.fchmod(temporary.fileno(), mode)
            temporary.write(content)
            temporary.flush()
            os.fsync(temporary.fileno())
        Path(name).replace(path)
    except BaseException:
        Path(name).unlink(missing_ok=True)
        raise
    sync_folder(path.parent)


def sync_folder(folder: Path) -> None:
    """Make renames and removals in a folder durable."""
    handle = os.open(folder, os.O_RDONLY | os.O_DIRECTORY)
    try:
        os.fsync(handle)
    finally:
        os.close(handle)


def readable_by_others(path: Path) -> bool:
    """True when the group or the world may read, write or run the file."""
    return path.stat().st_mode & 0o077 != 0


def file_stamp(path: Path) -> tuple[int, int, int] | None:
    """What differs when a file was replaced or written; None when it cannot be looked at."""
    try:
        stat = path.stat()
    except OSError:
        return None
    return stat.st_mtime_ns, stat.st_size, stat.st_ino
