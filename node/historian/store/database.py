"""The journal's SQLite file: opening, schema, and moving a broken one aside. Runs on a connection's thread."""

from __future__ import annotations

import errno
import logging
import os
import sqlite3
from pathlib import Path
from typing import Final

from address_space.model import ticks_to_datetime
from node.historian.store.frame import Frame, FrameDamaged

_LOG = logging.getLogger(__name__)

SCHEMA_VERSION: Final = 2
APPLICATION_ID: Final = 0x474E_4A31  # "GNJ1", so that `file` and we know whose database it is
LOG_PAGES: Final = 1_000  # SQLite's own default
LOG_PAGES_SD: Final = 4_000  # pages that many commits touch are written into the file a quarter as often
_PAGE: Final = 4_096
_BUSY_S: Final = 5.0  # a check by hand with the sqlite3 program may hold the file for a moment

# tag: every path that was ever recorded. frame: one commit each, until its samples are in blocks.
# meta: `gap` the frame that says since when nobody recorded, `compacted` the newest frame that is in blocks,
# `newest` the newest time of the frames before it.
_SCHEMA: Final = """
CREATE TABLE tag (id INTEGER PRIMARY KEY, path TEXT NOT NULL UNIQUE);
CREATE TABLE frame (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    n INTEGER NOT NULL, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL, data BLOB NOT NULL
);
CREATE TABLE meta (key TEXT PRIMARY KEY, value INTEGER NOT NULL) WITHOUT ROWID;
"""

# What version 2 has beside version 1.
# block: samples of one tag in the order of time, out of frames up to `seq`; a table with rows of its own, because one
# in the order of a key keeps so little of a row in place that half a page is lost.
# event: alarms, command outcomes and audit rows. modified: what a client changed in history, and what was there before.
# cursor: everything before (seq, tag, ticks) is in the sink. quarantine: lines that a sink will never take.
_SINCE_2: Final = """
CREATE TABLE block (
    tag INTEGER NOT NULL, t_min INTEGER NOT NULL, t_max INTEGER NOT NULL,
    n INTEGER NOT NULL, seq INTEGER NOT NULL, data BLOB NOT NULL, UNIQUE (tag, t_min)
);
CREATE INDEX block_seq ON block (seq, tag, t_min);
CREATE TABLE event (
    seq INTEGER PRIMARY KEY AUTOINCREMENT,
    ticks INTEGER NOT NULL, source TEXT NOT NULL, type TEXT NOT NULL, body BLOB NOT NULL
);
CREATE INDEX event_time ON event (ticks, seq);
CREATE TABLE modified (
    tag INTEGER NOT NULL, ticks INTEGER NOT NULL, seq INTEGER NOT NULL, change INTEGER NOT NULL,
    at INTEGER NOT NULL, user TEXT NOT NULL, data BLOB NOT NULL, PRIMARY KEY (tag, ticks, seq)
) WITHOUT ROWID;
CREATE TABLE annotation (
    tag INTEGER NOT NULL, ticks INTEGER NOT NULL, at INTEGER NOT NULL, user TEXT NOT NULL, message TEXT NOT NULL,
    PRIMARY KEY (tag, ticks, at, user)
) WITHOUT ROWID;
CREATE TABLE cursor (
    sink TEXT PRIMARY KEY, seq INTEGER NOT NULL, tag INTEGER NOT NULL, ticks INTEGER NOT NULL, updated INTEGER NOT NULL
) WITHOUT ROWID;
CREATE TABLE quarantine (
    id INTEGER PRIMARY KEY AUTOINCREMENT,
    sink TEXT NOT NULL, seq INTEGER NOT NULL, line TEXT NOT NULL, reason TEXT NOT NULL, at INTEGER NOT NULL
);
"""


class WrongDatabase(Exception):
    """The file is a healthy database that this version must not touch; the text says what to do."""


def is_corrupt(error: BaseException) -> bool:
    """True when SQLite says that the file itself is broken, not the disk or the moment."""
    # The low byte is the primary code of SQLite's extended result codes.
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB)


def is_full(error: BaseException) -> bool:
    """True when there is no room on the disk."""
    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
    return code == sqlite3.SQLITE_FULL or getattr(error, "errno", None) == errno.ENOSPC


def open_writer(path: Path, log_pages: int = LOG_PAGES) -> sqlite3.Connection:
    """The file, made with its schema when it is not there; its log is brought into it at so many pages.

    Raises WrongDatabase, sqlite3.Error and OSError.
    """
    path.parent.mkdir(mode=0o700, exist_ok=True)
    # Made here and not by SQLite, so that others on this machine cannot read it.
    os.close(os.open(path, os.O_RDWR | os.O_CREAT, 0o600))
    connection = sqlite3.connect(path, isolation_level=None, timeout=_BUSY_S)
    try:
        _prepare(connection, path)
        connection.execute(f"PRAGMA wal_autocheckpoint = {log_pages}")
        # A log that grew while somebody read for long does not stay so large.
        connection.execute(f"PRAGMA journal_size_limit = {log_pages * _PAGE}")
    except BaseException:
        connection.close()
        raise
    return connection


