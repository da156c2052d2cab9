"""Takes rows out of the journal's file that hold what none of ours can: a text where a number belongs.

A few changed bytes of a row can leave a page that SQLite still takes for one: only our frames and blocks have check
sums. Every query that meets such a row would fail for good. Runs on the writer's thread.
"""

from __future__ import annotations

import sqlite3
from typing import Final

from node.historian.store.database import Transaction

_TYPES: Final = {
    "tag": {"id": "integer", "path": "text"},
    "frame": {"seq": "integer", "n": "integer", "t_min": "integer", "t_max": "integer", "data": "blob"},
    "block": {
        "tag": "integer", "t_min": "integer", "t_max": "integer", "n": "integer", "seq": "integer", "data": "blob"
    },
    "event": {"seq": "integer", "ticks": "integer", "source": "text", "type": "text", "body": "blob"},
    "modified": {
        "tag": "integer", "ticks": "integer", "seq": "integer", "change": "integer", "at": "integer", "user": "text",
        "data": "blob",
    },
    "annotation": {"tag": "integer", "ticks": "integer", "at": "integer", "user": "text", "message": "text"},
    "cursor": {"sink": "text", "seq": "integer", "tag": "integer", "ticks": "integer", "updated": "integer"},
    "quarantine": {
        "id": "integer", "sink": "text", "seq": "integer", "line": "text", "reason": "text", "at": "integer"
    },
    "meta": {"key": "text", "value": "integer"},
}  # fmt: skip


def is_garbled(error: BaseException) -> bool:
    """True for what a query raises, or who works with its rows, when a row holds something of another type."""
    if isinstance(error, TypeError | OverflowError):
        return True
    # The module sqlite3 gives this error neither a class nor a code of its own.
    return isinstance(error, sqlite3.OperationalError) and "Could not decode" in str(error)


def mend(connection: sqlite3.Connection) -> int:
    """Delete the rows that cannot be ours; how many. It looks at every row: only for when one was met.

    Raises sqlite3.Error, which says that the file is corrupt where an index has something else than its table.
    """
    connection.create_function("is_utf8", 1, _is_utf8, deterministic=True)
    with Transaction(connection):
        return sum(connection.execute(_statement(table)).rowcount for table in _TYPES)


def _statement(table: str) -> str:
    wrong = [f"typeof({column}) <> '{kind}'" for column, kind in _TYPES[table].items()]
    wrong += [f"NOT is_utf8(CAST({column} AS BLOB))" for column, kind in _TYPES[table].items() if kind == "text"]
    return f"DELETE FROM {table} WHERE {' OR '.join(wrong)}"  # noqa: S608 - constants of this file


def _is_utf8(data: bytes | None) -> bool:
    try:
        (data or b"").decode()
    except UnicodeDecodeError:
        return False
    return True
