"""Which frames reach into an interval: the same as a look at every one of them, in the order of the way."""

import random
import sqlite3

import pytest

from node.historian.store.damage import Damage
from node.historian.store.heads import Heads

MANY = 500


@pytest.fixture
def connection() -> sqlite3.Connection:
    made = sqlite3.connect(":memory:", isolation_level=None)
    made.execute("CREATE TABLE frame (seq INTEGER PRIMARY KEY, t_min INTEGER, t_max INTEGER, data BLOB)")
    return made


def rows(connection: sqlite3.Connection, low: int, high: int) -> list[tuple[int, int, int]]:
    return connection.execute(
        "SELECT t_min, t_max, seq FROM frame WHERE t_min <= ? AND t_max >= ?", (high, low)
    ).fetchall()


def check(connection: sqlite3.Connection, heads: Heads, rng: random.Random) -> None:
    heads.refresh()
    for low, high in [(-(2**63), 2**63 - 1), *(sorted(rng.choices(range(-100, 2 * MANY), k=2)) for _ in range(20))]:
        wanted = rows(connection, low, high)
        forward = list(heads.between(low, high, reverse=False))
        backward = list(heads.between(low, high, reverse=True))
        assert sorted(forward) == sorted(backward) == sorted(wanted)
        assert [first for first, _, _ in forward] == sorted(first for first, _, _ in wanted)
        assert [last for _, last, _ in backward] == sorted((last for _, last, _ in wanted), reverse=True)


@pytest.mark.parametrize("seed", range(4))
def test_frames_of_an_interval_come_in_the_order_of_the_way(connection: sqlite3.Connection, seed: int) -> None:
    rng = random.Random(seed)
    heads = Heads(connection, Damage())
    check(connection, heads, rng)
    for seq in range(1, MANY):
        late = rng.choice((0, 0, 0, rng.randrange(MANY)))  # a frame with older samples, as those of an edit are
        connection.execute(
            "INSERT INTO frame VALUES (?, ?, ?, NULL)", (seq, seq - late, seq - late + rng.randrange(1 + late))
        )
        if seq % 90 == 0:
            check(connection, heads, rng)
            connection.execute("DELETE FROM frame WHERE seq <= ?", (seq - rng.choice((10, 64, 100)),))
            check(connection, heads, rng)
    connection.execute("DELETE FROM frame")
    check(connection, heads, rng)