def _prepare(connection: sqlite3.Connection, path: Path) -> None:
    (tables,) = connection.execute("SELECT count(*) FROM sqlite_schema").fetchone()
    (owner,) = connection.execute("PRAGMA application_id").fetchone()
    (version,) = connection.execute("PRAGMA user_version").fetchone()
    if tables and owner != APPLICATION_ID:
        raise WrongDatabase(f"{path} is a database, but no journal of gridnode: move it away")
    if tables and not 1 <= version <= SCHEMA_VERSION:
        raise WrongDatabase(
            f"{path} has schema version {version}, this gridnode knows {SCHEMA_VERSION}:"
            " run the version of gridnode that wrote it, or move the file away to begin a new journal"
        )
    if not tables:
        connection.execute("PRAGMA auto_vacuum = INCREMENTAL")  # can be chosen only before the first table
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = FULL")  # a commit survives the loss of power
    # Debian's SQLite overwrites deleted pages by default, a fifth of all that is written.
    connection.execute("PRAGMA secure_delete = OFF")
    connection.execute("PRAGMA temp_store = MEMORY")
    if not tables:
        connection.executescript(
            f"BEGIN IMMEDIATE; {_SCHEMA} {_SINCE_2} PRAGMA application_id = {APPLICATION_ID};"
            f" PRAGMA user_version = {SCHEMA_VERSION}; COMMIT;"
        )
    elif version == 1:
        _migrate_1(connection)


def _migrate_1(connection: sqlite3.Connection) -> None:
    """Version 1 kept an index of chapters of frames beside the frames, and had a tag for every point of the site."""
    with Transaction(connection):
        (closed,) = connection.execute("SELECT value FROM meta WHERE key = 'closed'").fetchone()
        recorded = {tag for (tag,) in connection.execute("SELECT DISTINCT tag FROM span")}
        for seq, blob in connection.execute("SELECT seq, data FROM frame WHERE seq > ?", (closed,)):
            try:
                recorded.update(Frame(blob).tags)
            except FrameDamaged as error:
                _LOG.debug("journal frame %d is damaged: %s", seq, error)
        never = [(tag,) for (tag,) in connection.execute("SELECT id FROM tag") if tag not in recorded]
        connection.executemany("DELETE FROM tag WHERE id = ?", never)
        connection.execute("DROP TABLE span")
        connection.execute("DELETE FROM meta WHERE key = 'closed'")
        for statement in _SINCE_2.split(";"):
            connection.execute(statement)
        connection.execute(f"PRAGMA user_version = {SCHEMA_VERSION}")


def open_reader(path: Path) -> sqlite3.Connection:
    """A second connection that cannot write; raises sqlite3.Error."""
    connection = sqlite3.connect(f"{path.absolute().as_uri()}?mode=ro", uri=True, isolation_level=None, timeout=_BUSY_S)
    connection.execute("PRAGMA query_only = ON")
    return connection


def move_aside(path: Path, ticks: int) -> Path:
    """Rename a broken file and what SQLite keeps beside it to `<name>.corrupt-<time>`; nothing is deleted."""
    stamp = f"{ticks_to_datetime(ticks):%Y%m%dT%H%M%SZ}"
    target = path.with_name(f"{path.name}.corrupt-{stamp}")
    again = 1
    while target.exists():
        again += 1
        target = path.with_name(f"{path.name}.corrupt-{stamp}-{again}")
    for suffix in ("", "-wal", "-shm"):
        part = path.with_name(path.name + suffix)
        if part.exists():
            part.rename(target.with_name(target.name + suffix))
    return target


class Transaction:
    """`with Transaction(connection):` commits what is done inside, or takes it back when it raises."""

    def __init__(self, connection: sqlite3.Connection) -> None:
        self._connection = connection

    def __enter__(self) -> None:
        self._connection.execute("BEGIN IMMEDIATE")

    def __exit__(self, kind: type[BaseException] | None, *_: object) -> None:
        if kind is None:
            try:
                self._connection.execute("COMMIT")
            except sqlite3.Error:
                self._rollback()
                raise
        else:
            self._rollback()

    def _rollback(self) -> None:
        # SQLite takes some failed transactions back by itself, a full disk for example.
        if self._connection.in_transaction:
            self._connection.execute("ROLLBACK")
